"""Clocks that stand or run at a wrong rate are told from everything else that timestamps do."""

import random
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from fragments import make_run

from rtspkit.media import SAMPLE, Run
from rtspkit.restamp import survey, times_of
from rtspkit.standing import ArrivalClock, BesideClock, UnitClock

RATE = 90_000


def runs(units: Iterable[tuple[int, float]], size: int) -> Iterator[Run]:
    """Runs of so many units, of (pts, arrival in seconds) each."""
    units = list(units)
    for start in range(0, len(units), size):
        part = units[start : start + size]
        samples = b"".join(SAMPLE.pack(pts, round(arrival * 1e9), 1, 0) for pts, arrival in part)
        yield Run(0, samples, b"x" * len(part))


def take(clock: ArrivalClock, units: Iterable[tuple[int, float]], size: int = 5) -> list[int]:
    """The times that come out."""
    given: list[int] = []
    for run in runs(units, size):
        out, times = clock.take(run, survey(run), given[-1] + 3600 if given else None)
        assert times == survey(out)
        given += times_of(out)
    return given


def steady(seconds: float, *, start: float = 0.0, step: int = 3600, unit: float = 0.04) -> list[tuple[int, float]]:
    return [(i * step, 1000 + start + i * unit) for i in range(round(seconds / unit))]


@pytest.mark.parametrize("size", [1, 5, 25])
@pytest.mark.parametrize("step", [0, 36_000, 360])
def test_a_clock_that_stands_or_runs_wrong_is_replaced(size: int, step: int) -> None:
    clock = ArrivalClock(RATE)
    good = steady(2)
    stands = [(good[-1][0] + (i + 1) * step, good[-1][1] + 0.04 * (i + 1)) for i in range(250)]
    times = take(clock, [*good, *stands], size)
    assert clock.is_used
    # within two seconds of when it went wrong, and from then on a unit lasts what it took to come
    late = times[-150:]
    assert all(after - before == pytest.approx(3600, rel=0.01) for before, after in pairwise(late))


def test_what_lone_units_were_taken_to_last_is_not_believed() -> None:
    """Who writes them predicts the next from the last two: a clock that ran ahead would be kept by that."""
    clock = ArrivalClock(RATE)
    given: list[int] = []
    for run in runs(steady(8, step=36_000), 1):
        expected = 2 * given[-1] - given[-2] if len(given) > 1 else None
        given += times_of(clock.take(run, survey(run), expected)[0])
    assert clock.is_used
    late = given[-100:]
    assert all(after - before == pytest.approx(3600, rel=0.01) for before, after in pairwise(late))


def test_it_is_believed_again() -> None:
    clock = ArrivalClock(RATE)
    take(clock, steady(4, step=0))
    assert clock.is_used
    assert not clock.is_good_again
    take(clock, steady(6, start=4))
    assert clock.is_used  # it cannot know where time may start anew
    assert clock.is_good_again
    clock.forget()
    assert not clock.is_used


def test_what_a_clock_stood_still_is_made_up_for() -> None:
    clock = ArrivalClock(RATE)
    good = steady(2)
    times = take(clock, [*good, *((good[-1][0], good[-1][1] + 0.04 * (i + 1)) for i in range(100))])
    assert times[-1] == pytest.approx(good[-1][0] + 4 * RATE, abs=RATE / 2)


@pytest.mark.parametrize("size", [1, 5, 25])
def test_what_else_timestamps_do_is_not_its_business(size: int) -> None:
    usual = steady(10)
    pause = [(pts, arrival + 3 * (pts > 200_000)) for pts, arrival in usual]  # the network stops for 3 s …
    burst = [(pts, max(arrival, 1003.0)) for pts, arrival in usual]  # … or gives three seconds at once
    wild = [(pts + (90_000 * 3600 if i % 40 == 7 else 0), arrival) for i, (pts, arrival) in enumerate(usual)]
    ticks = [(pts, 1000 + (arrival - 1000) // 0.1 * 0.1) for pts, arrival in usual]  # sockets are read so often
    reordered = [(pts + (3600, 7200, -3600, -7200)[i % 4], arrival) for i, (pts, arrival) in enumerate(usual)]
    slow = steady(10, step=45_000, unit=0.5)
    for units in (usual, pause, burst, wild, ticks, reordered, slow):
        clock = ArrivalClock(RATE)
        assert take(clock, units, size) == [pts for pts, _ in units]
        assert not clock.is_used


def test_media_without_arrival_are_not_judged() -> None:
    clock = ArrivalClock(RATE)
    run = make_run(0, [0] * 50, arrival=0.0)
    for _ in range(10):
        assert clock.take(run, survey(run), 7)[0] is run
    assert not clock.is_used


def sound(steps: Iterable[int], size: int = 12, unit: int = 1024) -> list[bool]:
    """Whether units are counted behind each run of so many units, each so many ticks behind the one before."""
    clock = UnitClock(48_000)
    at, times = 0, []
    for step in steps:
        times.append((at, 1000.0))
        at += step
    used = []
    for run in runs(times, size):
        clock.take(run, survey(run), unit)
        used.append(clock.is_used)
    return used


@pytest.mark.parametrize("size", [1, 12, 47])
@pytest.mark.parametrize("step", [0, 102, 1114, 2048, 10_240, -1024])
def test_sound_is_counted_where_its_clock_is_wrong(step: int, size: int) -> None:
    units = 94 + 2 * size + 1  # two seconds, and what is not whole
    assert sound([step] * units, size)[-1]
    assert not sound([step] * units + [1024] * (2 * units + size), size)[-1]


def test_sound_is_not_counted_where_it_is_as_it_may_be() -> None:
    rng = random.Random(1)
    for steps in (
        [1024 + 2 * (number % 2) for number in range(500)],
        [rng.choice((1008, 1056, 960, 1072)) for _ in range(500)],  # whole milliseconds
        [2048 * (number % 2) for number in range(500)],  # every other one has the time of the one before
        [1024 * (20 if number % 10 == 0 else 1) for number in range(500)],  # packets are missing, or nobody speaks
    ):
        assert not any(sound(steps))


def beside(times: Iterable[tuple[float, float]], length: float = 1.0) -> list[bool]:
    """Whether units are counted behind each fragment of `length`; (first timestamp, begin of the pictures), in s."""
    clock = BesideClock(48_000)
    used = []
    for first, video in times:
        clock.take(
            round(first * 48_000), round(video * 48_000), round((video + length) * 48_000), round(length * 48_000)
        )
        used.append(clock.is_used)
    return used


@pytest.mark.parametrize("length", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("factor", [0, 1 / 6, 1 / 3, 0.5, 0.9, 1.1, 90 / 48, 2, 6])
def test_sound_is_counted_where_it_leaves_the_pictures(factor: float, length: float) -> None:
    span = 2 * (0.6 / abs(factor - 1) + length)
    bad = round((span + 2 * length) / length)
    assert beside([(factor * n * length, n * length) for n in range(bad)], length)[-1]
    # good again, from another time on
    good = round(40 / length)
    times = [(factor * min(n, bad) * length + max(0, n - bad) * length, n * length) for n in range(bad + good)]
    assert not beside(times, length)[-1]


def test_sound_that_stays_beside_the_pictures_is_not_counted() -> None:
    rng = random.Random(1)
    for times in (
        *([(n * (1 + drift), n) for n in range(2000)] for drift in (0.002, -0.002, 0.02)),
        [(n + rng.uniform(-0.24, 0.24), n) for n in range(2000)],
        [(n // 2 * 2 + 0.4 * (n % 2), n) for n in range(300)],  # every other time some of it comes late
        [(n + (3600 if n % 40 == 7 else 0), n) for n in range(300)],  # a wild timestamp
        [(n + 3 * (n > 50), n) for n in range(300)],  # a step, such as a clock makes that is set
        [(n - 10 * (n >= 30), n) for n in [*range(20), *range(30, 100)]],  # it stopped, and its clock with it
    ):
        assert not any(beside(times))


@pytest.mark.parametrize("length", [0.2, 1.0])
@pytest.mark.parametrize("pace", [0.5, 0.9, 1.1, 2.0])
def test_sound_of_another_rate_has_another_pace(pace: float, length: float) -> None:
    clock = BesideClock(48_000)
    for n in range(round(30 / length)):
        begin, end = (round(number * length * 48_000) for number in (n, n + 1))
        clock.take(round(begin * pace), begin, end, round((end - begin) * pace))
    assert clock.is_used
    assert clock.pace == pytest.approx(pace, rel=0.01)
    for n in range(round(30 / length), round(90 / length)):
        begin, end = (round(number * length * 48_000) for number in (n, n + 1))
        clock.take(begin, begin, end, end - begin)
    assert not clock.is_used
    assert clock.pace == 1.0


def of_late_pictures(length: float, slope: float, seconds: float, *, caught_up: float = 0.0) -> BesideClock:
    """Of sound that comes in time, beside pictures that get behind it by `slope`, and catch up in the end."""
    clock = BesideClock(48_000)
    behind = arrived = 0.0
    for n in range(round(seconds / length)):
        behind = behind + slope * length if n * length < seconds - caught_up else max(0.0, behind - slope * length)
        clock.take(
            round(arrived * 48_000),
            round(n * length * 48_000),
            round((n + 1) * length * 48_000),
            round(length * 48_000),
            round((1000 + arrived) * 1e9),
        )
        arrived = (n + 1) * length + behind
    return clock


@pytest.mark.parametrize("length", [0.2, 1.0])
@pytest.mark.parametrize("slope", [0.1, 0.5, 1.5])
def test_pictures_that_come_late_are_no_fault_of_the_sound(slope: float, length: float) -> None:
    seconds = 4.5 / slope
    assert not of_late_pictures(length, slope, seconds).is_used
    assert not of_late_pictures(length, slope, 2 * seconds + 20, caught_up=seconds + 20).is_used
    # for ever nobody can wait for them
    assert of_late_pictures(length, slope, 3 * seconds + 4).is_used
