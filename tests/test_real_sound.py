"""G.711 and L16 from GStreamer's RTSP server through the gateway: ffmpeg gets each sample, Chromium plays it.

What the cameras play is noise, so that there is one place only where what comes out can be from; it has nothing but
values that A-law and mu-law can say, so that encoding loses nothing.
"""

import random
import wave
from array import array
from contextlib import ExitStack

import pytest
import reference_flac
from real import pipelines
from real.gateway import Gateway
from real.gstcamera import GstCamera
from real.keeper import Keeper
from real.parts import require_ffmpeg, require_gstreamer

pytestmark = [pytest.mark.real]

#: Seconds for which each stream is followed, and that a recording lasts.
WATCHED, LASTS = 8, 40
#: Payloaders, by codec, with the rate and the channels; packets of 20 ms, and as long as they will.
SOUNDS = {
    "pcma": ("alawenc ! rtppcmapay pt=8 min-ptime=20000000 max-ptime=20000000", 8000, 1),
    "pcmu": ("mulawenc ! rtppcmupay pt=0", 8000, 1),
    "l16": ("audio/x-raw,format=S16BE ! rtpL16pay pt=97", 16_000, 1),
    "l16-stereo": ("audio/x-raw,format=S16BE ! rtpL16pay pt=10", 44_100, 2),
}


def noise(codec, rate, channels):
    """The samples of a recording."""
    source = random.Random(codec)
    if codec.startswith("l16"):
        return array("h", source.randbytes(2 * LASTS * rate * channels))
    values = reference_flac.expand(codec, bytes(range(256)))
    return array("h", source.choices(values, k=LASTS * rate * channels))


class Scene:
    """A camera for each of `SOUNDS` on one gateway, each followed for some seconds."""

    def __init__(self, folder, stack):
        self.sent = {}
        cameras = {}
        for name, (payloader, rate, channels) in SOUNDS.items():
            self.sent[name] = noise(name, rate, channels)
            file = folder / f"{name}.wav"
            with wave.open(str(file), "wb") as recording:
                recording.setparams((channels, 2, rate, 0, "NONE", ""))
                recording.writeframes(self.sent[name].tobytes())
            picture = pipelines.video(gop=15, size=(320, 240), rate=15)
            cameras[f"/{name}"] = pipelines.Variant(picture, pipelines.recording(file, payloader))
        self.camera = stack.enter_context(GstCamera("h264-small", others=cameras))
        paths = {name: {"source": self.camera.url_of(f"/{name}")} for name in SOUNDS}
        settings = {"hlsSegmentDuration": "1s", "hlsSegmentCount": "10", "maxReaders": "0"}
        self.gateway = stack.enter_context(Gateway(folder, self.camera.url, paths, **settings))
        self._folder = folder

    def keep(self, name):
        """What comes out of one."""
        keeper = Keeper(f"{self.gateway.base}/{name}/index.m3u8", self._folder / "kept" / name)
        keeper.follow(WATCHED)
        return keeper


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    require_gstreamer()
    require_ffmpeg()
    with ExitStack() as stack:
        yield Scene(tmp_path_factory.mktemp("sound"), stack)


@pytest.mark.parametrize("name", [*SOUNDS])
def test_every_sample_that_was_sent_comes_out(scene, name):
    _, rate, channels = SOUNDS[name]
    keeper = scene.keep(name)
    keeper.probe.check()
    assert keeper.attributes["CODECS"].endswith(",fLaC")
    timescale, units = keeper.samples("soun")
    assert timescale == rate
    found = keeper.pcm()
    assert len(found) == len(units) * units[-1].duration * channels
    assert len(found) > (WATCHED - 3) * rate * channels
    sent = scene.sent[name]
    start = sent.tobytes().find(found[: 20 * channels].tobytes()) // 2
    assert start >= 0, "other samples"
    assert found == sent[start : start + len(found)]
    scene.gateway.wait_for(rf"muxer {name}\] is converting into HLS, 2 tracks \(H264, FLAC\)")


@pytest.mark.slow
@pytest.mark.parametrize(("sound", "low"), [("pcma", False), ("pcmu", True)])
def test_chromium_plays_it(gst_camera, gateway, player, sound, low):
    camera = gst_camera("h264-small", others={"/sound": pipelines.CODECS[f"h264-{sound}"]})
    settings = {"hlsVariant": "lowLatency", "hlsPartDuration": "200ms"} if low else {"hlsSegmentDuration": "1s"}
    server = gateway(camera.url_of("/sound"), **settings)
    player.open(server.page)
    started = player.plays(timeout=30)
    player.wait(8)
    series = player.series(since=started + 2)
    speed = (series[-1].position - series[0].position) / (series[-1].at - series[0].at)
    assert speed == pytest.approx(1, abs=0.1), player.story()
    assert not player.message
    assert not player.events("error")
    # 16 bits a sample that were packed, so many at least, and a decoder that has taken them
    video = "document.querySelector('video').webkitAudioDecodedByteCount"
    before = player.page.evaluate(video)
    player.wait(3)
    assert player.page.evaluate(video) - before > 2 * 3000, player.story()
    assert player.page.evaluate("rtspkitPlayer.hls.levels[0].audioCodec").lower() == "flac"
