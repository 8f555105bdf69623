"""`Stage`: one camera that goes wrong, two healthy ones beside it, gateways, and players that are never reloaded.

All players of one browser page watch the first camera at once, as plain HLS and as Low-Latency HLS: this project's
page, hls.js as it comes, and, plain HLS only, Shaka Player as it comes. `through` puts them through one fault and says
what each of them lost by it.

Judged strictly, that is to the second, with every picture and each segment. Otherwise as a viewer would, on a machine
that may be busy: everybody plays on by itself and has lost no more than `LOOSE` seconds besides, the page is the same,
no player has given up, and the healthy cameras have noticed nothing.
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

from rtspkit.testing import CameraThread, ScriptedCamera

from . import clips, decoders
from .browser import Moment, Player, chromium
from .faultcamera import FaultCamera
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
#: so, it sets them right before each append, and Chromium drops what comes before the next sync sample: a segment that
#: begins with none may be lost (`no_sync_for`), and of parts most of the pictures. Told to take whole segments, it
#: stays behind a list whose segments are shorter than the target duration until it knows no segment any more. So it
#: watches plain HLS.
SHAKA_VARIANTS = ("fmp4",)
#: What it loses besides: seconds at any time, for it asks for a list no sooner than a target duration after the last;
#: and that part of an outage.
SHAKA_SLACK, SHAKA_SHARE = 1.5, 0.5
#: What hls.js tells our own page, noted as the bare page notes it.
LISTEN = """rtspkitPlayer.hls.on(Hls.Events.ERROR, (_, data) => window.__record.faults.push({
  at: performance.now() / 1000, fatal: data.fatal, what: data.details, text: String(data.error || "").slice(0, 150),
}))"""
#: Seconds that a player has to be running again after a fault is over.
PATIENCE = 20.0
#: Seconds that a player may lose besides, where it is not judged strictly; it is not watched for as long then.
LOOSE = 6.0


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
    """One fault as it went; for the rest see `Stage.through`.

    Attributes:
        breaches: what was wrong, a line each.
        lost: by player, the seconds not played.
    """

    outage: float
    bound: float
    pictures: float
    all_are_out: bool
    no_sync_for: float
    shaka: float
    is_strict: bool
    allowed: dict[str, object]
    breaches: list[str] = field(default_factory=list)
    lost: dict[str, float] = field(default_factory=dict)


class Side:
    """A gateway with all who read from it.

    Attributes:
        reader: follows the first camera's playlist.
        neighbours: follow the others'.
        decoder: an ffmpeg that reads the first camera's playlist all the time.
        addresses: the players' pages, by the players' names.
    """

    def __init__(self, variant: str, directory: Path, source: str, neighbours: dict[str, str], pages: str) -> None:
        self.variant = variant
        directory.mkdir()
        self.gateway = Gateway(directory, source, neighbours, **{**SETTINGS, "hlsVariant": variant})
        self._names = tuple(neighbours)
        bare = urlencode({"source": self.gateway.playlist})
        self.addresses = {
            f"{variant} page": self.gateway.page,
            f"{variant} hls.js": f"{pages}/hlsjs.html?{bare}",
        }
        if variant in SHAKA_VARIANTS:
            self.addresses[f"{variant} Shaka"] = f"{pages}/shaka.html?{bare}"

    def enter(self, stack: ExitStack) -> None:
        stack.enter_context(self.gateway)
        self.reader = self._follow(stack, self.gateway.playlist)
        self.neighbours = {name: self._follow(stack, f"{self.gateway.base}/{name}/index.m3u8") for name in self._names}
        # Shaka Player cannot begin with a playlist that has parts but no whole segment yet
        end = time.monotonic() + 20
        while sum(not segment.is_gap for segment in list(self.reader.probe.segments.values())) < 2:
            assert time.monotonic() < end, f"no two segments: {self.reader.probe.problems}, {self.gateway.log}"
            time.sleep(0.2)
        self.decoder = decoders.LiveDecoder(self.gateway.playlist)
        stack.callback(lambda: self.decoder.stop())

    def _follow(self, stack: ExitStack, url: str) -> Follower:
        follower = Follower(url)
        follower.probe.open()
        follower.start()
        stack.callback(follower.stop)
        return follower

    def restart(self) -> float:
        """SIGKILL and a new start of the gateway; gives the seconds until it listens again."""
        began = time.monotonic()
        self.gateway.kill()
        self.gateway.start()
        return time.monotonic() - began

    # -- what is noted before a fault, and judged after it

    def begin(self, passage: "Passage") -> None:
        for follower in (self.reader, *self.neighbours.values()):
            follower.take_problems()
            follower.probe.is_outage = passage.all_are_out or (follower is self.reader and passage.outage > 0)
        self._usual = {name: getattr(self.reader.probe, name) for name in passage.allowed}
        vars(self.reader.probe).update(passage.allowed)
        self._first = {name: follower.newest for name, follower in self.neighbours.items()}
        self._began, self._pictures, self._said = time.monotonic(), self.decoder.pictures, len(self.decoder.lines)

    def judge(self, passage: "Passage") -> Iterator[str]:
        """What was wrong, a line each."""
        yield from self._judge_decoder(passage)
        for name, follower in {"": self.reader, **self.neighbours}.items():
            problems = shortened(follower.take_problems())
            if passage.is_strict:
                yield from (f"{name} {line}".strip() for line in problems)
            follower.probe.is_outage = False
        vars(self.reader.probe).update(self._usual)
        if not passage.all_are_out:
            for name, follower in self.neighbours.items():
                oldest = 4.0 + (0.0 if passage.is_strict else LOOSE)
                yield from (f"{name}: {line}" for line in gaps(follower, self._first[name], oldest))

    def _judge_decoder(self, passage: "Passage") -> Iterator[str]:
        if passage.all_are_out:  # it ends when it is refused a connection
            self.decoder.stop()
            self.decoder = decoders.LiveDecoder(self.gateway.playlist)
            return
        seconds, count = time.monotonic() - self._began, self.decoder.pictures - self._pictures
        # it reads segment by segment
        wanted = passage.pictures * max(0.0, seconds - 1.5 * passage.outage - passage.bound - 2) * passage.is_strict
        if not self.decoder.is_running or count < wanted:
            state = "is running" if self.decoder.is_running else "has ended"
            lines = shortened(self.decoder.lines[self._said :])[-8:]
            yield f"ffmpeg: {count} pictures in {seconds:.1f} s, {wanted:.0f} wanted; {state}: {lines}"


class Stage:
    """See the top. To be entered.

    Attributes:
        camera: the one that goes wrong, 320x180 at 25 pictures a second with sound; `do` gives it commands.
        sides: a gateway for each HLS variant, all of the same cameras.
        is_strict: how it is judged.
        players: by name, that of the variant first.
    """

    def __init__(
        self, directory: Path, variants: tuple[str, ...] = ("fmp4", "lowLatency"), *, is_strict: bool = True
    ) -> None:
        self.directory, self.variants, self.is_strict = directory, variants, is_strict
        self.players: dict[str, Player] = {}
        self.sides: list[Side] = []
        self._addresses: dict[str, str] = {}
        self._loads: dict[str, int] = {}
        self._has_failed = False
        self._stack = ExitStack()

    def __enter__(self) -> "Stage":
        with ExitStack() as stack:
            self.cameras = stack.enter_context(CameraThread())
            self.camera = self.cameras.add(FaultCamera(clips.clip()))
            others = {
                "cam_a": self.cameras.add(ScriptedCamera(media=clips.clip())),
                "cam_b": self.cameras.add(ScriptedCamera(media=clips.clip(with_sound=False))),
            }
            sources = {name: camera.url for name, camera in others.items()}
            pages = stack.enter_context(PageServer())
            for variant in self.variants:
                side = Side(variant, self.directory / variant, self.camera.url, sources, pages.base)
                side.enter(stack)
                self.sides.append(side)
                self._addresses.update(side.addresses)
            self.browser = stack.enter_context(chromium(self.directory / "profile"))
            self._open(f"{pages.base}/side-by-side.html?{urlencode(self._addresses)}")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stack.__exit__(*(None, None, None) if kind is None else (kind, None, None))  # type: ignore[arg-type]

    def _open(self, address: str) -> None:
        self.browser.open(address)
        page = self.browser.page
        for name in self._addresses:
            self.browser.until(lambda name=name: page.frame(name=name) is not None, 10, f"the frame of {name}")
            player = self.players[name] = Player(page.frame(name=name))
            player.page.wait_for_load_state("domcontentloaded")
            # an answer belongs to the frame that asked
            page.on("response", lambda response, player=player: self._sort(response, player))
        for name, player in self.players.items():
            player.plays(PATIENCE)
            if name.endswith("page"):
                player.page.evaluate(LISTEN)
        self.wait(3)

    @staticmethod
    def _sort(response: object, player: Player) -> None:
        if response.frame == player.page:  # type: ignore[attr-defined]
            player._on_response(response)

    # -- what a test calls

    def wait(self, seconds: float) -> None:
        """That long where it is judged strictly, else three quarters of it."""
        self.browser.wait(seconds if self.is_strict else 0.75 * seconds)

    def do(self, command: Callable[..., object], *arguments: object) -> None:
        """A command for the camera."""
        self.cameras.do(command, *arguments)

    def vanish(self, seconds: float, **vices: object) -> None:
        """The camera is away for so long, and comes back with these vices."""
        work = self.cameras.begin(self.camera.vanish(seconds, **vices))
        while not work.done():
            self.wait(0.1)
        work.result()

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
        shaka: float = 0.0,
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
            shaka: seconds that Shaka Player may lose besides.
            allowed: attributes of `HlsProbe` that allow something to the first camera's playlist.

        Raises:
            AssertionError: with all that anybody lost.
        """
        if no_sync_for:
            allowed["wants_sync"] = False
        if not self.is_strict:
            bound, pictures, after = bound + LOOSE, 0.0, min(after, 3.0)
        passage = Passage(outage, bound, pictures, all_are_out, no_sync_for, shaka, self.is_strict, allowed)
        self._settle()
        since = {name: player.now for name, player in self.players.items()}
        for side in self.sides:
            side.begin(passage)
        self._has_failed, had_failed = True, self._has_failed
        try:
            yield passage
            self.wait(after)
            for name, player in self.players.items():
                self._judge(name, player, since[name], passage)
        finally:
            for side in self.sides:
                passage.breaches += [f"{side.variant} {line}" for line in side.judge(passage)]
        self._has_failed = had_failed or bool(passage.breaches)
        assert not passage.breaches, f"lost {passage.lost}\n" + "\n".join(passage.breaches)

    def _settle(self) -> None:
        """Everybody plays. Who does not, once a fault has been failed, is opened anew; else nobody ever is."""
        for name, player in self.players.items():
            try:
                player.until(lambda player=player: is_steady(player.series()), PATIENCE, f"{name} does not run")
            except AssertionError:
                if not self._has_failed:
                    raise
                player.page.goto(self._addresses[name])
                player.plays(PATIENCE)
                self.wait(3)
            self._loads[name] = player.loads

    def _judge(self, name: str, player: Player, since: float, passage: Passage) -> None:
        try:
            player.plays(PATIENCE)
        except AssertionError as error:
            passage.breaches.append(f"{name}: {error}")
        series = player.series(since)
        elapsed, shown = series[-1].at - series[0].at, played(series)
        passage.lost[name] = round(elapsed - shown, 2)
        allowed = passage.outage + passage.bound
        if name.endswith("Shaka"):
            allowed += SHAKA_SLACK + SHAKA_SHARE * passage.outage + passage.no_sync_for + passage.shaka
        if elapsed - shown > allowed:
            passage.breaches.append(
                f"{name}: {shown:.1f} s played of {elapsed:.1f} s: {elapsed - shown:.1f} s lost, {allowed:.1f} allowed;"
                f" halts {halts(series)}; {shortened([str(fault) for fault in player.faults(since)])};"
                f" refusals {player.refusals[-6:]}"
            )
        count = series[-1].pictures - series[0].pictures
        if count < passage.pictures * shown and not (name.endswith("Shaka") and passage.no_sync_for):
            passage.breaches.append(
                f"{name}: {count} pictures in {shown:.1f} s played, {passage.pictures} a second wanted"
            )
        if not (name.endswith("Shaka") and passage.all_are_out):  # it calls each failed request critical, and goes on
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


def gaps(follower: Follower, first: int, oldest: float) -> Iterator[str]:
    """What is missing in a playlist from that media sequence number on; a healthy camera has none of it.

    Args:
        follower: of that playlist.
        first: the media sequence number.
        oldest: seconds that its newest media may be old.
    """
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
    if age > oldest:
        yield f"its newest media are {age:.1f} s old"
