"""A gateway with a camera that misbehaves and two healthy ones, and viewers of all three as a player is one."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import httpx
from hlsrules import Audit

from rtspkit.asgi import HLSApp
from rtspkit.server.config import load_text_config
from rtspkit.server.gateway import Gateway
from rtspkit.server.paths import Path
from rtspkit.testing import PlainCamera, ScriptedCamera

VARIANTS = {"plain": "hlsVariant: fmp4\n", "quick": "hlsVariant: lowLatency\nhlsPartDuration: 200ms\n"}

C = TypeVar("C", bound=PlainCamera)


class Viewer:
    """Reads one media playlist as a player does, again and again, and keeps what it meets.

    Attributes:
        statuses: of all answers but the first 200 and those before it.
        longest: seconds that an answer took at most.
        text: the last playlist.
    """

    def __init__(self, client: httpx.AsyncClient, name: str) -> None:
        self.client, self.name = client, name
        self.statuses: list[int] = []
        self.longest = 0.0
        self.text = ""
        self.texts: list[str] = []
        self.audit = Audit(exact=False, patience=2.0, ignore=frozenset({"version-high"}))
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        query = ""
        while True:
            asked = time.monotonic()
            reply = await self.client.get(f"/{self.name}/stream.m3u8{query}")
            self.longest = max(self.longest, time.monotonic() - asked)
            if self.text:
                self.statuses.append(reply.status_code)
            if reply.status_code == 200 and reply.text != self.text:
                self.text = reply.text
                self.texts.append(reply.text)
                self.audit.snapshot(time.monotonic(), reply.text)
            query = self._next() if reply.status_code == 200 else query
            await asyncio.sleep(0.005 if query and reply.status_code == 200 else 0.2)

    def _next(self) -> str:
        if "CAN-BLOCK-RELOAD=YES" not in self.text:
            return ""
        head, _, tail = self.text.rpartition("#EXTINF")
        return f"?_HLS_msn={self.first + head.count('#EXTINF') + 1}&_HLS_part={tail.count('#EXT-X-PART:')}"

    @property
    def first(self) -> int:
        """Media sequence number of the first segment that is listed."""
        return self.number("MEDIA-SEQUENCE")

    def number(self, tag: str) -> int:
        found = re.search(rf"#EXT-X-{tag}:(\d+)", self.text)
        return int(found[1]) if found else 0

    @property
    def media(self) -> list[str]:
        """What is listed: names of segments and parts with media, "gap" where there are none."""
        names = re.findall(r'(?m)^\w+/(\w+)\.mp4$|EXT-X-PART:.*?URI="\w+/(\w+)\.mp4"', self.text)
        return [segment or part for segment, part in names]

    @property
    def epoch(self) -> str:
        return re.findall(r'(?m)^#EXT-X-MAP:URI="(\w+)/', self.text)[-1]

    @property
    def discontinuities(self) -> int:
        return self.number("DISCONTINUITY-SEQUENCE") + self.text.count("#EXT-X-DISCONTINUITY\n")

    async def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"it has not come to that: {self.statuses[-5:]}\n{self.text}"
            await asyncio.sleep(0.02)

    async def plays(self, seconds: float = 20.0) -> None:
        """Until new media are listed."""
        known = [name for text in self.texts for name in re.findall(r"/((?:seg|part)_\d+)\.mp4", text)]
        await self.until(lambda: self.media and self.media[-1] != "gap" and self.media[-1] not in known, seconds)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()


class Scene(Generic[C]):
    """The gateway, its cameras and a viewer for each healthy one."""

    def __init__(self, gateway: Gateway, camera: C, client: httpx.AsyncClient) -> None:
        self.gateway, self.camera, self.client = gateway, camera, client
        self.neighbours = [Viewer(client, "left"), Viewer(client, "right")]
        self.viewers: list[Viewer] = []

    @property
    def app(self) -> HLSApp:
        """What holds the requests."""
        found = self.gateway.hls._server.config.app._app  # type: ignore[union-attr]
        assert isinstance(found, HLSApp)
        return found

    @property
    def path(self) -> Path:
        found = self.gateway.paths.find("cam")
        assert found is not None
        return found

    def viewer(self) -> Viewer:
        """One more, of the camera with the fault."""
        self.viewers.append(Viewer(self.client, "cam"))
        return self.viewers[-1]

    def check_neighbours(self) -> None:
        for viewer in self.neighbours:
            assert set(viewer.statuses) == {200}, viewer.name
            assert len(viewer.texts) >= 2
            # a Low-Latency playlist may begin with gaps, but has none behind its first media
            assert "gap" not in re.sub(r"^(gap )+", "", " ".join(viewer.media))
            assert "#EXT-X-DISCONTINUITY\n" not in viewer.text
            assert viewer.audit.violations == [], viewer.text
            assert viewer.longest < 4


@asynccontextmanager
async def scene(
    variant: str, camera: C, more: str = "", own: str = "", source: str | None = None
) -> AsyncIterator[Scene[C]]:
    """A scene.

    Args:
        variant: of `VARIANTS`.
        camera: with the fault.
        more: global keys.
        own: keys of the path with the fault, each line indented by four.
        source: of that path; the camera's URL if None.
    """
    async with camera as bad, ScriptedCamera() as left, ScriptedCamera() as right:
        text = (
            f"hlsAddress: 127.0.0.1:0\napi: no\nhlsSegmentDuration: 1s\nstateDirectory: no\n{VARIANTS[variant]}{more}"
        )
        text += f"paths:\n  cam:\n    source: {source or bad.url}\n{own}"
        text += f"  left:\n    source: {left.url}\n  right:\n    source: {right.url}\n"
        async with Gateway(load_text_config(text.encode(), "test")) as gateway:
            assert gateway.hls is not None
            limits = httpx.Limits(max_connections=400)
            url = f"http://127.0.0.1:{gateway.hls.port}"
            async with httpx.AsyncClient(base_url=url, timeout=12, limits=limits) as client:
                one = Scene(gateway, camera, client)
                try:
                    await asyncio.gather(*(viewer.plays() for viewer in one.neighbours))
                    yield one
                    await asyncio.gather(*(viewer.plays() for viewer in one.neighbours))
                    one.check_neighbours()
                finally:
                    for viewer in (*one.neighbours, *one.viewers):
                        await viewer.stop()
