"""When the next unit is due, and for decoding, not for showing: pictures may come in another order than they are shown.

Strategy: decode times are the presentation times in ascending order. Of a camera without B-pictures the next unit is
due a unit behind the last. B-pictures are sent behind the picture they lie before, so what comes until a picture
passes the latest one so far is a group, and lies between the latest pictures of the two groups before: how many
came, and how far the time went, says how far units are apart, whatever the groups' patterns; and the n-th unit of a
group is due n distances behind the latest picture of the group before. So a lost unit puts nothing off for longer
than a group lasts. That units are reordered shows with the first that goes back, and is remembered for a while.

The camera side does the same in compiled code, to close fragments in time (`_rtp_track.pxi`).

Spec: Rec. ITU-T H.264, C.4.5.3 (how far pictures may be reordered: 16).
"""

from __future__ import annotations

from collections import deque

__all__ = ["Reordering"]

#: A unit that goes back further than this many distances is no reordered one: time has jumped.
_MOST_REORDERED = 16
#: Pictures in a row that pass the latest one before an encoder counts as one without B-pictures: 10 s of 25 a second,
#: for some put them in only where it pays.
_REMEMBERED = 250
#: One that goes back this many units or fewer behind another is no single wrong time.
_NEAR = 32
#: A distance from here on (s) is a jump, not a camera so slow.
_LONGEST = 10


class Reordering:
    """The order in which the units of one track come; times are ticks.

    Attributes:
        unit: from one unit to the next, lately; 0 while nothing is known.
        latest: the latest pts so far; 0 before the first unit.
        overtaken: the most pictures by now that a single one had come after and is shown before.
        groups: how often, lately, some came that are shown before the latest.
        left: so many pictures in order until it is forgotten that they are not; 0: they are shown as they come.
    """

    __slots__ = (
        "_ahead", "_base", "_before", "_count", "_grouped", "_last", "_lately", "_longest", "_units",
        "groups", "latest", "left", "overtaken", "unit",
    )  # fmt: skip

    def __init__(self, rate: int, unit: int = 0, *, is_reordered: bool = False) -> None:
        """Begin.

        Args:
            rate: ticks a second.
            unit: the distance of two units, where it is known.
            is_reordered: units are known to come in another order than they are shown.
        """
        self.unit = unit
        self.left = _REMEMBERED if is_reordered else 0
        self._longest = _LONGEST * rate
        self._before = 0  # what `unit` was before it was learned last
        self._last: int | None = None  # pts of the last unit
        self._ahead = 0  # units shown before the very first
        self.latest = 0
        self._base: int | None = None  # the latest before that
        self._count = 0  # units since the latest came, itself among them
        self._units = self._grouped = self.overtaken = self.groups = 0
        self._lately: deque[int] = deque(maxlen=_MOST_REORDERED)  # pts

    @property
    def is_known(self) -> bool:
        """Whether `due` can be relied on: no B-picture comes before the third unit."""
        return self._before > 0 if self.left else self.unit > 0 and self._units > 2

    @property
    def due(self) -> int:
        """Decode time of the next unit, as a pts; there has been one."""
        if not self.left:
            return (self._last or 0) + self.unit
        base = self.latest - (1 + self._ahead) * self.unit if self._base is None else self._base
        return base + (self._count + 1) * self.unit

    def restart(self, ahead: int = 0) -> None:
        """Time starts anew: nothing relates what comes to what was.

        Args:
            ahead: so many pictures will be shown before the first one that comes (open GOP).
        """
        self._last = None
        self._ahead = min(ahead, _MOST_REORDERED)

    def take(self, pts: int) -> int:
        """Take the next unit; gives what `due` is behind it."""
        if self._last is None or pts < self.latest - _MOST_REORDERED * self.unit:
            self.latest, self._base, self._count = pts, None, 1
            self._lately.clear()
        elif pts > self.latest:
            if not self.left:
                self._learn(pts - self.latest)
            else:
                self.left -= 1
                if self._base is not None:
                    self._learn((self.latest - self._base) // self._count)
            self.latest, self._base, self._count = pts, self.latest, 1
        elif pts != self._last:
            if not self.left:  # the distance to the picture that was ahead of its time is none of two units
                self.unit = self._before or self.unit
            self.left = _REMEMBERED
            if not self._before:
                self.unit = min(self.unit, abs(pts - self._last))
            if self._count == 1:
                self.groups = self.groups + 1 if self._units - self._grouped <= _NEAR else 1
                self._grouped = self._units
            self._count += 1
            self.overtaken = max(self.overtaken, sum(other > pts for other in self._lately))
        self._lately.append(pts)
        self._last = pts
        self._units += 1
        return self.due

    def _learn(self, distance: int) -> None:
        """Jitter is smoothed, a new rate is believed at once."""
        if 0 < distance < self._longest:
            self._before = self.unit
            is_near = distance <= 2 * self.unit <= 4 * distance
            self.unit = (3 * self.unit + distance) // 4 if is_near else distance
