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
from typing import Literal

from rtspkit import aac, h264, h265
from rtspkit.media import AACParameters, H264Parameters, H265Parameters
from rtspkit.packetizer import Payload, packetize_aac, packetize_h264, packetize_h265

__all__ = ["Clip", "ClipTrack", "audio_track", "clip", "video_track"]


@dataclass(frozen=True)
class ClipTrack:
    """One track of a clip.

    Attributes:
        codec: "h264", "h265" or "aac".
        media: the lines of the SDP from ``m=`` on, without ``a=control``.
        payload_type: of its RTP packets.
        clock_rate: ticks a second.
        unit_ticks: what one access unit lasts.
        units: each access unit as the list of its NAL units, or of its one AAC unit.
    """

    codec: Literal["h264", "h265", "aac"]
    media: tuple[str, ...]
    payload_type: int
    clock_rate: int
    unit_ticks: int
    units: tuple[tuple[bytes, ...], ...]

    @property
    def kind(self) -> Literal["video", "audio"]:
        """What it is to be seen or heard as."""
        return "audio" if self.codec == "aac" else "video"

    def is_sync(self, number: int) -> bool:
        """Whether decoding can start with the unit of that number."""
        unit = self.units[number % len(self.units)]
        return {"h264": h264.is_sync, "h265": h265.is_sync}.get(self.codec, bool)(unit)

    def payloads(self, unit: Sequence[bytes]) -> list[Payload]:
        """What the RTP packets of an access unit carry."""
        return {"h264": packetize_h264, "h265": packetize_h265}.get(self.codec, packetize_aac)(unit)


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


def audio_track(units: Iterable[bytes], parameters: AACParameters) -> ClipTrack:
    """A track of AAC access units (raw, without ADTS headers)."""
    config = aac.parse_config(parameters.config)
    return ClipTrack(
        "aac",
        (
            "m=audio 0 RTP/AVP 97",
            f"a=rtpmap:97 MPEG4-GENERIC/{config.sample_rate}/{config.channels}",
            "a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;"
            f"config={parameters.config.hex()}",
        ),
        97,
        config.sample_rate,
        config.frame_length,
        tuple((unit,) for unit in units),
    )
