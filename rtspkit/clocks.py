"""The clocks of one camera's tracks, and how they are kept together.

Strategy: each track counts in a clock of its own, and nothing but the start relates them: crystals are a few dozen
parts in a million apart, which is a second after some hours. So one track leads (the video), and the others are
moved to where it is: `Receiver.set_shift` adds to their pts what is missing, a 200th of the time at most, which
nobody hears and no reader of the output has to make up for.

What is missing is told by the sender reports, which tie both clocks to a third one, whatever time that shows. Two
reports of different tracks count where neither clock has been set in between, and where they say about the same as the
arrival: some cameras report the time of another stream, of 1900, or of nothing. Else the arrival alone tells it: the
least delay of a stretch for each track, for the network only ever adds to it. It does not tell how much longer the
sound takes within the camera than the picture; that is taken from the reports there have been, or from RTP-Info.
Either is a straight line through what was found of late, for single findings have jitter.

Spec: RFC 3550, 6.4.1 (sender reports); RFC 2326, 12.33 (RTP-Info).
"""

from __future__ import annotations

from collections.abc import Sequence

from rtspkit.media import Track
from rtspkit.rtp import Receiver, SenderReport

__all__ = ["TrackClocks"]

_NANOSECONDS = 1_000_000_000
#: A camera's wall clock is used up to so far (s) from ours: there are some of 1970 and of 2036.
WALL_CLOCK_SLACK = 24 * 3600.0
#: A report further (s) than this from where those before it were is of a clock that was set, or a mistake ...
_SET = 0.5
#: ... and this many that agree with each other are believed all the same.
_AGREEING = 3
#: Seconds between two looks at the arrivals.
_STRETCH = 5.0
#: Reports of two tracks are compared up to this age (s); they come every five seconds or so.
_REPORT_AGE = 60.0
#: Reports may differ so much (s) from what the arrival says, for the sound may take longer than the picture.
_PLAUSIBLE = 1.0
#: A line is begun anew by findings that are this far from it (s), in a row.
_FAR = 0.25
#: The weight of a line's points: each counts so much less than the one after it. About 32 count.
_DECAY = 1 - 1 / 32
#: So many points tell what is usual at the start; clocks do not drift far meanwhile.
_BASE = 6
#: A line's slope is believed from this much time (s) on, and never more than so much.
_SLOPE_SPAN, _STEEPEST = 60.0, 0.005
#: Tracks that are together within this (s) are left alone.
_TOGETHER = 0.01


class TrackClocks:
    """Keeps the tracks of one connection together, and tells the receiver their wall clocks.

    Args:
        tracks: what the receiver receives, by index.
    """

    def __init__(self, tracks: Sequence[Track]) -> None:
        self._tracks = tuple(tracks)
        leader = next((track for track in tracks if track.kind == "video"), None)
        self._leader = 0 if leader is None else leader.index
        self._senders = [_Sender() for _ in tracks]
        self._pairs = [_Pair() for _ in tracks]
        self._looked_at = 0

    def report(self, receiver: Receiver, index: int, report: SenderReport, now: int, wall: float) -> None:
        """Takes a sender report of the source that sends a track's media.

        Args:
            receiver: the connection's.
            index: of the track.
            report: what it says.
            now: monotonic ns.
            wall: this machine's clock, in Unix seconds.
        """
        sender, time = self._senders[index], now / _NANOSECONDS
        clock = self._look(receiver, index)
        if clock is None or not sender.believes(report.wall_clock - time):
            return
        if sender.was_set:
            for other in self._senders:  # of the same clock, and from before
                other.start = None
        timestamp, ticks = clock
        ticks += (report.rtp_timestamp - timestamp + 2**31) % 2**32 - 2**31
        sender.start, sender.time = report.wall_clock - ticks / self._tracks[index].clock_rate, time
        if abs(report.wall_clock - wall) <= WALL_CLOCK_SLACK:
            receiver.set_wall_clock(index, report.rtp_timestamp, report.wall_clock)
        self._compare_reports(index, time)
        self.observe(receiver, now)

    def observe(self, receiver: Receiver, now: int) -> None:
        """Looks at the arrivals, and moves the tracks to each other; more often than every five seconds is as good.

        Args:
            receiver: the connection's.
            now: monotonic ns.
        """
        if len(self._tracks) < 2:
            return
        if not self._looked_at:
            self._looked_at = now
        time = now / _NANOSECONDS
        if now - self._looked_at >= _STRETCH * _NANOSECONDS:
            self._looked_at = now
            self._compare_arrivals(receiver, time)
        for track, pair in zip(self._tracks, self._pairs, strict=True):
            wanted = pair.wanted(time)
            if wanted is not None and track.index != self._leader:
                ticks = round(wanted * track.clock_rate)
                if abs(ticks - receiver.shift(track.index)) > _TOGETHER * track.clock_rate or pair.is_moving:
                    pair.is_moving = ticks != receiver.shift(track.index)
                    receiver.set_shift(track.index, ticks)

    def _look(self, receiver: Receiver, index: int) -> tuple[int, int] | None:
        """RTP timestamp of a track's last packet, and its ticks; what else is told of its clock is noted."""
        clock = receiver.clock(index)
        if clock is None:
            return None
        timestamp, ticks, transit, restarts, is_exact = clock
        pair = self._pairs[index]
        if transit is not None:
            pair.transit = transit if pair.transit is None else min(pair.transit, transit)
        if restarts != pair.restarts:
            self._senders[index].start = None
            for other in self._pairs if index == self._leader else [pair]:
                other.by_arrival.clear()
                other.by_report.clear()
        pair.restarts, pair.is_exact = restarts, is_exact
        return timestamp, ticks

    def _compare_arrivals(self, receiver: Receiver, time: float) -> None:
        """Each track's least delay since the last look, beside the leader's."""
        for track in self._tracks:
            self._look(receiver, track.index)
        leader = self._pairs[self._leader]
        for track, pair in zip(self._tracks, self._pairs, strict=True):
            pair.is_exact &= leader.is_exact
            if pair is not leader and pair.transit is not None and leader.transit is not None:
                difference = pair.transit / track.clock_rate
                difference -= leader.transit / self._tracks[self._leader].clock_rate
                pair.by_arrival.add(time, difference)
                if pair.delay is None and pair.is_exact and pair.by_arrival.count >= _BASE:
                    pair.delay = (pair.by_arrival.at(time) or 0.0) - receiver.shift(track.index) / track.clock_rate
        for pair in self._pairs:
            pair.transit = None

    def _compare_reports(self, index: int, time: float) -> None:
        """The starts of a track and of the leader, by one clock, are where they are by the leader's."""
        leader = self._senders[self._leader]
        for number, (pair, sender) in enumerate(zip(self._pairs, self._senders, strict=True)):
            if sender is leader or index not in {number, self._leader} or sender.start is None or leader.start is None:
                continue
            # two new ones: what one wrong report says is not to be confirmed by itself (GStreamer's first one may be)
            if sender.time <= pair.compared[0] or leader.time <= pair.compared[1]:
                continue
            if time - min(sender.time, leader.time) <= _REPORT_AGE and abs(sender.offset - leader.offset) <= _PLAUSIBLE:
                pair.compared = sender.time, leader.time
                pair.by_report.add(time, sender.start - leader.start)


class _Sender:
    """The sender reports of one track.

    Attributes:
        start: what the camera's clock showed at 0 ticks of the track, by the last report that counts; None: none does.
        time: when that came (monotonic s) ...
        offset: ... and how far the camera's clock was ahead of the monotonic one.
        was_set: the camera's clock was set before it, or another report was wrong.
    """

    def __init__(self) -> None:
        self.start: float | None = None
        self.time = self.offset = 0.0
        self.was_set = False
        self._is_known = False
        self._rival: float | None = None
        self._rivals = 0

    def believes(self, offset: float) -> bool:
        """Whether a report counts that puts the camera's clock so far ahead of the monotonic one (s)."""
        self.was_set = False
        if self._is_known and abs(offset - self.offset) > _SET:
            agrees = self._rival is not None and abs(offset - self._rival) <= _SET
            self._rivals = self._rivals + 1 if agrees else 1
            self._rival = offset
            if self._rivals < _AGREEING:
                return False
            self.was_set = True
        self._is_known = True
        self._rival, self._rivals = None, 0
        self.offset = offset
        return True


class _Pair:
    """What is known of a track beside the leader; seconds.

    Attributes:
        transit: the least since the last look, ticks.
        restarts: of the track, seen so far.
        is_exact: RTP-Info said where it began, and the leader.
        delay: how much longer it takes to arrive than the leader; None: nobody has said.
        by_arrival, by_report: where its 0 ticks are on the leader's timeline.
        compared: when the last reports came, of it and of the leader, that `by_report` knows of.
        is_moving: what is missing is being made up for.
    """

    def __init__(self) -> None:
        self.transit: int | None = None
        self.restarts = 0
        self.is_exact = self.is_moving = False
        self.delay: float | None = None
        self.by_arrival = _Line()
        self.by_report = _Line()
        self.compared = -1.0, -1.0

    def wanted(self, time: float) -> float | None:
        """What its time has to be moved by at present; None: nobody knows."""
        arrived = self.by_arrival.at(time)
        reported = self.by_report.at(time)
        if arrived is None:
            return None
        if reported is not None and abs(reported - arrived) <= _PLAUSIBLE:
            self.delay = arrived - reported
            return reported
        if self.delay is None and self.is_exact:
            return None
        return arrived - (self.delay or 0.0)


class _Line:
    """A straight line through points that come one after the other, later ones counting more (least squares).

    Attributes:
        count: of the points.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.count = self._far = 0
        self._time = self._began = self._first = 0.0  # of the last point, and of the first; its value
        # sums over the points, times counted from the last one, values from the first
        self._weight = self._t = self._v = self._tt = self._tv = 0.0

    def at(self, time: float) -> float | None:
        """The value then; None while nothing confirms the first point, and where none came of late."""
        if self.count < 2 or time - self._time > 2 * _REPORT_AGE:
            return None
        mean = self._first + self._v / self._weight
        spread = self._weight * self._tt - self._t * self._t
        if self._time - self._began < _SLOPE_SPAN or spread <= 0:
            return mean
        slope = (self._weight * self._tv - self._t * self._v) / spread
        return mean + max(-_STEEPEST, min(_STEEPEST, slope)) * (time - self._time - self._t / self._weight)

    def add(self, time: float, value: float) -> None:
        """One more point; a single one far from the line, or from the one before, does not count."""
        expected = self.at(time)
        if expected is None and self.count:
            expected = self._first
        if expected is not None and abs(value - expected) > _FAR:
            self._far += 1
            if self._far < _AGREEING and self.count > 1:
                return
            self.clear()  # a first point that nothing confirms is no better than the one that contradicts it
        self._far = 0
        if not self.count:
            self._began, self._time, self._first = time, time, value
        self.count += 1
        passed = time - self._time
        value -= self._first
        self._tt = _DECAY * (self._tt + passed * (passed * self._weight - 2 * self._t))
        self._tv = _DECAY * (self._tv - passed * self._v)
        self._t = _DECAY * (self._t - passed * self._weight)
        self._v = _DECAY * self._v + value
        self._weight = _DECAY * self._weight + 1
        self._time = time
