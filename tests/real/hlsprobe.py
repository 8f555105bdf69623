"""`HlsProbe`: a viewer that plays nothing and forgives nothing.

It reads a live stream as a player does (multivariant playlist, media playlist again and again, each init section and
segment once) and writes down every breach of RFC 8216, its successor draft (sections in the messages) and, with
`strict`, of this project's own rules for URLs, headers and times. A test lets it `run` for a while, then it calls
`check`.
"""

import math
import re
import time
from itertools import pairwise
from typing import Any
from urllib.parse import urljoin

import httpx

from . import mp4
from .playlists import BadPlaylist, Playlist, Segment, Variant, read_media, read_multivariant

#: Seconds by which one PROGRAM-DATE-TIME may usually miss the sum of the one before and its EXTINF.
TIME_SLACK = 0.05
PLAYLIST_TYPES = ("application/vnd.apple.mpegurl", "audio/mpegurl")


class HlsProbe:
    """One viewer of one address.

    Args:
        url: the multivariant playlist.
        strict: this project's own rules are kept too.
        is_counted: the path counts its readers (`maxReaders`), so no cache may answer in its place.
        client: another HTTP client than a plain one.

    Attributes:
        problems: every breach so far, a line each.
        segments: all entries seen in the media playlist, by media sequence number.
        samples: by media sequence number, the samples of each track ID of segments that were fetched.
        inits: the tracks of each init section, by address.
        statuses: how often each HTTP status came.
        is_outage: set while the camera or the gateway is away: then a playlist may stand still, or begin anew.
        wants_sync: each segment starts with a sync sample, but where they are further apart than a segment may be long
            (a camera on a busy machine leaves pictures out); to be cleared while the camera has none to give.
        wants_sound: each segment has samples of each track; to be cleared while sound comes and goes.
        time_slack: seconds by which one PROGRAM-DATE-TIME may miss the sum of the one before and its EXTINF.
        sound_slack: seconds that a segment's audio may start before its video, or after it. It is what has come beside
            the video: of a camera whose encoder is late the pictures come behind their sound.
    """

    def __init__(
        self, url: str, *, strict: bool = True, is_counted: bool = False, client: httpx.Client | None = None
    ) -> None:
        self.url, self.strict, self.is_counted = url, strict, is_counted
        self.client = client or httpx.Client(timeout=15)
        self.problems: list[str] = []
        self.segments: dict[int, Segment] = {}
        self.samples: dict[int, dict[int, list[mp4.Sample]]] = {}
        self.inits: dict[str, dict[int, mp4.TrackHeader]] = {}
        self.statuses: dict[int, int] = {}
        self.variant: Variant | None = None
        self.playlist: Playlist | None = None
        self.playlist_url = ""
        self.is_outage = False
        self.wants_sync = True
        self.wants_sound = True
        self.time_slack = TIME_SLACK
        self.sound_slack = 0.5
        self.polls = 0
        self._changed = self._compared = 0.0  # when the playlist last had a new segment, was last looked at
        self._ends: dict[tuple[int, int], tuple[int, int]] = {}
        self._last_sync: dict[int, float] = {}  # by discontinuity, in seconds
        self._init_bytes: dict[str, bytes] = {}

    def __enter__(self) -> "HlsProbe":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    # -- what a test calls

    def open(self, timeout: float = 20.0) -> Variant:
        """Waits for the stream (503 "not now" is followed, as a player would) and reads its multivariant playlist."""
        end = time.monotonic() + timeout
        while (response := self._get(self.url)).status_code == 503 and time.monotonic() < end:
            self._expect(response.headers.get("retry-after") == "1", "503 without Retry-After: 1", response)
            time.sleep(1)
        assert response.status_code == 200, f"{self.url}: {response.status_code} {response.text[:200]}"
        self._check_playlist_headers(response, r"public, max-age=10")
        (self.variant, *others) = read_multivariant(response.text)
        self._expect(not others, f"{len(others) + 1} variants", response)
        for name in ("BANDWIDTH", "CODECS", "RESOLUTION", "FRAME-RATE") if self.strict else ("BANDWIDTH",):
            self._expect(name in self.variant.attributes, f"EXT-X-STREAM-INF without {name}", response)
        self.playlist_url = urljoin(self.url, self.variant.uri)
        return self.variant

    def run(self, seconds: float, interval: float = 0.5) -> "HlsProbe":
        """Follows the stream for so long."""
        if self.variant is None:
            self.open()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            started = time.monotonic()
            self.poll()
            time.sleep(max(0.0, min(interval, end - time.monotonic()) - (time.monotonic() - started)))
        return self

    def check(self) -> None:
        """AssertionError with every breach found."""
        assert not self.problems, f"{len(self.problems)} breaches:\n" + "\n".join(self.problems[:30])

    def ticks(self, msn: int) -> dict[str, float]:
        """Seconds of media in a segment, by handler ("vide", "soun")."""
        tracks = self.inits[self._absolute(self.segments[msn].init or "")]
        return {
            tracks[track].handler: sum(sample.duration for sample in samples) / tracks[track].timescale
            for track, samples in self.samples[msn].items()
        }

    # -- one round

    def poll(self) -> None:
        """Reads the media playlist once, and everything new in it."""
        self.polls += 1
        response = self._get(self.playlist_url)
        if response.status_code != 200:
            if not (self.is_outage and response.status_code == 503):
                self._problem(f"status {response.status_code} while live", response)
            return
        try:
            playlist = read_media(response.text)
        except (BadPlaylist, ValueError) as error:
            self._problem(f"{error} in {response.text[:400]!r}", response)
            return
        half = max(1, playlist.target_duration / 2)
        fresh = "1" if "#EXT-X-PART-INF:" in response.text else f"({math.floor(half)}|{math.ceil(half)})"
        self._check_playlist_headers(response, rf"(public, )?max-age=0, s-maxage={fresh}")
        self._check_playlist(playlist, response)
        self._compare(playlist, response)
        self.playlist = playlist
        for segment in playlist.segments:
            if segment.msn not in self.segments:
                self.segments[segment.msn] = segment
                if not segment.is_gap:
                    self._fetch(segment)

    def _check_playlist(self, playlist: Playlist, response: httpx.Response) -> None:
        self._expect(not playlist.is_ended, "EXT-X-ENDLIST while live", response)
        self._expect(bool(playlist.segments), "no segment", response)
        for segment in playlist.segments:
            self._expect(
                math.floor(segment.duration + 0.5) <= playlist.target_duration,
                f"EXTINF {segment.duration} over EXT-X-TARGETDURATION {playlist.target_duration} (4.4.3.1)",
                response,
            )
            self._expect(segment.init is not None, f"segment {segment.msn} without EXT-X-MAP", response)
            self._expect(segment.time is not None, f"segment {segment.msn} without PROGRAM-DATE-TIME", response)
        for before, after in pairwise(playlist.segments):
            if after.starts_discontinuity:
                if self.strict:
                    self._expect(before.init != after.init, f"discontinuity at {after.msn}, same EXT-X-MAP", response)
            elif before.time and after.time:
                self._expect(before.init == after.init, f"new EXT-X-MAP at {after.msn}, no discontinuity", response)
                off = (after.time - before.time).total_seconds() - before.duration
                self._expect(
                    abs(off) <= self.time_slack, f"PROGRAM-DATE-TIME of {after.msn} is {off:+.3f} s off", response
                )

    def _compare(self, playlist: Playlist, response: httpx.Response) -> None:
        """Against the playlist before (6.2.1, 6.2.2)."""
        now, old = time.monotonic(), self.playlist
        self._compared, before = now, self._compared
        if old is None:
            self._changed = now
            return
        self._expect(
            playlist.target_duration == old.target_duration,
            f"EXT-X-TARGETDURATION was {old.target_duration}, is {playlist.target_duration}",
            response,
        )
        for name in ("media_sequence", "discontinuity_sequence"):
            was, is_ = getattr(old, name), getattr(playlist, name)
            self._expect(is_ >= was, f"{name} goes back from {was} to {is_}", response)
        first = playlist.media_sequence
        for segment in playlist.segments:
            known = self.segments.get(segment.msn)
            if known is not None:
                # the first entry may have lost its EXT-X-DISCONTINUITY to the sequence number
                same = ("uri", "duration", "discontinuity", "time", "is_gap")
                for name in same:
                    was, is_ = getattr(known, name), getattr(segment, name)
                    self._expect(was == is_, f"segment {segment.msn}: {name} was {was}, is {is_}", response)
        removed = [segment for segment in old.segments if segment.msn < first]
        last = playlist.segments[-1].msn if playlist.segments else -1
        old_last = old.segments[-1].msn if old.segments else -1
        self._expect(last >= old_last, f"segments {last + 1} to {old_last} taken back from the end", response)
        if removed and not self.is_outage:
            self._expect(
                playlist.duration >= 3 * playlist.target_duration - 1e-6,  # a sum of decimal fractions
                f"removed {len(removed)} segments, {playlist.duration:.3f} s are left: under three target durations",
                response,
            )
        patience = 1.5 * playlist.target_duration + 1
        self._expect(
            self.is_outage or now - self._changed <= patience, f"no new segment within {patience} s (6.2.1)", response
        )
        if last > old_last or self.is_outage:
            self._changed = now
        for segment in removed:
            # it stays for its own duration at least (6.2.2); when it left is not known better
            if not segment.is_gap and not self.is_outage and time.monotonic() - before < segment.duration:
                gone = self._get(self._absolute(segment.uri))
                self._expect(gone.status_code == 200, f"{gone.status_code} for a segment that has just left", gone)

    # -- media

    def _fetch(self, segment: Segment) -> None:
        if segment.init is None:
            return
        tracks = self._init(self._absolute(segment.init))
        response = self._get(self._absolute(segment.uri))
        if response.status_code != 200:
            self._problem(f"status {response.status_code} for a listed segment", response)
            return
        self._check_media_headers(response)
        if self.strict:
            pattern = rf"[0-9a-f]{{32}}/seg_{segment.msn}\.mp4"
            self._expect(
                re.fullmatch(pattern, segment.uri) is not None, f"{segment.uri} is not epoch/seg_msn.mp4", response
            )
        if not tracks:
            return
        try:
            fragments = mp4.read_media(response.content, tracks)
        except (ValueError, KeyError) as error:
            self._problem(f"bad segment: {error!r}", response)
            return
        runs: dict[int, list[mp4.Sample]] = {}
        for fragment in fragments:
            for track, samples in fragment.samples.items():
                runs.setdefault(track, []).extend(samples)
        self.samples[segment.msn] = runs
        self._check_samples(segment, tracks, runs, response)

    def _check_samples(
        self,
        segment: Segment,
        tracks: dict[int, mp4.TrackHeader],
        runs: dict[int, list[mp4.Sample]],
        response: httpx.Response,
    ) -> None:
        starts: dict[str, float] = {}
        for track_id, samples in runs.items():
            track = tracks[track_id]
            starts[track.handler] = min(sample.pts for sample in samples[:4]) / track.timescale
            for before, after in pairwise(samples):
                self._expect(
                    before.dts + before.duration == after.dts,
                    f"{track.handler}: DTS {after.dts} does not follow {before.dts} + {before.duration}",
                    response,
                )
                self._expect(before.duration > 0, f"{track.handler}: a sample without duration", response)
            key = (segment.discontinuity, track_id)
            end = samples[-1].dts + samples[-1].duration
            if key in self._ends and self._ends[key][0] == segment.msn - 1:
                expected = self._ends[key][1]
                self._expect(
                    expected == samples[0].dts,
                    f"{track.handler}: tfdt {samples[0].dts}, the segment before ends at {expected}",
                    response,
                )
            self._ends[key] = (segment.msn, end)
            if track.handler == "vide":
                self._check_sync(segment, samples, track.timescale, response)
                seconds = (end - samples[0].dts) / track.timescale
                self._expect(
                    abs(seconds - segment.duration) <= 0.002,
                    f"EXTINF {segment.duration}, its video lasts {seconds:.5f} s",
                    response,
                )
        if "vide" in starts and "soun" in starts:
            apart = starts["soun"] - starts["vide"]
            self._expect(abs(apart) < self.sound_slack, f"audio starts {apart:+.3f} s from video", response)
        missing = set(tracks) - set(runs)
        self._expect(not missing or not self.wants_sound, f"no sample of track {missing}", response)

    def _check_sync(
        self, segment: Segment, samples: list[mp4.Sample], timescale: int, response: httpx.Response
    ) -> None:
        """A segment begins without a sync sample only where none was to be had in time."""
        key = segment.discontinuity
        synced = [sample.dts / timescale for sample in samples if sample.is_sync]
        if not samples[0].is_sync and self.wants_sync:
            following = synced[0] if synced else (samples[-1].dts + samples[-1].duration) / timescale
            target = self.playlist.target_duration if self.playlist else 0
            gop = following - self._last_sync.get(key, following)
            before = self.segments.get(segment.msn - 1)
            # where a camera has just come back the list may have to grow before a segment is full
            was_hurried = before is not None and before.duration < target / 2
            self._expect(gop > target or was_hurried, "starts with no sync sample", response)
        if synced:
            self._last_sync[key] = synced[-1]

    def _init(self, url: str) -> dict[int, mp4.TrackHeader]:
        if url not in self.inits:
            self.inits[url] = {}
            response = self._get(url)
            if response.status_code != 200:
                self._problem(f"status {response.status_code} for an EXT-X-MAP", response)
                return {}
            self._check_media_headers(response)
            self._init_bytes[url] = response.content
            try:
                self.inits[url] = mp4.read_init(response.content)
            except (ValueError, KeyError) as error:
                self._problem(f"bad init section: {error!r}", response)
        return self.inits[url]

    # -- HTTP

    def _absolute(self, uri: str) -> str:
        return urljoin(self.playlist_url, uri)

    def _get(self, url: str, **headers: str) -> httpx.Response:
        response = self.client.get(url, headers=headers)
        self.statuses[response.status_code] = self.statuses.get(response.status_code, 0) + 1
        if self.strict:
            self._expect("set-cookie" not in response.headers, "sets a cookie", response)
            self._expect(not response.history, "is redirected", response)
            self._expect(response.headers.get("access-control-allow-origin") == "*", "no CORS", response)
            if response.status_code >= 400:
                self._expect(
                    response.headers.get("cache-control") == "max-age=1", "an error is cached longer than 1 s", response
                )
        return response

    def _check_playlist_headers(self, response: httpx.Response, cache_control: str) -> None:
        if not self.strict:
            return
        kind = response.headers.get("content-type", "").partition(";")[0]
        self._expect(kind in PLAYLIST_TYPES, f"content type {kind!r}", response)
        self._check_caching(response, "private, no-store" if self.is_counted else cache_control)

    def _check_media_headers(self, response: httpx.Response) -> None:
        if not self.strict:
            return
        kind = response.headers.get("content-type")
        self._expect(kind in ("video/mp4", "audio/mp4"), f"content type {kind!r}", response)
        self._check_caching(response, rf"{'private' if self.is_counted else 'public'}, max-age=3600, immutable")

    def _check_caching(self, response: httpx.Response, cache_control: str) -> None:
        value = response.headers.get("cache-control", "")
        self._expect(re.fullmatch(cache_control, value) is not None, f"cache-control {value!r}", response)
        exposed = {
            name.strip().lower() for name in response.headers.get("access-control-expose-headers", "").split(",")
        }
        self._expect({"age", "date"} <= exposed, f"CORS exposes {exposed}", response)
        self._expect("etag" in response.headers, "no ETag", response)

    def _expect(self, condition: Any, text: str, response: httpx.Response) -> None:
        if not condition:
            self._problem(text, response)

    def _problem(self, text: str, response: httpx.Response) -> None:
        line = f"{response.request.url.path}: {text}"
        if line not in self.problems:
            self.problems.append(line)
