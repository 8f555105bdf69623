"""The figures of the multivariant playlist that only the media tell: bandwidth and frame rate.

Strategy: measured over stretches of at least half a target duration, as the draft defines the peak, and
announced with room for what is to come, so that the text seldom changes.

Spec: draft-pantos-hls-rfc8216bis 4.4.6.2 (BANDWIDTH, AVERAGE-BANDWIDTH, FRAME-RATE).
"""

from __future__ import annotations

from collections.abc import Sequence

from rtspkit.segments import Segment

__all__ = ["Rates"]

#: Bits a second announced before anything was measured: a 1080p camera at its usual setting.
_BANDWIDTH_GUESS = 4_000_000
#: Announced bandwidths are whole multiples of this, so that the text stays the same.
_BANDWIDTH_STEP = 100_000


class Rates:
    """What is announced of one muxer.

    Attributes:
        bandwidth: peak of the segments, bits a second.
        average: mean of the segments, bits a second; None while unknown.
        frame_rate: pictures a second as they came; None while unknown.
    """

    def __init__(self) -> None:
        self.bandwidth = _BANDWIDTH_GUESS
        self.average: int | None = None
        self.frame_rate: float | None = None
        self._measure_anew = True

    def forget(self) -> None:
        """The parameters have changed: the next figures replace these."""
        self._measure_anew = True

    def measure(self, segments: Sequence[Segment], target_duration: int) -> bool:
        """Look at the segments that are listed, the last of them new.

        Args:
            segments: oldest first, at least one.
            target_duration: seconds.

        Returns:
            whether what is announced has changed.
        """
        size = duration = 0
        for segment in reversed(segments):
            if segment.is_gap or not segment.duration:
                break
            size += segment.size
            duration += segment.duration
            if duration >= target_duration * 500_000 or (self._measure_anew and segment is segments[-1]):
                break
        # what was cut short (a discontinuity, the size limit) says little of the rate
        if not duration or (duration < target_duration * 500_000 and not self._measure_anew):
            return False
        peak = size * 8_000_000 // duration
        if self._measure_anew:
            self.frame_rate = segments[-1].units * 1_000_000 / segments[-1].duration
        elif peak <= self.bandwidth:
            return False
        media = [segment for segment in segments if not segment.is_gap]
        average = sum(one.size for one in media) * 8_000_000 // sum(one.duration for one in media)
        self._measure_anew = False
        self.bandwidth, self.average = _round_up(peak * 5 // 4), _round_up(average)
        return True


def _round_up(bandwidth: int) -> int:
    return -(-bandwidth // _BANDWIDTH_STEP) * _BANDWIDTH_STEP
