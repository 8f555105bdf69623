"""The GStreamer camera and the decoders themselves, before anything of this package depends on them."""

import pytest
from real import decoders
from real.pipelines import VARIANTS

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("ffmpeg")]


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "h264-noise"])
def test_every_variant_decodes(gst_camera, variant):
    camera = gst_camera(variant)
    expected = camera.variant
    decoded = decoders.decode(camera.url, 3)
    # three seconds, give or take what a busy machine misses or is sent late
    assert 75 - expected.gop <= decoded.frames["video"] <= 75 + expected.gop
    assert ("audio" in decoded.frames) == (expected.audio is not None)
    if expected.audio:
        assert decoded.frames["audio"] == pytest.approx(3 * expected.sample_rate / 1024, rel=0.2)


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_credentials_are_asked_for(gst_camera, auth):
    camera = gst_camera("h264", auth=auth)
    assert decoders.streams(camera.url)[0]["codec_name"] == "h264"
    with pytest.raises(AssertionError, match="401"):
        decoders.streams(f"rtsp://x:y@127.0.0.1:{camera.port}{camera.path}")


def test_it_comes_back_on_its_port(gst_camera):
    camera = gst_camera("h264+aac16")
    (video, audio) = decoders.streams(camera.url)
    assert (video["width"], video["height"]) == (640, 360)
    assert (audio["codec_name"], audio["sample_rate"], audio["channels"]) == ("aac", "16000", 1)
    port = camera.port
    camera.stop()
    assert not camera.is_running
    camera.start("h264-small")
    assert camera.port == port
    assert decoders.streams(camera.url)[0]["width"] == 320
    assert camera.named("teardown")
