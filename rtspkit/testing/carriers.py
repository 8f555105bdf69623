"""How the packets of one track get to one reader: between the RTSP messages, or as datagrams.

Strategy: a carrier is made by SETUP and given whole access units; it knows neither tracks nor time. Datagrams are sent
from a pair of ports of their own, as RFC 3550, 11 has it, and dropped where the kernel has no room: that is UDP.

Specs: RFC 2326, 10.12 (interleaved) and 12.39 (Transport).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from rtspkit.packetizer import interleaved_frame

__all__ = ["Carrier", "Datagrams", "Interleaved", "free_pair"]

#: Datagrams of readers that are kept to be looked at: receiver reports, and what opens a way through a firewall.
_KEPT = 1000


class Carrier(Protocol):
    """What takes the packets of one track."""

    def send(self, packets: Sequence[bytes], *, is_rtcp: bool = False) -> None:
        """Sends RTP packets, or RTCP packets."""

    def close(self) -> None:
        """Lets go of what it holds."""


@dataclass(frozen=True, eq=False)
class Interleaved:
    """Over the RTSP connection.

    Attributes:
        write: takes the frames of one access unit, as one piece.
        channel: of RTP; the next is RTCP's.
        rtcp_channel: the one that the reader asked for.
    """

    write: Callable[[bytes], None]
    channel: int
    rtcp_channel: int

    def send(self, packets: Sequence[bytes], *, is_rtcp: bool = False) -> None:
        """Sends the packets as interleaved frames."""
        channel = self.rtcp_channel if is_rtcp else self.channel
        self.write(b"".join([interleaved_frame(channel, packet) for packet in packets]))

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True, eq=False)
class Datagrams:
    """Over UDP, from a pair of ports of 127.0.0.1 (or wherever the camera listens).

    Attributes:
        sockets: of RTP and of RTCP.
        targets: where they send to: host and port.
        received: datagrams that came in, the newest last: (for RTCP's port, from where, data).
    """

    sockets: tuple[socket.socket, socket.socket]
    targets: tuple[tuple[str, int], tuple[str, int]]
    received: deque[tuple[bool, tuple[str, int], bytes]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    @classmethod
    def open(cls, host: str, target: str, ports: tuple[int, int]) -> Datagrams:
        """Binds a pair of ports on `host`, to send to `ports` of `target`; inside a running loop.

        Raises:
            OSError: no ports are left.
        """
        carrier = cls(free_pair(host), ((target, ports[0]), (target, ports[1])))
        loop = asyncio.get_running_loop()
        for is_rtcp, sock in enumerate(carrier.sockets):
            loop.add_reader(sock, carrier._read, bool(is_rtcp))
        return carrier

    @property
    def ports(self) -> tuple[int, int]:
        """The ports that it sends from."""
        first, second = (sock.getsockname()[1] for sock in self.sockets)
        return first, second

    def send(self, packets: Sequence[bytes], *, is_rtcp: bool = False) -> None:
        """Sends a datagram a packet; nobody learns whether it arrives."""
        for packet in packets:
            with suppress(OSError):  # no room, or nobody there any more
                self.sockets[is_rtcp].sendto(packet, self.targets[is_rtcp])

    def close(self) -> None:
        """Closes its sockets."""
        for sock in self.sockets:
            with suppress(RuntimeError):  # the loop is gone already
                asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def _read(self, is_rtcp: bool) -> None:
        with suppress(OSError):
            data, source = self.sockets[is_rtcp].recvfrom(65536)
            self.received.append((is_rtcp, source[:2], data))


def free_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Two non-blocking UDP sockets on an even port and the one behind it (RFC 3550, 11).

    Raises:
        OSError: none are left.
    """
    for _ in range(100):
        first, second = _bound(host, 0), None
        port = first.getsockname()[1]
        if port % 2 == 0:
            with suppress(OSError):
                second = _bound(host, port + 1)
        if second is not None:
            return first, second
        first.close()
    raise OSError("no two UDP ports beside each other are free")


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
