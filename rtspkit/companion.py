"""The audio beside the video of one rendition: where its units go on the timeline that video leads.

Strategy: audio follows the shift of the video's time. A gap longer than 0.2 s is filled with silence (Opus encoders
send two packets a second while nothing is said, and a player that plays them one behind the other is soon ahead of the
picture), as is audio that was announced and does not come, for a player of muxed media shows nothing where one track
has none; a shorter gap is hidden in a duration; units whose time is taken already are dropped. Audio that is far from
the video is moved to it, and audio without any video does not run away from it.

Audio that is only late finds its place: silence is made up to where the last fragment's video began, and
only once audio is half a second behind. Where it has been silent for a fragment it cannot be merely late: from
then on silence goes as far as the video, so that players have both up to the list's end. That holds for half a
second or more of video at once, too: no segment may be without a sample of an announced track, and players that get
one stall. Sound that comes then and is older than the silence is dropped.

Spec: ISO/IEC 14496-12 8.8.12 (tfdt), as the segmenter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtspkit import restamp, silence
from rtspkit.codecs import unit_ticks
from rtspkit.media import SAMPLE, SAMPLE_SIZE, Run, Track
from rtspkit.restamp import Survey
from rtspkit.standing import BesideClock, UnitClock

if TYPE_CHECKING:
    from rtspkit.fmp4 import FragmentRun
    from rtspkit.segments import SegmenterStats

__all__ = ["AUDIO_GAP", "STEP", "Companion", "TrackTime", "without_overlap"]

#: A gap of this much (s) is no late unit: time is wrong, or a new one.
STEP = 5.0
#: An audio gap longer than this (s) is filled with silence, or moves the decode time where there is none for the
#: codec; a shorter one is hidden in a duration.
AUDIO_GAP = 0.2
#: So near (s) to video does audio begin whose units are counted from then on.
_COUNTED_FROM = 0.05
#: So far (s) from video may it get where its rate is not what it says.
_PACED_SLACK = 0.1
#: Audio that is this far (s) behind a fragment without any is taken to have stopped.
_SILENCE_AFTER = 0.5
#: No more silence (s) than this at once: some cameras' fragments last more than twenty seconds; beyond this it is
#: another time.
_SILENCE_LONGEST = 60.0


class TrackTime:
    """Where one track stands on the output's timeline, in its own ticks."""

    __slots__ = ("_track", "_varies", "end", "rate", "shift", "track_id", "unit")

    def __init__(self, track: Track) -> None:
        self.track_id = track.index + 1
        self.rate = track.clock_rate
        self.shift = 0  # from the camera's pts to output time
        self.end = 0  # output time behind the last sample
        self.set_track(track)

    def set_track(self, track: Track) -> None:
        """Take what the parameters say of what one unit lasts: an AAC access unit or a FLAC block.

        Where they say nothing it is 1/25 s of video, 20 ms of sound.
        """
        fixed = unit_ticks(track)
        self._track = track
        self._varies = fixed is None and track.kind == "audio"
        self.unit = fixed or max(1, track.clock_rate // (25 if track.kind == "video" else 50))

    def learn(self, run: Run) -> bool:
        """Take what the last unit of a run says it lasts: Opus packets differ, mostly from camera to camera.

        Returns:
            whether that is another duration than before.
        """
        if not self._varies:
            return False
        samples = memoryview(run.samples).cast("B")
        if not samples:
            return False
        size = SAMPLE.unpack_from(samples, len(samples) - SAMPLE_SIZE)[2]
        before, data = self.unit, memoryview(run.data).cast("B")
        self.unit = unit_ticks(self._track, bytes(data[len(data) - size :])) or before
        return self.unit != before


def without_overlap(run: Run, times: Survey, time: TrackTime, stats: SegmenterStats) -> Run | None:
    """The run without the units whose time is taken already; half a unit of jitter is let pass."""
    free = time.end - time.shift - time.unit // 2
    if times.first >= free:
        return run
    left, dropped = restamp.drop_before(run, free)
    stats.dropped_units += dropped
    return left


class Companion:
    """The audio track beside the leading video track."""

    def __init__(self, track: Track, stats: SegmenterStats) -> None:
        self.time = TrackTime(track)
        self.index = track.index
        self._stats = stats
        self._is_silent = False  # what was written last was made here …
        self._was_late = False  # … in place of sound that came too late for it
        self._is_counted = False  # units go one after the other, for the clock is wrong ...
        self._phase = 0.0  # ... and of those that come too fast, one is kept where this is less than one
        self._held: Run | None = None
        self._silent_unit: bytes | None = None
        self.set_track(track)

    def set_track(self, track: Track) -> None:
        """The camera has told new parameters."""
        self._track = track
        self.time.set_track(track)
        self._silent_unit = silence.silent_unit(track, self.time.unit)
        self._is_even = unit_ticks(track) is not None  # all units last the same
        self._clock = UnitClock(track.clock_rate)
        self._beside = BesideClock(track.clock_rate)

    def row(
        self, run: Run | None, video: int, edge: int, *, has_video: bool, is_starting: bool, is_timed: bool
    ) -> FragmentRun | None:
        """What to write beside a fragment's video; None where there is nothing.

        Args:
            run: the fragment's audio, if it has any.
            video: where its video begins, or would; output time in ticks of this track.
            edge: where its video ends: so far may silence go where audio has been silent before.
            has_video: it has video.
            is_starting: time starts anew with this fragment.
            is_timed: the camera's clock can be believed.
        """
        if self._held is not None:
            run, self._held = self._held if run is None else restamp.join(self._held, run), None
        if run is not None and self.time.learn(run):
            self._silent_unit = silence.silent_unit(self._track, self.time.unit)
        if run is None:
            is_long = edge - video >= _SILENCE_AFTER * self.time.rate
            return self._silent_row(edge if self._is_silent or is_long else video)
        times = restamp.survey(run)
        if self._is_even:
            self._clock.take(run, times, self.time.unit)
        if has_video and times.units:
            self._beside.take(times.first, video, edge, times.units * self.time.unit, times.arrival)
        if not is_timed or self._clock.is_used or self._beside.is_used:
            left = self._counted(run, times.units, video)
            if left is None:
                return None
            run, times = left, restamp.survey(left)
        else:
            self._is_counted = False
        row = self._audio_row(run, times, video, has_video=has_video, is_starting=is_starting)
        if row is not None:
            self._is_silent = self._was_late = False
        elif has_video and self._is_silent and not self._was_late:
            # all of it is older than the silence; sound that is always so late is waited for with the next fragment
            self._was_late = True
            return self._silent_row(edge, least=_SILENCE_AFTER)
        return row

    def _counted(self, run: Run, count: int, video: int) -> Run | None:
        """Units one after the other from where audio stands, or from where video is, where that is far from it."""
        time, pace = self.time, self._beside.pace
        self._stats.restamped_units += count
        if pace > 1.0:
            places = [(self._phase + number) % pace < 1.0 for number in range(count)]
            self._phase = (self._phase + count) % pace
            self._stats.dropped_units += count - sum(places)
            run, count = restamp.chosen(run, places), sum(places)
            if not count:
                return None
        far = _COUNTED_FROM if not self._is_counted else AUDIO_GAP if pace == 1.0 else _PACED_SLACK
        slack = round(far * time.rate)
        # too little sound is spread, as far as durations may hide it
        step = max(time.unit, min(round(time.unit / pace), round(AUDIO_GAP * time.rate)))
        ahead = time.end - video
        first = (video if -ahead > slack else time.end + step - time.unit) - time.shift
        surplus = min(count, -(-(ahead - slack) // time.unit)) if ahead > slack else 0
        self._stats.dropped_units += surplus
        if surplus == count:
            return None
        self._is_counted = True
        return restamp.contiguous(restamp.pieces(run, [surplus, count - surplus])[1], step, first=first)

    def hold(self, run: Run) -> None:
        """Audio that came without video, where a part would have to begin with it: it goes with the next video."""
        if self._held is not None and restamp.survey(self._held).units * self.time.unit > STEP * self.time.rate:
            self.forget()
        self._held = run if self._held is None else restamp.join(self._held, run)

    def forget(self) -> None:
        """Time starts anew: what was held belongs to the time before."""
        self._clock.forget()
        self._beside.forget()
        if self._held is not None:
            self._stats.dropped_units += restamp.survey(self._held).units
            self._held = None

    def _audio_row(
        self, run: Run, times: Survey, video: int, *, has_video: bool, is_starting: bool
    ) -> FragmentRun | None:
        time = self.time
        if not times.units:
            return None
        step = round(STEP * time.rate)
        count = times.units
        if times.high - times.low > step + count * time.unit or not times.is_ordered:
            run = restamp.contiguous(run, time.unit)
            self._stats.restamped_units += count
            times = restamp.survey(run)
        begin = times.first + time.shift
        if abs(begin - video) > step:
            if not has_video and begin > video:
                # video has stopped: audio alone would run away from it
                self._stats.dropped_units += count
                return None
            time.shift += max(time.end, video) - begin
        left = without_overlap(run, times, time, self._stats)
        if left is None:
            return None
        if left is not run:
            times = restamp.survey(left)
        if times.step - time.unit > AUDIO_GAP * time.rate and self._silent_unit is not None:
            longest = time.unit + int(AUDIO_GAP * time.rate)
            left = silence.filled(left, self._silent_unit, ticks=time.unit, longest=longest)
            self._stats.silent_units += restamp.survey(left).units - times.units
            times = restamp.survey(left)
        begin = times.first + time.shift
        end = times.last + time.shift + time.unit
        count = times.units
        if begin - time.end > AUDIO_GAP * time.rate:
            silent = self._silence(begin)
            if silent is not None:
                left, begin = restamp.join(silent, left), time.end
                count = restamp.survey(left).units
        moves = is_starting or begin - time.end > AUDIO_GAP * time.rate
        begin = max(begin, time.end) if moves else time.end
        return (time.track_id, begin, time.shift, max(end, begin + count), time.unit, left.samples, left.data)

    def _silent_row(self, until: int, least: float = 0.0) -> FragmentRun | None:
        """What stands for audio in a fragment without any; None for less than `least` (s)."""
        time = self.time
        if until - time.end < max(least * time.rate, time.unit if self._is_silent else _SILENCE_AFTER * time.rate):
            return None
        run = self._silence(until)
        if run is None:
            return None
        self._is_silent = True
        end = time.end + restamp.survey(run).units * time.unit
        return (time.track_id, time.end, time.shift, end, time.unit, run.samples, run.data)

    def _silence(self, until: int) -> Run | None:
        """Silent units from where audio stands to `until`; None where none fits or the codec has none here."""
        time, unit = self.time, self._silent_unit
        count = (until - time.end) // time.unit
        if unit is None or not 0 < count <= _SILENCE_LONGEST * time.rate // time.unit:
            return None
        self._stats.silent_units += count
        return silence.silent_run(self.index, unit, first=time.end - time.shift, ticks=time.unit, count=count)
