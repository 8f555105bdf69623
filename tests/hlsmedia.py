"""Looks into the media that a playlist lists: are they what it says, and does their time go on?

Strategy: parts and segments come here in the order they are listed, each once. Where the media of each track ended is
remembered from one to the next within a discontinuity; a segment whose parts have been seen is only compared with them.
What is wrong is reported to the playlist that listed it.

Spec: draft-pantos-hls-rfc8216bis-22 3.1.2, 3.2, 4.4.4.1, 4.4.4.3, 4.4.4.9; ISO/IEC 14496-12 8.8 (tfdt, trun).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from hlslines import ROUNDING, Part, Playlist, Segment
from real.mp4 import Sample, TrackHeader, read_init, read_media

#: Samples by track, each with its bytes.
Runs = dict[int, list[tuple[Sample, bytes]]]


@dataclass(slots=True)
class _Chain:
    """Where the media of each track ended, in ticks."""

    ends: dict[int, int] = field(default_factory=dict)
    gap: Decimal = Decimal(0)  # seconds since then without media
    dsn: int | None = None

    def copy(self) -> _Chain:
        return _Chain(dict(self.ends), self.gap, self.dsn)


class Media:
    """The media of one playlist.

    Args:
        fetch: the bytes at a URI, None where they cannot be had.

    Attributes:
        on_sample: told of each sample of each closed segment: its track, its discontinuity sequence number, itself and
            its bytes.
    """

    def __init__(self, fetch: Callable[[str], bytes | None]) -> None:
        self.on_sample: Callable[[TrackHeader, int, Sample, bytes], None] | None = None
        self.segments = 0  # and parts: looked into
        self.parts = 0
        self.furthest_offset = 0.0  # seconds between a sample's decode time and its presentation time
        self.least_offset = 0.0  # the same, where it is decoded after it is presented, as a negative number
        self.furthest_track = 0.0  # seconds between the ends of two tracks
        self._fetch = fetch
        self._inits: dict[str, dict[int, TrackHeader] | None] = {}
        self._tracks: dict[int, list[tuple[int, str, int]]] = {}  # by discontinuity sequence number
        self._chain = _Chain()
        self._chain_before = _Chain()  # where the open segment began
        self._samples: Runs = {}  # of the open segment's parts
        self._open: int | None = None  # its media sequence number
        self._closed: int | None = None  # media sequence number of the last segment that came here

    def part(self, playlist: Playlist, segment: Segment, part: Part) -> None:
        """A part that is new."""
        if segment.msn != self._open:
            self._open, self._samples = segment.msn, {}
        self._enter(segment)
        if part.is_gap:
            self._chain.gap += part.duration
            return
        self.parts += 1
        runs = self._read(playlist, segment, part.uri, part.line)
        if runs is None:
            return
        self._times(playlist, segment, runs, part.duration, part.line)
        samples = runs.get(self._leader(segment), [])
        if part.is_independent and not (samples and samples[0][0].is_sync):
            playlist.report("independent-wrong", "it starts with another sample", part.line)
        if not part.is_independent and any(sample.is_sync for sample, _ in samples):
            rule = "independent-missing" if samples[0][0].is_sync else "independent-inside"
            playlist.report(rule, "it has a sync sample", part.line)
        for track, found in runs.items():
            self._samples.setdefault(track, []).extend(found)

    def close(self, playlist: Playlist, segment: Segment, with_parts: bool) -> None:
        """A segment that is new; `with_parts`: all of its parts came here before it."""
        assert segment.uri is not None
        parts, self._samples = self._samples, {}
        if not with_parts:
            self._chain = self._chain_before.copy()
        self._enter(segment)
        if segment.is_gap:
            if not with_parts:
                self._chain.gap += segment.duration
        else:
            self.segments += 1
            runs = self._read(playlist, segment, segment.uri, segment.line)
            if runs is not None:
                self._close(playlist, segment, runs, parts if with_parts else None)
        self._chain_before, self._closed = self._chain.copy(), segment.msn

    def _close(self, playlist: Playlist, segment: Segment, runs: Runs, parts: Runs | None) -> None:
        if parts is None:
            self._times(playlist, segment, runs, segment.duration, segment.line)
        else:
            ours = {track: [_what(sample) for sample in samples] for track, samples in runs.items()}
            theirs = {track: [_what(sample) for sample in samples] for track, samples in parts.items()}
            if ours != theirs:
                counts = [{track: len(found) for track, found in which.items()} for which in (ours, theirs)]
                playlist.report("parts-differ", f"samples {counts[0]}, its parts {counts[1]}", segment.line)
        tracks = self._inits[segment.init or ""] or {}
        for number, found in runs.items():
            for sample, data in found if self.on_sample is not None else ():
                self.on_sample(tracks[number], segment.dsn, sample, data)
        samples = runs.get(self._leader(segment))
        if playlist.is_independent and samples and not samples[0][0].is_sync:
            playlist.report("independent-segments", "it does not", segment.line)

    def _read(self, playlist: Playlist, segment: Segment, uri: str, line: int) -> Runs | None:
        tracks = self._init(playlist, segment)
        data = self._fetch(uri)
        if data is None:
            playlist.report("not-available", uri, line)
            return None
        if tracks is None:
            return None
        try:
            fragments = read_media(data, tracks)
        except (ValueError, KeyError, IndexError) as error:
            playlist.report("media", f"{uri}: {error!r}", line)
            return None
        runs: Runs = {}
        payload, position = _payload(data), 0
        for fragment in fragments:
            for track, samples in fragment.samples.items():
                run = runs.setdefault(track, [])
                for sample in samples:
                    if run and sample.dts != run[-1][0].dts + run[-1][0].duration:
                        playlist.report("timestamps", f"{uri}, track {track}: {sample.dts} within it", line)
                    run.append((sample, payload[position : position + sample.size]))
                    position += sample.size
        return runs

    def _init(self, playlist: Playlist, segment: Segment) -> dict[int, TrackHeader] | None:
        uri = segment.init
        if uri is None:
            return None
        if uri not in self._inits:
            data = self._fetch(uri)
            self._inits[uri] = None
            if data is None:
                playlist.report("not-available", uri, segment.line)
                return None
            try:
                self._inits[uri] = read_init(data)
            except (ValueError, KeyError, IndexError) as error:
                playlist.report("media", f"{uri}: {error!r}", segment.line)
        tracks = self._inits[uri]
        if tracks is not None:
            kinds = [(number, track.handler, track.timescale) for number, track in tracks.items()]
            if self._tracks.setdefault(segment.dsn, kinds) != kinds:
                playlist.report("tracks", f"{kinds}, they were {self._tracks[segment.dsn]}", segment.line)
                self._tracks[segment.dsn] = kinds
        return tracks

    def _leader(self, segment: Segment) -> int:
        """The track whose time the playlist tells: video where there is any."""
        tracks = self._inits.get(segment.init or "") or {}
        return next((n for n, track in tracks.items() if track.handler == "vide"), min(tracks, default=0))

    def _enter(self, segment: Segment) -> None:
        unseen = self._closed is not None and segment.msn != self._closed + 1
        if self._chain.dsn != segment.dsn or unseen:
            self._chain = _Chain(dsn=segment.dsn)

    def _times(self, playlist: Playlist, segment: Segment, runs: Runs, duration: Decimal, line: int) -> None:
        tracks = self._inits[segment.init or ""] or {}
        chain = self._chain
        for number, samples in runs.items():
            if not samples:
                continue
            rate = tracks[number].timescale
            expected = chain.ends.get(number)
            start = samples[0][0].dts
            if expected is not None:
                off = Decimal(start - expected) / rate - chain.gap
                if abs(off) * rate > (1 if chain.gap else 0):
                    playlist.report("timestamps", f"track {number} {off:+.5f} s from where it ended", line)
            chain.ends[number] = samples[-1][0].dts + samples[-1][0].duration
            furthest = max(abs(sample.offset) for sample, _ in samples)
            self.furthest_offset = max(self.furthest_offset, furthest / rate)
            self.least_offset = min(self.least_offset, min(sample.offset for sample, _ in samples) / rate)
        chain.gap = Decimal(0)
        ends = [end / tracks[number].timescale for number, end in chain.ends.items()]
        self.furthest_track = max(self.furthest_track, max(ends, default=0.0) - min(ends, default=0.0))
        leader = self._leader(segment)
        total = sum(sample.duration for sample, _ in runs.get(leader, []))
        seconds = Decimal(total) / tracks[leader].timescale
        if abs(seconds - duration) > ROUNDING:
            playlist.report("duration", f"{duration} s, its media last {seconds:.6f}", line)


def _what(sample: tuple[Sample, bytes]) -> tuple[object, ...]:
    found, data = sample
    return found.dts, found.duration, found.offset, found.is_sync, data


def _payload(data: bytes) -> bytes:
    """What lies in the mdat boxes, one behind the other."""
    payload, at = [], 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"mdat":
            payload.append(data[at + 8 : at + size])
        at += max(size, 8)
    return b"".join(payload)
