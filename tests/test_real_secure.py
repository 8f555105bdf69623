"""Cameras over TLS and through HTTP: GStreamer's RTSP server (and MediaMTX where it is given), the gateway, ffmpeg."""

import asyncio
from pathlib import Path

import httpx
import pytest
from certificates import Certificate, certificates
from real import decoders
from real.servers import MediaMTX

import rtspkit
from rtspkit.testing import ScriptedCamera

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("ffmpeg")]

QUICK = {"hlsSegmentDuration": "1s"}

#: Whether it is over TLS, whether in a tunnel, and what the camera asks for.
WAYS = [(True, False, "digest"), (False, True, "digest"), (True, True, "basic")]


def trusting(certificate: Certificate) -> dict[str, str]:
    return {"pathDefaults": f"{{sourceFingerprint: '{certificate.fingerprint}'}}"}


@pytest.mark.parametrize(("secure", "tunnel", "auth"), WAYS)
def test_through_the_gateway(gst_camera, gateway, secure, tunnel, auth):
    certificate = certificates().own
    camera = gst_camera("h264+aac", auth=auth, tls=certificate.path if secure else None, tunnel=tunnel)
    server = gateway(camera.url, **trusting(certificate), **QUICK)
    decoded = decoders.decode(server.playlist, 4)
    assert not decoded.errors
    assert decoded.frames["video"] >= 75
    assert decoded.frames["audio"] >= 100
    server.wait_for(r"is reading from path 'cam_2', 2 tracks with TCP")
    server.terminate()
    camera.wait_for("teardown")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_in_a_browser(gst_camera, gateway, player, way):
    certificate = certificates().own
    secure, tunnel, auth = way
    camera = gst_camera("h264+aac", auth=auth, tls=certificate.path if secure else None, tunnel=tunnel)
    server = gateway(camera.url, **trusting(certificate), **QUICK)
    player.open(server.page)
    started = player.plays(timeout=30)
    player.wait(5)
    series = player.series(since=started + 1)
    assert series[-1].pictures - series[0].pictures >= 75, player.story()
    assert not player.events("error")


@pytest.mark.parametrize(("secure", "tunnel", "auth"), WAYS)
def test_ffmpeg_reads_the_same_camera(gst_camera, secure, tunnel, auth):
    """What is put before the gateway is a camera that another reader understands too."""
    camera = gst_camera("h264", auth=auth, tls=certificates().own.path if secure else None, tunnel=tunnel)
    assert decoders.streams(camera.url)[0]["codec_name"] == "h264"


def test_another_certificate_is_told_of(gst_camera, gateway):
    certificate = certificates().own
    camera = gst_camera("h264", tls=certificate.path)
    server = gateway(camera.url, **trusting(certificates().good), **QUICK)
    reply = httpx.get(server.playlist, timeout=15)
    assert reply.status_code == 404
    assert f"sourceFingerprint: {certificate.fingerprint}" in reply.text
    assert not camera.named("options")


@pytest.mark.parametrize("scheme", ["rtsps", "rtsp+http", "rtsps+http"])
async def test_mediamtx(tmp_path: Path, scheme: str) -> None:
    certificate = certificates().own if scheme.startswith("rtsps") else None
    async with ScriptedCamera() as camera:
        with MediaMTX(tmp_path, camera.url, transports=("tcp",), certificate=certificate) as server:
            server.scheme = scheme
            await asyncio.to_thread(server.wait_for, "stream is available and online")
            options = rtspkit.CameraOptions(fingerprint=certificate and certificate.fingerprint)
            session = await rtspkit.connect(server.url, options=options)
            count = 0
            async with asyncio.timeout(20):
                async for _ in session:
                    count += 1
                    if count == 50:
                        break
            # far beyond the length that the POST has announced
            for number in range(200):
                session._send(b"OPTIONS * RTSP/1.0\r\nCSeq: %d\r\nX: %b\r\n\r\n" % (9000 + number, b"x" * 500))
                await asyncio.sleep(0.005)
            assert session._link is not None
            assert session._link.lost is None
            await session.close()
