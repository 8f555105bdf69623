"""What processes cost, read from /proc (Linux): CPU time, memory, page faults, context switches.

The kernel's `stat` counts CPU time in ticks of 10 ms; what the threads' `schedstat` says is exact, so that is the
total, and `stat` splits it into user and system time. Memory is PSS: pages shared by several processes are shared out
among them, so that twenty processes of one program are not charged for it twenty times.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


class BenchError(Exception):
    """A subject cannot be measured; the message says why."""


@dataclass(frozen=True)
class Usage:
    """What processes have used up so far; the difference of two is what they used in between.

    Attributes:
        user, system: seconds of CPU time, in ticks.
        cpu: seconds of CPU time, exact.
        faults: page faults.
        switches: context switches.
    """

    user: float = 0.0
    system: float = 0.0
    cpu: float = 0.0
    faults: int = 0
    switches: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


def usage(pids: Iterable[int]) -> Usage:
    """What the processes have used together.

    Raises:
        FileNotFoundError: one of them has ended.
    """
    return sum((_usage(PROC / str(pid)) for pid in pids), Usage())


def _usage(process: Path) -> Usage:
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    minor, major, user, system = (int(fields[i]) for i in (7, 9, 11, 12))
    nanoseconds = switches = 0
    for thread in (process / "task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
            lines = (thread / "status").read_text().splitlines()
            switches += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    user_time, system_time = user / TICKS, system / TICKS
    return Usage(user_time, system_time, nanoseconds / 1e9 or user_time + system_time, minor + major, switches)


def pss(pids: Iterable[int]) -> float:
    """Their memory together, in MB (10^6 bytes): proportional set size."""
    total = 0
    for pid in pids:
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def machine_busy() -> float:
    """CPU seconds that all processors have been busy since the machine's start."""
    user, nice, system, _, _, irq, softirq, steal = (int(x) for x in (PROC / "stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


@dataclass(frozen=True)
class Spell:
    """What happened over a while.

    Attributes:
        seconds: how long it was.
        used: what the processes used up in it.
        others: processors kept busy by anybody but them.
    """

    seconds: float
    used: Usage
    others: float


class Meter:
    """Runs from its creation on."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = list(pids)
        self._used, self._busy, self._began = usage(self._pids), machine_busy(), time.monotonic()

    def stop(self) -> Spell:
        """What happened since."""
        seconds = time.monotonic() - self._began
        used, busy = usage(self._pids) - self._used, machine_busy() - self._busy
        return Spell(seconds, used, (busy - used.cpu) / seconds)
