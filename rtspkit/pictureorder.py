"""In what order the pictures of a track are shown, as their slice headers say (picture order count).

Strategy: a header is a few bits at the front of a slice, and is read only where the times leave a question open; the
parameter sets say where its fields lie. What cannot be read is None, never an error.

Spec: Rec. ITU-T H.264, 7.3.3 (slice header) and 8.2.1; Rec. ITU-T H.265, 7.3.6.1 and 8.3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rtspkit import h264, h265
from rtspkit._bits import BitReader
from rtspkit.errors import RtspkitError
from rtspkit.media import H264Parameters, H265Parameters, Track

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PictureOrder"]

#: Bytes of a slice that are looked at: its header up to the count has 20 at most, with emulation prevention.
_HEADER = 32
#: NAL units of an access unit that are looked at: in front of the first slice stand SEI messages.
_NALS = 16
_RESERVED_IRAP = 23


class PictureOrder:
    """Reads the picture order counts of one track; of one whose parameter sets cannot be read there are none."""

    def __init__(self, track: Track) -> None:
        self._avc: h264.SPS | None = None
        self._hevc: h265.SPS | None = None
        self._sets: dict[int, h265.PPS] = {}
        self._modulus = 0  # counts are known modulo this
        try:
            match track.parameters:
                case H264Parameters(sps=sps):
                    self._avc = h264.parse_sps(sps)
                    if self._avc.pic_order_cnt_type == 0:
                        self._modulus = 1 << self._avc.log2_max_pic_order_cnt_lsb
                case H265Parameters(sps=sps, pps=sets):
                    self._hevc = h265.parse_sps(sps)
                    self._sets = {found.pps_id: found for found in map(h265.parse_pps, sets)}
                    self._modulus = 1 << self._hevc.log2_max_pic_order_cnt_lsb
        except RtspkitError:
            pass

    def steps(self, units: Sequence[Buffer]) -> list[int] | None:
        """From each picture to the next how far their counts are apart; None where one cannot be read.

        Args:
            units: access units, in the order in which they came.
        """
        counts = [self._count(memoryview(unit).cast("B")) for unit in units] if self._modulus else []
        half = self._modulus // 2
        steps = []
        for before, after in pairwise(counts):
            if before is None or after is None:
                return None
            steps.append((after - before + half) % self._modulus - half)
        return steps if self._modulus else None

    def _count(self, unit: memoryview) -> int | None:
        """The lowest bits of the count of one access unit, as its first slice has them."""
        at = 0
        for _ in range(_NALS):
            start, size = at + 4, int.from_bytes(unit[at : at + 4])
            at = start + size
            head = bytes(unit[start : min(at, start + _HEADER)])
            try:
                if self._avc is not None and h264.NAL_SLICE <= h264.nal_type(head) <= h264.NAL_IDR:
                    return self._count_of_h264(head, self._avc)
                if self._hevc is not None and h265.is_slice(head):
                    return self._count_of_h265(head, self._hevc)
            except RtspkitError:
                return None
            if at >= len(unit):
                break
        return None

    @staticmethod
    def _count_of_h264(head: bytes, sps: h264.SPS) -> int:
        bits = BitReader(h264.remove_emulation_prevention(head), "H.264 slice")
        bits.skip(8)
        bits.unsigned("first_mb_in_slice")
        bits.unsigned("slice_type")
        bits.unsigned("pic_parameter_set_id")
        bits.skip(2 * sps.separate_colour_plane + sps.log2_max_frame_num)  # colour_plane_id, frame_num
        if not sps.frame_mbs_only and bits.flag():  # field_pic_flag
            bits.skip(1)  # bottom_field_flag
        if h264.nal_type(head) == h264.NAL_IDR:
            bits.unsigned("idr_pic_id")
        return bits.read(sps.log2_max_pic_order_cnt_lsb)

    def _count_of_h265(self, head: bytes, sps: h265.SPS) -> int | None:
        kind = h265.nal_type(head)
        bits = BitReader(h264.remove_emulation_prevention(head), "H.265 slice segment")
        bits.skip(16)
        is_first = bits.flag()  # first_slice_segment_in_pic_flag
        if kind in {h265.NAL_IDR_W_RADL, h265.NAL_IDR_N_LP}:
            return 0
        if h265.NAL_BLA_W_LP <= kind <= _RESERVED_IRAP:
            bits.skip(1)  # no_output_of_prior_pics_flag
        pps = self._sets.get(bits.unsigned("slice_pic_parameter_set_id"))
        if pps is None or not is_first:
            return None
        bits.skip(pps.num_extra_slice_header_bits)
        bits.unsigned("slice_type")
        bits.skip(pps.output_flag_present + 2 * sps.separate_colour_plane)  # pic_output_flag, colour_plane_id
        return bits.read(sps.log2_max_pic_order_cnt_lsb)
