"""`TunnelServer`: a camera's web server that offers RTSP over HTTP, scripted; behind it is any camera with RTSP."""

import asyncio
import base64
import ssl
from contextlib import suppress
from dataclasses import dataclass, field

from rtspkit.testing.credentials import Credentials


@dataclass
class Asked:
    """One HTTP request: its headers have names in lower case."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass
class TunnelServer:
    """What it does, all of it to be set before it starts.

    Attributes:
        upstream: port of the camera behind it.
        tls: speaks TLS.
        credentials: asks for them with these `protects`.
        protects: the methods that need credentials.
        get: the whole head of the answer to GET, instead of the usual one.
        post: the whole head of the answer to POST; None: it is not answered.
        post_waits: it is answered only when the first request has come in it.
        post_size: bytes a POST takes; then it is closed.
        chunked: the body of the GET comes in chunks of so many bytes.
        drip: the answer to GET comes byte by byte.
        asked: every request, in order.
        connections: how many there are now.
    """

    upstream: int
    tls: ssl.SSLContext | None = None
    credentials: Credentials | None = None
    protects: tuple[str, ...] = ("GET", "POST")
    get: bytes | None = None
    post: bytes | None = None
    post_waits: bool = False
    post_size: int | None = None
    chunked: int | None = None
    drip: bool = False
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    _server: asyncio.Server | None = None
    _camera: dict[str, asyncio.StreamWriter] = field(default_factory=dict)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        scheme = "rtsp+http" if self.tls is None else "rtsps+http"
        login = "" if self.credentials is None else f"{self.credentials.username}:{self.credentials.password}@"
        return f"{scheme}://{login}127.0.0.1:{self.port}/test"

    def methods(self) -> list[str]:
        return [asked.method for asked in self.asked]

    async def __aenter__(self) -> "TunnelServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.split("\r\n")
                method, target, _ = first.split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                self.asked.append(Asked(method, target, headers))
                await self._answer(self.asked[-1], reader, writer)
        finally:
            self.connections -= 1
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        authorization = asked.headers.get("authorization", "")
        asks = self.credentials if asked.method in self.protects else None
        if asks is not None and not asks.accepts(asked.method, asked.target, authorization):
            challenge = asks.challenge(authorization)
            writer.write(b"HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: %b\r\n\r\n" % challenge.encode())
        elif asked.method == "GET":
            tasks = [asyncio.ensure_future(self._get(asked, writer)), asyncio.ensure_future(reader.read())]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        else:
            await self._post(asked, reader, writer)

    async def _get(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        kind = b"Content-Type: application/x-rtsp-tunnelled\r\n"
        if self.chunked:
            kind += b"Transfer-Encoding: chunked\r\n"
        answer = b"HTTP/1.0 200 OK\r\n" + kind + b"\r\n" if self.get is None else self.get
        for piece in [answer[i : i + 1] for i in range(len(answer))] if self.drip else [answer]:
            writer.write(piece)
            await asyncio.sleep(0)
        if b" 200 " not in answer[:16]:
            await asyncio.sleep(0.2)
            return
        upstream, self._camera[asked.headers["x-sessioncookie"]] = await asyncio.open_connection(
            "127.0.0.1", self.upstream
        )
        while data := await upstream.read(65536):
            if self.chunked:
                pieces = [data[i : i + self.chunked] for i in range(0, len(data), self.chunked)]
                data = b"".join(b"%x; extension\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            writer.write(data)
            await writer.drain()

    async def _post(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.post is not None and not self.post_waits:
            writer.write(self.post)
        taken, code = 0, b""
        while self.post_size is None or taken < self.post_size:
            data = await reader.read(4096)
            if not data:
                return
            if self.post is not None and self.post_waits and not taken:
                writer.write(self.post)
            taken += len(data)
            code += data
            while len(code) >= 4:  # each group by itself: messages may end in padding
                self._camera[asked.headers["x-sessioncookie"]].write(base64.b64decode(code[:4], validate=True))
                code = code[4:]
