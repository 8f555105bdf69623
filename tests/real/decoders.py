"""ffprobe and ffmpeg as readers: what they see in a stream, and whether they decode it without one error."""

import json
import re
import subprocess
import threading
from dataclasses import dataclass
from typing import Any


def source_options(url: str) -> list[str]:
    """How ffmpeg is told of an address: of a camera, the tunnel stands in an option; it asks for no certificate."""
    scheme, _, rest = url.partition("://")
    transport = {"rtsp": "tcp", "rtsps": "tcp", "rtsp+http": "http", "rtsps+http": "https"}.get(scheme)
    if transport is None:
        return ["-i", url]
    return ["-rtsp_transport", transport, "-i", f"{scheme.removesuffix('+http')}://{rest}"]


def streams(url: str, timeout: float = 60.0) -> list[dict[str, Any]]:
    """What ffprobe finds, a dict a stream ("codec_name", "width", "sample_rate", …); fails on any complaint of it."""
    command = ["ffprobe", "-v", "warning", "-show_streams", "-of", "json", *source_options(url)]
    probe = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert probe.returncode == 0, f"ffprobe {url}: {probe.stderr}"
    assert not complaints(probe.stderr, url), f"ffprobe {url}: {probe.stderr}"
    return list(json.loads(probe.stdout)["streams"])


@dataclass
class Decoded:
    """What came of decoding for a while.

    Attributes:
        frames: packets decoded, by ffmpeg's stream type ("video", "audio").
        errors: every line ffmpeg wrote at level warning or worse.
    """

    frames: dict[str, int]
    errors: list[str]


#: Said by ffmpeg of itself or of a live source, not of the media: it reads the init section anew with each live
#: playlist, its own playlists included; of pictures whose SPS has no VUI it learns only as it goes how far they are
#: from their turn; and a repetition is as bad as what is repeated.
_HARMLESS = re.compile(
    r"skipping .* segments ahead, expired from playlists"
    r"|Found duplicated MOOV Atom"
    r"|Increasing reorder buffer to \d"
    r"|Last message repeated"
    r"|deprecated pixel format"
    r"|Estimating duration from bitrate",
)
#: Who joins a camera late may be sent pictures before the first IDR picture. A segment has none such.
_HARMLESS_AT_CAMERA = re.compile(r"rtsp:.* corrupt decoded frame in stream|Non-monotonous DTS in output")


def complaints(text: str, url: str = "") -> list[str]:
    """The lines of what ffmpeg wrote about `url` that tell of a fault in the media."""
    lines = [line for line in text.splitlines() if line.strip() and not _HARMLESS.search(line)]
    return [line for line in lines if not (url.startswith("rtsp:") and _HARMLESS_AT_CAMERA.search(line))]


class Decoder:
    """An ffmpeg that decodes every packet of a live address for some seconds of media and throws the pictures away.

    Over HTTP it ends at the first error (`-xerror`, `-err_detect explode`). `result` gives what it counted.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self.url, self.seconds = url, seconds
        self._process = subprocess.Popen(
            [
                *("ffmpeg", "-hide_banner", "-nostdin", "-v", "warning", "-err_detect", "explode"),
                *([] if url.startswith("rtsp:") else ["-xerror"]),
                *(*source_options(url), "-t", str(seconds)),
                # one copy of the input's clock: frames are neither made up nor dropped to keep a rate
                *("-fps_mode", "passthrough", "-f", "framecrc", "-"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self, timeout: float | None = None) -> Decoded:
        """Waits for the end; AssertionError where ffmpeg failed or complained."""
        try:
            out, err = self._process.communicate(timeout=timeout or 3 * self.seconds + 30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, err = self._process.communicate()
            raise AssertionError(f"ffmpeg did not get {self.seconds} s of {self.url}: {err}") from None
        kinds = dict(re.findall(r"^#media_type (\d+): (\w+)", out, re.M))
        frames = dict.fromkeys(kinds.values(), 0)
        for line in out.splitlines():
            if not line.startswith("#"):
                frames[kinds[line.split(",")[0].strip()]] += 1
        errors = complaints(err, self.url)
        assert self._process.returncode == 0, f"ffmpeg {self.url}: status {self._process.returncode}: {err}"
        assert not errors, f"ffmpeg {self.url}: {errors}"
        return Decoded(frames, errors)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)


def decode(url: str, seconds: float) -> Decoded:
    """Decodes `seconds` of media of a live address."""
    decoder = Decoder(url, seconds)
    try:
        return decoder.result()
    finally:
        decoder.kill()


class LiveDecoder:
    """An ffmpeg that decodes a live address until it is stopped, whatever comes; it may be asked in between.

    Attributes:
        pictures: decoded so far.
        lines: what it has said.
    """

    def __init__(self, url: str) -> None:
        self.pictures = 0
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [
                *("ffmpeg", "-hide_banner", "-nostdin", "-v", "warning", *source_options(url)),
                *("-map", "0:v", "-fps_mode", "passthrough", "-flush_packets", "1", "-f", "framecrc", "-"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._count, self._listen)]
        for thread in self._threads:
            thread.start()

    def _count(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.pictures += not line.startswith("#")

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line.strip())

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)
        for thread in self._threads:
            thread.join(10)
