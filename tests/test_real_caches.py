"""The gateway behind Varnish and nginx, with the configurations that docs/howto ships.

However many watch, the gateway is asked for each object once, and everybody has the same bytes; a relay between cache
and gateway counts. Nothing that one viewer sends changes what another one gets.
"""

import hashlib
import re
import socket
import time
from collections import defaultdict
from contextlib import ExitStack
from itertools import pairwise

import httpx
import pytest
from real.crowd import Crowd
from real.hlsprobe import HlsProbe
from real.nginx import Nginx
from real.playlists import read_media
from real.relay import Relay
from real.varnish import Varnish
from real.watched import PATH, PLAIN, READERS, exchange_body, request, segments_of, send

pytestmark = [pytest.mark.real]

#: What a cache says of itself, and what differs from one connection to the next.
OWN_HEADERS = {"age", "connection", "date", "server", "transfer-encoding", "via", "x-varnish", "content-length"}

#: What must not get past a cache.
PERSONAL = re.compile(
    rb"(?im)^(cookie|authorization|range|if-[a-z-]+|forwarded|x-forwarded-(for|host|proto)):|^host:.*evil|evil.* HTTP"
)


class Watchers:
    """A crowd that watches: everybody reads the media playlist, and each segment and init section in it once."""

    def __init__(self, crowd):
        self.crowd = crowd
        self.seen = [{} for _ in range(len(crowd))]
        self.statuses = set()

    def round(self):
        playlists = self.crowd.get(f"{PATH}stream.m3u8")
        self.statuses |= {reply.status for reply in playlists}
        wanted = [self._new(reply, seen) for reply, seen in zip(playlists, self.seen, strict=True)]
        while any(wanted):
            targets = [uris.pop(0) if uris else None for uris in wanted]
            replies = iter(self.crowd.get([uri and PATH + uri for uri in targets]))
            for uri, seen in zip(targets, self.seen, strict=True):
                if uri is not None:
                    reply = next(replies)
                    self.statuses.add(reply.status)
                    seen[uri] = hashlib.sha256(reply.body).digest()

    @staticmethod
    def _new(reply, seen):
        uris = [uri for s in segments_of(reply.body.decode()) for uri in (s.init, s.uri)]
        return [uri for uri in dict.fromkeys(uris) if uri not in seen]

    def watch(self, seconds, interval=0.3):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.round()
            time.sleep(interval)

    def check(self, relay, least=4):
        """Everybody has had the same bytes, those of the gateway, and the gateway was asked for each once."""
        assert self.statuses == {200}
        kinds = defaultdict(set)
        for seen in self.seen:
            for uri, digest in seen.items():
                kinds[uri].add(digest)
        shared = set.intersection(*map(set, self.seen))
        assert len([uri for uri in shared if "/seg_" in uri]) >= least
        for uri, digests in kinds.items():
            exchanges = relay.of(PATH + uri)
            assert len(exchanges) == 1, f"{uri} was asked for {len(exchanges)} times"
            assert digests == {hashlib.sha256(exchanges[0].body).digest()}, f"not everybody has had {uri} as it is"


def check_playlists(relay, twice=0):
    """The media playlist is asked for anew only when the answer before, good for a second, has run out."""
    exchanges = relay.of(f"{PATH}stream.m3u8")
    pauses = [after.asked - before.answered for before, after in pairwise(exchanges)]
    assert len([pause for pause in pauses if pause < 0.95]) <= twice, f"asked for again after {pauses}"
    assert len(exchanges) >= 4, "hardly ever asked for"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Varnish, Nginx])
def test_plain_hls(behind, kind):
    """200 readers who do everything at the same instant: one request upstream an object."""
    _, relay, cache = behind(kind)
    with Crowd(cache.port, READERS) as crowd:
        replies = crowd.get(f"{PATH}index.m3u8")
        assert {reply.status for reply in replies} == {200}
        assert len({reply.body for reply in replies}) == 1
        assert relay.targets() == {f"{PATH}index.m3u8": 1}
        watchers = Watchers(crowd)
        watchers.watch(10)
        watchers.check(relay)
    # a process of nginx that has opened the old playlist just before the other one is done with the new asks once more
    check_playlists(relay, twice=0 if kind is Varnish else 3)
    assert all(exchange.status == 200 for exchange in relay.exchanges)


def test_varnish_keeps_the_rules(behind):
    """What the strictest reader wants of the gateway, it gets from Varnish, coming from another address each time."""
    server, relay, cache = behind(Varnish)
    with HlsProbe(server.playlist.replace(server.base, cache.base), client=Wanderer()) as probe:
        probe.run(7)
        probe.check()
        assert set(probe.statuses) == {200}
        assert len(probe.segments) >= 5
    assert {exchange.status for exchange in relay.exchanges} == {200}


class Wanderer(httpx.Client):
    """Each request from another address (127.0.0.2 to .9), on a connection of its own, and without cookies."""

    def __init__(self):
        self.turn = 0
        super().__init__(timeout=15)

    def send(self, request, **options):
        self.turn += 1
        request.headers.pop("cookie", None)
        transport = httpx.HTTPTransport(local_address=f"127.0.0.{2 + self.turn % 8}")
        with httpx.Client(transport=transport, timeout=15) as client:
            return client.send(request, **options)


def test_a_reader_whose_address_changes(gst_camera, gateway):
    """Nobody remembers a viewer: no cookie, no session, no address."""
    server = gateway(gst_camera("h264").url, **PLAIN)
    with HlsProbe(server.playlist, client=Wanderer()) as probe:
        probe.run(6)
        probe.check()
        assert set(probe.statuses) <= {200, 503}
        assert len(probe.segments) >= 4
    assert not any("cookie" in line.lower() for line in server.lines)


@pytest.mark.parametrize("kind", [Varnish, Nginx])
def test_who_does_not_take_gzip(behind, kind):
    """It is asked for once all the same."""
    _, relay, cache = behind(kind)
    for coding in ("identity", "gzip", "identity", "br", "deflate, gzip;q=1.0, *;q=0.5"):
        reply = httpx.get(f"{cache.base}{PATH}index.m3u8", headers={"accept-encoding": coding})
        assert reply.text.startswith("#EXTM3U")
        assert reply.headers.get("content-encoding") == ("gzip" if "gzip" in coding else None)
        assert "accept-encoding" in reply.headers["vary"].lower()
    assert relay.targets() == {f"{PATH}index.m3u8": 1}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "pause"), [(Varnish, 4), (Nginx, 11)])
def test_after_a_pause(behind, kind, pause):
    """Nobody asked for a while: the first ones to come again all get what there is now, not what there was."""
    server, _, cache = behind(kind)
    with Crowd(cache.port, READERS) as crowd:
        crowd.get(f"{PATH}stream.m3u8")
        time.sleep(pause)
        now = segments_of(httpx.get(f"{server.base}{PATH}stream.m3u8").text)[-1].msn
        for reply in crowd.get(f"{PATH}stream.m3u8"):
            assert read_media(reply.body.decode()).segments[-1].msn >= now


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Varnish, Nginx])
def test_not_now(gateway, tmp_path, kind):
    """A camera that does not speak: all are held behind one request, told to come again, and that is soon forgotten."""
    target = f"{PATH}stream.m3u8"
    with socket.create_server(("127.0.0.1", 0)) as camera, ExitStack() as stack:
        server = gateway(f"rtsp://127.0.0.1:{camera.getsockname()[1]}/", **{**PLAIN, "sourceOnDemand": "yes"})
        relay = stack.enter_context(Relay(server.hls_port))
        cache = stack.enter_context(kind(tmp_path, relay.port))
        crowd = stack.enter_context(Crowd(cache.port, READERS))
        replies = crowd.get(target)
        assert {reply.status for reply in replies} == {503}
        assert {reply.headers["retry-after"] for reply in replies} == {"1"}
        assert {reply.headers["cache-control"] for reply in replies} == {"max-age=1"}
        assert max(reply.done - reply.asked for reply in replies) < 9.5, "a player gives up after 10 s"
        assert relay.exchanges[0].status == 503, "it was not waited for"
        assert {reply.status for reply in crowd.get(target)} == {503}
        assert relay.targets() == {target: 1}, "it was not kept for those who came right after"
        time.sleep(2.1)
        with socket.create_connection(("127.0.0.1", cache.port)) as sock:
            sock.sendall(request(target))
            relay.wait_for(target, since=1)  # it was not kept longer than that


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Varnish, Nginx])
def test_the_gateway_is_restarted(behind, kind):
    """While it is away players get what it would say itself; when it is back, so is the stream."""
    server, _, cache = behind(kind)
    assert httpx.get(f"{cache.base}{PATH}stream.m3u8").status_code == 200
    server.terminate()
    time.sleep(2.5)
    for url in (f"{cache.base}{PATH}stream.m3u8", f"{cache.base}{PATH}elsewhere/seg_1.mp4", f"{cache.base}{PATH}"):
        away = httpx.get(url, headers={"origin": "https://player.example"})
        assert away.status_code == 503
        for name, value in {
            "retry-after": "1",
            "cache-control": "max-age=1",
            "access-control-allow-origin": "*",
        }.items():
            assert away.headers.get_list(name) == [value]
    server.start()
    server.wait_for("is converting into HLS")
    end = time.monotonic() + 12
    while (back := httpx.get(f"{cache.base}{PATH}stream.m3u8", timeout=15)).status_code == 503:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert back.status_code == 200


def test_a_refusal_reaches_nobody_else(behind):
    """A request the gateway refuses for its headers comes first; who comes right after it is still one request."""
    server, relay, cache = behind(Varnish)
    last = segments_of(httpx.get(f"{server.base}{PATH}stream.m3u8").text)[-1]
    target = PATH + last.uri
    with Crowd(cache.port, READERS) as crowd:
        assert send(cache.port, request(target, *BIG)).startswith(b"HTTP/1.1 503 ")
        replies = crowd.get(target)
    assert {reply.status for reply in replies} == {200}
    assert [exchange.status for exchange in relay.of(target)] == [431, 200]
    assert {reply.body for reply in replies} == {relay.of(target)[1].body}


# -- nothing one viewer sends reaches another -----------------------------------------------------------


EVIL = "evil.example"
BIG = [f"X-Padding-{i}: {'x' * 7000}" for i in range(3)]

#: Requests that try to leave something behind under another one's name; {u} is the object's URL.
CRAFTED = {
    # foreign queries
    "query": lambda u: request(f"{u}?x=1"),
    "query-redirect": lambda u: request(f"{u}?next=https://{EVIL}/"),
    "query-markup": lambda u: request(f"{u}?%22%3E%3Cscript%3E"),
    "query-empty": lambda u: request(f"{u}?"),
    "query-many": lambda u: request(f"{u}?" + "&".join(f"a{i}={i}" for i in range(500))),
    "query-long": lambda u: request(f"{u}?{'x' * 6000}"),
    "query-nested": lambda u: request(f"{u}?a=?_HLS_msn=99999999999999"),
    "query-semicolon": lambda u: request(f"{u}?a;_HLS_msn=99999999999999"),
    "query-encoded-name": lambda u: request(f"{u}?%5fHLS_msn=99999999999999"),
    "query-encoded-separator": lambda u: request(f"{u}?a=1%26_HLS_msn=99999999999999"),
    "query-other-case": lambda u: request(f"{u}?_hls_msn=99999999999999"),
    "query-prefix": lambda u: request(f"{u}?x_HLS_msn=99999999999999&_HLS_msnx=1&_HLS_push=1"),
    "query-line-break": lambda u: request(f"{u}?a=%0d%0aSet-Cookie:%20a=b"),
    "fragment": lambda u: request(f"{u}#{EVIL}"),
    # directives that the gateway refuses, under their own names
    "far-msn": lambda u: request(f"{u}?_HLS_msn=9999999999999999"),
    "no-msn": lambda u: request(f"{u}?_HLS_part=0"),
    "two-msn": lambda u: request(f"{u}?_HLS_msn=1&_HLS_msn=2"),
    "no-number": lambda u: request(f"{u}?_HLS_msn=-1&x=2"),
    # another host
    "host": lambda u: request(u, host=EVIL),
    "host-port": lambda u: request(u, host=f"{EVIL}:1234"),
    "host-none": lambda u: request(u, host="", version="1.0"),
    "host-absolute": lambda u: request(f"http://{EVIL}{u}"),
    "x-forwarded-host": lambda u: request(u, f"X-Forwarded-Host: {EVIL}"),
    "x-host": lambda u: request(u, f"X-Host: {EVIL}", f"X-Forwarded-Server: {EVIL}"),
    "x-forwarded-proto": lambda u: request(u, "X-Forwarded-Proto: https", "X-Forwarded-Port: 1"),
    "x-forwarded-for": lambda u: request(u, "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1"),
    "x-forwarded-prefix": lambda u: request(u, "X-Forwarded-Prefix: /elsewhere", "X-Script-Name: /elsewhere"),
    "forwarded": lambda u: request(u, f"Forwarded: for=127.0.0.1;host={EVIL};proto=https"),
    # another target, another method
    "x-original-url": lambda u: request(u, "X-Original-URL: /", "X-Rewrite-URL: /"),
    "x-method-override": lambda u: request(u, "X-HTTP-Method-Override: DELETE", "X-HTTP-Method: POST"),
    "head": lambda u: request(u, method="HEAD"),
    "options": lambda u: request(u, f"Origin: https://{EVIL}", "Access-Control-Request-Method: GET", method="OPTIONS"),
    "post": lambda u: request(u, "Content-Length: 0", method="POST"),
    "purge": lambda u: request(u, method="PURGE"),
    "trace": lambda u: request(u, method="TRACE"),
    "get-with-a-body": lambda u: request(u, "Content-Length: 5") + b"hello",
    "chunked-body": lambda u: request(u, "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    # a part of it, or nothing
    "range": lambda u: request(u, "Range: bytes=0-9"),
    "range-tail": lambda u: request(u, "Range: bytes=-1"),
    "range-behind-the-end": lambda u: request(u, "Range: bytes=999999999-"),
    "range-many": lambda u: request(u, "Range: bytes=0-0,2-2,4-4"),
    "if-range": lambda u: request(u, "Range: bytes=0-9", 'If-Range: "another"'),
    "if-none-match": lambda u: request(u, "If-None-Match: *"),
    "if-modified-since": lambda u: request(u, "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"),
    # other forms of it
    "no-gzip": lambda u: request(u, "Accept-Encoding: identity"),
    "other-codings": lambda u: request(u, "Accept-Encoding: br, zstd, gzip;q=0"),
    "origin": lambda u: request(u, f"Origin: https://{EVIL}"),
    "accept": lambda u: request(u, "Accept: text/html", "Accept-Language: xx", "Save-Data: on"),
    # somebody in particular
    "cookie": lambda u: request(u, "Cookie: session=1; _HLS_msn=5"),
    "authorization": lambda u: request(u, "Authorization: Basic YTpi"),
    "cache-control": lambda u: request(u, "Cache-Control: no-store, max-age=0", "Pragma: no-cache"),
    "surrogate-control": lambda u: request(u, "Surrogate-Control: no-store", "CDN-Cache-Control: no-store"),
    "hop-by-hop": lambda u: request(u, "Connection: keep-alive, accept-encoding, host", "TE: trailers"),
    "upgrade": lambda u: request(u, "Connection: Upgrade", "Upgrade: h2c, websocket", "HTTP2-Settings: AAAA"),
    "expect": lambda u: request(u, "Expect: 100-continue"),
    # what the gateway refuses and the cache lets through
    "more-headers-than-it-takes": lambda u: request(u, *BIG),
    "many-headers": lambda u: request(u, *[f"X-{i}: {i}" for i in range(50)]),
}

#: Those that may cost a request upstream beside the plain one's: they are refused, most by the gateway, the range by
#: nginx after the gateway has answered.
OF_THEIR_OWN = {"far-msn", "no-msn", "two-msn", "no-number", "more-headers-than-it-takes", "range-behind-the-end"}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", [Varnish, Nginx])
def test_poisoning(behind, kind):
    """After each crafted request to an empty cache, a plain reader gets the object as it is, with its own headers."""
    assert len(CRAFTED) >= 50
    server, relay, cache = behind(kind)
    with httpx.Client(timeout=15) as reader:
        for name, craft in CRAFTED.items():
            cache.empty()
            last = segments_of(reader.get(f"{server.base}{PATH}stream.m3u8").text)[-1]
            for file in ("index.m3u8", "stream.m3u8", last.init, last.uri):
                target, is_fixed = PATH + file, file != "stream.m3u8"
                plain = reader.get(server.base + target)
                first = len(relay.exchanges)
                answer = send(cache.port, craft(target))
                reply = reader.get(cache.base + target)
                what = f"{name} on {target}, answered {answer[:80]!r}"
                assert reply.status_code == 200, f"{reply.status_code} after {what}"
                assert about(reply) == about(plain), f"other headers after {what}"
                if is_fixed:
                    assert reply.content == plain.content, f"other bytes after {what}"
                else:  # another one each second
                    assert reply.content in {exchange_body(e) for e in relay.of(target, since=first)}, what
                asked = [e for e in relay.exchanges[first:] if e.method == "GET" and e.name == target]
                allowed = 1 + (not is_fixed) + (name in OF_THEIR_OWN)
                assert len(asked) <= allowed, f"{[e.target for e in asked]} went upstream after {what}"
                before = len(relay.exchanges)
                for _ in range(3):
                    assert reader.get(cache.base + target).status_code == 200
                assert len(relay.of(target, since=before)) <= (not is_fixed), f"no longer cached after {what}"
                for exchange in relay.of(target, since=first):
                    if exchange.method == "GET":
                        assert not PERSONAL.search(exchange.head), f"{exchange.head!r} went upstream"


def about(reply):
    """Its headers but for what is the cache's own affair."""
    return {name: value for name, value in reply.headers.items() if name not in OWN_HEADERS} | (
        {"etag": "of this second"} if reply.url.path.endswith("stream.m3u8") else {}
    )
