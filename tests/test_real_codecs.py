"""Every codec, every way to pack it and what encoders do to pictures: GStreamer's RTSP server, the gateway, ffmpeg.

All cameras run at once on one gateway, and each stream is followed for some seconds by a reader that forgives nothing.
What it has kept is then judged, camera by camera: ffmpeg decodes it without one complaint, no access unit is lost or
made up, and the sound is the tone that went in. Some are read as Low-Latency HLS besides, and all by `rtspkit.open`.
"""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

import pytest
from real import oddclips, pipelines
from real.gateway import Gateway
from real.gstcamera import GstCamera
from real.keeper import Keeper
from real.parts import require_ffmpeg, require_gstreamer

import rtspkit
from rtspkit.codecs import unit_ticks

pytestmark = [pytest.mark.real]

#: Seconds for which each stream is followed.
WATCHED = 11
QUICK = {"hlsSegmentDuration": "1s", "hlsSegmentCount": "10", "maxReaders": "0"}
LOW = "@low"
LOW_LATENCY = {"hlsVariant": "lowLatency", "hlsPartDuration": "200ms"}


@dataclass(frozen=True)
class Codec:
    """What comes of one codec.

    Attributes:
        codec: `Track.codec` of the camera's track.
        codecs: a pattern of its name in a playlist; None where HLS cannot carry it, and the log says so.
        name: ffmpeg's name of it; or what the log calls it.
        ticks: of a unit of sound; None where they need only be alike.
    """

    codec: str
    codecs: str | None
    name: str
    ticks: int | None = None


PICTURES = {
    "h264": Codec("h264", r"avc1\.[0-9A-Fa-f]{6}", "h264"),
    "h265": Codec("h265", r"hvc1\.[1-4]\.[0-9A-F]+\.[LH][0-9]+(\.[0-9A-F]+)*", "hevc"),
}
#: By the second word of the camera's name.
SOUNDS = {
    "aac48": Codec("aac", r"mp4a\.40\.2", "aac", 1024),
    "opus": Codec("opus", "opus", "opus", 960),
    "opus1": Codec("opus", "opus", "opus", 960),
    "latm": Codec("aac", r"mp4a\.40\.2", "aac", 1024),
    "latm16": Codec("aac", r"mp4a\.40\.2", "aac", 1024),
    "pcma": Codec("pcma", "fLaC", "flac"),
    "pcmu": Codec("pcmu", "fLaC", "flac"),
    "l16": Codec("l16", "fLaC", "flac"),
    "l16stereo": Codec("l16", "fLaC", "flac"),
    "g722": Codec("g722", None, "G722"),
    "g726": Codec("g726", None, "G726"),
}

CAMERAS = [
    name
    for name, variant in pipelines.CODECS.items()
    if name.startswith(tuple(PICTURES)) and (variant.audio is None or name.split("-")[1] in SOUNDS)
]
CLIPS = [name for name in oddclips.CLIPS if name.split("-")[1] in PICTURES]
#: Those that are read as Low-Latency HLS, too.
QUICKLY = [
    name + LOW
    for name in ("h264-aac48", "h264-b3", "h264-opus", "h264-pcma", "h264-g722", "h265-aac48", "clip-h265-pyramid")
]
STREAMS = [*CAMERAS, *CLIPS, *QUICKLY]


def codecs_of(name):
    """Of a stream: the codec of its pictures, and of its sound or None."""
    words = name.removesuffix(LOW).split("-")
    if words[0] == "clip":
        return PICTURES[words[1]], None
    return PICTURES[words[0]], SOUNDS.get(words[1]) if words[1:] else None


def variant_of(name):
    """The camera or clip of a stream."""
    name = name.removesuffix(LOW)
    return oddclips.CLIPS.get(name) or pipelines.CODECS[name]


def is_heard(name):
    """Whether HLS carries the sound of a stream."""
    sound = codecs_of(name)[1]
    return sound is not None and sound.codecs is not None


class Scene:
    """The cameras, gateways before them, and what readers have kept of them.

    Attributes:
        gateway: with a path for each camera.
        clips: the digests of each clip's pictures, by the clip's name.

    Args:
        folder: for all of it.
        stack: ends it.
        wanted: the streams that are looked at.
    """

    def __init__(self, folder, stack, wanted):
        self.folder = folder
        self._streams = [name for name in STREAMS if name in wanted]
        names = {name.removesuffix(LOW) for name in wanted}
        files = {name: folder / f"{name}.mp4" for name in CLIPS if name in names}
        with ThreadPoolExecutor(2) as two:
            for _ in two.map(lambda name: oddclips.CLIPS[name].make(files[name]), files):
                pass
            self.clips = dict(zip(files, two.map(oddclips.pictures, files.values()), strict=True))
        cameras = {f"/{name}": pipelines.CODECS[name] for name in CAMERAS if name in names}
        clips = {f"/{name}": oddclips.CLIPS[name].variant(path) for name, path in files.items()}
        self.camera = stack.enter_context(GstCamera("h264-small", others=cameras | clips))
        plain = [name for name in self._streams if not name.endswith(LOW)]
        self.gateway = self._gateway(stack, "plain", plain)
        quick = [name.removesuffix(LOW) for name in self._streams if name.endswith(LOW)]
        self._quick = self._gateway(stack, "quick", quick, **LOW_LATENCY)
        self._names = plain
        pool = stack.enter_context(ThreadPoolExecutor(len(self._streams) + 1))
        self._kept = {name: pool.submit(self._keep, name) for name in self._streams}
        self._read = pool.submit(self._read_all)

    def _gateway(self, stack, name, cameras, **changes):
        paths = {camera: {"source": self.camera.url_of(f"/{camera}"), "sourceOnDemand": "no"} for camera in cameras}
        (self.folder / name).mkdir()
        gateway = Gateway(self.folder / name, self.camera.url, paths, **QUICK, **changes).start()
        stack.callback(gateway.kill)
        return gateway

    def _keep(self, name):
        gateway = self._quick if name.endswith(LOW) else self.gateway
        keeper = Keeper(f"{gateway.base}/{name.removesuffix(LOW)}/index.m3u8", self.folder / "kept" / name)
        keeper.probe.wants_sync = not re.search("intra-refresh|open-gop|minutes", name)
        keeper.probe.sound_slack = 1.5  # fifty encoders begin at once: pictures may be later than the sound beside them
        keeper.follow(WATCHED)
        return keeper

    def _read_all(self):
        wait(self._kept.values())  # not all at once

        async def read():
            return await asyncio.gather(*map(self._read_one, self._names), return_exceptions=True)

        return dict(zip(self._names, asyncio.run(read()), strict=True))

    async def _read_one(self, name):
        units = []
        async with asyncio.timeout(60), rtspkit.open(self.camera.url_of(f"/{name}")) as camera:
            async for unit in camera:
                units.append(unit)
                if len([unit for unit in units if unit.track.kind == "video"]) >= 4 * pipelines.RATE:
                    return camera.tracks, units
        raise AssertionError(f"{name} has ended")

    def kept(self, name):
        """What there is of a stream, once it has been followed for long enough."""
        return self._kept[name].result()

    def lines(self):
        """What both gateways have said until all was kept."""
        wait(self._kept.values())
        return [*self.gateway.lines, *self._quick.lines]

    def read(self, name):
        """Tracks and units that `rtspkit.open` gave of a camera."""
        read = self._read.result()[name]
        if isinstance(read, BaseException):
            raise read
        return read


@pytest.fixture(scope="module")
def scene(request, tmp_path_factory):
    require_gstreamer()
    require_ffmpeg()
    here = [item for item in request.session.items if item.module is request.module and hasattr(item, "callspec")]
    with ExitStack() as stack:
        yield Scene(tmp_path_factory.mktemp("codecs"), stack, {item.callspec.params["name"] for item in here})


@pytest.mark.parametrize("name", STREAMS)
def test_it_is_served_as_it_should(scene, name):
    """The rules of HLS, and what the playlist says of the codecs."""
    keeper, variant = scene.kept(name), variant_of(name)
    # how quick a busy machine is, is for others to say
    passed_over = "no new segment within"
    if "no-vui" in name:  # nothing says its rate before it sends
        passed_over += "|without FRAME-RATE"
    else:
        assert float(keeper.attributes["FRAME-RATE"]) == pytest.approx(variant.rate, abs=0.01)
    keeper.probe.problems = [text for text in keeper.probe.problems if not re.search(passed_over, text)]
    keeper.probe.check()
    wanted = [codec for codec in codecs_of(name) if codec and codec.codecs]
    assert re.fullmatch(",".join(codec.codecs for codec in wanted), keeper.attributes["CODECS"]), keeper.attributes
    assert keeper.attributes["RESOLUTION"] == "{}x{}".format(*variant.size)
    streams = keeper.streams()
    assert [stream["codec_name"] for stream in streams] == [codec.name for codec in wanted]
    assert (streams[0]["width"], streams[0]["height"]) == variant.size


@pytest.mark.parametrize("name", STREAMS)
def test_every_picture_comes_out(scene, name):
    """As many as went in: they are evenly apart, ffmpeg decodes each, and those of a clip are the clip's."""
    keeper, rate = scene.kept(name), variant_of(name).rate
    timescale, samples = keeper.samples("vide")
    assert len(samples) >= (WATCHED - 4) * rate
    # the end may lack B-pictures that are shown before the last ones; GStreamer rounds its nanoseconds
    times = sorted(sample.pts for sample in samples)[:-4]
    apart = [after - before for before, after in pairwise(times)]
    assert all(abs(ticks - timescale / rate) <= 2 for ticks in apart), apart
    pictures = keeper.pictures()
    # who begins at a CRA picture cannot have those that refer to what was before it
    leading = 3 if name == "clip-h265-open-gop" else 0
    assert len(samples) - leading <= len(pictures) <= len(samples)
    clip = name.removesuffix(LOW)
    if clip in scene.clips:
        went_in, came_out = scene.clips[clip], pictures[:-4]
        assert any(went_in[n : n + len(came_out)] == came_out for n in range(len(went_in))), "other pictures"


@pytest.mark.parametrize("name", [*filter(is_heard, STREAMS)])
def test_it_is_heard(scene, name):
    """All the sound, in units of one length, and the tone that went in."""
    keeper, variant = scene.kept(name), variant_of(name)
    timescale, samples = keeper.samples("soun")
    ticks = codecs_of(name)[1].ticks or samples[-1].duration
    # where silence stood for sound that was late, the sound begins behind a unit that fills the rest
    assert not [(n, sample.duration) for n, sample in enumerate(samples) if sample.duration != ticks and n]
    seconds = len(samples) * ticks / timescale
    assert seconds == pytest.approx(len(keeper.samples("vide")[1]) / variant.rate, abs=0.5)
    tone = keeper.sound()
    assert (tone.sample_rate, tone.channels) == (variant.sample_rate, variant.channels)
    assert tone.seconds == pytest.approx(seconds, abs=0.1)
    for at in (1, tone.seconds / 2, tone.seconds - 1):
        amplitude, share = tone.purity(pipelines.TONE, at)
        assert amplitude == pytest.approx(0.5, rel=0.1)
        assert share > 0.97


@pytest.mark.parametrize("name", [name for name in CAMERAS if codecs_of(name)[1] and not is_heard(name)])
def test_what_hls_cannot_carry_is_left_out(scene, name):
    """One line says so, and the picture goes on."""
    scene.kept(name)
    (line,) = (line for line in scene.gateway.lines if f"[muxer {name}]" in line and "skipping" in line)
    assert f"WAR [HLS] [muxer {name}] skipping track 2 ({codecs_of(name)[1].name})" in line


def test_the_gateways_complain_of_nothing_else(scene):
    for line in scene.lines():
        assert "Traceback" not in line
        assert "ERR " not in line or "ended the session" in line  # a clip is over


@pytest.mark.parametrize("name", [*CAMERAS, *CLIPS])
def test_the_library_reads_it(scene, name):
    """Tracks, and units without one that is missing."""
    tracks, units = scene.read(name)
    wanted = [codec for codec in codecs_of(name) if codec]
    assert [track.codec for track in tracks] == [codec.codec for codec in wanted]
    assert not any(unit.damaged for unit in units)
    times = sorted(unit.pts for unit in units if unit.track.kind == "video")[:-4]
    assert all(abs(b - a - 90000 / variant_of(name).rate) <= 2 for a, b in pairwise(times))
    heard = [unit for unit in units if unit.track.kind == "audio"]
    assert bool(heard) == (len(wanted) == 2)
    # each begins where the one before ends
    assert not [(a, b) for a, b in pairwise(heard) if abs(b.pts - a.pts - unit_ticks(a.track, a.data)) > 2]
