"""A plain-Python model of the LATM depacketizer in `rtspkit._rtp`: elements are strings of bits. See reference_rtp."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rtspkit.errors import RtspkitError
from rtspkit.latm import StreamMux
from rtspkit.media import AACParameters

if TYPE_CHECKING:
    from reference_rtp import Packet, Receiver, TrackState

MOST_UNITS = 64


@dataclass
class LATM:
    """What is kept of a track that comes in LATM."""

    mux: StreamMux | None
    is_in_band: bool
    read: Any
    timestamp: int = 0
    pts: int = 0
    skipping: bool = False
    is_suspect: bool = False  # its first packets may be missing


def take(receiver: Receiver, t: TrackState, packet: Packet, now: int) -> None:
    from reference_rtp import Unit

    latm = t.latm
    assert latm is not None
    gap, t.gap = t.gap > 0, 0
    is_rest = t.had_time and packet.timestamp == latm.timestamp and (latm.skipping or gap)
    if t.unit is not None and packet.timestamp != latm.timestamp:
        element, t.unit = bytes(t.unit.partial or b""), None
        take_element(receiver, t, element, now)
    pts = receiver.tick(t, packet, now)
    if t.unit is None:
        latm.timestamp, latm.pts, latm.is_suspect = packet.timestamp, pts, gap
    latm.skipping = False
    so_far = bytes(t.unit.partial or b"") if t.unit is not None else b""
    if is_rest:
        latm.skipping = not packet.marker
    elif (t.unit is not None or not packet.marker) and len(so_far + packet.payload) > receiver.limits.access_unit_size:
        t.drop_partial()
        t.counters["broken"] += 1
        latm.skipping = not packet.marker
    elif packet.marker:
        t.unit = None
        take_element(receiver, t, so_far + packet.payload, now)
    else:
        t.unit = Unit(packet.timestamp, pts, partial=bytearray(so_far + packet.payload))


def take_element(receiver: Receiver, t: TrackState, element: bytes, now: int) -> None:
    latm = t.latm
    assert latm is not None
    units: list[bytes] | None = None
    bits = "".join(f"{byte:08b}" for byte in element)
    if latm.is_in_band:
        bits = configured(receiver, t, element, bits)
    if latm.mux is not None:
        units = units_of(latm.mux, bits, is_exact=latm.is_in_band or latm.mux.has_other_data)
    if not units:
        t.counters["broken"] += 1
        t.after_loss = True
        return
    receiver.cut_before(t, latm.pts, now)
    for number, unit in enumerate(units):
        if unit:
            t.after_loss |= latm.is_suspect
            receiver.aac_unit(t, unit, latm.pts + number * t.unit_ticks, now)
    receiver.cut_after(t)


def configured(receiver: Receiver, t: TrackState, element: bytes, bits: str) -> str:
    """What follows the configuration; without one in force none of it counts."""
    latm = t.latm
    assert latm is not None
    if not element:
        latm.mux = None
        return ""
    if bits[0] == "1":
        return bits[1:]
    try:
        latm.mux = latm.read(element[: receiver.limits.parameter_set_size])
    except RtspkitError:
        latm.mux = None
        return ""
    t.set_mux(latm.mux)
    parameters = AACParameters(latm.mux.config)
    if parameters != t.track.parameters:
        t.parameter_changes += t.track.parameters is not None
        receiver.cut(None)
        t.track = replace(t.track, parameters=parameters)
        receiver.tracks = tuple(state.track for state in receiver.states)
    return bits[1 + latm.mux.bits :]


def units_of(mux: StreamMux, bits: str, *, is_exact: bool) -> list[bytes] | None:
    """The access units of an element, as bytes; None where they do not fit into it."""
    bits = bits[: len(bits) // 8 * 8]
    data = int("0" + bits, 2).to_bytes(len(bits) // 8)
    units: list[bytes] = []
    while len(units) < mux.units or (data and not is_exact):
        size = mux.unit_size
        if not size:
            chain = len(data) - len(data.lstrip(b"\xff"))
            if chain == len(data):
                return None
            size = 255 * chain + data[chain]
            data = data[chain + 1 :]
        if size > len(data) or len(units) == MOST_UNITS:
            return None
        units.append(data[:size])
        data = data[size:]
    return units
