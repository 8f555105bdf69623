"""How a camera is, as data: loss, jitter, clocks, rates, sync samples, and how long it took to begin.

Strategy: the receiver counts (in C, packet by packet, for nothing); a `HealthMonitor` remembers what those
counters were some seconds ago and what sender reports said, and makes a `CameraHealth` when somebody asks.
It does no input or output; time is an argument.

A clock's drift is read off the sender reports: how much later, or earlier, than media time says does each
arrive? The network only ever adds to that, so the least of some neighbours counts; the median of the slopes
between all of these (Theil and Sen) is not moved by the odd one. A clock that jumps begins anew.

Spec: RFC 3550, 6.4.1 (sender reports) and A.8 (jitter).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, NamedTuple

from rtspkit.media import Track
from rtspkit.quirks import SENTENCES
from rtspkit.rtp import Receiver, SenderReport, TrackStats, track_stats

__all__ = ["CameraHealth", "HealthMonitor", "Step", "Timings", "TrackHealth"]

#: What a camera is asked for one after the other before there are media.
Step = Literal["connect", "describe", "play"]

_SECOND = 1_000_000_000
#: Nanoseconds between two looks at the counters, and the stretch that rates are taken over.
_LOOK = 2_500_000_000
_WINDOW = 10 * _SECOND
#: Looks in a row that found media time at less than half or more than twice the rate of this machine's clock.
_WRONG_LOOKS = 4
#: Seconds by which a camera's wall clock may be wrong before that is a quirk.
_WALL_CLOCK_SLACK = 24 * 3600.0

#: Seconds of reports before a drift is told: what a reader adds who looks ten times a second averages out by then.
_DRIFT_SPAN = 600.0
#: Reports that are kept, each the best of its neighbours; and the longest stretch one stands for, seconds.
_DRIFT_POINTS = 32
_DRIFT_STRETCH = 900.0
#: A report that is this far (seconds, and a share of the time since the one before) from where it ought to be: a jump.
_JUMP, _JUMP_SHARE = 0.5, 0.01


@dataclass(frozen=True, slots=True)
class Timings:
    """How long a connection took to begin, in seconds from its first attempt; None: it has not come to that.

    Attributes:
        connect: until the connection stood.
        describe: until the camera had described its tracks.
        play: until it had agreed to play.
        first_packet: until the first RTP packet of any track.
        first_sync: until the first sync sample of the video; of the audio where there is no video.
    """

    connect: float | None = None
    describe: float | None = None
    play: float | None = None
    first_packet: float | None = None
    first_sync: float | None = None


@dataclass(frozen=True, slots=True)
class TrackHealth:
    """One track of a camera, since the connection began.

    Attributes:
        kind: "video" or "audio".
        codec: such as "h264".
        packets: RTP packets that were accepted, and their `bytes`.
        lost: packets missing in the sequence.
        reordered: packets that came after a later one and were put in their place.
        duplicates: packets that came again.
        late: packets that came after their place was given up.
        broken: packets and units that contradict themselves.
        discarded: packets of another payload type, or of a packetization nobody asked for.
        foreign: datagrams from another address or port than the camera's.
        kernel_drops: datagrams that this machine had no room for; 0 where the system does not say.
        restarts: changes of SSRC, and sequence numbers that began anew.
        jitter: interarrival jitter in seconds (RFC 3550, A.8).
        jitter_kind: "rfc3550" over UDP; "arrival" over TCP, where it is mostly that of the reads.
        rtcp_packets: RTCP packets; `rtcp_broken` those whose lengths contradict themselves.
        sender_report_age: seconds since the last sender report; None before the first.
        clock_drift: how much faster (slower, where negative) the track's clock is than this machine's, in
            millionths (ppm); None before ten minutes of sender reports.
        clock_offset: how far the camera's wall clock was ahead of this machine's at the last sender report, in
            seconds; None before the first.
        units: access units; `damaged_units` those before or within which packets were lost.
        units_left_out: pictures that came and were not used, because of lost packets (`CameraOptions.loss_policy`).
        units_per_second: of late; None before there were two looks.
        bitrate: RTP packets' bits a second, of late; None before there were two looks.
        gop_units: access units from one sync sample to the next, the last time; None before that, and for audio.
        gop_duration: the same in seconds.
        sync_samples: access units at which a reader can start.
        last_sync_age: seconds since the last of them came; None before the first.
        last_packet_age: seconds since the last packet; None before the first.
        parameter_changes: access units that brought other parameter sets.
        quirks: what the camera gets wrong on this track and is put up with: ids of `rtspkit.quirks.SENTENCES`.
    """

    kind: str
    codec: str
    packets: int
    bytes: int
    lost: int
    reordered: int
    duplicates: int
    late: int
    broken: int
    discarded: int
    foreign: int
    kernel_drops: int
    restarts: int
    jitter: float
    jitter_kind: Literal["rfc3550", "arrival"]
    rtcp_packets: int
    rtcp_broken: int
    sender_report_age: float | None
    clock_drift: float | None
    clock_offset: float | None
    units: int
    damaged_units: int
    units_left_out: int
    units_per_second: float | None
    bitrate: float | None
    gop_units: int | None
    gop_duration: float | None
    sync_samples: int
    last_sync_age: float | None
    last_packet_age: float | None
    parameter_changes: int
    quirks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """How a camera is: the connection in use, and what is known of those before it.

    Attributes:
        transport: "udp", "tcp" or "multicast"; None while that is open.
        reconnects: connections that have been lost so far.
        last_error: why the last one was; "" before the first.
        timings: how long the connection took to begin.
        bytes: all that was received over it after PLAY.
        bitrate: of all tracks; None before there were two looks.
        resyncs: how often garbage was skipped between messages.
        unknown_bytes: bytes on channels that were never set up.
        quirks: what the camera gets wrong in SDP and RTSP and is put up with: ids of `rtspkit.quirks.SENTENCES`.
        tracks: by index.
    """

    transport: str | None
    reconnects: int
    last_error: str
    timings: Timings
    bytes: int
    bitrate: float | None
    resyncs: int
    unknown_bytes: int
    quirks: tuple[str, ...]
    tracks: tuple[TrackHealth, ...]


class HealthMonitor:
    """Watches one connection to a camera. Give it a look at the receiver some times a minute.

    Args:
        started: monotonic ns at which the connection was first tried.
    """

    def __init__(self, started: int) -> None:
        self._started = started
        self._steps: dict[Step, float] = {}
        self._looks: deque[_Look] = deque()
        self._reports: dict[int, _Reports] = {}
        self._wrong_looks: dict[int, int] = {}
        self._quirks: dict[int, set[str]] = {}

    def reached(self, step: Step, now: int) -> None:
        """The connection has come so far.

        Args:
            step: how far.
            now: monotonic ns.
        """
        self._steps.setdefault(step, (now - self._started) / _SECOND)

    def observe(self, now: int, receiver: Receiver, tracks: Sequence[Track]) -> None:
        """Looks at the counters; more often than every 2.5 seconds is as good as that.

        Args:
            now: monotonic ns.
            receiver: the connection's.
            tracks: what it receives, by index.
        """
        if self._looks and now - self._looks[-1].now < _LOOK:
            return
        look = _Look(now, tuple(track_stats(receiver, track.index) for track in tracks))
        if self._looks:
            self._check_rates(self._looks[-1], look, tracks)
        self._looks.append(look)
        while len(self._looks) > 1 and now - self._looks[1].now >= _WINDOW:
            self._looks.popleft()

    def sender_report(self, track: Track, report: SenderReport, now: int, wall_clock: float) -> None:
        """A sender report of the source that sends a track's media has come.

        Args:
            track: of the receiver.
            report: what it says.
            now: monotonic ns.
            wall_clock: this machine's, in Unix seconds.
        """
        reports = self._reports.setdefault(track.index, _Reports())
        reports.add(report, now, wall_clock, track.clock_rate)
        if abs(reports.clock_offset) > _WALL_CLOCK_SLACK:
            self._note(track.index, "sender-report-clock-wrong")

    def quirks(self, receiver: Receiver, index: int) -> tuple[str, ...]:
        """What the camera gets wrong on the track with that index: ids of `rtspkit.quirks.SENTENCES`."""
        return tuple(sorted({*receiver.quirks(index), *self._quirks.get(index, ())}))

    def health(
        self,
        now: int,
        receiver: Receiver,
        tracks: Sequence[Track],
        *,
        transport: str | None,
        reconnects: int = 0,
        last_error: str = "",
        quirks: Sequence[str] = (),
    ) -> CameraHealth:
        """How the camera is.

        Args:
            now: monotonic ns.
            receiver: the connection's.
            tracks: what it receives, by index.
            transport: what the media come over.
            reconnects: connections that were lost before this one.
            last_error: why the last one was.
            quirks: ids of what was met in SDP and RTSP.
        """
        seen = [track_stats(receiver, track.index) for track in tracks]
        looked = tuple(
            self._track(now, receiver, track, stats, transport) for track, stats in zip(tracks, seen, strict=True)
        )
        rates = [track.bitrate for track in looked if track.bitrate is not None]
        return CameraHealth(
            transport=transport,
            reconnects=reconnects,
            last_error=last_error,
            timings=self._timings(tracks, seen),
            bytes=receiver.bytes_received,
            bitrate=sum(rates) if rates else None,
            resyncs=receiver.resyncs,
            unknown_bytes=receiver.unknown_bytes,
            quirks=tuple(quirks),
            tracks=looked,
        )

    def _timings(self, tracks: Sequence[Track], seen: Sequence[TrackStats]) -> Timings:
        packets = [stats.first_arrival for stats in seen if stats.received]
        has_video = any(track.kind == "video" for track in tracks)
        syncs = [
            stats.first_sync_arrival
            for track, stats in zip(tracks, seen, strict=True)
            if stats.sync_samples and (track.kind == "video" or not has_video)
        ]
        return Timings(
            **self._steps,
            first_packet=(min(packets) - self._started) / _SECOND if packets else None,
            first_sync=(min(syncs) - self._started) / _SECOND if syncs else None,
        )

    def _track(
        self, now: int, receiver: Receiver, track: Track, stats: TrackStats, transport: str | None
    ) -> TrackHealth:
        reports = self._reports.get(track.index)
        units_per_second = bitrate = None
        if self._looks and (past := self._looks[0]).now < now and track.index < len(past.tracks):
            seconds = (now - past.now) / _SECOND
            units_per_second = (stats.units - past.tracks[track.index].units) / seconds
            bitrate = (stats.bytes - past.tracks[track.index].bytes) * 8 / seconds
        has_gop = track.kind == "video" and stats.sync_samples > 1
        return TrackHealth(
            kind=track.kind,
            codec=track.codec,
            packets=stats.received,
            bytes=stats.bytes,
            lost=stats.lost,
            reordered=stats.reordered,
            duplicates=stats.duplicates,
            late=stats.late,
            broken=stats.broken,
            discarded=stats.discarded,
            foreign=stats.foreign,
            kernel_drops=stats.kernel_drops,
            restarts=stats.restarts,
            jitter=stats.jitter / track.clock_rate,
            jitter_kind="arrival" if transport == "tcp" else "rfc3550",
            rtcp_packets=stats.reports,
            rtcp_broken=stats.broken_reports,
            sender_report_age=(now - reports.arrival) / _SECOND if reports else None,
            clock_drift=reports.drift.millionths() if reports else None,
            clock_offset=reports.clock_offset if reports else None,
            units=stats.units,
            damaged_units=stats.damaged_units,
            units_left_out=stats.units_left_out,
            units_per_second=units_per_second,
            bitrate=bitrate,
            gop_units=stats.gop_units if has_gop else None,
            gop_duration=stats.gop_ticks / track.clock_rate if has_gop else None,
            sync_samples=stats.sync_samples,
            last_sync_age=(now - stats.sync_arrival) / _SECOND if stats.sync_samples else None,
            last_packet_age=(now - stats.arrival) / _SECOND if stats.received else None,
            parameter_changes=stats.parameter_changes,
            quirks=self.quirks(receiver, track.index),
        )

    def _check_rates(self, before: _Look, look: _Look, tracks: Sequence[Track]) -> None:
        """Notes a clock rate that is not the one announced; a recorder that sends what it has kept is no such case."""
        for track, past, present in zip(tracks, before.tracks, look.tracks, strict=False):
            arrived = (present.arrival - past.arrival) / _SECOND
            played = (present.ticks - past.ticks) / track.clock_rate
            if past.received and arrived > 0 and played and not arrived / 2 <= played <= arrived * 2:
                self._wrong_looks[track.index] = self._wrong_looks.get(track.index, 0) + 1
                if self._wrong_looks[track.index] >= _WRONG_LOOKS:
                    self._note(track.index, "clock-rate-wrong")
            else:
                self._wrong_looks[track.index] = 0

    def _note(self, index: int, quirk: str) -> None:
        assert quirk in SENTENCES
        self._quirks.setdefault(index, set()).add(quirk)


class _Look(NamedTuple):
    """The counters at one instant."""

    now: int
    tracks: tuple[TrackStats, ...]


class _Reports:
    """The sender reports of one track."""

    def __init__(self) -> None:
        self.arrival = 0
        self.clock_offset = 0.0
        self.drift = _Drift()
        self._ssrc: int | None = None
        self._timestamp = 0

    def add(self, report: SenderReport, now: int, wall_clock: float, clock_rate: int) -> None:
        self.clock_offset = report.wall_clock - wall_clock
        if report.ssrc == self._ssrc:
            ticks = (report.rtp_timestamp - self._timestamp + 2**31) % 2**32 - 2**31
            self.drift.add((now - self.arrival) / _SECOND, ticks / clock_rate)
        else:
            self.drift = _Drift()
        self._ssrc, self._timestamp, self.arrival = report.ssrc, report.rtp_timestamp, now


@dataclass(slots=True)
class _Drift:
    """How fast a clock runs that is looked at from time to time, through a network that delays some looks."""

    time: float = 0.0  # of the last look, by our clock ...
    behind: float = 0.0  # ... and how far the other one is behind by then, both from the first look on
    stretch: float = 1.0  # seconds that one point stands for
    points: list[tuple[float, float]] = field(default_factory=list)  # (time, behind), one a stretch: the least behind
    slope: float | None = None  # by these points; None: to be found

    def add(self, elapsed: float, shown: float) -> None:
        """The other clock has gone on by `shown` seconds since the last look, ours by `elapsed`."""
        if abs(shown - elapsed) > _JUMP + _JUMP_SHARE * elapsed:
            self.points.clear()
            self.slope = None
            self.time = self.behind = 0.0
            self.stretch = 1.0
            return
        if not self.points:
            self.points.append((0.0, 0.0))
        self.time += elapsed
        self.behind += elapsed - shown
        start = self.points[-1][0] // self.stretch
        if self.time // self.stretch == start:
            self.points[-1] = min(self.points[-1], (self.time, self.behind), key=lambda point: point[1])
        else:
            self.points.append((self.time, self.behind))
            self.slope = None
        if len(self.points) > _DRIFT_POINTS:
            self._thin_out()

    def _thin_out(self) -> None:
        """Half as many points, of twice the stretch; or the oldest goes."""
        if self.stretch >= _DRIFT_STRETCH:
            del self.points[0]
            return
        self.stretch *= 2
        best: dict[float, tuple[float, float]] = {}
        for point in self.points:
            place = point[0] // self.stretch
            best[place] = min(best.get(place, point), point, key=lambda point: point[1])
        self.points = list(best.values())

    def millionths(self) -> float | None:
        """How much faster the other clock runs; None while that cannot be told."""
        if not self.points or self.points[-1][0] - self.points[0][0] < _DRIFT_SPAN:
            return None
        if self.slope is None:
            self.slope = median(
                (later[1] - point[1]) / (later[0] - point[0])
                for i, point in enumerate(self.points)
                for later in self.points[i + 1 :]
                if later[0] > point[0]
            )
        return -1e6 * self.slope
