"""A crowd of viewers who all wait for the same thing: what each costs the gateway, and how fast all get it.

The crowd is plain sockets and one epoll: whoever measures the release of thousands of replies must not need longer
for them than the gateway does.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from marks import Log, serials
from measure import BenchError, pss
from subjects import HTTPSubject
from viewer import PATIENCE, Client, Reply, media_playlists, next_address, parse_playlist, parse_reply

#: How many connect at once before they are waited for: a listener's backlog is finite.
BATCH = 100
#: Seconds without another byte after which all replies are whole.
QUIET = 0.1
#: Seconds in which a gateway takes all their requests; the wait for the next segment is longer.
TAKE_IN = 1.0


class Crowd:
    """Many connections to one server."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.sockets: dict[int, socket.socket] = {}
        self.poll = select.epoll()

    def close(self) -> None:
        """All hang up."""
        self.poll.close()
        for sock in self.sockets.values():
            sock.close()

    def connect(self, count: int, request: bytes) -> None:
        """So many more, each with an answer to its first request."""
        for begin in range(0, count, BATCH):
            batch = [socket.create_connection(self.address) for _ in range(min(BATCH, count - begin))]
            for sock in batch:
                self.sockets[sock.fileno()] = sock
                self.poll.register(sock, select.EPOLLIN)
                sock.sendall(request)
            self.replies(len(batch))

    def ask(self, request: bytes) -> None:
        """All ask; nobody waits for the answer."""
        for sock in self.sockets.values():
            sock.sendall(request)

    def replies(self, count: int) -> list[Reply]:
        """So many replies, in the order in which they were whole; nothing is looked at before all are there."""
        arrived: list[tuple[float, int, bytes]] = []
        missing = count
        answered: set[int] = set()
        deadline = time.monotonic() + PATIENCE
        while missing or self.poll.poll(QUIET):
            events = self.poll.poll(max(0.0, deadline - time.monotonic()))
            if not events:
                raise BenchError(f"{missing} of {count} got no answer")
            for fd, _ in events:
                data = self.sockets[fd].recv(65536)
                now = time.monotonic()
                if not data:
                    self.poll.unregister(fd)
                    if fd not in answered:
                        raise BenchError(f"{len(answered)} of {count} were answered, then one was hung up on")
                    continue
                arrived.append((now, fd, data))
                answered.add(fd)
            missing = count - len(answered)
        found: list[Reply] = []
        unfinished = dict.fromkeys(answered, b"")
        for at, fd, data in arrived:
            unfinished[fd] += data
            reply = parse_reply(unfinished[fd], at=at)
            if reply is not None:
                found.append(reply)
        if len(found) != count:
            raise BenchError(f"{len(found)} replies for {count} requests")
        return found


@dataclass(frozen=True)
class Release:
    """What became of a crowd.

    Attributes:
        connected, blocked: KB a viewer that is connected; and that is held, connection included.
        spread: ms from the first whole reply to the last one.
        latency: ms from the last access unit of the part waited for to the last reply.
    """

    connected: float
    blocked: float
    spread: float
    latency: float


def park(subject: HTTPSubject, camera: int, log: Log, count: int) -> Release:
    """Lets a crowd wait for the segment after the open one: one to two segments' durations."""
    base = subject.address(camera)
    client = Client()
    address, request = asyncio.run(_first_playlist(client, base))
    parts = urlsplit(base)
    crowd = Crowd(parts.hostname or "", parts.port or 80)
    try:
        before = pss(subject.pids)
        crowd.connect(count, request)
        connected = pss(subject.pids)
        crowd.ask(asyncio.run(_request_for_next_segment(client, address)))
        time.sleep(TAKE_IN)
        if crowd.poll.poll(0):
            raise BenchError(f"{subject.name}: not all were held")
        blocked = pss(subject.pids)
        replies = crowd.replies(count)
    finally:
        crowd.close()
    if any(reply.status != 200 for reply in replies):
        raise BenchError(f"{subject.name}: {sum(reply.status != 200 for reply in replies)} were not answered with 200")
    uri = parse_playlist(replies[0].body.decode()).parts[-1]
    sent = log.sent(camera, asyncio.run(_last_serial(client, urljoin(address, uri))))
    if sent is None:
        raise BenchError(f"{subject.name}: {uri}: its last unit was never sent")
    return Release(
        connected=(connected - before) * 1000 / count,
        blocked=(blocked - before) * 1000 / count,
        spread=(replies[-1].at - replies[0].at) * 1000,
        latency=(replies[-1].at - sent) * 1000,
    )


async def _first_playlist(client: Client, base: str) -> tuple[str, bytes]:
    """The address of the media playlist, and the request for it."""
    async with client:
        address = media_playlists((await client.get(base)).body.decode(), base)[0]
        await client.get(address)
        return address, client.request(address)


async def _request_for_next_segment(client: Client, address: str) -> bytes:
    """Waits for the first part of a segment; returns the request for the first part of the segment after it."""
    async with client:
        playlist = parse_playlist((await client.get(address)).body.decode())
        msn = playlist.following[0] + 1
        await client.get(next_address(address, following=(msn, 0)))
        return client.request(next_address(address, following=(msn + 1, 0)))


async def _last_serial(client: Client, address: str) -> int:
    """Of the units in that part."""
    async with client:
        return serials((await client.get(address)).body)[-1]
