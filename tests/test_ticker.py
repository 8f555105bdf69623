"""The shared tick on real sockets: who is read when, and that taking a camera off it is safe at any time."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from rtspkit.media import AACParameters, Track
from rtspkit.rtp import Drain, Receiver
from rtspkit.ticker import Ticker

MESSAGE = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"


def receiver() -> Receiver:
    made = Receiver()
    track = Track(0, "audio", "aac", 16000, AACParameters(b"\x14\x08"))
    made.add_track(track, payload_type=97, channels=(0, 1))
    return made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def test_what_arrives_is_handed_over_within_a_period(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ticker, made = Ticker(0.02), receiver()
    arrived = asyncio.Event()
    ticker.add(made, ours, arrived.set)
    theirs.sendall(MESSAGE)
    await asyncio.wait_for(arrived.wait(), 2)
    assert made.take_messages() == [MESSAGE]
    ticker.remove(made)


async def test_nothing_is_read_after_removal(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ticker, made = Ticker(0.01), receiver()
    calls: list[int] = []
    ticker.add(made, ours, lambda: calls.append(1))
    ticker.remove(made)
    ticker.remove(made)  # twice does no harm
    theirs.sendall(MESSAGE)
    await asyncio.sleep(0.05)
    assert made.fd == -1
    assert not calls
    assert ours.recv(100) == MESSAGE
    assert len(ticker) == 0


async def test_a_camera_may_be_removed_by_the_one_before_it() -> None:
    ticker = Ticker(0.01)
    first, second = receiver(), receiver()
    (a, b), (c, d) = socket.socketpair(), socket.socketpair()
    a.setblocking(False)
    c.setblocking(False)
    calls: list[str] = []

    def on_first() -> None:
        calls.append("first")
        ticker.remove(first)
        ticker.remove(second)

    with a, b, c, d:
        ticker.add(first, a, on_first)
        ticker.add(second, c, lambda: calls.append("second"))
        b.sendall(MESSAGE)
        d.sendall(MESSAGE)
        await asyncio.sleep(0.05)
    assert calls == ["first"]
    assert second.take_messages() == [MESSAGE]  # read in the same drain: not lost


async def test_the_end_is_told_until_the_camera_is_removed(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ticker, made = Ticker(0.01), receiver()
    told = asyncio.Event()
    ticker.add(made, ours, told.set)
    theirs.close()
    for _ in range(2):
        await asyncio.wait_for(told.wait(), 2)
        assert made.eof
        told.clear()
    ticker.remove(made)


async def test_one_that_raises_does_not_stop_the_others(pair: tuple[socket.socket, socket.socket]) -> None:
    """A fault in one camera's handling is reported to the loop, and everybody is read on."""
    ours, theirs = pair
    ticker, bad, good = Ticker(0.01), receiver(), receiver()
    problems: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    arrived = asyncio.Event()

    def fail() -> None:
        raise ValueError("a fault")

    a, b = socket.socketpair()
    a.setblocking(False)
    with a, b:
        ticker.add(bad, a, fail)
        ticker.add(good, ours, arrived.set)
        b.sendall(MESSAGE)
        theirs.sendall(MESSAGE)
        await asyncio.wait_for(arrived.wait(), 2)
        arrived.clear()
        theirs.sendall(MESSAGE)
        await asyncio.wait_for(arrived.wait(), 2)
        ticker.remove(bad)
        ticker.remove(good)
    assert problems
    assert all(isinstance(problem["exception"], ValueError) for problem in problems)


async def test_a_drain_that_fails_is_followed_by_another(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    ticker, made = Ticker(0.01), receiver()
    problems: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))

    class Failing:
        fullest = 0

        def drain(self, _receivers: object, _now: int) -> list[Receiver]:
            monkeypatch.undo()
            raise MemoryError

    monkeypatch.setattr(ticker, "_drain", Failing())
    arrived = asyncio.Event()
    ticker.add(made, ours, arrived.set)
    theirs.sendall(MESSAGE)
    await asyncio.wait_for(arrived.wait(), 2)
    ticker.remove(made)
    assert isinstance(problems[0]["exception"], MemoryError)


@pytest.mark.parametrize("fills", [True, False])
async def test_only_a_camera_that_fills_its_own_buffer_makes_it_hurry(fills: bool) -> None:
    ticker = Ticker(0.3)
    small, large = receiver(), receiver()
    (a, b), (c, d) = socket.socketpair(), socket.socketpair()
    loop = asyncio.get_running_loop()
    times: list[float] = []
    done = asyncio.Event()

    with a, b, c, d:
        for sock, size in ((a, 4096), (c, 200_000)):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        chosen, far = (small, b) if fills else (large, d)

        def read() -> None:
            chosen.take_messages()
            times.append(loop.time())
            far.sendall(MESSAGE)  # found by the next tick
            if len(times) == 2:
                done.set()

        ticker.add(small, a, read)
        ticker.add(large, c, read)
        far.sendall(MESSAGE * (a.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2 // len(MESSAGE) + 1))
        await asyncio.wait_for(done.wait(), 5)
        ticker.remove(small)
        ticker.remove(large)
    assert (times[1] - times[0] < 0.15) is fills


class CountingDrain:
    """A drain that remembers how many it was asked to read at once."""

    def __init__(self, drain: Drain) -> None:
        self.drain_all = drain.drain
        self.asked: list[int] = []
        self.fullest = 0

    def drain(self, receivers: list[Receiver], now: int) -> list[Receiver]:
        self.asked.append(len(receivers))
        return self.drain_all(receivers, now)


async def test_many_cameras_are_read_in_turns() -> None:
    """150 in three turns of 50 within one period; what is read in Python once in it."""
    ticker = Ticker(0.3)
    ticker._drain = drain = CountingDrain(Drain())  # type: ignore[assignment]
    polls: list[int] = []
    unwatch = ticker.watch(lambda: polls.append(1) is not None)
    pairs = [socket.socketpair() for _ in range(150)]
    heard: dict[int, int] = {}
    made = [receiver() for _ in pairs]
    try:
        for number, (ours, theirs) in enumerate(pairs):
            ours.setblocking(False)
            ticker.add(made[number], ours, lambda number=number: heard.setdefault(number, len(drain.asked)))
            theirs.sendall(MESSAGE)
        async with asyncio.timeout(5):
            while len(heard) < 150:  # noqa: ASYNC110 - a test's patience, not a program's
                await asyncio.sleep(0.01)
        assert drain.asked[:3] == [50, 50, 50]
        assert [heard[number] for number in (0, 49, 50, 99, 100, 149)] == [1, 1, 2, 2, 3, 3]
        assert len(polls) == 1
        for number in range(100):
            ticker.remove(made[number])
        async with asyncio.timeout(5):
            while len(polls) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert drain.asked[-1] == 50
    finally:
        unwatch()
        for one in made:
            ticker.remove(one)
        for pair in pairs:
            for sock in pair:
                sock.close()


async def test_a_full_buffer_has_everybody_read_soon() -> None:
    ticker = Ticker(0.3)
    ticker._drain = drain = CountingDrain(Drain())  # type: ignore[assignment]
    pairs = [socket.socketpair() for _ in range(100)]
    made = [receiver() for _ in pairs]
    try:
        for one, (ours, _) in zip(made, pairs, strict=True):
            ours.setblocking(False)
            ticker.add(one, ours, lambda: None)
        drain.fullest, ticker._is_crowded = 1 << 40, lambda _: True  # type: ignore[method-assign]
        async with asyncio.timeout(5):
            while len(drain.asked) < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert drain.asked[:3] == [50, 100, 100]
    finally:
        for one in made:
            ticker.remove(one)
        for pair in pairs:
            for sock in pair:
                sock.close()
