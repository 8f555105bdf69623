import pytest

from rtspkit.errors import LocalProtocolError
from rtspkit.url import parse_url, redirect_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtsp://192.168.1.100:554/stream1", ("192.168.1.100", 554, None, None, "rtsp://192.168.1.100:554/stream1")),
        ("rtsp://Camera", ("camera", 554, None, None, "rtsp://camera")),
        ("RTSPS://camera/", ("camera", 322, None, None, "rtsps://camera/")),
        ("rtsp+http://u:p@camera/a", ("camera", 80, "u", "p", "rtsp://camera/a")),
        ("rtsps+http://camera/a", ("camera", 443, None, None, "rtsps://camera/a")),
        ("RTSP+HTTP://camera:8080/a", ("camera", 8080, None, None, "rtsp://camera:8080/a")),
        ("  rtsp://camera/a \n", ("camera", 554, None, None, "rtsp://camera/a")),
        ("rtsp://camera?x=1", ("camera", 554, None, None, "rtsp://camera/?x=1")),
        ("rtsp://admin:p%40ss%2Fw@cam/", ("cam", 554, "admin", "p@ss/w", "rtsp://cam/")),
        ("rtsp://admin@cam/", ("cam", 554, "admin", "", "rtsp://cam/")),
        ("rtsp://admin:@cam:/", ("cam", 554, "admin", "", "rtsp://cam/")),
        ("rtsp://admin:a:b%@cam/", ("cam", 554, "admin", "a:b%", "rtsp://cam/")),
        ("rtsp://us%3Aer:x@cam/", ("cam", 554, "us:er", "x", "rtsp://cam/")),
        # raw special characters
        ("rtsp://admin:p@ss/w#rd@host/path?x=1", ("host", 554, "admin", "p@ss/w#rd", "rtsp://host/path?x=1")),
        ("rtsp://admin:p@ss/w#rd@10.0.0.5:8554/p", ("10.0.0.5", 8554, "admin", "p@ss/w#rd", "rtsp://10.0.0.5:8554/p")),
        ("rtsp://admin:what?@10.0.0.5/p", ("10.0.0.5", 554, "admin", "what?", "rtsp://10.0.0.5/p")),
        ("rtsp://admin:12/34@10.0.0.5/p", ("10.0.0.5", 554, "admin", "12/34", "rtsp://10.0.0.5/p")),
        ("rtsp://admin:a b@10.0.0.5/p", ("10.0.0.5", 554, "admin", "a b", "rtsp://10.0.0.5/p")),
        ("rtsp://admin:pä@cam/p", ("cam", 554, "admin", "pä", "rtsp://cam/p")),
        ("rtsp://admin:/12?34@cam/p", ("cam", 554, "admin", "/12?34", "rtsp://cam/p")),
        ("rtsp://u:p/q@cam/p", ("cam", 554, "u", "p/q", "rtsp://cam/p")),
        # "@" that is not before a host
        ("rtsp://10.0.0.5/live@2", ("10.0.0.5", 554, None, None, "rtsp://10.0.0.5/live@2")),
        ("rtsp://cam:554/live@2", ("cam", 554, None, None, "rtsp://cam:554/live@2")),
        ("rtsp://u:p@10.0.0.5/a@b?c@d", ("10.0.0.5", 554, "u", "p", "rtsp://10.0.0.5/a@b?c@d")),
        # queries stay as they are
        (
            "rtsp://admin:pass@ip:554/cam/realmonitor?channel=1&subtype=0",
            ("ip", 554, "admin", "pass", "rtsp://ip:554/cam/realmonitor?channel=1&subtype=0"),
        ),
        # IPv6
        ("rtsp://[fe80::1]:8554/x", ("fe80::1", 8554, None, None, "rtsp://[fe80::1]:8554/x")),
        ("rtsp://u:p@[::1]/x", ("::1", 554, "u", "p", "rtsp://[::1]/x")),
        ("rtsp://fe80::1/x", ("fe80::1", 554, None, None, "rtsp://[fe80::1]/x")),
        ("rtsp://[fe80::1%25eth0]/x", ("fe80::1%eth0", 554, None, None, "rtsp://[fe80::1]/x")),
        # what a request line cannot hold
        ('rtsp://cam/a b"#ü', ("cam", 554, None, None, "rtsp://cam/a%20b%22%23%C3%BC")),
    ],
)  # fmt: skip
def test_parse(url: str, expected: tuple[str, int, str | None, str | None, str]) -> None:
    found = parse_url(url)
    assert (found.host, found.port, found.username, found.password, found.request_url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "", "camera", "http://secret@camera/", "rtsp:/camera", "rtsp://", "rtsp://user:secret@", "rtsp:///path",
        "rtsp://cam:0/", "rtsp://cam:65536/", "rtsp://cam:123456/", "rtsp://c am/", "rtsp://[::g]/", "rtsp://1:2:3/",
        "rtsp://cam/\r\nX: secret", "rtsp://cam/\0", "rtsp://secret:" + "x" * 5000 + "@cam/",
    ],
)  # fmt: skip
def test_refused(url: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shows_no_password() -> None:
    url = parse_url("rtsp://admin:hunter2@cam/live?user=x&password=hunter2&channel=1")
    assert str(url) == "rtsp://admin:***@cam/live?user=x&password=***&channel=1"
    assert "hunter2" not in repr(url)
    assert "hunter2" not in f"{url} {[url]}"
    assert str(parse_url("rtsp://cam/user=a_password=hunter2_channel=1.sdp")) == "rtsp://cam/user=a_password=***"
    assert str(parse_url("rtsp://cam/live?auth=YWRtaW4&channel=1")) == "rtsp://cam/live?auth=***&channel=1"
    assert str(parse_url("rtsp://cam/x")) == "rtsp://cam/x"


def test_address() -> None:
    assert parse_url("rtsp://cam/").address == "cam:554"
    assert parse_url("rtsp://[::1]:1/").address == "[::1]:1"


def test_redirect_keeps_the_credentials_at_their_origin() -> None:
    url = parse_url("rtsp://admin:hunter2@10.0.0.5/live")
    same = redirect_url(url, "rtsp://10.0.0.5:554/other")
    assert (same.username, same.password, same.request_url) == ("admin", "hunter2", "rtsp://10.0.0.5:554/other")
    assert redirect_url(url, "/other").request_url == "rtsp://10.0.0.5/other"
    assert redirect_url(url, "/other").password == "hunter2"
    for elsewhere in ("rtsp://10.0.0.6/live", "rtsp://10.0.0.5:555/live", "rtsps://10.0.0.5:554/live", "rtsp://evil/"):
        assert redirect_url(url, elsewhere).password is None
    # the camera's own idea of credentials is not taken over
    assert redirect_url(url, "rtsp://you:got@evil/").username is None
    with pytest.raises(LocalProtocolError):
        redirect_url(url, "http://10.0.0.5/")


@pytest.mark.parametrize(
    ("url", "is_secure", "is_tunnel"),
    [
        ("rtsp://cam/", False, False), ("rtsps://cam/", True, False),
        ("rtsp+http://cam/", False, True), ("rtsps+http://cam/", True, True),
    ],
)  # fmt: skip
def test_schemes(url: str, is_secure: bool, is_tunnel: bool) -> None:
    found = parse_url(url)
    assert (found.is_secure, found.is_tunnel) == (is_secure, is_tunnel)
    assert str(found) == url


@pytest.mark.parametrize(
    ("location", "origin", "request_url", "is_known"),
    [
        ("/b", ("rtsp+http", "cam", 8080), "rtsp://cam:8080/b", True),
        ("rtsp://cam/b", ("rtsp+http", "cam", 8080), "rtsp://cam/b", True),
        ("rtsp://cam:554/b", ("rtsp+http", "cam", 8080), "rtsp://cam:554/b", True),
        ("rtsp://other:554/b", ("rtsp+http", "other", 80), "rtsp://other:554/b", False),
        ("rtsps://cam/b", ("rtsps+http", "cam", 443), "rtsps://cam/b", False),
        ("rtsp+http://cam:81/b", ("rtsp+http", "cam", 81), "rtsp://cam:81/b", False),
    ],
)
def test_a_redirected_tunnel_stays_one(
    location: str, origin: tuple[str, str, int], request_url: str, is_known: bool
) -> None:
    target = redirect_url(parse_url("rtsp+http://admin:hunter2@cam:8080/a"), location)
    assert (target.origin, target.request_url) == (origin, request_url)
    assert (target.password == "hunter2") is is_known


@pytest.mark.parametrize("url", ["rtsps://cam/", "rtsps+http://cam/"])
@pytest.mark.parametrize("location", ["rtsp://cam/", "rtsp+http://cam/", "RTSP://other/"])
def test_no_redirect_from_tls_to_none(url: str, location: str) -> None:
    with pytest.raises(LocalProtocolError, match="rtsps to rtsp is not followed"):
        redirect_url(parse_url(url), location)
