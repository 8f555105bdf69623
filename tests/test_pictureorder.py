"""Picture order counts as slice headers have them, and what they are good for: pictures that are still to come."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import corpus
import pytest
from boxes import fragments as read_fragments
from fragments import SPS, VIDEO
from hypothesis import given
from hypothesis import strategies as st
from test_corpus_mp4 import has_picture, video_track

from rtspkit.h264 import join_avcc
from rtspkit.media import SAMPLE, Fragment, H264Parameters, Run
from rtspkit.pictureorder import PictureOrder
from rtspkit.segmenter import Segmenter
from rtspkit.segments import SegmentData

#: Cases in which the counts do not go as the times do: an IDR picture amid the others, a field, times that are wrong.
OTHERWISE = ("h264/with timing info", "B-frames after IDR", "mbs_only_flag", "h264/no timing info")


def picture(count: int, *, is_idr: bool = False) -> bytes:
    """The access unit of a picture with this count, for `SPS`: frame_num has 4 bits, the count 6."""
    bits = "1" + "1" + "1" + "0000" + ("1" if is_idr else "") + f"{count:06b}" + "1"
    header = int(bits.ljust(24, "0"), 2).to_bytes(3)
    return join_avcc([b"\x06\x05sei", (b"\x65" if is_idr else b"\x41") + header + b"slice"])


@pytest.mark.parametrize("case", corpus.cases("mp4/dts"), ids=lambda case: case["id"])
def test_counts_go_as_times_do(case):
    units = [unit for unit in case["access_units"] if has_picture(unit, case["codec"])]
    order = PictureOrder(video_track(case))
    steps = order.steps([join_avcc([bytes.fromhex(nal) for nal in unit["nals_hex"]]) for unit in units])
    assert steps is not None
    if not any(name in case["id"] for name in OTHERWISE):
        distances = [after["pts"] - before["pts"] for before, after in pairwise(units)]
        assert [step > 0 for step in steps] == [distance > 0 for distance in distances]


def test_counts_wrap():
    order = PictureOrder(VIDEO)
    assert order.steps([picture(60), picture(62), picture(4), picture(2)]) == [2, 6, -2]
    assert order.steps([picture(0, is_idr=True), picture(8)]) == [8]


def test_what_cannot_be_read_has_no_count():
    unit = picture(4)
    assert PictureOrder(VIDEO).steps([unit, b"", unit]) is None
    assert PictureOrder(VIDEO).steps([unit, join_avcc([b"\x06sei"])]) is None
    assert PictureOrder(VIDEO).steps([unit, join_avcc([b"\x41\x9a"])]) is None
    assert PictureOrder(replace(VIDEO, parameters=None)).steps([unit, unit]) is None
    baseline = bytes.fromhex("6742c028da01e0089f9610")  # pic_order_cnt_type 2: nothing is reordered
    assert PictureOrder(replace(VIDEO, parameters=H264Parameters(baseline, ()))).steps([unit, unit]) is None
    assert PictureOrder(replace(VIDEO, parameters=H264Parameters(SPS[:9], ()))).steps([unit, unit]) is None


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_bytes_will_do(units: list[bytes]) -> None:
    steps = PictureOrder(VIDEO).steps(units)
    assert steps is None or len(steps) == max(0, len(units) - 1)


def test_a_part_that_ends_ahead_of_b_pictures_knows_it():
    """Without the counts, what the hole means would show one part later: picture and sound would be moved then."""
    shown = [0, 1, 4, 2, 3, 7, 5, 6, 10, 8, 9, 13, 11, 12]
    counts = {place: picture(2 * place % 64, is_idr=not place) for place in shown}

    def play(sps: bytes, pictures: dict[int, bytes]) -> list[tuple[int, int]]:
        track = replace(VIDEO, parameters=H264Parameters(sps, VIDEO.parameters.pps))
        segmenter = Segmenter((track,), segment_duration=2.0, segment_max_size=10**6, first_msn=1, part_duration=0.2)
        found = []
        for places in (shown[:3], shown[3:8], shown[8:]):
            samples = b"".join(SAMPLE.pack(3600 * at, 10**12, len(pictures[at]), not at) for at in places)
            run = Run(0, samples, b"".join(pictures[at] for at in places))
            for output in segmenter.write(Fragment((track,), (run,), not places[0]), now=1001.0, wall=1e9):
                if isinstance(output, SegmentData):
                    for fragment in read_fragments(output.data):
                        found += [(sample.dts, sample.pts) for sample in fragment.runs[0].samples]
        assert len(found) == len(shown)
        return found

    times = play(SPS, counts)
    assert all(dts <= pts for dts, pts in times)
    assert {pts - 3600 * at for (_, pts), at in zip(times, shown, strict=True)} == {times[0][1]}
    # a hole is only one where pictures are missing for good
    in_order = {place: picture(2 * number % 64, is_idr=not place) for number, place in enumerate(shown)}
    assert any(dts > pts for dts, pts in play(SPS, in_order))
