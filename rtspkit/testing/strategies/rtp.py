"""Strategies for RTP: single packets, and streams with what a network and a camera do to them.

Strategy: a stream is made from access units by `rtspkit.packetizer`, then its packets are lost, delayed and doubled.
What was sent is known, so what must come out is, too.

Specs: RFC 3550, 5.1; RFC 6184 (H.264); RFC 7798 (H.265); RFC 3640 (AAC); RFC 6416 (LATM); RFC 7587 (Opus);
RFC 3551 (PCM).
"""

from __future__ import annotations

from hypothesis import strategies as st

from rtspkit.packetizer import (
    Payload,
    packetize_aac,
    packetize_h264,
    packetize_h265,
    packetize_latm,
    packetize_sound,
    rtp_packet,
)
from rtspkit.testing.strategies.codecs import access_units
from rtspkit.testing.strategies.values import ElementaryStream, RTPFields, RTPStream, StreamCodec, Wire

__all__ = ["rtp_packets", "rtp_streams"]

_extensions = st.tuples(st.integers(0, 2**16 - 1), st.binary(max_size=5).map(lambda data: data * 4))


@st.composite
def rtp_packets(draw: st.DrawFn, *, max_payload: int = 60) -> Wire[RTPFields]:
    """Valid RTP packets with any header: contributing sources, an extension, padding.

    Args:
        max_payload: bytes of the payload at most.
    """
    fields = RTPFields(
        payload_type=draw(st.integers(0, 127)),
        sequence=draw(st.integers(0, 2**16 - 1)),
        timestamp=draw(st.integers(0, 2**32 - 1)),
        ssrc=draw(st.integers(0, 2**32 - 1)),
        marker=draw(st.booleans()),
        csrc=tuple(draw(st.lists(st.integers(0, 2**32 - 1), max_size=15))),
        extension=draw(st.none() | _extensions),
        padding=draw(st.integers(0, 255)),
        payload=draw(st.binary(max_size=max_payload)),
    )
    return Wire(rtp_packet(**vars(fields)), fields)


def _payloads(source: ElementaryStream, max_size: int, together: int) -> list[tuple[int, Payload, tuple[int, ...]]]:
    """Of each packet: the unit its timestamp is of, what it carries, and the units that have bytes in it."""
    if source.codec in {"h264", "h265"}:
        packetize = packetize_h264 if source.codec == "h264" else packetize_h265
        return [
            (number, payload, (number,))
            for number, unit in enumerate(source.units)
            for payload in packetize(unit, max_size=max_size, aggregate=together > 1)
        ]
    units = [unit[0] for unit in source.units]
    if source.codec == "aac":
        found = packetize_aac(units, max_size=max_size + 20, per_packet=together)
    elif source.codec == "latm":
        # an element has so many units as its configuration says: one here
        found = packetize_latm(units, max_size=max_size)
    else:
        found = [
            payload._replace(first=number) for number, unit in enumerate(units) for payload in packetize_sound(unit)
        ]
    nexts = [payload.first for payload in found[1:]] + [len(source.units)]
    return [
        (payload.first, payload, tuple(range(payload.first, max(following, payload.first + 1))))
        for payload, following in zip(found, nexts, strict=True)
    ]


@st.composite
def rtp_streams(
    draw: st.DrawFn,
    codec: StreamCodec | None = None,
    *,
    loss: bool = True,
    reorder: int = 5,
    duplicates: bool = True,
    ssrc_change: bool = False,
    max_units: int = 6,
) -> RTPStream:
    """RTP packets of an elementary stream, in the order in which they arrive.

    Sequence numbers and timestamps begin anywhere, often just before they wrap. The first packet always arrives first,
    so that the order of the rest can be told.

    Args:
        codec: what it is and how it is packed; None: any, mostly H.264, H.265 and AAC.
        loss: packets may be lost.
        reorder: a packet may come behind so many later ones; 0: the order stays, as over TCP.
        duplicates: packets may come twice.
        ssrc_change: the camera may go over to another SSRC and other sequence numbers with an access unit.
        max_units: access units at most.
    """
    source = draw(access_units(codec, max_units=max_units))
    count = len(source.units)
    payloads = _payloads(source, draw(st.sampled_from([20, 60, 200, 1400])), draw(st.integers(1, 3)))
    start = draw(st.sampled_from([0, 2**32 - 2 * source.unit_ticks, 2**31]) | st.integers(0, 2**32 - 1))
    sequence = draw(st.sampled_from([0, 65530]) | st.integers(0, 65535))
    ssrc = draw(st.integers(0, 2**32 - 1))
    payload_type = draw(st.integers(96, 127))
    changes: set[int] = set()
    if ssrc_change:
        firsts = {number for number, _, _ in payloads}  # an AAC unit behind another in its packet is none
        changes = draw(st.sets(st.integers(1, max(1, count - 1)), max_size=2)) & firsts
    sent: list[bytes] = []
    packets_of: list[list[int]] = [[] for _ in range(count)]
    before = 0
    for number, payload, units in payloads:
        if number != before and number in changes:
            ssrc, sequence = (ssrc + 1) % 2**32, draw(st.integers(0, 65535))
        before = number
        for unit in units:
            packets_of[unit].append(len(sent))
        sent.append(
            rtp_packet(
                payload.data,
                payload_type=payload_type,
                sequence=sequence,
                timestamp=start + number * source.unit_ticks,
                ssrc=ssrc,
                marker=payload.marker,
            )
        )
        sequence += 1
    arrival = _arrival(draw, len(sent), loss=loss, reorder=reorder, duplicates=duplicates)
    return RTPStream(
        source,
        payload_type,
        tuple(start + number * source.unit_ticks for number in range(count)),
        tuple(sent),
        tuple(map(tuple, packets_of)),
        tuple(arrival),
        tuple(sorted(changes)),
    )


def _arrival(draw: st.DrawFn, count: int, *, loss: bool, reorder: int, duplicates: bool) -> list[int]:
    """Numbers of packets as they arrive: a place on a line each, from which they are sorted."""
    harms = ["lost"] * loss + ["late"] * bool(reorder) + ["twice"] * duplicates
    if not harms or count < 2:
        return list(range(count))
    harmed = draw(st.dictionaries(st.integers(1, count - 1), st.sampled_from(harms), max_size=6))
    places: list[tuple[float, int]] = []
    for number in range(count):
        harm = harmed.get(number)
        if harm == "lost":
            continue
        late = draw(st.integers(1, reorder)) + 0.5 if harm == "late" else 0
        places.append((number + late, number))
        if harm == "twice":
            places.append((number + 0.25 + (draw(st.integers(0, reorder)) if reorder else 0), number))
    return [number for _, number in sorted(places)]
