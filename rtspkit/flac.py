"""FLAC as this package makes it of PCM: its STREAMINFO, its block size, what a playlist calls it.

All blocks have one size, some 40 ms: five of them make a part of 200 ms, a packet of the usual 20 or 40 ms
of G.711 ends where a block does, and what a block costs beside its samples (a frame's header, a row in trun) is a tenth
of what G.711 takes. A multiple of 16 can be partitioned well.

Spec: RFC 9639 8.2 (STREAMINFO), 9.1.2 (sample rates of frames), 7 (the streamable subset: up to 4608 samples a block).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from rtspkit.errors import RemoteProtocolError, UnsupportedError
from rtspkit.media import FLACParameters

__all__ = ["CODEC_STRING", "StreamInfo", "build_parameters", "parse_stream_info", "rate_code"]

#: In CODECS: the sample entry's name, for which there is no other (RFC 6381 3.3).
CODEC_STRING = "fLaC"

_BLOCKS_A_SECOND = 25
_MOST_SAMPLES = 4096
_MOST_CHANNELS = 8
_BITS = 16
_SIZE = 34

_RATE_CODES = {
    88_200: 1,
    176_400: 2,
    192_000: 3,
    8_000: 4,
    16_000: 5,
    22_050: 6,
    24_000: 7,
    32_000: 8,
    44_100: 9,
    48_000: 10,
    96_000: 11,
}
#: The rate stands behind the header, in Hz and 16 bits.
_RATE_IN_HZ = 13


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a STREAMINFO block says.

    Attributes:
        sample_rate: in Hz.
        channels: how many.
        bits: of one sample.
        block_size: samples of each channel in a block; the largest where they are not all alike.
    """

    sample_rate: int
    channels: int
    bits: int
    block_size: int


def rate_code(sample_rate: int) -> int:
    """What the header of a frame says of the sample rate.

    Raises:
        UnsupportedError: it cannot say it.
    """
    code = _RATE_CODES.get(sample_rate, _RATE_IN_HZ if 0 < sample_rate <= 0xFFFF else None)
    if code is None:
        raise UnsupportedError(f"FLAC has no sample rate of {sample_rate} Hz")
    return code


def build_parameters(sample_rate: int, channels: int) -> FLACParameters:
    """The STREAMINFO of 16-bit samples in blocks of one size.

    Args:
        sample_rate: Hz.
        channels: how many.

    Raises:
        UnsupportedError: FLAC cannot have these.
    """
    rate_code(sample_rate)
    if not 1 <= channels <= _MOST_CHANNELS:
        raise UnsupportedError(f"FLAC has no {channels} channels")
    block = min(_MOST_SAMPLES, -(-sample_rate // (16 * _BLOCKS_A_SECOND)) * 16)
    # frames of unknown sizes, a stream of unknown length and checksum
    fields = sample_rate << 44 | (channels - 1) << 41 | (_BITS - 1) << 36
    return FLACParameters(struct.pack(">HH6xQ16x", block, block, fields))


def parse_stream_info(data: bytes) -> StreamInfo:
    """Read a STREAMINFO block without its header.

    Raises:
        RemoteProtocolError: it is none.
    """
    if len(data) != _SIZE:
        raise RemoteProtocolError(f"a STREAMINFO of {len(data)} bytes; it has {_SIZE}")
    _, block, fields = struct.unpack(">HH6xQ16x", data)
    rate, channels, bits = fields >> 44, (fields >> 41 & 7) + 1, (fields >> 36 & 31) + 1
    if block < 16 or not rate:
        raise RemoteProtocolError(f"a STREAMINFO with blocks of {block} samples at {rate} Hz: {data[:18].hex()}")
    return StreamInfo(rate, channels, bits, block)
