"""The corpus of foreign RTSP messages, header values, challenges and SDPs."""

import contextlib
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from corpus import cases

from rtspkit import codecs
from rtspkit.auth import Authenticator, parse_challenges
from rtspkit.errors import RemoteProtocolError, UnsupportedError
from rtspkit.formats import select_tracks
from rtspkit.limits import Limits
from rtspkit.media import OpusParameters, PCMParameters
from rtspkit.messages import (
    InterleavedData,
    Message,
    Parser,
    Request,
    Response,
    parse_public,
    parse_rtp_info,
    parse_session,
    parse_transport,
)
from rtspkit.ranges import Instant, parse_range
from rtspkit.rtsp import Connection
from rtspkit.sdp import MediaDescription, SessionDescription, media_url, parse_sdp
from rtspkit.url import parse_url

SDP_FILES = ("sdp/retina", "sdp/gortsplib_description", "sdp/gortsplib_sdp", "sdp/control_urls")


def ids(case: dict[str, Any]) -> str:
    return str(case["id"]).replace(" ", "_")


def each(name: str, *verdicts: str, optional: bool = False) -> Any:
    chosen = [case for case in cases(name, *verdicts) if bool(case.get("optional")) is optional]
    assert chosen
    return pytest.mark.parametrize("case", chosen, ids=ids)


def read(parser: Parser, pieces: list[bytes]) -> list[Message]:
    found = []
    for piece in pieces:
        parser.feed(piece)
        while (message := parser.next()) is not None:
            found.append(message)
    return found


# -- messages ------------------------------------------------------------------


def check_message(message: Message, expected: dict[str, Any], case: dict[str, Any]) -> None:
    if isinstance(message, InterleavedData):
        assert expected["type"] == "data"
        assert (message.channel, message.payload.hex()) == (expected["channel"], expected["payload_hex"])
        return
    if isinstance(message, Response):
        assert expected["type"] == "response"
        assert message.status == expected["status"]
        assert message.reason == expected.get("reason", message.reason)
    else:
        assert expected["type"] == "request"
        assert (message.method, message.uri) == (expected["method"], expected["uri"])
    if "cseq" in expected:
        assert message.headers.get("CSeq") == str(expected["cseq"])
    if "content_length" in expected:
        assert len(message.body) == expected["content_length"]
    if "headers" in expected:
        got = [(name.lower(), re.sub(r"\s+", " ", value)) for name, value in message.headers]
        wanted = [(name.lower(), value.strip()) for name, value in expected["headers"]]
        if case.get("headers_unordered"):
            got.sort()
            wanted.sort()
        assert got == wanted
    if "body_hex" in expected:
        assert message.body.hex() == expected["body_hex"]


@each("interleaved/messages", "accept", "tolerate")
def test_messages(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["input_hex"])
    cuts = range(len(data) + 1) if len(data) < 1200 else (0, 1, len(data) // 2, len(data) - 1)
    splits = [[data[:cut], data[cut:]] for cut in cuts] + [[data[i : i + 1] for i in range(len(data))]]
    for pieces in splits:
        parser = Parser()
        messages = read(parser, pieces)
        assert len(messages) == len(case["expected"]["messages"])
        for message, expected in zip(messages, case["expected"]["messages"], strict=True):
            check_message(message, expected, case)
        if not case.get("incomplete"):
            assert parser.unread.hex() == case["expected"].get("rest_hex", "")


@each("interleaved/messages", "reject", "limit")
def test_messages_refused(case: dict[str, Any]) -> None:
    limits = Limits(body_size=4) if case["id"] == "retina/message over the limit" else Limits()
    parser = Parser(limits=limits)
    parser.feed(bytes.fromhex(case["input_hex"]))
    with pytest.raises(RemoteProtocolError):
        parser.next()


@each("interleaved/messages", "robustness")
def test_messages_robustness(case: dict[str, Any]) -> None:
    with contextlib.suppress(RemoteProtocolError):
        read(Parser(), [bytes.fromhex(case["input_hex"])])


# -- header values -------------------------------------------------------------

HEADERS = [case for case in cases("interleaved/headers") if not case.get("optional")]


@pytest.mark.parametrize("case", [case for case in HEADERS if case["header"] == "Session"], ids=ids)
def test_session(case: dict[str, Any]) -> None:
    session = parse_session(case["values"][0])
    expected = case["expected"].get("or_", case["expected"])
    assert session is not None
    assert session.id == expected["session_id"]
    assert (session.timeout or 60) == expected["timeout"]


@pytest.mark.parametrize("case", [case for case in HEADERS if case["header"] == "Transport"], ids=ids)
def test_transport(case: dict[str, Any]) -> None:
    found = parse_transport(case["values"])
    expected = case["expected"]
    for transport, wanted in zip(found, expected.get("list", [expected]), strict=True):
        for name, value in wanted.items():
            got = getattr(transport, name)
            assert (list(got) if isinstance(got, tuple) else got) == value, name


@pytest.mark.parametrize("case", [case for case in HEADERS if case["header"] == "RTP-Info"], ids=ids)
def test_rtp_info(case: dict[str, Any]) -> None:
    found = parse_rtp_info(case["values"][0])
    if case["verdict"] == "robustness":
        return
    assert len(found) == len(case["expected"])
    for entry, expected in zip(found, case["expected"], strict=True):
        for name, value in expected.items():
            if name == "seq" and "does not fit" in " ".join(case["quirks"]):
                assert entry.seq is None
            else:
                assert getattr(entry, name) == value


def _instant(instant: Instant | None) -> dict[str, int] | None:
    return instant and {"time_ns": instant.ns, "frame": instant.frame, "subframe": instant.subframe}


def _utc(ns: int | None) -> str | None:
    return None if ns is None else datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    "case", [case for case in HEADERS if case["header"] == "Range" and not case.get("optional")], ids=ids
)
def test_range(case: dict[str, Any]) -> None:
    found = parse_range(case["values"][0])
    expected = case["expected"]
    if expected.get("error"):
        assert found is None
        return
    assert found is not None
    if "live" in expected:
        assert found.is_live is expected["live"]
        assert found.duration == (expected["duration_ms"] and expected["duration_ms"] / 1000)
        return
    if "value" in expected:
        assert _utc(found.time) == expected["time"]
        expected = expected["value"]
    ends = (found.start, found.end)
    if expected["_type"] == "RangeSMPTE":
        assert [_instant(end) for end in ends] == [expected["start"], expected["end"]]
    elif expected["_type"] == "RangeNPT":
        assert [end and end.ns for end in ends] == [expected["start_ns"], expected["end_ns"]]
    else:
        assert [end and _utc(end.ns) for end in ends] == [expected["start"], expected["end"]]


def test_header_kinds() -> None:
    assert {case["header"] for case in HEADERS} == {"Session", "Transport", "RTP-Info", "Range"}


@each("interleaved/setup_play")
def test_setup_play(case: dict[str, Any]) -> None:
    parser = Parser()
    parser.feed(bytes.fromhex(case["response_hex"]))
    message = parser.next()
    assert isinstance(message, Response)
    expected = dict(case["expected"])
    headers = message.headers
    session = parse_session(headers.get("Session") or "")
    transport = (parse_transport(headers.get_all("Transport")) or [None])[0]
    got: dict[str, Any] = {
        "status": message.status,
        "session_id": session and session.id,
        "timeout": (session and session.timeout) or 60,
        "methods": list(parse_public(headers.get_all("Public"))),
    }
    if transport is not None:
        got["channel"] = transport.interleaved and list(transport.interleaved)
        got["ssrc"] = transport.ssrc
        got["ssrc_is_zero"] = transport.ssrc == 0
        got["server_port"] = transport.server_port and list(transport.server_port)
        got["client_port"] = transport.client_port and list(transport.client_port)
    text = headers.get("RTP-Info")
    got["rtp_info"] = text and [
        {name: getattr(entry, name) for name in wanted}
        for entry, wanted in zip(parse_rtp_info(text), expected["rtp_info"], strict=True)
    ]
    assert {name: got[name] for name in expected} == expected


# -- authentication ------------------------------------------------------------

AUTH = [case for case in cases("interleaved/auth") if not case.get("optional")]


@pytest.mark.parametrize("case", [case for case in AUTH if "kind" not in case and case["expected"]], ids=ids)
def test_challenges(case: dict[str, Any]) -> None:
    found = parse_challenges(case["www_authenticate"])
    for challenge, expected in zip(found, case["expected"]["challenges"], strict=True):
        assert {name: getattr(challenge, name) for name in expected} == expected
    if "prefer" in case["expected"]:
        authenticator = Authenticator("user", "password")
        assert authenticator.challenge(case["www_authenticate"])
        assert authenticator.scheme == case["expected"]["prefer"]


@pytest.mark.parametrize("case", [case for case in AUTH if case.get("kind") == "respond"], ids=ids)
def test_responses(case: dict[str, Any]) -> None:
    authenticator = Authenticator(case["username"], case["password"], make_cnonce=lambda: str(case.get("cnonce")))
    assert authenticator.challenge(case["www_authenticate"])
    value = authenticator.authorization(case["method"], case["uri"])
    assert value is not None
    expected = dict(case["expected"]["authorization_params"])
    scheme, _, rest = value.partition(" ")
    assert scheme == expected.pop("scheme")
    if scheme == "Basic":
        assert {"credentials": rest} == expected
        return
    items = dict(re.findall(r'(\w+)=("[^"]*"|[^,]*)', rest))
    assert {name: text.strip('"') for name, text in items.items()} == expected
    for name in case.get("unquoted", ()):
        assert '"' not in items[name]


@pytest.mark.parametrize("case", [case for case in AUTH if case["verdict"] == "robustness"], ids=ids)
def test_auth_robustness(case: dict[str, Any]) -> None:
    authenticator = Authenticator("user", "password")
    assert authenticator.challenge(case["www_authenticate"])
    value = authenticator.authorization("DESCRIBE", "rtsp://camera/")
    assert value is not None
    assert value.startswith("Basic ") or "algorithm=SHA-256-sess" in value


# -- SDP -----------------------------------------------------------------------

#: Fields not judged, by case.
DISPUTED = {
    # a loudspeaker, sendonly beside a recvonly microphone, is a back channel as in "onvif_specification";
    # the expected value comes from a parser that stopped at the cut-off third media
    "gortsplib/sdp/issue_gortsplib_501_avigilon_cameras": ("back_channel",),
}
ALL_SDP = [case for name in SDP_FILES for case in cases(name)]


def without_host(url: str) -> str:
    """Path and query; what stands before may be the camera's own address or the connected one."""
    return re.sub(r"^[a-z]+://[^/?]*", "", url)


def annex_b_free(unit: str) -> str:
    return bytes.fromhex(unit).rstrip(b"\0").hex()


@pytest.mark.parametrize("case", ALL_SDP, ids=ids)
def test_sdp(case: dict[str, Any]) -> None:
    description = parse_sdp(bytes.fromhex(case["sdp_hex"]))
    expected = case["expected"]
    session = expected["session"]
    assert (description.name, description.control, description.tool) == tuple(
        session[name] for name in ("name", "control", "tool")
    )
    assert len(description.medias) == len(expected["medias"])
    not_judged = DISPUTED.get(case["id"], ())
    for media, wanted in zip(description.medias, expected["medias"], strict=True):
        for name in ("index", "kind", "port", "proto", "payload_type", "encoding_name", "clock_rate", "channels"):
            assert getattr(media, name) == wanted.get(name), name
        for name in ("control", "direction", "back_channel"):
            assert name in not_judged or getattr(media, name) == wanted.get(name), name
        assert list(media.formats) == wanted["formats"]
        assert media.fmtp == (wanted.get("fmtp") or {})
        check_control(case, description, media, wanted)
    check_tracks(case, description, expected["medias"])


def check_control(
    case: dict[str, Any], description: SessionDescription, media: MediaDescription, wanted: dict[str, Any]
) -> None:
    url = parse_url(case["request_url"])
    got = media_url(description, media, url.request_url, case["content_base"])
    assert parse_url(got).origin == url.origin
    assert without_host(got) in {without_host(each) for each in wanted["control_url_accept"]}


def check_tracks(case: dict[str, Any], description: SessionDescription, medias: list[dict[str, Any]]) -> None:
    first: dict[str, dict[str, Any]] = {}
    for media in filter(is_usable, medias):
        first.setdefault(media["kind"], media)
    usable = list(first.values())
    url = parse_url(case["request_url"]).request_url
    if not usable:
        with pytest.raises(UnsupportedError):
            select_tracks(description, url, case["content_base"])
        return
    tracks, skipped = select_tracks(description, url, case["content_base"])
    assert len(tracks) + len(skipped) == len(medias)
    assert [track.media.index for track in tracks] == [media["index"] for media in usable]
    for track, wanted in zip(tracks, usable, strict=True):
        if track.payload_type != wanted["payload_type"]:
            continue  # H.264 stands behind another format, of which the corpus has the facts
        facts = wanted.get("h264") or wanted.get("h265") or wanted.get("aac") or {}
        parameters: Any = track.track.parameters
        if "sps_hex" in facts:
            assert parameters.sps.hex() == annex_b_free(facts["sps_hex"])
            assert [unit.hex() for unit in parameters.pps] == [annex_b_free(facts["pps_hex"])]
            if "vps_hex" in facts:
                assert parameters.vps.hex() == annex_b_free(facts["vps_hex"])
            picture = codecs.picture(track.track)
            assert picture is not None
            assert (picture.width, picture.height) == (facts["width"], facts["height"])
            if "rfc6381" in facts:
                assert codecs.codec_string(track.track) == facts["rfc6381"].removesuffix(".00")
        elif "config_hex" in facts:
            assert parameters.config.hex() == facts["config_hex"]
            assert track.packing == {"size_length": 13, "index_length": 3, "index_delta_length": 3}
        elif track.track.codec == "opus":
            assert parameters == OpusParameters(wanted["channels"])
        elif track.track.kind == "audio":
            assert parameters == PCMParameters(wanted["clock_rate"], wanted["channels"], 8)
        else:
            assert parameters is None


USABLE = {"h264", "h265", "mpeg4-generic", "opus", "pcma", "pcmu"}


def is_usable(media: dict[str, Any]) -> bool:
    formats = [media, *media.get("other_formats", ())]
    names = {str(one.get("encoding_name") or one.get("rtpmap", "").partition("/")[0]).lower() for one in formats}
    return bool(names & USABLE) and "SAVP" not in media["proto"] and not media["back_channel"]


# -- crashers ------------------------------------------------------------------


@each("interleaved/fuzz_seeds")
def test_fuzz_seeds(case: dict[str, Any]) -> None:
    """Whatever it was made for, it goes through everything that reads text or bytes of a camera."""
    data = bytes.fromhex(case["input_hex"])
    text = data.decode("utf-8", "surrogateescape")
    parse_session(text)
    parse_transport([text])
    parse_rtp_info(text)
    parse_public([text])
    parse_challenges([text])
    authenticator = Authenticator("user", "password")
    if authenticator.challenge([text]):
        assert "\n" not in str(authenticator.authorization("DESCRIBE", "rtsp://camera/"))
    for sdp in (data, b"v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 " + data):
        with contextlib.suppress(RemoteProtocolError, UnsupportedError):
            select_tracks(parse_sdp(sdp), "rtsp://camera/", text)
    for stream in (data, b"RTSP/1.0 200 OK\r\nSession: " + data + b"\r\n\r\n"):
        connection = Connection("rtsp://camera/")
        connection.receive_data(stream, 0.0)
        with contextlib.suppress(RemoteProtocolError):
            while connection.next_event() is not None:
                pass


def test_requests_from_the_server_are_messages() -> None:
    methods = {
        message.method
        for case in cases("interleaved/messages", "accept")
        for message in read(Parser(), [bytes.fromhex(case["input_hex"])])
        if isinstance(message, Request)
    }
    assert {"OPTIONS", "ANNOUNCE", "GET_PARAMETER"} <= methods
