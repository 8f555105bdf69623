"""As much of HTTP/1 as the tunnel for RTSP needs: the head of an answer, and a body that comes in chunks.

Strategy: sans-IO, bounded like the RTSP messages themselves. What a tunnel's answer says of its body's length
is not read: the body is the stream, and ends with the connection.

Specs: RFC 9112 sections 4 (status line), 5 (headers) and 7.1 (chunks).
"""

from __future__ import annotations

import re

from rtspkit.errors import LimitExceeded, RemoteProtocolError
from rtspkit.limits import Limits
from rtspkit.messages import Response, parse_headers
from rtspkit.quirks import Quirks

__all__ = ["AnswerReader", "Dechunker"]

_END = re.compile(rb"\n\r?\n")
_START = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] +([0-9]{3})(?: ([\x20-\xff]*))?")
#: A line of a chunked body: a length, and extensions nobody sends.
_CHUNK_LINE = 256


class AnswerReader:
    """Reads the head of one HTTP answer, be it in one piece or byte by byte.

    Attributes:
        rest: what has come behind it.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = b""
        self.rest = b""

    def feed(self, data: bytes) -> Response | None:
        """Takes bytes off the connection; the answer (without a body) once its head is complete.

        Raises:
            RemoteProtocolError: it is not HTTP.
            LimitExceeded: the head is too long.
        """
        limits = self._limits
        while True:
            scanned = max(0, len(self._buffer) - 2)
            self._buffer += data
            if not self._buffer.startswith(_START[: len(self._buffer)]):
                raise RemoteProtocolError("the answer is not HTTP", head=self._buffer)
            end = _END.search(self._buffer, scanned)
            if (len(self._buffer) if end is None else end.start()) > limits.headers_size:
                raise LimitExceeded(f"HTTP headers of more than {limits.headers_size} bytes")
            if end is None:
                return None
            lines = [line.removesuffix(b"\r") for line in self._buffer[: end.start()].split(b"\n")]
            data = self._buffer[end.end() :]
            status = _STATUS_LINE.fullmatch(lines[0])
            if status is None:
                raise RemoteProtocolError("not an HTTP status line", head=self._buffer)
            if len(lines) > limits.header_count + 1:
                raise LimitExceeded(f"more than {limits.header_count} HTTP header lines")
            self._buffer = b""
            if int(status[1]) >= 200:  # before it, one may say "100 Continue"
                self.rest = data
                reason = (status[2] or b"").decode("utf-8", "replace").strip()
                return Response(int(status[1]), reason, parse_headers(lines[1:], Quirks()))


class Dechunker:
    """Takes the chunks of a body off what is in them.

    Attributes:
        is_over: the last one has come.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._left = 0  # bytes of the chunk that are still to come
        self._line = b""

    def feed(self, data: bytes) -> bytes:
        """What the chunks in `data` hold.

        Raises:
            RemoteProtocolError: these are no chunks.
        """
        parts = []
        place = 0
        while place < len(data) and not self.is_over:
            if self._left:
                part = data[place : place + self._left]
                parts.append(part)
                place += len(part)
                self._left -= len(part)
                continue
            end = data.find(b"\n", place, place + _CHUNK_LINE)
            self._line += data[place : end if end >= 0 else place + _CHUNK_LINE]
            if len(self._line) > _CHUNK_LINE or (end < 0 and len(data) - place > _CHUNK_LINE):
                raise RemoteProtocolError("a line too long between the chunks of the HTTP answer")
            if end < 0:
                break
            place = end + 1
            text, self._line = self._line.partition(b";")[0].strip(), b""
            if not text:
                continue  # the line end behind a chunk
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", text):
                raise RemoteProtocolError("no length before a chunk of the HTTP answer", head=text)
            self._left = int(text, 16)
            self.is_over = not self._left
        return b"".join(parts)
