"""H.264 parameter sets, codec strings and the two ways to join NAL units."""

import base64
from fractions import Fraction

import pytest

from rtspkit import h264
from rtspkit.errors import LimitExceeded, RemoteProtocolError
from rtspkit.limits import Limits
from rtspkit.media import H264Parameters

# libx264, High, 640x368, 25 pictures a second, two reordered pictures
SPS_HIGH = bytes.fromhex("6764001eacd940a02fb011000003000100000300320f162d96")
PPS = bytes.fromhex("68ebe3cb22c0")


class BitWriter:
    """Writes a parameter set bit by bit."""

    def __init__(self):
        self.text = ""

    def u(self, count, value):
        self.text += f"{value:0{count}b}" if count else ""
        return self

    def ue(self, *values):
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def se(self, *values):
        return self.ue(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def nal(self, header=0x67):
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        payload = int(text, 2).to_bytes(len(text) // 8)
        nal = bytearray((header,))
        for byte in payload:
            if byte <= 3 and nal[-2:] == b"\0\0" and len(nal) > 2:
                nal.append(3)
            nal.append(byte)
        return bytes(nal)


def write_sps(
    profile=77, flags=0, level=30, *, high=None, poc=(2,), width=40, height=30, fields=False, crop=None, vui=None
):
    """An SPS with one thing or another in it; `high`, `poc`, `crop` and `vui` are what their owners write."""
    bits = BitWriter().u(8, profile).u(8, flags).u(8, level).ue(0)
    if high is not None:
        high(bits)
    bits.ue(0)  # log2_max_frame_num_minus4
    bits.ue(poc[0])
    if poc[0] == 0:
        bits.ue(poc[1])
    elif poc[0] == 1:
        bits.u(1, 0).se(-3, 5).ue(len(poc[1])).se(*poc[1])
    bits.ue(4).u(1, 0).ue(width - 1, height - 1).u(1, not fields)
    if fields:
        bits.u(1, 1)
    bits.u(1, 1)
    bits.u(1, crop is not None)
    if crop is not None:
        bits.ue(*crop)
    bits.u(1, vui is not None)
    if vui is not None:
        vui(bits)
    return bits.nal()


def write_vui(*, sar=None, timing=None, hrds=(0, 0), reorder=None, aspect_ratio_idc=255):
    def write(bits):
        bits.u(1, sar is not None)
        if sar is not None:
            bits.u(8, aspect_ratio_idc)
            if aspect_ratio_idc == 255:
                bits.u(16, sar[0]).u(16, sar[1])
        bits.u(2, 0b11)  # overscan
        bits.u(1, 1).u(4, 5).u(1, 1).u(24, 0x010101)  # video signal, colour
        bits.u(1, 1).ue(1, 1)  # chroma location
        bits.u(1, timing is not None)
        if timing is not None:
            bits.u(32, timing[0]).u(32, timing[1]).u(1, 1)
        for count in hrds:
            bits.u(1, count > 0)
            if count:
                bits.ue(count - 1).u(8, 0)
                for index in range(count):
                    bits.ue(1000 + index, 2000).u(1, 0)
                bits.u(20, 0)
        if any(hrds):
            bits.u(1, 0)
        bits.u(1, 1)  # pic_struct_present_flag
        bits.u(1, reorder is not None)
        if reorder is not None:
            bits.u(1, 1).ue(0, 0, 11, 11, reorder, 4)

    return write


def test_high_profile_of_libx264():
    sps = h264.parse_sps(SPS_HIGH)
    assert (sps.width, sps.height) == (640, 368)
    assert (sps.profile, sps.level, sps.profile_idc, sps.level_idc) == ("High", "3", 100, 30)
    assert sps.frame_rate == Fraction(25)
    assert (sps.max_num_reorder_frames, sps.may_reorder) == (2, True)


def test_the_sps_of_the_example_in_the_sdp():
    # 64001f out of sprop-parameter-sets=Z2QAH6zZQPAR,...: cut off behind the picture's size, as examples are
    with pytest.raises(RemoteProtocolError, match=r"H\.264 SPS: ends too early at byte \d+ \(bytes 67 64 00 1f"):
        h264.parse_sps(base64.b64decode("Z2QAH6zZQPAR"))


def test_scaling_lists_bit_depths_and_4_4_4():
    def high(bits):
        bits.ue(3).u(1, 1).ue(2, 1).u(1, 0).u(1, 1)
        for index in range(12):
            if index % 3 == 0:
                bits.u(1, 1).se(*([1] * (16 if index < 6 else 64)))
            elif index % 3 == 1:
                bits.u(1, 1).se(-8)  # default list: nothing follows
            else:
                bits.u(1, 0)

    sps = h264.parse_sps(write_sps(244, high=high, crop=(1, 2, 3, 4)))
    assert (sps.chroma_format_idc, sps.separate_colour_plane) == (3, True)
    assert (sps.bit_depth_luma, sps.bit_depth_chroma) == (10, 9)
    assert (sps.width, sps.height) == (640 - 3, 480 - 7)  # planes coded apart: in single samples


@pytest.mark.parametrize(
    ("chroma", "fields", "size"),
    [
        (0, False, (640 - 3, 480 - 7)),
        (1, False, (640 - 6, 480 - 14)),
        (2, False, (640 - 6, 480 - 7)),
        (3, False, (640 - 3, 480 - 7)),
        (1, True, (640 - 6, 960 - 28)),
        (2, True, (640 - 6, 960 - 14)),
    ],
)
def test_cropping_counts_in_chroma_samples_and_fields(chroma, fields, size):
    def high(bits):
        bits.ue(chroma)
        if chroma == 3:
            bits.u(1, 0)
        bits.ue(0, 0).u(2, 0)

    sps = h264.parse_sps(write_sps(100, high=high, fields=fields, crop=(1, 2, 3, 4)))
    assert (sps.width, sps.height) == size
    assert sps.frame_mbs_only is not fields


def test_picture_order_count_types():
    assert h264.parse_sps(write_sps(poc=(0, 3))).log2_max_pic_order_cnt_lsb == 7
    assert h264.parse_sps(write_sps(poc=(1, [-1, 7, 0] * 85))).pic_order_cnt_type == 1
    assert h264.parse_sps(write_sps(poc=(2,))).max_num_reorder_frames == 0
    with pytest.raises(RemoteProtocolError, match="pic_order_cnt_type is 3, at most 2"):
        h264.parse_sps(write_sps(poc=(3,)))


@pytest.mark.parametrize(
    ("profile", "flags", "poc", "reorder", "expected"),
    [
        (77, 0, 0, None, None),
        (77, 0, 0, 3, 3),
        (77, 0, 2, 3, 0),  # output order is decoding order, whatever the VUI says
        (66, 0, 0, None, 0),
        (66, 0, 0, 1, 1),
    ],
)
def test_reordering(profile, flags, poc, reorder, expected):
    sps = h264.parse_sps(write_sps(profile, flags, poc=(poc, 0), vui=write_vui(reorder=reorder)))
    assert sps.max_num_reorder_frames == expected
    assert sps.may_reorder is (expected != 0)


def test_intra_profiles_do_not_reorder():
    sps = h264.parse_sps(write_sps(110, 0x10, high=lambda bits: bits.ue(1, 0, 0).u(2, 0), poc=(0, 0)))
    assert sps.may_reorder is False


def test_vui():
    vui = write_vui(sar=(4, 3), timing=(1001, 60000), hrds=(2, 32), reorder=1)
    sps = h264.parse_sps(write_sps(poc=(0, 0), vui=vui))
    assert sps.sample_aspect_ratio == (4, 3)
    assert sps.frame_rate == Fraction(30000, 1001)
    assert sps.fixed_frame_rate is True
    assert sps.max_num_reorder_frames == 1
    with pytest.raises(RemoteProtocolError, match="cpb_cnt_minus1 is 32"):
        h264.parse_sps(write_sps(vui=write_vui(hrds=(33, 0))))
    with pytest.raises(RemoteProtocolError, match="max_num_reorder_frames is 17"):
        h264.parse_sps(write_sps(vui=write_vui(reorder=17)))


@pytest.mark.parametrize(
    ("idc", "ratio", "expected"),
    [(0, (0, 0), (1, 1)), (2, (0, 0), (12, 11)), (16, (0, 0), (2, 1)), (99, (0, 0), (1, 1)), (255, (0, 7), (1, 1))],
)
def test_sample_aspect_ratios(idc, ratio, expected):
    sps = h264.parse_sps(write_sps(vui=write_vui(sar=ratio, aspect_ratio_idc=idc)))
    assert sps.sample_aspect_ratio == expected


@pytest.mark.parametrize("timing", [(0, 50), (1, 0), (1, 0xFFFFFFFF)])
def test_timing_that_makes_no_sense_is_no_frame_rate(timing):
    assert h264.parse_sps(write_sps(vui=write_vui(timing=timing))).frame_rate is None


@pytest.mark.parametrize(
    ("sps", "message"),
    [
        (b"", "no sequence parameter set"),
        (b"\0\0\0\1", "no sequence parameter set"),
        (PPS, "no sequence parameter set"),
        (b"\xe7" + SPS_HIGH[1:], "no sequence parameter set"),
        (SPS_HIGH[:6], "ends too early"),
        (write_sps(width=65535 // 16, height=65535 // 16), "pic_width_in_mbs_minus1 is 4094, at most 1054"),
        (write_sps(width=1000, height=1000), "16000x16000 is beyond every level"),
        (write_sps(width=4, height=529, fields=True), "64x16928 is beyond every level"),
        (write_sps(crop=(320, 0, 0, 0)), "the cropping leaves nothing"),
        (write_sps(crop=(0, 0, 0xFFFFFFFE, 0)), "the cropping leaves nothing"),
        (write_sps(poc=(0, 13)), "log2_max_pic_order_cnt_lsb_minus4 is 13"),
        (b"\x67\x4d\x00\x1e" + b"\x00\x00\x03\x00\x00\x03\x01", "seq_parameter_set_id has more than 32 bits"),
    ],
)
def test_what_is_no_sps_is_refused(sps, message):
    with pytest.raises(RemoteProtocolError, match=message):
        h264.parse_sps(sps)


def test_limit():
    with pytest.raises(LimitExceeded, match="1025 bytes, at most 1024"):
        h264.parse_sps(SPS_HIGH + bytes(1025 - len(SPS_HIGH)))
    with pytest.raises(LimitExceeded):
        h264.parse_sps(SPS_HIGH, limits=Limits(parameter_set_size=10))


@pytest.mark.parametrize("before", [b"", b"\0\0\1", b"\0\0\0\1"])
@pytest.mark.parametrize("behind", [b"", b"\0", b"\0\0\1", b"\0\0\0\1", b"\0\0\0\0\1\0"])
def test_stray_start_codes_around_a_parameter_set(before, behind):
    assert h264.clean_parameter_set(before + SPS_HIGH + behind) == SPS_HIGH
    assert h264.parse_sps(before + SPS_HIGH + behind) == h264.parse_sps(SPS_HIGH)
    assert h264.codec_string(H264Parameters(before + SPS_HIGH + behind, (PPS,))) == "avc1.64001E"


@pytest.mark.parametrize(
    ("level", "flags", "profile", "name"),
    [
        (40, 0, 77, "4"),
        (41, 0, 77, "4.1"),
        (9, 0, 77, "1b"),
        (11, 0x10, 77, "1b"),
        (11, 0, 77, "1.1"),
        (5, 0, 77, "0.5"),
    ],
)
def test_names_of_levels(level, flags, profile, name):
    assert h264.parse_sps(write_sps(profile, flags, level)).level == name


def test_names_of_profiles():
    assert [h264.parse_sps(write_sps(profile)).profile for profile in (66, 77, 88, 99)] == [
        "Baseline",
        "Main",
        "Extended",
        "99",
    ]


def test_codec_string():
    assert h264.codec_string(H264Parameters(SPS_HIGH, (PPS,))) == "avc1.64001E"
    assert h264.codec_string(H264Parameters(b"\x67\x42\xc0\x28", (PPS,))) == "avc1.42C028"
    for sps in (b"", PPS, b"\x67\x42\xc0"):
        with pytest.raises(RemoteProtocolError):
            h264.codec_string(H264Parameters(sps, (PPS,)))


# -- sprop-parameter-sets ---------------------------------------------------------------------------------------------

PARAMETERS = H264Parameters(SPS_HIGH, (PPS,))


def b64(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "sprop",
    [
        f"{b64(SPS_HIGH)},{b64(PPS)}",
        f" {b64(SPS_HIGH)} , {b64(PPS)} ",
        f"{b64(PPS)},{b64(SPS_HIGH)}",
        f"{b64(SPS_HIGH)},{b64(PPS)},{b64(PPS)}",
        f"{b64(SPS_HIGH)},{b64(PPS)},",
        f"{b64(SPS_HIGH).rstrip('=')},{b64(PPS).rstrip('=')}",
        b64(b"\0\0\0\1" + SPS_HIGH) + "," + b64(b"\0\0\1" + PPS),
        b64(SPS_HIGH + b"\0\0\0\1") + "," + b64(PPS + b"\0"),
        b64(b"\0\0\0\1" + SPS_HIGH + b"\0\0\0\1" + PPS),
        f"?,{b64(SPS_HIGH)},A,{b64(PPS)}",
        f"{b64(SPS_HIGH[:6])},{b64(SPS_HIGH)},{b64(PPS)}",
    ],
)
def test_sprop(sprop):
    assert h264.parameters_from_sprop(sprop) == PARAMETERS


def test_sprop_with_a_cut_sps_is_better_than_none():
    """The whole one comes in band."""
    cut = bytes.fromhex("6764001facd940f011")
    assert h264.parameters_from_sprop("Z2QAH6zZQPAR,aO48gA==") == H264Parameters(cut, (bytes.fromhex("68ee3c80"),))


@pytest.mark.parametrize(
    "sprop",
    ["", ",", "ZwAA,aO48gA==", b64(SPS_HIGH), b64(PPS), "not base64 at all", "ä,ö", f"{b64(SPS_HIGH)},\0"],
)
def test_sprop_without_both_is_nothing(sprop):
    assert h264.parameters_from_sprop(sprop) is None


# -- Annex B and AVCC -------------------------------------------------------------------------------------------------


def test_annexb():
    stream = b"junk\0\0\1\x67a\0\0\0\1\x68b\0\0\0\0\0\1\0\0\1\x65\0\0\3\1\0"
    assert h264.split_annexb(stream) == [b"\x67a", b"\x68b", b"\x65\0\0\3\1"]
    assert h264.split_annexb(b"") == h264.split_annexb(b"\0\0") == h264.split_annexb(b"\0\0\1") == []
    assert h264.join_annexb([b"\x67a", b"\x68b"]) == b"\0\0\0\1\x67a\0\0\0\1\x68b"


def test_avcc():
    unit = b"\0\0\0\2\x67a\0\0\0\0\0\0\0\3\x65bc"
    assert h264.split_avcc(unit) == [b"\x67a", b"\x65bc"]
    assert h264.split_avcc(b"") == []
    assert h264.join_avcc([b"\x67a", b"\x65bc"]) == b"\0\0\0\2\x67a\0\0\0\3\x65bc"
    assert h264.avcc_to_annexb(unit) == b"\0\0\0\1\x67a\0\0\0\1\x65bc"
    assert h264.annexb_to_avcc(b"\0\0\0\1\x67a\0\0\1\x65bc") == b"\0\0\0\2\x67a\0\0\0\3\x65bc"
    for bad in (b"\0", b"\0\0\0", b"\0\0\0\3\x67a", b"\xff\xff\xff\xff\x67"):
        with pytest.raises(RemoteProtocolError, match="runs past the end at byte 0"):
            h264.split_avcc(bad)


def test_emulation_prevention():
    assert h264.remove_emulation_prevention(b"\x67\0\0\3\0\0\3\1\0\0\3") == b"\x67\0\0\0\0\1\0\0"
    assert h264.remove_emulation_prevention(b"\x67\0\0\2\3") == b"\x67\0\0\2\3"


def test_access_units():
    aud, sei, first, second, idr = b"\x09\xf0", b"\x06\1", b"\x41\x80", b"\x41\x40", b"\x65\x88"
    nals = [aud, SPS_HIGH, PPS, sei, idr, b"\x65\x40", first, second, sei, first, b"", b"\x0a", aud, first]
    assert list(h264.access_units(nals)) == [
        [aud, SPS_HIGH, PPS, sei, idr, b"\x65\x40"],
        [first, second],
        [sei, first, b"\x0a"],
        [aud, first],
    ]
    assert list(h264.access_units([])) == []
    assert h264.is_sync([aud, idr]) is True
    assert h264.is_sync([aud, first, b""]) is False
