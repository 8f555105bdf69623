"""`DatagramDrain` on real sockets: whose datagrams are taken, what the system says, and floods."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from rtp_camera import IDR, SECOND, T0, VIDEO, Camera, P, packets_of

from rtspkit import _rtp
from rtspkit.errors import LocalProtocolError
from rtspkit.limits import Limits
from rtspkit.packetizer import bye
from rtspkit.rtp import DatagramDrain, Receiver, TrackStats, access_units, track_stats

MS = SECOND // 1000
SO_RXQ_OVFL = 40


class Ends:
    """Our two sockets and the camera's, on one address; no packet waits for another, beyond a read, unless told to."""

    def __init__(self, host: str = "127.0.0.1", ours: str | None = None, *, reorder_time: float = 0.0) -> None:
        self.made: list[socket.socket] = []
        self.host = host
        self.rtp, self.rtcp = self.open(ours or host), self.open(ours or host)
        self.camera_rtp, self.camera_rtcp = self.open(host), self.open(host)
        self.receiver = Receiver(limits=Limits(reorder_time=reorder_time))
        self.receiver.add_track(VIDEO, payload_type=96, origin=0)
        self.drain = DatagramDrain()
        self.pin()

    def open(self, host: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.made.append(sock)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, 0))
        sock.setblocking(False)
        return sock

    def pin(self, **changes: Any) -> None:
        told: dict[str, Any] = {
            "address": self.host,
            "rtp_port": self.camera_rtp.getsockname()[1],
            "rtcp_port": self.camera_rtcp.getsockname()[1],
        }
        self.receiver.pin(0, **(told | changes))

    @property
    def sockets(self) -> list[tuple[int, int, bool]]:
        return [(self.rtp.fileno(), 0, False), (self.rtcp.fileno(), 0, True)]

    def send(self, data: bytes, *, source: socket.socket | None = None, rtcp: bool = False) -> None:
        target = self.rtcp if rtcp else self.rtp
        source = source or (self.camera_rtcp if rtcp else self.camera_rtp)
        source.sendto(data, (self.host, target.getsockname()[1]))

    def read(self, ms: int = 0) -> bool:
        return self.drain.drain(self.receiver, self.sockets, T0 + ms * MS)

    @property
    def counted(self) -> TrackStats:
        return track_stats(self.receiver, 0)

    def pictures(self) -> list[int]:
        self.receiver.flush()
        fragments = self.receiver.take_fragments()
        return [unit.pts // 3600 for fragment in fragments for unit in access_units(fragment)]


@pytest.fixture
def ends() -> Iterator[Any]:
    made: list[Ends] = []

    def make(*arguments: Any, **options: Any) -> Ends:
        made.append(Ends(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        for sock in one.made:
            sock.close()


def packets(count: int, size: int = 100) -> list[bytes]:
    """Pictures of a packet each."""
    camera = Camera()
    nals = [(IDR if i % 50 == 0 else P) + b"\1" * size for i in range(count)]
    made = [packet for i, nal in enumerate(nals) for packet in packets_of(camera, nal, at=i / 25, max_size=65495)]
    assert len(made) == count
    return made


def test_media_and_reports(ends: Any) -> None:
    camera = ends()
    for packet in packets(100):
        camera.send(packet)
    camera.send(bye(1), rtcp=True)
    assert camera.read() is False
    assert camera.pictures() == list(range(100))
    assert camera.receiver.take_rtcp() == [(0, bye(1))]
    assert camera.receiver.media_arrival == T0
    assert camera.drain.packets == 101
    assert camera.drain.bytes == camera.receiver.bytes_received
    assert camera.drain.fullest == camera.drain.bytes - len(bye(1))
    assert camera.counted.received == 100
    assert camera.counted.foreign == camera.counted.kernel_drops == 0
    camera.read()
    assert (camera.drain.packets, camera.drain.bytes, camera.drain.fullest) == (0, 0, 0)


def test_what_is_due_is_let_go(ends: Any) -> None:
    camera = ends(reorder_time=0.05)
    sent = packets(4)
    camera.send(sent[0])
    camera.read()
    camera.read(ms=49)
    assert camera.pictures() == []  # another may come that was sent before it
    camera.read(ms=50)
    assert camera.pictures() == [0]
    camera.send(sent[2])
    camera.read(ms=50)
    camera.read(ms=99)
    assert camera.pictures() == []
    camera.read(ms=100)
    assert camera.pictures() == [2]
    camera.send(sent[1])
    camera.read(ms=110)
    assert camera.counted.late == 1


def test_what_waits_in_the_socket_is_not_late(ends: Any) -> None:
    """A process that was halted looks at what has come in the meantime before it gives anything up."""
    camera = ends(reorder_time=0.05)
    sent = packets(3)
    camera.send(sent[0])
    camera.send(sent[2])
    camera.read()
    camera.send(sent[1])
    camera.read(ms=500)
    assert camera.pictures() == [0, 1, 2]


def test_another_port_is_foreign(ends: Any) -> None:
    camera = ends()
    first, second = packets(2)
    other = camera.open("127.0.0.1")
    camera.send(first, source=other)
    camera.send(second, source=camera.camera_rtcp)
    camera.send(bye(1), source=camera.camera_rtp, rtcp=True)
    camera.read()
    assert camera.counted.foreign == 3
    assert camera.counted.received == camera.receiver.bytes_received == camera.receiver.media_arrival == 0
    assert camera.receiver.take_rtcp() == []
    camera.send(first)
    camera.read()
    assert camera.counted.received == 1


def test_another_address_is_foreign(ends: Any) -> None:
    camera = ends()
    camera.pin(address="127.0.0.2", rtp_port=None)
    other = camera.open("127.0.0.2")
    first, second, third = packets(3)
    camera.send(first)
    camera.send(second, source=other)
    camera.send(third, source=camera.open("127.0.0.2"))  # by then the port is known
    camera.read()
    assert camera.counted.foreign == 2
    assert camera.counted.received == 1


def test_a_port_is_learned_once(ends: Any) -> None:
    camera = ends()
    camera.pin(rtp_port=None, rtcp_port=None)
    first, second, third = packets(3)
    other = camera.open("127.0.0.1")
    stray = first[:1] + b"\x7f" + first[2:]
    for data in (b"", b"junk", b"junk of some length", stray):
        camera.send(data, source=other)
    camera.send(first, rtcp=True, source=other)
    camera.send(second)
    camera.send(first, source=other)
    camera.send(third)
    camera.send(bye(1), rtcp=True)
    camera.send(bye(2), rtcp=True, source=other)
    camera.read()
    assert camera.counted.received == 2
    assert camera.counted.foreign == 7
    assert camera.receiver.take_rtcp() == [(0, bye(1))]


def test_a_learned_port_is_given_up_where_nothing_comes_from_it(ends: Any) -> None:
    """A camera, or an address translation before it, goes on from another."""
    camera = ends()
    camera.pin(rtp_port=None, rtcp_port=None)
    first, second, third, fourth = packets(4)
    other = camera.open("127.0.0.1")
    camera.send(first)
    camera.read()
    camera.send(second)
    camera.read(ms=1500)
    camera.send(third, source=other)
    camera.send(third, source=camera.open("127.0.0.2"))
    camera.read(ms=3499)
    assert (camera.counted.received, camera.counted.foreign) == (2, 2)
    camera.send(b"junk", source=other)
    camera.send(third, source=other)
    camera.send(fourth, source=camera.open("127.0.0.2"))
    camera.read(ms=3500)
    assert (camera.counted.received, camera.counted.foreign) == (3, 4)
    camera.send(fourth)
    camera.send(fourth, source=other)
    camera.read(ms=3600)
    assert (camera.counted.received, camera.counted.foreign) == (4, 5)


def test_a_port_that_was_told_stays(ends: Any) -> None:
    camera = ends()
    first, second = packets(2)
    camera.send(first)
    camera.read()
    camera.send(second, source=camera.open("127.0.0.1"))
    camera.read(ms=60_000)
    assert (camera.counted.received, camera.counted.foreign) == (1, 1)


def test_an_address_is_learned_once(ends: Any) -> None:
    camera = ends()
    camera.pin(address=None, rtp_port=None, rtcp_port=None)
    first, second, _ = packets(3)
    camera.send(first)
    camera.send(second, source=camera.open("127.0.0.2"))
    camera.send(bye(2), rtcp=True, source=camera.open("127.0.0.2"))
    camera.send(bye(1), rtcp=True)
    camera.read()
    assert (camera.counted.received, camera.counted.foreign) == (1, 2)
    assert camera.receiver.take_rtcp() == [(0, bye(1))]


def test_nothing_is_taken_before_the_track_is_pinned(ends: Any) -> None:
    camera = ends()
    camera.receiver = Receiver()
    camera.receiver.add_track(VIDEO, payload_type=96)
    camera.send(packets(1)[0])
    camera.read()
    assert camera.counted.foreign == 1
    assert camera.counted.received == 0


@pytest.mark.parametrize("address", ["::1", "0:0::1%lo"])
def test_ipv6(ends: Any, address: str) -> None:
    camera = ends("::1")
    camera.pin(address=address)
    camera.send(packets(1)[0])
    camera.send(packets(1)[0], source=camera.open("::1"))
    camera.read()
    assert (camera.counted.received, camera.counted.foreign) == (1, 1)


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_ipv4_on_a_socket_of_both(ends: Any, address: str) -> None:
    camera = ends("127.0.0.1", "::")
    camera.pin(address=address)
    camera.send(packets(1)[0])
    camera.send(packets(1)[0], source=camera.open("127.0.0.1"))
    camera.read()
    assert (camera.counted.received, camera.counted.foreign) == (1, 1)


def test_sockets_of_several_tracks(ends: Any) -> None:
    camera, other = ends(), ends()
    camera.receiver.add_track(replace(VIDEO, index=1), payload_type=96)
    camera.receiver.pin(1, "127.0.0.1", other.camera_rtp.getsockname()[1], None)
    camera.send(packets(1)[0])
    for packet in packets(3):
        other.send(packet)
    other.send(bye(3), rtcp=True)
    sockets = [*camera.sockets, (other.rtp.fileno(), 1, False), (other.rtcp.fileno(), 1, True)]
    camera.drain.drain(camera.receiver, sockets, T0)
    assert [track_stats(camera.receiver, i).received for i in (0, 1)] == [1, 3]
    assert camera.receiver.take_rtcp() == [(1, bye(3))]


def test_more_than_the_slots(ends: Any) -> None:
    camera = ends()
    camera.drain = DatagramDrain(4)
    for packet in packets(50):
        camera.send(packet)
    assert camera.read() is True  # eight reads of four
    assert camera.drain.packets == 32
    assert camera.read() is False
    assert camera.drain.packets == 18
    assert camera.pictures() == list(range(50))


def test_the_largest_datagram(ends: Any) -> None:
    camera = ends()
    (packet,) = packets(1, size=65507 - 12 - len(IDR))
    assert len(packet) == 65507
    camera.send(packet)
    camera.read()
    assert camera.receiver.bytes_received == 65507
    assert camera.pictures() == [0]


def test_a_datagram_longer_than_a_slot_is_broken(ends: Any) -> None:
    camera = ends()
    camera.drain = DatagramDrain(8, 200)
    first, second, third = packets(3)
    camera.send(first)
    camera.send(second + bytes(200))
    camera.send(third)
    camera.read()
    assert camera.counted.broken == 1
    assert camera.drain.packets == 3
    camera.receiver.release(T0 + 50 * MS)
    assert camera.pictures() == [0, 2]


def test_a_closed_port_at_the_other_end_is_no_error(ends: Any) -> None:
    """ICMP says so on a socket that is connected; the media may come again."""
    camera = ends()
    gone = camera.open("127.0.0.1")
    target = gone.getsockname()
    gone.close()
    camera.rtp.connect(target)
    camera.rtp.send(b"punch")
    camera.read()
    assert camera.receiver.os_error == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(target)
        camera.pin(rtp_port=target[1])
        camera.rtp.send(b"punch")
        camera.send(packets(1)[0], source=again)
        camera.read()
    assert camera.counted.received == 1


def test_a_socket_that_is_none(ends: Any) -> None:
    camera = ends()
    camera.send(bye(1), rtcp=True)
    number = camera.rtp.fileno()
    camera.rtp.close()
    assert camera.drain.drain(camera.receiver, [(number, 0, False), (camera.rtcp.fileno(), 0, True)], T0) is False
    assert camera.receiver.os_error == 9  # EBADF
    assert camera.receiver.ready
    assert camera.receiver.take_rtcp() == [(0, bye(1))]


def test_what_the_system_has_dropped(ends: Any) -> None:
    camera = ends()
    camera.rtp.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    camera.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
    sent = packets(202, size=1000)
    for packet in sent[:200]:
        camera.send(packet)
    camera.read()
    found = camera.drain.packets
    assert 0 < found < 200
    camera.send(sent[200])
    camera.read()
    assert camera.counted.kernel_drops == 200 - found
    camera.send(sent[201])
    camera.read()
    assert camera.counted.kernel_drops == 200 - found
    assert camera.counted.lost == 200 - found


def test_memory_is_used_as_far_as_datagrams_reach(ends: Any) -> None:
    camera = ends()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    drains = [DatagramDrain(1024) for _ in range(10)]
    sent = packets(50)
    for camera.drain in drains:
        for packet in sent:
            camera.send(packet)
        camera.read()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # of the 690 MB there are


@pytest.mark.parametrize(("slots", "size"), [(0, 1), (1025, 1), (1, 0), (1, 65537), (-1, 1), (1, -1)])
def test_slots_have_bounds(slots: int, size: int) -> None:
    with pytest.raises(LocalProtocolError):
        DatagramDrain(slots, size)


@pytest.mark.parametrize(
    "told",
    [
        {"address": "camera.local"},
        {"address": ""},
        {"address": "1.2.3"},
        {"address": "\u0661.2.3.4"},
        {"rtp_port": 0},
        {"rtcp_port": 65536},
        {"rtp_port": -1},
    ],
)
def test_pin_refuses(ends: Any, told: dict[str, Any]) -> None:
    camera = ends()
    with pytest.raises(LocalProtocolError):
        camera.pin(**told)
    camera.send(packets(1)[0])
    camera.read()
    assert camera.counted.received == 1  # it is pinned as it was


def test_only_tracks_over_udp() -> None:
    receiver = Camera().receiver
    with pytest.raises(LocalProtocolError):
        receiver.pin(0, "127.0.0.1", 1, 2)
    with pytest.raises(LocalProtocolError):
        DatagramDrain().drain(receiver, [(0, 0, False)], T0)
    with pytest.raises(LocalProtocolError):
        DatagramDrain().drain(receiver, [(0, 1, False)], T0)
    with pytest.raises(LocalProtocolError):
        DatagramDrain().drain(receiver, [], -1)
    with pytest.raises(TypeError):
        DatagramDrain().drain(None, [], T0)  # type: ignore[arg-type]


def test_same_name() -> None:
    assert DatagramDrain is _rtp.DatagramDrain
