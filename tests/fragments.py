"""Made-up media for the viewer side's tests: tracks, runs and fragments, as the camera side hands them over."""

import struct
from collections.abc import Sequence

from rtspkit.aac import build_config
from rtspkit.media import AACParameters, Fragment, H264Parameters, Run, Track

#: 1920x1080, High 4.0, 30 pictures a second in the VUI.
SPS = bytes.fromhex("67640028acd940780227e584000003000400000300f03c60c658")
#: 640x360, Constrained Baseline 3.0, no VUI.
SPS_SMALL = bytes.fromhex("6742c01eda0280bfe540")
PPS = bytes.fromhex("68ebe3cb22c0")
OTHER_PPS = bytes.fromhex("68ce3c80")

VIDEO = Track(0, "video", "h264", 90_000, H264Parameters(SPS, (PPS,)))
VIDEO_OTHER = Track(0, "video", "h264", 90_000, H264Parameters(SPS, (OTHER_PPS,)))
VIDEO_SMALL = Track(0, "video", "h264", 90_000, H264Parameters(SPS_SMALL, (PPS,)))
VIDEO_UNKNOWN = Track(0, "video", "h264", 90_000, None)
AUDIO = Track(1, "audio", "aac", 48_000, AACParameters(build_config(48_000, 2)))
AUDIO_ALONE = Track(0, "audio", "aac", 48_000, AACParameters(build_config(48_000, 2)))


def make_run(
    track: int,
    times: Sequence[int],
    *,
    size: int = 100,
    sync: bool = True,
    all_sync: bool = False,
    arrival: float = 0.0,
) -> Run:
    """A run with one sample of `size` bytes a time; the bytes tell the samples apart."""
    samples = b"".join(
        struct.pack("=qqII", pts, round(arrival * 1e9), size, int(all_sync or (sync and not index)))
        for index, pts in enumerate(times)
    )
    return Run(track, samples, b"".join(bytes([index & 0xFF]) * size for index in range(len(times))))


class Source:
    """A well-behaved camera: a second of media a fragment, 25 pictures and 46 or 47 units of AAC."""

    def __init__(
        self,
        tracks: tuple[Track, ...] = (VIDEO, AUDIO),
        *,
        gop: float = 1.0,
        fps: int = 25,
        size: int = 100,
        start: float = 0.0,
        drift: float = 0.0,
    ) -> None:
        self.tracks = tracks
        self.unit = 90_000 // fps
        self.units_per_gop = round(gop * fps)
        self.fps = fps
        self.size = size
        self.video = round(start * 90_000)  # pts of the next unit
        self.audio = -(-round(start * 48_000) // 1024) * 1024
        self.drift = drift  # how much longer than a second its seconds are
        self.until_sync = 0  # units

    @property
    def time(self) -> float:
        return self.video / 90_000

    @property
    def clock(self) -> float:
        """Seconds since the start by everybody else's clock."""
        return self.time * (1 + self.drift)

    def fragment(self, *, discontinuity: bool = False, wall_clock: float | None = None) -> Fragment:
        """The next stretch: up to the next sync sample, but no longer than a second."""
        is_sync = self.until_sync == 0
        if is_sync:
            self.until_sync = self.units_per_gop
        count = min(self.until_sync, self.fps)
        self.until_sync -= count
        end = self.video + count * self.unit
        runs = []
        for track in self.tracks:
            if track.kind == "video":
                times = range(self.video, end, self.unit)
                runs.append(make_run(track.index, times, size=self.size, sync=is_sync, arrival=1000.0 + self.clock))
            else:
                times = range(self.audio, end * 48_000 // 90_000, 1024)
                self.audio += len(times) * 1024
                runs.append(make_run(track.index, times, all_sync=True, size=20, arrival=1000.0 + self.clock))
        self.video = end
        has_video = any(track.kind == "video" for track in self.tracks)
        return Fragment(
            self.tracks,
            tuple(runs),
            is_sync=is_sync or not has_video,
            discontinuity=discontinuity,
            next_pts=end if has_video else None,
            wall_clock=wall_clock,
        )

    def skip(self, seconds: float) -> None:
        """Time goes on, media do not; the next fragment starts with a sync sample."""
        self.video += round(seconds * 90_000)
        self.audio += round(seconds * 48_000)
        self.until_sync = 0
