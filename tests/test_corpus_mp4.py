"""Init sections, fragments and decode times out of the corpus, judged by what a reader finds."""

from itertools import pairwise

import boxes
import corpus
import pytest
import reference_fmp4
import test_fmp4

from rtspkit import aac, h264, h265
from rtspkit.errors import LocalProtocolError
from rtspkit.fmp4 import init_section, write_fragment
from rtspkit.media import (
    SAMPLE,
    AACParameters,
    Fragment,
    H264Parameters,
    H265Parameters,
    OpusParameters,
    Run,
    Track,
)
from rtspkit.segmenter import Segmenter
from rtspkit.segments import SegmentData

PPS = bytes.fromhex("68ebe3cb22c0")
#: Optional cases that are not run.
NOT_RUN = {
    "trun version 0": "a reader's test: version 1 is always written, for its signed offsets",
}


def build_track(given):
    codec = given["codec"]
    index = given["id"] - 1
    if codec["_type"] == "H264":
        parameters = None
        if codec["sps_hex"] is not None:
            parameters = H264Parameters(bytes.fromhex(codec["sps_hex"]), (bytes.fromhex(codec["pps_hex"]),))
        return Track(index, "video", "h264", given["time_scale"], parameters)
    if codec["_type"] == "H265":
        sets = None
        if codec["sps_hex"] is not None:
            vps, sps, pps = (bytes.fromhex(codec[name]) for name in ("vps_hex", "sps_hex", "pps_hex"))
            sets = H265Parameters(vps, sps, (pps,))
        return Track(index, "video", "h265", given["time_scale"], sets)
    if codec["_type"] == "MPEG4Audio":
        fields = codec["config"]
        config = aac.build_config(fields["sample_rate"], fields["channel_count"], fields["type"])
        return Track(index, "audio", "aac", given["time_scale"], AACParameters(config))
    if codec["_type"] == "Opus":
        return Track(index, "audio", "opus", given["time_scale"], OpusParameters(codec["channel_count"]))
    pytest.skip(f"{codec['_type']} is not written yet")


def read_hvcc(text):
    """Profile, compatibility, level, chroma format and bit depths; and the parameter sets.

    Upstream's record has the bytes that escape zeros in its constraint flags, two sub-layers, and says that samples
    may have parameter sets, too.
    """
    record = bytes.fromhex(text)
    sets, at = [], 23
    for _ in range(record[22]):
        kind, count = record[at] & 0x3F, int.from_bytes(record[at + 1 : at + 3])
        at += 3
        for _ in range(count):
            end = at + 2 + int.from_bytes(record[at : at + 2])
            sets.append((kind, record[at + 2 : end]))
            at = end
    assert at == len(record)
    return record[:6] + record[12:21], sets


@pytest.mark.parametrize("case", corpus.cases("mp4/init"), ids=lambda case: case["id"])
def test_init(case):
    if case["input"].get("user_data"):
        pytest.skip("user data is not written")
    tracks = [build_track(given) for given in case["input"]["tracks"]]
    if case["verdict"] == "reject":
        with pytest.raises(LocalProtocolError, match="no parameters yet"):
            init_section(tracks)
        return
    found = test_fmp4.read_init(init_section(tracks))
    facts = case["expected"]["facts"]
    assert len(found) == len(facts["tracks"]) == len(facts["trex"])
    for track, expected in zip(found, facts["tracks"], strict=True):
        compared = ["track_id", "width", "height", "timescale", "handler", "sample_entry"]
        if "avcC_hex" in expected:
            compared += ["entry_width", "entry_height", "avcC_hex"]
        elif "hvcC_hex" in expected:
            compared += ["entry_width", "entry_height", "hvcC"]
            expected = expected | {"hvcC": read_hvcc(expected["hvcC_hex"])}
            track["hvcC"] = read_hvcc(track["hvcC_hex"])
        else:
            compared += ["channels", "sample_size", "rate", "dOps_hex" if "dOps_hex" in expected else "asc_hex"]
        assert {name: track[name] for name in compared} == {name: expected[name] for name in compared}


@pytest.mark.parametrize("case", corpus.cases("mp4/parts"), ids=lambda case: case["id"])
def test_parts(case):
    """All fragments of a case one behind the other, as a segment has them."""
    for name, reason in NOT_RUN.items():
        if name in case["id"]:
            assert case["optional"]
            pytest.skip(reason)
    data = b""
    for part in case["input"]:
        runs = []
        for track in part["tracks"]:
            samples = track["samples"] or []
            records, times = [], [track["base_time"]]
            for sample in samples:
                size = len(bytes.fromhex(sample["payload_hex"]))
                records.append((times[-1] + sample["pts_offset"], size, not sample["is_non_sync_sample"]))
                times.append(times[-1] + sample["duration"])
            media = b"".join(bytes.fromhex(sample["payload_hex"]) for sample in samples)
            packed = reference_fmp4.pack_samples(records)
            runs.append((track["id"], times[0], 0, times[-1], 1, packed, media))
        data += write_fragment(part["sequence_number"], runs)[0]

    found = boxes.fragments(data)
    expected_fragments = case["expected"]["facts"]
    assert len(found) == len(expected_fragments)
    for fragment, expected in zip(found, expected_fragments, strict=True):
        assert fragment.sequence_number == expected["sequence_number"]
        assert len(fragment.runs) == len(expected["tracks"])
        for run, track in zip(fragment.runs, expected["tracks"], strict=True):
            assert (run.track_id, run.dts) == (track["track_id"], track["base_time"])
            assert [(sample.size, sample.is_sync, sample.data.hex()) for sample in run.samples] == [
                (sample["size"], not sample.get("flags", 0) & 0x10000, sample["data_hex"])
                for sample in track["samples"]
            ]


def video_track(case):
    """The track of a case, with the parameter sets of its first access unit; those that are missing are made up."""
    nals = [bytes.fromhex(nal) for nal in case["access_units"][0]["nals_hex"]]
    if case["codec"] == "h264":
        sps = next(nal for nal in nals if h264.nal_type(nal) == h264.NAL_SPS)
        pps = next((nal for nal in nals if h264.nal_type(nal) == h264.NAL_PPS), PPS)
        return Track(0, "video", "h264", case["clock_rate"], H264Parameters(sps, (pps,)))
    sets = {h265.nal_type(nal): nal for nal in nals}
    parameters = H265Parameters(sets[h265.NAL_VPS], sets[h265.NAL_SPS], (sets[h265.NAL_PPS],))
    return Track(0, "video", "h265", case["clock_rate"], parameters)


def has_picture(unit, codec):
    nals = [bytes.fromhex(nal) for nal in unit["nals_hex"]]
    if codec == "h264":
        return any(h264.NAL_SLICE <= h264.nal_type(nal) <= h264.NAL_IDR for nal in nals)
    return any(h265.is_slice(nal) for nal in nals)


@pytest.mark.parametrize("part_duration", [None, 0.2])
@pytest.mark.parametrize("case", corpus.cases("mp4/dts"), ids=lambda case: case["id"])
def test_dts(case, part_duration):
    """Decode times grow and are never behind presentation times, which keep their distances."""
    track = video_track(case)
    # what holds no picture makes no access unit on the camera side
    units = [unit for unit in case["access_units"] if has_picture(unit, case["codec"])]
    shown = [unit["pts"] for unit in units]
    segmenter = Segmenter(
        (track,), segment_duration=2.0, segment_max_size=10**6, first_msn=1, part_duration=part_duration
    )
    samples = b"".join(SAMPLE.pack(pts, 10**12 + number, 1, not number) for number, pts in enumerate(shown))
    fragment = Fragment((track,), (Run(0, samples, bytes(range(len(shown)))),), is_sync=True)
    outputs = segmenter.write(fragment, now=1001.0, wall=1e9) + segmenter.interrupt()
    found = [
        sample
        for output in outputs
        if isinstance(output, SegmentData)
        for fragment in boxes.fragments(output.data)
        for sample in fragment.runs[0].samples
    ]
    assert [sample.data[0] for sample in found] == list(range(len(shown)))
    assert all(before.dts < after.dts for before, after in pairwise(found))
    assert all(sample.dts <= sample.pts for sample in found)
    # a part does not know how uneven the next one is: then all that follows may be shown a little later
    later = [sample.pts - pts - found[0].pts + shown[0] for sample, pts in zip(found, shown, strict=True)]
    assert later == sorted(later)
    assert later[-1] <= (0 if part_duration is None else case["clock_rate"] // 100)
    farthest = max(unit["pts"] - unit["upstream_dts"] for unit in units)
    distance = max(after - before for before, after in pairwise(sorted(shown)))
    if case["has_reordering"]:
        assert max(sample.pts - sample.dts for sample in found) <= farthest + 2 * distance
    elif part_duration is None:  # with parts decode time makes up by and by for what is missing
        assert all(sample.pts == sample.dts for sample in found)
