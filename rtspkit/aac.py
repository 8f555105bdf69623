"""AAC: AudioSpecificConfig, RFC 6381 codec strings, ADTS.

Spec: ISO/IEC 14496-3:2019, 1.6.2.1 AudioSpecificConfig, 1.6.5 SBR and PS signalling, 4.4.1 GASpecificConfig and
program_config_element, 4.6.20 ELDSpecificConfig, 1.A.2 ADTS; RFC 6381 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rtspkit._bits import BitReader
from rtspkit.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError, UnsupportedError
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import AACParameters

__all__ = [
    "AAC_LC",
    "AAC_PS",
    "AAC_SBR",
    "ADTSHeader",
    "AudioSpecificConfig",
    "build_config",
    "codec_string",
    "parse_adts_header",
    "parse_config",
    "read_config",
    "split_adts",
    "unit_ticks",
]

AAC_LC: Final = 2
AAC_SBR: Final = 5
AAC_PS: Final = 29

_LD = 23
_ELD = 39
#: Object types whose configuration is a GASpecificConfig (table 1.15).
_GENERAL_AUDIO = frozenset({1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, _LD})
_ERROR_RESILIENT = frozenset({17, 19, 20, 21, 22, _LD})
_SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_ESCAPED_RATE = 15
#: Channels of each channelConfiguration (table 1.19); 0: a program_config_element says them.
_CHANNELS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
_SYNC_EXTENSION_SBR = 0x2B7
_SYNC_EXTENSION_PS = 0x548
_ADTS_HEADER_SIZE = 7


@dataclass(frozen=True, slots=True)
class AudioSpecificConfig:
    """What a decoder has to know of an AAC stream.

    Attributes:
        object_type: audioObjectType of the core (2: AAC-LC).
        sample_rate: of the core, in Hz.
        channels: coded channels; 0 where channelConfiguration is 0 and no program_config_element says more.
        channel_config: channelConfiguration.
        frame_length: samples (of `sample_rate`) in one access unit.
        extension_object_type: 5 with SBR, 29 with SBR and PS, as signalled; else 0.
        extension_sample_rate: sample rate with SBR; else 0.
    """

    object_type: int
    sample_rate: int
    channels: int
    channel_config: int
    frame_length: int
    extension_object_type: int = 0
    extension_sample_rate: int = 0

    @property
    def output_sample_rate(self) -> int:
        """Sample rate of what a decoder puts out, in Hz."""
        return self.extension_sample_rate or self.sample_rate


def parse_config(config: bytes, *, limits: Limits = DEFAULT_LIMITS) -> AudioSpecificConfig:
    """Read an AudioSpecificConfig; bytes behind it are ignored, some cameras add some.

    Args:
        config: as in the SDP's `config=` (RFC 3640), decoded from hex.
        limits: `parameter_set_size` bounds it.

    Raises:
        RemoteProtocolError: it ends too early or has a reserved value.
        UnsupportedError: an object type that is no AAC.
        LimitExceeded: it is longer than the limit.
    """
    if len(config) > limits.parameter_set_size:
        raise LimitExceeded(
            f"AAC config: {len(config)} bytes, at most {limits.parameter_set_size} are allowed", head=config
        )
    return read_config(BitReader(config, "AAC config"))


def read_config(bits: BitReader, *, may_be_extended: bool = True) -> AudioSpecificConfig:
    """Read an AudioSpecificConfig, and leave `bits` behind it.

    Args:
        bits: from the start of their data on, for some of it is aligned to that.
        may_be_extended: what follows it is its own, and may signal SBR.

    Raises:
        RemoteProtocolError: it ends too early or has a reserved value.
        UnsupportedError: an object type that is no AAC.
    """
    object_type = _object_type(bits)
    sample_rate = _sample_rate(bits)
    channel_config = bits.read(4)
    channels = _CHANNELS.get(channel_config)
    if channels is None:
        raise bits.error(f"channelConfiguration {channel_config} is reserved")
    extension_object_type = extension_sample_rate = 0
    if object_type in {AAC_SBR, AAC_PS}:
        extension_object_type = object_type
        extension_sample_rate = _sample_rate(bits)
        object_type = _object_type(bits)

    if object_type in _GENERAL_AUDIO:
        frame_length_flag = bits.flag()
        if bits.flag():  # dependsOnCoreCoder
            bits.skip(14)  # coreCoderDelay
        extension_flag = bits.flag()
        if channel_config == 0 and bits.bits_left > 0:
            channels = _program_channels(bits)
        if object_type in {6, 20}:
            bits.skip(3)  # layerNr
        if extension_flag:
            if object_type == 22:
                bits.skip(16)  # numOfSubFrame, layer_length
            if object_type in {17, 19, 20, _LD}:
                bits.skip(3)  # the resilience flags
            bits.skip(1)  # extensionFlag3
        frame_length = (480 if frame_length_flag else 512) if object_type == _LD else 960 if frame_length_flag else 1024
    elif object_type == _ELD:
        frame_length = 480 if bits.flag() else 512
    else:
        raise UnsupportedError(f"MPEG-4 audio object type {object_type} is not supported: set the camera to AAC-LC")

    is_extensible = object_type in _GENERAL_AUDIO and object_type not in _ERROR_RESILIENT
    if may_be_extended and extension_object_type == 0 and is_extensible:
        extension_object_type, extension_sample_rate = _sync_extension(bits)
    return AudioSpecificConfig(
        object_type=object_type,
        sample_rate=sample_rate,
        channels=channels,
        channel_config=channel_config,
        frame_length=frame_length,
        extension_object_type=extension_object_type,
        extension_sample_rate=extension_sample_rate,
    )


def _object_type(bits: BitReader) -> int:
    object_type = bits.read(5)
    if object_type == 31:
        object_type = 32 + bits.read(6)
    if object_type == 0:
        raise bits.error("audioObjectType is 0")
    return object_type


def _sample_rate(bits: BitReader) -> int:
    index = bits.read(4)
    rate = bits.read(24) if index == _ESCAPED_RATE else _SAMPLE_RATES[index] if index < len(_SAMPLE_RATES) else 0
    if rate == 0:
        raise bits.error("the sampling frequency is 0 or reserved")
    return rate


def _program_channels(bits: BitReader) -> int:
    """Channels of a program_config_element (4.4.1.1), which bits' position is left behind."""
    bits.skip(4 + 2 + 4)  # element_instance_tag, object_type, sampling_frequency_index
    front, side, back = bits.read(4), bits.read(4), bits.read(4)
    low_frequency, data, coupling = bits.read(2), bits.read(3), bits.read(4)
    for size in (4, 4, 3):  # mono_mixdown, stereo_mixdown, matrix_mixdown
        if bits.flag():
            bits.skip(size)
    channels = low_frequency
    for _ in range(front + side + back):
        channels += 2 if bits.flag() else 1  # is_cpe
        bits.skip(4)
    bits.skip(4 * (low_frequency + data) + 5 * coupling)
    bits.align()
    bits.skip(8 * bits.read(8))  # comment
    return channels


def _sync_extension(bits: BitReader) -> tuple[int, int]:
    """Backward compatible signalling of SBR and PS (1.6.6.1): a decoder that does not know it does not see it."""
    try:
        if bits.bits_left < 16 or bits.read(11) != _SYNC_EXTENSION_SBR or bits.read(5) != AAC_SBR or not bits.flag():
            return 0, 0
        rate = _sample_rate(bits)
        if bits.bits_left >= 12 and bits.read(11) == _SYNC_EXTENSION_PS and bits.flag():
            return AAC_PS, rate
    except RemoteProtocolError:  # no more than bytes behind the configuration
        return 0, 0
    return AAC_SBR, rate


def build_config(sample_rate: int, channels: int, object_type: int = AAC_LC) -> bytes:
    """The AudioSpecificConfig of a plain AAC stream with 1024 samples an access unit.

    Args:
        sample_rate: in Hz.
        channels: 1 to 8.
        object_type: 1 to 4, 6 or 7 (2: AAC-LC).

    Raises:
        LocalProtocolError: no channelConfiguration has that many channels, or another value is out of its range.
    """
    channel_config = {count: index for index, count in reversed(_CHANNELS.items())}.get(channels)
    if not channel_config:
        raise LocalProtocolError(f"AAC has no configuration with {channels} channels; 1 to 8 there are")
    if object_type not in _GENERAL_AUDIO - _ERROR_RESILIENT - {6}:
        raise LocalProtocolError(f"AAC object type {object_type} cannot be written; 2 is AAC-LC")
    if sample_rate in _SAMPLE_RATES:
        value, size = (object_type << 4 | _SAMPLE_RATES.index(sample_rate)) << 4 | channel_config, 13
    elif 0 < sample_rate < 1 << 24:
        value, size = ((object_type << 4 | _ESCAPED_RATE) << 24 | sample_rate) << 4 | channel_config, 37
    else:
        raise LocalProtocolError(f"a sample rate of {sample_rate} Hz does not fit 24 bits")
    # the three flags of GASpecificConfig are 0, which fills the last byte
    return (value << 3).to_bytes((size + 3) // 8)


def codec_string(parameters: AACParameters) -> str:
    """The codecs parameter of RFC 6381: "mp4a.40.2" for AAC-LC, .5 where SBR, .29 where SBR and PS are signalled.

    Raises:
        RemoteProtocolError: the configuration cannot be read.
        UnsupportedError: it is no AAC.
    """
    config = parse_config(parameters.config)
    return f"mp4a.40.{config.extension_object_type or config.object_type}"


def unit_ticks(parameters: AACParameters, clock_rate: int) -> int:
    """What one access unit lasts, in ticks: 1 to a second's; 1024 where the configuration cannot be read."""
    try:
        config = parse_config(parameters.config)
    except (RemoteProtocolError, UnsupportedError):
        return 1024
    return max(1, min(config.frame_length * clock_rate // config.sample_rate, clock_rate))


# -- ADTS -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ADTSHeader:
    """One ADTS header.

    Attributes:
        object_type: 1 to 4 (2: AAC-LC).
        sample_rate: in Hz.
        channel_config: channelConfiguration; 0 where the stream itself says it.
        header_size: bytes of the header, with its checksum.
        size: bytes of header and access unit together.
    """

    object_type: int
    sample_rate: int
    channel_config: int
    header_size: int
    size: int

    @property
    def config(self) -> bytes:
        """The AudioSpecificConfig that says the same."""
        index = _SAMPLE_RATES.index(self.sample_rate)
        return (((self.object_type << 4 | index) << 4 | self.channel_config) << 3).to_bytes(2)


def parse_adts_header(data: bytes, offset: int = 0) -> ADTSHeader:
    """Read the ADTS header at `offset`.

    Raises:
        RemoteProtocolError: there is none, it ends too early or it has a reserved value.
        UnsupportedError: several access units share it (nobody sends that).
    """
    header = data[offset : offset + _ADTS_HEADER_SIZE]
    if len(header) < _ADTS_HEADER_SIZE:
        raise RemoteProtocolError("ADTS: the header ends too early", offset=offset, head=header)
    if header[0] != 0xFF or header[1] & 0xF6 != 0xF0:  # syncword, layer
        raise RemoteProtocolError("ADTS: no header here", offset=offset, head=header)
    rate_index = header[2] >> 2 & 0x0F
    if rate_index >= len(_SAMPLE_RATES):
        raise RemoteProtocolError(f"ADTS: sampling frequency {rate_index} is reserved", offset=offset, head=header)
    header_size = _ADTS_HEADER_SIZE if header[1] & 1 else _ADTS_HEADER_SIZE + 2  # protection_absent
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if size < header_size:
        raise RemoteProtocolError(f"ADTS: a size of {size} is less than its header", offset=offset, head=header)
    if header[6] & 3:
        raise UnsupportedError("ADTS with several access units behind one header is not supported")
    return ADTSHeader(
        object_type=(header[2] >> 6) + 1,
        sample_rate=_SAMPLE_RATES[rate_index],
        channel_config=(header[2] & 1) << 2 | header[3] >> 6,
        header_size=header_size,
        size=size,
    )


def split_adts(data: bytes) -> tuple[AACParameters, list[bytes]]:
    """The access units of an ADTS stream, and the configuration that its first header gives.

    Raises:
        RemoteProtocolError: it is empty, or a header is wrong or announces more than there is.
        UnsupportedError: several access units share a header.
    """
    units = []
    parameters: AACParameters | None = None
    offset = 0
    while offset < len(data) or parameters is None:
        header = parse_adts_header(data, offset)
        if header.size > len(data) - offset:
            raise RemoteProtocolError("ADTS: an access unit runs past the end", offset=offset, head=data[offset:])
        if parameters is None:
            parameters = AACParameters(header.config)
        units.append(data[offset + header.header_size : offset + header.size])
        offset += header.size
    return parameters, units
