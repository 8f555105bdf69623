"""Connection: an RTSP/1.0 client that does no I/O.

Strategy, after h11: bytes and the time go in, events and bytes come out, and two tables say which request
is allowed in which state and where its success leads. One request waits for its answer at a time, except
that a keep-alive may be under way beside it. Everything that belongs to one camera is kept here: CSeq,
session, timeout, methods, credentials, base URL, channels. ::

    connection = Connection("rtsp://user:password@camera/stream")
    connection.describe(now)
    while True:
        socket.sendall(connection.data_to_send())
        connection.receive_data(socket.recv(65536), now)
        while (event := connection.next_event()) is not None:  # raises what went wrong
            match event:
                case Described(tracks=tracks):
                    connection.setup(tracks[0], Transport(protocol="tcp", interleaved=(0, 1)), now)
                case SetUp():
                    connection.play(now)
                case Playing():
                    rest = connection.take_trailing_data()  # what came behind the answer

and, at `next_timeout()`, `handle_timeout(now)`, which sends the keep-alives and raises `TimeoutExceeded`
for a request without an answer. After PLAY somebody faster may split off the interleaved frames;
`receive_data` then gets the messages between them.

Nothing a camera sends raises anything but `RtspkitError`; after a `RemoteProtocolError` the stream cannot be
followed any more, after another error the connection goes on. Credentials go to the scheme, host and port
of the URL, and nowhere else; they stand in no request line, event, message or repr.

Specs: RFC 2326; RFC 7826 for what it says more clearly.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from dataclasses import dataclass, replace

from rtspkit._version import __version__
from rtspkit.answers import TransportRefused, free_channels, granted_transport, match_rtp_info
from rtspkit.auth import Authenticator, refusal_text
from rtspkit.control import resolve_base
from rtspkit.errors import (
    AuthenticationError,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    ResponseError,
    TimeoutExceeded,
    UnsupportedError,
)
from rtspkit.events import (
    Described,
    Event,
    KeptAlive,
    OptionsReceived,
    Playing,
    Redirected,
    ServerRequest,
    SetUp,
    TornDown,
)
from rtspkit.formats import MediaTrack, select_tracks
from rtspkit.keepalive import Keepalive
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.memory import CameraMemory
from rtspkit.messages import InterleavedData, Parser, Request, Response, Transport, parse_public, parse_session
from rtspkit.quirks import Quirks
from rtspkit.ranges import parse_range
from rtspkit.sdp import aggregate_url, parse_sdp
from rtspkit.url import CameraURL, parse_url, redirect_url

__all__ = [
    "CameraURL",
    "Connection",
    "Described",
    "Event",
    "InterleavedData",
    "KeptAlive",
    "OptionsReceived",
    "Playing",
    "Redirected",
    "ServerRequest",
    "SetUp",
    "State",
    "TornDown",
    "Transport",
    "parse_url",
]

# -- states --------------------------------------------------------------------


class State(enum.Enum):
    """Where the session stands."""

    IDLE = "idle"
    DESCRIBED = "described"
    READY = "set up"
    PLAYING = "playing"
    ENDING = "ending"
    CLOSED = "closed"
    FAILED = "failed"


_ALLOWED: dict[State, frozenset[str]] = {
    State.IDLE: frozenset({"OPTIONS", "DESCRIBE", "TEARDOWN"}),
    State.DESCRIBED: frozenset({"OPTIONS", "DESCRIBE", "SETUP", "TEARDOWN"}),
    State.READY: frozenset({"OPTIONS", "SETUP", "PLAY", "KEEPALIVE", "TEARDOWN"}),
    State.PLAYING: frozenset({"OPTIONS", "KEEPALIVE", "TEARDOWN"}),
    State.ENDING: frozenset(),
    State.CLOSED: frozenset(),
    # best effort: a camera that broke the protocol still has a session to give back
    State.FAILED: frozenset({"TEARDOWN"}),
}
_NEXT: dict[str, State] = {
    "DESCRIBE": State.DESCRIBED,
    "SETUP": State.READY,
    "PLAY": State.PLAYING,
    "TEARDOWN": State.CLOSED,
}

#: What a camera may ask, and is told yes. OPTIONS and GET_PARAMETER are its own keep-alives.
_ACCEPTED = frozenset({"OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "ANNOUNCE", "PLAY_NOTIFY", "TEARDOWN", "REDIRECT"})
_REDIRECTS = frozenset({301, 302, 303, 305, 307, 308})


@dataclass(slots=True)
class _Pending:
    """A request that waits for its answer."""

    method: str
    uri: str
    headers: tuple[tuple[str, str], ...]
    deadline: float
    keepalive: bool = False
    challenges: int = 0
    track: MediaTrack | None = None
    transport: Transport | None = None


class Connection:
    """One connection to one camera.

    Args:
        url: the camera's; taken apart already, or as text.
        user_agent: what to send as User-Agent; some cameras refuse to talk without one.
        limits: bounds on what the camera may send.
        memory: of this camera; without one nothing is known, and what is learned goes with the connection.

    Attributes:
        url: where it goes; printing it shows no password.
        state: where the session stands.
        methods: what the camera said it can do; empty before an answer to OPTIONS.
        session_id: None before SETUP.
        session_timeout: seconds, as the camera says; None where it does not.
        base_url: of relative control URLs; the request's own before DESCRIBE.
        quirks: what was met so far that is not as it should be, and is put up with: id -> sentence.

    Raises:
        LocalProtocolError: the URL is not one, or the User-Agent has control characters.
    """

    def __init__(
        self,
        url: str | CameraURL,
        *,
        user_agent: str = f"rtspkit/{__version__}",
        limits: Limits = DEFAULT_LIMITS,
        memory: CameraMemory | None = None,
    ) -> None:
        self.url = parse_url(url) if isinstance(url, str) else url
        if re.search(r"[\x00-\x1f\x7f]", user_agent):
            raise LocalProtocolError("the User-Agent has a control character in it")
        self.state = State.IDLE
        self.methods: tuple[str, ...] = ()
        self.session_id: str | None = None
        self.session_timeout: int | None = None
        self.base_url = self.url.request_url
        self.quirks = Quirks()
        self._aggregate_url = self.url.request_url
        self._user_agent = user_agent
        self._limits = limits
        self._memory = CameraMemory() if memory is None else memory
        self._authenticator = Authenticator.of(self.url, self._memory)
        self._authenticated = False
        self._keepalive = Keepalive(self._memory)
        self._parser = Parser(limits=limits, quirks=self.quirks)
        self._output = bytearray()
        self._events: list[Event] = []
        self._now = 0.0
        self._cseq = 0
        self._pending: dict[int, _Pending] = {}
        self._abandoned: deque[int] = deque(maxlen=16)  # their answers may still come
        self._tracks: list[MediaTrack] = []
        self._channels: frozenset[int] = frozenset()  # of the tracks that come interleaved
        self._unknown_bytes = 0
        self._next_keepalive: float | None = None

    def __repr__(self) -> str:
        return f"Connection({str(self.url)!r}, state={self.state.value!r})"

    # -- requests

    def options(self, now: float) -> None:
        """Asks what the camera can do; leads to `OptionsReceived`."""
        self._request("OPTIONS", self.url.request_url, now)

    def describe(self, now: float) -> None:
        """Asks what the camera offers; leads to `Described` or `Redirected`."""
        self._request("DESCRIBE", self.url.request_url, now, (("Accept", "application/sdp"),))

    def setup(self, track: MediaTrack, transport: Transport, now: float) -> None:
        """Asks for one track; leads to `SetUp`, or to a `ResponseError` with status 461.

        After a first one that is refused, DESCRIBE is allowed again: some cameras (Hikvision) want it before
        they are asked for another transport.

        Args:
            track: of `Described`.
            transport: how it is to come: `Transport(protocol="tcp", interleaved=(0, 1))`,
                `Transport(protocol="udp", delivery="unicast", client_port=(5000, 5001))` or
                `Transport(protocol="udp", delivery="multicast")`. The first number is RTP's, the second RTCP's. TCP
                without `interleaved` is given two channels that no other track has.
            now: monotonic seconds.
        """
        if transport.protocol == "tcp":
            channels = transport.interleaved or free_channels(self._channels)
            transport = replace(transport, interleaved=channels)
            if not all(0 <= channel <= 255 for channel in channels):
                raise LocalProtocolError("RTP over TCP needs two channels between 0 and 255")
            if self._channels & set(channels) or channels[0] == channels[1]:
                raise LocalProtocolError(f"channels {channels[0]}-{channels[1]} are in use")
        elif transport.delivery != "multicast" and transport.client_port is None:
            raise LocalProtocolError("RTP over UDP needs two ports to send to")
        pending = self._request("SETUP", track.url, now, (("Transport", transport.to_header()),))
        pending.track, pending.transport = track, transport

    def play(self, now: float) -> None:
        """Asks for the media of all tracks set up; leads to `Playing`."""
        self._request("PLAY", self._aggregate_url, now, (("Range", "npt=0.000-"),))

    def keepalive(self, now: float) -> None:
        """Sends a keep-alive at once; leads to `KeptAlive`. `handle_timeout` does it when one is due."""
        method, url = self._keepalive.request(self.methods, (self._aggregate_url, self.base_url))
        self._request(method, url, now, keepalive=True)
        self._plan_keepalive(now)

    def _plan_keepalive(self, now: float) -> None:
        self._next_keepalive = now + self._keepalive.interval(self.session_timeout)

    def teardown(self, now: float) -> None:
        """Gives the session back; leads to `TornDown`, at once where there is none."""
        self._check("TEARDOWN")
        for cseq in list(self._pending):
            self._abandon(cseq)
        self._next_keepalive = None
        if self.session_id is None and self.state in (State.IDLE, State.DESCRIBED, State.FAILED):
            self.state = State.CLOSED
            self._events.append(TornDown())
            return
        self._request("TEARDOWN", self._aggregate_url, now)
        self.state = State.ENDING

    # -- bytes and time

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Takes bytes off the connection; `next_event` says what they mean."""
        self._now = now
        self._parser.feed(data)

    def data_to_send(self) -> bytes:
        """Gives the bytes that are to be sent, once."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def take_trailing_data(self) -> bytes:
        """Gives the received bytes no event has been made of, once; what follows is to be handed over whole."""
        return self._parser.take_unread()

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due; None while nothing is awaited."""
        times = [pending.deadline for pending in self._pending.values()]
        if self._next_keepalive is not None and self.state in (State.READY, State.PLAYING):
            times.append(self._next_keepalive)
        return min(times, default=None)

    def handle_timeout(self, now: float) -> None:
        """Does what is due: sends a keep-alive, gives an unanswered one up.

        Raises:
            TimeoutExceeded: another request was not answered within `Limits.reply_timeout`.
        """
        self._now = now
        for cseq, pending in list(self._pending.items()):
            if pending.deadline > now:
                continue
            self._abandon(cseq)
            if pending.keepalive:
                self.quirks.note("keepalive-unanswered")
                self._keepalive.failed()
                continue
            if pending.method == "TEARDOWN":
                self.state = State.CLOSED
            seconds = self._limits.reply_timeout
            raise TimeoutExceeded(f"{self.url.address} did not answer {pending.method} within {seconds:g} s")
        due = self._next_keepalive
        if due is not None and due <= now and self.state in (State.READY, State.PLAYING):
            if any(pending.keepalive for pending in self._pending.values()):
                self._plan_keepalive(now)
            else:
                self.keepalive(now)

    def next_event(self) -> Event | None:
        """The next event; None if more bytes are needed.

        Raises:
            RemoteProtocolError: the camera broke the protocol; nothing more can be read.
            AuthenticationError: it refuses the credentials, or wants some.
            ResponseError: it refuses the request.
            UnsupportedError: it offers nothing that can be used.
        """
        while not self._events:
            try:
                message = self._parser.next()
                if message is None:
                    return None
                if isinstance(message, InterleavedData):
                    self._on_data(message)
                elif isinstance(message, Request):
                    self._on_request(message)
                else:
                    self._on_response(message)
            except RemoteProtocolError:
                if self.state is not State.CLOSED:
                    self.state = State.FAILED
                self._pending.clear()
                raise
        return self._events.pop(0)

    # -- sending

    def _check(self, name: str) -> None:
        if name not in _ALLOWED[self.state]:
            raise LocalProtocolError(f"{name} is not allowed while the session is {self.state.value}")

    def _request(
        self,
        method: str,
        uri: str,
        now: float,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        keepalive: bool = False,
    ) -> _Pending:
        self._check("KEEPALIVE" if keepalive else method)
        for other in self._pending.values():
            if other.keepalive is keepalive:
                raise LocalProtocolError(f"{method} while {other.method} waits for its answer")
        pending = _Pending(method, uri, headers, now + self._limits.reply_timeout, keepalive)
        self._send(pending)
        return pending

    def _send(self, pending: _Pending) -> None:
        self._cseq += 1
        lines = [f"{pending.method} {pending.uri} RTSP/1.0", f"CSeq: {self._cseq}", f"User-Agent: {self._user_agent}"]
        if self.session_id is not None:
            lines.append(f"Session: {self.session_id}")
        if self._authenticator is not None:
            value = self._authenticator.authorization(pending.method, pending.uri)
            if value is not None:
                lines.append(f"Authorization: {value}")
        lines += [f"{name}: {value}" for name, value in pending.headers]
        self._output += "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
        self._pending[self._cseq] = pending

    def _abandon(self, cseq: int) -> None:
        del self._pending[cseq]
        self._abandoned.append(cseq)

    # -- receiving

    def _on_data(self, frame: InterleavedData) -> None:
        if frame.channel in self._channels:
            if self.state in (State.READY, State.PLAYING):
                self.quirks.note("early-data", self.state is State.READY)
                self._events.append(frame)
            return
        self.quirks.note("unknown-channels")
        self._unknown_bytes += len(frame.payload)
        if self._unknown_bytes > self._limits.unknown_channel_size:
            raise LimitExceeded(f"{self._unknown_bytes} bytes on channels nobody set up")

    def _on_request(self, request: Request) -> None:
        status, reason = (200, "OK") if request.method in _ACCEPTED else (501, "Not Implemented")
        lines = [f"RTSP/1.0 {status} {reason}"]
        lines += [f"{name}: {value}" for name in ("CSeq", "Session") if (value := request.headers.get(name))]
        self.quirks.note("unknown-request", status != 200)
        if request.method == "OPTIONS":
            lines.append(f"Public: {', '.join(sorted(_ACCEPTED))}")
        self._output += "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
        self._events.append(ServerRequest(request.method, status))

    def _match(self, response: Response) -> _Pending | None:
        """The request that an answer belongs to; None for a late answer to one given up."""
        text = (response.headers.get("CSeq") or "").strip()
        cseq = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
        if cseq in self._pending:
            return self._pending.pop(cseq)
        if cseq in self._abandoned or not self._pending:
            return None
        # missing, empty or wrong (Tapo): it answers what was asked first
        self.quirks.note("cseq")
        return self._pending.pop(min(self._pending))

    def _on_response(self, response: Response) -> None:
        if response.status < 200:
            return
        pending = self._match(response)
        if pending is None:
            return
        if response.status == 401 and self._authenticate(pending, response):
            return
        good = 200 <= response.status < 300
        if good and self._authenticator is not None:
            self._authenticated = self._authenticator.scheme is not None
            self._authenticator.take_info(response.headers.get_all("Authentication-Info"))
        if pending.keepalive:
            self._on_keepalive(response, good)
        elif pending.method == "TEARDOWN":
            self.state = State.CLOSED
            self._events.append(TornDown())
        elif pending.method == "OPTIONS" and response.status != 401 and response.status not in _REDIRECTS:
            if good:
                self.methods = parse_public(response.headers.get_all("Public") or response.headers.get_all("Allow"))
            self.quirks.note("options-refused", not good)
            self._events.append(OptionsReceived(self.methods))
        elif response.status in _REDIRECTS:
            self._on_redirect(pending, response)
        elif pending.method == "PLAY" and response.status == 457 and pending.headers:
            # Invalid Range: a live camera that knows no start
            self.quirks.note("range-refused")
            pending.headers = ()
            self._send(pending)
        elif not good:
            raise self._refusal(pending, response)
        else:
            self._on_success(pending, response)

    def _on_keepalive(self, response: Response, good: bool) -> None:
        self._read_session(response)
        if good:
            self._keepalive.succeeded()
        else:
            self.quirks.note("keepalive-refused")
            self._keepalive.failed()
        self._events.append(KeptAlive(response.status))

    def _on_success(self, pending: _Pending, response: Response) -> None:
        if pending.method == "DESCRIBE":
            self._on_description(response)
        elif pending.method == "SETUP":
            self._on_setup(pending, response)
        else:
            self._read_session(response)
            self._plan_keepalive(self._now)
            rtp_info = match_rtp_info(self._tracks, response.headers.get("RTP-Info"), self.quirks)
            self._events.append(Playing(rtp_info, parse_range(response.headers.get("Range") or "")))
        self.state = _NEXT[pending.method]

    def _on_description(self, response: Response) -> None:
        if not response.body:
            raise RemoteProtocolError(f"{self.url.address} answered DESCRIBE without a description")
        limits, quirks, headers = self._limits, self.quirks, response.headers
        quirks.note("content-type-missing", "sdp" not in (headers.get("Content-Type") or "").lower())
        description = parse_sdp(response.body, limits=limits, quirks=quirks)
        content_base = headers.get("Content-Base") or headers.get("Content-Location")
        request_url = self.url.request_url
        tracks, skipped = select_tracks(description, request_url, content_base, limits=limits, quirks=quirks)
        self.base_url = resolve_base(self.url.request_url, content_base)
        self._aggregate_url = aggregate_url(description, self.base_url)
        self._keepalive = Keepalive(self._memory)  # with these URLs
        self._events.append(Described(description, tracks, skipped))

    def _on_setup(self, pending: _Pending, response: Response) -> None:
        wanted = pending.transport
        assert pending.track is not None
        assert wanted is not None
        self._read_session(response)
        headers = response.headers.get_all("Transport")
        try:
            transport = granted_transport(pending.track, wanted, headers, self._channels, self.quirks)
        except TransportRefused as refused:
            text = f"{self.url.address} insists on {refused}"
            if wanted.protocol == "tcp":
                raise UnsupportedError(f"{text}; only plain RTP over TCP can be used here") from None
            raise ResponseError(text, status=461, reason=self.url.printable(response.reason), method="SETUP") from None
        self._plan_keepalive(self._now)
        self._tracks.append(pending.track)
        self._channels |= set(transport.interleaved or ())
        self._parser.channels = self._channels
        self._events.append(SetUp(pending.track, transport, transport.ssrc))

    def _read_session(self, response: Response) -> None:
        """Takes over the session's timeout, and its identifier where there is none yet.

        H264DVR changes the identifier from SETUP to SETUP and goes on with the first.
        """
        text = response.headers.get("Session") or ""
        session = parse_session(text)
        if session is None:
            return
        if self.session_id is None:
            self.session_id = session.id
        self.quirks.note("session-changes", session.id != self.session_id)
        if session.timeout is not None:
            self.session_timeout = session.timeout
        else:
            self.quirks.note("session-timeout", "timeout" in text.lower())

    def _forget_session(self) -> None:
        """The camera does not know it (any more): SETUP may begin another."""
        self.session_id = self.session_timeout = self._next_keepalive = None
        self._tracks.clear()
        self._channels = self._parser.channels = frozenset()
        self.state = State.DESCRIBED

    # -- refusals

    def _authenticate(self, pending: _Pending, response: Response) -> bool:
        """Sends the request again with (better) credentials; False if that makes no sense."""
        pending.challenges += 1
        authenticator = self._authenticator
        if authenticator is None or not authenticator.challenge(response.headers.get_all("WWW-Authenticate")):
            return False
        if authenticator.digest_known:
            self._memory.digest_origins.add(self.url.origin)
        if pending.challenges > (2 if authenticator.stale else 1):
            return False
        self.quirks.note("nonce-renewed", self._authenticated)
        self.quirks.note("basic-in-clear", authenticator.scheme == "Basic" and not self.url.is_secure)
        self._send(pending)
        return True

    def _on_redirect(self, pending: _Pending, response: Response) -> None:
        location = (response.headers.get("Location") or "").strip()
        try:
            target = redirect_url(self.url, location)
        except LocalProtocolError as error:
            raise self._refusal(pending, response, f", and where to go is of no use: {error}") from None
        self._events.append(Redirected(target))

    def _refusal(self, pending: _Pending, response: Response, advice: str = "") -> ResponseError:
        reason = self.url.printable(response.reason)
        address, method, status = self.url.address, pending.method, response.status
        if status == 401:
            text = refusal_text(self.url, self._authenticator)
            return AuthenticationError(text, status=status, reason=reason, method=method)
        if pending.transport is not None:
            # not only 461: the word tells
            if re.search(r"(?i)transport|\budp\b|multicast", reason):
                status = 461
            if status == 461:
                advice = f"; it does not offer {_transport_name(pending.transport)}"
        if status == 404:
            advice = "; there is no such stream"
        elif status in {453, 503}:
            advice = "; it has no room for one more session now"
        elif status == 403:  # Dahua: the credentials are right, but it has as many users as it can have
            advice = "; it has no room for one more session now, or this user may not watch it"
        if status == 454 and method in {"SETUP", "PLAY"}:
            self._forget_session()
            advice = "; the session is over"
        text = f"{address} refuses {method}: {response.status} {reason}".rstrip() + advice
        return ResponseError(text, status=status, reason=reason, method=method)


def _transport_name(transport: Transport) -> str:
    if transport.delivery == "multicast":
        return "multicast"
    return f"RTP over {transport.protocol.upper()}"
