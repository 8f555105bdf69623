"""What went over the link to a camera, taken apart again: requests, answers, interleaved frames, and the rest.

Strategy: a `Transcript` listens beside a session that others run (the tap of `rtspkit.connect`). It splits both
directions with the parser that the session uses, but keeps the bytes as they were: whoever looks for what a camera
does, or records it, wants the blank lines and the garbage too. Nothing here can fail: what cannot be split any more
is handed on whole.

Specs: RFC 2326, 4 to 6 and 10.12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rtspkit.errors import RemoteProtocolError
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.messages import InterleavedData, Message, Parser, Request, Response, parse_transport

__all__ = ["Entry", "Exchange", "Transcript"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that went one way.

    Attributes:
        at: when its last byte did, in the listener's seconds.
        way: "in" from the camera, "out" to it.
        connection: which of the connections, from 0; redirects and other transports make more than one.
        raw: its bytes, with whatever stood before it and belongs to nothing. b"" where the camera has hung up.
        message: what it is; None for a datagram, for bytes that cannot be split, and for the end.
        socket: the UDP socket: twice the track's index, and one more for its RTCP; None: the link.
    """

    at: float
    way: Literal["in", "out"]
    connection: int
    raw: bytes
    message: Message | None = None
    socket: int | None = None

    @property
    def packet(self) -> bytes | None:
        """The RTP or RTCP packet; None where it is something else."""
        if self.socket is not None:
            return self.raw
        return self.message.payload if isinstance(self.message, InterleavedData) else None


@dataclass(slots=True)
class Exchange:
    """A request to the camera and its answer.

    Attributes:
        connection: as in `Entry`.
        asked, answered: when; `answered` is None as long as there is none, and so is `response`.
        request, response: the two messages.
    """

    connection: int
    asked: float
    request: Request
    answered: float | None = None
    response: Response | None = None

    @property
    def status(self) -> int:
        """Of the answer; 0 without one."""
        return 0 if self.response is None else self.response.status

    @property
    def seconds(self) -> float:
        """How long the answer took; 0 without one."""
        return 0.0 if self.answered is None else self.answered - self.asked


class _Stream:
    """One direction of one connection, cut where messages begin."""

    def __init__(self, limits: Limits) -> None:
        self.parser = Parser(limits=limits)
        self.waiting = bytearray()  # of no message yet
        self._start = 0  # offset of the first of them
        self._is_lost = False

    def split(self, data: bytes) -> Iterator[tuple[bytes, Message | None]]:
        if self._is_lost:
            yield data, None
            return
        self.waiting += data
        self.parser.feed(data)
        try:
            while (message := self.parser.next()) is not None:
                size = self.parser.offset - self._start
                raw = bytes(self.waiting[:size])
                del self.waiting[:size]
                self._start += size
                yield raw, message
        except RemoteProtocolError:
            self._is_lost = True
            yield self.rest(), None

    def rest(self) -> bytes:
        raw = bytes(self.waiting)
        self.waiting.clear()
        return raw


class Transcript:
    """Listens to a session.

    Attributes:
        exchanges: all requests to the camera so far, with their answers.
        connection: the number of the present one; -1 before the first.
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.exchanges: list[Exchange] = []
        self.connection = -1
        self._limits = limits
        self._streams: dict[str, _Stream] = {}
        self._channels: set[int] = set()
        self._last = -1.0
        self._open()

    def _open(self) -> None:
        self._streams = {"in": _Stream(self._limits), "out": _Stream(self._limits)}
        self._channels = set()

    def feed(self, at: float, way: Literal["in", "out"], data: bytes, socket: int | None = None) -> list[Entry]:
        """Takes what went over the link (`socket` None) or a UDP socket; what has become whole with it.

        Args:
            at: seconds.
            way: as in `Entry`.
            data: the bytes; b"" coming in: the camera has hung up.
            socket: as in `Entry`.
        """
        if socket is not None:
            return [Entry(at, way, self.connection, data, socket=socket)]
        if way == "out" and _begins_connection(data):
            rest = self._rest(at)
            self._open()
            self.connection += 1
            return [*rest, *self._entries(at, way, data)]
        if way == "in" and not data:
            return [*self._rest(at), Entry(at, way, self.connection, b"")]
        return list(self._entries(at, way, data))

    def finish(self, at: float) -> list[Entry]:
        """What has come and never become whole; to be called at the end."""
        return self._rest(at)

    def _rest(self, at: float) -> list[Entry]:
        raw = self._streams["in"].rest()
        return [Entry(at, "in", self.connection, raw)] if raw else []

    def _entries(self, at: float, way: Literal["in", "out"], data: bytes) -> Iterator[Entry]:
        for raw, message in self._streams[way].split(data):
            if way == "out" and isinstance(message, Request):
                self.exchanges.append(Exchange(self.connection, at, message))
            elif way == "in" and isinstance(message, Response):
                self._answer(at, message)
            yield Entry(at, way, self.connection, raw, message)

    def _answer(self, at: float, response: Response) -> None:
        open_ones = [one for one in self.exchanges if one.response is None and one.connection == self.connection]
        if not open_ones or response.status < 200:
            return
        cseq = response.headers.get("CSeq")
        exchange = next((one for one in open_ones if one.request.headers.get("CSeq") == cseq), open_ones[0])
        exchange.answered, exchange.response = at, response
        if exchange.request.method == "SETUP" and 200 <= response.status < 300:
            # where frames may begin after garbage: the session knows no others either
            for headers in (exchange.request.headers, response.headers):
                for transport in parse_transport(headers.get_all("Transport")):
                    self._channels |= set(transport.interleaved or ())
            self._streams["in"].parser.channels = self._channels or None


def _begins_connection(data: bytes) -> bool:
    """Whether these are the first bytes that go to a camera: a `Connection` counts its requests from 1."""
    head = data.partition(b"\r\n\r\n")[0]
    return b" RTSP/1.0\r\nCSeq: 1\r\n" in head + b"\r\n"
