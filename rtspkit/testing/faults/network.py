"""Faults of the network between a camera and its reader."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtspkit.testing.carriers import Datagrams, Interleaved
from rtspkit.testing.faults.base import Fault
from rtspkit.testing.playout import Client

if TYPE_CHECKING:
    from rtspkit.testing.camera import ScriptedCamera

__all__ = ["Foreign", "Network", "NoDatagrams", "unreachable"]


@dataclass(eq=False)
class Network(Fault):
    """What happens to packets on their way, from a seed.

    Attributes:
        loss: share of packets that are lost, 0 to 1.
        duplicates: share that come twice.
        reordered: share that come late, behind one to `distance` later ones.
        distance: see there.
        delay: seconds that each unit is late.
        jitter: seconds that it may be late beyond that; over TCP the order stays.
        seed: of the chance.
    """

    loss: float = 0.0
    duplicates: float = 0.0
    reordered: float = 0.0
    distance: int = 5
    delay: float = 0.0
    jitter: float = 0.0
    seed: int = 1
    #: Packets that have been lost so far.
    lost: int = field(default=0, init=False)
    _held: dict[tuple[Client, int], list[tuple[int, bytes]]] = field(default_factory=dict, init=False)
    _due: dict[Client, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        chance = self._chance
        held = self._held.setdefault((client, track), [])
        sent: list[bytes] = []
        for packet in packets:
            if chance.random() < self.loss:
                self.lost += 1
                continue
            copies = 2 if chance.random() < self.duplicates else 1
            if chance.random() < self.reordered:
                held.append((chance.randint(1, self.distance), packet))
                continue
            sent += [packet] * copies
            for late in held:
                if late[0] == 1:
                    sent.append(late[1])
            held[:] = [(left - 1, late) for left, late in held if left > 1]
        if not self.delay and not self.jitter:
            return sent
        loop = asyncio.get_running_loop()
        due = loop.time() + self.delay + chance.uniform(0, self.jitter)
        if isinstance(client.carriers[track], Interleaved):
            due = self._due[client] = max(due, self._due.get(client, 0.0))
        loop.call_at(due, self._send, client, track, sent)
        return []

    @staticmethod
    def _send(client: Client, track: int, packets: list[bytes]) -> None:
        if client.is_playing and track in client.carriers:
            client.carriers[track].send(packets)


@dataclass(eq=False)
class NoDatagrams(Fault):
    """A firewall: what goes over UDP does not come through."""

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        return [] if isinstance(client.carriers[track], Datagrams) else packets

    def silences(self, camera: ScriptedCamera, client: Client, track: int) -> bool:
        return isinstance(client.carriers[track], Datagrams)


@dataclass(eq=False)
class Foreign(Fault):
    """Somebody else sends RTP to the reader's ports, too: the right packets with other payloads.

    Attributes:
        host: where from; 127.0.0.0/8 is all this machine.
    """

    host: str = "127.0.0.2"
    #: Packets that have been sent so far.
    sent: int = field(default=0, init=False)

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        carrier = client.carriers[track]
        if isinstance(carrier, Datagrams):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
                sock.bind((self.host, 0))
                for packet in packets:
                    sock.sendto(packet[:13] + bytes(len(packet) - 13), carrier.targets[0])
                    self.sent += 1
        return packets


@contextmanager
def unreachable() -> Iterator[str]:
    """The URL of a camera whose machine is away: nothing comes back to a SYN. Linux; for 127.0.0.1 only."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)  # and nobody accepts: once this queue is full, Linux drops what comes
        waiting = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            with suppress(BlockingIOError):
                sock.connect(listener.getsockname())
            waiting.append(sock)
        try:
            yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/test"
        finally:
            for sock in waiting:
                sock.close()
