"""Listening sockets, the deadlines of a public server, and what stands in front of `HLSApp`; on both HTTP parsers."""

import asyncio
import contextlib
import errno
import gzip
import logging
import socket
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path as FilePath
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from test_server_paths import QUICK, FakeNetwork, running

from rtspkit.asgi import HLSApp, PathNotFound
from rtspkit.server import http
from rtspkit.server.http import Front, Server, bind, loop_factory, split_address
from rtspkit.server.replies import OwnReply
from rtspkit.server.web import player_page
from rtspkit.waiting import REPLY


@pytest.fixture(params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each HTTP parser in turn."""
    name: str = request.param
    if name == "httptools":
        pytest.importorskip("httptools")
    else:
        monkeypatch.setattr(http.importlib.util, "find_spec", lambda _: None)
    http._protocol.cache_clear()
    yield name
    http._protocol.cache_clear()


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[Server]:
    server = Server(app, bind("127.0.0.1:0"))
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


class Wire:
    """A transport that keeps what is written to it, call by call."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.calls.append(b"".join(pieces))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


LONG = bytes(100_000)


def messages(status: int, headers: list[tuple[bytes, bytes]], *body: bytes) -> list[dict[str, Any]]:
    """What an app sends."""
    start = {"type": "http.response.start", "status": status, "headers": headers}
    pieces = [
        {"type": "http.response.body", "body": piece, "more_body": number < len(body)}
        for number, piece in enumerate(body, 1)
    ]
    return [start, *pieces]


def length(size: int) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % size


async def sent(
    answer: list[dict[str, Any]],
    *,
    is_ours: bool,
    method: str = "GET",
    keep_alive: bool = True,
    at_once: bool = False,
) -> Wire:
    """What uvicorn writes when an app answers so, by itself or as we have it; "failed" where it refuses to."""
    impl = pytest.importorskip("uvicorn.protocols.http.httptools_impl")
    wire = Wire()
    cycle = impl.RequestResponseCycle(
        scope={"type": "http", "method": method, "http_version": "1.1", "headers": []},
        transport=wire,
        flow=impl.FlowControl(wire),
        logger=logging.getLogger("nobody"),
        access_logger=logging.getLogger("nobody"),
        access_log=False,
        default_headers=[(b"date", b"today")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: wire.write(b"|completed"),
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(RuntimeError):
            if at_once:
                start, *rest = answer
                body = tuple(message["body"] for message in rest if message["body"])
                assert scope["extensions"][REPLY](start["status"], start["headers"], body)
                return
            for message in answer:
                await send(message)
            return
        wire.write(b"|failed")

    await cycle.run_asgi(OwnReply(SimpleNamespace(cycle=cycle), cycle, app) if is_ours else app)
    return wire


@pytest.mark.parametrize("body", [(b"body",), (), (b"a", LONG, b"b")], ids=len)
async def test_a_reply_at_once_is_that_of_uvicorn(body: tuple[bytes, ...]) -> None:
    answer = messages(200, [length(sum(map(len, body)))], *(body or (b"",)))
    ours, theirs = [await sent(answer, is_ours=is_ours, at_once=is_ours) for is_ours in (True, False)]
    assert b"".join(ours.calls) == b"".join(theirs.calls)


@pytest.mark.parametrize(
    "answer",
    [
        messages(200, [length(4), (b"etag", b'"1"')], b"body"),
        messages(200, [length(0)], b""),
        messages(503, [length(100_008)], LONG, b"", b"and more"),
        messages(200, [length(100_001)], b"a", LONG),
        messages(200, [(b"Content-Length", b"4")], b"body"),
        messages(200, [], b"no", b"length"),
        messages(200, [(b"transfer-encoding", b"chunked")], b"body"),
        messages(200, [length(4), (b"connection", b"close")], b"body"),
        messages(204, []),
        messages(204, [], b""),
        messages(304, [(b"etag", b'"1"')], b""),
        messages(304, [length(7)], b""),
        messages(200, [length(4)], b"longer"),
        messages(200, [length(40)], b"shorter"),
        messages(200, [length(40)], b"shorter", b""),
        messages(200, [length(4), (b"x", b"a\r\nb: c")], b"body"),
        messages(200, [length(4), (b"a b", b"")], b"body"),
        messages(200, [(b"content-length", b"four")], b"body"),
        messages(200, [length(4)], b"body") + messages(200, [length(4)], b"body"),
        messages(200, [length(4)]),
        messages(200, [length(4)]) * 2,
        messages(200, [length(4)], b"body")[1:],
        [],
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False])
async def test_a_reply_is_what_uvicorn_would_have_sent(
    answer: list[dict[str, Any]], method: str, keep_alive: bool
) -> None:
    ours = await sent(answer, is_ours=True, method=method, keep_alive=keep_alive)
    theirs = await sent(answer, is_ours=False, method=method, keep_alive=keep_alive)
    written, expected = b"".join(ours.calls), b"".join(theirs.calls)
    if b"failed" in expected or not expected.endswith(b"|completed"):  # no half of it is better than one
        assert expected.startswith(written.partition(b"|")[0])
        assert (b"failed" in written) is (b"failed" in expected)
    else:
        assert written == expected
    assert ours.closed is theirs.closed


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (messages(200, [length(4)], b"body"), [4]),
        (messages(200, [length(100_008)], LONG, b"and more"), [100_000, 8]),
        (messages(200, [length(100_001)], b"a", LONG), [1, 100_000]),
    ],
)
async def test_the_head_of_a_reply_goes_out_with_its_body(answer: list[dict[str, Any]], calls: list[int]) -> None:
    """In one call of the system: thousands of replies are sent at one instant."""
    first, *rest = (await sent(answer, is_ours=True)).calls
    assert [len(first.partition(b"\r\n\r\n")[2]), *map(len, rest[:-1])] == calls


async def read_all(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 5)
    return b""


# -- sockets --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":8888", ("", 8888)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]:2", ("::1", 2)),
        ("cam.local:3", ("cam.local", 3)),
    ],
)
def test_split_address(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


def test_no_host_means_every_interface() -> None:
    with bind(":0") as sock:
        port = sock.getsockname()[1]
        for host in ("127.0.0.1", "127.3.2.1", "::1"):
            with contextlib.suppress(OSError) if ":" in host else contextlib.nullcontext():
                socket.create_connection((host, port), 1).close()


def test_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    real = http._listen

    def listen(family: int, target: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no")
        return real(family, target)

    monkeypatch.setattr(http, "_listen", listen)
    with bind(":0") as sock:
        assert sock.getsockname()[0] == "0.0.0.0"


def test_port_in_use() -> None:
    with bind("127.0.0.1:0") as sock:
        port = sock.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f":{port}"):
            with pytest.raises(OSError, match=f"port {port} is in use by another program"):
                bind(address)


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no-such-host.invalid:0"])
def test_address_of_somebody_else(address: str) -> None:
    with pytest.raises(OSError, match="no address of this machine"):
        bind(address)


# -- deadlines ------------------------------------------------------------


async def test_answers(parser: str) -> None:
    async with serving(hello) as server, httpx.AsyncClient() as client:
        for _ in range(3):
            reply = await client.get(f"http://127.0.0.1:{server.port}/")
            assert reply.text == "hello"
            assert "server" not in reply.headers
            assert reply.headers["date"].endswith("GMT")
            head = await client.head(f"http://127.0.0.1:{server.port}/")  # on the same connection
            assert (head.status_code, head.headers["content-length"], head.content) == (200, "5", b"")


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /"]
)
async def test_slow_headers_end_the_connection(parser: str, head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEADER_TIME", 0.3)
    async with serving(hello) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head)
        started = time.monotonic()
        closed = asyncio.create_task(read_all(reader))
        for _ in range(60):  # a byte now and then buys no time
            if closed.done():
                break
            writer.write(b"x")
            await asyncio.sleep(0.05)
        await closed
        assert 0.2 < time.monotonic() - started < 2
        writer.close()


async def test_silent_connections_end(parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_TIME", 0.2)
    async with serving(hello) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        started = time.monotonic()
        assert await read_all(reader) == b""
        assert time.monotonic() - started < 1.0
        writer.close()


@pytest.mark.parametrize("part", [b"GET /" + b"x" * 20_000, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 4000])
async def test_endless_headers_are_refused(parser: str, part: bytes) -> None:
    async with serving(hello) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(part)
        reply = await read_all(reader)
        assert reply == b"" or reply.split(b" ")[1] in (b"431", b"400")
        writer.close()


async def test_requests_ahead_of_time_wait_for_their_turn(parser: str) -> None:
    """Three, one behind the other, while the first is held; then all are answered, in order."""
    held = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/0":
            await held.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    async with serving(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for number in range(3):
            writer.write(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            await asyncio.sleep(0.05)
        held.set()
        bodies = []
        async with asyncio.timeout(5):
            for _ in range(3):
                await reader.readuntil(b"\r\n\r\n")
                bodies.append(await reader.readexactly(2))
        assert bodies == [b"/0", b"/1", b"/2"]
        writer.close()


async def test_a_flood_of_requests_behind_one_that_is_held_is_not_read(parser: str) -> None:
    held = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await held.wait()
        await hello(scope, receive, send)

    async with serving(app) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.1)
            sock.setblocking(False)
            sent = 0
            for _ in range(200):
                with contextlib.suppress(BlockingIOError):
                    sent += sock.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4000)
                await asyncio.sleep(0.005)
            assert sent < 12 << 20  # what fits the kernel's buffers: 20 MB and more were taken
            held.set()


async def test_reader_who_does_not_read_is_cut_off(parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "STALL_TIME", 0.2)
    ended = asyncio.Event()

    async def big(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for _ in range(200):
                await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        finally:
            ended.set()

    async with serving(big) as server:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(ended.wait(), 3)
            assert loop.is_running()


async def test_reader_who_reads_slowly_is_not(parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "STALL_TIME", 0.2)

    async def big(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"12000000")]})
        for number in range(12):
            await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": number < 11})

    async with serving(big) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        got, started = 0, time.monotonic()
        while got < 12_000_000:
            data = await reader.read(500_000)
            assert data, "cut off"
            got += len(data)
            if time.monotonic() - started < 1.0:
                await asyncio.sleep(0.05)
        assert got == 12_000_000
        writer.close()


async def test_closing_does_not_wait_for_viewers(parser: str) -> None:
    async def forever(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    async with serving(forever) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.05)
        started = time.monotonic()
        await server.close()
        assert time.monotonic() - started < 1.0
        await read_all(reader)
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


def test_loop_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None


def test_versions_of_uvicorn_that_may_be_installed() -> None:
    """`Server` and `_Deadlines` use what uvicorn does not promise: from the oldest tried, up to the next major."""
    project = tomllib.loads((FilePath(__file__).parent.parent / "pyproject.toml").read_text())
    assert "uvicorn>=0.30,<1" in project["project"]["optional-dependencies"]["server"]


# -- the front ------------------------------------------------------------


@contextlib.asynccontextmanager
async def front(
    network: FakeNetwork, hold: float = 0.3, **options: Any
) -> AsyncIterator[tuple[Any, Any, httpx.AsyncClient]]:
    async with running(network, **options) as (manager, path):

        def page(name: str) -> bytes:
            if manager.find(name) is None:
                raise PathNotFound("no")
            return player_page(name)

        app = Front(HLSApp(manager, player_page=page, hold=hold), manager)
        transport = httpx.ASGITransport(app=app, client=("192.0.2.8", 1))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield path, network, client


async def test_pages_and_their_files() -> None:
    async with front(FakeNetwork()) as (path, _, client):
        page = await client.get("/cam/")
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert (await client.get("/cam")).headers["location"] == "./cam/"
        index = await client.get("/")
        assert 'href="./cam/"' in index.text
        for name in ("hls.min.js", "player.js", "player.css"):
            for folder in ("", "/cam"):
                reply = await client.get(f"{folder}/{name}", headers={"accept-encoding": "identity"})
                assert reply.status_code == 200
                packed = await client.get(f"{folder}/{name}", headers={"accept-encoding": "gzip"})
                assert packed.headers["content-encoding"] == "gzip"
                assert packed.content == reply.content
                assert int(packed.headers["content-length"]) < len(reply.content)
                etag = reply.headers["etag"]
                again = await client.get(f"{folder}/{name}", headers={"if-none-match": etag})
                assert (again.status_code, again.content) == (304, b"")
                head = await client.head(f"{folder}/{name}", headers={"accept-encoding": "identity"})
                assert (head.content, head.headers["content-length"]) == (b"", str(len(reply.content)))
        assert (await client.get("/none/player.js")).status_code == 404
        assert (await client.get("/cam/none.js")).status_code == 404
        assert path.outbound_bytes > 0


async def test_every_page_has_its_policy(parser: str) -> None:
    """Whatever way the server would have for a short answer."""
    async with running(FakeNetwork()) as (manager, _):
        app = HLSApp(manager, player_page=player_page)
        async with serving(Front(app, manager)) as server, httpx.AsyncClient() as client:
            for address in ("/", "/cam/"):
                page = await client.get(f"http://127.0.0.1:{server.port}{address}")
                assert page.status_code == 200
                assert "script-src 'self'" in page.headers["content-security-policy"]


async def test_playlists_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    network = FakeNetwork()
    async with front(network) as (path, _, client):
        camera = await network.camera()
        camera.send(4)
        for agent in ("a", "b", "a"):
            assert (await client.get("/cam/stream.m3u8", headers={"user-agent": agent})).status_code == 200
        assert len(path.viewers) == 2
        playlist = await client.get("/cam/stream.m3u8")
        assert "public" not in playlist.headers["cache-control"]
        name = next(line for line in playlist.text.splitlines() if "seg_" in line)
        before = path.outbound_bytes
        segment = await client.get(f"/cam/{name}")
        assert segment.headers["cache-control"] == "public, max-age=3600, immutable"
        assert path.outbound_bytes == before + len(segment.content)


@pytest.mark.parametrize("limit", [0, 10])
async def test_who_has_waited_is_answered_as_everybody(parser: str, limit: int) -> None:
    """At once where the parser's protocol can, and where nothing is special; each is counted once."""
    extra = ["", "accept-encoding: gzip\r\n", "range: bytes=0-6\r\n", 'if-none-match: "x"\r\n', "connection: close\r\n"]
    network = FakeNetwork()
    async with running(network, max_readers=limit) as (manager, path):
        app = HLSApp(manager, hold=5.0)
        async with serving(Front(app, manager)) as server, contextlib.AsyncExitStack() as stack:
            camera = await network.camera()
            streams = [await asyncio.open_connection("127.0.0.1", server.port) for _ in [*extra, "HEAD"]]
            for _, writer in streams:
                stack.callback(writer.close)
            for method, lines, (_, writer) in zip(["GET"] * 5 + ["HEAD"], [*extra, ""], streams, strict=True):
                for name in ("index", "stream"):  # with the first one the viewer is no new one any more
                    writer.write(
                        f"{method} /cam/{name}.m3u8 HTTP/1.1\r\nhost: a\r\n{lines * (name != 'index')}\r\n".encode()
                    )
            async with asyncio.timeout(5):
                while sum(bell.count for bell in app._bells.values()) < len(streams):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            before = path.outbound_bytes
            camera.send(4)
            assert (path.outbound_bytes > before) is (parser == "httptools" and not limit)
            texts = []
            for number, (reader, writer) in enumerate(streams):
                writer.write(b"GET /cam/none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                texts.append((await read_all(reader)).split(b"HTTP/1.1 ")[2:])
                assert len(texts[-1]) == (1 if number == 4 else 2), "and it is there for the next request"
            sent = [b"HTTP/1.1 " + replies[0] for replies in texts]
            assert [one.partition(b" ")[2][:3] for one in sent] == [b"200", b"200", b"206", b"200", b"200", b"200"]
            plain, zipped, part, other, last, head = (one.partition(b"\r\n\r\n")[2] for one in sent)
            assert plain == gzip.decompress(zipped) == other == last
            assert plain.startswith(b"#EXTM3U")
            assert (part, head) == (plain[:7], b"")
            assert all((b"private, no-store" in one) is bool(limit) for one in sent)
            assert path.outbound_bytes >= before + 3 * len(plain) + len(zipped) + 7
        assert path._requests == 0


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("192.0.2.8", 4711), "192.0.2.8:4711"),
        (("::ffff:192.0.2.8", 4711), "192.0.2.8:4711"),
        (("2001:db8::1", 4711), "[2001:db8::1]:4711"),
        (None, "a viewer"),
    ],
)
async def test_on_demand_the_log_says_who_has_asked_first(
    client: Any, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "rtspkit.server")
    network = FakeNetwork()
    async with running(network, source_on_demand=True) as (manager, _):
        app = Front(HLSApp(manager, hold=0.3), manager)

        async def ask(client: Any) -> int:
            transport = httpx.ASGITransport(app=app, client=client)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as asking:
                return (await asking.get("/cam/index.m3u8")).status_code

        others = [("198.51.100.1", 1), ("198.51.100.2", 2)]
        asking = [asyncio.create_task(ask(one)) for one in (client, *others)]
        (await network.camera()).send(4)
        assert await asyncio.gather(*asking) == [200, 200, 200]
    created = [line for line in caplog.messages if "[muxer cam] created" in line]
    assert created == [f"[HLS] [muxer cam] created (requested by {expected})"]


async def test_limit_of_readers() -> None:
    network = FakeNetwork()
    async with front(network, max_readers=2) as (path, _, client):
        camera = await network.camera()
        camera.send(4)
        for agent, status in (("a", 200), ("b", 200), ("c", 503), ("a", 200)):
            reply = await client.get("/cam/stream.m3u8", headers={"user-agent": agent})
            assert reply.status_code == status
            if status == 200:
                assert reply.headers.get_list("cache-control") == ["private, no-store"]
            else:
                assert reply.headers["retry-after"] == "1"
                assert reply.headers["cache-control"] == "max-age=1"
        name = next(
            line
            for line in (await client.get("/cam/stream.m3u8", headers={"user-agent": "b"})).text.splitlines()
            if "seg_" in line
        )
        segment = await client.get(f"/cam/{name}")
        assert segment.headers.get_list("cache-control") == ["private, max-age=3600, immutable"]
        assert path._requests == 0


async def test_not_ready_and_not_there() -> None:
    network = FakeNetwork()
    network.answer = None
    async with front(network) as (path, _, client):
        reply = await client.get("/cam/index.m3u8")
        assert reply.status_code == 503
        assert reply.headers["retry-after"] == "1"
        assert (await client.get("/none/index.m3u8")).status_code == 404
        assert path._requests == 0
    async with front(network, hold=5.0, timing=replace(QUICK, hold=5.0)) as (path, _, client):
        started = time.monotonic()
        old = await client.get("/cam/0123456789abcdef/seg_7.mp4")
        assert (old.status_code, old.headers["retry-after"]) == (503, "1")
        assert time.monotonic() - started < 2  # it is not held
        assert path._requests == 0
