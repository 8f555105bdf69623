"""Runs of samples whose times cannot be taken as they are: read, trimmed, restamped, split.

Strategy: the muxer looks at a run's times with one call (`survey`) and goes on where they are in order.
Only where they are not does anything here unpack single samples: a lone sample stamped seconds away from
its neighbours gets the time after the one before it, three in a row are believed and split the run, and
a run longer than a segment may be is split where that is reached. Media are never copied: the pieces
are views of the same buffers.

Which cameras: Intelbras stamps single access units hours away; others jump when their clock is set.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from rtspkit import _fmp4
from rtspkit.media import SAMPLE, SAMPLE_SIZE, Run

__all__ = [
    "Piece",
    "Survey",
    "chosen",
    "contiguous",
    "drop_before",
    "join",
    "pieces",
    "split",
    "spread",
    "survey",
    "times_of",
]

_SYNC = 1
#: Samples that agree with each other on a far-off time before it is believed.
_BELIEVED = 3


class Piece(NamedTuple):
    """A part of a run whose times hold together.

    Attributes:
        run: its samples, restamped where needed, and their media.
        is_sync: the first of them is a sync sample.
        next_pts: pts of the sample behind the piece, None where that is in another time or unknown.
    """

    run: Run
    is_sync: bool
    next_pts: int | None


class Survey(NamedTuple):
    """What the times of a run look like.

    Attributes:
        units: samples.
        size: bytes that they announce.
        first, last: pts of the first and the last sample, in ticks.
        low, high: the least and the greatest.
        step: the longest distance from one sample to the next.
        is_ordered: no pts is less than the one before it.
        arrival, last_arrival: monotonic ns at which the first and the last came.
        pause: the longest distance of two arrivals, ns.
    """

    units: int
    size: int
    first: int
    last: int
    low: int
    high: int
    step: int
    is_ordered: bool
    arrival: int
    last_arrival: int
    pause: int


def survey(run: Run) -> Survey:
    """Look at the times of a run.

    Raises:
        ValueError: the table is no whole number of sample records.
    """
    return tuple.__new__(Survey, _fmp4.survey(run.samples))


def times_of(run: Run) -> list[int]:
    """The pts of each sample in ticks, in the order of the run.

    Raises:
        ValueError: the table is no whole number of sample records.
    """
    table = memoryview(run.samples)
    if table.nbytes % SAMPLE_SIZE:
        raise ValueError(f"{table.nbytes} bytes are no whole number of samples")
    if not table.nbytes:
        return []
    times: list[int] = table.cast("B").cast("q")[:: SAMPLE_SIZE // 8].tolist()
    return times


def drop_before(run: Run, pts: int) -> tuple[Run | None, int]:
    """Leave out the leading samples that are earlier than `pts`.

    Returns:
        what is left (None where nothing is), and how many samples were left out.
    """
    size = count = 0
    for sample_pts, _arrival, sample_size, _flags in SAMPLE.iter_unpack(run.samples):
        if sample_pts >= pts:
            samples = memoryview(run.samples).cast("B")[count * SAMPLE_SIZE :]
            return Run(run.track, samples, memoryview(run.data).cast("B")[size:]), count
        size += sample_size
        count += 1
    return None, count


def join(first: Run, second: Run) -> Run:
    """One run of two of the same track."""
    return Run(first.track, b"".join((first.samples, second.samples)), b"".join((first.data, second.data)))


def contiguous(run: Run, unit: int, *, first: int | None = None) -> Run:
    """Give each sample of a run the time behind the one before it.

    Args:
        run: at least one sample.
        unit: what one sample lasts, in ticks.
        first: pts of the first; None: it keeps its own.
    """
    samples = bytearray(memoryview(run.samples).cast("B"))
    if first is None:
        first = SAMPLE.unpack_from(samples)[0]
    for index in range(len(samples) // SAMPLE_SIZE):
        struct.pack_into("=q", samples, index * SAMPLE_SIZE, first + index * unit)
    return Run(run.track, samples, run.data)


def split(
    run: Run, *, expected: int | None, unit: int, step: int, longest: int, next_pts: int | None, seen: int
) -> tuple[list[Piece], int, int]:
    """Restamp lone outliers, then split the run where its time jumps and where a piece would become too long.

    Args:
        run: at least one sample, of video.
        expected: the pts that would follow the run before; None where time starts anew.
        unit: what one sample usually lasts, in ticks.
        step: ticks between neighbours beyond which one of them is wrong.
        longest: ticks a piece may span, with the time of its last sample.
        next_pts: pts of the sample behind the run, None where unknown.
        seen: how many samples before this run were restamped in a row.

    Returns:
        the pieces in order, how many samples were restamped, and how many at the end of the run in a row.
    """
    records = [list(record) for record in SAMPLE.iter_unpack(run.samples)]
    times = [record[0] for record in records]
    breaks = {0}
    restamped = 0
    if expected is None:
        # whom to believe at the start: the first one that the next agrees with
        start = next((i for i in range(len(times) - 1) if abs(times[i + 1] - times[i]) <= step), 0)
        expected = times[start] - start * unit
    previous = expected - unit
    for i, pts in enumerate(times):
        if abs(pts - previous) <= step + unit:
            seen = 0
        else:
            agreeing = 1
            while agreeing < _BELIEVED and i + agreeing < len(times) and abs(times[i + agreeing] - pts) <= step:
                agreeing += 1
            if agreeing + seen >= _BELIEVED:
                breaks.add(i)
                seen = 0
            else:
                records[i][0] = times[i] = previous + unit
                restamped += 1
                seen += 1
        previous = times[i]

    starts = [0]
    low = high = times[0]
    for i in range(1, len(times)):
        low, high = min(low, times[i]), max(high, times[i])
        # the last sample of a piece lasts as long as the mean of it
        if i in breaks or (high - low) * (i - starts[-1] + 1) // (i - starts[-1]) >= longest:
            starts.append(i)
            low = high = times[i]
    samples = b"".join(SAMPLE.pack(*record) for record in records)
    stops = [*starts[1:], len(records)]
    found = []
    runs = pieces(Run(run.track, samples, run.data), [stop - start for start, stop in zip(starts, stops, strict=True)])
    for start, stop, piece in zip(starts, stops, runs, strict=True):
        following = next_pts if stop == len(records) else None if stop in breaks else times[stop]
        found.append(Piece(piece, bool(records[start][3] & _SYNC), following))
    return found, restamped, seen


def spread(run: Run, ends: Sequence[int]) -> list[Run | None]:
    """Split a run by time; None where a piece has nothing.

    Args:
        run: samples of a track, in order of time.
        ends: where each piece ends, in ticks from the first sample on; the last piece has all that is left.
    """
    times = times_of(run)
    stops = [bisect_left(times, times[0] + end) for end in ends[:-1]] if times else [0] * (len(ends) - 1)
    counts = [stop - start for start, stop in pairwise([0, *stops, len(times)])]
    return [piece if count else None for piece, count in zip(pieces(run, counts), counts, strict=True)]


def pieces(run: Run, counts: Sequence[int]) -> list[Run]:
    """Split a run after so many samples, and so many …; media are not copied.

    Raises:
        ValueError: the samples announce other media than there are.
    """
    samples, data = memoryview(run.samples).cast("B"), memoryview(run.data).cast("B")
    sizes: list[int] = samples.cast("I")[4 :: SAMPLE_SIZE // 4].tolist()
    runs = []
    index = offset = 0
    for count in counts:
        size = sum(sizes[index : index + count])
        table = samples[index * SAMPLE_SIZE : (index + count) * SAMPLE_SIZE]
        runs.append(Run(run.track, table, data[offset : offset + size]))
        index, offset = index + count, offset + size
    if offset != len(data):
        raise ValueError(f"the samples announce {offset} bytes, but there are {len(data)}")
    return runs


def chosen(run: Run, places: Sequence[bool]) -> Run:
    """The run with those of its samples only for which `places`, one for each of them, says so."""
    left = [piece for piece, is_wanted in zip(pieces(run, [1] * len(places)), places, strict=True) if is_wanted]
    return Run(run.track, b"".join(piece.samples for piece in left), b"".join(piece.data for piece in left))
