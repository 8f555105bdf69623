"""A small reader of fragmented MP4 (ISO/IEC 14496-12), written apart from the writer it judges."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf", b"edts"}


@dataclass
class Sample:
    """One sample; times in ticks of its track's timescale."""

    dts: int
    duration: int
    size: int
    is_sync: bool
    offset: int

    @property
    def pts(self) -> int:
        return self.dts + self.offset


@dataclass
class TrackHeader:
    """What `moov` says of one track; the defaults are those of `trex`."""

    handler: str = ""
    timescale: int = 0
    format: str = ""
    width: int = 0
    height: int = 0
    default_duration: int = 0
    default_size: int = 0
    default_flags: int = 0


@dataclass
class MovieFragment:
    """One `moof` with its `mdat`: samples by track ID."""

    sequence: int = 0
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    mdat_size: int = 0


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each box; ValueError where the sizes do not add up."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError(f"{len(data) - at} bytes left over at {at}")
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if size < head or at + size > len(data):
            raise ValueError(f"box {kind!r} at {at} has size {size}, {len(data) - at} bytes are there")
        yield kind, data[at + head : at + size]
        at += size


def _find(data: bytes, *path: bytes) -> list[bytes]:
    found = [data]
    for kind in path:
        found = [content for outer in found for name, content in boxes(outer) if name == kind]
    return found


def read_init(data: bytes) -> dict[int, TrackHeader]:
    """The tracks an init section describes, by track ID."""
    kinds = [kind for kind, _ in boxes(data)]
    if kinds[:1] != [b"ftyp"] or b"moov" not in kinds:
        raise ValueError(f"an init section is ftyp and moov, this is {kinds}")
    tracks: dict[int, TrackHeader] = {}
    for trak in _find(data, b"moov", b"trak"):
        header = TrackHeader()
        (tkhd,) = _find(trak, b"tkhd")
        wide = tkhd[0] == 1
        (track_id,) = struct.unpack_from(">I", tkhd, 20 if wide else 12)
        header.width, header.height = (value >> 16 for value in struct.unpack(">II", tkhd[-8:]))
        (mdhd,) = _find(trak, b"mdia", b"mdhd")
        (header.timescale,) = struct.unpack_from(">I", mdhd, 20 if mdhd[0] == 1 else 12)
        (hdlr,) = _find(trak, b"mdia", b"hdlr")
        header.handler = hdlr[8:12].decode()
        (stsd,) = _find(trak, b"mdia", b"minf", b"stbl", b"stsd")
        header.format = stsd[12:16].decode()
        tracks[track_id] = header
    for trex in _find(data, b"moov", b"mvex", b"trex"):
        track_id, _, duration, size, flags = struct.unpack_from(">5I", trex, 4)
        track = tracks[track_id]
        track.default_duration, track.default_size, track.default_flags = duration, size, flags
    return tracks


def read_media(data: bytes, tracks: dict[int, TrackHeader]) -> list[MovieFragment]:
    """The fragments of a segment, in order. ValueError where it is not moof and mdat, again and again."""
    fragments: list[MovieFragment] = []
    for kind, content in boxes(data):
        if kind == b"moof":
            fragments.append(_read_fragment(content, tracks))
        elif kind == b"mdat":
            fragments[-1].mdat_size = len(content)
            wanted = sum(sample.size for run in fragments[-1].samples.values() for sample in run)
            if wanted != len(content):
                raise ValueError(f"mdat has {len(content)} bytes, its samples {wanted}")
        elif kind not in (b"styp", b"sidx", b"prft", b"emsg"):
            raise ValueError(f"a segment has no box {kind!r}")
    if not fragments:
        raise ValueError("a segment without a fragment")
    return fragments


def _read_fragment(moof: bytes, tracks: dict[int, TrackHeader]) -> MovieFragment:
    fragment = MovieFragment()
    (mfhd,) = _find(moof, b"mfhd")
    (fragment.sequence,) = struct.unpack_from(">I", mfhd, 4)
    for traf in _find(moof, b"traf"):
        (tfhd,) = _find(traf, b"tfhd")
        flags, track_id = struct.unpack_from(">II", tfhd)
        track = tracks[track_id]
        defaults = [track.default_duration, track.default_size, track.default_flags]
        at = 8 + 8 * bool(flags & 0x1) + 4 * bool(flags & 0x2)
        for index, bit in enumerate((0x8, 0x10, 0x20)):
            if flags & bit:
                (defaults[index],) = struct.unpack_from(">I", tfhd, at)
                at += 4
        (tfdt,) = _find(traf, b"tfdt")
        (dts,) = struct.unpack_from(">Q" if tfdt[0] == 1 else ">I", tfdt, 4)
        run = fragment.samples.setdefault(track_id, [])
        for trun in _find(traf, b"trun"):
            dts = _read_run(trun, dts, defaults, run)
    return fragment


def _read_run(trun: bytes, dts: int, defaults: list[int], run: list[Sample]) -> int:
    version = trun[0]
    flags, count = struct.unpack_from(">II", trun)
    flags &= 0xFFFFFF
    at = 8 + 4 * bool(flags & 0x1)
    first_flags = None
    if flags & 0x4:
        (first_flags,) = struct.unpack_from(">I", trun, at)
        at += 4
    for index in range(count):
        values = [*defaults, 0]
        for place, bit in enumerate((0x100, 0x200, 0x400, 0x800)):
            if flags & bit:
                signed = place == 3 and version == 1
                (values[place],) = struct.unpack_from(">i" if signed else ">I", trun, at)
                at += 4
        duration, size, sample_flags, offset = values
        if index == 0 and first_flags is not None:
            sample_flags = first_flags
        run.append(Sample(dts, duration, size, not sample_flags & 0x10000, offset))
        dts += duration
    if at != len(trun):
        raise ValueError(f"trun has {len(trun)} bytes, its samples need {at}")
    return dts
