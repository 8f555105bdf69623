"""The byte stream to a camera: writing never waits, reading changes hands, and its end has a reason."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from sockets import reset_at_close

from rtspkit.links import Link
from rtspkit.rtp import Receiver
from rtspkit.ticker import Ticker

MESSAGE = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection's two ends: ours, which does not block, and the camera's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


async def test_the_conversation_waits_for_what_comes(pair: Pair) -> None:
    ours, theirs = pair
    link = Link(ours)
    waiting = asyncio.ensure_future(link.receive())
    await asyncio.sleep(0.01)
    theirs.sendall(MESSAGE)
    assert await asyncio.wait_for(waiting, 2) == MESSAGE
    link.send(b"answer")
    assert theirs.recv(100) == b"answer"
    theirs.close()
    assert await asyncio.wait_for(link.receive(), 2) == b""
    link.close()


async def test_a_wait_that_is_given_up_loses_nothing(pair: Pair) -> None:
    ours, theirs = pair
    link = Link(ours)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await link.receive()
    theirs.sendall(MESSAGE)
    assert await asyncio.wait_for(link.receive(), 2) == MESSAGE
    link.close()


async def test_a_camera_that_never_pauses_leaves_others_their_turn(pair: Pair) -> None:
    ours, theirs = pair
    link = Link(ours)
    theirs.sendall(MESSAGE)
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    assert await link.receive() == MESSAGE
    assert turns == [1]
    theirs.sendall(MESSAGE)
    with pytest.raises(TimeoutError):  # nor does it outrun a deadline
        async with asyncio.timeout(0):
            await link.receive()
    assert await link.receive() == MESSAGE
    link.close()


async def test_a_connection_that_was_reset_is_no_link(pair: Pair) -> None:
    ours, theirs = pair
    reset_at_close(theirs)
    theirs.close()
    with pytest.raises(ConnectionResetError):
        Link(ours)


async def test_what_does_not_fit_goes_when_it_can_and_a_deaf_camera_is_given_up(pair: Pair) -> None:
    ours, theirs = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link = Link(ours)
    sent = 0

    def send_on() -> None:
        nonlocal sent
        for _ in range(10_000):
            link.send(bytes([sent // 4096 % 251]) * 4096)
            sent += 4096

    with pytest.raises(OSError, match="takes nothing"):
        send_on()
    assert sent > 64 * 1024
    theirs.setblocking(False)
    got = b""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while len(got) < sent:
            got += await loop.sock_recv(theirs, 65536)
    assert got[:sent] == b"".join(bytes([number % 251]) * 4096 for number in range(sent // 4096))
    link.close()


@pytest.mark.parametrize("is_tapped", [False, True])
@pytest.mark.parametrize("is_ticked", [False, True])
async def test_the_receiver_gets_everything_and_the_end_has_a_reason(
    pair: Pair, is_tapped: bool, is_ticked: bool
) -> None:
    ours, theirs = pair
    heard: list[tuple[str, bytes, int | None]] = []
    link = Link(ours, tap=(lambda *said: heard.append(said)) if is_tapped else None)
    receiver, changed = Receiver(), asyncio.Event()
    ticker = Ticker(0.01) if is_ticked else None
    link.start(receiver, changed.set, ticker)
    theirs.sendall(MESSAGE)
    await asyncio.wait_for(changed.wait(), 2)
    assert receiver.take_messages() == [MESSAGE]
    assert link.lost is None
    link.stop()
    theirs.sendall(MESSAGE)
    await asyncio.sleep(0.03)
    assert not receiver.take_messages()
    link.start(receiver, changed.set, ticker)
    reset_at_close(theirs)
    await asyncio.sleep(0.05)
    assert receiver.take_messages() == [MESSAGE]
    theirs.close()
    async with asyncio.timeout(2):
        while link.lost is None:  # noqa: ASYNC110 - a test's patience
            await asyncio.sleep(0.01)
    assert link.lost == "dropped the connection: connection reset by peer"
    assert heard == ([("in", MESSAGE, None)] * 2 if is_tapped else [])
    link.close()
    assert ticker is None or len(ticker) == 0
