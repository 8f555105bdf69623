"""`Stage`: one camera that goes wrong, two healthy ones beside it, the gateway, and players that are never reloaded.

All players of one browser page watch the first camera at once: this project's page, hls.js as it comes, Shaka Player
as it comes. `through` puts them through one fault and says what each of them lost by it.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlencode

import httpx
from fakecamera import FakeCamera

from . import clips, decoders
from .browser import Moment, Player, chromium
from .faultcamera import Cameras, FaultCamera
from .gateway import Gateway
from .hlsprobe import HlsProbe
from .pageserver import PageServer

#: Short segments, so that the faults of half an hour pass in minutes; readers are not counted.
SETTINGS = {
    "hlsSegmentDuration": "1s",
    "hlsPartDuration": "200ms",
    "hlsSegmentMaxSize": "1M",
    "maxReaders": "0",
    "readTimeout": "4s",
}
#: Shaka Player 5.2 puts the media of who joins late a millisecond from where it then wants them; where rounding has it
#: so, it sets them right before each append, and Chromium drops what comes before the next sync sample. With parts
#: that is most of the pictures, so it gets whole segments; a segment that begins with none it may lose: `no_sync_for`.
SHAKA_CONFIG = {"lowLatency": '{"streaming": {"lowLatencyMode": false}}'}
#: What Shaka Player loses besides: seconds at any time, for it keeps only three target durations and asks for a list
#: no sooner than one target duration after the last, and that part of an outage.
SHAKA_SLACK, SHAKA_SHARE = 1.5, 0.5
#: What hls.js tells our own page, noted as the bare page notes it.
LISTEN = """rtspkitPlayer.hls.on(Hls.Events.ERROR, (_, data) => window.__record.faults.push({
  at: performance.now() / 1000, fatal: data.fatal, what: data.details, text: String(data.error || "").slice(0, 150),
}))"""
#: Seconds that a player has to be running again after a fault is over.
PATIENCE = 20.0


def played(series: list[Moment]) -> float:
    """Seconds of media shown: what a seek leaves out does not count."""
    total = 0.0
    for before, after in pairwise(series):
        moved = after.position - before.position
        if 0 < moved <= 1.5 * (after.at - before.at) + 0.1:
            total += moved
    return total


class Follower(threading.Thread):
    """A reader that follows a path with a `HlsProbe` until it is stopped."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.probe = HlsProbe(url)
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.4):
            try:
                self.probe.poll()
            except httpx.TransportError as error:
                if not self.probe.is_outage:
                    self.probe.problems.append(f"{type(error).__name__}: {error}")

    def stop(self) -> None:
        self._is_over.set()
        self.join(20)
        self.probe.client.close()

    @property
    def newest(self) -> int:
        """The highest media sequence number so far."""
        return max(self.probe.segments)

    def take_problems(self) -> list[str]:
        problems, self.probe.problems = self.probe.problems, []
        return problems


@dataclass
class Passage:
    """One fault as it went.

    Attributes:
        outage: seconds in which there was nothing to show; more may become known while it goes on.
        bound: seconds that a player may lose besides.
        no_sync_for: seconds from one sync sample to the next, where segments begin without one.
        breaches: what was wrong, a line each.
        lost: by player, the seconds not played.
    """

    outage: float = 0.0
    bound: float = 2.0
    no_sync_for: float = 0.0
    breaches: list[str] = field(default_factory=list)
    lost: dict[str, float] = field(default_factory=dict)


class Stage:
    """See the top. To be entered; `hls_variant` is what the gateway is set to.

    Attributes:
        camera: the one that goes wrong, 320x180 at 25 pictures a second with sound; `do` gives it commands.
        players: by name.
        reader: follows the first camera's playlist.
        neighbours: follow the others'.
        decoder: an ffmpeg that reads the first camera's playlist all the time.
    """

    def __init__(self, directory: Path, hls_variant: str, names: tuple[str, ...]) -> None:
        self.directory, self.hls_variant, self.names = directory, hls_variant, names
        self.players: dict[str, Player] = {}
        self._loads: dict[str, int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "Stage":
        with ExitStack() as stack:
            self.cameras = stack.enter_context(Cameras())
            self.camera = self.cameras.add(FaultCamera(clips.clip()))
            others = {
                "cam_a": self.cameras.add(FakeCamera(media=clips.clip())),
                "cam_b": self.cameras.add(FakeCamera(media=clips.clip(with_sound=False))),
            }
            sources = {name: camera.url for name, camera in others.items()}
            settings = {**SETTINGS, "hlsVariant": self.hls_variant}
            self.gateway = stack.enter_context(Gateway(self.directory, self.camera.url, sources, **settings))
            pages = stack.enter_context(PageServer())
            bare = urlencode({"source": self.gateway.playlist})
            config = urlencode({"config": SHAKA_CONFIG.get(self.hls_variant, "{}")})
            self._addresses = {
                "page": self.gateway.page,
                "hls.js": f"{pages.base}/hlsjs.html?{bare}",
                "Shaka": f"{pages.base}/shaka.html?{bare}&{config}",
            }
            frames = urlencode({name: self._addresses[name] for name in self.names})
            self._page = f"{pages.base}/side-by-side.html?{frames}"
            self.reader = self._follow(stack, self.gateway.playlist)
            self.neighbours = {name: self._follow(stack, f"{self.gateway.base}/{name}/index.m3u8") for name in others}
            self._await_segments()
            self.decoder = decoders.LiveDecoder(self.gateway.playlist)
            stack.callback(lambda: self.decoder.stop())
            self.browser = stack.enter_context(chromium(self.directory / "profile"))
            self._open()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stack.__exit__(*(None, None, None) if kind is None else (kind, None, None))  # type: ignore[arg-type]

    def _follow(self, stack: ExitStack, url: str) -> Follower:
        follower = Follower(url)
        follower.probe.open()
        follower.start()
        stack.callback(follower.stop)
        return follower

    def _await_segments(self) -> None:
        """Shaka Player cannot begin with a playlist that has parts but no whole segment yet."""
        end = time.monotonic() + 20
        while sum(not segment.is_gap for segment in list(self.reader.probe.segments.values())) < 2:
            assert time.monotonic() < end, f"no two segments: {self.reader.probe.problems}, {self.gateway.log}"
            time.sleep(0.2)

    def _open(self) -> None:
        self.browser.open(self._page)
        page = self.browser.page
        for name in self.names:
            self.browser.until(lambda name=name: page.frame(name=name) is not None, 10, f"the frame of {name}")
            player = self.players[name] = Player(page.frame(name=name))
            player.page.wait_for_load_state("domcontentloaded")
            # an answer belongs to the frame that asked
            page.on("response", lambda response, player=player: self._sort(response, player))
        for player in self.players.values():
            player.plays(PATIENCE)
        if "page" in self.players:
            self.players["page"].page.evaluate(LISTEN)
        self.wait(3)

    @staticmethod
    def _sort(response: object, player: Player) -> None:
        if response.frame == player.page:  # type: ignore[attr-defined]
            player._on_response(response)

    # -- what a test calls

    def wait(self, seconds: float) -> None:
        self.browser.wait(seconds)

    def do(self, command: Callable[..., object], *arguments: object) -> None:
        """A command for the camera."""
        self.cameras.do(command, *arguments)

    def vanish(self, seconds: float) -> None:
        """The camera is away for so long."""
        work = self.cameras.begin(self.camera.vanish(seconds))
        while not work.done():
            self.wait(0.1)
        work.result()

    def restart_gateway(self) -> float:
        """SIGKILL and a new start; gives the seconds until it listens again."""
        began = time.monotonic()
        self.gateway.kill()
        self.gateway.start()
        return time.monotonic() - began

    def await_size(self, width: int, height: int) -> None:
        """Until all players show a picture of that size."""
        end = time.monotonic() + PATIENCE
        while set(self.sizes().values()) != {(width, height)}:
            stories = {name: player.story() for name, player in self.players.items()}
            assert time.monotonic() < end, f"not {width}x{height} within {PATIENCE} s: {self.sizes()}; {stories}"
            self.wait(0.2)

    def sizes(self) -> dict[str, tuple[int, int]]:
        return {name: player.size for name, player in self.players.items()}

    @contextmanager
    def through(
        self,
        *,
        outage: float = 0.0,
        bound: float = 2.0,
        pictures: float = 15.0,
        after: float = 4.0,
        all_are_out: bool = False,
        no_sync_for: float = 0.0,
        **allowed: object,
    ) -> Iterator[Passage]:
        """Watches everybody while the block plays a fault, and for `after` seconds more.

        Args:
            outage: seconds for which there is nothing to show.
            bound: seconds that a player may lose besides.
            pictures: that are shown in each second played, at the least.
            after: seconds.
            all_are_out: the neighbours have the outage too, for the gateway is away.
            no_sync_for: seconds from one sync sample to the next, where segments begin without one.
            allowed: attributes of `HlsProbe` that allow something to the first camera's playlist.

        Raises:
            AssertionError: with all that anybody lost.
        """
        passage = Passage(outage, bound, no_sync_for)
        if no_sync_for:
            allowed["wants_sync"] = False
        self._settle()
        since = {name: player.now for name, player in self.players.items()}
        for follower in (self.reader, *self.neighbours.values()):
            follower.take_problems()
            follower.probe.is_outage = all_are_out or (follower is self.reader and outage > 0)
        usual = {name: getattr(self.reader.probe, name) for name in allowed}
        vars(self.reader.probe).update(allowed)
        decoded, said, began = self.decoder.pictures, len(self.decoder.lines), time.monotonic()
        first = {name: follower.newest for name, follower in self.neighbours.items()}
        yield passage
        self.wait(after)
        for name, player in self.players.items():
            self._judge(name, player, since[name], passage, pictures)
        seconds, decoded = time.monotonic() - began, self.decoder.pictures - decoded
        wanted = pictures * max(0.0, seconds - 1.5 * passage.outage - passage.bound - 2)  # it reads segment by segment
        if all_are_out:  # it ends when it is refused a connection
            self.decoder.stop()
            self.decoder = decoders.LiveDecoder(self.gateway.playlist)
        elif not self.decoder.is_running or decoded < wanted:
            passage.breaches.append(
                f"ffmpeg: {decoded} pictures in {seconds:.1f} s, {wanted:.0f} wanted;"
                f" {'running' if self.decoder.is_running else 'ended'}: {shortened(self.decoder.lines[said:])[-8:]}"
            )
        for name, follower in {"": self.reader, **self.neighbours}.items():
            passage.breaches += [f"{name} {line}".strip() for line in shortened(follower.take_problems())]
            follower.probe.is_outage = False
        vars(self.reader.probe).update(usual)
        if not all_are_out:
            for name, follower in self.neighbours.items():
                passage.breaches += [f"{name}: {line}" for line in gaps(follower, first[name])]
        assert not passage.breaches, f"lost {passage.lost}\n" + "\n".join(passage.breaches)

    def _settle(self) -> None:
        """Everybody plays. Who does not was broken by an earlier fault, which has told so, and is opened anew."""
        for name, player in self.players.items():
            try:
                player.until(lambda player=player: is_steady(player.series()), PATIENCE, f"{name} does not run")
            except AssertionError:
                player.page.goto(self._addresses[name])
                player.plays(PATIENCE)
                self.wait(3)
            self._loads[name] = player.loads

    def _judge(self, name: str, player: Player, since: float, passage: Passage, pictures: float) -> None:
        try:
            player.plays(PATIENCE)
        except AssertionError as error:
            passage.breaches.append(f"{name}: {error}")
        series = player.series(since)
        elapsed, shown = series[-1].at - series[0].at, played(series)
        passage.lost[name] = round(elapsed - shown, 2)
        allowed = passage.outage + passage.bound
        if name == "Shaka":
            allowed += SHAKA_SLACK + SHAKA_SHARE * passage.outage + passage.no_sync_for
        if elapsed - shown > allowed:
            passage.breaches.append(
                f"{name}: {shown:.1f} s played of {elapsed:.1f} s: {elapsed - shown:.1f} s lost, {allowed:.1f} allowed;"
                f" halts {halts(series)}; {shortened([str(fault) for fault in player.faults(since)])};"
                f" refusals {player.refusals[-6:]}"
            )
        count = series[-1].pictures - series[0].pictures
        if count < pictures * shown and not (name == "Shaka" and passage.no_sync_for):
            passage.breaches.append(f"{name}: {count} pictures in {shown:.1f} s played, {pictures} a second wanted")
        passage.breaches += [f"{name}: {fault}" for fault in player.faults(since) if fault["fatal"]][:3]
        passage.breaches += [f"{name}: {event}" for event in player.events("error", "ended", since=since)]
        if player.loads != self._loads[name]:
            passage.breaches.append(f"{name}: the page was loaded anew")


def is_steady(series: list[Moment]) -> bool:
    """Whether the picture has run without a halt for the last two seconds."""
    return len(series) > 10 and played(series[-11:]) > 0.9 * (series[-1].at - series[-11].at)


def halts(series: list[Moment]) -> list[tuple[float, float]]:
    """When the picture stood for over half a second, and how long: seconds from the start of the series."""
    found, begin = [], None
    for before, after in pairwise(series):
        if after.position == before.position:
            begin = before.at if begin is None else begin
        elif begin is not None:
            if before.at - begin > 0.5:
                found.append((round(begin - series[0].at, 1), round(before.at - begin, 1)))
            begin = None
    return found


def shortened(lines: list[str]) -> list[str]:
    """Lines that differ in numbers only are told once, with their count."""
    kinds: dict[str, list[str]] = {}
    for line in lines:
        kinds.setdefault(re.sub(r"[0-9a-f]{32}|[0-9.]+", "#", line), []).append(line)
    return [same[0] + (f" (and {len(same) - 1} more)" if same[1:] else "") for same in kinds.values()]


def gaps(follower: Follower, first: int) -> Iterator[str]:
    """What is missing in a playlist from that media sequence number on; a healthy camera has none of it."""
    segments = [follower.probe.segments[msn] for msn in sorted(follower.probe.segments) if msn >= first]
    for segment in segments:
        if segment.is_gap:
            yield f"segment {segment.msn} is a gap"
        if segment.starts_discontinuity:
            yield f"a discontinuity at segment {segment.msn}"
    for before, after in pairwise(segments):
        if after.msn != before.msn + 1:
            yield f"segments {before.msn + 1} to {after.msn - 1} were never seen"
    age = time.time() - segments[-1].time.timestamp() - segments[-1].duration if segments[-1].time else 0.0
    if age > 4:
        yield f"its newest media are {age:.1f} s old"
