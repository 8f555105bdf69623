"""Whatever comes, in whatever order: segments are legal, decode times continuous, the target constant."""

from itertools import pairwise

import boxes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stories import FIRST, Camera, Step, steps

from rtspkit.restamp import Survey
from rtspkit.segmenter import Segmenter
from rtspkit.segments import InitSection, Output, Segment, SegmentData


def microseconds(ticks: int) -> int:
    """Output time of video, rounded: durations are differences of it, so that they add up."""
    return (ticks * 1_000_000 + 45_000) // 90_000


def check_outputs(outputs: list[Output], *, leader: int, rates: dict[int, int], starts_sync: bool) -> None:
    """The rules of one muxer's whole life."""
    segments = [output for output in outputs if isinstance(output, Segment)]
    for before, after in pairwise(segments):
        assert after.msn == before.msn + 1
        assert after.discontinuity_number == before.discontinuity_number + after.discontinuity
        assert (after.init != before.init) == after.discontinuity
    if segments:
        assert segments[0].msn == segments[0].discontinuity_number == FIRST
        assert not segments[0].discontinuity
    by_msn = {segment.msn: segment for segment in segments}

    ends: dict[int, int] = {}
    anew: set[int] = set(rates)  # tracks of which nothing has come since time started anew
    sequence_number = 0
    of_segment: dict[int, list[boxes.Sample]] = {}
    for output in outputs:
        if isinstance(output, InitSection):
            anew = set(rates)
            continue
        if isinstance(output, Segment):
            continue
        (fragment,) = boxes.fragments(output.data)
        assert fragment.sequence_number == sequence_number + 1
        sequence_number += 1
        for run in fragment.runs:
            for one, next_one in pairwise(run.samples):
                assert next_one.dts > one.dts
            assert all(sample.duration > 0 for sample in run.samples)
            end = ends.get(run.track_id, 0)
            fresh = run.track_id in anew
            anew.discard(run.track_id)
            if fresh:
                assert run.dts >= end
            elif run.track_id == leader and rates[leader] == 90_000:
                assert run.dts == end
            else:
                assert run.dts == end or run.dts - end > 0.2 * rates[run.track_id]
            if run.track_id == leader:
                if fresh and starts_sync:
                    assert run.samples[0].is_sync
                of_segment.setdefault(output.msn, []).extend(run.samples)
                if rates[leader] == 90_000:
                    # pictures are shown near the time they are decoded: no jump hides in an offset
                    assert all(abs(s.composition_offset) <= 20 * 90_000 for s in run.samples)
            ends[run.track_id] = run.end
    if rates[leader] == 90_000:
        for msn, samples in of_segment.items():
            if msn in by_msn:
                end = samples[-1].dts + samples[-1].duration
                assert by_msn[msn].duration == microseconds(end) - microseconds(samples[0].dts)
                assert by_msn[msn].units == len(samples)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    story=st.lists(steps(), max_size=40),
    tracks=st.sampled_from([(True, True), (True, False), (False, True)]),
    duration=st.sampled_from([1.0, 2.0, 4.0, 6.0, 11.0]),
    max_size=st.sampled_from([2000, 50 << 20]),
)
def test_any_story_gives_legal_segments(
    story: list[Step], tracks: tuple[bool, bool], duration: float, max_size: int
) -> None:
    camera = Camera(*tracks)
    segmenter = Segmenter(
        camera.tracks(0),
        segment_duration=duration,
        segment_max_size=max_size,
        first_msn=FIRST,
        use_absolute_timestamp=max_size == 2000,
    )
    outputs: list[Output] = []
    target = None
    for step in story:
        new = (
            segmenter.interrupt()
            if step.units is None
            else segmenter.write(camera.fragment(step), now=camera.now, wall=1.7e9 + camera.now)
        )
        outputs += new
        if target is not None:
            assert segmenter.target_duration == target
        target = segmenter.target_duration
    outputs += segmenter.interrupt()
    for output in outputs:
        if isinstance(output, Segment):
            assert segmenter.target_duration is not None
            assert 0 < output.duration < segmenter.target_duration * 1_000_000 + 500_000
    rates = {1: 90_000, 2: 48_000} if tracks[0] else {1: 48_000}
    check_outputs(outputs, leader=1, rates=rates, starts_sync=tracks[0])
    if max_size != 2000:
        dates = [(output.date, output.duration) for output in outputs if isinstance(output, Segment)]
        for (date, length), (next_date, _) in pairwise(dates):
            assert next_date >= date + length - length // 1000
    stats = segmenter.stats
    written = sum(isinstance(output, SegmentData) for output in outputs)
    assert stats.fragments == written


class Careful(Segmenter):
    """Looks at every run as if there might be something wrong with it."""

    def _follows(self, _times: Survey) -> bool:
        return False


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    story=st.lists(steps(), max_size=40),
    tracks=st.sampled_from([(True, True), (True, False), (False, True)]),
    duration=st.sampled_from([1.0, 4.0]),
    part_duration=st.sampled_from([None, 0.2, 1.0]),
)
def test_a_closer_look_at_runs_that_follow_finds_nothing(
    story: list[Step], tracks: tuple[bool, bool], duration: float, part_duration: float | None
) -> None:
    camera = Camera(*tracks)
    quick, careful = (
        kind(
            camera.tracks(0),
            segment_duration=duration,
            segment_max_size=50 << 20,
            part_duration=part_duration,
            first_msn=FIRST,
        )
        for kind in (Segmenter, Careful)
    )
    for step in story:
        if step.units is None:
            assert quick.interrupt() == careful.interrupt()
            continue
        fragment = camera.fragment(step)
        outputs = quick.write(fragment, now=camera.now, wall=1.7e9 + camera.now)
        assert outputs == careful.write(fragment, now=camera.now, wall=1.7e9 + camera.now)
        assert quick.next_cut == careful.next_cut
        assert quick.stats == careful.stats
