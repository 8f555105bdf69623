"""What a camera plays: tracks of access units, round and round.

Strategy: values only. A `Clip` is made from access units that the caller has (`video_track`, `audio_track`), or is the
bundled one (`clip`). How units become packets is `packetizer.py`'s matter, when they leave `playout.py`'s.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

from rtspkit import aac, h264, h265, opus
from rtspkit.codecs import unit_ticks
from rtspkit.media import AACParameters, H264Parameters, H265Parameters, OpusParameters, PCMParameters, Track
from rtspkit.packetizer import (
    Payload,
    packetize_aac,
    packetize_h264,
    packetize_h265,
    packetize_latm,
    packetize_sound,
    stream_mux_config,
)

__all__ = ["Clip", "ClipTrack", "audio_track", "clip", "video_track"]


#: What a clip's track may be.
ClipCodec: TypeAlias = Literal["h264", "h265", "aac", "latm", "opus", "pcma", "pcmu", "g722", "g726", "l16"]


@dataclass(frozen=True)
class ClipTrack:
    """One track of a clip.

    Attributes:
        codec: what it is, and how it is packed: "latm" is AAC, too.
        media: the lines of the SDP from ``m=`` on, without ``a=control``.
        payload_type: of its RTP packets.
        clock_rate: ticks a second.
        unit_ticks: what one access unit lasts.
        units: each access unit as the list of its NAL units, or of its one unit of sound.
    """

    codec: ClipCodec
    media: tuple[str, ...]
    payload_type: int
    clock_rate: int
    unit_ticks: int
    units: tuple[tuple[bytes, ...], ...]

    @property
    def kind(self) -> Literal["video", "audio"]:
        """What it is to be seen or heard as."""
        return "video" if self.codec in {"h264", "h265"} else "audio"

    def is_sync(self, number: int) -> bool:
        """Whether decoding can start with the unit of that number."""
        unit = self.units[number % len(self.units)]
        return {"h264": h264.is_sync, "h265": h265.is_sync}.get(self.codec, bool)(unit)

    def payloads(self, unit: Sequence[bytes]) -> list[Payload]:
        """What the RTP packets of an access unit carry."""
        match self.codec:
            case "h264":
                return packetize_h264(unit)
            case "h265":
                return packetize_h265(unit)
            case "aac":
                return packetize_aac(unit)
            case "latm":
                return packetize_latm(unit)
            case _:
                return [payload for sound in unit for payload in packetize_sound(sound)]


@dataclass(frozen=True)
class Clip:
    """What a camera plays, round and round; video first."""

    tracks: tuple[ClipTrack, ...]


@cache
def clip() -> Clip:
    """The bundled clip: H.264 High 1280x720 at 25 pictures a second, AAC-LC 16 kHz mono, 8 s."""
    data = resources.files("rtspkit.testing") / "data"
    nals = list(h264.split_annexb((data / "testcamera.h264").read_bytes()))
    sps = next(nal for nal in nals if h264.nal_type(nal) == h264.NAL_SPS)
    pps = next(nal for nal in nals if h264.nal_type(nal) == h264.NAL_PPS)
    config, audio = aac.split_adts((data / "testcamera.aac").read_bytes())
    return Clip((video_track(h264.access_units(nals), H264Parameters(sps, (pps,))), audio_track(audio, config)))


def video_track(
    units: Iterable[Sequence[bytes]], parameters: H264Parameters | H265Parameters, rate: int = 25
) -> ClipTrack:
    """A track of H.264 or H.265 access units.

    Args:
        units: each as its NAL units, without start codes; a picture that is a sync sample should have its parameter
            sets with it.
        parameters: what the description tells; they say which codec it is.
        rate: pictures a second; a divisor of 90000.
    """
    codec: Literal["h264", "h265"]
    if isinstance(parameters, H265Parameters):
        codec, form = "h265", f"sprop-vps={_base64(parameters.vps)};sprop-sps={_base64(parameters.sps)}"
        form += f";sprop-pps={_base64(*parameters.pps)}"
    else:
        codec, form = "h264", f"packetization-mode=1;profile-level-id={parameters.sps[1:4].hex()}"
        form += f";sprop-parameter-sets={_base64(parameters.sps, *parameters.pps)}"
    return ClipTrack(
        codec,
        ("m=video 0 RTP/AVP 96", f"a=rtpmap:96 {codec.upper()}/90000", f"a=fmtp:96 {form}"),
        96,
        90000,
        90000 // rate,
        tuple(tuple(unit) for unit in units),
    )


def _base64(*nals: bytes) -> str:
    return ",".join(base64.b64encode(nal).decode() for nal in nals)


def audio_track(
    units: Iterable[bytes], parameters: AACParameters | OpusParameters | PCMParameters, codec: ClipCodec = "aac"
) -> ClipTrack:
    """A track of sound.

    Args:
        units: AAC access units (raw, without ADTS headers), Opus packets, or the coded samples of a packet each; all of
            one duration.
        parameters: what the description tells.
        codec: what they are, and how they are packed.
    """
    wrapped = tuple((unit,) for unit in units)
    rate, lines = _described(parameters, codec)
    track = Track(0, "audio", "aac" if codec == "latm" else codec, rate, parameters)
    ticks = unit_ticks(track, wrapped[0][0] if wrapped else b"") or rate // 50
    return ClipTrack(codec, ("m=audio 0 RTP/AVP 97", *lines), 97, rate, ticks, wrapped)


def _described(
    parameters: AACParameters | OpusParameters | PCMParameters, codec: ClipCodec
) -> tuple[int, tuple[str, ...]]:
    """The clock rate of a track of sound, and its rtpmap and fmtp lines."""
    if isinstance(parameters, OpusParameters):
        return opus.CLOCK_RATE, ("a=rtpmap:97 opus/48000/2", f"a=fmtp:97 sprop-stereo={parameters.channels - 1}")
    if isinstance(parameters, PCMParameters):
        name = f"{'AAL2-' * parameters.is_aal2}G726-{8 * parameters.bits}" if codec == "g726" else codec.upper()
        rate = parameters.sample_rate // 2 if codec == "g722" else parameters.sample_rate
        return rate, (f"a=rtpmap:97 {name}/{rate}/{parameters.channels}",)
    config = aac.parse_config(parameters.config)
    form = f"{config.sample_rate}/{config.channels}"
    if codec == "latm":
        mux = stream_mux_config(parameters.config).hex()
        return config.sample_rate, (f"a=rtpmap:97 MP4A-LATM/{form}", f"a=fmtp:97 cpresent=0;config={mux}")
    return config.sample_rate, (
        f"a=rtpmap:97 MPEG4-GENERIC/{form}",
        "a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;"
        f"config={parameters.config.hex()}",
    )
