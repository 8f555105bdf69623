"""Properties of the receiving half of RTP, whatever the bytes are.

`_rtp.Receiver` is compared with its plain-Python model (`reference_rtp.py`), with itself under another cut
of the same bytes, and with what `rtspkit.packetizer`, which shares no code with it, was given.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import h265_payloads
import reference_rtp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtspkit.errors import LimitExceeded, RemoteProtocolError
from rtspkit.latm import parse_stream_mux, read_element
from rtspkit.limits import Limits
from rtspkit.media import AACParameters, H264Parameters, H265Parameters, Track
from rtspkit.packetizer import (
    interleaved_frame,
    packetize_aac,
    packetize_h264,
    packetize_h265,
    packetize_latm,
    packetize_sound,
    rtp_packet,
    stream_mux_config,
)
from rtspkit.rtp import Receiver, access_units, parse_packet, parse_rtcp, receiver_report, track_stats
from rtspkit.testing import strategies as rs

#: Small enough for short inputs to reach every one of them.
SMALL = Limits(
    line_size=200,
    headers_size=400,
    body_size=100,
    resync_size=300,
    unknown_channel_size=2000,
    access_unit_size=400,
    nal_unit_count=6,
    parameter_set_size=20,
    fragment_size=1500,
)
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SPS = bytes.fromhex("6742c01fda014016e840")
PPS = bytes.fromhex("68ce3c80")
CONFIGS = [b"\x11\x90", b"\x12\x10"]
LATM_CONFIG = stream_mux_config(CONFIGS[0])


# -- what arrives -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """A track as the SDP and SETUP would have it."""

    codec: str
    clock_rate: int = 90000
    payload_type: int = 96
    origin: int | None = None
    lengths: tuple[int, int, int] = (13, 3, 3)
    parameters: H264Parameters | None = None
    latm: str = ""  # AAC: "sdp" or "band", where its configuration is

    @property
    def packing(self) -> dict[str, Any]:
        if self.codec == "aac" and self.latm:
            is_in_band = self.latm == "band"
            return {"read_mux": read_element} if is_in_band else {"stream_mux": parse_stream_mux(LATM_CONFIG)}
        if self.codec == "l16":
            return {"block_size": 4}
        return dict(zip(("size_length", "index_length", "index_delta_length"), self.lengths, strict=True))

    @property
    def is_video(self) -> bool:
        return self.codec in {"h264", "h265"}

    @property
    def track_parameters(self) -> H264Parameters | H265Parameters | AACParameters | None:
        if self.codec == "h265":
            return self.parameters and H265Parameters(h265_payloads.VPS, h265_payloads.SPS, (h265_payloads.PPS, b""))
        return self.parameters if self.is_video else AACParameters(b"\x12\x10")


lengths = st.sampled_from(
    [(13, 3, 3), (13, 3, 3), (6, 2, 2), (13, 0, 0), (16, 0, 8), (0, 8, 8), (8, 0, 0), (32, 32, 0)]
)
setups = st.lists(
    st.builds(
        Setup,
        st.sampled_from(["h264", "h264", "h265", "h265", "aac", "aac", "pcma", "l16", "opus"]),
        st.sampled_from([90000, 90000, 48000, 8000, 1, 10**8]),
        st.sampled_from([96, 96, 97]),
        st.sampled_from([None, 0, 1000, 2**32 - 10, 2**31]),
        lengths,
        st.sampled_from([None, H264Parameters(SPS, (PPS,)), H264Parameters(b"", (b"", b"\x68", PPS))]),
        st.sampled_from(["", "sdp", "band"]),
    ),
    min_size=1,
    max_size=3,
)

zeros = st.sampled_from([b"\0", b"\0\0", b"\0\0\1", b"\0\0\0\1", b"\0\0\3"])
body = st.lists(st.binary(max_size=40) | zeros, max_size=4).map(b"".join)
nal_header = st.sampled_from([0x41, 0x41, 0x65, 0x65, 0x06, 0x67, 0x68, 0x09, 0x0A, 0x0C, 0x01, 0x00, 0x1E, 0x78, 0x7C])
nal = st.builds(lambda header, data: bytes([header]) + data, nal_header, body) | st.sampled_from(
    [
        SPS,
        PPS,
        SPS + b"\1",
        PPS + b"\1",
        b"\x68\x40",
        b"\x65\x88\x80\0",
        b"\x41\x9a\x12",
        b"\x65\x08",
        b"",
        b"\x06\x06\x01\xc4",
    ]
)
stap_a = st.lists(nal, max_size=4).flatmap(
    lambda nals: st.sampled_from([0, 0, 0, 1, 300]).map(
        lambda lie: b"\x78" + b"".join((len(n) + (lie if i else 0)).to_bytes(2, "big") + n for i, n in enumerate(nals))
    )
)
fu_a = st.builds(
    lambda flags, kind, data: bytes([0x7C, flags | kind]) + data,
    st.sampled_from([0x80, 0x80, 0x00, 0x00, 0x40, 0x40, 0xC0, 0xA0]),
    st.sampled_from([1, 1, 5, 5, 7, 8, 6, 0, 28]),
    body | st.sampled_from([b"\x88", SPS[1:], PPS[1:], bytes(300)]),
)
#: Two SPS, a PPS with id 0 of either and one with id 1 of the second, and pictures of both PPS.
two_sps = st.lists(
    st.sampled_from([SPS, PPS, b"\x67\x42\xc0\x1f\x5a", b"\x68\xa0", b"\x68\x48", b"\x65\x88\x84", b"\x65\x88\x48"]),
    min_size=3,
    max_size=6,
).map(lambda nals: b"\x78" + b"".join(len(n).to_bytes(2, "big") + n for n in nals))
h264_payload = st.one_of(nal, nal, fu_a, fu_a, stap_a, two_sps, st.binary(max_size=60))


@st.composite
def aac_payload(draw: st.DrawFn) -> bytes:
    size_length, index_length, delta_length = draw(lengths)
    units = draw(st.lists(st.binary(max_size=20) | st.just(b"\xff\xf1\x50\x80\x01\x1f\xfc\xaa"), max_size=4))
    lies = draw(st.sampled_from([0, 0, 0, 1, 30, 500]))
    bits = ""
    for i, unit in enumerate(units):
        if size_length:
            bits += format((len(unit) + lies) % (1 << size_length), f"0{size_length}b")
        bits += draw(st.sampled_from(["0", "0", "0", "1"])) * (delta_length if i else index_length)
    told = max(0, len(bits) + draw(st.sampled_from([0, 0, 0, -1, 3, 100])))
    bits += "0" * (-len(bits) % 8)
    return told.to_bytes(2, "big") + (int("0" + bits, 2)).to_bytes(len(bits) // 8, "big") + b"".join(units)


latm_payload = st.builds(
    lambda head, units, lie: head + b"".join(bytes((min(255, len(unit) + lie),)) + unit for unit in units),
    st.sampled_from(
        [b"", b"", b"\x80", b"\0", packetize_latm([b"a"], config=CONFIGS[0])[0].data, b"\0" + LATM_CONFIG, b"\x60"]
    ),
    st.lists(st.binary(max_size=12) | st.just(bytes(300)), max_size=3),
    st.sampled_from([0, 0, 0, 1, 250]),
)
slice_body = st.binary(min_size=1, max_size=300).map(lambda data: data.replace(b"\0", b"\2") + b"\x80")
first_slice = st.builds(lambda kind, data: bytes([0x60 | kind, 0x88]) + data, st.sampled_from([1, 5]), slice_body)
next_slice = st.builds(lambda kind, data: bytes([0x60 | kind, 0x08]) + data, st.sampled_from([1, 5]), slice_body)
#: Longer than it is, so that nothing in it is a recovery point.
sei = slice_body.map(lambda data: b"\x06\x05\xff\xff" + data)
picture = st.builds(
    lambda before, first, rest: [*before, first, *rest],
    st.lists(sei, max_size=3),
    first_slice,
    st.lists(next_slice, max_size=3),
)


@dataclass(frozen=True)
class Unit:
    """A good access unit (some AAC units), and what the network and a camera's habits do to its packets."""

    track: int
    nals: list[bytes]
    h265: list[bytes]
    units: list[bytes]
    max_size: int
    together: int  # AAC units in a packet; H.264, H.265: STAP-A, AP where it is more than 1
    markers: str
    ticks: int
    harm: str
    at: int


unit = st.builds(
    Unit,
    st.integers(0, 2),
    picture | st.lists(nal.filter(lambda data: data and 1 <= data[0] & 0x1F <= 23), min_size=1, max_size=5),
    h265_payloads.pictures()
    | st.lists(
        h265_payloads.nal_units.filter(lambda data: len(data) > 1 and data[0] >> 1 & 0x3F < 48), min_size=1, max_size=5
    ),
    st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4),
    st.sampled_from([5, 20, 60, 1400]),
    st.integers(1, 3),
    st.sampled_from(["last", "last", "last", "none", "all"]),
    st.sampled_from([3600, 3600, 3600, 3600, 90000, 0]),
    st.sampled_from([""] * 6 + ["lost", "doubled", "swapped", "cut off", "no start", "no end", "mixed"]),
    st.integers(0, 20),
)

#: Bits that differ in an FU header.
FRAGMENT_HARMS = {"no start": 0x80, "no end": 0x40, "mixed": 0x04}
small_body = st.binary(min_size=1, max_size=40).map(lambda data: data.replace(b"\0", b"\2") + b"\x80")


def small_pictures(kinds: list[int], header: Callable[[int], bytes], sei: bytes) -> st.SearchStrategy[list[bytes]]:
    """Pictures that fit `SMALL`: a slice or some, all of one kind, now and then with SEI before them."""
    return st.builds(
        lambda kind, before, bodies: [
            *before,
            *(header(kind) + (b"\x08" if number else b"\x88") + body for number, body in enumerate(bodies)),
        ],
        st.sampled_from(kinds),
        st.sampled_from([[], [], [sei]]),
        st.lists(small_body, min_size=1, max_size=3),
    )


#: Of pictures that are right, of every few one loses something.
lossy_unit = st.builds(
    Unit,
    st.integers(0, 1),
    small_pictures([1, 1, 5], lambda kind: bytes((0x60 | kind,)), b"\x06\x05\xff\xffsei\x80"),
    small_pictures([1, 1, 9, 19, 21], h265_payloads.header, h265_payloads.header(39) + b"sei\x80"),
    st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=2),
    st.sampled_from([5, 20, 20, 60]),
    st.integers(1, 2),
    st.sampled_from(["last", "last", "last", "none", "all"]),
    st.sampled_from([3600, 3600, 3600, 0]),
    st.sampled_from([""] * 6 + ["lost", "lost", *FRAGMENT_HARMS]),
    st.integers(0, 20),
)


@dataclass(frozen=True)
class Sent:
    """One RTP packet, told by how it differs from the one before it on its track."""

    track: int
    h264: bytes
    h265: bytes
    aac: bytes
    latm: bytes
    marker: bool
    sequence: int
    ticks: int
    ssrc: int
    wrong: str


sent = st.builds(
    Sent,
    st.integers(0, 2),
    h264_payload,
    h265_payloads.payloads,
    aac_payload(),
    latm_payload,
    st.booleans(),
    st.sampled_from([1] * 12 + [0, 2, 3, -1, 2999, 3000, 3001, 30000, -99, -100, -101]),
    st.sampled_from([0, 0, 0, 0, 3600, 3600, 3600, -3600, 1024, 90000, 2**31, 2**31 - 1, 180001]),
    st.sampled_from([1] * 15 + [2]),
    st.sampled_from([""] * 12 + ["payload type", "version", "padding", "csrc", "extension"]),
)
report = st.builds(
    lambda track, on_rtp, data: (track, on_rtp, bytes([0x80, 200]) + data), st.integers(0, 2), st.booleans(), body
)
messages = st.builds(
    lambda start, lies, data: start + b"Content-Length: %d\r\n\r\n" % (len(data) + lies) + data,
    st.sampled_from(
        [b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n", b"OPTIONS * RTSP/1.0\r\n", b"A\n", b"RTSP/1.0 200 OK\r\n$\r\n"]
    ),
    st.sampled_from([0, 0, 0, 0, 1, 5, 200]),
    st.binary(max_size=20),
) | st.sampled_from(
    [
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"A\n\n",
        b"RTSP/1.0",
        b"A" * 250,
        b"A\r\n" * 150,
        b"Content-Length: -1\r\n\r\n",
        b"B$\n",
    ]
)
garbage = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"\r\n", b"\n", b"\r\n\r\n", b"$", b"$\0", b"A$", b"AB$\0\0", b"$\7\0\4abcd", b"$\t\1\0", b"\xff" * 200]
    ),
    st.sampled_from([b"$A$B$A", b"Z$\0\0\x10", b"$\x41\x00\x02", b"$\x03\x00\x00", b"$\0\0\0", b"$\x07\xff\xff"]),
)
clock = st.sampled_from([0, 0, 0, 1, 10**7, 10**8, 10**9, 3 * 10**9, 10**14])
event = st.one_of(unit, unit, unit, unit, sent, sent, report, messages, garbage)
calls = st.sampled_from(
    [""] * 20
    + ["flush", "wall", "finish", "latency 0.04 1", "latency 1 0"]
    + [f"cut {pts}" for pts in (-1, 0, 9000, 2**40)]
)


@dataclass
class Input:
    setups: list[Setup]
    steps: list[tuple[bytes, int, str]]  # bytes, monotonic ns, a call made after them
    fragment_duration: float
    low_latency: bool = False
    loss_policy: str = "keep"

    @property
    def data(self) -> bytes:
        return b"".join(data for data, _, _ in self.steps)

    def receiver(self, factory: Any = Receiver) -> Any:
        receiver = factory(
            fragment_duration=self.fragment_duration,
            low_latency=self.low_latency,
            limits=SMALL,
            loss_policy=self.loss_policy,
        )
        for i, setup in enumerate(self.setups):
            receiver.add_track(
                Track(
                    i,
                    "video" if setup.is_video else "audio",
                    setup.codec,  # type: ignore[arg-type]
                    setup.clock_rate,
                    setup.track_parameters,
                ),
                payload_type=setup.payload_type,
                channels=(2 * i, 2 * i + 1),
                origin=setup.origin,
                **setup.packing,
            )
        return receiver


def good_packets(setup: Setup, item: Unit, sequence: int, ticks: int) -> list[bytes]:
    if setup.codec in {"pcma", "l16", "opus"}:
        payloads = packetize_sound(item.units[0])
    elif setup.latm and setup.codec == "aac":
        together = item.together if len(item.units) % item.together == 0 and setup.latm == "band" else 1
        config = CONFIGS[item.at % 2] if setup.latm == "band" else None
        payloads = packetize_latm(
            item.units, max_size=item.max_size, per_element=together, config=config, repeat=1 + item.at % 3
        )
    elif setup.codec == "h265":
        payloads = packetize_h265(item.h265, max_size=item.max_size, aggregate=item.together > 1)
    elif setup.codec == "h264":
        payloads = packetize_h264(item.nals, max_size=item.max_size, aggregate=item.together > 1)
    else:
        size_length, index_length, index_delta_length = setup.lengths
        if size_length < 6:
            return [
                rtp_packet(b"\0\x08\0abc", payload_type=setup.payload_type, sequence=sequence, timestamp=ticks, ssrc=1)
            ]
        payloads = packetize_aac(
            item.units,
            max_size=item.max_size + 20,
            per_packet=item.together,
            size_length=size_length,
            index_length=index_length,
            index_delta_length=index_delta_length,
        )
    return [
        rtp_packet(
            payload.data,
            payload_type=setup.payload_type,
            sequence=sequence + i,
            timestamp=ticks + 1024 * payload.first,
            ssrc=1,
            marker={"last": payload.marker, "none": False, "all": True}[item.markers],
        )
        for i, payload in enumerate(payloads)
    ]


def other_fragment(packet: bytes, codec: str, bits: int) -> bytes:
    """The packet with those bits of its FU header turned over, if it has one."""
    is_fragment = {"h264": packet[12] & 0x1F == 28, "h265": packet[12] >> 1 & 0x3F == 49}.get(codec, False)
    place = 13 if codec == "h264" else 14
    return packet[:place] + bytes((packet[place] ^ bits,)) + packet[place + 1 :] if is_fragment else packet


def wire(setups: list[Setup], events: list[Any]) -> list[bytes]:
    sequences, ticks = [65530] * 3, [2**32 - 7200] * 3
    pieces = []
    for item in events:
        if isinstance(item, bytes):
            pieces.append(item)
        elif isinstance(item, Unit):
            i = item.track % len(setups)
            ticks[i] += item.ticks
            packets = good_packets(setups[i], item, sequences[i] + 1, ticks[i])
            sequences[i] += len(packets)
            at = item.at % len(packets)
            if item.harm == "lost":
                del packets[at]
            elif item.harm == "doubled":
                packets.insert(at, packets[at])
            elif item.harm == "swapped":
                packets[at - 1], packets[at] = packets[at], packets[at - 1]
            elif item.harm == "cut off":
                packets[at] = packets[at][: 12 + item.at]
            elif item.harm in FRAGMENT_HARMS:
                packets[at] = other_fragment(packets[at], setups[i].codec, FRAGMENT_HARMS[item.harm])
            pieces += [interleaved_frame(2 * i, packet) for packet in packets]
        elif isinstance(item, Sent):
            i = item.track % len(setups)
            sequences[i] += item.sequence
            ticks[i] += item.ticks
            packet = rtp_packet(
                {"h264": item.h264, "h265": item.h265}.get(setups[i].codec, item.latm if setups[i].latm else item.aac),
                payload_type=setups[i].payload_type + (1 if item.wrong == "payload type" else 0),
                sequence=sequences[i],
                timestamp=ticks[i],
                ssrc=item.ssrc,
                marker=item.marker,
                csrc=(1, 2) if item.wrong == "csrc" else (),
                extension=(0xABAC, b"abcd") if item.wrong == "extension" else None,
                padding=3 if item.wrong == "padding" else 0,
            )
            if item.wrong == "version":
                packet = b"\x40" + packet[1:]
            pieces.append(interleaved_frame(2 * i, packet))
        else:
            track, on_rtp, data = item
            pieces.append(interleaved_frame(2 * (track % len(setups)) + (not on_rtp), data))
    return pieces


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    tracks = draw(setups)
    pieces = wire(tracks, draw(st.lists(event, min_size=3, max_size=25)))
    if draw(st.booleans()):
        data = bytearray(b"".join(pieces))
        for at, value in draw(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4)):
            if at < len(data):
                data[at] = value
        cut = draw(st.integers(0, 200))
        pieces = [bytes(data[:cut]), bytes(data[cut:])]
    now = draw(st.sampled_from([0, 1, 10**9, 10**15]))
    steps = []
    for piece in pieces:
        now += draw(clock)
        steps.append((piece, now, draw(calls)))
    duration = draw(st.sampled_from([0.0, 0.04, 1.0, 1.0, 3600.0]))
    return Input(tracks, steps, duration, draw(st.booleans()), draw(st.sampled_from(["keep", "drop", "skip"])))


@st.composite
def lossy_inputs(draw: st.DrawFn) -> Input:
    """Much is right, so that it matters what is lost."""
    tracks = [Setup(draw(st.sampled_from(["h264", "h265"]))), Setup("pcma", 8000, 97)][: draw(st.integers(1, 2))]
    pieces = wire(tracks, draw(st.lists(lossy_unit, min_size=4, max_size=30)))
    steps = [(piece, 10**9 + 15_000_000 * number, draw(calls)) for number, piece in enumerate(pieces)]
    duration = draw(st.sampled_from([0.04, 0.2, 1.0, 3600.0]))
    return Input(tracks, steps, duration, draw(st.booleans()), draw(st.sampled_from(["keep", "drop", "skip", "skip"])))


def visible(receiver: Any, tracks: int) -> list[Any]:
    counters = [(receiver.stats(i), sorted(receiver.quirks(i))) for i in range(tracks)]
    return [reference_rtp.plain(receiver), *counters]


def call(receiver: Any, name: str) -> None:
    if name == "flush":
        receiver.flush()
    elif name == "finish":
        receiver.finish()
    elif name == "wall":
        receiver.set_wall_clock(0, 1000, 1.7e9)
    elif name.startswith("cut"):
        receiver.cut_at(int(name.split()[1]))
    elif name.startswith("latency"):
        _, duration, low_latency = name.split()
        receiver.set_latency(float(duration), low_latency == "1")


# -- properties -------------------------------------------------------------------------------------------------------


@settings(quick, max_examples=1000)
@given(inputs() | lossy_inputs())
def test_same_as_reference(given_: Input) -> None:
    receiver, model = given_.receiver(), given_.receiver(reference_rtp.Receiver)
    for data, now, name in given_.steps:
        for one in (receiver, model):
            one.feed(data, now)
            call(one, name)
        assert visible(receiver, len(given_.setups)) == visible(model, len(given_.setups))
    receiver.finish()
    model.finish()
    assert visible(receiver, len(given_.setups)) == visible(model, len(given_.setups))


@quick
@given(
    st.tuples(st.just("h264"), st.lists(two_sps, min_size=2, max_size=6))
    | st.tuples(st.just("h265"), st.lists(h265_payloads.two_sps, min_size=2, max_size=6))
)
def test_same_sps_as_reference(given_: tuple[str, list[bytes]]) -> None:
    codec, payloads = given_
    results = []
    for one in (Receiver(fragment_duration=3600), reference_rtp.Receiver(fragment_duration=3600)):
        one.add_track(Track(0, "video", codec, 90000), payload_type=96, channels=(0, 1), origin=0)
        for i, payload in enumerate(payloads):
            packet = rtp_packet(payload, payload_type=96, sequence=i, timestamp=3600 * i, ssrc=7, marker=True)
            one.feed(interleaved_frame(0, packet), 10**9 + 40_000_000 * i)
        one.finish()
        results.append(visible(one, 1))
    assert results[0] == results[1]


@settings(quick, max_examples=300)
@given(inputs(), st.data())
def test_any_split_gives_the_same(given_: Input, data: st.DataObject) -> None:
    stream = given_.data
    whole, pieces = given_.receiver(), given_.receiver()
    whole.feed(stream, 10**9)
    for piece in data.draw(rs.chunks(stream)):
        pieces.feed(piece, 10**9)
    assert visible(whole, len(given_.setups)) == visible(pieces, len(given_.setups))
    whole.finish()
    pieces.finish()
    assert visible(whole, len(given_.setups)) == visible(pieces, len(given_.setups))


@quick
@given(inputs())
def test_what_comes_out_is_consistent(given_: Input) -> None:
    """No exception, only the documented error, and fragments that keep to their contract."""
    receiver = given_.receiver()
    received = 0
    for data, now, _ in given_.steps:
        receiver.feed(data, now)
        received += len(data)
    receiver.finish()
    assert receiver.bytes_received == received
    assert receiver.error is None or type(receiver.error) is LimitExceeded
    fragments = receiver.take_fragments()
    before = None
    video = [i for i, setup in enumerate(given_.setups) if setup.is_video]
    units = [0] * len(given_.setups)
    for fragment in fragments:
        assert fragment.runs
        assert [run.track for run in fragment.runs] == sorted({run.track for run in fragment.runs})
        assert len(fragment.tracks) == len(given_.setups)
        if before is not None and before.tracks == fragment.tracks:
            assert before.tracks is fragment.tracks
        before = fragment
        led = {run.track: run for run in fragment.runs}
        for unit in access_units(fragment):
            assert 0 < len(unit.data) <= SMALL.access_unit_size
            units[unit.track.index] += 1
        for run in fragment.runs:
            sizes = [size for _, _, size, _ in reference_rtp.struct.iter_unpack("=qqII", run.samples)]
            assert sum(sizes) == len(run.data)
            if given_.setups[run.track].is_video:
                check_avcc(run.data, sizes, given_.setups[run.track].codec)
        if video:
            first = led.get(video[0])
            assert fragment.is_sync is (first is not None and bool(first.samples[20] & 1))
        else:
            assert fragment.is_sync
            assert fragment.next_pts is None
    assert units == [receiver.stats(i)[6] for i in range(len(units))]


def check_avcc(data: Any, sizes: list[int], codec: str) -> None:
    view, start = bytes(data), 0
    for size in sizes:
        end, count = start + size, 0
        while start < end:
            length = int.from_bytes(view[start : start + 4], "big")
            assert length > 0
            if codec == "h264":
                assert view[start + 4] & 0x1F not in (7, 8, 9, 10, 11, 12)
            else:
                assert length > 1
                assert view[start + 5] & 7
                assert not 32 <= view[start + 4] >> 1 & 0x3F <= 38
            start += 4 + length
            count += 1
        assert start == end
        assert 0 < count <= SMALL.nal_unit_count


@quick
@given(st.binary(max_size=3000))
def test_noise(data: bytes) -> None:
    given_ = Input([Setup("h264"), Setup("aac", 48000, 97)], [(data, 10**9, "")], 1.0)
    receiver, model = given_.receiver(), given_.receiver(reference_rtp.Receiver)
    for one in (receiver, model):
        one.feed(data, 10**9)
        one.finish()
    assert visible(receiver, 2) == visible(model, 2)


# -- what was sent comes back -----------------------------------------------------------------------------------------

starts = st.integers(0, 2**16 - 1) | st.integers(65500, 65535)
clocks = st.integers(0, 2**32 - 1) | st.integers(2**32 - 90000, 2**32 - 1)


@quick
@given(
    pictures=st.lists(picture, min_size=1, max_size=12),
    max_size=st.integers(3, 400),
    aggregate=st.booleans(),
    marked=st.booleans(),
    sequence=starts,
    ticks=clocks,
    sizes=st.lists(st.integers(1, 100), min_size=1),
)
def test_h264_comes_back(
    *,
    pictures: list[list[bytes]],
    max_size: int,
    aggregate: bool,
    marked: bool,
    sequence: int,
    ticks: int,
    sizes: list[int],
) -> None:
    stream = b""
    for i, nals in enumerate(pictures):
        for payload in packetize_h264(nals, max_size=max_size, aggregate=aggregate):
            packet = rtp_packet(
                payload.data,
                payload_type=96,
                sequence=sequence,
                timestamp=ticks + 3600 * i,
                ssrc=7,
                marker=payload.marker and marked,
            )
            stream += interleaved_frame(0, packet)
            sequence += 1
    receiver = Receiver()
    receiver.add_track(Track(0, "video", "h264", 90000), payload_type=96, channels=(0, 1), origin=ticks)
    units = []
    for i, size in enumerate(sizes):
        receiver.feed(stream[:size], 10**9 + i)
        stream = stream[size:]
    receiver.feed(stream, 2 * 10**9)
    receiver.finish()
    fragments = receiver.take_fragments()
    units = [unit for fragment in fragments for unit in access_units(fragment)]
    avcc = [b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals) for nals in pictures]
    assert [unit.data for unit in units] == avcc
    assert [unit.pts for unit in units] == [3600 * i for i in range(len(pictures))]
    assert [unit.is_sync for unit in units] == [any(nal[0] & 0x1F == 5 for nal in nals) for nals in pictures]
    assert not any(unit.damaged for unit in units)
    for fragment, following in pairwise(fragments):
        assert fragment.next_pts == next(access_units(following)).pts
    counted = track_stats(receiver, 0)
    assert counted.lost == counted.late == counted.broken == counted.discarded == 0


@quick
@given(
    units=st.lists(st.binary(min_size=1, max_size=300).filter(lambda unit: unit[0] != 0xFF), min_size=1, max_size=20),
    max_size=st.integers(12, 400),
    per_packet=st.integers(1, 5),
    bits=st.sampled_from([(13, 3, 3), (16, 0, 8), (9, 0, 0), (32, 3, 5)]),
    sequence=starts,
    ticks=clocks,
)
def test_aac_comes_back(
    *, units: list[bytes], max_size: int, per_packet: int, bits: tuple[int, int, int], sequence: int, ticks: int
) -> None:
    fields = dict(zip(("size_length", "index_length", "index_delta_length"), bits, strict=True))
    receiver = Receiver()
    receiver.add_track(
        Track(0, "audio", "aac", 48000, AACParameters(b"\x11\x90")),
        payload_type=97,
        channels=(0, 1),
        origin=ticks,
        **fields,
    )
    for payload in packetize_aac(units, max_size=max_size, per_packet=per_packet, **fields):
        packet = rtp_packet(
            payload.data,
            payload_type=97,
            sequence=sequence,
            timestamp=ticks + payload.first * 1024,
            ssrc=7,
            marker=payload.marker,
        )
        receiver.feed(interleaved_frame(0, packet), 10**9)
        sequence += 1
    receiver.finish()
    got = [unit for fragment in receiver.take_fragments() for unit in access_units(fragment)]
    assert [(unit.pts, unit.data) for unit in got] == [(1024 * i, unit) for i, unit in enumerate(units)]
    assert not any(unit.damaged for unit in got)


# -- the cold half ----------------------------------------------------------------------------------------------------


@quick
@given(rs.rtp_packets())
def test_packet_comes_back(packet: rs.Wire[rs.RTPFields]) -> None:
    found = parse_packet(packet.data)._asdict()
    assert found.pop("sequence_number") == packet.value.sequence
    assert found == {name: value for name, value in vars(packet.value).items() if name != "sequence"}


@quick
@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda data: b"\x81\xc8\0\6" + data))
def test_any_bytes_are_a_packet_or_an_error(data: bytes) -> None:
    model = reference_rtp.parse_packet(data)
    try:
        packet = parse_packet(data)
    except RemoteProtocolError:
        assert model is None
    else:
        assert model is not None
        assert (packet.payload, packet.marker, packet.ssrc) == (model.payload, model.marker, model.ssrc)
    with suppress(RemoteProtocolError):
        parse_rtcp(data)


@quick
@given(inputs(), st.floats(0, 1e6), st.integers(0, 2**32 - 1))
def test_receiver_report_always_has_its_form(given_: Input, delay: float, last_sr: int) -> None:
    receiver = given_.receiver()
    previous = None
    for data, now, _ in given_.steps:
        receiver.feed(data, now)
        counted = track_stats(receiver, 0)
        packet = receiver_report(reporter=1, stats=counted, previous=previous, last_sr=last_sr, delay=delay)
        assert parse_rtcp(packet).sender_reports == ()
        assert len(packet) == 52
        previous = counted
