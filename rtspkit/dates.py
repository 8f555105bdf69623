"""The date of each segment (EXT-X-PROGRAM-DATE-TIME), from media time and a clock that may not be trusted.

Strategy: a date is taken from the clock once, at a discontinuity, and then advanced by media time, so that it
differs from the sum of the durations by no more than a slew of 500 parts in a million towards the clock. That
follows a camera whose crystal drifts, and does not follow a host whose clock is stepped. Dates never go back,
but for one case: the camera's own clock, where it is asked for, may be behind ours when it is first told, and may be
set: then the next date is its.

Spec: draft-pantos-hls-rfc8216bis 4.4.4.6.
"""

from __future__ import annotations

__all__ = ["CameraClock", "Dates", "arrived"]

_MICROSECOND = 1_000_000
#: What dates may be slewed by, parts in a million. Crystals of cameras are off by up to 200.
_SLEW = 500
#: The part of an error that is taken out with one segment: the arrival of its first unit has jitter.
_GAIN = 8
#: A camera's clock that is this far (microseconds) from what it has shown has been set.
_SET = 10 * _MICROSECOND
#: Units that came longer ago than this (s) are not dated by their arrival.
_ARRIVAL_TRUSTED = 60.0
#: A camera's own clock further than this from ours (microseconds) is not set at all.
_CLOCK_TRUSTED = 86_400 * _MICROSECOND


def arrived(arrival: float, *, length: float, now: float, wall: float) -> int:
    """When media came, Unix microseconds.

    Args:
        arrival: of their first unit, monotonic seconds; where it cannot be, they have just come.
        length: seconds that they last.
        now: monotonic seconds.
        wall: Unix seconds of the same instant.
    """
    if not 0 < now - arrival < _ARRIVAL_TRUSTED or arrival <= 0:
        arrival = now - length
    return round((wall - (now - arrival)) * _MICROSECOND)


class CameraClock:
    """The camera's own clock, where segments are to be dated by it.

    What it is ahead of ours is remembered: after a reconnect it tells its time only some seconds later.

    Attributes:
        is_wanted: they are.
    """

    def __init__(self, *, is_wanted: bool) -> None:
        self.is_wanted = is_wanted
        self._ahead: int | None = None

    def read(self, by_arrival: int, by_camera: int | None) -> tuple[int, bool]:
        """The date of an instant, and whether it is by the camera's clock.

        Args:
            by_arrival: what it is by ours, Unix microseconds.
            by_camera: what it is by the camera's; None: it has not told.
        """
        if by_camera is not None and abs(by_camera - by_arrival) <= _CLOCK_TRUSTED:
            self._ahead = by_camera - by_arrival
            return by_camera, True
        if by_camera is None and self._ahead is not None:
            return by_arrival + self._ahead, True
        return by_arrival, False


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
