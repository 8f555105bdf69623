"""H.265 parameter sets, codec strings and access units."""

import base64
from fractions import Fraction

import pytest
from test_h264 import BitWriter

from rtspkit import h265
from rtspkit.errors import LimitExceeded, RemoteProtocolError
from rtspkit.limits import Limits
from rtspkit.media import H265Parameters

# libx265, Main, 128x64, 25 pictures a second, no B-pictures
VPS = bytes.fromhex("40010c01ffff01600000030090000003000003001e928090")
SPS = bytes.fromhex("42010101600000030090000003000003001ea01020416592a4932bc05a020000030002000003003210")
PPS = bytes.fromhex("4401c172b42240")
OTHER_PPS = bytes.fromhex("4401c0")  # pps_pic_parameter_set_id 0
PARAMETERS = H265Parameters(VPS, SPS, (PPS,))
# libx265, 322x182 of 4:2:2 with 10 bits, two sub-layers, default scaling lists, pixels 4:3, buffering model
SPS_ODD = bytes.fromhex(
    "4201020408000003009d0800000300003c0000b00a480b9c96d965652b2c9272bc39a02000007d20000ea60c01914dc003d08000f425c0"
    "03d08000f42440"
)
# libx265, 640x480 of 4:4:4, High tier, level 5.1, two reordered pictures
SPS_HIGH_TIER = bytes.fromhex("4201012408000003009e080000030000999000a0403c2cb2b349265780b4040000030004000003002820")
MAIN = (0x60000000, 0x900000000000)


def profile_tier_level(bits, *, level=93, sub_layers=1, present=()):
    bits.u(2, 0).u(1, 0).u(5, 1).u(32, MAIN[0]).u(48, MAIN[1]).u(8, level)
    if sub_layers > 1:
        for has_profile, has_level in present:
            bits.u(1, has_profile).u(1, has_level)
        bits.u(2 * (9 - sub_layers), 0)
        for has_profile, has_level in present:
            bits.u(88 if has_profile else 0, 1).u(8 if has_level else 0, 1)


def write_sps(
    *, size=(640, 368), window=None, sub_layers=1, present=(), chroma=1, poc_lsb=4, ordering=((4, 2, 0),),
    blocks=(0, 3, 0, 3, 0, 0), scaling=None, pcm=None, sets=(), long_term=None, vui=None,
):  # fmt: skip
    """An SPS with one thing or another in it; `scaling`, `sets` and `vui` are what their owners write."""
    bits = BitWriter().u(4, 0).u(3, sub_layers - 1).u(1, 1)
    profile_tier_level(bits, sub_layers=sub_layers, present=present)
    bits.ue(0, chroma)
    if chroma == 3:
        bits.u(1, 1)
    bits.ue(*size).u(1, window is not None)
    if window is not None:
        bits.ue(*window)
    bits.ue(0, 0, poc_lsb).u(1, len(ordering) > 1)
    for entry in ordering:
        bits.ue(*entry)
    bits.ue(*blocks).u(1, scaling is not None)
    if scaling is not None:
        bits.u(1, 1)
        scaling(bits)
    bits.u(2, 3).u(1, pcm is not None)
    if pcm is not None:
        bits.u(8, 0x77).ue(*pcm).u(1, 1)
    bits.ue(len(sets))
    for one in sets:
        one(bits)
    bits.u(1, long_term is not None)
    if long_term is not None:
        bits.ue(len(long_term))
        for lsb in long_term:
            bits.u(4 + poc_lsb, lsb).u(1, 1)
    bits.u(2, 3).u(1, vui is not None)
    if vui is not None:
        vui(bits)
    bits.u(1, 0)
    return nal(bits, 33)


def nal(bits, kind):
    return bytes((kind << 1,)) + bits.nal(1)


def explicit(negative, positive, index=0):
    def write(bits):
        if index:
            bits.u(1, 0)
        bits.ue(len(negative), len(positive))
        for step in (*negative, *positive):
            bits.ue(step - 1).u(1, 1)

    return write


def predicted(delta, flags):
    """The set before, moved by `delta`; "u": used, "d": only kept, "-": left out."""

    def write(bits):
        bits.u(1, 1).u(1, delta < 0).ue(abs(delta) - 1)
        for flag in flags:
            bits.u(1, 1) if flag == "u" else bits.u(2, flag == "d")

    return write


def test_main_profile_of_libx265():
    sps = h265.parse_sps(SPS)
    assert (sps.width, sps.height, sps.frame_rate) == (128, 64, 25)
    assert (sps.profile_tier_level.profile, sps.profile_tier_level.level) == ("Main", "1")
    assert (sps.max_dec_pic_buffering, sps.max_num_reorder_pics, sps.may_reorder) == (4, 0, False)
    assert (sps.log2_max_pic_order_cnt_lsb, sps.separate_colour_plane) == (8, False)
    assert h265.codec_string(PARAMETERS) == "hvc1.1.6.L30.90"
    vps = h265.parse_vps(VPS)
    assert vps.profile_tier_level == sps.profile_tier_level
    assert (vps.vps_id, vps.max_sub_layers, vps.frame_rate) == (0, 1, None)
    assert h265.parse_pps(PPS) == h265.PPS(0, 0, False, False, 0)


def test_odd_settings_of_libx265():
    sps = h265.parse_sps(SPS_ODD)
    assert (sps.width, sps.height, sps.frame_rate) == (322, 182, Fraction(30000, 1001))
    assert (sps.chroma_format_idc, sps.bit_depth_luma, sps.bit_depth_chroma) == (2, 10, 10)
    assert (sps.max_sub_layers, sps.temporal_id_nesting) == (2, False)
    assert sps.sample_aspect_ratio == (4, 3)
    assert (sps.profile_tier_level.profile, sps.profile_tier_level.level) == ("Format Range Extensions", "2")
    assert h265.codec_string(H265Parameters(VPS, SPS_ODD, (PPS,))) == "hvc1.4.10.L60.9D.8"
    sps = h265.parse_sps(SPS_HIGH_TIER)
    assert (sps.width, sps.height, sps.max_num_reorder_pics, sps.may_reorder) == (640, 480, 2, True)
    assert sps.chroma_format_idc == 3
    assert h265.codec_string(H265Parameters(VPS, SPS_HIGH_TIER, (PPS,))) == "hvc1.4.10.H153.9E.8"


@pytest.mark.parametrize(("chroma", "size"), [(0, (636, 359)), (1, (632, 350)), (2, (632, 359)), (3, (636, 359))])
def test_the_conformance_window_counts_in_chroma_samples(chroma, size):
    sps = h265.parse_sps(write_sps(chroma=chroma, window=(1, 3, 4, 5)))
    assert (sps.width, sps.height) == size
    assert sps.separate_colour_plane == (chroma == 3)


def test_sub_layers():
    present = ((1, 1), (0, 1), (1, 0))
    sps = h265.parse_sps(
        write_sps(sub_layers=4, present=present, ordering=((1, 0, 0), (2, 1, 0), (3, 2, 9), (4, 3, 0)))
    )
    assert (sps.max_sub_layers, sps.max_dec_pic_buffering, sps.max_num_reorder_pics) == (4, 5, 3)
    assert (sps.width, sps.height) == (640, 368)


def test_scaling_lists_pcm_and_long_term_pictures():
    def scaling(bits):
        for size_id in range(4):
            for matrix_id in range(0, 6, 3 if size_id == 3 else 1):
                if matrix_id:
                    bits.u(1, 0).ue(1)  # that of the one before
                    continue
                bits.u(1, 1)
                if size_id > 1:
                    bits.se(8)
                bits.se(*[1, -1] * (8 if size_id == 0 else 32))

    vui = write_vui(timing=(1001, 24000))
    sps = h265.parse_sps(write_sps(scaling=scaling, pcm=(0, 2), long_term=(1, 255), vui=vui))
    assert sps.long_term_ref_pics_present
    assert sps.frame_rate == Fraction(24000, 1001)


def write_vui(*, timing=None, sar=None, hrd=None, segmentation=None, field_seq=0, poc=None):
    def write(bits):
        bits.u(1, sar is not None)
        if sar is not None:
            bits.u(8, 255).u(16, sar[0]).u(16, sar[1])
        bits.u(2, 3).u(1, 1).u(4, 5).u(1, 1).u(24, 0x010101)  # overscan, video signal, colour
        bits.u(1, 1).ue(1, 1).u(1, 0).u(1, field_seq).u(1, 0)
        bits.u(1, 1).ue(0, 0, 0, 0)  # default display window
        bits.u(1, timing is not None)
        if timing is not None:
            bits.u(32, timing[0]).u(32, timing[1]).u(1, poc is not None)
            if poc is not None:
                bits.ue(poc)
            bits.u(1, hrd is not None)
            if hrd is not None:
                hrd(bits)
        bits.u(1, segmentation is not None)
        if segmentation is not None:
            bits.u(3, 0).ue(segmentation, 0, 0, 15, 15)

    return write


def write_hrd(*, models=2, sub_pictures=False, low_delay=False, count=2):
    def write(bits):
        bits.u(1, models > 0).u(1, models > 1)
        if models:
            bits.u(1, sub_pictures).u(19 if sub_pictures else 0, 1).u(8, 0).u(4 if sub_pictures else 0, 0).u(15, 1)
        bits.u(2, 0 if low_delay else 1)
        if low_delay:
            bits.u(1, 1)
        else:
            bits.ue(3)
            bits.ue(count - 1)
        for _ in range(models * (1 if low_delay else count)):
            bits.ue(*[9] * (4 if sub_pictures else 2)).u(1, 0)

    return write


@pytest.mark.parametrize("hrd", [
    None, write_hrd(models=0), write_hrd(models=1), write_hrd(sub_pictures=True), write_hrd(low_delay=True),
])  # fmt: skip
def test_what_stands_behind_the_buffering_model_is_found(hrd):
    vui = write_vui(timing=(1, 50), sar=(4, 3), hrd=hrd, segmentation=17, field_seq=1, poc=1)
    sps = h265.parse_sps(write_sps(vui=vui))
    assert sps.min_spatial_segmentation_idc == 17
    assert (sps.frame_rate, sps.sample_aspect_ratio, sps.field_seq) == (50, (4, 3), True)


@pytest.mark.parametrize("timing", [(0, 50), (1, 0), (1, 1001)])
def test_a_rate_that_cannot_be_is_none(timing):
    assert h265.parse_sps(write_sps(vui=write_vui(timing=timing))).frame_rate is None


def test_reference_picture_sets():
    sets = (
        explicit((1, 2), (1, 3)),
        explicit((), (), index=1),
        explicit((1,), (2,), index=2),
        predicted(-1, "uud"),  # of -1, +2 and the picture itself: -2, +1, -1
        predicted(1, "-uu-"),  # of -1, -2, +1, itself: -1, +2
        predicted(2, "uuu"),  # of -1, +2, itself: +1, +4, +2
    )
    found = h265.parse_sps(write_sps(sets=sets, vui=write_vui(timing=(1, 25)))).short_term_ref_pic_sets
    assert found == ((-1, -3, 1, 4), (), (-1, 2), (-1, -2, 1), (-1, 2), (1, 2, 4))


@pytest.mark.parametrize(
    ("sps", "message"),
    [
        (write_sps(size=(0, 368)), "leaves nothing"),
        (write_sps(size=(640, 40000)), "pic_height_in_luma_samples is 40000, at most 33776"),
        (write_sps(size=(33776, 33776)), "beyond every level"),
        (write_sps(size=(641, 368)), "no multiple of blocks of 8"),
        (write_sps(window=(160, 160, 0, 0)), "leaves nothing"),
        (write_sps(chroma=4), "chroma_format_idc is 4"),
        (write_sps(poc_lsb=13), "log2_max_pic_order_cnt_lsb_minus4 is 13"),
        (write_sps(ordering=((16, 0, 0),)), "sps_max_dec_pic_buffering_minus1 is 16"),
        (write_sps(ordering=((4, 16, 0),)), "sps_max_num_reorder_pics is 16"),
        (write_sps(blocks=(3, 1, 0, 0, 0, 0)), "blocks of 128 samples"),
        (write_sps(blocks=(0, 3, 1, 0, 0, 0)), "log2_min_luma_transform_block_size_minus2 is 1"),
        (write_sps(sets=[explicit((), ())] * 65), "num_short_term_ref_pic_sets is 65"),
        (write_sps(sets=[explicit([1] * 17, ())]), "num_negative_pics is 17"),
        (write_sps(sets=[explicit([1] * 9, [1] * 9)]), "18 pictures to refer to"),
        (write_sps(long_term=[0] * 33), "num_long_term_ref_pics_sps is 33"),
        (write_sps(vui=write_vui(segmentation=4096)), "min_spatial_segmentation_idc is 4096"),
        (SPS[:30], "ends too early"),
        (SPS[:2], "ends too early"),
        (PPS, "no such parameter set"),
        (b"\xc2" + SPS[1:], "no such parameter set"),
        (b"", "no such parameter set"),
        (nal(BitWriter().u(4, 0).u(3, 7), 33), "8 temporal sub-layers"),
    ],
)
def test_what_the_standard_does_not_allow(sps, message):
    with pytest.raises(RemoteProtocolError, match=message):
        h265.parse_sps(sps)


def test_a_set_is_no_longer_than_allowed():
    for parse, data in ((h265.parse_sps, SPS), (h265.parse_vps, VPS), (h265.parse_pps, PPS)):
        with pytest.raises(LimitExceeded, match="at most 4 are allowed"):
            parse(data, limits=Limits(parameter_set_size=4))


@pytest.mark.parametrize("around", [(b"\0\0\0\1", b""), (b"\0\0\1", b"\0\0\0\1"), (b"", b"\0\0")])
def test_start_codes_around_it_do_no_harm(around):
    before, behind = around
    assert h265.parse_sps(before + SPS + behind) == h265.parse_sps(SPS)
    assert h265.codec_string(H265Parameters(VPS, before + SPS + behind, (PPS,))) == "hvc1.1.6.L30.90"


def write_vps(*, timing=(1, 10), layers=1):
    bits = BitWriter().u(4, 5).u(2, 3).u(6, 0).u(3, 0).u(1, 1).u(16, 0xFFFF)
    profile_tier_level(bits)
    bits.u(1, 0).ue(1, 0, 0).u(6, layers - 1).ue(2).u(2 * layers, 0)
    bits.u(1, timing is not None)
    if timing is not None:
        bits.u(32, timing[0]).u(32, timing[1]).u(1, 1).ue(0).ue(0)
    return nal(bits.u(1, 0), 32)


def test_the_rate_of_the_vps_is_that_where_the_sps_has_none():
    assert h265.parse_vps(write_vps(layers=3)).frame_rate == 10
    assert h265.parse_vps(write_vps(timing=None)).frame_rate is None
    without = write_sps()
    assert h265.frame_rate(H265Parameters(write_vps(), without, (PPS,))) == 10
    assert h265.frame_rate(H265Parameters(write_vps(), SPS, (PPS,))) == 25
    assert h265.frame_rate(H265Parameters(VPS, without, (PPS,))) is None
    assert h265.frame_rate(H265Parameters(b"junk", without, (PPS,))) is None


def test_what_a_slice_header_needs_of_the_pps():
    bits = BitWriter().ue(63, 15).u(1, 1).u(1, 1).u(3, 5)
    assert h265.parse_pps(nal(bits, 34)) == h265.PPS(63, 15, True, True, 5)
    with pytest.raises(RemoteProtocolError, match="pps_pic_parameter_set_id is 64"):
        h265.parse_pps(nal(BitWriter().ue(64, 0), 34))


def test_codec_strings_leave_zeros_out():
    def string(space, tier, profile, *, compatibility, constraints, level):
        bits = BitWriter().u(8, 1).u(2, space).u(1, tier).u(5, profile).u(32, compatibility).u(48, constraints)
        return h265.codec_string(H265Parameters(b"", nal(bits.u(8, level), 33), ()))

    assert string(0, 0, 1, compatibility=0x60000000, constraints=0, level=123) == "hvc1.1.6.L123"
    assert string(1, 1, 2, compatibility=0x20000000, constraints=0xB00000000000, level=150) == "hvc1.A2.4.H150.B0"
    assert string(0, 0, 4, compatibility=0x08000000, constraints=0x9D0008000000, level=60) == "hvc1.4.10.L60.9D.0.8"
    with pytest.raises(RemoteProtocolError, match=r"H\.265 SPS"):
        h265.codec_string(H265Parameters(VPS, PPS, (PPS,)))


def test_levels_and_profiles_as_people_write_them():
    def told(profile, level):
        value = h265.ProfileTierLevel(0, False, profile, 0, 0, level)
        return value.profile, value.level

    assert told(1, 30) == ("Main", "1")
    assert told(2, 123) == ("Main 10", "4.1")
    assert told(31, 186) == ("31", "6.2")


def b64(*nals):
    return ",".join(base64.b64encode(one).decode() for one in nals)


@pytest.mark.parametrize(
    ("vps", "sps", "pps"),
    [
        (b64(VPS), b64(SPS), b64(PPS)),
        (b64(VPS).rstrip("="), b64(SPS).rstrip("="), b64(PPS).rstrip("=")),
        (b64(b"\0\0\0\1" + VPS), b64(b"\0\0\0\1" + SPS), b64(b"\0\0\1" + PPS)),
        (b64(VPS + b"\0\0\0\1"), b64(SPS + b"\0\0"), b64(PPS)),
        (b64(VPS, SPS, PPS), "", ""),
        (b64(b"\0\0\0\1" + VPS + b"\0\0\0\1" + SPS), "", b64(PPS, PPS)),
        (b64(VPS, b"junk"), b64(SPS[:20], SPS), "!!," + b64(PPS)),
    ],
    ids=["as it should be", "unpadded", "start codes", "extra bytes", "all in one", "byte stream", "a cut one first"],
)
def test_parameter_sets_of_the_description(vps, sps, pps):
    assert h265.parameters_from_sprop(vps, sps, pps) == PARAMETERS


@pytest.mark.parametrize(
    ("vps", "sps", "pps"), [("", "", ""), (b64(VPS), b64(SPS), ""), ("", b64(SPS), b64(PPS)), ("x", "/w==", "AA==")]
)
def test_incomplete_parameter_sets_are_awaited_in_the_stream(vps, sps, pps):
    assert h265.parameters_from_sprop(vps, sps, pps) is None


def test_access_units_and_sync():
    def slice_(kind, first=True):
        return bytes((kind << 1, 1, 0x80 if first else 0x20))

    aud, sei, suffix = b"\x46\x01\x50", b"\x4e\x01\x05", b"\x50\x01\x05"
    units = [
        [aud, VPS, SPS, PPS, sei, slice_(19), slice_(19, first=False)],
        [slice_(1), slice_(1, first=False), suffix],
        [sei, slice_(21)],
        [slice_(8)],
        [aud, slice_(16)],
    ]
    assert list(h265.access_units(one for unit in units for one in unit)) == units
    assert [h265.is_sync(unit) for unit in units] == [True, False, True, False, True]
    assert h265.is_slice(slice_(31))
    assert not h265.is_slice(VPS)
    assert h265.nal_type(b"\x40") == h265.nal_type(b"") == 63
