"""Packets over UDP: the reorder window, what is given up and when, duplicates, new sequences, and the bounds."""

from __future__ import annotations

import resource
from dataclasses import replace
from itertools import chain

import pytest
from rtp_camera import IDR, SECOND, T0, VIDEO, Camera, P, packets_of

from rtspkit.errors import LocalProtocolError
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.packetizer import bye, rtp_packet
from rtspkit.rtp import Receiver, TrackStats, access_units, track_stats

MS = SECOND // 1000


class Datagrams:
    """A camera whose video comes over UDP; `packets` is what it would send, a picture a packet.

    Nothing came before the first packet that is sent, for so long that it did not wait.
    """

    def __init__(self, count: int = 200, *, first: int = 65500, size: int = 0, limits: Limits = DEFAULT_LIMITS) -> None:
        self.receiver = Receiver(limits=limits)
        self.wait = round(limits.reorder_time * SECOND)
        self.is_open = False
        self.receiver.add_track(VIDEO, payload_type=96, origin=0)
        camera = Camera()
        camera.video.sequence = first
        nals = [IDR if i % 10 == 0 else P for i in range(count)]
        self.packets = [
            packet
            for i, nal in enumerate(nals)
            for packet in packets_of(camera, nal + b"\1" * size, at=i / 25, max_size=60000)
        ]
        assert len(self.packets) == count

    def send(self, *numbers: int, ms: int = 0) -> None:
        if numbers and not self.is_open:
            self.is_open = True
            self.receiver.feed_datagram(0, False, self.packets[numbers[0]], T0 - self.wait)
            self.receiver.release(T0)
            numbers = numbers[1:]
        for number in numbers:
            self.receiver.feed_datagram(0, False, self.packets[number], T0 + ms * MS)

    def order(self) -> list[int]:
        """The numbers of the pictures that came out."""
        self.receiver.flush()
        return [unit.pts // 3600 for fragment in self.receiver.take_fragments() for unit in access_units(fragment)]

    @property
    def counted(self) -> TrackStats:
        return track_stats(self.receiver, 0)


def test_in_order() -> None:
    camera = Datagrams()
    camera.send(*range(100))
    assert camera.receiver.next_release() is None
    assert camera.order() == list(range(100))
    assert camera.receiver.media_arrival == T0
    assert camera.receiver.bytes_received == sum(map(len, camera.packets[:100]))
    assert camera.counted.received == 100


def test_a_packet_waits_for_the_one_before_it() -> None:
    camera = Datagrams()
    camera.send(0, 2)
    camera.send(4, 3, ms=10)
    assert camera.order() == [0]
    assert camera.receiver.next_release() == T0 + 50 * MS
    camera.send(1, ms=30)
    assert camera.order() == [1, 2, 3, 4]
    assert camera.receiver.next_release() is None
    assert (camera.counted.reordered, camera.counted.lost, camera.counted.damaged_units) == (2, 0, 0)


def first_ones(*numbers: int) -> Datagrams:
    """These have come, and wait."""
    camera = Datagrams()
    camera.is_open = True
    camera.send(*numbers)
    assert camera.order() == []
    return camera


def test_what_the_first_packet_has_overtaken_comes_before_it() -> None:
    camera = first_ones(2, 16, 3, 2)
    assert camera.receiver.next_release() == T0 + 50 * MS
    camera.send(1, 5, ms=10)
    camera.send(0, ms=20)
    camera.receiver.release(T0 + 50 * MS - 1)
    assert camera.order() == []
    camera.receiver.release(T0 + 50 * MS)
    assert camera.order() == [0, 1, 2, 3, 5, 16]
    camera.send(*range(17, 20), ms=60)
    assert camera.order() == [17, 18, 19]
    counted = camera.counted
    assert (counted.lost, counted.late, counted.duplicates, counted.reordered) == (11, 0, 1, 4)
    assert (counted.first_sequence, counted.extended_sequence, counted.received) == (65500, 65519, 9)
    assert counted.first_arrival == T0 + 20 * MS


def test_the_first_packets_wait_no_longer_than_the_window_has_room() -> None:
    camera = first_ones(10)
    camera.send(*range(11, 58))
    assert camera.order() == []
    camera.send(58)
    assert camera.order() == list(range(10, 59))
    camera.send(9)
    assert (camera.counted.late, camera.counted.lost) == (1, 0)


def test_what_is_too_far_before_the_first_packet_is_late() -> None:
    camera = first_ones(20)
    camera.send(3)  # seventeen before it
    assert camera.order() == [20]
    assert camera.counted.late == 1
    camera = first_ones(20)
    camera.send(4)  # sixteen: nothing that may still come would be taken
    assert camera.order() == [4]
    camera.send(6, 5)
    assert camera.order() == [5, 6]
    assert camera.receiver.next_release() == T0 + 50 * MS
    camera.receiver.finish()
    assert camera.order() == [20]
    assert (camera.counted.lost, camera.counted.reordered) == (13, 3)


def test_another_source_right_after_the_first_packet() -> None:
    camera = first_ones(2)
    camera.packets[9] = camera.packets[9][:8] + bytes(4) + camera.packets[9][12:]
    camera.send(9, ms=10)
    assert camera.counted.received == 2
    assert (camera.counted.restarts, camera.counted.late) == (1, 0)


def test_first_packets_that_are_too_large_do_not_wait() -> None:
    camera = Datagrams(size=1000, limits=Limits(reorder_size=2000))
    camera.is_open = True
    camera.send(2, 1)
    assert camera.order() == [1, 2]
    camera = Datagrams(size=1000, limits=Limits(reorder_size=500))
    camera.is_open = True
    camera.send(2, 1)
    assert camera.order() == [2]


@pytest.mark.parametrize("first", [0, 5, 16, 65535])
def test_the_first_packets_around_a_wrap(first: int) -> None:
    camera = Datagrams(first=first)
    camera.is_open = True
    camera.send(3, 1, 0, 2)
    camera.receiver.release(T0 + 50 * MS)
    camera.send(4)
    assert camera.order() == [0, 1, 2, 3, 4]
    assert (camera.counted.first_sequence, camera.counted.extended_sequence) == (first, first + 4)
    assert (camera.counted.reordered, camera.counted.lost, camera.counted.late) == (3, 0, 0)


def test_both_tracks_begin_where_they_arrived_first() -> None:
    """That the first packets wait makes no difference between tracks."""
    camera = Datagrams()
    camera.receiver = Receiver()
    for index in range(2):
        camera.receiver.add_track(replace(VIDEO, index=index), payload_type=96)
    for index, number, ms in ((0, 0, 0), (1, 25, 20), (1, 26, 60), (0, 1, 60)):
        camera.receiver.feed_datagram(index, False, camera.packets[number], T0 + ms * MS)
        camera.receiver.release(T0 + ms * MS)
    camera.receiver.finish()
    units = [unit for fragment in camera.receiver.take_fragments() for unit in access_units(fragment)]
    assert sorted((unit.track.index, unit.pts) for unit in units) == [(0, 0), (0, 3600), (1, 1800), (1, 5400)]


def test_a_packet_that_is_repeated_is_no_sign_of_life() -> None:
    camera = Datagrams()
    camera.send(0)
    camera.send(1, 3, ms=10)
    for ms in range(20, 90, 10):
        camera.send(0, 1, 3, ms=ms)
    assert camera.receiver.media_arrival == T0 + 10 * MS
    camera.receiver.release(T0 + 100 * MS)
    camera.send(2, ms=110)  # nor is what is late
    assert camera.receiver.media_arrival == T0 + 10 * MS
    camera.send(4, ms=120)
    assert camera.receiver.media_arrival == T0 + 120 * MS


def test_a_gap_is_given_up_when_a_packet_has_waited_long_enough() -> None:
    camera = Datagrams()
    camera.send(0, 5)
    camera.send(3, ms=20)
    camera.send(7, ms=30)
    camera.receiver.release(T0 + 50 * MS - 1)
    assert camera.order() == [0]
    camera.receiver.release(T0 + 50 * MS)
    assert camera.order() == [3, 5]  # 5 was due, and everything before it
    assert camera.receiver.next_release() == T0 + 80 * MS
    camera.send(6, ms=60)
    assert camera.order() == [6, 7]
    assert camera.counted.lost == 3
    camera.send(1, 2, 4, ms=60)
    assert camera.counted.late == 3
    assert camera.counted.duplicates == 0


def test_a_gap_is_given_up_where_the_window_ends() -> None:
    camera = Datagrams()
    camera.send(0, *range(2, 65))
    assert camera.order() == [0]
    camera.send(65)
    assert camera.order() == list(range(2, 66))
    assert camera.receiver.next_release() is None
    assert camera.counted.lost == 1


def test_only_what_the_window_cannot_hold_is_given_up() -> None:
    camera = Datagrams()
    camera.send(0, 2, 10, 66)
    assert camera.order() == [0, 2]
    camera.send(*range(3, 10))
    assert camera.order() == list(range(3, 11))
    assert camera.counted.lost == 1


def test_a_large_gap_is_no_reordering() -> None:
    camera = Datagrams()
    camera.send(0, 65, 66)
    assert camera.order() == [0, 65, 66]
    assert camera.counted.lost == 64
    assert camera.counted.damaged_units == 1


def test_duplicates_are_no_late_packets() -> None:
    camera = Datagrams()
    camera.send(0, 0, 1, 0, 3, 3, 1)
    assert camera.counted.duplicates == 4
    camera.send(2, 2, 3)
    assert camera.counted.duplicates == 6
    assert camera.counted.late == camera.counted.lost == 0
    assert camera.order() == [0, 1, 2, 3]
    assert camera.counted.received == 4


def test_loss_damages_the_picture_it_is_in() -> None:
    camera = Camera()
    receiver = Receiver()
    receiver.add_track(VIDEO, payload_type=96, origin=0)
    pictures = [packets_of(camera, nal + b"\1" * 100, at=i, max_size=30) for i, nal in enumerate([IDR, P, IDR, P])]
    del pictures[2][2]
    for packet in chain.from_iterable(pictures):
        receiver.feed_datagram(0, False, packet, T0)
    receiver.finish()
    units = [unit for fragment in receiver.take_fragments() for unit in access_units(fragment)]
    # the IDR picture had one slice: without its middle nothing of it is left
    assert [(unit.pts // 90000, unit.is_sync, unit.damaged) for unit in units] == [
        (0, True, False),
        (1, False, False),
        (3, False, True),
    ]


def test_finish_gives_up_all_gaps() -> None:
    camera = Datagrams()
    camera.send(0, 2, 5)
    camera.receiver.finish()
    assert camera.order() == [0, 2, 5]
    assert camera.counted.lost == 3


def test_a_new_sequence_is_believed_after_two_packets() -> None:
    camera, other = Datagrams(), Datagrams(first=20000)
    camera.send(0, 2, 3)
    other.receiver = camera.receiver
    other.send(1)
    assert camera.counted.late == 1
    other.send(2)
    assert camera.counted.restarts == 1
    assert camera.counted.received == 4
    other.send(4, 3)
    assert camera.counted.received == 6
    assert camera.receiver.next_release() is None
    assert len(camera.order()) == 6


def test_stray_packets_are_no_new_sequence() -> None:
    camera, other = Datagrams(), Datagrams(first=20000)
    other.receiver = camera.receiver
    camera.send(0)
    other.send(1)
    camera.send(2)  # it only waits, but the suspicion is gone
    other.send(2)
    camera.send(1)
    assert camera.counted.restarts == 0
    assert camera.order() == [0, 1, 2]


def test_a_new_source_overtakes_the_last_packets_of_the_old_one() -> None:
    camera = Datagrams()
    new = [packet[:8] + bytes(4) + packet[12:] for packet in camera.packets]
    camera.send(0, 1)
    camera.packets[2:4], old = new[2:4], camera.packets[2]
    camera.send(2)
    camera.receiver.feed_datagram(0, False, old, T0 + 49 * MS)
    camera.send(3)
    assert camera.order() == [0, 1, 2, 3]
    assert (camera.counted.restarts, camera.counted.late) == (1, 1)
    camera.receiver.feed_datagram(0, False, old, T0 + 50 * MS)  # it has come back
    assert camera.counted.restarts == 2


def test_a_wrap_within_the_window() -> None:
    camera = Datagrams(first=65534)
    camera.send(0, 3, 2, 5, 4, 1)
    assert camera.order() == list(range(6))
    assert camera.counted.extended_sequence == 65539
    assert camera.counted.lost == 0


def test_times_of_units_never_go_back() -> None:
    camera = Datagrams()
    camera.send(0, 2)
    camera.send(1, ms=20)
    camera.send(3, ms=30)
    camera.receiver.flush()
    (fragment,) = camera.receiver.take_fragments()
    assert [round(unit.arrival * 1000) for unit in access_units(fragment)] == [50000, 50020, 50020, 50030]


def test_time_in_the_window_is_no_jitter() -> None:
    camera = Datagrams()
    camera.is_open = True  # the first one waits, too
    for i in (0, 2, 1, 4, 3):
        camera.send(i, ms=40 * i)
    camera.receiver.release(T0 + 200 * MS)
    assert camera.order() == [0, 1, 2, 3, 4]
    assert camera.counted.jitter == 0


def test_bytes_that_wait_have_a_bound() -> None:
    camera = Datagrams(size=1000, limits=Limits(reorder_size=3000))
    camera.send(0, 2, 3)
    assert camera.order() == [0]
    camera.send(5)  # the third would be too much: the first gap is given up
    assert camera.order() == [2, 3]
    camera.send(7, 4)
    assert camera.order() == [4, 5]
    assert camera.counted.lost == 1
    camera = Datagrams(size=1000, limits=Limits(reorder_size=3000))
    camera.send(0, 9, 7, 4)
    assert camera.order() == [0, 4]  # it comes before the others: its own gap is the first
    assert camera.counted.lost == 3


def test_nothing_waits_where_nothing_may() -> None:
    camera = Datagrams(limits=Limits(reorder_size=0))
    camera.send(0, 2, 1, 3)
    assert camera.order() == [0, 2, 3]
    assert camera.counted.late == 1
    camera = Datagrams(limits=Limits(reorder_time=0))
    camera.send(0, 2)
    camera.receiver.release(T0)
    assert camera.order() == [0, 2]


def test_a_flood_out_of_order_takes_no_memory() -> None:
    receiver = Receiver()
    receiver.add_track(VIDEO, payload_type=96, origin=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(3000):  # of each pair of packets the second comes first, or alone
        packet = rtp_packet(b"\x41" + bytes(60000), payload_type=96, sequence=2 * i, timestamp=0, ssrc=1)
        receiver.feed_datagram(0, False, packet, T0 + i)
        receiver.take_fragments()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


def test_what_is_no_packet_of_the_track() -> None:
    camera = Datagrams()
    for data in (b"", b"\x80", bytes(100), camera.packets[0][:-5] + b"\xff" * 9):
        camera.receiver.feed_datagram(0, False, data, T0)
    other = rtp_packet(b"\x65\x88", payload_type=50, sequence=1, timestamp=0, ssrc=1)
    camera.receiver.feed_datagram(0, False, other, T0)
    assert camera.counted.broken == 3
    assert camera.counted.discarded == 1


def test_rtcp() -> None:
    camera = Datagrams()
    camera.receiver.feed_datagram(0, True, b"anything", T0)
    camera.receiver.feed_datagram(0, False, bye(1), T0)
    assert camera.receiver.media_arrival == 0
    assert camera.receiver.ready
    assert camera.receiver.take_rtcp() == [(0, b"anything"), (0, bye(1))]


def test_a_track_comes_one_way() -> None:
    receiver = Camera().receiver
    with pytest.raises(LocalProtocolError):
        receiver.feed_datagram(0, False, b"", T0)
    receiver = Datagrams().receiver
    with pytest.raises(LocalProtocolError):
        receiver.feed_datagram(1, False, b"", T0)
    with pytest.raises(LocalProtocolError):
        receiver.feed_datagram(0, False, b"", -1)
    with pytest.raises(LocalProtocolError):
        receiver.release(-1)
    receiver.feed(b"$\0\0\1a", T0)
    assert receiver.unknown_bytes == 5


def test_two_tracks_wait_each_for_its_own() -> None:
    camera = Datagrams()
    camera.receiver.add_track(replace(VIDEO, index=1), payload_type=96, origin=0)
    camera.send(0, 2, ms=5)
    for i in (0, 3):
        camera.receiver.feed_datagram(1, False, camera.packets[i], T0)
    assert camera.receiver.next_release() == T0 + 50 * MS
    camera.receiver.release(T0 + 50 * MS)
    assert camera.receiver.next_release() == T0 + 55 * MS
    assert track_stats(camera.receiver, 1).lost == 2
    assert camera.counted.lost == 0
