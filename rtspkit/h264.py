"""H.264: what the sequence parameter set says, RFC 6381 codec strings, and the two ways to join NAL units.

The parameter set is read to its end, with every number checked against the range the standard gives it; a set that
breaks one is refused as a whole, so that the caller keeps the one it has. Nothing is allocated from a number in it.

Spec: ITU-T H.264 (08/2021) 7.3.1 NAL unit, 7.3.2.1 SPS, 7.4.1.2.4 first NAL unit of a picture, A.3 levels, E.1 VUI,
B.1 byte stream; ISO/IEC 14496-15 5.3 (AVCC: NAL units after their length); RFC 6381 3.3; RFC 6184 8.1 (sprop).
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from rtspkit._bits import BitReader
from rtspkit.errors import LimitExceeded, RemoteProtocolError
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import H264Parameters

__all__ = [
    "NAL_AUD",
    "NAL_END_OF_SEQUENCE",
    "NAL_END_OF_STREAM",
    "NAL_FILLER",
    "NAL_IDR",
    "NAL_PPS",
    "NAL_SEI",
    "NAL_SLICE",
    "NAL_SLICE_PARTITION_A",
    "NAL_SLICE_PARTITION_C",
    "NAL_SPS",
    "SPS",
    "access_units",
    "annexb_to_avcc",
    "avcc_to_annexb",
    "clean_parameter_set",
    "codec_string",
    "is_sync",
    "join_annexb",
    "join_avcc",
    "nal_type",
    "parameters_from_sprop",
    "parse_sps",
    "read_picture_shape",
    "remove_emulation_prevention",
    "split_annexb",
    "split_avcc",
    "sprop_nals",
]

NAL_SLICE: Final = 1
NAL_SLICE_PARTITION_A: Final = 2
NAL_SLICE_PARTITION_C: Final = 4
NAL_IDR: Final = 5
NAL_SEI: Final = 6
NAL_SPS: Final = 7
NAL_PPS: Final = 8
NAL_AUD: Final = 9
NAL_END_OF_SEQUENCE: Final = 10
NAL_END_OF_STREAM: Final = 11
NAL_FILLER: Final = 12

#: Macroblocks of the largest picture (MaxFS of levels 6 to 6.2, table A-1).
_MAX_PICTURE_SIZE = 139264
#: Macroblocks of its longest side: the square root of 8 MaxFS (A.3.1).
_MAX_SIDE = 1055
#: A rate above it is a broken VUI: 1000 is what the fastest machine vision cameras stream.
_MAX_FRAME_RATE = 1000

#: profile_idc of the profiles whose SPS carries chroma_format_idc, bit depths and scaling lists (7.3.2.1.1).
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
#: profiles that are intra-only where constraint_set3_flag is set (E.2.1, max_num_reorder_frames)
_INTRA_PROFILES = frozenset({44, 86, 100, 110, 122, 244})
_PROFILE_NAMES = {
    44: "CAVLC 4:4:4 Intra",
    66: "Baseline",
    77: "Main",
    88: "Extended",
    100: "High",
    110: "High 10",
    122: "High 4:2:2",
    244: "High 4:4:4 Predictive",
}
#: Table E-1: aspect_ratio_idc from 1 on; H.265 has the same.
_ASPECT_RATIOS = (
    (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11),
    (80, 33), (18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1),
)  # fmt: skip
#: The aspect_ratio_idc that is followed by a ratio.
_EXTENDED_SAR = 255


@dataclass(frozen=True, slots=True)
class SPS:
    """What a sequence parameter set says, as far as a gateway has use for it.

    Attributes:
        profile_idc: the profile; `profile` has its name.
        constraint_flags: the byte behind it, constraint_set0_flag in its highest bit.
        level_idc: ten times the level; `level` has it as text.
        sps_id: seq_parameter_set_id.
        width: in luma samples, cropped.
        height: in luma samples of the whole picture (both fields), cropped.
        chroma_format_idc: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
        bit_depth_luma: 8 to 14.
        bit_depth_chroma: 8 to 14.
        separate_colour_plane: the three planes of 4:4:4 are coded apart.
        frame_mbs_only: False where fields (interlaced pictures) may occur.
        log2_max_frame_num: 4 to 16.
        pic_order_cnt_type: 0, 1, or 2 (output order is decoding order).
        log2_max_pic_order_cnt_lsb: 4 to 16; 0 unless pic_order_cnt_type is 0.
        max_num_ref_frames: up to 16.
        frame_rate: pictures (both fields) a second; None where the VUI does not say.
        fixed_frame_rate: the VUI says that it never changes.
        sample_aspect_ratio: width and height of a luma sample; (1, 1) where the VUI does not say.
        max_num_reorder_frames: pictures that may precede another in decoding order and follow it in output order;
            None where neither VUI nor profile says.
    """

    profile_idc: int
    constraint_flags: int
    level_idc: int
    sps_id: int
    width: int
    height: int
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    separate_colour_plane: bool
    frame_mbs_only: bool
    log2_max_frame_num: int
    pic_order_cnt_type: int
    log2_max_pic_order_cnt_lsb: int
    max_num_ref_frames: int
    frame_rate: Fraction | None
    fixed_frame_rate: bool
    sample_aspect_ratio: tuple[int, int]
    max_num_reorder_frames: int | None

    @property
    def may_reorder(self) -> bool:
        """Whether output order may differ from decoding order (B-pictures)."""
        return self.max_num_reorder_frames != 0

    @property
    def profile(self) -> str:
        """Name of the profile ("High"), or its number as text."""
        return _PROFILE_NAMES.get(self.profile_idc, str(self.profile_idc))

    @property
    def level(self) -> str:
        """The level as people write it: "4", "4.1", "1b"."""
        if self.level_idc == 9 or (self.level_idc == 11 and self.profile_idc <= 88 and self.constraint_flags & 0x10):
            return "1b"  # A.3.1, A.3.2
        return f"{self.level_idc // 10}.{self.level_idc % 10}".removesuffix(".0")


@dataclass(slots=True)
class _VUI:
    """The part of the video usability information that an `SPS` keeps."""

    frame_rate: Fraction | None = None
    fixed_frame_rate: bool = False
    sample_aspect_ratio: tuple[int, int] = (1, 1)
    max_num_reorder_frames: int | None = None


def nal_type(nal: bytes) -> int:
    """nal_unit_type of a NAL unit; 0 (unspecified) of an empty one."""
    return nal[0] & 0x1F if nal else 0


def is_sync(nals: Iterable[bytes]) -> bool:
    """Whether the access unit of these NAL units is an IDR picture."""
    return any(nal_type(nal) == NAL_IDR for nal in nals)


# -- sequence parameter set -------------------------------------------------------------------------------------------


def remove_emulation_prevention(nal: bytes) -> bytes:
    """`nal` without the emulation_prevention_three_byte of each 00 00 03 (7.3.1)."""
    if b"\0\0\3" not in nal:
        return nal
    payload = bytearray()
    start = 0
    while (found := nal.find(b"\0\0\3", start)) >= 0:
        payload += nal[start : found + 2]
        start = found + 3
    return bytes(payload + nal[start:])


def clean_parameter_set(nal: bytes) -> bytes:
    """`nal` without a start code before it, and zeros or a start code behind it.

    A NAL unit neither starts nor ends with a zero byte, so these are never part of it. Cameras of GW Security send
    an SPS that ends in a start code.
    """
    for prefix in (b"\0\0\0\1", b"\0\0\1"):
        if nal.startswith(prefix):
            nal = nal[len(prefix) :]
            break
    return nal.rstrip(b"\0").removesuffix(b"\0\0\1").rstrip(b"\0")


def parse_sps(sps: bytes, *, limits: Limits = DEFAULT_LIMITS) -> SPS:
    """Read a sequence parameter set.

    Args:
        sps: the NAL unit with its header byte; a stray start code around it does no harm.
        limits: `parameter_set_size` bounds it.

    Raises:
        RemoteProtocolError: it is no SPS, ends too early or has a number out of its range.
        LimitExceeded: it is longer than the limit.
    """
    if len(sps) > limits.parameter_set_size:
        raise LimitExceeded(f"H.264 SPS: {len(sps)} bytes, at most {limits.parameter_set_size} are allowed", head=sps)
    nal = clean_parameter_set(sps)
    if nal_type(nal) != NAL_SPS or nal[0] & 0x80:
        raise RemoteProtocolError("H.264 SPS: this is no sequence parameter set", head=sps)
    bits = BitReader(remove_emulation_prevention(nal), "H.264 SPS")
    bits.skip(8)
    profile_idc, constraint_flags, level_idc = bits.read(8), bits.read(8), bits.read(8)
    sps_id = bits.unsigned("seq_parameter_set_id", 31)

    chroma_format_idc, separate_colour_plane, bit_depth_luma, bit_depth_chroma = 1, False, 8, 8
    if profile_idc in _HIGH_PROFILES:
        chroma_format_idc = bits.unsigned("chroma_format_idc", 3)
        separate_colour_plane = chroma_format_idc == 3 and bits.flag()
        bit_depth_luma += bits.unsigned("bit_depth_luma_minus8", 6)
        bit_depth_chroma += bits.unsigned("bit_depth_chroma_minus8", 6)
        bits.skip(1)  # qpprime_y_zero_transform_bypass_flag
        if bits.flag():
            for index in range(12 if chroma_format_idc == 3 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)

    log2_max_frame_num = 4 + bits.unsigned("log2_max_frame_num_minus4", 12)
    pic_order_cnt_type = bits.unsigned("pic_order_cnt_type", 2)
    log2_max_pic_order_cnt_lsb = 0
    if pic_order_cnt_type == 0:
        log2_max_pic_order_cnt_lsb = 4 + bits.unsigned("log2_max_pic_order_cnt_lsb_minus4", 12)
    elif pic_order_cnt_type == 1:
        bits.skip(1)  # delta_pic_order_always_zero_flag
        bits.signed("offset_for_non_ref_pic")
        bits.signed("offset_for_top_to_bottom_field")
        for _ in range(bits.unsigned("num_ref_frames_in_pic_order_cnt_cycle", 255)):
            bits.signed("offset_for_ref_frame")
    max_num_ref_frames = bits.unsigned("max_num_ref_frames", 16)
    bits.skip(1)  # gaps_in_frame_num_value_allowed_flag

    width_in_mbs = 1 + bits.unsigned("pic_width_in_mbs_minus1", _MAX_SIDE - 1)
    height_in_map_units = 1 + bits.unsigned("pic_height_in_map_units_minus1", _MAX_SIDE - 1)
    frame_mbs_only = bits.flag()
    height_in_mbs = height_in_map_units * (1 if frame_mbs_only else 2)
    if height_in_mbs > _MAX_SIDE or width_in_mbs * height_in_mbs > _MAX_PICTURE_SIZE:
        raise bits.error(f"a picture of {16 * width_in_mbs}x{16 * height_in_mbs} is beyond every level")
    if not frame_mbs_only:
        bits.skip(1)  # mb_adaptive_frame_field_flag
    bits.skip(1)  # direct_8x8_inference_flag
    width, height = 16 * width_in_mbs, 16 * height_in_mbs
    if bits.flag():
        left, right, top, bottom = (bits.unsigned(f"frame_crop_{side}_offset") for side in _SIDES)
        # equations 7-19 to 7-22
        chroma_array_type = 0 if separate_colour_plane else chroma_format_idc
        width -= (left + right) * (2 if chroma_array_type in {1, 2} else 1)
        height -= (top + bottom) * (2 if chroma_array_type == 1 else 1) * (1 if frame_mbs_only else 2)
        if width <= 0 or height <= 0:
            raise bits.error("the cropping leaves nothing of the picture")

    vui = _parse_vui(bits) if bits.flag() else _VUI()
    reorder = vui.max_num_reorder_frames
    if pic_order_cnt_type == 2 or (profile_idc in _INTRA_PROFILES and constraint_flags & 0x10):
        reorder = 0  # 8.2.1; E.2.1
    elif profile_idc == 66 and reorder is None:
        reorder = 0  # A.2.1: no B slices; the order of P pictures is left alone by every encoder known
    return SPS(
        profile_idc=profile_idc,
        constraint_flags=constraint_flags,
        level_idc=level_idc,
        sps_id=sps_id,
        width=width,
        height=height,
        chroma_format_idc=chroma_format_idc,
        bit_depth_luma=bit_depth_luma,
        bit_depth_chroma=bit_depth_chroma,
        separate_colour_plane=separate_colour_plane,
        frame_mbs_only=frame_mbs_only,
        log2_max_frame_num=log2_max_frame_num,
        pic_order_cnt_type=pic_order_cnt_type,
        log2_max_pic_order_cnt_lsb=log2_max_pic_order_cnt_lsb,
        max_num_ref_frames=max_num_ref_frames,
        frame_rate=vui.frame_rate,
        fixed_frame_rate=vui.fixed_frame_rate,
        sample_aspect_ratio=vui.sample_aspect_ratio,
        max_num_reorder_frames=reorder,
    )


_SIDES = ("left", "right", "top", "bottom")


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    """7.3.2.1.1.1."""
    scale = 8
    for _ in range(size):
        scale = (scale + bits.signed("delta_scale", -128, 127)) % 256
        if scale == 0:
            return  # the rest repeats the last one


def read_picture_shape(bits: BitReader) -> tuple[int, int]:
    """The sample aspect ratio; both VUIs begin alike as far as the chroma location (H.264, E.1.1; H.265, E.2.1)."""
    ratio = (0, 0)
    if bits.flag():  # aspect_ratio_info_present_flag
        aspect_ratio_idc = bits.read(8)
        if aspect_ratio_idc == _EXTENDED_SAR:
            ratio = bits.read(16), bits.read(16)
        elif 1 <= aspect_ratio_idc <= len(_ASPECT_RATIOS):
            ratio = _ASPECT_RATIOS[aspect_ratio_idc - 1]
    if bits.flag():  # overscan_info_present_flag
        bits.skip(1)
    if bits.flag():  # video_signal_type_present_flag
        bits.skip(4)  # video_format, video_full_range_flag
        if bits.flag():  # colour_description_present_flag
            bits.skip(24)
    if bits.flag():  # chroma_loc_info_present_flag
        bits.unsigned("chroma_sample_loc_type_top_field", 5)
        bits.unsigned("chroma_sample_loc_type_bottom_field", 5)
    return ratio if all(ratio) else (1, 1)  # it is unspecified


def _parse_vui(bits: BitReader) -> _VUI:
    """E.1.1."""
    vui = _VUI()
    vui.sample_aspect_ratio = read_picture_shape(bits)
    if bits.flag():  # timing_info_present_flag
        num_units_in_tick, time_scale = bits.read(32), bits.read(32)
        vui.fixed_frame_rate = bits.flag()
        if num_units_in_tick and time_scale:
            rate = Fraction(time_scale, 2 * num_units_in_tick)
            vui.frame_rate = rate if rate <= _MAX_FRAME_RATE else None
    nal_hrd = bits.flag()
    if nal_hrd:
        _skip_hrd(bits)
    vcl_hrd = bits.flag()
    if vcl_hrd:
        _skip_hrd(bits)
    if nal_hrd or vcl_hrd:
        bits.skip(1)  # low_delay_hrd_flag
    bits.skip(1)  # pic_struct_present_flag
    if bits.flag():  # bitstream_restriction_flag
        bits.skip(1)  # motion_vectors_over_pic_boundaries_flag
        bits.unsigned("max_bytes_per_pic_denom", 16)
        bits.unsigned("max_bits_per_mb_denom", 16)
        bits.unsigned("log2_max_mv_length_horizontal", 16)
        bits.unsigned("log2_max_mv_length_vertical", 16)
        vui.max_num_reorder_frames = bits.unsigned("max_num_reorder_frames", 16)
        bits.unsigned("max_dec_frame_buffering", 16)
    return vui


def _skip_hrd(bits: BitReader) -> None:
    """E.1.2."""
    cpb_count = 1 + bits.unsigned("cpb_cnt_minus1", 31)
    bits.skip(8)  # bit_rate_scale, cpb_size_scale
    for _ in range(cpb_count):
        bits.unsigned("bit_rate_value_minus1")
        bits.unsigned("cpb_size_value_minus1")
        bits.skip(1)  # cbr_flag
    bits.skip(20)  # four lengths of 5 bits


# -- codec string, parameters out of the SDP --------------------------------------------------------------------------


def codec_string(parameters: H264Parameters) -> str:
    """The codecs parameter of RFC 6381, "avc1.64001F": profile, constraints and level as the SPS has them.

    Raises:
        RemoteProtocolError: the SPS is shorter than that.
    """
    sps = clean_parameter_set(parameters.sps)
    if nal_type(sps) != NAL_SPS or len(sps) < 4:
        raise RemoteProtocolError("H.264 SPS: this is no sequence parameter set", head=sps)
    return f"avc1.{sps[1:4].hex().upper()}"


def parameters_from_sprop(sprop: str, *, limits: Limits = DEFAULT_LIMITS) -> H264Parameters | None:
    """The parameter sets of `sprop-parameter-sets` (RFC 6184, 8.1): NAL units in Base64 between commas.

    Returns:
        The first SPS that can be read, else the first there is: some announce a cut one and send the whole one in
        band. None unless there are an SPS and a PPS: then they are to be awaited in the stream.
    """
    nals = [nal for text in sprop.split(",") for nal in sprop_nals(text) if len(nal) <= limits.parameter_set_size]
    sps = [nal for nal in nals if nal_type(nal) == NAL_SPS and len(nal) >= 4]
    pps = tuple(dict.fromkeys(nal for nal in nals if nal_type(nal) == NAL_PPS and len(nal) >= 2))
    if not sps or not pps:
        return None
    return H264Parameters(next((nal for nal in sps if _is_readable(nal, limits)), sps[0]), pps)


def sprop_nals(text: str) -> list[bytes]:
    """The NAL units in one Base64 text of an SDP, however a camera has filled it; none where it cannot be read."""
    stripped = text.strip().rstrip("=")
    try:
        # some cameras leave the padding out
        data = binascii.a2b_base64(stripped + "=" * (-len(stripped) % 4))
    except ValueError:
        return []
    # some put several NAL units, each after its start code, into one
    nals = split_annexb(data) if data.startswith((b"\0\0\1", b"\0\0\0\1")) else [clean_parameter_set(data)]
    return [nal for nal in nals if nal and not nal[0] & 0x80]


def _is_readable(sps: bytes, limits: Limits) -> bool:
    try:
        parse_sps(sps, limits=limits)
    except RemoteProtocolError:
        return False
    return True


# -- Annex B and AVCC -------------------------------------------------------------------------------------------------


def split_annexb(data: bytes) -> list[bytes]:
    """The NAL units of a byte stream (annex B): whatever stands between start codes, without zeros behind it.

    Any bytes are accepted; those before the first start code are not part of a NAL unit and are left out.
    """
    nals = []
    start = data.find(b"\0\0\1")
    while start >= 0:
        stop = data.find(b"\0\0\1", start + 3)
        nal = data[start + 3 : stop if stop >= 0 else len(data)].rstrip(b"\0")
        if nal:
            nals.append(nal)
        start = stop
    return nals


def join_annexb(nals: Iterable[bytes]) -> bytes:
    """The NAL units as a byte stream, each after a start code of four bytes."""
    return b"".join(part for nal in nals for part in (b"\0\0\0\1", nal))


def split_avcc(data: bytes) -> list[bytes]:
    """The NAL units of an access unit in which each stands after its length in 4 bytes.

    Raises:
        RemoteProtocolError: a length runs past the end.
    """
    nals = []
    position = 0
    while position < len(data):
        start = position + 4
        size = int.from_bytes(data[position:start])
        if start > len(data) or size > len(data) - start:
            raise RemoteProtocolError("AVCC: a NAL unit runs past the end", offset=position, head=data[position:])
        position = start + size
        if size:
            nals.append(data[start:position])
    return nals


def join_avcc(nals: Iterable[bytes]) -> bytes:
    """The NAL units as an access unit, each after its length in 4 bytes."""
    return b"".join(part for nal in nals for part in (len(nal).to_bytes(4), nal))


def annexb_to_avcc(data: bytes) -> bytes:
    """A byte stream's NAL units, each after its length."""
    return join_avcc(split_annexb(data))


def avcc_to_annexb(data: bytes) -> bytes:
    """An access unit's NAL units, each after a start code.

    Raises:
        RemoteProtocolError: a length runs past the end.
    """
    return join_annexb(split_avcc(data))


def access_units(nals: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Group the NAL units of a byte stream to access units (7.4.1.2.3).

    A slice with first_mb_in_slice 0 begins a picture, and so does, after a picture's slices, whatever may only stand
    before one. Arbitrary slice order and redundant pictures (Baseline, never seen from a camera) are not regarded.
    """
    unit: list[bytes] = []
    has_slice = False
    for nal in nals:
        kind = nal_type(nal)
        if kind == 0:
            continue
        is_slice = NAL_SLICE <= kind <= NAL_IDR
        # ue(v) 0 is a single 1 bit; partitions B and C have no first_mb_in_slice
        opens = kind in _SLICES_WITH_FIRST_MB and len(nal) > 1 and bool(nal[1] & 0x80)
        if has_slice and (opens or kind in _BEFORE_SLICES):
            yield unit
            unit, has_slice = [], False
        unit.append(nal)
        has_slice = has_slice or is_slice
    if unit:
        yield unit


_SLICES_WITH_FIRST_MB = frozenset({NAL_SLICE, NAL_SLICE_PARTITION_A, NAL_IDR})
_BEFORE_SLICES = frozenset({NAL_SEI, NAL_SPS, NAL_PPS, NAL_AUD, 14, 15, 16, 17, 18})
