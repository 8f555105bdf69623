"""A camera whose clock stands, or runs at a wrong rate: its units are timed by their arrival instead.

Strategy: over half a second of arrivals, what the timestamps say has passed is compared with what has; where they
differ by more than four times, twice in a row, the timestamps are not believed any more, and after four good spans
they may be again, from the next sync sample on. The longest pause makes no clock slow, for the network may have
stopped, and a run with a wild timestamp does not count; the second span makes it deaf to the burst of old pictures
with which some cameras and recorders begin.

Sound needs no arrival: its units last what they last. Where over two seconds of them the timestamps went another way,
and not because some are missing, the units are counted (`UnitClock`). Where units are not sent while nothing is said
(Opus), and where the samples go wrong as the timestamps do, only the pictures beside it can tell: sound that twice in a
row gets half a second further from them, or back, is of another clock (`BesideClock`); where its samples do, too, it is
thinned out, or spread. Where its timestamps go as it arrives it is the pictures that come late, from an encoder that
has too much to do: both are right, and stay as they are for as long as the one can wait for the other.

Which cameras: some stamp every unit alike after their clock was set, or count in milliseconds what they announce
as 90 kHz; some count Opus in the ticks of the rate that was recorded; some send 16,000 samples of G.711 a second.
"""

from __future__ import annotations

from itertools import pairwise

from rtspkit.media import Run
from rtspkit.restamp import Survey, contiguous, survey, times_of

__all__ = ["ArrivalClock", "BesideClock", "UnitClock"]

_NANOSECONDS = 1_000_000_000
#: Arrivals (ns) that are looked at together.
_SPAN = _NANOSECONDS // 2
#: How far the clocks may be apart, as a factor.
_FACTOR = 4
#: Units that are looked at together at most: many may come at one instant.
_MOST = 1000
#: A run that goes further than this (s), and than a second a unit, has a wild timestamp.
_WILD = 5
#: No more (s) is made up for of what a clock stood still before it was noticed.
_MADE_UP = 2
#: Spans in a row that convict a clock, and that acquit it.
_BAD, _GOOD = 2, 4
#: Sound is looked at for so long (s), and its timestamps may go so much further or less far than its units: no crystal
#: is off by so much, but a sampling rate that was told wrong is.
_SOUND_SPAN, _SOUND_OFF = 2, 0.03
#: So far (s) from the pictures do the timestamps of sound get before it counts: packets come in bursts.
_BESIDE_OFF = 0.5
#: So far (s) behind sound that comes in time may the pictures get, and catch up again.
_BESIDE_LATE = 5
#: Longer (s) without any sound, nobody knows how its clock went on.
_BESIDE_PAUSE = 0.25


class ArrivalClock:
    """Watches the leading track of one camera.

    Attributes:
        is_used: units are timed by their arrival at present.
        is_good_again: they need not be any more; whoever uses the clock forgets then where time can start anew.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self.is_used = self.is_good_again = False
        self._lost = 0  # ticks that the clock has not counted since it went wrong
        self._streak = 0
        self._last: tuple[int, int] | None = None  # pts and arrival of the last unit
        self._given: int | None = None  # the pts that unit was given; None: its own
        self._begin_span()

    def _begin_span(self) -> None:
        self._units = 0
        self._ticks = 0  # their timestamps went so far
        self._waited = 0  # ns from the first arrival to the last …
        self._pause = 0  # … and the longest of the waits

    def forget(self) -> None:
        """Another connection, another clock."""
        self.is_used = self.is_good_again = False
        self._streak = self._lost = 0
        self._last = self._given = None
        self._begin_span()

    def take(self, run: Run, times: Survey, expected: int | None) -> tuple[Run, Survey]:
        """The run with the times to go on with.

        Args:
            run: at least one sample, of the leading track.
            times: what they look like.
            expected: the pts that would follow the last unit given out; None where time starts anew.
        """
        if times.arrival <= 0:  # nobody knows when they came
            return run, times
        last_pts, last_arrival = self._last or (times.first, times.arrival)
        self._last = (times.last, times.last_arrival)
        ahead = max(0, times.arrival - last_arrival)
        ticks = times.high - last_pts
        if abs(ticks) <= max(_WILD, times.units) * self._rate:
            self._units += times.units
            self._ticks += max(0, ticks)
            self._waited += ahead + max(0, times.last_arrival - times.arrival)
            self._pause = max(self._pause, ahead, times.pause)
            if self._waited - self._pause >= _SPAN:
                self._judge()
            elif self._units > _MOST:
                self._begin_span()
        if not self.is_used:
            return run, times
        return self._retime(run, times, expected, times.last_arrival - last_arrival)

    def _retime(self, run: Run, times: Survey, expected: int | None, waited: int) -> tuple[Run, Survey]:
        unit = max(1, min(waited * self._rate // (_NANOSECONDS * times.units), self._rate))
        if expected is None:
            first = times.first
        elif self._given is None:
            first = expected + self._lost
        else:
            # what is expected after a lone unit of a clock that ran ahead is as far ahead, and would stay that
            first = self._given + unit
        self._lost = 0
        run = contiguous(run, unit, first=first)
        retimed = survey(run)
        self._given = retimed.last
        return run, retimed

    def _judge(self) -> None:
        time = self._ticks * _NANOSECONDS // self._rate
        is_bad = time > _FACTOR * self._waited or _FACTOR * time < self._waited - self._pause
        self._streak = self._streak + 1 if is_bad is not self.is_used else 0
        if not self.is_used:
            # what it stood still for is made up for at once, what it ran ahead stays
            missing = max(0, self._waited * self._rate // _NANOSECONDS - self._ticks) if is_bad else 0
            self._lost = min(self._lost + missing, _MADE_UP * self._rate) if self._streak else 0
            if self._streak >= _BAD:
                self.is_used, self._streak = True, 0
        elif self._streak >= _GOOD:
            self.is_good_again = True
        self._begin_span()


class UnitClock:
    """Watches the timestamps of sound whose units have a known duration.

    Attributes:
        is_used: units are counted at present.
    """

    def __init__(self, rate: int) -> None:
        self.is_used = False
        self._span = _SOUND_SPAN * rate
        self.forget()

    def forget(self) -> None:
        """Time starts anew, or the units are others; whether they are counted stays."""
        self._last: int | None = None
        self._ticks = self._lasted = self._odd = self._units = 0

    def take(self, run: Run, times: Survey, unit: int) -> None:
        """Look at the units of a run, which last `unit` ticks each."""
        if self._last is not None:
            ticks, lasted = times.last - self._last, times.units * unit
            if abs(ticks - lasted) > _SOUND_OFF * lasted:
                # where units are missing most of the others are where they should be
                steps = [after - before for before, after in pairwise([self._last, *times_of(run)])]
                self._odd += sum(abs(step - unit) > _SOUND_OFF * unit for step in steps)
            self._ticks += ticks
            self._lasted += lasted
            self._units += times.units
        self._last = times.last
        if self._lasted >= self._span:
            is_off = abs(self._ticks - self._lasted) > _SOUND_OFF * self._lasted
            self.is_used = is_off and 2 * self._odd > self._units
            self._ticks = self._lasted = self._odd = self._units = 0


class BesideClock:
    """Watches the timestamps of sound beside the time of the pictures.

    Attributes:
        is_used: units are counted at present.
        pace: how much of sound comes in the time of so much of pictures; 1.0 where only the timestamps are wrong.
    """

    def __init__(self, rate: int) -> None:
        self.is_used = False
        self.pace = 1.0
        self._rate = rate
        self.forget()

    def forget(self) -> None:
        """Time starts anew; whether units are counted stays."""
        self._start: tuple[int, int, int] | None = None  # a timestamp, the time of the pictures beside it, the arrival
        self._streak = 0  # spans in a row that went wrong; below 0: the sound fell behind
        self._edge = self._lasted = 0
        self._late = 0  # so far behind have the pictures come

    def take(self, first: int, video: int, edge: int, lasts: int, arrival: int = 0) -> None:
        """Look at the sound of a fragment.

        Args:
            first: its first timestamp, or one of its own time that goes on with it; ticks, as all but `arrival`.
            video, edge: where its pictures begin and end on the output's timeline.
            lasts: what its units last.
            arrival: monotonic ns at which the first of them came; 0: nobody knows.
        """
        if self._start is None or video - self._edge > _BESIDE_PAUSE * self._rate:
            self._start, self._streak, self._edge, self._lasted = (first, video, arrival), 0, edge, lasts
            self._late = 0
            return
        self._edge = edge
        lasted, self._lasted = self._lasted, self._lasted + lasts
        sounded, passed = first - self._start[0], video - self._start[1]
        off = sounded - passed
        if abs(off) > max(_BESIDE_OFF * self._rate, _SOUND_OFF * passed):
            if self._is_as_it_arrives(sounded, off, arrival):
                self._late += off
            else:
                self._streak = max(1, self._streak + 1) if off > 0 else min(-1, self._streak - 1)
            if abs(self._streak) >= _BAD:
                is_other = abs(lasted - passed) > max(_BESIDE_OFF * self._rate, _SOUND_OFF * passed) and passed > 0
                self.is_used, self.pace = True, max(0.1, min(lasted / passed, 10.0)) if is_other else 1.0
                self._late = 0
        elif _SOUND_OFF * passed > _BESIDE_OFF * self._rate:
            self.is_used, self.pace, self._streak = False, 1.0, 0
        else:
            return
        self._start, self._lasted = (first, video, arrival), lasts

    def _is_as_it_arrives(self, sounded: int, off: int, arrival: int) -> bool:
        """Whether it is not the sound that has come `off`, in what it says were `sounded` ticks."""
        assert self._start is not None
        if self.is_used or not (arrival and self._start[2]) or abs(self._late + off) > _BESIDE_LATE * self._rate:
            return False
        waited = (arrival - self._start[2]) * self._rate // _NANOSECONDS
        return 2 * abs(sounded - waited) < abs(off)
