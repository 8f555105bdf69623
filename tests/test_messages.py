from collections.abc import Iterable

import pytest

from rtspkit.errors import LimitExceeded, RemoteProtocolError
from rtspkit.limits import Limits
from rtspkit.messages import (
    Headers,
    InterleavedData,
    Message,
    Parser,
    Request,
    Response,
    RTPInfo,
    Session,
    Transport,
    parse_public,
    parse_rtp_info,
    parse_session,
    parse_transport,
)

OK = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"


def read(data: bytes, *, limits: Limits | None = None, channels: Iterable[int] | None = None) -> list[Message]:
    parser = Parser(limits=limits or Limits())
    parser.channels = None if channels is None else frozenset(channels)
    parser.feed(data)
    return list(iter(parser.next, None))


# -- messages ------------------------------------------------------------------


def test_response() -> None:
    (message,) = read(b"RTSP/1.0 404 Not Found \r\nCSeq: 7\r\nX:y\r\nContent-length: 3\r\n\r\nabc")
    assert message == Response(404, "Not Found", Headers((("CSeq", "7"), ("X", "y"), ("Content-length", "3"))), b"abc")


def test_headers() -> None:
    headers = Headers((("A", "1"), ("B", "2"), ("a", "3")))
    assert (headers.get("a"), headers.get("c"), headers.get_all("A")) == ("1", None, ["1", "3"])
    assert list(headers) == [("A", "1"), ("B", "2"), ("a", "3")]
    assert len(headers) == 3


def test_lines_that_are_no_headers_are_ignored() -> None:
    (message,) = read(b"RTSP/1.0 200 OK\n folded onto nothing\nno colon\n: no name\nb d: x\nCSeq: 1\n \t\n more\n\n")
    assert isinstance(message, Response)
    assert list(message.headers) == [("CSeq", "1 more")]


def test_control_characters_do_not_get_through() -> None:
    (message,) = read(b"RTSP/1.0 200 O\rK\0\r\nSession: 1\r2\x003\x1b[0m\r\n\r\n")
    assert isinstance(message, Response)
    assert message.reason == "O K"
    assert message.headers.get("Session") == "1 2 3 [0m"


def test_frames_and_messages_in_turn() -> None:
    frame = b"$\x05\x00\x03abc"
    wanted = [InterleavedData(5, b"abc"), Response(200, "OK", Headers((("CSeq", "1"),)))]
    assert read(frame + OK + frame + frame + OK) == [wanted[0], wanted[1], wanted[0], wanted[0], wanted[1]]
    assert read(b"$\x00\x00\x00" + frame) == [InterleavedData(0, b""), wanted[0]]


def test_unread_bytes_can_be_taken_at_any_time() -> None:
    data = b"RTSP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc$\x00\x00\x02xy"
    for cut in range(len(data) + 1):
        parser = Parser()
        parser.feed(data[:cut])
        taken = list(iter(parser.next, None))
        rest = parser.take_unread()
        assert parser.unread == b""
        assert parser.offset == cut
        other = Parser()
        other.feed(rest + data[cut:])
        assert taken + list(iter(other.next, None)) == read(data)


def test_http() -> None:
    with pytest.raises(RemoteProtocolError, match="HTTP, not RTSP"):
        read(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"RTSP/2.0 200 OK\r\n\r\n",
        b"RTSP/1.0 20 OK\r\n\r\n",
        b"RTSP/1.0 2000 OK\r\n\r\n",
        b"RTSP/1.0\r\n\r\n",
        b"OPTIONS\x20\r\n\r\n",
        b"OPTIONS rtsp://x/\r\n\r\n",
        b"OPTIONS rtsp://x/ HTTP/1.1\r\n\r\n",
        b"OPTIONS nowhere RTSP/1.0\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: +1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        "RTSP/1.0 200 OK\r\nContent-Length: \N{ARABIC-INDIC DIGIT ONE}\r\n\r\n".encode(),
        b"RTSP/1.0 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_refused(data: bytes) -> None:
    parser = Parser()
    parser.feed(OK + data)
    assert isinstance(parser.next(), Response)
    for _ in range(2):
        with pytest.raises(RemoteProtocolError) as caught:
            parser.next()
        assert caught.value.offset == len(OK)
        assert caught.value.head == data[:32]
        assert "\n" not in str(caught.value)


def test_no_content_length_where_it_is_empty_or_the_same_twice() -> None:
    assert len(read(b"RTSP/1.0 200 OK\r\nContent-Length:\r\n\r\n" + OK)) == 2
    assert len(read(b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" + OK)) == 2


# -- limits --------------------------------------------------------------------


def refused(data: bytes, **bounds: int) -> None:
    """Whole and byte by byte, one byte more than allowed is refused."""
    for step in (len(data), 1):
        with pytest.raises(LimitExceeded):
            feed(Parser(limits=Limits(**bounds)), data, step)  # type: ignore[arg-type]


def feed(parser: Parser, data: bytes, step: int) -> None:
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
        while parser.next() is not None:
            pass


def test_line_size() -> None:
    head = b"RTSP/1.0 200 OK\r\nX: "
    assert len(read(head + b"x" * 97 + b"\r\n\r\n", limits=Limits(line_size=101))) == 1
    refused(head + b"x" * 99 + b"\r\n\r\n", line_size=100)
    refused(head + b"x" * 99, line_size=100)
    refused(b"OPTIONS " + b"x" * 100, line_size=100)


def test_header_count() -> None:
    head, line = b"RTSP/1.0 200 OK\r\n", b"X: y\r\n"
    assert len(read(head + line * 10 + b"\r\n", limits=Limits(header_count=10))) == 1
    refused(head + line * 11, header_count=10)
    refused(head + b" \r\n" * 11, header_count=10)


def test_headers_size() -> None:
    data = b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * 10 + b"\r\n"
    assert len(read(data, limits=Limits(headers_size=len(data)))) == 1
    refused(data, headers_size=len(data) - 1)


def test_body_size() -> None:
    assert len(read(b"RTSP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", limits=Limits(body_size=10))) == 1
    for size in (b"11", b"4294967296", b"9" * 1000):
        refused(b"RTSP/1.0 200 OK\r\nContent-Length: " + size + b"\r\n\r\n", body_size=10)


def test_resync_size() -> None:
    for tail in (OK, b"$\x00\x00\x01x"):
        assert len(read(b"\xff" * 100 + tail, limits=Limits(resync_size=100))) == 1
        refused(b"\xff" * 101 + tail, resync_size=100)
    refused(b"\xff" * 200, resync_size=100)


# -- garbage -------------------------------------------------------------------


@pytest.mark.parametrize("garbage", [b"\0", b"abc", b"\xff" * 1000, b"A\0", b"RTSPx", b"ABCDEFGHIJKLMNOPQRSTU", b" "])
def test_resync(garbage: bytes) -> None:
    parser = Parser()
    for tail in (OK, b"$\x00\x00\x01x", b"OPTIONS * RTSP/1.0\r\n\r\n", b"GET_PARAMETER rtsp://x/ RTSP/1.0\r\n\r\n"):
        parser.feed(garbage + tail)
        assert parser.next() is not None
        assert parser.next() is None
    assert parser.garbage == 4 * len(garbage)


def test_resync_believes_known_channels_only() -> None:
    data = b"\0$\x99\xff\xff\0$\x01\x00\x02ab$\x99\x00\x01x"
    assert read(data, channels={0, 1}) == [InterleavedData(1, b"ab"), InterleavedData(0x99, b"x")]
    assert read(data) == []  # a frame of 65535 bytes, were it true


def test_message_of_the_server_is_a_request() -> None:
    assert read(b"ANNOUNCE rtsp://x/ RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 2\r\n\r\nhi") == [
        Request("ANNOUNCE", "rtsp://x/", Headers((("CSeq", "1"), ("Content-Length", "2"))), b"hi")
    ]


# -- header values -------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", None),
        (";timeout=60", None),
        ("1", Session("1")),
        ("1 ; Timeout = 65 ", Session("1", 65)),
        ("1;timeout=0", Session("1")),
        ("1;timeout=86401", Session("1")),
        ("1;timeout=60.5", Session("1")),
        ("1;timeout", Session("1")),
    ],
)
def test_session(value: str, expected: Session | None) -> None:
    assert parse_session(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("RTP/AVP/TCP;interleaved=0-256", Transport("tcp")),
        ("RTP/AVP/TCP;interleaved=255", Transport("tcp")),
        ("RTP/AVP/TCP;interleaved=a-b", Transport("tcp")),
        ("RTP/AVP/TCP;interleaved=4", Transport("tcp", interleaved=(4, 5))),
        ("RTP/AVP;unicast;interleaved=0-1", Transport("udp", delivery="unicast", interleaved=(0, 1))),
        ("RTP/AVP;client_port=1-99999;ttl=256;ssrc=-1;source=", Transport()),
        (";;;=;", Transport()),
    ],
)
def test_transport(value: str, expected: Transport) -> None:
    assert parse_transport([value]) == [expected]


def test_transport_lists() -> None:
    assert parse_transport(["", " , ", 'RTP/AVP;x="a,b;c";ttl=1,RTP/AVP/TCP', "RTP/SAVP"]) == [
        Transport(ttl=1),
        Transport("tcp"),
        Transport(secure=True),
    ]


def test_rtp_info() -> None:
    assert parse_rtp_info("url=rtsp://x/a,b=1;seq=1;rtptime=-1 , URL=c;seq=65536;ssrc=0A;;,url=") == (
        RTPInfo("rtsp://x/a,b=1", 1, None),
        RTPInfo("c", None, None, 10),
    )
    assert parse_rtp_info("") == ()


def test_public() -> None:
    assert parse_public(["OPTIONS, describe,,", "PLAY ,OPTIONS"]) == ("OPTIONS", "DESCRIBE", "PLAY")
