"""Sample entries, as a reader finds them; those of the older codecs are read in `test_fmp4.py`."""

import boxes
import pytest
from test_h265 import OTHER_PPS, PPS, SPS, SPS_HIGH_TIER, SPS_ODD, VPS

from rtspkit import h265
from rtspkit.errors import LocalProtocolError, RemoteProtocolError, UnsupportedError
from rtspkit.media import H264Parameters, H265Parameters, Track
from rtspkit.sample_entries import sample_entry


def track(sps=SPS, *, vps=VPS, pps=(PPS,)):
    return Track(0, "video", "h265", 90000, H265Parameters(vps, sps, pps))


def test_hvc1():
    made = sample_entry(track())
    assert made.is_video
    assert (made.width >> 16, made.height >> 16) == (128, 64)
    (entry,) = boxes.parse(made.box).children
    assert entry.kind == b"hvc1"
    assert [child.kind for child in entry.children] == [b"hvcC"]
    record = entry.one("hvcC").payload
    # version; profile; compatibility; constraints; level; no segmentation told; parallelism not known
    assert record[:16].hex() == "0101600000009000000000001ef000fc"
    # 4:2:0; 8 bits twice; rate not known; one sub-layer, nested, lengths of 4 bytes; three arrays
    assert record[16:23].hex() == "fdf8f800000f03"
    expected = b"".join(
        bytes((0x80 | kind, 0, 1)) + len(nal).to_bytes(2) + nal for kind, nal in ((32, VPS), (33, SPS), (34, PPS))
    )
    assert record[23:] == expected, "arrays are complete: nothing of them is in the samples"


@pytest.mark.parametrize("sps", [SPS_ODD, SPS_HIGH_TIER])
def test_hvcc_says_what_the_sps_says(sps):
    told = h265.parse_sps(sps)
    (entry,) = boxes.parse(sample_entry(track(sps)).box).children
    record = entry.one("hvcC").payload
    assert record[1:13] == sps[3:4] + h265_bytes(told), "as it stands in the SPS, without emulation prevention"
    assert record[16] & 3 == told.chroma_format_idc
    assert (record[17] & 7, record[18] & 7) == (told.bit_depth_luma - 8, told.bit_depth_chroma - 8)
    assert (record[21] >> 3 & 7, record[21] >> 2 & 1) == (told.max_sub_layers, told.temporal_id_nesting)


def h265_bytes(sps):
    told = sps.profile_tier_level
    return told.compatibility_flags.to_bytes(4) + told.constraint_flags.to_bytes(6) + bytes((told.level_idc,))


def test_samples_that_are_no_squares():
    made = sample_entry(track(SPS_ODD))
    (entry,) = boxes.parse(made.box).children
    assert entry.one("pasp").payload.hex() == "0000000400000003"
    assert (made.width >> 16, made.height >> 16) == (429, 182)


def test_start_codes_and_several_pps():
    made = sample_entry(track(b"\0\0\0\1" + SPS, vps=VPS + b"\0\0\1", pps=(PPS, b"", OTHER_PPS + b"\0")))
    (entry,) = boxes.parse(made.box).children
    record = entry.one("hvcC").payload
    sets = b"\xa2\0\2" + len(PPS).to_bytes(2) + PPS + len(OTHER_PPS).to_bytes(2) + OTHER_PPS
    assert record.endswith(b"\0\1" + len(SPS).to_bytes(2) + SPS + sets)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (Track(0, "video", "h265", 90000), LocalProtocolError, r"track 1 \(h265\) has no parameters yet"),
        (Track(0, "video", "h265", 90000, H264Parameters(SPS, (PPS,))), UnsupportedError, "H264Parameters"),
        (Track(0, "audio", "aac", 90000, H265Parameters(VPS, SPS, (PPS,))), UnsupportedError, "H265Parameters"),
        (track(vps=b""), LocalProtocolError, r"track 1 \(h265\) has no VPS yet"),
        (track(pps=()), LocalProtocolError, "has no PPS yet"),
        (track(pps=(PPS,) * 65), UnsupportedError, "more PPS than"),
        (track(SPS[:20]), RemoteProtocolError, "ends too early"),
    ],
)
def test_what_has_no_entry(given, error, message):
    with pytest.raises(error, match=message):
        sample_entry(given)
