"""An app's answer to one request, written by ourselves where uvicorn's protocol would take its time over it.

Strategy: thousands of held requests are answered at one instant, with the same head and the same body. The head is put
into text once for all of them, and goes out with the first bytes of the body in one system call. Whatever is not as
usual - no length, HEAD, a connection that is to be closed, odd headers - is left to uvicorn, whose bytes are the same.

Spec: RFC 9112, 4 to 6 (status line, field syntax, message body length).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from rtspkit.asgitypes import App, Header, Message, Receive, Scope, Send
from rtspkit.waiting import LEAVING, REPLY, Outcome, Waiter, resolve

__all__ = ["OwnReply"]

#: Bytes of a body that are copied behind its head rather than handed over beside it.
_JOINED = 16 * 1024
#: Statuses whose replies have a body wherever it is not HEAD that asks.
_WITH_BODY = frozenset(status.value for status in HTTPStatus if status >= 200) - {204, 205, 304}
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
#: Headers that say how the body is sent.
_FRAMING = frozenset({b"connection", b"transfer-encoding"})
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


@lru_cache(maxsize=256)
def _line(name: bytes, value: bytes) -> bytes | None:
    """A header's line, the same in most replies; None for an odd one, and for one that says how a body is sent."""
    if not _NAME.fullmatch(name) or name in _FRAMING or not _VALUE.fullmatch(value):
        return None
    return b"%b: %b\r\n" % (name, value)


@lru_cache(maxsize=64)
def _head(status: int, headers: tuple[Header, ...]) -> tuple[bytes, int] | None:
    """The text of a reply's head, the same for all who get it, and the length of its body.

    None where that is not for us to say: a body is not always sent, or its length not known, or a header is odd.
    """
    lengths = [value for name, value in headers if name == b"content-length"]
    lines = [_line(name, value) for name, value in headers]
    if status not in _WITH_BODY or len(lengths) != 1 or not lengths[0].isdigit():
        return None
    plain = [line for line in lines if line is not None]
    if len(plain) != len(lines):
        return None
    return b"".join((b"HTTP/1.1 %d %b\r\n" % (status, _PHRASES[status]), *plain, b"\r\n")), int(lengths[0])


class OwnReply:
    """An app's answer to one request, sent as uvicorn does, for less: thousands are sent at one instant.

    The head is put into text once for everybody, and goes out with the first bytes of the body, in one system call.
    Whatever is not as usual is left to uvicorn.
    """

    __slots__ = ("_app", "_cycle", "_head", "_left", "_protocol")

    def __init__(self, protocol: Any, cycle: Any, app: App) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._app = app
        self._head = b""
        self._left: int | None = None  # bytes of the body that are still to come; None: uvicorn sends it

    def __call__(self, scope: Scope, receive: Receive, _send: Send) -> Awaitable[None]:
        """Stands for the app that uvicorn runs."""
        # `on_response_complete` takes them away again, for they refer to the scope that they are in
        scope["extensions"] = {LEAVING: self.set_leaving, REPLY: self.send_whole}
        return self._app(scope, receive, self.send)

    def set_leaving(self, future: Waiter | None) -> None:
        """The extension `LEAVING`."""
        protocol = self._protocol
        if protocol.cycle is self._cycle:  # else its client has got the answer, and asked for something else
            protocol.leaving = future
            if future is not None and protocol.transport.is_closing():
                resolve(future, Outcome.LEFT)

    def send_whole(self, status: int, headers: Sequence[Header], body: Sequence[bytes]) -> bool:
        """The extension `REPLY`."""
        cycle = self._cycle
        is_ready = not (cycle.disconnected or cycle.flow.write_paused or cycle.transport.is_closing())
        if cycle.response_started or not is_ready or not self._begin(status, headers):
            return False
        self._send_body(body, is_last=True)
        return True

    async def send(self, message: Message) -> None:
        """What the app is given to send with."""
        cycle = self._cycle
        if not cycle.response_started and message["type"] == "http.response.start":
            headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            if self._begin(message["status"], headers):
                return
        if self._left is None or cycle.response_complete or message["type"] != "http.response.body":
            await cycle.send(message)
            return
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if not cycle.disconnected:
            self._send_body((message.get("body", b""),), is_last=not message.get("more_body", False))

    def _begin(self, status: int, headers: Sequence[Header]) -> bool:
        """The head goes out with the body; False where the reply is not as usual."""
        cycle = self._cycle
        if not cycle.keep_alive or cycle.scope["method"] == "HEAD":
            return False
        found = _head(status, (*cycle.default_headers, *headers))
        if found is None:
            return False
        self._head, self._left = found
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        return True

    def _send_body(self, pieces: Sequence[bytes], *, is_last: bool) -> None:
        cycle, left, size = self._cycle, self._left or 0, sum(map(len, pieces))
        if size > left or (is_last and size < left):
            raise RuntimeError("a reply's body is not as long as its head says")
        self._left = left - size
        head, self._head = self._head, b""
        if size > _JOINED:
            cycle.transport.writelines((head, *pieces) if head else pieces)
        else:
            cycle.transport.write(b"".join((head, *pieces)))
        if is_last:
            cycle.response_complete = True
            cycle.message_event.set()
            if not cycle.keep_alive:  # the server is being closed
                cycle.transport.close()
            cycle.on_response()
