"""A recorded camera, to connect to: `Replay` plays the camera's side of a recording, with its times.

Strategy: as long as nothing plays, a conversation has an order, and the next thing recorded is said when the request
before it has come; the recorded sequence number is replaced by the one of the request, where it was right. From the
answer to PLAY on, what came comes at its time, and requests are answered beside it. A client that asks something
else than the one that was recorded gets the answer which that request had somewhere, or a plain one. Each
connection replays the recorded one of its number; more replay the last.

No credentials are checked: that they were asked for is part of the recording, and `Replay.url` has some.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket as sockets
from collections.abc import Iterator
from typing import Any

from rtspkit.errors import LocalProtocolError, RtspkitError
from rtspkit.messages import Parser, Request, Response, Transport, parse_transport
from rtspkit.recording import Event, Recording, load
from rtspkit.scrub import FILL

__all__ = ["Replay"]

#: Bytes that may wait to be sent to a client; one that is further behind is dropped.
_SEND_BUFFER = 8 * 1024 * 1024
#: Seconds between the last datagram and hanging up: the two ways overtake each other.
_LAST_DATAGRAMS = 0.2


class Replay:
    """``async with Replay("camera.rec") as camera: camera.url`` - plays until the block ends.

    A recorded session over UDP is replayed to clients that ask for UDP; multicast cannot be replayed.

    Args:
        recording: one, or the path of its file.
        host, port: where to listen; 0: any port.
        speed: 2.0 plays twice as fast.

    Attributes:
        requests: the methods that were asked for, in their order.

    Raises:
        OSError: the file cannot be read.
        LocalProtocolError: it is no recording, or has no session in it.
    """

    def __init__(
        self,
        recording: Recording | str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
    ) -> None:
        self.recording = recording if isinstance(recording, Recording) else load(recording)
        self.host, self.port, self.speed = host, port, speed
        self.requests: list[str] = []
        self.connections = self.recording.connections
        if not self.connections:
            raise LocalProtocolError("nothing was recorded: no connection to the camera came about")
        self._served = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it is to be had."""
        rest = self.recording.url.partition("://")[2]
        path = rest[re.search(r"[/?]|$", rest).start() :]  # type: ignore[union-attr]
        return f"rtsp://user:password@{self.host}:{self.port}{path}"

    async def __aenter__(self) -> Replay:
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        events = self.connections[min(self._served, len(self.connections) - 1)]
        self._served += 1
        # asyncio's servers call it an error when a task of theirs is cancelled, as it is at the end of the block
        with contextlib.suppress(OSError, RtspkitError, asyncio.CancelledError):
            await _Session(self, events, reader, writer).run()


class _Session:
    """One connection of a client, and the recorded one it gets."""

    def __init__(
        self, replay: Replay, events: tuple[Event, ...], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._replay = replay
        self._events = events
        self._reader, self._writer = reader, writer
        self._asked: asyncio.Queue[Request | None] = asyncio.Queue(64)
        self._cseq: dict[str, str] = {}  # recorded -> asked
        self._set_up = 0
        self._udp: dict[int, tuple[sockets.socket, Any]] = {}  # by `Event.socket`: from where, to where

    async def run(self) -> None:
        listening = asyncio.ensure_future(self._listen())
        try:
            await self._play()
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
            for sock, _ in self._udp.values():
                sock.close()
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def _listen(self) -> None:
        parser = Parser()
        parser.channels = range(256)
        with contextlib.suppress(OSError, RtspkitError):
            while data := await self._reader.read(65536):
                parser.feed(data)
                while (message := parser.next()) is not None:
                    if isinstance(message, Request):
                        self._replay.requests.append(message.method)
                        await self._asked.put(message)
        await self._asked.put(None)

    async def _play(self) -> None:
        """The recorded events, one after the other."""
        loop = asyncio.get_running_loop()
        origin = loop.time()
        position, waits_for_play, plays = 0, False, False
        while position < len(self._events):
            event = self._events[position]
            position += 1
            request = _request(event)
            if event.way == "out":
                if request is None or plays:
                    continue
                asked = await self._next_asked(request, position)
                if asked is None:
                    return
                self._cseq[request.headers.get("CSeq") or ""] = asked.headers.get("CSeq") or ""
                waits_for_play = request.method == "PLAY"
                if request.method == "SETUP":
                    self._open_sockets(asked)
                origin = loop.time() - event.at / self._replay.speed
                continue
            if plays and event.kind == "message" and request is None:
                continue  # an answer to a request of that time
            if not await self._wait(origin + event.at / self._replay.speed, answers=plays):
                return
            if event.kind == "end":
                return
            self._emit(event)
            plays = plays or (waits_for_play and event.kind == "message" and b" 200 " in event.data)
        if self._udp:
            await asyncio.sleep(_LAST_DATAGRAMS)

    async def _wait(self, due: float, *, answers: bool) -> bool:
        """Until then, answering meanwhile; False where the client has left."""
        loop = asyncio.get_running_loop()
        while True:
            if answers and not self._asked.empty():
                asked = self._asked.get_nowait()
                if asked is None:
                    return False
                self._answer(asked, self._events)
                if asked.method == "TEARDOWN":
                    return False
                continue
            wait = due - loop.time()
            if wait <= 0:
                return not self._writer.is_closing()
            await asyncio.sleep(min(wait, 0.05))

    async def _next_asked(self, recorded: Request, position: int) -> Request | None:
        """The request of the client's that stands for the recorded one; others are answered."""
        while (asked := await self._asked.get()) is not None:
            if asked.method == recorded.method:
                wanted, then = (parse_transport(one.headers.get_all("Transport")) for one in (asked, recorded))
                if asked.method != "SETUP" or not wanted or not then or wanted[0].protocol == then[0].protocol:
                    return asked
                self._send(f"RTSP/1.0 461 Unsupported Transport\r\nCSeq: {asked.headers.get('CSeq')}\r\n\r\n".encode())
                continue
            self._answer(asked, self._events[:position] if asked.method != "TEARDOWN" else ())
            if asked.method == "TEARDOWN":
                return None
        return None

    def _answer(self, asked: Request, events: tuple[Event, ...]) -> None:
        """The answer that such a request had last, or a plain one."""
        data = b"RTSP/1.0 200 OK\r\nCSeq: 0\r\n\r\n"
        cseq = "0"
        for request, answer in _exchanges(events):
            if request.method == asked.method:
                data, cseq = answer, request.headers.get("CSeq") or ""
        self._cseq[cseq] = asked.headers.get("CSeq") or ""
        self._send(self._adapt(data))

    def _emit(self, event: Event) -> None:
        if event.kind == "message":
            self._send(self._adapt(event.data))
        elif event.socket is not None:
            if event.socket in self._udp:
                sock, address = self._udp[event.socket]
                with contextlib.suppress(OSError):  # the client has closed its socket
                    sock.sendto(event.data, address)
        elif event.kind == "packet":
            assert event.channel is not None
            self._send(bytes((0x24, event.channel)) + len(event.data).to_bytes(2) + event.data)
        else:
            self._send(event.data)

    def _send(self, data: bytes) -> None:
        if self._writer.transport.get_write_buffer_size() > _SEND_BUFFER:
            self._writer.transport.abort()
        elif not self._writer.is_closing():
            self._writer.write(data)

    # -- what must be another value than it was

    def _adapt(self, data: bytes) -> bytes:
        text = data.decode("latin-1")
        head, blank, body = text.partition("\r\n\r\n")

        def cseq(found: re.Match[str]) -> str:
            return found[1] + self._cseq.get(found[2], found[2])

        head = re.sub(r"(?im)^(CSeq[ \t]*:[ \t]*)([0-9]+)", cseq, head)
        head = re.sub(r"(?im)^(Location[ \t]*:[ \t]*\w+://)[^/\r\n]*", rf"\g<1>{self._here}", head)
        if self._udp:
            head = re.sub(r"(?im)^Transport[ \t]*:.*", self._transport, head)
        recorded = re.escape(self._replay.recording.url.partition("://")[2].partition("/")[0])
        if recorded:
            head = re.sub(rf"(?<=://){recorded}(?![\w.:])", self._here, head)
            body = re.sub(rf"(?<=://){recorded}(?![\w.:])", self._here, body)
        length = len(text.partition("\r\n\r\n")[2])
        if length:
            head = re.sub(rf"(?im)^(content-length[ \t]*:[ \t]*){length}\b", rf"\g<1>{len(body)}", head)
        return (head + blank + body).encode("latin-1")

    @property
    def _here(self) -> str:
        return f"{self._replay.host}:{self._replay.port}"

    def _open_sockets(self, asked: Request) -> None:
        """A client that asks for UDP gets what was recorded of that track from a pair of sockets."""
        wanted = next(iter(parse_transport(asked.headers.get_all("Transport"))), Transport())
        index, self._set_up = self._set_up, self._set_up + 1
        if wanted.client_port is None:
            return
        host = self._writer.get_extra_info("peername")[0]
        for number, port in enumerate(wanted.client_port):
            sock = sockets.socket(sockets.AF_INET6 if ":" in host else sockets.AF_INET, sockets.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind((self._replay.host, 0))
            self._udp[2 * index + number] = sock, (host, port)

    def _transport(self, found: re.Match[str]) -> str:
        """The ports of this session in a recorded Transport header, where it names some."""
        index = self._set_up - 1
        pair = [self._udp.get(2 * index + number) for number in (0, 1)]
        text = found[0]
        if pair[0] is None or pair[1] is None:
            return text
        ours = "-".join(str(one[0].getsockname()[1]) for one in pair if one is not None)
        theirs = "-".join(str(one[1][1]) for one in pair if one is not None)
        text = re.sub(r"(?i)(server_port=)[0-9-]+", rf"\g<1>{ours}", text)
        text = re.sub(r"(?i)(client_port=)[0-9-]+", rf"\g<1>{theirs}", text)
        return re.sub(r"(?i)(source=)[^;\r\n]+", rf"\g<1>{self._replay.host}", text)


def _request(event: Event) -> Request | None:
    """The request that an event is; None for anything else."""
    message = _message(event)
    return message if isinstance(message, Request) else None


def _message(event: Event) -> Request | Response | None:
    if event.kind != "message":
        return None
    parser = Parser()
    parser.feed(event.data.lstrip(bytes((FILL, 0x0A, 0x0D))))
    with contextlib.suppress(RtspkitError):
        message = parser.next()
        if isinstance(message, (Request, Response)):
            return message
    return None


def _exchanges(events: tuple[Event, ...]) -> Iterator[tuple[Request, bytes]]:
    """The requests of a recording, each with the answer that it got."""
    asked: Request | None = None
    for event in events:
        message = _message(event)
        if event.way == "out" and isinstance(message, Request):
            asked = message
        elif event.way == "in" and isinstance(message, Response) and asked is not None:
            yield asked, event.data
            asked = None
