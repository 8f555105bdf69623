"""What carries the media, against GStreamer's RTSP server: each transport, the fallback, and a bad network."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest
from real.chaos import ChaosRelay
from real.gstcamera import GstCamera
from real.network import Network
from test_real_client import nal_units

import rtspkit
from rtspkit import CameraOptions
from rtspkit.limits import DEFAULT_LIMITS

pytestmark = pytest.mark.real


async def read(url, options, pictures=75):
    """So many pictures and the sound between them; the reader with its counters."""
    units = []
    async with asyncio.timeout(30), rtspkit.open(url, options=options) as camera:
        async for unit in camera:
            units.append(unit)
            if sum(unit.track.kind == "video" for unit in units) >= pictures:
                return camera, units, camera.stats()
    raise AssertionError("the camera ended")


def assert_whole(units):
    assert not any(unit.damaged for unit in units)
    assert {unit.track.kind for unit in units} == {"video", "audio"}
    for kind, distance in (("video", 3600), ("audio", 1024)):
        pts = [unit.pts for unit in units if unit.track.kind == kind]
        assert all(abs(b - a - distance) <= 2 for a, b in pairwise(pts))


@pytest.mark.parametrize(
    ("offered", "asked", "used"),
    [
        ((), "tcp", "tcp"),
        ((), "udp", "udp"),
        ((), "automatic", "udp"),
        (("tcp",), "automatic", "tcp"),
        (("udp",), "automatic", "udp"),
    ],
)
async def test_each_transport_brings_everything(gst_camera, offered, asked, used):
    camera = gst_camera("h264+aac", transports=offered)
    reader, units, stats = await read(camera.url, CameraOptions(transport=asked))
    assert reader.transport == used
    assert_whole(units)
    assert stats.packets_lost == 0
    await asyncio.to_thread(camera.wait_for, "teardown")


@pytest.mark.parametrize(("offered", "asked"), [(("tcp",), "udp"), (("udp",), "tcp"), (("tcp",), "multicast")])
async def test_a_transport_that_the_camera_does_not_offer_is_refused(gst_camera, offered, asked):
    camera = gst_camera("h264", transports=offered)
    with pytest.raises(rtspkit.ResponseError, match="does not offer"):
        await read(camera.url, CameraOptions(transport=asked))


async def test_multicast():
    with Network() as network, GstCamera("h264+aac", transports=("multicast",), network=network) as camera:
        reader, units, stats = await read(camera.url, CameraOptions(transport="multicast"))
    assert reader.transport == "multicast"
    assert_whole(units)
    assert stats.packets_lost == 0


async def test_sync_samples_of_300_kb_lose_nothing_over_udp(gst_camera):
    camera = gst_camera("h264-noise")
    _, units, stats = await read(camera.url, CameraOptions(transport="udp"), pictures=110)
    assert [len(unit.data) > 300_000 for unit in units if unit.is_sync].count(True) >= 2
    assert not any(unit.damaged for unit in units)
    assert stats.packets_lost == 0
    assert stats.tracks[0].kernel_drops == 0


async def test_udp_that_a_firewall_stops_becomes_tcp(gst_camera):
    camera = gst_camera("h264+aac")
    async with ChaosRelay(camera.port, loss=1.0) as relay:
        limits = replace(DEFAULT_LIMITS, udp_timeout=1.0)
        url = camera.url.replace(str(camera.port), str(relay.port))
        reader, units, _ = await read(url, CameraOptions(limits=limits))
        assert relay.lost
    assert reader.transport == "tcp"
    assert_whole(units)
    assert camera.requests.count("teardown") >= 1  # the first session was given back


async def test_reordered_and_doubled_packets_do_no_harm(gst_camera):
    camera = gst_camera("h264+aac-split")
    async with ChaosRelay(camera.port, reorder=0.2, double=0.2) as relay:
        url = camera.url.replace(str(camera.port), str(relay.port))
        _, units, stats = await read(url, CameraOptions(transport="udp"))
    assert_whole(units)
    assert sum(track.reordered for track in stats.tracks) > 10
    assert sum(track.duplicates for track in stats.tracks) > 10
    assert stats.packets_lost == 0


async def test_what_is_lost_is_counted_and_marked(gst_camera, ffmpeg, tmp_path):
    camera = gst_camera("h264+aac")
    async with ChaosRelay(camera.port, loss=0.05, reorder=0.05) as relay:
        url = camera.url.replace(str(camera.port), str(relay.port))
        _, units, stats = await read(url, CameraOptions(transport="udp"), pictures=150)
        lost = relay.lost
    assert 0 < stats.packets_lost <= lost
    damaged = [unit for unit in units if unit.damaged]
    assert 0 < len(damaged) <= 2 * lost
    # no sync sample that lacks a part is called one: each is followed, up to its last NAL unit, by all it has
    for unit in units:
        if unit.track.kind == "video" and unit.is_sync and not unit.damaged:
            assert [nal[0] & 31 for nal in nal_units(unit.data)].count(5) == 1


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_network_that_goes_silent_is_noticed(gst_camera, transport):
    camera = gst_camera("h264")
    options = CameraOptions(replace(DEFAULT_LIMITS, media_timeout=1.0), transport=transport)
    async with ChaosRelay(camera.port) as relay:

        async def watch():
            async with rtspkit.open(camera.url.replace(str(camera.port), str(relay.port)), options=options) as session:
                async for unit in session:
                    relay.is_deaf = relay.is_deaf or unit.is_sync

        with pytest.raises(rtspkit.TimeoutExceeded, match="no media any more"):
            await asyncio.wait_for(watch(), 20)
