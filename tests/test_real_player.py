"""The player page in Chromium, from a GStreamer camera through the gateway."""

from itertools import pairwise

import pytest
from real.browser import speed

pytestmark = [pytest.mark.real]

#: Short segments, so that a test of seconds sees many.
QUICK = {"hlsSegmentDuration": "1s"}


def longest_halt(series):
    """Seconds for which the picture stood still at most."""
    moved, longest = series[0].at, 0.0
    for before, after in pairwise(series):
        if after.position > before.position:
            moved = after.at
        longest = max(longest, after.at - moved)
    return longest


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["h264", "h264+aac"])
def test_the_configuration_as_it_is(gst_camera, gateway, player, tmp_path, variant):
    camera = gst_camera(variant, auth="digest")
    server = gateway(camera.url)
    player.open(server.page)
    started = player.plays(timeout=30)
    player.wait(20)
    series = player.series(since=started + 2)
    assert speed(series) == pytest.approx(1, abs=0.05), player.story()
    assert not player.events("waiting", since=started + 5), player.story()
    assert series[-1].pictures - series[0].pictures == pytest.approx(25 * (series[-1].at - series[0].at), rel=0.15)
    assert player.size == (640, 360)
    assert not player.message
    assert not player.events("error")
    assert {refusal.status for refusal in player.refusals} <= {503}
    assert not [text for text in player.errors if "503" not in text], player.errors
    assert player.screenshot(tmp_path / "page.png").stat().st_size > 2000


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["h264", "h264+aac"])
def test_a_minute_without_waiting(gst_camera, gateway, player, variant):
    """No `waiting` event after the first five seconds."""
    camera = gst_camera(variant, auth="basic")
    server = gateway(camera.url)
    player.open(server.page)
    started = player.plays(timeout=30)
    player.wait(62)
    series = player.series(since=started + 5)
    assert series[-1].at - series[0].at > 55
    assert not player.events("waiting", "error", since=started + 5), player.story()
    assert speed(series) == pytest.approx(1, abs=0.03)
    assert longest_halt(series) < 1
    assert player.loads == 1


def test_it_plays(gst_camera, gateway, player):
    camera = gst_camera("h264+aac16")
    server = gateway(camera.url, **QUICK)
    player.open(server.page)
    started = player.plays(timeout=20)
    player.wait(5)
    assert speed(player.series(since=started + 1)) == pytest.approx(1, abs=0.1), player.story()
    assert player.size == (640, 360)
    assert not player.message


@pytest.mark.slow
@pytest.mark.parametrize("change", [None, "h264-small"])
def test_it_plays_on_after_the_camera_was_away_for_a_moment(gst_camera, gateway, player, change):
    camera = gst_camera("h264")
    server = gateway(camera.url, **QUICK)
    player.open(server.page)
    player.plays(timeout=20)
    player.wait(4)
    camera.stop()
    player.wait(1)
    camera.start(change)
    back = player.now
    if change:
        player.until(lambda: player.size == (320, 180), 30, "the new picture")
    player.wait(5)
    player.plays(timeout=30)
    player.plays_evenly()
    assert player.loads == 1
    assert player.now - back < 45
    assert not player.message


@pytest.mark.slow
def test_the_camera_is_away(gst_camera, gateway, player, tmp_path):
    """A readable message; when the camera is back the picture is too, without the viewer's doing."""
    camera = gst_camera("h264")
    server = gateway(camera.url, **QUICK)
    player.open(server.page)
    player.plays(timeout=20)
    camera.stop()
    player.until(lambda: "camera" in player.message.lower(), 60, "a message about the camera")
    player.screenshot(tmp_path / "away.png")
    assert camera.url not in player.message
    camera.start()
    player.until(lambda: not player.message, 60, "the message goes")
    player.plays(timeout=30)
    assert player.loads == 1


@pytest.mark.slow
def test_no_camera_at_first(gst_camera, gateway, player):
    camera = gst_camera("h264")
    camera.stop()
    server = gateway(camera.url, **QUICK)
    player.open(server.page)
    player.until(lambda: "camera" in player.message.lower(), 30, "a message about the camera")
    player.until(lambda: "refused" in player.message.lower() or "reach" in player.message.lower(), 40, "the reason")
    camera.start()
    player.plays(timeout=75)
    player.until(lambda: not player.message, 5, "the message goes")  # the page looks only now and then
    player.plays_evenly()
    assert not player.message
    assert player.loads == 1


@pytest.mark.slow
def test_the_gateway_is_restarted(gst_camera, gateway, player):
    """The page plays on, without being loaded again."""
    camera = gst_camera("h264+aac16")
    server = gateway(camera.url, **QUICK)
    player.open(server.page)
    player.plays(timeout=20)
    player.wait(4)
    server.terminate()
    server.start()
    restarted = player.now
    player.until(lambda: player.events("loadedmetadata", "playing", since=restarted), 45, "the picture comes back")
    player.plays(timeout=45)
    player.plays_evenly()
    assert player.loads == 1
    assert not player.message


#: Low-Latency HLS, as a configuration asks for it.
LOW_LATENCY = {"hlsVariant": "lowLatency", "hlsSegmentDuration": "1s", "hlsPartDuration": "200ms"}
#: Is it still the hls.js that played at first?
UNTOUCHED = "rtspkitPlayer.hls === window.first"


def plays_low_latency(player, server):
    """Opens the page and waits until it plays; remembers the hls.js it plays with."""
    player.open(server.page)
    player.plays(timeout=20)
    player.wait(4)
    player.page.evaluate("window.first = rtspkitPlayer.hls; 0")


@pytest.mark.slow
def test_low_latency(gst_camera, gateway, player):
    """A second or so behind, without a halt."""
    camera = gst_camera("h264+aac16")
    plays_low_latency(player, gateway(camera.url, **LOW_LATENCY))
    started = player.now
    player.wait(15)
    series = player.series(since=started)
    assert speed(series) == pytest.approx(1, abs=0.05), player.story()
    assert not player.events("waiting", "error", since=started), player.story()
    assert player.page.evaluate("rtspkitPlayer.hls.latency") < 2.5
    assert player.page.evaluate(UNTOUCHED)
    assert not player.message


@pytest.mark.slow
@pytest.mark.parametrize("away", [1, 10])
def test_low_latency_and_the_camera_is_away(gst_camera, gateway, player, away):
    """The viewer is told, and hls.js goes on by itself over the gap."""
    camera = gst_camera("h264+aac16")
    plays_low_latency(player, gateway(camera.url, **LOW_LATENCY))
    camera.stop()
    player.wait(away)
    if away > 5:
        assert "No picture from the camera" in player.message
    camera.start()
    pictures = player.series()[-1].pictures
    player.until(lambda: player.series()[-1].pictures > pictures + 50, 20, "the picture")
    player.plays_evenly()
    assert player.page.evaluate(UNTOUCHED)
    assert player.loads == 1
    assert not player.message


@pytest.mark.slow
@pytest.mark.parametrize("variant", [LOW_LATENCY, QUICK], ids=["low-latency", "plain"])
def test_the_gateway_is_killed(gst_camera, gateway, player, variant):
    """Back within two seconds, it serves the same hls.js as before."""
    camera = gst_camera("h264+aac16")
    server = gateway(camera.url, **variant)
    plays_low_latency(player, server)
    killed = player.now
    server.kill()
    player.wait(1)
    server.start()
    pictures = player.series()[-1].pictures
    player.until(lambda: player.series()[-1].pictures > pictures + 50, 20, "the picture")
    player.plays_evenly()
    assert longest_halt(player.series(since=killed)) < 10
    assert player.page.evaluate(UNTOUCHED)
    assert player.loads == 1
    assert not player.message
