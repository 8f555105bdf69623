"""The pace of connecting: whose turn it is when many cameras are to be connected to at once.

Strategy: a switch that comes back gives hundreds of cameras back in the same moment. Each connection costs the loop
a millisecond or two, cameras and switch more, so connecting is spread: so many a second, and a bound on those under
way. Who asks first has his turn first, but those whom a viewer waits for go before those that only try again.
`Pacer` decides and knows no clock; `Gate` is its asyncio shell, one for all paths of a gateway.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Gate", "Pacer", "Turn"]

#: Connects begun a second: 300 cameras in a second and a half; more would keep the loop from its cameras.
RATE = 200.0
#: Connects under way. One to a camera that does not answer lasts `readTimeout` and costs a socket, little else: the
#: bound is there for the sockets, and high enough that dead cameras do not keep the others waiting.
UNDER_WAY = 512
#: Turns that may follow each other at once when the loop was late, or nobody had asked for a while.
BURST = 4


class Turn:
    """A place in the queue, and then the right to connect."""

    __slots__ = ("is_under_way", "is_urgent")

    def __init__(self, *, is_urgent: bool) -> None:
        self.is_urgent = is_urgent
        self.is_under_way = False


class Pacer:
    """Says when whose turn is.

    Args:
        rate: turns a second.
        under_way: connects under way at most.
        burst: turns at once at most.
    """

    def __init__(self, rate: float = RATE, under_way: int = UNDER_WAY, burst: int = BURST) -> None:
        self._interval = 1.0 / rate
        self._most = under_way
        self._slack = (burst - 1) * self._interval
        self._urgent: deque[Turn] = deque()
        self._others: deque[Turn] = deque()
        self._under_way = 0
        self._due = float("-inf")  # of the next turn

    def __len__(self) -> int:
        """How many wait."""
        return len(self._urgent) + len(self._others)

    def ask(self, *, is_urgent: bool) -> Turn:
        """Joins the queue; `take` gives the turn out."""
        turn = Turn(is_urgent=is_urgent)
        (self._urgent if is_urgent else self._others).append(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """The connect is done, or not wanted any more. To be called once for each turn."""
        if turn.is_under_way:
            self._under_way -= 1
        else:
            (self._urgent if turn.is_urgent else self._others).remove(turn)

    def take(self, now: float) -> list[Turn]:
        """Those whose turn has come."""
        taken = []
        while self and self._under_way < self._most and self._due <= now:
            turn = (self._urgent or self._others).popleft()
            turn.is_under_way = True
            self._under_way += 1
            self._due = max(self._due, now - self._slack) + self._interval
            taken.append(turn)
        return taken

    def next_turn(self) -> float | None:
        """When to `take` again; None where it depends on somebody who asks or leaves."""
        return self._due if self and self._under_way < self._most else None


class Gate:
    """``async with gate.turn(is_urgent=False): …connect…``; for one event loop.

    Args:
        pacer: who decides.
    """

    def __init__(self, pacer: Pacer | None = None) -> None:
        self._pacer = Pacer() if pacer is None else pacer  # an empty one is false
        self._waiting: dict[Turn, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, *, is_urgent: bool) -> AsyncIterator[None]:
        """Waits for a turn, and keeps it while the block runs. Who is cancelled leaves the queue."""
        turn = self._pacer.ask(is_urgent=is_urgent)
        self._waiting[turn] = asyncio.get_running_loop().create_future()
        self._go_on()
        try:
            await self._waiting[turn]
            yield
        finally:
            del self._waiting[turn]
            self._pacer.leave(turn)
            self._go_on()

    def _go_on(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = time.monotonic()
        for turn in self._pacer.take(now):
            if not self._waiting[turn].done():  # it may have been cancelled just now
                self._waiting[turn].set_result(None)
        due = self._pacer.next_turn()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._go_on)
