"""What the benches of whole gateways share: the cameras' process, waiting, and how results are told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from marks import Log
from measure import BenchError, pss
from subjects import Subject, spawn, stop


class Cameras:
    """The cameras' process, which does what it is told."""

    def __init__(self, process: subprocess.Popen[bytes], sources: list[str]) -> None:
        self.process, self.sources = process, sources

    def tell(self, command: str) -> float:
        """Tells it; returns when it was done."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        return float(self._line()["at"])

    def times(self) -> dict[str, list[float]]:
        """When connections came, and when media began, since they were last hung up."""
        self.tell("tell")
        return self._line()

    def _line(self) -> dict[str, list[float]]:
        assert self.process.stdout is not None
        found: dict[str, list[float]] = json.loads(self.process.stdout.readline())
        return found


@contextmanager
def simulated_cameras(
    count: int, *, per_packet: bool = False, mid_gop: bool = False, log: Log | None = None, is_h265: bool = False
) -> Iterator[Cameras]:
    """The cameras; says at the end how they fared."""
    command = [sys.executable, str(Path(__file__).with_name("cameras.py")), "--cameras", str(count), "--until-eof"]
    command += ["--per-packet"] * per_packet + ["--mid-gop"] * mid_gop
    command += ["--marks", str(log.fd)] if log else []
    command += ["--h265"] * is_h265
    process = spawn(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[1],
        pass_fds=[log.fd] if log else [],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    began = time.monotonic()
    try:
        about = json.loads(process.stdout.readline() or b"{}")
        if not about:
            raise BenchError("the cameras did not start")
        how = "a send for each packet, spread over time" if per_packet else "a send for each access unit"
        what = f"{count} cameras{' of H.265' * is_h265}"
        print(f"{what}: {about['mbit']} Mbit/s, {about['packets']} RTP packets a second, {how}", flush=True)
        yield Cameras(process, [f"rtsp://127.0.0.1:{about['port']}/cam{number}" for number in range(count)])
        process.stdin.close()
        seconds = time.monotonic() - began
        end = json.loads(process.stdout.readline() or b"{}")
        print(
            f"the cameras themselves: {end['cpu_seconds'] / seconds:.0%} of a processor, at most {end['latest_ms']} ms "
            f"late, {end['blocked']} of {end['sends']} sends met a full socket, {end['dropped']} sessions given up"
        )
    finally:
        stop([process])


def wait_until(condition: Callable[[], None], timeout: float, subject: Subject) -> None:
    """Tries again until no BenchError comes."""
    deadline = time.monotonic() + timeout
    while True:
        subject.check_alive()
        try:
            condition()
        except BenchError as error:
            if time.monotonic() > deadline:
                raise BenchError(f"{subject.name}: not within {timeout:g} s: {error}") from None
            time.sleep(0.5)
        else:
            return


def idle_memory(subject: Subject) -> float:
    """MB of the process when it has no camera."""
    with running(subject, []):
        time.sleep(3)
        subject.check_alive()
        return pss(subject.pids)


@contextmanager
def running(subject: Subject, sources: list[str]) -> Iterator[Path]:
    """The subject, started on these cameras; gives the folder it has to itself, and stops it at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            subject.start(sources, Path(folder))
            yield Path(folder)
        finally:
            subject.stop()


def spread(values: Sequence[float], digits: int) -> str:
    """The median, and in brackets the smallest and the largest."""
    text = f"{median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [" | ".join(["", *map(str.ljust, row, widths), ""]).strip() for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def run_bench(run: Callable[[], int]) -> None:
    """Runs it; ends the program with its status, or with a line that says what was wrong."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        status = run()
    except BenchError as error:
        print(error)
        status = 1
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
