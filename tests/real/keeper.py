"""`Keeper`: a viewer that follows a live stream as strictly as `HlsProbe` and keeps it, to be judged at leisure.

What it has seen is written to a folder as a playlist that has ended, with the init sections and segments byte for byte
as they were served: so ffmpeg reads it to its last sample, and what it decodes can be counted and heard.
"""

import math
import subprocess
import time
from array import array
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from . import decoders
from .hlsprobe import HlsProbe
from .mp4 import Sample
from .oddclips import pictures

#: Tags of an entry that go with it.
_OF_A_GAP = ("#EXTINF:", "#EXT-X-GAP", "#EXT-X-PROGRAM-DATE-TIME:")


def finished(text: str) -> str:
    """A live media playlist as one that has ended, without its gaps: they have nothing to decode."""
    kept: list[str] = []
    entry: list[str] = []
    for line in text.splitlines():
        entry.append(line)
        if line and not line.startswith("#"):
            if "#EXT-X-GAP" in entry:
                entry = [line for line in entry if line.startswith("#") and not line.startswith(_OF_A_GAP)]
            kept += entry
            entry = []
    return "\n".join([*kept, "#EXT-X-ENDLIST", ""])


class Keeper:
    """One stream.

    Args:
        url: its multivariant playlist.
        folder: where it is kept; it must not exist.

    Attributes:
        probe: what has followed it.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._bodies: dict[str, bytes] = {}
        hooks = {"response": [self._keep]}
        self.probe = HlsProbe(url, client=httpx.Client(timeout=15, event_hooks=hooks))
        self._multivariant, self._media = "", ""

    def _keep(self, response: httpx.Response) -> None:
        response.read()
        if response.status_code != 200:
            return
        path = urlsplit(str(response.url)).path
        if path.endswith("/index.m3u8"):
            self._multivariant = response.text
        elif path.endswith(".m3u8"):
            self._media = response.text
        else:
            self._bodies[path] = response.content

    def follow(self, seconds: float, timeout: float = 40.0) -> None:
        """Keeps the stream for so long; it has to be ready within `timeout`."""
        with self.probe:
            self.probe.open(timeout)
            # there is no segment before the second sync sample, or what stands for one, and 503 says so meanwhile
            end = time.monotonic() + timeout
            while self.probe.client.get(self.probe.playlist_url).status_code == 503 and time.monotonic() < end:
                time.sleep(0.2)
            self.probe.run(seconds, 0.8)
        for name, text in (("index.m3u8", self._multivariant), ("stream.m3u8", finished(self._media))):
            (self.folder / name).write_text(text, encoding="utf-8")
        for path, body in self._bodies.items():
            file = self.folder.joinpath(*path.strip("/").split("/")[1:])
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(body)

    @property
    def playlist(self) -> Path:
        """What is kept, for a player to open."""
        return self.folder / "index.m3u8"

    @property
    def attributes(self) -> dict[str, str]:
        """Of the multivariant playlist's only variant."""
        assert self.probe.variant is not None
        return self.probe.variant.attributes

    def samples(self, handler: str) -> tuple[int, list[Sample]]:
        """The timescale and samples of the "vide" or "soun" track, in decoding order, of what is kept."""
        assert self.probe.playlist is not None
        found: list[Sample] = []
        timescale = 0
        for segment in self.probe.playlist.segments:
            if segment.is_gap:
                continue
            tracks = self.probe.inits[self.probe._absolute(segment.init or "")]
            for track_id, samples in self.probe.samples[segment.msn].items():
                if tracks[track_id].handler == handler:
                    found += samples
                    timescale = tracks[track_id].timescale
        return timescale, found

    def streams(self) -> list[dict[str, Any]]:
        """What ffprobe finds in it."""
        return decoders.streams(str(self.playlist))

    def pictures(self) -> list[str]:
        """A digest of each picture, in the order they are shown in; AssertionError where ffmpeg complains."""
        return pictures(self.playlist)

    def pcm(self) -> "array[int]":
        """Its sound, decoded, channels interleaved; AssertionError where ffmpeg complains."""
        command = ["ffmpeg", "-hide_banner", "-nostdin", "-v", "warning", "-xerror", "-i", str(self.playlist)]
        done = subprocess.run(
            [*command, "-map", "0:a", "-f", "s16le", "-"], capture_output=True, timeout=60, check=False
        )
        complaints = decoders.complaints(done.stderr.decode())
        assert done.returncode == 0, done.stderr.decode()
        assert not complaints, complaints
        return array("h", done.stdout)

    def sound(self) -> "Tone":
        """Its sound, that is to be one tone; AssertionError where ffmpeg complains."""
        (stream,) = (stream for stream in self.streams() if stream["codec_type"] == "audio")
        return Tone(self.pcm(), int(stream["sample_rate"]), int(stream["channels"]))


class Tone:
    """Sound that should be one tone.

    Attributes:
        seconds: how long it is.
        sample_rate: see `channels`.
        channels: of the sound.
    """

    def __init__(self, samples: "array[int]", sample_rate: int, channels: int) -> None:
        self.sample_rate, self.channels = sample_rate, channels
        self.seconds = len(samples) / channels / sample_rate
        self._samples = samples[::channels]

    def purity(self, frequency: float, at: float) -> tuple[float, float]:
        """The amplitude (0 to 1) of the tone in half a second from second `at` on, and its share of the energy."""
        first = int(at * self.sample_rate)
        taken = self._samples[first : first + self.sample_rate // 2]
        turn = 2 * math.pi * frequency / self.sample_rate
        sine = sum(value * math.sin(turn * n) for n, value in enumerate(taken))
        cosine = sum(value * math.cos(turn * n) for n, value in enumerate(taken))
        amplitude = 2 * math.hypot(sine, cosine) / len(taken)
        energy = sum(value * value for value in taken) / len(taken)
        return amplitude / 32768, amplitude * amplitude / 2 / energy if energy else 0.0
