"""How NAL units lie in RTP payloads, for those who look at single packets and do not put units together.

Strategy: H.264 and H.265 pack them alike: one, several behind their sizes, or a part of one. What differs is in a table
of two rows. The depacketizers proper are compiled (`_rtp.pyx`).

Specs: RFC 6184 5.2 (H.264), RFC 7798 4.4 (H.265); ITU-T H.264 table 7-1, H.265 table 7-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rtspkit import h264, h265

__all__ = ["NAL_PACKINGS", "NALPacking"]


@dataclass(frozen=True, slots=True)
class NALPacking:
    """Of one codec.

    Attributes:
        header_size: bytes of a NAL unit's header, and of the payload's.
        aggregation: the type of a payload with several NAL units, each after its size in 16 bits.
        fragment: the type of a payload with a part of one; an FU header follows.
        sps: the type of a sequence parameter set.
        sets: types of all parameter sets, and of others that hold no picture.
        slices: types of slices that begin with a slice header.
    """

    header_size: int
    aggregation: int
    fragment: int
    sps: int
    sets: frozenset[int]
    slices: frozenset[int]

    def nal_type(self, nal: bytes) -> int:
        """Type of a NAL unit, or payload; 0 of an empty one."""
        if not nal:
            return 0
        return nal[0] & 0x1F if self.header_size == 1 else nal[0] >> 1 & 0x3F

    def fragment_type(self, payload: bytes) -> int:
        """Type of the NAL unit that a fragment is a part of; the payload has its FU header."""
        return payload[self.header_size] & (0x1F if self.header_size == 1 else 0x3F)

    def nal_types(self, payload: bytes) -> Iterator[int]:
        """Types of all NAL units that have bytes in a payload; several may stand behind start codes."""
        kind = self.nal_type(payload)
        if kind == self.aggregation:
            rest = payload[self.header_size :]
            while len(rest) > 2:
                yield self.nal_type(rest[2:])
                rest = rest[2 + int.from_bytes(rest[:2]) :]
        elif kind == self.fragment:
            if len(payload) > self.header_size:
                yield self.fragment_type(payload)
        else:
            yield kind
            yield from map(self.nal_type, h264.split_annexb(payload))


#: codec -> how its NAL units are packed
NAL_PACKINGS = {
    "h264": NALPacking(
        header_size=1,
        aggregation=24,  # STAP-A
        fragment=28,  # FU-A
        sps=h264.NAL_SPS,
        # and delimiters, end markers, and the parameter sets of extensions
        sets=frozenset({h264.NAL_SPS, h264.NAL_PPS, h264.NAL_AUD, 10, 11, 13, 15}),
        slices=frozenset({h264.NAL_SLICE, h264.NAL_SLICE_PARTITION_A, h264.NAL_IDR}),
    ),
    "h265": NALPacking(
        header_size=2,
        aggregation=48,
        fragment=49,
        sps=h265.NAL_SPS,
        sets=frozenset(range(h265.NAL_VPS, h265.NAL_FILLER)),
        slices=frozenset(range(h265.NAL_VPS)),
    ),
}
