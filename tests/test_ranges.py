import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspkit.ranges import Instant, MediaRange, parse_range


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("npt=0-", MediaRange("npt", Instant(0), None)),
        ("npt=now-", MediaRange("npt", None, None)),
        ("npt=-20", MediaRange("npt", None, Instant(20_000_000_000))),
        ("NPT:1.5-0:01:02.25", MediaRange("npt", Instant(1_500_000_000), Instant(62_250_000_000))),
        (
            "smpte-25=1:00:00:24.99-",
            MediaRange("smpte", Instant(3600_000_000_000, frame=24, subframe=99), None),
        ),
        (
            "clock=19700101T000001.5Z-19700101T000003Z;time=19700101T000000Z",
            MediaRange("clock", Instant(1_500_000_000), Instant(3_000_000_000), time=0),
        ),
    ],
)
def test_ranges(text: str, expected: MediaRange) -> None:
    assert parse_range(text) == expected


@pytest.mark.parametrize(
    "text", ["npt=2.0-2.0", "npt=10-2", "npt=-", "npt=5", "bytes=0-5", "npt=a-", "clock=2020-", ""]
)
def test_what_makes_no_sense_is_none(text: str) -> None:
    assert parse_range(text) is None


def test_what_is_live_and_how_long_the_rest_is() -> None:
    live, file = parse_range("npt=0-"), parse_range("npt=1-33.5")
    assert live is not None
    assert file is not None
    assert (live.is_live, live.duration, file.is_live, file.duration) == (True, None, False, 32.5)


@given(st.text("nptsmclock=:-;.0123456789TZ ", max_size=60) | st.text(max_size=40))
def test_anything_can_be_read(text: str) -> None:
    found = parse_range(text)
    assert found is None or found.end is None or found.start is None or found.end > found.start
