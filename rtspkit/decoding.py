"""When pictures are decoded, and how much later than that all is shown, where they come in another order than shown.

Strategy: decode times go on in even steps, a picture each; `Reordering` says when the next one is due. A picture that
is shown before one that came earlier would be decoded too late then: so the whole output, sound and all, is shown
later by as many pictures as may be overtaken, and no picture is shown before it is decoded. How many that are the SPS
says, or what has come so far, whichever is more; it only grows, for going back would show something twice. A camera
without B-pictures is not delayed, whatever its SPS allows, nor is one that stamps a picture too late now and then: that
pictures go back has to happen again, or be in the slice headers.

That pictures are reordered shows with the first one that goes back. With parts that may be one part too late: where
the times of a part have a hole, the picture order counts say whether pictures are still to come that fill it.

Spec: Rec. ITU-T H.264, C.4.5.3, H.265, C.5.2.3 (output order); ISO/IEC 14496-12, 8.6.1.3 (composition offsets).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median_low

from rtspkit import restamp
from rtspkit.codecs import reordered_pictures
from rtspkit.companion import TrackTime
from rtspkit.media import Run, Track
from rtspkit.pictureorder import PictureOrder
from rtspkit.reordering import Reordering
from rtspkit.restamp import Survey

__all__ = ["Decoding"]


class Decoding:
    """The decode times of one muxer's pictures; times are ticks.

    Attributes:
        order: in which they come; None where that is the order in which they are shown.
        delay: by so much is everything shown later than pts and shift say.
    """

    def __init__(self, lead: TrackTime, track: Track) -> None:
        """Begin.

        Args:
            lead: the leading track's time.
            track: that track.
        """
        self.order: Reordering | None = None
        self.delay = 0
        self._lead = lead
        self._overtaken = 0  # pictures, as the SPS says
        self._is_sure = False  # one that goes back is no single wrong time
        self.set_track(track)

    def set_track(self, track: Track) -> None:
        """The camera has told new parameters."""
        overtaken = reordered_pictures(track)
        self._may_reorder = track.kind == "video" and overtaken != 0
        self._overtaken = overtaken or 0
        self._track = track

    def look(self, run: Run, times: Survey, next_pts: int | None, *, last: int | None, step_back: int) -> None:
        """Find out in what order the pictures of a run come.

        Args:
            run, times: it, and what it looks like.
            next_pts: pts of the picture behind it, None where unknown.
            last: the latest pts so far; None where time starts anew.
            step_back: a picture further back than this is none that was overtaken.
        """
        order, lead = self.order, self._lead
        if order is not None:
            if not order.left:
                self.order = None
            elif last is None:
                order.restart(self._ahead(run, times))
            return
        is_ordered = times.is_ordered and (next_pts is None or next_pts > times.high)
        awaited = 0
        if is_ordered and (last is None or not 0 < last - times.first <= step_back):
            awaited = self._awaited(run, times) if next_pts is None else 0
            if not awaited:
                return
        # some may be missing from this run, and come with the next: the median does not mind
        ordered = sorted([*restamp.times_of(run), *([] if next_pts is None else [next_pts])])
        unit = median_low([after - before for before, after in pairwise(ordered)] or [lead.unit])
        unit = max(1, unit if last is None else min(unit, lead.unit))
        self.order = Reordering(lead.rate, unit, is_reordered=True)
        self._is_sure = last is None or awaited > 0
        # a hierarchy as deep as it can be
        self.order.overtaken = self._overtaken or awaited.bit_length()
        if last is None:
            self.order.restart(self._ahead(run, times))
        else:
            self.order.take(last)

    def _awaited(self, run: Run, times: Survey) -> int:
        """How many pictures that are shown before one of an ordered run have not come, and were not lost."""
        if not self._may_reorder or times.units < 3:
            return 0
        distances = [after - before for before, after in pairwise(restamp.times_of(run))]
        if max(distances) * 2 <= min(distances) * 3:
            return 0
        steps = self._steps(run, times.units)
        return 0 if steps is None or min(steps) <= 0 else max(steps) // min(steps) - 1

    def _steps(self, run: Run, count: int) -> list[int] | None:
        """From each of so many pictures to the next, as their slice headers say."""
        return PictureOrder(self._track).steps([piece.data for piece in restamp.pieces(run, [1] * count)])

    @staticmethod
    def _ahead(run: Run, times: Survey) -> int:
        """How many pictures of a run are shown before its first."""
        return 0 if times.low == times.first else sum(pts < times.first for pts in restamp.times_of(run))

    def successors(self, order: Reordering, run: Run, begin: int, longest: int) -> list[int]:
        """For each unit of a run from `begin` on when, in output time, the one behind it is due for decoding.

        Where decode time is ahead of what is due it is made up for by and by: each unit lasts half of what it should.

        Args:
            order: `self.order`.
            run: it.
            begin: its decode time.
            longest: it may last no longer.
        """
        successors = []
        last = begin + longest
        for pts in restamp.times_of(run):
            begin = max(order.take(pts) + self._lead.shift, begin + max(1, order.unit // 2))
            successors.append(min(begin, last))
        return successors

    def make_room(self, order: Reordering, run: Run, decoded: Sequence[int]) -> int:
        """Show everything later where a picture of a run would be decoded after it is shown; gives by how much more.

        Args:
            order: `self.order`.
            run: it.
            decoded: when its pictures are, in output time.
        """
        shift, shown = self._lead.shift, restamp.times_of(run)
        late = max(time - pts - shift for time, pts in zip(decoded, shown, strict=True))
        usual = max(order.overtaken, self._overtaken) * order.unit
        # what is more is no order, but a clock that is uneven
        more = max(0, min(max(usual, late), usual + order.unit, self._lead.rate) - self.delay)
        if not more or not (self._is_sure or order.groups > 1):
            return 0
        if any(after < before for before, after in pairwise(shown)):
            steps = self._steps(run, len(shown))
            if steps is not None and min(steps) > 0:
                return 0  # they come in order, and it is their times that are wrong
        self.delay += more
        return more
