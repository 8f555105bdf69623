"""Properties of the receiving half under senders with habits, and networks that lose, delay and double packets.

What is whole is what was sent; what is not is marked as damaged, or left out where that is wanted; a sync sample has
all its slices. Senders put their marker where they like, aggregate or not, fill packets up, send empty fragments, or
whole Annex B access units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import h265_payloads as h265
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rtp_camera import nal_units
from test_rtp_properties import CONFIGS, PPS, SPS, picture, quick, slice_body

from rtspkit.latm import parse_stream_mux, read_element
from rtspkit.media import AACParameters, AccessUnit, Codec, Track
from rtspkit.packetizer import (
    Payload,
    interleaved_frame,
    packetize_aac,
    packetize_h264,
    packetize_h265,
    packetize_latm,
    packetize_sound,
    rtp_packet,
    stream_mux_config,
)
from rtspkit.rtp import Receiver, TrackStats, access_units, track_stats


@dataclass(frozen=True)
class Video:
    """What H.264 and H.265 call the same things.

    Attributes:
        codec: which of them.
        header: bytes of a NAL unit's.
        aggregation, fragment: types of payloads.
        last_slice: the highest type of a slice.
        sync: types of slices that decoding can start with.
        sets: parameter sets.
    """

    codec: Codec
    header: int
    aggregation: int
    fragment: int
    last_slice: int
    sync: frozenset[int]
    sets: list[bytes]

    def kind(self, nal: bytes) -> int:
        return nal[0] & 0x1F if self.header == 1 else nal[0] >> 1 & 0x3F

    def is_slice(self, nal: bytes) -> bool:
        return self.kind(nal) <= self.last_slice

    def is_sync(self, nals: list[bytes]) -> bool:
        return any(self.kind(nal) in self.sync for nal in nals)

    def kept(self, nals: list[bytes]) -> list[bytes]:
        """A sample carries no parameter sets."""
        return [nal for nal in nals if nal not in self.sets]

    def payloads(self, nals: list[bytes], **options: Any) -> list[Payload]:
        return (packetize_h264 if self.codec == "h264" else packetize_h265)(nals, **options)


H264 = Video("h264", 1, 24, 28, 5, frozenset({5}), [SPS, PPS])
H265 = Video("h265", 2, 48, 49, 31, frozenset({19, 21}), [h265.VPS, h265.SPS, h265.PPS])


@dataclass(frozen=True)
class Sender:
    """How a camera packs its pictures.

    Attributes:
        max_size: bytes of a payload.
        aggregate: small NAL units share packets.
        marker: on the last packet, on that of each NAL unit, or on none.
        annex_b: a picture that begins with something else than a slice is one NAL unit, with start codes in it (V380).
        empty: behind each first fragment there is one without a byte.
        filling: zeros behind an aggregation.
    """

    max_size: int
    aggregate: bool
    marker: Literal["last", "each", "never"]
    annex_b: bool
    empty: bool
    filling: int

    def payloads(self, video: Video, nals: list[bytes]) -> list[Payload]:
        units = [nals]
        if self.annex_b and not video.is_slice(nals[0]):
            units = [[b"\0\0\0\1".join(nals)]]
        elif self.marker == "each":
            units = [[nal] for nal in nals]
        made: list[Payload] = []
        for unit in units:
            for payload in video.payloads(
                unit, max_size=max(self.max_size, 2 + video.header), aggregate=self.aggregate
            ):
                data, kind = payload.data, video.kind(payload.data)
                is_aggregation = kind == video.aggregation
                made.append(payload._replace(data=data + bytes(self.filling)) if is_aggregation else payload)
                flags = data[video.header : video.header + 1]
                if self.empty and kind == video.fragment and flags[0] & 0x80:
                    made.append(Payload(data[: video.header] + bytes((flags[0] & 0x7F,)), False))
        if self.marker == "never":
            return [payload._replace(marker=False) for payload in made]
        return made


senders = st.builds(
    Sender,
    max_size=st.integers(3, 400),
    aggregate=st.booleans(),
    marker=st.sampled_from(["last", "last", "each", "never"]),
    annex_b=st.booleans(),
    empty=st.booleans(),
    filling=st.sampled_from([0, 0, 1, 2, 5]),
)


@dataclass(frozen=True)
class Network:
    """What happens on the way; each packet by its number.

    Attributes:
        lost: those that do not come.
        delays: by how many each is late, one after the other, round and round; over UDP only.
        doubled: those that come twice.
    """

    over_udp: bool
    lost: frozenset[int]
    delays: tuple[int, ...]
    doubled: frozenset[int]

    def arrivals(self, count: int) -> list[int]:
        delays = self.delays if self.over_udp else (0,)
        places = [(number + delays[number % len(delays)], number) for number in range(count) if number not in self.lost]
        order = [number for _, number in sorted(places)]
        return [number for one in order for number in [one] * (2 if one in self.doubled else 1)]


def networks(lost: st.SearchStrategy[Any]) -> st.SearchStrategy[Network]:
    return st.builds(
        Network,
        over_udp=st.booleans(),
        lost=lost,
        delays=st.lists(st.integers(0, 12), min_size=1, max_size=7).map(tuple),
        doubled=st.frozensets(st.integers(0, 300), max_size=5),
    )


good_networks = networks(st.just(frozenset()))
bad_networks = networks(st.frozensets(st.integers(0, 60) | st.integers(0, 300), min_size=1, max_size=12))


def through(
    network: Network, track: Track, packets: list[bytes], *, loss_policy: str = "keep", **packing: Any
) -> tuple[list[AccessUnit], TrackStats, int]:
    """What comes out of a receiver, its counters, and the number of the last packet that came."""
    receiver = Receiver(fragment_duration=3600, loss_policy=loss_policy)
    channels = None if network.over_udp else (0, 1)
    receiver.add_track(track, payload_type=96, channels=channels, origin=0, **packing)
    arrivals = network.arrivals(len(packets))
    for number in arrivals:
        if network.over_udp:
            receiver.feed_datagram(0, False, packets[number], 10**9)
        else:
            receiver.feed(interleaved_frame(0, packets[number]), 10**9)
    receiver.finish()
    units = [unit for fragment in receiver.take_fragments() for unit in access_units(fragment)]
    return units, track_stats(receiver, 0), max(arrivals, default=-1)


def on_the_wire(units: list[list[Payload]], first: int, step: int) -> tuple[list[bytes], list[int]]:
    """The packets, and of each the unit it belongs to."""
    packets, owners = [], []
    for number, payloads in enumerate(units):
        for payload in payloads:
            packets.append(
                rtp_packet(
                    payload.data,
                    payload_type=96,
                    sequence=first + len(packets),
                    timestamp=step * (number + payload.first),
                    ssrc=7,
                    marker=payload.marker,
                )
            )
            owners.append(number + payload.first)
    return packets, owners


starts = st.integers(0, 2**16 - 1) | st.integers(65500, 65535)
h265_picture = st.builds(
    lambda kind, before, slices, behind: [
        *[h265.header(39) + data for data in before],
        *[h265.header(kind) + (b"\x20" if number else b"\x80") + data for number, data in enumerate(slices)],
        *[h265.header(40) + data for data in behind],
    ],
    st.sampled_from([1, 1, 19, 21]),
    st.lists(slice_body, max_size=2),
    st.lists(slice_body, min_size=1, max_size=4),
    st.lists(slice_body, max_size=1),
)


def streams(video: Video, one: st.SearchStrategy[list[bytes]]) -> st.SearchStrategy[tuple[Video, list[list[bytes]]]]:
    """Pictures; now and then there are parameter sets in front, which are no part of a unit."""
    sets: list[list[bytes]] = [[], [], video.sets]
    pictures = st.builds(lambda before, nals: before + nals, st.sampled_from(sets), one)
    return st.tuples(st.just(video), st.lists(pictures, min_size=2, max_size=12))


videos = streams(H264, picture) | streams(H265, h265_picture)


@settings(quick, max_examples=250)
@given(videos, senders, good_networks, starts)
def test_what_is_not_lost_comes_back(
    stream: tuple[Video, list[list[bytes]]], sender: Sender, network: Network, first: int
) -> None:
    video, sent = stream
    packets, _ = on_the_wire([sender.payloads(video, nals) for nals in sent], first, 3600)
    units, counted, _ = through(network, Track(0, "video", video.codec, 90000), packets)
    assert [nal_units(unit.data) for unit in units] == [video.kept(nals) for nals in sent]
    assert [unit.pts for unit in units] == [3600 * number for number in range(len(sent))]
    assert [unit.is_sync for unit in units] == [video.is_sync(nals) for nals in sent]
    assert not any(unit.damaged for unit in units)
    assert counted.lost == counted.late == counted.broken == counted.discarded == counted.restarts == 0
    assert counted.received == len(packets)


@settings(quick, max_examples=400)
@given(videos, senders, bad_networks, starts)
def test_what_is_lost_shows(
    stream: tuple[Video, list[list[bytes]]], sender: Sender, network: Network, first: int
) -> None:
    video, sent = stream
    packets, owners = on_the_wire([sender.payloads(video, nals) for nals in sent], first, 3600)
    units, counted, last = through(network, Track(0, "video", video.codec, 90000), packets)
    begun = min((number for number in range(len(packets)) if number not in network.lost), default=len(packets))
    missing = [number for number in network.lost if begun < number < last]
    assert counted.lost == len(missing)
    harmed = {owners[number] for number in missing}
    # nothing tells of what is lost before the first packet, or behind the last one
    unknown = {owners[number] for number in network.lost if number < begun or last < number < len(packets)}
    learned = False  # that its markers lie: the first time nobody can know
    for unit in units:
        number = unit.pts // 3600
        got, whole = nal_units(unit.data), video.kept(sent[number])
        if number in unknown:
            continue
        is_surprise = sender.marker == "each" and number in harmed and not learned
        # slices that come in one packet have one marker, which tells the truth
        is_split = not (sender.annex_b or sender.aggregate) and sum(map(video.is_slice, whole)) > 1
        learned = learned or (is_split and number not in harmed)
        assert number in harmed or got == whole
        if is_surprise:
            continue
        assert unit.damaged or got == whole, number
        if unit.is_sync:
            assert list(filter(video.is_slice, got)) == list(filter(video.is_slice, whole))
    for number in harmed - unknown:  # somebody is told, before the next picture is shown
        behind = [unit for unit in units if unit.pts // 3600 in (number, number + 1)]
        if sender.marker != "each" and len(behind) == 2:
            assert any(unit.damaged for unit in behind)


@settings(quick, max_examples=600)
@given(videos, senders, bad_networks, starts, st.sampled_from(["drop", "skip"]))
def test_what_is_lost_is_left_out(
    stream: tuple[Video, list[list[bytes]]], sender: Sender, network: Network, first: int, policy: str
) -> None:
    """No picture that lacks anything comes out, nor, with "skip", what refers to it; all else does."""
    video, sent = stream
    packets, owners = on_the_wire([sender.payloads(video, nals) for nals in sent], first, 3600)
    track = Track(0, "video", video.codec, 90000)
    units, counted, last = through(network, track, packets, loss_policy=policy)
    begun = min((number for number in range(len(packets)) if number not in network.lost), default=len(packets))
    missing = {number for number in network.lost if begun < number < last}
    harmed = {owners[number] for number in missing}
    unknown = {owners[number] for number in network.lost if number < begun or last < number < len(packets)}
    # what its marker does not tell to be over may lack what is missing behind it
    ends = {owner: number for number, owner in enumerate(owners)}
    doubted = {owner for owner, end in ends.items() if end + 1 in missing and sender.marker != "last"}
    came = {unit.pts // 3600: unit for unit in units}
    assert (counted.units, counted.damaged_units) == (len(units), sum(unit.damaged for unit in units))

    learned = False  # that markers lie: the first time nobody can know
    for number, unit in came.items():
        got, whole = (list(filter(video.is_slice, nals)) for nals in (nal_units(unit.data), sent[number]))
        is_surprise = sender.marker == "each" and number in harmed and not learned
        is_split = not (sender.annex_b or sender.aggregate) and len(whole) > 1
        learned = learned or (is_split and number not in harmed)
        if number not in unknown and not is_surprise:
            assert got == whole, number
            assert unit.is_sync is video.is_sync(sent[number])
    if sender.marker == "each":
        return
    assert len(came) == len(units)
    before, is_waiting, has_sync = -1, False, False
    for number in range(len(sent)):
        is_sync = video.is_sync(sent[number])
        if number in came:
            unit = came[number]
            is_behind = any(before < hole <= number for hole in harmed)
            assert unit.damaged or before < 0 or not is_behind
            # what is lost of a picture may be no part of it: parameter sets, SEI
            assert is_sync or not (is_waiting or (policy == "skip" and has_sync and number in harmed))
            before, is_waiting, has_sync = number, False, has_sync or unit.is_sync
        elif number in harmed:
            is_waiting = has_sync and policy == "skip"
        elif number not in unknown | doubted:
            assert is_waiting, number
            assert not is_sync


# -- sound ------------------------------------------------------------------------------------------------------------

#: Nothing that would be taken for an ADTS header, and of whole samples.
sounds = st.lists(
    st.binary(min_size=1, max_size=80).map(lambda data: b"\x20" + data * 4 + b"\x20\x20\x20"), min_size=2, max_size=20
)
WHOLE: list[Codec] = ["opus", "pcma", "pcmu", "g722", "g726", "l16"]


def check_sound(units: list[AccessUnit], sent: list[bytes], step: int, missing: set[int], *, last: int) -> None:
    """Units are whole or absent; the first behind a hole says so."""
    numbers = [unit.pts // step for unit in units]
    assert numbers == sorted(set(numbers))
    assert [unit.data for unit in units] == [sent[number] for number in numbers]
    for before, unit in zip([numbers[0] - 1, *numbers], units, strict=False):
        number = unit.pts // step
        if any(before < hole < number for hole in missing):
            assert unit.damaged
    assert set(range(numbers[0], last)) - set(numbers) <= missing


@pytest.mark.parametrize("codec", WHOLE)
@quick
@given(sounds, bad_networks | good_networks, starts)
def test_packets_of_a_unit(codec: Codec, sent: list[bytes], network: Network, first: int) -> None:
    packets, owners = on_the_wire([packetize_sound(unit) for unit in sent], first, 160)
    units, _, last = through(
        network, Track(0, "audio", codec, 8000), packets, **({"block_size": 4} if codec == "l16" else {})
    )
    assume(units)
    check_sound(units, sent, 160, {owners[n] for n in network.lost if n < len(owners)}, last=owners[last])


@quick
@given(sounds, bad_networks | good_networks, starts, st.integers(12, 400), st.integers(1, 4))
def test_aac(sent: list[bytes], network: Network, first: int, max_size: int, per_packet: int) -> None:
    packets, owners = on_the_wire([packetize_aac(sent, max_size=max_size, per_packet=per_packet)], first, 1024)
    track = Track(0, "audio", "aac", 48000, AACParameters(CONFIGS[0]))
    units, _, last = through(network, track, packets)
    assume(units)
    lost = {n for n in network.lost if n < len(owners)}
    bounds = [*owners[1:], len(sent)]
    # a packet has its first unit, or a piece of it, and those up to the next packet's
    missing = {unit for n in lost for unit in range(owners[n], max(owners[n] + 1, bounds[n]))}
    check_sound(units, sent, 1024, missing, last=owners[last])


@quick
@given(sounds, bad_networks | good_networks, starts, st.integers(5, 400), st.booleans())
def test_latm(sent: list[bytes], network: Network, first: int, max_size: int, in_band: bool) -> None:
    config = CONFIGS[0]
    made = packetize_latm(sent, max_size=max_size, config=config if in_band else None)
    packets, owners = on_the_wire([made], first, 1024)
    packing = {"read_mux": read_element} if in_band else {"stream_mux": parse_stream_mux(stream_mux_config(config))}
    track = Track(0, "audio", "aac", 48000, None if in_band else AACParameters(config))
    # a fragment does not say that it is not the first, so the very first packet has to be there
    network = replace(network, lost=network.lost - {0})
    units, _, last = through(network, track, packets, **packing)
    assume(units)
    check_sound(units, sent, 1024, {owners[n] for n in network.lost if n < len(owners)}, last=owners[last])
