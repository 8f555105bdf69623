"""G.711 and L16 as FLAC: which tracks, which blocks, at which times; and as ffmpeg decodes it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import reference_flac
from fragments import AUDIO, VIDEO, Source, make_run

from rtspkit import _flac, flac
from rtspkit.errors import UnsupportedError
from rtspkit.media import (
    SAMPLE,
    AACParameters,
    Codec,
    FLACParameters,
    Fragment,
    OpusParameters,
    PCMParameters,
    Run,
    Track,
)
from rtspkit.repack import Carriage, Repacker, carried, silent_block


def pcm_track(codec: Codec = "pcma", rate: int = 8000, channels: int = 1, index: int = 1) -> Track:
    return Track(index, "audio", codec, rate, PCMParameters(rate, channels, 16 if codec == "l16" else 8))


def packets(*times: int, size: int = 160, flags: dict[int, int] | None = None) -> Run:
    """A run with packets of so many bytes at these times; the bytes tell them apart."""
    flags = flags or {}
    records = [SAMPLE.pack(pts, 10 * number, size, 1 | flags.get(number, 0)) for number, pts in enumerate(times)]
    return Run(1, b"".join(records), b"".join(bytes([number % 251 + 1]) * size for number in range(len(times))))


def blocks(run: Run | None) -> list[tuple[int, int, bool, tuple[tuple[int, ...], ...]]]:
    """Time, arrival, whether damaged, and samples of each block."""
    found = []
    offset = 0
    for pts, arrival, size, flags in SAMPLE.iter_unpack(run.samples if run is not None else b""):
        assert flags & 1
        frame = bytes(memoryview(run.data)[offset : offset + size])  # type: ignore[union-attr]
        found.append((pts, arrival, bool(flags & 2), reference_flac.read_frame(frame)[2]))
        offset += size
    return found


# -- what is carried ------------------------------------------------------------------------------------------


def test_what_hls_can_carry() -> None:
    g722 = Track(2, "audio", "g722", 8000, PCMParameters(16_000, 1, 4))
    opus = Track(3, "audio", "opus", 48_000, OpusParameters(2))
    tracks, skipped = carried([VIDEO, pcm_track("pcmu"), g722])
    assert tracks == (VIDEO, Track(1, "audio", "flac", 8000, flac.build_parameters(8000, 1)))
    assert skipped == ("track 3 (G722)",)
    assert carried([]) == ((), ())
    # parameters that come later do not matter yet
    unknown = [Track(0, "video", "h264", 90_000), Track(1, "audio", "aac", 8000), Track(2, "audio", "l16", 8000)]
    assert [track.codec for track in carried(unknown)[0]] == ["h264", "aac", "flac"]
    assert carried([Track(3, "audio", "g726", 8000, PCMParameters(8000, 1, 4))]) == ((), ("track 4 (G726)",))
    assert carried([AUDIO, opus]) == ((AUDIO, opus), ())


@pytest.mark.parametrize(
    ("track", "reason"),
    [
        (pcm_track("l16", 100_000), "FLAC has no sample rate of 100000 Hz"),
        (pcm_track("l16", 48_000, 9), "FLAC has no 9 channels"),
        (Track(1, "audio", "pcma", 16_000, PCMParameters(8000, 1, 8)), "a clock of 16000 Hz for 8000 samples a second"),
        (Track(1, "audio", "pcma", 8000, OpusParameters(1)), "OpusParameters are no parameters of it"),
        (Track(1, "audio", "aac", 8000, AACParameters(b"\xff")), "AAC config: ends too early"),
    ],
)
def test_sound_that_cannot_be_carried_says_why(track: Track, reason: str) -> None:
    tracks, (name,) = carried([VIDEO, track])
    assert tracks == (VIDEO,)
    assert name.startswith(f"track 2 ({track.codec.upper()}, ")
    assert reason in name
    if track.codec != "aac":
        with pytest.raises(UnsupportedError, match=reason):
            Repacker(track)


def test_only_pcm_is_repacked() -> None:
    for track in (VIDEO, AUDIO, Repacker(pcm_track()).track, Track(1, "audio", "pcma", 8000)):
        with pytest.raises(UnsupportedError, match="no FLAC can be made of"):
            Repacker(track)


@pytest.mark.parametrize(
    "arguments", [("aac", 1, 320), ("pcma", 0, 320), ("pcma", 9, 320), ("pcma", 1, 15), ("pcma", 1, 4097)]
)
def test_what_the_encoder_refuses(arguments: tuple[str, int, int]) -> None:
    codec, channels, size = arguments
    with pytest.raises(ValueError, match="FLAC cannot be made of"):
        _flac.Encoder(codec, channels=channels, sample_rate=8000, rate_code=4, block_size=size)


# -- blocks and their times -----------------------------------------------------------------------------------


def test_whole_blocks_come_out_and_the_rest_waits() -> None:
    repacker = Repacker(pcm_track())
    assert repacker.track == Track(1, "audio", "flac", 8000, flac.build_parameters(8000, 1))
    assert repacker.repack(packets(1000)) is None  # 160 of 320
    (block,) = blocks(repacker.repack(packets(1160, 1320)))
    assert block[:3] == (1000, 0, False)
    assert block[3][0] == tuple(reference_flac.expand("pcma", b"\x01" * 320))
    assert [pts for pts, *_ in blocks(repacker.repack(packets(1480, 1640, 1800)))] == [1320, 1640]


def test_jitter_tears_nothing_and_drift_is_followed() -> None:
    repacker = Repacker(pcm_track())
    jitter = [0, 50, -60, 100, -90]
    run = repacker.repack(packets(*(5000 + 160 * n + jitter[n % 5] for n in range(600))))
    found = blocks(run)
    assert len(found) == 300
    assert not any(damaged for _, _, damaged, _ in found)
    assert all(abs(pts - (5000 + 320 * n)) <= 20 for n, (pts, *_) in enumerate(found))
    # a camera whose sample clock is 0.1 % slow: after ten minutes its sound is still where its timestamps are
    repacker = Repacker(pcm_track())
    times = [round(160.16 * n) for n in range(30_000)]
    slow = repacker.repack(packets(*times))
    assert slow is not None
    records = list(SAMPLE.iter_unpack(slow.samples))
    assert len(records) == 15_000
    assert all(abs(record[0] - 320.32 * n) < 40 for n, record in enumerate(records))


def test_a_lost_packet_is_silence_of_its_length() -> None:
    repacker = Repacker(pcm_track())
    found = blocks(repacker.repack(packets(0, 160, 480, 640, 800, flags={2: 2})))
    assert [(pts, damaged) for pts, _, damaged, _ in found] == [(0, False), (320, True), (640, False)]
    assert found[1][3][0] == (0,) * 160 + tuple(reference_flac.expand("pcma", b"\x03" * 160))


def test_a_hole_is_silence_up_to_a_fifth_of_a_second_then_a_new_time() -> None:
    repacker = Repacker(pcm_track())
    found = blocks(repacker.repack(packets(0, 160 + 1600, 160 + 1600 + 160, flags={1: 2})))
    assert [pts for pts, *_ in found] == [0, 320, 640, 960, 1280, 1600]
    assert found[2][3][0] == (0,) * 320
    assert sum(value != 0 for block in found for value in block[3][0]) == 320  # and 160 that wait
    for flags in (1, 2):
        repacker = Repacker(pcm_track())
        found = blocks(repacker.repack(packets(0, 160 + 1601, 160 + 1601 + 160, flags={1: flags})))
        assert [(pts, damaged) for pts, _, damaged, _ in found] == [(0, True), (1761, flags == 2)]
        assert found[0][3][0][160:] == (0,) * 160


def test_a_small_step_of_which_nothing_is_missing_is_made_up_for_by_and_by() -> None:
    repacker = Repacker(pcm_track())
    run = repacker.repack(packets(*(160 * n + 1600 * (n > 9) for n in range(2000))))
    assert run is not None
    times = [record[0] for record in SAMPLE.iter_unpack(run.samples)]
    assert {after - before for before, after in pairwise(times)} == {320, 321, 322}
    assert times[-1] == 320 * 999 + 1600


@pytest.mark.parametrize(("factor", "most"), [(0.0, 80), (0.5, 80), (0.98, 800), (1.02, 800), (2.0, 80), (11.25, 480)])
def test_a_clock_of_another_rate_is_not_followed(factor: float, most: int) -> None:
    repacker = Repacker(pcm_track())
    found = blocks(repacker.repack(packets(*(round(160 * n * factor) for n in range(6000)))))
    assert len(found) >= 3000
    assert all(abs(pts - 320 * (n - len(found) + 3000)) <= most for n, (pts, *_) in enumerate(found) if n > 50)


def test_a_time_that_was_not_believed_is_once_it_goes_on_as_the_samples_do() -> None:
    repacker = Repacker(pcm_track())
    times = [160 * n if n < 500 else 160 * n + min(100 * (n - 500), 4000) for n in range(700)]
    found = blocks(repacker.repack(packets(*times)))
    steps = [(n, after[0] - before[0]) for n, (before, after) in enumerate(pairwise(found))]
    assert max(step for _, step in steps) > 3000
    assert next(n for n, step in steps if step > 3000) < 270 + 2 * 25
    assert abs(found[-1][0] + 320 - times[-1]) <= 320


def test_a_step_back_and_a_new_start_are_a_new_time() -> None:
    repacker = Repacker(pcm_track())
    found = blocks(repacker.repack(packets(10_000, 160, 320)))
    assert [(pts, damaged) for pts, _, damaged, _ in found] == [(10_000, True), (160, False)]
    assert repacker.repack(packets(480)) is None
    repacker.restart()
    assert [pts for pts, *_ in blocks(repacker.repack(packets(7, 167)))] == [7]


def test_what_makes_no_whole_sample_is_left_out() -> None:
    repacker = Repacker(pcm_track("l16", 8000, 2))
    assert repacker.repack(packets(0, 1, size=3)) is None
    run = repacker.repack(packets(*range(0, 10 * 160, 160), size=642))
    assert len(blocks(run)) == 5
    for samples, data in ((b"x", b""), (SAMPLE.pack(0, 0, 2, 1), b"x")):
        with pytest.raises(ValueError, match=r"no whole number|announce"):
            repacker.repack(Run(1, samples, data))


def test_numbers_of_frames_grow_past_one_byte() -> None:
    repacker = Repacker(pcm_track())
    found = []
    for second in range(100):
        run = repacker.repack(packets(*range(second * 8000, (second + 1) * 8000, 160))._replace(data=bytes(8000)))
        assert run is not None
        offset = 0
        for _, _, size, _ in SAMPLE.iter_unpack(run.samples):
            found.append(reference_flac.read_frame(bytes(run.data)[offset : offset + size])[0])
            offset += size
    assert found == list(range(2500))


def test_silence_is_a_block_of_few_bytes() -> None:
    for rate, channels in ((8000, 1), (44_100, 2), (11_025, 1)):
        parameters = flac.build_parameters(rate, channels)
        block = silent_block(parameters)
        assert len(block) < 24
        size = flac.parse_stream_info(parameters.stream_info).block_size
        assert reference_flac.read_frame(block) == (0, rate, ((0,) * size,) * channels)
    with pytest.raises(UnsupportedError):
        silent_block(FLACParameters(struct.pack(">HH6xQ16x", 4608, 4608, 8000 << 44)))


# -- fragments ------------------------------------------------------------------------------------------------


def test_a_fragment_that_needs_nothing_passes_as_it_is() -> None:
    carriage = Carriage([VIDEO, AUDIO])
    fragment = Source().fragment()
    assert carriage.take(fragment) is fragment
    assert carriage.take(fragment) is fragment


def test_sound_in_a_fragment_is_replaced_and_its_clock_corrected() -> None:
    tracks = (pcm_track(index=0), Track(1, "video", "h264", 90_000, VIDEO.parameters))
    carriage = Carriage(tracks)
    picture = make_run(1, [0])
    sound = packets(0, 160, 320)._replace(track=0)
    found = carriage.take(Fragment(tracks, (sound, picture), True, wall_clock=100.0))
    assert found.tracks is carriage.tracks
    assert (len(blocks(found.runs[0])), found.runs[1], found.wall_clock) == (1, picture, 100.0)
    # 160 are left of the first: the next block begins 20 ms before the fragment does
    found = carriage.take(Fragment(tracks, (packets(480)._replace(track=0), picture), True, wall_clock=100.06))
    assert blocks(found.runs[0])[0][0] == 320
    assert found.wall_clock == pytest.approx(100.04)
    assert found.tracks is carriage.tracks
    # no block is complete: then the first unit is another track's, and nothing is known of it
    found = carriage.take(Fragment(tracks, (packets(640)._replace(track=0), picture), True, wall_clock=100.08))
    assert (found.runs, found.wall_clock) == ((picture,), None)
    # what is held does not survive a discontinuity
    found = carriage.take(Fragment(tracks, (packets(0, 160)._replace(track=0),), True, discontinuity=True))
    assert [pts for pts, *_ in blocks(found.runs[0])] == [0]


def test_tracks_that_become_known_or_change() -> None:
    unknown = (Track(0, "video", "h264", 90_000), pcm_track())
    carriage = Carriage(unknown)
    assert [track.parameters is None for track in carriage.tracks] == [True, False]
    assert carriage.take(Fragment(unknown, (packets(0),), True)).runs == ()
    known = (VIDEO, pcm_track())
    found = carriage.take(Fragment(known, (packets(160),), True))
    assert found.tracks == carriage.tracks == (VIDEO, Repacker(pcm_track()).track)
    assert [pts for pts, *_ in blocks(found.runs[0])] == [0]  # what was held is still there
    stereo = (VIDEO, pcm_track(channels=2))
    found = carriage.take(Fragment(stereo, (packets(320, size=640),), True))
    assert found.tracks[1].parameters == flac.build_parameters(8000, 2)
    assert [pts for pts, *_ in blocks(found.runs[0])] == [320]


def test_tracks_stay_what_they_were_decided_to_be() -> None:
    carriage = Carriage([VIDEO, AUDIO])
    broken = (VIDEO, replace(AUDIO, parameters=AACParameters(b"\xff")))
    runs = (make_run(0, [0]), make_run(1, [0]))
    for tracks in (broken, (VIDEO, Track(1, "audio", "g722", 8000, PCMParameters(16_000, 1, 4)))):
        found = carriage.take(Fragment(tracks, runs, True, wall_clock=5.0))
        assert (found.tracks, found.runs, found.wall_clock) == ((VIDEO, AUDIO), runs[:1], 5.0)
    assert carriage.take(Fragment((VIDEO, AUDIO), runs, True)).runs == runs
    # parameters that have to come anew
    found = carriage.take(Fragment((VIDEO, replace(AUDIO, parameters=None)), runs, True))
    assert (found.tracks, found.runs) == ((VIDEO, AUDIO), runs)
    found = Carriage([VIDEO, pcm_track()]).take(Fragment((VIDEO, replace(pcm_track(), parameters=None)), runs, True))
    assert (found.tracks[1].codec, found.runs) == ("flac", runs[:1])
    carriage = Carriage([VIDEO])
    found = carriage.take(Fragment((VIDEO, AUDIO), runs, True))
    assert (found.tracks, found.runs) == ((VIDEO,), runs[:1])
    assert carriage.take(Fragment((VIDEO,), runs[:1], True)).tracks == (VIDEO,)
    # one that is not there any more is a change that a muxer refuses
    assert Carriage([VIDEO, AUDIO]).take(Fragment((VIDEO,), runs[:1], True)).tracks == (VIDEO,)


# -- with a decoder of other people ---------------------------------------------------------------------------


def flac_file(parameters: FLACParameters, frames: bytes) -> bytes:
    return b"fLaC\x80\0\0\x22" + parameters.stream_info + frames


@pytest.mark.real
@pytest.mark.parametrize(
    ("codec", "name", "rate", "channels"),
    [
        ("pcma", "alaw", 8000, 1),
        ("pcmu", "mulaw", 8000, 1),
        ("pcma", "alaw", 16_000, 2),
        ("l16", "s16be", 8000, 1),
        ("l16", "s16be", 44_100, 2),
        ("l16", "s16be", 48_000, 6),
        ("l16", "s16be", 96_000, 2),
    ],
)
def test_ffmpeg_decodes_every_bit(codec: Codec, name: str, rate: int, channels: int, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed (Debian package ffmpeg)")
    repacker = Repacker(pcm_track(codec, rate, channels))
    assert isinstance(repacker.track.parameters, FLACParameters)
    size = flac.parse_stream_info(repacker.track.parameters.stream_info).block_size
    # all codes, noise at four levels, and tones: 50 blocks
    raw = (tmp_path / "raw").as_posix()
    noise = f"aevalsrc='random(0)*pow(0.1,floor(t*8))*2-1*pow(0.1,floor(t*8))':s={rate}:d=3"
    source = f"{noise},aformat=channel_layouts={channels}c"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y"]
    encode = [*command, "-f", "lavfi", "-i", source, "-ac", str(channels), "-f", name, raw]
    subprocess.run(encode, check=True, timeout=30)
    width = channels * (2 if codec == "l16" else 1)
    coded = bytes(range(256)) * 24 * channels + Path(raw).read_bytes()
    coded = coded[: len(coded) // (width * size) * width * size]
    packet = width * (rate // 50)
    parts = [coded[offset : offset + packet] for offset in range(0, len(coded), packet)]
    frames = b""
    for number, part in enumerate(parts):
        run = repacker.repack(Run(1, SAMPLE.pack(number * (rate // 50), 0, len(part), 1), part))
        frames += bytes(run.data) if run is not None else b""
    file = tmp_path / "sound.flac"
    file.write_bytes(flac_file(repacker.track.parameters, frames))
    strict = ["-xerror", "-err_detect", "explode+crccheck"]
    decoded = subprocess.run(
        [*command, *strict, "-i", file, "-f", "s16le", "-"], capture_output=True, timeout=30, check=True
    )
    plain = subprocess.run(
        [*command, "-f", name, "-ar", str(rate), "-ac", str(channels), "-i", "-", "-f", "s16le", "-"],
        input=coded,
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert decoded.stderr == b""
    assert len(decoded.stdout) > 2 * 2 * rate * channels
    assert decoded.stdout == plain.stdout
