"""Which of the media that a camera offers are received, and as what: an SDP's encodings -> tracks.

Strategy: `_FORMATS` has a function for each encoding name that is known; it says what track a media becomes, or why it
cannot be one. The first video and the first audio that can be used are taken, everything else is named and let be.

Specs: RFC 6184 8.2 (H264), RFC 7798 7.1 (H265), RFC 3640 4.1 (mpeg4-generic), RFC 6416 7.3 (MP4A-LATM), RFC 7587 7
(opus), RFC 3551 4.5 (PCMA, PCMU, G722, G726, L16), ONVIF Streaming Specification 5.3 (back channel).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from rtspkit import h264, h265, latm, opus
from rtspkit.errors import RemoteProtocolError, RtspkitError, UnsupportedError
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import (
    AACParameters,
    Codec,
    H264Parameters,
    H265Parameters,
    OpusParameters,
    PCMParameters,
    Track,
)
from rtspkit.quirks import Quirks
from rtspkit.sdp import Encoding, MediaDescription, SessionDescription, media_url, parse_sdp, read_number

__all__ = ["MediaTrack", "payload_codecs", "picture_refusal", "select_tracks"]

#: Names of video that is not received.
_VIDEO_NAMES = {
    "m-jpeg": "M-JPEG",
    "mp4v-es": "MPEG-4 video",
    "mpv": "MPEG-2 video",
    "h261": "H.261",
    "h263": "H.263",
    "h263-1998": "H.263",
    "h263-2000": "H.263",
    "vp8": "VP8",
    "vp9": "VP9",
    "av1": "AV1",
}
#: What to choose in a camera's settings where its encoding is not received.
_INSTEAD = {"video": "choose H.264 or H.265", "audio": "choose AAC, Opus or G.711"}
_ADVICE = f"{_INSTEAD['video']} in its settings, or another of its streams"
#: The names of what is left out (see `select_tracks`): what it is called there, and why it is left out.
_LEFT_OUT = re.compile(r"track \d+ \(([^,]*?)(?:, (.*))?\)", re.DOTALL)
#: Ticks a second; nothing in use goes beyond MPEG's system clock with 27 MHz.
_FASTEST_CLOCK = 100_000_000
#: Sound that no player of HLS knows: taken where there is no other.
_LAST_CHOICE = frozenset({"g722", "g726"})
#: Of PCM; FLAC has no more (RFC 9639, 9.1.3).
_MOST_CHANNELS = 8


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
    packing: dict[str, Any] = field(default_factory=dict)


def select_tracks(
    description: SessionDescription,
    request_url: str = "",
    content_base: str | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    quirks: Quirks | None = None,
) -> tuple[tuple[MediaTrack, ...], tuple[str, ...]]:
    """Picks the media to set up: the first usable video and the first usable audio, one that HLS carries if there is.

    Args:
        description: what the camera offers.
        request_url: of the DESCRIBE, without credentials.
        content_base: the answer's Content-Base header; None where absent.
        limits: `parameter_set_size` is used.
        quirks: takes what is odd about them.

    Returns:
        The tracks, and the names of what is left out ("track 2 (MPA, choose AAC, Opus or G.711)"; tracks count from 1).

    Raises:
        UnsupportedError: nothing can be used; the message names what was offered.
    """
    quirks = Quirks() if quirks is None else quirks
    is_secure = request_url.lower().startswith("rtsps:")
    chosen: dict[str, MediaTrack] = {}
    looks: list[tuple[MediaDescription, MediaTrack | str]] = []
    for media in description.medias:
        url = media_url(description, media, request_url, content_base, quirks)
        found = _usable(media, url, is_secure=is_secure, limits=limits, quirks=quirks)
        looks.append((media, found))
        if isinstance(found, MediaTrack):
            before = chosen.get(found.track.kind)
            if before is None or (before.track.codec in _LAST_CHOICE and found.track.codec not in _LAST_CHOICE):
                chosen[found.track.kind] = found
    tracks: list[MediaTrack] = []
    skipped: list[str] = []
    for media, found in looks:
        if isinstance(found, MediaTrack) and chosen[found.track.kind] is found:
            tracks.append(replace(found, track=replace(found.track, index=len(tracks))))
            continue
        reason = f"another {found.track.kind} track" if isinstance(found, MediaTrack) else found
        skipped.append(f"track {media.index + 1} ({', '.join(filter(None, (_label(media), reason)))})")
    if not tracks:
        raise UnsupportedError(_refusal(skipped))
    return tuple(tracks), tuple(skipped)


def picture_refusal(skipped: Iterable[str]) -> str:
    """Why nothing is shown of a camera of which no video is received, and what to set instead; "" where it has none.

    Args:
        skipped: the names of what is left out.
    """
    offered = [name for name in skipped if _is_picture(name)]
    if not offered:
        return ""
    return _sent(offered) or f"the camera offers no picture that can be used: {', '.join(offered)}; {_ADVICE}"


def _is_picture(skipped: str) -> bool:
    match = _LEFT_OUT.fullmatch(skipped)
    return match is not None and (
        match[1].lower() in {*_VIDEO_NAMES, "h264", "h265", "hevc"} or match[2] == _INSTEAD["video"]
    )


def _refusal(skipped: Sequence[str]) -> str:
    """Why nothing can be used; of video that many cameras offer, what to set instead comes first."""
    offer = ", ".join(skipped) or "no media at all"
    return _sent(skipped) or f"the camera offers nothing that can be used: {offer}; {_ADVICE}"


def _sent(skipped: Iterable[str]) -> str:
    """The video that is left out by the names people know, and what to set instead; "" where it has no such name."""
    matches = filter(None, map(_LEFT_OUT.fullmatch, skipped))
    names = [name for match in matches if (name := _VIDEO_NAMES.get(match[1].lower()))]
    return f"the camera sends {' and '.join(dict.fromkeys(names))}; {_ADVICE}" if names else ""


def _label(media: MediaDescription) -> str:
    if media.encoding_name == "jpeg":
        return _VIDEO_NAMES["m-jpeg"]  # what people know by another name
    if media.encoding_name:
        return _shown(media.encoding_name.upper())
    if media.payload_type is not None:
        return f"payload type {media.payload_type}"
    return _shown(media.kind) or "no format"


def _shown(text: str) -> str:
    """What a camera has written, fit for a line of a log."""
    return re.sub(r"[^\x20-\x7e]", "?", text)[:40]


def _usable(media: MediaDescription, url: str, *, is_secure: bool, limits: Limits, quirks: Quirks) -> MediaTrack | str:
    """The track a media can become, or why it cannot ("" where nothing could be set instead)."""
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
        found = to_track(_Offer(media, encoding, url, limits, quirks)) if to_track else ""
        if isinstance(found, MediaTrack):
            return found
        reason = reason or found
    return reason or _INSTEAD.get(media.kind, "")


@dataclass(frozen=True, slots=True)
class _Offer:
    """One encoding of a media; its track has its place among the others once all are known."""

    media: MediaDescription
    encoding: Encoding
    url: str
    limits: Limits
    quirks: Quirks

    def track(self, track: Track, packing: dict[str, Any] | None = None, *, packetization_mode: int = 0) -> MediaTrack:
        return MediaTrack(self.media, track, self.url, self.encoding.payload_type, packetization_mode, packing or {})


def _h264(offer: _Offer) -> MediaTrack | str:
    mode = read_number(offer.encoding.fmtp.get("packetization-mode", "0")) or 0
    if mode > 1:
        return f"packetization-mode {mode}"
    sprop = offer.encoding.fmtp.get("sprop-parameter-sets")
    parameters = h264.parameters_from_sprop(sprop or "", limits=offer.limits)
    return _pictures(offer, "h264", parameters, sprop, packetization_mode=mode)


def _h265(offer: _Offer) -> MediaTrack | str:
    fmtp = offer.encoding.fmtp
    # then NAL units are not in decoding order, and each says where it belongs (RFC 7798, 4.4); nobody sends that
    if (read_number(fmtp.get("sprop-max-don-diff", "0")) or 0) > 0:
        return f"sprop-max-don-diff {fmtp['sprop-max-don-diff'][:10]}"
    # nor that layers come in streams of their own
    if fmtp.get("tx-mode", "srst").lower() != "srst":
        return f"tx-mode {fmtp['tx-mode'][:10]}"
    told = [fmtp.get(name) for name in ("sprop-vps", "sprop-sps", "sprop-pps")]
    vps, sps, pps = (sprop or "" for sprop in told)
    parameters = h265.parameters_from_sprop(vps, sps, pps, limits=offer.limits)
    sprop = None if told == [None] * 3 else ",".join((vps, sps, pps))
    return _pictures(offer, "h265", parameters, sprop)


def _pictures(
    offer: _Offer,
    codec: Literal["h264", "h265"],
    parameters: H264Parameters | H265Parameters | None,
    sprop: str | None,
    *,
    packetization_mode: int = 0,
) -> MediaTrack | str:
    """A video track; `sprop` is what its parameter sets were read from, None where the camera tells none."""
    encoding, quirks = offer.encoding, offer.quirks
    if (encoding.clock_rate or 0) > _FASTEST_CLOCK:
        return "odd clock rate"
    quirks.note("clock-rate-missing", not encoding.clock_rate)
    quirks.note("sprop-unusable", sprop is not None and parameters is None)
    quirks.note("sprop-annexb", any(b"\0\0\1" in _base64(text) for text in (sprop or "").split(",")))
    track = Track(index=0, kind="video", codec=codec, clock_rate=encoding.clock_rate or 90000, parameters=parameters)
    return offer.track(track, packetization_mode=packetization_mode)


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text)
    except ValueError:
        return b""


def _aac(offer: _Offer) -> MediaTrack | str:
    encoding, fmtp = offer.encoding, offer.encoding.fmtp
    mode = fmtp.get("mode", "").lower()
    if mode not in ("", "aac-hbr"):
        return f"mode {_shown(fmtp['mode'])}"
    # Anpviz sends only the config: then it is the mode everybody has, 13/3/3
    lengths = [
        read_number(fmtp.get(name, default))
        for name, default in (("sizelength", "13"), ("indexlength", "3"), ("indexdeltalength", "3"))
    ]
    size, index_length, delta_length = (-1 if number is None else number for number in lengths)
    if not 1 <= size <= 16 or not 0 <= index_length <= 16 or not 0 <= delta_length <= 16:
        return "odd AU header lengths"
    config = _hex(fmtp.get("config", ""))
    if not 2 <= len(config) <= offer.limits.parameter_set_size:
        return "without a config"
    if not encoding.clock_rate:
        return "without a clock rate"
    if encoding.clock_rate > _FASTEST_CLOCK:
        return "odd clock rate"
    offer.quirks.note("aac-defaults", "sizelength" not in fmtp)
    track = Track(index=0, kind="audio", codec="aac", clock_rate=encoding.clock_rate, parameters=AACParameters(config))
    return offer.track(track, {"size_length": size, "index_length": index_length, "index_delta_length": delta_length})


def _hex(text: str) -> bytes:
    """The bytes of hexadecimal digits, the last one filled up; none where it is something else."""
    try:
        return bytes.fromhex(text + "0" * (len(text) & 1))
    except ValueError:
        return b""


def _latm(offer: _Offer) -> MediaTrack | str:
    encoding, fmtp = offer.encoding, offer.encoding.fmtp
    data = _hex(fmtp.get("config", ""))
    # where nothing is said it comes in band (RFC 6416, 7.3), but who tells one here means that
    is_in_band = fmtp.get("cpresent", "0" if data else "1") != "0"
    packing: dict[str, Any] = {"read_mux": latm.read_element} if is_in_band else {}
    parameters = None
    if data:
        try:
            mux = latm.parse_stream_mux(data, limits=offer.limits)
        except UnsupportedError as error:
            return str(error)
        except RemoteProtocolError:
            data = b""
        else:
            packing["stream_mux"] = mux
            offer.quirks.note("latm-config", mux.is_cut_off)
            parameters = AACParameters(mux.config)
    if not data and not is_in_band:
        return "without a config"
    if not encoding.clock_rate:
        return "without a clock rate"
    if encoding.clock_rate > _FASTEST_CLOCK:
        return "odd clock rate"
    return offer.track(Track(0, "audio", "aac", encoding.clock_rate, parameters, is_latm=True), packing)


def _pcm(codec: Codec, bits: int, *, clock_rate: int = 0, rate_factor: int = 1, is_aal2: bool = False) -> _Format:
    """What makes tracks of a codec whose samples have one size.

    Args:
        codec: which.
        bits: of a coded sample of one channel.
        clock_rate: of its packets, whatever the rtpmap says; 0: the rtpmap says it.
        rate_factor: samples a tick.
        is_aal2: see `PCMParameters`.
    """

    def to_track(offer: _Offer) -> MediaTrack | str:
        rate, channels = clock_rate or offer.encoding.clock_rate or 8000, offer.encoding.channels or 1
        if rate > _FASTEST_CLOCK:
            return "odd clock rate"
        if channels > _MOST_CHANNELS:
            return f"{channels} channels"
        parameters = PCMParameters(rate * rate_factor, channels, bits, is_aal2)
        track = Track(0, "audio", codec, rate, parameters)
        # samples of whole bytes come with those of all channels together
        return offer.track(track, {"block_size": channels * bits // 8 if bits % 8 == 0 else 1})

    return to_track


def _opus(offer: _Offer) -> MediaTrack | str:
    """The clock always has 48000 Hz (RFC 7587, 4.1), whatever the rtpmap says; so has the decoder's output."""
    channels = offer.encoding.channels or 2
    if channels > 2:
        return f"{channels} channels; set mono or stereo"
    # a decoder for two channels plays one as well; sprop-stereo says what comes, for the rtpmap always says 2
    stereo = offer.encoding.fmtp.get("sprop-stereo")
    if stereo is not None:
        channels = 2 if stereo == "1" else 1
    track = Track(0, "audio", "opus", opus.CLOCK_RATE, OpusParameters(channels))
    return offer.track(track)


def payload_codecs(body: bytes) -> dict[int, str]:
    """Payload type -> codec ("h264", "h265", "aac", "latm"), of what a description has; {} if it cannot be read."""
    try:
        medias = parse_sdp(body).medias if body else ()
    except RtspkitError:
        return {}
    names = {"h264": "h264", "h265": "h265", "hevc": "h265", "mpeg4-generic": "aac", "mp4a-latm": "latm"}
    return {
        encoding.payload_type: names[encoding.encoding_name]
        for media in medias
        for encoding in media.encodings
        if encoding.encoding_name in names
    }


_Format: TypeAlias = Callable[[_Offer], MediaTrack | str]

#: Encoding name (lower case) -> what makes a track of it, or says why not.
_FORMATS: dict[str, _Format] = {
    "h264": _h264,
    "h265": _h265,
    "hevc": _h265,
    "mpeg4-generic": _aac,
    "mp4a-latm": _latm,
    "opus": _opus,
    "pcma": _pcm("pcma", 8),
    "pcmu": _pcm("pcmu", 8),
    "g722": _pcm("g722", 4, clock_rate=8000, rate_factor=2),  # RFC 3551, 4.5.2: an old mistake, kept for ever
    "l16": _pcm("l16", 16),
} | {
    f"{prefix}g726-{8 * bits}": _pcm("g726", bits, is_aal2=bool(prefix))
    for prefix in ("", "aal2-")
    for bits in range(2, 6)
}
