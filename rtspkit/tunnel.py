"""RTSP in an HTTP tunnel (rtsp+http, rtsps+http), for cameras behind what lets only HTTP through.

Strategy: two connections to the camera's web server, tied together by a cookie. The body of the answer to a
GET brings everything the camera says, media included, as it is: over plain TCP compiled code reads it like any
camera's. The body of a POST takes what we say, each message in Base64. Either may be over TLS.

What cameras make of the POST:

- most never answer it (QuickTime's own server; Axis writes that it does not), others at once, some Axis models
  not before the first request has come (gortsplib #1045): so nobody waits for an answer, and one that comes is
  only looked at for a refusal;
- the length it announces is a fiction: all clients announce a few ten thousand bytes and go on beyond them on the
  same connection, and most servers (MediaMTX, GStreamer while the first one stands) refuse a second POST. It is
  followed by another one only where the camera has closed it, as one that counts does;
- credentials are asked for with the GET (Axis, Hikvision), the POST, the RTSP inside, or all of them: a POST that
  is refused for them is made again, with all that was said in it.

Spec: Apple, "Tunnelling RTSP and RTP through HTTP" (QuickTime dispatch 28); RFC 9110 section 15.4 (redirects).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import socket
from collections.abc import Awaitable, Callable

from rtspkit._version import __version__
from rtspkit.auth import Authenticator, refusal_text
from rtspkit.conversation import Redirect
from rtspkit.errors import (
    AuthenticationError,
    ConnectionLost,
    LocalProtocolError,
    RemoteProtocolError,
    ResponseError,
    RtspkitError,
    TimeoutExceeded,
)
from rtspkit.httphead import AnswerReader, Dechunker
from rtspkit.limits import Limits
from rtspkit.links import UNSENT_SIZE, Link, Tap, reason_text
from rtspkit.memory import CameraMemory
from rtspkit.messages import Response
from rtspkit.url import CameraURL, redirect_url

__all__ = ["TunnelLink", "open_tunnel"]

_TYPE = "application/x-rtsp-tunnelled"
#: What a POST announces: QuickTime's number, which everybody expects.
_POST_LENGTH = 32767
#: Bytes said in a POST that are kept in case it is refused for its credentials.
_KEPT_SIZE = 16 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)


class TunnelLink(Link):
    """A connection to a camera through its web server.

    Args:
        get: over which the camera speaks; its answer has been read.
        rest: what came behind the head of that answer.
        dechunker: where the body comes in chunks.
        requests: makes the requests of this tunnel.
        tap: hears what is inside.
    """

    def __init__(
        self, get: Link, rest: bytes, dechunker: Dechunker | None, requests: _Requests, tap: Tap | None
    ) -> None:
        super().__init__(get._sock, tap=tap)
        self._get = get
        self._rest = rest
        self._dechunker = dechunker
        self._requests = requests
        self._post: Link | None = None
        self._opening: asyncio.Task[None] | None = None  # of another POST
        self._answer: AnswerReader | None = None  # to the POST, until it has come
        self._answered = 0  # bytes
        self._said: bytes | None = None  # in this POST, as long as it may be refused
        self._unsaid = b""  # waits for a POST
        self._failure: RtspkitError | None = None

    # -- what the camera says

    def _read(self) -> bytes:
        if self._rest:
            data, self._rest = self._rest, b""
        else:
            data = self._get._read()
        if self._dechunker is not None and data:
            try:
                data = self._dechunker.feed(data)
            except RemoteProtocolError as error:
                raise OSError(str(error)) from None
            if not data and not self._dechunker.is_over:
                raise BlockingIOError
        return data

    @property
    def _is_plain(self) -> bool:
        return self._tap is None and self._get._is_plain and self._dechunker is None and not self._rest

    async def receive(self) -> bytes:
        """The next bytes; b"" where the camera has closed the connection.

        Raises:
            OSError: the connection is lost.
            RtspkitError: the camera refuses the tunnel.
        """
        try:
            data = await super().receive()
        except OSError:
            data = b""
            if self._failure is None:
                raise
        if self._failure is not None:
            raise self._failure
        return data

    # -- what we say

    def _seal(self, data: bytes) -> bytes:
        return base64.b64encode(data)

    def _transmit(self, data: bytes) -> None:
        if self._lost is not None:
            raise OSError(self._lost)
        if self._post is not None:
            try:
                self._post.send(data)
            except OSError:
                self._end_post()
            else:
                if self._said is not None:
                    self._said = self._said + data if len(self._said) + len(data) <= _KEPT_SIZE else None
                return
        self._unsaid += data
        if len(self._unsaid) > UNSENT_SIZE:
            raise OSError("it takes no POST any more")
        self._open_again()

    async def open_post(self) -> None:
        """Begins a POST and says in it what has been waiting.

        Raises:
            RtspkitError: the camera cannot be reached any more.
        """
        self._post = await self._requests.send("POST")
        self._answer, self._answered, self._said = AnswerReader(self._requests.limits), 0, b""
        self._loop.add_reader(self._post._sock, self._on_answer)
        data, self._unsaid = self._unsaid, b""
        if data:
            self._transmit(data)

    def _open_again(self) -> None:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._try_again())

    async def _try_again(self) -> None:
        try:
            await self.open_post()
        except RtspkitError as error:
            self._fail(error)
        finally:
            self._opening = None

    def _on_answer(self) -> None:
        """The camera has something to say of the POST."""
        assert self._post is not None
        try:
            data = self._post._read()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end_post()
            self._requests.challenges = 0
            return
        self._answered += len(data)
        try:
            if self._answered > self._requests.limits.body_size:
                raise self._requests.wrong("does not come to an end with its answer to POST")
            answer = None if self._answer is None else self._requests.read(self._answer, data)
            if answer is not None:
                self._on_post_answered(answer)
        except RtspkitError as error:
            self._fail(error)

    def _on_post_answered(self, answer: Response) -> None:
        if answer.status == 401 and self._said is not None and self._requests.authenticate(answer):
            self._unsaid = self._said + self._unsaid
            self._end_post()
            self._open_again()
        elif not 200 <= answer.status < 300:
            raise self._requests.refusal("POST", answer)
        self._answer = self._said = None

    def _end_post(self) -> None:
        """This POST is over; there will be another one when there is something to say."""
        post, self._post = self._post, None
        if post is not None:
            post.close()

    def _fail(self, error: RtspkitError) -> None:
        """It is all over: whoever reads finds the end of the connection, and the reason."""
        self._failure = error
        self._lost = str(error).removeprefix(self._requests.url.address).strip()
        self._end_post()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes both connections at once."""
        if self._opening is not None:
            self._opening.cancel()
        self._end_post()
        self.stop()
        self._get.close()


class _Requests:
    """The HTTP requests of one tunnel, each on a connection of its own, and what to say of their answers.

    Attributes:
        url, limits: of the camera.
        challenges: times credentials were asked for, since they were last accepted.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Link]], url: CameraURL, limits: Limits, memory: CameraMemory
    ) -> None:
        self.url = url
        self.limits = limits
        self.challenges = 0
        self._connect = connect
        self._cookie = secrets.token_hex(11)  # as long as QuickTime's
        self._memory = memory
        self._authenticator = Authenticator.of(url, memory)

    async def send(self, method: str) -> Link:
        """Connects and sends the head of a request.

        Raises:
            RtspkitError: the camera cannot be reached.
        """
        link = await self._connect()
        try:
            link.send(self._head(method))
        except OSError as error:
            link.close()
            raise self.lost(error) from None
        return link

    def _head(self, method: str) -> bytes:
        host, slash, path = self.url.request_url.partition("://")[2].partition("/")
        target = slash + path or "/"
        lines = [
            # 1.0, as QuickTime says it: an answer to 1.1 could come in chunks
            f"{method} {target} HTTP/1.0",
            f"Host: {host}",
            f"User-Agent: rtspkit/{__version__}",
            f"x-sessioncookie: {self._cookie}",
            "Pragma: no-cache",
            "Cache-Control: no-cache",
        ]
        if method == "GET":
            lines.append(f"Accept: {_TYPE}")
        else:
            lines += [
                f"Content-Type: {_TYPE}",
                f"Content-Length: {_POST_LENGTH}",
                "Expires: Sun, 9 Jan 1972 00:00:00 GMT",
            ]
        credentials = self._authenticator and self._authenticator.authorization(method, target)
        if credentials:
            lines.append(f"Authorization: {credentials}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def read(self, reader: AnswerReader, data: bytes) -> Response | None:
        """Feeds `reader`.

        Raises:
            RemoteProtocolError: the camera speaks no HTTP.
        """
        try:
            return reader.feed(data)
        except RemoteProtocolError as error:
            if data.startswith(b"RTSP/"):
                raise self.wrong("speaks RTSP, not HTTP; is it {plain}://?") from None
            raise self.wrong(f"does not speak HTTP: {error}") from None

    async def answer(self, link: Link) -> tuple[Response, bytes]:
        """The answer to a GET, and what came behind its head.

        Raises:
            RtspkitError: none that is HTTP comes in time.
        """
        reader = AnswerReader(self.limits)
        try:
            async with asyncio.timeout(self.limits.reply_timeout):
                while True:
                    data = await link.receive()
                    if not data:
                        raise ConnectionLost(self._text("hangs up instead of answering GET; is it {plain}://?"))
                    answer = self.read(reader, data)
                    if answer is not None:
                        return answer, reader.rest
        except RtspkitError:
            raise
        except TimeoutError as error:
            if error.errno is None:
                raise TimeoutExceeded(
                    self._text(f"does not answer GET within {self.limits.reply_timeout:g} s")
                ) from None
            raise self.lost(error) from None
        except OSError as error:
            raise self.lost(error) from None

    def authenticate(self, answer: Response) -> bool:
        """Takes a 401; whether to ask again."""
        self.challenges += 1
        authenticator = self._authenticator
        if authenticator is None or not authenticator.challenge(answer.headers.get_all("WWW-Authenticate")):
            return False
        if authenticator.digest_known:
            self._memory.digest_origins.add(self.url.origin)
        return self.challenges <= (2 if authenticator.stale else 1)

    def redirect(self, answer: Response) -> Redirect:
        """Where a 30x leads: to a tunnel there."""
        location = (answer.headers.get("Location") or "").strip()
        for scheme in ("http", "https"):
            if location.lower().startswith(f"{scheme}://"):
                location = f"{scheme.replace('http', 'rtsp')}+http{location[len(scheme) :]}"
        try:
            return Redirect(redirect_url(self.url, location))
        except LocalProtocolError as error:
            raise self.refusal("GET", answer, f", and where to go is of no use: {error}") from None

    def refusal(self, method: str, answer: Response, advice: str = "") -> ResponseError:
        """What to say of an answer that is no."""
        reason = self.url.printable(answer.reason)
        if answer.status == 401:
            text = refusal_text(self.url, self._authenticator)
            return AuthenticationError(text, status=401, reason=reason, method=method)
        if answer.status in (400, 404, 405, 501):
            advice = advice or "; does it do that, and at this path?"
        text = self._text(f"refuses RTSP over HTTP: {answer.status} {reason}".rstrip() + advice)
        return ResponseError(text, status=answer.status, reason=reason, method=method)

    def wrong(self, text: str) -> RemoteProtocolError:
        """The camera breaks the protocol."""
        return RemoteProtocolError(self._text(text))

    def lost(self, error: OSError) -> ConnectionLost:
        """What to say of a connection that has ended."""
        return ConnectionLost(self._text(f"dropped the connection: {reason_text(error)}"))

    def _text(self, text: str) -> str:
        """One line about this camera; {plain} is its scheme without the tunnel."""
        return f"{self.url.address} {text}".replace("{plain}", self.url.scheme.removesuffix("+http"))


async def open_tunnel(
    connect: Callable[[], Awaitable[Link]],
    url: CameraURL,
    limits: Limits,
    memory: CameraMemory,
    tap: Tap | None = None,
) -> TunnelLink:
    """Opens both ways of a tunnel.

    Args:
        connect: gives a connection to the camera's web server.
        url: of the camera.
        limits: bounds on what it may answer; `Limits.reply_timeout` is for each answer.
        memory: what is known of the camera, and learned.
        tap: hears what is inside.

    Raises:
        Redirect: the camera wants to be asked elsewhere.
        AuthenticationError: it refuses the credentials, or wants some.
        ResponseError: it has no tunnel there.
        RemoteProtocolError: it does not speak HTTP.
        ConnectionLost: it cannot be reached, or hangs up.
        TimeoutExceeded: it does not answer.
    """
    requests = _Requests(connect, url, limits, memory)
    while True:
        get = await requests.send("GET")
        try:
            answer, rest = await requests.answer(get)
            if 200 <= answer.status < 300:
                return await _open(get, answer, rest, requests, tap)
        except BaseException:
            get.close()
            raise
        get.close()
        if answer.status in _REDIRECTS:
            raise requests.redirect(answer)
        if answer.status != 401 or not requests.authenticate(answer):
            raise requests.refusal("GET", answer)


async def _open(get: Link, answer: Response, rest: bytes, requests: _Requests, tap: Tap | None) -> TunnelLink:
    """The tunnel over a GET that was answered."""
    headers = answer.headers
    if (headers.get("Content-Type") or "").lower().startswith("text/html"):
        raise requests.wrong("answers RTSP over HTTP with a web page; does it do that, and at this path?")
    requests.challenges = 0
    dechunker = Dechunker() if "chunked" in (headers.get("Transfer-Encoding") or "").lower() else None
    try:
        link = TunnelLink(get, rest, dechunker, requests, tap)
    except OSError as error:
        raise requests.lost(error) from None
    await link.open_post()
    return link
