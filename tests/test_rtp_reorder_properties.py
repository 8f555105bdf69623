"""Properties of the reorder window: the order in which datagrams come does not show, and no datagram does harm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeAlias

import h265_payloads
import reference_rtp
from hypothesis import given, settings
from hypothesis import strategies as st
from rtp_camera import nal_units
from test_rtp_properties import SMALL, call, calls, clock, event, picture, quick, setups, starts, visible, wire

from rtspkit.limits import Limits
from rtspkit.media import Track
from rtspkit.packetizer import packetize_h264, packetize_h265, rtp_packet
from rtspkit.rtp import Receiver, access_units, track_stats

MS = 10**6

PACKETIZERS = {"h264": packetize_h264, "h265": packetize_h265}
Coded: TypeAlias = tuple[Literal["h264", "h265"], list[list[bytes]]]
coded_pictures: st.SearchStrategy[Coded] = st.tuples(
    st.just("h264"), st.lists(picture, min_size=1, max_size=12)
) | st.tuples(st.just("h265"), st.lists(h265_payloads.pictures(), min_size=1, max_size=12))


def is_slice(codec: str, nal: bytes) -> bool:
    return 1 <= nal[0] & 0x1F <= 5 if codec == "h264" else nal[0] >> 1 & 0x3F < 32


#: How packets are disturbed: (which, what).
harm = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from(["lost", "doubled", "late by 1", "late by 3", "late by 70"])),
    max_size=20,
)


def disturbed(items: list[Any], harms: list[tuple[int, str]]) -> list[Any]:
    """The items as a network that loses, doubles and delays some of them would deliver them."""
    places = [(float(i), item) for i, item in enumerate(items)]
    for which, what in harms:
        if not places:
            break
        place, item = places[which % len(places)]
        if what == "lost":
            places.remove((place, item))
        elif what == "doubled":
            places.append((place + 0.5 + which % 5, item))
        else:
            places[which % len(places)] = (place + 0.5 + int(what.split()[-1]), item)
    return [item for _, item in sorted(places, key=lambda pair: pair[0])]


@st.composite
def datagrams(draw: st.DrawFn) -> tuple[list[Any], list[tuple[int, bool, bytes, int, str]], float]:
    """Tracks, and (track, is_rtcp, data, monotonic ns, a call made after it)."""
    tracks = draw(setups)
    pieces: list[tuple[int, bool, bytes]] = []
    for piece in wire(tracks, draw(st.lists(event, min_size=3, max_size=25))):
        if piece[:1] == b"$" and len(piece) >= 4 and piece[1] < 2 * len(tracks):
            pieces.append((piece[1] >> 1, bool(piece[1] & 1), piece[4:]))
        else:
            pieces.append((0, draw(st.booleans()), piece))
    now = draw(st.sampled_from([0, 1, 10**9, 10**15]))
    steps = []
    clocks = clock | st.sampled_from([0, 0, 0, 0, MS, 10 * MS, 49 * MS])
    for index, is_rtcp, data in disturbed(pieces, draw(harm)):
        now += draw(clocks)
        steps.append((index, is_rtcp, data, now, draw(calls | st.sampled_from(["", "release"]))))
    return tracks, steps, draw(st.sampled_from([0.04, 1.0, 3600.0]))


def receiver(factory: Any, tracks: list[Any], limits: Limits, fragment_duration: float) -> Any:
    made = factory(fragment_duration=fragment_duration, limits=limits)
    for i, setup in enumerate(tracks):
        made.add_track(
            Track(i, "video" if setup.is_video else "audio", setup.codec, setup.clock_rate, setup.track_parameters),
            payload_type=setup.payload_type,
            origin=setup.origin,
            **setup.packing,
        )
    return made


@settings(quick, max_examples=400)
@given(datagrams(), st.sampled_from([0, 200, 1500, 10**6]), st.sampled_from([0.0, 0.05, 10.0]))
def test_same_as_reference(given_: Any, reorder_size: int, reorder_time: float) -> None:
    tracks, steps, duration = given_
    limits = replace(SMALL, reorder_size=reorder_size, reorder_time=reorder_time)
    ours, model = (receiver(kind, tracks, limits, duration) for kind in (Receiver, reference_rtp.Receiver))
    for index, is_rtcp, data, now, name in steps:
        for one in (ours, model):
            one.feed_datagram(index, is_rtcp, data, now)
            if name == "release":
                one.release(now)
            else:
                call(one, name)
        assert ours.next_release() == model.next_release()
        assert visible(ours, len(tracks)) == visible(model, len(tracks))
        for state in model.states:
            assert len(state.waiting) < 64
            assert sum(packet.size for packet in state.waiting.values()) <= reorder_size
    for one in (ours, model):
        one.finish()
    assert ours.next_release() is None
    assert visible(ours, len(tracks)) == visible(model, len(tracks))


@quick
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=30), st.booleans())
def test_noise(noise: list[tuple[bool, bytes]], looks_like_rtp: bool) -> None:
    ours, model = (kind(limits=SMALL) for kind in (Receiver, reference_rtp.Receiver))
    for one in (ours, model):
        one.add_track(Track(0, "video", "h264", 90000), payload_type=96)
        for i, (is_rtcp, data) in enumerate(noise):
            one.feed_datagram(0, is_rtcp, (b"\x80\x60\0" if looks_like_rtp else b"") + data, 10**9 + i * MS)
        one.finish()
    assert visible(ours, 1) == visible(model, 1)


@quick
@given(
    coded=coded_pictures,
    max_size=st.integers(4, 400),
    aggregate=st.booleans(),
    sequence=starts,
    delays=st.lists(st.integers(0, 62), min_size=1),
    doubles=st.lists(st.integers(0, 500), max_size=10),
)
def test_order_and_duplicates_do_not_show(
    *, coded: Coded, max_size: int, aggregate: bool, sequence: int, delays: list[int], doubles: list[int]
) -> None:
    codec, pictures = coded
    packets = [
        rtp_packet(
            payload.data, payload_type=96, sequence=sequence + n, timestamp=3600 * i, ssrc=7, marker=payload.marker
        )
        for n, (i, payload) in enumerate(
            (i, payload)
            for i, nals in enumerate(pictures)
            for payload in PACKETIZERS[codec](nals, max_size=max_size, aggregate=aggregate)
        )
    ]
    # each is overtaken by 62 at most, the first by 15
    places = [(i + delays[i % len(delays)] if i else delays[0] % 16, i) for i in range(len(packets))]
    arrivals = [i for _, i in sorted(places)]
    copies = 0
    for which in doubles:
        at = which % len(arrivals)
        arrivals.insert(at + 1, arrivals[at])
        copies += 1
    results = []
    for order in (range(len(packets)), arrivals):
        one = Receiver(fragment_duration=3600)
        one.add_track(Track(0, "video", codec, 90000), payload_type=96, origin=0)
        for i in order:
            one.feed_datagram(0, False, packets[i], 10**9)
        one.release(10**9 + 50 * MS)  # the first of them have waited for what they might have overtaken
        assert one.next_release() is None
        one.finish()
        # which of them had to wait shows in their arrival only
        units = [unit for fragment in one.take_fragments() for unit in access_units(fragment)]
        results.append([replace(unit, arrival=0.0) for unit in units])
    assert results[0] == results[1]
    counted = track_stats(one, 0)
    assert (counted.lost, counted.late, counted.duplicates, counted.received) == (0, 0, copies, len(packets))
    assert counted.damaged_units == 0


@quick
@given(
    coded=coded_pictures.filter(lambda coded: len(coded[1]) > 1),
    max_size=st.integers(4, 400),
    lost=st.sets(st.integers(1, 300), min_size=1, max_size=20),
    delays=st.lists(st.integers(0, 20), min_size=1),
)
def test_what_is_lost_is_never_passed_off_as_whole(
    *, coded: Coded, max_size: int, lost: set[int], delays: list[int]
) -> None:
    """A unit comes out as it was sent or is marked as damaged; a sync sample has all its slices."""
    codec, pictures = coded
    packets: list[tuple[int, bytes]] = []
    for i, nals in enumerate(pictures):
        for payload in PACKETIZERS[codec](nals, max_size=max_size):
            packet = rtp_packet(
                payload.data,
                payload_type=96,
                sequence=len(packets),
                timestamp=3600 * i,
                ssrc=7,
                marker=payload.marker,
            )
            packets.append((i, packet))
    places = sorted((n + delays[n % len(delays)] if n else -1, n) for n in range(len(packets)) if n not in lost)
    one = Receiver(fragment_duration=3600)
    one.add_track(Track(0, "video", codec, 90000), payload_type=96, origin=0)
    for _, n in places:
        one.feed_datagram(0, False, packets[n][1], 10**9)
    one.finish()
    highest = max(n for _, n in places)
    assert track_stats(one, 0).lost == len([n for n in lost if n < highest])
    harmed = {packets[n][0] for n in lost if n < highest}
    cut_off = packets[highest][0] if highest < len(packets) - 1 else None  # by the end: nothing tells of that
    for fragment in one.take_fragments():
        for unit in access_units(fragment):
            number = unit.pts // 3600
            if number == cut_off:
                continue
            got, sent = nal_units(unit.data), pictures[number]
            assert unit.damaged or got == sent
            assert number in harmed or got == sent
            if unit.is_sync:
                slices = [[nal for nal in nals if is_slice(codec, nal)] for nals in (got, sent)]
                assert slices[0] == slices[1]
