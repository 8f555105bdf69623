"""Scripted cameras for code without an event loop: they run in a thread of their own.

Strategy: one thread and one loop for all cameras of a test. A `LiveCamera` reads a camera's records from another
thread, and hands what is to be done to that loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from rtspkit.messages import Response
from rtspkit.testing.camera import ScriptedCamera, Seen
from rtspkit.testing.clips import Clip
from rtspkit.testing.credentials import Credentials
from rtspkit.testing.faults import Fault
from rtspkit.testing.playout import PlainCamera

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CameraThread", "LiveCamera"]

T = TypeVar("T")
C = TypeVar("C", bound=PlainCamera)


class CameraThread:
    """``with CameraThread() as thread: camera = thread.camera(Mute(after=50))``; they end with the block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._cameras: list[PlainCamera] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for camera in self._cameras:
            self.run(camera.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def camera(self, *faults: Fault, **options: Any) -> LiveCamera:
        """A running camera; arguments as for `ScriptedCamera`."""
        return LiveCamera(self.add(ScriptedCamera(*faults, **options)), self)

    def add(self, camera: C) -> C:
        """Starts a camera that has been made elsewhere."""
        self.run(camera.start())
        self._cameras.append(camera)
        return camera

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Starts the coroutine there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 30) -> T:
        """Runs the coroutine there and waits for it."""
        return self.begin(work).result(timeout)

    def do(self, function: Callable[..., object], *arguments: object) -> None:
        """Calls a function there, between two access units."""

        async def call() -> None:
            function(*arguments)

        self.run(call())


class LiveCamera:
    """A `ScriptedCamera` in a `CameraThread`, for tests with and without an event loop of their own.

    Attributes:
        camera: the camera itself. What it has recorded may be looked at from any thread; what is done to it goes
            through the methods here.
    """

    def __init__(self, camera: ScriptedCamera, thread: CameraThread) -> None:
        self.camera = camera
        self._thread = thread

    @property
    def url(self) -> str:
        """Where to read it."""
        return self.camera.url

    @property
    def url_with_credentials(self) -> str:
        """Its URL with user name and password."""
        return self.camera.url_with_credentials

    @property
    def requests(self) -> list[Seen]:
        """Everything it was asked, in order."""
        return list(self.camera.requests)

    @property
    def answers(self) -> list[Response]:
        """What readers said to requests of its own."""
        return list(self.camera.answers)

    @property
    def credentials(self) -> Credentials | None:
        """What it asks for."""
        return self.camera.credentials

    @property
    def connected(self) -> list[float]:
        """When each connection came, in monotonic seconds."""
        return list(self.camera.connected)

    @property
    def faults(self) -> list[Fault]:
        """What it does wrong; may be changed while it runs."""
        return self.camera.faults

    @faults.setter
    def faults(self, faults: list[Fault]) -> None:
        self.camera.faults = list(faults)

    def methods(self, connection: int | None = None) -> list[str]:
        """The methods of all requests so far, or of those of one connection."""
        return self.camera.methods(connection)

    def wait_for(self, method: str, count: int = 1, *, seconds: float = 5.0) -> None:
        """Until `method` has been asked `count` times; blocks. With a loop of your own, use `asked`.

        Raises:
            TimeoutError: it was not within so many seconds.
        """
        end = time.monotonic() + seconds
        while self.methods().count(method) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{method} was asked {self.methods().count(method)} times, not {count}")
            time.sleep(0.01)

    async def asked(self, method: str, count: int = 1, *, seconds: float = 5.0) -> None:
        """The same, for ``await``."""
        await self.camera.wait_for(method, count, seconds=seconds)

    def unplug(self) -> None:
        """Hangs up on everybody; connections are refused until `plug_in`."""
        self._thread.run(self.camera.unplug())

    def plug_in(self) -> None:
        """Listens again, on the same port."""
        self._thread.run(self.camera.plug_in())

    def restart(self, pause: float = 0.0) -> None:
        """Is away for `pause` seconds."""
        self._thread.run(self.camera.restart(pause), pause + 30)

    def drop(self, *, reset: bool = False) -> None:
        """Ends every connection now, with RST where `reset`."""
        self._thread.do(lambda: self.camera.drop(reset=reset))

    def change(self, media: Clip) -> None:
        """Goes over to another clip at the next sync sample of both."""
        self._thread.do(self.camera.change, media)
