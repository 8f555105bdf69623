"""A muxer given G.711 or L16: every sample comes out of what it serves, at its time, beside the pictures or alone."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import boxes
import pytest
import reference_flac
from fragments import VIDEO, make_run
from real.playlists import read_media, read_multivariant

from rtspkit.errors import LocalProtocolError, UnsupportedError
from rtspkit.media import SAMPLE, AccessUnit, Codec, Fragment, PCMParameters, Run, Track
from rtspkit.muxer import Muxer, Response

WALL = 1_700_000_000.0
G722 = Track(1, "audio", "g722", 8000, PCMParameters(16_000, 1, 4))


def pcm_track(codec: Codec = "pcma", rate: int = 8000, channels: int = 1, index: int = 1) -> Track:
    return Track(index, "audio", codec, rate, PCMParameters(rate, channels, 16 if codec == "l16" else 8))


class Camera:
    """25 pictures a second, and packets of 20 ms of sound; what it has sent of that is in `sent`."""

    def __init__(self, sound: Track, *, has_video: bool = True) -> None:
        self.tracks = (VIDEO, sound) if has_video else (sound,)
        self.sound, self.has_video = sound, has_video
        assert isinstance(sound.parameters, PCMParameters)
        self.width = sound.parameters.channels * sound.parameters.bits // 8
        self.sent = b""
        self.time = 0  # units of 20 ms
        self._random = random.Random(1)

    def packets(self, count: int, missing: tuple[int, ...] = ()) -> Run:
        """The next so many packets, less those that are missing."""
        instants = self.sound.clock_rate // 50
        records, data = [], []
        for number in range(count):
            if number in missing:
                continue
            packet = self._random.randbytes(instants * self.width)
            flags = 1 | (2 if number - 1 in missing else 0)
            pts = (self.time + number) * instants
            records.append(SAMPLE.pack(pts, 10**12 + pts * 10**9 // self.sound.clock_rate, len(packet), flags))
            data.append(packet)
        self.sent += b"".join(data)
        return Run(self.sound.index, b"".join(records), b"".join(data))

    def fragment(self, count: int = 50, *, missing: tuple[int, ...] = (), discontinuity: bool = False) -> Fragment:
        """So many units of 20 ms; two of them are a picture."""
        sound = self.packets(count, missing)
        runs = [sound] if sound.samples else []
        start = self.time * 1800
        self.time += count
        if self.has_video:
            runs.insert(0, make_run(0, range(start, self.time * 1800, 3600), arrival=1000.0 + start / 90_000))
        next_pts = self.time * 1800 if self.has_video else None
        return Fragment(self.tracks, tuple(runs), True, discontinuity=discontinuity, next_pts=next_pts)


def make(camera: Camera, **options: object) -> Muxer:
    return Muxer(camera.tracks, segment_count=20, now=1000.0, wall=WALL, **options)  # type: ignore[arg-type]


def feed(muxer: Muxer, camera: Camera, count: int, *, units: int = 50) -> None:
    for _ in range(count):
        fragment = camera.fragment(units)
        now = camera.time / 50
        muxer.write(fragment, now=1000.0 + now, wall=WALL + now)


def body(response: Response | None) -> bytes:
    assert response is not None
    assert response.status == 200
    assert isinstance(response.body, tuple)
    return b"".join(response.body)


def served(muxer: Muxer) -> tuple[bytes, bytes]:
    """The init section and the media of all segments."""
    listed = read_media(body(muxer.get("stream.m3u8")).decode())
    init = body(muxer.get(f"{muxer.epoch}/init_0.mp4"))
    return init, b"".join(body(muxer.get(segment.uri)) for segment in listed.segments if not segment.is_gap)


def sound_of(media: bytes, track_id: int) -> list[boxes.Sample]:
    return [
        sample
        for fragment in boxes.fragments(media)
        for run in fragment.runs
        if run.track_id == track_id
        for sample in run.samples
    ]


def decoded(samples: list[boxes.Sample]) -> list[tuple[int, ...]]:
    """The samples of each channel."""
    frames = [reference_flac.read_frame(sample.data)[2] for sample in samples]
    return [tuple(value for frame in frames for value in frame[channel]) for channel in range(len(frames[0]))]


@pytest.mark.parametrize(
    ("codec", "rate", "channels"), [("pcma", 8000, 1), ("pcmu", 8000, 1), ("l16", 16_000, 1), ("l16", 44_100, 2)]
)
@pytest.mark.parametrize("has_video", [True, False])
def test_every_sample_comes_out(codec: Codec, rate: int, channels: int, has_video: bool) -> None:
    camera = Camera(pcm_track(codec, rate, channels, int(has_video)), has_video=has_video)
    muxer = make(camera, segment_duration=1.0)
    seconds = 9 if rate < 20_000 else 3
    feed(muxer, camera, seconds)
    (variant,) = read_multivariant(body(muxer.get("index.m3u8")).decode())
    assert variant.attributes["CODECS"] == ("avc1.640028,fLaC" if has_video else "fLaC")
    init, media = served(muxer)
    assert b"fLaC" in init
    found = decoded(sound_of(media, 2 if has_video else 1))
    sent = reference_flac.expand(codec, camera.sent)
    for channel, values in enumerate(found):
        assert len(values) >= (seconds - 1.2) * rate
        assert list(values) == sent[channel::channels][: len(values)]
    assert muxer.media_stats.dropped_units == muxer.media_stats.silent_units == 0


def test_parts_have_pictures_and_sound_that_belong_together() -> None:
    camera = Camera(pcm_track("pcmu"))
    muxer = make(camera, segment_duration=4.0, part_duration=0.2)
    feed(muxer, camera, 50, units=10)
    _, media = served(muxer)
    samples = sound_of(media, 2)
    assert list(decoded(samples)[0]) == reference_flac.expand("pcmu", camera.sent)[: 320 * len(samples)]
    ends: dict[int, int] = {}
    for fragment in boxes.fragments(media):
        ends |= {run.track_id: run.end for run in fragment.runs}
        assert abs(ends[1] / 90_000 - ends[2] / 8000) <= 0.041


def test_a_lost_packet_keeps_sound_beside_the_pictures() -> None:
    camera = Camera(pcm_track())
    muxer = make(camera, segment_duration=1.0)
    muxer.write(camera.fragment(50, missing=(10, 11, 30)), now=1001.0, wall=WALL + 1)
    for second in range(2, 8):
        muxer.write(camera.fragment(), now=1000.0 + second, wall=WALL + second)
    _, media = served(muxer)
    values = decoded(sound_of(media, 2))[0]
    sent = reference_flac.expand("pcma", camera.sent)
    expected = sent[:1600] + [0] * 320 + sent[1600 : 1600 + 18 * 160] + [0] * 160 + sent[1600 + 18 * 160 :]
    assert list(values) == expected[: len(values)]


#: Timestamps that cameras make of those they should have, by the packet's number.
MAD = {
    "stands": lambda number, pts: 0,
    "twice as fast": lambda number, pts: 2 * pts,
    "half as fast": lambda number, pts: pts // 2,
    "90 kHz": lambda number, pts: pts * 90_000 // 8000,
    "milliseconds": lambda number, pts: pts // 8,
    "ten with the same": lambda number, pts: number // 10 * 1600,
    "late": lambda number, pts: pts - 1200 * (number % 7 == 3),
}


@pytest.mark.parametrize("name", MAD)
def test_mad_timestamps_cost_no_sound(name: str) -> None:
    camera = Camera(pcm_track())
    muxer = make(camera, segment_duration=1.0)
    for second in range(12):
        fragment = camera.fragment()
        video, sound = fragment.runs
        records = [
            (MAD[name](50 * second + number, pts), *rest)
            for number, (pts, *rest) in enumerate(SAMPLE.iter_unpack(sound.samples))
        ]
        sound = sound._replace(samples=b"".join(SAMPLE.pack(*record) for record in records))
        muxer.write(fragment._replace(runs=(video, sound)), now=1001.0 + second, wall=WALL + 1 + second)
    samples = sound_of(served(muxer)[1], 2)
    values = list(decoded(samples)[0])
    sent = reference_flac.expand("pcma", camera.sent)
    assert len(values) > 10 * 8000
    # in the first two seconds a packet or two may step before they are disbelieved
    start = next(n for n in range(-320, 3 * 160 + 1, 160) if values[16_000:16_320] == sent[16_000 - n : 16_320 - n])
    assert values[16_000:] == sent[16_000 - start : len(values) - start]
    assert muxer.media_stats.dropped_units <= (name == "90 kHz")
    assert muxer.media_stats.silent_units == 0
    # and it stays beside the pictures
    assert abs(samples[-1].pts - (len(values) - 320 - start)) <= 0.1 * 8000


def test_sound_that_stops_is_silence_and_comes_back() -> None:
    camera = Camera(pcm_track())
    muxer = make(camera, segment_duration=1.0)
    feed(muxer, camera, 2)
    for second in range(3, 6):
        muxer.write(camera.fragment(50, missing=tuple(range(50))), now=1000.0 + second, wall=WALL + second)
    feed(muxer, camera, 4)
    assert muxer.media_stats.silent_units > 60
    samples = sound_of(served(muxer)[1], 2)
    assert all(sample.duration for sample in samples)
    values = decoded(samples)[0]
    sent = reference_flac.expand("pcma", camera.sent)
    assert list(values[: 2 * 8000 - 320]) == sent[: 2 * 8000 - 320]
    assert values[16_000:39_680] == (0,) * 23_680
    assert set(values[40_320:]) - {0}


def test_a_camera_that_comes_back_goes_on_behind_a_discontinuity() -> None:
    camera = Camera(pcm_track())
    muxer = make(camera, segment_duration=1.0)
    feed(muxer, camera, 3)
    muxer.interrupt()
    other = Camera(pcm_track())
    assert muxer.accepts(other.tracks)
    assert not muxer.accepts(Camera(pcm_track("l16", 16_000)).tracks)
    assert not muxer.accepts((VIDEO, G722))
    for second in range(4):
        fragment = other.fragment(discontinuity=second == 0)
        muxer.write(fragment, now=1004.0 + second, wall=WALL + 4 + second)
    assert muxer.media_stats.dropped_fragments == 0
    listed = read_media(body(muxer.get("stream.m3u8")).decode())
    assert {segment.discontinuity for segment in listed.segments} == {
        listed.discontinuity_sequence,
        listed.discontinuity_sequence + 1,
    }


def test_units_one_by_one() -> None:
    camera = Camera(pcm_track())
    muxer = make(camera, segment_duration=1.0)
    data = b"".join(bytes([n % 256]) * 160 for n in range(400))
    for n in range(400):
        if n % 2 == 0:
            is_sync = n % 50 == 0
            muxer.write_unit(AccessUnit(VIDEO, n * 1800, is_sync, b"\0\0\0\1\x65", arrival=1000 + n / 50))
        unit = AccessUnit(camera.sound, n * 160, True, data[n * 160 : n * 160 + 160], arrival=1000 + n / 50)
        muxer.write_unit(unit)
    values = decoded(sound_of(served(muxer)[1], 2))[0]
    assert len(values) > 5 * 8000
    assert list(values) == reference_flac.expand("pcma", data)[: len(values)]


def test_what_cannot_be_carried_is_named_and_the_rest_plays() -> None:
    muxer = Muxer((VIDEO, G722), now=1000.0, wall=WALL)
    assert (muxer.tracks, muxer.skipped) == ((VIDEO,), ("track 2 (G722)",))
    assert muxer.accepts((VIDEO, G722))
    for second in range(6):
        run = make_run(0, range(second * 90_000, (second + 1) * 90_000, 3600))
        sound = make_run(1, range(second * 8000, (second + 1) * 8000, 160))
        muxer.write(Fragment((VIDEO, G722), (run, sound), True), now=1000.0 + second, wall=WALL + second)
    assert muxer.media_stats.dropped_fragments == 0
    _, media = served(muxer)
    assert {run.track_id for fragment in boxes.fragments(media) for run in fragment.runs} == {1}
    with pytest.raises(UnsupportedError, match=r"HLS can carry nothing .*: track 2 \(G722\)"):
        Muxer((G722,), now=1000.0, wall=WALL)
    with pytest.raises(LocalProtocolError):
        Muxer((), now=1000.0, wall=WALL)
    # the first that can be carried plays, whichever comes first
    assert Muxer((VIDEO, G722, pcm_track(index=2)), now=1000.0, wall=WALL).tracks[1].codec == "flac"


def test_a_run_that_contradicts_itself_is_counted() -> None:
    camera = Camera(pcm_track())
    muxer = make(camera)
    good = camera.fragment()
    bad = good._replace(runs=(good.runs[0], good.runs[1]._replace(data=b"x")))
    muxer.write(bad, now=1000.0, wall=WALL)
    assert muxer.media_stats.dropped_fragments == 1
    assert "announce" in (muxer.media_stats.last_error or "")


def test_sound_alone_with_parts() -> None:
    """Fragments end where the muxer asks them to, in the midst of a block."""
    camera = Camera(pcm_track(index=0), has_video=False)
    muxer = make(camera, segment_duration=1.0, part_duration=0.2)
    for _ in range(300):
        cut, count = muxer.next_cut, 1
        while cut is not None and (camera.time + count) * 160 < cut and count < 50:
            count += 1
        fragment = camera.fragment(count)
        muxer.write(fragment, now=1000.0 + camera.time / 50, wall=WALL + camera.time / 50)
    assert camera.time / 50 > 30
    text = body(muxer.get("stream.m3u8")).decode()
    durations = [float(value) for value in re.findall(r"EXT-X-PART:DURATION=([0-9.]+),.*part_", text)]
    assert len(durations) > 10
    assert all(0.17 <= duration <= 0.24 for duration in durations), durations
    values = decoded(sound_of(served(muxer)[1], 1))[0]
    sent = reference_flac.expand("pcma", camera.sent)
    first = next(n for n in range(0, len(sent), 320) if sent[n : n + 320] == list(values[:320]))
    assert list(values) == sent[first : first + len(values)]


@pytest.mark.real
def test_ffmpeg_plays_what_was_sent(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed (Debian package ffmpeg)")
    camera = Camera(pcm_track(index=0), has_video=False)
    muxer = make(camera, segment_duration=1.0)
    feed(muxer, camera, 9)
    init, media = served(muxer)
    file = tmp_path / "sound.mp4"
    file.write_bytes(init + media)
    command = ["ffmpeg", "-nostdin", "-v", "warning", "-xerror", "-err_detect", "explode+crccheck", "-i", file]
    result = subprocess.run([*command, "-f", "s16le", "-"], capture_output=True, timeout=30, check=True)
    assert result.stderr == b""
    values = memoryview(result.stdout).cast("h").tolist()
    assert len(values) >= 6 * 8000
    assert values == reference_flac.expand("pcma", camera.sent)[: len(values)]
