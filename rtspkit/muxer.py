"""Muxer: one camera's media in, everything a viewer may ask for out. Sans-IO.

Strategy: the `Segmenter` decides, the `Store` holds bytes, the `Window` knows what is listed, and this class
answers `get`. Playlists are made when somebody asks for one that has changed, once, with their ETag and their
gzip form, and handed to every viewer alike. Nothing here waits: `get` returns None for "not yet", and
`subscribe` tells when to ask again. While no media come, `handle_timeout` keeps the playlist going.

The media sequence starts at the Unix seconds of the muxer's start. A segment lasts a second or more, so a
muxer made later for the same URL, by a restart for example, never goes back. The discontinuity sequence
starts at the ten-minute spans since 2026 began, and must stay that small: hls.js 1.7 keeps a sparse array by
this number and walks it from 0 at each playlist, which at Unix seconds freezes the page for minutes. Whoever
can remember a `Continuation` over restarts does better.

Spec: draft-pantos-hls-rfc8216bis 6.2.1, 6.2.2 (live playlists), 6.2.5 (delivery directives), 6.2.6 (hints).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rtspkit import playlist
from rtspkit.collector import Collector
from rtspkit.errors import LocalProtocolError, RtspkitError, UnsupportedError
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.media import AccessUnit, Fragment, Track
from rtspkit.repack import Carriage, carried
from rtspkit.responses import Response, error_response, media_response, playlist_response
from rtspkit.segmenter import Segmenter
from rtspkit.segments import InitSection, Output, Segment, SegmentData
from rtspkit.store import MemoryStore, Store
from rtspkit.window import Window

__all__ = ["Continuation", "Muxer", "MuxerStats", "Response", "error_response", "first_numbers"]

_EPOCH = re.compile(r"[0-9A-Za-z_-]{1,64}")
_NUMBER = r"(0|[1-9][0-9]{0,18})"
_MEDIA = re.compile(rf"(init|seg|part)_{_NUMBER}\.mp4")

_CACHE_MULTIVARIANT = "public, max-age=10"
#: Target durations that a playlist which was waited for may be cached: its URL names what it has.
_CACHE_BLOCKING = 6
#: Segments beyond the last one listed that a request may wait for.
_MSN_AHEAD = 2
_MICROSECOND = 1_000_000
#: What lies where media are absent: an empty box. An error might do, but players that know no EXT-X-GAP like it better.
_GAP = b"\x00\x00\x00\x08free"
#: Parts whose answer is kept as it was sent.
_PARTS_READY = 8
#: A list that may be longer than this many target durations has something to skip.
_SKIP = 6
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


@dataclass(slots=True)
class MuxerStats:
    """Figures of one muxer; those of bad media are in `Muxer.media_stats`.

    Attributes:
        started_at: monotonic seconds of its start.
        last_segment_at: monotonic seconds when the last segment with media was closed; None before the first.
        segments: with media, closed so far.
        bytes: of media taken in, as they are sent.
    """

    started_at: float
    last_segment_at: float | None = None
    segments: int = 0
    bytes: int = 0


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
            tracks: of the camera; the first video and the first audio track are used that HLS can carry.
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
                Neither may go back under one URL: see `continuation`.
            use_absolute_timestamp: date segments by the camera's own clock where it tells it.
            now: monotonic seconds.
            wall: Unix seconds of the same instant.

        Raises:
            LocalProtocolError: no track, or an argument out of its range.
            UnsupportedError: HLS can carry none of the tracks.
        """
        self._carriage = Carriage(tracks)
        if tracks and not self._carriage.tracks:
            names = ", ".join(self._carriage.skipped)
            raise UnsupportedError(f"HLS can carry nothing of what the camera sends: {names}")
        if segment_count < 1 or segment_max_size < 1 or not 0 < segment_duration < 3600:
            raise LocalProtocolError("segments need a duration, a count and a size above 0 (and less than an hour)")
        if part_duration is not None and not 0.01 <= part_duration <= max(1.0, segment_duration):
            raise LocalProtocolError("a part lasts 10 ms at least, and no longer than a segment")
        self.epoch = secrets.token_hex(16) if epoch is None else epoch
        if not _EPOCH.fullmatch(self.epoch):
            raise LocalProtocolError(f"an epoch consists of letters, digits, - and _, at most 64; not {self.epoch!r}")
        usual_msn, usual_discontinuity = first_numbers(wall)
        if continues is not None:
            usual_msn = max(usual_msn, continues.msn)
            usual_discontinuity = max(usual_discontinuity, continues.discontinuity)
        self._segmenter = Segmenter(
            self._carriage.tracks,
            segment_duration=max(1.0, segment_duration),
            segment_max_size=segment_max_size,
            part_duration=part_duration,
            first_msn=usual_msn if first_msn is None else first_msn,
            first_discontinuity=usual_discontinuity if first_discontinuity is None else first_discontinuity,
            target_duration=continues.target_duration if continues is not None else None,
            part_target=continues.part_target if continues is not None else None,
            use_absolute_timestamp=use_absolute_timestamp,
        )
        self.stats = MuxerStats(started_at=now)
        #: What became of bad media; see `SegmenterStats`.
        self.media_stats = self._segmenter.stats
        self._has_parts = part_duration is not None
        self._list_length = segment_count * max(1.0, segment_duration)  # seconds
        self._store: Store = MemoryStore() if store is None else store
        self._window = Window(self._store, epoch=self.epoch, segment_count=segment_count)
        self._units = Collector(tracks, self._segmenter.leader, part_duration=part_duration, now=now, wall=wall)
        self._init_tracks = self._segmenter.tracks
        self._multivariant: Response | None = None
        self._session_data: dict[str, str] = {}
        self._playlists: dict[tuple[bool, bool], Response] = {}  # asked for since they have changed
        self._parts: dict[str, Response] = {}  # asked for last; all of them are in the store
        self._subscribers: list[Callable[[], None]] = []
        self._closed = False
        self._can_be_described = self._has_parameters()
        self._take(self._segmenter.begin())

    # -- media in -----------------------------------------------------------------------------------------

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks in use as they are served (G.711 and L16 as FLAC), with their latest parameters."""
        return self._segmenter.tracks

    @property
    def skipped(self) -> tuple[str, ...]:
        """Names of the tracks that HLS cannot carry: "track 2 (G722)" ..., counted from 1."""
        return self._carriage.skipped

    @property
    def session_data(self) -> Mapping[str, str]:
        """What the multivariant playlist says besides (EXT-X-SESSION-DATA): DATA-ID -> VALUE. It may be set."""
        return self._session_data

    @session_data.setter
    def session_data(self, data: Mapping[str, str]) -> None:
        if data != self._session_data:
            self._session_data = dict(data)
            self._multivariant = None

    @property
    def target_duration(self) -> int | None:
        """Seconds; None until it is fixed: with the first segment, from the start with parts."""
        return self._segmenter.target_duration

    @property
    def part_target(self) -> int | None:
        """Microseconds; None without parts, and until the first has come."""
        return self._segmenter.part_target

    @property
    def continuation(self) -> Continuation:
        """What a muxer needs that takes this one's place under its URL."""
        msn, discontinuity = self._segmenter.next_numbers
        return Continuation(msn, discontinuity, self.target_duration, self.part_target)

    @property
    def has_media(self) -> bool:
        """Whether anything has been listed."""
        return self._window.has_media

    @property
    def next_cut(self) -> int | None:
        """Where the next fragment should end: pts of the leading track; None where it does not matter."""
        return self._segmenter.next_cut

    def accepts(self, tracks: Sequence[Track]) -> bool:
        """Whether a camera with these tracks can go on here; if not, it needs a new muxer.

        Kinds, codecs and clock rates must be the same, parameter sets need not be.
        """
        return self._segmenter.accepts(carried(tracks)[0])

    def write(self, fragment: Fragment, *, now: float, wall: float) -> None:
        """Take a fragment. Bad media are counted (`media_stats`), never raised.

        Args:
            fragment: as the camera side makes it.
            now: monotonic seconds.
            wall: Unix seconds of the same instant.
        """
        if self._closed:
            return
        self._units.clock = (now, wall)
        try:
            fragment = self._carriage.take(fragment)
        except (RtspkitError, ValueError, TypeError) as error:
            self._segmenter.refuse(str(error))
            return
        self._take(self._segmenter.write(fragment, now=now, wall=wall))
        if not self._can_be_described and self._has_parameters():
            self._can_be_described = True
            self._changed()

    def write_unit(self, unit: AccessUnit, *, now: float | None = None, wall: float | None = None) -> None:
        """Take one access unit; units become fragments at sync samples of video, after a second, and with parts.

        Args:
            unit: in decoding order within its track.
            now: monotonic seconds; the unit's arrival, or media time since the last unit, if None.
            wall: Unix seconds of the same instant; reckoned from the start's if None.

        Raises:
            LocalProtocolError: the unit's pts is no integer of 64 bits, or its arrival no time. It is refused
                as if it had never been offered, and the next one may be good.
        """
        for fragment in self._units.take(unit, now=now, wall=wall, next_cut=self.next_cut):
            self._write_collected(fragment)

    def flush(self) -> None:
        """Make a fragment of the units that `write_unit` has collected."""
        for fragment in self._units.flush():
            self._write_collected(fragment)

    def _write_collected(self, fragment: Fragment) -> None:
        now, wall = self._units.clock
        self.write(fragment, now=now, wall=wall)

    def interrupt(self) -> None:
        """The camera was lost: close the open segment; what follows starts with a discontinuity."""
        self.flush()
        self._carriage.restart()
        if not self._closed:
            self._take(self._segmenter.interrupt())

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout`, in monotonic seconds; None: not before the next `write`.

        The next `write` makes it later, so whoever waits asks again before calling.
        """
        return None if self._closed else self._segmenter.next_timeout()

    def handle_timeout(self, *, now: float, wall: float) -> None:
        """Write what the clock wants while no media come: segments (and parts) that say so.

        Does nothing where nothing is due.

        Args:
            now: monotonic seconds.
            wall: Unix seconds of the same instant.
        """
        if not self._closed:
            self._units.clock = (now, wall)
            self._take(self._segmenter.handle_timeout(now=now, wall=wall))

    def close(self) -> None:
        """Forget everything; from now on `get` answers 503."""
        if not self._closed:
            self._closed = True
            self._store.close()
            self._window.clear()
            self._multivariant = None
            self._parts.clear()
            self._units.clear()
            self._changed()

    def _take(self, outputs: list[Output]) -> None:
        """Put what the segmenter gives into the window."""
        window, now = self._window, self._units.clock[0]
        target = self._segmenter.target_duration or 0
        changed = False
        for output in outputs:
            changed |= window.take(output, target, now)
            if isinstance(output, SegmentData):
                self.stats.bytes += len(output.data)
            elif isinstance(output, Segment) and not output.is_gap:
                self.stats.segments += 1
                self.stats.last_segment_at = now
                if window.rates.measure(window.listed, target or 1):
                    self._multivariant = None
            elif isinstance(output, InitSection) and output.tracks != self._init_tracks:
                self._init_tracks = output.tracks
                window.rates.forget()
                self._multivariant = None
        if changed:
            self._changed()
        window.forget(now)

    def _has_parameters(self) -> bool:
        return all(track.parameters is not None for track in self._segmenter.tracks)

    def _changed(self) -> None:
        self._playlists.clear()
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

    def get(self, name: str, msn: int | None = None, part: int | None = None, skip: bool = False) -> Response | None:
        """What to answer to a request; None: not yet, ask again when subscribers are called.

        Args:
            name: relative to the muxer's URL: "index.m3u8", "stream.m3u8", "{epoch}/seg_7.mp4" …
            msn: `_HLS_msn`: the playlist is waited for until it has that segment. Plain HLS only checks it.
            part: `_HLS_part`, likewise.
            skip: `_HLS_skip`: a delta update will do.
        """
        if self._closed:
            return error_response(503, "this stream has ended; it may come back", ("retry-after", "1"))
        if name == "stream.m3u8":
            return self._media_playlist(msn, part, skip=skip)
        if name == "index.m3u8":
            return self._multivariant_playlist()
        epoch, _, file = name.rpartition("/")
        match = _MEDIA.fullmatch(file)
        if (match is None and file != "gap.mp4") or not epoch:
            return error_response(404, "there is nothing of this name")
        if epoch != self.epoch:
            return error_response(503, "these media belong to an earlier run of the stream", ("retry-after", "1"))
        if match is None:
            return media_response((_GAP,), f'"{epoch}/{file}"')
        body = self._store.get(file)
        if body is None:
            if match[1] == "part" and self._has_parts and int(match[2]) == self._segmenter.next_part:
                return None  # the part that was announced
            return error_response(404, "this segment has expired, or never was")
        response = self._parts.get(file)
        if response is None:
            response = media_response(body, f'"{epoch}/{file}"')
            if match[1] == "part":  # thousands may ask for it at one time
                if len(self._parts) >= _PARTS_READY:
                    del self._parts[next(iter(self._parts))]
                self._parts[file] = response
        return response

    @property
    def _edge(self) -> Segment | None:
        """The open segment where its parts are listed."""
        return self._segmenter.edge if self._has_parts else None

    def _media_playlist(self, msn: int | None, part: int | None, *, skip: bool) -> Response | None:
        if part is not None and msn is None:
            return error_response(400, "_HLS_part needs _HLS_msn")
        if not self.has_media:
            return None
        waited = self._has_parts and msn is not None
        edge = self._edge
        if msn is not None:
            refusal = self._refusal(msn, part, edge)
            if refusal is not None:
                return refusal
            if self._has_parts and not self._window.lists(msn, part, edge):
                return None
        key = (waited, skip and self._has_parts)
        response = self._playlists.get(key)
        if response is None:
            response = self._playlists[key] = self._make_media_playlist(edge, waited=waited, skip=key[1])
        return response

    def _refusal(self, msn: int, part: int | None, edge: Segment | None) -> Response | None:
        """What to answer to a request that waits for what will not come soon."""
        listed = self._window.listed
        last = listed[-1].msn if listed else edge.msn - 1 if edge is not None else 0
        if not 0 <= msn <= last + _MSN_AHEAD:
            return error_response(400, "_HLS_msn is more than two segments ahead")
        target = self.part_target
        if part is not None and target and msn > last:
            limit = max(3, -(-3 * _MICROSECOND // target))  # the draft's Advance Part Limit
            there = len(edge.parts) - 1 if edge is not None and msn == edge.msn else -1
            if part > there + limit:
                return error_response(400, "_HLS_part is too many parts ahead")
        return None

    def _make_media_playlist(self, edge: Segment | None, *, waited: bool, skip: bool) -> Response:
        target = self.target_duration or 1
        control = None
        if self._has_parts and self.part_target is not None:
            can_skip = _SKIP * target if self._list_length > (_SKIP + 1) * target else None
            control = playlist.ServerControl(self.part_target, can_skip)
        skipped = 0
        if skip and control is not None and control.can_skip_until is not None:
            skipped = self._window.skippable(control.can_skip_until)
        text = self._window.text(target, control, edge, self._segmenter.next_part, skipped=skipped)
        if waited:
            return playlist_response(text, f"public, max-age={_CACHE_BLOCKING * target}")
        fresh = 1 if self._has_parts else max(1, target // 2)
        return playlist_response(text, f"max-age=0, s-maxage={fresh}")

    def _multivariant_playlist(self) -> Response | None:
        if self._multivariant is not None:
            return self._multivariant
        rates = self._window.rates
        try:
            text = playlist.multivariant_playlist(
                self._init_tracks if self._window.has_init else self._segmenter.tracks,
                bandwidth=rates.bandwidth,
                average_bandwidth=rates.average,
                measured_frame_rate=rates.frame_rate,
                session_data=self._session_data,
            )
        except RtspkitError:
            return None  # the parameter sets have not come, or not in a form that can be read
        self._multivariant = playlist_response(text, _CACHE_MULTIVARIANT)
        return self._multivariant
