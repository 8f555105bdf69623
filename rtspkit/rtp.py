"""The public face of RTP: packets, receivers, access units, and the cold half: RTCP and its clocks.

The hot half, from the bytes of a connection to closed fragments, is `Receiver` (`_rtp.pyx`). What happens
a few times a second at most is plain Python here: reading sender reports (RFC 3550, 6.4.1), writing
receiver reports (6.4.2), turning a fragment into access units.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from rtspkit import _rtp
from rtspkit._rtp import DatagramDrain, Drain, Receiver
from rtspkit.errors import RemoteProtocolError
from rtspkit.media import SAMPLE, AccessUnit, Fragment, Run

__all__ = [
    "DatagramDrain",
    "Drain",
    "RTCPReport",
    "RTPPacket",
    "Receiver",
    "SenderReport",
    "TrackStats",
    "access_units",
    "ntp_to_unix",
    "parse_packet",
    "parse_rtcp",
    "picture_loss_indication",
    "receiver_report",
    "track_stats",
]

#: Seconds from 1900, where NTP timestamps begin, to 1970.
NTP_EPOCH = 2_208_988_800

_SR, _RR, _SDES, _BYE, _PSFB = 200, 201, 202, 203, 206
#: Feedback message type of a picture loss indication (RFC 4585, 6.3.1).
_PLI = 1


class RTPPacket(NamedTuple):
    """One RTP packet (RFC 3550, 5.1).

    Attributes:
        extension: (profile, data) of the header extension; None without one.
        padding: bytes of padding, which `payload` does not contain.
    """

    marker: bool
    payload_type: int
    sequence_number: int
    timestamp: int
    ssrc: int
    csrc: tuple[int, ...]
    extension: tuple[int, bytes] | None
    padding: int
    payload: bytes


class TrackStats(NamedTuple):
    """What a `Receiver` counted on one track.

    Attributes:
        received: packets that were accepted.
        lost: packets missing in the sequence.
        late: packets whose place was given up before they came, or of a sequence that nothing confirmed.
        broken: packets or units that contradict themselves.
        discarded: packets of another payload type or of a packetization nobody asked for.
        restarts: changes of SSRC, and sequence numbers that began anew.
        units: access units delivered.
        damaged_units: those of them before or within which packets were lost.
        ssrc: the sender's, of the last packet.
        first_sequence: sequence number of the first packet of this SSRC.
        extended_sequence: highest sequence number, extended by its wraps (RFC 3550, A.1).
        jitter: interarrival jitter in ticks (RFC 3550, A.8); over TCP the arrivals are the reads'.
        duplicates: packets that came again.
        reordered: packets over UDP that came after a later one, and were put in their place.
        foreign: datagrams from another address or port than the camera's.
        kernel_drops: datagrams the system had no room for, where it was asked to tell (SO_RXQ_OVFL).
        bytes: of the packets that were accepted, with their headers.
        reports: RTCP packets.
        broken_reports: those of them whose lengths contradict themselves.
        first_arrival, arrival: monotonic ns at which the first and the last packet came; 0 before.
        sync_samples: access units at which a reader can start.
        first_sync_arrival, sync_arrival: monotonic ns at which the first and the last of them came; 0 before.
        gop_units, gop_ticks: access units and ticks from the last but one of them to the last; 0 before.
        parameter_changes: access units that brought parameter sets other than those in force.
        ticks: pts of the last packet.
        units_left_out: access units of video that came and were not delivered, for packets of them or before them were
            lost (`rtspkit.options.CameraOptions.loss_policy`).
    """

    received: int
    lost: int
    late: int
    broken: int
    discarded: int
    restarts: int
    units: int
    damaged_units: int
    ssrc: int
    first_sequence: int
    extended_sequence: int
    jitter: int
    duplicates: int = 0
    reordered: int = 0
    foreign: int = 0
    kernel_drops: int = 0
    bytes: int = 0
    reports: int = 0
    broken_reports: int = 0
    first_arrival: int = 0
    arrival: int = 0
    sync_samples: int = 0
    first_sync_arrival: int = 0
    sync_arrival: int = 0
    gop_units: int = 0
    gop_ticks: int = 0
    parameter_changes: int = 0
    ticks: int = 0
    units_left_out: int = 0


def parse_packet(data: bytes) -> RTPPacket:
    """Reads one RTP packet.

    Raises:
        RemoteProtocolError: the header, extension or padding reach past the packet's end.
    """
    return RTPPacket(*_rtp.parse_packet(data))


def track_stats(receiver: Receiver, index: int) -> TrackStats:
    """The counters of the track with that index."""
    return TrackStats(*receiver.stats(index))


def access_units(fragment: Fragment) -> Iterator[AccessUnit]:
    """The access units of a fragment, all tracks, in the order in which they arrived."""
    runs = [list(_units(fragment, run)) for run in fragment.runs]
    if len(runs) == 1:
        yield from runs[0]
    else:
        yield from sorted((unit for run in runs for unit in run), key=lambda unit: unit.arrival)


def _units(fragment: Fragment, run: Run) -> Iterator[AccessUnit]:
    track = fragment.tracks[run.track]
    data = memoryview(run.data)
    start = 0
    first_pts: int | None = None
    for pts, arrival, size, flags in SAMPLE.iter_unpack(run.samples):
        if first_pts is None:
            first_pts = pts
        wall_clock = None
        if fragment.wall_clock is not None and run is fragment.runs[0]:
            wall_clock = fragment.wall_clock + (pts - first_pts) / track.clock_rate
        yield AccessUnit(
            track=track,
            pts=pts,
            is_sync=bool(flags & 1),
            data=bytes(data[start : start + size]),
            arrival=arrival / 1e9,
            damaged=bool(flags & 2),
            discontinuity=fragment.discontinuity and pts == first_pts,
            wall_clock=wall_clock,
        )
        start += size


# -- RTCP ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SenderReport:
    """A sender's clock: `ntp` (64 bits, seconds since 1900 in 32.32) was the instant of `rtp_timestamp`."""

    ssrc: int
    ntp: int
    rtp_timestamp: int
    packets: int
    octets: int

    @property
    def wall_clock(self) -> float:
        """The instant in Unix seconds; nothing promises that the camera's clock is right."""
        return ntp_to_unix(self.ntp)


@dataclass(frozen=True, slots=True)
class RTCPReport:
    """What matters of one compound packet: sender reports and the sources that said BYE."""

    sender_reports: tuple[SenderReport, ...] = ()
    bye: tuple[int, ...] = ()


def ntp_to_unix(ntp: int) -> float:
    """Unix seconds of a 64-bit NTP timestamp; its second era begins in 2036 (RFC 5905, 6)."""
    seconds = ntp >> 32
    if seconds < NTP_EPOCH and not seconds & 0x8000_0000:
        seconds += 1 << 32
    return seconds - NTP_EPOCH + (ntp & 0xFFFF_FFFF) / (1 << 32)


def parse_rtcp(data: bytes) -> RTCPReport:
    """Reads an RTCP compound packet (RFC 3550, 6.1); packet types nobody needs are passed over.

    Args:
        data: one compound packet, as it came in one datagram or interleaved frame.

    Raises:
        RemoteProtocolError: a length reaches past the end, or it is not RTCP at all.
    """
    reports: list[SenderReport] = []
    bye: list[int] = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < 4:
            raise RemoteProtocolError("RTCP packet is cut off", offset=offset, head=data)
        first, packet_type, words = struct.unpack_from("!BBH", data, offset)
        end = offset + 4 + 4 * words
        if first >> 6 != 2:
            if offset:
                break  # junk behind a whole packet: what came before it is good
            raise RemoteProtocolError("not an RTCP packet", offset=offset, head=data[offset:])
        if end > len(data):
            raise RemoteProtocolError("RTCP packet reaches past its end", offset=offset, head=data[offset:])
        body = data[offset + 4 : end]
        count = first & 0x1F
        if first & 0x20:
            if not body or not 0 < body[-1] <= len(body):
                raise RemoteProtocolError("RTCP padding reaches past the packet", offset=offset, head=data[offset:])
            body = body[: -body[-1]]
        if packet_type == _SR:
            if len(body) < 24 + 24 * count:
                raise RemoteProtocolError("RTCP sender report is cut off", offset=offset, head=data[offset:])
            reports.append(SenderReport(*struct.unpack_from("!IQIII", body)))
        elif packet_type == _RR:
            if len(body) < 4 + 24 * count:
                raise RemoteProtocolError("RTCP receiver report is cut off", offset=offset, head=data[offset:])
        elif packet_type == _BYE:
            if len(body) < 4 * count:
                raise RemoteProtocolError("RTCP BYE is cut off", offset=offset, head=data[offset:])
            bye.extend(struct.unpack_from(f"!{count}I", body))
        offset = end
    return RTCPReport(tuple(reports), tuple(bye))


def receiver_report(
    *,
    reporter: int,
    stats: TrackStats,
    previous: TrackStats | None,
    last_sr: int = 0,
    delay: float = 0.0,
) -> bytes:
    """A compound packet of one receiver report and the CNAME that RFC 3550, 6.1 asks for.

    Args:
        reporter: our own SSRC.
        stats: the track's counters now.
        previous: the same at the last report of this track; None for the first.
        last_sr: middle 32 bits of the NTP timestamp of the last sender report; 0 for none.
        delay: seconds since that report arrived.
    """
    lost = stats.lost - (previous.lost if previous else 0)
    expected = lost + stats.received - (previous.received if previous else 0)
    fraction = min(255, lost * 256 // expected) if expected > 0 else 0
    report = struct.pack(
        "!BBHIIIIIII",
        0x81,
        _RR,
        7,
        reporter,
        stats.ssrc,
        fraction << 24 | min(stats.lost, 0x7F_FFFF),
        stats.extended_sequence & 0xFFFF_FFFF,
        stats.jitter & 0xFFFF_FFFF,
        last_sr,
        int(delay * 65536) & 0xFFFF_FFFF if last_sr else 0,
    )
    cname = b"\x01\x07rtspkit\x00\x00\x00"  # the item, and the zeros that end the list on a word boundary
    sdes = struct.pack("!BBHI", 0x81, _SDES, 1 + len(cname) // 4, reporter) + cname
    return report + sdes


def picture_loss_indication(*, reporter: int, source: int) -> bytes:
    """A compound packet that asks for a sync sample (RFC 4585, 6.3.1); cameras may ignore it.

    Args:
        reporter: our own SSRC.
        source: the SSRC of the video.
    """
    # a compound packet begins with a report, of nobody here (RFC 3550, 6.1)
    report = struct.pack("!BBHI", 0x80, _RR, 1, reporter)
    return report + struct.pack("!BBHII", 0x80 | _PLI, _PSFB, 2, reporter, source)
