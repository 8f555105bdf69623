"""Faults of what a camera answers: nothing, too late, too much, or something else.

Specs: RFC 2326.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtspkit.testing.faults.base import Fault, OnRequest
from rtspkit.testing.playout import Client, Reply

if TYPE_CHECKING:
    from rtspkit.testing.camera import ScriptedCamera, Seen

__all__ = [
    "CSeq",
    "ContentLength",
    "Describe",
    "Drip",
    "Endless",
    "Header",
    "LIES",
    "NeverAnswer",
    "OfferBasic",
    "Redirect",
    "Refuse",
    "SDP_BOMBS",
    "Say",
    "SessionTimeout",
    "ShortBody",
    "Slots",
    "Turn",
]

#: What `Endless` sends at most: whoever reads that much has no bound.
_ENDLESS = 64 * 1024 * 1024


@dataclass(eq=False)
class Turn(Fault):
    """Takes a connection and ends it at once, with RST where `reset`."""

    reset: bool = False

    def greet(self, camera: ScriptedCamera, client: Client) -> bool:
        if self.reset:
            client.hang_up(reset=True)
        return False


@dataclass(eq=False)
class Slots(Fault):
    """Has room for so many sessions.

    Attributes:
        count: sessions at a time.
        hold: seconds that a session stays taken whose reader left without TEARDOWN.
        status: of the refusal; None: hangs up without a word.
    """

    count: int = 1
    hold: float = 0.0
    status: int | None = 453
    _held: list[float] = field(default_factory=list, init=False)

    def leave(self, camera: ScriptedCamera, client: Client) -> None:
        if client.session is not None and self.hold:
            self._held.append(asyncio.get_running_loop().time() + self.hold)

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        if request.method != "SETUP" or client.session is not None:
            return None
        now = asyncio.get_running_loop().time()
        self._held = [until for until in self._held if until > now]
        if sum(other.session is not None for other in camera.clients) + len(self._held) < self.count:
            return None
        if self.status is None:
            client.hang_up()
            return b""
        return Reply(self.status, "Not Enough Bandwidth" if self.status == 453 else "Service Unavailable")


@dataclass(eq=False)
class NeverAnswer(OnRequest):
    """Reads requests and says nothing to them."""

    is_rude = True

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        return b"" if self._hits(request) else None


@dataclass(eq=False)
class Say(OnRequest):
    """Answers with these bytes, whatever they are."""

    is_rude = True
    data: bytes = field(default=b"HTTP/1.1 400 Bad Request\r\n\r\n", kw_only=True)

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        return self.data if self._hits(request) else None


@dataclass(eq=False)
class Endless(OnRequest):
    """Answers without an end: `piece` over and over, until the reader has had enough.

    Attributes:
        start: what comes before.
        piece: what is repeated: header lines by default; ``b"x"``: one line.
    """

    is_rude = True
    start: bytes = field(default=b"RTSP/1.0 200 OK\r\n", kw_only=True)
    piece: bytes = field(default=b"X-Header: and another one\r\n", kw_only=True)
    #: Bytes that have been sent so far.
    sent: int = field(default=0, init=False)

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        if not self._hits(request):
            return None
        client.send(self.start)
        block = self.piece * max(1, 4096 // len(self.piece))
        while self.sent < _ENDLESS and not client.writer.is_closing():
            client.writer.write(block)
            self.sent += len(block)
            await client.writer.drain()
            await asyncio.sleep(0)
        return b""


@dataclass(eq=False)
class Drip(Fault):
    """Sends every answer piece by piece.

    Attributes:
        seconds: between two pieces.
        size: bytes of a piece.
    """

    seconds: float = 2.0
    size: int = 1

    async def transmit(self, camera: ScriptedCamera, client: Client, data: bytes) -> bool:
        for start in range(0, len(data), self.size):
            await asyncio.sleep(self.seconds)
            if client.writer.is_closing():
                break
            client.send(data[start : start + self.size])
        return True


@dataclass(eq=False)
class Refuse(OnRequest):
    """Answers with an error: 404, 453, 461, 503 …

    Attributes:
        status: of the answer.
        reason: its words.
    """

    status: int = 404
    reason: str = "No"

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        return Reply(self.status, self.reason) if self._hits(request) else None


@dataclass(eq=False)
class Redirect(OnRequest):
    """Sends readers elsewhere.

    Attributes:
        location: where to; None: here, which is a loop.
        status: 301, 302 …
    """

    method: str | None = "DESCRIBE"
    location: str | None = field(default=None, kw_only=True)
    status: int = field(default=302, kw_only=True)

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        if not self._hits(request):
            return None
        return Reply(self.status, "Moved Temporarily", {"Location": self.location or camera.url})


@dataclass(eq=False)
class OfferBasic(Fault):
    """Somebody in between who would like to see the password: wants Basic, whatever the camera wants."""

    is_rude = True

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        return Reply(401, "Unauthorized", {"WWW-Authenticate": 'Basic realm="scripted, camera"'})


@dataclass(eq=False)
class Header(OnRequest):
    """Changes a header of the answer.

    Attributes:
        name: of the header.
        value: instead of the right one; a function makes it out of that; None: the header is not sent.
    """

    name: str = field(kw_only=True)
    value: str | Callable[[str], str] | None = field(kw_only=True)

    def amend(self, camera: ScriptedCamera, client: Client, request: Seen, reply: Reply) -> None:
        if not self._hits(request):
            return
        right = reply.headers.pop(self.name, "")
        value = self.value(right) if callable(self.value) else self.value
        if value is not None:
            reply.headers[self.name] = value


@dataclass(eq=False)
class SessionTimeout(Fault):
    """Says that a session lives for so many seconds."""

    seconds: int = 60

    def amend(self, camera: ScriptedCamera, client: Client, request: Seen, reply: Reply) -> None:
        if "Session" in reply.headers:
            reply.headers["Session"] = f"{reply.headers['Session'].partition(';')[0]};timeout={self.seconds}"


@dataclass(eq=False)
class CSeq(OnRequest):
    """Answers with another number than was asked with; "" with none."""

    value: str = field(default="", kw_only=True)

    def amend(self, camera: ScriptedCamera, client: Client, request: Seen, reply: Reply) -> None:
        if self._hits(request):
            reply.cseq = self.value


@dataclass(eq=False)
class ContentLength(OnRequest):
    """Says this of the body's length, whatever it is: "-1", "4294967296", "many"."""

    method: str | None = "DESCRIBE"
    value: str = field(default="-1", kw_only=True)

    def amend(self, camera: ScriptedCamera, client: Client, request: Seen, reply: Reply) -> None:
        if self._hits(request):
            reply.length = self.value


@dataclass(eq=False)
class ShortBody(OnRequest):
    """Announces more bytes of a body than ever come."""

    method: str | None = "DESCRIBE"
    missing: int = field(default=1000, kw_only=True)

    def amend(self, camera: ScriptedCamera, client: Client, request: Seen, reply: Reply) -> None:
        if self._hits(request):
            reply.length = str(len(reply.body) + self.missing)


@dataclass(eq=False)
class Describe(Fault):
    """Answers DESCRIBE with this text; a function makes it out of the right one."""

    sdp: bytes | Callable[[bytes], bytes]

    def amend(self, camera: ScriptedCamera, client: Client, request: Seen, reply: Reply) -> None:
        if request.method == "DESCRIBE" and reply.status == 200:
            reply.body = self.sdp(reply.body) if callable(self.sdp) else self.sdp


#: Descriptions that are too much, made out of the right one, for `Describe`: name -> function. The right media come
#: first in each, and can be played.
SDP_BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "10000 media": lambda sdp: sdp + b"m=video 0 RTP/AVP 96\r\n" * 10_000,
    "20 media": lambda sdp: sdp + b"m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n" * 20,
    "a line of 1 MB": lambda sdp: sdp + b"a=x:" + b"x" * 1_000_000 + b"\r\n",
    "a line of 50 kB": lambda sdp: sdp + b"a=x:" + b"x" * 50_000 + b"\r\n",
    "bad base64": lambda sdp: sdp.replace(b"sprop-parameter-sets=", b"sprop-parameter-sets=%%%,,==;x="),
    "a rate of 0": lambda sdp: sdp + b"m=audio 0 RTP/AVP 98\r\na=rtpmap:98 L16/0\r\n",
    "a rate of 10**30": lambda sdp: sdp + b"m=audio 0 RTP/AVP 98\r\na=rtpmap:98 MPEG4-GENERIC/1%s\r\n" % (b"0" * 30),
    "port 99999": lambda sdp: sdp.replace(b"m=video 0 ", b"m=video 99999 "),
    "payload type 300": lambda sdp: sdp + b"m=video 0 RTP/AVP 300\r\na=rtpmap:300 H264/90000\r\n",
}

#: Header values that cannot be relied on, made out of the right ones, for `Header`: header -> name -> function.
LIES: dict[str, dict[str, Callable[[str], str]]] = {
    "Transport": {
        "an SSRC that is none": lambda value: value.partition(";ssrc=")[0] + ";ssrc=xyzzy",
        "an SSRC with spaces": lambda value: value.replace(";ssrc=", ";ssrc=  "),
        "channels 255-256": lambda value: value.partition(";interleaved=")[0] + ";interleaved=255-256",
        "no channels": lambda value: value.partition(";interleaved=")[0],
        "a trailing semicolon": lambda value: value + ";",
        "without /TCP": lambda value: value.replace("/TCP", ""),
        "ports out of range": lambda value: value.replace("unicast", "unicast;server_port=70000-70001"),
        "another source": lambda value: value.replace("unicast", "unicast;source=203.0.113.9"),
    },
    "RTP-Info": {
        "sequence numbers of 0": lambda value: value.replace(";rtptime=", ";seq=0;rtptime="),
        "no numbers": lambda value: ",".join(part.partition(";")[0] for part in value.split(",")),
        "a trailing semicolon": lambda value: value + ";",
        "numbers out of range": lambda value: value.replace("rtptime=", "seq=99999999;rtptime=9999999999"),
        "other times": lambda value: value.replace("rtptime=", "rtptime=1"),
        "other URLs": lambda value: value.replace("trackID=", "elsewhere="),
        "nonsense": lambda value: ",;url=;=,",
    },
    "Session": {
        "no timeout that can be": lambda value: value.partition(";")[0] + ";timeout=-5",
        "spaces": lambda value: value.replace(";", " ; "),
        "a timeout of a thousand years": lambda value: value.partition(";")[0] + ";timeout=31556926000",
    },
}
