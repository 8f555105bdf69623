"""The gateway from a GStreamer camera to foreign readers: the rules of HLS, decoders, on demand, bad cameras."""

import re
import time
from itertools import pairwise

import boxes
import httpx
import pytest
from real import decoders
from real.gstcamera import PASSWORD, GstCamera
from real.hlsprobe import HlsProbe

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("ffmpeg")]

#: Short segments, so that a test of seconds sees the playlist slide; readers are not counted, so that caches may help.
QUICK = {"hlsSegmentDuration": "1s", "maxReaders": "0"}

CODECS = {
    "h264-sliced": r"avc1\.4d40[0-9a-f]{2}",
    "h264+aac-split": r"avc1\.4d40[0-9a-f]{2}",
    "h264-bframes": r"avc1\.6400[0-9a-f]{2}",
}


def check_tracks(gateway, camera, variant, is_counted=False):
    """ffprobe and the multivariant playlist say what the camera sends."""
    expected = camera.variant
    with HlsProbe(gateway.playlist, is_counted=is_counted) as probe:
        attributes = probe.open().attributes
        probe.check()
    codecs = CODECS.get(variant, r"avc1\.42c0[0-9a-f]{2}") + (r",mp4a\.40\.2" if expected.audio else "")
    assert re.fullmatch(codecs, attributes["CODECS"], re.IGNORECASE), attributes
    assert attributes["RESOLUTION"] == "{}x{}".format(*expected.size)
    assert float(attributes["FRAME-RATE"]) == pytest.approx(25, abs=0.01)
    assert int(attributes["BANDWIDTH"]) > 10_000
    streams = decoders.streams(gateway.playlist)
    assert [stream["codec_name"] for stream in streams] == (["h264", "aac"] if expected.audio else ["h264"])
    assert (streams[0]["width"], streams[0]["height"]) == expected.size
    if expected.audio:
        assert (int(streams[1]["sample_rate"]), streams[1]["channels"]) == (expected.sample_rate, expected.channels)


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "auth"), [("h264", "digest"), ("h264+aac", "basic")])
def test_the_configuration_as_it_is(gst_camera, gateway, variant, auth):
    """Four-second segments, six of them, from a camera with a password."""
    camera = gst_camera(variant, auth=auth)
    server = gateway(camera.url)
    with HlsProbe(server.playlist, is_counted=True) as probe:
        probe.open()
        decoder = decoders.Decoder(server.playlist, 16)
        probe.run(22)
        decoded = decoder.result()
        probe.check()
        assert probe.playlist.target_duration == 4
        assert all(segment.duration == pytest.approx(4, abs=0.05) for segment in probe.segments.values())
        assert set(probe.statuses) <= {200, 503}
    assert decoded.frames["video"] == pytest.approx(400, abs=30)
    check_tracks(server, camera, variant, is_counted=True)
    names = r"2 tracks \(H264, MPEG-4 Audio\)" if camera.variant.audio else r"1 track \(H264\)"
    server.wait_for(rf"INF \[HLS\] \[muxer cam_2\] is converting into HLS, {names}")
    assert PASSWORD not in server.log
    assert "p%40s" not in server.log


@pytest.mark.parametrize(
    "variant",
    [
        *("h264-sliced", "h264-bframes", "h264+aac16"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("h264-gop2", "h264-single", "h264+aac44", "h264+aac-split")
        ),
    ],
)
def test_each_kind_of_camera(gst_camera, gateway, variant):
    camera = gst_camera(variant)
    server = gateway(camera.url, **QUICK)
    with HlsProbe(server.playlist) as probe:
        probe.open()
        decoder = decoders.Decoder(server.playlist, 6)
        probe.run(4 + 7 * camera.variant.gop / 25)
        decoded = decoder.result()
        probe.check()
        assert probe.playlist.media_sequence > min(probe.segments), "the playlist has not moved on"
        assert set(probe.statuses) <= {200, 503}
    assert decoded.frames["video"] == pytest.approx(150, abs=25)
    if camera.variant.audio:
        assert decoded.frames["audio"] == pytest.approx(6 * camera.variant.sample_rate / 1024, rel=0.2)
    check_tracks(server, camera, variant)


def test_parts_of_b_pictures(gst_camera, gateway):
    """They come as often as those of another camera, each within its target; decode times go on without a gap."""
    camera = gst_camera("h264-bframes")
    server = gateway(camera.url, hlsVariant="lowLatency", hlsPartDuration="200ms", **QUICK)
    with HlsProbe(server.playlist) as probe:
        probe.open()
        address, found, published = server.playlist.replace("index", "stream"), {}, []
        text = probe.client.get(address).text
        while len(published) < 32:
            msn = int(re.search(r"MEDIA-SEQUENCE:(\d+)", text)[1]) + len(re.findall(r"(?m)^[^#]", text))
            open_parts = text.rpartition(".mp4\n")[2].count("#EXT-X-PART:")
            text = probe.client.get(address, params={"_HLS_msn": msn, "_HLS_part": open_parts}).text
            listed = re.findall(r'#EXT-X-PART:DURATION=([0-9.]+),URI="([^"]+)"', text)
            parts = {uri: float(duration) for duration, uri in listed}
            if parts.keys() - found.keys():
                published.append(time.monotonic())
            found |= parts
    target = float(re.search(r"PART-TARGET=([0-9.]+)", text)[1])
    assert target == pytest.approx(0.22, abs=0.002)
    assert max(found.values()) <= target
    assert (published[-1] - published[1]) / (len(published) - 2) == pytest.approx(0.2, abs=0.03)
    starts = []
    for uri in list(found)[-12:]:
        fragments = boxes.fragments(httpx.get(address.replace("stream.m3u8", uri)).content)
        starts.append((fragments[0].runs[0].dts, fragments[-1].runs[0].end))
    assert all(after[0] == before[1] for before, after in pairwise(starts))


@pytest.mark.slow
def test_half_a_minute_and_more(gst_camera, gateway):
    """The playlist of the configuration as it is slides, and nothing drifts apart."""
    camera = gst_camera("h264+aac44")
    server = gateway(camera.url)
    with HlsProbe(server.playlist, is_counted=True) as probe:
        probe.run(50)
        probe.check()
        assert probe.playlist.media_sequence > min(probe.segments)
        last = max(probe.samples)
        seconds = probe.ticks(last)
        assert seconds["soun"] == pytest.approx(seconds["vide"], abs=0.1)


def test_http(gst_camera, gateway):
    """HEAD, conditional requests, ranges, gzip and errors, as caches and players use them."""
    server = gateway(gst_camera("h264+aac16").url, **QUICK)
    with HlsProbe(server.playlist) as probe:
        probe.run(4)
        segment = probe.playlist.segments[-1]
        urls = [server.playlist, probe.playlist_url]
        media = [probe._absolute(segment.uri), probe._absolute(segment.init)]
    with httpx.Client() as client:
        for url in [*urls, *media]:
            full = client.get(url)
            head = client.head(url)
            assert head.status_code == 200
            assert not head.content
            if url != probe.playlist_url:
                assert client.get(url, headers={"if-none-match": full.headers["etag"]}).status_code == 304
        for url in urls:
            packed = client.get(url, headers={"accept-encoding": "gzip"})
            assert packed.headers.get("content-encoding") == "gzip"
            assert "accept-encoding" in packed.headers["vary"].lower()
            assert packed.text.startswith("#EXTM3U")
        for url in media:
            full = client.get(url, headers={"accept-encoding": "gzip"})
            assert "content-encoding" not in full.headers
            part = client.get(url, headers={"range": "bytes=10-29"})
            assert part.status_code == 206
            assert part.headers["content-range"] == f"bytes 10-29/{len(full.content)}"
            assert part.content == full.content[10:30]
            tail = client.get(url, headers={"range": "bytes=-5"})
            assert tail.content == full.content[-5:]
            beyond = client.get(url, headers={"range": f"bytes={len(full.content)}-"})
            assert beyond.status_code == 416
            assert client.head(url).headers["content-length"] == str(len(full.content))
        assert client.post(server.playlist).status_code == 405
        unknown = client.get(f"{server.base}/no_such_camera/index.m3u8")
        assert unknown.status_code == 404
        assert unknown.headers["cache-control"] == "max-age=1"
        moved = client.get(f"{server.base}/cam_2")
        assert moved.status_code in (301, 302, 307, 308)
        assert moved.headers["location"].endswith("cam_2/")
        assert client.get(server.page).headers["cache-control"] == "no-cache"


def test_on_demand(gst_camera, gateway):
    """Nobody watches: no connection. Somebody comes: one. All have gone: TEARDOWN, and it starts anew for the next."""
    camera = gst_camera("h264")
    server = gateway(camera.url, hlsMuxerCloseAfter="3s", sourceOnDemandCloseAfter="2s", **QUICK)
    time.sleep(1.5)
    assert "connected" not in camera.requests
    assert not server.path()["ready"]
    for _ in range(2):
        before = len(camera.events)
        with HlsProbe(server.playlist) as probe:
            probe.run(4)
            probe.check()
        left = time.monotonic()
        assert server.path()["ready"]
        assert camera.named("play", since=before)
        camera.wait_for("teardown", since=before, timeout=10)
        assert time.monotonic() - left > 2
        assert camera.requests[before:].count("connected") == 1
        server.wait_for(r"destroyed")
        assert not server.path()["ready"]


def test_sigterm_sends_teardown(gst_camera, gateway):
    camera = gst_camera("h264+aac16")
    server = gateway(camera.url, sourceOnDemand="no", **QUICK)
    server.wait_for("is converting into HLS|stream is available")
    with HlsProbe(server.playlist) as probe:
        probe.run(2)
    assert server.terminate() < 2.5
    assert "teardown" in camera.requests


def test_wrong_password(gst_camera, gateway):
    """404 to the viewer; the reason in API and log, the password in neither. Few tries: cameras lock accounts."""
    camera = gst_camera("h264", auth="digest")
    url = f"rtsp://admin:n0t-the-secret@127.0.0.1:{camera.port}{camera.path}"
    server = gateway(url, **QUICK)
    end = time.monotonic() + 20
    while (reply := httpx.get(server.playlist, timeout=15)).status_code == 503 and time.monotonic() < end:
        time.sleep(0.5)
    assert reply.status_code == 404
    assert re.search("credential|password|401|authenti|authori", reply.text, re.IGNORECASE), reply.text
    line = server.wait_for(r"(ERR|WAR) .*cam_2.*(credential|password|401|authenti|authori)")
    assert line.count("\n") == 1
    described = str(server.path())
    assert re.search("credential|password|401|authenti|authori", described, re.IGNORECASE), described
    for text in (reply.text, described, server.log):
        assert "n0t-the-secret" not in text
    time.sleep(2)
    assert camera.requests.count("describe") <= 4


def test_camera_is_not_there(gateway, tmp_path):
    """Three tries, then 404 with a reason; the gateway lives on."""
    camera = GstCamera("h264")
    from real.parts import free_port

    camera.port = free_port()
    server = gateway(camera.url, **QUICK)
    started = time.monotonic()
    end = started + 30
    while (reply := httpx.get(server.playlist, timeout=15)).status_code == 503 and time.monotonic() < end:
        assert reply.headers["retry-after"] == "1"
        time.sleep(0.5)
    assert reply.status_code == 404, f"{reply.status_code} {reply.text}"
    assert "refused" in reply.text.lower()
    assert server.path()["ready"] is False


@pytest.mark.parametrize("change", [None, "h264-small"])
def test_the_camera_comes_back(gst_camera, gateway, change):
    """Unplugged and plugged in again, the same or with another picture: the same URL goes on after a discontinuity."""
    camera = gst_camera("h264")
    server = gateway(camera.url, **QUICK)
    with HlsProbe(server.playlist) as probe:
        probe.run(5)
        probe.is_outage = True
        camera.stop()
        probe.run(1)
        camera.start(change)
        probe.run(5)
        probe.is_outage = False
        probe.run(5)
        probe.check()
        numbers = {segment.discontinuity for segment in probe.segments.values()}
        assert len(numbers) == 2
        assert len(probe.inits) == 2
        assert len({segment.uri.partition("/")[0] for segment in probe.segments.values()}) == 1
        widths = {track.width for tracks in probe.inits.values() for track in tracks.values()}
        assert widths == ({640, 320} if change else {640})
        assert set(probe.statuses) <= {200, 503}


def test_the_gateway_is_restarted(gst_camera, gateway):
    """The same URL again: numbers go on, nothing of the earlier run is served as if it were new."""
    camera = gst_camera("h264")
    server = gateway(camera.url, **QUICK)
    with HlsProbe(server.playlist) as probe:
        probe.run(5)
        old = dict(probe.segments)
        assert server.terminate() < 2.5
        started = time.monotonic()
        server.start()
        assert time.monotonic() - started < 3
        stale = httpx.get(probe._absolute(old[max(old)].uri))
        assert stale.status_code == 503
        probe.is_outage = True
        probe.run(4)
        probe.is_outage = False
        probe.run(4)
        probe.check()
        fresh = [segment for msn, segment in probe.segments.items() if msn not in old]
        assert min(segment.msn for segment in fresh) > max(old)
        # equal within ten minutes: it starts anew at a number that grows that slowly
        assert min(segment.discontinuity for segment in fresh) >= max(segment.discontinuity for segment in old.values())
        assert {segment.uri.partition("/")[0] for segment in fresh}.isdisjoint(
            segment.uri.partition("/")[0] for segment in old.values()
        )


@pytest.mark.slow
def test_the_network_is_cut(gst_camera, gateway):
    """No byte comes, no connection ends: the silence is noticed, and the camera taken back when it speaks again."""
    camera = gst_camera("h264")
    server = gateway(camera.url, readTimeout="3s", **QUICK)
    with HlsProbe(server.playlist) as probe:
        probe.run(5)
        probe.is_outage = True
        before = len(camera.events)
        camera.freeze()
        server.wait_for(r"(ERR|WAR).*cam_2", timeout=12)
        camera.thaw()
        camera.wait_for("play", since=before, timeout=20)
        probe.run(6)
        probe.is_outage = False
        probe.run(4)
        probe.check()
        assert {segment.discontinuity for segment in probe.segments.values()} >= {
            min(probe.segments.values(), key=lambda s: s.msn).discontinuity + 1
        }
