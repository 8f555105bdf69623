"""A reader of RTSP in a few lines that shares no code with the package: what a test camera is judged by."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass
class Packet:
    """One interleaved frame, taken as RTP."""

    channel: int
    data: bytes

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.data[2:4], "big")

    @property
    def timestamp(self) -> int:
        return int.from_bytes(self.data[4:8], "big")

    @property
    def marker(self) -> bool:
        return bool(self.data[1] & 0x80)

    @property
    def payload(self) -> bytes:
        return self.data[12:]


class RTSPReader:
    """``async with RTSPReader(url) as reader``: `ask` for something, read `packet` after packet."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session: str | None = None
        self.cseq = 0
        self.early: list[Packet] = []

    async def __aenter__(self) -> RTSPReader:
        host, _, port = self.url.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()

    def send(self, method: str, url: str | None = None, **headers: str) -> None:
        self.cseq += 1
        lines = [f"{method} {url or self.url} RTSP/1.0", f"CSeq: {self.cseq}"]
        if self.session is not None:
            lines.append(f"Session: {self.session}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    async def ask(self, method: str, url: str | None = None, **headers: str) -> Answer:
        """Sends a request and reads its answer; what comes before that is kept for `packet`."""
        self.send(method, url, **headers)
        async with asyncio.timeout(5):
            while True:
                first = await self.reader.readexactly(1)
                if first != b"$":
                    break
                self.early.append(await self._frame())
            head = (first + await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.split("\r\n")
            pairs = [line.partition(":") for line in lines if line]
            answer = Answer(int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}, b"")
            answer.body = await self.reader.readexactly(int(answer.headers.get("content-length", "0")))
        assert answer.headers.get("cseq") == str(self.cseq)
        return answer

    async def play(self, *tracks: int) -> Answer:
        """SETUP of the tracks, on channels 0-1, 2-3 ..., and PLAY."""
        for track in tracks or (0, 1):
            transport = f"RTP/AVP/TCP;unicast;interleaved={2 * track}-{2 * track + 1}"
            answer = await self.ask("SETUP", f"{self.url}/trackID={track}", Transport=transport)
            assert answer.status == 200
            self.session = answer.headers["session"].partition(";")[0]
        return await self.ask("PLAY")

    async def _frame(self) -> Packet:
        channel, size = struct.unpack("!BH", await self.reader.readexactly(3))
        return Packet(channel, await self.reader.readexactly(size))

    async def packet(self) -> Packet:
        """The next interleaved frame."""
        if self.early:
            return self.early.pop(0)
        async with asyncio.timeout(5):
            assert await self.reader.readexactly(1) == b"$"
            return await self._frame()

    async def hung_up(self) -> bool:
        """Reads on; whether the other end hangs up within 5 s."""
        try:
            async with asyncio.timeout(5):
                while await self.reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    async def packets(self, seconds: float) -> list[Packet]:
        """What comes in so many seconds."""
        found: list[Packet] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found.append(await self.packet())
        except TimeoutError:
            return found


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something of the camera, 5 s at most."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that within 5 s")
