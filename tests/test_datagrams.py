"""The UDP sockets of a session: which ports, whose packets, and that nothing is left open."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import rtspkit
from rtspkit import CameraOptions, UnsupportedError
from rtspkit.datagrams import Datagrams
from rtspkit.media import AACParameters, Track
from rtspkit.messages import Transport
from rtspkit.rtp import Receiver, track_stats
from rtspkit.testing import ScriptedCamera
from rtspkit.ticker import Ticker

HOST = "127.0.0.1"
RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
SENDER_REPORT = bytes.fromhex("80c80006" + "00" * 24)


def packet(sequence: int) -> bytes:
    """RTP that carries one AAC unit of two bytes."""
    header = bytes((0x80, 0xE1)) + sequence.to_bytes(2, "big") + (1024 * sequence).to_bytes(4, "big") + b"SSRC"
    return header + bytes.fromhex("00100010") + b"AU"


def receiver() -> Receiver:
    made = Receiver()
    made.add_track(Track(0, "audio", "aac", 16000, AACParameters(b"\x14\x08")), payload_type=97)
    return made


@pytest.fixture
def camera() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The camera's two sockets."""
    with socket.socket(type=socket.SOCK_DGRAM) as rtp, socket.socket(type=socket.SOCK_DGRAM) as rtcp:
        for sock in (rtp, rtcp):
            sock.bind((HOST, 0))
            sock.settimeout(2)
        yield rtp, rtcp


@pytest.fixture
def datagrams() -> Iterator[Datagrams]:
    made = Datagrams(HOST, HOST, CameraOptions(udp_source_ports=(33001, 59999)))
    yield made
    made.close()


def agreed(camera: tuple[socket.socket, socket.socket]) -> Transport:
    rtp, rtcp = (sock.getsockname()[1] for sock in camera)
    return Transport(protocol="udp", delivery="unicast", server_port=(rtp, rtcp))


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a test's patience
            await asyncio.sleep(0.01)


async def test_a_pair_is_even_and_odd_and_within_the_range(datagrams: Datagrams) -> None:
    ports = [datagrams.open(index) for index in range(4)]
    assert all(33001 <= low < high <= 59999 and low % 2 == 0 and high == low + 1 for low, high in ports)
    assert len(set(ports)) == 4


def test_a_full_range_is_said() -> None:
    options = CameraOptions(udp_source_ports=(41000, 41003))
    first, second = (Datagrams(HOST, HOST, options) for _ in range(2))
    try:
        assert {first.open(0), first.open(1)} == {(41000, 41001), (41002, 41003)}
        with pytest.raises(UnsupportedError, match="between 41000 and 41003: address already in use"):
            second.open(0)
        first.close_track(0)
        second.open(0)
    finally:
        first.close()
        second.close()


async def test_packets_come_from_the_camera_only(
    datagrams: Datagrams, camera: tuple[socket.socket, socket.socket]
) -> None:
    ports = datagrams.open(0)
    datagrams.connect(0, agreed(camera))
    made, ticker = receiver(), Ticker(0.01)
    calls: list[int] = []
    datagrams.start(made, lambda: calls.append(1), ticker)
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.sendto(packet(7), (HOST, ports[0]))
        for sequence in (1, 2, 3):
            camera[0].sendto(packet(sequence), (HOST, ports[0]))
        camera[1].sendto(SENDER_REPORT, (HOST, ports[1]))
        await until(lambda: made.ready and track_stats(made, 0).received == 3)
    assert made.take_rtcp() == [(0, SENDER_REPORT)]
    assert track_stats(made, 0).foreign == 1
    assert calls
    datagrams.stop()
    camera[0].sendto(packet(4), (HOST, ports[0]))
    await asyncio.sleep(0.05)
    assert track_stats(made, 0).received == 3
    datagrams.start(made, lambda: None, ticker)  # what came meanwhile is not lost
    await until(lambda: track_stats(made, 0).received == 4)


async def test_any_port_of_the_camera_is_believed_where_it_is_wanted(
    camera: tuple[socket.socket, socket.socket],
) -> None:
    datagrams = Datagrams(HOST, HOST, CameraOptions(any_port=True))
    try:
        ports = datagrams.open(0)
        datagrams.connect(0, Transport(protocol="udp", delivery="unicast", server_port=(9, 10)))
        made = receiver()
        datagrams.start(made, lambda: None, Ticker(0.01))
        camera[0].sendto(packet(1), (HOST, ports[0]))
        await until(lambda: track_stats(made, 0).received == 1)
    finally:
        datagrams.close()


async def test_what_is_sent_goes_to_the_cameras_ports(
    datagrams: Datagrams, camera: tuple[socket.socket, socket.socket]
) -> None:
    ports = datagrams.open(0)
    datagrams.send_rtcp(0, b"too early")  # nobody has said where to
    datagrams.connect(0, agreed(camera))
    datagrams.punch()
    datagrams.send_rtcp(0, b"report")
    data, address = await asyncio.to_thread(camera[0].recvfrom, 100)
    assert (data[0] >> 6, len(data), address) == (2, 12, (HOST, ports[0]))
    assert await asyncio.to_thread(camera[1].recvfrom, 100) == (b"report", (HOST, ports[1]))


async def test_a_tap_hears_the_cameras_packets_and_ours(camera: tuple[socket.socket, socket.socket]) -> None:
    heard: list[tuple[str, bytes, int | None]] = []
    datagrams = Datagrams(HOST, HOST, CameraOptions(), lambda *said: heard.append(said))
    try:
        ports = datagrams.open(0)
        datagrams.connect(0, agreed(camera))
        made = receiver()
        datagrams.start(made, lambda: None, Ticker(0.01))
        datagrams.send_rtcp(0, b"report")
        camera[0].sendto(packet(1), (HOST, ports[0]))
        await until(lambda: track_stats(made, 0).received == 1)
    finally:
        datagrams.close()
    assert heard == [("out", b"report", 1), ("in", packet(1), 0)]


def test_a_group_that_cannot_be_joined_is_said() -> None:
    datagrams = Datagrams(HOST, HOST, CameraOptions())
    with pytest.raises(UnsupportedError, match=r"192\.0\.2\.1"):
        datagrams.connect(
            0, Transport(protocol="udp", delivery="multicast", destination="192.0.2.1", port=(40000, 40001))
        )
    datagrams.close()


@pytest.mark.skipif(not RMEM_MAX.exists(), reason="not Linux")
async def test_what_the_system_has_no_room_for_is_counted(
    camera: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtspkit.datagrams._BUFFER_SIZE", 4096)
    datagrams = Datagrams(HOST, HOST, CameraOptions())
    try:
        ports = datagrams.open(0)
        datagrams.connect(0, agreed(camera))
        for sequence in range(1, 101):
            camera[0].sendto(packet(sequence), (HOST, ports[0]))
        made = receiver()
        datagrams.start(made, lambda: None, Ticker(0.01))
        await until(lambda: track_stats(made, 0).received > 0)
        camera[0].sendto(packet(101), (HOST, ports[0]))  # it is told with the next packet
        await until(lambda: track_stats(made, 0).kernel_drops > 0)
    finally:
        datagrams.close()
    assert track_stats(made, 0).received + track_stats(made, 0).kernel_drops == 101


@pytest.mark.skipif(not RMEM_MAX.exists(), reason="not Linux")
def test_a_small_receive_buffer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtspkit.datagrams._FORCE_BUFFER", -1)  # as for one who may not go beyond the system's limit
    granted = int(RMEM_MAX.read_text())
    for wanted, is_short in ((4 * granted, True), (max(granted // 2, 2304), granted < 2 * 1024 * 1024)):
        datagrams = Datagrams(HOST, HOST, CameraOptions(udp_read_buffer_size=wanted))
        datagrams.open(0)
        datagrams.close()
        assert bool(datagrams.shortfall) is is_short
        if is_short:
            assert f"has {granted // 1024} KiB" in datagrams.shortfall
            assert "net.core.rmem_max" in datagrams.shortfall


async def test_units_come_when_they_are_whole() -> None:
    """Not with the fragment, which a second of media fills: the third unit is there before the next sync sample."""
    async with ScriptedCamera() as camera:
        connected = await rtspkit.connect(camera.url, options=CameraOptions(transport="udp"))
        units = aiter(connected)
        taken = [await anext(units) for _ in range(10)]
        sent = camera.clients.copy().pop().units
        await connected.close()
    assert sum(unit.is_sync for unit in taken if unit.track.kind == "video") == 1
    assert sent < 30


async def test_the_first_packet_says_that_udp_gets_through() -> None:
    """Not the first fragment: who connects has it a second earlier."""
    async with ScriptedCamera() as camera:
        connected = await rtspkit.connect(camera.url)
        assert connected.transport == "udp"
        sent = camera.clients.copy().pop().units
        await connected.close()
    assert sent < 20
