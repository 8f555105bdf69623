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
import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from rtspkit.asgi import NotReady, PathNotFound
from rtspkit.client import Camera
from rtspkit.errors import RtspkitError
from rtspkit.limits import Limits
from rtspkit.media import Fragment, Track
from rtspkit.muxer import Muxer
from rtspkit.server.config import PathConfig
from rtspkit.server.log import logger
from rtspkit.server.output import NEXT_TRY, Output
from rtspkit.server.pace import Gate
from rtspkit.server.retry import Retry, classify
from rtspkit.server.source import Connect, Source, in_background
from rtspkit.server.state import StateFile
from rtspkit.server.tracks import describe, labels, named
from rtspkit.server.viewers import Viewers
from rtspkit.ticker import Ticker
from rtspkit.url import SCHEMES

__all__ = ["VIEWER", "Path", "State", "Timing"]

State = Literal["idle", "connecting", "live", "gap", "failed"]

#: Address and port of who asks, for the log; "" where they are not known. It goes with a request's tasks, so that
#: of several viewers at once the one is named whose request has started the camera.
VIEWER: ContextVar[str] = ContextVar("VIEWER", default="")

#: Seconds within which a path that has failed tries again when another one's camera is back.
HURRY = 2.0
#: Viewers are told when the camera is tried again only where that is longer than this (s).
SOON = 5.0


@dataclass(frozen=True)
class Timing:
    """The times of the state machine that nobody sets, in seconds; `RetryPolicy` has the others.

    Attributes:
        failed: how long an on-demand path stays `failed`.
        hold: the longest a request is held; just under the 8 s after which `HLSApp` answers without a reason.
        report: how often lost packets are logged.
        parameters: how long pictures wait for the parameters of the sound beside them.
    """

    failed: float = 30.0
    hold: float = 7.9
    report: float = 10.0
    parameters: float = 3.0


class Path:
    """One configured path.

    Attributes:
        name, config: as configured.
        state: "idle", "connecting", "live", "gap" or "failed".
        reason: why it is in that state; one line.
        output: what viewers are served from.
        viewers: who has lately asked for playlists.
        next_try: Unix seconds when the camera is tried again; None while it is, or need not be.
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
        calm_ticker: Ticker | None,
        limits: Limits,
        timing: Timing,
        state: StateFile,
        gate: Gate,
        on_return: Callable[[], None],
    ) -> None:
        self.name = name
        self.config = config
        self.state: State = "idle"
        self.reason = "nobody has asked for it yet" if config.source_on_demand else "not started"
        self.tracks: tuple[Track, ...] = ()
        self.skipped: tuple[str, ...] = ()
        self.viewers = Viewers(config.max_readers, max(10.0, 3 * config.hls_segment_duration))
        self.available_since: float | None = None
        self.next_try: float | None = None
        self.online_since: float | None = None
        self.outbound_bytes = 0
        self.source = Source(
            name, config, connect=connect, ticker=ticker, calm_ticker=calm_ticker, limits=limits, gate=gate
        )
        self.output = Output(name, config, state, take_rest=self.source.flush)
        self._retry = Retry(config.retry_policy)
        self._limits = limits
        self._timing = timing
        self._log = logger(f"path {name}")
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._hurried = asyncio.Event()
        self._on_return = on_return
        self._closed = False
        # of the present connection
        self._fresh = True  # no media yet
        self._media_since: float | None = None  # of media without a sync sample
        self._unknown_since: float | None = None  # of tracks without parameters
        self._no_sync = False  # … and for so long that nobody is kept waiting for one
        self._is_calm = False  # nobody is in a hurry for its parts
        self._problem: Exception | None = None  # why its media cannot be muxed
        self._next_report = 0.0
        # of the state machine
        self._live_since = 0.0
        self._gap_timer: asyncio.TimerHandle | None = None
        self._failed_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._last_request = 0.0
        self._requests = 0  # being answered now
        self._waiting = 0  # of these, for the muxer
        self._requester = ""  # address and port of the viewer it was started for

    # -- what others see --------------------------------------------------

    @property
    def muxer(self) -> Muxer | None:
        """What viewers are served from; None where there is nothing to serve."""
        return None if self.state == "failed" else self.output.muxer

    @property
    def outlook(self) -> str:
        """`reason` for those who are kept waiting, and when the camera is tried again, if that is not soon."""
        if self._failed_timer is not None:  # then by whoever asks
            seconds = self._failed_timer.when() - asyncio.get_running_loop().time()
        else:
            seconds = self.next_try - time.time() if self.next_try is not None else 0.0
        if seconds <= SOON or self._retry.trouble == "unusable":  # as long as nobody sets it to something else
            return self.reason
        # seldom another text: who asks every two seconds may read it out each time
        return f"{self.reason}; the next try is within {math.ceil(seconds / 10) * 10} s"

    @property
    def readable(self) -> bool:
        """There is something to watch."""
        return self.state in ("live", "gap")

    @property
    def has_camera(self) -> bool:
        """Its source is one that can be read."""
        return self.config.source.partition("://")[0] in SCHEMES

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
            self._set("failed", f"a source of type {scheme!r} cannot be read: {', '.join(SCHEMES)} can")
            self._log.error("%s", self.reason)
        elif not self.config.source_on_demand:
            self._begin("the gateway has started")

    def _begin(self, reason: str) -> None:
        on_demand = " on demand" if self.config.source_on_demand else ""
        self._cancel_timers()
        self.source.log.info("started%s", on_demand)
        self._retry.begin()
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
        now = time.monotonic()
        if self._retry.refused_for(now) and not self._closed:  # viewers who come and go are no reason to ask again
            self._fail(self.reason)
            self._stay_failed(now)
        elif self.has_camera:
            self._set("idle", reason)
        if task is not None:  # last: a viewer who comes meanwhile starts anew
            task.cancel()
            await asyncio.wait([task], timeout=1.5)
            self.source.log.info("stopped: %s", reason)

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
        if self._waiting >= self._limits.blocked_requests:
            raise NotReady("too many requests wait for this stream")
        self.enter()
        self._waiting += 1
        try:
            async with asyncio.timeout(min(self.config.source_on_demand_start_timeout, self._timing.hold)):
                while True:
                    if self.muxer is not None:
                        return self.muxer
                    if self.state == "failed":
                        raise PathNotFound(self.outlook)
                    if self.state == "idle" or self._no_sync:
                        raise NotReady(self.reason)
                    await self._changed.wait()
        except TimeoutError:
            raise NotReady(f"there is nothing to watch yet: {self.outlook}") from None
        finally:
            self._waiting -= 1
            self.leave()

    def admit(self, address: str, agent: str) -> tuple[bool, bool]:
        """Counts a playlist request: whether it may be answered, and whether it is a new viewer's."""
        muxer = self.muxer
        if muxer is not None and muxer.target_duration:
            self.viewers.window = max(10.0, 3.0 * muxer.target_duration)
        return self.viewers.admit(address, agent, time.monotonic())

    def enter(self) -> None:
        """A request has come; it keeps an on-demand camera until it is answered, and for `close_after`."""
        self._requests += 1
        self._last_request = time.monotonic()
        if self._is_calm:
            self._is_calm = False
            self.source.set_calm(False)
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
        in_background(self._stop("not used anymore"))  # it outlives this callback

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
                self.source.log.exception("internal error")
                error = caught
            if me is not None and me.cancelling():  # an error on the way out hides that it was told to end
                return
            delay = self._after_failure(error)
            if delay is None:
                self._task = None
                return
            await self._rest(delay)

    async def _rest(self, seconds: float) -> None:
        """The pause before the next try."""
        self._hurried.clear()
        self.next_try = time.time() + seconds
        if seconds > SOON:
            self.output.tell(NEXT_TRY, datetime.fromtimestamp(self.next_try, UTC).isoformat(timespec="milliseconds"))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._hurried.wait()
        finally:
            self.next_try = None
            self.output.tell(NEXT_TRY, "")

    def hurry(self) -> None:
        """Another camera is back: this one may be behind the same switch, and is not left waiting for long."""
        if self.state == "failed" and self._retry.trouble == "lost" and self._task is not None:
            asyncio.get_running_loop().call_later(random.uniform(0.0, HURRY), self._hurried.set)

    async def _attempt(self) -> None:
        """Connects and streams until the camera is lost."""
        self._fresh, self._problem, self._is_calm = True, None, False
        self._media_since, self._unknown_since, self._no_sync = None, None, False
        self._next_report = 0.0
        me = asyncio.current_task()

        def take(fragment: Fragment) -> None:
            if self._task is me:  # else it was told to stop: what a camera hands over on its way out is too late
                self._on_fragment(fragment)

        await self.source.read(self._on_connected, take, is_urgent=self._waiting > 0)
        if self._problem is not None:
            raise self._problem

    def _on_fragment(self, fragment: Fragment) -> None:
        """Takes what the camera has sent: once a second or so, with low latency once a part."""
        if self._problem is not None:
            return
        now = time.monotonic()
        try:
            if self._fresh and not self._first_fragment(fragment, now):
                return
            cut = self.output.write(fragment)
            if cut is not None:
                self.source.cut_at(cut)
            if self.source.options.low_latency and not self._is_calm and self._is_unwatched(now):
                self._is_calm = True
                self.source.set_calm(True)
        except Exception as error:  # the loop behind this callback serves every camera
            self._problem = error
            self.source.give_up()
        if now >= self._next_report:
            self._next_report = now + self._timing.report
            self.source.report_trouble()
            self.output.report_disk()

    def _is_unwatched(self, now: float) -> bool:
        """Whether nobody plays it, as far as can be told: players ask at least once a target duration."""
        return not self._requests and now - max(self._last_request, self._live_since) > self.viewers.window

    def _on_connected(self, camera: Camera) -> None:
        self._prepare(camera.tracks, camera.skipped)

    def _prepare(self, tracks: tuple[Track, ...], skipped: tuple[str, ...]) -> None:
        """Makes the muxer before there are media, where it can answer something already."""
        if self.output.muxer is None and tracks and all(track.parameters for track in tracks):
            self.output.open(tracks, skipped)
            self._changed.set()  # whoever waits has his multivariant playlist
            self._changed.clear()

    def _first_fragment(self, fragment: Fragment, now: float) -> bool:
        """The first media of a connection: the path is live. False where more is needed first."""
        camera = self.source.camera
        self.skipped = camera.skipped if camera else ()
        tracks = self._ready_tracks(fragment.tracks, now)
        if tracks is None:
            self._set(self.state, "waiting for the camera's parameter sets")
            return False
        if not fragment.is_sync:  # nothing can be shown before; some cameras never send one unasked
            self._await_sync(fragment, now)
            return False
        muxer = self.output.muxer
        if muxer is not None and not muxer.accepts(tracks):
            # tracks never change within a playlist
            self._drop_muxer("the camera's tracks have changed")
        self.tracks = fragment.tracks
        if self.output.muxer is None:
            self.output.open(tracks, self.skipped)
        self._fresh = self._no_sync = False
        self._live_since = now
        if self._retry.trouble is not None:
            self._on_return()
        self._retry.succeeded()
        self.source.succeeded()
        if self._gap_timer is not None:
            self._gap_timer.cancel()
            self._gap_timer = None
        self.online_since = time.time()
        self.available_since = self.available_since or self.online_since
        self._log.info("stream is available and online, %s", describe(labels(self.tracks, self.skipped)))
        requester = (self._requester or "a viewer") if self.config.source_on_demand else ""
        self.output.announce(requester, self.tracks, self.skipped)
        self._set("live", "the camera sends media")
        return True

    def _ready_tracks(self, tracks: tuple[Track, ...], now: float) -> tuple[Track, ...] | None:
        """The tracks to begin with; None where it is worth waiting for parameters that have not come.

        Those of sound may never come (LATM of a microphone that is off): the pictures go on without it.
        """
        known = tuple(track for track in tracks if track.parameters is not None)
        if len(known) == len(tracks):
            return tracks
        if self._unknown_since is None:
            self._unknown_since = now
        if now - self._unknown_since < self._timing.parameters or all(track.kind != "video" for track in known):
            return None
        if self.output.muxer is not None and self.output.muxer.accepts(tracks):
            return tracks
        (missing, *_) = (track for track in tracks if track.parameters is None)
        self._log.warning("%s is left out: its parameters do not come", named(missing, tracks, self.skipped))
        return known

    def _await_sync(self, fragment: Fragment, now: float) -> None:
        """Media have come that nothing can be made of yet."""
        if self._media_since is None:
            self._media_since = now
            self.source.request_sync()
        if self._no_sync:
            return
        timeout = self.config.keyframe_timeout
        if now - self._media_since < timeout:
            self._set(self.state, "the camera sends media, but no sync sample yet")
            self._prepare(fragment.tracks, self.skipped)
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

    # -- trouble ----------------------------------------------------------

    def _after_failure(self, error: Exception) -> float | None:
        """Decides what follows: the pause before the next try, None where there is none."""
        was_live, now = not self._fresh, time.monotonic()
        self.source.report_trouble()
        reason = self.source.explain(error)
        if was_live:
            self.output.interrupt()
        is_watched = self.output.has_media
        lived = now - self._live_since if was_live else 0.0
        pause = self._retry.failed(classify(error), now, lived=lived, is_watched=is_watched)
        if is_watched:  # somebody may be playing: whatever the reason, no refusal before the gap is over
            if was_live:
                self._open_gap()
            self._set("gap", f"the camera is lost: {reason}")
            return pause
        self._drop_muxer(reason)
        if not self._retry.has_given_up and self.state != "failed":
            tries = self._retry.policy.tries
            self._set("connecting", f"try {self._retry.failures} of {tries} has failed: {reason}")
            return pause
        self._fail(reason)
        if not self.config.source_on_demand:
            return pause
        self._stay_failed(now)
        return None

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
        self._fail(f"the camera has been away for {seconds} s: {self.source.memory.last_error}")
        if self.config.source_on_demand:
            task, self._task = self._task, None
            if task is not None:
                task.cancel()
            self._stay_failed(time.monotonic())

    def _stay_failed(self, now: float) -> None:
        """On demand: after a while the next viewer starts anew; refused credentials have to wait for longer."""
        delay = self._retry.refused_for(now) or self._timing.failed
        self._failed_timer = asyncio.get_running_loop().call_later(delay, self._forgive)

    def _forgive(self) -> None:
        self._failed_timer = None
        if self.state == "failed":
            self._set(
                "idle", f"the next viewer starts another try; the last one ended so: {self.source.memory.last_error}"
            )
