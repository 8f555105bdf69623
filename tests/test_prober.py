"""`rtspkit.probe` against cameras that are good, broken and dead: what it says, word for word.

The reports are in ``tests/data/probe``; ``UPDATE_GOLDEN=1 pytest tests/test_prober.py`` writes them anew. Numbers that
depend on the clock and on chance are N there, and the port is PORT.
"""

import asyncio
import json
import os
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from certificates import certificates
from real.gstcamera import GstCamera

import rtspkit
from rtspkit import prober
from rtspkit.errors import LocalProtocolError
from rtspkit.limits import Limits
from rtspkit.options import CameraOptions
from rtspkit.recording import load
from rtspkit.report import ProbeReport
from rtspkit.testing import Basic, Client, Digest, ScriptedCamera, faults

GOLDEN = Path(__file__).with_name("data") / "probe"
QUICK = CameraOptions(limits=Limits(reply_timeout=0.5, connect_timeout=0.5, media_timeout=3.0, udp_timeout=1.5))
#: Rows whose numbers are measured.
MEASURED = ("took", "after PLAY", "  rate", "  bitrate", "  packets")


def is_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8")


def steady(report: ProbeReport) -> ProbeReport:
    """Without the numbers within sentences, which would move the ends of lines."""
    notes = [
        replace(note, text=re.sub(r"\d+(\.\d+)?", "N", note.text)) if note.id == "loss" else note
        for note in report.notes
    ]
    problem = report.problem
    if problem is not None:
        text = re.sub(r"lost after \d+ s", "lost after N s", problem.text).replace(f":{report.address.port}", ":PORT")
        text = re.sub(r"[0-9a-f]{64}", "FINGERPRINT", re.sub(r"port \d{4,}", "port PORT", text))
        tips = [re.sub(r"[0-9a-f]{64}", "FINGERPRINT", tip) for tip in problem.try_next]
        problem = replace(problem, text=text, try_next=tuple(tips))
    return replace(
        report,
        url=report.url.replace(f":{report.address.port}", ":PORT"),
        problem=problem,
        notes=tuple(notes),
    )


def without_numbers(report: ProbeReport) -> str:
    lines = []
    for line in str(steady(report)).splitlines():
        text = re.sub(r"port \d{4,}", "port PORT", line) if line.startswith("address") else line
        if line.startswith(MEASURED):
            text = re.sub(r"N m?s\b", "N s", re.sub(r"\d+(\.\d+)?", "N", text))
        lines.append(text)
    return "\n".join(lines)


def json_without_numbers(report: ProbeReport) -> str:
    found: dict[str, Any] = json.loads(steady(report).to_json())

    def hide(value: Any, *keys: str) -> None:
        for key in keys:
            if value is not None and value[key] is not None:
                value[key] = "N"

    if report.address.port != 554:
        found["address"]["port"] = "PORT"
    hide(found, "seconds")
    hide(found["timings"], *found["timings"])
    for track in found["tracks"]:
        hide(track, "rate", "bitrate", "units", "sync_units", "damaged_units", "jitter")
        hide(track, "packets", "lost", "late", "discarded")
        hide(track["clock"], "offset")
    return json.dumps(found, indent=2)


class OldClock(ScriptedCamera):
    """Its battery is empty: it believes in 1970."""

    def deliver_report(self, client: Client, index: int, packet: bytes) -> None:
        (ntp,) = struct.unpack_from("!Q", packet, 8)
        since_1970 = ((ntp >> 32) - 2_208_988_800) % 86400 + 2_208_988_800
        super().deliver_report(client, index, packet[:8] + struct.pack("!Q", since_1970 << 32) + packet[16:])


def kind(packet: bytes) -> int:
    """The type of the NAL unit that an RTP packet has, or has a part of."""
    return packet[13] & 0x1F if packet[12] & 0x1F == 28 else packet[12] & 0x1F


class NoSync(faults.Fault):
    """Neither IDR pictures nor parameter sets come."""

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        return [packet for packet in packets if track or kind(packet) == 1]


class Lossy(faults.Fault):
    """The fifth picture behind each IDR picture is lost."""

    since_sync = 0

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        if track == 0:
            self.since_sync = 0 if kind(packets[0]) != 1 else self.since_sync + 1
        return [] if track == 0 and self.since_sync == 5 else packets


class NoSlices(faults.Fault):
    """Only packets of a kind that nobody knows."""

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        return [packet[:12] + b"\x3f" + packet[13:] for packet in packets]


def odd(sdp: bytes) -> bytes:
    """No origin and no name, parameter sets only in the stream, sound that cannot be received."""
    lines = [line for line in sdp.split(b"\r\n") if not line.startswith((b"o=", b"s="))]
    text = re.sub(rb";sprop-parameter-sets=[^;\r\n]*", b"", b"\r\n".join(lines))
    return text + b"m=audio 0 RTP/AVP 0\r\na=control:trackID=2\r\n"


class TestGood:
    async def test_report(self, tmp_path: Path) -> None:
        camera = ScriptedCamera(
            faults.Header(name="Server", value="TP-LINK Streaming Media v2015.05.12"),
            credentials=Digest("admin", "secret", algorithm="SHA-256"),
        )
        async with camera:
            report = await rtspkit.probe(camera.url_with_credentials, seconds=2.5, save=tmp_path / "good.rec")
        assert report.plays
        is_golden("good.txt", without_numbers(report))
        is_golden("good.json", json_without_numbers(report))
        assert "secret" not in str(report) + report.to_json() + (tmp_path / "good.rec").read_text()
        assert load(tmp_path / "good.rec").events

        (video, audio) = report.tracks
        assert video.rate == pytest.approx(25, rel=0.2)
        assert audio.rate == pytest.approx(16000 / 1024, rel=0.2)
        assert video.units == pytest.approx(25 * report.seconds, abs=30)
        timings = report.timings
        assert None not in (timings.connect, timings.describe, timings.setup, timings.play)
        assert timings.first_packet is not None
        assert timings.first_sync is not None
        assert 0 <= timings.first_packet <= timings.first_sync < 3
        assert video.clock is not None
        assert abs(video.clock.offset) < 1

    async def test_it_listens_until_it_knows_the_gop(self) -> None:
        async with ScriptedCamera() as camera:
            report = await rtspkit.probe(camera.url, seconds=0.1)
        assert report.tracks[0].gop_units == (25, 25)
        assert report.seconds >= 0.9

    @pytest.mark.parametrize("transport", ["tcp", "udp"])
    async def test_transports(self, transport: Any) -> None:
        async with ScriptedCamera() as camera:
            report = await rtspkit.probe(camera.url, options=replace(QUICK, transport=transport), seconds=1.5)
        assert report.plays
        assert report.transport is not None
        assert (report.transport.name, report.transport.reason) == (transport, "as asked for")
        assert report.settings is not None
        assert report.settings.keys["rtspTransport"] == transport

    async def test_udp_that_does_not_get_through(self) -> None:
        async with ScriptedCamera(faults.NoDatagrams()) as camera:
            report = await rtspkit.probe(camera.url, options=QUICK, seconds=1.5)
        assert report.plays
        assert report.transport is not None
        assert report.transport.name == "tcp"
        assert report.transport.reason == "no media came over UDP within 1.5 s"

    async def test_tls(self) -> None:
        certificate = certificates().own
        async with ScriptedCamera(tls=certificate.server()) as camera:
            options = replace(QUICK, fingerprint=certificate.fingerprint)
            report = await rtspkit.probe(camera.url, options=options, seconds=0.5)
        assert report.plays
        assert report.transport is not None
        assert (report.transport.name, report.transport.tunnel) == ("tcp", "TLS")
        assert report.settings is not None
        assert report.settings.keys["sourceFingerprint"] == certificate.fingerprint
        assert "rtspTransport" not in report.settings.keys

    async def test_redirects_lead_to_the_camera(self) -> None:
        async with ScriptedCamera() as camera, ScriptedCamera(faults.Redirect(location=camera.url)) as first:
            report = await rtspkit.probe(first.url, options=QUICK, seconds=0.5)
        assert report.plays
        assert report.url == camera.url


class TestBroken:
    async def test_report(self) -> None:
        camera = OldClock(
            faults.Describe(odd),
            faults.CSeq(value=""),
            faults.Between(b"\r\n"),
            faults.Flood(channel=9),
            Lossy(),
            credentials=Basic("admin", "secret"),
            transports=("tcp",),
        )
        async with camera:
            report = await rtspkit.probe(camera.url_with_credentials, seconds=4.5)
        assert report.plays
        is_golden("broken.txt", without_numbers(report))
        is_golden("broken.json", json_without_numbers(report))
        assert sum(track.lost for track in report.tracks) > 0

    async def test_a_track_without_media(self) -> None:
        async with ScriptedCamera(faults.Mute(tracks=[1])) as camera:
            report = await rtspkit.probe(camera.url, options=QUICK, seconds=1.5)
        assert report.plays
        assert [note.id for note in report.notes] == ["silent-track"]


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[str]:
    """Something that says this to whoever says anything, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"rtsp://127.0.0.1:{listening.sockets[0].getsockname()[1]}/live"


@pytest.mark.usefixtures("impatient")
class TestDead:
    """Nothing plays; what is said about it, and what there is to try."""

    @pytest.fixture
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(prober, "_SYNC_PATIENCE", 1.0)

    async def check(self, name: str, url: str, options: CameraOptions = QUICK, *, seconds: float = 1.0) -> None:
        report = await rtspkit.probe(url, options=options, seconds=seconds)
        assert not report.plays
        assert report.problem is not None
        assert report.problem.id == name
        assert report.settings is None
        assert len(report.problem.try_next) >= 1
        # whether a sender report comes in so short a time is chance
        report = replace(report, tracks=tuple(replace(track, clock=None) for track in report.tracks))
        is_golden(f"dead-{name}.txt", without_numbers(report))
        is_golden(f"dead-{name}.json", json_without_numbers(report))

    async def test_refused(self) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            await self.check("refused", f"rtsp://127.0.0.1:{sock.getsockname()[1]}/live")

    async def test_unreachable(self) -> None:
        with faults.unreachable() as url:
            await self.check("unreachable", url)

    async def test_unknown_name(self) -> None:
        await self.check("name-unknown", "rtsp://admin:secret@kamera.invalid/live")

    async def test_silent(self) -> None:
        async with ScriptedCamera(faults.NeverAnswer()) as camera:
            await self.check("silent", camera.url)

    async def test_wrong_password(self) -> None:
        async with ScriptedCamera(credentials=Digest("admin", "secret")) as camera:
            await self.check("password-wrong", camera.url_with_credentials.replace("secret", "sesame"))

    async def test_no_password(self) -> None:
        async with ScriptedCamera(credentials=Basic("admin", "secret")) as camera:
            await self.check("password-missing", camera.url)

    async def test_may_not_watch(self) -> None:
        async with ScriptedCamera(faults.Refuse("DESCRIBE", status=403, reason="Forbidden")) as camera:
            await self.check("forbidden", camera.url)

    async def test_http(self) -> None:
        async with server(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n") as url:
            await self.check("http", url)

    async def test_tls(self) -> None:
        async with server(b"\x15\x03\x03\x00\x02\x02\x46") as url:
            await self.check("tls-needed", url)

    async def test_no_tls(self) -> None:
        async with ScriptedCamera() as camera:
            await self.check("not-tls", camera.url.replace("rtsp://", "rtsps://"))

    async def test_a_certificate_of_its_own(self) -> None:
        async with ScriptedCamera(tls=certificates().own.server()) as camera:
            await self.check("certificate", camera.url)

    async def test_no_tunnel(self) -> None:
        async with ScriptedCamera() as camera:
            await self.check("tunnel", camera.url.replace("rtsp://", "rtsp+http://"))

    async def test_another_protocol(self) -> None:
        async with server(b"SSH-2.0-dropbear\r\n" * 8000) as url:
            await self.check("limits", url)

    async def test_hanging_up(self) -> None:
        async with server(b"") as url:
            await self.check("hangs-up", url)

    async def test_path(self) -> None:
        async with ScriptedCamera(
            faults.Header(name="Server", value="Hipcam RealServer/V1.0"),
            faults.Refuse("DESCRIBE", status=404, reason="Stream Not Found"),
        ) as camera:
            await self.check("path", camera.url)

    async def test_busy(self) -> None:
        async with ScriptedCamera(faults.Slots(0)) as camera:
            await self.check("busy", camera.url)

    async def test_trouble_of_its_own(self) -> None:
        async with ScriptedCamera(faults.Refuse("PLAY", status=500, reason="Internal Server Error")) as camera:
            await self.check("refuses", camera.url)

    async def test_codecs(self) -> None:
        sdp = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\nm=audio 0 RTP/AVP 4\r\n"
        async with ScriptedCamera(faults.Describe(sdp)) as camera:
            await self.check("codecs", camera.url)

    async def test_no_media(self) -> None:
        async with ScriptedCamera(faults.Mute(), transports=("tcp",)) as camera:
            await self.check("no-media", camera.url)

    async def test_udp_that_is_blocked(self) -> None:
        async with ScriptedCamera(faults.NoDatagrams()) as camera:
            await self.check("udp-blocked", camera.url, replace(QUICK, transport="udp"))

    async def test_no_sync_sample(self) -> None:
        async with ScriptedCamera(NoSync()) as camera:
            await self.check("no-sync", camera.url, seconds=3.0)

    async def test_no_sync_sample_and_no_sound(self) -> None:
        async with ScriptedCamera(NoSync(), media=_without_sound()) as camera:
            report = await rtspkit.probe(camera.url, options=QUICK, seconds=2.5)
        assert report.problem is not None
        assert report.problem.id == "no-sync"

    async def test_nothing_can_be_made_of_it(self) -> None:
        async with ScriptedCamera(NoSlices(), media=_without_sound()) as camera:
            await self.check("no-units", camera.url)

    async def test_lost(self) -> None:
        async with ScriptedCamera(faults.HangUp(after=30)) as camera:
            await self.check("lost", camera.url, seconds=5.0)


def _without_sound() -> Any:
    from rtspkit.testing import Clip, clip

    return Clip(clip().tracks[:1])


async def test_no_url() -> None:
    with pytest.raises(LocalProtocolError, match="begins with"):
        await rtspkit.probe("http://camera/")


async def test_a_recording_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await rtspkit.probe("rtsp://127.0.0.1:1/", save=tmp_path / "none" / "x.rec")


@pytest.mark.real
async def test_a_camera_of_gstreamers(gst_camera: Callable[..., GstCamera]) -> None:
    camera = gst_camera("h264-bframes", auth="digest")
    report = await rtspkit.probe(camera.url, seconds=4)
    assert report.plays, report
    assert report.server is not None
    assert "GStreamer" in report.server
    (video,) = report.tracks
    assert (video.width, video.height, video.has_b_pictures) == (640, 360, True)
    assert video.gop_units == (25, 25)
    assert "b-pictures" in [note.id for note in report.notes]
    assert report.authentication is not None
    assert report.authentication.scheme == "Digest"
