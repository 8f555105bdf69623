"""A camera that does nothing wrong: a small RTSP server that plays a clip for ever.

The gateway's built-in test camera is one, and `ScriptedCamera` is one that misbehaves. One task paces the clip by the
wall; each access unit becomes RTP packets once, and the same packets go to everybody who plays, so a second reader
costs next to nothing. Sequence numbers and timestamps go on where the clip begins anew: the eight seconds of the
bundled one hold a whole number of pictures and of AAC units.

RTP goes over the RTSP connection, and over UDP where `transports` says so; who asks for what is not there gets 461
and, being a common player, asks again for TCP.

Specs: RFC 2326; RFC 3550, 6.4 (sender reports).
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rtspkit._version import __version__
from rtspkit.errors import RtspkitError
from rtspkit.messages import Message, Parser, Request, parse_transport
from rtspkit.packetizer import RTPSender
from rtspkit.testing.carriers import Carrier, Datagrams, Interleaved
from rtspkit.testing.clips import Clip, clip

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Client", "PlainCamera", "Reply", "TransportName"]

#: A reader that is this far behind is dropped: it would only fall back further.
_SEND_BUFFER = 4 * 1024 * 1024
#: Seconds between sender reports.
_REPORT_INTERVAL = 2.0
#: Seconds a session lives without a request; said in SETUP, not enforced while the connection stands.
_SESSION_TIMEOUT = 60
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN"

#: What a camera may offer.
TransportName = Literal["tcp", "udp"]


@dataclass
class Reply:
    """An RTSP response to be sent.

    Attributes:
        status, reason: of its first line.
        headers: further ones than CSeq and Content-Length.
        body: may be empty.
        cseq: None: the request's; "" leaves it out.
        length: what Content-Length says; None: the truth.
    """

    status: int = 200
    reason: str = "OK"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cseq: str | None = None
    length: str | None = None

    def encode(self, cseq: str | None) -> bytes:
        """The bytes of it; `cseq` is the request's."""
        lines = [f"RTSP/1.0 {self.status} {self.reason}".rstrip()]
        if told := cseq if self.cseq is None else self.cseq:
            lines.append(f"CSeq: {told}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.length is not None or self.body:
            lines.append(f"Content-Length: {len(self.body) if self.length is None else self.length}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


@dataclass(eq=False)
class Client:
    """One connection.

    Attributes:
        writer: where its bytes go.
        number: of the connection, from 1.
        session: its session; None before SETUP.
        carriers: of each track it has set up, by number: what takes its packets.
        is_playing: whether media are sent to it.
        awaits_sync: media begin with the next sync sample of the video.
        units: access units that have been sent to it.
    """

    writer: asyncio.StreamWriter
    number: int = 0
    session: str | None = None
    carriers: dict[int, Carrier] = field(default_factory=dict)
    is_playing: bool = False
    awaits_sync: bool = True
    units: int = 0

    @property
    def host(self) -> str:
        """Where it comes from."""
        return str(self.writer.get_extra_info("peername")[0])

    def send(self, data: bytes) -> None:
        """Sends, or hangs up on one who does not read."""
        if self.writer.transport.get_write_buffer_size() > _SEND_BUFFER:
            self.writer.transport.abort()
        elif not self.writer.is_closing():
            self.writer.write(data)

    def hang_up(self, *, reset: bool = False) -> None:
        """Ends the connection, with RST where `reset`."""
        self.is_playing = False
        if reset:
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()

    def close_carriers(self) -> None:
        """Sends no more media to it."""
        for carrier in self.carriers.values():
            carrier.close()
        self.carriers.clear()


class PlainCamera:
    """``async with PlainCamera() as camera: camera.url`` - plays until the block ends.

    Args:
        host: where to listen.
        port: 0 takes a free one.
        path: of its URL.
        media: what it plays; the bundled clip by default.
        transports: what it offers: "tcp", "udp" or both.
        tls: certificate and key, for rtsps; see `ssl.SSLContext.load_cert_chain`.

    Attributes:
        host, port: where it listens; the port is known once it has started.
        path: of its URL.
        name: what its description calls it.
        transports: what it offers; may be changed.
        clients: who is connected.
        connections: how many have been, so far.
    """

    name = "camera"

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "/test",
        media: Clip | None = None,
        transports: Collection[TransportName] = frozenset({"tcp"}),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host, self.port, self.path = host, port, path
        self.clip = media or clip()
        self.transports = transports
        self.clients: set[Client] = set()
        self.connections = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._pacer: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[object]] = set()
        self._senders = [
            RTPSender(payload_type=track.payload_type, ssrc=secrets.randbits(32), sequence=secrets.randbits(15))
            for track in self.clip.tracks
        ]
        self._origins = [secrets.randbits(31) for _ in self.clip.tracks]  # timestamp of unit 0
        self._numbers = [0] * len(self.clip.tracks)  # of the next unit

    @property
    def url(self) -> str:
        """Where to read it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rtsp' if self._tls is None else 'rtsps'}://{host}:{self.port}{self.path}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listens and plays.

        Raises:
            OSError: the port is in use.
        """
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self._pacer = asyncio.ensure_future(self._pace())

    async def close(self) -> None:
        """Hangs up on everybody and stops listening; `start` listens on the same port again."""
        if self._pacer is not None:
            self._pacer.cancel()
            with suppress(asyncio.CancelledError):
                await self._pacer
            self._pacer = None
        if self._server is not None:
            self._server.close()
            for client in tuple(self.clients):
                client.writer.transport.abort()
            if self._serving:  # each ends now that its connection has, unless it is in the middle of a slow answer
                await asyncio.wait(self._serving, timeout=0.5)
            await self._server.wait_closed()
            self._server = None

    # -- requests ---------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self.connections += 1
        client = Client(writer, self.connections)
        self.clients.add(client)
        parser = Parser()
        parser.channels = range(256)
        try:
            if not await self.greet(client):
                return
            while data := await reader.read(65536):
                parser.feed(data)
                while (message := parser.next()) is not None:
                    await self.take(client, message)
        except (RtspkitError, OSError):
            pass  # not RTSP, or gone
        finally:
            self.clients.discard(client)
            client.is_playing = False
            client.close_carriers()
            self.left(client)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def greet(self, client: Client) -> bool:
        """A reader has connected; False hangs up at once."""
        return True

    def left(self, client: Client) -> None:
        """A reader is gone."""

    async def take(self, client: Client, message: Message) -> None:
        """What a reader sent. RTCP and answers mean nothing to this camera."""
        if isinstance(message, Request):
            reply = await self.answer(client, message)
            if reply is not None:
                client.send(reply.encode(message.headers.get("CSeq")))
                if message.method == "PLAY" and reply.status == 200:
                    client.is_playing = True

    async def answer(self, client: Client, request: Request) -> Reply | None:
        """The answer to a request; None for none at all."""
        if request.method == "OPTIONS":
            return Reply(headers={"Public": _METHODS})
        if request.method == "DESCRIBE":
            headers = {"Content-Base": f"{self.url}/", "Content-Type": "application/sdp"}
            return Reply(headers=headers, body=self.description())
        if request.method == "SETUP":
            return self._set_up(client, request)
        if client.session is None:
            return Reply(454, "Session Not Found")
        headers = {"Session": client.session}
        if request.method == "PLAY":
            client.awaits_sync = True
            return Reply(headers={**headers, "Range": "npt=0.000-", "RTP-Info": ",".join(self._rtp_info(client))})
        if request.method in {"PAUSE", "TEARDOWN"}:
            client.is_playing = False
            if request.method == "TEARDOWN":
                client.session = None
                client.close_carriers()
            return Reply(headers=headers)
        if request.method in {"GET_PARAMETER", "SET_PARAMETER"}:
            return Reply(headers=headers)
        return Reply(501, "Not Implemented")

    def description(self) -> bytes:
        """The SDP."""
        lines = ["v=0", f"o=- 1 1 IN IP4 {self.host}", f"s={self.name}", "c=IN IP4 0.0.0.0", "t=0 0"]
        lines += [f"a=tool:rtspkit {__version__}", "a=control:*", "a=range:npt=0-"]
        for number, track in enumerate(self.clip.tracks):
            lines += [*track.media, f"a=control:trackID={number}"]
        return "\r\n".join([*lines, ""]).encode()

    def _set_up(self, client: Client, request: Request) -> Reply:
        name = request.uri.rpartition("trackID=")[2]
        if not name.isascii() or not name.isdigit() or int(name) >= len(self.clip.tracks):
            return Reply(404, "Not Found")
        track = int(name)
        for offer in parse_transport(request.headers.get_all("Transport")):
            if offer.interleaved is not None and "tcp" in self.transports:
                channel, rtcp_channel = offer.interleaved
                carrier: Carrier = Interleaved(client.send, channel, rtcp_channel)
                told = f"RTP/AVP/TCP;unicast;interleaved={channel}-{rtcp_channel}"
            elif offer.client_port is not None and offer.delivery != "multicast" and "udp" in self.transports:
                carrier = datagrams = Datagrams.open(self.host, client.host, offer.client_port)
                told = "RTP/AVP;unicast;client_port={}-{}".format(*offer.client_port)
                told += ";server_port={}-{}".format(*datagrams.ports)
            else:
                continue
            if track in client.carriers:
                client.carriers[track].close()
            client.carriers[track] = carrier
            client.session = client.session or secrets.token_hex(8)
            return Reply(
                headers={
                    "Session": f"{client.session};timeout={_SESSION_TIMEOUT}",
                    "Transport": f"{told};ssrc={self._senders[track].ssrc:08X}",
                }
            )
        return Reply(461, "Unsupported Transport")

    def _rtp_info(self, client: Client) -> Iterator[str]:
        """All tracks from one instant: that of the sync sample media will begin with."""
        number = self._numbers[0]
        while not self.clip.tracks[0].is_sync(number):
            number += 1
        for index in sorted(client.carriers):
            timestamp = self.timestamp(index, self.due(0, number)) & 0xFFFFFFFF
            yield f"url={self.url}/trackID={index};rtptime={timestamp}"  # seq depends on who else is playing

    # -- media --------------------------------------------------------------------

    async def _pace(self) -> None:
        """Sends every access unit when its time has come."""
        loop = asyncio.get_running_loop()
        report_due = min(self._next())
        start, wall = loop.time() - report_due, time.time() - report_due  # started again, it goes on at once
        while True:
            due = self._next()
            index = due.index(min(due))
            wait = start + due[index] - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if due[index] >= report_due:
                report_due = due[index] + _REPORT_INTERVAL
                self._report(due[index], wall)
            self._send_unit(index)

    def _next(self) -> list[float]:
        return [self.due(index, number) for index, number in enumerate(self._numbers)]

    def due(self, index: int, number: int) -> float:
        """When the unit of that number is sent, in seconds of the clip."""
        track = self.clip.tracks[index]
        return number * track.unit_ticks / track.clock_rate

    def timestamp(self, index: int, seconds: float) -> int:
        """What a track's clock shows then; not cut to 32 bits."""
        return self._origins[index] + round(seconds * self.clip.tracks[index].clock_rate)

    def packets(self, index: int, number: int) -> list[bytes]:
        """The RTP packets of the unit of that number, which is sent now."""
        track = self.clip.tracks[index]
        unit = track.units[number % len(track.units)]
        return self._senders[index].packets(track.payloads(unit), self.timestamp(index, self.due(index, number)))

    def _send_unit(self, index: int) -> None:
        number = self._numbers[index]
        self._numbers[index] += 1
        takers = [client for client in self.clients if self._takes(client, index, number)]
        if not takers:
            return
        packets = self.packets(index, number)
        for client in takers:
            self.deliver(client, index, packets)
            client.units += 1

    def deliver(self, client: Client, index: int, packets: list[bytes]) -> None:
        """Sends one access unit of a track."""
        client.carriers[index].send(packets)

    def _takes(self, client: Client, index: int, number: int) -> bool:
        if not client.is_playing:
            return False
        if client.awaits_sync and (0 not in client.carriers or (index == 0 and self.clip.tracks[0].is_sync(number))):
            client.awaits_sync = False
        return not client.awaits_sync and index in client.carriers

    def _report(self, seconds: float, wall: float) -> None:
        for index, sender in enumerate(self._senders):
            packet = sender.sender_report(wall=wall + seconds, timestamp=self.timestamp(index, seconds))
            for client in tuple(self.clients):
                if client.is_playing and index in client.carriers:
                    self.deliver_report(client, index, packet)

    def deliver_report(self, client: Client, index: int, packet: bytes) -> None:
        """Sends a sender report of a track."""
        client.carriers[index].send([packet], is_rtcp=True)
