"""One poller reads the UDP sockets of several cameras; taking one off it is safe at any time."""

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest
from test_datagrams import HOST, packet, receiver

from rtspkit.poller import DatagramPoller, Source
from rtspkit.rtp import track_stats


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Two of a socket of ours and a camera's that sends to it."""
    made = []
    for _ in range(2):
        ours, theirs = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
        ours.bind((HOST, 0))
        ours.setblocking(False)
        theirs.bind((HOST, 0))
        theirs.connect(ours.getsockname())
        made.append((ours, theirs))
    yield made
    for pair in made:
        for sock in pair:
            sock.close()


def pinned(theirs: socket.socket):  # type: ignore[no-untyped-def]
    made = receiver()
    made.pin(0, HOST, theirs.getsockname()[1], None)
    return made


async def test_each_camera_gets_its_own_packets(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    poller = DatagramPoller(0.005)
    receivers = [pinned(theirs) for _, theirs in pairs]
    called: list[int] = []
    for number, ((ours, _), made) in enumerate(zip(pairs, receivers, strict=True)):
        poller.add(made, [Source(ours, 0, False)], lambda number=number: called.append(number), patience=1.0)
    for sequence in range(1, 101):
        pairs[0][1].send(packet(sequence))
    pairs[1][1].send(packet(1))
    await asyncio.sleep(0.1)
    assert [track_stats(made, 0).received for made in receivers] == [100, 1]
    poller.remove(receivers[0])
    poller.remove(receivers[0])  # twice does no harm
    for _, theirs in pairs:
        theirs.send(packet(101))
    await asyncio.sleep(0.05)
    assert [track_stats(made, 0).received for made in receivers] == [100, 2]
    poller.remove(receivers[1])
    assert len(poller) == 0


async def test_without_sockets_it_holds_no_file_descriptor(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    poller, made = DatagramPoller(0.005), pinned(pairs[0][1])
    before = len(os.listdir("/dev/fd"))
    for sequence in (1, 2):  # and can be used again
        poller.add(made, [Source(pairs[0][0], 0, False)], lambda: None, patience=1.0)
        pairs[0][1].send(packet(sequence))
        await asyncio.sleep(0.05)
        poller.remove(made)
    assert len(os.listdir("/dev/fd")) == before
    assert track_stats(made, 0).received == 2


async def test_a_packet_that_never_comes_is_given_up(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    poller, made = DatagramPoller(0.005), pinned(pairs[0][1])
    poller.add(made, [Source(pairs[0][0], 0, False)], lambda: None, patience=1.0)
    for sequence in (1, 2, 4, 5):
        pairs[0][1].send(packet(sequence))
    await asyncio.sleep(0.03)
    async with asyncio.timeout(2):
        while track_stats(made, 0).lost == 0:  # noqa: ASYNC110 - a test's patience
            await asyncio.sleep(0.01)
    assert track_stats(made, 0).received == 4
    poller.remove(made)


async def test_another_poller_gives_up_what_the_first_has_waited_for(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    first, second, made = DatagramPoller(0.005), DatagramPoller(0.005), pinned(pairs[0][1])
    first.add(made, [Source(pairs[0][0], 0, False)], lambda: None, patience=1.0)
    for sequence in (1, 2, 4, 5):
        pairs[0][1].send(packet(sequence))
    await asyncio.sleep(0.02)
    first.remove(made)
    second.add(made, [Source(pairs[0][0], 0, False)], lambda: None, patience=1.0)
    async with asyncio.timeout(2):
        while track_stats(made, 0).lost == 0:  # noqa: ASYNC110 - a test's patience
            await asyncio.sleep(0.01)
    second.remove(made)


async def test_the_smallest_buffer_says_how_often(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    poller = DatagramPoller(0.1)
    first, second = (pinned(theirs) for _, theirs in pairs)
    poller.add(first, [Source(pairs[0][0], 0, False)], lambda: None, patience=5.0)
    assert poller.period == 0.1
    poller.add(second, [Source(pairs[1][0], 0, False)], lambda: None, patience=0.008)
    assert poller.period == 0.008
    poller.remove(second)
    assert poller.period == 0.1
    poller.remove(first)


async def test_who_takes_units_is_told_of_each_read(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """There is no fragment yet: only one of the two wants to know."""
    poller = DatagramPoller(0.005)
    told: list[int] = []
    for number, (ours, theirs) in enumerate(pairs):
        made = pinned(theirs)
        poller.add(
            made, [Source(ours, 0, False)], lambda number=number: told.append(number), patience=1.0, eager=number == 1
        )
        theirs.send(packet(1))
    await asyncio.sleep(0.1)
    assert set(told) == {1}


async def test_a_socket_that_cannot_be_read(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    """What was taken over before it is given back, and the others are read on."""
    (ours, theirs), (other, _) = pairs
    poller = DatagramPoller(0.005)
    told = asyncio.Event()
    poller.add(pinned(theirs), [Source(ours, 0, False)], told.set, patience=1.0, eager=True)
    broken = pinned(theirs)
    with pytest.raises(KeyError, match="registered"):
        poller.add(broken, [Source(other, 0, False), Source(other, 0, True)], lambda: None, patience=1.0)
    poller.remove(broken)
    poller.add(broken, [Source(other, 0, False)], lambda: None, patience=1.0)
    poller.remove(broken)
    assert len(poller) == 1
    theirs.send(packet(1))
    async with asyncio.timeout(5):
        await told.wait()
