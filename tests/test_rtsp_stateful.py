"""A caller, a camera and a network that do anything in any order, against `rtsp.Connection`.

What the camera sends lies on the way until the network delivers it, in pieces of any size. The camera answers rightly,
refuses, redirects, asks for credentials, answers late, twice, or what was not asked; it sends media and requests of its
own in between. What must hold whatever happens is checked after every step.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rtspkit.errors import LocalProtocolError, RemoteProtocolError, RtspkitError
from rtspkit.formats import MediaTrack
from rtspkit.limits import Limits
from rtspkit.memory import CameraMemory
from rtspkit.messages import InterleavedData, Parser, Request, Transport
from rtspkit.packetizer import interleaved_frame
from rtspkit.rtsp import Connection, Described, Playing, Redirected, SetUp, State
from rtspkit.testing import faults
from rtspkit.testing import strategies as rs

URL = "rtsp://admin:hunter2@cam:8554/live?channel=1"
ORIGIN = ("rtsp", "cam", 8554)
BASIC = base64.b64encode(b"admin:hunter2").decode()
LIMITS = Limits(line_size=2000, headers_size=4000, body_size=8000, resync_size=500, unknown_channel_size=3000)
#: The most that one message or frame, or garbage before it, may have in the parser at a time, and a delivery.
DELIVERY = 5000
BOUND = LIMITS.headers_size + LIMITS.body_size + 4 + 0xFFFF + LIMITS.resync_size + DELIVERY

CHALLENGES = (
    'Digest realm="x", nonce="{0}", qop="auth"',
    'Digest realm="x", nonce="{0}", algorithm=SHA-256, stale=true',
    'Basic realm="x"',
    'Basic realm="x", Digest realm="x", nonce="{0}"',
    "Negotiate",
)
LOCATIONS = (
    "/there",
    "rtsp://cam:8554/other",
    "rtsp://evil:8554/live",
    "rtsp://cam:554/live",
    "rtsps://cam:8554/",
    "?",
)


class Conversation(RuleBasedStateMachine):
    """What a session may meet."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = CameraMemory()
        self.now = 100.0
        self.shown: list[str] = []
        self.redirects = self.connections = 0
        self.digest_offered = False
        self._begin(Connection(URL, limits=LIMITS, memory=self.memory))

    def _begin(self, connection: Connection) -> None:
        self.connection = connection
        self.connections += 1
        self.camera = Parser()  # reads what the caller sends
        self.asked: list[Request] = []  # and was not answered yet
        self.answered: list[bytes] = []
        self.on_the_way = b""
        self.last_cseq = 0
        self.tracks: tuple[MediaTrack, ...] = ()
        self.channels: set[int] = set()
        self.is_broken = False
        self._read_output()

    # -- the caller ------------------------------------------------------------

    def _call(self, request: Callable[[], None]) -> None:
        """A caller may ask for what cannot be now: it is told so, and nothing else happens."""
        before = self.connection.state
        try:
            request()
        except LocalProtocolError as error:
            self.shown.append(str(error))
            assert self.connection.state is before
            assert self.connection.data_to_send() == b""
        self._take_events()

    @rule(method=st.sampled_from(["options", "describe", "play", "keepalive", "teardown"]))
    def ask(self, method: str) -> None:
        self._call(lambda: getattr(self.connection, method)(self.now))

    @precondition(lambda self: self.connection.state is State.IDLE)
    @rule()
    def describe(self) -> None:
        self.ask("describe")

    @precondition(lambda self: self.tracks)
    @rule(data=st.data(), channel=st.integers(0, 5), over_udp=st.booleans())
    def set_up(self, data: st.DataObject, channel: int, over_udp: bool) -> None:
        track = data.draw(st.sampled_from(self.tracks))
        wanted = Transport(protocol="tcp", interleaved=(channel, channel + 1))
        if over_udp:
            wanted = Transport(protocol="udp", delivery="unicast", client_port=(5000, 5001))
        self._call(lambda: self.connection.setup(track, wanted, self.now))

    @precondition(lambda self: self.connection.state is State.READY)
    @rule()
    def play(self) -> None:
        self.ask("play")

    @rule(seconds=st.sampled_from([0.01, 1.0, 9.9, 10.1, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for _ in range(4):  # an answer that did not come is raised; what else is due, at the next call
            due = self.connection.next_timeout()
            if due is None or due > self.now:
                break
            try:
                self.connection.handle_timeout(self.now)
            except RtspkitError as error:
                self.shown.append(str(error))
        else:
            raise AssertionError("something is always due")
        self._read_output()

    # -- the camera ------------------------------------------------------------

    def _reply(self, request: Request, status: str, *headers: str, body: bytes = b"", cseq: str | None = None) -> None:
        number = request.headers.get("CSeq") if cseq is None else cseq
        lines = [f"RTSP/1.0 {status}", f"CSeq: {number}", *headers, f"Content-Length: {len(body)}"]
        message = "\r\n".join([*lines, "", ""]).encode() + body
        self.answered.append(message)
        self.on_the_way += message

    def _answer(self, request: Request, draw: Callable[[Any], Any], cseq: str | None = None) -> None:
        """Says yes, as well or as badly as `draw` has it."""
        headers: list[str] = []
        body = b""
        if request.method == "DESCRIBE":
            body = draw(rs.session_descriptions() | rs.broken_session_descriptions()).data
            headers.append(draw(st.sampled_from(["Content-Type: application/sdp", "Content-Base: rtsp://evil/x/"])))
        elif request.method == "SETUP":
            right = (request.headers.get("Transport") or "") + ";ssrc=0000BEEF"
            lies = (lie(right) for lie in faults.LIES["Transport"].values())
            headers.append(f"Transport: {draw(st.sampled_from([right, right, right, *lies]))}")
            headers.append(f"Session: {draw(rs.session_headers(loose=True)).text}")
        elif request.method == "PLAY":
            headers.append(f"RTP-Info: {draw(rs.rtp_info_headers(loose=True)).text}")
        elif request.method == "OPTIONS":
            headers.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        self._reply(request, "200 OK", *headers, body=body, cseq=cseq)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), cseq=st.sampled_from([None, None, None, "", "99"]))
    def answers(self, data: st.DataObject, cseq: str | None) -> None:
        self._answer(self.asked.pop(0), data.draw, cseq)

    @precondition(lambda self: self.asked)
    @rule(status=st.sampled_from(["404 No", "453 Full", "454 Gone", "457 Range", "461 UDP", "503 Busy", "200 hunter2"]))
    def refuses(self, status: str) -> None:
        self._reply(self.asked.pop(0), status, *(["Session: 7"] if status.startswith("454") else []))

    @precondition(lambda self: self.asked)
    @rule(challenge=st.sampled_from(CHALLENGES), nonce=st.integers(0, 3))
    def wants_credentials(self, challenge: str, nonce: int) -> None:
        self._reply(self.asked.pop(0), "401 Unauthorized", f"WWW-Authenticate: {challenge.format(nonce)}")

    @precondition(lambda self: self.asked)
    @rule(location=st.sampled_from(LOCATIONS), status=st.sampled_from([301, 302, 305]))
    def redirects_to(self, location: str, status: int) -> None:
        self._reply(self.asked.pop(0), f"{status} Moved", f"Location: {location}")

    @precondition(lambda self: self.answered)
    @rule(data=st.data())
    def answers_again(self, data: st.DataObject) -> None:
        self.on_the_way += data.draw(st.sampled_from(self.answered[-3:]))

    @rule(message=rs.rtsp_requests(loose=True) | rs.rtsp_responses(loose=True))
    def says_something(self, message: rs.Wire[Any]) -> None:
        self.on_the_way += message.data

    @rule(channel=st.integers(0, 9), payload=st.binary(max_size=40), times=st.sampled_from([1, 1, 30]))
    def sends_media(self, channel: int, payload: bytes, times: int) -> None:
        self.on_the_way += interleaved_frame(channel, payload) * times

    @rule(data=st.data())
    def sends_what_is_damaged(self, data: st.DataObject) -> None:
        assume(self.on_the_way)
        self.on_the_way = data.draw(rs.damaged(self.on_the_way, max_changes=2))

    # -- the network -----------------------------------------------------------

    @precondition(lambda self: self.on_the_way)
    @rule(size=st.integers(1, 60) | st.just(DELIVERY))
    def delivers(self, size: int) -> None:
        piece, self.on_the_way = self.on_the_way[:size], self.on_the_way[size:]
        self.connection.receive_data(piece, self.now)
        self._take_events()

    def _take_events(self) -> None:
        target = None
        while True:
            try:
                event = self.connection.next_event()
            except LocalProtocolError as error:
                raise AssertionError("a camera's bytes are called the caller's mistake") from error
            except RtspkitError as error:
                self.shown.append(str(error))
                if isinstance(error, RemoteProtocolError):
                    assert self.connection.state in (State.FAILED, State.CLOSED)
                    self.is_broken, self.on_the_way = True, b""
                    break
                continue
            if event is None:
                break
            self.shown.append(repr(event))
            if isinstance(event, Described):
                self.tracks = event.tracks
            elif isinstance(event, SetUp) and event.transport.interleaved is not None:
                self.channels.update(event.transport.interleaved)
            elif isinstance(event, Playing):
                assert self.connection.state is not State.IDLE
            elif isinstance(event, InterleavedData):
                assert event.channel in self.channels
            elif isinstance(event, Redirected):
                target = event.url
        self._read_output()
        if target is not None:
            has_credentials = target.username is not None or target.password is not None
            assert has_credentials == (target.origin == self.connection.url.origin == ORIGIN)
            if self.redirects < LIMITS.redirects:
                self.redirects += 1
                self._begin(Connection(target, limits=LIMITS, memory=self.memory))

    @rule()
    def connects_anew(self) -> None:
        self._begin(Connection(URL, limits=LIMITS, memory=self.memory))

    # -- all three -------------------------------------------------------------

    @initialize(
        data=st.data(),
        steps=st.integers(0, 14),
        challenges=st.lists(st.sampled_from(CHALLENGES), max_size=3),
        location=st.none() | st.none() | st.sampled_from(LOCATIONS),
    )
    def begins(self, data: st.DataObject, steps: int, challenges: list[str], location: str | None) -> None:
        self.challenges, self.location = challenges, location
        assert self.connection.state is State.IDLE
        assert self.connection.next_timeout() is None
        self.goes_well(data, steps)

    @rule(data=st.data(), steps=st.integers(1, 8))
    def goes_well(self, data: st.DataObject, steps: int) -> None:
        """Things take their usual course for a while: far enough, at times, for media."""
        for _ in range(steps):
            if self.on_the_way:
                self.delivers(DELIVERY)
            elif self.asked and self.location is not None:
                self.redirects_to(self.location, 302)
                self.location = None
            elif self.asked and self.challenges and "Authorization" not in dict(self.asked[0].headers):
                self.wants_credentials(self.challenges[self.connections % len(self.challenges)], 0)
            elif self.asked:
                self._answer(self.asked.pop(0), data.draw)
            elif self.connection.state is State.IDLE:
                self.ask("describe")
            elif self.connection.state is State.DESCRIBED and self.tracks:
                self.set_up(data, 0, False)
            elif self.connection.state is State.READY:
                self.ask("play")
            elif self.connection.state is State.PLAYING:
                self.sends_media(data.draw(st.sampled_from(sorted(self.channels) or [0])), b"media", 1)
                self._call(lambda: self.connection.keepalive(self.now))
            elif self.is_broken or self.connection.state is State.CLOSED:
                self.connects_anew()

    # -- what must hold --------------------------------------------------------

    def _read_output(self) -> None:
        """What the caller sends is RTSP, numbered, and has the password in the clear nowhere it should not."""
        output = self.connection.data_to_send()
        assert b"hunter2" not in output
        self.camera.feed(output)
        while (message := self.camera.next()) is not None:
            assert all(character >= " " for _, value in message.headers for character in value)  # type: ignore[union-attr]
            if not isinstance(message, Request):
                continue
            cseq = int(message.headers.get("CSeq") or 0)
            assert cseq > self.last_cseq
            self.last_cseq = cseq
            authorization = message.headers.get("Authorization")
            assert authorization is None or self.connection.url.origin == ORIGIN
            assert re.match(r"rtsps?://[^@]*$", message.uri)
            scheme, _, rest = message.uri.partition("://")
            assert rest.startswith(self.connection.url.address.removesuffix(":554")) or scheme == "rtsps"
            if authorization and authorization.startswith("Digest"):
                self.digest_offered = True
            if authorization == f"Basic {BASIC}":
                assert not self.digest_offered, "the password in the clear, though Digest has been offered"
            self.asked.append(message)
        assert not self.camera.unread
        assert not self.camera.garbage

    @invariant()
    def one_request_waits_at_a_time(self) -> None:
        waiting = self.connection._pending.values()
        assert sum(not pending.keepalive for pending in waiting) <= 1
        assert sum(pending.keepalive for pending in waiting) <= 1
        if waiting:
            assert self.connection.next_timeout() is not None

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert len(self.connection._parser.unread) <= BOUND
        assert len(self.connection._events) == 0, "everything has been taken"

    @invariant()
    def nobody_is_shown_the_password(self) -> None:
        for line in (*self.shown, repr(self.connection), str(self.connection.url)):
            assert "hunter2" not in line.replace("reason='hunter2'", "")
            assert "\n" not in line
        self.shown.clear()


TestConversation = Conversation.TestCase
TestConversation.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
