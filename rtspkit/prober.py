"""`rtspkit.probe`: connects to a camera once, listens for some seconds, and says what it is like.

Strategy: the session is an ordinary one (`connect`), so what is found is what the gateway would find. Beside it a
`Findings` hears everything that goes over the link (the tap) and counts the units; `diagnosis` words what is wrong.
Nothing is raised for a camera that does not play: that is what a report is for.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import Any, Literal

from rtspkit import codecs
from rtspkit.client import Camera, connect
from rtspkit.diagnosis import name_unknown, no_connection, no_media, notes, playback, refusal, settings
from rtspkit.errors import ConnectionLost, RtspkitError, TimeoutExceeded
from rtspkit.findings import Findings, UnitCounts
from rtspkit.health import CameraHealth, TrackHealth
from rtspkit.media import Track
from rtspkit.memory import CameraMemory, LowerTransport
from rtspkit.options import CameraOptions
from rtspkit.quirks import SENTENCES
from rtspkit.recording import Recorder
from rtspkit.report import (
    Address,
    Advice,
    ClockReport,
    ProbeReport,
    Quirk,
    SessionReport,
    Settings,
    TrackReport,
    TransportReport,
)
from rtspkit.resolver import resolve
from rtspkit.transcript import Entry
from rtspkit.url import CameraURL, parse_url

__all__ = ["probe"]

#: Seconds that are listened for a second sync sample, where it does not come earlier.
_SYNC_PATIENCE = 15.0
#: By how much a camera's clock may be wrong and still be used, in seconds: pictures of several cameras can be put
#: beside each other.
_GOOD_CLOCK = 1.0


async def probe(
    url: str | CameraURL,
    *,
    options: CameraOptions | None = None,
    seconds: float = 5.0,
    save: str | os.PathLike[str] | None = None,
) -> ProbeReport:
    """Connects to a camera, listens, and says what it is like: how it is reached, what it sends, what is wrong.

    Args:
        url: ``rtsp://user:password@host:port/path``.
        options: how to connect, as for `connect`.
        seconds: how long to listen; longer, up to 15 s in all, while a second sync sample has not come.
        save: a file for a recording of the session (`rtspkit.recording`), without credentials, addresses, serial
            numbers and pictures.

    Raises:
        LocalProtocolError: it is no URL of a camera.
        OSError: the recording cannot be written.
    """
    target = parse_url(url) if isinstance(url, str) else url
    return await _Probe(target, options or CameraOptions(), seconds, save).run()


class _Probe:
    """One attempt."""

    def __init__(
        self, url: CameraURL, options: CameraOptions, seconds: float, save: str | os.PathLike[str] | None
    ) -> None:
        self._url = url
        self._options = options
        self._seconds = seconds
        self._save = save
        self._recorder = None if save is None else Recorder(url)
        self._findings = Findings(time.monotonic(), limits=options.limits)
        self._memory = CameraMemory()
        self._ip: str | None = None

    async def run(self) -> ProbeReport:
        try:
            if not await self._look_up():
                return self._report(name_unknown(self._url))
            try:
                camera = await connect(self._url, options=self._options, memory=self._memory, tap=self._tap)
            except RtspkitError as error:
                self._take(self._findings.transcript.finish(time.monotonic()))  # what never became a message tells, too
                if isinstance(error, (ConnectionLost, TimeoutExceeded)) and not self._findings.is_connected:
                    return self._report(no_connection(self._url, error))
                return self._report(refusal(self._url, error, self._findings))
            try:
                return await self._judge(camera)
            finally:
                await camera.close()
        finally:
            if self._recorder is not None and self._save is not None:
                self._take(self._findings.transcript.finish(time.monotonic()))
                self._recorder.save(self._save)

    async def _look_up(self) -> bool:
        """Whether the name is known: who has none is another matter than who does not answer."""
        try:
            async with asyncio.timeout(self._options.limits.connect_timeout):
                addresses = await resolve(self._url.host, self._url.port)
        except (OSError, UnicodeError):  # TimeoutError among them: the name server does not answer
            return False
        self._ip = str(addresses[0][1][0]) if addresses else None
        return bool(addresses)

    def _tap(self, way: Literal["in", "out"], data: bytes, socket: int | None = None) -> None:
        self._take(self._findings.transcript.feed(time.monotonic(), way, data, socket))

    def _take(self, entries: list[Entry]) -> None:
        self._findings.feed(entries)
        if self._recorder is not None:
            self._recorder.add(entries)

    async def _listen(self, camera: Camera) -> RtspkitError | None:
        """Counts units for the time that was asked for; what ended it early."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        patience = max(until, loop.time() + _SYNC_PATIENCE)
        video = _index(camera.tracks, "video")
        units = aiter(camera)
        try:
            while True:
                counts = self._findings.counts
                is_known = video is None or (video in counts and counts[video].sync_units >= 2)
                async with asyncio.timeout_at(until if is_known else patience):
                    self._findings.add_unit(await anext(units))
        except TimeoutError as error:
            return error if isinstance(error, RtspkitError) else None
        except RtspkitError as error:
            return error

    async def _judge(self, camera: Camera) -> ProbeReport:
        """Listens, and says what there was to hear."""
        findings, announced = self._findings, camera.tracks
        self._url, self._ip = camera.url, camera.remote_address.rpartition(":")[0].strip("[]")
        began = time.monotonic()
        error = await self._listen(camera)
        seconds = time.monotonic() - began
        transport = self._transport(camera)
        health, stats = camera.health(), camera.stats()
        tracks = tuple(
            self._track(track, announced[track.index], health.tracks[track.index], stats.tracks[track.index].ssrc)
            for track in camera.tracks
        )
        authentication = findings.authentication(is_secure=self._url.is_secure)
        problem = no_media(self._url, error, findings, tracks=camera.tracks, transport=transport.name, seconds=seconds)
        return self._report(
            problem,
            seconds=seconds,
            transport=transport,
            session=SessionReport(findings.session_timeout(), self._keepalive()),
            tracks=tracks,
            skipped=camera.skipped,
            quirks=_quirks(camera, health),
            playback=playback(tracks),
            notes=notes(tracks, authentication, camera.skipped),
            settings=self._settings(transport, tracks) if problem is None else None,
        )

    def _report(self, problem: Advice | None, **more: Any) -> ProbeReport:
        findings = self._findings
        return ProbeReport(
            url=str(self._url),
            plays=problem is None,
            problem=problem,
            address=Address(self._url.host, self._url.port, self._ip),
            timings=findings.timings(),
            authentication=findings.authentication(is_secure=self._url.is_secure),
            server=findings.server(),
            **more,
        )

    def _transport(self, camera: Camera) -> TransportReport:
        """What carries the media, and why."""
        name: LowerTransport = camera.transport
        tunnel = ("HTTP over TLS" if self._url.is_tunnel else "TLS") if self._url.is_secure else ""
        if self._url.is_tunnel and not tunnel:
            tunnel = "HTTP"
        if tunnel:
            reason = f"through {tunnel} media come over the connection itself"
        elif self._options.transport != "automatic":
            reason = "as asked for"
        elif name == "tcp":
            reason = self._memory.transport_reason or "UDP is not offered"
        else:
            reason = "tried first, and media came"
        return TransportReport(name, tunnel, reason)

    def _settings(self, transport: TransportReport, tracks: tuple[TrackReport, ...]) -> Settings:
        options = self._options
        chosen = options.transport != "automatic"
        return settings(transport, tracks, chosen=chosen, fingerprint=options.fingerprint)

    def _keepalive(self) -> str:
        """The request that keeps the session: what was answered, else what will be asked."""
        if self._memory.keepalive_method:
            return self._memory.keepalive_method
        return "GET_PARAMETER" if "GET_PARAMETER" in self._findings.methods() else "OPTIONS"

    def _track(self, track: Track, announced: Track, health: TrackHealth, ssrc: int) -> TrackReport:
        counts = self._findings.counts.get(track.index, UnitCounts())
        gop = counts.gop_ticks
        is_video = track.kind == "video"
        sets = {(True, True): "both", (True, False): "sdp", (False, True): "in band"}
        return TrackReport(
            index=track.index,
            kind=track.kind,
            codec=track.codec,
            clock_rate=track.clock_rate,
            rate=counts.rate(),
            bitrate=counts.bitrate(),
            parameter_sets=sets.get((announced.parameters is not None, self._findings.has_in_band_sets(ssrc)))
            if is_video
            else None,
            units=counts.units,
            sync_units=counts.sync_units if is_video else None,
            gop_units=counts.gop_units,
            gop_seconds=None if gop is None else (gop[0] / track.clock_rate, gop[1] / track.clock_rate),
            has_b_pictures=counts.has_b_pictures if is_video else None,
            damaged_units=health.damaged_units,
            packets=health.packets,
            lost=health.lost,
            reordered=health.reordered,
            duplicates=health.duplicates,
            late=health.late,
            broken=health.broken,
            discarded=health.discarded,
            foreign=health.foreign,
            kernel_drops=health.kernel_drops,
            restarts=health.restarts,
            parameter_changes=health.parameter_changes,
            jitter=health.jitter if health.packets else None,
            clock=_clock(health),
            **_codec(track),
        )


def _clock(health: TrackHealth) -> ClockReport | None:
    if health.clock_offset is None:
        return None
    return ClockReport(health.clock_offset, health.clock_drift, abs(health.clock_offset) <= _GOOD_CLOCK)


def _index(tracks: tuple[Track, ...], kind: str) -> int | None:
    return next((track.index for track in tracks if track.kind == kind), None)


def _quirks(camera: Camera, health: CameraHealth) -> tuple[Quirk, ...]:
    """What the signalling met, then what the media did."""
    met = [*camera.quirks, *(name for track in health.tracks for name in track.quirks)]
    met += ["garbage"] * bool(health.resyncs) + ["unknown-channels"] * bool(health.unknown_bytes)
    return tuple(Quirk(name, SENTENCES[name]) for name in dict.fromkeys(met))


def _codec(track: Track) -> dict[str, Any]:
    """What the parameters say; nothing where they cannot be read, or have not come."""
    found: dict[str, Any] = {"codec_string": None}
    with suppress(RtspkitError):
        found["codec_string"] = codecs.codec_string(track)
    if (picture := codecs.picture(track)) is not None:
        found |= {"profile": picture.profile, "level": picture.level, "announced_rate": picture.frame_rate}
        found |= {"width": picture.width, "height": picture.height}
    if (sound := codecs.sound(track)) is not None:
        found |= {"profile": sound.profile, "sample_rate": sound.sample_rate, "channels": sound.channels}
    return found
