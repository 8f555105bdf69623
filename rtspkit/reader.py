"""`rtspkit.open`: a camera for people, which reads units and may reconnect by itself.

A thin layer on `client`: it owns the `Camera` in use and makes a new one when that is lost and the caller
has asked for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace

from rtspkit.client import Camera, CameraStats, connect
from rtspkit.errors import (
    AuthenticationError,
    ConnectionLost,
    RemoteProtocolError,
    RtspkitError,
    TimeoutExceeded,
    UnsupportedError,
)
from rtspkit.health import CameraHealth
from rtspkit.media import AccessUnit, Track
from rtspkit.memory import CameraMemory, LowerTransport
from rtspkit.options import CameraOptions
from rtspkit.rtsp import CameraURL, parse_url

__all__ = ["CameraReader", "open"]


class CameraReader:
    """A camera as `open` gives it: `Camera` for reading units, which may reconnect by itself.

    Attributes:
        url: printing it shows no password.
    """

    def __init__(self, url: CameraURL, options: CameraOptions, reconnect: bool) -> None:
        self.url = url
        self._options = options
        self._memory = CameraMemory()
        self._reconnect = reconnect
        self._camera: Camera | None = None
        self._resumed = False  # no unit of this camera was handed over yet, and it is not the first

    @property
    def camera(self) -> Camera:
        """The connection in use."""
        assert self._camera is not None
        return self._camera

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What is received, by index, with the parameters in force."""
        return self.camera.tracks

    @property
    def skipped(self) -> tuple[str, ...]:
        """What the camera offers and is not received, such as "track 2 (MPA, choose AAC, Opus or G.711)"."""
        return self.camera.skipped

    @property
    def transport(self) -> LowerTransport:
        """What carries the media."""
        return self.camera.transport

    def stats(self) -> CameraStats:
        """The counters of the connection in use."""
        return self.camera.stats()

    def health(self) -> CameraHealth:
        """How the camera is: the connection in use, and how many were lost before it."""
        return self.camera.health()

    def __aiter__(self) -> AsyncIterator[AccessUnit]:
        """The access units of all tracks; after a reconnect the first has `discontinuity` set."""
        return _Units(self)

    async def _connect_again(self, lost: RtspkitError) -> None:
        self._memory.reconnects += 1
        self._memory.last_error = str(lost)
        await self.camera.close()
        delay = 0.5
        while True:
            # full jitter: cameras behind one switch come back at the same instant
            await asyncio.sleep(random.uniform(0, delay))
            try:
                self._camera = await connect(self.url, options=self._options, memory=self._memory)
                self._resumed = True
            except (AuthenticationError, UnsupportedError):
                raise
            except RtspkitError:
                delay = min(30.0, delay * 2)
            else:
                return

    async def _close(self) -> None:
        if self._camera is not None:
            await self._camera.close()


class _Units:
    """The iterator of a `CameraReader`: of one camera, then of the next."""

    def __init__(self, reader: CameraReader) -> None:
        self._reader = reader
        self._units: AsyncIterator[AccessUnit] | None = None

    def __aiter__(self) -> _Units:
        return self

    async def __anext__(self) -> AccessUnit:
        reader = self._reader
        while True:
            if self._units is None:
                self._units = aiter(reader.camera)
            try:
                unit = await anext(self._units)
            except (ConnectionLost, TimeoutExceeded, RemoteProtocolError) as lost:
                if not reader._reconnect:
                    raise
                self._units = None  # should the next line be cancelled, a closed camera leads here again
                await reader._connect_again(lost)
                continue
            if reader._resumed:
                reader._resumed = False
                unit = replace(unit, discontinuity=True)
            return unit

    async def aclose(self) -> None:
        """Ends the iteration; so does letting go of it."""
        self._units = None


@contextlib.asynccontextmanager
async def open(
    url: str, *, reconnect: bool = False, options: CameraOptions | None = None
) -> AsyncIterator[CameraReader]:
    """Connects to a camera for as long as the block runs. ::

        async with rtspkit.open("rtsp://user:password@192.168.1.100/stream1") as camera:
            async for unit in camera:
                ...

    Args:
        url: ``rtsp://user:password@host:port/path``; the credentials go to that host and port only.
        reconnect: when the camera is lost, connect again until it is back (the pause grows to 30 s); the
            first unit then has `discontinuity` set, and its pts starts near 0 again. Refused credentials
            and a camera that offers nothing usable end the iteration all the same.
        options: what carries the media, bounds on what the camera may send, timeouts.

    Yields:
        The camera: `tracks`, and ``async for unit in camera``.

    Raises:
        RtspkitError: as `connect`; from the iteration as `Camera.stream`.
    """
    reader = CameraReader(parse_url(url), options or CameraOptions(), reconnect)
    reader._camera = await connect(reader.url, options=reader._options, memory=reader._memory)
    try:
        yield reader
    finally:
        await reader._close()
