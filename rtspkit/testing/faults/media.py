"""Faults of the media, and of what stands between them.

Specs: RFC 2326, 10.12 (interleaved frames); RFC 3550, 6.6 (BYE).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtspkit.packetizer import Payload, bye, interleaved_frame, rtp_packet
from rtspkit.testing.carriers import Interleaved
from rtspkit.testing.faults.base import Fault
from rtspkit.testing.playout import Client, Reply

if TYPE_CHECKING:
    from rtspkit.testing.camera import ScriptedCamera, Seen

__all__ = [
    "Ask",
    "Between",
    "Bye",
    "Flood",
    "Freeze",
    "HangUp",
    "HoldBack",
    "Mute",
    "PacketByPacket",
    "Rewrite",
    "WrongLength",
]


@dataclass(eq=False)
class Mute(Fault):
    """Media stop; sender reports, answers and the connection stay.

    Attributes:
        after: so many access units.
        tracks: numbers of the tracks that stop; None: all.
    """

    after: int = 0
    tracks: Container[int] | None = None

    def mutes(self, camera: ScriptedCamera, client: Client, track: int) -> bool:
        return client.units >= self.after and (self.tracks is None or track in self.tracks)


@dataclass(eq=False)
class Freeze(Fault):
    """After PLAY, and so many access units, nothing comes at all: a connection whose other end has lost its power."""

    is_rude = True
    after: int = 0

    def _is_due(self, client: Client) -> bool:
        return client.is_playing and client.units >= self.after

    async def answer(self, camera: ScriptedCamera, client: Client, request: Seen) -> Reply | bytes | None:
        return b"" if self._is_due(client) else None

    def mutes(self, camera: ScriptedCamera, client: Client, track: int) -> bool:
        return self._is_due(client)

    def silences(self, camera: ScriptedCamera, client: Client, track: int) -> bool:
        return self._is_due(client)


@dataclass(eq=False)
class HangUp(Fault):
    """Ends the connection after so many access units.

    Attributes:
        after: so many.
        reset: with RST.
        inside: behind the first half of an interleaved frame.
    """

    after: int = 0
    reset: bool = False
    inside: bool = False

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        if client.units < self.after or not client.is_playing:
            return packets if client.is_playing else []
        carrier = client.carriers[track]
        if self.inside and packets and isinstance(carrier, Interleaved):
            frame = interleaved_frame(carrier.channel, packets[0])
            client.send(frame[: len(frame) // 2])
        client.hang_up(reset=self.reset)
        return []


@dataclass(eq=False)
class Between(Fault):
    """Puts these bytes before every access unit, outside of any interleaved frame."""

    data: bytes = b"\r\n"

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        client.send(self.data)
        return packets


@dataclass(eq=False)
class Flood(Fault):
    """Sends packets on a channel nobody has set up, with every access unit.

    Attributes:
        channel: 0 to 255.
        packet: what is sent.
        count: how often.
    """

    channel: int = 9
    packet: bytes = b"\x80" + bytes(1399)
    count: int = 1

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        client.send(interleaved_frame(self.channel, self.packet) * self.count)
        return packets


@dataclass(eq=False)
class WrongLength(Fault):
    """Every so many interleaved frames one has a length that is off.

    Attributes:
        by: bytes.
        every: so many frames.
    """

    by: int = 7
    every: int = 20
    _count: int = field(default=0, init=False)

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        carrier = client.carriers[track]
        if not isinstance(carrier, Interleaved):
            return packets
        for packet in packets:
            self._count += 1
            off = self.by if self._count % self.every == 0 else 0
            length = max(0, min(0xFFFF, len(packet) + off))
            client.send(bytes((0x24, carrier.channel)) + length.to_bytes(2, "big") + packet)
        return []


@dataclass(eq=False)
class Ask(Fault):
    """Asks the reader something in mid-stream, once a connection; the answer is in `ScriptedCamera.answers`.

    Attributes:
        method: "OPTIONS", "REDIRECT", "ANNOUNCE", "TEARDOWN" …
        after: so many access units.
        headers: further ones than CSeq.
        body: may be empty.
    """

    method: str = "OPTIONS"
    after: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    _asked: set[int] = field(default_factory=set, init=False)

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        if client.units >= self.after and client.number not in self._asked:
            self._asked.add(client.number)
            lines = [f"{self.method} {camera.url} RTSP/1.0", "CSeq: 77"]
            lines += [f"{name}: {value}" for name, value in self.headers.items()]
            if self.body:
                lines.append(f"Content-Length: {len(self.body)}")
            client.send("\r\n".join([*lines, "", ""]).encode() + self.body)
        return packets


@dataclass(eq=False)
class Bye(Fault):
    """Says goodbye by RTCP after so many access units, and sends no more."""

    after: int = 1
    _said: set[tuple[int, int]] = field(default_factory=set, init=False)

    def mutes(self, camera: ScriptedCamera, client: Client, track: int) -> bool:
        if client.units < self.after or track not in client.carriers:
            return False
        if (client.number, track) not in self._said:
            self._said.add((client.number, track))
            client.carriers[track].send([bye(camera.ssrc(track))], is_rtcp=True)
        return True

    def silences(self, camera: ScriptedCamera, client: Client, track: int) -> bool:
        return (client.number, track) in self._said


@dataclass(eq=False)
class HoldBack(Fault):
    """So many access units wait, and are then sent at once."""

    units: int = 10
    _held: dict[Client, list[tuple[int, list[bytes]]]] = field(default_factory=dict, init=False)

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        held = self._held.setdefault(client, [])
        held.append((track, packets))
        if len(held) >= self.units:
            for one, waiting in self._held.pop(client):
                client.carriers[one].send(waiting)
        return []


@dataclass(eq=False)
class Rewrite(Fault):
    """Puts other payloads into the RTP packets of a track's units; they are numbered so that none is missing.

    Attributes:
        change: makes them out of the number of the unit, from 0 for each reader, and its payloads.
        track: number of the track.
    """

    change: Callable[[int, list[Payload]], Iterable[Payload]]
    track: int = 0
    _next: dict[Client, tuple[int, int]] = field(default_factory=dict, init=False)  # unit, sequence number

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        if track != self.track or not packets:
            return packets
        _, kind, wire_sequence, timestamp, ssrc = struct.unpack_from("!BBHII", packets[0])
        unit, sequence = self._next.get(client, (0, wire_sequence))
        # what the camera sends has neither CSRCs nor extensions
        payloads = list(self.change(unit, [Payload(packet[12:], packet[1] >= 0x80) for packet in packets]))
        self._next[client] = (unit + 1, sequence + len(payloads))
        return [
            rtp_packet(
                payload.data,
                payload_type=kind & 0x7F,
                sequence=sequence + number,
                timestamp=timestamp,
                ssrc=ssrc,
                marker=payload.marker,
            )
            for number, payload in enumerate(payloads)
        ]


@dataclass(eq=False)
class PacketByPacket(Fault):
    """Writes every RTP packet by itself."""

    def deliver(self, camera: ScriptedCamera, client: Client, track: int, packets: list[bytes]) -> list[bytes]:
        for packet in packets:
            client.carriers[track].send([packet])
        return []
