"""What `rtspkit._rtp.Receiver` does, in plain Python: the oracle its property tests compare it with.

Written to be read, not to be fast. It keeps all unread bytes in one buffer and looks at it from the start again
whenever more arrive; an access unit is a list of NAL units until it is whole. RFC 2326, 10.12 (interleaved
frames), RFC 3550, 5.1 and appendix A (header, sequence, jitter), RFC 6184 (H.264), RFC 7798 (H.265), RFC 3640
(AAC-hbr), RFC 6416 (LATM), RFC 6716, 3.4 (Opus). Packets over UDP that come before their turn wait in a dictionary.
How NAL units lie in packets stands in `reference_nal`, how AAC lies in LATM in `reference_latm`. Only what a caller can
see has to agree; how it is stored does not.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Any

import reference_latm
from reference_latm import LATM
from reference_nal import H264, H265, SLICES, goes_on, named_sps, recovers
from reference_nal import Fragment as NALFragment

from rtspkit import opus
from rtspkit.errors import LimitExceeded
from rtspkit.latm import StreamMux
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import Fragment, H264Parameters, H265Parameters, Run, Track
from rtspkit.reordering import Reordering

SECOND = 10**9
SYNC, DAMAGED = 1, 2
NAL_CODECS: dict[str, H264 | H265] = {"h264": H264(), "h265": H265()}
MAX_DROPOUT, MAX_MISORDER = 3000, 100
WINDOW = 64
LEAST_PIECE = 900  # bytes
RESUMED_UNITS = 3


def scale(value: int, multiplier: int, divisor: int) -> int:
    """value * multiplier / divisor towards zero."""
    product = abs(value) * multiplier // divisor
    return product if value >= 0 else -product


def difference(a: int, b: int) -> int:
    """a - b of 32-bit timestamps, the shorter way round."""
    return (a - b + 2**31) % 2**32 - 2**31


def is_text(byte: int) -> bool:
    return byte in b"\t\r\n" or 0x20 <= byte < 0x80


@dataclass
class Packet:
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    size: int
    arrival: int = 0


def parse_packet(data: bytes) -> Packet | None:
    """RFC 3550, 5.1; None where the packet contradicts itself."""
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    start, end = 12 + 4 * (data[0] & 0x0F), len(data)
    if data[0] & 0x10:
        if start + 4 > end:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if start > end:
        return None
    if data[0] & 0x20:
        if start == end or not 1 <= data[-1] <= end - start:
            return None
        end -= data[-1]
    return Packet(second >= 0x80, second & 0x7F, sequence, timestamp, ssrc, data[start:end], len(data))


def is_whole_report(data: bytes) -> bool:
    """RFC 3550, 6.1: packets one behind the other, each with its length; junk behind one is none of ours."""
    rest = data
    while len(rest) >= 4 and rest[0] >> 6 == 2:
        size = 4 + 4 * int.from_bytes(rest[2:4], "big")
        if size > len(rest):
            return False
        rest = rest[size:]
    return not rest or (len(rest) >= 4 and rest is not data)


@dataclass
class Unit:
    """An access unit that is arriving."""

    timestamp: int
    pts: int
    arrival: int = 0
    nals: list[bytes] = field(default_factory=list)
    count: int = 0  # of the NAL units that came, kept or not
    partial: bytearray | None = None  # the NAL unit (or AAC unit) that comes in fragments
    whole_size: int = 0  # AAC: what that is to have in the end
    skipped: bool = False
    damaged: bool = False
    vcl: bool = False
    sync: bool = False
    recovers: bool = False  # its SEI says that decoding can start with it
    changed: bool = False  # a parameter set came that was not the one in force

    @property
    def size(self) -> int:
        partial = 0 if self.partial is None else 4 + len(self.partial)
        return sum(4 + len(nal) for nal in self.nals) + partial


@dataclass
class Sample:
    pts: int
    arrival: int
    flags: int
    nals: list[bytes]
    data: bytes
    count: int
    is_whole: bool = True

    @property
    def size(self) -> int:
        return len(self.data)


class TrackState:
    def __init__(self, track: Track, payload_type: int, origin: int | None, aac: tuple[int, int, int, int]) -> None:
        self.track = track
        self.payload_type = payload_type
        self.origin = origin
        self.size_length, self.index_length, self.index_delta_length, self.unit_ticks = aac
        self.latm: LATM | None = None
        self.block_size = 1
        self.next: int | None = None  # extended sequence number
        self.first = self.ssrc = 0
        self.suspect: int | None = None
        self.accepted: set[int] = set()  # extended sequence numbers of this SSRC
        self.former: tuple[int, int] | None = None  # the SSRC before it, and when it changed
        self.waiting: dict[int, Packet] | None = None  # over UDP, by extended sequence number
        self.opening = 0  # before the sequence has begun: the number that would be taken for its first
        self.counters = dict.fromkeys(
            ("received", "lost", "late", "broken", "discarded", "restarts", "units", "damaged_units"), 0
        )
        self.duplicates = self.reordered = self.bytes = self.reports = self.broken_reports = 0
        self.first_arrival = self.parameter_changes = self.units_left_out = 0
        self.loss_policy = "keep"
        self.syncs: list[tuple[int, int, int]] = []  # of each sync sample: unit, pts, arrival
        self.quirks: set[str] = set()
        self.has_marker = self.has_own_sps = False
        self.distances: list[int] = []  # of units, in pts
        self.jitter = self.transit = 0
        self.have_time = self.had_time = False
        self.timestamp = self.ticks = self.arrival = 0
        self.wall: tuple[int, float] | None = None
        self.samples: list[Sample] = []
        self.unit: Unit | None = None
        self.after_loss = self.may_go_on = False
        self.gap = 0  # packets that are missing before the one whose turn it is
        self.rest: int | None = None  # AAC in pieces: the timestamp of the unit whose other pieces are passed over
        self.marker_lies = False
        self.last_timestamp = 0  # of the last unit
        self.irap_pts: int | None = None  # of the last picture that decoding can start with always
        self.order = Reordering(track.clock_rate)
        self.last_pts: int | None = None
        self.run_due = 0
        self.nal = NAL_CODECS.get(track.codec)
        self.references_lost, self.skips_leading = True, False
        self.sets: dict[Any, bytes] = {}
        self.sps: Any = None  # the key of the one in force
        told = track.parameters
        if isinstance(told, H264Parameters | H265Parameters):
            assert self.nal is not None
            vps = (told.vps,) if isinstance(told, H265Parameters) else ()
            for nal in (*vps, told.sps, *told.pps):
                if nal and (key := self.nal.key(nal)) is not None:
                    self.keep(key, nal)

    def keep(self, key: Any, nal: bytes) -> None:
        self.sets[key] = nal
        if self.sps is None and isinstance(key, tuple):
            self.sps = key

    @property
    def is_video(self) -> bool:
        return self.track.codec in NAL_CODECS

    def set_mux(self, mux: StreamMux) -> None:
        rate = self.track.clock_rate
        self.unit_ticks = max(1, min(mux.unit_samples * rate // mux.sample_rate, rate))

    # -- sequence --

    @property
    def due(self) -> int:
        return self.opening if self.next is None else self.next

    def accept(self, packet: Packet) -> bool:
        if self.next is None:
            self.first_arrival = packet.arrival
            if self.waiting:
                behind = (packet.sequence - self.opening) % 65536 + self.opening - packet.sequence
                self.waiting = {number - behind: other for number, other in self.waiting.items()}
            self.start(packet)
        elif packet.ssrc != self.ssrc:
            self.counters["restarts"] += 1
            self.quirks.add("ssrc-changes")
            if packet.sequence != self.next % 65536:
                self.lose()
            self.have_time = False
            self.former = self.ssrc, packet.arrival
            self.start(packet)
        else:
            gap = (packet.sequence - self.next) % 65536
            if gap < MAX_DROPOUT:
                if gap:
                    self.counters["lost"] += gap
                    self.lose(gap)
                self.accepted.add(self.next + gap)
                self.next += gap + 1
                self.suspect = None
            elif gap >= 65536 - MAX_MISORDER:
                behind = 65536 - gap
                if behind <= WINDOW and self.next - behind in self.accepted:
                    self.duplicates += 1
                else:
                    self.counters["late"] += 1
                return False
            elif packet.sequence != self.suspect:
                self.counters["late"] += 1
                self.suspect = (packet.sequence + 1) % 65536
                return False
            else:
                self.counters["restarts"] += 1
                self.quirks.add("sequence-restarts")
                self.lose()
                self.have_time = False
                self.start(packet)
        self.counters["received"] += 1
        self.bytes += packet.size
        return True

    def start(self, packet: Packet) -> None:
        self.ssrc = packet.ssrc
        self.first = packet.sequence
        self.next = packet.sequence + 1
        self.accepted = {packet.sequence}
        self.suspect = None

    def lose(self, count: int = 1) -> None:
        if self.may_go_on and self.marker_lies and self.samples:
            if self.loss_policy == "keep":
                self.counters["damaged_units"] += not self.samples[-1].flags & DAMAGED
                self.samples[-1].flags = DAMAGED
            else:
                self.take_back()
                self.units_left_out += 1
        if self.unit is not None and self.unit.partial is not None and not self.unit.whole_size:
            self.rest = self.unit.timestamp
        self.drop_partial()
        self.after_loss = self.references_lost = True
        self.gap = count
        self.may_go_on = False
        if self.unit is not None:
            self.unit.damaged = True

    def take_back(self) -> Sample:
        last = self.samples.pop()
        self.counters["units"] -= 1
        self.counters["damaged_units"] -= bool(last.flags & DAMAGED)
        return last

    def drop_partial(self) -> None:
        if self.unit is None or self.unit.partial is None:
            return
        self.unit.partial = None
        self.unit.damaged = True
        if not self.is_video:
            self.unit = None
            self.after_loss = True

    def skip_unit(self) -> None:
        assert self.unit is not None
        self.unit.nals.clear()
        self.unit.partial = None
        self.unit.skipped = self.unit.damaged = True
        self.counters["broken"] += 1


class Receiver:
    def __init__(
        self,
        *,
        fragment_duration: float = 1.0,
        low_latency: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        loss_policy: str = "keep",
    ) -> None:
        self.limits = limits
        self.loss_policy = loss_policy
        self.awaits_sync = self.resumes = False
        self.set_latency(fragment_duration, low_latency)
        self.error: LimitExceeded | None = None
        self.bytes_received = self.unknown_bytes = self.resyncs = self.media_arrival = 0
        self.states: list[TrackState] = []
        self.tracks: tuple[Track, ...] = ()
        self.channels: dict[int, tuple[TrackState, bool]] = {}
        self.leading: TrackState | None = None
        self.fragments: list[Fragment] = []
        self.messages: list[bytes] = []
        self.rtcp: list[tuple[int, bytes]] = []
        self.buffer = b""
        self.consumed = 0  # offset of the buffer's first byte
        self.unknown_left = self.garbage = self.garbage_start = 0
        self.started: tuple[int, int] | None = None  # arrival and pts, in ns, of the first packet

    def add_track(
        self,
        track: Track,
        *,
        payload_type: int,
        channels: tuple[int, int] | None = None,
        origin: int | None = None,
        size_length: int = 13,
        index_length: int = 3,
        index_delta_length: int = 3,
        unit_ticks: int = 1024,
        block_size: int = 1,
        stream_mux: StreamMux | None = None,
        read_mux: Any = None,
    ) -> None:
        t = TrackState(track, payload_type, origin, (size_length, index_length, index_delta_length, unit_ticks))
        t.block_size = block_size
        t.loss_policy = self.loss_policy if t.is_video else "keep"
        if stream_mux is not None or read_mux is not None:
            t.latm = LATM(stream_mux, read_mux is not None, read_mux)
        if stream_mux is not None:
            t.set_mux(stream_mux)
        self.states.append(t)
        self.tracks += (track,)
        if channels is None:
            t.waiting = {}
        else:
            self.channels[channels[0]] = t, False
            self.channels.setdefault(channels[1], (t, True))
        if self.leading is None or (not self.leading.is_video and t.is_video):
            self.leading = t

    def set_latency(self, fragment_duration: float, low_latency: bool) -> None:
        self.low_latency = low_latency
        self.wanted_cut: int | None = None
        self.duration = int(fragment_duration * 1e9)

    def take_fragments(self) -> list[Fragment]:
        taken, self.fragments = self.fragments, []
        return taken

    def take_messages(self) -> list[bytes]:
        taken, self.messages = self.messages, []
        return taken

    def take_rtcp(self) -> list[tuple[int, bytes]]:
        taken, self.rtcp = self.rtcp, []
        return taken

    def stats(self, index: int) -> tuple[int, ...]:
        t = self.states[index]
        highest = 0 if t.next is None else t.next - 1
        first, last = (t.syncs[0], t.syncs[-1]) if t.syncs else ((0, 0, 0), (0, 0, 0))
        before = t.syncs[-2] if len(t.syncs) > 1 else last
        return (
            *t.counters.values(),
            *(t.ssrc, t.first, highest, t.jitter >> 4, t.duplicates, t.reordered, 0, 0),
            *(t.bytes, t.reports, t.broken_reports, t.first_arrival, t.arrival),
            *(len(t.syncs), first[2], last[2], last[0] - before[0], last[1] - before[1]),
            *(t.parameter_changes, t.ticks, t.units_left_out),
        )

    def quirks(self, index: int) -> tuple[str, ...]:
        return tuple(sorted(self.states[index].quirks))

    def set_wall_clock(self, index: int, timestamp: int, wall_clock: float) -> None:
        t = self.states[index]
        if t.have_time:
            t.wall = t.ticks + difference(timestamp, t.timestamp), wall_clock

    def wall_clock(self, index: int, pts: int) -> float | None:
        t = self.states[index]
        return None if t.wall is None else t.wall[1] + float(pts - t.wall[0]) / float(t.track.clock_rate)

    def cut_at(self, pts: int) -> None:
        self.wanted_cut = pts if self.low_latency else None
        # an element of LATM that is arriving is none of a run's media yet
        if self.leading is not None and (self.leading.unit is None or self.leading.latm is not None):
            self.cut_after(self.leading)

    def flush(self) -> None:
        self.cut(None)

    def finish(self) -> None:
        for t in self.states:
            while t.waiting:
                self.give_up_gap(t, self.media_arrival)
            if t.is_video:
                self.end_unit(t)
            else:
                t.drop_partial()
        self.cut(None)

    # -- bytes: frames, messages, garbage --

    def feed(self, data: bytes, now: int) -> None:
        self.bytes_received += len(data)
        if self.error is None:
            self.buffer += bytes(data)
        while self.buffer and self.error is None and self.step(now):
            pass

    def drop(self, count: int) -> bytes:
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        self.consumed += len(taken)
        return taken

    def step(self, now: int) -> bool:
        """Takes one thing off the buffer; False where more bytes have to come first."""
        head = self.buffer[0]
        if self.unknown_left:
            self.unknown_left -= len(self.drop(self.unknown_left))
            return True
        if head == ord("$"):
            return self.take_frame(now)
        if 0x41 <= head <= 0x5A:
            return self.take_text()
        if self.garbage or head not in b"\r\n":
            self.take_garbage(1)
        else:
            self.drop(1)
        return True

    def take_garbage(self, count: int) -> None:
        if not self.garbage:
            self.resyncs += 1
            self.garbage_start = self.consumed
        self.garbage += count
        self.drop(count)
        if self.garbage > self.limits.resync_size:
            self.error = LimitExceeded(
                f"no RTSP message or interleaved frame within {self.limits.resync_size} bytes",
                offset=self.garbage_start,
            )

    def take_frame(self, now: int) -> bool:
        if len(self.buffer) < 2:
            return False
        known = self.buffer[1] in self.channels
        if self.garbage and not known:
            self.take_garbage(1)
            return True
        if len(self.buffer) < 4:
            return False
        size = int.from_bytes(self.buffer[2:4], "big")
        if not known:
            self.unknown_bytes += 4 + size
            self.unknown_left = size
            if self.unknown_bytes > self.limits.unknown_channel_size:
                most = self.limits.unknown_channel_size
                self.error = LimitExceeded(
                    f"more than {most} bytes on interleaved channels that were never set up", offset=self.consumed
                )
            self.drop(4)
            return True
        if len(self.buffer) < 4 + size:
            return False
        whole = self.drop(4 + size)
        self.frame(whole[1], whole[4:], now)
        return True

    def take_text(self) -> bool:
        limits = self.limits
        line_start = 0
        for i, byte in enumerate(self.buffer):
            if not is_text(byte):
                for k in range(i):
                    if self.buffer[k] == ord("$") and self.buffer[k + 1] in self.channels:
                        self.take_garbage(k)
                        return True
                self.take_garbage(i + 1)
                return True
            what = None
            if i + 1 - line_start > limits.line_size:
                what = f"a header line is longer than {limits.line_size} bytes"
            elif i + 1 > limits.headers_size:
                what = f"the header lines of a message are longer than {limits.headers_size} bytes"
            if what:
                self.error = LimitExceeded(what, offset=self.consumed, head=self.buffer[: min(i + 1, 32)])
                return True
            if byte == 0x0A:
                if self.buffer[line_start : i + 1] in (b"\n", b"\r\n"):
                    return self.take_message(i + 1)
                line_start = i + 1
        return False

    def take_message(self, header_size: int) -> bool:
        length = 0
        for line in self.buffer[:header_size].split(b"\n"):
            name, colon, value = line.partition(b":")
            if colon and name.strip().lower() == b"content-length":
                value = value.strip()
                if not value.isdigit() or len(value) > 10 or int(value) > self.limits.body_size:
                    self.error = LimitExceeded(
                        f"Content-Length is not a number up to {self.limits.body_size}",
                        offset=self.consumed,
                        head=value,
                    )
                    return True
                length = int(value)
                break
        if len(self.buffer) < header_size + length:
            return False
        message = self.drop(header_size + length)
        if len(self.messages) < 64:
            self.messages.append(message)
        self.garbage = 0
        return True

    # -- datagrams --

    def feed_datagram(self, index: int, is_rtcp: bool, data: bytes, now: int) -> None:
        t = self.states[index]
        self.bytes_received += len(data)
        packet = self.packet(t, is_rtcp, data, now)
        if packet is None:
            return
        assert t.waiting is not None
        if t.next is None and not t.waiting and len(data) <= self.limits.reorder_size:
            t.ssrc = packet.ssrc
            t.opening = 65536 + packet.sequence - WINDOW // 4
            t.waiting[t.opening + WINDOW // 4] = packet
            self.media_arrival = now
            return
        if (t.next is not None or t.waiting) and packet.ssrc != t.ssrc:
            if t.former is not None and t.former[0] == packet.ssrc and now - t.former[1] < self.reorder_time:
                t.counters["late"] += 1
                return
            while t.waiting:
                self.give_up_gap(t, now)
        if (t.next is None and not t.waiting) or packet.ssrc != t.ssrc:
            self.take_turn(t, packet, now)
            return
        gap = (packet.sequence - t.due) % 65536
        if gap >= MAX_DROPOUT:
            is_opening = t.next is None
            while t.waiting and is_opening:
                self.give_up_gap(t, now)
            if packet.sequence == t.suspect and gap < 65536 - MAX_MISORDER:
                while t.waiting:
                    self.give_up_gap(t, now)
                t.suspect = packet.sequence
            self.take_turn(t, packet, now)
            return
        if t.due + gap in t.waiting:
            t.duplicates += 1
            return
        t.reordered += gap < WINDOW and any(t.due + gap < other for other in t.waiting)
        while True:
            is_room = sum(other.size for other in t.waiting.values()) + len(data) <= self.limits.reorder_size
            number = t.due + (packet.sequence - t.due) % 65536
            if t.due < number < t.due + WINDOW and is_room:
                t.waiting[number] = packet
                t.suspect = None
                self.media_arrival = now
                return
            if number == t.due or not any(other < number for other in t.waiting):
                break
            self.give_up_gap(t, now)
        self.take_turn(t, packet, now)
        self.take_following(t, now)

    def take_turn(self, t: TrackState, packet: Packet, now: int) -> None:
        if t.accept(packet):
            self.media_arrival = max(self.media_arrival, packet.arrival)
            self.deliver(t, packet, now)

    def take_following(self, t: TrackState, now: int) -> None:
        assert t.waiting is not None
        while t.next in t.waiting:
            self.take_turn(t, t.waiting.pop(t.next), now)

    def give_up_gap(self, t: TrackState, now: int) -> None:
        assert t.waiting
        self.take_turn(t, t.waiting.pop(min(t.waiting)), now)
        self.take_following(t, now)

    @property
    def reorder_time(self) -> int:
        return int(self.limits.reorder_time * 1e9)

    def next_release(self) -> int | None:
        arrivals = [packet.arrival for t in self.states for packet in (t.waiting or {}).values()]
        return min(arrivals) + self.reorder_time if arrivals else None

    def release(self, now: int) -> None:
        for t in self.states:
            while t.waiting and now - min(packet.arrival for packet in t.waiting.values()) >= self.reorder_time:
                self.give_up_gap(t, now)

    # -- one frame --

    def frame(self, channel: int, data: bytes, now: int) -> None:
        t, is_rtcp = self.channels[channel]
        broken = t.counters["broken"]
        packet = self.packet(t, is_rtcp, data, now)
        if t.counters["broken"] == broken:
            self.garbage = 0
        if packet is not None and t.accept(packet):
            self.media_arrival = now
            self.deliver(t, packet, now)

    def packet(self, t: TrackState, is_rtcp: bool, data: bytes, now: int) -> Packet | None:
        """A packet of the track's payload type."""
        if is_rtcp or (len(data) >= 8 and 200 <= data[1] <= 207):
            t.reports += 1
            if not is_whole_report(data):
                t.broken_reports += 1
            elif len(data) >= 8 and data[1] == 200 and t.next is not None and data[4:8] != t.ssrc.to_bytes(4, "big"):
                t.quirks.add("unknown-ssrc-in-rtcp")
            if len(self.rtcp) < 64:
                self.rtcp.append((t.track.index, data))
            return None
        packet = parse_packet(data)
        if packet is None:
            t.counters["broken"] += 1
            return None
        if packet.payload_type != t.payload_type:
            t.counters["discarded"] += 1
            t.quirks.add("junk-payload-type")
            if t.next is not None and packet.ssrc == t.ssrc and packet.sequence == t.next % 65536 and not t.waiting:
                t.accepted.add(t.next)
                t.next += 1
            return None
        packet.arrival = now
        return packet

    def deliver(self, t: TrackState, packet: Packet, now: int) -> None:
        if self.started is None:
            at = packet.arrival
            self.started = at, 0
            self.started = at, scale(self.first_ticks(t, packet, at), SECOND, t.track.clock_rate)
        if t.is_video:
            self.access_unit(t, packet, now)
        elif t.latm is not None:
            reference_latm.take(self, t, packet, now)
        elif t.track.codec == "aac":
            self.aac(t, packet, now)
        else:
            self.whole_unit(t, packet, now)

    # -- time --

    def first_ticks(self, t: TrackState, packet: Packet, now: int) -> int:
        rate = t.track.clock_rate
        if t.had_time:
            by_arrival = max(1, scale(now - t.arrival, rate, SECOND))
            by_timestamp = difference(packet.timestamp, t.timestamp)
            if abs(by_timestamp - by_arrival) <= 2 * rate:
                return t.ticks + by_timestamp
            if t.counters["units"] and by_arrival <= 3 * t.order.unit + rate // 10:
                return max(t.order.latest + t.order.unit, t.ticks + 1)
            return t.ticks + by_arrival
        assert self.started is not None
        start_arrival, start_time = self.started
        by_arrival = scale(start_time + now - start_arrival, rate, SECOND)
        if t.origin is not None:
            by_origin = difference(packet.timestamp, t.origin)
            if abs(by_origin - by_arrival) <= rate * (10 if now == start_arrival else 2):
                return by_origin
        return by_arrival

    def tick(self, t: TrackState, packet: Packet, now: int) -> int:
        if t.have_time:
            t.ticks += difference(packet.timestamp, t.timestamp)
        else:
            t.ticks = self.first_ticks(t, packet, packet.arrival)
            t.have_time = t.had_time = True
        t.timestamp = packet.timestamp
        t.arrival = now
        transit = scale(packet.arrival, t.track.clock_rate, SECOND) - t.ticks
        if t.transit:
            t.jitter += abs(transit - t.transit) - ((t.jitter + 8) >> 4)
        t.transit = transit
        return t.ticks

    # -- fragments --

    def cut_before(self, t: TrackState, pts: int, now: int) -> None:
        if not t.samples:
            return
        first = t.samples[0]
        waited = now - first.arrival
        if t is self.leading:
            if self.resumes and len(t.samples) >= RESUMED_UNITS:
                full = True
            elif not self.low_latency:
                full = self.is_full(t, pts)
            elif t.order.left:
                full = t.order.is_known and self.is_full(t, t.order.due)
            else:
                full = t.counters["units"] > 2 and self.is_full(t, pts)
            if full or waited >= 2 * self.duration:
                self.cut(pts if t.is_video else None)
        elif waited >= 3 * self.duration:
            self.cut(None)

    def cut_after(self, t: TrackState) -> None:
        can_tell = self.low_latency and t is self.leading and t.samples and not t.marker_lies
        knows = t.order.is_known and (t.order.left or t.counters["units"] > 2)
        if can_tell and knows and self.is_full(t, t.order.due):
            self.cut(None)

    def is_full(self, t: TrackState, due: int) -> bool:
        if self.wanted_cut is not None:
            return due >= self.wanted_cut
        duration = scale(self.duration, t.track.clock_rate, SECOND)
        if self.low_latency:
            return due - t.run_due >= duration - (t.order.unit >> 1)
        return due - t.samples[0].pts >= duration

    def wall_clock_of(self, t: TrackState, pts: int) -> float | None:
        other = next((other for other in (t, *self.states) if other.wall is not None), t)
        return self.wall_clock(other.track.index, scale(pts, other.track.clock_rate, t.track.clock_rate))

    def cut(self, next_pts: int | None) -> None:
        self.wanted_cut = None
        self.resumes = False
        if self.leading is None:
            return
        if self.leading.samples:
            is_sync = bool(self.leading.samples[0].flags & SYNC)
            if self.leading.samples[-1].pts == next_pts:
                next_pts = None
        else:
            is_sync = not self.leading.is_video
        runs: list[Run] = []
        wall = None
        for t in self.states:
            if not t.samples:
                continue
            if not runs:
                wall = self.wall_clock_of(t, t.samples[0].pts)
            records = b"".join(struct.pack("=qqII", s.pts, s.arrival, s.size, s.flags) for s in t.samples)
            runs.append(Run(t.track.index, records, b"".join(s.data for s in t.samples)))
            t.samples = []
        if runs:
            self.fragments.append(Fragment(self.tracks, tuple(runs), is_sync, False, next_pts, wall))

    def add_sample(self, t: TrackState, sample: Sample) -> None:
        if not t.samples:
            t.run_due = t.order.due if t.order.left else sample.pts
        if not t.is_video and t.last_pts is not None and sample.pts < t.last_pts:
            t.order.restart()
        t.order.take(sample.pts)
        if t.last_pts is not None and not t.marker_lies:
            t.distances.append(sample.pts - t.last_pts)
            if t.distances[-2:] == [0, 0]:
                t.quirks.add("timestamps-stand")
            leaps = t.distances[-2:]
            if len(leaps) == 2 and min(leaps) < -5 * t.track.clock_rate and max(leaps) > 5 * t.track.clock_rate:
                t.quirks.add("timestamp-outlier")
        t.last_pts = sample.pts
        number = t.counters["units"]
        if sample.flags & SYNC and not (t.syncs and t.syncs[-1][0] == number):
            t.syncs.append((number, sample.pts, sample.arrival))
            if len(t.syncs) > 1 and t.is_video and not t.has_own_sps:
                t.quirks.add("parameter-sets-only-in-sdp")
        if t.after_loss:
            sample.flags |= DAMAGED
            t.counters["damaged_units"] += 1
        t.after_loss = False
        t.counters["units"] += 1
        t.samples.append(sample)
        if sum(s.size + 24 for s in t.samples) > self.limits.fragment_size:
            self.cut(None)

    # -- H.264, H.265 --

    def access_unit(self, t: TrackState, packet: Packet, now: int) -> None:
        payload, codec = packet.payload, t.nal
        assert codec is not None
        if t.unit is not None and packet.timestamp != t.unit.timestamp:
            if not t.has_marker and t.counters["units"] >= 8:
                t.quirks.add("marker-never-set")
            self.end_unit(t)
            t.after_loss |= t.gap > 0
        t.gap = 0
        pts = self.tick(t, packet, now)
        if t.unit is None:
            lied = t.may_go_on and packet.timestamp == t.last_timestamp and goes_on(codec, payload)
            if lied:
                t.marker_lies = True
                t.quirks.add("marker-within-picture")
            if lied and t.samples:
                self.reopen_unit(t)
            else:
                self.cut_before(t, pts, now)
                t.unit = Unit(packet.timestamp, pts)
            t.may_go_on = False
        unit = t.unit
        assert unit is not None
        unit.arrival = now
        t.last_timestamp = packet.timestamp
        if payload and not unit.skipped:
            found = codec.read(payload)
            if isinstance(found, str):
                t.counters[found] += 1
            elif isinstance(found, NALFragment):
                self.fragment(t, unit, found)
            else:
                t.drop_partial()
                if isinstance(found, list):
                    self.aggregation(t, unit, found[0])
                else:
                    self.whole_nal(t, unit, found)
        t.has_marker |= packet.marker
        if packet.marker and (unit.vcl or unit.skipped):
            t.may_go_on = self.end_unit(t)
            if t.may_go_on:
                self.cut_after(t)
        elif packet.marker and len(payload) >= codec.header_size and codec.word(payload) == "message":
            t.quirks.add("marker-on-sei")

    def reopen_unit(self, t: TrackState) -> None:
        last = t.take_back()
        t.after_loss = bool(last.flags & DAMAGED)
        t.unit = Unit(t.last_timestamp, last.pts, nals=last.nals, count=last.count, vcl=True)
        t.unit.sync = bool(last.flags & SYNC)
        t.unit.damaged = not last.is_whole

    def end_unit(self, t: TrackState) -> bool:
        t.drop_partial()
        unit, t.unit = t.unit, None
        if unit is None:
            return False
        t.after_loss |= unit.damaged
        t.references_lost |= unit.damaged
        if unit.skipped or not unit.vcl or not unit.nals:
            return False
        flags = SYNC if unit.sync and not unit.damaged else 0
        has_sync = bool(t.syncs)
        if t.loss_policy != "keep":
            awaits_sync = t.loss_policy == "skip" and t.after_loss and not flags and has_sync
            if unit.damaged or awaits_sync:
                t.units_left_out += 1
                self.awaits_sync |= t is self.leading and t.loss_policy == "skip" and has_sync
                return False
        if t is self.leading and self.awaits_sync:
            self.awaits_sync, self.resumes = False, True
        data = b"".join(len(nal).to_bytes(4, "big") + nal for nal in unit.nals)
        self.add_sample(t, Sample(unit.pts, unit.arrival, flags, unit.nals, data, unit.count, not unit.damaged))
        return True

    def aggregation(self, t: TrackState, unit: Unit, rest: bytes) -> None:
        while len(rest) >= 2:
            size = int.from_bytes(rest[:2], "big")
            if size == 0:
                t.quirks.add("stap-padding")
                break
            if size > len(rest) - 2:
                t.counters["broken"] += 1
                unit.damaged = True
                break
            self.whole_nal(t, unit, rest[2 : 2 + size])
            rest = rest[2 + size :]

    def fragment(self, t: TrackState, unit: Unit, found: NALFragment) -> None:
        if not found.body:
            t.quirks.add("empty-fragment")
        if found.is_first:
            t.drop_partial()
            nal = found.header + found.body
            if found.is_last:
                t.quirks.add("fu-start-and-end")
                if found.body:
                    self.whole_nal(t, unit, nal)
            elif self.begin_nal(t, unit, nal):
                unit.partial = bytearray(nal)
        elif unit.partial is None:
            t.counters["broken"] += not (t.after_loss or unit.damaged)
            unit.damaged = True
        elif unit.size + len(found.body) > self.limits.access_unit_size:
            t.skip_unit()
        else:
            assert t.nal is not None
            if t.nal.nal_type(unit.partial) != t.nal.nal_type(found.header):
                t.quirks.add("nal-type-changes-in-fu")
            unit.partial += found.body
            if found.is_last:
                nal, unit.partial = bytes(unit.partial), None
                self.end_nal(t, unit, nal)

    def whole_nal(self, t: TrackState, unit: Unit, nal: bytes) -> None:
        assert t.nal is not None
        if unit.skipped:
            return
        if len(nal) < t.nal.header_size:
            t.counters["broken"] += 1
        elif self.begin_nal(t, unit, nal):
            self.end_nal(t, unit, nal)

    def begin_nal(self, t: TrackState, unit: Unit, start: bytes) -> bool:
        """`start`: as much of the NAL unit as is there."""
        assert t.nal is not None
        word, body = t.nal.word(start), start[t.nal.header_size :]
        if unit.count >= self.limits.nal_unit_count or unit.size + 4 + len(start) > self.limits.access_unit_size:
            t.skip_unit()
            return False
        unit.count += 1
        if unit.count > 32:
            t.quirks.add("many-slices")
        if word == "leading" and t.skips_leading:
            unit.skipped = True
            unit.nals.clear()
            return False
        if word in SLICES:
            first_of_picture = body and body[0] & 0x80
            if not unit.vcl and t.after_loss and not first_of_picture:
                unit.damaged = True
            if word in {"sync", "link"}:
                t.irap_pts = unit.pts
            elif unit.recovers and not unit.vcl:
                since = -1 if t.irap_pts is None else unit.pts - t.irap_pts
                if not 0 <= since <= 10 * t.track.clock_rate:
                    word = "sync"
            unit.vcl = True
            if word in {"sync", "link"} and not unit.sync:
                pps = t.sets.get(t.nal.named_pps(body))
                sps = named_sps(t.nal, pps) if pps else None
                if sps != t.sps and sps in t.sets:
                    t.sps = sps
                    self.put_in_force(t, unit, is_change=True)
                unit.sync = True
                t.skips_leading = t.references_lost or word == "link"
                t.references_lost = False
                if t is self.leading and t.samples:
                    self.cut(unit.pts)
        return True

    def end_nal(self, t: TrackState, unit: Unit, nal: bytes) -> None:
        assert t.nal is not None
        word, size = t.nal.word(nal), t.nal.header_size
        if word not in SLICES and b"\x00\x00\x01" in nal:
            unit.count -= 1
            t.quirks.add("annexb-in-rtp")
            for part in nal.split(b"\x00\x00\x01"):
                if part.rstrip(b"\x00"):
                    self.whole_nal(t, unit, part.rstrip(b"\x00"))
            return
        nal = nal[:size] + nal[size:].rstrip(b"\x00")
        if word == "set":
            self.parameter_set(t, unit, nal)
        elif word == "invalid":
            t.counters["broken"] += 1
        elif word == "end":
            t.references_lost = True
        elif word != "left out":
            unit.nals.append(nal)
            unit.recovers |= word == "message" and t.track.codec == "h264" and recovers(nal)

    def parameter_set(self, t: TrackState, unit: Unit, nal: bytes) -> None:
        assert t.nal is not None
        key = t.nal.key(nal) if len(nal) <= self.limits.parameter_set_size else None
        if key is None:
            t.counters["broken"] += 1
            return
        known = t.sets.get(key)
        if isinstance(key, tuple):
            t.has_own_sps = True
            if t.sps is None:
                t.quirks.add("parameter-sets-only-in-band")
        if nal == known:
            return
        t.keep(key, nal)
        self.put_in_force(t, unit, is_change=known is not None)

    def put_in_force(self, t: TrackState, unit: Unit, *, is_change: bool) -> None:
        assert t.nal is not None
        if is_change and not unit.changed:
            t.parameter_changes += 1
            unit.changed = True
        self.cut(unit.pts if t is self.leading else None)
        parameters = t.nal.parameters(t.sets, t.sps)
        if parameters is not None:
            t.track = replace(t.track, parameters=parameters)
            self.tracks = tuple(state.track for state in self.states)

    # -- AAC --

    def aac(self, t: TrackState, packet: Packet, now: int) -> None:
        pts = self.tick(t, packet, now)
        missing = t.gap - (t.rest is not None)
        t.gap = 0
        t.has_marker |= packet.marker
        is_rest = packet.timestamp == t.rest
        if not is_rest or packet.marker:
            t.rest = None
        if is_rest:
            return
        header_bits = int.from_bytes(packet.payload[:2], "big")
        header_size = (header_bits + 7) // 8
        width = t.size_length + t.index_length
        if len(packet.payload) < 2 or not 0 < width <= header_bits or header_size > len(packet.payload) - 2:
            t.counters["broken"] += 1
            return
        header = "".join(f"{byte:08b}" for byte in packet.payload[2 : 2 + header_size])[:header_bits]
        data = packet.payload[2 + header_size :]
        size = int("0" + header[: t.size_length], 2)
        is_piece = size == len(data) and header_bits < width + t.size_length + t.index_delta_length
        if t.unit is not None and t.unit.whole_size == 0 and packet.timestamp != t.unit.timestamp:
            self.end_pieces(t)
        if t.unit is None:
            is_piece = is_piece and not packet.marker and size >= LEAST_PIECE and not adts_size(data)
        elif t.unit.whole_size:
            if packet.timestamp != t.unit.timestamp or size != t.unit.whole_size:
                t.drop_partial()
            is_piece = False
        elif not is_piece:
            t.drop_partial()
        if missing > 0 and is_piece and t.has_marker:
            t.rest = packet.timestamp
            return
        self.cut_before(t, pts, now)
        if is_piece:
            self.aac_piece(t, packet, data, pts, now)
            return
        if t.unit is not None or size > len(data):
            self.aac_fragment(t, packet, data, size, pts=pts, now=now)
            return
        while True:
            index = int("0" + header[t.size_length : width], 2)
            if index or size > len(data):
                t.counters["broken"] += 1
                t.after_loss = True
                break
            self.aac_unit(t, data[:size], pts, now)
            header, data, pts = header[width:], data[size:], pts + t.unit_ticks
            width = t.size_length + t.index_delta_length
            if width == 0 or len(header) < width:
                break
            size = int("0" + header[: t.size_length], 2)
        self.cut_after(t)

    def aac_unit(self, t: TrackState, data: bytes, pts: int, now: int) -> None:
        if adts_size(data):
            t.quirks.add("adts-in-aac")
            data = data[adts_size(data) :]
        if not 0 < len(data) <= self.limits.access_unit_size:
            t.counters["broken"] += 1
            return
        self.add_sample(t, Sample(pts, now, SYNC, [], data, 0))

    def aac_piece(self, t: TrackState, packet: Packet, data: bytes, pts: int, now: int) -> None:
        if t.unit is None:
            t.unit = Unit(packet.timestamp, pts, partial=bytearray())
        assert t.unit.partial is not None
        t.unit.arrival = now
        t.unit.partial += data
        if len(t.unit.partial) > self.limits.access_unit_size:
            t.drop_partial()
            t.counters["broken"] += 1
            t.rest = None if packet.marker else packet.timestamp
        elif packet.marker:
            self.end_pieces(t)

    def end_pieces(self, t: TrackState) -> None:
        unit, t.unit = t.unit, None
        assert unit is not None
        self.add_sample(t, Sample(unit.pts, unit.arrival, SYNC, [], bytes(unit.partial or b""), 0))
        self.cut_after(t)

    def aac_fragment(self, t: TrackState, packet: Packet, data: bytes, size: int, *, pts: int, now: int) -> None:
        if t.unit is None:
            if size > self.limits.access_unit_size:
                t.counters["broken"] += 1
                return
            t.unit = Unit(packet.timestamp, pts, partial=bytearray(), whole_size=size)
        unit = t.unit
        assert unit.partial is not None
        unit.partial += data
        if len(unit.partial) == size:
            t.unit = None
            self.add_sample(t, Sample(unit.pts, now, SYNC, [], bytes(unit.partial), 0))
            self.cut_after(t)
        elif len(unit.partial) > size or packet.marker:
            t.drop_partial()
            t.counters["broken"] += 1

    # -- sound of which each packet is a unit --

    def whole_unit(self, t: TrackState, packet: Packet, now: int) -> None:
        if t.track.codec == "opus" and not is_opus(packet.payload):
            t.counters["broken"] += 1
            return
        pts = self.tick(t, packet, now)
        if not 0 < len(packet.payload) <= self.limits.access_unit_size or len(packet.payload) % t.block_size:
            t.counters["broken"] += 1
            return
        self.cut_before(t, pts, now)
        self.add_sample(t, Sample(pts, now, SYNC, [], packet.payload, 0))
        self.cut_after(t)


def adts_size(data: bytes) -> int:
    """Bytes of the ADTS header that an AAC unit begins with; 0 where it has none."""
    if len(data) > 7 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        size = 7 if data[1] & 1 else 9
        if (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5 == len(data) > size:
            return size
    return 0


def is_opus(packet: bytes) -> bool:
    """RFC 6716, 3.4, [R1] to [R5]; of code 3 the number of frames and what they last."""
    if not packet or packet[0] & 3 == 0:
        return bool(packet)
    if packet[0] & 3 == 1:
        return len(packet) % 2 == 1
    if packet[0] & 3 == 2:
        if len(packet) < 2 or (packet[1] >= 252 and len(packet) < 3):
            return False
        head = 3 if packet[1] >= 252 else 2
        return head + packet[1] + (4 * packet[2] if head == 3 else 0) <= len(packet)
    return opus.packet_samples(packet) > 0


def plain(receiver: Any) -> dict[str, Any]:
    """All that a caller can see of either receiver, as values that compare; takes what is ready."""
    return {
        "fragments": [
            (
                fragment.tracks,
                [(run.track, bytes(run.samples), bytes(run.data)) for run in fragment.runs],
                fragment.is_sync,
                fragment.discontinuity,
                fragment.next_pts,
                fragment.wall_clock,
            )
            for fragment in receiver.take_fragments()
        ],
        "messages": receiver.take_messages(),
        "rtcp": receiver.take_rtcp(),
        "error": (type(receiver.error), str(receiver.error)),
        "counters": (receiver.bytes_received, receiver.unknown_bytes, receiver.resyncs, receiver.media_arrival),
        "awaits sync": receiver.awaits_sync,
    }
