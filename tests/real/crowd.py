"""`Crowd`: many readers at once, each with a connection of its own, in one thread that does nothing but read.

It is made for taking times: a reply's instant is taken right after the read that completed it, and what is read is
looked into only after all have their replies.
"""

import gzip
import re
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass
class Reply:
    """One reply; instants are monotonic seconds.

    Attributes:
        headers: names in lower case.
        body: as the server meant it, without its content coding.
        asked: when the request had been sent.
        done: when the last byte had been read.
    """

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    asked: float
    done: float


class _Reader:
    def __init__(self, address: tuple[str, int], source: str) -> None:
        self.address, self.source = address, source
        self.sock: socket.socket | None = None
        self.request = b""
        self.data: list[bytes] = []
        self.size = self.wanted = 0
        self.is_chunked = False
        self.asked = self.done = 0.0

    def connect(self) -> socket.socket:
        if self.sock is not None:
            self.sock.close()
        self.sock = socket.create_connection(self.address, timeout=10, source_address=(self.source, 0))
        self.sock.setblocking(False)
        return self.sock

    def ask(self, request: bytes) -> None:
        self.request, self.data, self.size, self.wanted, self.done = request, [], 0, 0, 0.0
        sock = self.sock or self.connect()
        try:
            sock.send(request)
        except OSError:  # kept open in vain
            self.connect().send(request)
        self.asked = time.monotonic()

    def read(self) -> bool:
        """Whether the reply is whole now."""
        assert self.sock is not None
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""
        now = time.monotonic()
        if not data:
            if self.size:
                raise AssertionError(f"the connection ended after {self.size} of {self.wanted} bytes")
            return False
        self.data.append(data)
        self.size += len(data)
        if not self.wanted:
            head, end, _ = b"".join(self.data).partition(b"\r\n\r\n")
            if not end:
                return False
            length = _LENGTH.search(head)
            self.is_chunked = _CHUNKED.search(head) is not None
            self.wanted = len(head) + 4 + (int(length[1]) if length else 0)
            if self.request.startswith(b"HEAD ") or head[9:12] in (b"204", b"304"):
                self.wanted, self.is_chunked = len(head) + 4, False
        is_whole = b"".join(self.data[-2:]).endswith(b"\r\n0\r\n\r\n") if self.is_chunked else self.size >= self.wanted
        if is_whole:
            self.done = now
        return is_whole

    def reply(self) -> Reply:
        head, _, body = b"".join(self.data).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if self.is_chunked:
            body = _dechunk(body)
        if headers.get("content-encoding") == "gzip" and body:
            body = gzip.decompress(body)
        return Reply(int(first.split(" ")[1]), headers, body, self.asked, self.done)


class Crowd:
    """So many readers of one port of 127.0.0.1; `sources` are the addresses they come from, in turn."""

    def __init__(self, port: int, size: int, *, sources: Sequence[str] = ("127.0.0.1",)) -> None:
        self.port = port
        self._readers = [_Reader(("127.0.0.1", port), sources[i % len(sources)]) for i in range(size)]

    def __len__(self) -> int:
        return len(self._readers)

    def __enter__(self) -> "Crowd":
        for reader in self._readers:
            reader.connect()
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self._readers:
            if reader.sock is not None:
                reader.sock.close()

    def get(
        self, target: str | Sequence[str | None], headers: str = "", *, method: str = "GET", timeout: float = 20.0
    ) -> list[Reply]:
        """Everybody asks for `target`, or each for his own (None: for nothing); the replies in the readers' order."""
        targets = [target] * len(self) if isinstance(target, str) else target
        waiting: dict[int, _Reader] = {}
        asking: list[_Reader] = []
        with select.epoll() as poll:
            for reader, name in zip(self._readers, targets, strict=True):
                if name is None:
                    continue
                head = (
                    f"{method} {name} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAccept-Encoding: gzip\r\n{headers}\r\n"
                )
                reader.ask(head.encode())
                assert reader.sock is not None
                asking.append(reader)
                waiting[reader.sock.fileno()] = reader
                poll.register(reader.sock.fileno(), select.EPOLLIN)
            end = time.monotonic() + timeout
            while waiting:
                rest = end - time.monotonic()
                assert rest > 0, f"{len(waiting)} of {len(asking)} have no reply after {timeout} s"
                for number, _ in poll.poll(rest):
                    reader = waiting[number]
                    if reader.read():
                        poll.unregister(number)
                        del waiting[number]
                    elif not reader.size:  # closed just when it was asked, as keep-alive allows
                        poll.unregister(number)
                        del waiting[number]
                        sock = reader.connect()
                        reader.ask(reader.request)
                        waiting[sock.fileno()] = reader
                        poll.register(sock.fileno(), select.EPOLLIN)
        return [reader.reply() for reader in asking]


def _dechunk(data: bytes) -> bytes:
    pieces, at = [], 0
    while True:
        size, _, _ = data[at : at + 20].partition(b"\r\n")
        start = at + len(size) + 2
        length = int(size, 16)
        if not length:
            return b"".join(pieces)
        pieces.append(data[start : start + length])
        at = start + length + 2
