"""Chromium on the codecs: what it can decode is seen and heard, and of what it cannot the viewer is told."""

import re
from contextlib import ExitStack

import pytest
from real import pipelines
from real.gateway import Gateway
from real.gstcamera import GstCamera
from real.parts import require_gstreamer

pytestmark = [pytest.mark.real]

AUDIBLE = ("h264-aac48", "h264-opus", "h264-pcma")
#: Not shown, for Chromium has no decoder or the gateway nothing to serve: what the viewer reads, and the log says.
TOLD = {
    "h265-aac48": "This browser cannot play H.265\nThe camera sends H.265 ({h265}). Open this page in Safari, or set"
    " the camera to H.264; its second stream may be H.264 already.",
    "mjpeg": "The camera sends nothing that can be played\nThe camera sends M-JPEG; choose H.264 or"
    " H.265 in its settings, or another of its streams",
}
#: Heard, and what stands where the picture would be.
HEARD_ONLY = {
    "mjpeg-pcma": "The camera's picture cannot be shown\nThe camera sends M-JPEG; choose H.264 or H.265 in its"
    " settings, or another of its streams",
    "pcma": "Sound only\nThe camera sends no picture.",
}
CAMERAS = (*AUDIBLE, *TOLD, *HEARD_ONLY)
HEARD = "document.querySelector('video').webkitAudioDecodedByteCount"


@pytest.fixture(scope="module")
def gateway_of_codecs(tmp_path_factory):
    """A gateway with a path for each camera, on demand."""
    require_gstreamer()
    with ExitStack() as stack:
        cameras = {f"/{name}": pipelines.CODECS[name] for name in CAMERAS}
        camera = stack.enter_context(GstCamera("h264-small", others=cameras))
        paths = {path[1:]: camera.url_of(path) for path in cameras}
        folder = tmp_path_factory.mktemp("gateway")
        yield stack.enter_context(
            Gateway(folder, camera.url, paths, hlsSegmentDuration="1s", maxReaders="0", hlsMuxerCloseAfter="5s")
        )


@pytest.mark.parametrize("name", AUDIBLE)
def test_it_is_seen_and_heard(gateway_of_codecs, player, name):
    player.open(f"{gateway_of_codecs.base}/{name}/")
    started = player.plays(timeout=40)
    heard = player.page.evaluate(HEARD)
    player.wait(4)
    series = player.series(since=started + 0.5)
    assert (series[-1].position - series[0].position) / (series[-1].at - series[0].at) == pytest.approx(1, abs=0.2)
    assert series[-1].pictures > series[0].pictures
    assert player.page.evaluate(HEARD) > heard > 0
    assert player.page.locator("#unmute").is_visible()
    assert not player.message
    assert not player.events("error"), player.story()
    assert not [text for text in player.errors if "503" not in text], player.errors


@pytest.mark.parametrize("name", HEARD_ONLY)
def test_it_is_heard_and_the_viewer_is_told_why_it_is_not_seen(gateway_of_codecs, player, tmp_path, name):
    player.open(f"{gateway_of_codecs.base}/{name}/")
    player.plays(timeout=40)
    player.until(lambda: player.page.evaluate("rtspkitPlayer.note") == HEARD_ONLY[name], 10, "what is told")
    heard = player.page.evaluate(HEARD)
    player.wait(4)
    assert player.page.evaluate(HEARD) > heard > 0
    assert player.page.evaluate("rtspkitPlayer.note") == HEARD_ONLY[name]
    assert not player.message
    assert player.page.locator("#unmute").is_visible()
    assert not player.events("error"), player.story()
    assert player.screenshot(tmp_path / "page.png").stat().st_size > 2000


@pytest.mark.parametrize("name", TOLD)
def test_the_viewer_is_told_what_cannot_be_played(gateway_of_codecs, player, tmp_path, name):
    """In words that say what to do; nothing turns, and nothing goes wrong in the page."""
    expected = re.escape(TOLD[name]).replace(re.escape("{h265}"), r"hvc1\.[0-9A-FL.]+")
    player.open(f"{gateway_of_codecs.base}/{name}/")
    player.until(lambda: re.fullmatch(expected, player.message.replace("\n\n", "\n")), 30, expected)
    assert not player.page.locator("#spinner").is_visible()
    player.wait(4)
    assert re.fullmatch(expected, player.message.replace("\n\n", "\n"))
    assert not [text for text in player.errors if not text.startswith("Failed to load resource")], player.errors
    assert player.screenshot(tmp_path / "page.png").stat().st_size > 2000
