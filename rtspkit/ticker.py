"""The shared tick: one timer and one call into C that drains the sockets of all cameras of a loop.

What costs is not parsing but being woken: a camera that sends a packet at a time would wake an
event-driven reader 130 times a second. A timer that reads everybody ten times a second costs next to
nothing, and its price is up to one period of latency. With a short period the receivers say when they need not
be read (`Receiver.quiet_until`). Where there are many they are read in turns, so that the loop is never kept from
everything else for long. A socket that was found half full is read again soon, so that no camera's TCP
window ever closes.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from rtspkit.poller import DatagramPoller
from rtspkit.rtp import Drain, Receiver

__all__ = ["Ticker"]

#: Seconds to the next drain after one that found half a receive buffer full.
_HURRY = 0.01
#: Sockets read at once. 300 cameras at 3 Mbit/s take 40 ms together: a viewer's request is not to wait for all of them.
_AT_ONCE = 64
_T = TypeVar("_T")


class Ticker:
    """Drains the plain-TCP sockets of many cameras on one timer. Belongs to one event loop.

    Args:
        period: seconds between two drains: 0.1 suits plain HLS.
    """

    def __init__(self, period: float = 0.1) -> None:
        self.period = period
        self._drain = Drain()
        self._callbacks: dict[Receiver, Callable[[], None]] = {}
        self._receivers: list[Receiver] = []
        self._sockets: dict[Receiver, socket.socket] = {}
        self._crowded: dict[Receiver, int] = {}  # bytes found at once that are half a receive buffer
        self._least_crowded = 1 << 30
        self._polls: dict[Callable[[], bool], None] = {}  # of links that compiled code cannot read
        self._timer: asyncio.TimerHandle | None = None
        self._read_up_to = 0  # in this round
        self._is_hurried = False

    @cached_property
    def datagrams(self) -> DatagramPoller:
        """What reads the UDP sockets of the same cameras."""
        return DatagramPoller(self.period)

    def __len__(self) -> int:
        return len(self._receivers) + len(self._polls)

    def add(self, receiver: Receiver, sock: socket.socket, on_ready: Callable[[], None]) -> None:
        """Takes over reading `sock` until `remove`; it must be non-blocking and nobody else may read it.

        Args:
            receiver: where its bytes go.
            sock: a connected TCP socket.
            on_ready: called within the tick in which `receiver` has something to take or has ended. After
                it has ended it is called at every tick until the receiver is removed.
        """
        receiver.fd = sock.fileno()
        self._sockets[receiver] = sock
        self._measure(receiver)
        self._callbacks[receiver] = on_ready
        self._receivers = list(self._callbacks)
        self._arm()

    def watch(self, poll: Callable[[], bool]) -> Callable[[], None]:
        """Calls `poll` at each tick, for a link that has to be read in Python.

        Args:
            poll: whether it found so much that it should be called again soon.

        Returns:
            What ends it; to be called before the link is closed.
        """
        self._polls[poll] = None
        self._arm()

        def unwatch() -> None:
            self._polls.pop(poll, None)
            self._disarm()

        return unwatch

    def _arm(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(loop.time() + self.period, self._tick, loop, loop.time() + self.period)

    def _disarm(self) -> None:
        """Nobody is left: no timer is needed."""
        if not self and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def remove(self, receiver: Receiver) -> None:
        """Stops reading; to be called before the socket is closed, for its number is used again."""
        receiver.fd = -1
        if self._callbacks.pop(receiver, None) is not None:
            self._receivers = list(self._callbacks)
            del self._sockets[receiver], self._crowded[receiver]
        self._disarm()

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._timer = None
        hurry = False
        period = self.period / self._turns
        try:
            hurry = self._read(loop)
        finally:  # where memory is short the others are read on all the same
            self._is_hurried = hurry
            if self and self._timer is None:
                now = loop.time()
                due = max(due + period, now + period / 4)  # a late tick does not make the next ones crowd
                if hurry:
                    due = min(due, now + _HURRY)
                self._timer = loop.call_at(due, self._tick, loop, due)

    @property
    def _turns(self) -> int:
        """In how many turns everybody is read, spread over the period."""
        return -(-len(self._receivers) // _AT_ONCE) or 1

    def _whose_turn(self) -> tuple[int, list[Receiver]]:
        """Some of them, and the place of the first; all where it is in a hurry."""
        receivers = self._receivers
        if self._is_hurried or len(receivers) <= _AT_ONCE:
            self._read_up_to = 0
            return 0, receivers
        first = self._read_up_to if self._read_up_to < len(receivers) else 0
        self._read_up_to = first + -(-len(receivers) // self._turns)
        return first, receivers[first : self._read_up_to]

    def _read(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Reads those whose turn it is; whether everybody should be read soon."""
        first, receivers = self._whose_turn()
        ready = self._drain.drain(receivers, time.monotonic_ns())
        hurry = self._drain.fullest >= self._least_crowded and self._is_crowded(receivers)
        for receiver in ready:
            on_ready = self._callbacks.get(receiver)
            if on_ready is not None:  # an earlier one has not removed it
                self._call(loop, on_ready)
        for poll in () if first else list(self._polls):
            if poll in self._polls:
                hurry = self._call(loop, poll) or hurry
        return hurry

    def _call(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], _T]) -> _T | None:
        """A fault in one camera's handling must not stop the others'."""
        try:
            return callback()
        except Exception as error:
            loop.call_exception_handler({"message": "a camera's media could not be handled", "exception": error})
            return None

    def _measure(self, receiver: Receiver) -> int:
        """Half the socket's receive buffer as it is now, in bytes."""
        self._crowded[receiver] = self._sockets[receiver].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        self._least_crowded = min(self._crowded.values())
        return self._crowded[receiver]

    def _is_crowded(self, receivers: list[Receiver]) -> bool:
        """Whether one of them had half a buffer to read; the system makes buffers larger as they are used."""
        return any(
            receiver.found >= self._crowded[receiver] and receiver.found >= self._measure(receiver)
            for receiver in receivers
        )
