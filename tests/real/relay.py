"""`Relay`: stands between a cache and the gateway and writes down every exchange, with the instants it took place."""

import asyncio
import re
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass
class Exchange:
    """One request that reached the gateway; instants are monotonic seconds.

    Attributes:
        head: the request as it came.
        asked: when it had come.
        status: of the reply, 0 until there is one.
        answered: when the reply's head and body had come whole, 0 until then.
        reply: the reply's head.
        body: the reply's body.
        is_left: the cache closed its connection before there was a reply.
    """

    head: bytes
    asked: float
    status: int = 0
    answered: float = 0.0
    reply: bytes = b""
    body: bytes = field(default=b"", repr=False)
    is_left: bool = False

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        """The URL as it was asked for."""
        return self.head.split(b" ", 2)[1].decode()

    @property
    def name(self) -> str:
        """The URL without its query."""
        return urlsplit(self.target).path


class Relay:
    """Relays to a port of 127.0.0.1, in a thread of its own.

    Attributes:
        port: where it listens.
        exchanges: in the order of their requests.
        upstream: the port it relays to; may be changed.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.port = 0
        self.exchanges: list[Exchange] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def targets(self, since: int = 0) -> Counter[str]:
        """How often each URL was asked for, from the `since`th exchange on."""
        return Counter(exchange.target for exchange in self.exchanges[since:])

    def of(self, target: str, since: int = 0) -> list[Exchange]:
        """The exchanges of one URL, with its query."""
        return [exchange for exchange in self.exchanges[since:] if exchange.target == target]

    def wait_for(self, target: str, *, since: int = 0, timeout: float = 5.0) -> Exchange:
        """The first exchange of that URL, as soon as its request has come."""
        end = time.monotonic() + timeout
        while not (found := self.of(target, since)):
            assert time.monotonic() < end, f"{target} was not asked for; there were {self.targets(since)}"
            time.sleep(0.002)
        return found[0]

    # -- the thread

    def __enter__(self) -> "Relay":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._relay(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests without a body, one after the other, each over the one connection that belongs to the cache's."""
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.upstream, limit=1 << 20)
        asked = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        answered: asyncio.Future[None] | None = None
        try:
            while True:
                exchange = Exchange(await asked, time.monotonic())
                self.exchanges.append(exchange)
                upstream_writer.write(exchange.head)
                asked = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
                answered = asyncio.ensure_future(self._answer(exchange, upstream_reader, writer))
                await asyncio.wait((asked, answered), return_when=asyncio.FIRST_COMPLETED)
                if not answered.done():
                    exchange.is_left = asked.exception() is not None
                    if exchange.is_left:
                        return
                await answered
        finally:
            for future in (asked, answered):
                if future is not None and not future.cancel() and not future.cancelled():
                    future.exception()
            upstream_writer.close()

    @staticmethod
    async def _answer(exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = _LENGTH.search(head)
        if length is not None and exchange.method != "HEAD" and status not in (204, 304):
            exchange.body = await reader.readexactly(int(length[1]))
        exchange.answered = time.monotonic()
        exchange.reply, exchange.status = head, status
        writer.write(head + exchange.body)
        await writer.drain()
