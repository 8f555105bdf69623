"""Any bytes give messages or a RemoteProtocolError, and any split of them gives the same."""

from hypothesis import given, settings
from hypothesis import strategies as st

from rtspkit.errors import RemoteProtocolError
from rtspkit.limits import Limits
from rtspkit.messages import (
    Parser,
    parse_public,
    parse_rtp_info,
    parse_session,
    parse_transport,
)
from rtspkit.packetizer import interleaved_frame
from rtspkit.testing import strategies as rs

#: Small, so that they are met often.
LIMITS = Limits(line_size=60, header_count=4, headers_size=120, body_size=20, resync_size=80)

names = st.sampled_from(["CSeq", "cseq", "Content-Length", "Content-length", "Session", "X", " ", ""])
values = st.one_of(st.integers(-1, 30).map(str), st.text(max_size=20), st.just("9" * 30))
starts = st.sampled_from(
    [
        "RTSP/1.0 200 OK",
        "RTSP/1.0 401",
        "RTSP/2.0 200 OK",
        "OPTIONS * RTSP/1.0",
        "PLAY rtsp://x/ RTSP/1.0",
        "HTTP/1.1 1",
    ]
)
ends = st.sampled_from(["\r\n", "\n", "\r", " \r\n "])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    end = draw(ends)
    lines = [draw(starts), *(f"{draw(names)}:{draw(values)}" for _ in range(draw(st.integers(0, 5))))]
    return (end.join(lines) + end * 2).encode("utf-8", "replace") + draw(st.binary(max_size=25))


frames = st.builds(
    lambda channel, payload, lie: interleaved_frame(channel, payload + bytes(lie))[: 4 + len(payload)],
    st.integers(0, 255),
    st.binary(max_size=30),
    st.sampled_from([0, 0, 0, 1, 7]),
)
blanks = st.sampled_from([b"\r\n", b"\n\n", b"\0", b"junk", b"$", b"RTSP/", b"OPTIONS "])
streams = st.one_of(
    st.lists(st.one_of(messages(), frames, blanks, st.binary(max_size=20)), max_size=6).map(b"".join),
    st.binary(max_size=200),
)


def outcome(pieces: list[bytes]) -> tuple[list[object], str | None, int | None, int]:
    """Messages, the kind of error and its place, and what was skipped."""
    parser = Parser(limits=LIMITS)
    parser.channels = frozenset(range(200))
    found: list[object] = []
    try:
        for piece in pieces:
            parser.feed(piece)
            while (message := parser.next()) is not None:
                found.append(message)
    except RemoteProtocolError as error:
        return found, str(error).partition(" (bytes")[0], error.offset, parser.garbage
    return found, None, None, parser.garbage


@given(streams | rs.interleaved_streams(loose=True).flatmap(lambda stream: rs.damaged(stream.data)), st.data())
@settings(max_examples=400)
def test_any_split_gives_the_same(data: bytes, cut: st.DataObject) -> None:
    whole = outcome([data])
    assert outcome(cut.draw(rs.chunks(data))) == whole
    assert outcome([data[i : i + 1] for i in range(len(data))]) == whole


@given(streams)
@settings(max_examples=200)
def test_bytes_are_accounted_for(data: bytes) -> None:
    parser = Parser()
    parser.feed(data)
    try:
        while parser.next() is not None:
            pass
    except RemoteProtocolError:
        pass
    assert parser.offset + len(parser.unread) == len(data)
    assert data.endswith(parser.unread)


@given(st.one_of(st.text(), st.text(alphabet='rtpRTPinfoulseq=;,-"0123456789 /', max_size=80)))
@settings(max_examples=200)
def test_header_values_never_fail(text: str) -> None:
    session = parse_session(text)
    assert session is None or session.timeout is None or 0 < session.timeout <= 86400
    for transport in parse_transport([text]):
        for pair, top in ((transport.interleaved, 255), (transport.client_port, 65535), (transport.port, 65535)):
            assert pair is None or all(0 <= number <= top for number in pair)
    for entry in parse_rtp_info(text):
        assert entry.seq is None or entry.seq <= 0xFFFF
        assert entry.rtptime is None or entry.rtptime <= 0xFFFFFFFF
    assert all(method == method.strip() for method in parse_public([text]))
