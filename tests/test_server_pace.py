"""The pace of connecting: the pacer without a clock, and its shell with one."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from rtspkit.server.pace import Gate, Pacer, Turn


def ask(pacer: Pacer, count: int, *, is_urgent: bool = False) -> list[Turn]:
    return [pacer.ask(is_urgent=is_urgent) for _ in range(count)]


def test_three_hundred_at_once_are_spread() -> None:
    pacer = Pacer(rate=200.0, under_way=1000, burst=4)
    turns = ask(pacer, 300)
    taken: list[Turn] = []
    times: list[float] = []
    now = 50.0
    while len(pacer):
        found = pacer.take(now)
        taken += found
        times += [now] * len(found)
        due = pacer.next_turn()
        if due is not None:
            assert due > now
            now = due
    assert taken == turns  # first come, first served
    assert times[-1] - times[0] == pytest.approx(300 / 200, abs=0.05)
    for begin in range(300):
        assert sum(begin / 100 <= at - 50.0 < begin / 100 + 0.1 for at in times) <= 20 + 4


def test_a_loop_that_is_late_does_not_make_up_for_it() -> None:
    pacer = Pacer(rate=128.0, burst=4)
    ask(pacer, 50)
    assert len(pacer.take(0.0)) == 4
    assert len(pacer.take(10.0)) == 4
    assert pacer.next_turn() == 10.0 + 1 / 128


def test_those_under_way_are_bounded() -> None:
    pacer = Pacer(rate=1e9, under_way=3, burst=100)
    turns = ask(pacer, 5)
    assert pacer.take(0.0) == turns[:3]
    assert pacer.next_turn() is None
    assert pacer.take(9.0) == []
    pacer.leave(turns[1])
    assert pacer.take(9.0) == [turns[3]]
    pacer.leave(turns[4])  # it was not wanted any more, and had not begun
    pacer.leave(turns[0])
    assert pacer.take(10.0) == []
    assert (len(pacer), pacer.next_turn()) == (0, None)


def test_those_somebody_waits_for_go_first() -> None:
    pacer = Pacer(rate=1e9, burst=100)
    others = ask(pacer, 3)
    urgent = ask(pacer, 2, is_urgent=True)
    assert pacer.take(0.0) == urgent + others


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a test's patience, not a program's
            await asyncio.sleep(0.002)


async def test_a_turn_nobody_disputes_is_had_at_once() -> None:
    gate = Gate()

    async def connect() -> None:
        async with gate.turn(is_urgent=False):
            pass

    with pytest.raises(StopIteration):
        connect().send(None)  # without ever waiting


async def test_turns_come_one_by_one() -> None:
    gate = Gate(Pacer(rate=100.0, burst=1))
    times: list[float] = []

    async def connect() -> None:
        async with gate.turn(is_urgent=False):
            times.append(time.monotonic())

    await asyncio.gather(*(connect() for _ in range(11)))
    assert times[-1] - times[0] > 0.09


async def test_whoever_is_stopped_leaves_the_queue() -> None:
    pacer = Pacer(rate=1e9, under_way=1, burst=100)
    gate = Gate(pacer)
    order: list[str] = []
    leave = asyncio.Event()

    async def connect(name: str, *, is_urgent: bool = False) -> None:
        async with gate.turn(is_urgent=is_urgent):
            order.append(name)
            await leave.wait()

    tasks = {name: asyncio.create_task(connect(name)) for name in ("first", "gone", "last")}
    await until(lambda: len(pacer) == 2)
    viewer = asyncio.create_task(connect("viewer", is_urgent=True))
    await until(lambda: len(pacer) == 3)
    tasks["gone"].cancel()
    await until(lambda: len(pacer) == 2)
    tasks["first"].cancel()  # while it connects
    await until(lambda: order == ["first", "viewer"])
    leave.set()
    await viewer
    await tasks["last"]
    assert order == ["first", "viewer", "last"]
    with suppress(asyncio.CancelledError):
        await tasks["gone"]
    assert (len(pacer), len(gate._waiting), pacer.take(0.0)) == (0, 0, [])


async def test_a_turn_given_to_one_who_has_just_been_stopped_is_not_lost() -> None:
    pacer = Pacer(rate=1e9, under_way=1, burst=100)
    gate = Gate(pacer)
    hold = asyncio.Event()

    async def connect() -> str:
        async with gate.turn(is_urgent=False):
            await hold.wait()
        return "done"

    first, second, third = (asyncio.create_task(connect()) for _ in range(3))
    await until(lambda: len(pacer) == 2)
    second.cancel()  # it has not noticed yet …
    first.cancel()  # … when its turn comes
    hold.set()
    assert await third == "done"
