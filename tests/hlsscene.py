"""A gateway with cameras that misbehave and two healthy ones, and viewers of them as a player is one.

Whatever the cameras do, the healthy ones' playlists must show nothing of it, and the log no traceback and no password.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Generic, TypeVar

import boxes
import httpx
from hlsrules import Audit

from rtspkit.asgi import HLSApp
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.server.config import load_text_config
from rtspkit.server.gateway import Gateway
from rtspkit.server.paths import Path
from rtspkit.testing import PlainCamera, ScriptedCamera

#: Global keys: media over TCP …
TCP = "pathDefaults:\n  rtspTransport: tcp\n"
#: … deadlines of two seconds, and one try.
ONCE = f"readTimeout: 2s\nsourceTries: 1\n{TCP}"

VARIANTS = {"plain": "hlsVariant: fmp4\n", "quick": "hlsVariant: lowLatency\nhlsPartDuration: 200ms\n"}

#: The same as keys of a path.
OWN = {name: "".join(f"    {line}\n" for line in text.splitlines()) for name, text in VARIANTS.items()}

C = TypeVar("C", bound=PlainCamera)


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    """Waits for it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come to that"
        await asyncio.sleep(0.01)


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


def pictures_in_order(camera: PlainCamera) -> list[bytes]:
    """The samples that a camera's pictures become, once round."""
    return [
        b"".join(len(nal).to_bytes(4, "big") + nal for nal in unit if nal[0] & 0x1F not in {7, 8, 9})
        for unit in camera.clip.tracks[0].units
    ]


def pictures_of(camera: PlainCamera) -> set[bytes]:
    """The samples that a camera's pictures become."""
    return set(pictures_in_order(camera))


class Log(logging.Handler):
    """What the gateway says, and what asyncio has to say of it.

    Attributes:
        lines: all of them; `errors` those that are.
        traces: those that come with a traceback, or are asyncio's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.traces: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if record.levelno >= logging.ERROR:
            self.errors.append(record.getMessage())
        if record.exc_info or record.name == "asyncio":
            self.traces.append(record.getMessage())

    def of(self, path: str) -> list[str]:
        """What a path's camera was lost for; what is the same again is not said again."""
        prefix = f"[path {path}] [RTSP source] "
        return [line.removeprefix(prefix) for line in self.errors if line.startswith(prefix)]


@contextmanager
def logged() -> Iterator[Log]:
    """Listens to the log."""
    log = Log()
    ours, foreign = logging.getLogger("rtspkit.server"), logging.getLogger("asyncio")
    level = ours.level
    ours.setLevel(logging.DEBUG)
    for one in (ours, foreign):
        one.addHandler(log)
    try:
        yield log
    finally:
        ours.setLevel(level)
        for one in (ours, foreign):
            one.removeHandler(log)


class Scene(Generic[C]):
    """The gateway, its cameras and a viewer for each healthy one.

    Attributes:
        cameras: those with faults, by the name of their path.
        log: what was said.
    """

    def __init__(self, gateway: Gateway, cameras: dict[str, C], client: httpx.AsyncClient, log: Log) -> None:
        self.gateway, self.cameras, self.client, self.log = gateway, cameras, client, log
        self.neighbours = [Viewer(client, "left"), Viewer(client, "right")]
        self.viewers: list[Viewer] = []

    @property
    def app(self) -> HLSApp:
        """What holds the requests."""
        found = self.gateway.hls._server.config.app._app  # type: ignore[union-attr]
        assert isinstance(found, HLSApp)
        return found

    @property
    def camera(self) -> C:
        """The only one with a fault."""
        (camera,) = self.cameras.values()
        return camera

    @property
    def path(self) -> Path:
        """Of that one."""
        return self.find("cam")

    def find(self, name: str) -> Path:
        found = self.gateway.paths.find(name)
        assert found is not None
        return found

    def viewer(self, name: str = "cam") -> Viewer:
        """One more, of a camera with a fault."""
        self.viewers.append(Viewer(self.client, name))
        return self.viewers[-1]

    async def live(self, *names: str) -> None:
        """Until their cameras send."""
        await until(lambda: all(self.find(name).state == "live" for name in names or ("cam",)))

    async def lost(self, reason: str, name: str = "cam") -> None:
        """Until a camera has been lost for that reason, a regular expression; "HERE" in it is the camera's address."""
        pattern = reason.replace("HERE", f"127.0.0.1:{self.cameras[name].port}")
        await until(lambda: any(re.fullmatch(pattern, line) for line in self.log.of(name)))

    async def failed(self, reason: str, name: str = "cam") -> None:
        """Until a path is `failed`, for a reason as in `lost`; everybody who asks is told."""
        await until(lambda: self.find(name).state == "failed")
        item = await self.api(name)
        assert item["state"] == "failed"
        assert item["stateReason"] == item["health"]["lastError"]
        assert item["nextTry"] or self.find(name).next_try is None  # it is being tried
        assert re.fullmatch(reason.replace("HERE", f"127.0.0.1:{self.cameras[name].port}"), item["stateReason"])
        assert self.log.of(name) == [item["stateReason"]]
        reply = await self.client.get(f"/{name}/stream.m3u8")
        assert reply.status_code == 404
        assert re.fullmatch(re.escape(item["stateReason"]) + r"(; the next try is within \d+0 s)?\n", reply.text)

    async def api(self, name: str = "cam") -> dict[str, Any]:
        """What the control API says of a path."""
        assert self.gateway.api is not None
        reply = await self.client.get(f"http://127.0.0.1:{self.gateway.api.port}/v3/paths/get/{name}")
        assert reply.status_code == 200
        self._check_secrets(reply.text)
        return dict(reply.json())

    async def segments(self, viewer: Viewer) -> list[bytes]:
        """All segments that are listed."""
        names = re.findall(r"(?m)^(\w+/seg_\d+\.mp4)$", viewer.text)
        return [(await self.client.get(f"/{viewer.name}/{name}")).content for name in names]

    async def samples(self, viewer: Viewer, track: int) -> list[boxes.Sample]:
        """Those of a track, counted from 1, in all segments that are listed."""
        fragments = [fragment for data in await self.segments(viewer) for fragment in boxes.fragments(data)]
        runs = (run for fragment in fragments for run in fragment.runs)
        return [sample for run in runs if run.track_id == track for sample in run.samples]

    async def pictures(self, viewer: Viewer) -> list[bytes]:
        """The data of the video's samples in all segments that are listed."""
        return [sample.data for sample in await self.samples(viewer, 1)]

    def check_neighbours(self) -> None:
        for viewer in self.neighbours:
            assert set(viewer.statuses) == {200}, viewer.name
            assert len(viewer.texts) >= 2
            # a Low-Latency playlist may begin with gaps, but has none behind its first media
            assert "gap" not in re.sub(r"^(gap )+", "", " ".join(viewer.media))
            assert "#EXT-X-DISCONTINUITY\n" not in viewer.text
            assert viewer.audit.violations == [], viewer.text
            assert viewer.longest < 7  # nothing is held longer than 8 s; a machine may be busy
            camera = self.find(viewer.name).source.camera
            assert camera is not None
            assert camera.stats().packets_lost == camera.stats().errors == 0

    def check_log(self) -> None:
        assert self.log.traces == []
        self._check_secrets("\n".join(self.log.lines))

    def _check_secrets(self, text: str) -> None:
        for camera in self.cameras.values():
            if isinstance(camera, ScriptedCamera) and camera.credentials is not None:
                assert camera.credentials.password not in text


@asynccontextmanager
async def scene(
    variant: str,
    camera: C | Mapping[str, C],
    *,
    more: str = "",
    own: str | Mapping[str, str] = "",
    source: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> AsyncIterator[Scene[C]]:
    """A scene.

    Args:
        variant: of `VARIANTS`.
        camera: with the fault; its path is "cam". Or several, by the names of their paths.
        more: global keys.
        own: keys of the paths with the faults, each line indented by four; or different ones by the names of the paths.
        source: of the one camera; its URL if None.
        limits: bounds on what cameras send.
    """
    cameras: dict[str, C] = dict(camera) if isinstance(camera, Mapping) else {"cam": camera}
    async with AsyncExitStack() as stack:
        log = stack.enter_context(logged())
        for bad in cameras.values():
            await stack.enter_async_context(bad)
        left, right = [await stack.enter_async_context(ScriptedCamera()) for _ in range(2)]
        text = "hlsAddress: 127.0.0.1:0\napiAddress: 127.0.0.1:0\nhlsSegmentDuration: 1s\nstateDirectory: no\n"
        text += f"{VARIANTS[variant]}{more}paths:\n"
        for name, bad in cameras.items():
            url = source or (bad.url_with_credentials if isinstance(bad, ScriptedCamera) else bad.url)
            text += f"  {name}:\n    source: {url}\n{own if isinstance(own, str) else own.get(name, '')}"
        text += f"  left:\n    source: {left.url}\n  right:\n    source: {right.url}\n"
        config = load_text_config(text.encode(), "test")
        gateway = await stack.enter_async_context(Gateway(config, limits=limits))
        assert gateway.hls is not None
        connections = httpx.Limits(max_connections=400)
        url = f"http://127.0.0.1:{gateway.hls.port}"
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=12, limits=connections))
        one = Scene(gateway, cameras, client, log)
        try:
            await asyncio.gather(*(viewer.plays() for viewer in one.neighbours))
            yield one
            await asyncio.gather(*(viewer.plays() for viewer in one.neighbours))
            one.check_neighbours()
            one.check_log()
        finally:
            for viewer in (*one.neighbours, *one.viewers):
                await viewer.stop()
