"""Which of the media that a camera offers are received, and as what: an SDP's encodings -> tracks.

Strategy: `_FORMATS` has a function for each encoding name that is known; it says what track a media becomes, or why it
cannot be one. The first video and the first audio that can be used are taken, everything else is named and let be.

Specs: RFC 6184 8.2 (H264), RFC 3640 4.1 (mpeg4-generic), RFC 7587 7 (opus), ONVIF Streaming Specification 5.3
(back channel).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from rtspkit import h264, opus
from rtspkit.errors import UnsupportedError
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import AACParameters, OpusParameters, Track
from rtspkit.quirks import Quirks
from rtspkit.sdp import Encoding, MediaDescription, SessionDescription, media_url, read_number

__all__ = ["MediaTrack", "select_tracks"]

#: Ticks a second; nothing in use goes beyond MPEG's system clock with 27 MHz.
_FASTEST_CLOCK = 100_000_000


@dataclass(frozen=True, slots=True)
class MediaTrack:
    """A media that can be set up, and what its RTP packets are to be read with.

    Attributes:
        media: the section it comes from.
        track: the track it becomes.
        url: what SETUP names.
        payload_type: of the packets that carry it; others on its channel are something else.
        packetization_mode: H.264: 0 or 1.
        packing: how units lie in packets, where the codec leaves a choice: arguments of `Receiver.add_track`.
    """

    media: MediaDescription
    track: Track
    url: str
    payload_type: int
    packetization_mode: int = 0
    packing: dict[str, int] = field(default_factory=dict)


def select_tracks(
    description: SessionDescription,
    request_url: str = "",
    content_base: str | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    quirks: Quirks | None = None,
) -> tuple[tuple[MediaTrack, ...], tuple[str, ...]]:
    """Picks the media to set up: the first usable video and the first usable audio.

    Args:
        description: what the camera offers.
        request_url: of the DESCRIBE, without credentials.
        content_base: the answer's Content-Base header; None where absent.
        limits: `parameter_set_size` is used.
        quirks: takes what is odd about them.

    Returns:
        The tracks, and the names of what is left out ("track 2 (PCMU)"; tracks count from 1).

    Raises:
        UnsupportedError: nothing can be used; the message names what was offered.
    """
    quirks = Quirks() if quirks is None else quirks
    is_secure = request_url.lower().startswith("rtsps:")
    tracks: list[MediaTrack] = []
    skipped: list[str] = []
    for media in description.medias:
        url = media_url(description, media, request_url, content_base, quirks)
        found = _usable(media, len(tracks), url, is_secure=is_secure, limits=limits, quirks=quirks)
        if isinstance(found, MediaTrack):
            if all(other.track.kind != found.track.kind for other in tracks):
                tracks.append(found)
                continue
            found = f"another {found.track.kind} track"
        skipped.append(f"track {media.index + 1} ({', '.join(filter(None, (_label(media), found)))})")
    if not tracks:
        offer = ", ".join(skipped) or "no media at all"
        advice = "set its video to H.264, or use another of its streams"
        raise UnsupportedError(f"the camera offers nothing that can be used: {offer}; {advice}")
    return tuple(tracks), tuple(skipped)


#: What people know by another name.
_LABELS = {"JPEG": "M-JPEG"}


def _label(media: MediaDescription) -> str:
    if media.encoding_name:
        name = media.encoding_name.upper()
        return _LABELS.get(name) or re.sub(r"[^\x20-\x7e]", "?", name)[:40]
    if media.payload_type is not None:
        return f"payload type {media.payload_type}"
    return re.sub(r"[^\x20-\x7e]", "?", media.kind)[:40] or "no format"


def _usable(
    media: MediaDescription, index: int, url: str, *, is_secure: bool, limits: Limits, quirks: Quirks
) -> MediaTrack | str:
    """The track a media can become, or why it cannot ("" where its encoding's name says enough)."""
    proto = media.proto.upper()
    # within TLS nobody has to encrypt them once more: MediaMTX offers to, and does not where it is not asked for
    if "SAVP" in proto and not is_secure:
        return "encrypted"
    if media.back_channel:
        return "back channel"
    if "RTP" not in proto:
        return "not RTP"
    reason = ""
    # FLIR offers H.264 behind MPEG-4 in one media
    for encoding in media.encodings:
        to_track = _FORMATS.get(encoding.encoding_name or "")
        found = to_track(_Offer(media, encoding, index, url, limits, quirks)) if to_track else ""
        if isinstance(found, MediaTrack):
            return found
        reason = reason or found
    return reason


@dataclass(frozen=True, slots=True)
class _Offer:
    """One encoding of a media, and what its track would be."""

    media: MediaDescription
    encoding: Encoding
    index: int
    url: str
    limits: Limits
    quirks: Quirks

    def track(self, track: Track, *, packetization_mode: int = 0, **packing: int) -> MediaTrack:
        return MediaTrack(self.media, track, self.url, self.encoding.payload_type, packetization_mode, packing)


def _h264(offer: _Offer) -> MediaTrack | str:
    encoding, quirks = offer.encoding, offer.quirks
    mode = read_number(encoding.fmtp.get("packetization-mode", "0")) or 0
    if mode > 1:
        return f"packetization-mode {mode}"
    if (encoding.clock_rate or 0) > _FASTEST_CLOCK:
        return "odd clock rate"
    sprop = encoding.fmtp.get("sprop-parameter-sets")
    parameters = h264.parameters_from_sprop(sprop or "", limits=offer.limits)
    quirks.note("clock-rate-missing", not encoding.clock_rate)
    quirks.note("sprop-unusable", sprop is not None and parameters is None)
    quirks.note("sprop-annexb", any(b"\0\0\1" in _base64(text) for text in (sprop or "").split(",")))
    track = Track(
        index=offer.index, kind="video", codec="h264", clock_rate=encoding.clock_rate or 90000, parameters=parameters
    )
    return offer.track(track, packetization_mode=mode)


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text)
    except ValueError:
        return b""


def _aac(offer: _Offer) -> MediaTrack | str:
    encoding, fmtp = offer.encoding, offer.encoding.fmtp
    mode = fmtp.get("mode", "").lower()
    if mode not in ("", "aac-hbr"):
        return f"mode {fmtp['mode'][:20]}"
    # Anpviz sends only the config: then it is the mode everybody has, 13/3/3
    lengths = [
        read_number(fmtp.get(name, default))
        for name, default in (("sizelength", "13"), ("indexlength", "3"), ("indexdeltalength", "3"))
    ]
    size, index_length, delta_length = (-1 if number is None else number for number in lengths)
    if not 1 <= size <= 16 or not 0 <= index_length <= 16 or not 0 <= delta_length <= 16:
        return "odd AU header lengths"
    text = fmtp.get("config", "")
    try:
        config = bytes.fromhex(text)
    except ValueError:
        config = b""
    if not 2 <= len(config) <= offer.limits.parameter_set_size:
        return "without a config"
    if not encoding.clock_rate:
        return "without a clock rate"
    if encoding.clock_rate > _FASTEST_CLOCK:
        return "odd clock rate"
    offer.quirks.note("aac-defaults", "sizelength" not in fmtp)
    track = Track(
        index=offer.index, kind="audio", codec="aac", clock_rate=encoding.clock_rate, parameters=AACParameters(config)
    )
    return offer.track(track, size_length=size, index_length=index_length, index_delta_length=delta_length)


def _opus(offer: _Offer) -> MediaTrack | str:
    """The clock always has 48000 Hz (RFC 7587, 4.1), whatever the rtpmap says; so has the decoder's output."""
    channels = offer.encoding.channels or 2
    if channels > 2:
        return f"{channels} channels; set mono or stereo"
    # a decoder for two channels plays one as well; sprop-stereo says what comes, for the rtpmap always says 2
    stereo = offer.encoding.fmtp.get("sprop-stereo")
    if stereo is not None:
        channels = 2 if stereo == "1" else 1
    track = Track(offer.index, "audio", "opus", opus.CLOCK_RATE, OpusParameters(channels))
    return offer.track(track)


#: Encoding name (lower case) -> what makes a track of it, or says why not.
_FORMATS: dict[str, Callable[[_Offer], MediaTrack | str]] = {"h264": _h264, "mpeg4-generic": _aac, "opus": _opus}
