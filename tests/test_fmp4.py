"""What the fMP4 writer writes, as a reader finds it; and as ffmpeg decodes it."""

import contextlib
import json
import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import boxes
import pytest
import test_h264
from reference_fmp4 import pack_samples

from rtspkit import aac, flac, h264
from rtspkit.errors import LocalProtocolError, RemoteProtocolError, UnsupportedError
from rtspkit.fmp4 import init_section, write_fragment
from rtspkit.media import SAMPLE_SIZE, AACParameters, H264Parameters, Track

SPS = bytes.fromhex("6764001eacd940a02fb011000003000100000300320f162d96")
PPS = bytes.fromhex("68ebe3cb22c0")
BASELINE_SPS = bytes.fromhex("6742c028d900780227e584000003000400000300f03c60c920")
VIDEO = Track(0, "video", "h264", 90000, H264Parameters(SPS, (PPS,)))
AUDIO = Track(1, "audio", "aac", 16000, AACParameters(bytes.fromhex("1408")))


def read_init(data):
    """The facts of an init section, a dict a track; AssertionError where one part contradicts another."""
    root = boxes.parse(data)
    assert [box.kind for box in root.children] == [b"ftyp", b"moov"]
    assert b"iso6" in root.one("ftyp").payload
    moov = root.one("moov")
    extended = [struct.unpack(">IIIIII", trex.payload)[1:3] for trex in moov.all("mvex/trex")]
    found = []
    for trak in moov.all("trak"):
        tkhd = trak.one("tkhd").payload
        flags, _, _, track_id = struct.unpack_from(">IIII", tkhd)
        assert flags == 3
        assert len(tkhd) == 84
        mdhd = struct.unpack(">IIIIIHH", trak.one("mdia/mdhd").payload)
        width, height = struct.unpack(">II", tkhd[-8:])
        for table in ("stts", "stsc", "stco", "stsz"):
            assert trak.one(f"mdia/minf/stbl/{table}").payload == bytes(12 if table == "stsz" else 8)
        (entry,) = trak.one("mdia/minf/stbl/stsd").children
        track = {
            "track_id": track_id,
            "width": width >> 16,
            "height": height >> 16,
            "timescale": mdhd[3],
            "handler": trak.one("mdia/hdlr").payload[8:12].decode(),
            "sample_entry": entry.kind.decode(),
        }
        if entry.kind in {b"avc1", b"hvc1"}:
            name = "avcC" if entry.kind == b"avc1" else "hvcC"
            track["entry_width"], track["entry_height"] = struct.unpack_from(">HH", entry.payload, 24)
            track[f"{name}_hex"] = entry.one(name).payload.hex()
            track["pasp"] = [struct.unpack(">II", box.payload) for box in entry.all("pasp")]
            trak.one("mdia/minf/vmhd")
        else:
            track["channels"], track["sample_size"] = struct.unpack_from(">HH", entry.payload, 16)
            track["rate"] = struct.unpack_from(">I", entry.payload, 24)[0] >> 16
            if entry.kind == b"Opus":
                track["dOps_hex"] = entry.one("dOps").payload.hex()
            elif entry.kind == b"fLaC":
                track["dfLa_hex"] = entry.one("dfLa").payload.hex()
            else:
                track["asc_hex"] = _read_esds(entry.one("esds").payload).hex()
            trak.one("mdia/minf/smhd")
        found.append(track)
    assert extended == [(track["track_id"], 1) for track in found]
    (next_track_id,) = struct.unpack(">I", moov.one("mvhd").payload[-4:])
    assert next_track_id > max(track["track_id"] for track in found)
    return found


def _read_descriptor(data, tag):
    assert data[0] == tag
    size = 0
    for position in range(1, 5):
        size = size << 7 | data[position] & 0x7F
        if not data[position] & 0x80:
            break
    return data[position + 1 : position + 1 + size], data[position + 1 + size :]


def _read_esds(payload):
    assert payload[:4] == bytes(4)
    stream, rest = _read_descriptor(payload[4:], 3)
    assert rest == b""
    decoder, rest = _read_descriptor(stream[3:], 4)
    assert decoder[:2] == b"\x40\x15"
    assert _read_descriptor(rest, 6) == (b"\x02", b"")
    config, rest = _read_descriptor(decoder[13:], 5)
    assert rest == b""
    return config


# -- init section -----------------------------------------------------------------------------------------------------


def test_init_section_of_two_tracks():
    video, audio = read_init(init_section([VIDEO, AUDIO]))
    assert (video["track_id"], video["timescale"], video["handler"]) == (1, 90000, "vide")
    assert (video["width"], video["height"], video["entry_width"], video["entry_height"]) == (640, 368, 640, 368)
    assert video["avcC_hex"] == f"0164001effe10019{SPS.hex()}010006{PPS.hex()}fdf8f800"
    assert video["pasp"] == []
    assert audio == {
        "track_id": 2,
        "width": 0,
        "height": 0,
        "timescale": 16000,
        "handler": "soun",
        "sample_entry": "mp4a",
        "channels": 1,
        "sample_size": 16,
        "rate": 16000,
        "asc_hex": "1408",
    }


def test_avcc_of_baseline_has_no_extension_and_takes_every_pps():
    parameters = H264Parameters(b"\0\0\0\1" + BASELINE_SPS + b"\0\0\0\1", (b"\x68\xce", b"\x68\xcf\0"))
    (video,) = read_init(init_section([Track(0, "video", "h264", 90000, parameters)]))
    assert video["avcC_hex"] == f"0142c028ffe10019{BASELINE_SPS.hex()}02000268ce000268cf"
    assert (video["width"], video["height"]) == (1920, 1080)


def test_samples_that_are_no_squares():
    # 704x576 with samples of 12:11 (PAL): shown 768 wide
    sps = test_h264.write_sps(width=44, height=36, vui=test_h264.write_vui(sar=(12, 11), aspect_ratio_idc=2))
    (video,) = read_init(init_section([Track(0, "video", "h264", 90000, H264Parameters(sps, (PPS,)))]))
    assert (video["entry_width"], video["entry_height"], video["pasp"]) == (704, 576, [(12, 11)])
    assert (video["width"], video["height"]) == (768, 576)


@pytest.mark.parametrize(
    ("config", "channels", "rate"), [("1190", 2, 48000), ("1180", 2, 48000), ("10100c08", 2, 0), ("2b8a0800", 1, 44100)]
)
def test_audio_entries(config, channels, rate):
    (audio,) = read_init(init_section([Track(3, "audio", "aac", 48000, AACParameters(bytes.fromhex(config)))]))
    assert (audio["track_id"], audio["channels"], audio["rate"]) == (4, channels, rate)
    assert audio["asc_hex"] == config


@pytest.mark.parametrize(("rate", "channels", "shown"), [(8000, 1, 8000), (48_000, 2, 48_000), (192_000, 6, 48_000)])
def test_flac_entries(rate, channels, shown):
    parameters = flac.build_parameters(rate, channels)
    (audio,) = read_init(init_section([Track(0, "audio", "flac", rate, parameters)]))
    assert (audio["sample_entry"], audio["timescale"], audio["channels"]) == ("fLaC", rate, channels)
    assert (audio["rate"], audio["sample_size"]) == (shown, 16)
    assert audio["dfLa_hex"] == "00000000" + "80000022" + parameters.stream_info.hex()


def test_long_configuration():
    config = bytes.fromhex("1408") + bytes(300)
    (audio,) = read_init(init_section([Track(0, "audio", "aac", 16000, AACParameters(config))]))
    assert audio["asc_hex"] == config.hex()


@pytest.mark.parametrize(
    ("tracks", "error", "message"),
    [
        ([], LocalProtocolError, "at least one track"),
        ([VIDEO, VIDEO], LocalProtocolError, "same index"),
        ([Track(0, "video", "h264", 90000)], LocalProtocolError, r"track 1 \(h264\) has no parameters yet"),
        ([VIDEO, Track(1, "audio", "aac", 8000)], LocalProtocolError, r"track 2 \(aac\) has no parameters yet"),
        ([Track(0, "video", "h264", 90000, H264Parameters(SPS, ()))], LocalProtocolError, "no PPS yet"),
        ([Track(0, "video", "h264", 90000, H264Parameters(SPS, (b"\0",)))], LocalProtocolError, "no PPS yet"),
        ([Track(0, "video", "h264", 90000, H264Parameters(SPS[:6], (PPS,)))], RemoteProtocolError, "ends too early"),
        ([Track(0, "video", "h264", 90000, H264Parameters(SPS, (PPS,) * 256))], UnsupportedError, "more PPS than"),
        ([Track(0, "video", "h264", 90000, H264Parameters(SPS, (PPS * 20000,)))], UnsupportedError, "more PPS than"),
        ([Track(0, "video", "h264", 90000, AUDIO.parameters)], UnsupportedError, "cannot have AACParameters"),
        ([Track(0, "audio", "aac", 8000, AACParameters(b""))], RemoteProtocolError, "AAC config"),
        ([Track(0, "video", "h264", 0, VIDEO.parameters)], LocalProtocolError, "out of range"),
        ([Track(-1, "video", "h264", 90000, VIDEO.parameters)], LocalProtocolError, "out of range"),
    ],
)
def test_init_section_refuses(tracks, error, message):
    with pytest.raises(error, match=message) as caught:
        init_section(tracks)
    assert "\n" not in str(caught.value)


# -- fragments --------------------------------------------------------------------------------------------------------


def fragment_of(*runs):
    data, ends = write_fragment(1, runs)
    (fragment,) = boxes.fragments(data)
    assert ends == tuple(run.end for run in fragment.runs)
    return fragment.runs


def test_pictures_in_order():
    samples = pack_samples([(0, 3, 1), (3600, 2, 0), (7200, 1, 2)])
    (run,) = fragment_of((1, 1000, 1000, 11800, 1, samples, b"abcdef"))
    assert run.trun_flags == 0x701
    assert [(s.dts, s.duration, s.flags, s.data) for s in run.samples] == [
        (1000, 3600, 0x02000000, b"abc"),
        (4600, 3600, 0x01010000, b"de"),
        (8200, 3600, 0x01010000, b"f"),
    ]


def test_reordered_pictures():
    # I P B B P B B in decoding order
    order = [0, 3, 1, 2, 6, 4, 5]
    samples = pack_samples([(90 * i, 1, i == 0) for i in order])
    (run,) = fragment_of((1, 0, 0, 630, 1, samples, b"IPBBPBB"))
    assert [s.dts for s in run.samples] == [0, 90, 180, 270, 360, 450, 540]
    assert [s.pts for s in run.samples] == [90 * i for i in order]
    assert [s.duration for s in run.samples] == [90] * 7
    assert run.trun_flags == 0xF01


def test_a_run_that_ends_before_what_is_shown_first_has_come():
    # of I P B B P B B, from the first P on: P B B, and a P whose B-pictures come with the next run
    samples = pack_samples([(90 * i, 1, 0) for i in (2, 6, 4, 5, 9)])
    (run,) = fragment_of((1, 270, 0, 720, 1, samples, b"BPBBP", 0, True))
    assert [s.dts for s in run.samples] == [270, 360, 450, 540, 630]
    assert [s.pts for s in run.samples] == [90 * i for i in (2, 6, 4, 5, 9)]
    assert run.end == 720


def test_reordered_pictures_presented_after_they_are_decoded():
    order = [0, 3, 1, 2, 6, 4, 5]
    samples = pack_samples([(90 * i, 1, i == 0) for i in order])
    (run,) = fragment_of((1, 20, 20, 650, 1, samples, b"IPBBPBB", 90))
    assert [s.dts for s in run.samples] == [20, 110, 200, 290, 380, 470, 560]
    assert [s.pts for s in run.samples] == [110 + 90 * i for i in order]
    assert min(s.composition_offset for s in run.samples) == 0
    assert run.end == 650
    (unknown,) = fragment_of((1, 20, 20, -1, 1, samples, b"IPBBPBB", 90))
    assert unknown.end == 650


def test_a_prediction_that_erred_goes_into_the_composition_offsets():
    samples = pack_samples([(100, 1, 1), (200, 1, 0), (300, 1, 0)])
    (late,) = fragment_of((1, 130, 0, 400, 1, samples, b"abc"))
    assert [(s.dts, s.pts) for s in late.samples] == [(130, 100), (200, 200), (300, 300)]
    (early,) = fragment_of((1, 70, 0, 400, 1, samples, b"abc"))
    assert [(s.dts, s.pts) for s in early.samples] == [(70, 100), (200, 200), (300, 300)]
    (far,) = fragment_of((1, 500, 0, 400, 1, samples, b"abc"))
    assert [(s.dts, s.pts) for s in far.samples] == [(500, 100), (501, 200), (502, 300)]
    assert far.end == 503


def test_equal_times_are_a_tick_apart():
    (run,) = fragment_of((1, 5, 0, 5, 1, pack_samples([(5, 1, 1)] * 4), b"abcd"))
    assert [(s.dts, s.pts, s.duration) for s in run.samples] == [(5, 5, 1), (6, 5, 1), (7, 5, 1), (8, 5, 1)]


@pytest.mark.parametrize(
    ("count", "end", "default_duration", "expected"),
    [(1, -1, 1024, 1024), (1, -1, 0, 1), (1, 700, 1024, 700), (3, -1, 1, 500), (3, 1800, 1, 800), (3, 900, 1, 1)],
)
def test_how_long_the_last_sample_lasts(count, end, default_duration, expected):
    samples = pack_samples([(500 * i, 1, 1) for i in range(count)])
    (run,) = fragment_of((1, 0, 0, end, default_duration, samples, bytes(count)))
    assert run.samples[-1].duration == expected


def test_each_run_chooses_its_rows():
    video = (1, 0, 0, 200, 1, pack_samples([(100, 1, 1), (0, 2, 0)]), b"abb")
    audio = (2, 7, 7, -1, 1024, pack_samples([(0, 3, 1), (1024, 1, 1)]), b"cccd")
    empty = (3, 99, 0, 500, 1, b"", b"")
    first, second, third = fragment_of(video, audio, empty)
    assert [first.trun_flags, second.trun_flags, third.trun_flags] == [0xF01, 0x701, 0x701]
    assert [s.data for s in first.samples + second.samples] == [b"a", b"bb", b"ccc", b"d"]
    assert (third.track_id, third.dts, third.end, third.samples) == (3, 99, 99, [])
    assert fragment_of() == []


def test_mad_times_are_held_within_what_rows_can_say():
    samples = pack_samples([(0, 1, 1), (1 << 60, 1, 0), (-(1 << 60), 1, 0)])
    (run,) = fragment_of((1, 10, 0, 1 << 61, 1, samples, b"abc"))
    assert [s.duration for s in run.samples] == [1, 0xFFFFFFFF, 0xFFFFFFFF]
    assert [s.composition_offset for s in run.samples] == [-10, (1 << 31) - 1, -(1 << 31)]


ONE = (1, 0, 0, -1, 1, pack_samples([(0, 2, 1)]), b"ab")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, -1, "a number does not fit"),
        (0, 1 << 32, "a number does not fit"),
        (1, -1, "negative or beyond"),
        (1, (1 << 61) + 1, "negative or beyond"),
        (1, 1 << 64, "a number does not fit"),
        (2, -(1 << 61) - 1, "negative or beyond"),
        (3, (1 << 61) + 1, "negative or beyond"),
        (3, -(1 << 70), "a number does not fit"),
        (4, 1 << 63, "a number does not fit"),
        (5, ONE[5][:-1], f"23 bytes are no whole number of sample records of {SAMPLE_SIZE} bytes"),
        (5, ONE[5] * 2, "2 samples announce 4 bytes, but there are 2"),
        (5, b"", "0 samples announce 0 bytes, but there are 2"),
        (7, -1, "negative or beyond"),
        (7, 1 << 64, "a number does not fit"),
        (6, b"", "1 samples announce 2 bytes, but there are 0"),
    ],
)
def test_what_cannot_be_is_refused(place, value, message):
    run = (*ONE, 0)
    run = (*run[:place], value, *run[place + 1 :])
    with pytest.raises(ValueError, match=rf"^run 1\b.*{message}"):
        write_fragment(1, [ONE, run])


def test_wrong_kinds_of_arguments():
    for number in (-1, 1 << 32):
        with pytest.raises(ValueError, match="does not fit 32 bits"):
            write_fragment(number, [ONE])
    for run in (ONE[:6], (*ONE, 1, 1, 1)):
        with pytest.raises(ValueError, match="unpack"):
            write_fragment(1, [run])
    for run in ((*ONE[:5], None, b""), (*ONE[:5], b"", "text"), (*ONE[:1], 1.5, *ONE[2:]), None):
        with pytest.raises(TypeError):
            write_fragment(1, [run])
    with pytest.raises(TypeError):
        write_fragment(1, None)
    with pytest.raises(BufferError):
        write_fragment(1, [(*ONE[:6], memoryview(b"a.b.")[::2])])


def test_buffers_are_let_go_of_also_after_an_error():
    records, data = bytearray(ONE[5]), bytearray(b"ab")
    for run in ((*ONE[:5], records, data), (*ONE[:5], records, b"abc"), (*ONE[:1], -1, *ONE[2:5], records, data)):
        with contextlib.suppress(ValueError):
            write_fragment(1, [run, (*ONE[:5], records, data)])
    records.append(0)  # BufferError if one were still held
    data.append(0)


def test_more_than_32_bits_can_say(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate((4 << 30) + 1)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
        view[: 1 << 31] as half,
    ):
        samples = pack_samples([(0, 1 << 31, 1), (1, 1 << 31, 0), (2, 1, 0)])
        with pytest.raises(ValueError, match="too large"):
            write_fragment(1, [(1, 0, 0, -1, 1, samples, view)])
        # the data offset in trun is signed
        with pytest.raises(ValueError, match="too large"):
            write_fragment(1, [(1, 0, 0, -1, 1, pack_samples([(0, 1 << 31, 1)]), half), ONE])


# -- ffmpeg -----------------------------------------------------------------------------------------------------------


def run_tool(*command):
    """What a program of ffmpeg writes; it must neither fail nor say a word about what it reads."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([*map(str, command)], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    return done.stdout


def packets(path, stream):
    shown = run_tool(
        *("ffprobe", "-v", "warning", "-select_streams", stream, "-show_packets", "-of", "json"),
        *("-show_entries", "packet=pts,dts,duration,size,flags", path),
    )
    return json.loads(shown)["packets"]


PICTURES = 75


@pytest.fixture(scope="module", params=["baseline", "high"])
def video_clip(request, tmp_path_factory):
    """(Annex B bytes, pts of each access unit in ticks of 90 kHz from 0 on, in decoding order), of three seconds."""
    folder = tmp_path_factory.mktemp(request.param)
    options = ["-bf", "3", "-b_strategy", "0"] if request.param == "high" else []
    run_tool(
        *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=25:duration={PICTURES / 25}"),
        *("-c:v", "libx264", "-preset", "fast", "-profile:v", request.param, "-pix_fmt", "yuv420p", "-g", "25"),
        *(*options, "-flags", "+cgop", "-video_track_timescale", "90000", folder / "clip.mp4"),
    )
    run_tool(
        *("ffmpeg", "-v", "error", "-i", folder / "clip.mp4", "-c", "copy", "-bsf:v", "h264_mp4toannexb"),
        folder / "clip.h264",
    )
    shown = [packet["pts"] for packet in packets(folder / "clip.mp4", "v")]
    assert (shown != sorted(shown)) == (request.param == "high")
    return (folder / "clip.h264").read_bytes(), [pts - min(shown) for pts in shown]


@pytest.fixture(scope="module", params=[(16000, 1), (48000, 2)], ids=["mono16k", "stereo48k"])
def audio_clip(request, tmp_path_factory):
    rate, channels = request.param
    path = tmp_path_factory.mktemp("audio") / "clip.aac"
    run_tool(
        *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"sine=sample_rate={rate}:duration={PICTURES / 25}"),
        *("-ac", channels, "-c:a", "aac", "-f", "adts", path),
    )
    return path.read_bytes()


@pytest.mark.real
def test_ffmpeg_decodes_what_is_written(video_clip, audio_clip, tmp_path: Path):
    stream, shown = video_clip
    nals = h264.split_annexb(stream)
    sps = next(nal for nal in nals if h264.nal_type(nal) == h264.NAL_SPS)
    pps = next(nal for nal in nals if h264.nal_type(nal) == h264.NAL_PPS)
    left_out = {h264.NAL_SPS, h264.NAL_PPS, h264.NAL_AUD}
    pictures = [
        (h264.join_avcc(nal for nal in unit if h264.nal_type(nal) not in left_out), h264.is_sync(unit))
        for unit in h264.access_units(nals)
    ]
    assert len(pictures) == len(shown) == PICTURES
    parameters, sounds = aac.split_adts(audio_clip)
    config = aac.parse_config(parameters.config)
    rate = config.sample_rate

    video = Track(0, "video", "h264", 90000, H264Parameters(sps, (pps,)))
    audio = Track(1, "audio", "aac", rate, parameters)
    written = init_section([video, audio])
    starts = [index for index, (_, is_sync) in enumerate(pictures) if is_sync]
    assert len(starts) == 3
    # as the SPS says how far pictures are reordered, none is presented before it is decoded
    delay = 3600 * (h264.parse_sps(sps).max_num_reorder_frames or 0)
    assert (delay > 0) == (shown != sorted(shown))
    video_end = audio_end = 0
    for number, (start, stop) in enumerate(zip(starts, [*starts[1:], PICTURES], strict=True), 1):
        part = pictures[start:stop]
        samples = pack_samples([(pts, len(data), sync) for (data, sync), pts in zip(part, shown[start:], strict=False)])
        end = min(shown[stop:], default=-1)
        sound = sounds[(number - 1) * len(sounds) // 3 : number * len(sounds) // 3]
        sound_samples = pack_samples([(audio_end + 1024 * i, len(data), 1) for i, data in enumerate(sound)])
        fragment, (video_end, audio_end) = write_fragment(
            number,
            [
                (1, video_end, 0, end, 3600, samples, b"".join(data for data, _ in part), delay),
                (2, audio_end, 0, -1, 1024, sound_samples, b"".join(sound)),
            ],
        )
        written += fragment
    assert (video_end, audio_end) == (PICTURES * 3600, len(sounds) * 1024)
    path = tmp_path / "written.mp4"
    path.write_bytes(written)

    found = packets(path, "v")
    assert [packet["pts"] for packet in found] == [pts + delay for pts in shown]
    assert [packet["dts"] for packet in found] == [3600 * index for index in range(PICTURES)]
    assert [int(packet["size"]) for packet in found] == [len(data) for data, _ in pictures]
    assert [index for index, packet in enumerate(found) if "K" in packet["flags"]] == starts
    found = packets(path, "a")
    assert [packet["pts"] for packet in found] == [1024 * index for index in range(len(sounds))]
    probed = json.loads(run_tool("ffprobe", "-v", "warning", "-show_streams", "-of", "json", path))["streams"]
    assert (probed[0]["codec_name"], probed[0]["width"], probed[0]["height"]) == ("h264", 320, 180)
    assert (probed[1]["codec_name"], int(probed[1]["sample_rate"]), probed[1]["channels"]) == (
        "aac",
        rate,
        config.channels,
    )
    decoded = run_tool(
        *("ffmpeg", "-v", "warning", "-xerror", "-err_detect", "explode", "-i", path),
        *("-fps_mode", "passthrough", "-copyts", "-f", "framecrc", "-"),
    )
    lines = [line.split(b",") for line in decoded.splitlines() if not line.startswith(b"#")]
    assert sum(line[0].strip() == b"0" for line in lines) == PICTURES
    assert sum(line[0].strip() == b"1" for line in lines) == len(sounds)
