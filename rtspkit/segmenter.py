"""Fragments of access units -> fMP4 fragments -> parts -> segments: where to cut, what time it is.

Strategy: everything is decided once a fragment (a second of media, or a part), never once a sample. One track
leads: video, or audio where there is no video. Its decode times have no gap and no overlap; parts and segments
are cut and measured on them, so that their durations are exactly the distances of their first tfdt.

*Time.* The output's time starts at 0 and only grows. At a discontinuity it goes on where the longest track
ended, all tracks shifted by the same amount, so a reconnect, a camera's reboot or a clock set back never
shows as a jump or a negative time to players that look at it; EXT-X-DISCONTINUITY and a new init section
stand there all the same. A fragment whose time jumps becomes a discontinuity by itself where it starts with a
sync sample; elsewhere the jump is taken out of the shift, because a decoder that has to start anew at a sample
that is none would show nothing. A clock that stands or runs at a wrong rate is replaced by the arrival
(`standing`). Audio beside the video follows its shift (`companion`).

*Target duration.* Plain: max(setting, first GOP), rounded up, fixed when the first segment closes. Low-Latency:
max(setting, 4 s), fixed from the start. From then on a segment ends at the sync sample that reaches the
setting, or earlier where one more GOP as long as the last would break the target; a GOP longer than the target
is cut inside, which is why EXT-X-INDEPENDENT-SEGMENTS is never promised. A target that was told before (a
restart, another muxer under the URL) is kept.

*Parts.* `parts` says where they end. A fragment that ends where it was asked to (`next_cut`) is one part; any
other is cut into several, or waits in the open part for the next. The last unit's duration is predicted; what
the next unit proves of it goes into composition offsets, and the parts that follow make up for it.

*Gaps.* Nothing here waits for a camera: once no media have come for a target duration, or the list would
stand for longer than it may, `handle_timeout` closes what is open and writes segments (and parts) without
media, as long as they are absent. Media that come then follow a discontinuity. A Low-Latency playlist begins
with such segments, three target durations of them: iOS and hls.js ask for segments before the first part.

Spec: draft-pantos-hls-rfc8216bis 4.4.3.1 (EXTINF and target duration), 4.4.4.6 (program date time), 6.2.1
(absent media, how soon a list must grow); ISO/IEC 14496-12 8.8.12 (tfdt).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median_low
from typing import TYPE_CHECKING

from rtspkit import fmp4, restamp
from rtspkit.companion import AUDIO_GAP, STEP, Companion, TrackTime, usual_unit, without_overlap
from rtspkit.dates import Dates
from rtspkit.errors import LocalProtocolError, RtspkitError
from rtspkit.media import Fragment, Run, Track
from rtspkit.parts import Cut, Pacer
from rtspkit.segments import InitSection, Output, Part, PartData, Segment, SegmentData, SegmenterStats
from rtspkit.standing import ArrivalClock

if TYPE_CHECKING:
    from rtspkit.fmp4 import FragmentRun

__all__ = ["Segmenter", "playable"]

MICROSECOND = 1_000_000
#: Neighbours further apart than eight units, but at least this (s), are looked at one by one.
_STEP_SMALL = 1.0
#: With parts a hole longer than this (s) is no lost unit: it cannot be made up for while it is played.
_STEP_PARTS = 1.0
#: With fewer pictures of a run out of order, how long one lasts cannot be told from it.
_REORDERED = 8
#: How far back video may step (s): the error of a predicted duration, the reordering of B-pictures.
_STEP_BACK = 0.5
#: No second sync sample within this time (s), or the setting if longer: the target is fixed without it.
_GOP_AWAITED = 10.0
#: Units that came longer ago than this (s) are not dated by their arrival.
_ARRIVAL_TRUSTED = 60.0
#: A camera's own clock further than this from ours (s) is not set at all.
_CLOCK_TRUSTED = 86_400.0
#: The least target duration (s) with parts: GOPs of up to 4 s then need no cut.
_LEAST_TARGET = 4
#: Target durations that a Low-Latency playlist begins with; no list may be shorter once it has been.
_FIRST_GAPS = 3
#: Within this many target durations the list has to grow by a segment (draft 6.2.1 says 1.5).
_GROWS_WITHIN = 1.4
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
    # the part that is open
    part_start: int = 0
    part_data: list[bytes] = field(default_factory=list)
    part_is_independent: bool = False


def playable(tracks: Sequence[Track]) -> tuple[Track, ...]:
    """The tracks that go into one rendition: the first of each kind.

    Raises:
        LocalProtocolError: there is none.
    """
    first: dict[str, Track] = {}
    for track in tracks:
        first.setdefault(track.kind, track)
    if not first:
        raise LocalProtocolError("a muxer needs at least one track of video or audio")
    return tuple(track for track in tracks if first[track.kind] is track)


def _ceil_seconds(microseconds: int) -> int:
    return -(-microseconds // MICROSECOND)


class Segmenter:
    """Cuts the media of one camera into segments; `write` gives what became of a fragment."""

    def __init__(
        self,
        tracks: Sequence[Track],
        *,
        segment_duration: float,
        segment_max_size: int,
        part_duration: float | None = None,
        first_msn: int,
        first_discontinuity: int | None = None,
        target_duration: int | None = None,
        part_target: int | None = None,
        use_absolute_timestamp: bool = False,
    ) -> None:
        """Begin; the arguments are a `Muxer`'s.

        Args:
            tracks: of the camera.
            segment_duration: seconds.
            segment_max_size: bytes.
            part_duration: seconds; None: no parts.
            first_msn: media sequence number of the first segment.
            first_discontinuity: number of the first discontinuity; `first_msn` if None.
            target_duration: seconds, to be kept; None: it is found.
            part_target: microseconds, likewise.
            use_absolute_timestamp: date segments by the camera's clock.
        """
        self.stats = SegmenterStats()
        self.tracks = playable(tracks)
        self._setting = round(segment_duration * MICROSECOND)
        self._max_size = segment_max_size
        self._use_absolute_timestamp = use_absolute_timestamp
        self._given: tuple[Track, ...] | None = None  # the last fragment's tracks, for a comparison by identity
        leader = next((track for track in self.tracks if track.kind == "video"), self.tracks[0])
        self._leader = leader.index
        self._lead = TrackTime(leader)
        self.rate = self._lead.rate  # ticks a second of the leading track
        self._leader_is_audio = leader.kind == "audio"
        self._other = next((Companion(t, self.stats) for t in self.tracks if t.index != self._leader), None)
        self._pacer: Pacer | None = None
        if part_duration is not None:
            self._pacer = Pacer(self.rate, setting=round(part_duration * MICROSECOND), target=part_target)
            least = max(_LEAST_TARGET, _ceil_seconds(self._setting))
            target_duration = max(least, target_duration or 0)
        self.target_duration = target_duration  # whole seconds, once it is fixed
        self._msn = first_msn
        self._discontinuity_number = first_msn if first_discontinuity is None else first_discontinuity
        self._part_number = 0  # of the open part
        self._init: InitSection | None = None  # of the open segment
        self._next_init: InitSection | None = None  # of the segment that time starts anew with
        self._sequence_number = 1
        self._starting = True  # time, or the parameters, start anew with the next fragment
        self._open: _Open | None = None
        self._last_sync: int | None = None
        self._gop: int | None = None  # the last whole one, in ticks
        self._first_gop: int | None = None
        self._far_units = 0
        self._arrivals = ArrivalClock(self.rate)
        self._dates = Dates(self.rate)
        # the clock that writes gaps: monotonic seconds at which the media so far ended, and the list grew
        self._ended_at: float | None = None
        self._grown_at: float | None = None
        # of the call that is being worked off: what it gives, and when it was made
        self._outputs: list[Output] = []
        self._now = self._wall = 0.0

    @property
    def media_time(self) -> int:
        """How much of the leading track was written so far, in microseconds; never goes back."""
        return self._microseconds(self._lead.end)

    @property
    def part_target(self) -> int | None:
        """Microseconds a part may last; None without parts, or before the first."""
        return self._pacer.target if self._pacer is not None else None

    @property
    def next_part(self) -> int | None:
        """Number of the part that comes next; None where none is to be expected."""
        if self._pacer is None or self._pacer.is_suspended or (self._open is not None and self._open.is_gap):
            return None
        return self._part_number

    @property
    def edge(self) -> Segment | None:
        """The open segment as far as its parts are whole; None where it has none (yet)."""
        segment = self._open
        if segment is None or not segment.parts or self._init is None:
            return None
        return self._segment(segment, sum(part.duration for part in segment.parts))

    @property
    def next_numbers(self) -> tuple[int, int]:
        """Media sequence and discontinuity number of what would follow behind another discontinuity."""
        return self._msn, self._discontinuity_number + 1

    @property
    def next_cut(self) -> int | None:
        """Where the next fragment should end so that it fills a part: pts of the leading track."""
        if self._pacer is None or self._pacer.is_suspended or self._starting or self._pacer.target is None:
            return None
        begin = self._open.part_start if self._open is not None and self._open.part_data else self._lead.end
        return self._pacer.aim(begin) - self._lead.shift

    # -- what goes in -------------------------------------------------------------------------------------

    def accepts(self, tracks: Sequence[Track]) -> bool:
        """Whether these can go on in this playlist: the same kinds, codecs and clocks, in the same places."""
        try:
            used = playable(tracks)
        except LocalProtocolError:
            return False
        mine = [(track.index, track.kind, track.codec, track.clock_rate) for track in self.tracks]
        return mine == [(track.index, track.kind, track.codec, track.clock_rate) for track in used]

    def begin(self) -> list[Output]:
        """The init section of the tracks as they are now, before any media; nothing where they are not known."""
        outputs = self._outputs = []
        if self._init is None and self._next_init is None:
            try:
                self._make_init()
            except RtspkitError:
                return []
            assert self._next_init is not None
            outputs.append(self._next_init)
        return outputs

    def write(self, fragment: Fragment, *, now: float, wall: float) -> list[Output]:
        """Take one fragment; whatever is wrong with it is counted, not raised.

        Args:
            fragment: media of all tracks.
            now: monotonic seconds.
            wall: Unix seconds of the same instant.
        """
        outputs = self._outputs = []
        self._now, self._wall = now, wall
        try:
            self._take(fragment)
        except (ValueError, TypeError, OverflowError, struct.error, RtspkitError) as error:
            self._drop(str(error))
        return outputs

    def interrupt(self) -> list[Output]:
        """The camera was lost: close what is open; what follows is a discontinuity."""
        outputs = self._outputs = []
        self._arrivals.forget()
        if self._open is None or not self._open.is_gap:
            self._start_anew()
        return outputs

    def _drop(self, reason: str) -> None:
        self.stats.dropped_fragments += 1
        self.stats.last_error = reason

    def _start_anew(self, following: int = 0) -> None:
        self._starting = True
        self._last_sync = None
        if self._pacer is not None:
            self._pacer.forget()
        self._close(following)

    def _take(self, fragment: Fragment) -> None:
        if fragment.tracks is not self._given:
            if not self.accepts(fragment.tracks):
                self._drop("the camera's tracks have changed: they need a new muxer")
                return
            tracks = playable(fragment.tracks)
            if tracks != self.tracks:
                self._start_anew()
                self.tracks = tracks
                if self._leader_is_audio:
                    self._lead.unit = usual_unit(tracks[0])
                elif self._other is not None:
                    self._other.set_track(next(track for track in tracks if track.index == self._other.index))
            self._given = fragment.tracks
        if fragment.discontinuity:
            self._arrivals.forget()
            self._start_anew()
        if self._starting:
            if not fragment.is_sync:
                self.stats.awaiting_sync += 1
                return
            missing = [track for track in self.tracks if track.parameters is None]
            if missing:
                self._drop(f"track {missing[0].index + 1}: its parameter sets have not come yet")
                return

        leading = next((run for run in fragment.runs if run.track == self._leader), None)
        times = restamp.times_of(leading) if leading is not None else []
        if leading is None or not times:
            if self._starting:
                self.stats.awaiting_sync += 1
            else:
                self._write_aside(fragment)
            return
        next_pts = fragment.next_pts
        trusted, times = self._arrivals.take(leading, times, self._expected)
        if trusted is not leading:
            self.stats.restamped_units += len(times)
            fragment = replace(fragment, runs=tuple(trusted if run is leading else run for run in fragment.runs))
            leading, next_pts = trusted, None
        if self._is_plain(times):
            self._far_units = 0
            self._write(fragment, leading, times, next_pts)
        else:
            self._take_apart(fragment, leading, next_pts)

    @property
    def _expected(self) -> int | None:
        """The pts that would follow; None where time starts anew."""
        return None if self._starting else self._lead.end - self._lead.shift

    def _take_apart(self, fragment: Fragment, leading: Run, next_pts: int | None) -> None:
        """Take a fragment whose leading run has outliers or is too long: in pieces that are in order."""
        step = self._small_step()
        pieces, restamped, self._far_units = restamp.split(
            leading,
            expected=self._expected,
            unit=min(self._lead.unit, step),
            step=step,
            longest=max(1, self._limit() * self.rate // MICROSECOND - 1),
            next_pts=next_pts,
            seen=self._far_units,
        )
        self.stats.restamped_units += restamped
        others = tuple(run for run in fragment.runs if run.track != self._leader)
        for number, piece in enumerate(pieces):
            part = replace(
                fragment,
                runs=(piece.run, *(() if number else others)),
                is_sync=piece.is_sync if number else fragment.is_sync,
                wall_clock=None if number else fragment.wall_clock,
            )
            times = restamp.times_of(piece.run)
            if self._starting and not part.is_sync:
                self.stats.awaiting_sync += 1
            elif number and not self._fits(times):
                # the piece before has closed the first segment, and with it fixed a shorter target
                self._take_apart(part, piece.run, piece.next_pts)
            else:
                self._write(part, piece.run, times, piece.next_pts)

    def _fits(self, times: list[int]) -> bool:
        """Whether a leading run of these times, and of usual units between them, is short enough for a segment."""
        count, span = len(times), max(times) - min(times)
        return count == 1 or (span + span // (count - 1) + 1) * MICROSECOND < self._limit() * self.rate

    def _small_step(self) -> int:
        """Ticks between two units of the leading track that need a closer look."""
        return min(max(8 * self._lead.unit, round(_STEP_SMALL * self.rate)), round(STEP * self.rate))

    def _is_plain(self, times: list[int]) -> bool:
        """Whether the leading track's times can be taken as they are: no outlier, not too long for a segment."""
        lead = self._lead
        count = len(times)
        span = max(times) - min(times)
        if span > self._small_step() + 2 * count * lead.unit:
            return False
        if not self._fits(times):
            return False
        # one or two units that step far away are not believed yet
        return count > 2 or self._starting or abs(min(times) + lead.shift - lead.end) <= self._small_step()

    # -- one fragment -------------------------------------------------------------------------------------

    def _write(self, fragment: Fragment, leading: Run, times: list[int], next_pts: int | None) -> None:
        """Write a fragment whose leading run is in order, and put it into the segment it belongs to."""
        lead = self._lead
        first, last = min(times), max(times)
        is_reordered = times != sorted(times) or (next_pts is not None and next_pts <= last)
        unit = self._measure(times, next_pts, is_reordered=is_reordered)
        span = last - first + unit
        room = max(0, self._limit() * self.rate // MICROSECOND - 1 - span)
        if not self._starting:
            jump = first + lead.shift - lead.end
            if jump > min(self._step_forward(), room) or -jump > max(round(_STEP_BACK * self.rate), 2 * unit):
                self.stats.time_jumps += 1
                if fragment.is_sync:
                    self._start_anew(span)
                else:
                    self._shift_all(-jump)
                    self._dates.forget()
        if self._starting:
            self._begin(first)
        boundary = first + lead.shift if self._starting else lead.end
        late = max(0, first + lead.shift - boundary)
        end = last + lead.shift + unit
        if is_reordered:
            # B-pictures: others may be due before the last one shown; decode times go on unit by unit
            end = min(end, boundary + len(times) * unit)
        elif next_pts is not None and next_pts <= last + unit + min(round(STEP * self.rate), room - late):
            end = next_pts + lead.shift
        end = max(end, boundary + len(times))
        begin = boundary
        if self._leader_is_audio and not self._starting:
            left = without_overlap(leading, lead, self.stats)
            if left is None:
                return
            if left is not leading:
                leading, times = left, restamp.times_of(left)
            start = times[0] + lead.shift
            if self._pacer is None and start - lead.end > AUDIO_GAP * self.rate:
                begin = start
        lead.unit = unit
        size = sum(memoryview(run.data).nbytes for run in fragment.runs)
        if fragment.is_sync:
            self._note_sync(boundary)
        if self._pacer is None:
            self._cut_before(fragment.is_sync, boundary, end, size)
            self._put(fragment, leading, len(times), begin, end, boundary)
        else:
            self._write_parts(fragment, leading, times, begin, end, size, is_reordered=is_reordered)

    def _write_parts(
        self, fragment: Fragment, leading: Run, times: list[int], begin: int, end: int, size: int, *, is_reordered: bool
    ) -> None:
        """Write a fragment into the open part, and into as many as it is long enough for."""
        lead, pacer = self._lead, self._pacer
        assert pacer is not None
        pacer.fix(lead.unit)
        pacer.note(sorted(times) if is_reordered else times)
        self._cut_before(fragment.is_sync, begin, min(end, begin + pacer.longest), size)
        segment = self._open
        if segment is not None and segment.has_parts is pacer.is_suspended:
            if pacer.is_suspended or fragment.is_sync:
                self._close(0)
            segment = self._open
        count = len(times)
        if pacer.is_suspended if segment is None else not segment.has_parts:
            cuts = [Cut(count, end, False)]
        else:
            if is_reordered:
                successors = [begin + (end - begin) * (number + 1) // count for number in range(count)]
            else:
                successors = [pts + lead.shift for pts in times[1:]]
                successors.append(end)
            cuts = pacer.cuts(segment.part_start if segment and segment.part_data else begin, begin, successors)
        if len(cuts) == 1:
            self._put(fragment, leading, count, begin, cuts[0].end, begin, ends_part=cuts[0].is_end)
            return
        others = tuple(run for run in fragment.runs if run.track != self._leader)
        pieces = restamp.pieces(leading, [cut.units for cut in cuts])
        for number, (cut, piece) in enumerate(zip(cuts, pieces, strict=True)):
            part = replace(
                fragment,
                runs=(piece, *(() if number else others)),
                is_sync=fragment.is_sync and not number,
                wall_clock=None if number else fragment.wall_clock,
            )
            if number:
                self._cut_before(False, begin, cut.end, memoryview(piece.data).nbytes)
            self._put(part, piece, cut.units, begin, cut.end, begin, ends_part=cut.is_end)
            begin = lead.end

    def _write_aside(self, fragment: Fragment) -> None:
        """Write a fragment without leading media: its audio goes into the segment that is open, if one is."""
        run = next((run for run in fragment.runs if self._other is not None and run.track == self._other.index), None)
        row = self._companion_row(run, self._lead.end, self._lead.end, has_video=False)
        if row is None:
            return
        data, ends = fmp4.write_fragment(self._sequence_number, [row])
        self._sequence_number = (self._sequence_number + 1) & 0xFFFFFFFF
        assert self._other is not None
        self._other.time.end = ends[0]
        if self._open is not None and not self._open.is_gap:  # audio alone opens no segment
            self._append(data, 0)

    def _put(
        self,
        fragment: Fragment,
        leading: Run,
        count: int,
        begin: int,
        end: int,
        boundary: int,
        *,
        ends_part: bool = False,
    ) -> None:
        """Write a fragment with the decode times it was given, into the open segment or a new one.

        Args:
            fragment: its other runs, and what it starts with.
            leading: the run of the leading track, of `count` units.
            begin, end: decode times of the run.
            boundary: where the fragment before ended; where there is a hole, not the same as `begin`.
            ends_part: the open part ends with it.
        """
        lead = self._lead
        rows: list[FragmentRun] = [(lead.track_id, begin, lead.shift, end, lead.unit, leading.samples, leading.data)]
        if self._other is not None:
            run = next((run for run in fragment.runs if run.track == self._other.index), None)
            row = self._companion_row(run, begin, begin if self._pacer is None else end, has_video=True)
            if row is not None:
                rows.append(row)
        data, ends = fmp4.write_fragment(self._sequence_number, rows)
        self._sequence_number = (self._sequence_number + 1) & 0xFFFFFFFF
        if self._open is None:
            self._open_segment(fragment, leading, boundary)
        lead.end = ends[0]
        if self._other is not None and len(ends) > 1:
            self._other.time.end = ends[1]
        self._append(data, count, is_sync=fragment.is_sync, boundary=boundary)
        self._ended_at = self._now
        if ends_part:
            self._end_part()

    def _append(self, data: bytes, units: int, *, is_sync: bool = False, boundary: int | None = None) -> None:
        """Add a fragment to the open segment, and to its open part."""
        segment = self._open
        assert segment is not None
        segment.size += len(data)
        segment.units += units
        self.stats.fragments += 1
        self._outputs.append(SegmentData(segment.msn, data))
        if segment.has_parts:
            if not segment.part_data:
                segment.part_start = self._lead.end if boundary is None else boundary
                segment.part_is_independent = is_sync
            segment.part_data.append(data)

    def _end_part(self) -> None:
        segment = self._open
        assert segment is not None
        if not segment.part_data:
            return
        duration = self._microseconds(self._lead.end) - self._microseconds(segment.part_start)
        part = Part(self._part_number, duration, segment.part_is_independent)
        data, segment.part_data = tuple(segment.part_data), []
        if not duration:  # audio alone, and the segment ends: it is in the segment
            return
        self._part_number += 1
        segment.parts.append(part)
        self._outputs.append(PartData(part, data))

    def _companion_row(self, run: Run | None, begin: int, edge: int, *, has_video: bool) -> FragmentRun | None:
        """The audio beside video that goes from `begin` to `edge` (ticks of the leading track)."""
        if self._other is None:
            return None
        rate = self._other.time.rate
        video, edge = begin * rate // self.rate, edge * rate // self.rate
        return self._other.row(run, video, edge, has_video=has_video, is_starting=self._starting)

    def _measure(self, times: list[int], next_pts: int | None, *, is_reordered: bool) -> int:
        """What one unit of the leading track lasts, in ticks: the mean of this run, else as before.

        Of B-pictures some may be missing from the run, and come with the next: there it is the median.
        """
        lead = self._lead
        if self._leader_is_audio:
            return lead.unit
        count = len(times) - 1
        unit = (max(times) - min(times)) // count if count else lead.unit
        if count > 1 and is_reordered:
            unit = min(unit, median_low(after - before for before, after in pairwise(sorted(times))))
            if count < _REORDERED:
                unit = min(unit, lead.unit)
        if not count and next_pts is not None and 0 < next_pts - times[0] <= STEP * self.rate:
            unit = next_pts - times[0]
        if self._pacer is not None and self._pacer.target is not None and unit <= 2 * lead.unit <= 4 * unit:
            unit = (3 * lead.unit + unit) // 4  # of a few units the mean is not exact
        # half a target at most, so that a single unit always fits a segment
        return max(1, min(unit, self._limit() * self.rate // (2 * MICROSECOND)))

    def _step_forward(self) -> int:
        """Ticks that time may step forward within a playlist's time."""
        is_tight = self._pacer is not None and not self._pacer.is_suspended
        return round((_STEP_PARTS if is_tight else STEP) * self.rate)

    def _shift_all(self, ticks: int) -> None:
        """Move the output's time by so many ticks of the leading track, for all tracks alike."""
        self._lead.shift += ticks
        if self._other is not None:
            self._other.time.shift += ticks * self._other.time.rate // self.rate

    def _make_init(self) -> None:
        number = 0 if self._init is None else self._init.number + 1
        if self._next_init is not None:
            if self._next_init.tracks == self.tracks:
                return
            number = self._next_init.number + 1
        self._next_init = InitSection(number, fmp4.init_section(self.tracks), self.tracks)

    def _begin(self, first: int) -> None:
        """Time starts anew: a new init section, and the output goes on where its longest track ended."""
        self._make_init()
        start = self._lead.end
        if self._init is None and self._pacer is not None and self.target_duration is not None:
            start = _FIRST_GAPS * self.target_duration * self.rate
        if self._other is not None:
            other = self._other.time
            start = max(start, -(-other.end * self.rate // other.rate))
            other.end = start * other.rate // self.rate
            other.shift = (start - first) * other.rate // self.rate
        self._lead.shift = start - first
        self._dates.forget()

    # -- segments -----------------------------------------------------------------------------------------

    def _microseconds(self, ticks: int) -> int:
        return (ticks * MICROSECOND + self.rate // 2) // self.rate

    def _tentative_target(self) -> int:
        """The target duration, or what it would be if the open segment were closed now (s)."""
        if self.target_duration is not None:
            return self.target_duration
        if self._first_gop is not None:
            longest = self._microseconds(self._first_gop - self._lead.unit // 2)
        else:
            longest = round(_GOP_AWAITED * MICROSECOND)
        return max(1, _ceil_seconds(max(self._setting, longest)))

    def _limit(self) -> int:
        """The duration that a segment must stay under (microseconds): rounded, EXTINF may not pass the target."""
        return self._tentative_target() * MICROSECOND + MICROSECOND // 2

    def _note_sync(self, at: int) -> None:
        if self._last_sync is not None and at > self._last_sync:
            self._gop = at - self._last_sync
            if self._first_gop is None and self.target_duration is None:
                self._first_gop = self._gop
        self._last_sync = at

    def _cut_before(self, is_sync: bool, boundary: int, end: int, size: int) -> None:
        """Close the open segment where a fragment of so many bytes, from `boundary` to `end`, begins another."""
        segment = self._open
        if segment is not None and segment.is_gap:
            self._end_gap(self._now)
        elif segment is not None and boundary > segment.start and self._must_cut(segment, is_sync, boundary, end, size):
            self._close(end - boundary)

    def _must_cut(self, segment: _Open, is_sync: bool, boundary: int, end: int, size: int) -> bool:
        if segment.size + size > self._max_size or self._microseconds(end - segment.start) >= self._limit():
            return True
        if not is_sync:
            return False
        duration = boundary - segment.start
        if self._microseconds(duration + self._lead.unit // 2) >= self._setting:
            return True
        return self._gop is not None and self._microseconds(duration + self._gop) >= self._limit()

    def _open_segment(self, fragment: Fragment, leading: Run, start: int) -> None:
        is_discontinuity = False
        measured, is_camera = self._clock(fragment, leading, start)
        if self._next_init is not None:
            is_first, is_discontinuity = self._init is None, self._init is not None
            self._init, self._next_init = self._next_init, None
            self._starting = False
            self._outputs.append(self._init)
            if is_discontinuity:
                self._discontinuity_number += 1
                self.stats.discontinuities += 1
            elif is_first and self._pacer is not None:
                self._write_first_gaps(measured)
        self._open = _Open(
            msn=self._msn,
            start=start,
            date=self._dates.at(start, measured, is_camera=is_camera),
            discontinuity=is_discontinuity,
            is_independent=fragment.is_sync,
            has_parts=self._pacer is not None and not self._pacer.is_suspended,
        )
        self._msn += 1

    def _close(self, following: int) -> None:
        """Close the open segment, if there is one; the first fixes the target duration.

        Args:
            following: what the fragment lasts that follows (ticks), where it was cut to fit the target so far.
        """
        segment = self._open
        if segment is None or self._init is None:
            self._open = None
            return
        if segment.has_parts and not segment.is_gap:
            self._end_part()
        self._open = None
        duration = self._microseconds(self._lead.end) - self._microseconds(segment.start)
        if self.target_duration is None:
            unit = self._lead.unit
            if self._first_gop is not None or duration + self._microseconds(unit) >= _GOP_AWAITED * MICROSECOND:
                target = self._tentative_target()
            else:
                target = max(1, _ceil_seconds(max(self._setting, duration - self._microseconds(unit // 2))))
            # and legal whatever happened so far
            longest = max(duration, self._microseconds(following))
            self.target_duration = max(target, (longest + MICROSECOND // 2) // MICROSECOND)
        self._grown_at = self._now
        self._outputs.append(self._segment(segment, duration))

    def _segment(self, segment: _Open, duration: int) -> Segment:
        assert self._init is not None
        return Segment(
            msn=segment.msn,
            duration=duration,
            date=segment.date,
            init=self._init.number,
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
        if segment is None or not segment.is_gap:
            # the list must grow in time, and absent media be told
            due = self._ended_at + target
            return due if segment is None else min(due, max(self._grown_at + _GROWS_WITHIN * target, self._ended_at))
        end = self._ended_at + target
        if self._pacer is None or self._pacer.target is None:
            return end
        return min(end, self._ended_at + (self._written_gap(segment) + self._pacer.target) / MICROSECOND)

    def handle_timeout(self, *, now: float, wall: float) -> list[Output]:
        """Write what the clock wants; see `write` for the arguments."""
        outputs = self._outputs = []
        self._now, self._wall = now, wall
        while (due := self.next_timeout()) is not None and due <= now:
            segment = self._open
            if segment is None:
                self._open_gap()
            elif not segment.is_gap:
                self._start_anew()
                if now < self._ended_at + (self.target_duration or 0):  # type: ignore[operator]
                    break  # it was closed to let the list grow; media are late, but not absent yet
                self._open_gap()
            elif now >= self._ended_at + (self.target_duration or 0):  # type: ignore[operator]
                self._end_gap(self._ended_at + (self.target_duration or 0))  # type: ignore[operator]
                self._open_gap()
            else:
                self._add_gap_part(segment)
        return outputs

    def _open_gap(self) -> None:
        """What comes from now on is missing, until `_end_gap`."""
        assert self._ended_at is not None
        start = self._lead.end
        measured = round((self._wall - (self._now - self._ended_at)) * MICROSECOND)
        self._open = _Open(
            msn=self._msn,
            start=start,
            date=self._dates.at(start, measured, is_camera=False),
            discontinuity=False,
            is_independent=False,
            has_parts=self._pacer is not None and self._pacer.target is not None,
            is_gap=True,
        )
        self._msn += 1
        self.stats.gaps += 1

    @staticmethod
    def _written_gap(segment: _Open) -> int:
        return sum(part.duration for part in segment.parts)

    def _add_gap_part(self, segment: _Open, longest: int | None = None) -> None:
        assert self._pacer is not None and self._pacer.target is not None
        duration = self._pacer.target if longest is None else min(longest, self._pacer.target)
        part = Part(self._part_number, duration, is_independent=False, is_gap=True)
        segment.parts.append(part)
        self._outputs.append(PartData(part, ()))

    def _end_gap(self, until: float) -> None:
        """Close the open gap, which lasts to `until` (monotonic seconds); a very short one is forgotten."""
        segment = self._open
        assert segment is not None and self._ended_at is not None and self.target_duration is not None
        seconds = max(0.0, min(until - self._ended_at, float(self.target_duration)))
        start = self._microseconds(segment.start)
        written = self._written_gap(segment)
        duration = max(round(seconds * MICROSECOND), written)
        if duration < _LEAST_GAP * MICROSECOND and not segment.parts:
            self._open = None
            self._msn -= 1
            self.stats.gaps -= 1
            return
        self._lead.end = max(segment.start + 1, (start + duration) * self.rate // MICROSECOND)
        if self._other is not None:
            self._other.time.end = self._lead.end * self._other.time.rate // self.rate
        if segment.has_parts:
            end = self._microseconds(self._lead.end)
            while (rest := end - start - self._written_gap(segment)) > 0:
                self._add_gap_part(segment, rest)
        self._ended_at += duration / MICROSECOND
        self._close(0)

    def _write_first_gaps(self, date: int) -> None:
        """Segments without media, so that the list is as long as any may be from the first part on."""
        assert self._init is not None and self.target_duration is not None
        duration = self.target_duration * MICROSECOND
        for number in range(_FIRST_GAPS):
            self._outputs.append(
                Segment(
                    msn=self._msn,
                    duration=duration,
                    date=date - (_FIRST_GAPS - number) * duration,
                    init=self._init.number,
                    discontinuity=False,
                    discontinuity_number=self._discontinuity_number,
                    is_independent=False,
                    size=0,
                    units=0,
                    is_gap=True,
                )
            )
            self._msn += 1
        self._grown_at = self._now

    # -- the date -----------------------------------------------------------------------------------------

    def _clock(self, fragment: Fragment, leading: Run, start: int) -> tuple[int, bool]:
        """What the clock says output time `start` is, and whether it is the camera's clock."""
        clock = fragment.wall_clock
        if self._use_absolute_timestamp and clock is not None and abs(clock - self._wall) <= _CLOCK_TRUSTED:
            first = fragment.runs[0]
            time = self._lead if first.track == self._leader else self._other.time if self._other else None
            if time is not None and first.track in (self._leader, self._other.index if self._other else -1):
                offset = (restamp.times_of(first)[0] + time.shift) * MICROSECOND // time.rate
                return round(clock * MICROSECOND) - offset + self._microseconds(start), True
        now, arrival = self._now, restamp.first_arrival(leading)
        if not 0 < now - arrival < _ARRIVAL_TRUSTED or arrival <= 0:
            times = restamp.times_of(leading)
            arrival = now - (max(times) - min(times) + self._lead.unit) / self.rate
        return round((self._wall - (now - arrival)) * MICROSECOND), False
