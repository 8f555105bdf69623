"""Dates that follow media time, and a clock no faster than it may be believed."""

from hypothesis import given
from hypothesis import strategies as st

from rtspkit.dates import CameraClock, Dates, arrived

RATE = 90_000
SECOND = 1_000_000


@given(
    st.lists(st.tuples(st.integers(0, 20 * RATE), st.integers(-(10**13), 10**13), st.booleans()), min_size=1),
)
def test_dates_of_one_clock_never_go_back(steps: list[tuple[int, int, bool]]) -> None:
    dates = Dates(RATE)
    time, before = 0, None
    for ticks, measured, forget in steps:
        if forget:
            dates.forget()
        date = dates.at(time := time + ticks, measured, is_camera=False)
        if before is not None:
            elapsed = ticks * SECOND // RATE
            assert date >= before + elapsed - elapsed * 500 // SECOND - 2
            if not forget:
                assert abs(date - before - elapsed) <= elapsed * 500 // SECOND + 2
        before = date


def test_a_step_of_the_clock_is_not_followed_until_a_discontinuity() -> None:
    dates = Dates(RATE)
    assert dates.at(0, 1000 * SECOND, is_camera=False) == 1000 * SECOND
    assert dates.at(4 * RATE, 5000 * SECOND, is_camera=False) == 1004 * SECOND + 2000
    dates.forget()
    assert dates.at(8 * RATE, 5004 * SECOND, is_camera=False) == 5004 * SECOND


def test_the_cameras_clock_takes_over_once() -> None:
    dates = Dates(RATE)
    dates.at(0, 1000 * SECOND, is_camera=False)
    assert dates.at(4 * RATE, 900 * SECOND, is_camera=True) == 900 * SECOND
    # without a report for a while: media time goes on, the host's clock has no say
    assert dates.at(8 * RATE, 1008 * SECOND, is_camera=False) == 904 * SECOND
    assert dates.at(12 * RATE, 908 * SECOND, is_camera=True) == 908 * SECOND


def test_a_cameras_clock_that_is_set_is_followed() -> None:
    dates = Dates(RATE)
    assert dates.at(0, 1000 * SECOND, is_camera=True) == 1000 * SECOND
    assert dates.at(4 * RATE, 1005 * SECOND, is_camera=True) == 1004 * SECOND + 2000
    assert dates.at(8 * RATE, 500 * SECOND, is_camera=True) == 500 * SECOND
    assert dates.at(12 * RATE, 504 * SECOND, is_camera=True) == 504 * SECOND


def test_a_cameras_clock_is_remembered_until_it_tells_its_time_again() -> None:
    clock = CameraClock(is_wanted=True)
    assert clock.read(1000 * SECOND, None) == (1000 * SECOND, False)
    assert clock.read(1004 * SECOND, 905 * SECOND) == (905 * SECOND, True)
    assert clock.read(1008 * SECOND, None) == (909 * SECOND, True)
    assert clock.read(1012 * SECOND, 12 * SECOND + 86_400 * 365 * SECOND) == (1012 * SECOND, False)


def test_when_media_have_come() -> None:
    assert arrived(99.5, length=2.0, now=100.0, wall=5000.0) == 4999_500_000
    for unknown in (0.0, 101.0, 20.0):
        assert arrived(unknown, length=2.0, now=100.0, wall=5000.0) == 4998 * SECOND
