"""What the strategies claim is true: the package reads out of the bytes what they say is in them."""

import base64
import importlib
import subprocess
import sys
from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtspkit import aac, codecs, fmp4, h264, h265
from rtspkit.auth import parse_challenges
from rtspkit.formats import select_tracks
from rtspkit.latm import parse_stream_mux
from rtspkit.media import AACParameters, Codec, H264Parameters, H265Parameters, Track
from rtspkit.messages import Parser, parse_rtp_info, parse_session, parse_transport
from rtspkit.packetizer import interleaved_frame, stream_mux_config
from rtspkit.quirks import SENTENCES
from rtspkit.rtp import Receiver, access_units, parse_packet, track_stats
from rtspkit.sdp import parse_sdp
from rtspkit.testing import strategies as rs

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def messages(pieces: list[bytes]) -> list[object]:
    parser = Parser()
    found = []
    for piece in pieces:
        parser.feed(piece)
        while (message := parser.next()) is not None:
            found.append(message)
    assert parser.unread.strip(b"\r\n \0") == b""
    assert not parser.garbage
    return found


@quick
@given(st.booleans(), st.data())
def test_messages(loose: bool, data: st.DataObject) -> None:
    message = data.draw(rs.rtsp_requests(loose=loose) | rs.rtsp_responses(loose=loose))
    assert messages(data.draw(rs.chunks(message.data))) == [message.value]


@quick
@given(rs.interleaved_streams() | rs.interleaved_streams(loose=True), st.data())
def test_streams(stream: rs.InterleavedStream, data: st.DataObject) -> None:
    assert messages(data.draw(rs.chunks(stream.data))) == list(stream.items)


@quick
@given(st.booleans(), st.data())
def test_header_values(loose: bool, data: st.DataObject) -> None:
    transports = data.draw(rs.transport_headers(loose=loose))
    assert tuple(parse_transport([transports.text])) == transports.value
    session = data.draw(rs.session_headers(loose=loose))
    assert parse_session(session.text) == session.value
    info = data.draw(rs.rtp_info_headers(loose=loose))
    assert parse_rtp_info(info.text) == info.value
    challenges = data.draw(rs.www_authenticate_headers(loose=loose))
    found = parse_challenges([challenges.text])
    for one, right in zip(found, challenges.value, strict=True):
        assert {name: getattr(one, name) for name in asdict(right)} == asdict(right)


@quick
@given(rs.sequence_parameter_sets())
def test_sequence_parameter_sets(found: rs.Wire[rs.PictureFormat]) -> None:
    sps = h264.parse_sps(found.data)
    assert {name: getattr(sps, name) for name in asdict(found.value)} == asdict(found.value)
    assert b"\0\0\1" not in found.data


@quick
@given(rs.h265_sequence_parameter_sets())
def test_h265_sequence_parameter_sets(found: rs.Wire[rs.PictureFormat]) -> None:
    sps = h265.parse_sps(found.data)
    told = {"profile_idc": sps.profile_tier_level.profile_idc, "level_idc": sps.profile_tier_level.level_idc}
    assert told | {name: getattr(sps, name) for name in ("width", "height", "frame_rate")} == asdict(found.value)
    assert b"\0\0\1" not in found.data


@given(rs.aac_parameters())
def test_aac_parameters(found: tuple[AACParameters, rs.SoundFormat]) -> None:
    config = aac.parse_config(found[0].config)
    assert (config.sample_rate, config.channels, config.frame_length) == (
        found[1].sample_rate,
        found[1].channels,
        1024,
    )


@quick
@given(rs.access_units("h264"))
def test_pictures(stream: rs.ElementaryStream) -> None:
    nals = [nal for unit in stream.units for nal in unit]
    assert [tuple(unit) for unit in h264.access_units(nals)] == list(stream.units)
    assert h264.split_annexb(h264.join_annexb(nals)) == nals, "there is no start code in any of them"
    assert tuple(h264.is_sync(unit) for unit in stream.units) == stream.is_sync
    assert stream.is_sync[0]
    assert isinstance(stream.parameters, H264Parameters)
    assert (
        h264.parameters_from_sprop(
            ",".join(base64.b64encode(nal).decode() for nal in (stream.parameters.sps, *stream.parameters.pps))
        )
        == stream.parameters
    )


SOUNDS: list[rs.StreamCodec] = ["aac", "latm", "opus", "pcma", "pcmu", "g722", "g726", "l16"]


@pytest.mark.parametrize("codec", SOUNDS)
def test_sound(codec: rs.StreamCodec) -> None:
    @settings(quick, max_examples=30)
    @given(rs.access_units(codec))
    def check(stream: rs.ElementaryStream) -> None:
        made: Codec = "aac" if codec == "latm" else codec
        track = Track(0, "audio", made, stream.clock_rate, stream.parameters)
        assert stream.codec == codec
        assert {codecs.unit_ticks(track, unit) for unit in stream.samples} == {stream.unit_ticks}
        assert codecs.sound(track) is not None

    check()


@pytest.mark.parametrize("codec", SOUNDS)
def test_each_sound_comes_back(codec: rs.StreamCodec) -> None:
    @settings(quick, max_examples=60)
    @given(rs.rtp_streams(codec, reorder=0))
    def check(stream: rs.RTPStream) -> None:
        found, receiver = received(stream)
        whole = [(stream.timestamps[number], stream.source.samples[number]) for number in stream.whole]
        assert [(time, data) for time, data, _ in found] == whole
        counted = track_stats(receiver, 0)
        # who comes behind what is missing is damaged, and nobody else
        flags = [is_damaged for _, _, is_damaged in found]
        assert not any(flags) or stream.lost
        assert counted.damaged_units == sum(flags) <= len(stream.lost)
        assert counted.lost <= len(stream.lost)

    check()


@quick
@given(rs.access_units("h265"))
def test_h265_pictures(stream: rs.ElementaryStream) -> None:
    nals = [nal for unit in stream.units for nal in unit]
    assert [tuple(unit) for unit in h265.access_units(nals)] == list(stream.units)
    assert h264.split_annexb(h264.join_annexb(nals)) == nals, "there is no start code in any of them"
    assert tuple(h265.is_sync(unit) for unit in stream.units) == stream.is_sync
    sets = stream.parameters
    assert isinstance(sets, H265Parameters)
    told = [",".join(base64.b64encode(nal).decode() for nal in nals) for nals in ((sets.vps,), (sets.sps,), sets.pps)]
    assert h265.parameters_from_sprop(*told) == sets
    vps, sps = h265.parse_vps(sets.vps), h265.parse_sps(sets.sps)
    assert vps.profile_tier_level == sps.profile_tier_level
    assert [h265.parse_pps(pps).pps_id for pps in sets.pps] == list(range(len(sets.pps)))
    track = Track(0, "video", "h265", 90000, sets)
    assert fmp4.init_section([track])
    assert codecs.picture(track) is not None


@quick
@given(rs.session_descriptions() | rs.broken_session_descriptions())
def test_descriptions(found: rs.Wire[rs.Description]) -> None:
    description = parse_sdp(found.data)
    medias = [media for media in description.medias if media.kind in {"video", "audio", "application"}]
    assert [
        (media.kind, media.encoding_name, media.payload_type, media.clock_rate, media.channels, media.control)
        for media in medias
    ] == [
        (media.kind, media.encoding_name, media.payload_type, media.clock_rate, media.channels, media.control)
        for media in found.value.medias
    ]
    assert description.control == found.value.control
    tracks, _ = select_tracks(description, "rtsp://cam/")
    for track in (one for one in tracks if one.track.codec in {"h264", "h265", "aac"}):
        assert track.track.parameters == found.value.medias[track.media.index].parameters
    assert {track.track.codec for track in tracks} & {"h264", "h265"}
    assert found.value.quirks <= set(SENTENCES)


def test_every_quirk_of_a_description_is_drawn() -> None:
    from rtspkit.testing.strategies.sdp import _QUIRKS

    seen: set[str] = set()

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(rs.broken_session_descriptions(max_quirks=5))
    def collect(found: rs.Wire[rs.Description]) -> None:
        seen.update(found.value.quirks)

    collect()
    assert seen == {identifier for identifier, _ in _QUIRKS.values() if identifier}


@given(rs.rtp_packets())
def test_packets(packet: rs.Wire[rs.RTPFields]) -> None:
    found = parse_packet(packet.data)._asdict()
    found["sequence"] = found.pop("sequence_number")
    assert found == asdict(packet.value)


def received(stream: rs.RTPStream) -> tuple[list[tuple[int, bytes, bool]], Receiver]:
    """Timestamp, media and damage of what comes out over TCP."""
    source = stream.source
    receiver = Receiver()
    packing = {}
    if source.codec == "latm":
        assert isinstance(source.parameters, AACParameters)
        packing["stream_mux"] = parse_stream_mux(stream_mux_config(source.parameters.config))
    codec: Codec = "aac" if source.codec == "latm" else source.codec
    receiver.add_track(
        Track(0, "video" if codec in {"h264", "h265"} else "audio", codec, source.clock_rate, source.parameters),
        payload_type=stream.payload_type,
        channels=(0, 1),
        origin=stream.timestamps[0] % 2**32,
        **packing,
    )
    for packet in stream.packets:
        receiver.feed(interleaved_frame(0, packet), 10**9)
    receiver.finish()
    found = [unit for fragment in receiver.take_fragments() for unit in access_units(fragment)]
    return [(unit.pts + stream.timestamps[0], unit.data, unit.damaged) for unit in found], receiver


@quick
@given(rs.rtp_streams(loss=False, reorder=0, duplicates=False))
def test_a_stream_that_nothing_happened_to(stream: rs.RTPStream) -> None:
    found, _ = received(stream)
    assert found == [
        (timestamp, data, False) for timestamp, data in zip(stream.timestamps, stream.source.samples, strict=True)
    ]
    assert stream.whole == tuple(range(len(found)))
    assert not stream.lost


@quick
@given(rs.rtp_streams(reorder=0))
def test_a_stream_with_loss(stream: rs.RTPStream) -> None:
    """Over TCP: what arrived whole comes out, and nothing else does but as damaged."""
    found, _ = received(stream)
    whole = {(stream.timestamps[number], stream.source.samples[number]) for number in stream.whole}
    assert {(time, data) for time, data, _ in found} >= whole
    if len(stream.sent) - 1 in stream.lost:
        found = found[:-1]  # nobody can know what was to come behind it
    assert {(time, data) for time, data, is_damaged in found if not is_damaged} <= whole
    assert [time for time, _, _ in found] == sorted(time for time, _, _ in found)


@quick
@given(rs.rtp_streams(ssrc_change=True))
def test_what_a_stream_says_of_itself(stream: rs.RTPStream) -> None:
    packets = [parse_packet(packet) for packet in stream.sent]
    assert {number for numbers in stream.packets_of for number in numbers} == set(range(len(packets)))
    for number, numbers in enumerate(stream.packets_of):
        assert numbers
        assert all((stream.timestamps[number] - packets[one].timestamp) % 2**32 < 2**31 for one in numbers)
    ssrcs = [packets[numbers[0]].ssrc for numbers in stream.packets_of]
    changes = [number for number in range(1, len(ssrcs)) if ssrcs[number] != ssrcs[number - 1]]
    assert tuple(changes) == stream.ssrc_changes
    assert stream.lost == set(range(len(packets))) - set(stream.arrival)
    assert stream.arrival[0] == 0


@given(st.binary(max_size=40), st.data())
def test_pieces_and_damage(whole: bytes, data: st.DataObject) -> None:
    pieces = data.draw(rs.chunks(whole))
    assert b"".join(pieces) == whole
    assert len(data.draw(rs.damaged(whole, max_changes=0))) <= len(whole)


def test_without_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "rtspkit.testing.strategies")
    with pytest.raises(ImportError, match=r"needs Hypothesis: pip install '\.\[testing\]' in rtspkit's sources$"):
        importlib.import_module("rtspkit.testing.strategies")


def test_the_camera_needs_neither_hypothesis_nor_pytest() -> None:
    code = (
        "import sys; sys.modules.update(hypothesis=None, pytest=None); import rtspkit.testing as t; t.ScriptedCamera()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
