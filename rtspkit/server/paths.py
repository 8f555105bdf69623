"""A path: one camera, its output and the state machine between them.

Strategy: a path is a task that connects, streams and, when the camera is lost, waits and connects again.
Its state is one of five, each change has a reason, and log and API show it::

    idle ──viewer──> connecting ──first media──> live <──media── gap
     ^                   │                         └──lost──> ^ │
     └──nobody watches── │ three tries                          │ gapKeepAlive is over
                         └────────────────> failed <────────────┘
                                             └─ slow retry (on demand: idle again after 30 s)

A camera in `gap` keeps its muxer, whatever it was lost for: the same URL goes on, with GAP and then with a
discontinuity. The muxer is made as soon as the tracks' parameter sets are known, mostly from the SDP, and answers
the multivariant playlist and the init section from then on; until it has listed media it is no promise, and goes
with the connection. `connect` and every time are arguments, so that the machine is tested without a network.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol

from rtspkit.asgi import NotReady, PathNotFound
from rtspkit.client import Camera, CameraOptions
from rtspkit.errors import AuthenticationError, RtspkitError, TimeoutExceeded, UnsupportedError
from rtspkit.limits import Limits
from rtspkit.media import Fragment, Track
from rtspkit.muxer import Muxer
from rtspkit.server.config import PathConfig, redact_url
from rtspkit.server.log import logger
from rtspkit.server.output import Output
from rtspkit.server.state import StateFile
from rtspkit.server.tracks import describe, labels
from rtspkit.server.viewers import Viewers
from rtspkit.ticker import Ticker

__all__ = ["BACKGROUND", "VIEWER", "Connect", "Path", "State", "Timing"]

State = Literal["idle", "connecting", "live", "gap", "failed"]

#: Address and port of who asks, for the log; "" where they are not known. It goes with a request's tasks, so that
#: of several viewers at once the one is named whose request has started the camera.
VIEWER: ContextVar[str] = ContextVar("VIEWER", default="")


class Connect(Protocol):
    """What `rtspkit.client.connect` is."""

    def __call__(self, url: str, *, options: CameraOptions, ticker: Ticker | None) -> Awaitable[Camera]:
        """Connects to a camera, up to PLAY."""


@dataclass(frozen=True)
class Timing:
    """Every time of the state machine, in seconds.

    Attributes:
        tries: failures in a row before a path is `failed`.
        try_interval: the longest pause between those tries.
        backoff: the longest pause once `failed`; it grows from 1 s, each with full jitter.
        gap_backoff: the same while viewers are kept on the playlist.
        refused: the first pause after refused credentials (cameras lock accounts) …
        refused_max: … and the longest.
        failed: how long an on-demand path stays `failed`.
        hold: the longest a request is held; just under the 8 s after which `HLSApp` answers without a reason.
        stable: media for this long, and earlier failures are forgotten.
        report: how often lost packets are logged.
    """

    tries: int = 3
    try_interval: float = 0.5
    backoff: float = 30.0
    gap_backoff: float = 5.0
    refused: float = 60.0
    refused_max: float = 600.0
    failed: float = 30.0
    hold: float = 7.9
    stable: float = 60.0
    report: float = 10.0


class Path:
    """One configured path.

    Attributes:
        name, config: as configured.
        state: "idle", "connecting", "live", "gap" or "failed".
        reason: why it is in that state; one line.
        output: what viewers are served from.
        viewers: who has lately asked for playlists.
        available_since, online_since: Unix seconds since there is something to watch, since the camera sends.
        outbound_bytes: bytes of replies to viewers.
    """

    def __init__(
        self,
        name: str,
        config: PathConfig,
        *,
        connect: Connect,
        ticker: Ticker | None,
        limits: Limits,
        timing: Timing,
        state: StateFile,
    ) -> None:
        self.name = name
        self.config = config
        self.state: State = "idle"
        self.reason = "nobody has asked for it yet" if config.source_on_demand else "not started"
        self.output = Output(name, config, state)
        self.tracks: tuple[Track, ...] = ()
        self.skipped: tuple[str, ...] = ()
        self.viewers = Viewers(config.max_readers, max(10.0, 3 * config.hls_segment_duration))
        self.available_since: float | None = None
        self.online_since: float | None = None
        self.outbound_bytes = 0
        self._connect = connect
        self._ticker = ticker
        self._options = CameraOptions(limits=limits)
        if config.part_duration is not None:
            self._options = CameraOptions(limits=limits, fragment_duration=config.part_duration, low_latency=True)
        self._timing = timing
        self._log = logger(f"path {name}")
        self._source_log = logger(f"path {name}", "RTSP source")
        self._camera: Camera | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._closed = False
        # of the present connection
        self._fresh = True  # no media yet
        self._media_since: float | None = None  # of media without a sync sample
        self._no_sync = False  # … and for so long that nobody is kept waiting for one
        self._problem: Exception | None = None  # why its media cannot be muxed
        self._lost_reported = 0
        self._next_report = 0.0
        # of the state machine
        self._failures = 0
        self._refusals = 0
        self._live_since = 0.0
        self._last_error = ""
        self._gap_timer: asyncio.TimerHandle | None = None
        self._failed_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._last_request = 0.0
        self._requests = 0  # being answered now
        self._waiting = 0  # of these, for the muxer
        self._requester = ""  # address and port of the viewer it was started for
        self._past_bytes = 0
        self._past_errors = 0

    # -- what others see --------------------------------------------------

    @property
    def muxer(self) -> Muxer | None:
        """What viewers are served from; None where there is nothing to serve."""
        return None if self.state == "failed" else self.output.muxer

    @property
    def readable(self) -> bool:
        """There is something to watch."""
        return self.state in ("live", "gap")

    @property
    def has_camera(self) -> bool:
        """Its source is one that can be read."""
        return self.config.source.startswith("rtsp://")

    @property
    def inbound_bytes(self) -> int:
        """Bytes received from the camera, over all its connections."""
        return self._past_bytes + (self._camera.stats().bytes_received if self._camera else 0)

    @property
    def inbound_errors(self) -> int:
        """Broken packets received from the camera, over all its connections."""
        return self._past_errors + (self._camera.stats().errors if self._camera else 0)

    @property
    def close_after(self) -> float:
        """Seconds from the last request to TEARDOWN, on demand."""
        return max(self.config.hls_muxer_close_after, self.config.source_on_demand_close_after)

    # -- life -------------------------------------------------------------

    def start(self) -> None:
        """Begins: connects, or waits for the first viewer. In the running loop."""
        source = self.config.source
        if source == "publisher":
            self._set("failed", "no source is configured, and nobody can publish to a path")
        elif not self.has_camera:
            scheme = source.partition("://")[0]
            self._set("failed", f"a source of type {scheme!r} cannot be read yet: only rtsp:// can")
            self._log.error("%s", self.reason)
        elif not self.config.source_on_demand:
            self._begin("the gateway has started")

    def _begin(self, reason: str) -> None:
        on_demand = " on demand" if self.config.source_on_demand else ""
        self._cancel_timers()
        self._source_log.info("started%s", on_demand)
        self._failures = 0
        self._set("connecting", reason)
        self._task = asyncio.create_task(self._run(), name=f"path {self.name}")

    async def close(self, reason: str = "the gateway is stopping") -> None:
        """Stops: sends TEARDOWN, ends the muxer. Takes little more than a second at most."""
        self._closed = True
        await self._stop(reason)

    async def _stop(self, reason: str) -> None:
        self._cancel_timers()
        task, self._task = self._task, None
        self._drop_muxer(reason)
        if self.has_camera:
            self._set("idle", reason)
        if task is not None:  # last: a viewer who comes meanwhile starts anew
            task.cancel()
            await asyncio.wait([task], timeout=1.5)
            self._source_log.info("stopped: %s", reason)

    def _cancel_timers(self) -> None:
        for timer in (self._gap_timer, self._failed_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._gap_timer = self._failed_timer = self._idle_timer = None

    def _set(self, state: State, reason: str) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        if state != self.state:
            self._log.info("is %s (was %s): %s", state, self.state, reason)
        self.state, self.reason = state, reason
        if state != "live":
            self.online_since = None
        self._changed.set()  # everybody who waits now …
        self._changed.clear()  # … and nobody who comes later

    # -- viewers ----------------------------------------------------------

    async def get_muxer(self) -> Muxer:
        """The muxer, once the camera sends; starts an on-demand camera.

        Raises:
            PathNotFound: the camera could not be reached or used, and why.
            NotReady: not yet.
        """
        if self.muxer is not None:  # live or gap: the common case
            self._last_request = time.monotonic()
            return self.muxer
        if self.state == "idle" and self.config.source_on_demand and not self._closed:
            self._requester = VIEWER.get()
            self._begin("a viewer has come")
        if self._waiting >= self._options.limits.blocked_requests:
            raise NotReady("too many requests wait for this stream")
        self.enter()
        self._waiting += 1
        try:
            async with asyncio.timeout(min(self.config.source_on_demand_start_timeout, self._timing.hold)):
                while True:
                    if self.muxer is not None:
                        return self.muxer
                    if self.state == "failed":
                        raise PathNotFound(self.reason)
                    if self.state == "idle" or self._no_sync:
                        raise NotReady(self.reason)
                    await self._changed.wait()
        except TimeoutError:
            raise NotReady(f"there is nothing to watch yet: {self.reason}") from None
        finally:
            self._waiting -= 1
            self.leave()

    def admit(self, address: str, agent: str) -> tuple[bool, bool]:
        """Counts a playlist request: whether it may be answered, and whether it is a new viewer's."""
        if self.muxer is not None and self.muxer.target_duration:
            self.viewers.window = max(10.0, 3.0 * self.muxer.target_duration)
        return self.viewers.admit(address, agent, time.monotonic())

    def enter(self) -> None:
        """A request has come; it keeps an on-demand camera until it is answered, and for `close_after`."""
        self._requests += 1
        self._last_request = time.monotonic()
        if self.config.source_on_demand and self._idle_timer is None and self._task is not None:
            self._watch_idle(self.close_after)

    def leave(self) -> None:
        """The request has been answered."""
        self._requests -= 1
        self._last_request = time.monotonic()

    def _watch_idle(self, delay: float) -> None:
        self._idle_timer = asyncio.get_running_loop().call_later(delay, self._check_idle)

    def _check_idle(self) -> None:
        self._idle_timer = None
        quiet = time.monotonic() - self._last_request
        if self._task is None or self._closed:
            return
        if self._requests or quiet < self.close_after:
            self._watch_idle(max(0.05, self.close_after - (0.0 if self._requests else quiet)))
            return
        # the task that stops the path must outlive this callback: the manager's loop keeps it
        task = asyncio.create_task(self._stop("not used anymore"))
        BACKGROUND.add(task)
        task.add_done_callback(BACKGROUND.discard)

    # -- the camera -------------------------------------------------------

    async def _run(self) -> None:
        me = asyncio.current_task()
        while True:
            try:
                await self._attempt()
                error: Exception = RtspkitError("the camera has ended the stream")
            except (RtspkitError, OSError) as caught:
                error = caught
            except Exception as caught:
                self._source_log.exception("internal error")
                error = caught
            if me is not None and me.cancelling():  # an error on the way out hides that it was told to end
                return
            delay = self._after_failure(error)
            if delay is None:
                self._task = None
                return
            await asyncio.sleep(delay)

    async def _attempt(self) -> None:
        """Connects and streams until the camera is lost."""
        limits = self._options.limits
        self._fresh, self._problem = True, None
        self._media_since, self._no_sync = None, False
        self._lost_reported, self._next_report = 0, 0.0
        # a little later than the client's own deadline, whose message says more
        deadline = asyncio.timeout(limits.connect_timeout + 0.5)
        try:
            async with deadline:
                camera = await self._connect(self.config.source, options=self._options, ticker=self._ticker)
        except TimeoutError as error:
            if isinstance(error, RtspkitError):
                raise
            raise TimeoutExceeded(f"the camera did not answer within {limits.connect_timeout:g} s") from None
        address = camera.remote_address
        connection = logger("RTSP", f"conn {address}")
        session = logger("RTSP", f"session {getattr(camera, 'session_id', None) or secrets.token_hex(4)}")
        count = len(camera.tracks)
        connection.info("opened")
        session.info("created by %s", address)
        session.info("is reading from path '%s', %d track%s with TCP", self.name, count, "s" * (count != 1))
        self._camera = camera
        me = asyncio.current_task()

        def take(fragment: Fragment) -> None:
            if self._task is me:  # else it was told to stop: what a camera hands over on its way out is too late
                self._on_fragment(fragment)

        try:
            self._prepare(camera.tracks)
            await camera.stream(take)
            if self._problem is not None:
                raise self._problem
        finally:
            if self._camera is camera:  # not yet another one's
                self._camera = None
            with suppress(RtspkitError, OSError):
                await camera.close()
            stats = camera.stats()
            self._past_bytes += stats.bytes_received
            self._past_errors += stats.errors
            session.info("destroyed")
            connection.info("closed")

    def _on_fragment(self, fragment: Fragment) -> None:
        """Takes what the camera has sent: once a second or so, with low latency once a part."""
        if self._problem is not None:
            return
        now = time.monotonic()
        try:
            if self._fresh and not self._first_fragment(fragment, now):
                return
            cut = self.output.write(fragment)
            if cut is not None and self._camera is not None:
                self._camera.cut_at(cut)
        except Exception as error:  # the loop behind this callback serves every camera
            self._problem = error
            self._give_up()
        if now >= self._next_report:
            self._next_report = now + self._timing.report
            self._report_loss()
            self.output.report_disk()

    def _give_up(self) -> None:
        """Ends a connection whose media cannot be used."""
        if self._camera is not None:
            task = asyncio.create_task(self._camera.close())
            BACKGROUND.add(task)
            task.add_done_callback(BACKGROUND.discard)

    def _prepare(self, tracks: tuple[Track, ...]) -> None:
        """Makes the muxer before there are media, where it can answer something already."""
        if self.output.muxer is None and tracks and all(track.parameters for track in tracks):
            self.output.open(tracks)
            self._changed.set()  # whoever waits has his multivariant playlist
            self._changed.clear()

    def _first_fragment(self, fragment: Fragment, now: float) -> bool:
        """The first media of a connection: the path is live. False where more is needed first."""
        if any(track.parameters is None for track in fragment.tracks):
            self._set(self.state, "waiting for the camera's parameter sets")
            return False
        if not fragment.is_sync:  # nothing can be shown before; some cameras never send one unasked
            self._await_sync(fragment, now)
            return False
        camera = self._camera
        self.skipped = camera.skipped if camera else ()
        muxer = self.output.muxer
        if muxer is not None and not muxer.accepts(fragment.tracks):
            # tracks never change within a playlist
            self._drop_muxer("the camera's tracks have changed")
        self.tracks = fragment.tracks
        if self.output.muxer is None:
            self.output.open(fragment.tracks)
        self._fresh = self._no_sync = False
        self._live_since = now
        self._refusals = 0
        self._last_error = ""
        if self._gap_timer is not None:
            self._gap_timer.cancel()
            self._gap_timer = None
        self.online_since = time.time()
        self.available_since = self.available_since or self.online_since
        self._log.info("stream is available and online, %s", describe(labels(self.tracks, self.skipped)))
        self.output.announce((self._requester or "a viewer") if self.config.source_on_demand else "", self.skipped)
        self._set("live", "the camera sends media")
        return True

    def _await_sync(self, fragment: Fragment, now: float) -> None:
        """Media have come that nothing can be made of yet."""
        if self._media_since is None:
            self._media_since = now
            if self._camera is not None:
                self._camera.request_sync()
        if self._no_sync:
            return
        timeout = self.config.keyframe_timeout
        if now - self._media_since < timeout:
            self._set(self.state, "the camera sends media, but no sync sample yet")
            self._prepare(fragment.tracks)
            return
        self._no_sync = True
        reason = f"the camera has sent media for {timeout:g} s, and no sync sample (IDR picture) among them"
        self._log.warning("%s: nothing can be shown before one comes", reason)
        self._set(self.state, reason)
        if not self.output.has_media:
            self._drop_muxer(reason)

    def _drop_muxer(self, reason: str) -> None:
        self.available_since = None
        if self.output.close(reason):
            self.viewers.clear()

    def _report_loss(self) -> None:
        if self._camera is None:
            return
        lost = self._camera.stats().packets_lost
        if lost > self._lost_reported:
            count = lost - self._lost_reported
            self._source_log.warning("%d RTP packet%s lost", count, "s" * (count != 1))
            self._lost_reported = lost

    # -- trouble ----------------------------------------------------------

    def _after_failure(self, error: Exception) -> float | None:
        """Decides what follows: the pause before the next try, None where there is none."""
        timing = self._timing
        was_live = not self._fresh
        self._report_loss()
        if was_live and time.monotonic() - self._live_since >= timing.stable:
            self._failures = 0
        self._failures += 1
        reason = self._explain(error)
        if isinstance(error, AuthenticationError):
            self._refusals += 1
        if was_live:
            self.output.interrupt()
        if self.output.has_media:  # somebody may be playing: whatever the reason, no refusal before the gap is over
            if was_live:
                self._open_gap()
            self._set("gap", f"the camera is lost: {reason}")
            return self._refused_pause() or self._pause(timing.gap_backoff)
        self._drop_muxer(reason)
        pause = self._refused_pause()
        usable = pause is None and not isinstance(error, UnsupportedError)
        if usable and self.state != "failed" and self._failures < timing.tries:
            self._set("connecting", f"try {self._failures} of {timing.tries} has failed: {reason}")
            return random.uniform(0.0, timing.try_interval)
        self._fail(reason)
        if not self.config.source_on_demand:
            return pause or self._pause(timing.backoff)
        self._watch_failed(pause or timing.failed)
        return None

    def _refused_pause(self) -> float | None:
        """Seconds to wait after refused credentials; None where they were not refused, or only once."""
        if self._refusals < 2:
            return None
        longest = min(self._timing.refused_max, self._timing.refused * 2.0 ** min(self._refusals - 2, 10))
        return random.uniform(longest / 2, longest)

    def _explain(self, error: Exception) -> str:
        """One line for the log and the API; a repeated one is not logged again as an error."""
        text = str(error) if isinstance(error, RtspkitError) or str(error) else type(error).__name__
        if isinstance(error, OSError) and not isinstance(error, RtspkitError) and error.strerror:
            text = error.strerror
        text = redact_url(" ".join(text.split()))
        log = self._source_log.debug if text == self._last_error else self._source_log.error
        self._last_error = text
        log("%s", text)
        return text

    def _pause(self, longest: float) -> float:
        """After the first tries: back-off with full jitter, within 1, 2, 4 … `longest` seconds."""
        beyond = self._failures - self._timing.tries
        if beyond < 0:
            return random.uniform(0.0, self._timing.try_interval)
        return random.uniform(0.0, min(longest, 2.0 ** min(beyond, 10)))

    def _fail(self, reason: str) -> None:
        if self._gap_timer is not None:
            self._gap_timer.cancel()
            self._gap_timer = None
        self._drop_muxer(reason)
        self._set("failed", reason)

    def _open_gap(self) -> None:
        if self._gap_timer is not None:
            self._gap_timer.cancel()
        loop = asyncio.get_running_loop()
        self._gap_timer = loop.call_later(self.config.gap_keep_alive, self._gap_is_over)

    def _gap_is_over(self) -> None:
        self._gap_timer = None
        if self.state != "gap":
            return
        seconds = f"{self.config.gap_keep_alive:g}"
        self._fail(f"the camera has been away for {seconds} s: {self._last_error}")
        if self.config.source_on_demand:
            task, self._task = self._task, None
            if task is not None:
                task.cancel()
            self._watch_failed(self._refused_pause() or self._timing.failed)

    def _watch_failed(self, delay: float) -> None:
        """On demand: after `delay` the next viewer starts anew."""
        self._failed_timer = asyncio.get_running_loop().call_later(delay, self._forgive)

    def _forgive(self) -> None:
        self._failed_timer = None
        if self.state == "failed":
            self._set("idle", f"the next viewer starts another try; the last one ended so: {self._last_error}")


#: Tasks that nothing else refers to (asyncio itself keeps weak references only).
BACKGROUND: set[asyncio.Task[None]] = set()
