"""Access units -> RTP packets: the sending half of RTP, for the test camera, the tests and the benches.

Strategy: pure functions over bytes. `packetize_h264` (RFC 6184, packetization-mode 1: single NAL unit
packets, STAP-A, FU-A), `packetize_h265` (RFC 7798: single NAL unit packets, AP, FU) and `packetize_aac`
(RFC 3640, mode AAC-hbr) give payloads; `rtp_packet` puts the header of RFC 3550, 5.1 before one,
`interleaved_frame` the four bytes of RFC 2326, 10.12. `RTPSender` keeps the little state a sender has. The
receiving half lives elsewhere and shares no code with this one, so that each is a check on the other.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from rtspkit.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "MAX_PAYLOAD_SIZE",
    "Payload",
    "RTPSender",
    "bye",
    "interleaved_frame",
    "ntp_timestamp",
    "packetize_aac",
    "packetize_h264",
    "packetize_h265",
    "packetize_latm",
    "packetize_sound",
    "rtp_packet",
    "sender_report",
    "stream_mux_config",
]

#: Bytes of one RTP payload: leaves room for every header within an Ethernet packet of 1500 bytes.
MAX_PAYLOAD_SIZE = 1400

STAP_A = 24
FU_A = 28
AP = 48
FU = 49
FU_START = 0x80
FU_END = 0x40

RTCP_SR = 200
RTCP_SDES = 202
RTCP_BYE = 203

#: Seconds from 1900 (NTP) to 1970 (Unix).
NTP_OFFSET = 2_208_988_800


class Payload(NamedTuple):
    """What one RTP packet carries.

    Attributes:
        data: the payload.
        marker: the RTP marker bit: the access unit (or the last of several) ends with this packet.
        first: AAC: index, in the sequence given, of the first access unit that has bytes in here; the
            packet's timestamp is that unit's. H.264, H.265: 0, all packets share one timestamp.
    """

    data: bytes
    marker: bool
    first: int = 0


def packetize_h264(
    nal_units: Sequence[bytes], *, max_size: int = MAX_PAYLOAD_SIZE, aggregate: bool = True
) -> list[Payload]:
    """Cut one H.264 access unit into RTP payloads.

    Args:
        nal_units: the NAL units of the access unit, each with its header byte, without start code.
        max_size: bytes of the largest payload, 3 or more.
        aggregate: put consecutive small NAL units together (STAP-A) where they fit.

    Returns:
        The payloads in order; the last has the marker.

    Raises:
        LocalProtocolError: an empty NAL unit, a type outside 1-23, or `max_size` under 3.
    """
    for nal in nal_units:
        if not nal or not 1 <= nal[0] & 0x1F <= 23:
            raise LocalProtocolError(f"not a NAL unit RTP can carry: {bytes(nal[:8]).hex(' ') or 'empty'}")
    return _nal_payloads(nal_units, max_size, aggregate, header_size=1, join=stap_a, cut=fu_a)


def packetize_h265(
    nal_units: Sequence[bytes], *, max_size: int = MAX_PAYLOAD_SIZE, aggregate: bool = True
) -> list[Payload]:
    """Cut one H.265 access unit into RTP payloads (RFC 7798, without decoding order numbers).

    Args:
        nal_units: the NAL units of the access unit, each with its two header bytes, without start code.
        max_size: bytes of the largest payload, 4 or more.
        aggregate: put consecutive small NAL units together (AP) where they fit.

    Returns:
        The payloads in order; the last has the marker.

    Raises:
        LocalProtocolError: a NAL unit without a whole header, a type above 47, or `max_size` under 4.
    """
    for nal in nal_units:
        if len(nal) < 2 or nal[0] >> 1 & 0x3F > 47:
            raise LocalProtocolError(f"not a NAL unit RTP can carry: {bytes(nal[:8]).hex(' ') or 'empty'}")
    return _nal_payloads(
        nal_units, max_size, aggregate, header_size=2, join=aggregation_packet, cut=fragmentation_units
    )


def _nal_payloads(
    nal_units: Sequence[bytes],
    max_size: int,
    aggregate: bool,
    *,
    header_size: int,
    join: Callable[[Sequence[bytes]], bytes],
    cut: Callable[[bytes, int], list[bytes]],
) -> list[Payload]:
    """NAL units as they are where they fit, else cut; small ones together."""
    if max_size < header_size + 2:
        raise LocalProtocolError(f"max_size {max_size} leaves no room for a fragment: use {header_size + 2} or more")
    payloads: list[bytes] = []
    waiting: list[bytes] = []  # small NAL units that may share a packet
    room = max_size - header_size

    def flush() -> None:
        nonlocal room
        if len(waiting) == 1:
            payloads.append(bytes(waiting[0]))
        elif waiting:
            payloads.append(join(waiting))
        waiting.clear()
        room = max_size - header_size

    for nal in nal_units:
        if len(nal) > max_size:
            flush()
            payloads += cut(nal, max_size)
            continue
        if not aggregate or len(nal) + 2 > room or len(nal) > 0xFFFF:
            flush()
        waiting.append(nal)
        room -= len(nal) + 2
    flush()
    last = len(payloads) - 1
    return [Payload(data, i == last) for i, data in enumerate(payloads)]


def stap_a(nal_units: Sequence[bytes]) -> bytes:
    """One STAP-A payload (RFC 6184, 5.7.1): the highest NRI of its members, F if any has it."""
    forbidden = max(nal[0] & 0x80 for nal in nal_units)
    nri = max(nal[0] & 0x60 for nal in nal_units)
    parts = [bytes((forbidden | nri | STAP_A,))]
    for nal in nal_units:
        parts += (len(nal).to_bytes(2, "big"), nal)
    return b"".join(parts)


def fu_a(nal: bytes, max_size: int) -> list[bytes]:
    """One NAL unit as FU-A payloads (RFC 6184, 5.8) of at most `max_size` bytes each."""
    return _fragments(bytes(((nal[0] & 0xE0) | FU_A,)), nal[0] & 0x1F, memoryview(nal)[1:], max_size)


def aggregation_packet(nal_units: Sequence[bytes]) -> bytes:
    """One AP payload (RFC 7798, 4.4.2): F if any member has it, their lowest layer and temporal id."""
    forbidden = max(nal[0] & 0x80 for nal in nal_units)
    layer = min((nal[0] & 1) << 5 | nal[1] >> 3 for nal in nal_units)
    temporal = min(nal[1] & 7 for nal in nal_units)
    parts = [bytes((forbidden | AP << 1 | layer >> 5, (layer & 0x1F) << 3 | temporal))]
    for nal in nal_units:
        parts += (len(nal).to_bytes(2, "big"), nal)
    return b"".join(parts)


def fragmentation_units(nal: bytes, max_size: int) -> list[bytes]:
    """One NAL unit as FU payloads (RFC 7798, 4.4.3) of at most `max_size` bytes each."""
    header = bytes(((nal[0] & 0x81) | FU << 1, nal[1]))
    return _fragments(header, nal[0] >> 1 & 0x3F, memoryview(nal)[2:], max_size)


def _fragments(header: bytes, kind: int, body: memoryview, max_size: int) -> list[bytes]:
    """Pieces of a NAL unit's body, each behind the payload's header and an FU header with its type."""
    step = max_size - len(header) - 1
    payloads = []
    for at in range(0, len(body), step):
        flags = (FU_START if at == 0 else 0) | (FU_END if at + step >= len(body) else 0)
        payloads.append(header + bytes((flags | kind,)) + body[at : at + step])
    return payloads


def packetize_aac(
    units: Sequence[bytes],
    *,
    max_size: int = MAX_PAYLOAD_SIZE,
    per_packet: int = 1,
    size_length: int = 13,
    index_length: int = 3,
    index_delta_length: int = 3,
) -> list[Payload]:
    """Put AAC access units into RTP payloads (RFC 3640, 3.2; not interleaved).

    Args:
        units: consecutive raw access units (without ADTS headers).
        max_size: bytes of the largest payload; a unit that is longer goes out in fragments.
        per_packet: at most so many whole units in one packet.
        size_length: bits of AU-size (13 in AAC-hbr, 6 in AAC-lbr).
        index_length: bits of AU-Index.
        index_delta_length: bits of AU-Index-delta.

    Raises:
        LocalProtocolError: an empty unit, one too long for AU-size, or `max_size` without room for a byte.
    """
    first_bits = size_length + index_length
    next_bits = size_length + index_delta_length
    head = 2 + (first_bits + 7) // 8  # of a packet with one unit
    if max_size <= head or per_packet < 1:
        raise LocalProtocolError(f"max_size {max_size} or per_packet {per_packet} leaves no room for an access unit")
    for unit in units:
        if not 0 < len(unit) < 1 << size_length:
            raise LocalProtocolError(f"an AAC access unit of {len(unit)} bytes does not fit {size_length} bits")

    def headers(sizes: Sequence[int]) -> bytes:
        value = bits = 0
        for i, size in enumerate(sizes):  # index and index delta are 0: nothing is interleaved
            width = next_bits if i else first_bits
            value = value << width | size << (width - size_length)
            bits += width
        padding = -bits % 8
        return struct.pack("!H", bits) + (value << padding).to_bytes((bits + 7) // 8, "big")

    payloads: list[Payload] = []
    i = 0
    while i < len(units):
        if head + len(units[i]) > max_size:
            room = max_size - head
            for at in range(0, len(units[i]), room):
                piece = units[i][at : at + room]
                payloads.append(Payload(headers((len(units[i]),)) + piece, at + room >= len(units[i]), i))
            i += 1
            continue
        end = i + 1
        size = len(units[i])
        while end < len(units) and end - i < per_packet:
            bits = first_bits + next_bits * (end - i)
            if 2 + (bits + 7) // 8 + size + len(units[end]) > max_size:
                break
            size += len(units[end])
            end += 1
        group = units[i:end]
        payloads.append(Payload(headers([len(unit) for unit in group]) + b"".join(group), True, i))
        i = end
    return payloads


def stream_mux_config(config: bytes, *, units: int = 1) -> bytes:
    """A StreamMuxConfig (ISO/IEC 14496-3, 1.7.3.2) of one layer whose access units say their lengths.

    Args:
        config: an AudioSpecificConfig that fills its bytes, such as `rtspkit.aac.build_config` gives.
        units: access units in an element, 1 to 64.

    Raises:
        LocalProtocolError: another number of units.
    """
    bits = _stream_mux_bits(config, units)
    return _to_bytes(bits)


def _stream_mux_bits(config: bytes, units: int) -> str:
    if not 1 <= units <= 64:
        raise LocalProtocolError(f"{units} access units in a LATM element: 1 to 64 fit")
    # version 0, one time framing; units, one program, one layer; the AudioSpecificConfig; frameLengthType 0, buffer
    # fullness unknown; no other data, no checksum
    middle = "".join(f"{byte:08b}" for byte in config)
    return f"01{units - 1:06b}{0:04b}{0:03b}{middle}{0:03b}{0xFF:08b}00"


def _to_bytes(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int("0" + bits, 2).to_bytes(len(bits) // 8)


def packetize_latm(
    units: Sequence[bytes],
    *,
    max_size: int = MAX_PAYLOAD_SIZE,
    per_element: int = 1,
    config: bytes | None = None,
    repeat: int = 1,
) -> list[Payload]:
    """Put AAC access units into LATM elements, and those into RTP payloads (RFC 6416, 6.1).

    Args:
        units: consecutive raw access units (without ADTS headers); a multiple of `per_element`.
        max_size: bytes of the largest payload; an element that is longer goes out in fragments.
        per_element: access units in an element.
        config: an AudioSpecificConfig that goes in band; None: it stands in the SDP (cpresent=0).
        repeat: the configuration stands in every element of that number; the others use it again.

    Raises:
        LocalProtocolError: units that do not fill their elements, or `max_size` without room for a byte.
    """
    if max_size < 1 or len(units) % per_element:
        raise LocalProtocolError(f"max_size {max_size}, or {len(units)} units that are no multiple of {per_element}")
    payloads: list[Payload] = []
    for first in range(0, len(units), per_element):
        element = b"".join(
            b"\xff" * (len(unit) // 255) + bytes((len(unit) % 255,)) + unit
            for unit in units[first : first + per_element]
        )
        if config is not None:
            is_told = first // per_element % repeat == 0
            head = "0" + _stream_mux_bits(config, per_element) if is_told else "1"  # useSameStreamMux
            element = _to_bytes(head + "".join(f"{byte:08b}" for byte in element))
        payloads += [
            Payload(element[at : at + max_size], at + max_size >= len(element), first)
            for at in range(0, len(element), max_size)
        ]
    return payloads


def packetize_sound(unit: bytes, *, max_size: int = MAX_PAYLOAD_SIZE) -> list[Payload]:
    """The payload of one unit of sound that is a packet: Opus (RFC 7587), G.711, G.722, G.726, L16 (RFC 3551, 4.5).

    Args:
        unit: an Opus packet, or coded samples.
        max_size: bytes of the largest payload.

    Raises:
        LocalProtocolError: it is empty, or does not fit: such units are not divided.
    """
    if not 0 < len(unit) <= max_size:
        raise LocalProtocolError(f"a unit of {len(unit)} bytes is no packet of 1 to {max_size}")
    return [Payload(unit, False)]


def rtp_packet(
    payload: bytes,
    *,
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    marker: bool = False,
    csrc: Sequence[int] = (),
    extension: tuple[int, bytes] | None = None,
    padding: int = 0,
) -> bytes:
    """One RTP packet (RFC 3550, 5.1). Sequence number and timestamp are taken modulo their width.

    Args:
        payload: what it carries.
        payload_type: 0-127.
        sequence: extended sequence number; the low 16 bits are sent.
        timestamp: extended timestamp; the low 32 bits are sent.
        ssrc: of the sender.
        marker: the marker bit.
        csrc: up to 15 contributing sources.
        extension: profile and data (a multiple of 4 bytes) of a header extension.
        padding: bytes of padding behind the payload, 0-255, its last byte saying how many.
    """
    first = 0x80 | len(csrc) | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    head = struct.pack(
        "!BBHII", first, payload_type | (0x80 if marker else 0), sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc
    )
    if csrc:
        head += struct.pack(f"!{len(csrc)}I", *csrc)
    if extension is not None:
        profile, data = extension
        if len(data) % 4:
            raise LocalProtocolError(f"a header extension of {len(data)} bytes: it must be a multiple of 4")
        head += struct.pack("!HH", profile, len(data) // 4) + data
    tail = bytes(padding - 1) + bytes((padding,)) if padding else b""
    return head + payload + tail


def interleaved_frame(channel: int, packet: bytes) -> bytes:
    """One packet as it goes over the RTSP connection (RFC 2326, 10.12): ``$``, channel, length, packet."""
    return struct.pack("!BBH", 0x24, channel, len(packet)) + packet


def ntp_timestamp(unix_seconds: float) -> int:
    """Unix seconds as the 64-bit fixed-point NTP timestamp of a sender report."""
    return int((unix_seconds + NTP_OFFSET) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def sender_report(
    *, ssrc: int, ntp: int, timestamp: int, packet_count: int, octet_count: int, cname: str = "rtspkit"
) -> bytes:
    """A compound RTCP packet: sender report and SDES with the canonical name (RFC 3550, 6.4.1, 6.5)."""
    report = struct.pack(
        "!BBHIQIII",
        0x80,
        RTCP_SR,
        6,
        ssrc,
        ntp,
        timestamp & 0xFFFFFFFF,
        packet_count & 0xFFFFFFFF,
        octet_count & 0xFFFFFFFF,
    )
    name = cname.encode()[:255]
    item = bytes((1, len(name))) + name
    item += bytes(4 - len(item) % 4)  # one to four zero bytes end the list
    return report + struct.pack("!BBHI", 0x81, RTCP_SDES, 1 + len(item) // 4, ssrc) + item


def bye(ssrc: int) -> bytes:
    """An RTCP BYE (RFC 3550, 6.6)."""
    return struct.pack("!BBHI", 0x81, RTCP_BYE, 1, ssrc)


class RTPSender:
    """The state of one outgoing RTP stream: numbers its packets and counts them for sender reports.

    Attributes:
        sequence: extended sequence number of the next packet.
        packet_count: packets so far.
        octet_count: payload bytes so far.
    """

    def __init__(self, *, payload_type: int, ssrc: int, sequence: int = 0) -> None:
        self.payload_type = payload_type
        self.ssrc = ssrc
        self.sequence = sequence
        self.packet_count = 0
        self.octet_count = 0

    def packets(self, payloads: Iterable[Payload], timestamp: int, duration: int = 0) -> list[bytes]:
        """The payloads as RTP packets; unit i of AAC has the timestamp ``timestamp + i * duration``."""
        packets = []
        for payload in payloads:
            packets.append(
                rtp_packet(
                    payload.data,
                    payload_type=self.payload_type,
                    sequence=self.sequence,
                    timestamp=timestamp + payload.first * duration,
                    ssrc=self.ssrc,
                    marker=payload.marker,
                )
            )
            self.sequence += 1
            self.packet_count += 1
            self.octet_count += len(payload.data)
        return packets

    def sender_report(self, *, wall: float, timestamp: int) -> bytes:
        """An RTCP sender report: at Unix time `wall` the media clock shows `timestamp`."""
        return sender_report(
            ssrc=self.ssrc,
            ntp=ntp_timestamp(wall),
            timestamp=timestamp,
            packet_count=self.packet_count,
            octet_count=self.octet_count,
        )
