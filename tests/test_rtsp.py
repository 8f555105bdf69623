import re
from collections.abc import Iterator

import pytest
from rtspend import SDP, URL, Camera, a_camera, tcp

from rtspkit.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError, UnsupportedError
from rtspkit.limits import Limits
from rtspkit.messages import RTPInfo
from rtspkit.rtsp import (
    Connection,
    Described,
    InterleavedData,
    KeptAlive,
    OptionsReceived,
    Playing,
    SetUp,
    State,
    TornDown,
)


@pytest.fixture
def camera() -> Iterator[Camera]:
    yield from a_camera()


# -- the way through -----------------------------------------------------------


def test_a_whole_session() -> None:
    camera = Camera()
    connection = camera.connection
    assert connection.state is State.IDLE
    connection.options(0.0)
    assert camera.answer("200 OK", "Public: OPTIONS, DESCRIBE, GET_PARAMETER") == OptionsReceived(
        ("OPTIONS", "DESCRIBE", "GET_PARAMETER")
    )
    assert camera.first == f"OPTIONS {URL} RTSP/1.0"
    assert list(camera.headers) == ["CSeq", "User-Agent"]

    connection.describe(0.0)
    described = camera.answer("200 OK", "Content-Type: application/sdp", body=SDP)
    assert camera.first == f"DESCRIBE {URL} RTSP/1.0"
    assert camera.headers["Accept"] == "application/sdp"
    assert isinstance(described, Described)
    assert described.skipped == ("track 3 (PCMU, another audio track)",)
    video, audio = described.tracks
    assert connection.state is State.DESCRIBED

    connection.setup(video, tcp(0, 1), 0.0)
    event = camera.answer("200 OK", "Session: 12345678", "Transport: RTP/AVP/TCP;interleaved=0-1;ssrc=0A")
    assert event == SetUp(video, tcp(0, 1, 10), 10)
    assert camera.first == f"SETUP {URL}/trackID=0 RTSP/1.0"
    assert camera.headers["Transport"] == "RTP/AVP/TCP;unicast;interleaved=0-1"
    assert "Session" not in camera.headers
    assert connection.state is State.READY

    connection.setup(audio, tcp(2, 3), 0.0)
    event = camera.answer("200 OK", "Session: 12345678", "Transport: RTP/AVP/TCP;interleaved=2-3;ssrc=0")
    assert event == SetUp(audio, tcp(2, 3, None), None)
    assert camera.first == f"SETUP {URL}/trackID=1 RTSP/1.0"
    assert camera.headers["Session"] == "12345678"

    connection.play(0.0)
    event = camera.answer("200 OK", f"RTP-Info: url={URL}/trackID=0;seq=1234;rtptime=5678")
    assert event == Playing((RTPInfo(f"{URL}/trackID=0", 1234, 5678), None))
    assert camera.first == f"PLAY {URL} RTSP/1.0"
    assert camera.headers["Range"] == "npt=0.000-"
    assert connection.state is State.PLAYING

    connection.receive_data(b"$\x00\x00\x02ab$\x03\x00\x01c", 0.0)
    assert connection.next_event() == InterleavedData(0, b"ab")
    assert connection.next_event() == InterleavedData(3, b"c")

    assert connection.next_timeout() == 30.0
    connection.handle_timeout(30.0)
    assert camera.answer(now=30.0) == KeptAlive(200)
    assert camera.first == f"GET_PARAMETER {URL} RTSP/1.0"
    assert camera.headers["Session"] == "12345678"

    connection.teardown(31.0)
    assert camera.answer() == TornDown()
    assert camera.first == f"TEARDOWN {URL} RTSP/1.0"
    assert connection.state is State.CLOSED
    assert connection.next_timeout() is None
    assert [int(text) for text in re.findall(r"CSeq: (\d+)", "".join(camera.sent))] == [1, 2, 3, 4, 5, 6, 7]


def test_order_of_requests() -> None:
    connection = Connection(URL)
    for request in (connection.play, connection.keepalive):
        with pytest.raises(LocalProtocolError, match="not allowed while the session is idle"):
            request(0.0)
    camera = Camera()
    camera.playing()
    with pytest.raises(LocalProtocolError):
        camera.connection.describe(0.0)
    with pytest.raises(LocalProtocolError):
        camera.connection.play(0.0)
    camera.connection.options(0.0)
    with pytest.raises(LocalProtocolError, match="OPTIONS waits for its answer"):
        camera.connection.options(0.0)
    camera.connection.keepalive(0.0)
    with pytest.raises(LocalProtocolError):
        camera.connection.keepalive(0.0)


def test_channels_that_are_taken(camera: Camera) -> None:
    video, audio = camera.described().tracks
    for channels in ((255, 256), (-1, 0)):
        with pytest.raises(LocalProtocolError):
            camera.connection.setup(video, tcp(*channels), 0.0)
    camera.connection.setup(video, tcp(0, 1), 0.0)
    camera.answer()
    with pytest.raises(LocalProtocolError):
        camera.connection.setup(audio, tcp(1, 2), 0.0)


def test_user_agent() -> None:
    camera = Camera(user_agent="me/1")
    camera.connection.options(0.0)
    assert camera.request()[1]["User-Agent"] == "me/1"
    with pytest.raises(LocalProtocolError):
        Connection(URL, user_agent="x\r\nEvil: y")


def test_urls_of_requests() -> None:
    """A query stays, the control goes behind it; the aggregate is the session's control."""
    camera = Camera("rtsp://admin:pw@10.0.0.5/cam/realmonitor?channel=1&subtype=0")
    described = camera.described(
        "Content-Base: rtsp://10.0.0.5:554/cam/realmonitor?channel=1&subtype=0/",
        body=SDP.replace("a=control:*", "a=control:rtsp://192.168.0.1/all?x"),
    )
    assert camera.first == "DESCRIBE rtsp://10.0.0.5/cam/realmonitor?channel=1&subtype=0 RTSP/1.0"
    camera.connection.setup(described.tracks[0], tcp(0, 1), 0.0)
    camera.answer()
    assert camera.first == "SETUP rtsp://10.0.0.5/cam/realmonitor?channel=1&subtype=0/trackID=0 RTSP/1.0"
    camera.connection.play(0.0)
    camera.answer()
    assert camera.first == "PLAY rtsp://10.0.0.5/all?x RTSP/1.0"


def test_content_location_stands_in_for_content_base(camera: Camera) -> None:
    assert camera.described("Content-Location: rtsp://x/y").tracks[0].url == "rtsp://192.168.1.100:554/y/trackID=0"


# -- DESCRIBE ------------------------------------------------------------------


def test_description_that_is_none(camera: Camera) -> None:
    camera.connection.describe(0.0)
    with pytest.raises(RemoteProtocolError, match="without a description"):
        camera.answer()
    assert camera.connection.state is State.FAILED
    with pytest.raises(LocalProtocolError):
        camera.connection.describe(0.0)


def test_nothing_usable(camera: Camera) -> None:
    camera.connection.describe(0.0)
    with pytest.raises(UnsupportedError, match="track 1"):
        camera.answer(body="v=0\nm=audio 0 RTP/AVP 3\n")
    assert camera.connection.state is State.IDLE


def test_session_id_that_changes(camera: Camera) -> None:
    """H264DVR goes on with the first."""
    video, audio = camera.described().tracks
    for track, channels, session in ((video, (0, 1), "231970"), (audio, (2, 3), "231980")):
        camera.connection.setup(track, tcp(*channels), 0.0)
        camera.answer("200 OK", f"Session: {session};timeout=60")
    camera.connection.play(0.0)
    camera.answer()
    assert camera.headers["Session"] == "231970"


# -- PLAY ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("url=trackID=0;seq=1,url=trackID=1;seq=2", [1, 2]),
        ("url=trackID=1;seq=2,url=trackID=0;seq=1", [1, 2]),
        ("url=rtsp://10.0.0.1/stream1/trackID=1;seq=2", [None, 2]),
        ("url=/stream1/trackID=0;seq=1;", [1, None]),
        ("url=rtsp://192.168.1.100/H264/video;seq=7", [None, None]),  # GW
        ("url=rackID=0;seq=7", [None, None]),
        ("nonsense", [None, None]),
        ("", [None, None]),
    ],
)
def test_rtp_info(camera: Camera, value: str, expected: list[int | None]) -> None:
    assert [entry and entry.seq for entry in camera.playing(f"RTP-Info: {value}").rtp_info] == expected


def test_rtp_info_of_a_single_track(camera: Camera) -> None:
    camera.set_up(count=1)
    camera.connection.play(0.0)
    event = camera.answer("200 OK", "RTP-Info: url=rtsp://somewhere/else;seq=7")
    assert event == Playing((RTPInfo("rtsp://somewhere/else", 7),))


def test_play_without_a_range(camera: Camera) -> None:
    camera.set_up()
    camera.connection.play(0.0)
    assert camera.answer("457 Invalid Range") is None
    assert isinstance(camera.answer(), Playing)
    assert "Range" not in camera.headers


def test_what_follows_the_answer_is_handed_over(camera: Camera) -> None:
    camera.set_up()
    camera.connection.play(0.0)
    cseq = camera.request()[1]["CSeq"]
    camera.connection.receive_data(f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n".encode() + b"$\x00\x00\x04ab$", 0.0)
    assert isinstance(camera.connection.next_event(), Playing)
    assert camera.connection.take_trailing_data() == b"$\x00\x00\x04ab$"
    assert camera.connection.take_trailing_data() == b""
    camera.connection.keepalive(1.0)
    assert camera.answer() == KeptAlive(200)


def test_data_before_the_answer(camera: Camera) -> None:
    camera.set_up()
    camera.connection.play(0.0)
    camera.connection.receive_data(b"\r\n$\x00\x00\x02ab", 0.0)
    assert camera.connection.next_event() == InterleavedData(0, b"ab")
    assert isinstance(camera.answer(), Playing)


def test_data_nobody_asked_for() -> None:
    camera = Camera(limits=Limits(unknown_channel_size=10))
    camera.playing()
    camera.connection.receive_data(b"$\x09\x00\x05abcde" * 2, 0.0)
    assert camera.connection.next_event() is None
    camera.connection.receive_data(b"$\x09\x00\x01a", 0.0)
    with pytest.raises(LimitExceeded, match="channels nobody set up"):
        camera.connection.next_event()
