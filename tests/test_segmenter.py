"""Where segments are cut, what time it is in them, and what becomes of media that are not as they should be."""

from dataclasses import replace
from itertools import pairwise

import boxes
import pytest
from fragments import (
    AUDIO,
    AUDIO_ALONE,
    OTHER_PPS,
    VIDEO,
    VIDEO_OTHER,
    VIDEO_UNKNOWN,
    Source,
    make_run,
)

from rtspkit import silence
from rtspkit.aac import build_config
from rtspkit.errors import LocalProtocolError
from rtspkit.media import SAMPLE, AACParameters, Fragment, H264Parameters, OpusParameters, Run, Track
from rtspkit.opus import silent_packet
from rtspkit.restamp import join
from rtspkit.segmenter import Segmenter, playable
from rtspkit.segments import InitSection, Output, Segment, SegmentData

FIRST = 1_700_000_000
WALL = 1_700_000_000.0


def make(
    tracks: tuple[Track, ...] = (VIDEO, AUDIO),
    *,
    duration: float = 4.0,
    size: int = 50 << 20,
    absolute: bool = False,
) -> Segmenter:
    return Segmenter(
        tracks, segment_duration=duration, segment_max_size=size, first_msn=FIRST, use_absolute_timestamp=absolute
    )


def feed(segmenter: Segmenter, source: Source, seconds: float) -> list[Output]:
    """So much media, each fragment handed over when its time has come (the camera started at now 1000)."""
    outputs = []
    until = source.time + seconds
    while source.time < until - 1e-6:
        fragment = source.fragment()
        outputs += segmenter.write(fragment, now=1000.0 + source.time, wall=WALL + source.time)
    return outputs


def segments(outputs: list[Output]) -> list[Segment]:
    return [output for output in outputs if isinstance(output, Segment)]


def durations(outputs: list[Output]) -> list[float]:
    return [segment.duration / 1e6 for segment in segments(outputs)]


def runs(outputs: list[Output], track_id: int = 1) -> list[boxes.TrackRun]:
    return [
        run
        for output in outputs
        if isinstance(output, SegmentData)
        for fragment in boxes.fragments(output.data)
        for run in fragment.runs
        if run.track_id == track_id
    ]


def video(times: list[int], *, sync: bool = True, next_pts: int | None = None, **flags: bool) -> Fragment:
    return Fragment((VIDEO,), (make_run(0, times, sync=sync),), is_sync=sync, next_pts=next_pts, **flags)


def write(segmenter: Segmenter, *fragments: Fragment) -> list[Output]:
    return [output for fragment in fragments for output in segmenter.write(fragment, now=1000.0, wall=WALL)]


# -- where it is cut --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "gop", "target", "lengths"),
    [
        (4, 1, 4, [4, 4, 4]),
        (4, 2, 4, [4, 4, 4]),
        (4, 4, 4, [4, 4, 4]),
        (4, 3, 4, [3, 3, 3]),  # two would be 6, more than the target
        (4, 0.48, 4, [4.32, 4.32, 4.32]),  # the sync sample that reaches the setting
        (4, 2.2, 4, [4.4, 4.4, 4.4]),  # rounds to 4
        (4, 2.4, 4, [2.4, 2.4, 2.4]),  # 4.8 would round to 5
        (1, 2, 2, [2, 2, 2]),
        (2, 5.2, 6, [5.2, 5.2, 5.2]),
        (4, 8, 8, [8, 8, 8]),
        (4, 10, 10, [10, 10, 10]),
        (6, 2, 6, [6, 6, 6]),
    ],
)
def test_cuts_at_sync_samples(setting: float, gop: float, target: int, lengths: list[float]) -> None:
    segmenter = make(duration=setting)
    outputs = feed(segmenter, Source(gop=gop), 40)
    assert segmenter.target_duration == target
    assert durations(outputs)[:3] == lengths
    assert all(segment.is_independent for segment in segments(outputs))


def test_half_a_unit_of_jitter_does_not_cost_a_gop() -> None:
    segmenter = make(duration=4, tracks=(VIDEO,))
    times = [index * 3600 for index in range(500)]
    outputs = []
    for start in range(0, 500, 50):
        jitter = -1500 if start % 100 == 0 and start else 0  # 17 ms early
        part = [pts + jitter for pts in times[start : start + 50]]
        outputs += write(segmenter, video(part, next_pts=times[start] + 180_000 + (-1500 if start % 100 else 0)))
    assert segmenter.target_duration == 4
    assert durations(outputs) == pytest.approx([3.983333, 4, 4, 4], abs=1e-6)


def test_a_gop_longer_than_the_target_is_cut_inside() -> None:
    segmenter = make(duration=4)
    source = Source(gop=2)
    outputs = feed(segmenter, source, 8)
    source.units_per_gop = 25 * 60
    outputs += feed(segmenter, source, 26)
    assert segmenter.target_duration == 4
    assert durations(outputs) == [4.0] * 8
    assert [segment.is_independent for segment in segments(outputs)] == [True, True, True] + [False] * 5


def test_without_a_second_sync_sample_the_target_is_fixed_after_ten_seconds() -> None:
    segmenter = make(duration=4)
    outputs = feed(segmenter, Source(gop=60), 35)
    assert segmenter.target_duration == 10
    assert durations(outputs) == [10.0] * 3
    assert make(duration=12).target_duration is None
    longer = make(duration=12)
    feed(longer, Source(gop=60), 30)
    assert longer.target_duration == 12


def test_an_interrupt_fixes_the_target_from_what_there_was() -> None:
    segmenter = make(duration=4)
    feed(segmenter, Source(gop=20), 6)
    outputs = segmenter.interrupt()
    assert durations(outputs) == [6.0]
    assert segmenter.target_duration == 6


def test_a_segment_over_its_size_is_cut_at_the_next_fragment() -> None:
    segmenter = make(duration=4, size=100_000)
    outputs = feed(segmenter, Source(gop=4, size=1500), 16)  # 38 kB a fragment
    assert durations(outputs) == [2.0] * 7
    assert [segment.is_independent for segment in segments(outputs)] == [True, False] * 3 + [True]
    assert all(segment.size <= 100_000 for segment in segments(outputs))


def test_audio_alone_makes_segments_too() -> None:
    segmenter = make((AUDIO_ALONE,), duration=4)
    outputs = feed(segmenter, AudioSource(), 20)
    assert segmenter.target_duration == 4
    # a segment ends with the fragment that reaches the setting; fragments are whole units long
    assert all(3.9 <= duration < 4.5 for duration in durations(outputs))
    assert len(durations(outputs)) >= 4
    assert [run.dts for run in runs(outputs)][:2] == [0, 46 * 1024]


class AudioSource(Source):
    """A camera without a picture."""

    def __init__(self) -> None:
        super().__init__((AUDIO_ALONE,))

    def fragment(self, *, discontinuity: bool = False, wall_clock: float | None = None) -> Fragment:
        run = make_run(0, range(self.audio, self.audio + 46 * 1024, 1024), all_sync=True, size=20)
        self.audio += 46 * 1024
        self.video = self.audio * 90_000 // 48_000
        return Fragment((AUDIO_ALONE,), (run,), is_sync=True, discontinuity=discontinuity)


# -- what time it is --------------------------------------------------------------------------------------


def test_output_time_starts_at_zero_and_has_no_gap() -> None:
    segmenter = make()
    outputs = feed(segmenter, Source(start=1000.0), 12)
    pictures = runs(outputs)
    assert pictures[0].dts == 0
    assert all(run.dts == before.end for before, run in pairwise(pictures))
    assert all(sample.composition_offset == 0 for run in pictures for sample in run.samples)
    sound = runs(outputs, 2)
    assert 0 <= sound[0].dts < 1024
    assert all(run.dts == before.end for before, run in pairwise(sound))
    assert all(sample.duration == 1024 for run in sound for sample in run.samples)


def test_nothing_is_kept_before_the_first_sync_sample() -> None:
    segmenter = make((VIDEO,))
    assert write(segmenter, video([0, 3600], sync=False), Fragment((VIDEO,), (), is_sync=True)) == []
    assert segmenter.stats.awaiting_sync == 2
    outputs = write(segmenter, video([7200, 10_800]))
    assert [type(output) for output in outputs] == [InitSection, SegmentData]


def test_audio_from_before_the_first_picture_is_left_out() -> None:
    segmenter = make()
    pictures = make_run(0, range(90_000, 180_000, 3600))
    sound = make_run(1, range(0, 96_000, 1024), all_sync=True)
    outputs = write(segmenter, Fragment((VIDEO, AUDIO), (pictures, sound), is_sync=True))
    (run,) = runs(outputs, 2)
    # the first unit is the one that begins within half a unit of the picture
    assert run.dts == 47 * 1024 - 48_000 + 0 if 47 * 1024 >= 48_000 else 0
    assert segmenter.stats.dropped_units == 47


def test_after_an_interrupt_time_goes_on_with_a_discontinuity_and_a_new_init_section() -> None:
    segmenter = make()
    source = Source()
    first = feed(segmenter, source, 6)
    closed = segmenter.interrupt()
    assert durations(closed) == [2.0]
    source = Source(start=-5000.0)  # a camera that has started anew
    second = feed(segmenter, source, 9)
    assert isinstance(second[0], InitSection)
    assert second[0].number == 1
    old, new = segments(first + closed), segments(second)
    assert [segment.discontinuity for segment in old + new] == [False, False, True, False]
    assert [segment.discontinuity_number - FIRST for segment in old + new] == [0, 0, 1, 1]
    assert [segment.msn - FIRST for segment in old + new] == [0, 1, 2, 3]
    assert [segment.init for segment in old + new] == [0, 0, 1, 1]
    assert 0 <= runs(second)[0].dts - runs(first)[-1].end <= 90_000 * 1024 / 48_000
    assert segmenter.interrupt() != []
    assert segmenter.interrupt() == []


def test_changed_parameters_and_marked_fragments_are_discontinuities() -> None:
    segmenter = make((VIDEO,))
    other = Fragment((VIDEO_OTHER,), (make_run(0, range(90_000, 180_000, 3600)),), is_sync=True)
    outputs = write(
        segmenter,
        video(list(range(0, 90_000, 3600)), next_pts=90_000),
        other,
        video(list(range(0, 90_000, 3600)), discontinuity=True),
    )
    inits = [output for output in outputs if isinstance(output, InitSection)]
    assert [init.number for init in inits] == [0, 1, 2]
    assert OTHER_PPS in inits[1].data
    assert OTHER_PPS not in inits[2].data
    assert segmenter.stats.discontinuities == 2
    assert [run.dts for run in runs(outputs)] == [0, 90_000, 180_000]


def test_equal_parameters_in_a_new_tuple_change_nothing() -> None:
    segmenter = make((VIDEO,))
    copy = Track(0, "video", "h264", 90_000, H264Parameters(VIDEO.parameters.sps, VIDEO.parameters.pps))  # type: ignore[union-attr]
    outputs = write(
        segmenter,
        video(list(range(0, 90_000, 3600)), next_pts=90_000),
        Fragment((copy,), (make_run(0, range(90_000, 180_000, 3600)),), is_sync=True),
    )
    assert [type(output) for output in outputs] == [InitSection, SegmentData, SegmentData]


def test_parameters_that_change_without_a_sync_sample_wait_for_one() -> None:
    segmenter = make((VIDEO,))
    outputs = write(
        segmenter,
        video(list(range(0, 90_000, 3600))),
        Fragment((VIDEO_OTHER,), (make_run(0, range(90_000, 180_000, 3600), sync=False),), is_sync=False),
        Fragment((VIDEO_OTHER,), (make_run(0, range(180_000, 270_000, 3600)),), is_sync=True),
    )
    assert [type(output) for output in outputs] == [InitSection, SegmentData, Segment, InitSection, SegmentData]


def test_missing_parameters_are_awaited() -> None:
    segmenter = make((VIDEO_UNKNOWN,))
    unknown = Fragment((VIDEO_UNKNOWN,), (make_run(0, [0, 3600]),), is_sync=True)
    assert write(segmenter, unknown) == []
    assert segmenter.stats.last_error == "track 1: its parameter sets have not come yet"
    assert len(write(segmenter, video([7200, 10_800]))) == 2


def test_parameters_that_cannot_be_read_change_nothing() -> None:
    segmenter = make((VIDEO,))
    write(segmenter, video([0, 3600]))
    unreadable = replace(VIDEO, parameters=H264Parameters(b"\x67\x42\xc0\x1e\xff", (b"\x68\xce\x3c\x80",)))
    fragment = Fragment((unreadable,), (make_run(0, [7200, 10_800]),), is_sync=True)
    write(segmenter, fragment)
    assert segmenter.tracks == (VIDEO,)
    assert segmenter.stats.dropped_fragments == 0
    assert segmenter.stats.last_error.startswith("track 1: ")
    assert write(segmenter, video([14_400, 18_000]))
    assert segmenter.stats.discontinuities == 0


def test_other_codecs_need_another_muxer() -> None:
    segmenter = make((VIDEO, AUDIO))
    assert segmenter.accepts((VIDEO_OTHER, AUDIO))
    assert not segmenter.accepts((VIDEO,))
    assert not segmenter.accepts((AUDIO_ALONE,))
    assert not segmenter.accepts(())
    assert not segmenter.accepts((VIDEO, Track(1, "audio", "aac", 16_000, AUDIO.parameters)))
    assert write(segmenter, video([0, 3600])) == []
    assert segmenter.stats.dropped_fragments == 1


def test_of_several_tracks_of_a_kind_the_first_is_used() -> None:
    second = Track(2, "video", "h264", 90_000, VIDEO.parameters)
    assert playable((VIDEO, AUDIO, second)) == (VIDEO, AUDIO)
    with pytest.raises(LocalProtocolError, match="at least one track"):
        playable(())
    segmenter = make((VIDEO, AUDIO, second))
    outputs = write(
        segmenter,
        Fragment((VIDEO, AUDIO, second), (make_run(0, [0, 3600]), make_run(2, [0, 3600])), is_sync=True),
    )
    assert {run.track_id for run in boxes.fragments(outputs[1].data)[0].runs} == {1}  # type: ignore[union-attr]


# -- mad times --------------------------------------------------------------------------------------------

HOUR = 3600 * 90_000


@pytest.mark.parametrize("place", [0, 1, 12, 24])
@pytest.mark.parametrize("off", [-7 * HOUR, 7 * HOUR, -6 * 90_000, 6 * 90_000, 2**45])
def test_a_lone_unit_stamped_far_away_is_restamped(place: int, off: int) -> None:
    segmenter = make((VIDEO,))
    outputs = write(segmenter, video(list(range(0, 90_000, 3600)), next_pts=90_000))
    times = list(range(90_000, 180_000, 3600))
    times[place] += off
    outputs += write(segmenter, video(times, next_pts=180_000), video(list(range(180_000, 270_000, 3600))))
    assert segmenter.stats.restamped_units == 1
    assert segmenter.stats.time_jumps == 0
    assert [sample.dts for run in runs(outputs) for sample in run.samples] == list(range(0, 270_000, 3600))
    assert segments(outputs) == []


@pytest.mark.parametrize("place", [0, 5])
def test_a_lone_unit_far_away_at_the_very_start_is_restamped(place: int) -> None:
    segmenter = make((VIDEO,))
    times = list(range(0, 90_000, 3600))
    times[place] += 5 * HOUR
    outputs = write(segmenter, video(times, next_pts=90_000), video(list(range(90_000, 180_000, 3600))))
    assert [sample.dts for run in runs(outputs) for sample in run.samples] == list(range(0, 180_000, 3600))


@pytest.mark.parametrize("off", [-7 * HOUR, 7 * HOUR, 6 * 90_000, -60_000])
def test_time_that_jumps_for_good_is_a_discontinuity(off: int) -> None:
    segmenter = make((VIDEO,))
    outputs = write(
        segmenter,
        video(list(range(0, 90_000, 3600)), next_pts=90_000 + off),
        video(list(range(90_000 + off, 180_000 + off, 3600))),
    )
    assert [type(o) for o in outputs] == [InitSection, SegmentData, Segment, InitSection, SegmentData]
    assert [run.dts for run in runs(outputs)] == [0, 90_000]
    assert segmenter.stats.time_jumps == 1


def test_a_jump_without_a_sync_sample_is_taken_out() -> None:
    segmenter = make((VIDEO,))
    times = list(range(90_000, 180_000, 3600))
    outputs = write(
        segmenter,
        video(list(range(0, 90_000, 3600)), next_pts=90_000),
        # in the middle of a run, to stay
        video([pts + (HOUR if index > 11 else 0) for index, pts in enumerate(times)], sync=False),
        video(list(range(180_000 + HOUR, 270_000 + HOUR, 3600)), sync=False),
    )
    assert [sample.dts for run in runs(outputs) for sample in run.samples] == list(range(0, 270_000, 3600))
    assert segments(outputs) == []
    assert segmenter.stats.time_jumps == 1


def test_a_camera_that_sends_one_picture_a_fragment_may_jump_too() -> None:
    segmenter = make((VIDEO,))
    outputs = write(segmenter, video([0], next_pts=90_000))
    for second in range(1, 5):
        outputs += write(segmenter, video([second * 90_000], next_pts=(second + 1) * 90_000))
    for second in range(5, 12):
        outputs += write(segmenter, video([second * 90_000 + HOUR], next_pts=(second + 1) * 90_000 + HOUR))
    # two are taken for outliers, then it is believed
    assert segmenter.stats.restamped_units == 2
    assert segmenter.stats.time_jumps == 1
    assert [run.dts for run in runs(outputs)] == [second * 90_000 for second in range(12)]


def test_a_pause_is_a_long_picture() -> None:
    segmenter = make((VIDEO,))
    outputs = write(
        segmenter,
        video(list(range(0, 90_000, 3600))),  # closed by the clock
        video(list(range(270_000, 360_000, 3600)), sync=False),
    )
    pictures = [sample for run in runs(outputs) for sample in run.samples]
    assert [sample.pts for sample in pictures] == [*range(0, 90_000, 3600), *range(270_000, 360_000, 3600)]
    assert segmenter.media_time == 4_000_000


def test_frozen_times_are_told_apart_by_a_tick() -> None:
    segmenter = make((VIDEO,))
    outputs = write(segmenter, video([0] * 25), video([0] * 25, sync=False), video([0] * 25))
    decoded = [sample.dts for run in runs(outputs) for sample in run.samples]
    assert decoded == sorted(set(decoded))


def test_tables_that_do_not_fit_their_media_are_counted() -> None:
    segmenter = make((VIDEO,))
    good = make_run(0, [0, 3600])
    for run in (Run(0, bytes(good.samples)[:-1], good.data), Run(0, good.samples, bytes(good.data)[:-1])):
        assert write(segmenter, Fragment((VIDEO,), (run,), is_sync=True)) == []
    assert segmenter.stats.dropped_fragments == 2
    assert segmenter.stats.last_error is not None
    outputs = write(segmenter, video([0, 3600]))
    assert runs(outputs)[0].dts == 0
    assert [output.number for output in outputs if isinstance(output, InitSection)] == [0]


@pytest.mark.parametrize("size", [2, 3, 4, 25, 26, 27, 30])
def test_pictures_shown_in_another_order_keep_their_times(size: int) -> None:
    # I P B B P B B …, closed GOPs of 31 pictures, cut into fragments anywhere
    order = [0] + [index for group in range(10) for index in (3 * group + 3, 3 * group + 1, 3 * group + 2)]
    times = [(gop * 31 + index) * 3600 for gop in range(6) for index in order]
    segmenter = make((VIDEO,))
    outputs = []
    for gop in range(6):
        for start in range(0, 31, size):
            part = times[gop * 31 + start : gop * 31 + min(start + size, 31)]
            after = gop * 31 + min(start + size, 31)
            fragment = video(part, sync=start == 0, next_pts=times[after] if after < len(times) else None)
            outputs += write(segmenter, fragment)
    samples = [sample for run in runs(outputs) for sample in run.samples]
    # all of it is shown later by the two pictures that the SPS allows to overtake one, and no picture is decoded late
    assert [sample.pts for sample in samples] == [pts + 2 * 3600 for pts in times]
    assert all(0 <= sample.composition_offset <= 5 * 3600 for sample in samples)
    assert segmenter.stats.time_jumps == segmenter.stats.restamped_units == 0


def test_b_pictures_that_begin_later_delay_picture_and_sound_once() -> None:
    segmenter = make()
    outputs = write(segmenter, second(0, whole(0)))
    order = [index for group in range(8) for index in (3 * group + 2, 3 * group, 3 * group + 1)] + [24]
    for number in (1, 2, 3):
        times = [number * 90_000 + index * 3600 for index in order]
        sound = make_run(1, whole(number), all_sync=True)
        fragment = Fragment((VIDEO, AUDIO), (make_run(0, times), sound), is_sync=True, next_pts=(number + 1) * 90_000)
        outputs += write(segmenter, fragment)
    pictures = [sample for run in runs(outputs) for sample in run.samples]
    assert all(sample.composition_offset >= 0 for sample in pictures)
    assert [sample.pts for sample in pictures[:25]] == [index * 3600 for index in range(25)]
    assert sorted(sample.pts for sample in pictures[25:]) == [index * 3600 + 7200 for index in range(25, 100)]
    units = [sample for run in runs(outputs, 2) for sample in run.samples]
    late = [at + 3840 for number in (2, 3) for at in whole(number)]
    assert [unit.pts for unit in units[-len(late) :]] == late
    assert (segmenter.stats.silent_units, segmenter.stats.dropped_units) == (0, 0)


# -- audio ------------------------------------------------------------------------------------------------


def second(number: int, sound: list[int], audio: Track = AUDIO) -> Fragment:
    """Second `number` of video, with these units of audio."""
    pictures = make_run(0, range(number * 90_000, (number + 1) * 90_000, 3600), sync=True)
    heard = (make_run(1, sound, all_sync=True),) if sound else ()
    return Fragment((VIDEO, audio), (pictures, *heard), is_sync=True, next_pts=(number + 1) * 90_000)


def whole(number: int) -> list[int]:
    """The units of audio of second `number`: 46 or 47."""
    return [index * 1024 for index in range(-(-number * 48_000 // 1024), -(-(number + 1) * 48_000 // 1024))]


def is_without_gap(outputs: list[Output], until: int) -> bool:
    """Whether the audio's decode times go on from 0 to `until` at least."""
    at = 0
    for run in runs(outputs, 2):
        if run.dts != at:
            return False
        at = run.end
    return at >= until


def test_a_long_gap_in_audio_is_silent() -> None:
    segmenter = make()
    outputs = write(segmenter, second(0, [0, 1024, 2048]), second(1, [50_000, 51_024]))
    first, then = runs(outputs, 2)
    assert then.dts == first.end == 3 * 1024
    assert segmenter.stats.silent_units == (50_000 - 3 * 1024) // 1024
    assert [sample.pts for sample in then.samples[-2:]] == [50_000, 51_024]
    assert {bytes(sample.data) for sample in then.samples[:-2]} == {silence.silent_unit(AUDIO, 1024)}


OPUS = Track(1, "audio", "opus", 48_000, OpusParameters(1))


def opus_run(times: range) -> Run:
    """Packets of as many samples as they are apart."""
    packet = silent_packet(times.step, 1)
    assert packet is not None
    return silence.silent_run(1, packet, first=times.start, ticks=times.step, count=len(times))


@pytest.mark.parametrize("samples", [120, 960, 2880, 5760])
def test_opus_lasts_as_long_as_its_packets_say(samples: int) -> None:
    segmenter = make((VIDEO, OPUS))
    first, second_ = range(0, 48_000, samples), range(len(range(0, 48_000, samples)) * samples, 96_000, samples)
    outputs = []
    for number, times in enumerate((first, second_)):
        fragment = second(number, [], OPUS)
        outputs += write(segmenter, fragment._replace(runs=(*fragment.runs, opus_run(times))))
    outputs += write(segmenter, *(second(number, [], OPUS) for number in range(2, 4)))
    heard = runs(outputs, 2)
    assert is_without_gap(outputs, 3 * 48_000)
    assert heard[0].end == second_.start
    assert heard[1].end == second_[-1] + samples
    assert segmenter.stats.silent_units == (4 * 48_000 - heard[1].end) // samples  # and silence is of the same kind
    assert {bytes(sample.data) for sample in heard[-1].samples} == {silent_packet(samples, 1)}


def test_opus_that_rests_while_nothing_is_said_is_silent_meanwhile() -> None:
    """DTX: a packet each 400 ms; what does not come would make a player run ahead."""
    segmenter = make((VIDEO, OPUS))
    outputs = []
    for number in range(3):
        fragment = second(number, [], OPUS)
        times = [number * 48_000 + 960 * index for index in (0, 1, 2, 23, 24, 45, 46, 49)]
        runs_ = [
            silence.silent_run(1, b"\xf8" + bytes([index]), first=t, ticks=1, count=1) for index, t in enumerate(times)
        ]
        heard = runs_[0]
        for run in runs_[1:]:
            heard = join(heard, run)
        outputs += write(segmenter, fragment._replace(runs=(*fragment.runs, heard)))
    for run in runs(outputs, 2):
        assert {sample.duration for sample in run.samples[:-1]} <= {960, 3 * 960}
        own = [sample.pts % 48_000 // 960 for sample in run.samples if len(sample.data) == 2]
        assert own == [0, 1, 2, 23, 24, 45, 46, 49]
    assert segmenter.stats.silent_units == 3 * 40
    assert is_without_gap(outputs, 3 * 48_000)


@pytest.mark.parametrize("factor", [0, 1 / 6, 1 / 3, 90 / 48, 2])
def test_opus_with_timestamps_of_another_rate_stays_beside_the_pictures(factor: float) -> None:
    segmenter = make((VIDEO, OPUS))
    outputs = []
    for number in range(30):
        fragment = second(number, [], OPUS)
        heard = opus_run(range(number * 48_000, (number + 1) * 48_000, 960))
        records = [(round(pts * factor), *rest) for pts, *rest in SAMPLE.iter_unpack(heard.samples)]
        heard = heard._replace(samples=b"".join(SAMPLE.pack(*record) for record in records))
        outputs += write(segmenter, fragment._replace(runs=(*fragment.runs, heard)))
    for video, sound in zip(runs(outputs, 1)[-20:], runs(outputs, 2)[-20:], strict=True):
        assert abs(sound.dts / 48_000 - video.dts / 90_000) <= 0.1
        assert abs(sound.end / 48_000 - video.end / 90_000) <= 0.1
    assert segmenter.stats.dropped_units <= 100


@pytest.mark.parametrize("pace", [0.5, 0.8, 1.1, 2])
def test_sound_that_comes_at_another_rate_stays_beside_the_pictures(pace: float) -> None:
    segmenter = make((VIDEO, OPUS))
    outputs = []
    for number in range(40):
        fragment = second(number, [], OPUS)
        first, last = (round(at * pace * 50) for at in (number, number + 1))
        heard = opus_run(range(first * 960, last * 960, 960))
        outputs += write(segmenter, fragment._replace(runs=(*fragment.runs, heard)))
    for video, sound in zip(runs(outputs, 1)[-20:], runs(outputs, 2)[-20:], strict=True):
        assert abs(sound.dts / 48_000 - video.dts / 90_000) <= 0.15
        assert abs(sound.end / 48_000 - video.end / 90_000) <= 0.15


@pytest.mark.parametrize("audio", [AUDIO, OPUS])
@pytest.mark.parametrize(("slope", "most"), [(0.1, 2.0), (0.3, 1.2), (0.6, 1.8), (0.9, 4.0), (5.0, 0.9)])
def test_sound_stays_where_it_is_while_pictures_come_late(audio: Track, slope: float, most: float) -> None:
    """An encoder of pictures that has too much to do gets behind, and catches up: the times of both are right."""
    segmenter = make((VIDEO, audio))
    unit = 960 if audio is OPUS else 1024
    outputs, sent = [], 0
    for number in range(90):
        behind = max(0.0, min(slope * (number - 4), most, slope * (80 - number)))
        times = range(sent * unit, round((number + 1 + behind) * 48_000), unit)
        sent += len(times)
        run = opus_run(times) if audio is OPUS else make_run(1, times, all_sync=True)
        records = [
            (pts, round((1000 + pts / 48_000) * 1e9), *rest) for pts, _, *rest in SAMPLE.iter_unpack(run.samples)
        ]
        run = run._replace(samples=b"".join(SAMPLE.pack(*record) for record in records))
        fragment = second(number, [], audio)
        outputs += write(segmenter, fragment._replace(runs=(*fragment.runs, *([run] if times else ()))))
    outputs += segmenter.interrupt()
    assert [sample.pts for run in runs(outputs, 2) for sample in run.samples] == [unit * n for n in range(sent)]
    assert (segmenter.stats.dropped_units, segmenter.stats.silent_units) == (0, 0)


def test_opus_alone_leads() -> None:
    alone = replace(OPUS, index=0)
    segmenter = make((alone,))
    for number in range(4):
        run = opus_run(range(number * 48_000, (number + 1) * 48_000, 2400 if number < 2 else 4800))
        write(segmenter, Fragment((alone,), (run._replace(track=0),), is_sync=True))
    assert segmenter.stats.dropped_units == segmenter.stats.time_jumps == 0


def test_a_long_gap_moves_the_decode_time_where_there_is_no_silence() -> None:
    surround = replace(AUDIO, parameters=AACParameters(build_config(48_000, 6)))
    segmenter = make((VIDEO, surround))
    outputs = write(segmenter, second(0, [0, 1024, 2048], surround), second(1, [50_000, 51_024], surround))
    assert [run.dts for run in runs(outputs, 2)] == [0, 50_000]
    assert segmenter.stats.silent_units == 0


def test_announced_audio_that_never_comes_is_silent() -> None:
    """A player of muxed media shows nothing while one of the tracks has none."""
    segmenter = make()
    outputs = write(segmenter, *(second(number, []) for number in range(6)))
    assert is_without_gap(outputs, 6 * 48_000 - 1024)
    assert segmenter.stats.silent_units == 6 * 48_000 // 1024


def test_audio_that_stops_and_comes_back() -> None:
    segmenter = make()
    sound = {number: whole(number) for number in (0, 1, 5, 6)}
    outputs = write(segmenter, *(second(number, sound.get(number, [])) for number in range(7)))
    assert is_without_gap(outputs, 7 * 48_000)
    assert runs(outputs, 2)[-1].samples[0].pts == whole(6)[0]
    assert segmenter.stats.dropped_units == 0


@pytest.mark.parametrize("behind", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("seconds", [(0, 1, 5, 6, 7), (3, 4, 5), (1, 4, 7)])
def test_no_segment_is_without_a_sound(seconds: tuple[int, ...], behind: float) -> None:
    """Not the first, nor where sound comes again: players of muxed media stall there."""
    segmenter = make()
    sound = {number: [pts - round(behind * 48_000) for pts in whole(number)] for number in seconds}
    outputs = write(segmenter, *(second(number, sound.get(number, [])) for number in range(8)))
    assert len(runs(outputs, 1)) == len(runs(outputs, 2)) == 8
    assert is_without_gap(outputs, 7 * 48_000)
    assert any(sample.size == 100 for run in runs(outputs, 2) for sample in run.samples)


def test_audio_that_is_only_late_is_not_talked_over() -> None:
    """A camera whose audio comes two seconds behind its video is heard."""
    segmenter = make()
    outputs = write(segmenter, *(second(number, whole(number - 2)) for number in range(2, 8)))
    heard = [sample for run in runs(outputs, 2) for sample in run.samples if sample.size == 100]
    assert len(heard) >= 3 * 46
    assert segmenter.stats.silent_units == 0


def test_a_short_gap_in_audio_is_filled() -> None:
    segmenter = make()
    lost = [index * 1024 for index in range(47) if index != 20]
    outputs = write(segmenter, second(0, lost), second(1, [47 * 1024 + 4000, 48 * 1024 + 4000]))
    first, then = runs(outputs, 2)
    assert first.samples[19].duration == 2048
    assert then.dts == first.end == 47 * 1024
    assert then.samples[0].pts == 47 * 1024 + 4000


def test_audio_that_overlaps_is_dropped() -> None:
    segmenter = make()
    outputs = write(
        segmenter,
        second(0, [index * 1024 for index in range(47)]),
        second(1, [index * 1024 for index in range(44, 94)]),
        second(2, [0, 1024]),
    )
    assert segmenter.stats.dropped_units == 3 + 2
    assert [run.dts for run in runs(outputs, 2)] == [0, 47 * 1024]
    assert runs(outputs, 2)[1].end == 94 * 1024


def test_audio_with_one_mad_time_goes_on() -> None:
    segmenter = make()
    sound = [index * 1024 for index in range(47)]
    mad = [pts + 47 * 1024 + (2**40 if index == 30 else 0) for index, pts in enumerate(sound)]
    outputs = write(segmenter, second(0, sound), second(1, mad), second(2, [pts + 94 * 1024 for pts in sound]))
    assert [sample.dts for run in runs(outputs, 2) for sample in run.samples] == [i * 1024 for i in range(141)]


def test_audio_far_from_the_picture_is_put_beside_it() -> None:
    segmenter = make()
    sound = [index * 1024 for index in range(47)]
    far = [pts + 48_000 + 48_000 * 3600 for pts in sound]
    outputs = write(segmenter, second(0, sound), second(1, far), second(2, [pts + 47 * 1024 for pts in far]))
    assert [run.dts for run in runs(outputs, 2)] == pytest.approx([0, 48_128, 96_256], abs=1024)


def test_audio_does_not_run_away_from_video_that_has_stopped() -> None:
    segmenter = make()
    write(segmenter, second(0, []))
    for number in range(30):
        run = make_run(1, [number * 48_000, number * 48_000 + 1024], all_sync=True)
        write(segmenter, Fragment((VIDEO, AUDIO), (run,), is_sync=False))
    assert segmenter.stats.dropped_units == 2 * 24


def test_the_length_of_an_audio_unit_is_in_its_configuration() -> None:
    # 960 samples a unit, and twice the ticks: 48 kHz clock, 24 kHz core with SBR
    short = AACParameters(bytes.fromhex("1194"))
    slow = AACParameters(bytes.fromhex("2b098800"))
    for parameters, unit in ((short, 960), (slow, 2048)):
        track = Track(0, "audio", "aac", 48_000, parameters)
        segmenter = make((track,))
        outputs = write(segmenter, Fragment((track,), (make_run(0, [0], all_sync=True),), is_sync=True))
        assert runs(outputs)[0].samples[0].duration == unit


# -- dates ------------------------------------------------------------------------------------------------


def test_dates_begin_with_the_wall_clock_and_follow_media_time() -> None:
    segmenter = make()
    outputs = feed(segmenter, Source(), 20)
    # the first unit arrived at 1000, which was WALL
    assert [segment.date - round(WALL * 1e6) for segment in segments(outputs)] == [0, 4_000_000, 8_000_000, 12_000_000]


def test_dates_are_slewed_never_stepped() -> None:
    segmenter = make()
    source = Source(drift=200e-6)
    outputs = []
    while source.time < 400:
        fragment = source.fragment()
        outputs += segmenter.write(fragment, now=1000.0 + source.clock, wall=WALL + source.clock)
    for before, after in pairwise(segments(outputs)):
        assert abs(after.date - before.date - before.duration) <= before.duration * 500e-6 + 1
    last = segments(outputs)[-1]
    assert abs(last.date / 1e6 - (WALL + 392 * (1 + 200e-6))) < 0.02


def test_a_host_clock_set_back_does_not_set_dates_back() -> None:
    segmenter = make()
    source = Source()
    outputs = feed(segmenter, source, 8)
    segmenter.interrupt()
    for _ in range(8):
        fragment = source.fragment()
        outputs += segmenter.write(fragment, now=1000.0 + source.time, wall=WALL - 3600)
    dates = [segment.date for segment in segments(outputs)]
    assert dates == sorted(dates)


def test_dates_are_anchored_anew_after_an_interrupt() -> None:
    segmenter = make()
    source = Source()
    outputs = feed(segmenter, source, 8)
    outputs += segmenter.interrupt()
    source.skip(60)
    outputs += feed(segmenter, source, 8)
    assert [(segment.date / 1e6 - WALL) for segment in segments(outputs)] == pytest.approx([0, 4, 68], abs=0.001)


def test_the_cameras_own_clock_is_used_where_asked_for() -> None:
    segmenter = make(absolute=True)
    source = Source()
    outputs = []
    for _ in range(20):
        clock = WALL - 100 + source.time if source.time >= 8 else None
        outputs += segmenter.write(source.fragment(wall_clock=clock), now=1000.0 + source.time, wall=WALL + source.time)
    dates = [segment.date / 1e6 - WALL for segment in segments(outputs)]
    assert dates == pytest.approx([0, 4, 8 - 100, 12 - 100], abs=0.01)


def test_the_cameras_own_clock_is_used_behind_an_interrupt_before_it_tells_its_time() -> None:
    segmenter = make(absolute=True)
    source = Source()
    outputs = []
    for number in range(20):
        clock = None if 8 <= number < 14 else WALL - 100 + source.time
        outputs += segmenter.write(source.fragment(wall_clock=clock), now=1000.0 + source.time, wall=WALL + source.time)
        if number == 7:
            outputs += segmenter.interrupt()
            source.skip(10)
    dates = [segment.date / 1e6 - WALL for segment in segments(outputs)]
    assert dates == pytest.approx([-100, -96, -82, -78], abs=1.1)


def test_a_camera_clock_of_1970_is_not_used() -> None:
    segmenter = make(absolute=True)
    source = Source()
    outputs = []
    for _ in range(8):
        outputs += segmenter.write(
            source.fragment(wall_clock=source.time), now=1000.0 + source.time, wall=WALL + source.time
        )
    assert segments(outputs)[0].date == round(WALL * 1e6)
