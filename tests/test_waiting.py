"""Requests that wait: those are woken whose answer is there, and nobody else."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rtspkit.responses import Response, error_response
from rtspkit.waiting import LEAVING, Bell, Outcome, Waiter, Wanted, resolve, watch_client

FAR = 1e6


class Stream:
    """What a `Bell` needs of a muxer."""

    def __init__(self) -> None:
        self.has: dict[str, Response] = {}
        self.asked: list[str] = []
        self.subscribers: list[Callable[[], None]] = []

    def subscribe(self, callback: Callable[[], None]) -> None:
        self.subscribers.append(callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        self.subscribers.remove(callback)

    def get(self, name: str, *_: Any) -> Response | None:
        self.asked.append(name)
        return self.has.get(name)

    def gets(self, name: str) -> Response:
        self.has[name] = error_response(200, name)
        for callback in tuple(self.subscribers):
            callback()
        return self.has[name]


def bell_of(stream: Stream) -> Bell:
    return Bell(stream)  # type: ignore[arg-type]


async def test_an_answer_that_cannot_be_written_is_nothing_to_the_others() -> None:
    stream, told = Stream(), []
    bell = bell_of(stream)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fails(_: Response) -> bool:
        raise OSError("gone")

    first = bell.wait(Wanted("it"), FAR, fails)
    second = bell.wait(Wanted("it"), FAR, lambda _: True)
    third = bell.wait(Wanted("it"), FAR)
    answer = stream.gets("it")
    assert (first.result(), second.result(), third.result()) == (Outcome.LEFT, Outcome.SENT, answer)
    assert [str(error) for error in told] == ["gone"]
    assert bell.count == 0


async def test_only_those_wake_who_can_be_answered() -> None:
    stream = Stream()
    bell = bell_of(stream)
    near = [bell.wait(Wanted("near"), FAR) for _ in range(3)]
    far = [bell.wait(Wanted("far"), FAR) for _ in range(1000)]
    answer = stream.gets("near")
    assert [future.result() for future in near] == [answer] * 3
    assert not any(future.done() for future in far)
    assert sorted(stream.asked) == ["far", "near"]  # each is asked for once, however many want it
    assert bell.count == 1000
    for future in near:
        bell.leave(Wanted("near"), future)  # as each does when it wakes
    assert bell.count == 1000
    assert stream.gets("far") is far[0].result() is far[-1].result()
    assert bell.count == 0


async def test_who_can_be_answered_at_once_is() -> None:
    stream = Stream()
    bell = bell_of(stream)
    given: list[tuple[str, Response]] = []

    def delivery(name: str, is_sent: bool) -> Callable[[Response], bool]:
        return lambda response: given.append((name, response)) or is_sent  # type: ignore[func-returns-value]

    quick = bell.wait(Wanted("it"), FAR, delivery("quick", True))
    usual = bell.wait(Wanted("it"), FAR, delivery("usual", False))
    gone = bell.wait(Wanted("it"), FAR, delivery("gone", True))
    other = bell.wait(Wanted("other"), FAR, delivery("other", True))
    resolve(gone, Outcome.LEFT)
    answer = stream.gets("it")
    assert given == [("quick", answer), ("usual", answer)]
    assert (quick.result(), usual.result(), gone.result()) == (Outcome.SENT, answer, Outcome.LEFT)
    assert not other.done()


async def test_who_leaves_is_not_asked_for() -> None:
    stream = Stream()
    bell = bell_of(stream)
    first, second = bell.wait(Wanted("it"), FAR), bell.wait(Wanted("it"), FAR)
    bell.leave(Wanted("it"), first)
    bell.leave(Wanted("it"), first)
    assert bell.count == 1
    bell.leave(Wanted("it"), second)
    stream.gets("it")
    assert not stream.asked
    assert not first.done()
    bell.close()
    assert not stream.subscribers


async def test_each_has_its_own_deadline() -> None:
    loop = asyncio.get_running_loop()
    bell = bell_of(Stream())
    late = bell.wait(Wanted("a"), FAR)
    soon = bell.wait(Wanted("a"), loop.time() + 0.02)
    later = bell.wait(Wanted("b"), loop.time() + 0.04)
    async with asyncio.timeout(5):
        assert await soon is Outcome.LATE
        bell.leave(Wanted("a"), soon)
        assert not later.done()
        assert await later is Outcome.LATE
    assert not late.done()
    bell.leave(Wanted("b"), later)
    bell.leave(Wanted("a"), late)


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_client_leaves(is_told: bool) -> None:
    """By the server's own way, or by a task that receives."""
    future: Waiter = asyncio.get_running_loop().create_future()
    gone = asyncio.Event()
    told: list[Waiter | None] = []

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    release = watch_client({"extensions": {LEAVING: told.append}} if is_told else {}, receive, future)
    if is_told:
        release()
        assert told == [future, None]
    else:
        gone.set()
        async with asyncio.timeout(5):
            assert await future is Outcome.LEFT
        release()
