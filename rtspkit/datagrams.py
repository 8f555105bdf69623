"""RTP over UDP: the sockets of one session, and reading them before the system drops what has come.

Strategy: each track has a pair of sockets, RTP on an even port and RTCP on the next (RFC 3550, 11), bound to the
address the camera knows us by; or one pair that has joined the group the camera sends to. A `DatagramPoller` reads
them together with other cameras'. Packets of other senders never get further than compiled code, which compares
addresses and counts (`Receiver.pin`).

Firewalls let in what answers something sent: each socket sends a packet to its opposite first, and again with
each receiver report.

Specs: RFC 2326, 12.39 (Transport), RFC 3550, 11.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import random
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from rtspkit.errors import UnsupportedError
from rtspkit.links import Tap, reason_text
from rtspkit.messages import Transport
from rtspkit.options import CameraOptions
from rtspkit.poller import Source
from rtspkit.rtp import Receiver
from rtspkit.ticker import Ticker

__all__ = ["Datagrams", "PortsUsedUp"]

#: Bytes asked for as receive buffer: a sync sample of a 4K camera and the packets around it. Linux counts the
#: memory of each packet, which is twice its payload, and doubles what is asked for.
_BUFFER_SIZE = 2 * 1024 * 1024
#: Bytes a second that a camera may send for a moment: it has 100 Mbit/s.
_LINE_RATE = 12_500_000
#: `SO_RCVBUFFORCE`: beyond net.core.rmem_max, for those who may.
_FORCE_BUFFER = 33
#: `SO_RXQ_OVFL`: the system tells with each packet how many it had no room for.
_TELL_DROPS = 40
#: Pairs tried before the range counts as full.
_TRIES = 64
#: What the system says where it has no room for another socket, whatever its port.
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: Packets of one socket read in a row before others have their turn.
_ROUNDS = 64
#: An RTP packet without payload: opens a firewall, and no receiver takes it for media.
_PUNCH = struct.pack("!BBHII", 0x80, 0, 0, 0, 0)


class PortsUsedUp(UnsupportedError):
    """No pair is free in the range: nothing is wrong with the camera.

    Attributes:
        passes: the ports may be free, but this process has no room for another socket at the moment.
    """

    passes = False


class Datagrams:
    """The UDP sockets of a session with one camera.

    Args:
        local_host: the address the camera knows us by.
        remote_host: the camera's.
        options: ports, buffer size.
        tap: hears every packet.

    Attributes:
        shortfall: what to tell about a receive buffer that is smaller than it should be; "" where it is not.
    """

    def __init__(self, local_host: str, remote_host: str, options: CameraOptions, tap: Tap | None = None) -> None:
        self.shortfall = ""
        self._local_host = local_host
        self._remote_host = remote_host
        self._family = socket.AF_INET6 if ":" in remote_host else socket.AF_INET
        self._options = options
        self._tap = tap
        self._sockets: dict[tuple[int, bool], socket.socket] = {}  # by track index, and whether it is RTCP's
        self._patience = 1.0  # seconds for which the smallest receive buffer holds what comes
        self._opposite: dict[tuple[int, bool], Any] = {}  # where to send
        self._pins: dict[int, tuple[str, int | None, int | None]] = {}  # where a track comes from: host, ports
        self._is_pinned = False  # the receiver has been told of them
        self._give_back: Callable[[], None] | None = None

    # -- setting up

    def open(self, index: int) -> tuple[int, int]:
        """Opens a pair of sockets for a track; their ports (RTP's and RTCP's).

        Raises:
            PortsUsedUp: no pair is free in the range.
        """
        first, last = self._options.udp_source_ports
        evens = range(first + first % 2, last, 2)
        reason, passes = "", False
        for port in random.sample(evens, min(_TRIES, len(evens))):
            try:
                self._bind(index, self._local_host, (port, port + 1))
            except OSError as error:  # the port is taken; or there is no room for another socket
                reason, passes = f": {reason_text(error)}", error.errno in _NO_ROOM
                if passes:
                    break
            else:
                return port, port + 1
        used_up = PortsUsedUp(f"no two UDP ports next to each other are free between {first} and {last}{reason}")
        used_up.passes = passes
        raise used_up

    def close_track(self, index: int) -> None:
        """The track does not come over UDP after all."""
        for is_rtcp in (False, True):
            sock = self._sockets.pop((index, is_rtcp), None)
            if sock is not None:
                sock.close()

    def connect(self, index: int, transport: Transport) -> None:
        """Takes over what SETUP has agreed on: where the track's packets come from, and where ours go.

        Args:
            index: of the track; unicast: one that was opened.
            transport: the answer to SETUP.

        Raises:
            UnsupportedError: the group cannot be joined.
        """
        host = self._remote_host
        ports: tuple[int | None, int | None] = transport.server_port or (None, None)
        if transport.delivery == "multicast":
            self._join(index, transport)
            host, ports = transport.source or host, (None, None)
        elif transport.server_port is not None:
            for is_rtcp, port in zip((False, True), transport.server_port, strict=True):
                self._opposite[index, is_rtcp] = (self._remote_host, port)
        if self._options.any_port:
            ports = (None, None)
        self._pins[index] = (host, *ports)

    def _join(self, index: int, transport: Transport) -> None:
        """Two sockets on the group's ports, members of the group on the interface that leads to the camera."""
        assert transport.destination is not None
        assert transport.port is not None
        self.close_track(index)
        group = ipaddress.ip_address(transport.destination)
        try:
            self._bind(index, transport.destination, transport.port, shared=True)
            for is_rtcp in (False, True):
                sock = self._sockets[index, is_rtcp]
                if group.version == 6:
                    member = group.packed + struct.pack("=I", _interface(self._local_host))
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
                else:
                    member = group.packed + socket.inet_aton(self._local_host)
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        except OSError as error:
            raise UnsupportedError(
                f"the multicast group {transport.destination} cannot be joined: {reason_text(error)}"
            ) from None

    def _bind(self, index: int, host: str, ports: tuple[int, int], *, shared: bool = False) -> None:
        pair: list[socket.socket] = []
        try:
            for port in ports:
                sock = socket.socket(self._family, socket.SOCK_DGRAM)
                pair.append(sock)
                sock.setblocking(False)
                if shared:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((host, port))
            self._enlarge(pair[0])
            if sys.platform == "linux":
                pair[0].setsockopt(socket.SOL_SOCKET, _TELL_DROPS, 1)
        except BaseException:
            for sock in pair:
                sock.close()
            raise
        self._sockets[index, False], self._sockets[index, True] = pair

    def _enlarge(self, sock: socket.socket) -> None:
        """Asks for a receive buffer that holds a sync sample."""
        wanted = max(self._options.udp_read_buffer_size, _BUFFER_SIZE)
        for option in (_FORCE_BUFFER, socket.SO_RCVBUF) if sys.platform == "linux" else (socket.SO_RCVBUF,):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, wanted)
                break
        # Linux doubles the number, and answers with the double
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // (2 if sys.platform == "linux" else 1)
        self._patience = min(self._patience, granted / 2 / _LINE_RATE)
        if granted < wanted:
            self.shortfall = (
                f"the receive buffer for UDP has {granted // 1024} KiB, {wanted // 1024} were wanted; sync samples may "
                f"get lost: raise net.core.rmem_max to {wanted}"
            )

    # -- sending

    def punch(self) -> None:
        """Sends an empty packet from each RTP socket, so that firewalls let the camera's in."""
        for index, is_rtcp in self._opposite:
            if not is_rtcp:
                self._send(index, False, _PUNCH)

    def send_rtcp(self, index: int, packet: bytes) -> None:
        """Sends a report where the camera has said where to; what cannot be sent is not missed."""
        self._send(index, True, packet)

    def _send(self, index: int, is_rtcp: bool, packet: bytes) -> None:
        sock, address = self._sockets.get((index, is_rtcp)), self._opposite.get((index, is_rtcp))
        if sock is None or address is None:
            return
        if self._tap is not None:
            self._tap("out", packet, 2 * index + is_rtcp)
        with contextlib.suppress(OSError):
            sock.sendto(packet, address)

    # -- receiving

    def start(self, receiver: Receiver, on_packets: Callable[[], None], ticker: Ticker, *, eager: bool = False) -> None:
        """Gives all packets to `receiver` from now on, until `stop`.

        Args:
            receiver: has the tracks, by the same index.
            on_packets: called after a read that leaves something to take.
            ticker: reads together with others.
            eager: `on_packets` is called after any read.
        """
        if not self._is_pinned:  # else the receiver goes on with what it has learned of them
            self._is_pinned = True
            for index, pin in self._pins.items():
                receiver.pin(index, *pin)
        if self._tap is None:
            poller = ticker.datagrams
            sources = (Source(sock, index, is_rtcp) for (index, is_rtcp), sock in self._sockets.items())
            poller.add(receiver, sources, on_packets, patience=self._patience, eager=eager)
            self._give_back = lambda: poller.remove(receiver)
            return

        def poll() -> bool:
            self._feed(receiver)
            if receiver.ready or eager:
                on_packets()
            return False

        self._give_back = ticker.watch(poll)

    def _feed(self, receiver: Receiver) -> None:
        """Reads in Python, one packet at a time."""
        assert self._tap is not None
        for (index, is_rtcp), sock in self._sockets.items():
            with contextlib.suppress(OSError):  # BlockingIOError: nothing more; others come from ICMP
                for _ in range(_ROUNDS):
                    data, address = sock.recvfrom(65536)
                    host, *ports = self._pins[index]
                    if address[0] == host and ports[is_rtcp] in {None, address[1]}:
                        self._tap("in", data, 2 * index + is_rtcp)
                        receiver.feed_datagram(index, is_rtcp, data, time.monotonic_ns())
        receiver.release(time.monotonic_ns())

    def stop(self) -> None:
        """Ends what `start` has begun; the sockets stay open."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    def close(self) -> None:
        """Closes all sockets."""
        self.stop()
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()


def _interface(host: str) -> int:
    """The number of the interface that an address names (``fe80::1%eth0``); 0, which is any, where it names none."""
    name = host.partition("%")[2]
    return socket.if_nametoindex(name) if name else 0
