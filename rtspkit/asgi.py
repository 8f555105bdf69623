"""The viewer's HTTP: one raw ASGI application over the muxers, mountable anywhere.

Strategy: what can be known without a viewer is made in `Muxer`, once; here is only what HTTP adds:
which muxer is meant, waiting until there is something to answer, validators, ranges, compression, CORS.
No state is kept for a viewer. Media are sent buffer by buffer, as they lie in the store; nothing is joined.

A request for a playlist or a part that does not exist yet is held (`waiting`). It is let go when the client leaves
and after 8 s at most, for hls.js gives a playlist up after 10 s; "not now" is 503 with Retry-After, because players
never retry a 4xx. There is a bound on how many wait for one muxer.

URLs, statuses and cache lifetimes::

    /{path}                        302 to /{path}/
    /{path}/                       the player page, where there is one       no-cache
    /{path}/index.m3u8             multivariant playlist                     public, max-age=10
    /{path}/stream.m3u8            media playlist                            max-age=0, s-maxage=half a target
      ?_HLS_msn=…&_HLS_part=…      Low-Latency: once it has that part        public, max-age=6 targets
    /{path}/{epoch}/init_{n}.mp4   init section                              public, max-age=3600, immutable
    /{path}/{epoch}/seg_{msn}.mp4  segment                                   public, max-age=3600, immutable
    /{path}/{epoch}/part_{n}.mp4   part                                      public, max-age=3600, immutable
    /{path}/{epoch}/gap.mp4        nothing, where media are absent           public, max-age=3600, immutable
    errors                         one line of text                          max-age=1

Spec: ASGI 3.0, HTTP 2.x spec version; RFC 9110 13.1.2 (If-None-Match), 14 (Range), 12.5.3 (Accept-Encoding);
draft-pantos-hls-rfc8216bis 6.2.5 (`_HLS_msn`, `_HLS_part`, `_HLS_skip`).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl, quote

from rtspkit.asgitypes import Header, Receive, Scope, Send
from rtspkit.errors import RtspkitError
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.muxer import Muxer
from rtspkit.responses import Response, error_response
from rtspkit.waiting import REPLY, Bell, Outcome, Reply, Wanted, client_leaves, watch_client

__all__ = ["HLSApp", "MuxerProvider", "NotReady", "PathNotFound"]

#: A request is held no longer than this (s).
HOLD = 8.0
#: Bytes of an answer that is given to the server as a whole: a part may have so many, a segment has more. What is
#: longer goes buffer by buffer, as its reader takes it.
_AT_ONCE = 1024 * 1024
#: A file is read and sent in pieces of this size.
_READ_SIZE = 256 * 1024
_MEDIA_NAME = re.compile(r"(?:gap|(?:init|seg|part)_[0-9]{1,20})\.mp4")
_PLAYLISTS = frozenset({"index.m3u8", "stream.m3u8"})
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.ASCII)
_METHODS = "GET, HEAD, OPTIONS"
#: What makes an answer depend on more than what is asked for.
_CONDITIONS = frozenset({b"range", b"if-none-match", b"if-range"})
_EXPOSED = b"Age, Content-Length, Content-Range, Date, ETag"


class PathNotFound(RtspkitError):
    """404: the path is not configured, or its camera has failed."""


class NotReady(RtspkitError):
    """503: not now; the viewer may try again.

    Attributes:
        retry_after: seconds.
    """

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class _ClientLeft(Exception):
    """There is nobody to answer any more."""


class MuxerProvider(Protocol):
    """Where the application finds the muxer of a path.

    Further methods are used where the object has them: `get(path) -> Muxer | None`, the muxer if it can be had
    without waiting, is asked first and spares the task that `muxer` needs; `reason(path) -> str` says in a few
    words what the path is doing, for whoever has waited for its muxer in vain.
    """

    async def muxer(self, path: str) -> Muxer:
        """The muxer of `path`; may wait for it, and is cancelled when the viewer leaves or time is up.

        Raises:
            PathNotFound: there is none and will be none soon (404).
            NotReady: there is none now (503).
        """


class HLSApp:
    """An ASGI application that serves the muxers of `provider`.

    Mount it anywhere (`app.mount("/hls", HLSApp(muxers))` in Starlette or FastAPI), or run it alone.
    """

    def __init__(
        self,
        provider: Mapping[str, Muxer] | MuxerProvider,
        *,
        allow_origin: str | Sequence[str] = "*",
        player_page: Callable[[str], bytes] | None = None,
        hold: float = HOLD,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Serve what `provider` has.

        Args:
            provider: a mapping from path to `Muxer`, read anew at each request, or a `MuxerProvider`.
            allow_origin: origins whose pages may read the answers (CORS): "*", one, or several.
            player_page: gives the HTML of a path's page, or raises `PathNotFound`; None: there is no page.
            hold: seconds a request for what does not exist yet is held, 8 at most.
            limits: bounds on viewers; of use is `blocked_requests`.
        """
        self._provider = provider
        self._get: Callable[[str], Muxer | None] | None = getattr(provider, "get", None)
        self._reason: Callable[[str], str] | None = getattr(provider, "reason", None)
        self._origins = frozenset({allow_origin} if isinstance(allow_origin, str) else allow_origin)
        self._player_page = player_page
        self._hold = min(hold, HOLD)
        self._most_blocked = limits.blocked_requests
        self._bells: dict[Muxer, Bell] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            with suppress(OSError, _ClientLeft):  # the client has left while it was answered, or before
                await self._http(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    # -- which answer -------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if method == "OPTIONS":
            response = Response(204, _PREFLIGHT, ())
        elif method not in {"GET", "HEAD"}:
            response = error_response(405, f"{method} is not possible here", ("allow", _METHODS))
        else:
            reply = (scope.get("extensions") or {}).get(REPLY) if method == "GET" else None
            deliver = None if reply is None else _Delivery(self, reply, headers)
            answer = await self._answer(scope, receive, deliver)
            if answer is None or (deliver is not None and deliver(answer)):
                return
            response = answer
        await self._send(response, headers, send, with_body=method != "HEAD")

    async def _answer(self, scope: Scope, receive: Receive, deliver: _Delivery | None) -> Response | None:
        """What to send; None where it has been sent already."""
        path, name = _target(scope)
        if not path:
            return error_response(404, "there is nothing here; a stream's address is /{path}/index.m3u8")
        if name is None:
            return self._page(path, scope)
        if name == "":
            return self._page(path, None)
        wanted = Wanted(name)
        if name == "stream.m3u8" and b"_HLS_" in scope.get("query_string", b""):
            try:
                wanted = _directives(name, scope["query_string"])
            except ValueError as error:
                return error_response(400, str(error))
        try:
            muxer = self._get(path) if self._get is not None else None
            if muxer is not None:
                response = muxer.get(*wanted)
                if response is not None:
                    return response
            elif isinstance(self._provider, Mapping):
                raise PathNotFound(f"there is no stream {path!r}")
            return await self._wait(path, muxer, wanted, scope, receive, deliver=deliver)
        except (PathNotFound, NotReady) as error:
            return _refusal(error)

    def _page(self, path: str, redirected: Scope | None) -> Response:
        """The player page, or the redirect to it."""
        if self._player_page is None:
            return error_response(404, "there is no page here; a stream's address is /{path}/index.m3u8")
        try:
            page = self._player_page(path)
        except (PathNotFound, NotReady) as error:
            return _refusal(error)
        if redirected is None:
            return Response(200, _PAGE, (page,))
        # relative, so that it holds behind any proxy; "./" keeps a colon from being read as a scheme
        location = f"./{quote(path.rpartition('/')[2])}/"
        query = redirected.get("query_string", b"").decode("latin-1")
        if query:
            location += f"?{quote(query, safe='=&%+/:;,@!$()*?~-._')}"
        return Response(302, (("location", location), ("cache-control", "no-cache")), ())

    # -- waiting ------------------------------------------------------------------------------------------

    async def _wait(
        self,
        path: str,
        muxer: Muxer | None,
        wanted: Wanted,
        scope: Scope,
        receive: Receive,
        *,
        deliver: _Delivery | None,
    ) -> Response | None:
        """Hold a request until there is an answer; None where it has been sent by then.

        Raises:
            _ClientLeft: there is nobody to answer.
            NotReady: not in time.
        """
        deadline = asyncio.get_running_loop().time() + self._hold
        if muxer is None:
            muxer = await self._wait_for_muxer(path, receive)
            response = muxer.get(*wanted)
            if response is not None:
                return response
        bell = self._bells.get(muxer)
        if bell is None:
            bell = self._bells[muxer] = Bell(muxer)
        if bell.count >= self._most_blocked:
            raise NotReady("too many requests wait for this stream")
        future = bell.wait(wanted, deadline, deliver)
        release: Callable[[], object] = _nothing
        try:
            release = watch_client(scope, receive, future)
            outcome = await future
        finally:
            release()
            bell.leave(wanted, future)
            if not bell.count and self._bells.get(muxer) is bell:
                bell.close()
                del self._bells[muxer]
        if isinstance(outcome, Response):
            return outcome
        if outcome is Outcome.SENT:
            return None
        if outcome is Outcome.LEFT:
            raise _ClientLeft
        reason = "what you wait for has not come yet" if muxer.has_media else "the stream has not begun yet"
        why = self._reason(path) if self._reason is not None else ""
        raise NotReady(f"{reason}: {why}" if why else reason)

    async def _wait_for_muxer(self, path: str, receive: Receive) -> Muxer:
        """The muxer of a path that has to be waited for."""
        assert not isinstance(self._provider, Mapping)
        loop = asyncio.get_running_loop()
        asked = loop.create_task(self._provider.muxer(path))
        left: asyncio.Task[None] | None = None
        try:
            await asyncio.sleep(0)  # most providers answer at once
            if not asked.done():
                left = loop.create_task(client_leaves(receive))
                await asyncio.wait((asked, left), timeout=self._hold, return_when=asyncio.FIRST_COMPLETED)
                if left.done():
                    raise _ClientLeft
            if not asked.done():
                raise NotReady("the stream is not ready yet")
            return asked.result()
        finally:
            for task in (asked, left):
                if task is not None and not task.cancel() and not task.cancelled():
                    task.exception()  # seen, whoever was there to be told

    # -- how it is sent -----------------------------------------------------------------------------------

    async def _send(self, response: Response, headers: Mapping[bytes, bytes], send: Send, *, with_body: bool) -> None:
        body = response.body
        if not isinstance(body, Path):
            await self._send_body(response, body, sum(map(len, body)), headers, send, with_body=with_body)
            return
        try:
            descriptor = await _opened(body)
        except OSError:
            await self._send(error_response(404, "this segment has expired"), headers, send, with_body=with_body)
            return
        try:
            size = os.fstat(descriptor).st_size
            await self._send_body(response, descriptor, size, headers, send, with_body=with_body)
        finally:
            os.close(descriptor)

    async def _send_body(
        self,
        response: Response,
        body: Sequence[bytes] | int,
        size: int,
        headers: Mapping[bytes, bytes],
        send: Send,
        *,
        with_body: bool,
    ) -> None:
        """Send buffers, or the file of a descriptor, as the request's conditions want them."""
        if isinstance(body, tuple) and with_body and _CONDITIONS.isdisjoint(headers):
            await self._send_whole(response, body, headers, send)
            return
        status = response.status
        lines = list(response.raw_headers)
        lines += self._cors(headers.get(b"origin"))
        start, stop = 0, size
        if response.etag is not None:
            etag = response.etag.encode("latin-1")
            lines.append((b"etag", etag))
            if _matches(headers.get(b"if-none-match"), etag):
                await send({"type": "http.response.start", "status": 304, "headers": lines})
                await send({"type": "http.response.body", "body": b""})
                return
            span = _range(headers, etag, size) if with_body else None  # RFC 9110, 14.2: HEAD knows no ranges
            lines.append((b"accept-ranges", b"bytes"))
            if span is not None:
                start, stop = span
                if start >= stop:
                    refusal = error_response(416, "nothing lies in this range", ("content-range", f"bytes */{size}"))
                    await self._send(refusal, headers, send, with_body=with_body)
                    return
                status = 206
                lines.append((b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, size)))
            elif response.gzipped is not None and _takes_gzip(headers.get(b"accept-encoding")):
                body = (response.gzipped,)
                stop = len(response.gzipped)
                lines.append((b"content-encoding", b"gzip"))
        if status != 204:
            lines.append((b"content-length", b"%d" % (stop - start)))
        await send({"type": "http.response.start", "status": status, "headers": lines})
        if not with_body or start == stop:
            await send({"type": "http.response.body", "body": b""})
            return
        pieces = _slices(() if isinstance(body, int) else body, start, stop)
        while start < stop:
            if isinstance(body, int):
                piece = await asyncio.to_thread(os.pread, body, min(_READ_SIZE, stop - start), start)
                if not piece:
                    raise OSError("a segment's file became shorter while it was sent")
            else:
                piece = next(pieces)
            start += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": start < stop})

    async def _send_whole(
        self, response: Response, body: tuple[bytes, ...], headers: Mapping[bytes, bytes], send: Send
    ) -> None:
        """The usual case: a whole body, the same to everybody."""
        lines, pieces = self._ready(response, body, headers)
        # the messages are each viewer's own: what stands between may write into them
        await send({"type": "http.response.start", "status": response.status, "headers": list(lines)})
        for number, piece in enumerate(pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    def _ready(
        self, response: Response, body: tuple[bytes, ...], headers: Mapping[bytes, bytes]
    ) -> tuple[list[Header], tuple[bytes, ...]]:
        """Headers and buffers of a whole body. They are put together once."""
        gzipped = response.gzipped if response.is_text and _takes_gzip(headers.get(b"accept-encoding")) else None
        key = (id(self), gzipped is not None)
        ready = response.sent.get(key) if "*" in self._origins else None
        if ready is None:
            lines = [*response.raw_headers, *self._cors(headers.get(b"origin"))]
            if response.etag is not None:
                lines += [(b"etag", response.etag.encode("latin-1")), (b"accept-ranges", b"bytes")]
            if gzipped is not None:
                body = (gzipped,)
                lines.append((b"content-encoding", b"gzip"))
            if response.status != 204:
                lines.append((b"content-length", b"%d" % sum(map(len, body))))
            ready = lines, tuple(buffer for buffer in body if buffer) or (b"",)
            if "*" in self._origins:
                response.sent[key] = ready
        return ready

    def _cors(self, origin: bytes | None) -> list[Header]:
        if "*" in self._origins:
            allowed = b"*"
        elif origin is not None and origin.decode("latin-1") in self._origins:
            allowed = origin
        else:
            return [(b"vary", b"origin")]
        lines = [(b"access-control-allow-origin", allowed), (b"access-control-expose-headers", _EXPOSED)]
        return lines if allowed == b"*" else [*lines, (b"vary", b"origin")]


class _Delivery:
    """Sends a viewer his answer at once; False where it is no usual case, or so long that it wants its time."""

    __slots__ = ("_app", "_headers", "_reply")  # there may be thousands

    def __init__(self, app: HLSApp, reply: Reply, headers: Mapping[bytes, bytes]) -> None:
        self._app = app
        self._reply = reply
        self._headers = headers

    def __call__(self, response: Response) -> bool:
        body = response.body
        if not isinstance(body, tuple) or not _CONDITIONS.isdisjoint(self._headers) or sum(map(len, body)) > _AT_ONCE:
            return False
        return self._reply(response.status, *self._app._ready(response, body, self._headers))


_PAGE = (("content-type", "text/html; charset=utf-8"), ("cache-control", "no-cache"))
_PREFLIGHT = (
    ("allow", _METHODS),
    ("access-control-allow-methods", _METHODS),
    ("access-control-allow-headers", "*, Authorization"),
    ("access-control-max-age", "86400"),
)


def _refusal(error: PathNotFound | NotReady) -> Response:
    if isinstance(error, NotReady):
        return error_response(503, str(error), ("retry-after", str(max(1, round(error.retry_after)))))
    return error_response(404, str(error))


def _target(scope: Scope) -> tuple[str, str | None]:
    """The path and what is asked of it: a name as `Muxer.get` knows it, "" for the page, None for its address
    without the slash. The path is "" where the address can belong to nothing.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    # servers and frameworks differ in whether the part they were mounted at still stands before the path
    # and in whether that part counts as one with the prefix that a proxy has taken away before it (Starlette)
    inner = root.removeprefix(scope.get("app_root_path", "").rstrip("/"))
    for mount in (root, inner):
        if mount and (path == mount or path.startswith(f"{mount}/")):
            path = path[len(mount) :]
            break
    parts = path.removeprefix("/").split("/")
    name: str | None
    last = parts.pop()
    if last == "" or last in _PLAYLISTS:
        name = last
    elif _MEDIA_NAME.fullmatch(last) and len(parts) >= 2:
        name = f"{parts.pop()}/{last}"
    else:
        parts.append(last)
        name = None
    joined = "/".join(parts)
    # a path is a key to look up, never the name of a file; what can be none is refused all the same
    if not joined.isprintable() or any(part in {"", ".", ".."} for part in parts):
        return "", None
    return joined, name


def _directives(name: str, query: bytes) -> Wanted:
    """`_HLS_msn`, `_HLS_part` and `_HLS_skip`; anything else in the query is ignored.

    Raises:
        ValueError: given twice, no decimal number, or a part without msn.
    """
    found: dict[str, str] = {}
    for key, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if key in {"_HLS_msn", "_HLS_part", "_HLS_skip"}:
            if key in found:
                raise ValueError(f"{key} is given twice")
            found[key] = value
    numbers: dict[str, int] = {}
    for key in ("_HLS_msn", "_HLS_part"):
        if key in found:
            if not _NUMBER.fullmatch(found[key]):
                raise ValueError(f"{key} is no decimal number")
            numbers[key] = int(found[key])
    if "_HLS_part" in numbers and "_HLS_msn" not in numbers:
        raise ValueError("_HLS_part needs _HLS_msn")
    return Wanted(name, numbers.get("_HLS_msn"), numbers.get("_HLS_part"), found.get("_HLS_skip") in {"YES", "v2"})


def _matches(condition: bytes | None, etag: bytes) -> bool:
    """Whether If-None-Match names `etag`; weak comparison."""
    if condition is None:
        return False
    wanted = etag.removeprefix(b"W/")
    return any(one.strip().removeprefix(b"W/") in {wanted, b"*"} for one in condition.split(b","))


def _range(headers: Mapping[bytes, bytes], etag: bytes, size: int) -> tuple[int, int] | None:
    """Start and stop of the one range asked for; None for the whole, an empty one where it cannot be had."""
    value = headers.get(b"range")
    if value is None:
        return None
    condition = headers.get(b"if-range")
    if condition is not None and (condition != etag or etag.startswith(b"W/")):
        return None  # RFC 9110, 13.1.5: strong comparison; weak ones never match, not even themselves
    match = _RANGE.fullmatch(value.decode("latin-1").strip())
    if match is None:
        return None  # several ranges, or another unit: the whole is a valid answer
    first, last = match.groups()
    if first:
        start = int(first)
        stop = min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
        return (start, stop) if start < size else (0, 0)
    if not last:
        return None
    return max(0, size - int(last)), size


def _takes_gzip(value: bytes | None) -> bool:
    if value is None:
        return False
    for coding in value.lower().split(b","):
        name, _, weight = coding.partition(b";")
        if name.strip() == b"gzip":
            return not re.fullmatch(rb"\s*q\s*=\s*0(?:\.0*)?\s*", weight)
    return False


def _slices(buffers: Sequence[bytes], start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` to `stop` of the buffers; only those cut at the ends are copied."""
    offset = 0
    for buffer in buffers:
        low, high = max(start - offset, 0), min(stop - offset, len(buffer))
        if low < high:
            yield buffer if high - low == len(buffer) else buffer[low:high]
        offset += len(buffer)


def _nothing() -> None:
    pass


async def _opened(path: Path) -> int:
    """A descriptor of the file; nobody has it who was cancelled meanwhile.

    Raises:
        OSError: it cannot be opened.
    """
    opening = asyncio.get_running_loop().run_in_executor(None, os.open, path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_opened)
        raise


def _close_opened(opening: asyncio.Future[int]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result())


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
