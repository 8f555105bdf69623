"""When units of a camera with B-pictures are due, whatever patterns it sends them in."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspkit.reordering import Reordering

RATE = 90_000
UNIT = 3600


def dues(order: list[int], *, unit: int = UNIT) -> list[int]:
    """What is due behind each unit of this order, in units."""
    reordering = Reordering(RATE)
    return [reordering.take(shown * unit) // unit for shown in order]


@pytest.mark.parametrize(
    "group",
    [[1], [2, 1], [3, 1, 2], [4, 2, 1, 3], [8, 4, 2, 1, 3, 6, 5, 7], [3, 2, 1]],
    ids=["P", "one B", "two", "pyramid of three", "of seven", "backwards"],
)
def test_units_are_due_as_they_are_counted(group: list[int]) -> None:
    order = [0, *(shown + len(group) * number for number in range(9) for shown in group)]
    found = dues(order)
    known = 1 + len(group)  # with the second group it is known how long a unit lasts
    assert found[known:] == list(range(known + 1, len(order) + 1))


@given(st.lists(st.sampled_from([[1], [2, 1], [3, 1, 2], [4, 2, 1, 3]]), min_size=3, max_size=30))
def test_groups_may_alternate(groups: list[list[int]]) -> None:
    order, end = [0, 1, 3, 2, 4], 4
    for group in groups:
        order += [end + shown for shown in group]
        end += len(group)
    # an encoder without B-pictures counts as one again after ten seconds
    assert dues(order)[5:] == list(range(6, len(order) + 1))


@given(st.integers(0, 40), st.lists(st.integers(-400, 400), min_size=80, max_size=80))
def test_jitter_and_a_lost_unit_do_not_add_up(lost: int, jitter: list[int]) -> None:
    order = [0, *(shown + 3 * number for number in range(20) for shown in (3, 1, 2))]
    reordering = Reordering(RATE)
    sent = [shown * UNIT + jitter[shown] for shown in order]
    for number, pts in enumerate(sent):
        if number == 8 + lost:
            continue
        due = reordering.take(pts)
        if number > 16 + lost or 5 < number < 8:
            assert abs(due - (number + 1) * UNIT) < 1.5 * UNIT


def test_a_camera_whose_pictures_come_in_order() -> None:
    reordering = Reordering(RATE)
    assert not reordering.is_known
    assert [reordering.take(pts) for pts in (100, 3700, 7300, 20_000)] == [100, 7300, 10_900, 32_700]
    assert reordering.is_known
    assert not reordering.left


def test_a_clock_that_jumps_is_no_reordering() -> None:
    reordering = Reordering(RATE)
    for number in range(10):
        reordering.take(number * UNIT)
    assert reordering.take(-90_000) == -90_000 + UNIT
    assert reordering.take(90_000 * 3600) == 90_000 * 3600 + UNIT
    assert not reordering.left


def test_order_is_forgotten_after_a_while() -> None:
    reordering = Reordering(RATE)
    for shown in (0, 1, 3, 2, 4):
        reordering.take(shown * UNIT)
    assert reordering.left
    for shown in range(5, 300):
        assert reordering.take(shown * UNIT) == (shown + 1) * UNIT
    assert not reordering.left


@given(st.lists(st.integers(-(2**62), 2**62)))
def test_any_times_will_do(times: list[int]) -> None:
    reordering = Reordering(RATE)
    for before, after in pairwise([0, *times]):
        reordering.take(before if after % 7 else after)
        assert reordering.unit >= 0
        if not after % 5:
            reordering.restart()
