"""AAC in LATM: elements of several units, over several packets, with the configuration in band or in the SDP."""

from __future__ import annotations

from typing import Any

import pytest
from rtp_camera import T0

from rtspkit.aac import build_config
from rtspkit.latm import parse_stream_mux, read_element
from rtspkit.limits import Limits
from rtspkit.media import AACParameters, AccessUnit, Track
from rtspkit.packetizer import RTPSender, interleaved_frame, packetize_latm, stream_mux_config
from rtspkit.rtp import Receiver, access_units, track_stats

CONFIG = build_config(48000, 2)
OTHER = build_config(24000, 1)
UNITS = [bytes([number]) * (10 + 100 * number) for number in range(1, 7)]
IN_SDP = {"stream_mux": parse_stream_mux(stream_mux_config(CONFIG))}
IN_BAND = {"read_mux": read_element}


class Camera:
    """Sends LATM to a receiver."""

    def __init__(self, packing: dict[str, Any], clock_rate: int = 48000, **options: Any) -> None:
        self.receiver = Receiver(fragment_duration=3600, **options)
        parameters = AACParameters(CONFIG) if "stream_mux" in packing else None
        track = Track(0, "audio", "aac", clock_rate, parameters)
        self.receiver.add_track(track, payload_type=97, channels=(0, 1), origin=0, **packing)
        self.sender = RTPSender(payload_type=97, ssrc=1, sequence=65534)

    def packets(self, units: list[bytes], at: int = 0, **options: Any) -> list[bytes]:
        return self.sender.packets(packetize_latm(units, **options), at, 1024)

    def send(self, packets: list[bytes]) -> None:
        for packet in packets:
            self.receiver.feed(interleaved_frame(0, packet), T0)

    def units(self) -> list[AccessUnit]:
        self.receiver.finish()
        return [unit for fragment in self.receiver.take_fragments() for unit in access_units(fragment)]

    @property
    def broken(self) -> int:
        return track_stats(self.receiver, 0).broken


@pytest.mark.parametrize("max_size", [1, 7, 100, 1400])
@pytest.mark.parametrize(
    ("packing", "options"),
    [
        (IN_SDP, {}),
        (IN_SDP, {"per_element": 3}),  # more than it says: nothing else can be there
        ({"stream_mux": parse_stream_mux(stream_mux_config(CONFIG, units=3))}, {"per_element": 3}),
        (IN_BAND, {"config": CONFIG}),
        (IN_BAND, {"config": CONFIG, "per_element": 2, "repeat": 3}),
        (IN_BAND | IN_SDP, {"config": CONFIG, "repeat": 2}),
    ],
)
def test_units_come_back(packing: dict[str, Any], options: dict[str, Any], max_size: int) -> None:
    camera = Camera(packing)
    camera.send(camera.packets(UNITS, max_size=max_size, **options))
    units = camera.units()
    assert [(unit.pts, unit.data) for unit in units] == [(1024 * i, unit) for i, unit in enumerate(UNITS)]
    assert {unit.track.parameters for unit in units} == {AACParameters(CONFIG)}
    assert camera.broken == 0
    assert not any(unit.damaged for unit in units)


def test_units_of_one_size() -> None:
    mux = parse_stream_mux(stream_mux_config(CONFIG, units=2))._replace(unit_size=20)
    camera = Camera({"stream_mux": mux})
    packet = camera.packets([b"a"])[0][:12]
    camera.send([packet + b"a" * 20 + b"b" * 20])
    assert [unit.data for unit in camera.units()] == [b"a" * 20, b"b" * 20]


def test_the_clock_may_be_another_than_the_sample_rate() -> None:
    camera = Camera(IN_BAND, clock_rate=90000)
    camera.send(camera.packets(UNITS[:2], per_element=2, config=CONFIG))
    assert [unit.pts for unit in camera.units()] == [0, 1920]


def test_another_configuration_begins_a_fragment() -> None:
    camera = Camera(IN_BAND)
    camera.send(camera.packets(UNITS[:2], config=CONFIG))
    camera.send(camera.packets(UNITS[2:4], 2048, config=OTHER))
    camera.send(camera.packets(UNITS[4:], 4096, config=OTHER, repeat=9))
    camera.receiver.finish()
    fragments = camera.receiver.take_fragments()
    assert [fragment.tracks[0].parameters for fragment in fragments] == [AACParameters(CONFIG), AACParameters(OTHER)]
    assert [len(list(access_units(fragment))) for fragment in fragments] == [2, 4]
    assert track_stats(camera.receiver, 0).parameter_changes == 1


def test_before_its_configuration_nothing_is_known() -> None:
    camera = Camera(IN_BAND)
    camera.send(camera.packets(UNITS, config=CONFIG, repeat=4)[1:])
    assert [unit.data for unit in camera.units()] == UNITS[4:]
    assert camera.broken == 3


def test_a_configuration_that_cannot_be_read_ends_the_one_before() -> None:
    camera = Camera(IN_BAND)
    camera.send(camera.packets(UNITS[:1], config=CONFIG))
    camera.send([camera.packets([b"a"])[0][:12] + bytes.fromhex("30303030303030303030")])
    again = packetize_latm(UNITS[:2], config=CONFIG, repeat=2)[1:]
    camera.send(camera.sender.packets(again, 2048, 1024))
    assert [unit.data for unit in camera.units()] == UNITS[:1]
    assert camera.broken == 2


def test_a_sender_without_markers() -> None:
    camera = Camera(IN_SDP)
    packets = camera.packets(UNITS, max_size=100)
    camera.send([packet[:1] + bytes([packet[1] & 0x7F]) + packet[2:] for packet in packets])
    assert [unit.data for unit in camera.units()] == UNITS[:-1]  # nothing says that the last one is whole


@pytest.mark.parametrize("lost", range(7))
def test_a_lost_fragment_takes_its_element_and_no_other(lost: int) -> None:
    camera = Camera(IN_SDP)
    before, middle, after = (camera.packets([unit], i * 1024, max_size=50) for i, unit in enumerate(UNITS[2:5]))
    assert len(middle) > 7
    camera.send(before + middle[:lost] + middle[lost + 1 :] + after)
    units = camera.units()
    assert [unit.data for unit in units] == [UNITS[2], UNITS[4]]
    assert [unit.damaged for unit in units] == [False, True]


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"\xff\xff", b"\x05abc", b"\x01a\x05b", b"\xfe" + bytes(100), b"\0" * 65],
    ids=lambda payload: payload[:8].hex(),
)
def test_an_element_of_which_anything_is_wrong_gives_nothing(payload: bytes) -> None:
    camera = Camera(IN_SDP)
    header = bytearray(camera.packets([b"a"])[0][:12])
    camera.send([bytes(header) + payload])
    camera.send(camera.packets([b"whole"], 1024))
    units = camera.units()
    assert [(unit.data, unit.damaged) for unit in units] == [(b"whole", True)]
    assert camera.broken == 1


def test_units_without_a_byte_are_passed_over() -> None:
    camera = Camera(IN_SDP)
    camera.send([camera.packets([b"a"])[0][:12] + b"\0\1a\0\0"])
    assert [(unit.pts, unit.data) for unit in camera.units()] == [(1024, b"a")]


def test_an_element_that_never_ends() -> None:
    camera = Camera(IN_SDP, limits=Limits(access_unit_size=1000))
    endless = camera.packets([bytes(5000)], max_size=400)
    camera.send(endless)
    camera.send(camera.packets([b"whole"], 1024))
    assert [unit.data for unit in camera.units()] == [b"whole"]
    assert camera.broken == 1


def test_adts_is_taken_off_here_too() -> None:
    camera = Camera(IN_SDP)
    camera.send(camera.packets([bytes.fromhex("fff14c80013ffcaabb")]))
    assert [unit.data for unit in camera.units()] == [b"\xaa\xbb"]
    assert camera.receiver.quirks(0) == ("adts-in-aac",)
