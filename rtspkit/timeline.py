"""Where the tracks of one rendition stand on the output's time.

Strategy: one track leads, and its shift takes the camera's pts to output time. The audio beside it has the same shift,
in its own ticks, and is shown as much later as reordered pictures are (`decoding`); whatever it was moved by on its
own account (`companion`) is forgotten where the leading track's shift changes, for the camera had them together.

Spec: ISO/IEC 14496-12 8.8.12 (tfdt).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtspkit import restamp
from rtspkit.companion import Companion, TrackTime
from rtspkit.decoding import Decoding
from rtspkit.media import Fragment, Run, Track

if TYPE_CHECKING:
    from rtspkit.fmp4 import FragmentRun
    from rtspkit.segments import SegmenterStats

__all__ = ["Timeline", "run_of"]

_MICROSECOND = 1_000_000


def run_of(fragment: Fragment, track: int) -> Run | None:
    """What a fragment has of a track; None where it has nothing."""
    for run in fragment.runs:
        if run.track == track:
            return run
    return None


class Timeline:
    """The time of a leading track and of the audio beside it; in ticks of the former where nothing else is said.

    Attributes:
        lead: of the leading track.
        other: the audio beside it; None where there is none.
        decoding: when its pictures are decoded.
    """

    def __init__(self, leader: Track, beside: Track | None, stats: SegmenterStats) -> None:
        """Begin at 0.

        Args:
            leader: the leading track.
            beside: the audio beside it.
            stats: what is counted.
        """
        self.lead = TrackTime(leader)
        self.other = None if beside is None else Companion(beside, stats)
        self.decoding = Decoding(self.lead, leader)

    def begin(self, first: int, start: int) -> None:
        """Time starts anew: pts `first` is shown at output time `start`, or later where the audio stands behind it."""
        if self.other is not None:
            time, delay = self.other.time, self.decoding.delay
            start = max(start, -(-time.end * self.lead.rate // time.rate) - delay)
            time.end = self._beside(start + delay)
        self.lead.shift = start - first
        self._relate()

    def shift_by(self, ticks: int) -> None:
        """Move all tracks alike."""
        self.lead.shift += ticks
        self._relate()

    def make_room(self, run: Run, decoded: Sequence[int]) -> None:
        """Show picture and sound later, where pictures of a run would be decoded too late, at these times."""
        order = self.decoding.order
        more = 0 if order is None else self.decoding.make_room(order, run, decoded)
        if more and self.other is not None:
            self.other.time.shift += self._beside(more)

    def row_beside(
        self, run: Run | None, begin: int, edge: int, *, has_video: bool, is_starting: bool, is_timed: bool
    ) -> FragmentRun | None:
        """The audio beside what goes from `begin` to `edge`; see `Companion.row`."""
        if self.other is None:
            return None
        delay = self.decoding.delay
        video, edge = self._beside(begin + delay), self._beside(edge + delay)
        return self.other.row(run, video, edge, has_video=has_video, is_starting=is_starting, is_timed=is_timed)

    def spread_beside(self, fragment: Fragment, ends: Sequence[int]) -> Sequence[Run | None]:
        """The audio beside pieces of the leading run, which end so many ticks behind its begin."""
        run = None if self.other is None else run_of(fragment, self.other.index)
        if run is None:
            return [None] * len(ends)
        return restamp.spread(run, [self._beside(end) for end in ends])

    def ahead(self, run: Run, start: int) -> int | None:
        """By how much (microseconds) the first unit of a run is shown behind output time `start`; None: not here."""
        time = self.lead
        if run.track != time.track_id - 1:
            if self.other is None or run.track != self.other.index:
                return None
            time, start = self.other.time, start + self.decoding.delay
        first = restamp.survey(run).first + time.shift
        return first * _MICROSECOND // time.rate - start * _MICROSECOND // self.lead.rate

    def _relate(self) -> None:
        if self.other is not None:
            self.other.time.shift = self._beside(self.lead.shift + self.decoding.delay)

    def _beside(self, ticks: int) -> int:
        """So many ticks of the leading track in those of the audio."""
        assert self.other is not None
        return ticks * self.other.time.rate // self.lead.rate
