"""Many cameras lost at once that return at once, as behind a switch that starts anew: how soon are they back?

::

    python bench/returning.py --cameras 300 --mediamtx /path/to/mediamtx --runs 3 [--away 20]

The cameras (`cameras.py`) hang up on everybody at the same instant; with ``--away`` they also stop listening for so
many seconds. Measured from their return:

- ``playing``: until the last of them has been asked to PLAY, by the cameras' own clock; ``live``: until the gateway
  says that it has media of all (rtspkit: a sync sample of each, MediaMTX: "ready", which comes before media do);
- ``SYNs``: connections accepted in any 100 ms at most, and in all;
- ``lag``: what the gateway's loop was late at most, in calm and from the loss until all were live (`watched.py`;
  MediaMTX has no such loop); ``work``: the most CPU time it took in one go meanwhile, which nobody else adds to;
- ``answer``: what a viewer waited for a playlist at most, asking 20 times a second, and which statuses it got.

Absolute figures depend on the machine and on who else uses it (printed). Who does not have all cameras back within a
minute is not in the table, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

from harness import Cameras, markdown, run_bench, running, simulated_cameras, spread
from measure import BenchError, machine_busy
from subjects import MediaMTX, Output, Rtspkit, free_port

#: Short windows: three hundred of them have to fit into memory.
OUTPUT = Output(segment_seconds=1, segment_count=3)
APPEAR_TIMEOUT = 120.0
RETURN_TIMEOUT = 60.0
SETTLE = 8.0
POLL = 0.05


class Lag(NamedTuple):
    """Seconds that a loop was late at most, and that it worked in one go; None: there is none."""

    late: float | None = None
    work: float | None = None


class Watched(Rtspkit):
    """This package's gateway, its loop watched."""

    def run(self, file: Path) -> None:
        """Starts it under `watched.py`."""
        command = [sys.executable, str(Path(__file__).with_name("watched.py")), str(file)]
        root = Path(__file__).resolve().parents[1]
        self.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root)
        self.live, self.live_at = 0, 0.0
        self.unread = b""

    def __init__(self, output: Output, gap: float) -> None:
        super().__init__(output)
        self.gap = gap

    def options(self) -> list[str]:
        """The log goes to a file: standard output is the watch's."""
        own = [f"gapKeepAlive: {self.gap:g}s"]
        return [*super().options(), *own, "logDestinations: [file]", f"logFile: {self.folder / 'gateway.log'}"]

    def read(self, timeout: float) -> dict[str, float]:
        """The next line of the watch; nothing if none comes."""
        output = self.processes[0].stdout
        assert output is not None
        while b"\n" not in self.unread:
            if not select.select([output], [], [], timeout)[0] or not (data := os.read(output.fileno(), 65536)):
                return {}
            self.unread += data
        line, _, self.unread = self.unread.partition(b"\n")
        found: dict[str, float] = json.loads(line)
        if "live" in found:
            self.live, self.live_at = int(found["live"]), found["at"]
        return found

    def wait_for(self, count: int, since: float, timeout: float) -> float:
        """When so many paths were live, after `since`."""
        deadline = time.monotonic() + timeout
        while self.live != count or self.live_at < since:
            self.check_alive()
            self.read(0.5)
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name}: {self.live} of {count} cameras live after {timeout:g} s")
        return self.live_at

    def lag(self) -> Lag:
        """What the loop was late since it was last asked."""
        asking = self.processes[0].stdin
        assert asking is not None
        asking.write(b"\n")
        asking.flush()
        while "lag" not in (found := self.read(5.0)):
            if not found:
                raise BenchError(f"{self.name}: its loop does not answer")
        return Lag(found["lag"], found["work"])


class Polled(MediaMTX):
    """MediaMTX, whose API is asked."""

    def run(self, file: Path) -> None:
        """Starts it with its API."""
        self.api = free_port()
        more = {"MTX_MOQ": "no", "MTX_API": "yes", "MTX_APIADDRESS": f"127.0.0.1:{self.api}"}
        self.spawn([str(self.binary), str(file)], cwd=self.folder, env=more)

    def wait_for(self, count: int, since: float, timeout: float) -> float:
        """When so many paths were ready: as good as it is asked."""
        del since
        deadline = time.monotonic() + timeout
        while True:
            self.check_alive()
            ready = -1
            try:
                found = json.loads(self._get(f"http://127.0.0.1:{self.api}/v3/paths/list?itemsPerPage=1000"))
                ready = sum(item["ready"] for item in found["items"])
            except BenchError:
                pass
            if ready == count:
                return time.monotonic()
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name}: {ready} of {count} cameras ready after {timeout:g} s")
            time.sleep(POLL)

    def lag(self) -> Lag:
        """It has no loop."""
        return Lag()


class Viewer(threading.Thread):
    """Asks for one playlist, again and again, on a connection of its own."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.url = urlsplit(address)
        self.longest = 0.0
        self.statuses: Counter[str] = Counter()
        self.is_stopping = threading.Event()

    def run(self) -> None:
        """Until it is told to stop."""
        connection = HTTPConnection(self.url.netloc, timeout=10)
        while not self.is_stopping.wait(0.05):
            began = time.monotonic()
            try:
                connection.request("GET", f"{self.url.path}?{self.url.query}")
                response = connection.getresponse()
                response.read()
                status = str(response.status)
            except (OSError, HTTPException):
                connection.close()
                status = "none"
            self.longest = max(self.longest, time.monotonic() - began)
            self.statuses[status] += 1
        connection.close()


@contextmanager
def watching(address: str) -> Iterator[Viewer]:
    """A viewer while the block runs."""
    viewer = Viewer(address)
    viewer.start()
    try:
        yield viewer
    finally:
        viewer.is_stopping.set()
        viewer.join()


@dataclass(frozen=True)
class Result:
    """One return of all cameras; seconds."""

    playing: float
    live: float
    syns: int
    connections: int
    calm: Lag
    lag: Lag
    answer: float
    statuses: Counter[str]
    others: float


def most_in(times: list[float], seconds: float) -> int:
    """How many of them fall into any span that long, at most."""
    times, first, most = sorted(times), 0, 0
    for index, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, index - first + 1)
    return most


def measure(subject: Watched | Polled, cameras: Cameras, away: float) -> Result:
    """Starts the subject, waits until all is calm, takes the cameras away and gives them back."""
    count = len(cameras.sources)
    with running(subject, cameras.sources):
        subject.wait_for(count, 0.0, APPEAR_TIMEOUT)
        subject.playlist(0)
        with watching(subject.addresses[0]) as viewer:
            time.sleep(SETTLE)
            subject.lag()
            time.sleep(SETTLE)
            calm = subject.lag()
            viewer.longest, viewer.statuses = 0.0, Counter()
            busy, lost = machine_busy(), time.monotonic()
            returned = cameras.tell("leave" if away else "drop")
            if away:
                time.sleep(away)
                returned = cameras.tell("return")
            live = subject.wait_for(count, returned, RETURN_TIMEOUT)
            lag = subject.lag()
            seen = cameras.times()
            others = (machine_busy() - busy) / (time.monotonic() - lost)
    accepted = [at for at in seen["accepted"] if at >= returned]
    return Result(
        max(seen["began"]) - returned,
        live - returned,
        most_in(accepted, 0.1),
        len(accepted),
        calm,
        lag,
        viewer.longest,
        viewer.statuses,
        others,
    )


def milliseconds(values: list[float | None]) -> str:
    """In ms; a dash where there is none."""
    known = [1000 * value for value in values if value is not None]
    return spread(known, 0) if known else "-"


def table(results: dict[str, list[Result]]) -> str:
    """The results as a Markdown table."""
    heads = "subject,playing s,live s,SYNs in 100 ms,connections,lag in calm ms,lag ms,work ms,answer ms,statuses"
    rows = [heads.split(",")]
    for name, runs in results.items():
        statuses = sum((run.statuses for run in runs), Counter())
        rows.append(
            [
                name,
                spread([run.playing for run in runs], 1),
                spread([run.live for run in runs], 1),
                spread([run.syns for run in runs], 0),
                f"{median(run.connections for run in runs):.0f}",
                milliseconds([run.calm.late for run in runs]),
                milliseconds([run.lag.late for run in runs]),
                milliseconds([run.lag.work for run in runs]),
                milliseconds([run.answer for run in runs]),
                " ".join(f"{status}: {number}" for status, number in sorted(statuses.items())),
            ]
        )
    return markdown(rows)


def run(options: argparse.Namespace) -> int:
    """Everything; returns the exit status."""
    subjects: list[Watched | Polled] = [Watched(OUTPUT, options.gap)]
    if options.mediamtx:
        subjects.append(Polled(options.mediamtx.resolve(), OUTPUT))
    results: dict[str, list[Result]] = {}
    status = 0
    for number in range(1, options.runs + 1):
        for subject in subjects:
            with simulated_cameras(options.cameras, per_packet=options.per_packet) as cameras:
                try:
                    result = measure(subject, cameras, options.away)
                except BenchError as error:
                    print(f"run {number}: {error}", flush=True)
                    status = 1
                    continue
            results.setdefault(subject.name, []).append(result)
            print(
                f"run {number}: {subject.name}: all live after {result.live:.1f} s, "
                f"lag {milliseconds([result.lag.late])} ms; "
                f"{result.others:.2f} of {os.cpu_count()} processors busy",
                flush=True,
            )
    if results:
        print(f"\n{options.cameras} cameras, away for {options.away:g} s, {options.runs} run(s):\n{table(results)}")
    return status


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description="How soon many cameras are back that return at once.")
    parser.add_argument("--cameras", type=int, default=300)
    parser.add_argument("--away", type=float, default=0.0, help="seconds in which they do not even listen")
    parser.add_argument("--gap", type=float, default=60.0, help="gapKeepAlive; shorter than --away: all have failed")
    parser.add_argument("--runs", type=int, default=1, help="rounds; the subjects take turns")
    parser.add_argument("--per-packet", action="store_true", help="cameras send packet by packet")
    parser.add_argument("--mediamtx", type=Path, metavar="PATH", help="compare with this MediaMTX binary")
    options = parser.parse_args()
    if options.cameras < 1 or options.runs < 1 or options.away < 0:
        parser.error("at least one camera and one run are needed")
    run_bench(lambda: run(options))


if __name__ == "__main__":
    main()
