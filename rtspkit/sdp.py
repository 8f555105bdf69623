"""SDP text in, a session description and the tracks this package can use out.

Strategy: one pass over the lines; only what a receiver needs is read (m=, a=control, rtpmap, fmtp,
direction), everything else of the grammar is let be, because cameras get it wrong: the header may be
missing, repeated, out of order or not parseable. A media nobody can use is skipped, never fatal; the
places of the others stay. Control URLs always name the host the connection goes to: a camera behind
NAT announces its own address, and a hostile one somebody else's.

Specs: RFC 4566/8866 (SDP), RFC 2326 C.1 (control URLs), RFC 3551 (static payload types), RFC 6184 8.2
(H264), RFC 3640 4.1 (mpeg4-generic), ONVIF Streaming Specification 5.3 (back channel).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rtspkit import h264
from rtspkit.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import AACParameters, Track

__all__ = [
    "Encoding",
    "MediaDescription",
    "MediaTrack",
    "SessionDescription",
    "aggregate_url",
    "join_control",
    "media_url",
    "parse_sdp",
    "resolve_base",
    "select_tracks",
]

#: RFC 3551, tables 4 and 5: payload type -> encoding name, clock rate, channels.
_STATIC: dict[int, tuple[str, int, int | None]] = {
    0: ("pcmu", 8000, 1),
    3: ("gsm", 8000, 1),
    4: ("g723", 8000, 1),
    5: ("dvi4", 8000, 1),
    6: ("dvi4", 16000, 1),
    7: ("lpc", 8000, 1),
    8: ("pcma", 8000, 1),
    9: ("g722", 8000, 1),
    10: ("l16", 44100, 2),
    11: ("l16", 44100, 1),
    12: ("qcelp", 8000, 1),
    13: ("cn", 8000, 1),
    14: ("mpa", 90000, None),
    15: ("g728", 8000, 1),
    16: ("dvi4", 11025, 1),
    17: ("dvi4", 22050, 1),
    18: ("g729", 8000, 1),
    25: ("celb", 90000, None),
    26: ("jpeg", 90000, None),
    28: ("nv", 90000, None),
    31: ("h261", 90000, None),
    32: ("mpv", 90000, None),
    33: ("mp2t", 90000, None),
    34: ("h263", 90000, None),
}
#: Ticks a second; nothing in use goes beyond MPEG's system clock with 27 MHz.
_FASTEST_CLOCK = 100_000_000
_DIRECTIONS = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
_LINE = re.compile(r"([A-Za-z])=(.*)", re.DOTALL)
#: What would end a request line, or a quoted string in the Authorization header.
_UNSAFE = re.compile(r'[^\x21-\x7e]|["\\]')


@dataclass(frozen=True, slots=True)
class Encoding:
    """One payload format of a media.

    Attributes:
        payload_type: 0 to 127.
        encoding_name: in lower case; None for a dynamic payload type without an rtpmap.
        clock_rate: ticks a second; None where not given.
        channels: of audio; None for anything else and where the encoding has no such number.
        fmtp: format parameters, names in lower case.
    """

    payload_type: int
    encoding_name: str | None
    clock_rate: int | None
    channels: int | None
    fmtp: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One `m=` section.

    Attributes:
        index: its place in the description, from 0.
        kind: "video", "audio", "application", or whatever the camera wrote.
        port: as written.
        proto: "RTP/AVP" and so on.
        formats: the formats of the `m=` line as written.
        encodings: those of the formats that are payload types, in their order.
        control: the `a=control` value; None where absent.
        direction: "recvonly" and so on; the session's where the media has none.
        back_channel: the client would send here (ONVIF: a=sendonly). False where all media say so.
    """

    index: int
    kind: str
    port: str
    proto: str
    formats: tuple[str, ...]
    encodings: tuple[Encoding, ...] = ()
    control: str | None = None
    direction: str | None = None
    back_channel: bool = False

    @property
    def payload_type(self) -> int | None:
        """Of the first encoding; None where the media has no payload type."""
        return self.encodings[0].payload_type if self.encodings else None

    @property
    def encoding_name(self) -> str | None:
        """Of the first encoding, in lower case."""
        return self.encodings[0].encoding_name if self.encodings else None

    @property
    def clock_rate(self) -> int | None:
        """Of the first encoding."""
        return self.encodings[0].clock_rate if self.encodings else None

    @property
    def channels(self) -> int | None:
        """Of the first encoding."""
        return self.encodings[0].channels if self.encodings else None

    @property
    def fmtp(self) -> dict[str, str]:
        """Format parameters of the first encoding."""
        return self.encodings[0].fmtp if self.encodings else {}


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description.

    Attributes:
        name: the `s=` line; None where absent.
        control: the session's `a=control`; None where absent.
        tool: `a=tool`: the server's software.
        attributes: all session attributes as (name, value) in their order; a flag has the value "".
        medias: the `m=` sections.
    """

    name: str | None
    control: str | None
    tool: str | None
    attributes: tuple[tuple[str, str], ...]
    medias: tuple[MediaDescription, ...]


@dataclass(frozen=True, slots=True)
class MediaTrack:
    """A media that can be set up, and what its RTP packets are to be read with.

    Attributes:
        media: the section it comes from.
        track: the track it becomes.
        url: what SETUP names.
        payload_type: of the packets that carry it; others on its channel are something else.
        packetization_mode: H.264: 0 or 1.
        size_length: AAC: bits of an AU-size field; so are the next two for AU-index and AU-index-delta.
        index_length: see `size_length`.
        index_delta_length: see `size_length`.
    """

    media: MediaDescription
    track: Track
    url: str
    payload_type: int
    packetization_mode: int = 0
    size_length: int = 0
    index_length: int = 0
    index_delta_length: int = 0


# -- text ----------------------------------------------------------------------


@dataclass(slots=True)
class _Section:
    """The lines of one m= section while they are collected."""

    line: str
    attributes: list[tuple[str, str]] = field(default_factory=list)


def parse_sdp(text: bytes, *, limits: Limits = DEFAULT_LIMITS) -> SessionDescription:
    """Reads a session description.

    Args:
        text: as it came in the body; any line ends.
        limits: `sdp_size` and `media_count` are used.

    Raises:
        LimitExceeded: it is larger, or has more media, than allowed.
        RemoteProtocolError: nothing in it is SDP.
    """
    if len(text) > limits.sdp_size:
        raise LimitExceeded(f"an SDP of {len(text)} bytes; at most {limits.sdp_size} are read")
    name: str | None = None
    attributes: list[tuple[str, str]] = []
    sections: list[_Section] = []
    lines = 0
    for raw in text.decode("utf-8", "replace").replace("\r", "\n").split("\n"):
        match = _LINE.match(raw.lstrip(" \t\ufeff"))
        if match is None:
            continue  # empty lines, padding with NULs
        lines += 1
        letter, value = match[1], match[2]
        if letter == "m":
            if len(sections) == limits.media_count:
                raise LimitExceeded(f"an SDP with more than {limits.media_count} media")
            sections.append(_Section(value))
        elif letter == "a":
            key, _, rest = value.strip(" \t\0").partition(":")
            pair = (key.strip().lower(), rest.strip())
            (sections[-1].attributes if sections else attributes).append(pair)
        elif letter == "s" and name is None and not sections:
            name = value
    if not lines:
        raise RemoteProtocolError("the description is not SDP", head=text)
    session = dict(reversed(attributes))  # the first of several wins
    direction = next((key for key, _ in reversed(attributes) if key in _DIRECTIONS), None)
    return SessionDescription(
        name=name,
        control=session.get("control"),
        tool=session.get("tool"),
        attributes=tuple(attributes),
        medias=_medias(sections, direction),
    )


def _medias(sections: list[_Section], session_direction: str | None) -> tuple[MediaDescription, ...]:
    heads = [_head(section.line) for section in sections]
    own: list[dict[int, dict[str, str]]] = []
    strays: dict[int, dict[str, str]] = {}
    for (_, _, _, formats), section in zip(heads, sections, strict=True):
        mine: dict[int, dict[str, str]] = {}
        offered = frozenset(formats)
        for key, value in section.attributes:
            if key != "fmtp":
                continue
            number, _, text = value.partition(" ")
            payload_type = _payload_type(number)
            if payload_type is None:
                continue
            # some cameras put the fmtp of their video below another media
            place = mine if number in offered else strays
            place.setdefault(payload_type, {}).update(_fmtp(text))
        own.append(mine)
    directions = [
        next((key for key, _ in reversed(section.attributes) if key in _DIRECTIONS), session_direction)
        for section in sections
    ]
    # CV-RTSPHandler and IDS uEye mark everything sendonly, from the server's point of view
    fake = all(direction == "sendonly" for direction in directions)
    found = []
    for index, ((kind, port, proto, formats), section) in enumerate(zip(heads, sections, strict=True)):
        rtpmaps: dict[int, str] = {}
        control: str | None = None
        for key, value in section.attributes:
            if key == "rtpmap":
                number, _, text = value.partition(" ")
                payload_type = _payload_type(number)
                if payload_type is not None:
                    rtpmaps.setdefault(payload_type, text.strip())
            elif key == "control" and control is None:
                control = value
        encodings = [
            _encoding(
                payload_type, kind, rtpmaps.get(payload_type), own[index].get(payload_type) or strays.get(payload_type)
            )
            for payload_type in dict.fromkeys(map(_payload_type, formats))
            if payload_type is not None
        ]
        found.append(
            MediaDescription(
                index=index,
                kind=kind,
                port=port,
                proto=proto,
                formats=formats,
                encodings=tuple(encodings),
                control=control,
                direction=directions[index],
                back_channel=directions[index] == "sendonly" and not fake,
            )
        )
    return tuple(found)


def _head(line: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Kind, port, proto and formats of an m= line; what is missing is empty."""
    fields = line.split()
    kind, port, proto = [*fields, "", "", ""][:3]
    return kind, port, proto, tuple(fields[3:])


def _encoding(payload_type: int, kind: str, rtpmap: str | None, fmtp: dict[str, str] | None) -> Encoding:
    name: str | None = None
    clock_rate: int | None = None
    channels: int | None = None
    if rtpmap:  # an rtpmap wins over the static table: GW cameras send PCMU as 8
        parts = [part.strip() for part in rtpmap.split("/")]
        name = parts[0].lower() or None
        clock_rate = _number(parts[1]) if len(parts) > 1 else None
        if kind == "audio":
            channels = (_number(parts[2]) if len(parts) > 2 else None) or 1
    elif payload_type in _STATIC:
        name, clock_rate, channels = _STATIC[payload_type]
    return Encoding(payload_type, name, clock_rate, channels, fmtp or {})


def _fmtp(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in text.split(";"):
        key, _, value = item.partition("=")
        if key.strip():
            found.setdefault(key.strip().lower(), value.strip().strip('"'))
    return found


def _payload_type(text: str) -> int | None:
    number = _number(text)
    return number if number is not None and number <= 127 else None


def _number(text: str) -> int | None:
    """A decimal number of up to nine digits; `int` itself would take signs, underscores and more."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


# -- control URLs --------------------------------------------------------------

_SCHEME = re.compile(r"(?:rtsps?://)+", re.IGNORECASE)


def resolve_base(request_url: str, content_base: str | None) -> str:
    """The base of control URLs: Content-Base, on the host of the request.

    Args:
        request_url: of the DESCRIBE, without credentials.
        content_base: the header, or Content-Location; None where absent.

    Returns:
        An absolute URL on the scheme, host and port of `request_url`: only the path and the query are
        taken over, so a wrong or malicious host does no harm. Odd ones seen: "rtsp://rtsp://…", without
        a scheme (Anjvision: "192.168.1.10:554/stream0/"), IPv6 without brackets.
    """
    text = (content_base or "").strip()
    if not text:
        return request_url
    match = _SCHEME.match(text)
    if match:
        return _origin(request_url) + _clean(_path(text[match.end() :]))
    first = text.partition("/")[0]
    if "." in first or ":" in first:
        return _origin(request_url) + _clean(_path(text))
    return _origin(request_url) + "/" + _clean(text.lstrip("/"))


def join_control(base: str, control: str | None) -> str:
    """The URL that an `a=control` value means.

    A relative one is put behind everything, the query included, as live555, ffmpeg and gortsplib do:
    cameras with a query string count on it, whatever RFC 3986 says. An absolute one keeps its path and
    query, on the scheme, host and port of `base`.
    """
    text = (control or "").strip()
    if text in ("", "*"):
        return base
    match = _SCHEME.match(text)
    if match:
        return _origin(base) + _clean(_path(text[match.end() :]))
    text = _clean(text)
    if base.endswith("/"):
        return base + text.removeprefix("/")
    return base + text if text[0] in "/?" else f"{base}/{text}"


def aggregate_url(description: SessionDescription, base: str) -> str:
    """What PLAY, the keep-alive and TEARDOWN name: the session's control URL on `base`."""
    return join_control(base, description.control)


def media_url(
    description: SessionDescription, media: MediaDescription, request_url: str, content_base: str | None
) -> str:
    """What SETUP of one media names.

    Args:
        description: the session.
        media: one of its medias.
        request_url: of the DESCRIBE, without credentials.
        content_base: the Content-Base (or Content-Location) header; None where absent.
    """
    base = resolve_base(request_url, content_base)
    if not content_base and description.control and _SCHEME.match(description.control):
        # Windows Media and Samsung: no Content-Base, but an absolute control of the session
        base = join_control(base, description.control)
    return join_control(base, media.control)


def _origin(url: str) -> str:
    """Scheme, host and port of an URL, without a slash behind."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split(r'[/?]', rest, maxsplit=1)[0]}"


def _path(rest: str) -> str:
    """Path and query of what follows a scheme."""
    match = re.search(r"[/?]", rest)
    return rest[match.start() :] if match else ""


def _clean(text: str) -> str:
    """Makes a camera's text fit for a request line."""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace")), text)


# -- tracks --------------------------------------------------------------------


def select_tracks(
    description: SessionDescription,
    request_url: str = "",
    content_base: str | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[tuple[MediaTrack, ...], tuple[str, ...]]:
    """Picks the media to set up: the first usable video and the first usable audio.

    Args:
        description: what the camera offers.
        request_url: of the DESCRIBE, without credentials.
        content_base: the answer's Content-Base header; None where absent.
        limits: `parameter_set_size` is used.

    Returns:
        The tracks, and the names of what is left out ("track 2 (PCMU)"; tracks count from 1).

    Raises:
        UnsupportedError: nothing can be used; the message names what was offered.
    """
    tracks: list[MediaTrack] = []
    skipped: list[str] = []
    for media in description.medias:
        found = _usable(media, len(tracks), media_url(description, media, request_url, content_base), limits)
        if isinstance(found, MediaTrack):
            if all(other.track.kind != found.track.kind for other in tracks):
                tracks.append(found)
                continue
            found = f"another {found.track.kind} track"
        skipped.append(f"track {media.index + 1} ({', '.join(filter(None, (_label(media), found)))})")
    if not tracks:
        offer = ", ".join(skipped) or "no media at all"
        raise UnsupportedError(f"the camera offers nothing that can be used: {offer}; H.264 and AAC can be")
    return tuple(tracks), tuple(skipped)


def _label(media: MediaDescription) -> str:
    if media.encoding_name:
        return re.sub(r"[^\x20-\x7e]", "?", media.encoding_name.upper())[:40]
    if media.payload_type is not None:
        return f"payload type {media.payload_type}"
    return re.sub(r"[^\x20-\x7e]", "?", media.kind)[:40] or "no format"


def _usable(media: MediaDescription, index: int, url: str, limits: Limits) -> MediaTrack | str:
    """The track a media can become, or why it cannot ("" where its encoding's name says enough)."""
    proto = media.proto.upper()
    if "SAVP" in proto:
        return "encrypted"
    if media.back_channel:
        return "back channel"
    if "RTP" not in proto:
        return "not RTP"
    reason = ""
    # FLIR offers H.264 behind MPEG-4 in one media
    for encoding in media.encodings:
        found: MediaTrack | str = ""
        if encoding.encoding_name == "h264":
            found = _h264(media, encoding, index, url, limits)
        elif encoding.encoding_name == "mpeg4-generic":
            found = _aac(media, encoding, index, url, limits)
        if isinstance(found, MediaTrack):
            return found
        reason = reason or found
    return reason


def _h264(media: MediaDescription, encoding: Encoding, index: int, url: str, limits: Limits) -> MediaTrack | str:
    mode = _number(encoding.fmtp.get("packetization-mode", "0")) or 0
    if mode > 1:
        return f"packetization-mode {mode}"
    if (encoding.clock_rate or 0) > _FASTEST_CLOCK:
        return "odd clock rate"
    track = Track(
        index=index,
        kind="video",
        codec="h264",
        clock_rate=encoding.clock_rate or 90000,
        parameters=h264.parameters_from_sprop(encoding.fmtp.get("sprop-parameter-sets", ""), limits=limits),
    )
    return MediaTrack(media, track, url, encoding.payload_type, packetization_mode=mode)


def _aac(media: MediaDescription, encoding: Encoding, index: int, url: str, limits: Limits) -> MediaTrack | str:
    fmtp = encoding.fmtp
    mode = fmtp.get("mode", "").lower()
    if mode not in ("", "aac-hbr"):
        return f"mode {fmtp['mode'][:20]}"
    # Anpviz sends only the config: then it is the mode everybody has, 13/3/3
    lengths = [
        _number(fmtp.get(name, default))
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
    if not 2 <= len(config) <= limits.parameter_set_size:
        return "without a config"
    if not encoding.clock_rate:
        return "without a clock rate"
    if encoding.clock_rate > _FASTEST_CLOCK:
        return "odd clock rate"
    track = Track(
        index=index, kind="audio", codec="aac", clock_rate=encoding.clock_rate, parameters=AACParameters(config)
    )
    return MediaTrack(
        media,
        track,
        url,
        encoding.payload_type,
        size_length=size,
        index_length=index_length,
        index_delta_length=delta_length,
    )
