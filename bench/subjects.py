"""The gateways the bench compares: each is told to read the same cameras and to make the same HLS of them.

Unless told otherwise (`Output`) all make fMP4 segments of 4 s, six in the playlist, of every camera at all times,
whether somebody watches or not: rtspkit and MediaMTX as one process with the segments in memory, ffmpeg as one process
a camera with the segments in files. Whatever else MediaMTX serves is turned off.
"""

from __future__ import annotations

import ctypes
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

from measure import BenchError
from viewer import Playlist, media_playlists, parse_playlist

SEGMENT_SECONDS = 4
SEGMENT_COUNT = 6
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)
#: Cookies, for MediaMTX sets one and redirects; no proxy, whatever the environment says.
_opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Output:
    """The HLS that a gateway is told to make.

    Attributes:
        part_ms: of Low-Latency HLS; 0: plain HLS.
        on_demand: only of cameras that somebody watches.
    """

    segment_seconds: int = SEGMENT_SECONDS
    segment_count: int = SEGMENT_COUNT
    part_ms: int = 0
    on_demand: bool = False

    @property
    def lines(self) -> list[str]:
        """Of the configuration file of rtspkit and of MediaMTX."""
        return [
            f"hlsVariant: {'lowLatency' if self.part_ms else 'fmp4'}",
            f"hlsAlwaysRemux: {'no' if self.on_demand else 'yes'}",
            *(f"hlsSegmentCount: {self.segment_count}", f"hlsSegmentDuration: {self.segment_seconds}s"),
            *([f"hlsPartDuration: {self.part_ms}ms"] if self.part_ms else []),
        ]


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


class Subject(ABC):
    """One gateway.

    Attributes:
        name: in the table.
        processes: of the run; their cost is what is measured.
    """

    name: str
    #: Whether one process serves all cameras, so that there is an idle process to compare with.
    is_server = True
    #: Of which cameras it reads.
    is_h265 = False

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
            options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **options}
            self.processes.append(spawn(command, **options))

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

    #: What its cameras' media come over.
    transport = "tcp"

    def __init__(self, output: Output | None = None) -> None:
        super().__init__()
        self.output = output or Output()
        self.port = 0
        self.addresses: dict[int, str] = {}  # of the media playlists

    def launch(self, sources: list[str]) -> None:
        """Gives it a port and a configuration file."""
        self.port = free_port()
        self.addresses = {}
        lines = [
            *("hls: yes", f"hlsAddress: 127.0.0.1:{self.port}", "api: no"),
            *self.output.lines,
            *self.options(),
            "paths:" if sources else "paths: {}",
        ]
        for camera, source in enumerate(sources):
            lines += [f"  cam{camera}:", f"    source: {source}", f"    rtspTransport: {self.transport}"]
            lines += ["    sourceOnDemand: yes"] * self.output.on_demand
        file = self.folder / "config.yml"
        file.write_text("\n".join([*lines, ""]))
        self.run(file)

    def options(self) -> list[str]:
        """More lines for its configuration."""
        return []

    @abstractmethod
    def run(self, file: Path) -> None:
        """Starts it with that configuration."""

    def address(self, camera: int) -> str:
        """Of the camera's multivariant playlist."""
        return f"http://127.0.0.1:{self.port}/cam{camera}/index.m3u8"

    def playlist(self, camera: int) -> Playlist:
        """Asks for the multivariant playlist first, then for the media playlist that it names."""
        if camera not in self.addresses:
            base = self.address(camera)
            self.addresses[camera] = media_playlists(self._get(base).decode(), base)[0]
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

    def options(self) -> list[str]:
        """What it keeps goes when the bench does."""
        return [f"stateDirectory: {self.folder / 'state'}"]

    def run(self, file: Path) -> None:
        """Starts it with the interpreter that runs the bench."""
        self.spawn([sys.executable, "-m", "rtspkit.server", str(file)], cwd=Path(__file__).resolve().parents[1])


class RtspkitDirectory(Rtspkit):
    """The same with its segments in files."""

    name = "rtspkit, hlsDirectory"

    def options(self) -> list[str]:
        """Where they go."""
        return [*super().options(), f"hlsDirectory: {self.folder / 'hls'}"]


class RtspkitDatagrams(Rtspkit):
    """The same with its cameras' media over UDP."""

    name = "rtspkit, UDP"
    transport = "udp"


class RtspkitH265(Rtspkit):
    """The same with cameras of H.265."""

    name = "rtspkit, H.265"
    is_h265 = True


class MediaMTX(HTTPSubject):
    """MediaMTX, HLS only."""

    name = "MediaMTX"

    def __init__(self, binary: Path, output: Output | None = None) -> None:
        super().__init__(output)
        self.binary = binary

    def options(self) -> list[str]:
        """Nothing else is served."""
        return ["rtsp: no", "rtmp: no", "webrtc: no", "srt: no", "metrics: no", "pprof: no", "playback: no"]

    def run(self, file: Path) -> None:
        """Starts the binary."""
        # not in the file: a version that does not know the key would not start
        self.spawn([str(self.binary), str(file)], cwd=self.folder, env={"MTX_MOQ": "no"})


class MediaMTXDatagrams(MediaMTX):
    """The same with its cameras' media over UDP."""

    name = "MediaMTX, UDP"
    transport = "udp"


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
