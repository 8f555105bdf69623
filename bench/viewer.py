"""A viewer: what a player asks of a gateway, and when each answer was whole.

HTTP/1.1 over keep-alive connections, one request at a time on each (RFC 9112); playlists as far as a player of
Low-Latency HLS needs them (draft-pantos-hls-rfc8216bis): it asks for the playlist that lists the next part, and fetches
what is new in it, or asks for the part of the preload hint at the same time. Replies are stamped as they come in, on
the monotonic clock.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import urljoin, urlsplit

from measure import BenchError

#: Seconds a viewer waits for one answer: what hls.js waits for a playlist.
PATIENCE = 10.0
REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        headers: names in lower case; the cookies each in a line.
        at: when its last byte was there; 0 until its reader says so.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    at: float = 0.0


def parse_reply(data: bytes | bytearray, *, at: float = 0.0) -> Reply | None:
    """The reply at the start of `data`; None where it is not whole yet."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines):
        key = name.lower()
        headers[key] = f"{headers[key]}\n{value.strip()}" if key in headers else value.strip()
    status = int(first.split()[1])
    body = data[end + 4 :]
    if headers.get("transfer-encoding", "").lower() == "chunked":
        whole = _dechunked(body)
        return None if whole is None else Reply(status, headers, whole, at)
    length = int(headers.get("content-length", "0"))
    return Reply(status, headers, bytes(body[:length]), at) if len(body) >= length else None


def _dechunked(data: bytes | bytearray) -> bytes | None:
    if not data.endswith(b"0\r\n\r\n"):
        return None
    parts, place = [], 0
    while (line := data.find(b"\r\n", place)) >= 0:
        size = int(data[place:line], 16)
        if not size:
            return b"".join(parts)
        parts.append(data[line + 2 : line + 2 + size])
        place = line + 4 + size
    return None


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._reply: asyncio.Future[Reply] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can take a request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some of a reply, or the rest of it."""
        now = time.monotonic()
        self._data += data
        reply = parse_reply(self._data, at=now)
        if reply is not None and self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever still waits hears of it."""
        self._transport = None
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(BenchError(f"hung up in the middle of an answer ({exc or 'end of stream'})"))

    @property
    def is_open(self) -> bool:
        """Whether it can take a request."""
        return self._transport is not None

    async def ask(self, request: bytes) -> Reply:
        """One request, one reply."""
        assert self._transport is not None
        self._data.clear()
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._reply
        finally:
            self._reply = None

    def close(self) -> None:
        """Hangs up."""
        if self._transport is not None:
            self._transport.abort()


class Client:
    """Somebody with an address to ask: connections, cookies, redirects."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}
        self._free: list[Connection] = []
        self._all: list[Connection] = []

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._all:
            connection.close()
        self._all, self._free = [], []

    def request(self, address: str) -> bytes:
        """The bytes of a GET."""
        parts = urlsplit(address)
        lines = [f"GET {parts.path}{'?' * bool(parts.query)}{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
        if self.cookies:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        return "\r\n".join([*lines, "", ""]).encode()

    async def ask(self, address: str) -> Reply:
        """The reply, whatever it is, where it is no redirect.

        Raises:
            BenchError: no connection, or no answer.
        """
        for _ in range(5):
            parts = urlsplit(address)
            try:
                async with asyncio.timeout(PATIENCE):
                    reply = await self._ask(parts.hostname or "", parts.port or 80, self.request(address))
            except (TimeoutError, OSError) as error:
                raise BenchError(f"{address}: {error or f'no answer within {PATIENCE:g} s'}") from None
            for line in reply.headers.get("set-cookie", "").splitlines():
                self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
            if reply.status not in REDIRECTS:
                return reply
            address = urljoin(address, reply.headers["location"])
        raise BenchError(f"{address}: redirected in circles")

    async def get(self, address: str) -> Reply:
        """The reply, which is a 200.

        Raises:
            BenchError: it is not, or none came.
        """
        reply = await self.ask(address)
        if reply.status != 200:
            raise BenchError(f"{address}: HTTP status {reply.status}")
        return reply

    async def _ask(self, host: str, port: int, request: bytes) -> Reply:
        while self._free and not self._free[-1].is_open:
            self._free.pop()
        if self._free:
            connection = self._free.pop()
        else:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port)
            self._all.append(connection)
        reply = await connection.ask(request)
        self._free.append(connection)
        return reply


@dataclass(frozen=True)
class Playlist:
    """What the bench reads of a media playlist: URIs as they stand there, gaps left out.

    Attributes:
        media_sequence: of the first segment listed, gap or not.
        parts: all that are listed.
        following: `_HLS_msn` and `_HLS_part` of the next part.
        hint: the part that is hinted at.
    """

    media_sequence: int
    init_section: str
    segments: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    following: tuple[int, int] = (0, 0)
    hint: str | None = None


def parse_playlist(text: str) -> Playlist:
    """Reads a media playlist.

    Raises:
        BenchError: it is none, or has nothing a player could fetch yet.
    """
    sequence, init, hint = 0, "", None
    segments: list[str] = []
    parts: list[str] = []
    number = index = 0  # of the segment that is next, and of its part that is next
    is_gap = False
    for line in text.splitlines():
        if line.startswith("#EXT-X-MEDIA-SEQUENCE:"):
            sequence = int(line.partition(":")[2])
        elif line.startswith("#EXT-X-MAP:"):
            init = _uri(line)
        elif line.startswith("#EXT-X-GAP"):
            is_gap = True
        elif line.startswith("#EXT-X-PART:"):
            index += 1
            if "GAP=YES" not in line:
                parts.append(_uri(line))
        elif line.startswith("#EXT-X-PRELOAD-HINT:TYPE=PART"):
            hint = _uri(line)
        elif line and not line.startswith("#"):
            if not is_gap:
                segments.append(line)
            number, index, is_gap = number + 1, 0, False
    if not init or not (segments or parts or hint):
        raise BenchError("there is no playlist with media yet")
    return Playlist(sequence, init, tuple(segments), tuple(parts), (sequence + number, index), hint)


def _uri(line: str) -> str:
    found = re.search(r'URI="([^"]+)"', line)
    if found is None:
        raise BenchError(f"no URI: {line}")
    return found[1]


def media_playlists(text: str, base: str) -> list[str]:
    """Of the media playlists that a player follows: the first variant, and the sound that goes with it."""
    lines = text.splitlines()
    streams = [line for line in lines if line and not line.startswith("#")][:1]
    streams += [_uri(line) for line in lines if line.startswith("#EXT-X-MEDIA:") and "URI=" in line]
    if not streams:
        raise BenchError(f"{base} names no playlist")
    return [urljoin(base, uri) for uri in streams]


def next_address(address: str, following: tuple[int, int]) -> str:
    """The playlist that lists that part of that segment (draft-pantos-hls-rfc8216bis, 6.2.5.2)."""
    msn, part = following
    return f"{address}{'&' if '?' in address else '?'}_HLS_msn={msn}&_HLS_part={part}"


async def watch(client: Client, address: str, *, ahead: bool = False) -> AsyncIterator[Reply]:
    """Every part of a media playlist from now on, as a player at the live edge gets it.

    Args:
        client: its connections are kept alive.
        address: of the media playlist.
        ahead: ask for the hinted part at once; else for each when it is listed.
    """
    playlist = parse_playlist((await client.get(address)).body.decode())
    fetched = playlist.parts[-1] if playlist.parts else ""
    while True:
        listed = asyncio.create_task(client.get(next_address(address, playlist.following)))
        try:
            if ahead and playlist.hint:
                yield await client.get(urljoin(address, playlist.hint))
                fetched = playlist.hint
            playlist = parse_playlist((await listed).body.decode())
        finally:
            listed.cancel()
            with suppress(asyncio.CancelledError, BenchError):
                await listed
        parts = playlist.parts
        for uri in parts[parts.index(fetched) + 1 :] if fetched in parts else parts:
            yield await client.get(urljoin(address, uri))
            fetched = uri
