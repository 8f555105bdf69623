import re
from collections.abc import Iterator
from typing import Any

import pytest

from rtspkit.errors import (
    AuthenticationError,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    ResponseError,
    TimeoutExceeded,
    UnsupportedError,
)
from rtspkit.limits import Limits
from rtspkit.memory import CameraMemory
from rtspkit.messages import RTPInfo
from rtspkit.rtsp import (
    Connection,
    Described,
    Event,
    InterleavedData,
    KeptAlive,
    OptionsReceived,
    Playing,
    Redirected,
    ServerRequest,
    SetUp,
    State,
    TornDown,
    Transport,
)

URL = "rtsp://192.168.1.100:554/stream1"
SDP = """\
v=0
s=RTSP Session
a=control:*
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=control:trackID=0
m=audio 0 RTP/AVP 97
a=rtpmap:97 MPEG4-GENERIC/16000/1
a=fmtp:97 mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408
a=control:trackID=1
m=audio 0 RTP/AVP 0
"""
MD5 = 'Digest realm="cam", nonce="n1"'


def tcp(rtp: int, rtcp: int, ssrc: int | None = None) -> Transport:
    return Transport(protocol="tcp", delivery="unicast", interleaved=(rtp, rtcp), ssrc=ssrc)


class Camera:
    """The other end: reads what the connection sends and answers it by hand."""

    def __init__(self, url: str = URL, **options: Any) -> None:
        self.connection = Connection(url, **options)
        self.lines: list[str] = []
        self.sent: list[str] = []

    def request(self) -> tuple[str, dict[str, str]]:
        """The one request that waits to be sent: its first line and its headers."""
        data = self.connection.data_to_send().decode()
        self.sent.append(data)
        assert data.endswith("\r\n\r\n")
        assert data.count("\r\n\r\n") == 1
        first, *rest = data.removesuffix("\r\n\r\n").split("\r\n")
        headers = dict(line.split(": ", 1) for line in rest)
        return first, headers

    def answer(
        self, status: str = "200 OK", *headers: str, body: str = "", cseq: str | None = None, now: float = 0.0
    ) -> Event | None:
        """Takes the request, answers it, gives the event."""
        self.first, self.headers = self.request()
        return self.send(status, *headers, body=body, cseq=self.headers["CSeq"] if cseq is None else cseq, now=now)

    def send(self, status: str, *headers: str, body: str = "", cseq: str, now: float = 0.0) -> Event | None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {cseq}", *headers, f"Content-Length: {len(body)}", "", body]
        self.connection.receive_data("\r\n".join(lines).encode(), now)
        return self.connection.next_event()

    def described(self, *headers: str, body: str = SDP) -> Described:
        self.connection.describe(0.0)
        event = self.answer("200 OK", *headers, body=body)
        assert isinstance(event, Described)
        return event

    def set_up(self, *headers: str, session: str = "12345678", count: int = 2) -> list[SetUp]:
        found = []
        for index, track in enumerate(self.described().tracks[:count]):
            self.connection.setup(track, tcp(2 * index, 2 * index + 1), 0.0)
            event = self.answer("200 OK", f"Session: {session}", *headers)
            assert isinstance(event, SetUp)
            found.append(event)
        return found

    def playing(self, *headers: str, session: str = "12345678", public: str = "", now: float = 0.0) -> Playing:
        if public:
            self.connection.options(0.0)
            self.answer("200 OK", f"Public: {public}")
        self.set_up(session=session)
        self.connection.play(now)
        event = self.answer("200 OK", *headers, now=now)
        assert isinstance(event, Playing)
        return event


@pytest.fixture
def camera() -> Iterator[Camera]:
    camera = Camera()
    yield camera
    assert camera.connection.next_event() is None or camera.connection.state is State.FAILED


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
    assert described.skipped == ("track 3 (PCMU)",)
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
        camera.answer(body="v=0\nm=audio 0 RTP/AVP 0\n")
    assert camera.connection.state is State.IDLE


# -- SETUP ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transport", "channels"),
    [
        ("", (0, 1)),
        ("Transport: RTP/AVP/TCP;unicast", (0, 1)),
        ("Transport: RTP/AVP/TCP;interleaved=8-9", (8, 9)),
        ("Transport: RTP/AVP/TCP;interleaved=255-256", (0, 1)),
        ("Transport: RTP/AVP/TCP;interleaved=3-3", (0, 1)),
        ("Transport: RTP/AVP;unicast;interleaved=0-1", (0, 1)),  # Escam
        ("Transport: RTP/AVP;unicast;interleaved=0-1;client_port=1-2", (0, 1)),
    ],
)
def test_transports(camera: Camera, transport: str, channels: tuple[int, int]) -> None:
    (event,) = camera.set_up(*filter(None, [transport]), count=1)
    assert event.transport.interleaved == channels


def test_the_same_channels_twice(camera: Camera) -> None:
    """Where the answer cannot be, what was asked for holds."""
    assert [event.transport.interleaved for event in camera.set_up("Transport: RTP/AVP/TCP;interleaved=0-1")] == [
        (0, 1),
        (2, 3),
    ]


@pytest.mark.parametrize("transport", ["RTP/AVP;unicast;client_port=1-2", "RTP/SAVP/TCP;interleaved=0-1"])
def test_transports_that_cannot_be_used(camera: Camera, transport: str) -> None:
    camera.connection.setup(camera.described().tracks[0], tcp(0, 1), 0.0)
    with pytest.raises(UnsupportedError, match="554 insists on"):
        camera.answer("200 OK", f"Transport: {transport}")


def test_refused_transport(camera: Camera) -> None:
    camera.connection.setup(camera.described().tracks[0], tcp(0, 1), 0.0)
    with pytest.raises(ResponseError, match="461 Unsupported Transport; it does not offer RTP over TCP"):
        camera.answer("461 Unsupported Transport")


UDP = Transport(protocol="udp", delivery="unicast", client_port=(5000, 5001))
MULTICAST = Transport(protocol="udp", delivery="multicast")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", {"protocol": "udp", "client_port": (5000, 5001), "server_port": None, "source": None}),
        (
            "RTP/AVP;unicast;client_port=5000-5001;server_port=6970-6971;source=10.0.0.7;ssrc=0A",
            {"client_port": (5000, 5001), "server_port": (6970, 6971), "source": "10.0.0.7", "ssrc": 10},
        ),
        ("RTP/AVP/UDP;unicast;server_port=0-1;source=0.0.0.0", {"server_port": None, "source": None}),
        ("RTP/AVP;server_port=6970;source=camera.local", {"server_port": (6970, 6971), "source": None}),
        ("RTP/AVP/TCP;unicast;interleaved=4-5", {"protocol": "tcp", "interleaved": (4, 5), "client_port": None}),
        ("RTP/AVP;unicast;interleaved=4-5", {"protocol": "tcp", "interleaved": (4, 5)}),
        ("RTP/AVP/TCP;unicast;interleaved=4-4", {"protocol": "tcp", "interleaved": (0, 1)}),
        ("RTP/AVP;unicast;interleaved=0-1;server_port=6-7", {"protocol": "udp", "server_port": (6, 7)}),
    ],
)  # fmt: skip
def test_udp(camera: Camera, answer: str, expected: dict[str, Any]) -> None:
    camera.connection.setup(camera.described().tracks[0], UDP, 0.0)
    event = camera.answer("200 OK", "Session: 1", *filter(None, [answer and f"Transport: {answer}"]))
    assert camera.headers["Transport"] == "RTP/AVP;unicast;client_port=5000-5001"
    assert isinstance(event, SetUp)
    assert {name: getattr(event.transport, name) for name in expected} == expected
    assert event.ssrc == expected.get("ssrc")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            "RTP/AVP;multicast;destination=239.1.2.3;port=5010-5011;ttl=127;source=10.0.0.5",
            {"destination": "239.1.2.3", "port": (5010, 5011), "ttl": 127, "source": "10.0.0.5"},
        ),
        ("RTP/AVP;multicast;destination=ff05::1;client_port=7-8", {"destination": "ff05::1", "port": (7, 8)}),
        ("RTP/AVP;destination=239.1.2.3", {"destination": "239.1.2.3", "port": (5004, 5005), "ttl": None}),
        ("RTP/AVP/TCP;interleaved=0-1", {"protocol": "tcp", "interleaved": (0, 1)}),
    ],
)  # fmt: skip
def test_multicast(camera: Camera, answer: str, expected: dict[str, Any]) -> None:
    track = camera.described(body=SDP.replace("m=video 0", "m=video 5004/1")).tracks[0]
    camera.connection.setup(track, MULTICAST, 0.0)
    event = camera.answer("200 OK", "Session: 1", f"Transport: {answer}")
    assert camera.headers["Transport"] == "RTP/AVP;multicast"
    assert isinstance(event, SetUp)
    assert {name: getattr(event.transport, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("wanted", "status", "answer", "message"),
    [
        (UDP, "461 Unsupported Transport", "", "461 Unsupported Transport; it does not offer RTP over UDP"),
        (UDP, "406 transport not allowed", "", "406 transport not allowed; it does not offer RTP over UDP"),
        (MULTICAST, "461 x", "", "461 x; it does not offer multicast"),
        (UDP, "200 OK", "RTP/AVP;multicast;destination=239.1.2.3;port=1-2", "insists on multicast"),
        (UDP, "200 OK", "RTP/AVP/TCP;unicast", "insists on RTP over TCP"),
        (MULTICAST, "200 OK", "RTP/AVP;unicast;destination=10.0.0.9;port=1-2", "insists on unicast"),
        (MULTICAST, "200 OK", "RTP/AVP;multicast;destination=10.0.0.9;port=1-2", "multicast without an address"),
        (MULTICAST, "200 OK", "RTP/AVP;multicast;destination=239.1.2.3;port=0-1", "multicast without a port"),
    ],
)
def test_transports_that_are_refused_are_followed_by_tcp(
    camera: Camera, wanted: Transport, status: str, answer: str, message: str
) -> None:
    """Hikvision wants DESCRIBE again before the second SETUP."""
    camera.connection.setup(camera.described().tracks[0], wanted, 0.0)
    with pytest.raises(ResponseError, match=message) as caught:
        camera.answer(status, *filter(None, [answer and f"Transport: {answer}"]))
    assert caught.value.status == 461
    assert camera.connection.state is State.DESCRIBED
    (event,) = camera.set_up(count=1)
    assert event.transport.interleaved == (0, 1)


def test_transports_that_make_no_sense(camera: Camera) -> None:
    track = camera.described().tracks[0]
    for transport in (Transport(), Transport(protocol="tcp"), tcp(3, 3)):
        with pytest.raises(LocalProtocolError):
            camera.connection.setup(track, transport, 0.0)


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


# -- keep-alive ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("session", "interval"),
    [("1", 30), ("1;timeout=60", 30), ("1; timeout=20", 10), ("1;timeout=600", 30), ("1;timeout=0", 30),
     ("1;timeout=-5", 30), ("1;timeout=1", 0.5)],
)  # fmt: skip
def test_interval(session: str, interval: float) -> None:
    camera = Camera()
    camera.playing(session=session, now=100.0)
    assert camera.connection.next_timeout() == 100.0 + interval
    camera.connection.handle_timeout(100.0 + interval - 0.1)
    assert camera.connection.data_to_send() == b""
    camera.connection.handle_timeout(100.0 + interval)
    assert b"OPTIONS" in camera.connection.data_to_send()


def test_timeout_in_the_answer_to_play() -> None:
    camera = Camera()
    camera.playing("Session: 12345678;timeout=10")
    assert camera.connection.next_timeout() == 5.0
    assert camera.connection.session_timeout == 10


@pytest.mark.parametrize(
    ("public", "method"), [("", "OPTIONS"), ("OPTIONS, PLAY", "OPTIONS"), ("options,get_parameter", "GET_PARAMETER")]
)
def test_method(public: str, method: str) -> None:
    camera = Camera()
    camera.playing(public=public)
    camera.connection.keepalive(1.0)
    assert camera.request()[0].startswith(method + " ")


@pytest.mark.parametrize("status", ["405 Method Not Allowed", "501 Not Implemented", "454 Session Not Found", "302 X"])
def test_a_refused_keepalive_is_an_answer(status: str) -> None:
    camera = Camera()
    camera.playing(public="GET_PARAMETER")
    camera.connection.keepalive(1.0)
    assert camera.answer(status) == KeptAlive(int(status[:3]))
    assert camera.first.startswith("GET_PARAMETER")
    camera.connection.keepalive(2.0)
    assert camera.answer(status) == KeptAlive(int(status[:3]))
    assert camera.first.startswith("OPTIONS")
    assert camera.connection.state is State.PLAYING


def test_the_keepalive_that_was_answered_is_remembered() -> None:
    memory = CameraMemory()
    camera = Camera(memory=memory)
    camera.playing(public="GET_PARAMETER")
    for now, status in ((1.0, "454 Session Not Found"), (2.0, "200 OK")):  # Thingino: 454, and the media go on
        camera.connection.keepalive(now)
        camera.answer(status)
    assert memory.keepalive_method == "OPTIONS"
    camera = Camera(memory=memory)
    camera.playing(public="GET_PARAMETER")
    camera.connection.keepalive(1.0)
    assert camera.request()[0].startswith("OPTIONS")


def test_the_base_is_asked_where_the_session_is_not_answered() -> None:
    camera = Camera()
    body = SDP.replace("a=control:*", "a=control:rtsp://192.168.1.100/all")
    track = camera.described("Content-Base: rtsp://192.168.1.100/base/", body=body).tracks[0]
    camera.connection.setup(track, tcp(0, 1), 0.0)
    camera.answer("200 OK", "Session: 1")
    asked = []
    for now in range(3):
        camera.connection.keepalive(now)
        camera.answer("400 Bad Request")
        asked.append(camera.first)
    assert asked[0] == "OPTIONS rtsp://192.168.1.100:554/all RTSP/1.0"
    assert asked[2] == "OPTIONS rtsp://192.168.1.100:554/base/ RTSP/1.0"


def test_an_unanswered_keepalive() -> None:
    camera = Camera()
    camera.playing(public="GET_PARAMETER")
    camera.connection.handle_timeout(30.0)
    cseq = camera.request()[1]["CSeq"]
    assert camera.connection.next_timeout() == 40.0
    camera.connection.handle_timeout(40.0)
    assert camera.connection.next_timeout() == 60.0
    camera.connection.handle_timeout(60.0)
    # the late answer to the first is not taken for one to the second
    assert camera.send("501 No", cseq=cseq) is None
    assert camera.answer() == KeptAlive(200)
    assert camera.first.startswith("OPTIONS")


def test_keepalives_do_not_pile_up() -> None:
    camera = Camera()
    camera.playing(session="1;timeout=2")
    camera.connection.handle_timeout(1.0)
    camera.request()
    camera.connection.handle_timeout(2.0)
    assert camera.connection.data_to_send() == b""
    assert camera.connection.next_timeout() == 3.0


def test_wrong_cseq() -> None:
    """Whatever number stands there (Tapo), it is the answer to the only question."""
    for cseq in ("", "0", "1", "99", "x", "-1", "\u0661"):
        camera = Camera()
        camera.playing()
        camera.connection.keepalive(1.0)
        assert camera.answer(cseq=cseq) == KeptAlive(200)
        camera.connection.teardown(2.0)
        assert camera.answer(cseq=cseq) == TornDown()


def test_answers_to_nothing(camera: Camera) -> None:
    assert camera.send("200 OK", cseq="1") is None
    camera.connection.describe(0.0)
    assert camera.send("100 Continue", cseq="1") is None
    assert isinstance(camera.answer(body=SDP), Described)
    assert camera.send("404 Not Found", cseq="1") is None


# -- time ----------------------------------------------------------------------


def test_no_answer() -> None:
    connection = Connection(URL, limits=Limits(reply_timeout=5))
    assert connection.next_timeout() is None
    connection.describe(100.0)
    assert connection.next_timeout() == 105.0
    connection.receive_data(b"RTSP/1.0 200 OK\r\n", 104.0)  # a drop now and then does not help
    assert connection.next_event() is None
    connection.handle_timeout(104.9)
    with pytest.raises(TimeoutExceeded, match="554 did not answer DESCRIBE within 5 s"):
        connection.handle_timeout(105.0)
    assert connection.next_timeout() is None


def test_no_answer_to_teardown() -> None:
    camera = Camera()
    camera.playing()
    camera.connection.teardown(1.0)
    with pytest.raises(TimeoutExceeded):
        camera.connection.handle_timeout(11.0)
    assert camera.connection.state is State.CLOSED


# -- TEARDOWN ------------------------------------------------------------------


def test_teardown_with_nothing_to_tear_down(camera: Camera) -> None:
    camera.connection.teardown(0.0)
    assert camera.connection.data_to_send() == b""
    assert camera.connection.next_event() == TornDown()
    assert camera.connection.state is State.CLOSED


def test_teardown_while_something_else_is_awaited(camera: Camera) -> None:
    camera.set_up()
    camera.connection.play(0.0)
    cseq = camera.request()[1]["CSeq"]
    camera.connection.teardown(0.0)
    assert camera.send("200 OK", cseq=cseq) is None
    camera.connection.receive_data(b"$\x00\x00\x01x", 0.0)
    assert camera.answer("454 Session Not Found") == TornDown()
    with pytest.raises(LocalProtocolError):
        camera.connection.teardown(0.0)


def test_teardown_after_nonsense() -> None:
    camera = Camera()
    camera.playing()
    camera.connection.receive_data(b"HTTP/1.1 200 OK\r\n\r\n", 0.0)
    with pytest.raises(RemoteProtocolError):
        camera.connection.next_event()
    assert camera.connection.state is State.FAILED
    assert camera.connection.next_timeout() is None
    camera.connection.teardown(1.0)
    assert camera.request()[0].startswith("TEARDOWN")


# -- the camera asks -----------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "ANNOUNCE", "PLAY_NOTIFY", "TEARDOWN", "REDIRECT"]
)
def test_requests_of_the_camera(method: str) -> None:
    camera = Camera()
    camera.playing()
    data = f"{method} rtsp://x/ RTSP/1.0\r\nCSeq: 42\r\nSession: abc\r\nContent-Length: 2\r\n\r\nhi".encode()
    camera.connection.receive_data(data, 0.0)
    assert camera.connection.next_event() == ServerRequest(method, 200)
    first, headers = camera.request()
    assert first == "RTSP/1.0 200 OK"
    assert (headers["CSeq"], headers["Session"]) == ("42", "abc")
    assert ("Public" in headers) == (method == "OPTIONS")
    assert camera.connection.state is State.PLAYING


def test_strange_requests_of_the_camera(camera: Camera) -> None:
    camera.connection.receive_data(b"PLAY * RTSP/1.0\r\nCSeq: 1\rX: y\r\n\r\n", 0.0)
    assert camera.connection.next_event() == ServerRequest("PLAY", 501)
    assert camera.request() == ("RTSP/1.0 501 Not Implemented", {"CSeq": "1 X: y"})


# -- credentials ---------------------------------------------------------------

SECRET_URL = "rtsp://admin:hunt%20er2@192.168.1.100:554/stream1"


def challenge(camera: Camera, *values: str) -> Event | None:
    return camera.answer("401 Unauthorized", *(f"WWW-Authenticate: {value}" for value in values))


@pytest.mark.parametrize(("value", "scheme"), [(MD5, "Digest "), ('Basic realm="cam"', "Basic ")])
def test_credentials(value: str, scheme: str) -> None:
    camera = Camera(SECRET_URL)
    camera.connection.describe(0.0)
    assert challenge(camera, value) is None
    assert "Authorization" not in camera.headers
    assert isinstance(camera.answer(body=SDP), Described)
    assert camera.headers["Authorization"].startswith(scheme)
    assert camera.headers["CSeq"] == "2"
    # from now on it goes along unasked
    camera.connection.options(0.0)
    camera.answer()
    assert camera.headers["Authorization"].startswith(scheme)
    if scheme == "Digest ":
        assert f'uri="{URL}"' in camera.headers["Authorization"]


def test_wrong_credentials_are_tried_once() -> None:
    camera = Camera(SECRET_URL)
    camera.connection.describe(0.0)
    assert challenge(camera, MD5) is None
    with pytest.raises(AuthenticationError, match="refuses the user name or the password") as caught:
        challenge(camera, MD5)
    assert caught.value.status == 401
    assert caught.value.method == "DESCRIBE"
    assert camera.connection.data_to_send() == b""


def test_no_credentials() -> None:
    camera = Camera()
    camera.connection.options(0.0)
    with pytest.raises(AuthenticationError, match="wants a user name and a password"):
        challenge(camera, MD5)


def test_unknown_scheme() -> None:
    camera = Camera(SECRET_URL)
    camera.connection.options(0.0)
    with pytest.raises(AuthenticationError, match="not known here"):
        challenge(camera, "Negotiate")


def test_stale_nonce_is_renewed_once_more() -> None:
    camera = Camera(SECRET_URL)
    camera.connection.describe(0.0)
    assert challenge(camera, MD5) is None
    assert challenge(camera, MD5.replace("n1", "n2") + ", stale=true") is None
    with pytest.raises(AuthenticationError):
        challenge(camera, MD5.replace("n1", "n3") + ", stale=true")


def test_new_nonce_in_the_session() -> None:
    camera = Camera(SECRET_URL)
    camera.connection.options(0.0)
    challenge(camera, MD5)
    camera.answer()
    camera.playing()
    for stale in ("", ", stale=true"):
        camera.connection.keepalive(1.0)
        assert challenge(camera, MD5.replace("n1", "n2") + stale) is None
        assert camera.answer() == KeptAlive(200)
        assert 'nonce="n2"' in camera.headers["Authorization"]


def test_a_keepalive_that_is_refused_for_good_is_an_answer() -> None:
    camera = Camera(SECRET_URL)
    camera.playing()
    camera.connection.keepalive(1.0)
    assert challenge(camera, MD5) is None
    assert challenge(camera, MD5) == KeptAlive(401)


def test_basic_is_not_answered_after_digest() -> None:
    camera = Camera(SECRET_URL)
    camera.connection.options(0.0)
    challenge(camera, MD5)
    camera.answer()
    camera.connection.describe(0.0)
    with pytest.raises(AuthenticationError):
        challenge(camera, 'Basic realm="cam"')
    assert "Basic" not in "".join(camera.sent)


@pytest.mark.parametrize("request_name", ["options", "describe", "setup", "play", "teardown"])
@pytest.mark.parametrize("stale", ["", ", stale=true", ", stale=false"])
def test_a_new_nonce_is_answered_in_any_request(request_name: str, stale: str) -> None:
    camera = Camera(SECRET_URL)
    connection = camera.connection
    connection.options(0.0)
    challenge(camera, MD5)
    camera.answer()
    if request_name in {"play", "teardown"}:
        camera.set_up()
    if request_name == "setup":
        connection.setup(camera.described().tracks[0], tcp(0, 1), 0.0)
    else:
        getattr(connection, request_name)(0.0)
    assert challenge(camera, MD5.replace("n1", "n2") + stale) is None
    assert camera.answer(body=SDP) is not None
    assert 'nonce="n2"' in camera.headers["Authorization"]
    assert "nonce-renewed" in connection.quirks


def test_the_nonce_to_go_on_with() -> None:
    camera = Camera(SECRET_URL)
    camera.connection.options(0.0)
    challenge(camera, MD5)
    camera.answer("200 OK", 'Authentication-Info: nextnonce="n9"')
    camera.connection.describe(0.0)
    assert 'nonce="n9"' in camera.request()[1]["Authorization"]


def test_digest_outlives_the_connection() -> None:
    """Who is in between now may not ask for the password in the clear."""
    memory = CameraMemory()
    camera = Camera(SECRET_URL, memory=memory)
    camera.connection.options(0.0)
    challenge(camera, 'Basic realm="cam"', MD5)
    assert memory.digest_origins == {("rtsp", "192.168.1.100", 554)}
    camera = Camera(SECRET_URL, memory=memory)
    camera.connection.options(0.0)
    with pytest.raises(AuthenticationError, match="has offered Digest before"):
        challenge(camera, 'Basic realm="cam"')
    assert "Authorization" not in "".join(camera.sent)
    for other in ("rtsp://admin:hunter2@192.168.1.101/", "rtsps://admin:hunter2@192.168.1.100:554/"):
        camera = Camera(other, memory=memory)
        camera.connection.options(0.0)
        assert challenge(camera, 'Basic realm="cam"') is None


@pytest.mark.parametrize(("url", "noted"), [(SECRET_URL, True), (SECRET_URL.replace("rtsp:", "rtsps:"), False)])
def test_basic_in_the_clear_is_noted(url: str, noted: bool) -> None:
    camera = Camera(url)
    camera.connection.options(0.0)
    assert challenge(camera, 'Basic realm="cam"') is None
    assert ("basic-in-clear" in camera.connection.quirks) is noted


def test_digest_is_given_up_for_basic_only_where_tls_hides_it() -> None:
    camera = Camera("rtsps://admin:hunter2@cam/")
    for value, scheme in ((MD5, "Digest "), ('Basic realm="cam"', "Basic ")):
        camera.connection.options(0.0)
        assert challenge(camera, value) is None
        camera.answer()
        assert camera.headers["Authorization"].startswith(scheme)


def test_the_password_is_nowhere() -> None:
    camera = Camera(SECRET_URL)
    connection = camera.connection
    connection.options(0.0)
    challenge(camera, MD5)
    camera.answer()
    connection.describe(0.0)
    shown = [repr(connection), str(connection.url), repr(connection.url)]
    with pytest.raises(ResponseError) as caught:
        camera.answer("404 no hunt er2 here \x1b[31m")
    assert str(caught.value) == "192.168.1.100:554 refuses DESCRIBE: 404 no *** here  [31m"
    event = camera.described("Content-Base: rtsp://admin:hunt er2@192.168.1.100/stream1/")
    shown += [repr(event), caught.value.reason, *camera.sent]
    for text in shown:
        assert "hunt" not in text


# -- refusals and redirects ----------------------------------------------------


def test_refusal(camera: Camera) -> None:
    camera.connection.describe(0.0)
    with pytest.raises(ResponseError) as caught:
        camera.answer("404 Stream Not Found")
    assert str(caught.value) == "192.168.1.100:554 refuses DESCRIBE: 404 Stream Not Found"
    assert (caught.value.status, caught.value.reason) == (404, "Stream Not Found")
    assert not isinstance(caught.value, AuthenticationError)
    camera.described()  # the connection goes on


@pytest.mark.parametrize(("status", "is_busy"), [(453, True), (503, True), (404, False), (500, False), (454, False)])
def test_busy(camera: Camera, status: int, is_busy: bool) -> None:
    camera.connection.describe(0.0)
    with pytest.raises(ResponseError) as caught:
        camera.answer(f"{status} Whatever")
    assert caught.value.is_busy is is_busy
    assert ("no room for one more session" in str(caught.value)) is is_busy


@pytest.mark.parametrize("request_name", ["setup", "play"])
def test_a_session_that_is_over_can_be_begun_again(camera: Camera, request_name: str) -> None:
    camera.set_up(count=1)
    if request_name == "play":
        camera.connection.play(0.0)
    else:
        tracks = Camera().described().tracks
        camera.connection.setup(tracks[1], tcp(2, 3), 0.0)
    with pytest.raises(ResponseError, match="454 Session Not Found; the session is over") as caught:
        camera.answer("454 Session Not Found")
    assert caught.value.status == 454
    assert camera.connection.state is State.DESCRIBED
    assert camera.connection.next_timeout() is None
    assert [event.transport.interleaved for event in camera.set_up(session="2")] == [(0, 1), (2, 3)]
    assert camera.headers["Session"] == "2"


def test_refused_options(camera: Camera) -> None:
    camera.connection.options(0.0)
    assert camera.answer("501 Not Implemented") == OptionsReceived(())


@pytest.mark.parametrize(
    ("location", "password"),
    [
        ("rtsp://192.168.1.100/other", "hunt er2"),
        ("/other", "hunt er2"),
        ("rtsp://192.168.1.101/other", None),
        ("rtsp://192.168.1.100:8554/other", None),
        ("rtsps://192.168.1.100:554/other", None),
        ("rtsp://admin:hunter2@evil/other", None),
    ],
)
def test_redirects(location: str, password: str | None) -> None:
    camera = Camera(SECRET_URL)
    camera.connection.describe(0.0)
    event = camera.answer("302 Moved", f"Location: {location}")
    assert isinstance(event, Redirected)
    assert event.url.password == password
    assert event.url.request_url.endswith("/other")


@pytest.mark.parametrize("location", ["", "http://x/", "nonsense", "rtsp://"])
def test_redirects_to_nowhere(camera: Camera, location: str) -> None:
    camera.connection.options(0.0)
    with pytest.raises(ResponseError, match="302"):
        camera.answer("302 Moved", f"Location: {location}")


def test_no_redirect_from_tls_to_none() -> None:
    camera = Camera("rtsps://cam/x")
    camera.connection.describe(0.0)
    with pytest.raises(ResponseError, match="rtsps to rtsp is not followed"):
        camera.answer("302 Moved", "Location: rtsp://cam/x")
