"""Where segments and parts are cut, how they are numbered, and what stands where media are absent.

Strategy: the `Segmenter` says what time it is; here lies the segment that is being filled.

*Target duration.* Plain: max(setting, first GOP), rounded up, fixed when the first segment closes. Low-Latency:
max(setting, 4 s), fixed from the start. From then on a segment ends at the sync sample that reaches the
setting, or earlier where one more GOP as long as the last would break the target; a GOP longer than the target
is cut inside, which is why EXT-X-INDEPENDENT-SEGMENTS is never promised. A target that was told before (a
restart, another muxer under the URL) is kept.

*Gaps.* Nothing here waits for a camera. Where the list would stand for longer than it may, `handle_timeout` closes
the open segment; media that are only late go on behind it. Once none have come for a target duration, and as long
again as there usually is between two fragments, it writes segments (and parts) without media, as long as they are
absent. Media that come then follow a discontinuity. A Low-Latency playlist begins
with such segments, three target durations of them: iOS and hls.js ask for segments before the first part.

Spec: draft-pantos-hls-rfc8216bis 4.4.3.1 (EXTINF and target duration), 4.4.4.7 (gap), 6.2.1 (absent media, how
soon a list must grow).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rtspkit.companion import TrackTime
from rtspkit.dates import Dates
from rtspkit.parts import Pacer
from rtspkit.segments import InitSection, Output, Part, PartData, Segment, SegmentData, SegmenterStats

__all__ = ["Cutter"]

MICROSECOND = 1_000_000
#: No second sync sample within this time (s), or the setting if longer: the target is fixed without it.
_GOP_AWAITED = 10.0
#: The least target duration (s) with parts: GOPs of up to 4 s then need no cut.
_LEAST_TARGET = 4
#: Target durations that a Low-Latency playlist begins with; no list may be shorter once it has been.
_FIRST_GAPS = 3
#: Within this many target durations the list has to grow by a segment (draft 6.2.1 says 1.5).
_GROWS_WITHIN = 1.4
#: How fast a long distance of two fragments is forgotten, with each that follows.
_RHYTHM_DECAY = 0.9
#: A gap shorter than this (s) is not worth a segment.
_LEAST_GAP = 0.1


@dataclass(slots=True)
class _Open:
    """The segment that is being filled; times in ticks of the leading track."""

    msn: int
    start: int
    date: int
    discontinuity: bool
    is_independent: bool
    has_parts: bool
    is_gap: bool = False
    size: int = 0
    units: int = 0
    parts: list[Part] = field(default_factory=list)
    parts_duration: int = 0  # of all of them, microseconds
    # the part that is open
    part_start: int = 0
    part_data: list[bytes] = field(default_factory=list)
    part_is_independent: bool = False


def _ceil_seconds(microseconds: int) -> int:
    return -(-microseconds // MICROSECOND)


class Cutter:
    """The segments of one muxer.

    Attributes:
        outputs: what the call that is being worked off has given so far.
        now: monotonic seconds of that call; `wall`: Unix seconds of the same instant.
        target_duration: seconds; None until it is fixed.
        longest: ticks that a segment may last: rounded, EXTINF may not pass the target.
        init: the init section of the open segment; None before the first.
    """

    def __init__(
        self,
        lead: TrackTime,
        pacer: Pacer | None,
        stats: SegmenterStats,
        *,
        setting: int,
        max_size: int,
        first_msn: int,
        first_discontinuity: int,
        target_duration: int | None,
    ) -> None:
        """Begin.

        Args:
            lead: where the leading track stands; its `end` goes on over a gap.
            pacer: of the parts; None without.
            stats: `gaps`, `fragments` and `discontinuities` are counted.
            setting: microseconds a segment should last.
            max_size: bytes of a segment.
            first_msn: media sequence number of the first segment.
            first_discontinuity: number before the first discontinuity.
            target_duration: seconds, to be kept; None: it is found.
        """
        self.outputs: list[Output] = []
        self.now = self.wall = 0.0
        self.target_duration = target_duration
        if pacer is not None:
            self.target_duration = max(_LEAST_TARGET, _ceil_seconds(setting), target_duration or 0)
        self.init: InitSection | None = None
        self._lead = lead
        self._pacer = pacer
        self._stats = stats
        self._setting = setting
        self._max_size = max_size
        self._msn = first_msn
        self._discontinuity_number = first_discontinuity
        self._part_number = 0  # of the open part
        self._open: _Open | None = None
        self._last_sync: int | None = None
        self._gop: int | None = None  # the last whole one, in ticks
        self._first_gop: int | None = None
        self._expect(self._tentative_target() if self.target_duration is None else self.target_duration)
        self._dates = Dates(lead.rate)
        # the clock that writes gaps: monotonic seconds at which the media so far ended, and the list grew
        self._ended_at: float | None = None
        self._grown_at: float | None = None
        self._rhythm = 1.0  # seconds there usually are between two fragments, at most

    # -- what others see ----------------------------------------------------------------------------------

    def microseconds(self, ticks: int) -> int:
        """Output time; durations are differences of it, so that they add up."""
        return (ticks * MICROSECOND + self._lead.rate // 2) // self._lead.rate

    @property
    def next_numbers(self) -> tuple[int, int]:
        """Media sequence and discontinuity number of what would follow behind another discontinuity."""
        return self._msn, self._discontinuity_number + 1

    @property
    def is_open(self) -> bool:
        """A segment is being filled with media."""
        return self._open is not None and not self._open.is_gap

    @property
    def has_parts(self) -> bool | None:
        """Whether the segment that is being filled has parts; None where there is none."""
        return self._open.has_parts if self._open is not None and not self._open.is_gap else None

    @property
    def is_part_open(self) -> bool:
        """The open part has media already."""
        return self._open is not None and bool(self._open.part_data)

    @property
    def part_start(self) -> int:
        """Where the open part began, or the next one will."""
        return self._open.part_start if self._open is not None and self._open.part_data else self._lead.end

    @property
    def next_part(self) -> int | None:
        """Number of the part with media that comes next; None without parts."""
        return None if self._pacer is None else self._part_number

    @property
    def edge(self) -> Segment | None:
        """The open segment as far as its parts are whole; None where it has none (yet)."""
        segment = self._open
        if segment is None or not segment.parts or self.init is None:
            return None
        return self._segment(segment, segment.parts_duration)

    # -- where to cut -------------------------------------------------------------------------------------

    def _expect(self, target: int) -> None:
        """The target duration is that (s), or would be if the open segment were closed now."""
        self._target = target
        self.longest = (2 * target + 1) * self._lead.rate // 2 - 1

    def _tentative_target(self) -> int:
        if self._first_gop is not None:
            longest = self.microseconds(self._first_gop - self._lead.unit // 2)
        else:
            longest = round(_GOP_AWAITED * MICROSECOND)
        return max(1, _ceil_seconds(max(self._setting, longest)))

    def note_sync(self, at: int) -> None:
        """A sync sample begins there."""
        if self._last_sync is not None and at > self._last_sync:
            self._gop = at - self._last_sync
            if self._first_gop is None and self.target_duration is None:
                self._first_gop = self._gop
                self._expect(self._tentative_target())
        self._last_sync = at

    def cut_before(self, is_sync: bool, boundary: int, end: int, size: int) -> None:
        """Close the open segment where a fragment of so many bytes, from `boundary` to `end`, begins another."""
        segment = self._open
        if segment is None or boundary <= segment.start:
            return
        is_over = segment.size + size > self._max_size or end - segment.start > self.longest
        if is_over or (is_sync and self._is_long_enough(boundary - segment.start)):
            self.close(end - boundary)

    def _is_long_enough(self, duration: int) -> bool:
        """Whether a segment of so many ticks ends where another GOP begins."""
        if self.microseconds(duration + self._lead.unit // 2) >= self._setting:
            return True
        return self._gop is not None and duration + self._gop > self.longest

    # -- the open segment ---------------------------------------------------------------------------------

    def open(self, start: int, new_init: InitSection | None, *, is_sync: bool, clock: tuple[int, bool]) -> None:
        """A new segment begins.

        Args:
            start: output time.
            new_init: time, or the parameters, start anew with it.
            is_sync: its first sample is one.
            clock: what the clock says it is (Unix microseconds), and whether it is the camera's.
        """
        measured, is_camera = clock
        is_discontinuity = new_init is not None and self.init is not None
        if new_init is not None:
            self.init = new_init
            self.outputs.append(new_init)
            if is_discontinuity:
                self._discontinuity_number += 1
                self._stats.discontinuities += 1
            elif self._pacer is not None:
                self._write_first_gaps(measured)
        self._open = self._next(
            start=start,
            date=self._dates.at(start, measured, is_camera=is_camera),
            discontinuity=is_discontinuity,
            is_independent=is_sync,
            has_parts=self._pacer is not None and not self._pacer.is_suspended,
        )

    def _next(
        self,
        *,
        start: int,
        date: int,
        has_parts: bool,
        discontinuity: bool = False,
        is_independent: bool = False,
        is_gap: bool = False,
    ) -> _Open:
        """A segment with the next number."""
        self._msn += 1
        return _Open(self._msn - 1, start, date, discontinuity, is_independent, has_parts, is_gap)

    def forget_date(self) -> None:
        """Time has jumped: the next date is taken from the clock."""
        self._dates.forget()

    def append(self, data: bytes, units: int, *, start: int, is_sync: bool = False) -> None:
        """Add a fragment to the open segment, and to its open part.

        Args:
            data: moof and mdat.
            units: of the leading track.
            start: where the fragment begins.
            is_sync: it starts with a sync sample.
        """
        segment = self._open
        assert segment is not None
        segment.size += len(data)
        segment.units += units
        self._stats.fragments += 1
        self.outputs.append(SegmentData(segment.msn, data))
        if segment.has_parts:
            if not segment.part_data:
                segment.part_start = start
                segment.part_is_independent = is_sync
            segment.part_data.append(data)
        if units:
            if self._ended_at is not None:
                passed = min(self.now - self._ended_at, float(self._target))
                self._rhythm = max(passed, self._rhythm * _RHYTHM_DECAY)
            self._ended_at = self.now

    def end_part(self) -> None:
        """The open part ends where the leading track has ended."""
        segment = self._open
        assert segment is not None
        if not segment.part_data:
            return
        duration = self.microseconds(self._lead.end) - self.microseconds(segment.part_start)
        part = Part(self._part_number, duration, segment.part_is_independent)
        data, segment.part_data = tuple(segment.part_data), []
        self._part_number += 1
        segment.parts.append(part)
        segment.parts_duration += duration
        self.outputs.append(PartData(part, data))

    def close(self, following: int = 0) -> None:
        """Close the open segment, if there is one; the first fixes the target duration.

        Args:
            following: what the fragment lasts that follows (ticks), where it was cut to fit the target so far.
        """
        segment = self._open
        if segment is None or self.init is None:
            self._open = None
            return
        if segment.has_parts and not segment.is_gap:
            if self._pacer is not None and segment.part_data:  # a lone unit may have come, and no more
                self._pacer.fix(self._lead.unit, self._lead.end - segment.part_start)
            self.end_part()
        self._open = None
        duration = self.microseconds(self._lead.end) - self.microseconds(segment.start)
        if self.target_duration is None:
            unit = self._lead.unit
            if self._first_gop is not None or duration + self.microseconds(unit) >= _GOP_AWAITED * MICROSECOND:
                target = self._tentative_target()
            else:
                target = max(1, _ceil_seconds(max(self._setting, duration - self.microseconds(unit // 2))))
            # and legal whatever happened so far
            longest = max(duration, self.microseconds(following))
            self.target_duration = max(target, (longest + MICROSECOND // 2) // MICROSECOND)
            self._expect(self.target_duration)
        self._grown_at = self.now
        self.outputs.append(self._segment(segment, duration))

    def start_anew(self, following: int = 0) -> None:
        """Nothing relates what comes to what was: see `close`. A gap goes on."""
        self._last_sync = None
        if self._open is None or not self._open.is_gap:
            self.close(following)

    def _segment(self, segment: _Open, duration: int) -> Segment:
        assert self.init is not None
        return Segment(
            msn=segment.msn,
            duration=duration,
            date=segment.date,
            init=self.init.number,
            discontinuity=segment.discontinuity,
            discontinuity_number=self._discontinuity_number,
            is_independent=segment.is_independent,
            size=segment.size,
            units=segment.units,
            is_gap=segment.is_gap,
            parts=tuple(segment.parts),
        )

    # -- gaps ---------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do, in monotonic seconds; None: not before media come."""
        if self._ended_at is None or self._grown_at is None or self.target_duration is None:
            return None
        target = self.target_duration
        segment = self._open
        grows = self._grown_at + _GROWS_WITHIN * target
        if segment is None:
            return min(self._absent, max(grows, self._ended_at + target))
        if not segment.is_gap:
            return min(self._absent, max(grows, self._ended_at))
        end = self._ended_at + target
        if self._pacer is None or self._pacer.target is None:
            return end
        return min(end, self._ended_at + (segment.parts_duration + self._pacer.target) / MICROSECOND)

    @property
    def _absent(self) -> float:
        """From when on media are absent, not late."""
        assert self._ended_at is not None
        return self._ended_at + (self.target_duration or 0) + self._rhythm

    def handle_timeout(self) -> bool:
        """Write what the clock wants by `now`; True where media that come start anew."""
        is_absent = False
        while (due := self.next_timeout()) is not None and due <= self.now:
            assert self._ended_at is not None
            assert self.target_duration is not None
            segment = self._open
            if segment is None or (not segment.is_gap and self.now >= self._absent):
                is_absent = True
                self.start_anew()
                self._open_gap()
            elif not segment.is_gap:
                self.close()  # that the list grows
            elif self.now >= (end := self._ended_at + self.target_duration):
                self.end_gap(end)
                self._open_gap()
            else:
                self._add_gap_part(segment)
        return is_absent

    def _open_gap(self) -> None:
        """What comes from now on is missing, until `end_gap`."""
        assert self._ended_at is not None
        start = self._lead.end
        measured = round((self.wall - (self.now - self._ended_at)) * MICROSECOND)
        self._open = self._next(
            start=start,
            date=self._dates.at(start, measured, is_camera=False),
            has_parts=self._pacer is not None and self._pacer.target is not None,
            is_gap=True,
        )
        self._stats.gaps += 1

    def _add_gap_part(self, segment: _Open, longest: int | None = None) -> None:
        assert self._pacer is not None
        assert self._pacer.target is not None
        duration = self._pacer.target if longest is None else min(longest, self._pacer.target)
        part = Part(self._part_number, duration, is_independent=False, is_gap=True)
        segment.parts.append(part)
        segment.parts_duration += duration
        self.outputs.append(PartData(part, ()))

    def end_gap(self, until: float) -> None:
        """Close the gap that is open, if one is; a very short one is forgotten.

        Args:
            until: monotonic seconds at which it ends.
        """
        segment = self._open
        if segment is None or not segment.is_gap:
            return
        assert self._ended_at is not None
        assert self.target_duration is not None
        seconds = max(0.0, min(until - self._ended_at, float(self.target_duration)))
        duration = max(round(seconds * MICROSECOND), segment.parts_duration)
        if duration < _LEAST_GAP * MICROSECOND and not segment.parts:
            self._open = None
            self._msn -= 1
            self._stats.gaps -= 1
            return
        start = self.microseconds(segment.start)
        # rounded up, so that no part that is listed already lasts longer than its segment
        self._lead.end = max(segment.start + 1, -(-(start + duration) * self._lead.rate // MICROSECOND))
        if segment.has_parts:
            end = self.microseconds(self._lead.end)
            while (rest := end - start - segment.parts_duration) > 0:
                self._add_gap_part(segment, rest)
        self._ended_at += duration / MICROSECOND
        self.close()

    def _write_first_gaps(self, date: int) -> None:
        """Segments without media, so that the list is as long as any may be from the first part on."""
        assert self.init is not None
        assert self.target_duration is not None
        duration = self.target_duration * MICROSECOND
        for number in range(_FIRST_GAPS):
            gap = self._next(start=0, date=date - (_FIRST_GAPS - number) * duration, has_parts=False, is_gap=True)
            self.outputs.append(self._segment(gap, duration))
        self._grown_at = self.now

    @property
    def first_start(self) -> int:
        """Output time at which the very first media begin, in ticks: behind the gaps a playlist begins with."""
        if self._pacer is None or self.target_duration is None:
            return 0
        return _FIRST_GAPS * self.target_duration * self._lead.rate
