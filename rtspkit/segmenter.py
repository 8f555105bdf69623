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

*Parts.* `parts` says where they end. A fragment that ends where it was asked to (`next_cut`) is one part; any
other is cut into several, or waits in the open part for the next. The last unit's duration is predicted; what
the next unit proves of it goes into composition offsets, and the parts that follow make up for it.

`cutter` has the segments: where they are cut, what they are called, and the gaps where media are absent.

Spec: draft-pantos-hls-rfc8216bis 4.4.4.6 (program date time), 6.2.1; ISO/IEC 14496-12 8.8.12 (tfdt).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtspkit import fmp4, restamp
from rtspkit.companion import AUDIO_GAP, STEP, without_overlap
from rtspkit.cutter import Cutter
from rtspkit.dates import CameraClock, arrived
from rtspkit.errors import LocalProtocolError, RtspkitError
from rtspkit.media import Fragment, Run, Track
from rtspkit.parts import Cut, Pacer
from rtspkit.restamp import Survey
from rtspkit.segments import InitSection, Output, Segment, SegmenterStats
from rtspkit.standing import ArrivalClock
from rtspkit.timeline import Timeline, run_of

if TYPE_CHECKING:
    from rtspkit.fmp4 import FragmentRun

__all__ = ["Segmenter", "playable"]

MICROSECOND = 1_000_000
#: Neighbours further apart than eight units, but at least this (s), are looked at one by one.
_STEP_SMALL = 1.0
#: With parts a hole longer than this (s) is no lost unit: it cannot be made up for while it is played.
_STEP_PARTS = 1.0
#: How often time, or the parameters, may start anew within a second; a camera that comes back may do it several times.
_BEGINNINGS = 8
#: How far back video may step (s): the error of a predicted duration, the reordering of B-pictures.
_STEP_BACK = 0.5


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
        self._camera_clock = CameraClock(is_wanted=use_absolute_timestamp)
        self._given: tuple[Track, ...] | None = None  # the last fragment's tracks, for a comparison by identity
        self.leader = leader = next((track for track in self.tracks if track.kind == "video"), self.tracks[0])
        self._leader = leader.index
        beside = next((track for track in self.tracks if track.index != self._leader), None)
        self._timeline = Timeline(leader, beside, self.stats)
        self._lead, self._other = self._timeline.lead, self._timeline.other
        self.rate = self._lead.rate  # ticks a second of the leading track
        self._least_step, self._most_step = round(_STEP_SMALL * self.rate), round(STEP * self.rate)
        self._leader_is_audio = leader.kind == "audio"
        self._pacer: Pacer | None = None
        if part_duration is not None:
            self._pacer = Pacer(self.rate, setting=round(part_duration * MICROSECOND), target=part_target)
        self._cutter = Cutter(
            self._lead,
            self._pacer,
            self.stats,
            setting=round(segment_duration * MICROSECOND),
            max_size=segment_max_size,
            first_msn=first_msn,
            first_discontinuity=first_msn if first_discontinuity is None else first_discontinuity,
            target_duration=target_duration,
        )
        self._next_init: InitSection | None = None  # of the segment that time starts anew with
        self._sequence_number = 1
        self._starting = True  # time, or the parameters, start anew with the next fragment
        self._far_units = 0
        self._arrivals = ArrivalClock(self.rate)
        self._beginnings = float(_BEGINNINGS)  # how often time may start anew ...
        self._counted_at = 0.0  # ... at this time (monotonic s)
        self._last = self._due = 0  # pts of the leading track's last unit, and of the one that is to be expected
        self._decoding = self._timeline.decoding

    @property
    def target_duration(self) -> int | None:
        """Whole seconds; None until it is fixed."""
        return self._cutter.target_duration

    @property
    def media_time(self) -> int:
        """How much of the leading track was written so far, in microseconds; never goes back."""
        return self._cutter.microseconds(self._lead.end)

    @property
    def part_target(self) -> int | None:
        """Microseconds a part may last; None without parts, or before the first."""
        return self._pacer.target if self._pacer is not None else None

    @property
    def next_part(self) -> int | None:
        """Number of the part with media that comes next; None without parts."""
        return self._cutter.next_part

    @property
    def edge(self) -> Segment | None:
        """The open segment as far as its parts are whole; None where it has none (yet)."""
        return self._cutter.edge

    @property
    def next_numbers(self) -> tuple[int, int]:
        """Media sequence and discontinuity number of what would follow behind another discontinuity."""
        return self._cutter.next_numbers

    @property
    def next_cut(self) -> int | None:
        """Where the next fragment should end so that it fills a part: pts of the leading track."""
        if self._pacer is None or self._pacer.is_suspended or self._starting or self._pacer.target is None:
            return None
        return self._pacer.aim(self._cutter.part_start) - self._lead.shift

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
        try:
            self._make_init()
        except RtspkitError:
            return []
        return [] if self._next_init is None else [self._next_init]

    def write(self, fragment: Fragment, *, now: float, wall: float) -> list[Output]:
        """Take one fragment; whatever is wrong with it is counted, not raised.

        Args:
            fragment: media of all tracks.
            now: monotonic seconds.
            wall: Unix seconds of the same instant.
        """
        outputs = self._begin_call(now, wall)
        try:
            self._take(fragment)
        except (ValueError, TypeError, OverflowError, struct.error, RtspkitError) as error:
            self.refuse(str(error))
        return outputs

    def interrupt(self) -> list[Output]:
        """The camera was lost: close what is open; what follows is a discontinuity."""
        outputs = self._begin_call(self._cutter.now, self._cutter.wall)
        self._arrivals.forget()
        self._start_anew()
        return outputs

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do, in monotonic seconds; None: not before media come."""
        return self._cutter.next_timeout()

    def handle_timeout(self, *, now: float, wall: float) -> list[Output]:
        """Write what the clock wants while no media come; see `write` for the arguments."""
        outputs = self._begin_call(now, wall)
        if self._cutter.handle_timeout():
            self._forget()
        return outputs

    def _begin_call(self, now: float, wall: float) -> list[Output]:
        self._cutter.now, self._cutter.wall = now, wall
        outputs = self._cutter.outputs = []
        return outputs

    def refuse(self, reason: str) -> None:
        """Counts a fragment of which nothing can be made."""
        self.stats.dropped_fragments += 1
        self.stats.last_error = reason

    def _start_anew(self, following: int = 0) -> None:
        self._forget()
        self._cutter.start_anew(following)

    def _may_begin(self) -> bool:
        """Whether time may start anew: a few times at once, once a second for ever. Each costs an init section."""
        now = self._cutter.now
        self._beginnings = min(_BEGINNINGS, self._beginnings + max(0.0, now - self._counted_at))
        self._counted_at = now
        if self._beginnings < 1:
            return False
        self._beginnings -= 1
        return True

    def _forget(self) -> None:
        """Time starts anew with the next fragment."""
        self._starting = True
        if self._pacer is not None:
            self._pacer.forget()
        if self._other is not None:
            self._other.forget()

    def _readable(self, tracks: tuple[Track, ...]) -> tuple[Track, ...]:
        """Those tracks, with the parameters they had where the new ones cannot be read: no player could be told."""
        found = list(tracks)
        for place, (track, former) in enumerate(zip(tracks, self.tracks, strict=True)):
            if track != former and former.parameters is not None:
                try:
                    fmp4.init_section((track,))
                except RtspkitError as error:
                    self.stats.last_error = f"track {track.index + 1}: {error}"
                    found[place] = former
        return tuple(found)

    def _take(self, fragment: Fragment) -> None:
        if fragment.tracks is not self._given:
            if not self.accepts(fragment.tracks):
                self.refuse("the camera's tracks have changed: they need a new muxer")
                return
            tracks = self._readable(playable(fragment.tracks))
            if tracks != self.tracks:
                if not self._may_begin():
                    self.refuse("parameter sets change too often")
                    return
                self._start_anew()
                self.tracks = tracks
                if self._leader_is_audio:
                    self._lead.set_track(tracks[0])
                elif self._other is not None:
                    self._other.set_track(next(track for track in tracks if track.index == self._other.index))
            self._given = fragment.tracks
        if fragment.discontinuity and not self._may_begin():
            self.refuse("time starts anew too often")
            return
        if fragment.discontinuity:
            self._arrivals.forget()
            self._start_anew()
        if self._starting:
            if not fragment.is_sync:
                self.stats.awaiting_sync += 1
                return
            missing = [track for track in self.tracks if track.parameters is None]
            if missing:
                self.refuse(f"track {missing[0].index + 1}: its parameter sets have not come yet")
                return

        leading = run_of(fragment, self._leader)
        times = restamp.survey(leading) if leading is not None else None
        if leading is None or times is None or not times.units:
            if self._starting:
                self.stats.awaiting_sync += 1
            else:
                self._write_aside(fragment)
            return
        if self._leader_is_audio:
            self._lead.learn(leading)
        next_pts = fragment.next_pts
        if self._arrivals.is_good_again and fragment.is_sync:
            self._arrivals.forget()
            self._start_anew()
        trusted, times = self._arrivals.take(leading, times, self._expected)
        if trusted is not leading:
            self.stats.restamped_units += times.units
            fragment = fragment._replace(runs=tuple(trusted if run is leading else run for run in fragment.runs))
            leading, next_pts = trusted, None
        follows = self._follows(times)
        if follows or self._is_plain(times):
            self._far_units = 0
            self._write(fragment, leading, times, next_pts, follows=follows)
        else:
            self._take_apart(fragment, leading, next_pts)

    @property
    def _expected(self) -> int | None:
        """The pts that would follow; None where time starts anew."""
        return None if self._starting else self._due

    def _take_apart(self, fragment: Fragment, leading: Run, next_pts: int | None) -> None:
        """Take a fragment whose leading run has outliers or is too long: in pieces that are in order."""
        step = self._small_step()
        pieces, restamped, self._far_units = restamp.split(
            leading,
            expected=self._expected,
            unit=min(self._lead.unit, step),
            step=step,
            longest=self._cutter.longest,
            next_pts=next_pts,
            seen=self._far_units,
        )
        self.stats.restamped_units += restamped
        for number, piece in enumerate(pieces):
            part = self._piece_of(fragment, number, piece.run, is_sync=piece.is_sync)
            times = restamp.survey(piece.run)
            if self._starting and not part.is_sync:
                self.stats.awaiting_sync += 1
            elif number and not self._fits(times):
                # the piece before has closed the first segment, and with it fixed a shorter target
                self._take_apart(part, piece.run, piece.next_pts)
            else:
                self._write(part, piece.run, times, piece.next_pts)

    def _piece_of(self, fragment: Fragment, number: int, run: Run, *, is_sync: bool) -> Fragment:
        """A fragment of one piece of the leading run; the first has all else that the whole had.

        Args:
            fragment: the whole.
            number: of the piece, from 0.
            run: the piece.
            is_sync: a later piece begins with a sync sample.
        """
        if number:
            return fragment._replace(runs=(run,), is_sync=is_sync, wall_clock=None)
        return fragment._replace(runs=(run, *(other for other in fragment.runs if other.track != self._leader)))

    def _fits(self, times: Survey) -> bool:
        """Whether a leading run of these times, and of usual units between them, is short enough for a segment."""
        if times.units == 1:
            return True
        span = times.high - times.low
        return span + span // (times.units - 1) < self._cutter.longest

    def _small_step(self) -> int:
        """Ticks between two units of the leading track that need a closer look."""
        return min(max(8 * self._lead.unit, self._least_step), self._most_step)

    def _follows(self, times: Survey) -> bool:
        """Whether a leading run goes on, without a hole, where the last one ended; nearly all of them do."""
        lead, longest = self._lead, 2 * self._lead.unit
        return (
            not self._starting
            and times.is_ordered
            and max(times.step, abs(times.first - self._due), abs(times.first + lead.shift - lead.end)) <= longest
            and 0 < times.first - self._last <= 2 * longest <= 2 * self._least_step
            and (times.units + 4) * longest < self._cutter.longest
        )

    def _is_plain(self, times: Survey) -> bool:
        """Whether the leading track's times can be taken as they are: no outlier, not too long for a segment."""
        lead = self._lead
        step = self._small_step()
        if times.high - times.low > step + 2 * times.units * lead.unit or not self._fits(times):
            return False
        # one or two units that step far away are not believed yet
        return times.units > 2 or self._starting or abs(times.low - self._due) <= step

    # -- one fragment -------------------------------------------------------------------------------------

    def _write(
        self, fragment: Fragment, leading: Run, times: Survey, next_pts: int | None, *, follows: bool = False
    ) -> None:
        """Write a fragment whose leading run is in order, and put it into the segment it belongs to.

        Args:
            fragment, leading, times: it, its leading run, and what that looks like.
            next_pts: pts of the unit behind the run, None where unknown.
            follows: its time needs no look.
        """
        lead = self._lead
        self._cutter.end_gap(self._cutter.now)
        decoding = self._decoding
        if not (self._leader_is_audio or (follows and next_pts is None and decoding.order is None)):
            before = None if self._starting else self._last
            decoding.look(leading, times, next_pts, last=before, step_back=self._step_back(lead.unit))
        order = decoding.order
        if self._pacer is not None and self._pacer.target is not None and order is None:
            self._note_pace(self._pacer, leading, times)
        first, last = times.low, times.high
        unit = self._measure(times, next_pts) if order is None else self._at_most_half(order.unit)
        span = last - first + unit
        room = max(0, self._cutter.longest - span)
        if not (follows or self._starting):
            jump = first - self._due
            lag = first + lead.shift - lead.end  # decode time may be behind already, with parts
            if max(jump, lag) > min(self._step_forward(), room) or -jump > self._step_back(unit):
                self.stats.time_jumps += 1
                if fragment.is_sync and self._may_begin():
                    self._start_anew(span)
                else:
                    self._timeline.shift_by(-lag)
                    self._cutter.forget_date()
                if order is not None:
                    order.restart()
        if self._starting:
            self._begin(first)
        boundary = first + lead.shift if self._starting else lead.end
        late = max(0, first + lead.shift - boundary)
        end = last + lead.shift + unit
        successors: list[int] | None = None
        if order is not None:
            successors = decoding.successors(order, leading, boundary, self._cutter.longest)
            end, unit = successors[-1], self._at_most_half(order.unit)
            self._timeline.make_room(leading, [boundary, *successors[:-1]])
        elif not times.is_ordered:
            end = min(end, boundary + times.units * unit)
        elif next_pts is not None and next_pts <= last + unit + min(self._step_forward(), room - late):
            end = next_pts + lead.shift
        end = max(end, boundary + times.units)
        begin = boundary
        if self._leader_is_audio and not self._starting:
            left = without_overlap(leading, times, lead, self.stats)
            if left is None:
                return
            if left is not leading:
                leading, times = left, restamp.survey(left)
            start = times.first + lead.shift
            if self._pacer is None and start - lead.end > AUDIO_GAP * self.rate:
                begin = start
        lead.unit = unit
        self._last, self._due = last, end - lead.shift
        size = times.size  # the sound beside it hardly counts
        if fragment.is_sync:
            self._cutter.note_sync(boundary)
        if self._pacer is None:
            self._cutter.cut_before(fragment.is_sync, boundary, end, size)
            self._put(
                fragment, leading, times.units, begin=begin, end=end, boundary=boundary, is_even=order is not None
            )
        else:
            self._write_parts(fragment, leading, times, begin=begin, end=end, size=size, successors=successors)

    def _write_parts(
        self,
        fragment: Fragment,
        leading: Run,
        times: Survey,
        *,
        begin: int,
        end: int,
        size: int,
        successors: list[int] | None,
    ) -> None:
        """Write a fragment into the open part, and into as many as it is long enough for.

        Args:
            fragment, leading, times: it, its leading run, and what that looks like.
            begin, end: decode times of the run.
            size: of the fragment, bytes.
            successors: of reordered units, where the one behind each is due (output time, rising).
        """
        lead, pacer = self._lead, self._pacer
        assert pacer is not None
        is_first = pacer.target is None and (times.units > 1 or not self._starting)
        if is_first:  # one unit alone does not tell how long
            pacer.fix(lead.unit, 0 if self._starting else begin - self._cutter.part_start)
        if successors is not None and pacer.target is not None:
            pacer.note([due - lead.shift for due in (begin, *successors[:-1])])
        elif is_first:
            self._note_pace(pacer, leading, times)
        cutter = self._cutter
        has_parts = cutter.has_parts
        if has_parts is pacer.is_suspended and (has_parts or fragment.is_sync):
            cutter.close()
            has_parts = None
        if has_parts is None:
            has_parts = not pacer.is_suspended
        cutter.cut_before(
            fragment.is_sync, begin, min(end, begin + pacer.longest) if has_parts and pacer.target else end, size
        )
        if cutter.has_parts is None:  # a new segment begins
            has_parts = not pacer.is_suspended
        count = times.units
        part_start = begin if self._starting else cutter.part_start
        if not has_parts or pacer.target is None:
            cuts = [Cut(count, end, False)]
        elif successors is not None:
            cuts = pacer.cuts(part_start, begin, successors)
        elif times.last + lead.shift < part_start + pacer.least:  # only with the last unit may a part end
            cuts = [pacer.cut(part_start, begin, count, end)]
        else:
            following = [pts + lead.shift for pts in restamp.times_of(leading)[1:]]
            cuts = pacer.cuts(part_start, begin, [*following, end])
        is_even = successors is not None
        if len(cuts) == 1:
            cut = cuts[0]
            self._put(
                fragment,
                leading,
                count,
                begin=begin,
                end=cut.end,
                boundary=begin,
                ends_part=cut.is_end,
                is_even=is_even,
            )
            return
        pieces = restamp.pieces(leading, [cut.units for cut in cuts])
        beside = self._timeline.spread_beside(fragment, [cut.end - begin for cut in cuts])
        for number, (cut, piece, sound) in enumerate(zip(cuts, pieces, beside, strict=True)):
            runs = (piece,) if sound is None else (piece, sound)
            part = fragment._replace(runs=runs)
            if number:
                part = fragment._replace(runs=runs, is_sync=False, wall_clock=None)
                cutter.cut_before(False, begin, cut.end, memoryview(piece.data).nbytes)
            self._put(
                part, piece, cut.units, begin=begin, end=cut.end, boundary=begin, ends_part=cut.is_end, is_even=is_even
            )
            begin = lead.end

    @staticmethod
    def _note_pace(pacer: Pacer, run: Run, times: Survey) -> None:
        """Tell the pacer of the distances of these units."""
        if not times.is_ordered or not pacer.note_near(times.first, times.last, times.step):
            pacer.note(sorted(restamp.times_of(run)))

    def _write_aside(self, fragment: Fragment) -> None:
        """Write a fragment without leading media: its audio goes into the segment that is open, if one is."""
        if self._other is None:
            return
        run = run_of(fragment, self._other.index)
        if run is not None and self._pacer is not None and not self._cutter.is_part_open:
            self._other.hold(run)
            return
        end = self._lead.end
        row = self._timeline.row_beside(
            run, end, end, has_video=False, is_starting=self._starting, is_timed=not self._arrivals.is_used
        )
        if row is None:
            return
        data, ends = fmp4.write_fragment(self._sequence_number, [row])
        self._sequence_number = (self._sequence_number + 1) & 0xFFFFFFFF
        self._other.time.end = ends[0]
        if self._cutter.is_open:  # audio alone opens no segment
            self._cutter.append(data, 0, start=self._lead.end)

    def _put(
        self,
        fragment: Fragment,
        leading: Run,
        count: int,
        *,
        begin: int,
        end: int,
        boundary: int,
        ends_part: bool = False,
        is_even: bool = False,
    ) -> None:
        """Write a fragment with the decode times it was given, into the open segment or a new one.

        Args:
            fragment: its other runs, and what it starts with.
            leading: the run of the leading track, of `count` units.
            begin, end: decode times of the run.
            boundary: where the fragment before ended; where there is a hole, not the same as `begin`.
            ends_part: the open part ends with it.
            is_even: decode times go on in even steps, for the units are reordered.
        """
        lead, decoding = self._lead, self._decoding
        if is_even:
            self._timeline.make_room(leading, [begin + place * (end - begin) // count for place in range(count)])
        row: FragmentRun | None
        row = (lead.track_id, begin, lead.shift, end, lead.unit, leading.samples, leading.data, decoding.delay, is_even)
        rows: list[FragmentRun] = [row]
        if self._other is not None:
            run = run_of(fragment, self._other.index)
            row = self._timeline.row_beside(
                run, begin, end, has_video=True, is_starting=self._starting, is_timed=not self._arrivals.is_used
            )
            if row is not None:
                rows.append(row)
        data, ends = fmp4.write_fragment(self._sequence_number, rows)
        self._sequence_number = (self._sequence_number + 1) & 0xFFFFFFFF
        if not self._cutter.is_open:
            clock = self._clock(fragment, leading, boundary)
            self._cutter.open(boundary, self._next_init, is_sync=fragment.is_sync, clock=clock)
            self._next_init, self._starting = None, False
        lead.end = ends[0]
        if self._other is not None and len(ends) > 1:
            self._other.time.end = ends[1]
        self._cutter.append(data, count, start=boundary, is_sync=fragment.is_sync)
        if ends_part:
            self._cutter.end_part()

    def _measure(self, times: Survey, next_pts: int | None) -> int:
        """What one unit of the leading track lasts, in ticks: the mean of this run, else as before."""
        lead = self._lead
        if self._leader_is_audio:
            return lead.unit
        count = times.units - 1
        unit = (times.high - times.low) // count if count else lead.unit
        if not count and next_pts is not None and 0 < next_pts - times.first <= self._step_forward():
            unit = next_pts - times.first
        elif not count and not self._starting and 0 < times.first - self._last <= self._step_forward():
            unit = times.first - self._last
        if self._pacer is not None and self._pacer.target is not None and unit <= 2 * lead.unit <= 4 * unit:
            unit = (3 * lead.unit + unit) // 4  # of a few units the mean is not exact
        return self._at_most_half(unit)

    def _at_most_half(self, unit: int) -> int:
        """A unit's ticks, but half a target at most, so that a single unit always fits a segment."""
        return max(1, min(unit, self._cutter.longest // 2))

    def _step_back(self, unit: int) -> int:
        """Ticks that time may step back within a playlist's time."""
        return max(round(_STEP_BACK * self.rate), 2 * unit)

    def _step_forward(self) -> int:
        """Ticks that time may step forward within a playlist's time."""
        is_tight = self._pacer is not None and not self._pacer.is_suspended
        return round((_STEP_PARTS if is_tight else STEP) * self.rate)

    def _make_init(self) -> None:
        number = 0 if self._cutter.init is None else self._cutter.init.number + 1
        if self._next_init is not None:
            if self._next_init.tracks == self.tracks:
                return
            number = self._next_init.number + 1
        self._next_init = InitSection(number, fmp4.init_section(self.tracks), self.tracks)

    def _begin(self, first: int) -> None:
        """Time starts anew: a new init section, and the output goes on where its longest track ended."""
        self._make_init()
        start = self._lead.end if self._cutter.init is not None else self._cutter.first_start
        self._timeline.begin(first, start)
        self._cutter.forget_date()

    # -- the date -----------------------------------------------------------------------------------------

    def _clock(self, fragment: Fragment, leading: Run, start: int) -> tuple[int, bool]:
        """What the clock says output time `start` is (Unix microseconds), and whether it is the camera's clock."""
        times = restamp.survey(leading)
        length = (times.high - times.low + self._lead.unit) / self.rate
        now, wall = self._cutter.now, self._cutter.wall
        by_arrival = arrived(times.arrival / 1e9, length=length, now=now, wall=wall)
        if not self._camera_clock.is_wanted:
            return by_arrival, False
        ahead = None if fragment.wall_clock is None else self._timeline.ahead(fragment.runs[0], start)
        by_camera = None
        if fragment.wall_clock is not None and ahead is not None:
            by_camera = round(fragment.wall_clock * MICROSECOND) - ahead
        return self._camera_clock.read(by_arrival, by_camera)
