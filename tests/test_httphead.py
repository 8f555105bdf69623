"""The head of an HTTP answer, and chunks: read the same however they are split, and bounded whatever comes."""

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspkit.errors import LimitExceeded, RemoteProtocolError
from rtspkit.httphead import AnswerReader, Dechunker
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.messages import Response

LIMITS = replace(DEFAULT_LIMITS, headers_size=200, header_count=5)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]


def read(data: bytes, cuts: list[int] = []) -> tuple[Response | None, bytes]:  # noqa: B006
    reader, answer, rest = AnswerReader(LIMITS), None, b""
    for piece in pieces(data, cuts):
        if answer is None:
            answer = reader.feed(piece)
        else:
            rest += piece
    return answer, reader.rest + rest


@pytest.mark.parametrize(
    ("data", "status", "reason", "rest"),
    [
        (b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nRTSP", 200, "OK", b"RTSP"),
        (b"HTTP/1.1 401 Unauthorized\nWWW-Authenticate: Basic\n\n", 401, "Unauthorized", b""),
        (b"HTTP/1.1 404\r\n\r\n", 404, "", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n$\0", 200, "OK", b"$\0"),
        (b"HTTP/1.0 302 D\xc3\xa9plac\xc3\xa9\r\nLocation: /x\r\n\r\n", 302, "D\xe9plac\xe9", b""),
    ],
)
@given(cuts=st.lists(st.integers(0, 80), max_size=8))
def test_answers(data: bytes, status: int, reason: str, rest: bytes, cuts: list[int]) -> None:
    answer, behind = read(data, cuts)
    assert answer is not None
    assert (answer.status, answer.reason, behind) == (status, reason, rest)


def test_headers_are_read_whatever_their_case() -> None:
    answer, _ = read(b"HTTP/1.0 200 OK\r\ncontent-TYPE:  application/x-rtsp-tunnelled \r\n\r\n")
    assert answer is not None
    assert answer.headers.get("Content-Type") == "application/x-rtsp-tunnelled"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"R", RemoteProtocolError),
        (b"HTTP/2", RemoteProtocolError),
        (b"HTTP/1.0 2000 OK\r\n\r\n", RemoteProtocolError),
        (b"HTTP/1.0 200 OK\x01\r\n\r\n", RemoteProtocolError),
        (b"HTTP/1.0 200 OK\r\n" + b"A: b\r\n" * 6 + b"\r\n", LimitExceeded),
        (b"HTTP/1.0 200 OK\r\nA: " + b"b" * 200, LimitExceeded),
    ],
)
def test_what_is_no_answer(data: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read(data)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_any_bytes_are_an_answer_or_an_error(data: bytes, cuts: list[int]) -> None:
    for text in (data, b"HTTP/1.0 200 OK\r\n" + data):
        with suppress(RemoteProtocolError):
            read(text, cuts)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.sampled_from([b"\r\n", b"\n"]),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_chunks(bodies: list[bytes], end: bytes, cuts: list[int]) -> None:
    data = b"".join(b"%X;name=value%b%b%b" % (len(body), end, body, end) for body in bodies) + b"0" + end + end
    dechunker = Dechunker()
    assert b"".join(dechunker.feed(piece) for piece in pieces(data, cuts)) == b"".join(bodies)
    assert dechunker.is_over


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_any_bytes_are_chunks_or_an_error(data: bytes, cuts: list[int]) -> None:
    outcomes = []
    for split in ([], cuts):
        dechunker, found = Dechunker(), b""
        try:
            for piece in pieces(data, split):
                found += dechunker.feed(piece)
            outcomes.append((found, dechunker.is_over))
        except RemoteProtocolError:
            outcomes.append((b"", None))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("data", [b"x\r\n", b"-1\r\n", b"123456789\r\n", b"1" * 300, b"1;" + b"x" * 300])
def test_what_is_no_chunk(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Dechunker().feed(data)
    dechunker = Dechunker()
    with pytest.raises(RemoteProtocolError):
        [dechunker.feed(bytes([byte])) for byte in data]
