"""Where parts end: legal ones of whatever comes, and no unit waits for another camera's pace."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspkit.parts import Cut, Pacer

RATE = 90_000


def pacer(*, setting: float = 0.2, unit: int = 3600) -> Pacer:
    one = Pacer(RATE, setting=round(setting * 1e6))
    one.fix(unit, 0)
    return one


@pytest.mark.parametrize(
    ("setting", "unit", "target"),
    [
        (0.2, 3600, 220_000),  # five units of 40 ms
        (0.2, 3000, 220_000),  # six of 33.3 ms
        (0.2, 7200, 264_000),  # 2.5 units are rounded to 3
        (1.0, 3600, 1_100_000),
        (0.2, 45_000, 550_000),  # two pictures a second: one is the least
        (0.05, 3600, 44_000),
    ],
)
def test_the_target_is_a_whole_number_of_units_and_a_tenth(setting: float, unit: int, target: int) -> None:
    assert pacer(setting=setting, unit=unit).target == target


def test_a_target_that_was_told_before_is_kept() -> None:
    one = Pacer(RATE, setting=200_000, target=333_300)
    one.fix(3600, 0)
    assert one.target == 333_300


def test_usual_parts_are_of_five_units() -> None:
    one = pacer()
    cuts = one.cuts(0, 0, range(3600, 26 * 3600, 3600))
    assert cuts == [Cut(5, (number + 1) * 18_000, True) for number in range(5)]
    assert 0.85 * 19_800 < one.aim(0) < 18_000


def test_too_little_waits() -> None:
    assert pacer().cuts(0, 0, [3600, 7200]) == [Cut(2, 7200, False)]


def test_a_late_unit_is_made_up_for_by_the_parts_that_follow() -> None:
    """Half a second is missing behind the second unit; each part ends where it may, until time is caught up."""
    one = pacer()
    times = [0, 3600, *range(7200 + 45_000, 7200 + 45_000 + 40 * 3600, 3600)]
    cuts = one.cuts(0, 0, [*times[1:], times[-1] + 3600])
    ends = [0, *(cut.end for cut in cuts)]
    assert all(0.85 * 19_800 <= after - before <= 19_800 for before, after in pairwise(ends[:-1]))
    assert cuts[-1].end == times[-1] + 3600
    # what is shown is never late, and after a second no longer behind
    starts = [times[index] for index in accumulate((cut.units for cut in cuts[:-1]), initial=0)]
    lags = [start - end for start, end in zip(starts, ends, strict=False)]
    assert max(lags) < 45_000
    assert lags[-1] == 0


def test_slow_cameras_are_told_from_holes() -> None:
    one = pacer()
    one.note([0, 3600, 7200])
    one.note([7200 + 45_000])
    assert not one.is_suspended
    one.note([7200 + 90_000])
    assert one.is_suspended
    one.note([100_000, 103_600])
    assert one.is_suspended
    one.note([107_200])
    assert not one.is_suspended


def test_a_look_at_the_ends_is_as_good_where_units_are_near() -> None:
    one = pacer()
    assert one.note_near(0, 14_400, 3600)
    assert not one.note_near(14_400 + 45_000, 14_400 + 46_000, 1000)  # far from the last one
    one.note([14_400 + 45_000])
    assert not one.note_near(104_400, 104_400, 0)
    one.note([104_400])
    assert one.is_suspended
    assert not one.note_near(108_000, 108_000, 0)  # the way out is counted unit by unit


@given(
    st.integers(1000, 9000),
    st.lists(st.one_of(st.integers(0, 20_000), st.sampled_from([3600, 3000, 7200])), min_size=1, max_size=200),
    st.sampled_from([0.05, 0.2, 0.5, 1.0]),
)
def test_parts_are_legal_whatever_comes(unit: int, distances: list[int], setting: float) -> None:
    one = pacer(setting=setting, unit=unit)
    assert one.target is not None
    longest, least = one.target * RATE // 1_000_000, -(-one.target * 85 * RATE // 100_000_000)
    successors = list(accumulate(distances))
    cuts = one.cuts(0, 0, successors)
    assert sum(cut.units for cut in cuts) == len(distances)
    assert all(cut.is_end for cut in cuts[:-1])
    ends = [0, *(cut.end for cut in cuts)]
    for cut, (before, after) in zip(cuts, pairwise(ends), strict=True):
        assert cut.units <= after - before <= longest
        assert not cut.is_end or after - before >= least
    # the same units one by one, as they come: the same parts
    begin = position = units = 0
    ended = []
    for successor in successors:
        units += 1
        cut = one.cut(begin, position, units, successor)
        if cut.is_end:
            ended.append(cut)
            begin = position = cut.end
            units = 0
    assert ended == [cut for cut in cuts if cut.is_end]
