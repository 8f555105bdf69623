"""The asyncio shell of the camera side: a `Link`, an `rtsp.Connection` over it, and an `rtp.Receiver`.

Signalling is a conversation: send, wait, take the event. After PLAY the link belongs to whoever reads the
media: the shared `Ticker` (the gateway: `Camera.stream`), or the loop, when there is something to read (the
library: ``async for unit in camera``). Both put the same bytes through the same receiver, which hands RTSP
messages back up. One timer a camera looks after keep-alives, receiver reports and silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace

from rtspkit.clocks import TrackClocks
from rtspkit.codecs import unit_ticks
from rtspkit.conversation import NO_SESSION, Conversation, Opened, Redirect, first_transport, remember
from rtspkit.datagrams import Datagrams, PortsUsedUp
from rtspkit.dial import dial
from rtspkit.errors import (
    AuthenticationError,
    ConnectionLost,
    LocalProtocolError,
    ResponseError,
    RtspkitError,
    TimeoutExceeded,
)
from rtspkit.health import CameraHealth, HealthMonitor
from rtspkit.links import Link, Tap, reason_text
from rtspkit.liveness import Liveness
from rtspkit.media import AccessUnit, Fragment, Track
from rtspkit.memory import CameraMemory, LowerTransport
from rtspkit.options import CameraOptions
from rtspkit.ranges import MediaRange
from rtspkit.reports import Reports
from rtspkit.rtp import (
    Receiver,
    TrackStats,
    picture_loss_indication,
    track_stats,
)
from rtspkit.rtsp import (
    CameraURL,
    Connection,
    KeptAlive,
    Redirected,
    ServerRequest,
    TornDown,
    parse_url,
)
from rtspkit.ticker import Ticker
from rtspkit.units import Units

__all__ = ["Camera", "CameraOptions", "CameraStats", "connect"]

#: Seconds between two looks at the counters, for the rates of `Camera.health`.
_LOOK_INTERVAL = 5.0
#: Seconds between two requests for a sync sample while pictures are left out: sync samples are large, and a network
#: that loses packets loses more of them.
_SYNC_INTERVAL = 2.0
#: Seconds a camera has to answer TEARDOWN before the socket is closed all the same.
_TEARDOWN_TIMEOUT = 0.5


@dataclass(frozen=True, slots=True)
class CameraStats:
    """What one connection to a camera has seen.

    Attributes:
        bytes_received: all bytes after PLAY.
        resyncs: how often garbage was skipped between messages.
        unknown_bytes: bytes on channels that were never set up.
        tracks: the counters of each track, by index.
    """

    bytes_received: int
    resyncs: int
    unknown_bytes: int
    tracks: tuple[TrackStats, ...]

    @property
    def packets_lost(self) -> int:
        """RTP packets missing, on all tracks."""
        return sum(track.lost for track in self.tracks)

    @property
    def errors(self) -> int:
        """Packets that contradict themselves and units that came damaged, on all tracks."""
        return sum(track.broken + track.damaged_units for track in self.tracks)


async def connect(
    url: str | CameraURL,
    *,
    options: CameraOptions | None = None,
    ticker: Ticker | None = None,
    memory: CameraMemory | None = None,
    tap: Tap | None = None,
) -> Camera:
    """Connects to a camera and starts its media: OPTIONS, DESCRIBE, SETUP for each track, PLAY.

    Args:
        url: ``rtsp://user:password@host:port/path``; the credentials go to that host and port only.
        options: bounds and timeouts.
        ticker: drains the camera together with others in `Camera.stream`; None: one of its own.
        memory: what is known of this camera from earlier connections, to be kept for the next; None: nothing.
        tap: hears all bytes of the connection.

    Returns:
        The camera; its media wait to be read by `Camera.stream` or ``async for``. Close it.

    Raises:
        ConnectionLost: it cannot be reached, or hangs up.
        TimeoutExceeded: it does not answer.
        AuthenticationError: it refuses the credentials.
        ResponseError: it refuses a request.
        RemoteProtocolError: what it answers is not RTSP.
        UnsupportedError: it offers nothing this package can use.
    """
    options = options or CameraOptions()
    memory = memory or CameraMemory()
    target = first = parse_url(url) if isinstance(url, str) else url
    started = time.monotonic_ns()
    for _ in range(options.limits.redirects + 1):
        camera = Camera(target, options, ticker, memory, started)
        try:
            if not await camera._start_first_choice(tap):
                await camera.close()
                camera = Camera(target, options, ticker, memory, started)
                await camera._start("tcp", tap)
        except Redirect as redirect:
            await camera.close()
            if redirect.url.host != target.host and not options.allow_redirect_hosts:
                elsewhere = redirect.url.address
                raise ResponseError(
                    f"{target.address} redirects to another host, {elsewhere}; use that as the source, or allow it "
                    "(allowRedirectHosts)"
                ) from None
            target = redirect.url
        except AuthenticationError as error:
            await camera.close()
            if target.username is not None or first.username is None:
                raise
            text = f"{first.address} redirects to {target.address}, which asks for a user name and a password"
            text += f": those for {first.address} do not go there"
            raise AuthenticationError(text, status=error.status, reason=error.reason, method=error.method) from None
        except BaseException:
            await camera.close()
            raise
        else:
            return camera
    raise ResponseError(f"{target.address} redirects more than {options.limits.redirects} times")


class Camera:
    """One session with one camera, from DESCRIBE to TEARDOWN. Made by `connect`.

    Attributes:
        url: printing it shows no password.
        tracks: what is received, by index, with the parameters in force.
        skipped: what is not, such as "track 2 (MPA, choose AAC, Opus or G.711)".
        local_address, remote_address: "host:port" of the two ends of the RTSP connection.
        transport: what carries the media.
        range: what is played, as far as the camera says; it has an end where it is a recording, and no camera.
        warnings: what whoever runs this should know: a receive buffer too small, for one.
    """

    def __init__(
        self, url: CameraURL, options: CameraOptions, ticker: Ticker | None, memory: CameraMemory, started: int
    ) -> None:
        self.url = url
        self.tracks: tuple[Track, ...] = ()
        self.skipped: tuple[str, ...] = ()
        self.local_address = self.remote_address = ""
        self.transport: LowerTransport = "tcp"
        self.range: MediaRange | None = None
        self.warnings: tuple[str, ...] = ()
        self._options = options
        self._limits = options.limits
        self._memory = memory
        self._monitor = HealthMonitor(started)
        self._connection = Connection(url, limits=options.limits, memory=memory)
        self._receiver = Receiver(
            fragment_duration=options.fragment_duration,
            low_latency=options.low_latency,
            limits=options.limits,
            loss_policy=options.loss_policy,
        )
        self._ticker = ticker
        self._link: Link | None = None
        self._datagrams: Datagrams | None = None
        self._units: deque[AccessUnit] = deque()  # have come and were not asked for yet
        self._on_fragment: Callable[[Fragment], None] | None = None
        self._is_streamed = False  # a ticker reads
        self._paused = False  # the reader is behind, so nothing is read
        self._sync_asked = -math.inf  # when a sync sample was last asked for because of a loss
        self._ended: asyncio.Future[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._channels: tuple[tuple[int, int] | None, ...] = ()  # of each track; None: it comes over UDP
        self._ssrc = secrets.randbits(32)
        self._reports = Reports(self._receiver, self._ssrc)
        self._liveness = Liveness(options.limits.media_timeout)
        self._clocks = TrackClocks(())

    @property
    def session_id(self) -> str | None:
        """What the camera calls this session."""
        return self._connection.session_id

    def stats(self) -> CameraStats:
        """The counters of this connection."""
        receiver = self._receiver
        tracks = tuple(track_stats(receiver, track.index) for track in self.tracks)
        return CameraStats(receiver.bytes_received, receiver.resyncs, receiver.unknown_bytes, tracks)

    def health(self) -> CameraHealth:
        """How the camera is: loss, jitter, clocks, rates, sync samples, timings."""
        memory = self._memory
        return self._monitor.health(
            time.monotonic_ns(),
            self._receiver,
            self.tracks,
            transport=self.transport,
            reconnects=memory.reconnects,
            last_error=memory.last_error,
            quirks=tuple(self.quirks),
        )

    @property
    def quirks(self) -> Mapping[str, str]:
        """What it gets wrong in SDP and RTSP and is put up with: id -> one sentence."""
        return self._connection.quirks

    def track_quirks(self, index: int) -> tuple[str, ...]:
        """What it gets wrong in the media of the track with that index: ids of `rtspkit.quirks.SENTENCES`."""
        return self._monitor.quirks(self._receiver, index)

    def cut_at(self, pts: int) -> None:
        """Where the next fragment should end: a pts of the leading track (video, where there is any).

        Of use with `CameraOptions.low_latency` only, and for one fragment: `Muxer.next_cut` says the next.
        """
        self._receiver.cut_at(pts)

    def set_latency(self, fragment_duration: float, *, low_latency: bool, ticker: Ticker | None) -> None:
        """How soon `stream` hands media over from now on; what has come so far stays for the next fragment.

        Args:
            fragment_duration, low_latency: as in `CameraOptions`.
            ticker: drains the camera together with others; None: one of its own.
        """
        self._receiver.set_latency(fragment_duration, low_latency)
        self._ticker = ticker
        if self._is_streamed:
            self._read_by_ticker()

    def flush(self) -> None:
        """Hands over the units that are whole, though their fragment is not, for nothing may follow to end it."""
        self._receiver.flush()
        self._on_ready()

    def request_sync(self) -> None:
        """Asks the camera for a sync sample of its video (RTCP); it may not know how."""
        for track in self.tracks:
            source = track_stats(self._receiver, track.index).ssrc
            if track.kind == "video" and source:
                self._send_rtcp(track.index, picture_loss_indication(reporter=self._ssrc, source=source))
                return

    # -- signalling -----------------------------------------------------------

    async def _start(self, transport: LowerTransport, tap: Tap | None) -> None:
        """The conversation up to PLAY.

        Args:
            transport: to ask for; what comes of it stands in `transport`.
            tap: hears everything.
        """
        self._link = link = await dial(self.url, self._options, self._memory, tap)
        self.local_address, self.remote_address = link.local_address, link.remote_address
        self._monitor.reached("connect", time.monotonic_ns())
        conversation = Conversation(
            self._connection, link, options=self._options, memory=self._memory, monitor=self._monitor, tap=tap
        )
        try:
            opened = await conversation.open(transport)
        finally:
            self._datagrams = conversation.datagrams
        self.transport, self.skipped, self.range = conversation.transport, opened.skipped, opened.playing.range
        if self._datagrams is not None and self._datagrams.shortfall:
            self.warnings += (self._datagrams.shortfall,)
        self._begin(opened)

    async def _start_first_choice(self, tap: Tap | None) -> bool:
        """The conversation, with the transport that is to be asked for first; False if it has to be TCP after all."""
        try:
            await self._start(first_transport(self.url, self._options, self._memory), tap)
        except PortsUsedUp as error:
            if self._options.transport != "automatic":
                raise
            remember(self._memory, None if error.passes else "tcp", str(error))
            return False
        return await self._has_media_over_udp()

    async def _has_media_over_udp(self) -> bool:
        """Waits for the first packet where the transport may yet be another; False if none comes."""
        if self._options.transport != "automatic" or self.transport != "udp":
            return True
        link, receiver = self._link, self._receiver
        assert link is not None
        told = asyncio.Event()

        def on_packets() -> None:
            if receiver.media_arrival or link.lost is not None:
                told.set()

        self._read(on_packets, Ticker(0.01) if self._ticker is None else self._ticker, eager=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.udp_timeout):
                await told.wait()
        self._stop_reading()
        if receiver.media_arrival:
            remember(self._memory, "udp")
            return True
        if link.lost is None:  # else it may be for another reason, and is to be found out the next time
            reason = f"no media came over UDP within {self._limits.udp_timeout:g} s"
            if any(track_stats(receiver, track.index).foreign for track in self.tracks):
                reason += ", only packets from another port or address than the camera has named"
            remember(self._memory, "tcp", reason)
        return False

    def _begin(self, opened: Opened) -> None:
        """Hands the stream over to the receiver, from the byte on where the answer to PLAY ended."""
        times = [info.rtptime if info is not None else None for info in opened.playing.rtp_info]
        if None in times:
            times = [None] * len(times)  # one alone would set the tracks apart
        self.tracks = tuple(replace(answer.track.track, index=index) for index, answer in enumerate(opened.set_up))
        self._channels = tuple(answer.transport.interleaved for answer in opened.set_up)
        for track, answer, channels, origin in zip(self.tracks, opened.set_up, self._channels, times, strict=True):
            media = answer.track
            self._receiver.add_track(
                track,
                payload_type=media.payload_type,
                channels=channels,
                origin=origin,
                unit_ticks=unit_ticks(track) or 1,
                **media.packing,
            )
        self._reports.begin(len(opened.set_up), time.monotonic())
        self._clocks = TrackClocks(self.tracks)
        self._liveness.restart(time.monotonic())
        now = time.monotonic_ns()
        for frame in opened.early:
            self._receiver.feed(frame, now)
        self._receiver.feed(self._connection.take_trailing_data(), now)

    # -- media ----------------------------------------------------------------

    async def stream(self, on_fragment: Callable[[Fragment], None]) -> None:
        """Hands over media until the camera is lost or `close` is called.

        Args:
            on_fragment: called from within the tick with each fragment; it must not raise.

        Raises:
            ConnectionLost: the camera hung up.
            TimeoutExceeded: no media came for `Limits.media_timeout`.
            RemoteProtocolError: what it sends cannot be followed any more.
        """
        ended = self._claim(on_fragment)
        self._is_streamed = True
        self._read_by_ticker()
        try:
            await ended
        finally:
            self._is_streamed = False
            self._stop_reading()
            self._finish()
            self._release()

    def __aiter__(self) -> AsyncIterator[AccessUnit]:
        """The access units of all tracks as they become whole, in the order of their arrival.

        Ends when the camera is closed; raises what `stream` raises when it is lost. Where the reader does
        not keep up, the camera is no longer read, and TCP holds it back. Who leaves the loop, or cancels a
        wait for the next unit, loses nothing: another loop goes on from there.

        Raises:
            LocalProtocolError: with the first unit: somebody reads this camera already.
        """
        return Units(self)

    def _claim(self, on_fragment: Callable[[Fragment], None]) -> asyncio.Future[None]:
        """Makes the caller the one who reads this camera; what tells it when to stop."""
        if self._link is None:
            raise ConnectionLost(f"the session with {self.url.address} is closed")
        if self._on_fragment is not None:
            raise LocalProtocolError("this camera is being read already")
        self._on_fragment = on_fragment
        self._ended = asyncio.get_running_loop().create_future()
        self._liveness.restart(time.monotonic())
        self._on_ready()
        self._attend()
        return self._ended

    def _read_by_ticker(self) -> None:
        self._read(self._on_ready, Ticker() if self._ticker is None else self._ticker)  # an empty one is false

    def _read(self, on_bytes: Callable[[], None], ticker: Ticker | None, *, eager: bool = False) -> None:
        """Everything that comes goes to the receiver, until `_stop_reading`; `eager`: each read of UDP is told, too."""
        self._stop_reading()
        self._paused = False
        if self._link is not None:
            self._link.start(self._receiver, on_bytes, ticker)
        if self._datagrams is not None:
            shared = Ticker(0.01) if ticker is None else ticker
            self._datagrams.start(self._receiver, on_bytes, shared, eager=eager or ticker is None)

    def _pause(self) -> None:
        """Nobody takes what comes: the camera is not read until `_read`."""
        self._paused = True
        self._stop_reading()

    def _stop_reading(self) -> None:
        if self._link is not None:
            self._link.stop()
        if self._datagrams is not None:
            self._datagrams.stop()

    def _release(self) -> None:
        self._on_fragment = None
        self._paused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, error: RtspkitError | None) -> None:
        if self._ended is not None and not self._ended.done():
            if error is None:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(error)
                self._ended.exception()  # whoever reads it gets it; nobody reading is no fault

    def _on_ready(self) -> None:
        """Takes what the receiver has: fragments, messages, RTCP, the end."""
        receiver = self._receiver
        if self._ended is None or self._ended.done():
            return
        self._hand_over()
        if messages := receiver.take_messages():
            self._converse(messages)
        for index, packet in receiver.take_rtcp():
            self._on_rtcp(index, packet)
        if receiver.awaits_sync and (now := time.monotonic()) - self._sync_asked >= _SYNC_INTERVAL:
            self._sync_asked = now
            self.request_sync()
        if receiver.error is not None:
            self._end(receiver.error)
        elif self._link is not None and self._link.lost is not None:
            self._end(ConnectionLost(f"{self.url.address} {self._link.lost}"))

    def _converse(self, messages: list[bytes]) -> None:
        """Takes RTSP messages that came among the media, and answers."""
        try:
            for message in messages:
                self._connection.receive_data(message, time.monotonic())
                self._take_events()
        except RtspkitError as error:
            self._end(error)
        self._send()

    def _hand_over(self) -> None:
        while fragments := self._receiver.take_fragments():  # one may be cut while another is taken: `cut_at`
            for fragment in fragments:
                self.tracks = fragment.tracks
                if self._on_fragment is not None:
                    self._on_fragment(fragment)

    def _finish(self) -> None:
        """The stream has ended, whatever the reason: what has arrived is handed over."""
        self._receiver.finish()
        self._hand_over()

    def _take_events(self) -> None:
        while (event := self._connection.next_event()) is not None:
            if isinstance(event, (Redirected, ServerRequest)):
                self._on_session_event(event)
            elif isinstance(event, KeptAlive) and event.status == NO_SESSION:
                self._liveness.bye(time.monotonic(), f"{NO_SESSION} to a keep-alive")

    def _on_session_event(self, event: Redirected | ServerRequest) -> None:
        method = event.method if isinstance(event, ServerRequest) else "REDIRECT"
        if method in {"TEARDOWN", "REDIRECT"}:
            raise ConnectionLost(f"{self.url.address} ended the session ({method})")

    def _on_rtcp(self, index: int, packet: bytes) -> None:
        news = self._reports.take(index, packet, now=time.monotonic())
        for report in news.sender_reports:
            now, wall = time.monotonic_ns(), time.time()
            self._monitor.sender_report(self.tracks[index], report, now, wall)
            self._clocks.report(self._receiver, index, report, now, wall)
        if news.is_bye:
            self._liveness.bye(time.monotonic())
            self._attend()

    # -- the camera's timer ---------------------------------------------------

    def _attend(self) -> None:
        """Does what is due - keep-alive, receiver report, giving up a silent camera - and waits for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ended is None or self._ended.done():
            return
        now = time.monotonic()
        due = self._connection.next_timeout()
        if due is not None and due <= now:
            try:
                self._connection.handle_timeout(now)
            except TimeoutExceeded as error:
                self._end(error)
                return
            due = self._connection.next_timeout()
        self._monitor.observe(time.monotonic_ns(), self._receiver, self.tracks)
        self._clocks.observe(self._receiver, time.monotonic_ns())
        if self._reports.due <= now:
            self._report(now)
        arrival = self._last_media()
        verdict = self._liveness.verdict(now, arrival, is_paused=self._paused)
        if verdict == "bye":
            self._end(ConnectionLost(f"{self.url.address} ended the session ({self._liveness.how})"))
            return
        if verdict == "silent":
            self._end(TimeoutExceeded(self._silence(arrival)))
            return
        self._send()
        wait = min(now + _LOOK_INTERVAL, self._reports.due, self._liveness.due, due or math.inf) - now
        self._timer = asyncio.get_running_loop().call_later(max(wait, 0.01), self._attend)

    def _last_media(self) -> float:
        """When the last packet came that counts, in monotonic seconds; 0 before the first.

        Where there is video, sound does not count: encoders hang while the microphone goes on.
        """
        seen = [track_stats(self._receiver, track.index) for track in self.tracks if track.kind == "video"]
        return (max(stats.arrival for stats in seen) if seen else self._receiver.media_arrival) / 1e9

    def _silence(self, arrival: float) -> str:
        """What is missing, for people; `arrival` is that of the last packet that counted."""
        has_sound = self._receiver.media_arrival / 1e9 > arrival
        text = f"{self.url.address} sends no {'video' if has_sound else 'media'}{' any more' * bool(arrival)} (RTP)"
        if arrival or has_sound or self.transport == "tcp":
            return text
        if any(track_stats(self._receiver, track.index).foreign for track in self.tracks):
            return f"{text} from where it says; packets of another port or address are dropped (see rtspAnyPort)"
        return f"{text} over UDP; does a firewall stop it? TCP may work"

    def _report(self, now: float) -> None:
        """Receiver reports, each to where its track comes from."""
        if self._datagrams is not None:
            self._datagrams.punch()  # firewalls forget
        for index, packet in self._reports.make(now):
            self._send_rtcp(index, packet)

    def _send_rtcp(self, index: int, packet: bytes) -> None:
        channels = self._channels[index]
        if channels is not None:
            self._send(bytes((0x24, channels[1])) + len(packet).to_bytes(2, "big") + packet)
        elif self._datagrams is not None:
            self._datagrams.send_rtcp(index, packet)

    def _send(self, data: bytes = b"") -> None:
        """Sends without waiting what the connection has to say, and `data`."""
        if self._link is None:
            return
        try:
            self._link.send(self._connection.data_to_send() + data)
        except OSError as error:
            self._end(ConnectionLost(f"{self.url.address} dropped the connection: {reason_text(error)}"))

    # -- the end --------------------------------------------------------------

    async def close(self) -> None:
        """Sends TEARDOWN, waits half a second at most for its answer, and closes. May be called again."""
        if self._closing is None:
            self._end(None)
            self._stop_reading()
            with contextlib.suppress(OSError, RtspkitError):  # LocalProtocolError: it has been torn down
                # before anything that can be cancelled: a camera that is not told keeps the session for a minute
                if self._link is not None and self._link.lost is None:
                    self._connection.teardown(time.monotonic())
                    self._link.send(self._connection.data_to_send())
            self._closing = asyncio.ensure_future(self._close())
            self._closing.add_done_callback(lambda _: self._let_go())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await asyncio.sleep(0)  # lets `stream` hand over what has arrived
        link = self._link
        if link is not None and link.lost is None:
            with contextlib.suppress(OSError, RtspkitError):  # TimeoutError: it was told, and is not waited for
                async with asyncio.timeout(_TEARDOWN_TIMEOUT):
                    await self._torn_down(link)

    def _let_go(self) -> None:
        """Closes what there is to be closed."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
        if self._datagrams is not None:
            self._datagrams.close()

    async def _torn_down(self, link: Link) -> None:
        """Until the camera has answered TEARDOWN."""
        connection, receiver = self._connection, self._receiver
        started = bool(self.tracks)
        while True:
            while (event := connection.next_event()) is not None:
                if isinstance(event, TornDown):
                    return
            data = await link.receive()
            if not data:
                return
            if started:  # the answer comes behind media that are still on their way
                receiver.feed(data, time.monotonic_ns())
                receiver.take_fragments()
                receiver.take_rtcp()
                data = b"".join(receiver.take_messages())
            connection.receive_data(data, time.monotonic())
