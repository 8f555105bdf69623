"""The camera of one path: its connections, one after the other, and what is counted over all of them.

Strategy: `paths` decides when there is a connection; `Source.read` makes one, in its turn (`pace`), says so in the
log, hands its media over and always ends it with TEARDOWN, whatever has ended it. What is known of the camera from
one connection to the next (`CameraMemory`), and the counters of past ones, stay here.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from rtspkit.client import Camera, CameraOptions
from rtspkit.errors import RtspkitError, TimeoutExceeded
from rtspkit.health import CameraHealth, Timings
from rtspkit.limits import Limits
from rtspkit.media import Fragment
from rtspkit.memory import CameraMemory
from rtspkit.quirks import SENTENCES
from rtspkit.server.config import PathConfig
from rtspkit.server.log import Logger, Repeats, logger
from rtspkit.server.pace import Gate
from rtspkit.server.tracks import named
from rtspkit.server.values import redact_url
from rtspkit.ticker import Ticker

__all__ = ["BACKGROUND", "Connect", "Source", "in_background"]

#: How MediaMTX's log calls what carries the media.
_TRANSPORTS = {"tcp": "TCP", "udp": "UDP", "multicast": "UDP-multicast"}
#: What a connect asks: OPTIONS, DESCRIBE without and with credentials, SETUP of two tracks, PLAY.
_REQUESTS = 6
#: What is wrong with a camera's clock, and worth a warning.
_CLOCK_QUIRKS = frozenset({"timestamps-stand", "clock-rate-wrong"})


class Connect(Protocol):
    """What `rtspkit.client.connect` is."""

    def __call__(
        self, url: str, *, options: CameraOptions, ticker: Ticker | None, memory: CameraMemory
    ) -> Awaitable[Camera]:
        """Connects to a camera, up to PLAY."""


def camera_options(config: PathConfig, limits: Limits) -> CameraOptions:
    """How a path's camera is talked to."""
    return CameraOptions(
        limits=limits,
        fragment_duration=config.part_duration or 1.0,
        low_latency=config.part_duration is not None,
        transport=config.rtsp_transport,
        any_port=config.rtsp_any_port,
        allow_redirect_hosts=config.allow_redirect_hosts,
        udp_source_ports=config.rtsp_udp_source_port_range,
        udp_read_buffer_size=config.udp_read_buffer_size,
        fingerprint=config.source_fingerprint,
        loss_policy=config.loss_policy,
    )


class Source:
    """The camera of one path.

    Attributes:
        options: how it is talked to.
        memory: what is known of it.
        camera: the present connection; None while there is none.

    Args:
        name, config: of the path.
        connect: makes a connection.
        ticker: drains it together with others.
        calm_ticker: the same, while its media may take their time.
        limits: bounds on what it sends.
        gate: whose turn it is to connect.
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
        gate: Gate,
    ) -> None:
        self.options = camera_options(config, limits)
        self.memory = CameraMemory()
        self.camera: Camera | None = None
        self.log = logger(f"path {name}", "RTSP source")
        self._name = name
        self._url = config.source
        self._connect = connect
        self._ticker, self._calm_ticker = ticker, calm_ticker
        self._gate = gate
        self._errors = Repeats()
        self._told: set[str] = set()  # what is not said again
        self._lost_reported = 0
        self._past_bytes = 0
        self._past_errors = 0

    @property
    def inbound_bytes(self) -> int:
        """Bytes received, over all connections."""
        return self._past_bytes + (self.camera.stats().bytes_received if self.camera else 0)

    @property
    def inbound_errors(self) -> int:
        """Broken packets received, over all connections."""
        return self._past_errors + (self.camera.stats().errors if self.camera else 0)

    def health(self) -> CameraHealth:
        """How the camera is; without a connection, what is known from those before."""
        if self.camera is not None:
            return self.camera.health()
        return CameraHealth(
            transport=None,
            reconnects=self.memory.reconnects,
            last_error=self.memory.last_error,
            timings=Timings(),
            bytes=0,
            bitrate=None,
            resyncs=0,
            unknown_bytes=0,
            quirks=(),
            tracks=(),
        )

    # -- a connection -----------------------------------------------------

    async def read(
        self, on_connected: Callable[[Camera], None], on_fragment: Callable[[Fragment], None], *, is_urgent: bool
    ) -> None:
        """Connects, and hands over what the camera sends until it is lost.

        Args:
            on_connected: called once, before any media.
            on_fragment: called with them; it must not raise.
            is_urgent: somebody waits for it.

        Raises:
            RtspkitError, OSError: how it was lost; it returns where `Camera.close` was called.
        """
        async with self._gate.turn(is_urgent=is_urgent):  # waiting for it is nobody's delay
            camera = await self._connected()
        connection, session = self._announce(camera)
        self.camera = camera
        self._lost_reported = 0
        try:
            on_connected(camera)
            await camera.stream(on_fragment)
            self.memory.reconnects += 1
        except Exception:
            self.memory.reconnects += 1
            raise
        finally:
            if self.camera is camera:  # not yet another one's
                self.camera = None
            with suppress(RtspkitError, OSError):
                await camera.close()
            stats = camera.stats()
            self._past_bytes += stats.bytes_received
            self._past_errors += stats.errors
            session.info("destroyed")
            connection.info("closed")

    async def _connected(self) -> Camera:
        limits = self.options.limits
        # the client has a deadline for each step; this one is for cameras, and chains of redirects, that just keep them
        seconds = limits.connect_timeout + _REQUESTS * limits.reply_timeout
        if self.options.transport == "automatic" and self.memory.transport != "tcp":
            seconds += limits.udp_timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(self._url, options=self.options, ticker=self._ticker, memory=self.memory)
        except TimeoutError as error:
            if isinstance(error, RtspkitError):
                raise
            raise TimeoutExceeded(f"the camera did not get so far as to send media within {seconds:g} s") from None

    # -- the log ----------------------------------------------------------

    def _announce(self, camera: Camera) -> tuple[Logger, Logger]:
        """The connection and the session in the log, as MediaMTX tells of its own."""
        address = camera.remote_address
        connection = logger("RTSP", f"conn {address}")
        session = logger("RTSP", f"session {camera.session_id or secrets.token_hex(4)}")
        count = len(camera.tracks)
        connection.info("opened")
        session.info("created by %s", address)
        transport = _TRANSPORTS[camera.transport]
        session.info("is reading from path '%s', %d track%s with %s", self._name, count, "s" * (count != 1), transport)
        if self.options.transport == "automatic" and self.memory.transport_reason:
            self._warn_once("TCP is used: %s", self.memory.transport_reason)
        for warning in camera.warnings:
            self._warn_once("%s", warning)
        return connection, session

    def _warn_once(self, text: str, detail: str) -> None:
        if detail not in self._told:
            self._told.add(detail)
            self.log.warning(text, detail)

    def explain(self, error: Exception) -> str:
        """One line for the log and the API; the same one is logged as an error now and then only (`Repeats`)."""
        text = str(error) if isinstance(error, RtspkitError) or str(error) else type(error).__name__
        if isinstance(error, OSError) and not isinstance(error, RtspkitError) and error.strerror:
            text = error.strerror
        text = redact_url(" ".join(text.split()))
        self.memory.last_error = text
        line = self._errors.line(text, time.monotonic())
        if line is not None:
            self.log.error("%s", line)
        else:
            self.log.debug("%s", text)
        return text

    def succeeded(self) -> None:
        """It sends: what goes wrong next is news, even if it is the same."""
        self._errors.forget()

    def report_trouble(self) -> None:
        """Logs what was lost since the last time, and, once, a clock that cannot be believed."""
        if self.camera is None:
            return
        camera = self.camera
        for track in camera.tracks:
            for quirk in _CLOCK_QUIRKS.intersection(camera.track_quirks(track.index)):
                self._warn_once("%s", f"{named(track, camera.tracks, camera.skipped)}: {SENTENCES[quirk]}")
        lost = self.camera.stats().packets_lost
        if lost > self._lost_reported:
            count = lost - self._lost_reported
            self.log.warning("%d RTP packet%s lost", count, "s" * (count != 1))
            self._lost_reported = lost

    # -- what the path asks of it -----------------------------------------

    def request_sync(self) -> None:
        """Asks the camera for a sync sample."""
        if self.camera is not None:
            self.camera.request_sync()

    def set_calm(self, is_calm: bool) -> None:
        """Whether the present connection's media may take their time; if not, `options` say how soon they come."""
        if self.camera is None:
            return
        if is_calm:
            usual = CameraOptions()
            self.camera.set_latency(usual.fragment_duration, low_latency=False, ticker=self._calm_ticker)
        else:
            options = self.options
            self.camera.set_latency(options.fragment_duration, low_latency=options.low_latency, ticker=self._ticker)
            self.camera.flush()

    def cut_at(self, pts: int) -> None:
        """Where the next fragment should end."""
        if self.camera is not None:
            self.camera.cut_at(pts)

    def flush(self) -> None:
        """Has the camera hand over what it holds of a fragment."""
        if self.camera is not None:
            self.camera.flush()

    def give_up(self) -> None:
        """Ends a connection whose media cannot be used."""
        if self.camera is not None:
            in_background(self.camera.close())


def in_background(work: Coroutine[Any, Any, None]) -> None:
    """Runs something that nothing else refers to (asyncio itself keeps weak references only)."""
    task = asyncio.create_task(work)
    BACKGROUND.add(task)
    task.add_done_callback(BACKGROUND.discard)


#: The tasks of `in_background`.
BACKGROUND: set[asyncio.Task[None]] = set()
