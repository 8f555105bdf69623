"""Fragmented MP4: the init section, and the public name of the fragment writer.

An init section is written once per set of parameters, so it is built here in plain Python: boxes are bytes, joined
from the inside out. `write_fragment`, which every fragment passes, is compiled (`rtspkit._fmp4`).

Spec: ISO/IEC 14496-12 (boxes), -14 (mp4a, esds), -15 5.4 (avc1, avcC); Encapsulation of Opus in ISO Base Media File
Format 4.3 (Opus, dOps); Encapsulation of FLAC in ISO Base Media File Format (fLaC, dfLa); draft-pantos-hls-rfc8216bis
3.1.2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

from rtspkit import aac, flac, h264, opus
from rtspkit._fmp4 import write_fragment
from rtspkit.errors import LocalProtocolError, UnsupportedError
from rtspkit.media import AACParameters, FLACParameters, H264Parameters, OpusParameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

    from rtspkit.media import Track

__all__ = ["FragmentRun", "init_section", "write_fragment"]

#: What `write_fragment` takes for a track: track_id, dts, shift, end, default_duration, samples, data and, if pictures
#: are reordered, delay and is_even.
FragmentRun: TypeAlias = (
    "tuple[int, int, int, int, int, Buffer, Buffer]"
    "| tuple[int, int, int, int, int, Buffer, Buffer, int]"
    "| tuple[int, int, int, int, int, Buffer, Buffer, int, bool]"
)

#: Ticks a second of the movie header, which has no duration here; any value would do.
_MOVIE_TIMESCALE = 1000
#: "und" in three times five bits (8.4.2.3).
_LANGUAGE_UNDETERMINED = 0x55C4
#: A matrix that changes nothing, in 16.16 and 2.30 (6.2.2).
_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
#: track_enabled, track_in_movie
_TRACK_FLAGS = 3
#: Samples (of 48 kHz) that an Opus encoder looks ahead, libopus's 6.5 ms; RTP does not tell.
_OPUS_PRE_SKIP = 312
_VIDEO_HANDLER = b"vide"
_AUDIO_HANDLER = b"soun"


def init_section(tracks: Sequence[Track]) -> bytes:
    """Write the ftyp and moov boxes that the fragments of these tracks need before them (EXT-X-MAP).

    Each track's track_ID is its index + 1, its timescale its clock rate.

    Raises:
        LocalProtocolError: there is no track, or one whose parameters are not known yet.
        UnsupportedError: parameters that a track of this codec cannot have.
        RemoteProtocolError: parameters that cannot be read.
    """
    if not tracks:
        raise LocalProtocolError("an init section needs at least one track")
    if len({track.index for track in tracks}) != len(tracks):
        raise LocalProtocolError("two tracks have the same index")
    for track in tracks:
        if not (0 <= track.index < 0xFFFFFFFE and 0 < track.clock_rate <= 0xFFFFFFFF):
            raise LocalProtocolError(f"index {track.index} or clock rate {track.clock_rate} of a track is out of range")
    return _ftyp() + _box(
        b"moov",
        _full_box(
            b"mvhd",
            struct.pack(">IIIIIH10x", 0, 0, _MOVIE_TIMESCALE, 0, 0x10000, 0x100),  # rate 1.0, volume 1.0
            _UNITY_MATRIX,
            bytes(24),
            struct.pack(">I", max(_track_id(track) for track in tracks) + 1),
        ),
        *(_trak(track) for track in tracks),
        _box(
            b"mvex",
            *(_full_box(b"trex", struct.pack(">IIIII", _track_id(track), 1, 0, 0, 0)) for track in tracks),
        ),
    )


def _track_id(track: Track) -> int:
    return track.index + 1


def _box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, parts))) + kind + b"".join(parts)


def _full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _ftyp() -> bytes:
    # iso6: tfdt and default-base-is-moof; hlsf: the draft's own brand; mp41 for the esds
    return _box(b"ftyp", b"iso6", bytes(4), b"iso6", b"mp41", b"hlsf")


def _trak(track: Track) -> bytes:
    width = height = 0
    if isinstance(track.parameters, H264Parameters) and track.codec == "h264":
        sps = h264.parse_sps(track.parameters.sps)
        entry = _avc1(track, track.parameters, sps)
        handler, name, header = _VIDEO_HANDLER, b"Video", _full_box(b"vmhd", bytes(8), flags=1)
        # how wide it is shown, in squares, 16.16
        horizontal, vertical = sps.sample_aspect_ratio
        width, height = min(0xFFFFFFFF, (sps.width << 16) * horizontal // vertical), sps.height << 16
        volume = 0
    elif isinstance(track.parameters, AACParameters) and track.codec == "aac":
        entry = _mp4a(track.parameters)
        handler, name, header = _AUDIO_HANDLER, b"Sound", _full_box(b"smhd", bytes(4))
        volume = 0x100
    elif isinstance(track.parameters, OpusParameters) and track.codec == "opus":
        entry = _opus(track.parameters)
        handler, name, header = _AUDIO_HANDLER, b"Sound", _full_box(b"smhd", bytes(4))
        volume = 0x100
    elif isinstance(track.parameters, FLACParameters) and track.codec == "flac":
        entry = _flac(track.parameters)
        handler, name, header = _AUDIO_HANDLER, b"Sound", _full_box(b"smhd", bytes(4))
        volume = 0x100
    elif track.parameters is None:
        raise LocalProtocolError(
            f"track {_track_id(track)} ({track.codec}) has no parameters yet: wait until the camera has sent them"
        )
    else:
        raise UnsupportedError(
            f"track {_track_id(track)} ({track.codec}) cannot have {type(track.parameters).__name__} as its parameters"
        )
    empty_table = struct.pack(">I", 0)
    return _box(
        b"trak",
        _full_box(
            b"tkhd",
            struct.pack(">IIIII8xHHHH", 0, 0, _track_id(track), 0, 0, 0, 0, volume, 0),
            _UNITY_MATRIX,
            struct.pack(">II", width, height),
            flags=_TRACK_FLAGS,
        ),
        _box(
            b"mdia",
            _full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, track.clock_rate, 0, _LANGUAGE_UNDETERMINED, 0)),
            _full_box(b"hdlr", bytes(4), handler, bytes(12), name, b"\0"),
            _box(
                b"minf",
                header,
                _box(b"dinf", _full_box(b"dref", struct.pack(">I", 1), _full_box(b"url ", flags=1))),
                _box(
                    b"stbl",
                    _full_box(b"stsd", struct.pack(">I", 1), entry),
                    _full_box(b"stts", empty_table),
                    _full_box(b"stsc", empty_table),
                    _full_box(b"stsz", empty_table, empty_table),
                    _full_box(b"stco", empty_table),
                ),
            ),
        ),
    )


def _avc1(track: Track, parameters: H264Parameters, sps: h264.SPS) -> bytes:
    boxes = [_avcc(track, parameters, sps)]
    if sps.sample_aspect_ratio != (1, 1):
        boxes.append(_box(b"pasp", struct.pack(">II", *sps.sample_aspect_ratio)))
    return _box(
        b"avc1",
        struct.pack(">6xH16xHH", 1, sps.width, sps.height),  # data_reference_index, size of the picture
        # 72 dpi twice, one picture a sample, no compressor name, depth 24, no colour table
        struct.pack(">IIIH32xHh", 0x480000, 0x480000, 0, 1, 24, -1),
        *boxes,
    )


def _avcc(track: Track, parameters: H264Parameters, sps: h264.SPS) -> bytes:
    """AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1)."""
    sps_nal = h264.clean_parameter_set(parameters.sps)
    pps_nals = [nal for nal in map(h264.clean_parameter_set, parameters.pps) if nal]
    if not pps_nals:
        raise LocalProtocolError(f"track {_track_id(track)} (h264) has no PPS yet: wait until the camera has sent it")
    if len(pps_nals) > 0xFF or max(map(len, pps_nals)) > 0xFFFF:
        raise UnsupportedError(f"track {_track_id(track)} (h264) has more picture parameter sets than avcC can hold")
    record = [
        struct.pack(">B3sBBH", 1, sps_nal[1:4], 0xFC | 3, 0xE0 | 1, len(sps_nal)),  # lengths of 4 bytes; one SPS
        sps_nal,
        struct.pack(">B", len(pps_nals)),
        *(struct.pack(">H", len(nal)) + nal for nal in pps_nals),
    ]
    if sps.profile_idc not in {66, 77, 88}:
        chroma_format, luma, chroma = sps.chroma_format_idc, sps.bit_depth_luma - 8, sps.bit_depth_chroma - 8
        record.append(struct.pack(">BBBB", 0xFC | chroma_format, 0xF8 | luma, 0xF8 | chroma, 0))
    return _box(b"avcC", *record)


def _audio_entry(kind: bytes, channels: int, rate: int, configuration: bytes) -> bytes:
    """AudioSampleEntry (ISO/IEC 14496-12, 12.2.3), of 16 bits a sample, which decoders read from the configuration."""
    return _box(
        kind,
        struct.pack(">6xH", 1),  # data_reference_index
        struct.pack(">8xHH4xI", channels, 16, rate << 16),
        configuration,
    )


def _mp4a(parameters: AACParameters) -> bytes:
    config = aac.parse_config(parameters.config)
    rate = config.output_sample_rate
    # 16.16; decoders read it from the esds, too
    return _audio_entry(b"mp4a", config.channels or 2, rate if rate <= 0xFFFF else 0, _esds(parameters.config))


def _flac(parameters: FLACParameters) -> bytes:
    info = flac.parse_stream_info(parameters.stream_info)
    rate = info.sample_rate
    while rate > 0xFFFF:  # what does not fit is halved until it does
        rate //= 2
    # the one block, the last, of type 0: STREAMINFO
    header = struct.pack(">I", 0x80 << 24 | len(parameters.stream_info))
    return _audio_entry(b"fLaC", info.channels, rate, _full_box(b"dfLa", header, parameters.stream_info))


def _opus(parameters: OpusParameters) -> bytes:
    # version 0, channels, samples to pass over first, sample rate of what was recorded, gain, channel mapping family 0
    record = struct.pack(">BBHIhB", 0, parameters.channels, _OPUS_PRE_SKIP, opus.CLOCK_RATE, 0, 0)
    return _audio_entry(b"Opus", parameters.channels, opus.CLOCK_RATE, _box(b"dOps", record))


def _esds(config: bytes) -> bytes:
    """ES_Descriptor (ISO/IEC 14496-1, 7.2.6.5)."""
    decoder_config = _descriptor(
        4,
        # MPEG-4 audio; audio stream, no upstream, a reserved 1; buffer size and bit rates unknown
        struct.pack(">BB3xII", 0x40, 0x05 << 2 | 1, 0, 0),
        _descriptor(5, config),
    )
    return _full_box(b"esds", _descriptor(3, bytes(3), decoder_config, _descriptor(6, b"\x02")))  # 2: as in MP4 files


def _descriptor(tag: int, *parts: bytes) -> bytes:
    size = sum(map(len, parts))
    # four bytes of seven bits always: some readers take nothing else
    length = bytes((size >> 21 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size & 0x7F))
    return bytes((tag,)) + length + b"".join(parts)
