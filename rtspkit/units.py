"""Reading a camera unit by unit: what `async for unit in camera` runs on.

Strategy: the link tells when there is something to read, the receiver closes what it has after each read, and
the units wait in the camera's queue. A reader that does not keep up stops the reading, and TCP holds the
camera back. Nothing is lost between two loops: the queue is the camera's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rtspkit.media import AccessUnit
from rtspkit.rtp import access_units

if TYPE_CHECKING:
    from rtspkit.client import Camera

__all__ = ["Units"]

#: Units a reader may be behind before the camera is no longer read.
_QUEUE_UNITS = 512


class _Reading:
    """Reads a camera whenever it can be read, as long as the one it reads for keeps up."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._wake = asyncio.Event()
        self.ended = camera._claim(lambda fragment: camera._units.extend(access_units(fragment)))
        self.ended.add_done_callback(lambda _: self._wake.set())
        camera._read(self._on_bytes, None)

    def _on_bytes(self) -> None:
        camera = self._camera
        camera._receiver.flush()
        camera._on_ready()
        if camera._units:
            self._wake.set()
        if self.ended.done():
            camera._stop_reading()
        elif len(camera._units) >= _QUEUE_UNITS:
            camera._pause()

    async def wait(self) -> None:
        """Until something has changed."""
        if self._camera._paused:
            self._camera._read(self._on_bytes, None)
        self._wake.clear()
        await self._wake.wait()

    def stop(self) -> None:
        """Another one may read the camera."""
        self._camera._stop_reading()
        self._camera._release()


class Units:
    """The iterator of a `Camera`.

    No generator: one that was left ends some time later, and the camera is to be had again at once. The loop
    refers to the `_Reading` only, so this object goes when the one who iterates lets go of it.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._reading: _Reading | None = None
        self._is_over = False

    def __aiter__(self) -> Units:
        return self

    async def __anext__(self) -> AccessUnit:
        camera = self._camera
        while not self._is_over:
            if self._reading is None:
                self._reading = _Reading(camera)
            if not camera._units and self._reading.ended.done():
                camera._finish()
            if camera._units:
                return camera._units.popleft()
            if self._reading.ended.done():
                ended = self._reading.ended
                await self.aclose()
                ended.result()
            else:
                await self._reading.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the iteration; so does letting go of it."""
        self._is_over = True
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.stop()

    def __del__(self) -> None:
        if self._reading is not None:
            self._reading.stop()
