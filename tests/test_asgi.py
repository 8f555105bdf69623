"""The viewer's HTTP: in memory through httpx, over sockets through uvicorn, mounted in Starlette and FastAPI."""

import asyncio
import contextlib
import gc
import gzip
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fragments import VIDEO_SMALL, Source
from real.decoders import decode, streams
from real.parts import require_ffmpeg
from real.playlists import read_media
from starlette.applications import Starlette
from starlette.routing import Mount
from test_muxer import FIRST, feed, get, make, text

from rtspkit import aac, asgi, h264
from rtspkit.asgi import HLSApp, NotReady, PathNotFound
from rtspkit.media import AccessUnit, H264Parameters, Track
from rtspkit.muxer import Muxer, Response
from rtspkit.store import DirectoryStore
from rtspkit.waiting import REPLY


def playing(**options: object) -> Muxer:
    muxer = make(**options)
    feed(muxer, Source(gop=2, size=3000), 12)
    return muxer


def client(app: Any, **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, **options)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers={"accept-encoding": "identity"})


@pytest.fixture
def muxer() -> Muxer:
    return playing()


@pytest.fixture
async def http(muxer: Muxer) -> AsyncIterator[httpx.AsyncClient]:
    def page(path: str) -> bytes:
        if path not in {"cam", "site/gate.1"}:
            raise PathNotFound(f"the path {path} is not configured")
        return f"<p>{path}".encode()

    async with client(HLSApp({"cam": muxer, "site/gate.1": muxer}, player_page=page)) as session:
        yield session


def media_url(muxer: Muxer, file: str = f"seg_{FIRST}.mp4") -> str:
    return f"/cam/{muxer.epoch}/{file}"


# -- the table --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["cam", "site/gate.1"])
async def test_the_table_of_addresses(http: httpx.AsyncClient, muxer: Muxer, path: str) -> None:
    for name, kind, cache in [
        ("", "text/html; charset=utf-8", "no-cache"),
        ("index.m3u8", "application/vnd.apple.mpegurl", "public, max-age=10"),
        ("stream.m3u8", "application/vnd.apple.mpegurl", "max-age=0, s-maxage=2"),
        (f"{muxer.epoch}/init_0.mp4", "video/mp4", "public, max-age=3600, immutable"),
        (f"{muxer.epoch}/seg_{FIRST}.mp4", "video/mp4", "public, max-age=3600, immutable"),
    ]:
        answer = await http.get(f"/{path}/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["content-type"] == kind
        assert answer.headers["cache-control"] == cache
        assert answer.headers["access-control-allow-origin"] == "*"
        assert {"Age", "Date"} <= set(answer.headers["access-control-expose-headers"].split(", "))
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert "set-cookie" not in answer.headers
        head = await http.head(f"/{path}/{name}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers == answer.headers


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/", 404),
        ("", 404),
        ("/nobody/", 404),
        ("/nobody", 404),
        ("/nobody/index.m3u8", 404),
        ("/nobody/stream.m3u8", 404),
        ("/stream.m3u8", 404),
        ("//stream.m3u8", 404),
        ("/cam//stream.m3u8", 404),
        ("/cam/../cam/stream.m3u8", 200),  # the client itself makes /cam/stream.m3u8 of it
        ("/cam/%2e%2e/cam/stream.m3u8", 404),
        ("/cam%00/stream.m3u8", 404),
        ("/cam%0d%0aSet-Cookie:x/stream.m3u8", 404),
        ("/cam/0123/seg_1.mp4", 503),
        (f"/cam/{'0' * 32}/init_0.mp4", 503),
        (f"/nobody/{'0' * 32}/init_0.mp4", 404),
        ("/cam/EPOCH/seg_1.mp4", 404),
        ("/cam/EPOCH/seg_99999999999999999999.mp4", 404),
        ("/cam/EPOCH/seg_01700000000.mp4", 404),
        ("/cam/EPOCH/part_1_2.mp4", 404),
        ("/cam/EPOCH/../../etc/passwd", 404),
        ("/cam/EPOCH/seg_1.ts", 404),
        ("/cam/stream.m3u8?_HLS_msn=1&_HLS_msn=1", 400),
        ("/cam/stream.m3u8?_HLS_msn=-1", 400),
        ("/cam/stream.m3u8?_HLS_msn=", 400),
        ("/cam/stream.m3u8?_HLS_msn=1.5", 400),
        ("/cam/stream.m3u8?_HLS_msn=0x10", 400),
        ("/cam/stream.m3u8?_HLS_msn=%D9%A1", 400),
        ("/cam/stream.m3u8?_HLS_msn=" + "9" * 400, 400),
        (f"/cam/stream.m3u8?_HLS_msn={FIRST + 5}", 400),
        (f"/cam/stream.m3u8?_HLS_msn={FIRST + 3}", 200),
        (f"/cam/stream.m3u8?_HLS_msn={FIRST}&_HLS_part=0", 200),
        ("/cam/stream.m3u8?_HLS_part=0", 400),
        (f"/cam/stream.m3u8?_HLS_msn={FIRST}&_HLS_part=x", 400),
        ("/cam/stream.m3u8?session=1&x[]=%ff&&=&_HLS_skip=YES", 200),
        ("/cam/index.m3u8?_HLS_msn=x", 200),
    ],
)
async def test_statuses(http: httpx.AsyncClient, muxer: Muxer, url: str, status: int) -> None:
    answer = await http.get(url.replace("EPOCH", muxer.epoch))
    assert answer.status_code == status
    if status >= 400:
        assert answer.headers["cache-control"] == "max-age=1"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text.endswith("\n")
        assert answer.text.count("\n") == 1
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers.get("retry-after") == ("1" if status == 503 else None)


async def test_the_address_without_its_slash_leads_to_the_page(http: httpx.AsyncClient) -> None:
    for url, target in [
        ("/cam", "/cam/"),
        ("/site/gate.1", "/site/gate.1/"),
        ("/cam?muted=no&a=b%20c", "/cam/?muted=no&a=b%20c"),
    ]:
        answer = await http.get(url)
        assert answer.status_code == 302
        location = answer.headers["location"]
        assert not location.startswith(("/", "http"))
        assert str(answer.url.join(location)) == f"http://gateway{target}"
        assert (await http.get(answer.url.join(location))).status_code == 200


async def test_without_a_page_there_is_nothing_at_its_address(muxer: Muxer) -> None:
    async with client(HLSApp({"cam": muxer})) as http:
        for url in ("/cam", "/cam/"):
            answer = await http.get(url)
            assert answer.status_code == 404
            assert "index.m3u8" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
async def test_other_methods(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/cam/stream.m3u8", content=b"x" * 100_000)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert answer.headers["cache-control"] == "max-age=1"


async def test_preflight(http: httpx.AsyncClient) -> None:
    answer = await http.options("/cam/stream.m3u8", headers={"origin": "http://page"})
    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "*" in answer.headers["access-control-allow-headers"]


async def test_origins_may_be_restricted(muxer: Muxer) -> None:
    app = HLSApp({"cam": muxer}, allow_origin=["https://a.example", "https://b.example"])
    async with client(app) as http:
        for origin, allowed in [("https://b.example", "https://b.example"), ("https://c.example", None), (None, None)]:
            answer = await http.get("/cam/stream.m3u8", headers={"origin": origin} if origin else {})
            assert answer.status_code == 200
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert "origin" in answer.headers["vary"]


# -- validators, ranges, compression ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["index.m3u8", "stream.m3u8", "EPOCH/init_0.mp4", f"EPOCH/seg_{FIRST}.mp4"])
async def test_validators(http: httpx.AsyncClient, muxer: Muxer, name: str) -> None:
    url = "/cam/" + name.replace("EPOCH", muxer.epoch)
    etag = (await http.get(url)).headers["etag"]
    for condition in (etag, f'"x", {etag}', "*", etag.removeprefix("W/"), f"W/{etag.removeprefix('W/')}"):
        answer = await http.get(url, headers={"if-none-match": condition})
        assert (answer.status_code, answer.content) == (304, b""), condition
        assert answer.headers["etag"] == etag
        assert "cache-control" in answer.headers
    assert (await http.get(url, headers={"if-none-match": '"x"'})).status_code == 200


@pytest.mark.parametrize("name", ["stream.m3u8", "EPOCH/init_0.mp4", f"EPOCH/seg_{FIRST}.mp4"])
async def test_ranges(http: httpx.AsyncClient, muxer: Muxer, name: str) -> None:
    url = "/cam/" + name.replace("EPOCH", muxer.epoch)
    whole = (await http.get(url)).content
    size = len(whole)
    assert (await http.get(url)).headers["accept-ranges"] == "bytes"
    for asked, start, stop in [
        ("0-0", 0, 1),
        ("10-19", 10, 20),
        (f"5-{size * 2}", 5, size),
        ("100-", 100, size),
        ("-7", size - 7, size),
        (f"-{size * 3}", 0, size),
        (f"0-{size - 1}", 0, size),
    ]:
        answer = await http.get(url, headers={"range": f"bytes={asked}", "accept-encoding": "gzip"})
        assert answer.status_code == 206, asked
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.content == whole[start:stop]
        assert "content-encoding" not in answer.headers
    for asked in (f"{size}-", "99999999-999999999", "-0"):
        answer = await http.get(url, headers={"range": f"bytes={asked}"})
        assert answer.status_code == 416, asked
        assert answer.headers["content-range"] == f"bytes */{size}"
        assert answer.headers["cache-control"] == "max-age=1"  # as any error
    assert (await http.head(url, headers={"range": "bytes=0-0"})).headers["content-length"] == str(size)
    for odd in ("bytes=0-1,5-6", "bytes=5-2", "lines=1-2", "bytes=-", "bytes=a-b", "bytes=1-2-3"):
        answer = await http.get(url, headers={"range": odd})
        assert (answer.status_code, answer.content) == (200, whole), odd


async def test_a_range_goes_across_fragments(http: httpx.AsyncClient, muxer: Muxer) -> None:
    whole = (await http.get(media_url(muxer))).content
    first = len(get(muxer, f"{muxer.epoch}/seg_{FIRST}.mp4").body[0])  # type: ignore[index]
    for start, stop in [(first - 3, first + 3), (first, first + 1), (first - 1, first), (1, len(whole) - 1)]:
        answer = await http.get(media_url(muxer), headers={"range": f"bytes={start}-{stop - 1}"})
        assert answer.content == whole[start:stop]


async def test_a_range_of_another_version_is_not_given(http: httpx.AsyncClient, muxer: Muxer) -> None:
    etag = (await http.get(media_url(muxer))).headers["etag"]
    for condition, status in [
        (etag, 206),
        ('"other"', 200),
        (f"W/{etag}", 200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 200),
    ]:
        answer = await http.get(media_url(muxer), headers={"range": "bytes=0-9", "if-range": condition})
        assert answer.status_code == status


async def test_a_weak_validator_gives_no_range() -> None:
    """Not even its own: two versions may share it, and their bytes must not be put together."""

    class Weak:
        def get(self, name: str, msn: int | None = None, part: int | None = None, skip: bool = False) -> Response:
            return Response(200, (), (b"0123456789",), 'W/"v1"')

    app = HLSApp({"cam": Weak()})  # type: ignore[dict-item]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for condition, status in [(None, 206), ('W/"v1"', 200), ('"v1"', 200)]:
            headers = {"range": "bytes=0-3"} | ({} if condition is None else {"if-range": condition})
            answer = await client.get("/cam/index.m3u8", headers=headers)
            assert (answer.status_code, len(answer.content)) == (status, 4 if status == 206 else 10)


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip, deflate, br", True),
        ("GZIP", True),
        ("gzip; q=0.5", True),
        ("gzip;q=0", False),
        ("identity, gzip;q=0.000", False),
        ("br", False),
        ("x-gzip-not", False),
        ("", False),
    ],
)
async def test_compression(http: httpx.AsyncClient, muxer: Muxer, accepted: str, zipped: bool) -> None:
    plain = text(get(muxer, "stream.m3u8"))
    async with http.stream("GET", "/cam/stream.m3u8", headers={"accept-encoding": accepted}) as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == ("gzip" if zipped else None)
    assert "accept-encoding" in answer.headers["vary"]
    assert int(answer.headers["content-length"]) == len(raw)
    assert (gzip.decompress(raw) if zipped else raw).decode() == plain
    media = await http.get(media_url(muxer), headers={"accept-encoding": accepted})
    assert "content-encoding" not in media.headers


async def test_a_segment_is_sent_buffer_by_buffer(muxer: Muxer) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is to be read")

    scope = {"type": "http", "method": "GET", "path": media_url(muxer), "headers": [], "query_string": b""}
    await HLSApp({"cam": muxer})(scope, receive, send)
    body = get(muxer, f"{muxer.epoch}/seg_{FIRST}.mp4").body
    assert isinstance(body, tuple)
    assert [id(message["body"]) for message in sent[1:]] == [id(buffer) for buffer in body]
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(body) - 1) + [False]


async def test_segments_from_a_directory(tmp_path: Path) -> None:
    muxer = playing(store=DirectoryStore(tmp_path))
    body = get(muxer, f"{muxer.epoch}/seg_{FIRST}.mp4").body
    assert isinstance(body, Path)
    whole = body.read_bytes()
    async with client(HLSApp({"cam": muxer})) as http:
        assert (await http.get(media_url(muxer))).content == whole
        assert (await http.head(media_url(muxer))).headers["content-length"] == str(len(whole))
        part = await http.get(media_url(muxer), headers={"range": "bytes=1000-280000"})
        assert part.content == whole[1000:280_001]
        body.unlink()
        assert (await http.get(media_url(muxer))).status_code == 404


async def test_who_leaves_while_a_file_is_opened_keeps_none_open(tmp_path: Path) -> None:
    """A FIFO opens when somebody writes to it: by then nobody wants it any more."""
    path = tmp_path / "segment"
    os.mkfifo(path)
    opening = asyncio.create_task(asgi._opened(path))
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    descriptor = await asyncio.to_thread(os.open, path, os.O_WRONLY)
    try:
        async with asyncio.timeout(5):
            while True:
                await asyncio.sleep(0.01)
                try:
                    os.write(descriptor, b"x")
                except BrokenPipeError:  # no reader is left
                    break
    finally:
        os.close(descriptor)


# -- waiting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "size", "headers", "is_whole"),
    [
        ("GET", 3000, {}, True),
        ("GET", 30_000, {}, False),
        ("HEAD", 3000, {}, False),
        ("GET", 3000, {b"range": b"bytes=0-6"}, False),
        ("GET", 3000, {b"if-none-match": b'"x"'}, False),
    ],
)
async def test_what_is_short_is_given_to_the_server_as_a_whole(
    method: str, size: int, headers: dict[bytes, bytes], is_whole: bool
) -> None:
    """What is long goes as its reader takes it."""
    muxer = make()
    feed(muxer, Source(gop=2, size=size), 12)
    given: list[tuple[bytes, ...]] = []
    messages: list[Any] = []

    def reply(status: int, lines: Any, body: tuple[bytes, ...]) -> bool:
        assert (status, dict(lines)[b"content-length"]) == (200, b"%d" % sum(map(len, body)))
        given.append(body)
        return True

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        raise AssertionError

    scope = {
        **{"type": "http", "method": method, "path": media_url(muxer), "headers": list(headers.items())},
        "extensions": {REPLY: reply},
    }
    await HLSApp({"cam": muxer})(scope, receive, send)
    assert (len(given) == 1, not messages) == (is_whole, is_whole)
    body = muxer.get(media_url(muxer).removeprefix("/cam/")).body  # type: ignore[union-attr]
    assert given == [body] * is_whole
    if size == 30_000:
        assert b"".join(message.get("body", b"") for message in messages) == b"".join(body)  # type: ignore[arg-type]


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_playlist_that_does_not_exist_yet_is_waited_for() -> None:
    muxer = make((VIDEO_SMALL,))
    app = HLSApp({"cam": muxer})
    async with client(app) as http, asyncio.TaskGroup() as group:
        asked = [group.create_task(http.get("/cam/stream.m3u8")) for _ in range(50)]
        await until(lambda: app._bells and app._bells[muxer].count == 50)
        assert len(muxer._subscribers) == 1
        feed(muxer, Source((VIDEO_SMALL,)), 5)
    answers = [task.result() for task in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert read_media(answers[0].text).media_sequence == FIRST
    assert not app._bells
    assert not muxer._subscribers


async def test_nobody_waits_for_ever() -> None:
    muxer = make()
    app = HLSApp({"cam": muxer}, hold=0.05)
    assert HLSApp({}, hold=100)._hold == 8
    async with client(app) as http:
        answer = await http.get("/cam/stream.m3u8")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["cache-control"] == "max-age=1"
    assert not app._bells


async def test_the_end_of_a_muxer_lets_everybody_go() -> None:
    muxer = make()
    app = HLSApp({"cam": muxer})
    async with client(app) as http, asyncio.TaskGroup() as group:
        asked = group.create_task(http.get("/cam/stream.m3u8"))
        await until(lambda: app._bells)
        muxer.close()
    assert asked.result().status_code == 503
    assert not app._bells


async def test_media_are_never_waited_for() -> None:
    muxer = make()
    async with client(HLSApp({"cam": muxer})) as http, asyncio.timeout(1):
        assert (await http.get(media_url(muxer))).status_code == 404


class Paths:
    """A provider that behaves as told."""

    def __init__(self, **muxers: Muxer | Exception | float) -> None:
        self.muxers = muxers
        self.asked: list[str] = []
        self.cancelled = 0

    async def muxer(self, path: str) -> Muxer:
        self.asked.append(path)
        found = self.muxers.get(path, PathNotFound(f"the path {path} is not configured"))
        if isinstance(found, float):
            try:
                await asyncio.sleep(found)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return playing()
        if isinstance(found, Exception):
            raise found
        return found


async def test_a_provider_is_asked_for_each_path(muxer: Muxer) -> None:
    paths = Paths(cam=muxer, later=0.02, never=60.0, away=NotReady("the camera is away", retry_after=3))
    app = HLSApp(paths, hold=0.2)
    async with client(app) as http:
        answers = {name: await http.get(f"/{name}/stream.m3u8") for name in ("cam", "later", "never", "away", "other")}
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "cam": 200,
        "later": 200,
        "never": 503,
        "away": 503,
        "other": 404,
    }
    assert answers["away"].headers["retry-after"] == "3"
    assert answers["away"].text == "the camera is away\n"
    assert answers["other"].text == "the path other is not configured\n"
    await asyncio.sleep(0)
    assert paths.cancelled == 1


async def test_a_provider_that_has_it_at_hand_is_not_awaited(muxer: Muxer) -> None:
    class AtHand(Paths):
        def get(self, path: str) -> Muxer | None:
            return muxer if path == "cam" else None

    paths = AtHand(other=muxer)
    async with client(HLSApp(paths)) as http:
        assert (await http.get("/cam/stream.m3u8")).status_code == 200
        assert (await http.get("/other/stream.m3u8")).status_code == 200
        assert (await http.get("/third/stream.m3u8")).status_code == 404
    assert paths.asked == ["other", "third"]


async def test_who_has_waited_in_vain_is_told_why() -> None:
    class Telling(Paths):
        def reason(self, path: str) -> str:
            return f"{path} sends no sync sample"

    async with client(HLSApp(Telling(cam=make()), hold=0.05)) as http:
        answer = await http.get("/cam/stream.m3u8")
    assert (answer.status_code, answer.text) == (503, "the stream has not begun yet: cam sends no sync sample\n")


async def test_a_failure_of_the_provider_is_not_hidden() -> None:
    async with client(HLSApp(Paths(cam=ZeroDivisionError()))) as http:
        with pytest.raises(ZeroDivisionError):
            await http.get("/cam/stream.m3u8")


# -- over sockets -----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """A uvicorn on a free port, in this loop."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, **options))
    task = asyncio.create_task(server.serve([listener]))
    try:
        await until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@pytest.mark.parametrize("protocol", ["h11", "httptools"])
async def test_uvicorn_serves_it(muxer: Muxer, protocol: str) -> None:
    app = HLSApp({"site/cam": muxer}, player_page=lambda _path: b"page")
    async with serving(app, http=protocol) as url, httpx.AsyncClient(base_url=url) as http:
        index = await http.get("/site/cam/index.m3u8")
        stream = await http.get(index.url.join("stream.m3u8"))
        assert stream.headers["content-encoding"] == "gzip"
        assert "date" in stream.headers
        playlist = read_media(stream.text)
        for segment in playlist.segments:
            assert segment.init is not None
            assert (await http.get(stream.url.join(segment.init))).content[4:8] == b"ftyp"
            media = await http.get(stream.url.join(segment.uri))
            body = get(muxer, segment.uri).body
            assert isinstance(body, tuple)
            assert media.content == b"".join(body)
        assert (await http.get("/site/cam", follow_redirects=True)).content == b"page"
        assert (await http.head("/site/cam/stream.m3u8")).content == b""
        assert (await http.post("/site/cam/stream.m3u8", content=b"x")).status_code == 405
        again = await http.get(stream.url, headers={"if-none-match": stream.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize("protocol", ["h11", "httptools"])
async def test_a_viewer_who_leaves_is_not_waited_for(protocol: str) -> None:
    muxer = make()
    paths = Paths(cam=muxer, slow=60.0)
    app = HLSApp(paths)
    async with serving(app, http=protocol) as url:
        port = int(url.rpartition(":")[2])
        writers = []
        for name in ("cam", "cam", "cam", "slow"):
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET /{name}/stream.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            writers.append(writer)
        await until(lambda: app._bells and app._bells[muxer].count == 3)
        await asyncio.sleep(0.05)
        for writer in writers:
            writer.close()
        async with asyncio.timeout(1):
            await until(lambda: not app._bells and paths.cancelled == 1)
    assert not muxer._subscribers


async def test_a_slow_viewer_is_sent_the_segment_it_asked_for() -> None:
    muxer = make(segment_count=3)
    source = Source(gop=2, size=60_000)
    feed(muxer, source, 12)
    expected = b"".join(get(muxer, f"{muxer.epoch}/seg_{FIRST}.mp4").body)  # type: ignore[arg-type]
    async with serving(HLSApp({"cam": muxer})) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]), limit=4096)
        writer.write(f"GET {media_url(muxer)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        feed(muxer, source, 40)  # it has long left the store
        assert get(muxer, f"{muxer.epoch}/seg_{FIRST}.mp4").status == 404
        assert await reader.read(-1) == expected
        writer.close()


def mounted(kind: str, app: HLSApp) -> tuple[Any, str]:
    match kind:
        case "alone":
            return app, ""
        case "starlette":
            return Starlette(routes=[Mount("/hls", app)]), "/hls"
        case "nested":
            return Starlette(routes=[Mount("/a", Starlette(routes=[Mount("/b", app)]))]), "/a/b"
        case _:
            fastapi = FastAPI()
            fastapi.mount("/live", app)
            return fastapi, "/live"


@pytest.mark.parametrize("kind", ["alone", "starlette", "nested", "fastapi"])
async def test_it_may_be_mounted_anywhere(muxer: Muxer, kind: str) -> None:
    app, prefix = mounted(kind, HLSApp({"cam": muxer, "x/cam": muxer}, player_page=lambda _path: b"page"))
    async with client(app) as http:
        await check_mounted(http, muxer, prefix)
    async with serving(app) as url, httpx.AsyncClient(base_url=url) as http:
        await check_mounted(http, muxer, prefix)


async def check_mounted(http: httpx.AsyncClient, muxer: Muxer, prefix: str) -> None:
    for path in ("cam", "x/cam"):
        page = await http.get(f"{prefix}/{path}", follow_redirects=True)
        assert (page.status_code, page.content, page.url.path) == (200, b"page", f"{prefix}/{path}/")
        index = await http.get(page.url.join("index.m3u8"))
        stream = await http.get(index.url.join("stream.m3u8"))
        assert stream.text == text(get(muxer, "stream.m3u8"))
        segment = read_media(stream.text).segments[0]
        assert (await http.get(stream.url.join(segment.uri))).status_code == 200


async def test_behind_a_proxy_that_says_where_it_is(muxer: Muxer) -> None:
    app = HLSApp({"cam": muxer}, player_page=lambda _path: b"page")
    async with serving(app, root_path="/video") as url, httpx.AsyncClient(base_url=url) as http:
        # the proxy has taken /video away
        assert (await http.get("/cam/stream.m3u8")).status_code == 200
        assert (await http.get("/cam", follow_redirects=False)).headers["location"] == "./cam/"


@pytest.mark.parametrize("is_taken", [True, False])
async def test_mounted_behind_a_proxy(muxer: Muxer, is_taken: bool) -> None:
    """An application that is told its prefix at the proxy, which takes it away or does not."""
    inner = Starlette(routes=[Mount("/hls", HLSApp({"cam": muxer}, player_page=lambda _path: b"page"))])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "root_path": "/proxy"}, receive, send)

    async with client(app) as http:
        base = "/hls" if is_taken else "/proxy/hls"
        assert (await http.get(f"{base}/cam/stream.m3u8")).status_code == 200
        assert (await http.get(f"{base}/cam")).headers["location"] == "./cam/"
        assert (await http.get(f"{base}/hls/cam/stream.m3u8")).status_code == 404


async def test_a_mapping_is_read_anew_at_each_request(muxer: Muxer) -> None:
    muxers: dict[str, Muxer] = {}
    provider: Mapping[str, Muxer] = muxers
    async with client(HLSApp(provider)) as http:
        assert (await http.get("/cam/stream.m3u8")).status_code == 404
        muxers["cam"] = muxer
        assert (await http.get("/cam/stream.m3u8")).status_code == 200


async def test_who_has_left_is_told_nothing(muxer: Muxer, caplog: pytest.LogCaptureFixture) -> None:
    class Late(Paths):
        async def muxer(self, path: str) -> Muxer:
            await asyncio.sleep(0)
            raise NotReady("too late")

    async def receive() -> Any:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/cam/stream.m3u8", "headers": [], "query_string": b""}
    for provider in (Late(), {"cam": make()}):
        await HLSApp(provider)(scope, receive, send)
    gc.collect()
    await asyncio.sleep(0)
    assert not caplog.records
    assert {message.get("status", 503) for message in sent} <= {503}


async def test_websockets_are_turned_away() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await HLSApp({})({"type": "websocket", "path": "/"}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


# -- real readers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Twenty seconds of H.264 (Annex B, GOP of 2 s, 25 pictures a second) and AAC (ADTS) made by ffmpeg."""
    require_ffmpeg()
    directory = tmp_path_factory.mktemp("clip")
    command = [
        *("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=20"),
        *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=20"),
        *("-map", "0:v", "-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "high", "-pix_fmt", "yuv420p"),
        *("-bf", "0", "-g", "50", "-x264-params", "scenecut=0", "-f", "h264", str(directory / "video.h264")),
        *("-map", "1:a", "-c:a", "aac", "-b:a", "64k", "-f", "adts", str(directory / "audio.aac")),
    ]
    subprocess.run(command, check=True, timeout=100)
    return (directory / "video.h264").read_bytes(), (directory / "audio.aac").read_bytes()


def access_units(clip: tuple[bytes, bytes]) -> tuple[tuple[Track, ...], list[AccessUnit]]:
    """The clip as a camera would give it: units of both tracks in the order of their times."""
    nals = h264.split_annexb(clip[0])
    kinds = [h264.nal_type(nal) for nal in nals]
    sps, pps = nals[kinds.index(h264.NAL_SPS)], nals[kinds.index(h264.NAL_PPS)]
    config, sound = aac.split_adts(clip[1])
    video = Track(0, "video", "h264", 90_000, H264Parameters(sps, (pps,)))
    audio = Track(1, "audio", "aac", 48_000, config)
    units = []
    for index, picture in enumerate(h264.access_units(nals)):
        kept = [nal for nal in picture if h264.nal_type(nal) not in {h264.NAL_SPS, h264.NAL_PPS, h264.NAL_AUD}]
        arrival = 1000.0 + index / 25
        units.append(AccessUnit(video, index * 3600, h264.is_sync(kept), h264.join_avcc(kept), arrival))
    units += [AccessUnit(audio, i * 1024, True, data, 1000.0 + i * 1024 / 48_000) for i, data in enumerate(sound)]
    return (video, audio), sorted(units, key=lambda unit: unit.arrival)


@pytest.mark.real
@pytest.mark.parametrize("where", ["memory", "directory"])
async def test_ffmpeg_reads_it_without_one_error(clip: tuple[bytes, bytes], where: str, tmp_path: Path) -> None:
    tracks, units = access_units(clip)
    store = DirectoryStore(tmp_path / "hls") if where == "directory" else None
    muxer = Muxer(tracks, segment_count=20, store=store, now=1000.0, wall=1_767_866_400.0)
    for unit in units:
        muxer.write_unit(unit)
    muxer.interrupt()
    assert [segment.duration for segment in read_media(text(get(muxer, "stream.m3u8"))).segments] == [4.0] * 5

    hls = HLSApp({"cam": muxer})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/cam/ended.m3u8":
            body = text(get(muxer, "stream.m3u8")) + "#EXT-X-ENDLIST\n"
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body.encode()})
        else:
            await hls(scope, receive, send)

    async with serving(app) as url:
        live, recorded = f"{url}/cam/index.m3u8", f"{url}/cam/ended.m3u8"
        found = {stream["codec_name"]: stream for stream in await asyncio.to_thread(streams, live)}
        assert set(found) == {"h264", "aac"}
        assert (found["h264"]["width"], found["h264"]["height"]) == (640, 360)
        assert found["h264"]["avg_frame_rate"] == "25/1"
        assert found["aac"]["sample_rate"] == "48000"
        decoded = await asyncio.to_thread(decode, recorded, 60)
    sent = {kind: sum(unit.track.kind == kind for unit in units) for kind in ("video", "audio")}
    assert decoded.frames["video"] == sent["video"] == 500
    assert abs(decoded.frames["audio"] - sent["audio"]) <= 1  # the decoder's own delay


@pytest.mark.real
async def test_ffmpeg_reads_on_over_a_discontinuity(clip: tuple[bytes, bytes]) -> None:
    tracks, units = access_units(clip)
    muxer = Muxer(tracks, segment_count=20, now=1000.0, wall=1_767_866_400.0)
    for start in (0.0, 5000.0):  # the camera comes back with another clock
        for unit in units:
            moved = unit.pts + round(start * unit.track.clock_rate)
            muxer.write_unit(AccessUnit(unit.track, moved, unit.is_sync, unit.data, unit.arrival + start))
        muxer.interrupt()
    playlist = read_media(text(get(muxer, "stream.m3u8")))
    assert [segment.starts_discontinuity for segment in playlist.segments] == [False] * 5 + [True] + [False] * 4
    media = {}
    for segment in playlist.segments:
        for uri in (segment.init, segment.uri):
            assert uri is not None
            body = get(muxer, uri).body
            assert isinstance(body, tuple)
            media[uri] = b"".join(body)
    # one timeline: the segments behind one init section are a file, from the first sample to the last
    first = playlist.segments[0].init
    assert first is not None
    joined = media[first] + b"".join(media[segment.uri] for segment in playlist.segments)
    probe = await asyncio.to_thread(
        subprocess.run,
        ["ffprobe", "-v", "warning", "-show_entries", "packet=stream_index,pts_time,duration_time", "-of", "json", "-"],
        input=joined,
        capture_output=True,
        timeout=60,
    )
    assert probe.returncode == 0
    assert probe.stderr == b""
    packets = json.loads(probe.stdout)["packets"]
    pictures = [float(packet["pts_time"]) for packet in packets if packet["stream_index"] == 0]
    assert len(pictures) == 1000
    steps = [after - before for before, after in pairwise(pictures)]
    assert max(steps) < 0.1
    assert min(steps) > 0.03
