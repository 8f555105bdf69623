"""What a segmenter makes: init sections, fragments, parts, segments; and what it counts. No logic.

Durations are microseconds, dates Unix microseconds. Durations of consecutive parts and segments are differences
of one rounded time, so that the parts of a segment add up to it exactly. Named tuples, for several of them are
made of each part of each camera.

Spec: draft-pantos-hls-rfc8216bis 3 (segments), 4.4.4.7 (gap), 4.4.4.9 (part).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rtspkit.media import Track

__all__ = ["InitSection", "Output", "Part", "PartData", "Segment", "SegmentData", "SegmenterStats"]


class Part(NamedTuple):
    """One part of a segment, as the playlist needs it.

    Attributes:
        number: counts the parts of the muxer that have media; of a gap, the number of the part behind it.
        duration: microseconds.
        is_independent: it starts with a sync sample.
        is_gap: there are no media in it.
    """

    number: int
    duration: int
    is_independent: bool
    is_gap: bool = False


class Segment(NamedTuple):
    """One segment, as the playlist needs it.

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
        is_gap: there are no media in it.
        parts: it consists of; none where it was not made of parts.
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
    is_gap: bool = False
    parts: tuple[Part, ...] = ()


class InitSection(NamedTuple):
    """A new init section: what comes next refers to it."""

    number: int
    data: bytes
    tracks: tuple[Track, ...]


class SegmentData(NamedTuple):
    """One fMP4 fragment of the segment that is open."""

    msn: int
    data: bytes


class PartData(NamedTuple):
    """A part of the open segment is whole; its fragments have been given out as `SegmentData` before.

    Attributes:
        part: as the playlist needs it.
        data: its fragments, none of a gap.
    """

    part: Part
    data: tuple[bytes, ...]


Output = InitSection | SegmentData | PartData | Segment


@dataclass(slots=True)
class SegmenterStats:
    """What happened so far. Bad media are counted here and nowhere raised.

    Attributes:
        fragments: written.
        awaiting_sync: fragments not written because nothing can be shown before a sync sample.
        dropped_fragments: not written: of other tracks, without parameter sets, or not to be read.
        dropped_units: audio units left out because their time was taken already or far off.
        silent_units: made where announced audio did not come.
        restamped_units: whose time was far from their neighbours', or that came while their clock was wrong.
        discontinuities: since the start, whatever their cause.
        time_jumps: discontinuities, and shifts of time without one, that a jump of the timestamps caused.
        gaps: segments without media, written while none came.
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
    gaps: int = 0
    last_error: str | None = None
