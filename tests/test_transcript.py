"""What goes over a link is taken apart again, without losing a byte."""

from typing import Literal

import pytest

from rtspkit.messages import InterleavedData, Request, Response
from rtspkit.packetizer import interleaved_frame
from rtspkit.transcript import Entry, Transcript

OPTIONS = b"OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: x\r\n\r\n"
DESCRIBE = b"DESCRIBE rtsp://h/ RTSP/1.0\r\nCSeq: 2\r\n\r\n"
SETUP = b"SETUP rtsp://h/1 RTSP/1.0\r\nCSeq: 3\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"


def ok(cseq: int | str) -> bytes:
    return f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n".encode()


def kinds(entries: list[Entry]) -> list[type | None]:
    return [None if entry.message is None else type(entry.message) for entry in entries]


def test_requests_find_their_answers() -> None:
    transcript = Transcript()
    transcript.feed(1.0, "out", OPTIONS)
    transcript.feed(1.5, "in", ok(1))
    transcript.feed(2.0, "out", DESCRIBE)
    transcript.feed(2.25, "in", ok("wrong"))
    assert [(one.request.method, one.status, one.seconds) for one in transcript.exchanges] == [
        ("OPTIONS", 200, 0.5),
        ("DESCRIBE", 200, 0.25),
    ]


def test_a_request_without_an_answer() -> None:
    transcript = Transcript()
    transcript.feed(1.0, "out", OPTIONS)
    (exchange,) = transcript.exchanges
    assert (exchange.status, exchange.seconds, exchange.answered) == (0, 0.0, None)


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_no_byte_is_lost(step: int) -> None:
    """Blank lines and garbage stay with what follows them."""
    transcript = Transcript()
    transcript.feed(0.0, "out", OPTIONS + SETUP)
    stream = ok(1) + b"\r\n" + ok(3) + b"\x01\x02junk" + interleaved_frame(0, b"\x80" + bytes(11)) + b"\r\nRTSP/1.0 2"
    entries: list[Entry] = []
    for at in range(0, len(stream), step):
        entries += transcript.feed(at, "in", stream[at : at + step])
    entries += transcript.finish(9.0)
    assert b"".join(entry.raw for entry in entries) == stream
    assert kinds(entries) == [Response, Response, InterleavedData, None]
    assert entries[1].raw == b"\r\n" + ok(3)
    assert entries[2].raw.startswith(b"\x01\x02junk$")
    assert entries[2].packet == b"\x80" + bytes(11)


def test_what_cannot_be_split_comes_whole() -> None:
    transcript = Transcript()
    transcript.feed(0.0, "out", OPTIONS)
    entries = transcript.feed(0.1, "in", b"HTTP/1.1 400 Bad Request\r\n\r\n")
    entries += transcript.feed(0.2, "in", b"<html>")
    assert [(entry.raw, entry.message) for entry in entries] == [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", None),
        (b"<html>", None),
    ]


def test_the_end() -> None:
    transcript = Transcript()
    transcript.feed(0.0, "out", OPTIONS)
    transcript.feed(0.1, "in", b"\x15\x03\x03\x00\x02\x02\x46")
    entries = transcript.feed(0.2, "in", b"")
    assert [entry.raw for entry in entries] == [b"\x15\x03\x03\x00\x02\x02\x46", b""]


def test_each_connection_has_its_number() -> None:
    transcript = Transcript()
    assert transcript.connection == -1
    transcript.feed(0.0, "out", OPTIONS)
    transcript.feed(0.1, "in", b"RTSP/1.0 302 Mov")  # the first connection ends within an answer
    entries = transcript.feed(1.0, "out", OPTIONS)
    entries += transcript.feed(1.1, "in", ok(1))
    assert [(entry.connection, type(entry.message)) for entry in entries] == [
        (0, type(None)),
        (1, Request),
        (1, Response),
    ]
    assert [(one.connection, one.status) for one in transcript.exchanges] == [(0, 0), (1, 200)]


@pytest.mark.parametrize("way", ["in", "out"])
def test_datagrams_are_packets(way: Literal["in", "out"]) -> None:
    (entry,) = Transcript().feed(0.0, way, b"\x80\x60", 3)
    assert (entry.packet, entry.socket, entry.message) == (b"\x80\x60", 3, None)
