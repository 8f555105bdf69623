"""The gateways the bench compares: each is told to read the same cameras and to make the same HLS of them.

All make fMP4 segments of 4 s, six in the playlist, of every camera at all times, whether somebody watches or not:
rtspkit and MediaMTX as one process with the segments in memory, ffmpeg as one process a camera with the segments in
files. Whatever else MediaMTX serves is turned off.
"""

from __future__ import annotations

import ctypes
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urljoin

SEGMENT_SECONDS = 4
SEGMENT_COUNT = 6
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)
#: Cookies, for MediaMTX sets one and redirects; no proxy, whatever the environment says.
_opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({}))


class BenchError(Exception):
    """A subject cannot be measured; the message says why."""


def spawn(command: list[str], **options: object) -> subprocess.Popen[bytes]:
    """Starts a process that does not outlive this one."""

    def die_with_parent() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    # preexec_fn is safe here: the bench has one thread
    return subprocess.Popen(command, preexec_fn=die_with_parent, **options)  # type: ignore  # noqa: PLW1509


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ends the processes, politely at first."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + 5
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A TCP port of 127.0.0.1 nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Playlist:
    """What the bench reads of a media playlist: URIs as they stand there."""

    media_sequence: int
    init_section: str
    segments: tuple[str, ...]


def parse_playlist(text: str) -> Playlist:
    """Reads a media playlist.

    Raises:
        BenchError: it is none, or has no segment yet.
    """
    sequence = re.search(r"^#EXT-X-MEDIA-SEQUENCE:(\d+)", text, re.MULTILINE)
    init = re.search(r'^#EXT-X-MAP:.*?URI="([^"]+)"', text, re.MULTILINE)
    segments = tuple(line for line in text.splitlines() if line and not line.startswith("#"))
    if sequence is None or init is None or not segments:
        raise BenchError("there is no playlist with a segment yet")
    return Playlist(int(sequence[1]), init[1], segments)


class Subject(ABC):
    """One gateway.

    Attributes:
        name: in the table.
        processes: of the run; their cost is what is measured.
    """

    name: str
    #: Whether one process serves all cameras, so that there is an idle process to compare with.
    is_server = True

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.folder = Path()

    @property
    def pids(self) -> list[int]:
        """Of its processes."""
        return [process.pid for process in self.processes]

    def start(self, sources: list[str], folder: Path) -> None:
        """Starts it on cameras; `folder` is there and empty."""
        self.folder = folder
        self.launch(sources)

    def stop(self) -> None:
        """Ends it."""
        stop(self.processes)
        self.processes = []

    def check_alive(self) -> None:
        """Raises where a process has ended by itself, with the end of its log."""
        for process in self.processes:
            if process.poll() is not None:
                log = (self.folder / "log").read_text(errors="replace").splitlines()[-8:]
                raise BenchError("\n  ".join([f"{self.name} ended with exit status {process.returncode}", *log]))

    def spawn(self, command: list[str], **options: object) -> None:
        """Starts one of its processes; what it says goes to a file."""
        with (self.folder / "log").open("ab") as log:
            self.processes.append(spawn(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options))

    @abstractmethod
    def launch(self, sources: list[str]) -> None:
        """Writes its configuration and starts it."""

    @abstractmethod
    def playlist(self, camera: int) -> Playlist:
        """The camera's media playlist.

        Raises:
            BenchError: there is none yet.
        """

    @abstractmethod
    def fetch(self, camera: int, uri: str) -> bytes:
        """What the playlist names so."""


class HTTPSubject(Subject):
    """One process, asked over HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self.addresses: dict[int, str] = {}  # of the media playlists

    def launch(self, sources: list[str]) -> None:
        """Gives it a port and a configuration file."""
        self.port = free_port()
        self.addresses = {}
        lines = [
            *("hls: yes", f"hlsAddress: 127.0.0.1:{self.port}", "hlsAlwaysRemux: yes", "hlsVariant: fmp4"),
            *(f"hlsSegmentCount: {SEGMENT_COUNT}", f"hlsSegmentDuration: {SEGMENT_SECONDS}s", "api: no"),
            *self.options(),
            "paths:" if sources else "paths: {}",
        ]
        for camera, source in enumerate(sources):
            lines += [f"  cam{camera}:", f"    source: {source}", "    rtspTransport: tcp"]
        file = self.folder / "config.yml"
        file.write_text("\n".join([*lines, ""]))
        self.run(file)

    def options(self) -> list[str]:
        """More lines for its configuration."""
        return []

    @abstractmethod
    def run(self, file: Path) -> None:
        """Starts it with that configuration."""

    def playlist(self, camera: int) -> Playlist:
        """Asks for the multivariant playlist first, then for the media playlist that it names."""
        if camera not in self.addresses:
            base = f"http://127.0.0.1:{self.port}/cam{camera}/index.m3u8"
            lines = self._get(base).decode().splitlines()
            uri = next((line for line in lines if line and not line.startswith("#")), None)
            if uri is None:
                raise BenchError(f"{base} names no playlist")
            self.addresses[camera] = urljoin(base, uri)
        return parse_playlist(self._get(self.addresses[camera]).decode())

    def fetch(self, camera: int, uri: str) -> bytes:
        """Asks for it."""
        return self._get(urljoin(self.addresses[camera], uri))

    @staticmethod
    def _get(address: str) -> bytes:
        try:
            with _opener.open(address, timeout=10) as response:
                return bytes(response.read())
        except (URLError, OSError) as error:
            raise BenchError(f"{address}: {error}") from None


class Rtspkit(HTTPSubject):
    """This package's gateway."""

    name = "rtspkit"

    def run(self, file: Path) -> None:
        """Starts it with the interpreter that runs the bench."""
        self.spawn([sys.executable, "-m", "rtspkit.server", str(file)], cwd=Path(__file__).resolve().parents[1])


class RtspkitDirectory(Rtspkit):
    """The same with its segments in files."""

    name = "rtspkit, hlsDirectory"

    def options(self) -> list[str]:
        """Where they go."""
        return [f"hlsDirectory: {self.folder / 'hls'}"]


class MediaMTX(HTTPSubject):
    """MediaMTX, HLS only."""

    name = "MediaMTX"

    def __init__(self, binary: Path) -> None:
        super().__init__()
        self.binary = binary

    def options(self) -> list[str]:
        """Nothing else is served."""
        return ["rtsp: no", "rtmp: no", "webrtc: no", "srt: no", "metrics: no", "pprof: no", "playback: no"]

    def run(self, file: Path) -> None:
        """Starts the binary."""
        # not in the file: a version that does not know the key would not start
        self.spawn([str(self.binary), str(file)], cwd=self.folder, env={"MTX_MOQ": "no"})


class FFmpeg(Subject):
    """``ffmpeg -c copy -f hls``, a process a camera."""

    name = "ffmpeg"
    is_server = False

    def launch(self, sources: list[str]) -> None:
        """Starts them all."""
        for camera, source in enumerate(sources):
            home = self.folder / f"cam{camera}"
            home.mkdir()
            command = f"ffmpeg -nostdin -v error -rtsp_transport tcp -i {source} -c copy -f hls -hls_segment_type fmp4"
            command += f" -hls_time {SEGMENT_SECONDS} -hls_list_size {SEGMENT_COUNT}"
            command += " -hls_flags delete_segments stream.m3u8"
            self.spawn(command.split(), cwd=home)

    def playlist(self, camera: int) -> Playlist:
        """Reads it from the directory."""
        try:
            return parse_playlist((self.folder / f"cam{camera}" / "stream.m3u8").read_text())
        except OSError as error:
            raise BenchError(f"camera {camera}: {error}") from None

    def fetch(self, camera: int, uri: str) -> bytes:
        """Reads it from the directory."""
        return (self.folder / f"cam{camera}" / uri).read_bytes()
