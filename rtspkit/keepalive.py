"""Which request keeps a session: the one that this camera answers.

Strategy: the candidates stand in a row, those first that are most likely to do; a refused or unanswered one
goes to its end. So a camera that answers nothing is asked for ever, in turns, and loses nothing by it: a
keep-alive is never a reason to give a session up.

Specs: RFC 2326 sections 10.1 (OPTIONS), 10.8 (GET_PARAMETER as a "ping"), 10.9, 12.37 (timeout).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from rtspkit.memory import CameraMemory

__all__ = ["Keepalive"]

#: Seconds between keep-alives at most, and where the camera says nothing.
_INTERVAL = 30.0


class Keepalive:
    """What to ask a camera to keep its session.

    Args:
        memory: says what was answered last, and is told what is.
    """

    def __init__(self, memory: CameraMemory) -> None:
        self._memory = memory
        self._row: deque[tuple[str, str]] = deque()

    def request(self, methods: Sequence[str], urls: Iterable[str]) -> tuple[str, str]:
        """Method and URL to ask next.

        Args:
            methods: what the camera said it can do; empty where it did not.
            urls: that of the session, and its base, which some cameras want to be asked instead.
        """
        if not self._row:
            candidates = [self._memory.keepalive_method or ""]
            if "GET_PARAMETER" in methods:
                # some servers do not count OPTIONS, which is not about a session
                candidates.append("GET_PARAMETER")
            candidates += ["OPTIONS", "GET_PARAMETER"]
            if "SET_PARAMETER" in methods:
                # the last resort: Tapo announces and refuses it, others hang up
                candidates.append("SET_PARAMETER")
            self._row.extend(
                (method, url) for url in dict.fromkeys(urls) for method in dict.fromkeys(candidates) if method
            )
        return self._row[0]

    def succeeded(self) -> None:
        """The last one was answered well."""
        if self._row:
            self._memory.keepalive_method = self._row[0][0]

    def failed(self) -> None:
        """The last one was refused, or not answered."""
        self._row.rotate(-1)

    @staticmethod
    def interval(timeout: int | None) -> float:
        """Seconds to the next: half the session's timeout, so that one lost answer does no harm."""
        return min(_INTERVAL, (timeout or 60) / 2)
