"""Fragments of access units -> fMP4 fragments -> segments: where to cut, what time it is.

Strategy: everything is decided once a fragment (a second of media or less), never once a sample. One track
leads: video, or audio where there is no video. Its decode times have no gap and no overlap; segments are cut
and measured on them, so that the EXTINFs are exactly the distances of the segments' first tfdt.

*Time.* The output's time starts at 0 and only grows. At a discontinuity it goes on where the longest track
ended, all tracks shifted by the same amount, so a reconnect, a camera's reboot or a clock set back never
shows as a jump or a negative time to players that look at it; EXT-X-DISCONTINUITY and a new init section
stand there all the same. A fragment whose time jumps becomes a discontinuity by itself where it starts with a
sync sample; elsewhere the jump is taken out of the shift, because a decoder that has to start anew at a sample
that is none would show nothing. Audio follows the same shift: a gap longer than 0.2 s is filled with silence
(`silence`), as is audio that was announced and does not come; a shorter one is filled by its first sample's
duration, what overlaps is dropped.

*Target duration.* max(setting, first GOP), rounded up, fixed when the first segment closes. From then on a
segment ends at the sync sample that reaches the setting, or earlier where one more GOP as long as the last
would break the target; a GOP longer than the target is cut inside, which is why EXT-X-INDEPENDENT-SEGMENTS is
never promised.

Spec: draft-pantos-hls-rfc8216bis 4.4.3.1 (EXTINF and target duration), 4.4.4.6 (program date time), 6.2.1;
ISO/IEC 14496-12 8.8.12 (tfdt).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median_low
from typing import TYPE_CHECKING

from rtspkit import aac, fmp4, restamp, silence
from rtspkit.dates import Dates
from rtspkit.errors import LocalProtocolError, RtspkitError
from rtspkit.media import AACParameters, Fragment, Run, Track

if TYPE_CHECKING:
    from rtspkit.fmp4 import FragmentRun

__all__ = ["InitSection", "Output", "Segment", "SegmentData", "Segmenter", "SegmenterStats", "playable"]

MICROSECOND = 1_000_000
#: A gap of this much (s) is no late unit: time is wrong, or a new one.
_STEP = 5.0
#: Neighbours further apart than eight units, but at least this (s), are looked at one by one.
_STEP_SMALL = 1.0
#: With fewer pictures of a run out of order, how long one lasts cannot be told from it.
_REORDERED = 8
#: How far back video may step (s): the error of a predicted duration, the reordering of B-pictures.
_STEP_BACK = 0.5
#: An audio gap longer than this (s) is filled with silence, or moves the decode time where there is none for the
#: codec; a shorter one is hidden in a duration.
_AUDIO_GAP = 0.2
#: Audio that is this far (s) behind a fragment without any is taken to have stopped.
_SILENCE_AFTER = 0.5
#: No more silence (s) than this at once: a fragment is seldom longer than a second, and time jumps at 5.
_SILENCE_LONGEST = 20.0
#: No second sync sample within this time (s), or the setting if longer: the target is fixed without it.
_GOP_AWAITED = 10.0
#: Units that came longer ago than this (s) are not dated by their arrival.
_ARRIVAL_TRUSTED = 60.0
#: A camera's own clock further than this from ours (s) is not set at all.
_CLOCK_TRUSTED = 86_400.0


@dataclass(frozen=True, slots=True)
class Segment:
    """One closed segment, as the playlist needs it.

    Attributes:
        msn: its media sequence number.
        duration: microseconds.
        date: Unix time of its first sample, microseconds.
        init: number of its init section.
        discontinuity: nothing relates its time or its parameters to the segment before.
        discontinuity_number: discontinuities up to its own, counted from the muxer's first number.
        is_independent: it starts with a sync sample.
        size: bytes.
        units: access units of the leading track (video, where there is any).
    """

    msn: int
    duration: int
    date: int
    init: int
    discontinuity: bool
    discontinuity_number: int
    is_independent: bool
    size: int
    units: int


@dataclass(frozen=True, slots=True)
class InitSection:
    """A new init section: what comes next refers to it."""

    number: int
    data: bytes
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class SegmentData:
    """One fMP4 fragment of the segment that is open."""

    msn: int
    data: bytes


Output = InitSection | SegmentData | Segment


@dataclass(slots=True)
class SegmenterStats:
    """What happened so far. Bad media are counted here and nowhere raised.

    Attributes:
        fragments: written.
        awaiting_sync: fragments not written because nothing can be shown before a sync sample.
        dropped_fragments: not written: of other tracks, without parameter sets, or not to be read.
        dropped_units: audio units left out because their time was taken already or far off.
        silent_units: made where announced audio did not come.
        restamped_units: whose time was far from their neighbours'.
        discontinuities: since the start, whatever their cause.
        time_jumps: discontinuities, and shifts of time without one, that a jump of the timestamps caused.
        last_error: why the last fragment was dropped, one line; None where none was.
    """

    fragments: int = 0
    awaiting_sync: int = 0
    dropped_fragments: int = 0
    dropped_units: int = 0
    silent_units: int = 0
    restamped_units: int = 0
    discontinuities: int = 0
    time_jumps: int = 0
    last_error: str | None = None


class _TrackTime:
    """Where one track stands on the output's timeline, in its own ticks."""

    __slots__ = ("end", "rate", "shift", "track_id", "unit")

    def __init__(self, track: Track, unit: int) -> None:
        self.track_id = track.index + 1
        self.rate = track.clock_rate
        self.unit = unit  # what one unit lasts
        self.shift = 0  # from the camera's pts to output time
        self.end = 0  # output time behind the last sample


@dataclass(slots=True)
class _Open:
    """The segment that is being filled; times in ticks of the leading track."""

    msn: int
    start: int
    date: int
    discontinuity: bool
    is_independent: bool
    size: int = 0
    units: int = 0


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
        first_msn: int,
        first_discontinuity: int | None = None,
        use_absolute_timestamp: bool = False,
    ) -> None:
        self.stats = SegmenterStats()
        self.target_duration: int | None = None  # whole seconds, once it is fixed
        self.tracks = playable(tracks)
        self._setting = round(segment_duration * MICROSECOND)
        self._max_size = segment_max_size
        self._use_absolute_timestamp = use_absolute_timestamp
        self._given: tuple[Track, ...] | None = None  # the last fragment's tracks, for a comparison by identity
        self._leader = next((track for track in self.tracks if track.kind == "video"), self.tracks[0]).index
        self._other = next((track.index for track in self.tracks if track.index != self._leader), None)
        self._times = {track.index: _TrackTime(track, self._usual_unit(track)) for track in self.tracks}
        self.rate = self._times[self._leader].rate  # ticks a second of the leading track
        self._leader_is_audio = all(track.kind == "audio" for track in self.tracks)
        self._msn = first_msn
        self._discontinuity_number = first_msn if first_discontinuity is None else first_discontinuity
        self._init: InitSection | None = None  # of the open segment
        self._next_init: InitSection | None = None  # of the segment that time starts anew with
        self._sequence_number = 1
        self._starting = True  # time, or the parameters, start anew with the next fragment
        self._open: _Open | None = None
        self._last_sync: int | None = None
        self._gop: int | None = None  # the last whole one, in ticks
        self._first_gop: int | None = None
        self._far_units = 0
        self._dates = Dates(self.rate)
        # of the call that is being worked off: what it gives, and when it was made
        self._outputs: list[Output] = []
        self._now = self._wall = 0.0

    @property
    def media_time(self) -> int:
        """How much of the leading track was written so far, in microseconds; never goes back."""
        return self._microseconds(self._times[self._leader].end)

    @property
    def next_numbers(self) -> tuple[int, int]:
        """Media sequence and discontinuity number of what would follow behind another discontinuity."""
        return self._msn, self._discontinuity_number + 1

    # -- what goes in -------------------------------------------------------------------------------------

    def accepts(self, tracks: Sequence[Track]) -> bool:
        """Whether these can go on in this playlist: the same kinds, codecs and clocks, in the same places."""
        try:
            used = playable(tracks)
        except LocalProtocolError:
            return False
        mine = [(track.index, track.kind, track.codec, track.clock_rate) for track in self.tracks]
        return mine == [(track.index, track.kind, track.codec, track.clock_rate) for track in used]

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
        self._start_anew()
        return outputs

    def _drop(self, reason: str) -> None:
        self.stats.dropped_fragments += 1
        self.stats.last_error = reason

    def _start_anew(self, following: int = 0) -> None:
        self._starting = True
        self._last_sync = None
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
                for track in tracks:
                    if track.kind == "audio":
                        self._times[track.index].unit = self._usual_unit(track)
            self._given = fragment.tracks
        if fragment.discontinuity:
            self._start_anew()
        if self._starting:
            if not fragment.is_sync:
                self.stats.awaiting_sync += 1
                return
            missing = [track for track in self.tracks if track.parameters is None]
            if missing:
                self._drop(f"track {missing[0].index + 1}: its parameter sets have not come yet")
                return

        runs = {run.track: run for run in fragment.runs}
        leading = runs.get(self._leader)
        times = restamp.times_of(leading) if leading is not None else []
        if leading is None or not times:
            if self._starting:
                self.stats.awaiting_sync += 1
            else:
                self._write(fragment, None, [], None)
            return
        if self._is_plain(times):
            self._far_units = 0
            self._write(fragment, leading, times, fragment.next_pts)
            return

        self._take_apart(fragment, leading, fragment.next_pts)

    def _take_apart(self, fragment: Fragment, leading: Run, next_pts: int | None) -> None:
        """Take a fragment whose leading run has outliers or is too long: in pieces that are in order."""
        lead = self._times[self._leader]
        step = self._small_step()
        pieces, restamped, self._far_units = restamp.split(
            leading,
            expected=None if self._starting else lead.end - lead.shift,
            unit=min(lead.unit, step),
            step=step,
            longest=max(1, self._limit() * lead.rate // MICROSECOND - 1),
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
        rate = self._times[self._leader].rate
        return count == 1 or (span + span // (count - 1) + 1) * MICROSECOND < self._limit() * rate

    def _small_step(self) -> int:
        """Ticks between two units of the leading track that need a closer look."""
        lead = self._times[self._leader]
        return min(max(8 * lead.unit, round(_STEP_SMALL * lead.rate)), round(_STEP * lead.rate))

    def _is_plain(self, times: list[int]) -> bool:
        """Whether the leading track's times can be taken as they are: no outlier, not too long for a segment."""
        lead = self._times[self._leader]
        count = len(times)
        span = max(times) - min(times)
        if span > self._small_step() + 2 * count * lead.unit:
            return False
        if not self._fits(times):
            return False
        # one or two units that step far away are not believed yet
        return count > 2 or self._starting or abs(min(times) + lead.shift - lead.end) <= self._small_step()

    # -- one fragment -------------------------------------------------------------------------------------

    def _write(self, fragment: Fragment, leading: Run | None, times: list[int], next_pts: int | None) -> None:
        """Write a fragment whose leading run is in order, and put it into the segment it belongs to."""
        lead = self._times[self._leader]
        old_end = lead.end
        runs: list[FragmentRun] = []
        if leading is not None:
            first, last = min(times), max(times)
            unit = self._measure(times, next_pts)
            span = last - first + unit
            room = max(0, self._limit() * lead.rate // MICROSECOND - 1 - span)
            if not self._starting:
                jump = first + lead.shift - lead.end
                forward = min(round(_STEP * lead.rate), room)
                if jump > forward or -jump > max(round(_STEP_BACK * lead.rate), 2 * unit):
                    self.stats.time_jumps += 1
                    if fragment.is_sync:
                        self._start_anew(span)
                    else:
                        self._shift_all(lead.end - (first + lead.shift))
                        self._dates.forget()
            if self._starting:
                self._begin(first)
            begin = first + lead.shift if self._starting else lead.end
            late = max(0, first + lead.shift - begin)
            end = last + lead.shift + unit
            if times != sorted(times) or (next_pts is not None and next_pts <= last):
                # B-pictures: others may be due before the last one shown; decode times go on unit by unit
                end = min(end, begin + len(times) * unit)
            elif next_pts is not None and next_pts <= last + unit + min(round(_STEP * lead.rate), room - late):
                end = next_pts + lead.shift
            end = max(end, begin + len(times))
            if self._leader_is_audio and not self._starting:
                leading = self._without_overlap(leading, lead)
                if leading is None:
                    return
                start = restamp.times_of(leading)[0] + lead.shift
                begin = start if start - lead.end > _AUDIO_GAP * lead.rate else lead.end
            runs.append((lead.track_id, begin, lead.shift, end, unit, leading.samples, leading.data))
            lead.unit = unit
        else:
            begin = lead.end

        other = next((run for run in fragment.runs if run.track == self._other), None)
        follower = self._times[self._other] if self._other is not None else None
        if follower is not None:
            if other is not None:
                row = self._audio_row(other, follower, begin if leading is not None else None)
            else:
                row = self._silent_row(follower, begin)
            if row is not None:
                runs.append(row)
        if not runs:
            return

        data, ends = fmp4.write_fragment(self._sequence_number, runs)
        self._sequence_number = (self._sequence_number + 1) & 0xFFFFFFFF
        if leading is not None:
            boundary = begin if self._starting else old_end
            if fragment.is_sync:
                self._note_sync(boundary)
            if self._must_cut(fragment.is_sync, boundary, ends[0], len(data)):
                self._close(ends[0] - boundary)
            if self._open is None:
                self._open_segment(fragment, leading, boundary)
            lead.end = ends[0]
        if follower is not None and runs[-1][0] == follower.track_id:
            follower.end = ends[-1]
        if self._open is None:
            return  # audio alone opens no segment
        self._open.size += len(data)
        self._open.units += len(times)
        self.stats.fragments += 1
        self._outputs.append(SegmentData(self._open.msn, data))

    def _measure(self, times: list[int], next_pts: int | None) -> int:
        """What one unit of the leading track lasts, in ticks: the mean of this run, else as before.

        Of B-pictures some may be missing from the run, and come with the next: there it is the median.
        """
        lead = self._times[self._leader]
        if self._leader_is_audio:
            return lead.unit
        count = len(times) - 1
        unit = (max(times) - min(times)) // count if count else lead.unit
        if count > 1 and (times != sorted(times) or (next_pts is not None and next_pts <= max(times))):
            unit = min(unit, median_low(after - before for before, after in pairwise(sorted(times))))
            if count < _REORDERED:
                unit = min(unit, lead.unit)
        if not count and next_pts is not None and 0 < next_pts - times[0] <= _STEP * lead.rate:
            unit = next_pts - times[0]
        # half a target at most, so that a single unit always fits a segment
        return max(1, min(unit, self._limit() * lead.rate // (2 * MICROSECOND)))

    def _shift_all(self, ticks: int) -> None:
        """Move the output's time by so many ticks of the leading track, for all tracks alike."""
        lead = self._times[self._leader]
        lead.shift += ticks
        if self._other is not None:
            other = self._times[self._other]
            other.shift += ticks * other.rate // lead.rate

    def _begin(self, first: int) -> None:
        """Time starts anew: a new init section, and the output goes on where its longest track ended."""
        number = 0 if self._init is None else self._init.number + 1
        self._next_init = InitSection(number, fmp4.init_section(self.tracks), self.tracks)
        lead = self._times[self._leader]
        start = lead.end
        if self._other is not None:
            other = self._times[self._other]
            start = max(start, -(-other.end * lead.rate // other.rate))
            other.end = start * other.rate // lead.rate
            other.shift = (start - first) * other.rate // lead.rate
        lead.shift = start - first
        self._dates.forget()

    # -- audio beside video -------------------------------------------------------------------------------

    def _audio_row(self, run: Run, time: _TrackTime, video_begin: int | None) -> FragmentRun | None:
        """What to write of a run of audio; None where nothing of it fits."""
        times = restamp.times_of(run)
        if not times:
            return None
        step = round(_STEP * time.rate)
        count = len(times)
        if max(times) - min(times) > step + count * time.unit or times != sorted(times):
            run = restamp.contiguous(run, time.unit)
            self.stats.restamped_units += count
            times = restamp.times_of(run)
        lead = self._times[self._leader]
        video = (lead.end if video_begin is None else video_begin) * time.rate // lead.rate
        begin = times[0] + time.shift
        if abs(begin - video) > step:
            if video_begin is None and begin > video:
                # video has stopped: audio alone would run away from it
                self.stats.dropped_units += count
                return None
            time.shift += max(time.end, video) - begin
        left = self._without_overlap(run, time)
        if left is None:
            return None
        if left is not run:
            times = restamp.times_of(left)
        begin = times[0] + time.shift
        end = times[-1] + time.shift + time.unit
        count = len(times)
        if begin - time.end > _AUDIO_GAP * time.rate:
            silent = self._silence(time, begin)
            if silent is not None:
                left, begin = silence.before(left, silent), time.end
                count = len(restamp.times_of(left))
        moves = self._starting or begin - time.end > _AUDIO_GAP * time.rate
        begin = max(begin, time.end) if moves else time.end
        return (time.track_id, begin, time.shift, max(end, begin + count), time.unit, left.samples, left.data)

    def _silent_row(self, time: _TrackTime, video_begin: int) -> FragmentRun | None:
        """What stands for audio in a fragment without any: silence up to where the fragment's video begins.

        One fragment behind, that is, so that audio which is only late still finds its place.
        """
        until = video_begin * time.rate // self.rate
        if self._starting or until - time.end < _SILENCE_AFTER * time.rate:
            return None
        run = self._silence(time, until)
        if run is None:
            return None
        end = time.end + len(restamp.times_of(run)) * time.unit
        return (time.track_id, time.end, time.shift, end, time.unit, run.samples, run.data)

    def _silence(self, time: _TrackTime, until: int) -> Run | None:
        """Silent units from where audio stands to `until`; None where none fits or the codec has none here."""
        index = time.track_id - 1
        unit = silence.silent_unit(next(track for track in self.tracks if track.index == index))
        count = (until - time.end) // time.unit
        if unit is None or not 0 < count <= _SILENCE_LONGEST * time.rate // time.unit:
            return None
        self.stats.silent_units += count
        return silence.silent_run(index, unit, first=time.end - time.shift, ticks=time.unit, count=count)

    def _without_overlap(self, run: Run, time: _TrackTime) -> Run | None:
        """The run without the units whose time is taken already; half a unit of jitter is let pass."""
        left, dropped = restamp.drop_before(run, time.end - time.shift - time.unit // 2)
        self.stats.dropped_units += dropped
        return left if dropped else run

    @staticmethod
    def _usual_unit(track: Track) -> int:
        """What one unit lasts before anything was measured: an AAC frame, or 1/25 s."""
        if track.kind == "video":
            return max(1, track.clock_rate // 25)
        return (
            aac.unit_ticks(track.parameters, track.clock_rate) if isinstance(track.parameters, AACParameters) else 1024
        )

    # -- segments -----------------------------------------------------------------------------------------

    def _microseconds(self, ticks: int) -> int:
        return (ticks * MICROSECOND + self.rate // 2) // self.rate

    def _tentative_target(self) -> int:
        """The target duration, or what it would be if the open segment were closed now (s)."""
        if self.target_duration is not None:
            return self.target_duration
        if self._first_gop is not None:
            longest = self._microseconds(self._first_gop - self._times[self._leader].unit // 2)
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

    def _must_cut(self, is_sync: bool, boundary: int, end: int, size: int) -> bool:
        """Whether the fragment from `boundary` to `end` has to start a new segment."""
        segment = self._open
        if segment is None or boundary <= segment.start:
            return False
        if segment.size + size > self._max_size or self._microseconds(end - segment.start) >= self._limit():
            return True
        if not is_sync:
            return False
        duration = boundary - segment.start
        if self._microseconds(duration + self._times[self._leader].unit // 2) >= self._setting:
            return True
        return self._gop is not None and self._microseconds(duration + self._gop) >= self._limit()

    def _open_segment(self, fragment: Fragment, leading: Run, start: int) -> None:
        is_discontinuity = False
        if self._next_init is not None:
            is_discontinuity = self._init is not None
            self._init, self._next_init = self._next_init, None
            self._starting = False
            self._outputs.append(self._init)
            if is_discontinuity:
                self._discontinuity_number += 1
                self.stats.discontinuities += 1
        measured, is_camera = self._clock(fragment, leading, start)
        self._open = _Open(
            msn=self._msn,
            start=start,
            date=self._dates.at(start, measured, is_camera=is_camera),
            discontinuity=is_discontinuity,
            is_independent=fragment.is_sync,
        )
        self._msn += 1

    def _close(self, following: int) -> None:
        """Close the open segment, if there is one; the first fixes the target duration.

        Args:
            following: what the fragment lasts that follows (ticks), where it was cut to fit the target so far.
        """
        segment, self._open = self._open, None
        if segment is None or self._init is None:
            return
        lead = self._times[self._leader]
        duration = self._microseconds(lead.end - segment.start)
        if self.target_duration is None:
            if self._first_gop is not None or duration + self._microseconds(lead.unit) >= _GOP_AWAITED * MICROSECOND:
                target = self._tentative_target()
            else:
                target = max(1, _ceil_seconds(max(self._setting, duration - self._microseconds(lead.unit // 2))))
            # and legal whatever happened so far
            longest = max(duration, self._microseconds(following))
            self.target_duration = max(target, (longest + MICROSECOND // 2) // MICROSECOND)
        self._outputs.append(
            Segment(
                msn=segment.msn,
                duration=duration,
                date=segment.date,
                init=self._init.number,
                discontinuity=segment.discontinuity,
                discontinuity_number=self._discontinuity_number,
                is_independent=segment.is_independent,
                size=segment.size,
                units=segment.units,
            )
        )

    # -- the date -----------------------------------------------------------------------------------------

    def _clock(self, fragment: Fragment, leading: Run, start: int) -> tuple[int, bool]:
        """What the clock says output time `start` is, and whether it is the camera's clock."""
        lead = self._times[self._leader]
        clock = fragment.wall_clock
        if self._use_absolute_timestamp and clock is not None and abs(clock - self._wall) <= _CLOCK_TRUSTED:
            first = fragment.runs[0]
            time = self._times.get(first.track)
            if time is not None:
                offset = (restamp.times_of(first)[0] + time.shift) * MICROSECOND // time.rate
                return round(clock * MICROSECOND) - offset + self._microseconds(start), True
        now, arrival = self._now, restamp.first_arrival(leading)
        if not 0 < now - arrival < _ARRIVAL_TRUSTED or arrival <= 0:
            times = restamp.times_of(leading)
            arrival = now - (max(times) - min(times) + lead.unit) / lead.rate
        return round((self._wall - (now - arrival)) * MICROSECOND), False
