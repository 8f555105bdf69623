"""RTP and RTCP as real cameras and other projects' tests have it, through the same calls a client makes."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from corpus import cases
from reference_rtp import Receiver as ReferenceReceiver
from rtp_camera import nal_units

from rtspkit.errors import RemoteProtocolError
from rtspkit.h264 import parameters_from_sprop
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import AccessUnit, H264Parameters, H265Parameters, Track
from rtspkit.packetizer import interleaved_frame, rtp_packet
from rtspkit.rtp import Receiver, RTCPReport, access_units, ntp_to_unix, parse_packet, parse_rtcp

#: STAP-A packets whose made-up NAL units have types 10 and 12: without a slice there is no picture to deliver.
WITHOUT_SLICE = {
    "gortsplib/h264/stap_a_with_padding",
    "gortsplib/h264/testdecodepacketizationmode0allowsfuaandstapa_stap_a",
}
#: Bytes of these NAL units, and what makes slices of them.
SLICES = {0xAA: 0x65, 0xBB: 0x88, 0xCC: 0x65, 0xDD: 0x08}
#: Upstream closes the unit when it sees the next timestamp; nothing says so at the end of the stream.
OPEN_AT_THE_END = {"gortsplib/h264/issue_mediamtx_3945_flir_m400_timestamp_splitted_access_units"}
LIMITS = {
    "gortsplib/h264/testdecodeerrornalucount": Limits(nal_unit_count=50),
    "gortsplib/h265/testdecodeerrornalucount": Limits(nal_unit_count=21),
}
#: Types a sample does not carry: parameter sets, delimiters, end markers, filler.
NOT_IN_SAMPLES = {7, 8, 9, 10, 11, 12}
NOT_IN_H265_SAMPLES = set(range(32, 39))

H264_CASES = cases("rtp/gortsplib_h264") + cases("rtp/retina_h264")
H265_CASES = cases("rtp/gortsplib_h265")
AAC_CASES = cases("rtp/gortsplib_aac")
#: What is received as it comes.
WHOLE = {"lpcm", "simple_audio"}
OTHER_CASES = cases("rtp/gortsplib_other_codecs")
WHOLE_CASES = [case for case in OTHER_CASES if case["codec"] in WHOLE]


def ids(case: dict[str, Any]) -> str:
    return str(case["id"])


def announced(case: dict[str, Any]) -> H264Parameters | None:
    """The parameter sets of the case's SDP line."""
    found = re.search(r"sprop-parameter-sets=([^;]+)", case["config"].get("fmtp", ""))
    return parameters_from_sprop(found[1]) if found else None


def receive(case: dict[str, Any], codec: str, reference: bool = False) -> tuple[list[AccessUnit], Any]:
    clock_rate = case["config"].get("clock_rate", 48000)
    limits = LIMITS.get(case["id"], DEFAULT_LIMITS)
    factory: Any = ReferenceReceiver if reference else Receiver
    receiver = factory(fragment_duration=3600, limits=limits)
    lengths = ("size_length", "index_length", "index_delta_length")
    config = {key: case["config"][key] for key in lengths if codec == "aac"}
    packets = case["packets"]
    receiver.add_track(
        Track(0, "audio" if codec == "aac" else "video", codec, clock_rate, announced(case)),  # type: ignore[arg-type]
        payload_type=packets[0]["pt"],
        channels=(0, 1),
        origin=packets[0]["ts"],
        **config,
    )
    for packet in packets:
        wire = rtp_packet(
            bytes.fromhex(packet["payload_hex"]),
            payload_type=packet["pt"],
            sequence=packet["seq"],
            timestamp=packet["ts"],
            ssrc=packet["ssrc"],
            marker=packet["marker"],
        )
        receiver.feed(interleaved_frame(0, wire), 10**9)
    receiver.finish()
    assert receiver.error is None
    return [unit for fragment in receiver.take_fragments() for unit in access_units(fragment)], receiver


def expected_h264(case: dict[str, Any]) -> list[tuple[int, list[bytes]]]:
    origin = case["packets"][0]["ts"]
    frames = []
    for frame in case["expected"]["frames"]:
        nals = [bytes.fromhex(nal) for nal in frame["nals_hex"]]
        kept = [nal[:1] + nal[1:].rstrip(b"\0") for nal in nals if nal[0] & 0x1F not in NOT_IN_SAMPLES]
        if kept:
            frames.append((frame["ts"] - origin, kept))
    return frames


def with_slices(case: dict[str, Any]) -> dict[str, Any]:
    """The same case, its NAL units being slices."""

    def slices(text: str) -> str:
        return bytes(SLICES.get(byte, byte) for byte in bytes.fromhex(text)).hex()

    packets = [packet | {"payload_hex": slices(packet["payload_hex"])} for packet in case["packets"]]
    frames = [frame | {"nals_hex": [slices(nal) for nal in frame["nals_hex"]]} for frame in case["expected"]["frames"]]
    return case | {"packets": packets, "expected": case["expected"] | {"frames": frames}}


@pytest.mark.parametrize("case", H264_CASES, ids=ids)
def test_h264(case: dict[str, Any]) -> None:
    if case["id"] in WITHOUT_SLICE:
        assert receive(case, "h264")[0] == []
        case = with_slices(case)
    units, receiver = receive(case, "h264")
    got = [(unit.pts, nal_units(unit.data)) for unit in units]
    if case["verdict"] == "robustness":
        return
    expected = expected_h264(case)
    if case["id"] in OPEN_AT_THE_END:
        got = got[: len(expected)]
    assert got == expected
    if case["verdict"] == "reject":
        statistics = receiver.stats(0)
        assert statistics[1] or statistics[3] or statistics[4]  # it was counted: lost, broken or discarded


@pytest.mark.parametrize("case", H265_CASES, ids=ids)
def test_h265(case: dict[str, Any]) -> None:
    units, receiver = receive(case, "h265")
    got = [(unit.pts, nal_units(unit.data)) for unit in units]
    if case["verdict"] == "robustness":
        assert all(len(nal) > 1 for _, nals in got for nal in nals)
        return
    expected, sets = [], []
    for frame in case["expected"]["frames"]:
        nals = [bytes.fromhex(nal) for nal in frame["nals_hex"]]
        sets += [nal for nal in nals if 32 <= nal[0] >> 1 & 0x3F <= 34]
        kept = [nal for nal in nals if nal[0] >> 1 & 0x3F not in NOT_IN_H265_SAMPLES]
        expected += [(frame["ts"], kept)] if kept else []
    assert got == expected
    if case["verdict"] == "reject":
        statistics = receiver.stats(0)
        assert statistics[1] or statistics[3] or statistics[4]  # it was counted: lost, broken or discarded
    elif sets:  # only parameter sets: no sample, but the track has them
        vps, sps, pps = sets
        last = case["packets"][-1]
        cra = rtp_packet(
            b"\x2a\x01\x80", payload_type=last["pt"], sequence=last["seq"] + 1, timestamp=9000, ssrc=last["ssrc"]
        )
        receiver.feed(interleaved_frame(0, cra), 10**9)
        receiver.finish()
        (fragment,) = receiver.take_fragments()
        assert fragment.tracks[0].parameters == H265Parameters(vps, sps, (pps,))


@pytest.mark.parametrize("case", cases("rtp/retina_h264"), ids=ids)
def test_h264_parameters(case: dict[str, Any]) -> None:
    after = case["expected"].get("parameters_after")
    if not after:
        pytest.skip("this case says nothing of parameter sets")
    record = bytes.fromhex(after["extra_data_hex"])  # an AVCDecoderConfigurationRecord
    size = int.from_bytes(record[6:8], "big")
    sps, pps = record[8 : 8 + size], record[8 + size + 3 :]
    units, _ = receive(case, "h264")
    assert units
    assert units[-1].track.parameters == H264Parameters(sps, (pps,))
    assert [unit.is_sync for unit in units] == [frame["random_access"] for frame in case["expected"]["frames"]]


@pytest.mark.parametrize("case", [c for c in H264_CASES if "amatek" in c["id"]], ids=ids)
def test_amatek_parameters(case: dict[str, Any]) -> None:
    """Only parameter sets, several in one FU-A: no sample, but the track has them."""
    units, receiver = receive(case, "h264")
    assert units == []
    last = case["packets"][-1]
    slice_ = rtp_packet(
        b"\x65\x88\x80",
        payload_type=last["pt"],
        sequence=last["seq"] + 1,
        timestamp=9000,
        ssrc=last["ssrc"],
        marker=True,
    )
    receiver.feed(interleaved_frame(0, slice_), 10**9)
    receiver.finish()
    (fragment,) = receiver.take_fragments()
    sps, pps = (bytes.fromhex(nal) for nal in case["expected"]["frames"][0]["nals_hex"])
    assert fragment.tracks[0].parameters == H264Parameters(sps, (pps,))


@pytest.mark.parametrize("case", AAC_CASES, ids=ids)
def test_aac(case: dict[str, Any]) -> None:
    units, receiver = receive(case, "aac")
    if case["verdict"] == "robustness":
        assert all(unit.data for unit in units)
        return
    origin = case["packets"][0]["ts"]
    expected = [(frame["ts"] - origin, bytes.fromhex(frame["au_hex"])) for frame in case["expected"]["frames"]]
    assert [(unit.pts, unit.data) for unit in units] == expected
    if case["verdict"] == "reject":
        assert receiver.stats(0)[1]


@pytest.mark.parametrize("case", WHOLE_CASES, ids=ids)
def test_sound_of_which_each_packet_is_a_unit(case: dict[str, Any]) -> None:
    """LPCM of 24 bits, which is packed like L16, and what gortsplib calls simple: G.711, Opus."""
    units, receiver = receive(case, "l16")
    if case["verdict"] == "robustness":
        assert all(unit.data for unit in units)
        return
    origin = case["packets"][0]["ts"]
    expected = [(frame["ts"] - origin, bytes.fromhex(frame["data_hex"])) for frame in case["expected"]["frames"]]
    assert [(unit.pts, unit.data) for unit in units] == expected
    assert receiver.stats(0)[3] == len(case["expected"]["errors"])


@pytest.mark.parametrize("case", H264_CASES + H265_CASES + AAC_CASES, ids=ids)
def test_reference_agrees(case: dict[str, Any]) -> None:
    codec = "aac" if "au_hex" in str(case["expected"]["frames"][:1]) or "/aac/" in case["id"] else "h264"
    codec = case.get("codec", codec)
    units, receiver = receive(case, codec)
    reference_units, reference = receive(case, codec, reference=True)
    assert units == reference_units
    assert receiver.stats(0) == reference.stats(0)


@pytest.mark.parametrize("case", cases("rtp/limits"), ids=ids)
def test_limits(case: dict[str, Any]) -> None:
    limits = Limits(access_unit_size=64 * 1024)
    receiver = Receiver(fragment_duration=3600, limits=limits)
    first, second = case["packets"][0], case["packets"][-1]
    receiver.add_track(Track(0, "video", case["codec"], 90000), payload_type=first["pt"], channels=(0, 1))
    for i in range(200):  # the fragments never end
        packet = first if i == 0 else second
        wire = rtp_packet(
            bytes.fromhex(packet["payload_hex"]),
            payload_type=packet["pt"],
            sequence=first["seq"] + i,
            timestamp=first["ts"],
            ssrc=packet["ssrc"],
        )
        receiver.feed(interleaved_frame(0, wire), 10**9)
    receiver.finish()
    assert receiver.error is None
    assert receiver.take_fragments() == []
    assert receiver.stats(0)[3] == 1


@pytest.mark.parametrize("case", cases("rtp/rtp_header"), ids=ids)
def test_rtp_header(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["input_hex"])
    if case["verdict"] == "reject":
        with pytest.raises(RemoteProtocolError):
            parse_packet(data)
        return
    packet, expected = parse_packet(data), case["expected"]
    for name in ("marker", "payload_type", "sequence_number", "timestamp", "ssrc", "padding"):
        assert getattr(packet, name) == expected[name], name
    assert list(packet.csrc) == expected["csrc"]
    assert packet.payload == bytes.fromhex(expected["payload_hex"])
    if expected["extension_profile_hex"] is None:
        assert packet.extension is None
    else:
        profile = int(expected["extension_profile_hex"], 16)
        assert packet.extension == (profile, bytes.fromhex(expected["extension_data_hex"]))


#: Bodies of these packet types are passed over unread: SDES, RTPFB, PSFB.
IGNORED_TYPES = {202, 205, 206}


@pytest.mark.parametrize("case", [c for c in cases("rtp/rtcp") if c.get("kind") != "ntp"], ids=ids)
def test_rtcp(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["input_hex"])
    expected = case["expected"]
    if case["verdict"] == "reject":
        try:
            report = parse_rtcp(data)
        except RemoteProtocolError:
            return
        assert data[1] in IGNORED_TYPES
        assert report.sender_reports == report.bye == ()
        return
    report = parse_rtcp(data)
    if isinstance(expected, dict):
        # A padded packet of a type nobody knows, with junk behind it: both are passed over.
        assert report == RTCPReport()
        return
    senders = [entry for entry in expected if entry["type"] == "SR"]
    assert len(report.sender_reports) == len(senders)
    for got, entry in zip(report.sender_reports, senders, strict=True):
        assert got.ssrc == entry["ssrc"]
        assert got.rtp_timestamp == entry["rtp"]
        assert got.ntp == int(entry["ntp_hex"], 16)
        if "packets" in entry:
            assert (got.packets, got.octets) == (entry["packets"], entry["octets"])
    assert list(report.bye) == [ssrc for entry in expected if entry["type"] == "BYE" for ssrc in entry["sources"]]


@pytest.mark.parametrize("case", [c for c in cases("rtp/rtcp") if c.get("kind") == "ntp"], ids=ids)
def test_ntp(case: dict[str, Any]) -> None:
    utc = case["expected"]["utc"].removesuffix("Z")
    whole, _, fraction = utc.partition(".")
    expected = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    expected += float(f"0.{fraction or 0}")
    # A float of today's Unix seconds is exact to a quarter of a microsecond.
    assert ntp_to_unix(int(case["ntp_hex"], 16)) == pytest.approx(expected, abs=5e-7)


def test_other_codecs() -> None:
    codecs = {case["codec"] for case in OTHER_CASES} - WHOLE
    pytest.skip(f"not received: {', '.join(sorted(codecs))}")
