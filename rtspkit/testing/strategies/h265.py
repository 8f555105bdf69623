"""Strategies for H.265: parameter sets that a decoder would take, and pictures that fit them.

Strategy: as for H.264. A slice segment has a true header as far as its picture's order and parameter set, which is as
far as a gateway reads, and any bytes behind it, escaped.

Spec: ITU-T H.265 7.3.1, 7.3.2, 7.3.3, 7.3.6.1, A.4, E.2.
"""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from rtspkit import h265
from rtspkit.media import H265Parameters
from rtspkit.testing.strategies.bits import Bits
from rtspkit.testing.strategies.values import PictureFormat, Wire

__all__ = ["h265_parameters", "h265_pictures", "h265_sequence_parameter_sets"]

#: Table A.8: general_level_idc -> luma samples of a picture.
_LEVELS = {30: 36864, 60: 122880, 63: 245760, 90: 552960, 93: 983040, 120: 2228224, 150: 8912896}
#: general_profile_idc, and the compatibility flags that go with it.
_PROFILES = ((1, 0x60000000), (2, 0x20000000))
#: num_units_in_tick, time_scale.
_TIMINGS = ((1, 25), (1, 15), (1001, 30000), (1, 1), (3600, 90000))
#: Types that decoding can start with, and others; none of them needs pictures that are not there.
_SYNC_TYPES = (h265.NAL_IDR_W_RADL, h265.NAL_IDR_N_LP, h265.NAL_CRA, h265.NAL_BLA_N_LP)
_TRAIL_TYPES = (0, 1)
#: log2_max_pic_order_cnt_lsb_minus4 of all, so that slices fit every SPS
_POC_LSB = 4


def _header(kind: int, temporal_id: int = 0) -> bytes:
    return bytes((kind << 1, temporal_id + 1))


def _profile_tier_level(bits: Bits, profile: tuple[int, int], tier: int, level: int) -> Bits:
    return bits.u(2, 0).u(1, tier).u(5, profile[0]).u(32, profile[1]).u(48, 0x900000000000).u(8, level)


@st.composite
def h265_sequence_parameter_sets(draw: st.DrawFn) -> Wire[PictureFormat]:
    """H.265 sequence parameter sets of Main and Main 10; sizes from 2x2 to 4096x2176.

    A conformance window, reference picture sets, and a VUI with and without timing are among them; the NAL unit comes
    without a start code.
    """
    profile = draw(st.sampled_from(_PROFILES))
    level = draw(st.sampled_from(tuple(_LEVELS)))
    most = _LEVELS[level] // 64
    side = int((8 * _LEVELS[level]) ** 0.5) // 8  # A.4.1
    width = draw(st.integers(1, min(side, 512, most)))
    height = draw(st.integers(1, min(side, 272, most // width)))
    window = draw(st.none() | st.tuples(*[st.integers(0, 1)] * 4))
    timing = draw(st.none() | st.sampled_from(_TIMINGS))
    depth = draw(st.integers(0, 2)) if profile[0] == 2 else 0
    reorder = draw(st.integers(0, 3))
    bits = _profile_tier_level(Bits().u(4, 0).u(3, 0).u(1, 1), profile, draw(st.integers(0, 1)), level)
    bits.ue(0, 1, 8 * width, 8 * height).u(1, window is not None)  # 4:2:0
    left, right, top, bottom = window or (0, 0, 0, 0)
    if window is not None:
        bits.ue(left, right, top, bottom)
    bits.ue(depth, depth, _POC_LSB).u(1, 0).ue(reorder + draw(st.integers(0, 2)), reorder, 0)
    bits.ue(0, draw(st.integers(1, 3)), 0, 1, 1, 1).u(1, 0).u(2, 3).u(1, 0)  # blocks; no scaling lists, no PCM
    sets = draw(st.lists(st.lists(st.integers(0, 5), max_size=3), max_size=3))
    bits.ue(len(sets))
    for number, distances in enumerate(sets):
        if number:
            bits.u(1, 0)
        bits.ue(len(distances), 0)
        for distance in distances:
            bits.ue(distance).u(1, 1)
    bits.u(1, 0).u(2, 3).u(1, timing is not None)
    if timing is not None:
        bits.u(4, 0).u(4, 0).u(1, 1).u(32, timing[0]).u(32, timing[1]).u(2, 0).u(1, 0)
    bits.u(1, 0)
    rate = None if timing is None else Fraction(timing[1], timing[0])
    size = 8 * width - 2 * (left + right), 8 * height - 2 * (top + bottom)
    return Wire(bits.nal(_header(h265.NAL_SPS)), PictureFormat(profile[0], level, *size, rate))


@st.composite
def _picture_parameter_sets(draw: st.DrawFn, identifier: int) -> bytes:
    bits = Bits().ue(identifier, 0).u(1, 0).u(1, 0).u(3, 0).u(2, draw(st.integers(0, 3)))
    bits.ue(0, 0).se(draw(st.integers(-26, 25))).u(3, 0).se(0, 0).u(5, 0)
    return bits.u(1, 1).u(2, 0).u(1, 0).ue(0).u(2, 0).nal(_header(h265.NAL_PPS))


@st.composite
def h265_parameters(draw: st.DrawFn) -> tuple[H265Parameters, PictureFormat]:
    """Parameter sets of an H.265 stream, one or two picture parameter sets among them, and what they say."""
    sps = draw(h265_sequence_parameter_sets())
    told = h265.parse_sps(sps.data).profile_tier_level
    bits = Bits().u(4, 0).u(2, 3).u(6, 0).u(3, 0).u(1, 1).u(16, 0xFFFF)
    _profile_tier_level(bits, (told.profile_idc, told.compatibility_flags), told.tier_flag, told.level_idc)
    vps = bits.u(1, 0).ue(5, 3, 0).u(6, 0).ue(0).u(2, 0).nal(_header(h265.NAL_VPS))
    pps = [draw(_picture_parameter_sets(number)) for number in range(draw(st.integers(1, 2)))]
    return H265Parameters(vps, sps.data, tuple(pps)), sps.value


#: Mostly small, now and then more than a packet holds.
_bodies = st.builds(
    lambda data, times: data * times, st.binary(min_size=1, max_size=30), st.sampled_from([1, 1, 1, 1, 60])
)


@st.composite
def _slice_segments(draw: st.DrawFn, kind: int, number: int) -> bytes:
    """Slice segment number `number` of a picture: as in the header before slice_segment_address, or pic_order_cnt."""
    bits = Bits().u(1, number == 0)
    if kind in _SYNC_TYPES:
        bits.u(1, 0)  # no_output_of_prior_pics_flag
    bits.ue(0)
    if number == 0:
        bits.ue(2 if kind in _SYNC_TYPES else 1)  # I, P
        if kind not in {h265.NAL_IDR_W_RADL, h265.NAL_IDR_N_LP}:
            bits.u(4 + _POC_LSB, draw(st.integers(0, 255)))
    return bits.nal(_header(kind), draw(_bodies))


@st.composite
def h265_pictures(draw: st.DrawFn, parameters: H265Parameters, is_sync: bool) -> tuple[bytes, ...]:
    """The NAL units of one access unit; parameter sets stand before one that decoding can start with.

    Args:
        parameters: those sets.
        is_sync: whether it is one.
    """
    nals: list[bytes] = [_header(h265.NAL_AUD) + b"\x50"] if draw(st.booleans()) else []
    nals += [parameters.vps, parameters.sps, *parameters.pps] if is_sync else []
    if draw(st.booleans()):
        # SEI: user data unregistered, with as many bytes as it says (7.3.5)
        data = bytes(16) + draw(st.binary(max_size=12))
        nals.append(Bits().u(8, 5).u(8, len(data)).nal(_header(h265.NAL_PREFIX_SEI), data))
    kind = draw(st.sampled_from(_SYNC_TYPES if is_sync else _TRAIL_TYPES))
    return (*nals, *(draw(_slice_segments(kind, number)) for number in range(draw(st.integers(1, 3)))))
