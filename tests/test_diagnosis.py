"""What is said of a camera that plays: what plays it, what is worth knowing, what suits it."""

import dataclasses
from typing import Any

import pytest

from rtspkit.diagnosis import no_connection, notes, playback, refusal, settings
from rtspkit.errors import (
    AuthenticationError,
    CertificateError,
    ConnectionLost,
    RemoteProtocolError,
    ResponseError,
    RtspkitError,
    TimeoutExceeded,
    UnsupportedError,
)
from rtspkit.findings import Findings
from rtspkit.report import Authentication, ClockReport, TrackReport, TransportReport
from rtspkit.server.config import load_text_config
from rtspkit.url import parse_url

TCP = TransportReport("tcp", "", "")
UDP = TransportReport("udp", "", "")


def video(**changes: Any) -> TrackReport:
    fields: dict[str, Any] = {
        "codec_string": "avc1.64001F",
        "profile": "High",
        "rate": 25.0,
        "announced_rate": 25.0,
        "units": 100,
        "packets": 100,
        "gop_units": (50, 50),
        "gop_seconds": (2.0, 2.0),
        **changes,
    }
    return TrackReport(0, "video", "h264", clock_rate=90000, **fields)


def audio(**changes: Any) -> TrackReport:
    fields: dict[str, Any] = {"codec_string": "mp4a.40.2", "profile": "AAC-LC", "units": 100, "packets": 100, **changes}
    return TrackReport(1, "audio", "aac", clock_rate=48000, **fields)


class TestNoConnection:
    @pytest.mark.parametrize(
        ("url", "error", "name"),
        [
            ("rtsp://h/", TimeoutExceeded("no answer"), "unreachable"),
            ("rtsp://h/", ConnectionLost("whatever"), "unreachable"),
            ("rtsps://h/", ConnectionLost("h:322 does not speak TLS"), "not-tls"),
            ("rtsps://h/", CertificateError("not to be trusted", fingerprint="ab" * 32), "certificate"),
            ("rtsp+http://h/", ConnectionLost("hangs up"), "tunnel"),
        ],
    )
    def test_what_it_is_called(self, url: str, error: RtspkitError, name: str) -> None:
        advice = no_connection(parse_url(url), error)
        assert advice.id == name
        assert advice.try_next

    def test_the_port_that_is_usual_is_another_one(self) -> None:
        error = ConnectionLost("refused")
        error.errno = 111
        for url, usual in (("rtsp://h:81/", "554 is usual"), ("rtsp://h/", "8554 is usual"), ("rtsps://h:1/", "322")):
            assert usual in no_connection(parse_url(url), error).try_next[0]

    def test_a_fingerprint_can_be_copied(self) -> None:
        error = CertificateError("x", fingerprint="ab" * 32)
        assert f"--fingerprint {'ab' * 32}" in no_connection(parse_url("rtsps://h/"), error).try_next[0]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (AuthenticationError("x", status=403), "forbidden"),
        (AuthenticationError("wants a kind of authentication that is not known here", status=401), "authentication"),
        (ResponseError("x", status=503), "busy"),
        (ResponseError("x", status=461), "transport"),
        (ResponseError("x", status=302), "redirect"),
        (ResponseError("x", status=551), "refuses"),
        (ResponseError("x", status=405), "refuses"),
        (RemoteProtocolError("odd", offset=7, head=b"abc"), "tunnel"),
        (UnsupportedError("H265"), "codecs"),
        (TimeoutExceeded("x"), "silent"),
        (ConnectionLost("x"), "hangs-up"),
    ],
)
def test_refusals(error: RtspkitError, name: str) -> None:
    advice = refusal(parse_url("rtsp://u:p@h/"), error, Findings(0))
    assert advice.id == name
    assert advice.try_next


class TestPlayback:
    def test_all_browsers(self) -> None:
        found = playback((video(), audio()))
        assert found is not None
        assert (found.codecs, found.chrome, found.firefox, found.safari) == ("avc1.64001F,mp4a.40.2", True, True, True)

    def test_none(self) -> None:
        found = playback((video(profile="High 4:4:4 Predictive"),))
        assert found is not None
        assert (found.chrome, found.firefox, found.safari) == (False, False, False)
        assert "High 4:4:4 Predictive" in found.reason

    def test_safari_only(self) -> None:
        found = playback((video(), audio(profile="AAC-ELD")))
        assert found is not None
        assert (found.chrome, found.firefox, found.safari) == (False, False, True)

    @pytest.mark.parametrize(("codec", "string"), [("pcma", "fLaC"), ("opus", "opus")])
    def test_other_sound(self, codec: str, string: str) -> None:
        track = dataclasses.replace(audio(codec_string=string, profile="x"), codec=codec)
        found = playback((video(), track))
        assert found is not None
        assert (found.codecs, found.chrome, found.firefox) == (f"avc1.64001F,{string}", True, True)

    def test_sound_that_hls_leaves_out(self) -> None:
        track = dataclasses.replace(audio(codec_string=None, profile="G.722"), codec="g722")
        found = playback((video(), track))
        assert found is not None
        assert (found.codecs, found.chrome) == ("avc1.64001F", True)
        (note,) = notes((video(), track), Authentication("Digest", "MD5"), ())
        assert (note.id, note.text) == ("not-carried", "HLS leaves out G.722, for no browser plays it")
        alone = playback((track,))
        assert alone is not None
        assert (alone.chrome, alone.safari) == (False, False)
        assert "G.722" in alone.reason

    @pytest.mark.parametrize(("profile", "safari"), [("Main", True), ("Main 10", True), ("High Throughput", False)])
    def test_h265(self, profile: str, safari: bool) -> None:
        track = dataclasses.replace(video(codec_string="hvc1.1.6.L120.90", profile=profile), codec="h265")
        found = playback((track, audio()))
        assert found is not None
        assert found.codecs == "hvc1.1.6.L120.90,mp4a.40.2"
        assert (found.chrome, found.firefox, found.safari) == (False, False, safari)
        assert ("H.264 for all browsers" if safari else f"no browser plays H.265 {profile}") in found.reason

    def test_not_known(self) -> None:
        assert playback((video(codec_string=None),)) is None
        assert playback(()) is None


class TestNotes:
    @pytest.mark.parametrize(
        ("track", "name", "text"),
        [
            (video(gop_seconds=(1.0, 12.04)), "long-gop", "up to 12.0 s apart"),
            (video(rate=12.5), "rate", "12.5 pictures a second come, where 25 are announced"),
            (video(has_b_pictures=True), "b-pictures", "delay"),
            (video(kernel_drops=7), "receive-buffer", "7 datagrams"),
            (video(lost=25, packets=75), "loss", "25 of the video's (25.0%)"),
            (audio(units=0), "silent-track", "the audio is announced"),
            (video(clock=ClockReport(-180.0, None, False)), "clock", "3 minutes behind"),
            (video(clock=ClockReport(3.0 * 365.25 * 86400, None, False)), "clock", "3 years ahead"),
            (video(clock=ClockReport(2.0, None, False)), "clock", "2.0 seconds ahead"),
        ],
    )
    def test_one(self, track: TrackReport, name: str, text: str) -> None:
        tracks = (track,) if track.kind == "video" else (video(), track)
        (note,) = notes(tracks, Authentication("Digest", "MD5"), ())
        assert note.id == name
        assert text in note.text

    def test_nothing_to_say(self) -> None:
        clock = ClockReport(0.1, None, True)
        assert notes((video(clock=clock, rate=23.0), audio(clock=clock)), Authentication("none"), ()) == ()

    def test_several(self) -> None:
        tracks = (
            video(lost=1, clock=ClockReport(9.0, None, False)),
            audio(lost=1, clock=ClockReport(9.0, None, False)),
        )
        found = notes(
            tracks,
            Authentication("Basic", in_clear=True),
            ("track 3 (G723, choose AAC, Opus or G.711)", "track 4 (X)", "track 5 (PCMU, back channel)"),
        )
        assert [note.id for note in found] == ["basic-in-clear", "skipped", "loss", "clock"]
        assert found[1].text == "left out: track 3 (G723, choose AAC, Opus or G.711)"


class TestSettings:
    @pytest.mark.parametrize(
        ("gop", "segment"),
        [
            (1.0, "2s"),
            (2.0, "2s"),
            (1.998, "2s"),
            (0.96, "2880ms"),
            (2.56, "2560ms"),
            (0.5, "2s"),
            (1.6, "3200ms"),
            (4.0, "4s"),
            (10.0, "10s"),
            (0.04, "2s"),
        ],
    )
    def test_segments_are_whole_gops(self, gop: float, segment: str) -> None:
        found = settings(UDP, (video(gop_seconds=(gop, gop)),), chosen=False)
        assert found is not None
        assert found.keys == {"hlsSegmentDuration": segment}

    @pytest.mark.parametrize(
        ("transport", "chosen", "key"),
        [
            (UDP, False, None),
            (TCP, False, "tcp"),
            (TransportReport("tcp", "TLS", ""), False, None),
            (UDP, True, "udp"),
            (TransportReport("multicast", "", ""), True, "multicast"),
        ],
    )
    def test_transport(self, transport: TransportReport, chosen: bool, key: str | None) -> None:
        found = settings(transport, (video(),), chosen=chosen)
        assert found is not None
        assert found.keys.get("rtspTransport") == key

    @pytest.mark.parametrize(
        ("changes", "advisable"),
        [
            ({}, True),
            ({"gop_seconds": (10.0, 10.0)}, False),
            ({"gop_seconds": None}, False),
            ({"lost": 3}, False),
        ],
    )
    def test_low_latency(self, changes: dict[str, Any], advisable: bool) -> None:
        found = settings(UDP, (video(**changes),), chosen=False)
        assert found is not None
        assert found.low_latency is advisable

    def test_a_good_clock(self) -> None:
        found = settings(UDP, (video(clock=ClockReport(0.1, None, True)),), chosen=False)
        assert found is not None
        assert found.keys["useAbsoluteTimestamp"] == "yes"

    def test_the_gateway_takes_them(self) -> None:
        found = settings(TCP, (video(clock=ClockReport(0.1, None, True)),), chosen=False)
        assert found is not None
        lines = "".join(f"    {key}: {value}\n" for key, value in found.keys.items())
        config = load_text_config(f"paths:\n  camera:\n    source: rtsp://h/\n{lines}".encode(), "test")
        assert config.paths["camera"].hls_segment_duration == 2.0
