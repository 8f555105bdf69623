"""Any bytes as H.265 parameter sets give a result that can be true, or an error of ours; what is written is read."""

from hypothesis import given, settings
from hypothesis import strategies as st
from test_h265 import (
    PPS,
    SPS,
    SPS_HIGH_TIER,
    SPS_ODD,
    VPS,
    explicit,
    predicted,
    write_hrd,
    write_sps,
    write_vps,
    write_vui,
)

from rtspkit import h265
from rtspkit.errors import RemoteProtocolError
from rtspkit.media import H265Parameters
from rtspkit.testing import strategies as rs

whole_sets = (
    SPS,
    SPS_ODD,
    SPS_HIGH_TIER,
    write_sps(sets=(explicit((1,), (2,)), predicted(-1, "udu"), predicted(2, "u--u"))),
    write_sps(vui=write_vui(timing=(1, 50), hrd=write_hrd(sub_pictures=True), segmentation=3), long_term=(1, 2)),
)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=60).map(b"\x42\x01\x01".__add__), *map(rs.damaged, whole_sets), st.binary()))
def test_any_bytes_as_sps(data):
    try:
        sps = h265.parse_sps(data)
    except RemoteProtocolError as error:
        text = str(error)
        assert text.startswith("H.265 SPS: ")
        assert text.isprintable()
        return
    assert 0 < sps.width <= 33776
    assert 0 < sps.height <= 33776
    assert 8 <= sps.bit_depth_luma <= 16
    assert 1 <= sps.max_sub_layers <= 7
    assert 1 <= sps.max_dec_pic_buffering <= 16
    assert 0 <= sps.max_num_reorder_pics <= 15
    assert sps.frame_rate is None or 0 < sps.frame_rate <= 1000
    assert len(sps.short_term_ref_pic_sets) <= 64
    assert all(len(one) <= 16 and 0 not in one for one in sps.short_term_ref_pic_sets)
    assert all(sps.sample_aspect_ratio)
    assert h265.codec_string(H265Parameters(VPS, data, (PPS,))).startswith("hvc1.")
    assert sps.profile_tier_level.profile
    assert sps.profile_tier_level.level


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=30), *(rs.damaged(one) for one in (VPS, write_vps(layers=9), PPS))))
def test_any_bytes_as_vps_and_pps(data):
    for parse in (h265.parse_vps, h265.parse_pps):
        try:
            found = parse(data)
        except RemoteProtocolError:
            continue
        if isinstance(found, h265.PPS):
            assert found.pps_id <= 63
            assert found.sps_id <= 15


@settings(max_examples=100)
@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    window=st.none() | st.tuples(*[st.integers(0, 1)] * 4),
    timing=st.none() | st.tuples(st.integers(1, 1000), st.integers(1, 2000)),
    reorder=st.integers(0, 15),
    distances=st.lists(st.lists(st.integers(1, 9), max_size=8), min_size=2, max_size=2),
)
def test_what_is_written_is_read(*, size, window, timing, reorder, distances):
    before, behind = distances
    data = write_sps(
        size=(8 * size[0], 8 * size[1]),
        window=window,
        ordering=((15, reorder, 0),),
        sets=(explicit(before, behind),),
        vui=write_vui(timing=timing),
    )
    sps = h265.parse_sps(data)
    left, right, top, bottom = window or (0, 0, 0, 0)
    assert (sps.width, sps.height) == (8 * size[0] - 2 * (left + right), 8 * size[1] - 2 * (top + bottom))
    assert sps.max_num_reorder_pics == reorder
    assert (sps.frame_rate is None) == (timing is None)
    if timing is not None:
        assert sps.frame_rate * timing[0] == timing[1]
    expected = [-sum(before[: i + 1]) for i in range(len(before))] + [sum(behind[: i + 1]) for i in range(len(behind))]
    assert sps.short_term_ref_pic_sets == (tuple(expected),)


nal_units = st.builds(
    lambda kind, body: bytes((kind << 1, 1)) + body, st.integers(0, 63), st.binary(max_size=4)
) | st.binary(max_size=2)


@given(st.lists(nal_units, max_size=12))
def test_access_units_keep_every_nal_unit(nals):
    units = list(h265.access_units(nals))
    assert [nal for unit in units for nal in unit] == nals
    assert all(units)
    assert all(any(map(h265.is_slice, unit)) for unit in units[:-1])
