"""Reading the UDP sockets of all cameras of a loop, often enough and for little.

Strategy: nobody is woken for a packet. A timer asks the system once which sockets have something, and compiled code
empties those, many packets a call. How often is a matter of the smallest receive buffer: Linux gives a socket room for
180 packets where nobody has raised net.core.rmem_max, which a camera with 100 Mbit/s sends in 20 ms. A camera whose
packets wait for one that is late is looked at at every tick.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from rtspkit.rtp import DatagramDrain, Receiver

__all__ = ["DatagramPoller", "Source"]


class Source(NamedTuple):
    """One socket of a camera: it brings RTP or RTCP of one track."""

    sock: socket.socket
    track: int
    is_rtcp: bool


class DatagramPoller:
    """Reads the UDP sockets of many cameras on one timer. Belongs to one event loop.

    Args:
        period: seconds between two looks at most.

    Attributes:
        period: seconds between two looks, with the sockets there are now.
    """

    def __init__(self, period: float) -> None:
        self._longest = period
        self.period = period
        self._drain = DatagramDrain()
        self._selector: selectors.BaseSelector | None = None  # holds a file descriptor; None while nobody is read
        self._callbacks: dict[Receiver, Callable[[], None]] = {}
        self._sources: dict[Receiver, list[Source]] = {}
        self._patience: dict[Receiver, float] = {}
        self._eager: set[Receiver] = set()  # are told of each read
        self._holding: set[Receiver] = set()  # packets that wait for one that is late
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._callbacks)

    def add(
        self,
        receiver: Receiver,
        sources: Iterable[Source],
        on_ready: Callable[[], None],
        *,
        patience: float,
        eager: bool = False,
    ) -> None:
        """Takes over reading a camera's sockets until `remove`.

        Args:
            receiver: where the packets go; what has been pinned is taken (`Receiver.pin`).
            sources: its sockets, non-blocking.
            on_ready: called within the tick in which `receiver` has something to take or has ended.
            patience: seconds for which their buffers hold what comes.
            eager: `on_ready` is called after each read, for who takes units before there is a fragment of them.
        """
        self._callbacks[receiver] = on_ready
        self._patience[receiver] = patience
        if eager:
            self._eager.add(receiver)
        if receiver.next_release() is not None:  # of the time when another one has read it
            self._holding.add(receiver)
        self._hasten()
        registered = self._sources[receiver] = []  # what `remove` has to undo, should one of them fail
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
        for source in sources:
            place = (source.sock.fileno(), source.track, source.is_rtcp)
            self._selector.register(source.sock, selectors.EVENT_READ, (receiver, place))
            registered.append(source)
        if self._timer is None:
            self._arm(asyncio.get_running_loop())

    def remove(self, receiver: Receiver) -> None:
        """Stops reading; to be called before the sockets are closed."""
        self._callbacks.pop(receiver, None)
        self._patience.pop(receiver, None)
        self._hasten()
        self._holding.discard(receiver)
        self._eager.discard(receiver)
        for source in self._sources.pop(receiver, ()):
            assert self._selector is not None
            self._selector.unregister(source.sock)
        if self._callbacks:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._selector is not None:
            self._selector.close()
            self._selector = None

    def _hasten(self) -> None:
        self.period = min([self._longest, *self._patience.values()])

    def _arm(self, loop: asyncio.AbstractEventLoop, period: float | None = None) -> None:
        self._timer = loop.call_later(self.period if period is None else period, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        is_crowded = False
        try:
            is_crowded = self._read(loop)
        finally:
            if self._callbacks and self._timer is None:
                self._arm(loop, 0.0 if is_crowded else None)

    def _read(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Empties what has something; whether a socket has more than was read at once."""
        found: dict[Receiver, list[tuple[int, int, bool]]] = {receiver: [] for receiver in self._holding}
        for key, _ in self._selector.select(0) if self._selector is not None else ():
            receiver, place = key.data
            found.setdefault(receiver, []).append(place)
        is_crowded = False
        now = time.monotonic_ns()
        for receiver, places in found.items():
            on_ready = self._callbacks.get(receiver)
            if on_ready is None:  # an earlier one has removed it
                continue
            is_crowded |= self._drain.drain(receiver, places, now)
            if receiver.next_release() is None:
                self._holding.discard(receiver)
            else:
                self._holding.add(receiver)
            if receiver.ready or receiver in self._eager:
                try:
                    on_ready()
                except Exception as error:  # a fault in one camera's handling must not stop the others'
                    loop.call_exception_handler(
                        {"message": "a camera's media could not be handled", "exception": error}
                    )
        return is_crowded
