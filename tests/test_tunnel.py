"""RTSP in an HTTP tunnel against a scripted web server with a camera behind it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from certificates import certificates
from httptunnel import TunnelServer
from sockets import reset_at_close

import rtspkit
from rtspkit import CameraOptions
from rtspkit.client import connect
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.links import Link
from rtspkit.memory import CameraMemory
from rtspkit.testing import ScriptedCamera
from rtspkit.testing.credentials import Basic, Digest
from rtspkit.ticker import Ticker
from rtspkit.tunnel import TunnelLink, _Requests

QUICK = replace(DEFAULT_LIMITS, connect_timeout=0.5, reply_timeout=0.5, media_timeout=4.0)
OPTIONS = CameraOptions(limits=QUICK)


@pytest.fixture
async def tunnel() -> AsyncIterator[Callable[..., Any]]:
    """`await tunnel(vice=…)` gives a running `TunnelServer` and the camera behind it."""
    async with AsyncExitStack() as stack:

        async def make(*faults: Any, **vices: Any) -> tuple[TunnelServer, ScriptedCamera]:
            camera = await stack.enter_async_context(ScriptedCamera(*faults))
            server = await stack.enter_async_context(TunnelServer(camera.port, **vices))
            return server, camera

        yield make


async def plays(url: str, options: CameraOptions = OPTIONS, **arguments: Any) -> rtspkit.Camera:
    """Connects and reads some units; the camera is closed."""
    session = await connect(url, options=options, **arguments)
    count = 0
    async with asyncio.timeout(10):
        async for _ in session:
            count += 1
            if count == 10:
                break
    await session.close()
    return session


# -- it plays -------------------------------------------------------------------


async def test_what_is_asked(tunnel: Callable[..., Any]) -> None:
    server, camera = await tunnel()
    session = await plays(server.url + "?channel=1")
    assert camera.methods() == ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY", "TEARDOWN"]
    assert {seen.uri for seen in camera.requests[:2]} == {f"rtsp://127.0.0.1:{server.port}/test?channel=1"}
    assert session.stats().packets_lost == 0
    get, post = server.asked
    assert (get.method, post.method, get.target, post.target) == ("GET", "POST", *["/test?channel=1"] * 2)
    assert get.headers["x-sessioncookie"] == post.headers["x-sessioncookie"]
    assert get.headers["accept"] == post.headers["content-type"] == "application/x-rtsp-tunnelled"
    assert post.headers["content-length"] == "32767"
    assert get.headers["host"] == f"127.0.0.1:{server.port}"
    async with asyncio.timeout(5):
        while server.connections:  # noqa: ASYNC110 - both are closed
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "vices",
    [
        {"post": b"HTTP/1.0 200 OK\r\n\r\n"},
        {"post": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
        {"post": b"HTTP/1.0 200 OK\r\n\r\n", "post_waits": True},  # Axis horn speakers
        {"get": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"},
        {"get": b"HTTP/1.0 200 OK\nContent-type: application/octet-stream\n\n"},
        {"drip": True},
        {"chunked": 1},
        {"post_size": 300},
    ],
    ids=str,
)
async def test_servers_as_they_are(tunnel: Callable[..., Any], vices: dict[str, Any]) -> None:
    server, _ = await tunnel(**vices)
    session = await plays(server.url)
    assert session.stats().packets_lost == 0
    assert (len(server.asked) > 2) == ("post_size" in vices)


@pytest.mark.parametrize("vices", [{}, {"chunked": 5000}, {"post_size": 300}], ids=str)
async def test_over_tls(tunnel: Callable[..., Any], vices: dict[str, Any]) -> None:
    certificate = certificates().own
    server, camera = await tunnel(tls=certificate.server(), **vices)
    session = await plays(server.url, replace(OPTIONS, fingerprint=certificate.fingerprint))
    assert session.stats().packets_lost == 0
    assert camera.requests[0].uri == f"rtsps://127.0.0.1:{server.port}/test"


async def test_another_certificate(tunnel: Callable[..., Any]) -> None:
    server, _ = await tunnel(tls=certificates().own.server())
    with pytest.raises(rtspkit.CertificateError, match="another certificate"):
        await connect(server.url, options=replace(OPTIONS, fingerprint=certificates().good.fingerprint))
    assert not server.asked


@pytest.mark.parametrize("chunked", [None, 1000])
async def test_fragments_at_the_tick(tunnel: Callable[..., Any], chunked: int | None) -> None:
    server, camera = await tunnel(chunked=chunked)
    session = await connect(server.url, options=OPTIONS, ticker=Ticker(0.02))
    assert isinstance(session._link, TunnelLink)
    assert session._link._is_plain is (chunked is None)  # compiled code reads what is as it is
    fragments: list[rtspkit.Fragment] = []
    streaming = asyncio.ensure_future(session.stream(fragments.append))
    async with asyncio.timeout(10):
        while len(fragments) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await session.close()
    await streaming
    assert camera.methods()[-1] == "TEARDOWN"


async def test_the_length_a_post_announces_is_a_fiction(tunnel: Callable[..., Any]) -> None:
    server, camera = await tunnel()
    session = await connect(server.url, options=OPTIONS)
    assert session._link is not None
    request = b"OPTIONS * RTSP/1.0\r\nCSeq: 9000\r\nX-Padding: %b\r\n\r\n" % bytes(2000).replace(b"\0", b"x")
    for _ in range(30):
        session._link.send(request)
        await asyncio.sleep(0.01)
    await camera.wait_for("OPTIONS", 31)
    assert server.methods() == ["GET", "POST"]
    await session.close()


# -- credentials -----------------------------------------------------------------


@pytest.mark.parametrize("protects", [("GET",), ("POST",), ("GET", "POST")])
@pytest.mark.parametrize("kind", [Digest, Basic])
async def test_credentials_of_the_web_server(
    tunnel: Callable[..., Any], kind: Callable[..., Any], protects: tuple[str, ...]
) -> None:
    server, _ = await tunnel(credentials=kind("admin", "secret"), protects=protects)
    await plays(server.url)
    assert server.asked[0].headers.get("authorization") is None


async def test_a_nonce_for_each_request(tunnel: Callable[..., Any]) -> None:
    """The POST wants another one than the GET: it is made again, with what was said in it."""
    server, camera = await tunnel(credentials=Digest("admin", "secret", nonce_life=1))
    await plays(server.url)
    assert server.methods()[:4] == ["GET", "GET", "POST", "POST"]
    assert camera.methods().count("OPTIONS") == 1


async def test_credentials_inside_and_outside(tunnel: Callable[..., Any]) -> None:
    server, camera = await tunnel(credentials=Digest("admin", "secret"))
    camera.credentials = Digest("admin", "secret")
    await plays(server.url)


@pytest.mark.parametrize("protects", [("GET",), ("POST",)])
async def test_wrong_credentials(tunnel: Callable[..., Any], protects: tuple[str, ...]) -> None:
    server, camera = await tunnel(credentials=Digest("admin", "secret"), protects=protects)
    with pytest.raises(rtspkit.AuthenticationError, match="refuses the user name or the password") as caught:
        await connect(server.url.replace("secret", "hunter2"), options=OPTIONS)
    assert "hunter2" not in str(caught.value)
    assert server.methods().count(protects[0]) == 2  # cameras lock accounts
    assert not camera.requests


@pytest.mark.parametrize("protects", [("GET",), ("POST",)])
async def test_credentials_that_are_missing(tunnel: Callable[..., Any], protects: tuple[str, ...]) -> None:
    server, _ = await tunnel(credentials=Digest("admin", "secret"), protects=protects)
    with pytest.raises(rtspkit.AuthenticationError, match="the URL has none"):
        await connect(server.url.replace("admin:secret@", ""), options=OPTIONS)


async def test_basic_is_not_answered_where_digest_was(tunnel: Callable[..., Any]) -> None:
    server, _ = await tunnel(credentials=Digest("admin", "secret"))
    memory = CameraMemory()
    await plays(server.url, memory=memory)
    server.credentials = Basic("admin", "secret")
    server.asked.clear()
    with pytest.raises(rtspkit.AuthenticationError, match="offers only Basic"):
        await connect(server.url, options=OPTIONS, memory=memory)
    assert not any("authorization" in asked.headers for asked in server.asked)


# -- servers that will not -------------------------------------------------------


@pytest.mark.parametrize(
    ("get", "kind", "match"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", rtspkit.ResponseError, "refuses RTSP over HTTP: 404 Not Found; does it"),
        (b"HTTP/1.0 503 Busy\r\n\r\n", rtspkit.ResponseError, "refuses RTSP over HTTP: 503 Busy"),
        (b"HTTP/1.0 302 Found\r\n\r\n", rtspkit.ResponseError, "where to go is of no use"),
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", rtspkit.RemoteProtocolError, "with a web page"),
        (b"RTSP/1.0 400 Bad Request\r\n\r\n", rtspkit.RemoteProtocolError, "speaks RTSP, not HTTP; is it rtsp://"),
        (b"\x15\x03\x01\x00\x02\x02\x0a", rtspkit.RemoteProtocolError, "does not speak HTTP"),
        (b"HTTP/1.0 OK\r\n\r\n", rtspkit.RemoteProtocolError, "does not speak HTTP"),
        (
            b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
            rtspkit.RemoteProtocolError,
            "more than 128 HTTP header",
        ),
        (b"HTTP/1.0 200 OK\r\nX: " + b"y" * 200_000, rtspkit.RemoteProtocolError, "HTTP headers of more than"),
        (b"HTTP/1.0 200 OK\r\n", rtspkit.TimeoutExceeded, "does not answer GET within 0.5 s"),
        (b"", rtspkit.TimeoutExceeded, "does not answer GET within 0.5 s"),
    ],
)
async def test_answers_that_are_no_tunnel(
    tunnel: Callable[..., Any], get: bytes, kind: type[Exception], match: str
) -> None:
    server, camera = await tunnel(get=get, protects=(), credentials=Basic("admin", "secret"))
    if not get.endswith(b"\r\n\r\n") and kind is rtspkit.TimeoutExceeded:
        server._get = lambda asked, writer: hold(writer, get)
    with pytest.raises(kind, match=match) as caught:
        await connect(server.url, options=OPTIONS)
    assert str(caught.value).startswith(f"127.0.0.1:{server.port} ")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not camera.requests


async def hold(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await asyncio.sleep(2)


async def test_a_server_that_hangs_up(tunnel: Callable[..., Any]) -> None:
    server, _ = await tunnel(get=b"")

    async def hang_up(*_: Any) -> None:
        pass

    server._get = hang_up
    with pytest.raises(rtspkit.ConnectionLost, match="hangs up instead of answering GET; is it rtsp://"):
        await connect(server.url, options=OPTIONS)


async def test_headers_that_drip_have_the_same_time(tunnel: Callable[..., Any]) -> None:
    server, _ = await tunnel()

    async def drip(_: Any, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 100:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    server._get = drip
    with pytest.raises(rtspkit.TimeoutExceeded, match="does not answer GET"):
        await connect(server.url, options=OPTIONS)


async def test_a_server_that_resets_what_it_has_just_allowed(tunnel: Callable[..., Any]) -> None:
    server, _ = await tunnel()

    async def allow(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        reset_at_close(writer.get_extra_info("socket"))
        writer.transport.abort()

    server._get = allow
    with pytest.raises(rtspkit.ConnectionLost, match="reset by peer"):
        await connect(server.url, options=OPTIONS)


async def test_a_post_that_cannot_be_made_ends_the_conversation_at_once(
    tunnel: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = await tunnel(post_size=10)
    send, posts = _Requests.send, []

    async def once(self: _Requests, method: str) -> Link:
        posts.extend([method] * (method == "POST"))
        if len(posts) > 1:
            raise rtspkit.TimeoutExceeded("cannot be reached any more")
        return await send(self, method)

    monkeypatch.setattr(_Requests, "send", once)
    with pytest.raises(rtspkit.TimeoutExceeded, match="cannot be reached any more"):
        await connect(server.url, options=CameraOptions(limits=replace(QUICK, reply_timeout=5.0)))


@pytest.mark.parametrize(
    ("post", "match"),
    [
        (b"HTTP/1.0 405 Method Not Allowed\r\n\r\n", "refuses RTSP over HTTP: 405 Method Not Allowed"),
        (b"RTSP/1.0 400 Bad Request\r\n\r\n", "speaks RTSP, not HTTP"),
    ],
)
async def test_a_post_that_is_refused(tunnel: Callable[..., Any], post: bytes, match: str) -> None:
    server, _ = await tunnel(post=post)
    server._post = lambda asked, reader, writer: hold(writer, post)
    with pytest.raises(rtspkit.RtspkitError, match=match):
        await connect(server.url, options=OPTIONS)


async def test_a_post_whose_answer_does_not_end(tunnel: Callable[..., Any]) -> None:
    server, _ = await tunnel()
    server._post = lambda asked, reader, writer: hold(writer, b"HTTP/1.0 200 OK\r\n\r\n" + bytes(400_000))
    with pytest.raises(rtspkit.RemoteProtocolError, match="does not come to an end"):
        await connect(server.url, options=OPTIONS)


@pytest.mark.parametrize("location", ["http://127.0.0.1:{port}/test", "rtsp://127.0.0.1:{port}/test", "/test"])
async def test_redirects(tunnel: Callable[..., Any], location: str) -> None:
    there, _ = await tunnel()
    here, camera = await tunnel(credentials=Basic("admin", "secret"), protects=())
    here.get = f"HTTP/1.0 302 Found\r\nLocation: {location.format(port=there.port)}\r\n\r\n".encode()
    if location.startswith("http:"):
        await plays(here.url)
        assert not any("authorization" in asked.headers for asked in there.asked)
        assert not camera.requests
    else:  # an RTSP port says nothing of where HTTP is: it is the same server again
        with pytest.raises(rtspkit.ResponseError, match="redirects more than 3 times"):
            await connect(here.url, options=OPTIONS)


async def test_no_redirect_leads_out_of_tls(tunnel: Callable[..., Any]) -> None:
    certificate = certificates().own
    get = b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/test\r\n\r\n"
    server, _ = await tunnel(tls=certificate.server(), get=get)
    with pytest.raises(rtspkit.ResponseError, match="redirect from rtsps to rtsp is not followed"):
        await connect(server.url, options=replace(OPTIONS, fingerprint=certificate.fingerprint))


# -- while it plays ---------------------------------------------------------------


@pytest.mark.parametrize("ticker", [None, Ticker(0.02)])
async def test_the_get_ends(tunnel: Callable[..., Any], ticker: Ticker | None) -> None:
    server, camera = await tunnel()
    session = await connect(server.url, options=OPTIONS, ticker=ticker)
    asyncio.get_running_loop().call_later(0.3, camera.drop)
    with pytest.raises(rtspkit.ConnectionLost, match="closed the connection"):
        await asyncio.wait_for(session.stream(lambda _: None), 5)
    await session.close()
    async with asyncio.timeout(5):
        while server.connections:  # noqa: ASYNC110 - the POST ends with it
            await asyncio.sleep(0.01)


async def talk(session: rtspkit.Camera, streaming: asyncio.Future[None]) -> None:
    """Says something again and again, until the stream ends; raises what it ends with."""
    for _ in range(100):
        session._send(b"OPTIONS * RTSP/1.0\r\nCSeq: 9000\r\nX: %b\r\n\r\n" % (b"x" * 200))
        await asyncio.wait((streaming,), timeout=0.02)
        if streaming.done():
            await streaming


@pytest.mark.parametrize("chunked", [None, 1000])
async def test_the_next_post_is_refused(tunnel: Callable[..., Any], chunked: int | None) -> None:
    """MediaMTX takes one POST a tunnel."""
    server, _ = await tunnel(post_size=1000, chunked=chunked)
    session = await connect(server.url, options=OPTIONS, ticker=Ticker(0.02))
    streaming = asyncio.ensure_future(session.stream(lambda _: None))
    await asyncio.sleep(0.1)
    server._post = lambda asked, reader, writer: hold(writer, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(rtspkit.ConnectionLost, match="refuses RTSP over HTTP: 400"):
        await talk(session, streaming)
    await session.close()


async def test_no_post_can_be_made_any_more(tunnel: Callable[..., Any]) -> None:
    server, camera = await tunnel(post_size=700)
    session = await connect(server.url, options=OPTIONS, ticker=Ticker(0.02))
    assert server._server is not None
    server._server.close()
    streaming = asyncio.ensure_future(session.stream(lambda _: None))
    with pytest.raises(rtspkit.ConnectionLost, match=f"127.0.0.1:{server.port} .*refused"):
        await talk(session, streaming)
    await session.close()
    assert camera.methods()[:5] == ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY"]


async def test_chunks_that_are_none(tunnel: Callable[..., Any]) -> None:
    server, _ = await tunnel(get=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(rtspkit.ConnectionLost, match=re.compile("no length before a chunk", re.I)):
        await connect(server.url, options=OPTIONS)
