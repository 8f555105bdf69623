"""How long parts are and where they end (Low-Latency HLS): arithmetic on media time, nothing else.

Strategy: the part target is fixed once, at a whole number of the camera's unit durations nearest the setting
and a tenth more as room, and holds for the playlist's whole life. From then on a part ends with the first
unit whose successor is due 85 % of the target or more after the part began, and never lasts longer than the
target: where the successor is due later than that, the part ends at the target all the same, and the decode
time that is missing is made up by the parts that follow (they end sooner), while what is shown when stays as
it was. So a camera that changes its rate for good, loses units or jitters has legal parts.

A camera that sends less than one unit a part target cannot be cut into parts: after two such distances in a
row `is_suspended` says so, after three shorter ones it is over. Segments that begin meanwhile have no parts.

Spec: draft-pantos-hls-rfc8216bis 4.4.3.7 (part target), 4.4.4.9 (a part lasts 85 to 100 % of it).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Cut", "Pacer"]

_MICROSECOND = 1_000_000
#: Room above a whole number of units: with 10 % one unit may be up to a tenth of a part longer than the others,
#: and the usual part is still 91 % of the target.
_ROOM = 10
#: Percent of the target that a part has to last.
_LEAST = 85
#: Distances in a row that make a camera slow, and that make it quick again.
_SLOW_AFTER, _QUICK_AFTER = 2, 3


class Cut(NamedTuple):
    """Units that follow each other within one part.

    Attributes:
        units: how many, at least one.
        end: where the last of them ends, in ticks of output time.
        is_end: the part ends there.
    """

    units: int
    end: int
    is_end: bool


class Pacer:
    """The parts of one muxer; times are ticks of its leading track."""

    def __init__(self, rate: int, *, setting: int, target: int | None = None) -> None:
        """Begin.

        Args:
            rate: ticks a second.
            setting: microseconds that a part should last.
            target: the part target (microseconds) that has to be kept; None: it is fixed with the first part.
        """
        self._rate = rate
        self._setting = setting
        self._least = self._longest = self._usual = 0
        self._last: int | None = None  # pts of the last unit
        self._streak = 0  # distances in a row that speak against the present pace
        self.is_suspended = False
        self.target: int | None = None
        if target is not None:
            self._set(target)

    def fix(self, unit: int, longest: int) -> None:
        """Fix the target for units of so many ticks, if it is not fixed yet; the open part has `longest` already."""
        if self.target is None:
            setting = self._setting * self._rate // _MICROSECOND
            count = max(1, (setting + unit // 2) // unit)
            usual = -(-count * unit * _MICROSECOND // self._rate)
            target = usual + usual // _ROOM
            wanted = self._setting + self._setting // _ROOM
            if usual * 100 >= wanted * _LEAST:
                target = max(target, wanted)  # what was measured of a few units may be a little short
            target = max(target, -(-(longest + 1) * _MICROSECOND // self._rate) + 1)
            # whole tenths of a millisecond read well, and are more than rounding can add up to
            self._set(-(-target // 100) * 100)
            self._usual = count * unit

    def _set(self, target: int) -> None:
        self.target = target
        # a microsecond inside on either side, for durations are rounded
        self._longest = max(2, (target - 1) * self._rate // _MICROSECOND)
        self._least = min(-(-(target * _LEAST // 100 + 2) * self._rate // _MICROSECOND), self._longest)
        self._usual = self._longest * 100 // (100 + _ROOM)

    @property
    def least(self) -> int:
        """Ticks that a part has to last."""
        return self._least

    @property
    def longest(self) -> int:
        """Ticks that a part may last."""
        return self._longest

    def aim(self, begin: int) -> int:
        """Where a part that began at `begin` should end: between the least it has to last and what is usual."""
        return begin + (self._least + max(self._least, self._usual)) // 2

    def forget(self) -> None:
        """Time starts anew: the distance to the next unit says nothing."""
        self._last = None

    def note_near(self, first: int, last: int, step: int) -> bool:
        """As `note`, for a run without any distance that is long; False where it has one and was not looked at.

        Args:
            first, last: pts of its first and its last unit.
            step: the longest distance from one unit to the next.
        """
        before = first if self._last is None else self._last
        if self.is_suspended or max(step, first - before) > self._longest:
            return False
        self._last, self._streak = last, 0
        return True

    def note(self, times: Sequence[int]) -> None:
        """Look at the distances of units (pts, in the order they came); tells slow cameras from quick ones."""
        known = list(times) if self._last is None else [self._last, *times]
        self._last = known[-1]
        for before, after in pairwise(known):
            is_slow = after - before > self._longest
            self._streak = self._streak + 1 if is_slow is not self.is_suspended else 0
            if self._streak >= (_QUICK_AFTER if self.is_suspended else _SLOW_AFTER):
                self.is_suspended, self._streak = is_slow, 0

    def cuts(self, begin: int, position: int, successors: Sequence[int]) -> list[Cut]:
        """Where units go: into the part that is open, and into those that follow.

        Args:
            begin: where the open part began.
            position: where the units' decode time begins.
            successors: for each unit where the one behind it is due (output time, not falling).
        """
        cuts = []
        count = 0
        for successor in successors:
            count += 1
            cut = self.cut(begin, position, count, successor)
            if cut.is_end:
                cuts.append(cut)
                begin = position = cut.end
                count = 0
        if count:
            cuts.append(cut)
        return cuts

    def cut(self, begin: int, position: int, units: int, successor: int) -> Cut:
        """What becomes of so many units of one part: see `cuts`; only with the last of them may the part end."""
        # each unit lasts a tick at least: so many that stand at one time fill a part as well
        if successor - begin >= self._least or position + units - begin >= self._longest:
            return Cut(units, max(min(successor, begin + self._longest), position + units), True)
        return Cut(units, max(successor, position + units), False)
