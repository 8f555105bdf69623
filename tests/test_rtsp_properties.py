"""Whatever a camera sends and a caller asks: known events or known errors, clean requests, no password."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspkit.errors import LocalProtocolError, RemoteProtocolError, RtspkitError
from rtspkit.formats import MediaTrack
from rtspkit.limits import Limits
from rtspkit.packetizer import interleaved_frame
from rtspkit.rtsp import Connection, Described, Event, State, Transport
from rtspkit.testing import strategies as rs

URL = "rtsp://admin:hunter2@cam:8554/live?channel=1"
SDP = (
    "v=0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n"
    "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/16000\r\na=fmtp:97 config=1408\r\na=control:trackID=1\r\n"
)

statuses = st.sampled_from(
    ["200 OK", "200 OK", "200 OK", "401 Unauthorized", "404 Not Found", "302 Moved", "457 x", "100 Go"]
)
headers = st.sampled_from(
    [
        "Session: 12345678",
        "Session: 1;timeout=10",
        "Session: \t;",
        "Session: a\rb",
        "Public: GET_PARAMETER, OPTIONS",
        "Public:",
        'WWW-Authenticate: Digest realm="x", nonce="1"',
        'WWW-Authenticate: Digest realm="x", nonce="2", stale=true',
        'WWW-Authenticate: Digest realm="\rX: y", nonce="\u00fc"',
        'WWW-Authenticate: Basic realm="x"',
        "WWW-Authenticate: x",
        "Location: rtsp://evil/",
        "Location: /there",
        "Location",
        "Transport: RTP/AVP/TCP;interleaved=0-1",
        "Transport: RTP/AVP/TCP;interleaved=2-3",
        "Transport: RTP/AVP;client_port=1",
        "Transport: RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;source=10.0.0.5",
        "Transport: RTP/AVP;multicast;destination=239.1.2.3;port=6000-6001;ttl=9",
        "Transport: ;",
        "RTP-Info: url=trackID=0;seq=1",
        "RTP-Info: ,",
        "Content-Base: rtsp://evil/\rX: y",
        "Content-Length: x",
    ]
)
text = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n"), max_size=20)


@st.composite
def answers(draw: st.DrawFn, cseq: st.SearchStrategy[object]) -> bytes:
    lines = [f"RTSP/1.0 {draw(statuses)}", f"CSeq: {draw(cseq)}", *draw(st.lists(headers, max_size=4))]
    if draw(st.integers(0, 9)) == 0:
        lines.append(f"{draw(text)}: {draw(text)}")
    body = draw(st.sampled_from(["", SDP, SDP, "v=0", "x"]))
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", body]).encode()


requests = st.builds(
    lambda method, cseq: f"{method} rtsp://cam/ RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n".encode(),
    st.sampled_from(["OPTIONS", "GET_PARAMETER", "ANNOUNCE", "REDIRECT", "PLAY", "XYZ"]),
    text,
)
frames = st.builds(interleaved_frame, st.integers(0, 5), st.binary(max_size=8))
junk = st.one_of(st.binary(max_size=10), st.sampled_from([b"\r\n", b"$", b"RTSP/1.0 200 OK\r\n", b"\0\0"]))


def playing() -> Connection:
    """A connection that plays both tracks and waits for the answer to a keep-alive."""
    connection = Connection(URL, limits=Limits(resync_size=60, body_size=1000, line_size=200, unknown_channel_size=20))
    connection.describe(0.0)
    described = answer(connection, SDP)
    assert isinstance(described, Described)
    for index, track in enumerate(described.tracks):
        connection.setup(track, Transport(protocol="tcp", interleaved=(2 * index, 2 * index + 1)), 0.0)
        answer(connection)
    connection.play(0.0)
    answer(connection)
    connection.keepalive(0.0)
    connection.data_to_send()
    return connection


def answer(connection: Connection, body: str = "") -> Event | None:
    cseq = re.search(rb"CSeq: (\d+)", connection.data_to_send())
    assert cseq is not None
    head = f"RTSP/1.0 200 OK\r\nCSeq: {int(cseq[1])}\r\nSession: 1\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.receive_data((head + body).encode(), 0.0)
    return connection.next_event()


Outcome = tuple[list[Event], str | None, bytes, State, list[str]]


def outcome(pieces: list[bytes]) -> Outcome:
    connection = playing()
    found: list[Event] = []
    failure = None
    try:
        for piece in pieces:
            connection.receive_data(piece, 1.0)
            while (event := connection.next_event()) is not None:
                found.append(event)
    except RemoteProtocolError as error:
        failure = str(error).partition(" (bytes")[0]
    return found, failure, connection.data_to_send(), connection.state, list(connection.quirks)


@given(
    st.lists(st.one_of(answers(st.integers(4, 9)), requests, frames, frames, junk), max_size=6).map(b"".join),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_any_split_gives_the_same(data: bytes, cut: st.DataObject) -> None:
    whole = outcome([data])
    split = outcome(cut.draw(rs.chunks(data)))
    # the client's nonce is random
    assert scrub(split) == scrub(whole)
    assert scrub(outcome([data[i : i + 1] for i in range(len(data))])) == scrub(whole)


def scrub(found: Outcome) -> Outcome:
    return found[0], found[1], re.sub(rb'(response|cnonce)="\w+"', b"", found[2]), *found[3:]


transports = st.one_of(
    st.integers(0, 3).map(lambda channel: Transport(protocol="tcp", interleaved=(channel, channel + 1))),
    st.just(Transport(protocol="udp", delivery="unicast", client_port=(5000, 5001))),
    st.just(Transport(protocol="udp", delivery="multicast")),
)
ACTIONS = ("options", "describe", "setup", "play", "keepalive", "teardown", "time")
LINE = re.compile(r"[\x20-\x7e\x80-\U0010ffff]*")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_course_of_things(data: st.DataObject) -> None:
    """A caller and a camera that do anything in any order."""
    connection = Connection(URL, limits=Limits(reply_timeout=5))
    now, last_cseq = 0.0, 0
    tracks: list[MediaTrack] = []
    shown: list[str] = []
    for _ in range(data.draw(st.integers(1, 14))):
        action = data.draw(st.sampled_from(ACTIONS))
        try:
            if action == "time":
                now += data.draw(st.sampled_from([0.1, 4.9, 5.0, 31.0]))
                connection.handle_timeout(now)
            elif action == "setup":
                if tracks:
                    connection.setup(data.draw(st.sampled_from(tracks)), data.draw(transports), now)
            else:
                getattr(connection, action)(now)
        except RtspkitError as error:
            shown.append(str(error))
        for _ in range(3):  # an answer may lead to a further request
            last_cseq = check_output(connection.data_to_send(), last_cseq)
            piece = data.draw(st.one_of(answers(st.just(last_cseq)), answers(text), requests, frames, junk))
            if connection.state is State.FAILED:
                break
            connection.receive_data(piece, now)
            try:
                while (event := connection.next_event()) is not None:
                    shown.append(repr(event))
                    if isinstance(event, Described):
                        tracks = list(event.tracks)
            except LocalProtocolError:
                pytest.fail("a camera's bytes were called the caller's mistake")
            except RtspkitError as error:
                shown.append(str(error))
        timeout = connection.next_timeout()
        assert timeout is None or timeout > now or action != "time"
    shown.append(repr(connection))
    assert "hunter2" not in "".join(shown)
    for message in shown:
        assert "\n" not in message


def check_output(output: bytes, last_cseq: int) -> int:
    """Checks requests and answers line by line; gives the last CSeq of a request."""
    assert b"hunter2" not in output
    for message in output.decode("utf-8", "surrogateescape").split("\r\n\r\n")[:-1]:
        first, *lines = message.split("\r\n")
        for line in (first, *lines):
            assert LINE.fullmatch(line), line
        names = [line.partition(":")[0] for line in lines]
        assert len(set(names)) == len(names)
        if first.startswith("RTSP/1.0 "):
            assert set(names) <= {"CSeq", "Session", "Public"}
            continue
        assert re.fullmatch(r"[A-Z_]+ rtsp://cam:8554(/[^ ]*)? RTSP/1\.0", first), first
        assert set(names) <= {"CSeq", "User-Agent", "Session", "Authorization", "Accept", "Transport", "Range"}
        cseq = int(lines[0].removeprefix("CSeq: "))
        assert cseq > last_cseq
        last_cseq = cseq
    return last_cseq
