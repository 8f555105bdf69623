"""Clips that x264 and ffmpeg's AAC encoder make when a test asks for them: what a `FaultCamera` plays.

Each picture shows a running clock and moves, so that a picture that stands still would show. All clips have the same
sound, so that the description of a camera stays true when it goes over to another of them.
"""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rtspkit import aac, h264
from rtspkit.media import H264Parameters
from rtspkit.testing import Clip, ClipTrack, audio_track, video_track

#: Seconds that a clip lasts before it begins anew.
LENGTH = 8
SAMPLE_RATE = 16000


@dataclass(frozen=True)
class ReorderedTrack(ClipTrack):
    """A track of video whose pictures are not sent in the order they are shown in.

    Attributes:
        offsets: of each unit, the ticks from its turn in the sending order to its time.
    """

    offsets: tuple[int, ...] = ()


def _ffmpeg(*arguments: str) -> None:
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-y", *arguments]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, f"{' '.join(command)}: {made.stderr}"


@cache
def video(
    *,
    size: tuple[int, int] = (320, 180),
    rate: int = 25,
    gop: float = 1.0,
    bframes: int = 0,
    kbps: int = 400,
    noise: bool = False,
    length: int = LENGTH,
) -> ClipTrack:
    """H.264 from x264.

    Args:
        size: of the picture.
        rate: pictures a second.
        gop: seconds from one IDR picture to the next.
        bframes: most B-pictures in a row.
        kbps: bit rate.
        noise: instead of the test picture, so that the bit rate is reached.
        length: seconds; a whole number of GOPs.
    """
    source = f"testsrc2=size={size[0]}x{size[1]}:rate={rate},format=yuv420p"
    if noise:
        source = f"color=gray:size={size[0]}x{size[1]}:rate={rate},noise=alls=100:allf=t,format=yuv420p"
    keyint = round(gop * rate)
    with tempfile.TemporaryDirectory() as folder:
        movie, stream = Path(folder) / "clip.mp4", Path(folder) / "clip.h264"
        _ffmpeg(
            *("-f", "lavfi", "-i", source, "-t", str(length), "-c:v", "libx264", "-preset", "veryfast"),
            *("-tune", "zerolatency") * (not bframes),
            *("-profile:v", "high" if bframes else "main", "-b:v", f"{kbps}k"),
            *("-maxrate", f"{kbps}k", "-bufsize", f"{kbps}k"),
            "-x264-params",
            f"keyint={keyint}:min-keyint={keyint}:scenecut=0:bframes={bframes}:b-adapt=0:threads=1:sliced-threads=0",
            # the parameter sets stay in the stream: it is sent as a camera would send it
            *("-bsf:v", "dump_extra=freq=keyframe,filter_units=remove_types=6", str(movie)),
        )
        _ffmpeg("-i", str(movie), "-c", "copy", "-f", "h264", str(stream))
        probe = subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "packet=pts,dts:stream=time_base", "-of", "json", str(movie)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        nals = h264.split_annexb(stream.read_bytes())
    units = list(h264.access_units(nals))
    track = video_track(units, H264Parameters(units[0][0], (units[0][1],)), rate)
    found = json.loads(probe.stdout)
    base = int(found["streams"][0]["time_base"].removeprefix("1/"))
    late = [(packet["pts"] - packet["dts"]) * track.clock_rate // base for packet in found["packets"]]
    assert len(units) == len(late) == rate * length, f"{len(units)} units, {len(late)} times"
    if not any(late):
        return track
    return ReorderedTrack(**vars(track), offsets=tuple(ticks - min(late) for ticks in late))


@cache
def sound() -> ClipTrack:
    """AAC-LC, 16 kHz mono."""
    with tempfile.TemporaryDirectory() as folder:
        stream = Path(folder) / "clip.aac"
        _ffmpeg(
            *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={SAMPLE_RATE}", "-t", str(LENGTH)),
            *("-c:a", "aac", "-b:a", "32k", "-f", "adts", str(stream)),
        )
        config, units = aac.split_adts(stream.read_bytes())
    return audio_track(units, config)


def clip(*, with_sound: bool = True, **options: object) -> Clip:
    """A clip; the options are those of `video`."""
    picture = video(**options)  # type: ignore[arg-type]
    return Clip((picture, sound()) if with_sound else (picture,))
