"""Muxer: one camera's media in, everything a viewer may ask for out. Sans-IO.

Strategy: the `Segmenter` decides, the `Store` holds bytes, this class keeps the window (what the playlist
lists and what has left it but is still to be had) and answers `get`. Playlists are made when somebody asks
for one that has changed, once, with their ETag and their gzip form, and handed to every viewer alike.
Nothing here waits: `get` returns None for "not yet", and `subscribe` tells when to ask again.

The media sequence starts at the Unix seconds of the muxer's start. A segment lasts a second or more, so a
muxer made later for the same URL, by a restart for example, never goes back. The discontinuity sequence
starts at the ten-minute spans since 2026 began, and must stay that small: hls.js 1.7 keeps a sparse array by
this number and walks it from 0 at each playlist, which at Unix seconds freezes the page for minutes.

Spec: draft-pantos-hls-rfc8216bis 6.2.1, 6.2.2 (what may leave a live playlist, and when its media may go).
"""

from __future__ import annotations

import gzip
import hashlib
import re
import secrets
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rtspkit import playlist
from rtspkit.errors import LocalProtocolError, RtspkitError
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.media import SAMPLE, AccessUnit, Fragment, Run, Track
from rtspkit.segmenter import InitSection, Output, Segment, SegmentData, Segmenter
from rtspkit.store import Body, MemoryStore, Store

__all__ = ["Continuation", "Muxer", "MuxerStats", "Response", "first_numbers"]

Headers = tuple[tuple[str, str], ...]

_EPOCH = re.compile(r"[0-9A-Za-z_-]{1,64}")
_NUMBER = r"(0|[1-9][0-9]{0,18})"
_MEDIA = re.compile(rf"(init|seg)_{_NUMBER}\.mp4")

_CONTENT_PLAYLIST = ("content-type", "application/vnd.apple.mpegurl")
_CONTENT_MEDIA = ("content-type", "video/mp4")
_CONTENT_TEXT = ("content-type", "text/plain; charset=utf-8")
_CACHE_MULTIVARIANT = ("cache-control", "public, max-age=10")
_CACHE_MEDIA = ("cache-control", "public, max-age=3600, immutable")
_CACHE_ERROR = ("cache-control", "max-age=1")

#: Bits a second announced before anything was measured: a 1080p camera at its usual setting.
_BANDWIDTH_GUESS = 4_000_000
#: Announced bandwidths are whole multiples of this, so that the text stays the same.
_BANDWIDTH_STEP = 100_000
#: `write_unit` closes a fragment of its own after this much media (s).
_FRAGMENT_DURATION = 1.0
_TIME = struct.Struct("=q")
#: Discontinuity numbers start at the spans (s) from this instant (Unix seconds: 2026-01-01) to the muxer's start.
_DISCONTINUITY_ORIGIN = 1_767_225_600
_DISCONTINUITY_SPAN = 600


def first_numbers(wall: float) -> tuple[int, int]:
    """Media sequence and discontinuity number of a muxer that starts at `wall` (Unix seconds)."""
    return int(wall), max(0, int(wall) - _DISCONTINUITY_ORIGIN) // _DISCONTINUITY_SPAN


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a muxer leaves to the one that takes its place under the same URL, after a restart too.

    Attributes:
        msn, discontinuity: the least numbers the other one may begin with.
        target_duration: seconds, to be kept; None where it was not fixed yet.
        part_target: microseconds, likewise; None without parts.
    """

    msn: int
    discontinuity: int
    target_duration: int | None = None
    part_target: int | None = None


@dataclass(frozen=True)
class Response:
    """What to answer a viewer.

    Attributes:
        status: HTTP status.
        headers: names in lower case.
        body: several buffers to send one behind the other, or a file.
        etag: validator of the body, in its quotes; None where there is none.
        gzipped: the body compressed; None where that does not pay.
    """

    status: int
    headers: Headers
    body: Body
    etag: str | None = None
    gzipped: bytes | None = None


@dataclass(slots=True)
class MuxerStats:
    """Figures of one muxer; those of bad media are in `Muxer.media_stats`.

    Attributes:
        started_at: monotonic seconds of its start.
        last_segment_at: monotonic seconds when the last segment was closed; None before the first.
        segments: closed so far.
        bytes: of media taken in, as they are sent.
    """

    started_at: float
    last_segment_at: float | None = None
    segments: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Pending:
    """What `write_unit` has collected of one track."""

    samples: list[bytes] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)


def error_response(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """An error as every viewer and cache is to see it: short-lived, one line of text."""
    body = f"{text}\n".encode()
    return Response(status, (_CONTENT_TEXT, _CACHE_ERROR, *headers), (body,))


class Muxer:
    """The HLS side of one camera, made anew when its list of codecs changes.

    Feed it `Fragment`s with `write`, or single access units with `write_unit`; ask `get` for what a viewer
    wants. It belongs to one thread at a time and never waits.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        *,
        segment_duration: float = 4.0,
        segment_count: int = 6,
        segment_max_size: int = DEFAULT_LIMITS.segment_size,
        part_duration: float | None = None,
        store: Store | None = None,
        epoch: str | None = None,
        continues: Continuation | None = None,
        first_msn: int | None = None,
        first_discontinuity: int | None = None,
        use_absolute_timestamp: bool = False,
        now: float,
        wall: float,
    ) -> None:
        """Start with an empty window.

        Args:
            tracks: of the camera; the first video and the first audio track are used.
            segment_duration: seconds a segment lasts at least; less than one counts as one, for media
                sequence numbers must not outrun the clock they start at.
            segment_count: segments listed; more are, where these last less than three target durations.
            segment_max_size: bytes after which a segment is cut.
            part_duration: seconds a part lasts; makes it Low-Latency HLS. None: without parts.
            store: where media lie; in memory if None. It belongs to this muxer, which closes it.
            epoch: the directory of the media's URLs; 128 random bits if None.
            continues: what the muxer left whose place this one takes.
            first_msn: first media sequence number; the Unix seconds of `wall` if None.
            first_discontinuity: first discontinuity number; the ten-minute spans from 2026 to `wall` if None.
                Neither may go back under one URL: see `next_numbers`.
            use_absolute_timestamp: date segments by the camera's own clock where it tells it.
            now: monotonic seconds.
            wall: Unix seconds of the same instant.

        Raises:
            LocalProtocolError: no track to use, or an argument out of its range.
        """
        if segment_count < 1 or segment_max_size < 1 or not 0 < segment_duration < 3600:
            raise LocalProtocolError("segments need a duration, a count and a size above 0 (and less than an hour)")
        self.epoch = secrets.token_hex(16) if epoch is None else epoch
        if not _EPOCH.fullmatch(self.epoch):
            raise LocalProtocolError(f"an epoch consists of letters, digits, - and _, at most 64; not {self.epoch!r}")
        usual_msn, usual_discontinuity = first_numbers(wall)
        if continues is not None:
            usual_msn = max(usual_msn, continues.msn)
            usual_discontinuity = max(usual_discontinuity, continues.discontinuity)
        self._segmenter = Segmenter(
            tracks,
            segment_duration=max(1.0, segment_duration),
            segment_max_size=segment_max_size,
            first_msn=usual_msn if first_msn is None else first_msn,
            first_discontinuity=usual_discontinuity if first_discontinuity is None else first_discontinuity,
            use_absolute_timestamp=use_absolute_timestamp,
        )
        self.stats = MuxerStats(started_at=now)
        #: What became of bad media; see `SegmenterStats`.
        self.media_stats = self._segmenter.stats
        self._segment_count = segment_count
        self._store: Store = MemoryStore() if store is None else store
        self._listed: deque[Segment] = deque()
        self._left: deque[tuple[Segment, int]] = deque()  # with the media time (microseconds) to forget it at
        self._listed_duration = 0
        self._init_tracks = self._segmenter.tracks
        self._inits: set[int] = set()
        self._bandwidth: tuple[int, int] | None = None  # announced: peak, average
        self._measured_frame_rate: float | None = None
        self._measured_anew = True  # the next segment's figures replace those of other parameters
        self._cache: dict[str, Response] = {}
        self._subscribers: list[Callable[[], None]] = []
        self._closed = False
        # write_unit: what waits to become a fragment
        self._pending: dict[int, _Pending] = {}
        self._pending_first: tuple[int, float] | None = None  # pts and clock_rate of the first unit
        self._pending_sync = self._pending_discontinuity = False
        self._pending_wall_clock: float | None = None
        self._unit_tracks = tuple(tracks)
        self._last_unit: int | None = None  # pts of the leading track's last
        self._clock = (now, wall)

    # -- media in -----------------------------------------------------------------------------------------

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks in use, with their latest parameters."""
        return self._segmenter.tracks

    @property
    def target_duration(self) -> int | None:
        """Seconds; None until the first segment has closed."""
        return self._segmenter.target_duration

    @property
    def continuation(self) -> Continuation:
        """What a muxer needs that takes this one's place under its URL."""
        msn, discontinuity = self._segmenter.next_numbers
        return Continuation(msn, discontinuity, self.target_duration)

    @property
    def next_numbers(self) -> tuple[int, int]:
        """The least `first_msn` and `first_discontinuity` of a muxer that takes this one's place under its URL."""
        return self._segmenter.next_numbers

    @property
    def has_media(self) -> bool:
        """Whether anything has been listed."""
        return bool(self._listed)

    @property
    def next_cut(self) -> int | None:
        """Where the next fragment should end: pts of the leading track; None where it does not matter."""
        return None

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout`, in monotonic seconds; None: not before the next `write`."""
        return None

    def handle_timeout(self, *, now: float, wall: float) -> None:
        """Write what the clock wants while no media come; does nothing where nothing is due."""

    def accepts(self, tracks: Sequence[Track]) -> bool:
        """Whether a camera with these tracks can go on here; if not, it needs a new muxer.

        Kinds, codecs and clock rates must be the same, parameter sets need not be.
        """
        return self._segmenter.accepts(tracks)

    def write(self, fragment: Fragment, *, now: float, wall: float) -> None:
        """Take a fragment. Bad media are counted (`media_stats`), never raised.

        Args:
            fragment: as the camera side makes it.
            now: monotonic seconds.
            wall: Unix seconds of the same instant.
        """
        if self._closed:
            return
        self._clock = (now, wall)
        had_playlist = self._has_parameters()
        self._take(self._segmenter.write(fragment, now=now, wall=wall))
        if self._left:
            self._forget()
        if not had_playlist and self._has_parameters():
            self._changed()

    def write_unit(self, unit: AccessUnit, *, now: float | None = None, wall: float | None = None) -> None:
        """Take one access unit; units become fragments at sync samples of video and after a second.

        Args:
            unit: in decoding order within its track.
            now: monotonic seconds; the unit's arrival, or media time since the last unit, if None.
            wall: Unix seconds of the same instant; reckoned from the start's if None.

        Raises:
            LocalProtocolError: the unit's pts is no integer of 64 bits, or its arrival no time. It is refused
                as if it had never been offered, and the next one may be good.
        """
        try:
            _TIME.pack(unit.pts)
        except struct.error:
            raise LocalProtocolError("a unit's pts has to be an integer (ticks of its clock_rate) of 64 bits") from None
        track = unit.track
        leader = next((t for t in self._segmenter.tracks if t.kind == "video"), self._segmenter.tracks[0])
        changed = track.index >= len(self._unit_tracks) or self._unit_tracks[track.index] != track
        leads = track.index == leader.index
        starts = leads and unit.is_sync and (track.kind == "video") and leader.index in self._pending
        full = (
            self._pending_first is not None
            and leads
            and (unit.pts - self._pending_first[0] >= _FRAGMENT_DURATION * self._pending_first[1])
        )
        old_now, old_wall = self._clock
        if now is None:
            now = unit.arrival or old_now
            if not unit.arrival and leads and self._last_unit is not None and not unit.discontinuity:
                # media that come from nowhere near a clock, a file perhaps: media time has to do
                now += min(max(0.0, (unit.pts - self._last_unit) / track.clock_rate), 10.0)
        flags = int(unit.is_sync) | int(unit.damaged) << 1
        try:
            sample = SAMPLE.pack(unit.pts, round((unit.arrival or now) * 1e9), len(unit.data), flags)
        except (struct.error, ValueError, OverflowError):
            raise LocalProtocolError("a unit's arrival has to be in seconds, and its data less than 4 GiB") from None
        if leads:
            self._last_unit = unit.pts
        if wall is None:
            wall = old_wall + (now - old_now)
        if changed or unit.discontinuity or starts or full:
            self._flush(now, wall, next_pts=None if unit.discontinuity or not leads else unit.pts)
        self._clock = (now, wall)
        if changed:
            tracks = list(self._unit_tracks)
            if track.index < len(tracks):
                tracks[track.index] = track
            else:
                tracks.append(track)
            self._unit_tracks = tuple(tracks)
        if leads and leader.index not in self._pending:
            self._pending_first = (unit.pts, track.clock_rate)
            self._pending_sync = unit.is_sync
        if not self._pending:
            self._pending_wall_clock = unit.wall_clock
        self._pending_discontinuity |= unit.discontinuity
        pending = self._pending.setdefault(track.index, _Pending())
        pending.samples.append(sample)
        pending.data.append(unit.data)

    def flush(self) -> None:
        """Make a fragment of the units that `write_unit` has collected."""
        self._flush(*self._clock, next_pts=None)

    def _flush(self, now: float, wall: float, next_pts: int | None) -> None:
        if not self._pending:
            return
        runs = tuple(
            Run(index, b"".join(pending.samples), b"".join(pending.data))
            for index, pending in sorted(self._pending.items())
        )
        fragment = Fragment(
            self._unit_tracks,
            runs,
            is_sync=self._pending_sync,
            discontinuity=self._pending_discontinuity,
            next_pts=next_pts,
            wall_clock=self._pending_wall_clock if runs[0].track == 0 else None,
        )
        self._pending = {}
        self._pending_first = None
        self._pending_sync = self._pending_discontinuity = False
        self.write(fragment, now=now, wall=wall)

    def interrupt(self) -> None:
        """The camera was lost: close the open segment; what follows starts with a discontinuity."""
        self.flush()
        if not self._closed:
            self._take(self._segmenter.interrupt())

    def close(self) -> None:
        """Forget everything; from now on `get` answers 503."""
        if not self._closed:
            self._closed = True
            self._store.close()
            self._listed.clear()
            self._left.clear()
            self._cache.clear()
            self._pending.clear()
            self._changed()

    # -- the window ---------------------------------------------------------------------------------------

    def _take(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case SegmentData():
                    self.stats.bytes += len(output.data)
                    self._store.append(f"seg_{output.msn}.mp4", output.data)
                case InitSection():
                    self._store.append(f"init_{output.number}.mp4", output.data)
                    self._store.commit(f"init_{output.number}.mp4")
                    self._inits.add(output.number)
                    if output.tracks != self._init_tracks:
                        self._init_tracks = output.tracks
                        self._measured_anew = True
                        self._cache.pop("index.m3u8", None)
                case Segment():
                    self._add(output)

    def _add(self, segment: Segment) -> None:
        self._store.commit(f"seg_{segment.msn}.mp4")
        self.stats.segments += 1
        self.stats.last_segment_at = self._clock[0]
        self._listed.append(segment)
        self._listed_duration += segment.duration
        shortest = 3 * (self.target_duration or 0) * 1_000_000
        while len(self._listed) > self._segment_count and self._listed_duration - self._listed[0].duration >= shortest:
            old = self._listed.popleft()
            self._listed_duration -= old.duration
            self._left.append((old, self._segmenter.media_time + old.duration))
        self._measure(segment)
        self._changed()

    def _forget(self) -> None:
        """Let go of segments that have left the list for as long as they lasted, and their init sections."""
        media_time = self._segmenter.media_time
        while self._left and self._left[0][1] <= media_time:
            self._store.remove(f"seg_{self._left.popleft()[0].msn}.mp4")
            oldest = self._left[0][0] if self._left else self._listed[0]
            for number in [number for number in self._inits if number < oldest.init]:
                self._inits.discard(number)
                self._store.remove(f"init_{number}.mp4")

    def _measure(self, segment: Segment) -> None:
        """Keep the announced bandwidth true; it is changed only where it is not."""
        if not segment.duration:
            return
        # a segment cut short (a discontinuity, the size limit) says little of the rate: draft 4.4.6.2 leaves
        # those out that last less than half a target
        if segment.duration < (self.target_duration or 0) * 500_000 and not self._measured_anew:
            return
        peak = segment.size * 8_000_000 // segment.duration
        size = sum(listed.size for listed in self._listed)
        average = size * 8_000_000 // max(1, self._listed_duration)
        if self._measured_anew:
            self._measured_frame_rate = segment.units * 1_000_000 / segment.duration
        if self._measured_anew or self._bandwidth is None or peak > self._bandwidth[0]:
            self._measured_anew = False
            # with room for the segments to come
            self._bandwidth = (_round_up(peak * 5 // 4), _round_up(average))
            self._cache.pop("index.m3u8", None)

    def _has_parameters(self) -> bool:
        return all(track.parameters is not None for track in self._segmenter.tracks)

    def _changed(self) -> None:
        self._cache.pop("stream.m3u8", None)
        for callback in tuple(self._subscribers):
            callback()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever there is something new to be had; it must not raise."""
        self._subscribers.append(callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Undo one `subscribe`; no error where there was none."""
        if callback in self._subscribers:
            self._subscribers.remove(callback)

    # -- answers out --------------------------------------------------------------------------------------

    def get(self, name: str, msn: int | None = None, part: int | None = None) -> Response | None:
        """What to answer to a request; None: not yet, ask again when subscribers are called.

        Args:
            name: relative to the muxer's URL: "index.m3u8", "stream.m3u8", "{epoch}/seg_7.mp4" …
            msn: `_HLS_msn`: checked, but not waited for: CAN-BLOCK-RELOAD is not offered.
            part: `_HLS_part`, likewise.
        """
        if self._closed:
            return error_response(503, "this stream has ended; it may come back", ("retry-after", "1"))
        if name == "stream.m3u8":
            return self._media_playlist(msn, part)
        if name == "index.m3u8":
            return self._multivariant_playlist()
        epoch, _, file = name.rpartition("/")
        match = _MEDIA.fullmatch(file)
        if match is None or not epoch:
            return error_response(404, "there is nothing of this name")
        if epoch != self.epoch:
            return error_response(503, "these media belong to an earlier run of the stream", ("retry-after", "1"))
        body = self._store.get(file)
        if body is None:
            return error_response(404, "this segment has expired, or never was")
        return Response(200, (_CONTENT_MEDIA, _CACHE_MEDIA), body, etag=f'"{epoch}/{file}"')

    def _media_playlist(self, msn: int | None, part: int | None) -> Response | None:
        if part is not None and msn is None:
            return error_response(400, "_HLS_part needs _HLS_msn")
        if not self._listed:
            return None
        if msn is not None and not 0 <= msn <= self._listed[-1].msn + 2:
            return error_response(400, "_HLS_msn is more than two segments ahead")
        response = self._cache.get("stream.m3u8")
        if response is None:
            target = self.target_duration or 1
            text = playlist.media_playlist(self._listed, target_duration=target, epoch=self.epoch)
            cache = ("cache-control", f"max-age=0, s-maxage={max(1, target // 2)}")
            response = self._playlist("stream.m3u8", text, cache)
        return response

    def _multivariant_playlist(self) -> Response | None:
        response = self._cache.get("index.m3u8")
        if response is not None:
            return response
        tracks = self._init_tracks if self._inits else self._segmenter.tracks
        bandwidth, average = self._bandwidth or (_BANDWIDTH_GUESS, None)
        try:
            text = playlist.multivariant_playlist(
                tracks,
                bandwidth=bandwidth,
                average_bandwidth=average,
                measured_frame_rate=self._measured_frame_rate,
            )
        except RtspkitError:
            return None  # the parameter sets have not come, or not in a form that can be read
        return self._playlist("index.m3u8", text, _CACHE_MULTIVARIANT)

    def _playlist(self, name: str, text: str, cache: tuple[str, str]) -> Response:
        body = text.encode()
        # weak: the gzip form has other bytes and the same meaning
        etag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers = (_CONTENT_PLAYLIST, cache, ("vary", "accept-encoding"))
        response = Response(200, headers, (body,), etag=etag, gzipped=gzip.compress(body, 6, mtime=0))
        self._cache[name] = response
        return response


def _round_up(bandwidth: int) -> int:
    return -(-bandwidth // _BANDWIDTH_STEP) * _BANDWIDTH_STEP
