"""Requests that wait for a muxer: thousands of them cost a future each, and one timer together.

Strategy: whoever waits gets a future from the muxer's `Bell`. It is resolved, by whoever is first, when the muxer
has something new, when the time is up, or when the client has left. That a client has left ASGI tells only to
who calls `receive`, which takes a task a request; a server that knows a cheaper way offers it as an extension of
the scope, `LEAVING`, a function that takes the future (and None when nobody waits any more).

Spec: ASGI 3.0 (extensions); draft-pantos-hls-rfc8216bis 6.2.5.2 (blocking playlist reload).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from enum import Enum
from typing import Any

from rtspkit.muxer import Muxer

__all__ = ["LEAVING", "Bell", "Outcome", "client_leaves", "resolve", "watch_client"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

#: The name of the extension: `scope["extensions"][LEAVING](future)`.
LEAVING = "rtspkit.leaving"


class Outcome(Enum):
    """How a wait has ended."""

    RUNG = "something is new"
    LATE = "the time is up"
    LEFT = "the client has left"


class Bell:
    """Everybody who waits for one muxer."""

    def __init__(self, muxer: Muxer) -> None:
        self.muxer = muxer
        self.waiting: dict[asyncio.Future[Outcome], float] = {}  # with their deadlines
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        muxer.subscribe(self.ring)

    def wait(self, deadline: float) -> asyncio.Future[Outcome]:
        """A future that tells how the wait has ended; to be given back with `leave`.

        Args:
            deadline: time of the loop.
        """
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self.waiting[future] = deadline
        if self._timer is None or deadline < self._timer.when():
            self._arm(deadline)
        return future

    def leave(self, future: asyncio.Future[Outcome]) -> None:
        """Nobody waits for this future any more."""
        self.waiting.pop(future, None)
        if not self.waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ring(self) -> None:
        """Something is new: whoever waits looks again."""
        waiting, self.waiting = self.waiting, {}
        for future in waiting:
            resolve(future, Outcome.RUNG)

    def close(self) -> None:
        """Nobody waits here any more."""
        self.muxer.unsubscribe(self.ring)

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        for future, deadline in self.waiting.items():
            if deadline <= now:
                resolve(future, Outcome.LATE)
        left = [deadline for deadline in self.waiting.values() if deadline > now]
        if left:
            self._arm(min(left))


def resolve(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    """Resolve a future that may be resolved already."""
    if not future.done():
        future.set_result(outcome)


def watch_client(scope: Scope, receive: Receive, future: asyncio.Future[Outcome]) -> Callable[[], object]:
    """Resolve the future when the client leaves; what is returned ends that."""
    leaving = (scope.get("extensions") or {}).get(LEAVING)
    if leaving is not None:
        leaving(future)
        return lambda: leaving(None)
    task = asyncio.get_running_loop().create_task(client_leaves(receive))
    task.add_done_callback(lambda _: resolve(future, Outcome.LEFT))
    return task.cancel


async def client_leaves(receive: Receive) -> None:
    """Wait until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
