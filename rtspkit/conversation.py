"""The conversation with a camera before its media: ask, wait for the answer, ask the next.

A thin thing between an `rtsp.Connection`, which knows what is said, and a `Link`, which carries it. It settles
what carries the media, and keeps those that come before the answer to PLAY, for some cameras begin early.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from rtspkit.datagrams import Datagrams
from rtspkit.errors import AuthenticationError, ConnectionLost, ResponseError, RtspkitError, UnsupportedError
from rtspkit.formats import MediaTrack
from rtspkit.health import HealthMonitor
from rtspkit.links import Link, Tap, reason_text
from rtspkit.memory import CameraMemory, LowerTransport
from rtspkit.options import CameraOptions
from rtspkit.rtsp import (
    CameraURL,
    Connection,
    Described,
    Event,
    InterleavedData,
    OptionsReceived,
    Playing,
    Redirected,
    ServerRequest,
    SetUp,
    Transport,
)

__all__ = ["NO_SESSION", "Conversation", "Opened", "Redirect", "first_transport", "remember"]

#: Bytes of media kept that come before the answer to PLAY.
_EARLY_SIZE = 4 * 1024 * 1024
#: How TLS says that it did not understand (RFC 8446, 5.1): a record of alerts, of version 3.
_TLS_ALERT = b"\x15\x03"
#: Refusals of SETUP that say nothing against the transport.
_NOT_THE_TRANSPORT = frozenset({403, 404, 453, 454, 503})
#: The status of an answer to a session that the camera does not know.
NO_SESSION = 454
_NO_SUCH_TRANSPORT = 461

_E = TypeVar("_E", bound=Event)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that plays.

    Attributes:
        set_up: the tracks, in the order of their index.
        skipped: what the camera offers and is not received.
        playing: the answer to PLAY.
        early: interleaved frames that came among the answers, whole, in their order.
    """

    set_up: tuple[SetUp, ...]
    skipped: tuple[str, ...]
    playing: Playing
    early: tuple[bytes, ...]


class Redirect(Exception):
    """Not an error: where to go on."""

    def __init__(self, url: CameraURL) -> None:
        self.url = url


def first_transport(url: CameraURL, options: CameraOptions, memory: CameraMemory) -> LowerTransport:
    """What to ask the camera for first."""
    if url.is_secure or url.is_tunnel:  # whoever wants these wants the media in them
        return "tcp"
    if options.transport != "automatic":
        return options.transport
    return memory.transport or "udp"


def remember(memory: CameraMemory, transport: LowerTransport | None, reason: str = "") -> None:
    """What is to be asked for next time, None for UDP first; and why it is TCP."""
    memory.transport, memory.transport_reason = transport, reason


def _in_order(tracks: Sequence[MediaTrack]) -> tuple[MediaTrack, ...]:
    """The video first, so that a camera that is back has the same tracks: go2rtc changes their order each time."""
    return tuple(sorted(tracks, key=lambda media: media.track.kind != "video"))


class Conversation:
    """Says what `connection` has to say over `link`, and waits.

    Attributes:
        transport: what is to carry the media; TCP once the camera would not have another.
        datagrams: the UDP sockets, where it is not TCP; they are the caller's to close.
    """

    def __init__(
        self,
        connection: Connection,
        link: Link,
        *,
        options: CameraOptions,
        memory: CameraMemory,
        monitor: HealthMonitor,
        tap: Tap | None = None,
    ) -> None:
        self.transport: LowerTransport = "tcp"
        self.datagrams: Datagrams | None = None
        self._connection = connection
        self._link = link
        self._options = options
        self._memory = memory
        self._monitor = monitor
        self._tap = tap
        self._offered: tuple[MediaTrack, ...] = ()
        self._is_answered = False  # something has come from the camera
        self._early: list[bytes] = []
        self._early_size = 0

    async def open(self, transport: LowerTransport) -> Opened:
        """Everything up to the answer to PLAY: OPTIONS, DESCRIBE, SETUP of each track.

        Args:
            transport: to ask for.

        Raises:
            Redirect: the camera wants to be asked elsewhere.
            RtspkitError: it cannot be used; see `wait_for`.
        """
        connection, link = self._connection, self._link
        self.transport = transport
        if transport != "tcp":
            self.datagrams = Datagrams(link.local_host, link.remote_host, self._options, self._tap)
        connection.options(time.monotonic())
        await self.wait_for(OptionsReceived)
        connection.describe(time.monotonic())
        described = await self.wait_for(Described)
        self._monitor.reached("describe", time.monotonic_ns())
        skipped = described.skipped
        self._offered = _in_order(described.tracks)
        set_up: list[SetUp] = []
        for place, media in enumerate(self._offered):
            try:
                set_up.append(await self._set_up(place, len(set_up)))
            except AuthenticationError:
                raise
            except ResponseError as error:
                # without a session, or without room for the first (and better) of them, there is no use in the others
                is_over = error.status == NO_SESSION or (error.is_busy and not set_up)
                if is_over or (not set_up and place == len(self._offered) - 1):
                    raise
                skipped += (f"track {media.media.index + 1} ({media.track.codec}, refused by the camera)",)
        if self.datagrams is not None:
            self.datagrams.punch()
        connection.play(time.monotonic())
        playing = await self.wait_for(Playing)
        self._monitor.reached("play", time.monotonic_ns())
        return Opened(tuple(set_up), skipped, playing, tuple(self._early))

    async def _set_up(self, place: int, index: int) -> SetUp:
        """SETUP of the track in that place of the description; it gets that index."""
        connection = self._connection
        if self.datagrams is not None:
            answer = await self._set_up_datagrams(self.datagrams, self._offered[place], index)
            if answer is not None:
                return answer
            connection.describe(time.monotonic())  # Hikvision wants to be asked again
            again = await self.wait_for(Described)
            if len(again.tracks) == len(self._offered):
                self._offered = _in_order(again.tracks)  # some put a token into each URL that is good once
        media = self._offered[place]
        connection.setup(media, Transport(protocol="tcp"), time.monotonic())  # go2rtc takes others than are asked for
        try:
            return await self.wait_for(SetUp)
        except (ResponseError, UnsupportedError) as error:
            if not index and getattr(error, "status", _NO_SUCH_TRANSPORT) == _NO_SUCH_TRANSPORT:
                remember(self._memory, None)  # one that was slow over UDP, once, is asked for it again
            raise

    async def _set_up_datagrams(self, datagrams: Datagrams, media: MediaTrack, index: int) -> SetUp | None:
        """SETUP over UDP; None where the camera refuses it and may be asked for TCP."""
        wanted = Transport(protocol="udp", delivery="multicast")
        if self.transport == "udp":
            wanted = Transport(protocol="udp", delivery="unicast", client_port=datagrams.open(index))
        self._connection.setup(media, wanted, time.monotonic())
        is_settled = self._options.transport != "automatic"
        try:
            answer = await self.wait_for(SetUp)
        except AuthenticationError:
            raise
        except ResponseError as error:
            datagrams.close_track(index)
            if index or is_settled or error.status in _NOT_THE_TRANSPORT:
                raise
            self._fall_back(f"the camera refuses UDP: {error.status} {error.reason}".rstrip())
            return None
        if answer.transport.protocol == "udp":
            datagrams.connect(index, answer.transport)
            return answer
        datagrams.close_track(index)
        if is_settled:
            address = self._connection.url.address
            raise UnsupportedError(f"{address} insists on RTP over TCP, and {self.transport} was asked for")
        if not index:
            self._fall_back("the camera insists on TCP")
        return answer

    def _fall_back(self, reason: str) -> None:
        """It is TCP from now on, and for later connections."""
        self.transport = "tcp"
        self.datagrams = None
        remember(self._memory, "tcp", reason)

    async def wait_for(self, wanted: type[_E]) -> _E:
        """Sends what is due and reads until the event comes.

        Raises:
            Redirect: the camera wants to be asked elsewhere.
            ConnectionLost: it hangs up, or ends the session.
            RtspkitError: it refuses, does not answer, or speaks no RTSP.
        """
        connection, link = self._connection, self._link
        address = connection.url.address
        while True:
            while (event := connection.next_event()) is not None:
                if isinstance(event, wanted):
                    return event
                self._on_event(event)
            try:
                due = connection.next_timeout()
                link.send(connection.data_to_send())
                async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                    data = await link.receive()
            except RtspkitError:  # some are OSErrors too
                raise
            except TimeoutError as error:
                if error.errno is not None:  # the system's own: the connection is dead
                    raise ConnectionLost(
                        f"{address} dropped the connection: {reason_text(error)}{self._hint}"
                    ) from None
                connection.handle_timeout(time.monotonic())
                continue
            except OSError as error:
                raise ConnectionLost(f"{address} dropped the connection: {reason_text(error)}{self._hint}") from None
            if not data:
                raise ConnectionLost(f"{address} closed the connection before its media began{self._hint}")
            if not self._is_answered and data.startswith(_TLS_ALERT):
                raise ConnectionLost(f"{address} speaks TLS: use rtsps:// instead of rtsp://")
            self._is_answered = True
            connection.receive_data(data, time.monotonic())

    @property
    def _hint(self) -> str:
        """What to try where not a word came back."""
        url = self._connection.url
        if self._is_answered or url.is_secure or url.is_tunnel:
            return ""
        return "; if it wants TLS there, use rtsps:// instead of rtsp://"

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Redirected):
            raise Redirect(event.url)
        if isinstance(event, InterleavedData):
            self._early_size += len(event.payload)
            if self._early_size <= _EARLY_SIZE:
                header = bytes((0x24, event.channel)) + len(event.payload).to_bytes(2, "big")
                self._early.append(header + event.payload)
        elif isinstance(event, ServerRequest) and event.method in {"TEARDOWN", "REDIRECT"}:
            raise ConnectionLost(f"{self._connection.url.address} ended the session ({event.method})")
