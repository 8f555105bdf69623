"""How NAL units lie in single packets: what the packetizer, which shares no code with it, has put there."""

import pytest
import test_h265 as h265
from rtp_camera import IDR, PPS, SPS

from rtspkit.nalpacking import NAL_PACKINGS
from rtspkit.packetizer import packetize_h264, packetize_h265

H264, H265 = NAL_PACKINGS["h264"], NAL_PACKINGS["h265"]
H265_IDR = b"\x26\x01\xa0slice"


@pytest.mark.parametrize("max_size", [4, 8, 1400])
def test_types_of_what_is_in_a_packet(max_size: int) -> None:
    found = [set(H264.nal_types(one.data)) for one in packetize_h264([SPS, PPS, IDR], max_size=max_size)]
    assert set.union(*found) == {7, 8, 5}
    found = [
        set(H265.nal_types(one.data))
        for one in packetize_h265([h265.VPS, h265.SPS, h265.PPS, H265_IDR], max_size=max_size)
    ]
    assert set.union(*found) == {32, 33, 34, 19}


def test_start_codes_within_a_packet() -> None:
    assert list(H264.nal_types(b"\0\0\0\1" + SPS + b"\0\0\1" + IDR))[1:] == [7, 5]
    assert list(H265.nal_types(h265.VPS + b"\0\0\1" + h265.SPS)) == [32, 33]


@pytest.mark.parametrize("packing", [H264, H265])
@pytest.mark.parametrize(
    "data", [b"", b"\x7c", b"\x62", b"\x62\x01", b"\x78\0", b"\x60\x01\0\0\0", b"\x60\x01\xff\xff\x42"]
)
def test_any_bytes_have_types(packing, data) -> None:  # type: ignore[no-untyped-def]
    assert all(0 <= kind < 64 for kind in packing.nal_types(data))


def test_what_is_looked_into_further() -> None:
    assert {0, 21, 31} <= H265.slices
    assert {32, 33, 34, 35, 37} <= H265.sets
    assert not {38, 39, 40} & (H265.slices | H265.sets)
    for packing in (H264, H265):
        assert packing.sets.isdisjoint(packing.slices)
