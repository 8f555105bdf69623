"""The pages: nothing foreign in them, nothing inline, any name safe; in Chromium, that it tells why and comes back."""

import hashlib
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from real.parts import require_chromium, require_ffmpeg

from rtspkit.server import web

MESSAGE = "rtspkitPlayer.message"
NOTE = "rtspkitPlayer.note"
FOLDER = Path(web.__file__).parent


def test_page_shows_the_path() -> None:
    page = web.player_page("cam_2").decode()
    assert "<title>cam_2</title>" in page
    assert 'aria-label="Live picture of cam_2"' in page
    assert "{{" not in page


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"onload="x', "a'b", "&lt;", "\ud800"])
def test_names_are_escaped(name: str) -> None:
    markup = re.sub(r"<title>.*?</title>|<h1>.*?</h1>", "", web.player_page(name).decode())
    assert markup.count("<script") == 2
    assert "onload=" not in markup.replace("&quot;onload=", "")
    listing = web.index_page([name]).decode()
    assert "<script" not in listing
    assert '"onload' not in listing


def test_index_lists_the_paths_in_order() -> None:
    listing = web.index_page(["yard/north", "door"]).decode()
    assert re.findall(r'href="([^"]+/)"', listing) == ["./yard/north/", "./door/"]
    assert "No camera is configured." in web.index_page([]).decode()


@pytest.mark.parametrize("name", ["hls.min.js", "player.js", "player.css"])
def test_assets(name: str) -> None:
    found = web.asset(name)
    assert found is not None
    body, content_type = found
    assert body == (FOLDER / name).read_bytes()
    assert content_type.startswith("text/javascript" if name.endswith("js") else "text/css")


@pytest.mark.parametrize(
    "name", ["", "__init__.py", "../__init__.py", "player.html", "hls.js-LICENSE", "PLAYER.JS", "player.js/"]
)
def test_other_files_are_not_served(name: str) -> None:
    assert web.asset(name) is None


def test_every_file_a_page_asks_for_is_there() -> None:
    for page in (web.player_page("cam"), web.index_page(["cam"])):
        for address in re.findall(r'(?:src|href)="([^"]+)"', page.decode()):
            if not address.startswith(("data:", "./")) and address != "index.m3u8":
                assert web.asset(address) is not None, address


def test_nothing_inline_and_nothing_foreign() -> None:
    """The pages must hold under the policy that is sent with them."""
    for page in (web.player_page("cam").decode(), web.index_page(["cam"]).decode()):
        assert not re.search(r"<script(?![^>]*\bsrc=)", page)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    for name in ("player.html", "index.html", "player.js", "player.css"):
        text = (FOLDER / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z]", text.replace("// ", "")), name
    assert "unsafe" not in web.CONTENT_SECURITY_POLICY


def test_hls_js_is_the_one_named() -> None:
    note = (FOLDER / "hls.js-VERSION").read_text(encoding="utf-8").splitlines()
    body = (FOLDER / "hls.min.js").read_bytes()
    assert note[0].split()[0] == "hls.js"
    assert f'"{note[0].split()[1]}"'.encode() in body
    assert note[1] == f"sha256 {hashlib.sha256(body).hexdigest()}"
    assert "Apache License" in (FOLDER / "hls.js-LICENSE").read_text(encoding="utf-8")


# -- in Chromium --------------------------------------------------------------------


class Site:
    """The player page over a live playlist; `mode` is "live", or the status every request gets instead."""

    def __init__(self, media: Path) -> None:
        self.media = media
        self.mode: int | str = "live"
        self.has_begun = True  # else the media playlist is not there yet, and the multivariant one is
        self.reason = "cam: connecting"
        self.codecs = "avc1.42c00d,mp4a.40.2"
        self.data = ""  # lines of the multivariant playlist besides
        self.born = time.monotonic()
        self.first = 0
        self.gap: tuple[int, int] | None = None  # the segments without media, from the first to the one after the last
        self.queries: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name, _, query = self.path.removeprefix("/cam/").partition("?")
                site.answer(self, name, query)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/cam/"

    def answer(self, request: BaseHTTPRequestHandler, name: str, query: str) -> None:
        status, body, kind = 200, b"", "text/plain; charset=utf-8"
        found = web.asset(name)
        if name == "":
            body, kind = web.player_page("cam"), "text/html; charset=utf-8"
        elif found:
            body, kind = found
        elif self.mode != "live":
            status, body = int(self.mode), self.reason.encode()
        elif name == "index.m3u8":
            self.queries.append(query)
            kind = "application/vnd.apple.mpegurl"
            variant = f'#EXT-X-STREAM-INF:BANDWIDTH=400000,CODECS="{self.codecs}"\nstream.m3u8\n'
            body = f"#EXTM3U\n{self.data}{variant}".encode()
        elif name == "stream.m3u8" and not self.has_begun:
            status, body = 503, self.reason.encode()
        elif name == "stream.m3u8":
            body, kind = self.playlist(), "application/vnd.apple.mpegurl"
        elif re.fullmatch(r"[a-z0-9_]+\.(mp4|m4s)", name) and (self.media / name).exists():
            body, kind = (self.media / name).read_bytes(), "video/mp4"
        else:
            status = 404
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Cache-Control", "no-cache")
        request.send_header("Content-Security-Policy", web.CONTENT_SECURITY_POLICY)
        request.end_headers()
        request.wfile.write(body)

    def playlist(self) -> bytes:
        """Segments of one second, the newest as old as the clock says."""
        last = 6 + int(time.monotonic() - self.born)
        first = last - 6
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            "#EXT-X-TARGETDURATION:1",
            f"#EXT-X-MEDIA-SEQUENCE:{self.first + first}",
            '#EXT-X-MAP:URI="init.mp4"',
        ]
        gap = self.gap or (0, 0)
        if first > gap[1] > 0:
            lines.insert(4, "#EXT-X-DISCONTINUITY-SEQUENCE:1")
        for number in range(first, last):
            if number == gap[1] > 0:
                lines.append("#EXT-X-DISCONTINUITY")
            if gap[0] <= number < gap[1]:
                lines += ["#EXT-X-GAP", "#EXTINF:1.0,", "gap.m4s"]
            else:
                lines += ["#EXTINF:1.0,", f"seg_{number % 90:03d}.m4s"]
        return "\n".join([*lines, ""]).encode()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety segments of one second, H.264 and AAC."""
    pictures = "-f lavfi -i testsrc2=s=320x180:r=10:d=90 -c:v libx264 -preset ultrafast -profile:v baseline"
    return segments(tmp_path_factory.mktemp("media"), *f"{pictures} -pix_fmt yuv420p -g 10 -sc_threshold 0".split())


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with AAC alone."""
    return segments(tmp_path_factory.mktemp("sound"))


def segments(folder: Path, *pictures: str) -> Path:
    require_ffmpeg()
    options = "-c:a aac -ac 1 -b:a 32k -f hls -hls_time 1 -hls_list_size 0 -hls_segment_type fmp4"
    options += " -hls_fmp4_init_filename init.mp4 -hls_segment_filename seg_%03d.m4s all.m3u8"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=90", *pictures, *options.split()]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return folder


@pytest.fixture
def site(media: Path) -> Iterator[Site]:
    site = Site(media)
    yield site
    site.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    executable = require_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: object, site: Site) -> Iterator[object]:
    """A page that has not been sent anywhere yet; whatever it logs as an error of the page itself ends the test."""
    page = browser.new_page()  # type: ignore[attr-defined]
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    page.close()
    assert faults == []
    own = ("blob:", "data:", site.url)
    assert [url for url in asked if not url.startswith(own)] == []


def becomes(page: object, expression: str, wanted: object = True, seconds: float = 30) -> None:
    """Waits until the page answers so. (Playwright's own wait would need `unsafe-eval` in the policy.)"""
    limit = time.monotonic() + seconds
    while (found := page.evaluate(expression)) != wanted:  # type: ignore[attr-defined]
        assert time.monotonic() < limit, f"{expression} is {found!r}, not {wanted!r}"
        page.wait_for_timeout(100)  # type: ignore[attr-defined]


def runs_on(page: object, seconds: float = 1.5) -> None:
    """Waits until the picture runs, and has run on by that much."""
    becomes(page, "rtspkitPlayer.state", "live")
    start = page.evaluate("rtspkitPlayer.video.currentTime")  # type: ignore[attr-defined]
    becomes(page, f"rtspkitPlayer.video.currentTime > {start + seconds}")
    assert page.evaluate("rtspkitPlayer.message") == ""  # type: ignore[attr-defined]


@pytest.mark.real
def test_plays_and_passes_the_query_on(page, site: Site) -> None:  # type: ignore[no-untyped-def]
    page.goto(site.url + "?controls=no&token=a%26b")
    runs_on(page)
    assert page.evaluate(
        "rtspkitPlayer.video.muted && rtspkitPlayer.video.playsInline && !rtspkitPlayer.video.controls"
    )
    assert set(site.queries) == {"token=a%26b"}
    assert page.evaluate(NOTE) == ""


@pytest.mark.real
def test_unmutes(page, site: Site) -> None:  # type: ignore[no-untyped-def]
    page.goto(site.url)
    page.click("#unmute")
    assert page.evaluate("rtspkitPlayer.video.muted") is False
    page.wait_for_selector("#unmute", state="hidden")


@pytest.mark.real
def test_tells_why_and_starts_when_the_camera_comes(page, site: Site) -> None:  # type: ignore[no-untyped-def]
    site.mode, site.reason = 503, "cam: connecting to the camera"
    page.goto(site.url)
    becomes(page, MESSAGE, "Connecting…\ncam: connecting to the camera")
    site.mode, site.reason = 404, '{"status": "error", "error": "cam: <b>wrong</b> password"}'
    becomes(page, MESSAGE, "The camera is not available\ncam: <b>wrong</b> password")
    assert page.evaluate("rtspkitPlayer.state") == "away"
    site.mode = "live"
    runs_on(page)


@pytest.mark.real
def test_tells_why_though_the_multivariant_playlist_is_there(page, site: Site) -> None:  # type: ignore[no-untyped-def]
    """A camera that is connected to and sends nothing yet: hls.js asks, and says no word of why it waits."""
    site.has_begun, site.reason = False, "the stream has not begun yet: no sync sample"
    page.goto(site.url)
    for _ in range(2):
        becomes(page, MESSAGE, "Connecting…\nthe stream has not begun yet: no sync sample")
        page.wait_for_timeout(8000)  # hls.js has given up meanwhile, and was started again
    site.has_begun = True
    runs_on(page)


@pytest.mark.real
@pytest.mark.parametrize(
    ("codecs", "title", "detail"),
    [
        (
            "hvc1.1.6.L93.B0,mp4a.40.2",
            "This browser cannot play H.265",
            "The camera sends H.265 (hvc1.1.6.L93.B0). Open this page in Safari, or set the camera to H.264; its"
            " second stream may be H.264 already.",
        ),
        (
            "avc1.640028,mp4a.40.99",
            "This browser cannot play AAC",
            "The camera sends AAC (mp4a.40.99). Another browser may play it. Otherwise set the camera to H.264, and its"
            " sound to AAC-LC or off.",
        ),
    ],
)
def test_tells_what_this_browser_cannot_play(page, site: Site, codecs: str, title: str, detail: str) -> None:  # type: ignore[no-untyped-def]
    """Nothing turns, for nothing will come by itself; once the camera sends something else, it plays."""
    usual, site.codecs = site.codecs, codecs
    page.goto(site.url)
    becomes(page, MESSAGE, f"{title}\n{detail}")
    page.wait_for_timeout(3000)
    assert page.evaluate(MESSAGE) == f"{title}\n{detail}"
    assert not page.locator("#spinner").is_visible()
    assert len(site.queries) == 1
    site.codecs = usual
    page.evaluate("document.dispatchEvent(new Event('visibilitychange')) && 0")  # its viewer was elsewhere
    runs_on(page)


@pytest.mark.real
def test_tells_what_hls_js_finds_it_cannot_play(page, site: Site) -> None:  # type: ignore[no-untyped-def]
    """The browser has promised more than it can."""
    refuse = "() => { throw new DOMException('no', 'NotSupportedError'); }"
    page.add_init_script(f"MediaSource.prototype.addSourceBuffer = {refuse}")
    page.goto(site.url)
    becomes(page, f"{MESSAGE}.split('\\n')[0]", "This browser cannot play H.264 and AAC")
    assert not page.locator("#spinner").is_visible()


@pytest.mark.real
def test_tells_that_the_camera_sends_nothing_that_can_be_played(page, site: Site) -> None:  # type: ignore[no-untyped-def]
    site.mode, site.reason = 404, "the camera sends M-JPEG; choose H.264 or H.265 in its settings"
    page.goto(site.url)
    detail = "The camera sends M-JPEG; choose H.264 or H.265 in its settings"
    becomes(page, MESSAGE, f"The camera sends nothing that can be played\n{detail}")
    assert not page.locator("#spinner").is_visible()
    site.mode = "live"
    runs_on(page)


@pytest.mark.real
@pytest.mark.parametrize(
    ("why", "note"),
    [
        (
            "the camera sends M-JPEG; choose H.264 or H.265 in its settings",
            "The camera's picture cannot be shown\nThe camera sends M-JPEG; choose H.264 or H.265 in its settings",
        ),
        ("", "Sound only\nThe camera sends no picture."),
    ],
)
def test_says_why_there_is_no_picture(page, site: Site, sound: Path, why: str, note: str) -> None:  # type: ignore[no-untyped-def]
    """It stands where the picture would be, while the sound plays; and not where something else is said."""
    site.media, site.codecs = sound, "mp4a.40.2"
    site.data = f'#EXT-X-SESSION-DATA:DATA-ID="rtspkit.no-picture",VALUE="{why}"\n' if why else ""
    page.goto(site.url)
    runs_on(page)
    becomes(page, NOTE, note)
    assert page.locator("#unmute").is_visible()
    page.evaluate("rtspkitPlayer.video.pause()")
    becomes(page, NOTE, "")
    page.click("#play")
    becomes(page, NOTE, note)
    site.mode = 404
    becomes(page, f"{MESSAGE}.split('\\n')[0]", "The camera is not available")
    assert page.evaluate(NOTE) == ""


@pytest.mark.real
def test_comes_back_after_the_path_was_closed(page, site: Site) -> None:  # type: ignore[no-untyped-def]
    page.goto(site.url)
    runs_on(page)
    site.mode, site.reason = 404, "cam: no answer from the camera"
    becomes(page, MESSAGE, "The camera is not available\ncam: no answer from the camera")
    site.mode = "live"
    runs_on(page)


@pytest.mark.real
def test_comes_back_after_a_restart(page, site: Site) -> None:  # type: ignore[no-untyped-def]
    """Numbers far ahead, media time from the beginning, and nothing in the playlist that tells."""
    page.goto(site.url)
    runs_on(page, 4)
    site.mode = 503
    page.wait_for_timeout(2000)
    site.first, site.born, site.mode = 5000, time.monotonic(), "live"
    becomes(page, "rtspkitPlayer.hls.levels[0]?.details?.startSN >= 5000")
    page.wait_for_timeout(2000)  # what had been loaded before is over by now
    page.evaluate("moves = 0; rtspkitPlayer.video.addEventListener('timeupdate', () => moves++); 0")
    becomes(page, "moves > 12 && rtspkitPlayer.message === ''")


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [12, 32])
def test_goes_on_by_itself_after_a_gap(page, site: Site, seconds: int) -> None:  # type: ignore[no-untyped-def]
    """The camera is away, and the playlist tells so: the viewer is told too, and nothing is loaded anew."""
    page.goto(site.url)
    runs_on(page, 2)
    page.evaluate("first = rtspkitPlayer.hls; 0")
    start = 6 + int(time.monotonic() - site.born)
    site.gap = (start, start + seconds)
    becomes(page, MESSAGE, "No picture from the camera\nIt goes on by itself as soon as the camera sends again.")
    page.wait_for_timeout(1000 * (seconds - 8))
    becomes(page, "rtspkitPlayer.state", "live")
    assert page.evaluate("rtspkitPlayer.hls === first")
    runs_on(page, 3)
    assert page.evaluate("rtspkitPlayer.hls === first")


@pytest.mark.real
def test_says_when_a_lost_camera_is_tried_again(page, site: Site) -> None:  # type: ignore[no-untyped-def]
    """Where that is not soon; by the server's clock, whatever the viewer's says."""
    page.goto(site.url)
    runs_on(page, 2)
    next_try = (datetime.now(UTC) + timedelta(seconds=28)).isoformat(timespec="milliseconds")
    site.data = f'#EXT-X-SESSION-DATA:DATA-ID="rtspkit.next-try",VALUE="{next_try}"\n'
    start = 6 + int(time.monotonic() - site.born)
    site.gap = (start, start + 1000)
    told = "No picture from the camera\nIt goes on by itself as soon as the camera sends again."
    becomes(page, f"{MESSAGE}.startsWith({told + ' The next try is within '!r})")
    assert re.fullmatch(r".* within [1-3]0 s\.", page.evaluate(MESSAGE), re.DOTALL)
    site.data = ""
    becomes(page, MESSAGE, told)
