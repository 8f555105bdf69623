"""SDP text in, a session description and the tracks this package can use out.

Strategy: one pass over the lines; only what a receiver needs is read (m=, a=control, rtpmap, fmtp,
direction), everything else of the grammar is let be, because cameras get it wrong: the header may be
missing, repeated, out of order or not parseable. What is wrong with it is noted (`quirks.py`), by rules of
their own that no reading depends on. A media nobody can use is skipped, never fatal; the places of the
others stay.

Specs: RFC 4566/8866 (SDP), RFC 3551 (static payload types), RFC 6184 8.2 (H264), RFC 3640 4.1
(mpeg4-generic), ONVIF Streaming Specification 5.3 (back channel).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from rtspkit.control import is_absolute, join_control, resolve_base
from rtspkit.errors import LimitExceeded, RemoteProtocolError
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.quirks import Quirks

__all__ = [
    "Encoding",
    "MediaDescription",
    "SessionDescription",
    "aggregate_url",
    "media_url",
    "parse_sdp",
    "read_number",
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
#: The order of a session's lines and of a media's; times may be repeated.
_SESSION_ORDER = "vosiuepcbtzka"
_MEDIA_ORDER = "icbka"
_ORIGIN = re.compile(r"\S+ [0-9]+ [0-9]+ IN IP[46] \S+ *")
_TIMING = re.compile(r"[0-9]+ [0-9]+ *")
_CONNECTION = re.compile(r"IN IP[46] ([^/\s]+)(?:/[0-9]+){0,2} *")
#: RFC 8866, 5.14, and what RFC 2327 had.
_KINDS = frozenset({"audio", "video", "text", "application", "message", "image", "data", "control"})


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
        back_channel: the client would send here (ONVIF: a=sendonly). False where all media say so, and for video.
        address: the `c=` address, the session's where the media has none; None where it is not valid.
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
    address: str | None = None

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


# -- text ----------------------------------------------------------------------


@dataclass(slots=True)
class _Section:
    """The lines of the session, or of one media behind its m= line, in their order."""

    line: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)

    def values(self, letter: str) -> list[str]:
        return [value for other, value in self.lines if other == letter]

    @property
    def attributes(self) -> list[tuple[str, str]]:
        """Name and value of each a= line; names in lower case."""
        pairs = (value.strip(" \t\0").partition(":") for value in self.values("a"))
        return [(key.strip().lower(), text.strip()) for key, _, text in pairs]

    @property
    def address(self) -> str | None:
        return next((found for value in self.values("c") if (found := _address(value))), None)


def parse_sdp(text: bytes, *, limits: Limits = DEFAULT_LIMITS, quirks: Quirks | None = None) -> SessionDescription:
    """Reads a session description.

    Args:
        text: as it came in the body; any line ends.
        limits: of media beyond `media_count` nothing is read.
        quirks: takes what is odd about it.

    Raises:
        LimitExceeded: it is larger than `Limits.sdp_size`.
        RemoteProtocolError: nothing in it is SDP.
    """
    quirks = Quirks() if quirks is None else quirks
    if len(text) > limits.sdp_size:
        raise LimitExceeded(f"an SDP of {len(text)} bytes; at most {limits.sdp_size} are read")
    session = _Section()
    sections: list[_Section] = []
    for raw in text.decode("utf-8", "replace").replace("\r", "\n").split("\n"):
        match = _LINE.match(raw.lstrip(" \t\ufeff"))
        if match is None:
            quirks.note("unreadable-lines", raw.strip(" \t\0\ufeff"))
        elif match[1] != "m":
            (sections[-1] if sections else session).lines.append((match[1], match[2]))
        elif len(sections) == limits.media_count:
            break  # there is no camera with so many: what can be played stands before
        else:
            sections.append(_Section(match[2]))
    if not session.lines and not sections:
        raise RemoteProtocolError("the description is not SDP", head=text)
    _note_session(session, sections, quirks)
    attributes = session.attributes
    named = dict(reversed(attributes))  # the first of several wins
    return SessionDescription(
        name=next(iter(session.values("s")), None),
        control=named.get("control"),
        tool=named.get("tool"),
        attributes=tuple(attributes),
        medias=_medias(sections, session, quirks),
    )


def _note_session(session: _Section, sections: list[_Section], quirks: Quirks) -> None:
    """Notes what is wrong with everything that is not needed."""
    lines, names, times = session.lines, session.values("s"), session.values("t")
    quirks.note("version-line", not lines or lines[0][0] != "v" or lines[0][1].strip() != "0")
    quirks.note("origin-line", [bool(_ORIGIN.fullmatch(value)) for value in session.values("o")] != [True])
    quirks.note("session-name", len(names) != 1 or not names[0])
    quirks.note("timing-line", not times or not all(map(_TIMING.fullmatch, times)))
    for section in sections:
        values = section.values("c") or session.values("c")
        quirks.note("connection-line", not values or not all(map(_address, values)))
        quirks.note("line-order", not _is_ordered(section.lines, _MEDIA_ORDER))
        quirks.note("trailing-separators", section.line != section.line.rstrip())
    quirks.note("line-order", not _is_ordered(lines, _SESSION_ORDER))


def _is_ordered(lines: list[tuple[str, str]], order: str) -> bool:
    places = [order.index(letter) for letter, _ in lines if letter in order]
    return places == sorted(places)


def _address(connection: str) -> str | None:
    """The address of a c= line: an IP address or, where it is a valid line, a name."""
    match = _CONNECTION.fullmatch(connection)
    if match is None:
        return None
    try:
        return str(ipaddress.ip_address(match[1]))
    except ValueError:
        return match[1] if re.fullmatch(r"[A-Za-z][A-Za-z0-9.-]*", match[1]) else None


def _medias(sections: list[_Section], session: _Section, quirks: Quirks) -> tuple[MediaDescription, ...]:
    heads = [_head(section.line, quirks) for section in sections]
    own: list[dict[int, dict[str, str]]] = []
    strays: dict[int, dict[str, str]] = {}
    for (_, _, _, formats), section in zip(heads, sections, strict=True):
        mine: dict[int, dict[str, str]] = {}
        offered = frozenset(formats)
        for value in (value for key, value in section.attributes if key == "fmtp"):
            number, _, text = value.partition(" ")
            payload_type = _payload_type(number)
            if payload_type is None:
                continue
            quirks.note("empty-fmtp", not text)  # Ubiquiti
            quirks.note("trailing-separators", text.endswith(";"))  # Reolink
            # some cameras put the fmtp of their video below another media
            place = mine if number in offered else strays
            place.setdefault(payload_type, {}).update(_fmtp(text))
        own.append(mine)
    directions = [_direction(section) or _direction(session) for section in sections]
    # CV-RTSPHandler and IDS uEye mark everything sendonly, from the server's point of view
    fake = all(direction == "sendonly" for direction in directions)
    found = []
    for index, ((kind, port, proto, formats), section) in enumerate(zip(heads, sections, strict=True)):
        to_camera = directions[index] == "sendonly"
        back_channel = to_camera and not fake and kind != "video"  # nobody sends a camera pictures
        quirks.note("wrong-direction", to_camera and not back_channel)
        rtpmaps: dict[int, str] = {}
        for value in (value for key, value in section.attributes if key == "rtpmap"):
            number, _, text = value.partition(" ")
            payload_type = _payload_type(number)
            if payload_type is not None:
                rtpmaps.setdefault(payload_type, text.strip())
        quirks.note("trailing-separators", any(value != value.rstrip(" \t") for value in section.values("a")))
        encodings = []
        for payload_type in dict.fromkeys(map(_payload_type, formats)):
            if payload_type is None:
                continue
            fmtp = own[index].get(payload_type)
            if not fmtp and payload_type in strays:
                quirks.note("foreign-fmtp")
                fmtp = strays[payload_type]
            encodings.append(_encoding(payload_type, kind, rtpmaps.get(payload_type), fmtp or {}, quirks))
        found.append(
            MediaDescription(
                index=index,
                kind=kind,
                port=port,
                proto=proto,
                formats=formats,
                encodings=tuple(encodings),
                control=next((value for key, value in section.attributes if key == "control"), None),
                direction=directions[index],
                back_channel=back_channel,
                address=section.address or session.address,
            )
        )
    return tuple(found)


def _direction(section: _Section) -> str | None:
    return next((key for key, _ in reversed(section.attributes) if key in _DIRECTIONS), None)


def _head(line: str, quirks: Quirks) -> tuple[str, str, str, tuple[str, ...]]:
    """Kind, port, proto and formats of an m= line; what is missing is empty."""
    fields = line.split()
    kind, port, proto = [*fields, "", "", ""][:3]
    # Vicon writes "vana" for a kind, TP-Link an encoding for a format, Tuya's ports are negative
    quirks.note("media-line", len(fields) < 4 or kind not in _KINDS or any("/" in one for one in fields[3:]))
    number = read_number(port.partition("/")[0])
    quirks.note("media-port", number is None or number > 65535)
    return kind, port, proto, tuple(fields[3:])


def _encoding(payload_type: int, kind: str, rtpmap: str | None, fmtp: dict[str, str], quirks: Quirks) -> Encoding:
    name: str | None = None
    clock_rate: int | None = None
    channels: int | None = None
    static = _STATIC.get(payload_type)
    if rtpmap:  # an rtpmap wins over the static table: GW cameras send PCMU as 8
        parts = [part.strip() for part in rtpmap.split("/")]
        name = parts[0].lower() or None
        clock_rate = read_number(parts[1]) if len(parts) > 1 else None
        if kind == "audio":
            channels = (read_number(parts[2]) if len(parts) > 2 else None) or 1
        quirks.note("static-type-redefined", static is not None and name != static[0])
        quirks.note("opus-clock", name == "opus" and (clock_rate, channels) != (48000, 2))
    elif static is not None:
        name, clock_rate, channels = static
    return Encoding(payload_type, name, clock_rate, channels, fmtp)


def _fmtp(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in text.split(";"):
        key, _, value = item.partition("=")
        if key.strip():
            found.setdefault(key.strip().lower(), value.strip().strip('"'))
    return found


def _payload_type(text: str) -> int | None:
    number = read_number(text)
    return number if number is not None and number <= 127 else None


def read_number(text: str) -> int | None:
    """A decimal number of at most nine digits; None for anything else."""
    """A decimal number of up to nine digits; `int` itself would take signs, underscores and more."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


# -- control URLs --------------------------------------------------------------


def aggregate_url(description: SessionDescription, base: str) -> str:
    """What PLAY, the keep-alive and TEARDOWN name: the session's control URL on `base`."""
    return join_control(base, description.control)


def media_url(
    description: SessionDescription,
    media: MediaDescription,
    request_url: str,
    content_base: str | None,
    quirks: Quirks | None = None,
) -> str:
    """What SETUP of one media names.

    Args:
        description: the session.
        media: one of its medias.
        request_url: of the DESCRIBE, without credentials.
        content_base: the Content-Base (or Content-Location) header; None where absent.
        quirks: takes what is odd about it.
    """
    base = resolve_base(request_url, content_base, quirks)
    if not content_base and is_absolute(description.control):
        # Windows Media and Samsung: no Content-Base, but an absolute control of the session
        base = join_control(base, description.control)
    return join_control(base, media.control, quirks)
