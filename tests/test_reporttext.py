"""How values are put into words; whole reports are compared in test_prober.py."""

from dataclasses import replace
from typing import Any

import pytest

from rtspkit.report import (
    Address,
    Advice,
    Authentication,
    ClockReport,
    Playback,
    ProbeReport,
    Quirk,
    SessionReport,
    Settings,
    Timings,
    TrackReport,
    TransportReport,
)
from rtspkit.reporttext import lines, plain

REPORT = ProbeReport("rtsp://h/", True, None, Address("h", 554, "192.0.2.1"), Timings(connect=0.0123))
TRACK = TrackReport(0, "video", "h264", "avc1.64001F", 90000, sync_units=0)


def row(report: ProbeReport, label: str) -> str:
    """The text beside a label, on one line."""
    found: list[str] = []
    for line in plain(report).splitlines():
        if found and line[:16].strip():
            break
        if found or line[:16].strip() == label:
            found.append(line[16:])
    return " ".join(found).strip()


@pytest.mark.parametrize(
    ("changes", "label", "text"),
    [
        ({}, "address", "h (192.0.2.1), port 554"),
        ({"address": Address("192.0.2.1", 554, "192.0.2.1")}, "address", "192.0.2.1, port 554"),
        ({"address": Address("h", 554, None)}, "address", "h, port 554: no address was found"),
        ({"timings": Timings()}, "address", "h (192.0.2.1), port 554: not reached"),
        ({"timings": Timings(connect=1.26, describe=0.9994)}, "took", "connect 1.3 s, DESCRIBE 999 ms"),
        ({"timings": Timings(first_packet=0.01)}, "after PLAY", "first packet 10 ms"),
        ({"authentication": Authentication("Digest", "SHA-256")}, "sign-in", "Digest SHA-256"),
        ({"session": SessionReport(None, "OPTIONS")}, "session", "ends after 60 s (the camera does not say) without"),
        ({"transport": TransportReport("multicast", "", "as asked for")}, "transport", "multicast: as asked for"),
        ({}, "PLAYS", "the media come; what browsers make of them is not known"),
        ({"playback": Playback("a", False, False, True, "odd")}, "PLAYS", "in Safari only: odd"),
        ({"playback": Playback("a", False, False, False, "odd")}, "PLAYS", "but in no browser: odd"),
        ({"problem": Advice("x", "it is dead", ("a", "b"))}, "DOES NOT PLAY", "it is dead"),
        ({"problem": Advice("x", "it is dead", ("a", "b"))}, "try", "- a - b"),
        ({"quirks": (Quirk("a", "It is odd."), Quirk("b", "Too."))}, "put up with", "- It is odd. - Too."),
    ],
)
def test_rows(changes: dict[str, Any], label: str, text: str) -> None:
    assert row(replace(REPORT, **changes), label).startswith(text)


@pytest.mark.parametrize(
    ("changes", "label", "text"),
    [
        ({}, "track 1", "video, H.264, avc1.64001F"),
        (
            {"profile": "High", "level": "4.1", "width": 1920, "height": 1080},
            "track 1",
            "video, H.264 High level 4.1, 1920x1080, avc1.64001F",
        ),
        ({"kind": "audio", "codec": "aac", "channels": 2}, "track 1", "audio, AAC, stereo, avc1.64001F"),
        (
            {"kind": "audio", "codec": "aac", "channels": 6, "sample_rate": 48000},
            "track 1",
            "audio, AAC, 48000 Hz, 6 ch",
        ),
        (
            {"rate": 12.34, "announced_rate": 29.97, "has_b_pictures": True},
            "rate",
            "12.3 pictures a second come (the camera",
        ),
        ({}, "rate", "too few came to say"),
        ({"bitrate": 999_400.0}, "bitrate", "999 kbit/s"),
        ({"bitrate": 3_140_000.0}, "bitrate", "3.1 Mbit/s"),
        ({"gop_units": (50, 50), "gop_seconds": (2.0, 2.0)}, "sync samples", "every 50 pictures, 2.0 s"),
        ({"gop_units": (49, 50), "gop_seconds": (1.96, 2.0)}, "sync samples", "every 49 to 50 pictures, 2.0 s"),
        ({"gop_units": (25, 50), "gop_seconds": (1.0, 2.0)}, "sync samples", "every 25 to 50 pictures, 1.0 to 2.0 s"),
        ({}, "sync samples", "none came"),
        ({"sync_units": 1}, "sync samples", "only one came"),
        ({"parameter_sets": "in band"}, "SPS and PPS", "in the stream"),
        ({"parameter_sets": "sdp", "codec": "h265"}, "VPS, SPS, PPS", "in the SDP"),
        ({"codec": "h265", "profile": "Main", "level": "4"}, "track 1", "video, H.265 Main level 4"),
        ({"packets": 5, "lost": 1, "reordered": 2, "late": 3}, "packets", "5, 1 lost, 2 out of order, 3 too late"),
        ({}, "packets", "none came"),
        ({"clock": ClockReport(0.5, None, True)}, "clock", "right to a second"),
        ({"clock": ClockReport(-0.1, None, True)}, "clock", "right"),
    ],
)
def test_tracks(changes: dict[str, Any], label: str, text: str) -> None:
    assert row(replace(REPORT, tracks=(replace(TRACK, **changes),)), label).startswith(text)


def test_what_is_noted_is_not_told_twice() -> None:
    report = replace(REPORT, quirks=(Quirk("basic-in-clear", "Q."),), notes=(Advice("basic-in-clear", "n", ("Do.",)),))
    text = plain(report)
    assert "put up with" not in text
    assert "take note       - N. Do." in text


def test_an_odd_url_is_quoted() -> None:
    settings = Settings({}, {}, False, "so")
    report = replace(REPORT, url="rtsp://h/it's: #1", settings=settings)
    assert "    source: 'rtsp://h/it''s: #1'\n    # hlsVariant: lowLatency is not advisable: so" in plain(report)


def test_lines_have_moods() -> None:
    moods = dict(lines(replace(REPORT, problem=Advice("x", "dead"))))
    assert moods["rtsp://h/"] == "title"
    assert moods["DOES NOT PLAY   dead"] == "bad"


def test_a_camera_whose_video_cannot_be_received() -> None:
    sound = TrackReport(0, "audio", "pcma", "fLaC", 8000)
    playback = Playback("fLaC", True, True, True)
    report = replace(REPORT, tracks=(sound,), playback=playback, skipped=("track 1 (M-JPEG, choose H.264 or H.265)",))
    assert row(report, "SOUND ONLY").startswith("the video is left out, and the sound plays in Chrome")
    assert row(replace(report, skipped=("track 1 (VND.ONVIF.METADATA)",)), "PLAYS").startswith("in Chrome")
