"""A small, strict reader of MP4 boxes, for tests: what a player would find in what was written.

Whatever does not add up (a box past its parent's end, rows past their box, media outside of mdat) fails with an
AssertionError; it shares no code with the writer.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"mvex", b"moof", b"traf"}
#: Fixed fields between a box's header and its children.
_PREFIXES = {b"stsd": 8, b"dref": 8, b"avc1": 78, b"hvc1": 78, b"mp4a": 28, b"Opus": 28, b"fLaC": 28}


@dataclass
class Box:
    kind: bytes
    start: int
    size: int
    payload: bytes
    children: list["Box"] = field(default_factory=list)

    def all(self, path: str) -> "list[Box]":
        """The boxes at `path` ("trak/mdia"), below this one."""
        found = [self]
        for name in path.split("/"):
            found = [child for box in found for child in box.children if child.kind == name.encode()]
        return found

    def one(self, path: str) -> "Box":
        """The only box at `path`."""
        found = self.all(path)
        assert len(found) == 1, f"{len(found)} boxes at {path}"
        return found[0]

    def paths(self, parent: str = "") -> Iterator[str]:
        for child in self.children:
            path = f"{parent}/{child.kind.decode()}"
            yield path
            yield from child.paths(path)


def parse(data: bytes) -> Box:
    """All boxes of `data`, below a nameless one."""
    root = Box(b"", 0, len(data), data)
    root.children = _parse(data, 0, len(data))
    return root


def _parse(data: bytes, position: int, end: int) -> list[Box]:
    boxes = []
    while position < end:
        assert end - position >= 8, "a box header runs past the end"
        size, kind = struct.unpack_from(">I4s", data, position)
        assert 8 <= size <= end - position, f"{kind!r} of {size} bytes runs past the end"
        box = Box(kind, position, size, data[position + 8 : position + size])
        if kind in _CONTAINERS or kind in _PREFIXES:
            box.children = _parse(data, position + 8 + _PREFIXES.get(kind, 0), position + size)
        boxes.append(box)
        position += size
    return boxes


@dataclass
class Sample:
    dts: int
    duration: int
    size: int
    flags: int
    composition_offset: int
    data: bytes

    @property
    def is_sync(self) -> bool:
        return not self.flags & 0x10000

    @property
    def pts(self) -> int:
        return self.dts + self.composition_offset


@dataclass
class TrackRun:
    track_id: int
    dts: int
    trun_flags: int
    samples: list[Sample]

    @property
    def end(self) -> int:
        return self.dts + sum(sample.duration for sample in self.samples)


@dataclass
class MovieFragment:
    start: int
    sequence_number: int
    runs: list[TrackRun]


def fragments(data: bytes) -> list[MovieFragment]:
    """The movie fragments of `data`, each of a moof and an mdat; other boxes before them are passed over."""
    found = []
    boxes = parse(data).children
    for moof, mdat in pairwise(boxes):
        if moof.kind != b"moof":
            continue
        assert mdat.kind == b"mdat"
        version, sequence_number = struct.unpack(">II", moof.one("mfhd").payload)
        assert version == 0
        runs = [_run(data, moof, mdat, traf) for traf in moof.all("traf")]
        total = sum(sample.size for run in runs for sample in run.samples)
        assert total == mdat.size - 8, "mdat holds more than the samples"
        found.append(MovieFragment(moof.start, sequence_number, runs))
    return found


def _run(data: bytes, moof: Box, mdat: Box, traf: Box) -> TrackRun:
    tfhd_flags, track_id = struct.unpack(">II", traf.one("tfhd").payload)
    assert tfhd_flags == 0x020000, "default-base-is-moof and nothing else"
    version, dts = struct.unpack(">IQ", traf.one("tfdt").payload)
    assert version == 0x01000000
    rows = traf.one("trun").payload
    flags, count, data_offset = struct.unpack_from(">IIi", rows)
    assert flags >> 24 == 1
    flags &= 0xFFFFFF
    assert flags in {0x701, 0xF01}
    layout = struct.Struct(">IIIi" if flags & 0x800 else ">III")
    assert len(rows) == 12 + count * layout.size
    run = TrackRun(track_id, dts, flags, [])
    position, time = moof.start + data_offset, dts
    for row in layout.iter_unpack(rows[12:]):
        duration, size, sample_flags, offset = row if len(row) == 4 else (*row, 0)
        assert mdat.start + 8 <= position
        assert position + size <= mdat.start + mdat.size
        run.samples.append(Sample(time, duration, size, sample_flags, offset, data[position : position + size]))
        position += size
        time += duration
    return run
