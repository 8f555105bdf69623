"""LATM: how AAC units lie in a multiplex element (MP4A-LATM), and the AudioSpecificConfig that stands in it.

Strategy: a StreamMuxConfig is read bit by bit into what is needed to take elements apart: one program of one layer,
which is all that RTP senders use; what has more is refused by name. It comes from the SDP, or from the elements
themselves: then the receiver asks `read_element` whenever it meets another one.

Spec: ISO/IEC 14496-3:2019, 1.7.3 (AudioMuxElement, StreamMuxConfig); RFC 6416, 6 and 7.3 (MP4A-LATM).
"""

from __future__ import annotations

from typing import NamedTuple

from rtspkit import aac
from rtspkit._bits import BitReader
from rtspkit.errors import LimitExceeded, UnsupportedError
from rtspkit.limits import DEFAULT_LIMITS, Limits

__all__ = ["StreamMux", "parse_stream_mux", "read_element"]

#: Object types whose AudioSpecificConfig is known to its last bit: where nothing says its length it has to be.
_MEASURED = frozenset({1, 2, 3, 4, 7})
#: Bits behind it: frameLengthType, latmBufferFullness, otherDataPresent, crcCheckPresent.
_LEAST_REST = 13
#: What an extension of it begins with (syncExtensionType, SBR); frameLengthType would have a reserved value.
_EXTENSION = (0x2B7 << 5 | aac.AAC_SBR).to_bytes(2)
#: frameLengthType 1: all units have this much more than frameLength says, in bytes.
_FIXED_BASE = 20


class StreamMux(NamedTuple):
    """What a StreamMuxConfig says.

    Attributes:
        config: the AudioSpecificConfig, filled up with zeros to whole bytes.
        units: access units in an element, 1 to 64.
        unit_size: bytes of every one; 0: each says its own.
        has_other_data: something that is no audio may follow the units.
        unit_samples: samples (of `sample_rate`) in an access unit.
        sample_rate: of the core, in Hz.
        bits: how long it is itself.
        is_cut_off: it ends with the AudioSpecificConfig, and the usual rest was assumed.
    """

    config: bytes
    units: int
    unit_size: int
    has_other_data: bool
    unit_samples: int
    sample_rate: int
    bits: int
    is_cut_off: bool = False


def parse_stream_mux(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> StreamMux:
    """Read a StreamMuxConfig.

    Args:
        data: as in the SDP's `config=` (RFC 6416), decoded from hex.
        limits: `parameter_set_size` bounds it.

    Raises:
        RemoteProtocolError: it ends too early or has a reserved value.
        UnsupportedError: several programs or layers, or no AAC.
        LimitExceeded: it is longer than the limit.
    """
    if len(data) > limits.parameter_set_size:
        raise LimitExceeded(
            f"LATM config: {len(data)} bytes, at most {limits.parameter_set_size} are allowed", head=data
        )
    return _stream_mux(BitReader(data, "LATM config"), may_be_cut_off=True)


def read_element(data: bytes) -> StreamMux:
    """Read the StreamMuxConfig that stands in an AudioMuxElement behind its first bit, useSameStreamMux, which is 0.

    Args:
        data: the element's beginning.

    Raises:
        RemoteProtocolError: it ends too early or has a reserved value.
        UnsupportedError: several programs or layers, or no AAC.
    """
    bits = BitReader(data, "LATM element")
    bits.skip(1)
    return _stream_mux(bits)


def _stream_mux(bits: BitReader, *, may_be_cut_off: bool = False) -> StreamMux:
    start = bits.position
    version = bits.read(1)
    if version:
        if bits.flag():  # audioMuxVersionA
            raise UnsupportedError("LATM of a later version (audioMuxVersionA 1) is not supported")
        _value(bits)  # taraBufferFullness
    is_one_time = bits.flag()  # allStreamsSameTimeFraming
    units = bits.read(6) + 1
    programs, layers = bits.read(4) + 1, bits.read(3) + 1
    if programs != 1 or layers != 1 or not is_one_time:
        raise UnsupportedError(
            f"LATM with {programs} programs, the first of {layers} layers, is not supported: set the camera to AAC"
        )
    rest, room = bits.rest(), bits.bits_left // 8
    data, config = _audio_specific_config(bits, _value(bits) if version else None)
    # GStreamer's rtpmp4apay writes no more than the configuration, with any extension it has
    is_extended = bits.rest()[:2] == _EXTENSION
    if may_be_cut_off and not version and (is_extended or bits.bits_left < _LEAST_REST):
        data = rest[:room] if is_extended else data
        return StreamMux(data, units, 0, False, config.frame_length, config.sample_rate, bits.position - start, True)
    kind = bits.read(3)  # frameLengthType
    if kind > 1:
        raise UnsupportedError("LATM with CELP or HVXC is not supported: set the camera to AAC-LC")
    unit_size = 0
    if kind:
        unit_size = bits.read(9) + _FIXED_BASE
    else:
        bits.skip(8)  # latmBufferFullness
    has_other_data = bits.flag()
    if has_other_data:
        if version:
            _value(bits)
        else:
            while bits.read(9) >> 8:  # otherDataLenEsc, otherDataLenTmp
                pass
    if bits.flag():
        bits.skip(8)  # crcCheckSum
    return StreamMux(
        data, units, unit_size, has_other_data, config.frame_length, config.sample_rate, bits.position - start
    )


def _value(bits: BitReader) -> int:
    """LatmGetValue: one to four bytes behind two bits that say how many."""
    return bits.read(8 * (bits.read(2) + 1))


def _audio_specific_config(bits: BitReader, length: int | None) -> tuple[bytes, aac.AudioSpecificConfig]:
    """The bytes of the AudioSpecificConfig that stands here, and what it says.

    Args:
        bits: is left behind it.
        length: its bits; None: it ends where it ends.
    """
    rest = bits.rest()
    inner = BitReader(rest if length is None else rest[: (length + 7) // 8], "LATM's AAC config")
    config = aac.read_config(inner, may_be_extended=length is not None)
    if length is None and config.object_type not in _MEASURED:
        raise UnsupportedError(
            f"MPEG-4 audio object type {config.object_type} in LATM is not supported: set the camera to AAC-LC"
        )
    size = inner.position if length is None else length
    bits.skip(size)
    whole = (size + 7) // 8
    return (int.from_bytes(rest[:whole]) & -1 << (8 * whole - size)).to_bytes(whole), config
