"""StreamMuxConfig: what a LATM element is like, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspkit.aac import build_config, parse_config
from rtspkit.errors import LimitExceeded, RemoteProtocolError, RtspkitError, UnsupportedError
from rtspkit.latm import StreamMux, parse_stream_mux, read_element
from rtspkit.limits import Limits
from rtspkit.packetizer import packetize_latm, stream_mux_config


def from_bits(*fields: str) -> bytes:
    bits = "".join(fields).replace(" ", "")
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


LC = "00010 0110 0010 000"  # AAC-LC, 24 kHz, stereo
SBR = "00101 0110 0010 0011 00010 000"  # HE-AAC, 24 kHz, 48 kHz
VERSION_1 = "1 0 00 11111111 1 000000 0000 000"  # audioMuxVersionA, taraBufferFullness


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("400026203fc0", StreamMux(bytes.fromhex("1310"), 1, 0, False, 1024, 24000, 44)),
        (from_bits("0 1 000011 0000 000", LC, "000 11111111 0 0").hex(), (4, 0, False)),
        (from_bits("0 1 000000 0000 000", LC, "001 000000101 0 0").hex(), (1, 25, False)),  # of 25 bytes each
        (from_bits("0 1 000000 0000 000", LC, "000 11111111 1 100000001 000000000 0").hex(), (1, 0, True)),
        (from_bits("0 1 000000 0000 000", LC, "000 11111111 0 1 10101010").hex(), (1, 0, False)),  # with a checksum
        (from_bits(VERSION_1, "00 00010000", LC, "000 11111111 0 0").hex(), (1, 0, False)),
        (from_bits(VERSION_1, "00 00010111", LC, "1010101 000 11111111 1 00 00001000 0").hex(), (1, 0, True)),
    ],
)
def test_stream_mux(data: str, expected: StreamMux | tuple[int, int, bool]) -> None:
    mux = parse_stream_mux(bytes.fromhex(data))
    assert mux == expected or mux[1:4] == expected
    assert not mux.is_cut_off
    assert parse_config(mux.config).sample_rate == mux.sample_rate == 24000
    assert len(data) * 4 - 8 < mux.bits <= len(data) * 4
    assert read_element(from_bits("0", f"{int(data, 16):0{4 * len(data)}b}")) == mux


@pytest.mark.parametrize(
    ("data", "config"),
    [
        ("40002320adca00", "119056e500"),  # GStreamer's rtpmp4apay, with an extension that says that there is no SBR
        ("40002320", "1190"),
        ("400057241000", "2b920800"),
    ],
)
def test_a_configuration_that_ends_with_that_of_aac(data: str, config: str) -> None:
    mux = parse_stream_mux(bytes.fromhex(data))
    assert mux.is_cut_off
    assert mux.config.hex() == config
    assert (mux.units, mux.unit_size, mux.has_other_data) == (1, 0, False)


def test_within_an_element_something_follows_it() -> None:
    with pytest.raises(RemoteProtocolError):
        read_element(from_bits("0", f"{0x40002320:032b}"))


def test_sbr_in_latm() -> None:
    mux = parse_stream_mux(from_bits("0 1 000000 0000 000", SBR, "000 11111111 0 0"))
    assert parse_config(mux.config).output_sample_rate == 48000
    assert (mux.unit_samples, mux.sample_rate) == (1024, 24000)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", RemoteProtocolError, "ends too early"),
        (bytes.fromhex("400026"), RemoteProtocolError, "ends too early"),
        (from_bits("1 1", "0" * 80), UnsupportedError, "later version"),
        (from_bits("0 1 000000 0001 000", LC, "0" * 20), UnsupportedError, "2 programs"),
        (from_bits("0 1 000000 0000 010", LC, "0" * 20), UnsupportedError, "3 layers"),
        (from_bits("0 0 000000 0000 000", LC, "0" * 20), UnsupportedError, "1 programs"),
        (from_bits("0 1 000000 0000 000", "01000", "0" * 40), UnsupportedError, "object type 8"),  # CELP
        (from_bits("0 1 000000 0000 000", "11111 000111 0110 0010 0", "0" * 40), UnsupportedError, "39 in LATM"),  # ELD
        (from_bits("0 1 000000 0000 000", LC, "100", "0" * 40), UnsupportedError, "CELP or HVXC"),
        (from_bits("0 1 000000 0000 000", "00000", "0" * 40), RemoteProtocolError, "audioObjectType is 0"),
        (from_bits(VERSION_1, "11", "1" * 32, LC, "0" * 40), RemoteProtocolError, "ends too early"),
        (bytes(1025), LimitExceeded, "1025 bytes"),
    ],
)
def test_what_is_refused(data: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        parse_stream_mux(data)
    assert "\n" not in str(caught.value)


def test_the_limit_is_the_callers() -> None:
    with pytest.raises(LimitExceeded):
        parse_stream_mux(bytes(5), limits=Limits(parameter_set_size=4))


@given(
    st.sampled_from([8000, 11025, 16000, 44100, 48000, 53000]),
    st.integers(1, 6),
    st.integers(1, 64),
    st.binary(min_size=1),
)
def test_what_is_written_is_read(rate: int, channels: int, units: int, unit: bytes) -> None:
    config = build_config(rate, channels)
    mux = parse_stream_mux(stream_mux_config(config, units=units))
    assert (mux.config, mux.units, mux.unit_size, mux.sample_rate) == (config, units, 0, rate)
    (payload,) = packetize_latm([unit] * units, max_size=1 << 20, per_element=units, config=config)
    assert read_element(payload.data) == mux


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda data: b"\x40\x00" + data))
def test_any_bytes_are_a_configuration_or_an_error(data: bytes) -> None:
    for read in (parse_stream_mux, read_element):
        try:
            mux = read(data)
        except RtspkitError:
            continue
        assert mux.bits <= 8 * len(data)
        assert 1 <= mux.units <= 64
        assert mux.unit_samples in {960, 1024, 480, 512}
        assert parse_config(mux.config).sample_rate == mux.sample_rate
