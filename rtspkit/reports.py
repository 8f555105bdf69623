"""A session's RTCP: what the camera's sender reports say, and the receiver reports that answer them.

Strategy: sans-IO, a `Reports` a session; the shell hands it each RTCP packet and sends what `make` gives.
What is made of the camera's clocks stands in `clocks`.

Spec: RFC 3550, 6.2 (interval), 6.4 (reports).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtspkit.errors import RemoteProtocolError
from rtspkit.rtp import parse_rtcp, receiver_report, track_stats

if TYPE_CHECKING:
    from rtspkit.rtp import Receiver, SenderReport, TrackStats

__all__ = ["News", "Reports"]

#: Seconds between receiver reports: 6.2 allows no less than 5; nobody acts on ours over TCP.
_INTERVAL = 10.0


@dataclass(frozen=True, slots=True)
class News:
    """What one RTCP packet says of the track it came for.

    Attributes:
        sender_reports: of that track's source, in their order.
        is_bye: the source is gone.
    """

    sender_reports: tuple[SenderReport, ...] = ()
    is_bye: bool = False


@dataclass(slots=True)
class _Source:
    """What is remembered of one track."""

    reported: TrackStats | None = None  # at our last report
    last_sr: int = 0  # the middle 32 bits of its NTP timestamp …
    last_sr_arrival: float = 0.0  # … and when it came


class Reports:
    """Both directions of the RTCP of one session.

    Args:
        receiver: what the reports are about.
        ssrc: ours.

    Attributes:
        due: the monotonic second at which `make` should be called.
    """

    def __init__(self, receiver: Receiver, ssrc: int) -> None:
        self.due = 0.0
        self._receiver = receiver
        self._ssrc = ssrc
        self._sources: tuple[_Source, ...] = ()

    def begin(self, tracks: int, now: float) -> None:
        """So many tracks play from now on."""
        self._sources = tuple(_Source() for _ in range(tracks))
        self.due = now + _INTERVAL

    def take(self, index: int, packet: bytes, *, now: float) -> News:
        """Reads an RTCP packet of a track.

        Args:
            index: of the track.
            packet: trouble inside a running stream is no reason to end it: what cannot be read is passed over.
            now: monotonic seconds.
        """
        try:
            report = parse_rtcp(packet)
        except RemoteProtocolError:
            return News()
        ssrc = track_stats(self._receiver, index).ssrc
        source = self._sources[index]
        # Tapo reports for sources that send nothing
        found = tuple(sr for sr in report.sender_reports if sr.ssrc == ssrc)
        for sr in found:
            source.last_sr, source.last_sr_arrival = sr.ntp >> 16 & 0xFFFF_FFFF, now
        return News(found, ssrc in report.bye)

    def make(self, now: float) -> list[tuple[int, bytes]]:
        """A receiver report for each track that has had packets since the last one: index and packet."""
        self.due = now + _INTERVAL
        made = []
        for index, source in enumerate(self._sources):
            counters = track_stats(self._receiver, index)
            if counters.received == (source.reported.received if source.reported else 0):
                continue
            packet = receiver_report(
                reporter=self._ssrc,
                stats=counters,
                previous=source.reported,
                last_sr=source.last_sr,
                delay=now - source.last_sr_arrival,
            )
            source.reported = counters
            made.append((index, packet))
        return made
