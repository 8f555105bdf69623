"""RTSP on the wire: bytes to messages and interleaved frames, and the header values a client reads.

Strategy: `Parser` looks at the first unread byte. ``$`` opens an interleaved frame, a capital letter a
message; line ends between them mean nothing; anything else is garbage, and the next place where one of
the two could begin is looked for. Nothing is taken out of the buffer before it is complete, so what is
unread can be handed to somebody else at any time, and any split of the input gives the same messages.
Every length is checked against `Limits` before a byte of it is waited for.

Header values are read tolerantly and never trusted: what cannot be read is None.

Specs: RFC 2326 sections 4 to 6 (messages), 10.12 (interleaved frames), 12.33 (RTP-Info), 12.37 (Session),
12.39 (Transport), 12.28 (Public).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from rtspkit.errors import LimitExceeded, RemoteProtocolError
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.quirks import Quirks

__all__ = [
    "Headers",
    "InterleavedData",
    "Message",
    "Parser",
    "RTPInfo",
    "Request",
    "Response",
    "Session",
    "Transport",
    "parse_headers",
    "parse_public",
    "parse_rtp_info",
    "parse_session",
    "parse_transport",
]


@dataclass(frozen=True, slots=True)
class Headers:
    """The header lines of a message, in their order; names compare without regard to case."""

    pairs: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """The first value of that name; None where there is none."""
        name = name.lower()
        return next((value for key, value in self.pairs if key.lower() == name), None)

    def get_all(self, name: str) -> list[str]:
        """Every value of that name."""
        name = name.lower()
        return [value for key, value in self.pairs if key.lower() == name]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the server."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the server."""

    method: str
    uri: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class InterleavedData:
    """One interleaved frame: an RTP or RTCP packet.

    Attributes:
        channel: 0 to 255.
        payload: the packet.
    """

    channel: int
    payload: bytes


Message = Response | Request | InterleavedData

_CR, _LF, _DOLLAR = 13, 10, 36
#: What a message begins with: a version, or a method and a space. HTTP is told apart to say so.
_START = re.compile(rb"(?:RTSP|HTTP)/|[A-Z][A-Z_]{1,15} ")
#: A beginning of that, as far as it has come.
_START_SO_FAR = re.compile(rb"[A-Z][A-Z_]{0,15}")
#: Where to go on after garbage. A bare method name would be found too often in media.
_RESYNC = re.compile(
    rb"\$(.)|RTSP/1\.[01] |(?:OPTIONS|ANNOUNCE|GET_PARAMETER|SET_PARAMETER|PLAY_NOTIFY|TEARDOWN|REDIRECT) (?:rtsp|\*)",
    re.DOTALL,
)
_LONGEST_RESYNC = len(b"GET_PARAMETER rtsp")
_STATUS_LINE = re.compile(rb"RTSP/1\.[01] +([0-9]{3})(?: (.*))?", re.DOTALL)
_REQUEST_LINE = re.compile(rb"([A-Z_]+) +(\*|/[^ ]*|[A-Za-z][A-Za-z0-9+.-]*://[^ ]*) +RTSP/1\.[01] *", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Parser:
    """Splits a byte stream into messages and interleaved frames.

    Attributes:
        offset: bytes of the stream that have been taken out of the buffer.
        garbage: bytes of it that belonged to nothing.
        channels: the channels that frames may come on after garbage; None for any.

    Args:
        limits: bounds on what is waited for.
        quirks: takes what is odd about the stream.
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, quirks: Quirks | None = None) -> None:
        self._limits = limits
        self._quirks = Quirks() if quirks is None else quirks
        self._buffer = bytearray()
        self.offset = 0
        self.garbage = 0
        self.channels: Container[int] | None = None
        self._error: RemoteProtocolError | None = None
        self._restart()

    def _restart(self) -> None:
        """Forgets what is known about the message at the front of the buffer."""
        self._scanned = 0  # no line end (or no resync point) lies before this
        self._line = 0  # where the line that is being read begins
        self._lines: list[bytes] = []
        self._head: tuple[bytes, Headers, int] | None = None  # start line, headers, length of the body

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Takes bytes off the connection."""
        self._buffer += data

    @property
    def unread(self) -> bytes:
        """What no message has been made of yet."""
        return bytes(self._buffer)

    def take_unread(self) -> bytes:
        """Gives the unread bytes away and forgets them."""
        data = bytes(self._buffer)
        self._drop(len(data))
        return data

    def next(self) -> Message | None:
        """The next message; None if more bytes are needed.

        Raises:
            RemoteProtocolError: the stream cannot be followed any more; every later call says so again.
        """
        if self._error is not None:
            raise self._error
        try:
            return self._next()
        except RemoteProtocolError as error:
            self._error = error
            raise

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self.offset += count
        self._restart()

    def _fail(self, message: str, kind: type[RemoteProtocolError] = RemoteProtocolError) -> RemoteProtocolError:
        return kind(message, offset=self.offset, head=bytes(self._buffer[:32]))

    def _next(self) -> Message | None:
        buffer = self._buffer
        while True:
            if self._head is not None:
                return self._finish()
            if not self._lines and not self._line:
                blank = 0
                while blank < len(buffer) and buffer[blank] in (_CR, _LF):
                    blank += 1
                if blank:
                    self._quirks.note("blank-lines")
                    self._drop(blank)
                if not buffer:
                    return None
                if buffer[0] == _DOLLAR:
                    if len(buffer) < 4:
                        return None
                    end = 4 + (buffer[2] << 8 | buffer[3])
                    if len(buffer) < end:
                        return None
                    frame = InterleavedData(buffer[1], bytes(buffer[4:end]))
                    self._drop(end)
                    return frame
                if not _START.match(buffer):
                    if len(buffer) <= 16 and _START_SO_FAR.fullmatch(buffer):
                        return None
                    if not self._resync():
                        return None
                    continue
            if not self._read_lines():
                return None

    def _resync(self) -> bool:
        """Drops garbage up to where something may begin; False if that has not come yet."""
        buffer, limit = self._buffer, self._limits.resync_size
        start = max(1, self._scanned)
        while (match := _RESYNC.search(buffer, start)) is not None:
            channel = match[1]
            if channel is None or self.channels is None or channel[0] in self.channels:
                break
            start = match.start() + 1  # a "$" by chance
        if (len(buffer) - _LONGEST_RESYNC if match is None else match.start()) > limit:
            raise self._fail(f"more than {limit} bytes that are neither RTSP nor interleaved frames", LimitExceeded)
        if match is None:
            self._scanned = max(start, len(buffer) - _LONGEST_RESYNC)
            return False
        self.garbage += match.start()
        self._quirks.note("garbage")
        self._drop(match.start())
        return True

    def _read_lines(self) -> bool:
        """Reads lines up to the empty one; True once the head is complete."""
        buffer, limits = self._buffer, self._limits
        while True:
            end = buffer.find(b"\n", max(self._scanned, self._line))
            if (len(buffer) if end < 0 else end) - self._line > limits.line_size:
                raise self._fail(f"a line of more than {limits.line_size} bytes", LimitExceeded)
            if end < 0:
                self._scanned = len(buffer)
                return False
            line = bytes(buffer[self._line : end]).removesuffix(b"\r")
            self._line = self._scanned = end + 1
            if self._line > limits.headers_size:
                raise self._fail(f"headers of more than {limits.headers_size} bytes", LimitExceeded)
            if line:
                self._lines.append(line)
                if len(self._lines) == 1:
                    self._check_start(line)
                elif len(self._lines) > limits.header_count + 1:
                    raise self._fail(f"more than {limits.header_count} header lines", LimitExceeded)
                continue
            headers = parse_headers(self._lines[1:], self._quirks)
            self._head = (self._lines[0], headers, self._body_length(headers))
            return True

    def _check_start(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):
            raise self._fail("the answer is HTTP, not RTSP; is the port right?")
        if not (_STATUS_LINE if line.startswith(b"RTSP/") else _REQUEST_LINE).fullmatch(line):
            raise self._fail("neither an RTSP/1.0 status line nor a request line")

    def _body_length(self, headers: Headers) -> int:
        values = [value for value in headers.get_all("Content-Length") if value]
        if not values:
            return 0
        text = values[0]
        if not (text.isascii() and text.isdigit()) or any(other != text for other in values):
            raise self._fail("a Content-Length that is not a number")
        if len(text.lstrip("0")) > 9 or int(text) > self._limits.body_size:
            raise self._fail(f"a body of {text[:20]} bytes; at most {self._limits.body_size} are read", LimitExceeded)
        return int(text)

    def _finish(self) -> Message | None:
        """The message whose head is complete, once its body is."""
        assert self._head is not None
        line, headers, length = self._head
        end = self._line + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[self._line : end])
        status = _STATUS_LINE.fullmatch(line)
        message: Message
        if status is not None:
            reason = _CONTROL.sub(" ", (status[2] or b"").decode("utf-8", "replace")).strip()
            message = Response(int(status[1]), reason, headers, body)
        else:
            request = _REQUEST_LINE.fullmatch(line)
            assert request is not None  # checked when the line came
            uri = _CONTROL.sub(" ", request[2].decode("utf-8", "replace"))
            message = Request(request[1].decode("ascii"), uri, headers, body)
        self._drop(end)
        return message


# -- header values -------------------------------------------------------------


def parse_headers(lines: Iterable[bytes], quirks: Quirks) -> Headers:
    """Reads header lines without their line ends; what is no header is left out."""
    pairs: list[tuple[str, str]] = []
    for line in lines:
        # control characters must never get from here into a request or a log
        text = _CONTROL.sub(" ", line.decode("utf-8", "surrogateescape"))
        quirks.note("header-lines", text.startswith(" ") or ":" not in text)
        if text.startswith(" "):  # folded; Luma sends a line of one space
            if pairs and text.strip():
                name, value = pairs[-1]
                pairs[-1] = (name, f"{value} {text.strip()}".strip())
            continue
        name, colon, value = text.partition(":")
        if colon and _NAME.fullmatch(name.strip()):
            pairs.append((name.strip(), value.strip()))
    return Headers(tuple(pairs))


@dataclass(frozen=True, slots=True)
class Session:
    """A Session header: the identifier, and the timeout in seconds where a sensible one is given."""

    id: str
    timeout: int | None = None


@dataclass(frozen=True, slots=True)
class Transport:
    """One transport of a Transport header: asked for, answered, or what holds. What is absent is None.

    Attributes:
        protocol: the lower transport.
        secure: the profile is SRTP.
        delivery: "unicast" or "multicast".
        interleaved: RTP and RTCP channel, 0 to 255; so are the next three as UDP ports.
        port: of multicast.
        client_port: of the receiver.
        server_port: of the sender.
        source: where the packets come from.
        destination: where they go to.
        ttl: of multicast.
        ssrc: 32 bits; 0 is what some cameras write for "unknown".
        mode: "play" or "record".
    """

    protocol: Literal["tcp", "udp"] = "udp"
    secure: bool = False
    delivery: str | None = None
    interleaved: tuple[int, int] | None = None
    port: tuple[int, int] | None = None
    client_port: tuple[int, int] | None = None
    server_port: tuple[int, int] | None = None
    source: str | None = None
    destination: str | None = None
    ttl: int | None = None
    ssrc: int | None = None
    mode: str | None = None

    def to_header(self) -> str:
        """The value of a Transport header that asks for this: protocol, delivery, channels or ports."""
        parts = ["RTP/AVP/TCP" if self.protocol == "tcp" else "RTP/AVP", self.delivery or "unicast"]
        for name, pair in (("interleaved", self.interleaved), ("client_port", self.client_port)):
            if pair is not None:
                parts.append(f"{name}={pair[0]}-{pair[1]}")
        return ";".join(parts)


@dataclass(frozen=True, slots=True)
class RTPInfo:
    """One entry of an RTP-Info header. Cameras get it wrong often: a hint, never to be relied on.

    Attributes:
        url: as written: absolute, or a control value.
        seq: sequence number of the first packet; None where absent or impossible.
        rtptime: RTP timestamp that belongs to the start of the Range; None likewise.
        ssrc: None where absent.
    """

    url: str
    seq: int | None = None
    rtptime: int | None = None
    ssrc: int | None = None


#: A day; longer ones are nonsense (or an overflow).
_MAX_SESSION_TIMEOUT = 86400
_QUOTED_SPLIT = {mark: re.compile(rf'(?:"[^"]*"?|[^"{mark}])+') for mark in (",", ";")}


def parse_session(value: str) -> Session | None:
    """Reads a Session header; None if it has no identifier. A senseless timeout counts as absent."""
    first, *parameters = (part.strip() for part in value.split(";"))
    if not first:
        return None
    timeout: int | None = None
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip().lower() == "timeout":
            timeout = _number(text, _MAX_SESSION_TIMEOUT) or None
    return Session(first, timeout)


def parse_transport(values: Iterable[str]) -> list[Transport]:
    """Reads Transport headers: one entry a transport, over all values."""
    return [_transport(text) for value in values for text in _QUOTED_SPLIT[","].findall(value) if text.strip()]


def _transport(text: str) -> Transport:
    protocol: Literal["tcp", "udp"] = "udp"
    secure = False
    delivery = None
    fields: dict[str, str] = {}
    for part in _QUOTED_SPLIT[";"].findall(text):
        name, equals, value = part.strip().partition("=")
        name = name.strip().lower()
        if equals:
            # Hikvision and Dahua pad the SSRC with spaces
            fields.setdefault(name, value.strip().strip('"').strip())
        elif name in ("unicast", "multicast"):
            delivery = name
        elif name.startswith("rtp/"):
            protocol = "tcp" if name.endswith("/tcp") else "udp"
            secure = "savp" in name
    mode = fields.get("mode", "").lower()
    return Transport(
        protocol=protocol,
        secure=secure,
        delivery=delivery,
        interleaved=_pair(fields.get("interleaved"), 255),
        port=_pair(fields.get("port"), 65535),
        client_port=_pair(fields.get("client_port"), 65535),
        server_port=_pair(fields.get("server_port"), 65535),
        source=fields.get("source") or None,
        destination=fields.get("destination") or None,
        ttl=_number(fields.get("ttl", ""), 255),
        ssrc=_ssrc(fields.get("ssrc", "")),
        mode="record" if mode == "receive" else mode or None,
    )


def parse_rtp_info(value: str) -> tuple[RTPInfo, ...]:
    """Reads an RTP-Info header; entries without an URL are left out."""
    found = []
    # an URL may hold commas, and "=" and "?" besides
    for entry in re.split(r",\s*(?=url=)", value, flags=re.IGNORECASE):
        first, *parameters = (part.strip() for part in entry.split(";"))
        name, _, url = first.partition("=")
        if name.strip().lower() != "url" or not url:
            continue
        fields: dict[str, str] = {}
        for parameter in parameters:
            key, _, text = parameter.partition("=")
            fields.setdefault(key.strip().lower(), text.strip())
        found.append(
            RTPInfo(
                url.strip().strip('"'),
                _number(fields.get("seq", ""), 0xFFFF),
                _number(fields.get("rtptime", ""), 0xFFFFFFFF),
                _ssrc(fields.get("ssrc", "")),
            )
        )
    return tuple(found)


def parse_public(values: Iterable[str]) -> tuple[str, ...]:
    """Reads Public (or Allow) headers: the methods, in capitals, each once."""
    methods = (method.strip().upper() for value in values for method in value.split(","))
    return tuple(dict.fromkeys(method for method in methods if method))


def _number(text: str, maximum: int) -> int | None:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return int(text) if int(text) <= maximum else None


def _pair(text: str | None, maximum: int) -> tuple[int, int] | None:
    """ "a-b", or "a" for a and the one behind it."""
    if not text:
        return None
    low, dash, high = text.partition("-")
    first = _number(low, maximum)
    if first is None:
        return None
    second = _number(high, maximum) if dash else first + 1
    return None if second is None or second > maximum else (first, second)


def _ssrc(text: str) -> int | None:
    text = text.strip()
    return int(text, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,8}", text) else None
