"""Pictures that x264 and x265 encode with odd settings, as files that GStreamer's RTSP server plays once.

Each clip is a test picture with a running clock, so that no two pictures are alike: what comes out of the gateway is
compared with what went in picture by picture (`pictures`).
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import pipelines
from .decoders import complaints

#: Seconds that a clip lasts: longer than a test looks at it.
LENGTH = 24


@dataclass(frozen=True)
class OddClip:
    """How a clip is encoded.

    Attributes:
        options: of x264 or x265, "name=value:…"; the encoder is told by the clip's name.
        size: of the picture.
        rate: pictures a second.
        pixels: ffmpeg's name of the sampling.
        preset: of the encoder.
        source: options before the encoder's, an interlaced field order for one.
        vui: False takes away what an SPS of x264's says of time and order.
        aggregate: how GStreamer's payloader puts NAL units together.
        in_band: the description has no parameter sets.
    """

    options: str
    size: tuple[int, int] = (320, 180)
    rate: int = 15
    pixels: str = "yuv420p"
    preset: str = "veryfast"
    source: tuple[str, ...] = ()
    vui: bool = True
    aggregate: str = "none"
    in_band: bool = False

    def make(self, path: Path) -> Path:
        """Encodes it into a file; x265 is silent but for errors."""
        encoder = "x265" if "265" in path.name else "x264"
        options = self.options + ":threads=1" * (encoder == "x264") + ":log-level=none:pools=2" * (encoder == "x265")
        command = [
            *("ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-y", "-f", "lavfi"),
            *("-i", f"testsrc2=size={self.size[0]}x{self.size[1]}:rate={self.rate}", "-t", str(LENGTH)),
            *("-pix_fmt", self.pixels, *self.source, "-c:v", f"lib{encoder}", "-preset", self.preset),
            *(f"-{encoder}-params", options, str(path)),
        ]
        made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert made.returncode == 0, f"{' '.join(command)}: {made.stderr}"
        if not self.vui:
            path.write_bytes(without_vui(path.read_bytes()))
        return path

    def variant(self, path: Path) -> pipelines.Variant:
        """What a camera sends that plays the file."""
        video = pipelines.clip(path, aggregate=self.aggregate)
        return pipelines.Variant(pipelines.in_band(video) if self.in_band else video)


def without_vui(movie: bytes) -> bytes:
    """An MP4 file of x264's without the VUI of its SPS; a `free` box fills the place.

    Spec: ISO/IEC 14496-15 5.3.3 (avcC), ITU-T H.264 7.3.2.1.1 (SPS).
    """
    at = movie.index(b"avcC") - 4
    size = int.from_bytes(movie[at : at + 4], "big")
    first = at + 16  # behind the box header, five bytes, the number of SPS, and the length of the only one
    length = int.from_bytes(movie[first - 2 : first], "big")
    bits = "".join(f"{byte:08b}" for byte in movie[first : first + length].replace(b"\0\0\3", b"\0\0"))
    place = 32  # behind the NAL header, profile, constraints and level

    def number() -> int:
        nonlocal place
        zeros = bits.index("1", place) - place
        place += 2 * zeros + 1
        return int(bits[place - zeros - 1 : place], 2) - 1

    number()  # sps-id
    if movie[first + 1] >= 100:
        assert (number(), number(), number(), bits[place : place + 2]) == (1, 0, 0, "00"), "not 4:2:0 with 8 bit"
        place += 2
    number()  # frame_num
    order = number()
    assert order in {0, 2}, f"pic_order_cnt_type {order}"
    if order == 0:
        number()
    number()  # reference pictures
    place += 1
    number(), number()  # size
    place += 2
    place += 1
    if bits[place - 1] == "1":  # cropped
        number(), number(), number(), number()
    assert bits[place] == "1", "there is no VUI"
    kept = bits[:place] + "01"  # none, and the stop bit
    sps = int(kept.ljust(-(-len(kept) // 8) * 8, "0"), 2).to_bytes(-(-len(kept) // 8), "big")
    rest = movie[first + length : at + size]
    room = length - len(sps)
    assert room >= 8
    short = (size - room).to_bytes(4, "big") + movie[at + 4 : first - 2] + len(sps).to_bytes(2, "big") + sps + rest
    return movie[:at] + short + room.to_bytes(4, "big") + b"free" + bytes(room - 8) + movie[at + size :]


CLIPS = {
    # 1278x718: neither side is a whole number of macroblocks or coding blocks, so the SPS crops
    "clip-h264-cropped": OddClip("keyint=10:bframes=0", size=(1278, 718), rate=10, preset="ultrafast"),
    "clip-h265-cropped": OddClip("keyint=10:bframes=0", size=(638, 358), rate=10, preset="ultrafast"),
    "clip-h264-tiny": OddClip("keyint=15:bframes=2", size=(18, 18)),
    "clip-h265-tiny": OddClip("keyint=15:bframes=2:open-gop=0", size=(66, 66)),
    "clip-h265-10bit": OddClip("keyint=15:bframes=3:open-gop=0", pixels="yuv420p10le", preset="superfast"),
    "clip-h264-10bit": OddClip("keyint=15:bframes=3", pixels="yuv420p10le"),
    "clip-h264-pyramid": OddClip("keyint=30:bframes=4:b-pyramid=normal:b-adapt=0:ref=4"),
    "clip-h264-strict-pyramid": OddClip("keyint=30:bframes=4:b-pyramid=strict:b-adapt=0:ref=4:bluray-compat=1"),
    "clip-h265-pyramid": OddClip("keyint=30:bframes=4:b-pyramid=1:b-adapt=0:open-gop=0", preset="superfast"),
    "clip-h264-open-gop": OddClip("keyint=30:bframes=3:b-adapt=0:open-gop=1"),
    "clip-h265-open-gop": OddClip("keyint=30:bframes=3:b-adapt=0:open-gop=1", preset="superfast"),
    "clip-h264-intra-refresh": OddClip("keyint=30:intra-refresh=1:bframes=0"),
    "clip-h264-no-vui": OddClip("keyint=15:bframes=0", vui=False),
    "clip-h264-no-vui-b": OddClip("keyint=30:bframes=3:b-pyramid=normal:b-adapt=0:ref=4", vui=False),
    "clip-h264-interlaced": OddClip("keyint=30:bframes=2:tff=1", size=(320, 192), source=("-flags", "+ilme+ildct")),
    "clip-h264-fake-interlaced": OddClip("keyint=30:bframes=0:fake-interlaced=1:tff=1", size=(320, 192)),
    "clip-h264-gop-of-minutes": OddClip("keyint=250:scenecut=0:bframes=3"),
    "clip-h264-level": OddClip("keyint=15:level=6.2:ref=1:sps-id=7:bframes=0"),
    "clip-h265-level": OddClip("keyint=15:level-idc=6.2:high-tier=1:bframes=0"),
    "clip-h264-slices": OddClip("keyint=15:slices=5:bframes=2"),
    "clip-h265-slices": OddClip("keyint=15:slices=3:bframes=2:open-gop=0", size=(320, 240), preset="superfast"),
    "clip-h265-ap": OddClip(
        "keyint=15:slices=3:bframes=0:open-gop=0", size=(320, 240), preset="superfast", aggregate="max"
    ),
    "clip-h265-in-band": OddClip("keyint=15:bframes=3:open-gop=0", preset="superfast", in_band=True),
    "clip-h264-weighted": OddClip(
        "keyint=15:weightp=2:bframes=2:cabac=0:nal-hrd=vbr:vbv-maxrate=400:vbv-bufsize=400:aud=1"
    ),
}


def pictures(path: str | Path) -> list[str]:
    """A digest of each picture of a file in the order they are shown in; AssertionError where ffmpeg complains."""
    command = [
        *("ffmpeg", "-hide_banner", "-nostdin", "-v", "warning", "-xerror", "-i", str(path), "-map", "0:v"),
        *("-fps_mode", "passthrough", "-f", "framehash", "-hash", "md5", "-"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    assert not complaints(done.stderr), complaints(done.stderr)
    return [line.rpartition(",")[2].strip() for line in done.stdout.splitlines() if not line.startswith("#")]
