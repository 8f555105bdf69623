"""The same media over UDP and over TCP: what taking datagrams costs, alone and with the system calls that read them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import pytest
import reference_rtp
from stream import TRACKS, packets_of

from rtspkit.rtp import DatagramDrain, Drain, Receiver

TICK = 100_000_000


def over_udp(kind: type = Receiver) -> Any:
    """A receiver of that kind whose tracks come over UDP."""
    receiver = kind()
    for track in TRACKS:
        receiver.add_track(track, payload_type=96 + track.index, origin=0, unit_ticks=1024)
    return receiver


def over_tcp() -> Receiver:
    receiver = Receiver()
    for track in TRACKS:
        channels = (2 * track.index, 2 * track.index + 1)
        receiver.add_track(track, payload_type=96 + track.index, channels=channels, origin=0, unit_ticks=1024)
    return receiver


def feed_packets(receiver: Any, ticks: list[list[tuple[int, bytes]]]) -> int:
    now = 10 * TICK
    for packets in ticks:
        for index, packet in packets:
            receiver.feed_datagram(index, False, packet, now)
        now += TICK
    receiver.finish()
    return sum(len(run.data) for fragment in receiver.take_fragments() for run in fragment.runs)


def swapped(packets: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Every second packet comes before the one ahead of it: none takes the fast way."""
    return [packet for i in range(0, len(packets), 2) for packet in reversed(packets[i : i + 2])]


@pytest.mark.benchmark(group="a second of RTP in datagrams")
@pytest.mark.parametrize(
    ("kind", "order", "rounds"),
    [(Receiver, list, 500), (Receiver, swapped, 500), (reference_rtp.Receiver, list, 30)],
    ids=["in order", "out of order", "plain Python"],
)
def test_receive_datagrams(
    benchmark: Any, ticks: list[bytes], kind: type, order: Callable[[Any], Any], rounds: int
) -> None:
    packets = [order(packets_of(data)) for data in ticks]
    size = benchmark.pedantic(
        feed_packets, setup=lambda: ((over_udp(kind), packets), {}), rounds=rounds, warmup_rounds=3
    )
    assert size > 350_000


@pytest.fixture
def sockets() -> Iterator[Callable[[int], list[socket.socket]]]:
    made: list[socket.socket] = []

    def make(kind: int) -> list[socket.socket]:
        if kind == socket.SOCK_STREAM:
            with socket.create_server(("127.0.0.1", 0)) as server:
                theirs = socket.create_connection(server.getsockname())
                pair = [server.accept()[0], theirs]
        else:
            pair = [socket.socket(socket.AF_INET, kind) for _ in range(2)]
            for one in pair:
                one.bind(("127.0.0.1", 0))
            pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            pair[1].connect(pair[0].getsockname())
        made.extend(pair)
        return pair

    yield make
    for one in made:
        one.close()


@pytest.mark.benchmark(group="a tenth of a second of RTP from sockets")
@pytest.mark.parametrize("transport", ["TCP", "UDP"])
def test_drain(benchmark: Any, ticks: list[bytes], sockets: Any, transport: str) -> None:
    """Only the reading is measured: what was sent waits in the socket."""
    quiet = ticks[1:]  # without the sync sample: what fits a socket's buffer as it is by default
    numbers = cycle(range(len(quiet)))
    state: dict[str, Any] = {}
    if transport == "TCP":
        ours, theirs = sockets(socket.SOCK_STREAM)
        reader: Any = Drain()
    else:
        pairs = [sockets(socket.SOCK_DGRAM) for _ in TRACKS]
        reader = DatagramDrain()

    def prepare() -> tuple[tuple[()], dict[str, Any]]:
        number = next(numbers)
        if number == 0:
            state["receiver"] = over_tcp() if transport == "TCP" else over_udp()
            state["now"] = 10 * TICK
        receiver = state["receiver"]
        receiver.take_fragments()
        state["now"] += TICK
        if transport == "TCP":
            receiver.fd = ours.fileno()
            theirs.sendall(quiet[number])
        else:
            for index, (_, sender) in enumerate(pairs):
                receiver.pin(index, *sender.getsockname(), None)
            for index, packet in packets_of(quiet[number]):
                pairs[index][1].send(packet)
        return (), {}

    def read() -> None:
        if transport == "TCP":
            reader.drain([state["receiver"]], state["now"])
        else:
            sockets_of_tracks = [(one.fileno(), index, False) for index, (one, _) in enumerate(pairs)]
            reader.drain(state["receiver"], sockets_of_tracks, state["now"])

    benchmark.pedantic(read, setup=prepare, rounds=900, warmup_rounds=9)
    receiver = state["receiver"]
    assert receiver.stats(0)[0] > 20
    assert receiver.stats(0)[1] == receiver.stats(0)[2] == 0
