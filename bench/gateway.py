"""The whole-gateway bench: CPU time and memory a camera, for rtspkit and for what else people use, in one run.

::

    python bench/gateway.py --cameras 20 --seconds 30 --ffmpeg --mediamtx /path/to/mediamtx --runs 3 [--per-packet]

The same simulated cameras (`cameras.py`) are read by each subject (`subjects.py`) in turn: A B C, A B C ... Each is
started, given time until every camera's playlist is full and some segments have left it again, then measured
(`measure.py`) over the seconds asked for, without a viewer. Afterwards each camera's media sequence must have gone on,
and a segment of one of them must be decodable: who does not deliver is not in the table, and the exit status is 1.

Absolute figures depend on the machine and on who else uses it (both are printed). The ratios, taken within a round and
then their median over the rounds, are what holds.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from harness import idle_memory, markdown, run_bench, running, simulated_cameras, spread, wait_until
from measure import BenchError, Meter, Usage, pss
from subjects import (
    SEGMENT_COUNT,
    SEGMENT_SECONDS,
    FFmpeg,
    MediaMTX,
    MediaMTXDatagrams,
    Rtspkit,
    RtspkitDatagrams,
    RtspkitDirectory,
    RtspkitH265,
    Subject,
)

#: Seconds a subject has to fill every camera's window.
FILL_TIMEOUT = 60 + SEGMENT_COUNT * SEGMENT_SECONDS
#: Seconds after the window is full: segments leave it, memory no longer grows.
SETTLE = 2.5 * SEGMENT_SECONDS
#: Seconds between two looks at the memory.
MEMORY_INTERVAL = 5.0


@dataclass(frozen=True)
class Result:
    """One measurement of one subject.

    Attributes:
        camera_seconds: how much was received.
        used: what its processes used for it.
        memory: MB of all its processes, looked at every few seconds.
        idle: MB of its process without any camera; 0 where it has none.
        others: processors kept busy by anybody but the subject.
    """

    camera_seconds: float
    cameras: int
    used: Usage
    memory: list[float]
    idle: float
    others: float

    @property
    def cpu(self) -> float:
        """CPU ms a camera-second."""
        return self.used.cpu / self.camera_seconds * 1000

    @property
    def user(self) -> float:
        """The part of `cpu` outside the kernel."""
        return self.cpu * self.used.user / ((self.used.user + self.used.system) or 1.0)

    @property
    def megabytes(self) -> float:
        """MB a camera, the whole process shared out."""
        return median(self.memory) / self.cameras

    @property
    def own_megabytes(self) -> float:
        """MB a camera, without what the process takes up anyway."""
        return (median(self.memory) - self.idle) / self.cameras


def measure(subject: Subject, sources: list[str], seconds: float, idle: float) -> Result:
    """Starts the subject, waits until its memory is steady, measures, checks what it delivered, stops it."""
    cameras = range(len(sources))

    def check_full() -> None:
        for camera in cameras:
            if len(subject.playlist(camera).segments) < SEGMENT_COUNT:
                raise BenchError(f"the window of camera {camera} is not full yet")

    with running(subject, sources) as folder:
        time.sleep(SEGMENT_COUNT * SEGMENT_SECONDS)
        wait_until(check_full, FILL_TIMEOUT, subject)
        time.sleep(SETTLE)
        first = [subject.playlist(camera).media_sequence for camera in cameras]
        meter, end = Meter(subject.pids), time.monotonic() + seconds
        memory = []
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, MEMORY_INTERVAL))
            memory.append(pss(subject.pids))
        spell = meter.stop()
        subject.check_alive()
        for camera in cameras:
            grown = subject.playlist(camera).media_sequence - first[camera]
            if grown < spell.seconds // SEGMENT_SECONDS - 1:
                raise BenchError(f"{subject.name}: camera {camera} made {grown} segments in {spell.seconds:.0f} s")
        check_decodable(subject, random.choice(cameras), folder)
    return Result(spell.seconds * len(sources), len(sources), spell.used, memory, idle, spell.others)


def check_decodable(subject: Subject, camera: int, folder: Path) -> None:
    """Decodes the newest segment of a camera."""
    playlist = subject.playlist(camera)
    file = folder / "check.mp4"
    file.write_bytes(subject.fetch(camera, playlist.init_section) + subject.fetch(camera, playlist.segments[-1]))
    command = "ffprobe -v error -count_frames -select_streams v -show_entries stream=nb_read_frames -of csv=p=0"
    found = subprocess.run([*command.split(), str(file)], capture_output=True, text=True, check=False, timeout=60)
    pictures = found.stdout.strip().rstrip(",")
    if found.stderr or not pictures.isdigit() or int(pictures) < 20 * SEGMENT_SECONDS:
        reason = found.stderr.strip() or f"{pictures or 'no'} pictures in {SEGMENT_SECONDS} s"
        raise BenchError(f"{subject.name}: a segment of camera {camera} is not what it should be: {reason}")


def table(results: dict[str, dict[int, Result]]) -> str:
    """The results as a Markdown table; ratios are to the first subject, within the same round."""
    base = next(iter(results.values()))
    heads = "subject,CPU ms a camera-second,user,sys,ratio,MB a camera,ratio,without the idle process,faults,switches"
    rows = [heads.split(",")]
    for name, rounds in results.items():
        runs = list(rounds.values())
        seconds = [run.camera_seconds for run in runs]
        rows.append(
            [
                name,
                spread([run.cpu for run in runs], 3),
                f"{median(run.user for run in runs):.3f}",
                f"{median(run.cpu - run.user for run in runs):.3f}",
                spread([run.cpu / base[number].cpu for number, run in rounds.items()], 1),
                spread([run.megabytes for run in runs], 1),
                spread([run.megabytes / base[number].megabytes for number, run in rounds.items()], 1),
                spread([run.own_megabytes for run in runs], 1),
                f"{median(run.used.faults / s for run, s in zip(runs, seconds, strict=True)):.1f}",
                f"{median(run.used.switches / s for run, s in zip(runs, seconds, strict=True)):.1f}",
            ]
        )
    return f"{markdown(rows)}\n(faults and switches: a camera-second)"


def run(options: argparse.Namespace) -> int:
    """Everything; returns the exit status."""
    subjects: list[Subject] = [Rtspkit()]
    if options.directory:
        subjects.append(RtspkitDirectory())
    if options.udp:
        subjects.append(RtspkitDatagrams())
    if options.h265:
        subjects.append(RtspkitH265())
    if options.ffmpeg:
        subjects.append(FFmpeg())
    if options.mediamtx:
        subjects.append(MediaMTX(options.mediamtx.resolve()))
        if options.udp:
            subjects.append(MediaMTXDatagrams(options.mediamtx.resolve()))
    results: dict[str, dict[int, Result]] = {}
    status = 0
    with ExitStack() as stack:
        sources = {
            is_h265: stack.enter_context(
                simulated_cameras(options.cameras, per_packet=options.per_packet, is_h265=is_h265)
            ).sources
            for is_h265 in sorted({subject.is_h265 for subject in subjects})
        }
        idle = {subject.name: idle_memory(subject) if subject.is_server else 0.0 for subject in subjects}
        for number in range(1, options.runs + 1):
            for subject in subjects:
                try:
                    result = measure(subject, sources[subject.is_h265], options.seconds, idle[subject.name])
                except BenchError as error:
                    print(f"run {number}: {error}", flush=True)
                    if subject is subjects[0]:
                        return 1  # there is nothing to compare with
                    status = 1
                    continue
                results.setdefault(subject.name, {})[number] = result
                print(
                    f"run {number}: {subject.name}: {result.cpu:.3f} ms a camera-second, {result.megabytes:.1f} MB a "
                    f"camera; others kept {result.others:.2f} of {os.cpu_count()} processors busy",
                    flush=True,
                )
    print(f"\n{options.seconds:g} s measured, {options.runs} run(s), median (smallest-largest):\n{table(results)}")
    return status


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description="CPU time and memory a camera, beside other gateways.")
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument("--runs", type=int, default=1, help="rounds; the subjects take turns")
    parser.add_argument("--per-packet", action="store_true", help="cameras send packet by packet")
    parser.add_argument("--mediamtx", type=Path, metavar="PATH", help="compare with this MediaMTX binary")
    parser.add_argument("--ffmpeg", action="store_true", help="compare with ffmpeg -c copy -f hls")
    parser.add_argument("--directory", action="store_true", help="measure rtspkit with hlsDirectory, too")
    parser.add_argument("--udp", action="store_true", help="measure media over UDP, too")
    parser.add_argument("--h265", action="store_true", help="measure rtspkit with cameras of H.265, too")
    options = parser.parse_args()
    if options.cameras < 1 or options.runs < 1 or options.seconds < 2 * SEGMENT_SECONDS:
        parser.error(f"at least one camera, one run and {2 * SEGMENT_SECONDS} seconds are needed")
    run_bench(lambda: run(options))


if __name__ == "__main__":
    main()
