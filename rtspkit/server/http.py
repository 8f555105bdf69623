"""The gateway's HTTP: listening sockets, uvicorn with deadlines, and the app in front of `HLSApp`.

Strategy: sockets are bound before anything else starts, so that a port in use is one clear message and
port 0 is known at once. `Server` is uvicorn's, without its signal handlers and with one wake-up a second
instead of ten. uvicorn has no deadline for a request's headers and none for a reader who stops reading;
`_Deadlines` adds both to whichever of its protocols is used (httptools where installed, else h11).

`Front` serves the pages and their files, counts viewers and bytes, and passes everything else on.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gzip
import hashlib
import importlib.util
import socket
import sys
import termios
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import uvicorn

from rtspkit.asgi import HLSApp
from rtspkit.asgitypes import App, Header, Message, Receive, Scope, Send
from rtspkit.server.log import logger
from rtspkit.server.manager import PathManager
from rtspkit.server.paths import VIEWER, Path
from rtspkit.server.replies import OwnReply
from rtspkit.server.web import CONTENT_SECURITY_POLICY, asset, index_page
from rtspkit.waiting import REPLY, Outcome, Reply, Waiter, resolve

__all__ = ["Front", "Server", "bind", "loop_factory", "peer_address", "split_address"]

#: Seconds for a request's headers, from their first byte.
HEADER_TIME = 5.0
#: Bytes of a request's headers.
HEADER_SIZE = 16 * 1024
#: Seconds a connection may stay open without a request.
IDLE_TIME = 30
#: Seconds a reader may take nothing of what waits for it.
STALL_TIME = 10.0
#: Connections of one listener.
CONNECTIONS = 20_000

# -- sockets --------------------------------------------------------------


def split_address(address: str) -> tuple[str, int]:
    """ ":8888" -> ("", 8888), "[::1]:8888" -> ("::1", 8888)."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def bind(address: str) -> socket.socket:
    """A listening socket; without a host on all interfaces, IPv4 and IPv6.

    Raises:
        OSError: with a message for people: what is wrong with this address.
    """
    host, port = split_address(address)
    if not host and socket.has_dualstack_ipv6():
        candidates: list[tuple[int, Any]] = [(socket.AF_INET6, ("::", port)), (socket.AF_INET, ("0.0.0.0", port))]
    elif not host:
        candidates = [(socket.AF_INET, ("0.0.0.0", port))]
    else:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise OSError(error.errno, f"{host!r} is no address of this machine") from None
        candidates = [(int(item[0]), item[4]) for item in found[:1]]
    for number, (family, target) in enumerate(candidates):
        try:
            return _listen(family, target)
        except OSError as error:
            # a kernel without IPv6: the next candidate does
            if number + 1 < len(candidates) and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                continue
            raise OSError(error.errno, _explain(error, port)) from None
    raise AssertionError("unreachable")


def _listen(family: int, target: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if target[0] == "::" else 1)
        sock.setblocking(False)
        sock.bind(target)
        sock.listen(2048)
    except BaseException:
        sock.close()
        raise
    return sock


def _explain(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program"
    if error.errno == errno.EACCES:
        return f"port {port} is not allowed for this user (ports below 1024 usually are not)"
    if error.errno == errno.EADDRNOTAVAIL:
        return "it is no address of this machine"
    return error.strerror or str(error)


def peer_address(scope: Scope) -> str:
    """The client's IP address, without the IPv6 form of an IPv4 one."""
    client = scope.get("client")
    return str(client[0]).removeprefix("::ffff:") if client else ""


def _peer(scope: Scope) -> str:
    """The client's address and port, as log lines have them; "" where there is none, as on a Unix socket."""
    address = peer_address(scope)
    if not address:
        return ""
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{scope['client'][1]}"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed; None means asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


# -- uvicorn --------------------------------------------------------------


class _Signal:
    """An `asyncio.Event` for one who waits, at a tenth of its size."""

    __slots__ = ("_is_set", "_waiter")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        self._is_set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    async def wait(self) -> bool:
        while not self._is_set:
            if self._waiter is None or self._waiter.done():
                self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return True


class _Deadlines:
    """Mixed into a uvicorn protocol: bounds on a request's headers, on idling, on readers who do not read.

    It tells an app cheaply that a client has left (`rtspkit.waiting`), and keeps small what a connection and a
    request that is held cost: there may be thousands of both.
    """

    # with these four and five more in its __dict__ each connection would cost a kilobyte more
    __slots__ = ("_early", "_head_begun", "_head_size", "_head_timer", "_stall_timer", "leaving")

    if TYPE_CHECKING:
        cycle: Any
        flow: Any
        loop: asyncio.AbstractEventLoop
        transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)  # type: ignore[misc]
        self.flow._is_writable_event = _Signal(is_set=True)
        self.leaving: Waiter | None = None  # is told when the client leaves
        self._early = b""
        self._head_size = 0
        self._head_begun = False
        self._stall_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(IDLE_TIME, self._close)

    def _start_asgi_task(self, cycle: Any, app: App) -> None:  # httptools only: with h11 both are as uvicorn has them
        cycle.message_event = _Signal()
        super()._start_asgi_task(cycle, OwnReply(self, cycle, app))  # type: ignore[misc]

    def _awaits_request(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def data_received(self, data: bytes) -> None:
        if self._early or not (self._awaits_request() or self.cycle.more_body):
            # the next request comes before this one is answered: it waits, and nothing more is read meanwhile
            self._early += data
            self.transport.pause_reading()
            return
        if self._awaits_request():
            self._head_size += len(data)
            if self._head_size > HEADER_SIZE:
                self.transport.write(
                    # without cache-control: it is about this request alone, and a cache must not give it to others
                    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                )
                self._close()
                return
        super().data_received(data)  # type: ignore[misc]
        if not self._awaits_request() or self.transport.is_closing():
            self._stop_head_timer()
            self._head_size, self._head_begun = 0, False
        elif not self._head_begun:
            self._stop_head_timer()
            self._head_begun = True
            self._head_timer = self.loop.call_later(HEADER_TIME, self._close)

    def on_response_complete(self) -> None:
        self.cycle.scope.pop("extensions", None)
        super().on_response_complete()  # type: ignore[misc]
        if self._early:
            self.loop.call_soon(self._take_early)

    def _take_early(self) -> None:
        if self.transport.is_closing() or not self._awaits_request():
            return
        data, self._early = self._early, b""
        self.data_received(data)
        if not self._early and not self.transport.is_closing():
            self.transport.resume_reading()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close(self) -> None:
        self._stop_head_timer()
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[misc]
        self._watch_stall(self._unread())

    def resume_writing(self) -> None:
        super().resume_writing()  # type: ignore[misc]
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _unread(self) -> int:
        """Bytes the reader has not acknowledged: our own and the kernel's, which may hold megabytes of them."""
        own = self.transport.get_write_buffer_size()
        try:
            answer = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, AttributeError):
            return own
        return own + int.from_bytes(answer, sys.byteorder)

    def _watch_stall(self, size: int) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        self._stall_timer = self.loop.call_later(STALL_TIME, self._check_stall, size)

    def _check_stall(self, before: int) -> None:
        size = self._unread()
        if size >= before:
            self.transport.abort()
        else:
            self._watch_stall(size)

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(error)  # type: ignore[misc]
        if self.leaving is not None:
            resolve(self.leaving, Outcome.LEFT)
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None


@cache
def _protocol() -> type[asyncio.Protocol]:
    if importlib.util.find_spec("httptools") is not None:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Base
    else:
        from uvicorn.protocols.http.h11_impl import H11Protocol as Base  # type: ignore[assignment]
    return type("Protocol", (_Deadlines, Base), {})


class Server:
    """One app on one listening socket, in the running loop.

    Attributes:
        port: where it listens.
    """

    def __init__(self, app: Any, sock: socket.socket) -> None:
        self.port: int = sock.getsockname()[1]
        self._sock = sock
        config = uvicorn.Config(
            app,
            interface="asgi3",
            http=_protocol(),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # addresses in headers are anybody's claim
            server_header=False,
            timeout_keep_alive=IDLE_TIME,
            h11_max_incomplete_event_size=HEADER_SIZE,
            limit_concurrency=CONNECTIONS,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._clock: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to answer."""
        await self._server.on_tick(0)  # the Date header
        await self._server.startup(sockets=[self._sock])
        self._clock = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self._server.on_tick(0)

    async def close(self, grace: float = 0.8) -> None:
        """Stops to listen, lets replies end for `grace` seconds, then cuts them off."""
        if self._clock is None:
            self._sock.close()
            return
        self._clock.cancel()
        for server in self._server.servers:
            server.close()
        state = self._server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        deadline = time.monotonic() + grace
        while state.connections or state.tasks:  # a request takes another turn to notice that its client has left
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        for task in list(state.tasks):
            task.cancel()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        self._sock.close()


# -- the app --------------------------------------------------------------


class _Asset:
    """A file of the pages, with its gzip form and its ETag."""

    def __init__(self, body: bytes, content_type: str, cache_control: str) -> None:
        self.body = body
        self.packed = gzip.compress(body, 9, mtime=0)
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'.encode()
        self.content_type = content_type.encode()
        self.cache_control = cache_control.encode()


@cache
def _load_asset(name: str) -> _Asset | None:
    found = asset(name)
    # the player's own files belong to the page that names them; hls.js changes with a release only
    return found and _Asset(*found, "public, max-age=3600" if name == "hls.min.js" else "no-cache")


def _header(scope: Scope, name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")


async def _reply(scope: Scope, send: Send, status: int, headers: Sequence[Header], body: bytes = b"") -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _dressed(send: Send) -> Send:
    """Adds what belongs to every reply: the pages' policy, and that types are what they say."""

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: list[Header] = list(message.get("headers", ()))
            if any(key == b"content-type" and value.startswith(b"text/html") for key, value in headers):
                headers.append((b"content-security-policy", CONTENT_SECURITY_POLICY.encode()))
            if not any(key == b"x-content-type-options" for key, _ in headers):
                headers.append((b"x-content-type-options", b"nosniff"))
            message = {**message, "headers": headers}
        await send(message)

    return dressed


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    """As `HLSApp` does it; any page may read why."""
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"cache-control", b"max-age=1"),
        (b"retry-after", b"1"),
        (b"access-control-allow-origin", b"*"),
    ]
    await _reply(scope, send, status, headers, f"{text}\n".encode())


class _Counted:
    """What goes to one viewer of a path: counted, and said in the log where he is a new one."""

    __slots__ = ("_is_fresh", "_is_playlist", "_path", "_reply", "_send")

    def __init__(self, path: Path, send: Send, reply: Reply | None, *, is_playlist: bool, is_fresh: bool) -> None:
        self._path = path
        self._send = send
        self._reply = reply
        self._is_playlist = is_playlist
        self._is_fresh = is_fresh

    async def send(self, message: Message) -> None:
        path = self._path
        if message["type"] == "http.response.body":
            path.outbound_bytes += len(message.get("body", b""))
        elif message["type"] == "http.response.start":
            status = message["status"]
            if path.viewers.limit and status < 400:
                rule = b"private, no-store" if self._is_playlist else b"private, max-age=3600, immutable"
                headers = [item for item in message["headers"] if bytes(item[0]).lower() != b"cache-control"]
                message = {**message, "headers": [*headers, (b"cache-control", rule)]}
            if self._is_fresh and status == 200:
                count = len(path.viewers)
                readers = f"{count} reader{'' if count == 1 else 's'}"
                logger("HLS", f"muxer {path.name}").info("is being read by %s", readers)
        await self._send(message)

    def reply(self, status: int, headers: Sequence[Header], body: Sequence[bytes]) -> bool:
        """The extension `REPLY`; where more is to be done than to count, the answer takes the usual way."""
        path = self._path
        if self._reply is None or self._is_fresh or path.viewers.limit or not self._reply(status, headers, body):
            return False
        path.outbound_bytes += sum(map(len, body))
        return True


class Front:
    """What listens on `hlsAddress`: pages, then viewers counted, then the `HLSApp`.

    Args:
        app: serves the paths.
        manager: knows them.
    """

    def __init__(self, app: HLSApp | App, manager: PathManager) -> None:
        self._app: Any = app
        self._manager = manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        target: str = scope["path"]
        folder, _, name = target.rpartition("/")
        if scope["method"] in ("GET", "HEAD"):
            if target == "/":
                await self._index(scope, _dressed(send))
                return
            if name.endswith((".js", ".css")) and (not folder or self._manager.find(folder[1:]) is not None):
                found = _load_asset(name)
                if found is not None:
                    await self._asset(scope, _dressed(send), found)
                    return
        playlist = name.endswith(".m3u8")
        path = self._manager.find(folder[1:]) or self._manager.find(folder.rpartition("/")[0][1:])
        if path is None or not name:
            scope.get("extensions", {}).pop(REPLY, None)  # what is sent at once would go past what is added here
            await self._app(scope, receive, _dressed(send))
            return
        fresh = False
        if playlist and scope["method"] == "GET":
            admitted, fresh = path.admit(peer_address(scope), _header(scope, b"user-agent").decode("latin-1"))
            if not admitted:
                limit = path.viewers.limit
                text = f"path {path.name!r} has its {limit} readers (maxReaders): try again later"
                await _refuse(scope, _dressed(send), 503, text)
                return
        if path.muxer is None and name.endswith(".mp4"):
            # media of an earlier run: a cache that asks for them is no reason to start a camera
            await _refuse(scope, _dressed(send), 503, "this stream has ended; it may come back")
            return
        if path.muxer is None:  # it may be started by this one
            VIEWER.set(_peer(scope))
        extensions = scope.setdefault("extensions", {})
        counted = _Counted(path, send, extensions.get(REPLY), is_playlist=playlist, is_fresh=fresh)
        extensions[REPLY] = counted.reply
        path.enter()
        try:
            await self._app(scope, receive, counted.send)
        finally:
            path.leave()

    async def _index(self, scope: Scope, send: Send) -> None:
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-cache")]
        await _reply(scope, send, 200, headers, index_page([path.name for path in self._manager]))

    async def _asset(self, scope: Scope, send: Send, found: _Asset) -> None:
        headers = [(b"etag", found.etag), (b"cache-control", found.cache_control), (b"vary", b"accept-encoding")]
        if found.etag in _header(scope, b"if-none-match"):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        headers.append((b"content-type", found.content_type))
        body = found.body
        if b"gzip" in _header(scope, b"accept-encoding"):
            headers.append((b"content-encoding", b"gzip"))
            body = found.packed
        await _reply(scope, send, 200, headers, body)
