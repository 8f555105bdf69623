"""`rtspkit.fmp4.write_fragment` in plain Python, written to be read: the oracle for the compiled one."""

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

UINT32_MAX = 0xFFFFFFFF
TIME_LIMIT = 1 << 61


class Row(NamedTuple):
    duration: int
    size: int
    flags: int
    composition_offset: int


def clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def box(kind: bytes, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def pack_samples(samples: Sequence[tuple[int, int, int]]) -> bytes:
    """(pts, size, flags) of each sample as packed records; arrival is 0."""
    return b"".join(struct.pack("=qqII", pts, 0, size, flags) for pts, size, flags in samples)


Run = tuple[int, int, int, int, int, bytes, bytes, int] | tuple[int, int, int, int, int, bytes, bytes, int, bool]


def plan(run: Run) -> tuple[list[Row], int]:
    """The rows of a run, and the decode time at which it ends."""
    _, dts, shift, end, default_duration, samples, data, delay, *is_even = run
    if len(samples) % 24:
        raise ValueError("not a whole number of records")
    records = list(struct.iter_unpack("=qqII", samples))
    if not (0 <= dts <= TIME_LIMIT and abs(shift) <= TIME_LIMIT and end <= TIME_LIMIT and 0 <= delay <= TIME_LIMIT):
        raise ValueError("time")
    if any(abs(pts) > TIME_LIMIT for pts, _, _, _ in records):
        raise ValueError("time")
    if sum(size for _, _, size, _ in records) != len(data):
        raise ValueError("sizes")
    if not records:
        return [], dts
    shown = [pts + shift for pts, _, _, _ in records]
    decoded = [dts]
    steps = sorted(shown)
    if any(is_even) and end > dts:
        steps = [dts + (end - dts) * number // len(shown) for number in range(len(shown))]
    for number, shown_at in enumerate(steps[1:], 1):
        time = shown_at if end < 0 else min(shown_at, end - (len(shown) - number))
        decoded.append(clamp(time, decoded[-1] + 1, decoded[-1] + UINT32_MAX))
    if end < 0:
        last = decoded[-1] - decoded[-2] if len(decoded) > 1 else clamp(default_duration, 1, UINT32_MAX)
        end = decoded[-1] + last
    decoded.append(clamp(end, decoded[-1] + 1, decoded[-1] + UINT32_MAX))
    rows = [
        Row(
            following - time,
            size,
            0x02000000 if flags & 1 else 0x01010000,
            clamp(pts + delay - time, -(1 << 31), (1 << 31) - 1),
        )
        for (time, following), pts, (_, _, size, flags) in zip(pairwise(decoded), shown, records, strict=True)
    ]
    return rows, decoded[-1]


def write_fragment(sequence_number: int, runs: Sequence[Run]) -> tuple[bytes, tuple[int, ...]]:
    plans = [plan(run) for run in runs]

    def moof(offsets: Sequence[int]) -> bytes:
        trafs = []
        for (track_id, dts, *_), (rows, _), offset in zip(runs, plans, offsets, strict=True):
            has_offsets = any(row.composition_offset for row in rows)
            table = b"".join(struct.pack(">IIIi", *row)[: 16 if has_offsets else 12] for row in rows)
            trafs.append(
                box(
                    b"traf",
                    box(b"tfhd", struct.pack(">II", 0x020000, track_id)),
                    box(b"tfdt", struct.pack(">IQ", 0x01000000, dts)),
                    box(
                        b"trun",
                        struct.pack(">IIi", 0x01000000 | (0xF01 if has_offsets else 0x701), len(rows), offset),
                        table,
                    ),
                )
            )
        return box(b"moof", box(b"mfhd", struct.pack(">II", 0, sequence_number)), *trafs)

    offsets = [len(moof([0] * len(runs))) + 8]  # the offsets have no say in the size
    for run in runs:
        offsets.append(offsets[-1] + len(run[6]))
    fragment = moof(offsets[:-1]) + box(b"mdat", *(run[6] for run in runs))
    return fragment, tuple(end for _, end in plans)
