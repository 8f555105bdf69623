"""The other end of an `rtsp.Connection`, for tests that answer it by hand."""

from collections.abc import Iterator
from typing import Any

from rtspkit.rtsp import Connection, Described, Event, Playing, SetUp, State, Transport

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


def a_camera() -> Iterator[Camera]:
    """One for a test, which is to have taken every event by its end."""
    camera = Camera()
    yield camera
    assert camera.connection.next_event() is None or camera.connection.state is State.FAILED
