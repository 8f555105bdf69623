"""Init sections and fragments out of the corpus, judged by what a reader finds."""

import boxes
import corpus
import pytest
import reference_fmp4
import test_fmp4

from rtspkit import aac
from rtspkit.errors import LocalProtocolError
from rtspkit.fmp4 import init_section, write_fragment
from rtspkit.media import AACParameters, H264Parameters, OpusParameters, Track

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
    if codec["_type"] == "MPEG4Audio":
        fields = codec["config"]
        config = aac.build_config(fields["sample_rate"], fields["channel_count"], fields["type"])
        return Track(index, "audio", "aac", given["time_scale"], AACParameters(config))
    if codec["_type"] == "Opus":
        return Track(index, "audio", "opus", given["time_scale"], OpusParameters(codec["channel_count"]))
    pytest.skip(f"{codec['_type']} is not written yet")


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
