"""`Player`: Chromium on the player page, without a screen, and what its <video> element went through."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .parts import require_chromium

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]

#: Media events do not bubble: they are caught on their way down. Seconds count from the page's start.
RECORDER = """
(() => {
  const record = (window.__record = { events: [], series: [], faults: [], loads: 0 });
  const key = "loads of " + location.href; // frames of one origin share the storage
  record.loads = sessionStorage[key] = (Number(sessionStorage[key]) || 0) + 1;
  const now = () => performance.now() / 1000;
  for (const type of ["waiting", "error", "stalled", "playing", "pause", "ended", "emptied", "seeking",
      "loadedmetadata", "resize"])
    document.addEventListener(type, (event) => {
      const video = event.target;
      if (!(video instanceof HTMLVideoElement)) return;
      record.events.push({ type, at: now(), position: video.currentTime, error: video.error && video.error.message });
    }, true);
  setInterval(() => {
    const video = document.querySelector("video");
    if (!video) return;
    const quality = video.getVideoPlaybackQuality();
    record.series.push([now(), video.currentTime, quality.totalVideoFrames, quality.droppedVideoFrames]);
  }, 200);
})();
"""

CODECS = {
    "h264": 'video/mp4; codecs="avc1.64001f"',
    "aac": 'video/mp4; codecs="avc1.64001f,mp4a.40.2"',
}


@dataclass
class Moment:
    """One reading: seconds since the page's start, position in the media (s), pictures shown and dropped so far."""

    at: float
    position: float
    pictures: int
    dropped: int


def speed(series: list[Moment]) -> float:
    """Seconds of media a second, over the whole series."""
    return (series[-1].position - series[0].position) / (series[-1].at - series[0].at)


@dataclass
class Refusal:
    """An answer of status 400 or more."""

    status: int
    url: str


@dataclass
class Player:
    """A page that is open, or a frame of one.

    Attributes:
        page: Playwright's page or frame.
        refusals: answers of status 400 or more to anything the page asked for.
        errors: what the page wrote to the console as an error, and exceptions nobody caught.
    """

    page: Any
    refusals: list[Refusal] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, url: str) -> "Player":
        self.page.goto(url, wait_until="domcontentloaded")
        return self

    def wait(self, seconds: float) -> None:
        """Lets the page live; time.sleep would hold up Playwright's own work."""
        self.page.wait_for_timeout(1000 * seconds)

    def until(self, condition: Callable[[], Any], timeout: float, what: str) -> float:
        """Waits for the condition and gives the page's time when it held; AssertionError says what did not come."""
        end = self.now + timeout
        while not condition():
            assert self.now < end, f"{what}: not within {timeout} s; {self.story()}"
            self.wait(0.1)
        return self.now

    @property
    def now(self) -> float:
        """Seconds since the page's start."""
        return float(self.page.evaluate("performance.now() / 1000"))

    def plays(self, timeout: float = 30.0) -> float:
        """Waits until the position runs; gives the page's time then."""

        def runs() -> bool:
            series = self.series()[-4:]
            return len(series) == 4 and series[-1].position > series[0].position + 0.2

        return self.until(runs, timeout, "the picture does not run")

    def plays_evenly(self, seconds: float = 3.0, tolerance: float = 0.15, timeout: float = 20.0) -> float:
        """Waits until media passed as fast as time for so many seconds; gives the page's time then.

        For after an outage: a player that goes on with the first segment there is has no stock, and may halt once more
        until the live edge is far enough ahead.
        """
        begin = self.now

        def does() -> bool:
            series = self.series(since=max(begin, self.now - seconds))
            return self.now > begin + seconds and abs(speed(series) - 1) < tolerance

        return self.until(does, timeout, f"media do not pass as fast as time for {seconds} s")

    def series(self, since: float = 0.0) -> list[Moment]:
        return [Moment(*row) for row in self.page.evaluate("window.__record.series") if row[0] >= since]

    def events(self, *types: str, since: float = 0.0) -> list[dict[str, Any]]:
        """The video's events of these types (all if none), each with `type`, `at`, `position`, `error`."""
        events = self.page.evaluate("window.__record.events")
        return [e for e in events if e["at"] >= since and (not types or e["type"] in types)]

    @property
    def loads(self) -> int:
        """How often the page was loaded; 1 unless something reloaded it."""
        return int(self.page.evaluate("window.__record.loads"))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture as decoded."""
        width, height = self.page.evaluate("(v => [v.videoWidth, v.videoHeight])(document.querySelector('video'))")
        return width, height

    @property
    def message(self) -> str:
        """What the viewer reads over the picture; "" if nothing is shown."""
        visible = self.page.locator("#message:visible")
        return str(visible.first.inner_text()) if visible.count() else ""

    def faults(self, since: float = 0.0) -> list[dict[str, Any]]:
        """What a bare page's player has reported, each with `at`, `fatal`, `what`, `text`."""
        return [fault for fault in self.page.evaluate("window.__record.faults") if fault["at"] >= since]

    def supports(self, codec: str) -> bool:
        return bool(self.page.evaluate("type => MediaSource.isTypeSupported(type)", CODECS[codec]))

    def screenshot(self, path: Path) -> Path:
        self.page.screenshot(path=str(path))
        return path

    def story(self) -> str:
        """For a failure's message: the last of everything."""
        return (
            f"message {self.message!r}, last readings {self.series()[-3:]}, events {self.events()[-8:]},"
            f" faults {self.faults()[-8:]}, refusals {self.refusals[-5:]}, errors {self.errors[-5:]}"
        )

    def _on_response(self, response: Any) -> None:
        if response.status >= 400:
            self.refusals.append(Refusal(response.status, response.url))

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)


@contextmanager
def chromium(profile: Path) -> Iterator[Player]:
    """A new Chromium with an empty profile in that directory and one page."""
    executable = require_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=executable,
            headless=True,
            args=ARGUMENTS,
            viewport={"width": 960, "height": 540},
        )
        try:
            page = context.pages[0] if context.pages else context.new_page()
            page.add_init_script(RECORDER)
            player = Player(page)
            page.on("response", player._on_response)
            page.on("console", player._on_console)
            page.on("pageerror", lambda error: player.errors.append(str(error)))
            yield player
        finally:
            context.close()
