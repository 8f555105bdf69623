"""What can be told of a camera from what goes over its link and the access units it makes: counted, not judged.

Strategy: `Findings` is fed with the entries of a `Transcript` and with units as they come, keeps numbers and a few
messages, and can be asked at any time. Memory does not grow with the length of the session.
"""

from __future__ import annotations

import re

from rtspkit.auth import parse_challenges
from rtspkit.formats import payload_codecs
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import AccessUnit
from rtspkit.messages import Request, Response, parse_public, parse_session
from rtspkit.nalpacking import NAL_PACKINGS, NALPacking
from rtspkit.report import Authentication, Timings
from rtspkit.transcript import Entry, Exchange, Transcript

__all__ = ["Findings", "UnitCounts"]


class UnitCounts:
    """What the access units of one track are like.

    Attributes:
        units, damaged, size: how many came, how many of them damaged, and their bytes.
        sync_units: how many sync samples, of video.
        gops: (fewest, most) units from one sync sample to the next, and their ticks likewise; None before the second.
        has_b_pictures: one came with an earlier pts than the one before.
        first, last: when the first and the last arrived.
        first_sync: when the first sync sample did.
    """

    def __init__(self) -> None:
        self.units = self.sync_units = self.damaged = self.size = 0
        self.gop_units: tuple[int, int] | None = None
        self.gop_ticks: tuple[int, int] | None = None
        self.has_b_pictures = False
        self.first = self.last = 0.0
        self.first_sync: float | None = None
        self._since_sync = 0
        self._sync_pts: int | None = None
        self._pts: int | None = None

    def add(self, unit: AccessUnit) -> None:
        """Counts one, in the order of arrival."""
        if not self.units:
            self.first = unit.arrival
        self.last = unit.arrival
        self.units += 1
        self.size += len(unit.data)
        self.damaged += unit.damaged
        if unit.discontinuity:
            self._pts = self._sync_pts = None
        elif self._pts is not None and unit.pts < self._pts:
            self.has_b_pictures = True
        self._pts = unit.pts
        if unit.is_sync and unit.track.kind == "video":
            self.sync_units += 1
            if self.first_sync is None:
                self.first_sync = unit.arrival
            if self._sync_pts is not None:
                self.gop_units = _widened(self.gop_units, self._since_sync)
                self.gop_ticks = _widened(self.gop_ticks, unit.pts - self._sync_pts)
            self._sync_pts, self._since_sync = unit.pts, 0
        self._since_sync += 1

    def rate(self) -> float | None:
        """Units a second; None where too few came to say."""
        span = self.last - self.first
        return (self.units - 1) / span if self.units >= 10 and span > 0.5 else None

    def bitrate(self) -> float | None:
        """Bits a second; None where too few units came to say."""
        rate = self.rate()
        return None if rate is None else 8 * self.size / self.units * rate


def _widened(span: tuple[int, int] | None, value: int) -> tuple[int, int]:
    return (value, value) if span is None else (min(span[0], value), max(span[1], value))


class Findings:
    """Of one camera.

    Args:
        started: when the connection was begun, in the seconds of the entries.
        limits: bounds on the description.

    Attributes:
        counts: of the units, by the index of their track.
        foreign: the first bytes that were no RTSP, b"" where all were: HTTP, TLS, or nothing known.
    """

    def __init__(self, started: float, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.transcript = Transcript(limits=limits)
        self.counts: dict[int, UnitCounts] = {}
        self.foreign = b""
        self._started = started
        self._connected: float | None = None
        self._first_packet: float | None = None
        self._codecs: dict[int, str] = {}  # by payload type
        self._in_band: set[int] = set()  # SSRCs that send parameter sets

    # -- feeding

    def feed(self, entries: list[Entry]) -> None:
        """What went over the link."""
        for entry in entries:
            if entry.way == "out":
                if self._connected is None and entry.socket is None:
                    self._connected = entry.at
                continue
            packet = entry.packet
            if packet is not None:
                self._on_packet(entry.at, packet)
            elif isinstance(entry.message, Request | Response):
                self._codecs |= payload_codecs(entry.message.body)
            elif not self.foreign:
                self.foreign = entry.raw[:64]

    def _on_packet(self, at: float, packet: bytes) -> None:
        if len(packet) < 12 or packet[0] >> 6 != 2 or 200 <= packet[1] <= 207:  # RTCP (RFC 5761, 4)
            return
        if self._first_packet is None:
            self._first_packet = at
        ssrc = int.from_bytes(packet[8:12])
        packing = NAL_PACKINGS.get(self._codecs.get(packet[1] & 0x7F, ""))
        if packing and len(self._in_band) < 64 and ssrc not in self._in_band and _holds_sps(packet, packing):
            self._in_band.add(ssrc)

    def add_unit(self, unit: AccessUnit) -> None:
        """An access unit that came."""
        self.counts.setdefault(unit.track.index, UnitCounts()).add(unit)

    # -- asking

    @property
    def is_connected(self) -> bool:
        """Something was sent to the camera."""
        return self._connected is not None

    def exchanges(self, method: str) -> list[Exchange]:
        """The requests of that method on the last connection."""
        last = self.transcript.connection
        return [one for one in self.transcript.exchanges if one.connection == last and one.request.method == method]

    def responses(self) -> list[Response]:
        """All answers."""
        return [one.response for one in self.transcript.exchanges if one.response is not None]

    def timings(self) -> Timings:
        """How long things took."""
        play = self.exchanges("PLAY")
        played = play[0].asked if play else None

        def since_play(at: float | None) -> float | None:
            return None if at is None or played is None or at < played else at - played

        steps = {name.lower(): self._step(name) for name in ("DESCRIBE", "SETUP", "PLAY")}
        syncs = [one.first_sync for one in self.counts.values() if one.first_sync is not None]
        return Timings(
            connect=None if self._connected is None else self._connected - self._started,
            first_packet=since_play(self._first_packet),
            first_sync=since_play(min(syncs, default=None)),
            **steps,
        )

    def _step(self, method: str) -> float | None:
        """Seconds for all requests of that method, where the last was granted."""
        exchanges = self.exchanges(method)
        if not exchanges or not 200 <= exchanges[-1].status < 300:
            return None
        return sum(one.seconds for one in exchanges)

    def server(self) -> str | None:
        """What the camera calls itself."""
        for response in reversed(self.responses()):
            name = response.headers.get("Server")
            if name and name.strip():
                return re.sub(r"[^\x20-\x7e]", "?", name.strip())[:100]
        return None

    def methods(self) -> tuple[str, ...]:
        """What it says it can do."""
        found: tuple[str, ...] = ()
        for one in self.transcript.exchanges:
            if one.request.method == "OPTIONS" and one.response is not None:
                headers = one.response.headers
                found = parse_public(headers.get_all("Public") or headers.get_all("Allow")) or found
        return found

    def session_timeout(self) -> int | None:
        """Seconds, of the last Session header that has some."""
        for response in reversed(self.responses()):
            session = parse_session(response.headers.get("Session") or "")
            if session is not None and session.timeout is not None:
                return session.timeout
        return None

    def authentication(self, *, is_secure: bool) -> Authentication | None:
        """How credentials were given, or else how they were asked for; None where neither came to be."""
        granted = [one for one in self.transcript.exchanges if 200 <= one.status < 300]
        if not any(one.request.method != "OPTIONS" for one in granted):
            return self._asked_for(is_secure=is_secure)
        value = granted[-1].request.headers.get("Authorization") or "none"
        scheme = value.split(" ", 1)[0]
        if scheme != "Digest":
            return Authentication(scheme, in_clear=scheme == "Basic" and not is_secure)
        algorithm = re.search(r"algorithm=\"?([\w-]+)", value)
        return Authentication(scheme, algorithm[1].upper() if algorithm else "MD5")

    def _asked_for(self, *, is_secure: bool) -> Authentication | None:
        challenges = [
            challenge
            for response in self.responses()
            for challenge in parse_challenges(response.headers.get_all("WWW-Authenticate"))
            if challenge.strength
        ]
        best = max(challenges, key=lambda one: one.strength, default=None)
        if best is None:
            return None
        if best.scheme == "Basic":
            return Authentication("Basic", in_clear=not is_secure)
        return Authentication(best.scheme, best.algorithm or "MD5")

    def has_in_band_sets(self, ssrc: int) -> bool:
        """Whether parameter sets came in that stream."""
        return ssrc in self._in_band


def _holds_sps(packet: bytes, packing: NALPacking) -> bool:
    """Whether an RTP packet has a sequence parameter set in it."""
    start = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4])
    return packing.sps in packing.nal_types(packet[start:])
