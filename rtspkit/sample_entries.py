"""Sample entries: what an init section says of a track's codec.

Strategy: `sample_entry` looks at the track's parameters and has a function for each codec; each writes the entry and
the configuration box in it. Boxes are bytes, joined from the inside out.

Spec: ISO/IEC 14496-12 8.5.2, 12.1.3, 12.2.3 (entries), -14 (mp4a, esds), -15 5.4 (avc1, avcC), 8.3.3, 8.4.1 (hvc1,
hvcC); Encapsulation of Opus in ISO Base Media File Format 4.3 (Opus, dOps); Encapsulation of FLAC in ISO Base Media
File Format (fLaC, dfLa).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rtspkit import aac, flac, h264, h265, opus
from rtspkit.errors import LocalProtocolError, UnsupportedError
from rtspkit.media import AACParameters, FLACParameters, H264Parameters, H265Parameters, OpusParameters

if TYPE_CHECKING:
    from rtspkit.media import Track

__all__ = ["SampleEntry", "box", "full_box", "sample_entry"]

#: Samples (of 48 kHz) that an Opus encoder looks ahead, libopus's 6.5 ms; RTP does not tell.
_OPUS_PRE_SKIP = 312


class SampleEntry(NamedTuple):
    """A sample entry, and what the rest of the track's boxes repeat of it.

    Attributes:
        box: the entry.
        is_video: else sound.
        width: as the picture is shown, with square samples, in 16.16; 0 of sound. So is `height`.
        height: see `width`.
    """

    box: bytes
    is_video: bool
    width: int = 0
    height: int = 0


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of the parts, one behind the other (ISO/IEC 14496-12, 4.2)."""
    return struct.pack(">I", 8 + sum(map(len, parts))) + kind + b"".join(parts)


def full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with version and flags before its parts."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def sample_entry(track: Track) -> SampleEntry:
    """The entry of a track's samples.

    Raises:
        LocalProtocolError: its parameters are not known yet.
        UnsupportedError: parameters that a track of this codec cannot have.
        RemoteProtocolError: parameters that cannot be read.
    """
    match track.codec, track.parameters:
        case "h264", H264Parameters() as parameters:
            return _video(b"avc1", h264.parse_sps(parameters.sps), _avcc(track, parameters))
        case "h265", H265Parameters() as parameters:
            return _video(b"hvc1", h265.parse_sps(parameters.sps), _hvcc(track, parameters))
        case "aac", AACParameters(config=data):
            config = aac.parse_config(data)
            rate = config.output_sample_rate
            return _audio(b"mp4a", config.channels or 2, rate if rate <= 0xFFFF else 0, _esds(data))
        case "opus", OpusParameters(channels=channels):
            return _audio(b"Opus", channels, opus.CLOCK_RATE, _dops(channels))
        case "flac", FLACParameters(stream_info=data):
            info = flac.parse_stream_info(data)
            rate = info.sample_rate
            while rate > 0xFFFF:  # what does not fit is halved until it does
                rate //= 2
            return _audio(b"fLaC", info.channels, rate, _dfla(data))
        case _, None:
            raise LocalProtocolError(f"{_name(track)} has no parameters yet: wait until the camera has sent them")
        case _, other:
            raise UnsupportedError(f"{_name(track)} cannot have {type(other).__name__} as its parameters")


def _name(track: Track) -> str:
    return f"track {track.index + 1} ({track.codec})"


def _video(kind: bytes, sps: h264.SPS | h265.SPS, configuration: bytes) -> SampleEntry:
    boxes = [configuration]
    if sps.sample_aspect_ratio != (1, 1):
        boxes.append(box(b"pasp", struct.pack(">II", *sps.sample_aspect_ratio)))
    entry = box(
        kind,
        struct.pack(">6xH16xHH", 1, sps.width, sps.height),  # data_reference_index, size of the picture
        # 72 dpi twice, one picture a sample, no compressor name, depth 24, no colour table
        struct.pack(">IIIH32xHh", 0x480000, 0x480000, 0, 1, 24, -1),
        *boxes,
    )
    # how wide it is shown, in squares
    horizontal, vertical = sps.sample_aspect_ratio
    return SampleEntry(entry, True, min(0xFFFFFFFF, (sps.width << 16) * horizontal // vertical), sps.height << 16)


def _audio(kind: bytes, channels: int, rate: int, configuration: bytes) -> SampleEntry:
    entry = box(
        kind,
        struct.pack(">6xH", 1),  # data_reference_index
        # 16 bits a sample; the rate in 16.16; decoders read both from the configuration
        struct.pack(">8xHH4xI", channels, 16, rate << 16),
        configuration,
    )
    return SampleEntry(entry, False)


def _parameter_sets(track: Track, name: str, nals: Sequence[bytes], most: int) -> list[bytes]:
    """Those of one kind, as they stand in a configuration record, each behind its length."""
    clean = [nal for nal in map(h264.clean_parameter_set, nals) if nal]
    if not clean:
        raise LocalProtocolError(f"{_name(track)} has no {name} yet: wait until the camera has sent it")
    if len(clean) > most or max(map(len, clean)) > 0xFFFF:
        raise UnsupportedError(f"{_name(track)} has more {name} than its configuration record can hold")
    return [struct.pack(">H", len(nal)) + nal for nal in clean]


def _avcc(track: Track, parameters: H264Parameters) -> bytes:
    """AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1)."""
    sps = h264.parse_sps(parameters.sps)
    sps_nals = _parameter_sets(track, "SPS", [parameters.sps], 1)
    pps_nals = _parameter_sets(track, "PPS", parameters.pps, 0xFF)
    record = [
        struct.pack(">B3sBB", 1, sps_nals[0][3:6], 0xFC | 3, 0xE0 | 1),  # lengths of 4 bytes; one SPS
        *sps_nals,
        struct.pack(">B", len(pps_nals)),
        *pps_nals,
    ]
    if sps.profile_idc not in {66, 77, 88}:
        chroma_format, luma, chroma = sps.chroma_format_idc, sps.bit_depth_luma - 8, sps.bit_depth_chroma - 8
        record.append(struct.pack(">BBBB", 0xFC | chroma_format, 0xF8 | luma, 0xF8 | chroma, 0))
    return box(b"avcC", *record)


def _hvcc(track: Track, parameters: H265Parameters) -> bytes:
    """HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1)."""
    sps = h265.parse_sps(parameters.sps)
    told = sps.profile_tier_level
    arrays = [
        (h265.NAL_VPS, _parameter_sets(track, "VPS", [parameters.vps], 1)),
        (h265.NAL_SPS, _parameter_sets(track, "SPS", [parameters.sps], 1)),
        (h265.NAL_PPS, _parameter_sets(track, "PPS", parameters.pps, 64)),
    ]
    record = [
        struct.pack(">BB", 1, told.profile_space << 6 | told.tier_flag << 5 | told.profile_idc),
        struct.pack(">IQ", told.compatibility_flags, told.constraint_flags << 16)[:10],
        struct.pack(">BH", told.level_idc, 0xF000 | sps.min_spatial_segmentation_idc),
        struct.pack(">BB", 0xFC, 0xFC | sps.chroma_format_idc),  # how it is best decoded in parallel: not known
        struct.pack(">BB", 0xF8 | sps.bit_depth_luma - 8, 0xF8 | sps.bit_depth_chroma - 8),
        # average and constant rate not known; sub-layers; lengths of 4 bytes
        struct.pack(">HBB", 0, sps.max_sub_layers << 3 | sps.temporal_id_nesting << 2 | 3, len(arrays)),
    ]
    for kind, nals in arrays:
        record += [struct.pack(">BH", 0x80 | kind, len(nals)), *nals]  # all of them are here, none in the samples
    return box(b"hvcC", *record)


def _esds(config: bytes) -> bytes:
    """ES_Descriptor (ISO/IEC 14496-1, 7.2.6.5)."""
    decoder_config = _descriptor(
        4,
        # MPEG-4 audio; audio stream, no upstream, a reserved 1; buffer size and bit rates unknown
        struct.pack(">BB3xII", 0x40, 0x05 << 2 | 1, 0, 0),
        _descriptor(5, config),
    )
    return full_box(b"esds", _descriptor(3, bytes(3), decoder_config, _descriptor(6, b"\x02")))  # 2: as in MP4 files


def _descriptor(tag: int, *parts: bytes) -> bytes:
    size = sum(map(len, parts))
    # four bytes of seven bits always: some readers take nothing else
    length = bytes((size >> 21 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size & 0x7F))
    return bytes((tag,)) + length + b"".join(parts)


def _dops(channels: int) -> bytes:
    """OpusSpecificBox."""
    # version 0, channels, samples to pass over first, sample rate of what was recorded, gain, channel mapping family 0
    return box(b"dOps", struct.pack(">BBHIhB", 0, channels, _OPUS_PRE_SKIP, opus.CLOCK_RATE, 0, 0))


def _dfla(stream_info: bytes) -> bytes:
    """FLACSpecificBox."""
    # the one block, the last, of type 0: STREAMINFO
    return full_box(b"dfLa", struct.pack(">I", 0x80 << 24 | len(stream_info)), stream_info)
