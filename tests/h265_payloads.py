"""Hypothesis strategies for what H.265 payloads hold, right and wrong, short enough to reach every bound."""

from __future__ import annotations

from hypothesis import strategies as st

VPS = bytes.fromhex("40010c01ffff016000000300")
SPS = bytes.fromhex("42010101600000030090000003000003001ea0")
PPS = bytes.fromhex("4401c172b422")
SPS_1 = SPS[:-1] + b"\x40"  # sps_seq_parameter_set_id 1
PPS_OF_SPS_1 = bytes.fromhex("4401a0")
SPS_OF_LAYERS = b"\x42\x01\x03" + b"\xf1" * 12 + b"\x40\x00\x78\xa0"  # two, one with a level of its own


def header(kind: int, temporal: int = 1) -> bytes:
    """Of a NAL unit of the base layer."""
    return bytes((kind << 1, temporal))


#: Types of slices: trailing ones, RADL, RASL, BLA, IDR, CRA, reserved ones.
slice_kinds = st.sampled_from([0, 1, 1, 1, 6, 8, 9, 9, 16, 18, 19, 20, 21, 21, 22, 31])
kinds = slice_kinds | st.sampled_from([32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 47, 50, 63])
zeros = st.sampled_from([b"\0", b"\0\0", b"\0\0\1", b"\0\0\0\1", b"\0\0\3"])
bodies = st.lists(st.binary(max_size=40) | zeros, max_size=4).map(b"".join)
sets = st.sampled_from(
    [
        *(VPS, SPS, PPS, VPS + b"\1", SPS + b"\1", PPS + b"\1", b"\x44\x01\x40", SPS[:9], b"\x40\x01"),
        *(
            SPS_1,
            PPS_OF_SPS_1,
            SPS_OF_LAYERS,
            SPS_OF_LAYERS[:16],
            PPS[:1] + b"\x09" + PPS[2:],
            b"\x43" + SPS[1:],
        ),
    ]
)
nal_units = (
    st.builds(
        lambda kind, temporal, data: header(kind, temporal) + data, kinds, st.sampled_from([1, 1, 1, 2, 0]), bodies
    )
    | sets
    | st.sampled_from([b"", b"\x02", b"\x02\x01", b"\x28\x01\x80\0", b"\0\0\0\1" + VPS + b"\0\0\1" + SPS])
)
aggregation_packets = st.lists(nal_units, max_size=4).flatmap(
    lambda nals: st.sampled_from([0, 0, 0, 1, 300]).map(
        lambda lie: (
            header(48) + b"".join((len(n) + (lie if i else 0)).to_bytes(2, "big") + n for i, n in enumerate(nals))
        )
    )
)
fragments = st.builds(
    lambda flags, kind, temporal, data: header(49, temporal) + bytes([flags | kind]) + data,
    st.sampled_from([0x80, 0x80, 0x00, 0x00, 0x40, 0x40, 0xC0]),
    st.sampled_from([1, 1, 9, 19, 21, 32, 33, 34, 39, 0, 49]),
    st.sampled_from([1, 1, 1, 0]),
    bodies | st.sampled_from([b"\x80", SPS[2:], PPS[2:], b"\1" + VPS, bytes(300)]),
)
#: Two SPS, a PPS with id 0 of either and one with id 1 of the second, and pictures of both PPS.
two_sps = st.lists(
    st.sampled_from([VPS, SPS, PPS, SPS_1, PPS_OF_SPS_1, b"\x44\x01\x48", b"\x26\x01\xa0\x80", b"\x26\x01\x90\x80"]),
    min_size=3,
    max_size=6,
).map(lambda nals: header(48) + b"".join(len(n).to_bytes(2, "big") + n for n in nals))
payloads = st.one_of(nal_units, nal_units, fragments, fragments, aggregation_packets, two_sps, st.binary(max_size=60))

_slice_bodies = st.binary(min_size=1, max_size=300).map(lambda data: data.replace(b"\0", b"\2") + b"\x80")


@st.composite
def pictures(draw: st.DrawFn) -> list[bytes]:
    """The NAL units of an access unit as an encoder makes them, parameter sets excepted."""
    kind = draw(slice_kinds)
    nals = [header(39) + draw(_slice_bodies) for _ in range(draw(st.integers(0, 2)))]
    nals += [
        header(kind) + (b"\x20" if number else b"\x80") + draw(_slice_bodies)
        for number in range(draw(st.integers(1, 4)))
    ]
    return nals + [header(40) + draw(_slice_bodies) for _ in range(draw(st.integers(0, 1)))]
