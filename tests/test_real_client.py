"""`rtspkit.open` against GStreamer's RTSP server: tracks, access units, times, credentials."""

import asyncio
import subprocess
from bisect import bisect
from itertools import pairwise

import pytest
from real.gstcamera import PASSWORD
from real.pipelines import VARIANTS

import rtspkit

pytestmark = pytest.mark.real

SPS, PPS, AUD, IDR = 7, 8, 9, 5


async def read(url, seconds):
    """The camera's tracks, and the units of so many seconds."""
    units = []
    async with rtspkit.open(url) as camera:
        tracks = camera.tracks
        end = asyncio.get_running_loop().time() + seconds
        async with asyncio.timeout(seconds + 10):
            async for unit in camera:
                units.append(unit)
                if unit.arrival and unit.arrival > end:
                    break
    return tracks, units


def nal_units(data):
    """The NAL units of an AVCC access unit."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        assert 0 < size <= len(data) - at - 4
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in {"h264-small", "h264-noise"}])
async def test_access_units(gst_camera, ffmpeg, variant, tmp_path):
    camera = gst_camera(variant)
    expected = camera.variant
    tracks, units = await read(camera.url, 5)
    assert [track.codec for track in tracks] == (["h264", "aac"] if expected.audio else ["h264"])
    assert [track.clock_rate for track in tracks] == ([90000, expected.sample_rate] if expected.audio else [90000])
    assert not any(unit.damaged for unit in units)

    pictures = [unit for unit in units if unit.track.kind == "video"]
    assert len(pictures) >= 3 * 25
    # the end may lack the B pictures that come before the last ones; GStreamer rounds its nanoseconds
    pts = sorted(unit.pts for unit in pictures)[: -4 if "bframes" in variant else None]
    assert all(abs(b - a - 3600) <= 2 for a, b in pairwise(pts))
    if "bframes" not in variant:
        assert pts == [unit.pts for unit in pictures]
    sync = [index for index, unit in enumerate(pictures) if unit.is_sync]
    assert sync[0] < expected.gop
    assert {b - a for a, b in pairwise(sync)} <= {expected.gop}
    for unit in pictures:
        kinds = [nal[0] & 31 for nal in nal_units(unit.data)]
        assert not {SPS, PPS, AUD} & set(kinds)
        assert (IDR in kinds) == unit.is_sync
        assert kinds.count(1) + kinds.count(IDR) == (4 if "slices=4" in expected.video else 1)

    if expected.audio:
        sound = [unit for unit in units if unit.track.kind == "audio"]
        assert all(unit.is_sync for unit in sound)
        assert {b.pts - a.pts for a, b in pairwise(sound)} == {1024}
        # what arrives together was taken together
        arrivals = [unit.arrival for unit in sound]
        apart = []
        for unit in pictures[25:]:
            near = sound[min(bisect(arrivals, unit.arrival), len(sound) - 1)]
            apart.append(near.pts / expected.sample_rate - unit.pts / 90000)
        assert abs(sorted(apart)[len(apart) // 2]) < 0.1

    # and a decoder takes it
    parameters = pictures[sync[0]].track.parameters
    stream = tmp_path / "stream.h264"
    with stream.open("wb") as file:
        for nal in (
            parameters.sps,
            *parameters.pps,
            *(n for unit in pictures[sync[0] :] for n in nal_units(unit.data)),
        ):
            file.write(b"\0\0\0\1" + nal)
    command = ["ffmpeg", "-v", "warning", "-xerror", "-err_detect", "explode", "-i", str(stream), "-f", "null", "-"]
    decoded = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert decoded.returncode == 0
    assert not decoded.stderr, decoded.stderr


async def test_wall_clock_comes_from_sender_reports(gst_camera):
    """GStreamer sends a sender report about every five seconds; its clock is this machine's."""
    import time

    _, units = await read(gst_camera("h264+aac").url, 9)
    known = [unit for unit in units if unit.wall_clock is not None]
    assert known, "no unit has the camera's time"
    offset = time.time() - time.monotonic()
    assert abs(known[-1].wall_clock - (known[-1].arrival + offset)) < 1.0


@pytest.mark.parametrize("auth", ["none", "basic", "digest"])
async def test_credentials(gst_camera, auth):
    camera = gst_camera("h264", auth=auth)
    _, units = await read(camera.url, 1)
    assert units
    await asyncio.to_thread(camera.wait_for, "teardown")


@pytest.mark.parametrize("auth", ["basic", "digest"])
@pytest.mark.parametrize("login", ["view%20er:not-the-secret@", "other:not-the-secret@", ""])
async def test_wrong_credentials(gst_camera, auth, login):
    camera = gst_camera("h264", auth=auth)
    with pytest.raises(rtspkit.AuthenticationError) as caught:
        await read(f"rtsp://{login}127.0.0.1:{camera.port}{camera.path}", 1)
    said = f"{caught.value} {caught.value!r}"
    assert "not-the-secret" not in said
    assert PASSWORD not in said
    assert "\n" not in str(caught.value)
    assert camera.requests.count("describe") <= 2


async def test_no_such_stream(gst_camera):
    camera = gst_camera("h264")
    with pytest.raises(rtspkit.ResponseError) as caught:
        await read(f"rtsp://127.0.0.1:{camera.port}/other", 1)
    assert caught.value.status == 404


async def test_the_camera_is_unplugged(gst_camera):
    camera = gst_camera("h264")
    async with rtspkit.open(camera.url) as session:
        async for _ in session:
            break
        await asyncio.to_thread(camera.stop)
        with pytest.raises(rtspkit.ConnectionLost):
            _ = [unit async for unit in session]


async def test_nobody_there(gst_camera):
    camera = gst_camera("h264")
    camera.stop()
    with pytest.raises(rtspkit.ConnectionLost):
        await read(camera.url, 1)
