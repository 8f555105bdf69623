"""Single access units -> fragments, for those who feed a muxer unit by unit.

Strategy: units of all tracks are packed as they come; a fragment ends where video has a sync sample, after a
second, where parameters change, and with parts where a part is full. While no unit of the leading track comes it ends
after three seconds of another, and no fragment is larger than one from a camera may be.

Spec: the layout of `rtspkit.media.SAMPLE`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from rtspkit.errors import LocalProtocolError
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.media import SAMPLE, AccessUnit, Fragment, Run, Track
from rtspkit.reordering import Reordering

__all__ = ["Collector"]

#: A fragment is closed after this much media (s).
_FRAGMENT_DURATION = 1.0
#: And after this much (s) of a track that does not lead.
_WITHOUT_LEADER = 3.0
_TIME = struct.Struct("=q")


@dataclass(slots=True)
class _Pending:
    """What has been collected of one track; `first` is the pts of its first unit."""

    first: int
    samples: list[bytes] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)


class Collector:
    """Collects the units of one muxer.

    Attributes:
        clock: monotonic and Unix seconds of the last unit.
    """

    def __init__(
        self, tracks: Sequence[Track], leader: Track, *, part_duration: float | None, now: float, wall: float
    ) -> None:
        """Begin.

        Args:
            tracks: of the camera.
            leader: the track that fragments follow.
            part_duration: seconds; None: no parts.
            now: monotonic seconds.
            wall: Unix seconds of the same instant.
        """
        self.clock = (now, wall)
        self._tracks = tuple(tracks)
        self._leader = leader.index
        self._part_duration = part_duration
        self._last: int | None = None  # pts of the leading track's last unit
        self._order = Reordering(leader.clock_rate)
        self._forget()

    def _forget(self) -> None:
        self._pending: dict[int, _Pending] = {}
        self._first: int | None = None  # pts of the leading track's first unit …
        self._first_due = 0  # … and when it was due for decoding
        self._is_sync = self._discontinuity = False
        self._size = 0  # of all that has been collected, as the limit counts it
        self._wall_clock: float | None = None

    def take(self, unit: AccessUnit, *, now: float | None, wall: float | None, next_cut: int | None) -> list[Fragment]:
        """Take one unit; gives the fragments that it completes, at the time that `clock` says then.

        Args:
            unit: in decoding order within its track.
            now: monotonic seconds; the unit's arrival, or media time since the last unit, if None.
            wall: Unix seconds of the same instant; reckoned from the start's if None.
            next_cut: where the open part should end (pts of the leading track), if it is known.

        Raises:
            LocalProtocolError: the unit's pts is no integer of 64 bits, or its arrival no time; nothing was taken.
        """
        try:
            _TIME.pack(unit.pts)
        except struct.error:
            raise LocalProtocolError("a unit's pts has to be an integer (ticks of its clock_rate) of 64 bits") from None
        track = unit.track
        leads = track.index == self._leader
        old_now, old_wall = self.clock
        if now is None:
            now = unit.arrival or old_now
            if not unit.arrival and leads and self._last is not None and not unit.discontinuity:
                # media that come from nowhere near a clock, a file perhaps: media time has to do
                now += min(max(0.0, (unit.pts - self._last) / track.clock_rate), 10.0)
        flags = int(unit.is_sync) | int(unit.damaged) << 1
        try:
            sample = SAMPLE.pack(unit.pts, round((unit.arrival or now) * 1e9), len(unit.data), flags)
        except (struct.error, ValueError, OverflowError):
            raise LocalProtocolError("a unit's arrival has to be in seconds, and its data less than 4 GiB") from None
        self.clock = (now, old_wall + (now - old_now) if wall is None else wall)

        fragments = []
        changed = track.index >= len(self._tracks) or self._tracks[track.index] != track
        starts = leads and unit.is_sync and track.kind == "video" and self._leader in self._pending
        full = leads and self._first is not None and unit.pts - self._first >= _FRAGMENT_DURATION * track.clock_rate
        size = len(unit.data) + len(sample)
        large = self._size + size > DEFAULT_LIMITS.fragment_size
        if changed or unit.discontinuity or starts or full or large or self._lasts_too_long(unit):
            fragments += self.flush(next_pts=None if unit.discontinuity or not leads else unit.pts)
        if changed:
            tracks = list(self._tracks)
            tracks[track.index : track.index + 1] = [track]
            self._tracks = tuple(tracks)
        if leads:
            if self._first is None:
                self._first, self._is_sync = unit.pts, unit.is_sync
                self._first_due = self._order.due if self._order.left else unit.pts
            if unit.discontinuity:
                self._order.restart()
            self._order.take(unit.pts)
            self._last = unit.pts
        if not self._pending:
            self._wall_clock = unit.wall_clock
        self._discontinuity |= unit.discontinuity
        pending = self._pending.setdefault(track.index, _Pending(unit.pts))
        self._size += size
        pending.samples.append(sample)
        pending.data.append(unit.data)
        if leads and self._fills_part(unit, next_cut):
            fragments += self.flush()
        return fragments

    def _lasts_too_long(self, unit: AccessUnit) -> bool:
        """Whether this track, which does not lead, would have too much in one fragment."""
        pending = self._pending.get(unit.track.index)
        if pending is None or unit.track.index == self._leader:
            return False
        return abs(unit.pts - pending.first) >= _WITHOUT_LEADER * unit.track.clock_rate

    def _fills_part(self, unit: AccessUnit, next_cut: int | None) -> bool:
        order = self._order
        if self._part_duration is None or not order.is_known:
            return False
        if next_cut is None:
            next_cut = self._first_due + round(self._part_duration * unit.track.clock_rate) - order.unit // 2
        return order.due >= next_cut

    def flush(self, *, next_pts: int | None = None) -> list[Fragment]:
        """The fragment of what has been collected, if anything has.

        Args:
            next_pts: pts of the leading track's unit that follows, if it is known.
        """
        if not self._pending:
            return []
        runs = tuple(
            Run(index, b"".join(pending.samples), b"".join(pending.data))
            for index, pending in sorted(self._pending.items())
        )
        fragment = Fragment(
            self._tracks,
            runs,
            is_sync=self._is_sync,
            discontinuity=self._discontinuity,
            next_pts=next_pts,
            wall_clock=self._wall_clock if runs[0].track == 0 else None,
        )
        self._forget()
        return [fragment]

    def clear(self) -> None:
        """Forget what has been collected."""
        self._forget()
