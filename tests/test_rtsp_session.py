"""A session that goes on: keep-alives, deadlines, TEARDOWN, and what the camera asks."""

from collections.abc import Iterator

import pytest
from rtspend import SDP, URL, Camera, a_camera, tcp

from rtspkit.errors import LocalProtocolError, RemoteProtocolError, ResponseError, TimeoutExceeded
from rtspkit.limits import Limits
from rtspkit.memory import CameraMemory
from rtspkit.rtsp import Connection, Described, KeptAlive, ServerRequest, State, TornDown


@pytest.fixture
def camera() -> Iterator[Camera]:
    yield from a_camera()


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


def test_another_description_has_urls_of_its_own() -> None:
    camera = Camera()
    camera.set_up(count=1)
    camera.connection.keepalive(0.0)
    camera.answer()
    camera.connection.play(0.0)
    with pytest.raises(ResponseError):
        camera.answer("454 Session Not Found")
    camera.connection.setup(camera.described("Content-Base: rtsp://x/other").tracks[0], tcp(0, 1), 0.0)
    camera.answer("200 OK", "Session: 2")
    camera.connection.keepalive(0.0)
    assert camera.request()[0] == "OPTIONS rtsp://192.168.1.100:554/other RTSP/1.0"


def test_an_unanswered_keepalive() -> None:
    camera = Camera()
    camera.playing(public="GET_PARAMETER")
    camera.connection.handle_timeout(30.0)
    cseq = camera.request()[1]["CSeq"]
    assert camera.connection.next_timeout() == 35.0
    camera.connection.handle_timeout(35.0)
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
