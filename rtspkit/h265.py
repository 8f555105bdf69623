"""H.265: what the parameter sets say, RFC 6381 codec strings, and where access units begin.

As with H.264 a parameter set is read in full, with every number checked against the range the standard gives it; a set
that breaks one is refused as a whole, so that the caller keeps the one it has. Nothing is allocated from a number in
it. Byte streams (annex B), AVCC and the escaping of NAL units are the same in both codecs: `rtspkit.h264` has them.

Spec: ITU-T H.265 (08/2021) 7.3.1 NAL unit, 7.3.2.1 VPS, 7.3.2.2 SPS, 7.3.2.3 PPS, 7.3.3 profile, tier and level,
7.3.4 scaling lists, 7.3.7 short-term reference picture sets, 7.4.2.4.4 order of NAL units, A.4 levels, E.2 VUI and HRD;
ISO/IEC 14496-15 annex E.3 (codec strings); RFC 7798 7.1 (sprop).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from rtspkit._bits import BitReader
from rtspkit.errors import LimitExceeded, RemoteProtocolError
from rtspkit.h264 import clean_parameter_set, read_picture_shape, remove_emulation_prevention, sprop_nals
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import H265Parameters

__all__ = [
    "NAL_AUD",
    "NAL_BLA_N_LP",
    "NAL_BLA_W_LP",
    "NAL_CRA",
    "NAL_END_OF_BITSTREAM",
    "NAL_END_OF_SEQUENCE",
    "NAL_FILLER",
    "NAL_IDR_N_LP",
    "NAL_IDR_W_RADL",
    "NAL_PPS",
    "NAL_PREFIX_SEI",
    "NAL_RASL_N",
    "NAL_RASL_R",
    "NAL_SPS",
    "NAL_SUFFIX_SEI",
    "NAL_VPS",
    "PPS",
    "SPS",
    "VPS",
    "ProfileTierLevel",
    "access_units",
    "codec_string",
    "frame_rate",
    "is_slice",
    "is_sync",
    "nal_type",
    "parameters_from_sprop",
    "parse_pps",
    "parse_sps",
    "parse_vps",
]

NAL_RASL_N: Final = 8
NAL_RASL_R: Final = 9
NAL_BLA_W_LP: Final = 16
NAL_BLA_N_LP: Final = 18
NAL_IDR_W_RADL: Final = 19
NAL_IDR_N_LP: Final = 20
NAL_CRA: Final = 21
NAL_VPS: Final = 32
NAL_SPS: Final = 33
NAL_PPS: Final = 34
NAL_AUD: Final = 35
NAL_END_OF_SEQUENCE: Final = 36
NAL_END_OF_BITSTREAM: Final = 37
NAL_FILLER: Final = 38
NAL_PREFIX_SEI: Final = 39
NAL_SUFFIX_SEI: Final = 40

#: NAL unit types below it are slices, reserved ones among them (table 7-1).
_FIRST_NON_VCL = 32
#: Luma samples of the largest picture (MaxLumaPs of levels 7 to 7.2, table A.8).
_MAX_PICTURE_SIZE = 142_606_336
#: Luma samples of its longest side: the square root of 8 MaxLumaPs (A.4.1).
_MAX_SIDE = 33_776
#: Pictures a decoder of any level holds (MaxDpbSize, A.4.2), and so as many as one may refer to. Encoders are known to
#: announce fewer than they use; no more than these can be.
_MAX_DPB_SIZE = 16
#: A rate above it is a broken VUI: 1000 is what the fastest machine vision cameras stream.
_MAX_FRAME_RATE = 1000

_PROFILE_NAMES = {
    1: "Main",
    2: "Main 10",
    3: "Main Still Picture",
    4: "Format Range Extensions",
    5: "High Throughput",
    6: "Multiview Main",
    7: "Scalable Main",
    8: "3D Main",
    9: "Screen Content Coding Extensions",
    10: "Scalable Format Range Extensions",
    11: "High Throughput Screen Content Coding Extensions",
}


@dataclass(frozen=True, slots=True)
class ProfileTierLevel:
    """What a decoder must be able to do (7.3.3).

    Attributes:
        profile_space: 0; others are reserved.
        tier_flag: True for the High tier, which allows higher bit rates.
        profile_idc: the profile; `profile` has its name.
        compatibility_flags: 32 bits; the highest is profile 0's.
        constraint_flags: the 48 bits behind them.
        level_idc: thirty times the level; `level` has it as text.
    """

    profile_space: int
    tier_flag: bool
    profile_idc: int
    compatibility_flags: int
    constraint_flags: int
    level_idc: int

    @property
    def profile(self) -> str:
        """Name of the profile ("Main"), or its number as text."""
        return _PROFILE_NAMES.get(self.profile_idc, str(self.profile_idc))

    @property
    def level(self) -> str:
        """The level as people write it: "4", "4.1"."""
        return f"{self.level_idc // 30}.{self.level_idc % 30 // 3}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class VPS:
    """What a video parameter set says, as far as a gateway has use for it.

    Attributes:
        vps_id: vps_video_parameter_set_id.
        max_sub_layers: temporal sub-layers, 1 to 7.
        profile_tier_level: see there.
        frame_rate: pictures a second; None where it does not say.
    """

    vps_id: int
    max_sub_layers: int
    profile_tier_level: ProfileTierLevel
    frame_rate: Fraction | None


@dataclass(frozen=True, slots=True)
class SPS:
    """What a sequence parameter set says, as far as a gateway has use for it.

    Attributes:
        vps_id: of the VPS it belongs to.
        sps_id: sps_seq_parameter_set_id.
        max_sub_layers: temporal sub-layers, 1 to 7.
        temporal_id_nesting: one may change to a higher sub-layer anywhere.
        profile_tier_level: see there.
        width: in luma samples, within the conformance window.
        height: in luma samples, within the conformance window.
        chroma_format_idc: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
        separate_colour_plane: the three planes of 4:4:4 are coded apart.
        bit_depth_luma: 8 to 16.
        bit_depth_chroma: 8 to 16.
        log2_max_pic_order_cnt_lsb: 4 to 16.
        max_dec_pic_buffering: pictures a decoder must hold, 1 to 16 (of the highest sub-layer, as the next two).
        max_num_reorder_pics: pictures that may precede another in decoding order and follow it in output order.
        short_term_ref_pic_sets: of each set the distances to its pictures in output order, those before first.
        long_term_ref_pics_present: slices may refer to pictures by more than these sets.
        frame_rate: pictures a second; None where the VUI does not say.
        sample_aspect_ratio: width and height of a luma sample; (1, 1) where the VUI does not say.
        field_seq: each picture is a field of an interlaced one.
        min_spatial_segmentation_idc: of the VUI; 0 where it does not say.
    """

    vps_id: int
    sps_id: int
    max_sub_layers: int
    temporal_id_nesting: bool
    profile_tier_level: ProfileTierLevel
    width: int
    height: int
    chroma_format_idc: int
    separate_colour_plane: bool
    bit_depth_luma: int
    bit_depth_chroma: int
    log2_max_pic_order_cnt_lsb: int
    max_dec_pic_buffering: int
    max_num_reorder_pics: int
    short_term_ref_pic_sets: tuple[tuple[int, ...], ...]
    long_term_ref_pics_present: bool
    frame_rate: Fraction | None
    sample_aspect_ratio: tuple[int, int]
    field_seq: bool
    min_spatial_segmentation_idc: int

    @property
    def may_reorder(self) -> bool:
        """Whether output order may differ from decoding order (B-pictures)."""
        return self.max_num_reorder_pics != 0


@dataclass(frozen=True, slots=True)
class PPS:
    """The beginning of a picture parameter set: what a slice's header cannot be read without.

    Attributes:
        pps_id: pps_pic_parameter_set_id, 0 to 63.
        sps_id: of the SPS it belongs to.
        dependent_slice_segments_enabled: slice headers may be those of the slice before.
        output_flag_present: slice headers say whether the picture is shown.
        num_extra_slice_header_bits: 0 to 7.
    """

    pps_id: int
    sps_id: int
    dependent_slice_segments_enabled: bool
    output_flag_present: bool
    num_extra_slice_header_bits: int


@dataclass(slots=True)
class _VUI:
    """The part of the video usability information that an `SPS` keeps."""

    frame_rate: Fraction | None = None
    sample_aspect_ratio: tuple[int, int] = (1, 1)
    field_seq: bool = False
    min_spatial_segmentation_idc: int = 0


def nal_type(nal: bytes) -> int:
    """nal_unit_type of a NAL unit; 63 (unspecified) of one without a whole header."""
    return nal[0] >> 1 & 0x3F if len(nal) > 1 else 63


def is_slice(nal: bytes) -> bool:
    """Whether the NAL unit is a slice segment."""
    return nal_type(nal) < _FIRST_NON_VCL


def is_sync(nals: Iterable[bytes]) -> bool:
    """Whether the access unit of these NAL units is an IRAP picture (IDR, CRA or BLA)."""
    return any(NAL_BLA_W_LP <= nal_type(nal) <= NAL_CRA for nal in nals)


# -- parameter sets ---------------------------------------------------------------------------------------------------


def _open(nal: bytes, name: str, kind: int, limits: Limits) -> BitReader:
    """The bits of a parameter set behind its header."""
    what = f"H.265 {name}"
    if len(nal) > limits.parameter_set_size:
        raise LimitExceeded(f"{what}: {len(nal)} bytes, at most {limits.parameter_set_size} are allowed", head=nal)
    clean = clean_parameter_set(nal)
    if nal_type(clean) != kind or clean[0] & 0x80:
        raise RemoteProtocolError(f"{what}: this is no such parameter set", head=nal)
    bits = BitReader(remove_emulation_prevention(clean), what)
    bits.skip(16)
    return bits


def parse_vps(vps: bytes, *, limits: Limits = DEFAULT_LIMITS) -> VPS:
    """Read a video parameter set as far as its timing.

    Args:
        vps: the NAL unit with its header; a stray start code around it does no harm.
        limits: `parameter_set_size` bounds it.

    Raises:
        RemoteProtocolError: it is no VPS, ends too early or has a number out of its range.
        LimitExceeded: it is longer than the limit.
    """
    bits = _open(vps, "VPS", NAL_VPS, limits)
    vps_id = bits.read(4)
    bits.skip(8)  # vps_base_layer_internal_flag, vps_base_layer_available_flag, vps_max_layers_minus1
    max_sub_layers = _sub_layers(bits)
    bits.skip(17)  # vps_temporal_id_nesting_flag, vps_reserved_0xffff_16bits
    profile_tier_level = _profile_tier_level(bits, max_sub_layers)
    _sub_layer_ordering(bits, "vps", max_sub_layers)
    layers = 1 + bits.read(6)  # vps_max_layer_id
    bits.skip(layers * bits.unsigned("vps_num_layer_sets_minus1", 1023))  # layer_id_included_flag
    rate = None
    if bits.flag():  # vps_timing_info_present_flag
        rate = _timing(bits, "vps")  # the buffering models behind it are left unread
    return VPS(vps_id, max_sub_layers, profile_tier_level, rate)


def parse_sps(sps: bytes, *, limits: Limits = DEFAULT_LIMITS) -> SPS:
    """Read a sequence parameter set, extensions behind the VUI excepted.

    Args:
        sps: the NAL unit with its header; a stray start code around it does no harm.
        limits: `parameter_set_size` bounds it.

    Raises:
        RemoteProtocolError: it is no SPS, ends too early or has a number out of its range.
        LimitExceeded: it is longer than the limit.
    """
    bits = _open(sps, "SPS", NAL_SPS, limits)
    vps_id = bits.read(4)
    max_sub_layers = _sub_layers(bits)
    temporal_id_nesting = bits.flag()
    profile_tier_level = _profile_tier_level(bits, max_sub_layers)
    sps_id = bits.unsigned("sps_seq_parameter_set_id", 15)
    chroma_format_idc = bits.unsigned("chroma_format_idc", 3)
    separate_colour_plane = chroma_format_idc == 3 and bits.flag()
    coded_width = bits.unsigned("pic_width_in_luma_samples", _MAX_SIDE)
    coded_height = bits.unsigned("pic_height_in_luma_samples", _MAX_SIDE)
    if coded_width * coded_height > _MAX_PICTURE_SIZE:
        raise bits.error(f"a picture of {coded_width}x{coded_height} is beyond every level")
    width, height = coded_width, coded_height
    if bits.flag():  # conformance_window_flag
        left, right, top, bottom = (bits.unsigned(f"conf_win_{side}_offset") for side in _SIDES)
        # table 6-1: SubWidthC, SubHeightC
        width -= (left + right) * (2 if chroma_format_idc in {1, 2} else 1)
        height -= (top + bottom) * (2 if chroma_format_idc == 1 else 1)
    if width <= 0 or height <= 0:
        raise bits.error("the conformance window leaves nothing of the picture")
    bit_depth_luma = 8 + bits.unsigned("bit_depth_luma_minus8", 8)
    bit_depth_chroma = 8 + bits.unsigned("bit_depth_chroma_minus8", 8)
    log2_max_pic_order_cnt_lsb = 4 + bits.unsigned("log2_max_pic_order_cnt_lsb_minus4", 12)
    max_dec_pic_buffering, max_num_reorder_pics = _sub_layer_ordering(bits, "sps", max_sub_layers)
    _skip_block_sizes(bits, coded_width, coded_height)
    if bits.flag() and bits.flag():  # scaling_list_enabled_flag, sps_scaling_list_data_present_flag
        _skip_scaling_lists(bits)
    bits.skip(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag():  # pcm_enabled_flag
        bits.skip(8)  # two bit depths
        bits.unsigned("log2_min_pcm_luma_coding_block_size_minus3", 2)
        bits.unsigned("log2_diff_max_min_pcm_luma_coding_block_size", 2)
        bits.skip(1)  # pcm_loop_filter_disabled_flag
    sets = _short_term_ref_pic_sets(bits)
    long_term_ref_pics_present = bits.flag()
    if long_term_ref_pics_present:
        # lt_ref_pic_poc_lsb_sps, used_by_curr_pic_lt_sps_flag
        bits.skip(bits.unsigned("num_long_term_ref_pics_sps", 32) * (log2_max_pic_order_cnt_lsb + 1))
    bits.skip(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    vui = _parse_vui(bits, max_sub_layers) if bits.flag() else _VUI()
    return SPS(
        vps_id=vps_id,
        sps_id=sps_id,
        max_sub_layers=max_sub_layers,
        temporal_id_nesting=temporal_id_nesting,
        profile_tier_level=profile_tier_level,
        width=width,
        height=height,
        chroma_format_idc=chroma_format_idc,
        separate_colour_plane=separate_colour_plane,
        bit_depth_luma=bit_depth_luma,
        bit_depth_chroma=bit_depth_chroma,
        log2_max_pic_order_cnt_lsb=log2_max_pic_order_cnt_lsb,
        max_dec_pic_buffering=max_dec_pic_buffering,
        max_num_reorder_pics=max_num_reorder_pics,
        short_term_ref_pic_sets=sets,
        long_term_ref_pics_present=long_term_ref_pics_present,
        frame_rate=vui.frame_rate,
        sample_aspect_ratio=vui.sample_aspect_ratio,
        field_seq=vui.field_seq,
        min_spatial_segmentation_idc=vui.min_spatial_segmentation_idc,
    )


def parse_pps(pps: bytes, *, limits: Limits = DEFAULT_LIMITS) -> PPS:
    """Read the beginning of a picture parameter set.

    Args:
        pps: the NAL unit with its header; a stray start code around it does no harm.
        limits: `parameter_set_size` bounds it.

    Raises:
        RemoteProtocolError: it is no PPS, ends too early or has a number out of its range.
        LimitExceeded: it is longer than the limit.
    """
    bits = _open(pps, "PPS", NAL_PPS, limits)
    return PPS(
        pps_id=bits.unsigned("pps_pic_parameter_set_id", 63),
        sps_id=bits.unsigned("pps_seq_parameter_set_id", 15),
        dependent_slice_segments_enabled=bits.flag(),
        output_flag_present=bits.flag(),
        num_extra_slice_header_bits=bits.read(3),
    )


_SIDES = ("left", "right", "top", "bottom")


def _sub_layers(bits: BitReader) -> int:
    count = 1 + bits.read(3)
    if count > 7:
        raise bits.error("8 temporal sub-layers, at most 7 are allowed")
    return count


def _profile_tier_level(bits: BitReader, max_sub_layers: int) -> ProfileTierLevel:
    """7.3.3, with profilePresentFlag 1."""
    profile_space, tier_flag, profile_idc = bits.read(2), bits.flag(), bits.read(5)
    compatibility_flags, constraint_flags, level_idc = bits.read(32), bits.read(48), bits.read(8)
    present = [(bits.flag(), bits.flag()) for _ in range(max_sub_layers - 1)]
    if present:
        bits.skip(2 * (8 - len(present)))  # reserved_zero_2bits
    for has_profile, has_level in present:
        bits.skip((88 if has_profile else 0) + (8 if has_level else 0))
    return ProfileTierLevel(profile_space, tier_flag, profile_idc, compatibility_flags, constraint_flags, level_idc)


def _sub_layer_ordering(bits: BitReader, prefix: str, max_sub_layers: int) -> tuple[int, int]:
    """Pictures to hold, and to put in order, of the highest sub-layer."""
    buffering = reorder = 0
    for _ in range(max_sub_layers if bits.flag() else 1):  # sub_layer_ordering_info_present_flag
        buffering = 1 + bits.unsigned(f"{prefix}_max_dec_pic_buffering_minus1", _MAX_DPB_SIZE - 1)
        reorder = bits.unsigned(f"{prefix}_max_num_reorder_pics", _MAX_DPB_SIZE - 1)
        bits.unsigned(f"{prefix}_max_latency_increase_plus1")
    return buffering, reorder


def _skip_block_sizes(bits: BitReader, coded_width: int, coded_height: int) -> None:
    """Logarithms of the sizes of coding and transform blocks (7.4.3.2.1)."""
    least = 3 + bits.unsigned("log2_min_luma_coding_block_size_minus3", 3)
    most = least + bits.unsigned("log2_diff_max_min_luma_coding_block_size", 3)
    if most > 6:
        raise bits.error(f"coding blocks of {1 << most} samples, at most 64 are allowed")
    if coded_width % (1 << least) or coded_height % (1 << least):
        raise bits.error(f"a picture of {coded_width}x{coded_height} is no multiple of blocks of {1 << least}")
    least = 2 + bits.unsigned("log2_min_luma_transform_block_size_minus2", min(3, least - 3))
    bits.unsigned("log2_diff_max_min_luma_transform_block_size", min(5, most) - least)
    bits.unsigned("max_transform_hierarchy_depth_inter", most - least)
    bits.unsigned("max_transform_hierarchy_depth_intra", most - least)


def _skip_scaling_lists(bits: BitReader) -> None:
    """7.3.4."""
    for size_id in range(4):
        for matrix_id in range(0, 6, 3 if size_id == 3 else 1):
            if not bits.flag():  # scaling_list_pred_mode_flag
                most = matrix_id // 3 if size_id == 3 else matrix_id
                bits.unsigned("scaling_list_pred_matrix_id_delta", most)
                continue
            if size_id > 1:
                bits.signed("scaling_list_dc_coef_minus8", -7, 247)
            for _ in range(min(64, 1 << (4 + 2 * size_id))):
                bits.signed("scaling_list_delta_coef", -128, 127)


def _short_term_ref_pic_sets(bits: BitReader) -> tuple[tuple[int, ...], ...]:
    """7.3.7: of each set the distances of its pictures in output order."""
    sets: list[tuple[int, ...]] = []
    for index in range(bits.unsigned("num_short_term_ref_pic_sets", 64)):
        if index and bits.flag():  # inter_ref_pic_set_prediction_flag
            found = _predicted_set(bits, sets[-1])
        else:
            counts = [bits.unsigned(f"num_{sign}_pics", _MAX_DPB_SIZE) for sign in ("negative", "positive")]
            found = ()
            for count, step in zip(counts, (-1, 1), strict=True):
                distance = 0
                for _ in range(count):
                    distance += step * (1 + bits.unsigned("delta_poc_minus1", 0x7FFF))
                    bits.skip(1)  # used_by_curr_pic_flag
                    found += (distance,)
        if len(found) > _MAX_DPB_SIZE:
            raise bits.error(f"{len(found)} pictures to refer to, at most {_MAX_DPB_SIZE} are allowed")
        sets.append(found)
    return tuple(sets)


def _predicted_set(bits: BitReader, before: tuple[int, ...]) -> tuple[int, ...]:
    """A set told as the one before, moved by a distance (equations 7-61 and 7-62)."""
    sign = -1 if bits.flag() else 1
    delta = sign * (1 + bits.unsigned("abs_delta_rps_minus1", 0x7FFF))
    # that of each picture of the set before, and of the picture it belonged to
    found = [distance + delta for distance in (*before, 0) if bits.flag() or bits.flag()]
    # nearest first, those before the picture ahead of those behind it; the picture itself is none
    return (*sorted((d for d in found if d < 0), reverse=True), *sorted(d for d in found if d > 0))


def _parse_vui(bits: BitReader, max_sub_layers: int) -> _VUI:
    """E.2.1."""
    vui = _VUI()
    vui.sample_aspect_ratio = read_picture_shape(bits)
    bits.skip(1)  # neutral_chroma_indication_flag
    vui.field_seq = bits.flag()
    bits.skip(1)  # frame_field_info_present_flag
    if bits.flag():  # default_display_window_flag
        for side in _SIDES:
            bits.unsigned(f"def_disp_win_{side}_offset")
    if bits.flag():  # vui_timing_info_present_flag
        vui.frame_rate = _timing(bits, "vui")
        if bits.flag():  # vui_hrd_parameters_present_flag
            _skip_hrd(bits, max_sub_layers)
    if bits.flag():  # bitstream_restriction_flag
        bits.skip(3)  # tiles_fixed_structure_flag, motion_vectors_over..., restricted_ref_pic_lists_flag
        vui.min_spatial_segmentation_idc = bits.unsigned("min_spatial_segmentation_idc", 4095)
        bits.unsigned("max_bytes_per_pic_denom", 16)
        bits.unsigned("max_bits_per_min_cu_denom", 16)
        bits.unsigned("log2_max_mv_length_horizontal", 15)
        bits.unsigned("log2_max_mv_length_vertical", 15)
    return vui


def _timing(bits: BitReader, prefix: str) -> Fraction | None:
    """num_units_in_tick and what stands behind it; a tick is a picture."""
    num_units_in_tick, time_scale = bits.read(32), bits.read(32)
    if bits.flag():  # poc_proportional_to_timing_flag
        bits.unsigned(f"{prefix}_num_ticks_poc_diff_one_minus1")
    if not num_units_in_tick or not time_scale:
        return None
    rate = Fraction(time_scale, num_units_in_tick)
    return rate if rate <= _MAX_FRAME_RATE else None


def _skip_hrd(bits: BitReader, max_sub_layers: int) -> None:
    """E.2.2, with commonInfPresentFlag 1."""
    models = int(bits.flag()) + int(bits.flag())  # nal_hrd_parameters_present_flag, vcl_hrd_parameters_present_flag
    has_sub_pictures = False
    if models:
        has_sub_pictures = bits.flag()
        bits.skip(19 if has_sub_pictures else 0)
        bits.skip(8)  # bit_rate_scale, cpb_size_scale
        bits.skip(4 if has_sub_pictures else 0)  # cpb_size_du_scale
        bits.skip(15)  # three lengths
    for _ in range(max_sub_layers):
        low_delay = False
        if bits.flag() or bits.flag():  # fixed_pic_rate_general_flag, fixed_pic_rate_within_cvs_flag
            bits.unsigned("elemental_duration_in_tc_minus1", 2047)
        else:
            low_delay = bits.flag()
        count = 1 if low_delay else 1 + bits.unsigned("cpb_cnt_minus1", 31)
        for _ in range(models * count):
            for _ in range(4 if has_sub_pictures else 2):
                bits.unsigned("a bit rate or buffer size")
            bits.skip(1)  # cbr_flag


# -- codec string, parameters out of the SDP --------------------------------------------------------------------------


def codec_string(parameters: H265Parameters) -> str:
    """The codecs parameter of ISO/IEC 14496-15, E.3, "hvc1.1.6.L120.90": parameter sets are not in the samples.

    Raises:
        RemoteProtocolError: the SPS cannot be read that far.
    """
    bits = _open(parameters.sps, "SPS", NAL_SPS, Limits(parameter_set_size=max(1, len(parameters.sps))))
    bits.skip(4)
    max_sub_layers = _sub_layers(bits)
    bits.skip(1)
    told = _profile_tier_level(bits, max_sub_layers)
    space = ("", "A", "B", "C")[told.profile_space]
    compatibility = int(f"{told.compatibility_flags:032b}"[::-1], 2)
    tier = "H" if told.tier_flag else "L"
    # trailing zero bytes may be left out
    constraints = "".join(f".{byte:X}" for byte in told.constraint_flags.to_bytes(6).rstrip(b"\0"))
    return f"hvc1.{space}{told.profile_idc}.{compatibility:X}.{tier}{told.level_idc}{constraints}"


def frame_rate(parameters: H265Parameters) -> Fraction | None:
    """Pictures a second as the SPS says, or the VPS; None where neither does.

    Raises:
        RemoteProtocolError: the SPS cannot be read.
    """
    rate = parse_sps(parameters.sps).frame_rate
    if rate is not None:
        return rate
    try:
        return parse_vps(parameters.vps).frame_rate
    except RemoteProtocolError:
        return None


def parameters_from_sprop(vps: str, sps: str, pps: str, *, limits: Limits = DEFAULT_LIMITS) -> H265Parameters | None:
    """The parameter sets of `sprop-vps`, `sprop-sps`, `sprop-pps` (RFC 7798, 7.1): NAL units in Base64 between commas.

    Each is taken for what its header says, wherever it stands: all three may be in one of them.

    Returns:
        The first VPS, the first SPS that can be read, else the first there is, and every PPS. None unless there is one
        of each: then they are to be awaited in the stream.
    """
    texts = [text for sprop in (vps, sps, pps) for text in sprop.split(",")]
    nals = [nal for text in texts for nal in sprop_nals(text) if len(nal) <= limits.parameter_set_size]
    found = {kind: [nal for nal in nals if nal_type(nal) == kind] for kind in (NAL_VPS, NAL_SPS, NAL_PPS)}
    if not all(found.values()):
        return None
    readable = (nal for nal in found[NAL_SPS] if _is_readable(nal, limits))
    return H265Parameters(found[NAL_VPS][0], next(readable, found[NAL_SPS][0]), tuple(dict.fromkeys(found[NAL_PPS])))


def _is_readable(sps: bytes, limits: Limits) -> bool:
    try:
        parse_sps(sps, limits=limits)
    except RemoteProtocolError:
        return False
    return True


# -- byte streams -----------------------------------------------------------------------------------------------------


def access_units(nals: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Group the NAL units of a byte stream to access units (7.4.2.4.4).

    A slice segment with first_slice_segment_in_pic_flag begins a picture, and so does, after a picture's slices,
    whatever may only stand before one.
    """
    unit: list[bytes] = []
    has_slice = False
    for nal in nals:
        kind = nal_type(nal)
        opens = kind < _FIRST_NON_VCL and len(nal) > 2 and bool(nal[2] & 0x80)
        if has_slice and (opens or kind in _BEFORE_SLICES):
            yield unit
            unit, has_slice = [], False
        unit.append(nal)
        has_slice = has_slice or kind < _FIRST_NON_VCL
    if unit:
        yield unit


_BEFORE_SLICES = frozenset({NAL_VPS, NAL_SPS, NAL_PPS, NAL_AUD, NAL_PREFIX_SEI, *range(41, 45), *range(48, 56)})
