import pytest

from rtspkit.control import is_absolute, join_control, resolve_base
from rtspkit.quirks import Quirks

QUERY = "rtsp://cam/cam/realmonitor?channel=1&subtype=0"


@pytest.mark.parametrize(
    ("base", "control", "expected"),
    [
        ("rtsp://cam/a", None, "rtsp://cam/a"),
        ("rtsp://cam/a", "", "rtsp://cam/a"),
        ("rtsp://cam/a", " * ", "rtsp://cam/a"),
        ("rtsp://cam/a", "trackID=1", "rtsp://cam/a/trackID=1"),
        ("rtsp://cam/a/", "trackID=1", "rtsp://cam/a/trackID=1"),
        ("rtsp://cam/a/", "/trackID=1", "rtsp://cam/a/trackID=1"),
        ("rtsp://cam/a", "/trackID=1", "rtsp://cam/a/trackID=1"),
        ("rtsp://cam", "trackID=1", "rtsp://cam/trackID=1"),
        ("rtsp://cam/a", "?x=1", "rtsp://cam/a?x=1"),
        (QUERY, "trackID=1", QUERY + "/trackID=1"),
        (QUERY + "/", "trackID=1", QUERY + "/trackID=1"),
        ("rtsp://cam:8554/a", "rtsp://10.0.0.1/b?c=d", "rtsp://cam:8554/b?c=d"),
        ("rtsp://cam/a", "RTSPS://user:pw@evil:1/b", "rtsp://cam/b"),
        ("rtsp://[::1]:554/a", "rtsp://::1/b", "rtsp://[::1]:554/b"),
        ("rtsp://cam/a", "rtsp://10.0.0.1", "rtsp://cam"),
        ("rtsp://cam/a", "rtsp://rtsp://10.0.0.1/b", "rtsp://cam/b"),
        ("rtsp://cam/a", 'track 1" x\x01ü', "rtsp://cam/a/track%201%22%20x%01%C3%BC"),
    ],
)
def test_join_control(base: str, control: str | None, expected: str) -> None:
    assert join_control(base, control) == expected


@pytest.mark.parametrize(
    ("content_base", "expected"),
    [
        (None, "rtsp://cam:8554/live?x=1"),
        ("  ", "rtsp://cam:8554/live?x=1"),
        ("rtsp://10.0.0.1/other/", "rtsp://cam:8554/other/"),
        ("rtsp://cam:8554/live?x=1/", "rtsp://cam:8554/live?x=1/"),
        ("rtsp://rtsp://10.0.0.1/other/", "rtsp://cam:8554/other/"),
        ("rtsp://user:pw@evil/other/", "rtsp://cam:8554/other/"),
        ("192.168.1.10:554/stream0/", "rtsp://cam:8554/stream0/"),  # Anjvision
        ("rtsp://fe80::1:554/other/", "rtsp://cam:8554/other/"),  # IPv6 without brackets
        ("/other/", "rtsp://cam:8554/other/"),
        ("other/", "rtsp://cam:8554/other/"),
        ("rtsp://10.0.0.1", "rtsp://cam:8554"),
        ("rtsp://10.0.0.1?x=2", "rtsp://cam:8554?x=2"),
    ],
)
def test_resolve_base(content_base: str | None, expected: str) -> None:
    assert resolve_base("rtsp://cam:8554/live?x=1", content_base) == expected


@pytest.mark.parametrize(
    ("content_base", "expected"),
    [
        (None, set()),
        ("rtsp://cam:8554/other/", set()),
        ("rtsp://cam/other/", set()),
        ("rtsp://CAM:1/?x", set()),
        ("rtsp://user:pw@cam/", set()),
        ("rtsp://10.0.0.1:554/", {"foreign-host"}),
        ("rtsp://rtsp://cam/", {"content-base-scheme"}),
        ("10.0.0.1:554/", {"content-base-scheme"}),
        ("other/", {"content-base-scheme"}),
        ("rtsp://fe80::1:554/", {"content-base-address", "foreign-host"}),
        ("rtsp://[fe80::1]:554/", {"foreign-host"}),
    ],
)
def test_odd_bases_are_noted(content_base: str | None, expected: set[str]) -> None:
    quirks = Quirks()
    resolve_base("rtsp://cam:8554/live", content_base, quirks)
    assert set(quirks) == expected


def test_an_ipv6_address_is_the_same_without_brackets() -> None:
    quirks = Quirks()
    assert join_control("rtsp://[fe80::1]/a", "rtsp://FE80:0:0::1/b", quirks) == "rtsp://[fe80::1]/b"
    assert set(quirks) == {"content-base-address"}
    assert join_control("rtsp://cam/a", "rtsp://10.0.0.1/b", quirks) == "rtsp://cam/b"
    assert "foreign-host" in quirks


def test_is_absolute() -> None:
    assert [is_absolute(text) for text in ("rtsp://x", "RTSPS://x", "trackID=1", "*", "", None)] == [
        True, True, False, False, False, False
    ]  # fmt: skip
