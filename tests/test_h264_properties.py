"""Any bytes as H.264 or AAC give a result that can be true, or an error of ours; what is joined splits again."""

import base64

from hypothesis import given, settings
from hypothesis import strategies as st
from test_h264 import PPS, SPS_HIGH, write_sps, write_vui

from rtspkit import aac, h264
from rtspkit.errors import RemoteProtocolError, RtspkitError
from rtspkit.media import H264Parameters
from rtspkit.testing import strategies as rs

#: NAL units as an encoder makes them: no start code within, no zero at the end.
nals = st.lists(
    st.binary(min_size=1, max_size=20).map(
        lambda body: h264.clean_parameter_set(body.replace(b"\0\0", b"\0\1")) + b"!"
    ),
    max_size=6,
)


sets = (
    SPS_HIGH,
    write_sps(poc=(1, [1, -1, 300])),
    write_sps(vui=write_vui(sar=(4, 3), timing=(1, 50), hrds=(3, 2), reorder=2)),
    write_sps(110, high=lambda bits: bits.ue(3).u(1, 0).ue(2, 2).u(2, 1).u(12, 0xFFF).se(*[1] * 80), crop=(1, 1, 1, 1)),
)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=40).map(b"\x67".__add__), *(rs.damaged(whole) for whole in sets), st.binary()))
def test_any_bytes_as_sps(data):
    try:
        sps = h264.parse_sps(data)
    except RemoteProtocolError as error:
        text = str(error)
        assert text.startswith("H.264 SPS: ")
        assert text.isprintable()
        return
    assert 0 < sps.width <= 16880
    assert 0 < sps.height <= 16880
    assert 8 <= sps.bit_depth_luma <= 14
    assert sps.frame_rate is None or 0 < sps.frame_rate <= 1000
    assert sps.max_num_reorder_frames is None or 0 <= sps.max_num_reorder_frames <= 16
    assert all(sps.sample_aspect_ratio)
    assert len(h264.codec_string(H264Parameters(data, (PPS,)))) == len("avc1.64001F")
    assert sps.profile
    assert sps.level


@settings(max_examples=100)
@given(
    width=st.integers(1, 1055),
    height=st.integers(1, 132),
    fields=st.booleans(),
    crop=st.none() | st.tuples(*[st.integers(0, 1)] * 4),
    poc=st.sampled_from([(0, 2), (1, [5, -5]), (2,)]),
    timing=st.none() | st.tuples(st.integers(1, 1000), st.integers(1, 2000)),
    reorder=st.none() | st.integers(0, 16),
)
def test_what_is_written_is_read(*, width, height, fields, crop, poc, timing, reorder):
    vui = write_vui(timing=timing, reorder=reorder)
    data = write_sps(77, width=width, height=height, fields=fields, crop=crop, poc=poc, vui=vui)
    lines = 2 if fields else 1
    if width * height * lines > 139264:
        return
    sps = h264.parse_sps(data)
    left, right, top, bottom = crop or (0, 0, 0, 0)
    assert sps.width == 16 * width - 2 * (left + right)
    assert sps.height == lines * (16 * height - 2 * (top + bottom))
    assert (sps.frame_rate is None) == (timing is None)
    if timing is not None:
        assert sps.frame_rate * 2 * timing[0] == timing[1]
    assert sps.max_num_reorder_frames == (0 if poc[0] == 2 else reorder)


@given(nals)
def test_what_is_joined_splits_again(units):
    assert h264.split_annexb(h264.join_annexb(units)) == units
    assert h264.split_avcc(h264.join_avcc(units)) == units
    assert h264.annexb_to_avcc(h264.avcc_to_annexb(h264.join_avcc(units))) == h264.join_avcc(units)
    assert [nal for unit in h264.access_units(units) for nal in unit] == [nal for nal in units if nal[0] & 31]


@given(st.one_of(st.binary(max_size=60), st.lists(st.sampled_from([b"\0", b"\1", b"\3", b"\x65"])).map(b"".join)))
def test_any_bytes_as_access_unit(data):
    for nal in h264.split_annexb(data):
        assert nal
        assert nal[-1] != 0
        assert b"\0\0\1" not in nal
        h264.remove_emulation_prevention(nal)
    try:
        units = h264.split_avcc(data)
    except RemoteProtocolError:
        pass
    else:
        assert sum(4 + len(nal) for nal in units) <= len(data)


@given(
    st.one_of(
        st.text(max_size=40), st.lists(st.binary(max_size=40)).map(lambda parts: b",".join(parts).decode("latin-1"))
    )
)
def test_any_text_as_sprop(text):
    parameters = h264.parameters_from_sprop(text)
    assert parameters is None or parameters.pps
    whole = base64.b64encode(SPS_HIGH).decode() + "," + base64.b64encode(PPS).decode()
    found = h264.parameters_from_sprop(f"{whole},{text}")
    assert found is not None
    assert found.sps == SPS_HIGH
    assert found.pps[0] == PPS


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=30), rs.damaged(bytes.fromhex("2b920800")), rs.damaged(bytes.fromhex("f8ec3000"))))
def test_any_bytes_as_aac_config(data):
    try:
        config = aac.parse_config(data)
    except RtspkitError:
        return
    assert 0 < config.sample_rate < 1 << 24
    assert config.frame_length in {480, 512, 960, 1024}
    assert config.channels >= 0


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4), st.data())
def test_adts(units, data):
    stream = b"".join(
        b"\xff\xf1\x60\x40" + bytes((len(unit) + 7 >> 3, (len(unit) + 7 & 7) << 5 | 0x1F, 0xFC)) + unit
        for unit in units
    )
    parameters, found = aac.split_adts(stream)
    assert (parameters.config.hex(), found) == ("1408", units)
    try:
        _, found = aac.split_adts(data.draw(rs.damaged(stream)))
    except RtspkitError:
        pass
    else:
        assert all(len(unit) < 1 << 13 for unit in found)
