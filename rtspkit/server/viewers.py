"""Who is watching a path, told from playlist requests alone: there are no sessions.

Strategy: a viewer is a client address and a User-Agent; it is there from its first playlist request until
`window` seconds after its last one. Good enough to limit readers and to say how many there are; several
viewers behind one address with the same browser count once, and so does a cache.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

__all__ = ["Viewer", "Viewers"]

#: Viewers remembered per path where there is no limit; more are served, but not counted.
_MOST = 10_000


@dataclass
class Viewer:
    """One viewer; times are seconds of the monotonic clock."""

    last: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Viewers:
    """The viewers of one path.

    Args:
        limit: how many there may be; 0 is no limit.
        window: seconds after the last request when a place is free again.
    """

    def __init__(self, limit: int, window: float) -> None:
        self.limit = limit
        self.window = window
        self._seen: dict[tuple[str, str], Viewer] = {}
        self._sweep_at = 0.0

    def admit(self, address: str, agent: str, now: float) -> tuple[bool, bool]:
        """Counts a playlist request.

        Returns:
            whether it may be answered, and whether it is a new viewer's.
        """
        key = (address, agent[:200])
        viewer = self._seen.get(key)
        if viewer is not None and now - viewer.last <= self.window:
            viewer.last = now
            return True, False
        self.sweep(now, force=bool(self.limit))
        if self.limit and len(self._seen) >= self.limit:
            return False, False
        if len(self._seen) >= _MOST:
            return True, False
        self._seen[key] = Viewer(now)
        return True, True

    def sweep(self, now: float, *, force: bool = True) -> None:
        """Forgets who has left."""
        if not force and now < self._sweep_at:
            return
        self._sweep_at = now + 1.0
        for key in [key for key, viewer in self._seen.items() if now - viewer.last > self.window]:
            del self._seen[key]

    def present(self, now: float) -> list[Viewer]:
        """Those who are there now."""
        self.sweep(now)
        return list(self._seen.values())

    def __len__(self) -> int:
        return len(self._seen)

    def clear(self) -> None:
        """Forgets everybody."""
        self._seen.clear()
