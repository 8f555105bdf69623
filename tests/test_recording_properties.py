"""Any bytes over a link can be taken apart, recorded and read again; nothing that is read does harm."""

import json

from hypothesis import given
from hypothesis import strategies as st

from rtspkit.errors import LocalProtocolError
from rtspkit.recording import Recorder, loads
from rtspkit.scrub import scrub_packet
from rtspkit.transcript import Transcript
from rtspkit.url import parse_url

HEAD = '{"format": "rtspkit recording", "version": 1, "software": "x", "url": "rtsp://h/"}\n'
PIECES = st.sampled_from(
    [
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n",
        b"OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\n",
        b"DESCRIBE rtsp://us3r:s3cretword@10.9.8.7/us3r RTSP/1.0\r\nCSeq: 2\r\n",
        b'WWW-Authenticate: Digest realm="s3cretword", nonce="x"\r\n',
        b"Transport: RTP/AVP/TCP;interleaved=0-1\r\n",
        b"Content-Length: 20\r\n",
        b"\r\n",
        b"v=0\r\no=- 1 1 IN IP4 10.9.8.7\r\ns=s3cretword\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
        b"$\x00\x00\x10\x80\x60" + bytes(10) + b"\x65s3c",
        b"$\x01\x00\x04\x80\xc8\x00\x00",
        b"s3cretword ",
    ]
)
STREAMS = st.lists(PIECES | st.binary(max_size=40), max_size=12).map(b"".join)
PACKETS = st.binary(max_size=200) | st.builds(
    lambda head, kind, rest: head + bytes((kind,)) + rest,
    st.sampled_from(
        [
            b"\x80\x60" + bytes(10),
            b"\xa0\xe0" + bytes(10),
            b"\x90\x61" + bytes(14),
            b"\x81\xca\0\x05",
            b"\x80\xc8\0\x06",
        ]
    ),
    st.integers(0, 255),
    st.binary(max_size=80),
)


@given(st.lists(st.tuples(st.sampled_from(["in", "out"]), STREAMS, st.sampled_from([None, None, 0, 3])), max_size=6))
def test_whatever_goes_over_a_link_can_be_recorded(went) -> None:
    transcript, recorder = Transcript(), Recorder(parse_url("rtsp://us3r:s3cretword@10.9.8.7/us3r"))
    came = taken = b""
    for at, (way, data, socket) in enumerate(went):
        entries = transcript.feed(at, way, data, socket)
        recorder.add(entries)
        came += data if way == "in" and socket is None else b""
        taken += b"".join(entry.raw for entry in entries if entry.way == "in" and entry.socket is None)
    entries = transcript.finish(len(went))
    recorder.add(entries)
    assert taken + b"".join(entry.raw for entry in entries) == came
    text = recorder.text()
    assert "s3cretword" not in text
    assert "10.9.8.7" not in text
    assert text.isascii()
    recording = loads(text)
    assert recording.url == "rtsp://192.0.2.1/user"


@given(PACKETS, st.sampled_from([{}, {96: "h264", 97: "aac"}, {96: "aac"}]))
def test_a_packet_keeps_its_size_and_its_header(packet: bytes, codecs: dict[int, str]) -> None:
    scrubbed = scrub_packet(packet, codecs)
    assert len(scrubbed) == len(packet)
    assert scrubbed[:2] == packet[:2]
    assert scrub_packet(scrubbed, codecs) == scrubbed, "what is scrubbed stays as it is"


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_recording_or_none(text: str) -> None:
    for one in (text, HEAD + text):
        try:
            recording = loads(one)
        except LocalProtocolError:
            continue
        assert recording.url == "rtsp://h/"


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 300)
    | st.floats()
    | st.text(alphabet="0123456789abcf* xyz", max_size=20)
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["at", "way", "text", "data", "channel", "socket", "connection", "end", "truncated"]),
            VALUES | st.sampled_from(["in", "out"]),
        ),
        max_size=5,
    )
)
def test_any_events_are_read_or_refused(events) -> None:
    try:
        recording = loads(HEAD + "\n".join(map(json.dumps, events)))
    except LocalProtocolError:
        return
    for event in recording.events:
        assert event.kind in {"message", "packet", "bytes", "end"}
        assert len(event.data) <= 512 * 1024
