"""A camera whose clock stands, or runs at a wrong rate: its units are timed by their arrival instead.

Strategy: over half a second of arrivals the usual distance of two timestamps is compared with the usual
distance of two arrivals; where they differ by more than four times, twice in a row, the timestamps are not
believed any more, and after four good spans they are again. Medians and means without the longest pause make
this deaf to single wild timestamps, to pauses of the network and to the order of B-pictures; the second span
makes it deaf to the burst of old pictures with which some cameras and recorders begin.

Which cameras: some stamp every unit alike after their clock was set, or count in milliseconds what they announce
as 90 kHz.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from statistics import median_low

from rtspkit.media import SAMPLE_SIZE, Run

__all__ = ["ArrivalClock"]

_NANOSECONDS = 1_000_000_000
#: Arrivals (ns) that are looked at together.
_SPAN = _NANOSECONDS // 2
#: How far the clocks may be apart, as a factor.
_FACTOR = 4
#: Units that are looked at together at most: many may come at one instant.
_MOST = 1000
#: Spans in a row that convict a clock, and that acquit it.
_BAD, _GOOD = 2, 4


class ArrivalClock:
    """Watches the leading track of one camera.

    Attributes:
        is_used: units are timed by their arrival at present.
        restamped: how many were so far.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self.is_used = False
        self.restamped = 0
        self._streak = 0
        self._last: tuple[int, int] | None = None  # pts and arrival of the last unit
        self._times: list[int] = []  # distances, ticks
        self._arrivals: list[int] = []  # distances, ns

    def forget(self) -> None:
        """Another connection, another clock."""
        self.__init__(self._rate)  # type: ignore[misc]

    def take(self, run: Run, times: list[int], expected: int | None) -> tuple[Run, list[int]]:
        """The run with the times to go on with.

        Args:
            run: at least one sample, of the leading track.
            times: its pts.
            expected: the pts that would follow the last unit given out; None where time starts anew.
        """
        arrivals: list[int] = memoryview(run.samples).cast("B").cast("q")[1 :: SAMPLE_SIZE // 8].tolist()
        if arrivals[0] <= 0:  # nobody knows when they came
            return run, times
        last = self._last or (times[0], arrivals[0])
        self._last = (times[-1], arrivals[-1])
        self._times += [abs(after - before) for before, after in pairwise((last[0], *times))]
        self._arrivals += [after - before for before, after in pairwise((last[1], *arrivals))]
        if sum(self._arrivals) - max(self._arrivals) >= _SPAN:
            self._judge()
        elif len(self._arrivals) > _MOST:
            self._times.clear()
            self._arrivals.clear()
        if not self.is_used:
            return run, times
        first = times[0] if expected is None else expected
        unit = (arrivals[-1] - last[1]) * self._rate // (_NANOSECONDS * len(times))
        unit = max(1, min(unit, self._rate))
        samples = bytearray(memoryview(run.samples).cast("B"))
        for number in range(len(times)):
            struct.pack_into("=q", samples, number * SAMPLE_SIZE, first + number * unit)
        self.restamped += len(times)
        return Run(run.track, samples, run.data), list(range(first, first + len(times) * unit, unit))

    def _judge(self) -> None:
        count = len(self._arrivals)
        arrival = (sum(self._arrivals) - max(self._arrivals)) // max(1, count - 1)
        time = median_low(self._times) * _NANOSECONDS // self._rate
        is_bad = not arrival <= _FACTOR * time <= _FACTOR * _FACTOR * arrival
        self._streak = self._streak + 1 if is_bad is not self.is_used else 0
        if self._streak >= (_GOOD if self.is_used else _BAD):
            self.is_used, self._streak = is_bad, 0
        self._times.clear()
        self._arrivals.clear()
