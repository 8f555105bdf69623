"""What a camera refuses: without credentials, with them, for now, and by sending elsewhere."""

from collections.abc import Iterator

import pytest
from rtspend import MD5, SDP, URL, Camera, a_camera, tcp

from rtspkit.errors import AuthenticationError, ResponseError
from rtspkit.memory import CameraMemory
from rtspkit.rtsp import Described, Event, KeptAlive, OptionsReceived, Redirected, State


@pytest.fixture
def camera() -> Iterator[Camera]:
    yield from a_camera()


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
    assert str(caught.value) == "192.168.1.100:554 refuses DESCRIBE: 404 no *** here  [31m; there is no such stream"
    event = camera.described("Content-Base: rtsp://admin:hunt er2@192.168.1.100/stream1/")
    shown += [repr(event), caught.value.reason, *camera.sent]
    for text in shown:
        assert "hunt" not in text


# -- refusals and redirects ----------------------------------------------------


def test_refusal(camera: Camera) -> None:
    camera.connection.describe(0.0)
    with pytest.raises(ResponseError) as caught:
        camera.answer("404 Stream Not Found")
    assert str(caught.value) == "192.168.1.100:554 refuses DESCRIBE: 404 Stream Not Found; there is no such stream"
    assert (caught.value.status, caught.value.reason) == (404, "Stream Not Found")
    assert not isinstance(caught.value, AuthenticationError)
    camera.described()  # the connection goes on


@pytest.mark.parametrize(
    ("status", "is_busy"), [(403, True), (453, True), (503, True), (404, False), (500, False), (454, False)]
)
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
