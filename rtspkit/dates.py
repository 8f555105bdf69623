"""The date of each segment (EXT-X-PROGRAM-DATE-TIME), from media time and a clock that may not be trusted.

Strategy: a date is taken from the clock once, at a discontinuity, and then advanced by media time, so that it
differs from the sum of the durations by no more than a slew of 500 parts in a million towards the clock. That
follows a camera whose crystal drifts, and does not follow a host whose clock is stepped. Dates never go back,
but for one case: the camera's own clock, where it is asked for, may be behind ours when it is first told, and may be
set: then the next date is its.

Spec: draft-pantos-hls-rfc8216bis 4.4.4.6.
"""

from __future__ import annotations

__all__ = ["Dates"]

_MICROSECOND = 1_000_000
#: What dates may be slewed by, parts in a million. Crystals of cameras are off by up to 200.
_SLEW = 500
#: The part of an error that is taken out with one segment: the arrival of its first unit has jitter.
_GAIN = 8
#: A camera's clock that is this far (microseconds) from what it has shown has been set.
_SET = 10 * _MICROSECOND


class Dates:
    """The dates of one muxer's segments. Times are ticks of its leading track, dates Unix microseconds."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._anchor: tuple[int, int, bool] | None = None  # time, date, whether it is the camera's
        self._earliest: tuple[int, int] | None = None  # the anchor before it was forgotten

    def at(self, start: int, measured: int, *, is_camera: bool) -> int:
        """The date of the segment that begins at `start`.

        Args:
            start: output time; no earlier than the call's before.
            measured: what the clock says it is.
            is_camera: the clock is the camera's own.
        """
        if self._anchor is None or (is_camera and not self._anchor[2]):
            date = measured
            if self._earliest is not None and not is_camera:
                date = max(date, self._earliest[1] + self._microseconds(start - self._earliest[0]))
        else:
            time, date, was_camera = self._anchor
            elapsed = self._microseconds(start - time)
            date += elapsed
            if is_camera and abs(measured - date) > _SET:
                date = measured
            elif is_camera == was_camera:
                slew = elapsed * _SLEW // _MICROSECOND
                date += max(-slew, min(slew, (measured - date) // _GAIN))
            is_camera = was_camera
        self._anchor = (start, date, is_camera)
        return date

    def forget(self) -> None:
        """Take the next date from the clock anew, but none that is earlier than what was shown has ended."""
        if self._anchor is not None:
            self._earliest = self._anchor[:2]
            self._anchor = None

    def _microseconds(self, ticks: int) -> int:
        return (ticks * _MICROSECOND + self._rate // 2) // self._rate
