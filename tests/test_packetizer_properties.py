"""What is packetized comes out again: by a depacketizer of a few lines, written from the RFCs for this file alone."""

from hypothesis import given, settings
from hypothesis import strategies as st

from rtspkit.packetizer import packetize_aac, packetize_h264, packetize_h265

nal_units = st.lists(
    st.builds(
        lambda nri, kind, body: bytes((nri | kind,)) + body,
        st.sampled_from([0x00, 0x20, 0x40, 0x60, 0x80]),
        st.integers(1, 23),
        st.binary(max_size=60),
    ),
    max_size=8,
)
quick = settings(max_examples=200, deadline=None)


def depacketize_h264(payloads: list[bytes]) -> list[bytes]:
    nals: list[bytes] = []
    for data in payloads:
        kind = data[0] & 0x1F
        if kind == 24:
            at = 1
            while at < len(data):
                size = int.from_bytes(data[at : at + 2], "big")
                nals.append(data[at + 2 : at + 2 + size])
                at += 2 + size
            assert at == len(data)
        elif kind == 28:
            if data[1] & 0x80:
                nals.append(bytes(((data[0] & 0xE0) | (data[1] & 0x1F),)))
            nals[-1] += data[2:]
        else:
            nals.append(data)
    return nals


@given(nal_units, st.integers(3, 80), st.booleans())
@quick
def test_h264(nals: list[bytes], max_size: int, aggregate: bool) -> None:
    payloads = packetize_h264(nals, max_size=max_size, aggregate=aggregate)
    assert depacketize_h264([payload.data for payload in payloads]) == nals
    assert all(len(payload.data) <= max_size for payload in payloads)
    assert [payload.marker for payload in payloads] == [False] * (len(payloads) - 1) + [True] * bool(payloads)


@given(nal_units, st.integers(3, 80))
@quick
def test_fragments_start_and_end_once(nals: list[bytes], max_size: int) -> None:
    """RFC 6184, 5.8: a NAL unit is cut in two or more, S only on the first, E only on the last."""
    flags = [p.data[1] >> 6 for p in packetize_h264(nals, max_size=max_size) if p.data[0] & 0x1F == 28]
    text = "".join({2: "S", 0: "-", 1: "E"}[flag] for flag in flags)
    assert all(part.startswith("S") for part in text.split("E")[:-1])
    assert text.count("S") == text.count("E") == sum(len(nal) > max_size for nal in nals)


h265_nal_units = st.lists(
    st.builds(
        lambda high, kind, layer, body: bytes((high | kind << 1 | layer >> 5, (layer & 31) << 3 | 1)) + body,
        st.sampled_from([0, 0, 0x80]),
        st.integers(0, 47),
        st.sampled_from([0, 0, 0, 1, 40]),
        st.binary(max_size=60),
    ),
    max_size=8,
)


def depacketize_h265(payloads: list[bytes]) -> list[bytes]:
    nals: list[bytes] = []
    for data in payloads:
        kind = data[0] >> 1 & 0x3F
        if kind == 48:
            at, headers = 2, []
            while at < len(data):
                size = int.from_bytes(data[at : at + 2], "big")
                nals.append(data[at + 2 : at + 2 + size])
                headers.append(nals[-1])
                at += 2 + size
            assert at == len(data)
            # RFC 7798, 4.4.2: F if any has it, the lowest layer and temporal id
            assert data[0] >> 7 == max(nal[0] >> 7 for nal in headers)
            assert [(data[0] & 1) << 5 | data[1] >> 3, data[1] & 7] == [
                min((nal[0] & 1) << 5 | nal[1] >> 3 for nal in headers),
                min(nal[1] & 7 for nal in headers),
            ]
        elif kind == 49:
            if data[2] & 0x80:
                nals.append(bytes((data[0] & 0x81 | (data[2] & 0x3F) << 1, data[1])))
            nals[-1] += data[3:]
        else:
            nals.append(data)
    return nals


@given(h265_nal_units, st.integers(4, 80), st.booleans())
@quick
def test_h265(nals: list[bytes], max_size: int, aggregate: bool) -> None:
    payloads = packetize_h265(nals, max_size=max_size, aggregate=aggregate)
    assert depacketize_h265([payload.data for payload in payloads]) == nals
    assert all(len(payload.data) <= max_size for payload in payloads)
    assert [payload.marker for payload in payloads] == [False] * (len(payloads) - 1) + [True] * bool(payloads)
    flags = [p.data[2] >> 6 for p in payloads if p.data[0] >> 1 & 0x3F == 49]
    text = "".join({2: "S", 0: "-", 1: "E"}[flag] for flag in flags)
    assert all(part.startswith("S") for part in text.split("E")[:-1])
    assert text.count("S") == text.count("E") == sum(len(nal) > max_size for nal in nals)


@given(
    st.lists(st.binary(min_size=1, max_size=60), max_size=8),
    st.integers(5, 100),
    st.integers(1, 5),
    st.sampled_from([(13, 3, 3), (6, 2, 2), (16, 0, 8), (7, 0, 0)]),
)
@quick
def test_aac(units: list[bytes], max_size: int, per_packet: int, lengths: tuple[int, int, int]) -> None:
    size_length, index_length, delta_length = lengths
    max_size += (7 + size_length + index_length) // 8
    payloads = packetize_aac(
        units,
        max_size=max_size,
        per_packet=per_packet,
        size_length=size_length,
        index_length=index_length,
        index_delta_length=delta_length,
    )
    found: list[bytes] = []
    partial = b""
    for payload in payloads:
        assert len(payload.data) <= max_size
        bits = int.from_bytes(payload.data[:2], "big")
        length = (bits + 7) // 8
        header = "".join(f"{byte:08b}" for byte in payload.data[2 : 2 + length])
        body = payload.data[2 + length :]
        sizes, at = [], 0
        while at < bits:
            sizes.append(int(header[at : at + size_length], 2))
            at += size_length + (index_length if at == 0 else delta_length)
        assert at == bits
        assert len(sizes) <= per_packet
        assert payload.first == len(found)
        if sum(sizes) > len(body):  # a fragment
            assert len(sizes) == 1
            partial += body
            assert payload.marker == (len(partial) == sizes[0])
            if payload.marker:
                found.append(partial)
                partial = b""
            continue
        assert payload.marker
        for size in sizes:
            found.append(body[:size])
            body = body[size:]
        assert not body
    assert found == units
    assert not partial
