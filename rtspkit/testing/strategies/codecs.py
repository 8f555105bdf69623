"""Strategies for H.264: parameter sets that a decoder would take; and for access units of any codec.

Strategy: a sequence parameter set is written bit by bit from what it is to say. Slices have a true header as far as a
gateway reads it (first_mb_in_slice, slice_type, the parameter set's id) and any bytes behind it, escaped.

Specs: ITU-T H.264 7.3.1, 7.3.2.1, 7.3.2.2, 7.3.3, A.3, E.1.
"""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from rtspkit.media import H264Parameters, H265Parameters
from rtspkit.testing.strategies.bits import Bits
from rtspkit.testing.strategies.h265 import h265_parameters, h265_pictures
from rtspkit.testing.strategies.sounds import sound_units
from rtspkit.testing.strategies.values import ElementaryStream, PictureFormat, StreamCodec, Wire

__all__ = [
    "access_units",
    "h264_parameters",
    "picture_parameter_sets",
    "sequence_parameter_sets",
]

#: Table A-1: level_idc -> macroblocks of a picture.
_LEVELS = {10: 99, 11: 396, 13: 396, 20: 396, 21: 792, 22: 1620, 30: 1620, 31: 3600, 32: 5120, 40: 8192, 50: 22080}
#: profile_idc and the constraint flags that go with it.
_PROFILES = ((66, 0xC0), (77, 0), (100, 0))
#: num_units_in_tick, time_scale.
_TIMINGS = ((1, 50), (1, 30), (1, 60), (1001, 60000), (2, 25), (1, 2), (3600, 180000))


@st.composite
def sequence_parameter_sets(draw: st.DrawFn) -> Wire[PictureFormat]:
    """H.264 sequence parameter sets of Baseline, Main and High; sizes from 2x2 to 4096x2304.

    Cropping, and a VUI with and without timing, are among them; the NAL unit comes without a start code.
    """
    profile, flags = draw(st.sampled_from(_PROFILES))
    level = draw(st.sampled_from(tuple(_LEVELS)))
    most = _LEVELS[level]
    side = int((8 * most) ** 0.5)  # A.3.1
    width = draw(st.integers(1, min(side, 256, most)))
    height = draw(st.integers(1, min(side, 144, most // width)))
    crop = draw(st.none() | st.tuples(*[st.integers(0, 3)] * 4))
    timing = draw(st.none() | st.sampled_from(_TIMINGS))
    bits = Bits().u(8, profile).u(8, flags).u(8, level).ue(0)
    if profile == 100:
        bits.ue(1, 0, 0).u(1, 0).u(1, 0)  # 4:2:0, 8 bits, no scaling matrix
    bits.ue(draw(st.integers(0, 12)))  # log2_max_frame_num_minus4
    if draw(st.booleans()):
        bits.ue(0, draw(st.integers(0, 12)))  # pic_order_cnt_type 0
    else:
        bits.ue(2)
    bits.ue(draw(st.integers(0, 16))).u(1, 0)  # max_num_ref_frames
    bits.ue(width - 1, height - 1).u(1, 1).u(1, 1)
    bits.u(1, crop is not None)
    left, right, top, bottom = crop or (0, 0, 0, 0)
    if crop is not None:
        bits.ue(left, right, top, bottom)
    bits.u(1, timing is not None)
    if timing is not None:
        bits.u(4, 0).u(1, 1).u(32, timing[0]).u(32, timing[1]).u(1, 1).u(4, 0)
    rate = None if timing is None else Fraction(timing[1], 2 * timing[0])
    size = 16 * width - 2 * (left + right), 16 * height - 2 * (top + bottom)
    return Wire(bits.nal(0x67), PictureFormat(profile, level, *size, rate))


@st.composite
def picture_parameter_sets(draw: st.DrawFn, *, identifier: int = 0) -> bytes:
    """H.264 picture parameter sets that refer to sequence parameter set 0; without a start code.

    Args:
        identifier: pic_parameter_set_id.
    """
    bits = Bits().ue(identifier, 0).u(1, draw(st.integers(0, 1))).u(1, 0).ue(0)
    bits.ue(draw(st.integers(0, 15)), 0).u(1, 0).u(2, 0)
    return bits.se(draw(st.integers(-26, 25)), 0, draw(st.integers(-12, 12))).u(1, 1).u(2, 0).nal(0x68)


@st.composite
def h264_parameters(draw: st.DrawFn) -> tuple[H264Parameters, PictureFormat]:
    """Parameter sets of an H.264 stream, one or two picture parameter sets among them, and what they say."""
    sps = draw(sequence_parameter_sets())
    pps = [draw(picture_parameter_sets(identifier=number)) for number in range(draw(st.integers(1, 2)))]
    return H264Parameters(sps.data, tuple(pps)), sps.value


#: What streams are of: those with more to go wrong more often.
_any_codec: st.SearchStrategy[StreamCodec] = st.sampled_from(
    ["h264", "h264", "h264", "h265", "h265", "aac", "aac", "latm", "opus", "pcma", "pcmu", "g722", "g726", "l16"]
)
#: Mostly small, now and then more than a packet holds.
_bodies = st.builds(
    lambda data, times: data * times, st.binary(min_size=1, max_size=30), st.sampled_from([1, 1, 1, 1, 60])
)


@st.composite
def _slices(draw: st.DrawFn, is_idr: bool, number: int) -> bytes:
    """Slice number `number` of a picture."""
    bits = Bits().ue(number * 7, 7 if is_idr else 5, 0)  # first_mb_in_slice, slice_type, pic_parameter_set_id
    return bits.nal(0x65 if is_idr else 0x41, draw(_bodies))


@st.composite
def _pictures(draw: st.DrawFn, parameters: H264Parameters, is_idr: bool) -> tuple[bytes, ...]:
    nals: list[bytes] = [b"\x09\xf0"] if draw(st.booleans()) else []
    nals += [parameters.sps, *parameters.pps] if is_idr else []
    if draw(st.booleans()):
        # SEI: user data unregistered, with as many bytes as it says (7.3.2.3.1)
        data = bytes(16) + draw(st.binary(max_size=12))
        nals.append(Bits().u(8, 5).u(8, len(data)).nal(0x06, data))
    nals += [draw(_slices(is_idr, number)) for number in range(draw(st.integers(1, 3)))]
    return tuple(nals)


@st.composite
def access_units(draw: st.DrawFn, codec: StreamCodec | None = None, *, max_units: int = 6) -> ElementaryStream:
    """Access units one after the other, with the parameters that belong to them.

    H.264 and H.265 begin with a picture that decoding can start with; parameter sets stand before each of these;
    delimiters, SEI and up to three slices are among the rest. AAC units hold any bytes but what would be taken for an
    ADTS header; Opus packets are such as a decoder takes.

    Args:
        codec: which; None: any, mostly H.264, H.265 and AAC.
        max_units: at most, and at least one.
    """
    chosen = draw(_any_codec) if codec is None else codec
    if chosen not in {"h264", "h265"}:
        return draw(sound_units(chosen, max_units=max_units))
    is_sync = [True, *draw(st.lists(st.booleans(), max_size=max_units - 1))]
    unit_ticks = draw(st.sampled_from([3600, 3000, 3003, 6000]))
    sets: H264Parameters | H265Parameters
    if chosen == "h265":
        sets, _ = draw(h265_parameters())
        pictures = tuple(draw(h265_pictures(sets, one)) for one in is_sync)
        return ElementaryStream("h265", sets, 90000, unit_ticks, pictures, tuple(is_sync))
    sets, _ = draw(h264_parameters())
    pictures = tuple(draw(_pictures(sets, one)) for one in is_sync)
    return ElementaryStream("h264", sets, 90000, unit_ticks, pictures, tuple(is_sync))
