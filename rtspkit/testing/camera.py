"""`ScriptedCamera`: a camera that plays, records what it is asked, and misbehaves on demand.

Strategy: it is a `PlainCamera` that asks every `Fault` of its list at each turn, in the order of the list. Faults may
be added and taken away while it runs. What goes wrong at an instant (`unplug`, `restart`, `drop`) is a method. ::

    async with ScriptedCamera(Mute(after=50), credentials=Digest("admin", "secret")) as camera:
        ...  # read camera.url_with_credentials with any RTSP client
        await camera.wait_for("TEARDOWN")
        assert not any("hunter2" in seen.uri for seen in camera.requests)
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote

from rtspkit.messages import InterleavedData, Message, Request, Response
from rtspkit.testing.clips import Clip
from rtspkit.testing.credentials import Credentials
from rtspkit.testing.faults import Fault
from rtspkit.testing.playout import Client, PlainCamera, Reply, TransportName

__all__ = ["ScriptedCamera", "Seen"]

#: Packets from readers that are kept to be looked at.
_KEPT = 1000


@dataclass(frozen=True)
class Seen:
    """One request as it came.

    Attributes:
        method: "OPTIONS" …
        uri: as it stood in the request line.
        headers: names in lower case; of several of one name, the last.
        connection: on which one, from 1.
        at: monotonic seconds.
    """

    method: str
    uri: str
    headers: dict[str, str]
    connection: int = 1
    at: float = 0.0


class ScriptedCamera(PlainCamera):
    """A camera with faults.

    Args:
        *faults: what it does wrong, from the start.
        credentials: what it asks for; None: nothing.
        transports: what it offers, "tcp" and "udp" by default.
        media: what it plays; the bundled clip by default.
        host, port, path, tls: as for `PlainCamera`.

    Attributes:
        faults: may be changed while it runs.
        credentials: likewise.
        requests: everything it was asked, in order.
        answers: what readers said to requests of its own (`Ask`).
        reports: RTCP that came over RTSP connections, the newest last.
        connected: when each connection came, in monotonic seconds; those that were turned away, too.
    """

    def __init__(
        self,
        *faults: Fault,
        credentials: Credentials | None = None,
        transports: Collection[TransportName] = ("tcp", "udp"),
        media: Clip | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "/test",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(host=host, port=port, path=path, media=media, transports=transports, tls=tls)
        self.faults: list[Fault] = list(faults)
        self.credentials = credentials
        self.requests: list[Seen] = []
        self.answers: list[Response] = []
        self.reports: deque[InterleavedData] = deque(maxlen=_KEPT)
        self.connected: list[float] = []
        self._next_clip: Clip | None = None

    # -- what people ask it ------------------------------------------------------

    @property
    def url_with_credentials(self) -> str:
        """Its URL with user name and password."""
        if self.credentials is None:
            return self.url
        login = f"{quote(self.credentials.username, safe='')}:{quote(self.credentials.password, safe='')}"
        return self.url.replace("://", f"://{login}@", 1)

    def methods(self, connection: int | None = None) -> list[str]:
        """The methods of all requests so far, or of those of one connection."""
        return [seen.method for seen in self.requests if connection in (None, seen.connection)]

    def ssrc(self, track: int) -> int:
        """The SSRC of a track's packets."""
        return self._senders[track].ssrc

    async def wait_for(self, method: str, count: int = 1, *, seconds: float = 5.0) -> None:
        """Until `method` has been asked `count` times.

        Raises:
            TimeoutError: it was not within so many seconds.
        """
        async with asyncio.timeout(seconds):
            while self.methods().count(method) < count:  # noqa: ASYNC110 - a test's patience, not a program's
                await asyncio.sleep(0.01)

    # -- what people do to it ----------------------------------------------------

    async def unplug(self) -> None:
        """Hangs up on everybody; connections are refused until `plug_in`."""
        await self.close()

    async def plug_in(self) -> None:
        """Listens again, on the same port."""
        await self.start()

    async def restart(self, pause: float = 0.0) -> None:
        """Is away for `pause` seconds."""
        await self.unplug()
        await asyncio.sleep(pause)
        await self.plug_in()

    def drop(self, *, reset: bool = False) -> None:
        """Ends every connection now, with RST where `reset`."""
        for client in tuple(self.clients):
            client.hang_up(reset=reset)

    def change(self, media: Clip) -> None:
        """Goes over to another clip at the next sync sample of both; the description, and all else, stays."""
        self._next_clip = media

    # -- how it comes about ------------------------------------------------------

    def _active(self, client: Client) -> list[Fault]:
        return [fault for fault in self.faults if fault.connections is None or client.number in fault.connections]

    async def greet(self, client: Client) -> bool:
        self.connected.append(time.monotonic())
        return all(fault.greet(self, client) for fault in self._active(client))

    def left(self, client: Client) -> None:
        for fault in self._active(client):
            fault.leave(self, client)

    async def take(self, client: Client, message: Message) -> None:
        if isinstance(message, Response):
            self.answers.append(message)
            return
        if isinstance(message, InterleavedData):
            self.reports.append(message)
            return
        headers = {name.lower(): value for name, value in message.headers}
        seen = Seen(message.method, message.uri, headers, client.number, time.monotonic())
        self.requests.append(seen)
        reply = await self._reply(client, message, seen)
        if isinstance(reply, Reply):
            for fault in self._active(client):
                fault.amend(self, client, seen, reply)
            data = reply.encode(seen.headers.get("cseq"))
        else:
            data = reply
        for fault in self._active(client):
            if await fault.transmit(self, client, data):
                break
        else:
            client.send(data)
        if seen.method == "PLAY" and isinstance(reply, Reply) and reply.status == 200:
            client.is_playing = True

    async def _reply(self, client: Client, request: Request, seen: Seen) -> Reply | bytes:
        for is_rude in (True, False):
            for fault in self._active(client):
                if fault.is_rude is is_rude and (reply := await fault.answer(self, client, seen)) is not None:
                    return reply
            authorization = seen.headers.get("authorization", "")
            asked = self.credentials
            if is_rude and asked is not None and not asked.accepts(seen.method, seen.uri, authorization):
                return Reply(401, "Unauthorized", {"WWW-Authenticate": asked.challenge(authorization)})
        reply = await self.answer(client, request)
        return b"" if reply is None else reply

    def _takes(self, client: Client, index: int, number: int) -> bool:
        if client.is_playing and any(fault.mutes(self, client, index) for fault in self._active(client)):
            return False
        return super()._takes(client, index, number)

    def _send_unit(self, index: int) -> None:
        number, media = self._numbers[0], self._next_clip
        if media is not None and index == 0 and all(one.tracks[0].is_sync(number) for one in (self.clip, media)):
            self.clip, self._next_clip = media, None
        super()._send_unit(index)

    def deliver(self, client: Client, index: int, packets: list[bytes]) -> None:
        for fault in self._active(client):
            packets = fault.deliver(self, client, index, packets)
        if packets and index in client.carriers:
            client.carriers[index].send(packets)

    def deliver_report(self, client: Client, index: int, packet: bytes) -> None:
        if not any(fault.silences(self, client, index) for fault in self._active(client)):
            super().deliver_report(client, index, packet)
