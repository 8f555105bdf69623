"""`ChaosRelay`: a bad network between a camera and us: RTSP is passed on, datagrams are lost, doubled, reordered, late.

It stands in the test's own event loop. Ports in Transport headers are rewritten, so that the datagrams of both ends
come through it; what is interleaved is passed on as it is. The connection can be cut, or go on without a word.
"""

import asyncio
import random
import re
from contextlib import suppress
from typing import cast

_PORTS = re.compile(rb"(client_port|server_port)=([0-9]+)-([0-9]+)")


class _Port(asyncio.DatagramProtocol):
    """One UDP socket of the relay; what comes to it goes out of its opposite."""

    def __init__(self, relay: "ChaosRelay") -> None:
        self.relay = relay
        self.target: tuple[str, int] | None = None
        self.opposite: _Port | None = None
        self.is_cameras = False  # the camera sends to it
        self.transport: asyncio.DatagramTransport | None = None
        self._held: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        del address
        if not self.is_cameras:
            self.pass_on(data)
            return
        relay = self.relay
        relay.seen += 1
        if relay.is_deaf or relay.dice.random() < relay.loss:
            relay.lost += 1
            return
        if self._held is None and relay.dice.random() < relay.reorder:
            self._held = data
            return
        copies = 2 if relay.dice.random() < relay.double else 1
        for _ in range(copies):
            self._delay(data)
        if self._held is not None:
            held, self._held = self._held, None
            self._delay(held)

    def _delay(self, data: bytes) -> None:
        if self.relay.delay:
            seconds = self.relay.delay * self.relay.dice.random()
            asyncio.get_running_loop().call_later(seconds, self.pass_on, data)
        else:
            self.pass_on(data)

    def pass_on(self, data: bytes) -> None:
        opposite = self.opposite
        if opposite is not None and opposite.target is not None and opposite.transport is not None:
            opposite.transport.sendto(data, opposite.target)


class ChaosRelay:
    """``async with ChaosRelay(camera.port) as relay:`` - connect to `relay.port` instead.

    Attributes:
        loss, double, reorder: the chances that a datagram of the camera is lost, comes twice, or after the next one.
        delay: each is late by up to so many seconds.
        is_deaf: nothing of the camera comes through any more, over TCP or UDP, and nobody is told.
        seen, lost: datagrams of the camera.
    """

    def __init__(
        self, camera: int, *, loss: float = 0.0, double: float = 0.0, reorder: float = 0.0, delay: float = 0.0
    ) -> None:
        self.loss, self.double, self.reorder, self.delay = loss, double, reorder, delay
        self.is_deaf = False
        self.seen = self.lost = 0
        self.port = 0
        self.dice = random.Random(5)
        self.camera = camera
        self._ports: list[_Port] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._pairs: dict[bytes, bytes] = {}  # what a Transport header says -> what it is to say

    async def __aenter__(self) -> "ChaosRelay":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        for port in self._ports:
            if port.transport is not None:
                port.transport.close()

    def cut(self) -> None:
        """Resets all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        camera_reader, camera_writer = await asyncio.open_connection("127.0.0.1", self.camera)
        self._writers += [writer, camera_writer]
        for source, sink, is_cameras in ((reader, camera_writer, False), (camera_reader, writer, True)):
            task = asyncio.create_task(self._pump(source, sink, is_cameras))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_cameras: bool) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if self.is_deaf and is_cameras:
                    continue
                sink.write(await self._rewritten(data, is_cameras))
                await sink.drain()
        sink.close()

    async def _rewritten(self, data: bytes, is_cameras: bool) -> bytes:
        """Puts the relay's ports in the place of the other end's."""
        for name, low, high in _PORTS.findall(data):
            said = b"%s=%s-%s" % (name, low, high)
            if said not in self._pairs:
                await self._open(name, int(low), is_cameras)
            data = data.replace(said, self._pairs.get(said, said))
        return data

    async def _open(self, name: bytes, low: int, is_cameras: bool) -> None:
        if name == b"client_port" and not is_cameras:  # the request: both pairs are made, the camera's ports come later
            towards_camera, towards_client = await self._pair(), await self._pair()
            for a, b in zip(towards_camera, towards_client, strict=True):
                a.opposite, b.opposite, a.is_cameras = b, a, True
            for offset, port in enumerate(towards_client):
                port.target = ("127.0.0.1", low + offset)
            ours = _name(towards_camera)
            self._pairs[b"client_port=%d-%d" % (low, low + 1)] = b"client_port=" + ours
            self._pairs[b"client_port=" + ours] = b"client_port=%d-%d" % (low, low + 1)
            self._waiting = (towards_camera, towards_client)
        elif name == b"server_port" and is_cameras:
            towards_camera, towards_client = self._waiting
            for offset, port in enumerate(towards_camera):
                port.target = ("127.0.0.1", low + offset)
            self._pairs[b"server_port=%d-%d" % (low, low + 1)] = b"server_port=" + _name(towards_client)

    async def _pair(self) -> list[_Port]:
        """Two sockets next to each other."""
        loop = asyncio.get_running_loop()
        for _ in range(50):
            first = self.dice.randrange(20000, 30000, 2)
            made: list[_Port] = []
            try:
                for number in (first, first + 1):
                    _, port = await loop.create_datagram_endpoint(lambda: _Port(self), local_addr=("127.0.0.1", number))
                    made.append(port)
            except OSError:
                for port in made:
                    assert port.transport is not None
                    port.transport.close()
                continue
            self._ports += made
            return made
        raise AssertionError("no two ports are free")


def _name(pair: list[_Port]) -> bytes:
    assert pair[0].transport is not None
    port = pair[0].transport.get_extra_info("sockname")[1]
    return b"%d-%d" % (port, port + 1)
