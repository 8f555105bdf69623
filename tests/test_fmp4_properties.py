"""`write_fragment` on any table of samples: as the reference writes it, and as a reader understands it."""

import struct
from itertools import pairwise

import boxes
import pytest
import reference_fmp4
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtspkit import restamp
from rtspkit.fmp4 import write_fragment
from rtspkit.media import SAMPLE_SIZE, Run

ticks = st.one_of(
    st.integers(-20, 20),  # equal and reordered times are likely
    st.integers(-(1 << 33), 1 << 33),
    st.integers(-(1 << 61), 1 << 61),
)
samples = st.lists(st.tuples(ticks, st.integers(0, 40), st.integers(0, 0xFFFFFFFF)), max_size=80)


@st.composite
def runs(draw, table=samples):
    records = draw(table)
    size = sum(size for _, size, _ in records)
    return (
        draw(st.integers(0, 0xFFFFFFFF)),
        draw(st.one_of(st.integers(0, 100), st.integers(0, 1 << 61))),
        draw(ticks),
        draw(st.one_of(st.just(-1), st.integers(-100, 100), ticks)),
        draw(st.one_of(st.integers(0, 5000), st.integers(-(1 << 63), (1 << 63) - 1))),
        reference_fmp4.pack_samples(records),
        draw(st.binary(min_size=size, max_size=size)),
        draw(st.one_of(st.integers(0, 40), st.integers(0, 1 << 61))),
        draw(st.booleans()),
    )


@settings(max_examples=150)
@given(st.integers(0, 0xFFFFFFFF), st.lists(runs(), max_size=3))
def test_is_what_the_reference_writes(sequence_number, fragment_runs):
    assert write_fragment(sequence_number, fragment_runs) == reference_fmp4.write_fragment(
        sequence_number, fragment_runs
    )


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(100, 900), st.sampled_from(["random", "descending", "steps"]))
def test_long_runs_in_any_order(seed, count, order):
    value = seed
    times = []
    for i in range(count):
        value = (value * 6364136223846793005 + 1442695040888963407) % 2**64
        times.append({"random": value >> 40, "descending": count - i, "steps": i % 17 * 1000 + i // 17}[order])
    run = (1, 0, 0, -1, 1, reference_fmp4.pack_samples([(time, 0, 0) for time in times]), b"", 0)
    assert write_fragment(1, [run]) == reference_fmp4.write_fragment(1, [run])


def _within(low, high):
    return st.tuples(st.integers(low, high), st.integers(0, 40), st.integers(0, 3))


@settings(max_examples=100)
@given(st.lists(runs(st.lists(_within(-1000, 100_000), min_size=1, max_size=40)), min_size=1, max_size=3))
def test_a_reader_finds_every_sample_at_its_time(fragment_runs):
    # times that no clamp touches
    fragment_runs = [
        (
            track_id,
            dts % 100_000,
            shift % 10_000,
            end if end < 2**31 else -1,
            duration % 5000,
            records,
            data,
            delay % 9000,
            is_even,
        )
        for track_id, dts, shift, end, duration, records, data, delay, is_even in fragment_runs
    ]
    fragment, ends = write_fragment(7, fragment_runs)
    (read,) = boxes.fragments(fragment)
    assert read.sequence_number == 7
    assert len(read.runs) == len(fragment_runs)
    for found, given_run, end in zip(read.runs, fragment_runs, ends, strict=True):
        track_id, dts, shift, _, _, records, data, delay, _ = given_run
        assert (found.track_id, found.dts, found.end) == (track_id, dts, end)
        assert b"".join(sample.data for sample in found.samples) == data
        assert all(sample.duration >= 1 for sample in found.samples)
        for sample, (pts, _, size, flags) in zip(found.samples, struct.iter_unpack("=qqII", records), strict=True):
            assert (sample.pts, sample.size, sample.is_sync) == (pts + shift + delay, size, bool(flags & 1))
        has_offsets = any(sample.composition_offset for sample in found.samples)
        assert bool(found.trun_flags & 0x800) == has_offsets


@settings(max_examples=60)
@given(st.lists(runs(), min_size=1, max_size=2), st.data())
def test_the_next_run_starts_where_this_one_ended(fragment_runs, data):
    fragment, ends = write_fragment(1, fragment_runs)
    following = [(run[0], end, *run[2:]) for run, end in zip(fragment_runs, ends, strict=True) if end <= 1 << 61]
    fragment += write_fragment(2, following)[0]
    first, second = boxes.fragments(fragment)
    ended = {index: run.end for index, run in enumerate(first.runs)}
    assert [run.dts for run in second.runs] == [end for end in ended.values() if end <= 1 << 61]


@settings(max_examples=150)
@given(runs(), st.binary(max_size=5 * SAMPLE_SIZE), st.binary(max_size=60))
@example((1, 0, 0, -1, 0, b"", b"", 0), b"", b"x")
@example((1, 0, 0, -1, 0, b"", b"", 0), struct.pack("=qqII", 0, 0, 0xFFFFFFFF, 0), b"x")
@example((1, 0, 0, -1, 0, b"", b"", 0), struct.pack("=qqII", -(1 << 63), 0, 0, 0), b"")
@example((1, 0, 0, -1, 0, b"", b"", 0), struct.pack("=qqIIqqII", 0, 0, 0xFFFFFFFF, 0, 0, 0, 1, 0), b"")
def test_lying_tables_are_refused(run, records, data):
    """Any bytes as records over any bytes as media: a ValueError, or what the reference writes."""
    run = (*run[:5], records, data, run[7])
    try:
        expected = reference_fmp4.write_fragment(1, [run])
    except ValueError:
        with pytest.raises(ValueError, match="run 0"):
            write_fragment(1, [run])
    else:
        assert write_fragment(1, [run]) == expected


@settings(max_examples=40)
@given(runs(st.lists(_within(0, 100), min_size=1, max_size=5)), st.integers(-40, 40).filter(bool))
def test_media_longer_or_shorter_than_announced_are_refused(run, difference):
    data = run[6] + bytes(difference) if difference > 0 else run[6][:difference]
    if len(data) != len(run[6]):
        with pytest.raises(ValueError, match=r"announce \d+ bytes, but there are \d+"):
            write_fragment(1, [(*run[:6], data, run[7])])


@settings(max_examples=40)
@given(runs(), st.integers(1, 7))
def test_any_buffer_at_any_address_will_do(run, offset):
    """Records and media may lie unaligned, in whatever lends its memory."""
    records = bytearray(bytes(offset) + run[5])
    data = bytearray(bytes(offset) + run[6])
    lent = (*run[:5], memoryview(records)[offset:], memoryview(data)[offset:], *run[7:])
    assert write_fragment(1, [lent]) == write_fragment(1, [run])
    del lent
    records.clear()  # BufferError if the writer still held it
    data.clear()


@settings(max_examples=100)
@given(st.lists(st.tuples(*[st.one_of(st.integers(-20, 20), st.integers(-(1 << 63), (1 << 63) - 1))] * 2), max_size=30))
def test_a_survey_sees_every_sample(records):
    table = b"".join(struct.pack("=qqII", pts, arrival, 7, 0) for pts, arrival in records)
    found = restamp.survey(Run(0, table, b""))
    times, arrivals = [pts for pts, _ in records], [arrival for _, arrival in records]
    if not records:
        assert found == (0, 0, 0, 0, 0, 0, 0, True, 0, 0, 0)
        return
    steps = [after - before for before, after in pairwise(times)]
    pauses = [min(after - before, 2**63 - 1) for before, after in pairwise(arrivals)]
    assert found[:6] == (len(times), 7 * len(times), times[0], times[-1], min(times), max(times))
    assert found.is_ordered is (times == sorted(times))
    assert found.step == min(max([0, *steps]), 2**63 - 1)
    assert found[8:] == (arrivals[0], arrivals[-1], max([0, *pauses]))


def test_a_table_that_is_cut_off_is_no_run():
    with pytest.raises(ValueError, match="25 bytes are no whole number of samples"):
        restamp.survey(Run(0, bytes(25), b""))
