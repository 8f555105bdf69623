"""The Low-Latency bench: how late a part is, what it costs, how long a cold start takes, what a held request costs.

::

    python bench/latency.py --mediamtx /path/to/mediamtx --runs 5 [--part latency --part cpu ...]

Everything with segments of 1 s (the cameras' GOP makes 2 s of them) and parts of 200 ms, of the same simulated cameras
(`cameras.py`), for each subject (`subjects.py`) in turn: A B, A B ...

- ``latency``: from the instant a camera sends the last access unit of a part until a reader has the whole part. The
  units are marked (`marks.py`), so the reader finds in the part's bytes which unit was its last. Two readers a camera:
  one waits for the playlist that lists the part and fetches it then, one asks for the hinted part ahead.
  A reader that misses a unit, or gets one twice, fails the run.
- ``cpu``: CPU time a camera-second, at first without a viewer, then with one a camera (blocking playlist reload, each
  part fetched; where sound is a rendition of its own, that too, as a player does).
- ``start``: a camera on demand, which begins in the middle of a GOP: from the viewer's first request to the
  multivariant playlist, and to the first part. The excess is what that took beyond the camera's next sync sample and
  the duration of a part.
- ``blocked``: many requests that are held for the next segment: memory of each (PSS before and after), and from the
  first reply to the last, once the part is there.

Absolute figures depend on the machine and on who else uses it (both are printed); ratios within one run hold.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urljoin

from cameras import GOP
from harness import markdown, run_bench, running, simulated_cameras, spread, wait_until
from marks import Log, serials
from measure import BenchError, Meter, Spell, pss
from parked import park
from subjects import HTTPSubject, MediaMTX, Output, Rtspkit
from viewer import Client, Playlist, Reply, media_playlists, next_address, parse_playlist, watch

PART_MS = 200
LOW_LATENCY = Output(segment_seconds=1, segment_count=7, part_ms=PART_MS)
#: Seconds every camera has to be there.
APPEAR_TIMEOUT = 60.0
#: Seconds for viewers to settle in.
SETTLE = 3.0
#: What a viewer on demand is ready to wait.
START_TIMEOUT = 30.0


def percentile(values: list[float], percent: int) -> float:
    """Of the values, the one that so many percent do not exceed."""
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


def wait_for_media(subject: HTTPSubject, cameras: int) -> None:
    """Until every camera has a segment."""

    def check() -> None:
        for camera in range(cameras):
            if not subject.playlist(camera).segments:
                raise BenchError(f"camera {camera} has no segment yet")

    wait_until(check, APPEAR_TIMEOUT, subject)


async def addresses(client: Client, subject: HTTPSubject, camera: int) -> list[str]:
    """Of the camera's media playlists; the first has the pictures."""
    base = subject.address(camera)
    return media_playlists((await client.get(base)).body.decode(), base)


# -- latency ------------------------------------------------------------------


def measure_latency(subject: HTTPSubject, options: argparse.Namespace, log: Log) -> dict[str, float]:
    """ms from the last unit of a part to the whole part."""
    cameras = range(options.latency_cameras)
    wait_for_media(subject, len(cameras))

    async def follow_all() -> list[list[float]]:
        end = time.monotonic() + options.seconds
        readers = [follow(subject, camera, log, end, ahead) for ahead in (False, True) for camera in cameras]
        return await asyncio.gather(*readers)

    found = asyncio.run(follow_all())
    listed = [value for values in found[: len(cameras)] for value in values]
    hinted = [value for values in found[len(cameras) :] for value in values]
    return {
        "listed50": percentile(listed, 50),
        "listed95": percentile(listed, 95),
        "hinted50": percentile(hinted, 50),
        "hinted95": percentile(hinted, 95),
        "parts": len(listed) / options.seconds / len(cameras),
    }


async def follow(subject: HTTPSubject, camera: int, log: Log, end: float, ahead: bool) -> list[float]:
    """How late each part was, in ms, for one reader of one camera."""
    found: list[float] = []
    following: int | None = None
    async with Client() as client:
        address = (await addresses(client, subject, camera))[0]
        async with aclosing(watch(client, address, ahead=ahead)) as parts:
            async for part in parts:
                units = serials(part.body)
                if not units or units != list(range(units[0], units[-1] + 1)) or following not in {None, units[0]}:
                    raise BenchError(f"{subject.name}: camera {camera}: units {units} where {following} is next")
                following = units[-1] + 1
                sent = log.sent(camera, units[-1])
                if sent is None:
                    raise BenchError(f"{subject.name}: camera {camera}: unit {units[-1]} was not sent lately")
                found.append((part.at - sent) * 1000)
                if part.at > end:
                    return found
    return found


# -- CPU time -----------------------------------------------------------------


def measure_cpu(subject: HTTPSubject, options: argparse.Namespace, _: Log) -> dict[str, float]:
    """CPU ms a camera-second, and MB a camera."""
    cameras = options.cpu_cameras
    wait_for_media(subject, cameras)
    time.sleep(options.fill)
    meter = Meter(subject.pids)
    time.sleep(options.seconds)
    alone = meter.stop()
    watched, parts = asyncio.run(_with_viewers(subject, cameras, options.seconds))
    wanted = 0.9 * cameras * watched.seconds * 1000 / PART_MS
    if parts < wanted:
        raise BenchError(f"{subject.name}: {parts} parts for {cameras} viewers, where {wanted:.0f} were to come")
    return {
        "alone": alone.used.cpu / alone.seconds / cameras * 1000,
        "watched": watched.used.cpu / watched.seconds / cameras * 1000,
        "switches": alone.used.switches / alone.seconds / cameras,
        "faults": alone.used.faults / alone.seconds / cameras,
        "megabytes": pss(subject.pids) / cameras,
    }


async def _with_viewers(subject: HTTPSubject, cameras: int, seconds: float) -> tuple[Spell, int]:
    """What was used up with a viewer a camera; the parts of all pictures that they got."""
    parts = 0

    async def view(camera: int) -> None:
        async with Client() as client:
            pictures, *sound = await addresses(client, subject, camera)
            await asyncio.gather(count(client, pictures, 1), *(count(client, address, 0) for address in sound))

    async def count(client: Client, address: str, worth: int) -> None:
        nonlocal parts
        async with aclosing(watch(client, address)) as replies:
            async for _ in replies:
                parts += worth

    viewers = [asyncio.create_task(view(camera)) for camera in range(cameras)]
    try:
        await asyncio.sleep(SETTLE)
        meter, parts = Meter(subject.pids), 0
        done, _ = await asyncio.wait(viewers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for viewer in done:
            viewer.result()
        return meter.stop(), parts
    finally:
        for viewer in viewers:
            viewer.cancel()
        await asyncio.gather(*viewers, return_exceptions=True)


# -- cold start ---------------------------------------------------------------


def measure_start(subject: HTTPSubject, options: argparse.Namespace, log: Log) -> dict[str, float]:
    """Times of cold starts, one camera after the other."""
    wait_until(lambda: asyncio.run(_listens(subject)), APPEAR_TIMEOUT, subject)
    starts = []
    for camera in range(options.starts):
        time.sleep(random.uniform(0.0, 1.0))  # at any place in the GOP
        starts.append(asyncio.run(_start(subject, camera, log)))
    indexes, waits, totals = zip(*starts, strict=True)
    excesses = [total - wait - PART_MS for wait, total in zip(waits, totals, strict=True)]
    return {
        "index": median(indexes),
        "wait": median(waits),
        "total": median(totals),
        "excess": median(excesses),
        "worst": max(excesses),
    }


async def _listens(subject: HTTPSubject) -> None:
    """Raises where it does not yet."""
    async with Client() as client:
        await client.ask(f"http://127.0.0.1:{subject.port}/nothing-of-that-name/index.m3u8")


async def _start(subject: HTTPSubject, camera: int, log: Log) -> tuple[float, float, float]:
    """ms from the first request to the multivariant playlist, to the camera's sync sample, to the first part."""
    began = time.monotonic()
    async with Client() as client:
        index = await _patiently(client, subject.address(camera), began)
        address = media_playlists(index.body.decode(), subject.address(camera))[0]
        playlist = _playlist(await _patiently(client, address, began))
        while not playlist.parts:
            playlist = _playlist(await client.get(next_address(address, playlist.following)))
        await client.get(urljoin(address, playlist.init_section))
        part = await client.get(urljoin(address, playlist.parts[0]))
    played, first = log.began(camera)
    sync = -(-first // GOP) * GOP
    sent = log.sent(camera, sync)
    if played < began or sent is None:
        raise BenchError(f"{subject.name}: camera {camera} was not started by this viewer")
    units = serials(part.body)
    if not units or units[0] % GOP:
        raise BenchError(f"{subject.name}: camera {camera}: the first part begins with no sync sample: {units}")
    return (index.at - began) * 1000, (sent - began) * 1000, (part.at - began) * 1000


def _playlist(reply: Reply) -> Playlist:
    return parse_playlist(reply.body.decode())


async def _patiently(client: Client, address: str, began: float) -> Reply:
    """Asks again where the gateway says "not now", as a player does."""
    while True:
        reply = await client.ask(address)
        if reply.status == 200:
            return reply
        if time.monotonic() > began + START_TIMEOUT:
            raise BenchError(f"{address}: HTTP status {reply.status} after {START_TIMEOUT:g} s")
        await asyncio.sleep(float(reply.headers.get("retry-after", 1)))


# -- held requests --------------------------------------------------------------


def measure_blocked(subject: HTTPSubject, options: argparse.Namespace, log: Log) -> dict[str, float]:
    """KB a held request, and ms to let all go."""
    wait_for_media(subject, 1)
    time.sleep(options.fill)
    release = park(subject, 0, log, options.blocked)
    return {
        "connected": release.connected,
        "blocked": release.blocked,
        "spread": release.spread,
        "latency": release.latency,
    }


# -- all of it ------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One of the measurements.

    Attributes:
        columns: of the table: key, digits, and what stands at the head.
        cameras: the option that says how many.
        is_marked: whether the cameras' units are; each mark is a packet more.
    """

    title: str
    measure: Callable[[HTTPSubject, argparse.Namespace, Log], dict[str, float]]
    columns: tuple[tuple[str, int, str], ...]
    cameras: str
    output: Output = LOW_LATENCY
    is_marked: bool = True
    mid_gop: bool = False


PARTS = {
    "latency": Part(
        "last access unit of a part -> the reader has the part, ms",
        measure_latency,
        (
            *(("listed50", 1, "listed part, p50"), ("listed95", 1, "p95")),
            *(("hinted50", 1, "hinted part, p50"), ("hinted95", 1, "p95"), ("parts", 2, "parts a second")),
        ),
        "latency_cameras",
    ),
    "cpu": Part(
        "Low-Latency ingest",
        measure_cpu,
        (
            *(("alone", 3, "CPU ms a camera-second"), ("watched", 3, "with a viewer a camera")),
            *(("switches", 1, "switches"), ("faults", 1, "faults"), ("megabytes", 1, "MB a camera")),
        ),
        "cpu_cameras",
        is_marked=False,
    ),
    "start": Part(
        "cold start on demand, from the viewer's first request, ms (median of a run's starts)",
        measure_start,
        (
            *(("index", 0, "multivariant playlist"), ("wait", 0, "camera's sync sample"), ("total", 0, "first part")),
            *(("excess", 0, "excess over sync sample + a part"), ("worst", 0, "its worst")),
        ),
        "starts",
        Output(segment_seconds=1, segment_count=7, part_ms=PART_MS, on_demand=True),
        mid_gop=True,
    ),
    "blocked": Part(
        "requests held for the next segment",
        measure_blocked,
        (
            *(("connected", 1, "KB a connection"), ("blocked", 1, "KB a held request, its connection included")),
            *(
                ("spread", 0, "ms from the first reply to the last"),
                ("latency", 0, "ms from the last unit to the last"),
            ),
        ),
        "one",
    ),
}


def table(part: Part, results: dict[str, list[dict[str, float]]]) -> str:
    """The results as a Markdown table."""
    rows = [["subject", *(head for *_, head in part.columns)]]
    for name, runs in results.items():
        rows.append([name, *(spread([run[key] for run in runs], digits) for key, digits, _ in part.columns)])
    return markdown(rows)


def run_part(name: str, options: argparse.Namespace) -> tuple[str, bool]:
    """All runs of one measurement; returns its table, and whether everybody did what he was to do."""
    part = PARTS[name]
    cameras = getattr(options, part.cameras)
    subjects: list[HTTPSubject] = [Rtspkit(part.output)]
    if options.mediamtx:
        subjects.append(MediaMTX(options.mediamtx.resolve(), part.output))
    subjects = [subject for subject in subjects if options.subject in {None, subject.name}]
    results: dict[str, list[dict[str, float]]] = {}
    is_good = True
    with (
        closing(Log(cameras)) as log,
        simulated_cameras(cameras, mid_gop=part.mid_gop, log=log if part.is_marked else None) as simulated,
    ):
        for number in range(1, options.runs + 1):
            for subject in subjects:
                try:
                    with running(subject, simulated.sources):
                        meter = Meter(subject.pids)
                        result = part.measure(subject, options, log)
                        spell = meter.stop()
                        subject.check_alive()
                except BenchError as error:
                    print(f"{name}, run {number}: {subject.name}: {error}", flush=True)
                    is_good = False
                    continue
                results.setdefault(subject.name, []).append(result)
                figures = ", ".join(f"{key} {result[key]:.{digits}f}" for key, digits, _ in part.columns)
                print(
                    f"{name}, run {number}: {subject.name}: {figures}; others kept {spell.others:.2f} of "
                    f"{os.cpu_count()} processors busy",
                    flush=True,
                )
    about = f"{part.title}; {cameras} camera(s), {options.runs} run(s), median (smallest-largest):"
    return f"\n{about}\n{table(part, results)}", is_good and bool(results)


def run(options: argparse.Namespace) -> int:
    """Everything; returns the exit status."""
    tables, status = [], 0
    for name in options.part or PARTS:
        text, is_good = run_part(name, options)
        tables.append(text)
        status |= not is_good
    print("\n".join(tables))
    return status


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description="Low-Latency HLS: latency, CPU time, cold starts, held requests.")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="one measurement; several times; all")
    parser.add_argument("--runs", type=int, default=1, help="rounds; the subjects take turns")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement of latency and CPU time")
    parser.add_argument("--cameras", type=int, help="of every measurement but `blocked`, in place of what follows")
    parser.add_argument("--latency-cameras", type=int, default=10, help="that are read, each by two readers")
    parser.add_argument("--cpu-cameras", type=int, default=60, help="for the CPU time")
    parser.add_argument("--starts", type=int, default=6, help="cold starts a run, each of a camera of its own")
    parser.add_argument("--blocked", type=int, default=2000, help="requests that are held")
    parser.add_argument(
        "--fill", type=float, default=20.0, help="seconds before `cpu` and `blocked`: memory no longer grows"
    )
    parser.add_argument("--mediamtx", type=Path, metavar="PATH", help="compare with this MediaMTX binary")
    parser.add_argument("--subject", choices=[Rtspkit.name, MediaMTX.name], help="measure only this one")
    options = parser.parse_args()
    options.one = 1
    if options.cameras is not None:
        options.latency_cameras = options.cpu_cameras = options.starts = options.cameras
    if min(options.latency_cameras, options.cpu_cameras, options.starts, options.blocked, options.runs) < 1:
        parser.error("at least one camera, one request and one run are needed")
    run_bench(lambda: run(options))


if __name__ == "__main__":
    main()
