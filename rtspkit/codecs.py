"""What the rest of the package asks of a track, whatever its codec is: one function a question, one `case` a codec.

Strategy: what a codec is like stands in its own module (`h264.py`, `aac.py` ...); who does not care which one a track
has asks here. A new codec is a case in each of these functions, and a sample entry in `sample_entries.py`.

Spec: RFC 6381 (codec strings).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from rtspkit import aac, flac, h264, h265, opus
from rtspkit.errors import RtspkitError
from rtspkit.media import (
    AACParameters,
    Codec,
    FLACParameters,
    H264Parameters,
    H265Parameters,
    OpusParameters,
    PCMParameters,
    Track,
)

__all__ = ["Picture", "Sound", "carried_as", "codec_string", "picture", "reordered_pictures", "sound", "unit_ticks"]

_AAC_PROFILES = {
    1: "AAC Main",
    aac.AAC_LC: "AAC-LC",
    3: "AAC SSR",
    4: "AAC-LTP",
    23: "AAC-LD",
    39: "AAC-ELD",
    42: "xHE-AAC",
}
_PCM_NAMES = {"pcma": "G.711 A-law", "pcmu": "G.711 mu-law", "g722": "G.722", "l16": "L16"}


@dataclass(frozen=True, slots=True)
class Picture:
    """What the parameter sets say of the pictures.

    Attributes:
        width: in pixels, after cropping; so is `height`.
        height: see `width`.
        frame_rate: pictures a second; None where they do not say.
        profile: "High" ...
        level: "4.1" ...
    """

    width: int
    height: int
    frame_rate: float | None
    profile: str
    level: str


@dataclass(frozen=True, slots=True)
class Sound:
    """What the parameters say of the sound.

    Attributes:
        sample_rate: samples a second that come out of a decoder.
        channels: how many; 0 where only the stream says.
        profile: "AAC-LC", "Opus" ...
        bits: of one coded sample, where all have one size; else 0.
    """

    sample_rate: int
    channels: int
    profile: str
    bits: int = 0


def carried_as(codec: str) -> Codec | None:
    """What HLS makes of a codec: itself, FLAC of PCM, which no browser plays in fMP4; None where it cannot carry it."""
    match codec:
        case "h264" | "h265" | "aac" | "opus" | "flac":
            return codec
        case "pcma" | "pcmu" | "l16":
            return "flac"
        case _:
            return None


def codec_string(track: Track) -> str:
    """What a playlist calls the codec (RFC 6381), or what HLS makes of it.

    Raises:
        RtspkitError: the track's parameters are missing or cannot be read.
    """
    match track.parameters:
        case H264Parameters() as parameters:
            return h264.codec_string(parameters)
        case H265Parameters() as parameters:
            return h265.codec_string(parameters)
        case AACParameters() as parameters:
            return aac.codec_string(parameters)
        case OpusParameters():
            return "opus"
        case FLACParameters() | PCMParameters() if carried_as(track.codec) == "flac":
            return flac.CODEC_STRING
        case None:
            raise RtspkitError(f"track {track.index + 1}: its parameter sets have not come yet")
        case _:
            raise RtspkitError(f"track {track.index + 1}: no playlist can name {track.codec}")


def picture(track: Track) -> Picture | None:
    """What the pictures are like; None for sound, and where the parameters have not come or cannot be read."""
    try:
        match track.parameters:
            case H264Parameters(sps=data):
                sps = h264.parse_sps(data)
                return Picture(sps.width, sps.height, _rate(sps.frame_rate), sps.profile, sps.level)
            case H265Parameters(sps=data) as parameters:
                size = h265.parse_sps(data)
                told = size.profile_tier_level
                return Picture(size.width, size.height, _rate(h265.frame_rate(parameters)), told.profile, told.level)
    except RtspkitError:
        pass
    return None


def _rate(rate: Fraction | None) -> float | None:
    return None if rate is None else float(rate)


def reordered_pictures(track: Track) -> int | None:
    """How many pictures may come before one and be shown after it; None where the parameters do not say."""
    try:
        match track.parameters:
            case H264Parameters(sps=data):
                return h264.parse_sps(data).max_num_reorder_frames
            case H265Parameters(sps=data):
                return h265.parse_sps(data).max_num_reorder_pics
    except RtspkitError:
        pass
    return None


def sound(track: Track) -> Sound | None:
    """What the sound is like; None for pictures, and where the parameters have not come or cannot be read."""
    try:
        match track.parameters:
            case AACParameters(config=data):
                config = aac.parse_config(data)
                name = {aac.AAC_SBR: "HE-AAC", aac.AAC_PS: "HE-AAC v2"}.get(config.extension_object_type)
                profile = name or _AAC_PROFILES.get(config.object_type, f"MPEG-4 audio type {config.object_type}")
                return Sound(config.output_sample_rate, config.channels, profile)
            case OpusParameters(channels=channels):
                return Sound(opus.CLOCK_RATE, channels, "Opus")
            case PCMParameters(sample_rate=sample_rate, channels=channels, bits=bits):
                return Sound(sample_rate, channels, _PCM_NAMES.get(track.codec) or f"G.726 {bits * 8} kbit/s", bits)
            case FLACParameters(stream_info=data):
                info = flac.parse_stream_info(data)
                return Sound(info.sample_rate, info.channels, "FLAC")
    except RtspkitError:
        pass
    return None


def unit_ticks(track: Track, unit: bytes | None = None) -> int | None:
    """What an access unit lasts, in ticks of the track.

    Args:
        track: whose parameters say it.
        unit: the media of one; None: what each of them lasts.

    Returns:
        None where it is not known: of pictures, and of sound whose units differ where none was given.
    """
    match track.parameters:
        case AACParameters() as parameters:
            return aac.unit_ticks(parameters, track.clock_rate)
        case OpusParameters() if unit is not None:
            return opus.packet_samples(unit) * track.clock_rate // opus.CLOCK_RATE or None
        case PCMParameters(sample_rate=sample_rate, channels=channels, bits=bits) if unit is not None:
            return len(unit) * 8 // (bits * channels) * track.clock_rate // sample_rate or None
        case FLACParameters(stream_info=data):
            info = flac.parse_stream_info(data)
            return info.block_size * track.clock_rate // info.sample_rate
        case _:
            return None
