"""A camera behind a bad network, over UDP through the gateway: what is lost, late, doubled, stopped or silent."""

import asyncio
import subprocess
from collections import Counter
from contextlib import asynccontextmanager
from urllib.parse import urljoin

import httpx
import pytest
from real import decoders
from real.chaos import ChaosRelay
from real.playlists import read_media
from real.stage import Follower

pytestmark = [pytest.mark.real, pytest.mark.soak, pytest.mark.usefixtures("ffmpeg")]

#: Readers are not counted, so that the rules for caches hold, which the probe looks after.
QUICK = {"hlsSegmentDuration": "1s", "rtspTransport": "automatic", "maxReaders": "0", "sourceOnDemand": "no"}


@pytest.fixture
def behind(gst_camera, gateway):
    """`behind(variant, vice=…)`: the relay, and a gateway that reaches its camera through it and is live."""

    @asynccontextmanager
    async def make(variant, settings=QUICK, **vices):
        camera = gst_camera(variant)
        async with ChaosRelay(camera.port, **vices) as relay:
            server = gateway(camera.url.replace(str(camera.port), str(relay.port)), **settings)
            await asyncio.to_thread(server.await_state, "live")
            yield relay, server
            await asyncio.to_thread(server.terminate)  # while the relay can carry the TEARDOWN
            await asyncio.to_thread(camera.wait_for, "teardown")

    return make


def counters(server):
    """What the API tells of each track, and both together."""
    video, audio = server.path()["health"]["tracks"]
    numbers = ("lost", "late", "reordered", "duplicates", "damagedUnits")
    return Counter({name: video[name] + audio[name] for name in numbers})


def first_pictures(probe):
    """What ffmpeg makes of the first picture of listed segments that begin with a sync sample: its count and words."""
    said = []
    for segment in read_media(httpx.get(probe.playlist_url).text).segments:
        if not probe.samples[segment.msn][1][0].is_sync:
            continue
        media = b"".join(httpx.get(urljoin(probe.playlist_url, uri)).content for uri in (segment.init, segment.uri))
        command = ["ffprobe", "-v", "warning", "-select_streams", "v", "-read_intervals", "%+#1", "-show_frames", "-"]
        done = subprocess.run(command, input=media, capture_output=True, timeout=30, check=False)
        said.append((done.stdout.count(b"[FRAME]"), done.stderr))
    return said


@pytest.mark.slow
async def test_a_twentieth_of_the_packets_is_lost(behind):
    """No segment, no second is missing for it; what is damaged is counted, and nobody is told to begin with it."""
    async with behind("h264+aac-split", loss=0.05, reorder=0.05, double=0.05) as (relay, server):
        follower = Follower(server.playlist)
        probe = follower.probe
        probe.wants_sync = False  # some are damaged, and a segment has its length all the same
        await asyncio.to_thread(probe.open)
        follower.start()
        decoder = decoders.LiveDecoder(server.playlist)
        await asyncio.sleep(10)
        pictures, is_running = decoder.pictures, decoder.is_running
        decoder.stop()
        said = await asyncio.to_thread(first_pictures, probe)
        await asyncio.to_thread(follower.stop)
        seen = await asyncio.to_thread(counters, server)
        lost = relay.lost
    probe.check()
    segments = list(probe.segments.values())
    assert not any(segment.is_gap or segment.starts_discontinuity for segment in segments)
    assert [segment.msn for segment in segments] == list(range(segments[0].msn, segments[0].msn + len(segments)))
    assert sum(segment.duration for segment in segments) > 8
    assert said
    assert set(said) == {(1, b"")}
    assert is_running, decoder.lines
    assert pictures > 5 * 25 / 2  # what there is of them, and of the seconds before the end
    assert 0 < seen["lost"] <= lost
    assert seen["damagedUnits"]
    assert seen["reordered"] > 10
    assert seen["duplicates"] > 10
    server.wait_for("RTP packets? lost")


@pytest.mark.parametrize("vices", [{"reorder": 0.2, "double": 0.2}, {"delay": 0.02}], ids=["order", "delay"])
async def test_what_only_comes_in_another_order_is_put_right(behind, vices):
    async with behind("h264+aac-split", **vices) as (_, server):
        decoded = await asyncio.to_thread(decoders.decode, server.playlist, 4)
        seen = await asyncio.to_thread(counters, server)
    assert decoded.frames["video"] == pytest.approx(100, abs=2)
    assert decoded.frames["audio"] == pytest.approx(4 * 48000 / 1024, abs=10)
    assert seen["reordered"] > 10
    assert seen["lost"] == 0
    assert seen["late"] == 0
    assert seen["damagedUnits"] == 0


async def test_udp_that_does_not_get_through(behind):
    """TCP is used, and the log and the API say so."""
    async with behind("h264+aac", loss=1.0) as (relay, server):
        assert relay.lost
        decoded = await asyncio.to_thread(decoders.decode, server.playlist, 3)
        path = await asyncio.to_thread(server.path)
    assert decoded.frames["video"] == pytest.approx(75, abs=2)
    assert path["health"]["transport"] == "tcp"
    assert path["health"]["reconnects"] == 0
    server.wait_for(r"2 tracks with TCP$")
    server.wait_for(r"WAR \[path cam_2\] \[RTSP source\] TCP is used: no media came over UDP within 3 s")


async def test_a_network_that_goes_silent_for_a_while(behind):
    """Nobody hangs up. The silence is noticed, the playlist goes on, and so does the camera."""
    async with behind("h264+aac", {**QUICK, "readTimeout": "2s"}) as (relay, server):
        await asyncio.to_thread(server.wait_for, "with UDP$")
        relay.is_deaf = True
        await asyncio.to_thread(server.await_state, "gap")
        relay.is_deaf = False
        await asyncio.to_thread(server.await_state, "live")
        health = (await asyncio.to_thread(server.path))["health"]
        await asyncio.to_thread(server.await_flow)
        decoded = await asyncio.to_thread(decoders.decode, server.playlist, 3)
    assert health["transport"] == "udp"
    assert health["reconnects"] == 1
    server.wait_for(r"is gap \(was live\): .*sends no (media|video) any more")
    assert decoded.frames["video"] == pytest.approx(75, abs=2)
