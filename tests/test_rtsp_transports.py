"""SETUP: what is asked for, and what holds after the answer."""

from collections.abc import Iterator
from typing import Any

import pytest
from rtspend import SDP, Camera, a_camera, tcp

from rtspkit.errors import LocalProtocolError, ResponseError, UnsupportedError
from rtspkit.rtsp import SetUp, State, Transport


@pytest.fixture
def camera() -> Iterator[Camera]:
    yield from a_camera()


@pytest.mark.parametrize(
    ("transport", "channels"),
    [
        ("", (0, 1)),
        ("Transport: RTP/AVP/TCP;unicast", (0, 1)),
        ("Transport: RTP/AVP/TCP;interleaved=8-9", (8, 9)),
        ("Transport: RTP/AVP/TCP;interleaved=255-256", (0, 1)),
        ("Transport: RTP/AVP/TCP;interleaved=3-3", (0, 1)),
        ("Transport: RTP/AVP;unicast;interleaved=0-1", (0, 1)),  # Escam
        ("Transport: RTP/AVP;unicast;interleaved=0-1;client_port=1-2", (0, 1)),
    ],
)
def test_transports(camera: Camera, transport: str, channels: tuple[int, int]) -> None:
    (event,) = camera.set_up(*filter(None, [transport]), count=1)
    assert event.transport.interleaved == channels


def test_the_same_channels_twice(camera: Camera) -> None:
    """Where the answer cannot be, what was asked for holds."""
    assert [event.transport.interleaved for event in camera.set_up("Transport: RTP/AVP/TCP;interleaved=0-1")] == [
        (0, 1),
        (2, 3),
    ]


def test_channels_that_are_free(camera: Camera) -> None:
    """go2rtc gives the second track of its own count the channels 2-3, whatever it is asked for."""
    for track, channels in zip(camera.described().tracks, ((2, 3), (0, 1)), strict=True):
        camera.connection.setup(track, Transport(protocol="tcp"), 0.0)
        event = camera.answer("200 OK", f"Transport: RTP/AVP/TCP;unicast;interleaved={channels[0]}-{channels[1]}")
        assert camera.headers["Transport"] == "RTP/AVP/TCP;unicast;interleaved=0-1"
        assert isinstance(event, SetUp)
        assert event.transport.interleaved == channels


@pytest.mark.parametrize("transport", ["RTP/AVP;unicast;client_port=1-2", "RTP/SAVP/TCP;interleaved=0-1"])
def test_transports_that_cannot_be_used(camera: Camera, transport: str) -> None:
    camera.connection.setup(camera.described().tracks[0], tcp(0, 1), 0.0)
    with pytest.raises(UnsupportedError, match="554 insists on"):
        camera.answer("200 OK", f"Transport: {transport}")


def test_refused_transport(camera: Camera) -> None:
    camera.connection.setup(camera.described().tracks[0], tcp(0, 1), 0.0)
    with pytest.raises(ResponseError, match="461 Unsupported Transport; it does not offer RTP over TCP"):
        camera.answer("461 Unsupported Transport")


UDP = Transport(protocol="udp", delivery="unicast", client_port=(5000, 5001))
MULTICAST = Transport(protocol="udp", delivery="multicast")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", {"protocol": "udp", "client_port": (5000, 5001), "server_port": None, "source": None}),
        (
            "RTP/AVP;unicast;client_port=5000-5001;server_port=6970-6971;source=10.0.0.7;ssrc=0A",
            {"client_port": (5000, 5001), "server_port": (6970, 6971), "source": "10.0.0.7", "ssrc": 10},
        ),
        ("RTP/AVP/UDP;unicast;server_port=0-1;source=0.0.0.0", {"server_port": None, "source": None}),
        ("RTP/AVP;server_port=6970;source=camera.local", {"server_port": (6970, 6971), "source": None}),
        ("RTP/AVP/TCP;unicast;interleaved=4-5", {"protocol": "tcp", "interleaved": (4, 5), "client_port": None}),
        ("RTP/AVP;unicast;interleaved=4-5", {"protocol": "tcp", "interleaved": (4, 5)}),
        ("RTP/AVP/TCP;unicast;interleaved=4-4", {"protocol": "tcp", "interleaved": (0, 1)}),
        ("RTP/AVP;unicast;interleaved=0-1;server_port=6-7", {"protocol": "udp", "server_port": (6, 7)}),
    ],
)  # fmt: skip
def test_udp(camera: Camera, answer: str, expected: dict[str, Any]) -> None:
    camera.connection.setup(camera.described().tracks[0], UDP, 0.0)
    event = camera.answer("200 OK", "Session: 1", *filter(None, [answer and f"Transport: {answer}"]))
    assert camera.headers["Transport"] == "RTP/AVP;unicast;client_port=5000-5001"
    assert isinstance(event, SetUp)
    assert {name: getattr(event.transport, name) for name in expected} == expected
    assert event.ssrc == expected.get("ssrc")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            "RTP/AVP;multicast;destination=239.1.2.3;port=5010-5011;ttl=127;source=10.0.0.5",
            {"destination": "239.1.2.3", "port": (5010, 5011), "ttl": 127, "source": "10.0.0.5"},
        ),
        ("RTP/AVP;multicast;destination=ff05::1;client_port=7-8", {"destination": "ff05::1", "port": (7, 8)}),
        ("RTP/AVP;destination=239.1.2.3", {"destination": "239.1.2.3", "port": (5004, 5005), "ttl": None}),
        ("RTP/AVP/TCP;interleaved=0-1", {"protocol": "tcp", "interleaved": (0, 1)}),
    ],
)  # fmt: skip
def test_multicast(camera: Camera, answer: str, expected: dict[str, Any]) -> None:
    track = camera.described(body=SDP.replace("m=video 0", "m=video 5004/1")).tracks[0]
    camera.connection.setup(track, MULTICAST, 0.0)
    event = camera.answer("200 OK", "Session: 1", f"Transport: {answer}")
    assert camera.headers["Transport"] == "RTP/AVP;multicast"
    assert isinstance(event, SetUp)
    assert {name: getattr(event.transport, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("wanted", "status", "answer", "message"),
    [
        (UDP, "461 Unsupported Transport", "", "461 Unsupported Transport; it does not offer RTP over UDP"),
        (UDP, "406 transport not allowed", "", "406 transport not allowed; it does not offer RTP over UDP"),
        (MULTICAST, "461 x", "", "461 x; it does not offer multicast"),
        (UDP, "200 OK", "RTP/AVP;multicast;destination=239.1.2.3;port=1-2", "insists on multicast"),
        (UDP, "200 OK", "RTP/AVP/TCP;unicast", "insists on RTP over TCP"),
        (MULTICAST, "200 OK", "RTP/AVP;unicast;destination=10.0.0.9;port=1-2", "insists on unicast"),
        (MULTICAST, "200 OK", "RTP/AVP;multicast;destination=10.0.0.9;port=1-2", "multicast without an address"),
        (MULTICAST, "200 OK", "RTP/AVP;multicast;destination=239.1.2.3;port=0-1", "multicast without a port"),
    ],
)
def test_transports_that_are_refused_are_followed_by_tcp(
    camera: Camera, wanted: Transport, status: str, answer: str, message: str
) -> None:
    """Hikvision wants DESCRIBE again before the second SETUP."""
    camera.connection.setup(camera.described().tracks[0], wanted, 0.0)
    with pytest.raises(ResponseError, match=message) as caught:
        camera.answer(status, *filter(None, [answer and f"Transport: {answer}"]))
    assert caught.value.status == 461
    assert camera.connection.state is State.DESCRIBED
    (event,) = camera.set_up(count=1)
    assert event.transport.interleaved == (0, 1)


def test_transports_that_make_no_sense(camera: Camera) -> None:
    track = camera.described().tracks[0]
    for transport in (Transport(), tcp(3, 3)):
        with pytest.raises(LocalProtocolError):
            camera.connection.setup(track, transport, 0.0)
