"""Requests that wait for a muxer: thousands of them cost a future each, and one timer together.

Strategy: whoever waits gets a future from the muxer's `Bell`, by what it waits for. When the muxer has something new,
what each of these wants is asked for once, and those who can be answered get the answer; the others sleep on. The
time may also be up, or the client leave. That a client has left ASGI tells only to who calls `receive`, which takes
a task a request; a server that knows a cheaper way offers it as an extension of the scope, `LEAVING`, a function that
takes the future (and None when nobody waits any more).

Thousands may wait for the same. A server that can send a whole reply without waiting offers that as `REPLY`, and then
they are answered at once, one behind the other, before any of their tasks runs. Whoever stands between, and changes
what is sent, has to do so there too, or to take the extension away.

Spec: ASGI 3.0 (extensions); draft-pantos-hls-rfc8216bis 6.2.5.2 (blocking playlist reload).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple, TypeAlias

from rtspkit.asgitypes import Header, Receive, Scope
from rtspkit.muxer import Muxer
from rtspkit.responses import Response

__all__ = [
    "LEAVING",
    "REPLY",
    "Bell",
    "Deliver",
    "Outcome",
    "Reply",
    "Waiter",
    "Wanted",
    "client_leaves",
    "resolve",
    "watch_client",
]

#: The name of the extension: `scope["extensions"][LEAVING](future)`.
LEAVING = "rtspkit.leaving"
#: Likewise: a `Reply`.
REPLY = "rtspkit.reply"

#: Sends a whole reply: status, headers and body; False where it cannot do that at once, and nothing is sent.
Reply: TypeAlias = Callable[[int, Sequence[Header], Sequence[bytes]], bool]
#: Gives somebody who waits the answer; False where that takes the usual way.
Deliver: TypeAlias = Callable[[Response], bool]


class Wanted(NamedTuple):
    """What is asked for: the arguments of `Muxer.get`."""

    name: str
    msn: int | None = None
    part: int | None = None
    skip: bool = False


class Outcome(Enum):
    """How a wait has ended that brought no answer to be sent."""

    SENT = "it has been sent already"
    LATE = "the time is up"
    LEFT = "the client has left"


#: Somebody who waits: resolved with the answer, or with why there is none.
Waiter: TypeAlias = "asyncio.Future[Response | Outcome]"


class Bell:
    """Everybody who waits for one muxer.

    Attributes:
        count: how many they are.
    """

    def __init__(self, muxer: Muxer) -> None:
        self.muxer = muxer
        self.count = 0
        self._waiting: dict[Wanted, dict[Waiter, tuple[float, Deliver | None]]] = {}  # with their deadlines
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        muxer.subscribe(self.ring)

    def wait(self, wanted: Wanted, deadline: float, deliver: Deliver | None = None) -> Waiter:
        """A future that tells how the wait has ended; to be given back with `leave`.

        Args:
            wanted: what the muxer does not have yet.
            deadline: time of the loop.
            deliver: is given the answer as soon as there is one.
        """
        future: Waiter = self._loop.create_future()
        self._waiting.setdefault(wanted, {})[future] = deadline, deliver
        self.count += 1
        if self._timer is None or deadline < self._timer.when():
            self._arm(deadline)
        return future

    def leave(self, wanted: Wanted, future: Waiter) -> None:
        """Nobody waits for this future any more."""
        group = self._waiting.get(wanted)
        if group is None or group.pop(future, None) is None:
            return
        self.count -= 1
        if not group:
            del self._waiting[wanted]
        if not self.count and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ring(self) -> None:
        """Something is new: whoever waits for that is answered."""
        for wanted in tuple(self._waiting):
            response = self.muxer.get(*wanted)
            if response is not None:
                group = self._waiting.pop(wanted)
                self.count -= len(group)
                for future, (_, deliver) in group.items():
                    if not future.done():
                        future.set_result(self._answer(response, deliver))

    def _answer(self, response: Response, deliver: Deliver | None) -> Response | Outcome:
        """Send the answer at once, where that can be done; how the wait has ended."""
        try:
            return Outcome.SENT if deliver is not None and deliver(response) else response
        except Exception as error:  # one viewer's connection is nothing to the others, nor to the camera
            self._loop.call_exception_handler({"message": "a held request could not be answered", "exception": error})
            return Outcome.LEFT

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
        left = []
        for group in self._waiting.values():
            for future, (deadline, _) in group.items():
                if deadline <= now:
                    resolve(future, Outcome.LATE)
                else:
                    left.append(deadline)
        if left:
            self._arm(min(left))


def resolve(future: Waiter, outcome: Response | Outcome) -> None:
    """Resolve a future that may be resolved already."""
    if not future.done():
        future.set_result(outcome)


def watch_client(scope: Scope, receive: Receive, future: Waiter) -> Callable[[], object]:
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
