"""A made-up camera and its receiver, for minutes of media in seconds of time: what comes when, and in which fragments.

Strategy: a `Scene` is a list of spells (frame rate, distance of sync samples, and what goes wrong); from it and a seed
come the units of both tracks with the times at which they arrive. `Receiver` cuts them into fragments as the camera
side does, for plain HLS at sync samples and after a second, for Low-Latency HLS with the unit that fills a part.
Everything is a function of the seed; no clock is read.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from fragments import AUDIO, VIDEO, VIDEO_OTHER, VIDEO_SMALL

from rtspkit.media import SAMPLE, Fragment, Run, Track
from rtspkit.reordering import Reordering

VIDEO_RATE = 90_000
AUDIO_RATE = 48_000
AUDIO_UNIT = 1024
#: What a sample says of itself, for the end of the chain to compare: its pts as the camera gave it, its track, and its
#: number within its spell and that of the spell.
LABEL = struct.Struct(">qIII")


@dataclass(frozen=True)
class Unit:
    """An access unit on its way: `at` is when it arrives, in seconds."""

    at: float
    track: int
    pts: int
    is_sync: bool
    data: bytes


@dataclass(frozen=True)
class Lost:
    """The camera is lost at this time; what comes then is a new session."""

    at: float


@dataclass(frozen=True)
class Parameters:
    """From the next sync sample on the camera sends these parameter sets."""

    at: float
    tracks: tuple[Track, ...]


Event = Unit | Lost | Parameters


@dataclass(frozen=True)
class Spell:
    """So many seconds at one frame rate.

    Attributes:
        gops: seconds from sync sample to sync sample, one after the other, over and over.
        lost: seconds without the camera, at the end; 0: it stays.
        stall: seconds in which nothing comes, at the middle; what was due comes after them, at once or never.
        forgets: whether what was due in the stall never comes.
        parameters: at the first sync sample of the spell the parameter sets change.
        jump: seconds by which the camera's clock jumps at the middle, for good.
        wild: seconds by which one picture in a hundred is stamped off.
        stands: seconds, from the middle on, in which every picture has the same time.
        reordered: pictures that are shown before the one that was sent before them (B-pictures).
        big: bytes of a sync sample.
    """

    seconds: float
    fps: float
    gops: tuple[float, ...] = (1.0,)
    lost: float = 0.0
    stall: float = 0.0
    forgets: bool = True
    parameters: Track | None = None
    jump: float = 0.0
    wild: float = 0.0
    stands: float = 0.0
    reordered: int = 0
    big: int = 300


@dataclass
class Scene:
    """Spells one after the other, and how unevenly things go.

    Attributes:
        jitter: seconds that a picture's time is off, either way.
        network: seconds that a packet may be late.
        late: seconds by which single pictures are late, about one in 300: half of them in arrival only, half in
            their time too.
    """

    spells: tuple[Spell, ...]
    seed: int = 1
    jitter: float = 0.010
    network: float = 0.008
    late: float = 0.150
    with_audio: bool = True
    #: (from, frame rate), filled by `events`.
    rates: list[tuple[float, float]] = field(default_factory=list)

    @property
    def tracks(self) -> tuple[Track, ...]:
        return (VIDEO, AUDIO) if self.with_audio else (VIDEO,)

    def events(self) -> list[Event]:
        """Everything that happens, in order of time."""
        events: list[Event] = []
        start = jumped = 0.0  # of the spell; seconds that the clock is off
        arrived = [0.0, 0.0]  # by track: what is late holds up what comes behind it
        session = 0.0  # of the session, where pts are 0
        tracks = self.tracks
        for number, spell in enumerate(self.spells):
            chance = random.Random(self.seed * 1000 + number)
            self.rates.append((start, spell.fps))
            end = start + spell.seconds
            stalled = (0.0, 0.0)
            if spell.stall:
                middle = start + spell.seconds / 2
                stalled = (middle, middle + spell.stall)
            if spell.parameters is not None:
                tracks = (spell.parameters, *tracks[1:])
                events.append(Parameters(start, tracks))
            units = list(self._video(spell, start, end, session, chance))
            if spell.reordered:
                units = self._reorder(units, spell.reordered)
            if self.with_audio:
                units += list(self._audio(start, end, session, chance))
            middle, held = start + spell.seconds / 2, 0
            for index, unit in enumerate(units):
                label = LABEL.pack(unit.pts, unit.track, index, number)
                pts, rate = unit.pts, (VIDEO_RATE, AUDIO_RATE)[unit.track]
                after = unit.at - middle
                if not unit.track and 0 <= after < spell.stands:
                    pts = held = held or pts
                if not unit.track and not unit.is_sync and spell.wild and chance.random() < 0.01:
                    pts += round(spell.wild * rate)
                pts += round((jumped + (spell.jump if after >= 0 else 0.0)) * rate)
                unit = Unit(unit.at, unit.track, pts, unit.is_sync, label + unit.data)
                if stalled[0] <= unit.at < stalled[1]:
                    if spell.forgets:
                        continue
                    unit = replace(unit, at=stalled[1])
                arrived[unit.track] = max(arrived[unit.track], unit.at)
                events.append(Unit(arrived[unit.track], unit.track, unit.pts, unit.is_sync, unit.data))
            start, jumped = end, jumped + spell.jump
            if spell.lost:
                jumped = 0.0
                events.append(Lost(end + 0.1))
                start = session = end + spell.lost
        # a stable sort: what arrives at one instant keeps its order
        return sorted(events, key=lambda event: event.at)

    def _video(self, spell: Spell, start: float, end: float, session: float, chance: random.Random) -> Iterator[Unit]:
        time, arrived, last = start, 0.0, -1
        next_sync, gop = start, 0
        while time < end - 0.5 / spell.fps:
            is_sync = time >= next_sync - 0.5 / spell.fps
            if is_sync:
                next_sync = time + spell.gops[gop % len(spell.gops)]
                gop += 1
            shown, late = time + chance.uniform(-self.jitter, self.jitter), chance.uniform(0, self.network)
            if time == start:
                shown = time
            elif chance.random() < 1 / 300:
                late += self.late
                if chance.random() < 0.5:
                    shown += self.late
            pts = max(last + 1, round((shown - session) * VIDEO_RATE))
            arrived = max(arrived, max(time, shown) + 0.020 + late)
            size = spell.big + chance.randrange(100) if is_sync else chance.randrange(20, 90)
            yield Unit(arrived, 0, pts, is_sync, bytes(size))
            last = pts
            time += 1 / spell.fps

    @staticmethod
    def _reorder(units: list[Unit], count: int) -> list[Unit]:
        """Let `count` pictures be sent behind the one that follows them; nothing passes a sync sample."""
        sent = list(units)
        at = 0
        while at + count < len(sent):
            group = sent[at : at + count + 1]
            if any(unit.is_sync for unit in group):
                at += 1
                continue
            shown = [group[-1], *group[:-1]]
            sent[at : at + count + 1] = [replace(unit, pts=which.pts) for unit, which in zip(group, shown, strict=True)]
            at += count + 1
        return sent

    def _audio(self, start: float, end: float, session: float, chance: random.Random) -> Iterator[Unit]:
        first = -(-round((start - session) * AUDIO_RATE) // AUDIO_UNIT) * AUDIO_UNIT
        arrived = 0.0
        for pts in range(first, round((end - session) * AUDIO_RATE), AUDIO_UNIT):
            arrived = max(arrived, session + (pts + AUDIO_UNIT) / AUDIO_RATE + chance.uniform(0, self.network))
            yield Unit(arrived, 1, pts, True, bytes(8))


def full_scene(seed: int = 1) -> Scene:
    """Ten minutes in which a camera's frame rate wanders, and everything else happens that may."""
    long, short, mixed = (15.0, 4.0), (0.5,), (0.5, 1.0, 2.0, 3.0, 6.0)
    return Scene(
        (
            Spell(60, 25, (1.0,)),
            Spell(40, 25, mixed, stall=1.5),
            Spell(30, 25, (2.0,), lost=1.2),
            Spell(60, 12.5, (2.0,), stall=0.4, forgets=False),
            Spell(45, 12.5, long, lost=7.0),
            Spell(60, 8.33, mixed, parameters=VIDEO_OTHER),
            Spell(45, 8.33, long, stall=6.5),
            Spell(60, 30, (2.0,), parameters=VIDEO_SMALL),
            Spell(40, 30, short, lost=21.0),
            Spell(30, 5, mixed),
            Spell(40, 5, (15.0,), stall=3.0, forgets=False),
            Spell(40, 25, (1.0,), parameters=VIDEO),
        ),
        seed,
    )


def faulty_scene(seed: int = 1) -> Scene:
    """Nine minutes in which the camera's clock and its pictures go wrong in every way that is known."""
    hours = 3600.0 * 7
    return Scene(
        (
            Spell(30, 25, (1.0,)),
            Spell(40, 25, (2.0,), wild=hours),
            Spell(40, 25, (2.0,), wild=-hours),
            Spell(40, 25, (2.0,), jump=300.0),
            Spell(40, 25, (2.0,), jump=-600.0),
            Spell(30, 25, (2.0,), jump=0.7),
            Spell(30, 25, (2.0,), jump=-0.7),
            Spell(40, 25, (2.0,), stands=8.0),
            Spell(60, 25, (2.0,), reordered=2),
            Spell(60, 12.5, (2.0,), reordered=1, lost=3.0),
            Spell(60, 25, (60.0,), reordered=2),
            Spell(30, 25, (1.0,), big=40_000),
            Spell(30, 1, (10.0,)),
            Spell(30, 25, (1.0,)),
        ),
        seed,
        jitter=0.002,
    )


class Receiver:
    """Cuts units into fragments, as the camera side does.

    Args:
        tracks: of the camera.
        duration: seconds of a fragment.
        low_latency: a fragment ends with the unit that fills it, where `cut_at` asked for it.
    """

    def __init__(self, tracks: tuple[Track, ...], *, duration: float = 1.0, low_latency: bool = False) -> None:
        self.tracks = tracks
        self._next_tracks = tracks
        self.set_latency(duration, low_latency=low_latency)
        self._units: list[Unit] = []
        self._order = Reordering(VIDEO_RATE)
        self._count = 0  # pictures of the session
        self._first_due = 0
        self._first: int | None = None
        self._is_new = False  # a session has begun

    def set_latency(self, duration: float, *, low_latency: bool) -> None:
        """How fragments end from now on."""
        self._seconds = duration
        self._duration = round(duration * VIDEO_RATE)
        self._low_latency = low_latency
        self._cut: int | None = None

    def flush(self) -> list[Fragment]:
        """What has come of the next fragment."""
        return [self._close(None)] if self._units else []

    def parameters(self, tracks: tuple[Track, ...]) -> None:
        """What the next sync sample brings."""
        self._next_tracks = tracks

    def cut_at(self, pts: int | None) -> list[Fragment]:
        """Counts for one fragment, which this may complete at once."""
        self._cut = pts if self._low_latency else None
        return self._fill()

    def take(self, unit: Unit) -> list[Fragment]:
        """The fragments that are complete with this unit."""
        done: list[Fragment] = []
        waited = unit.at - self._units[0].at if self._units else 0.0
        if unit.track == 0:
            due = self._order.due if self._low_latency and self._order.left else unit.pts
            knows = not self._low_latency or (self._order.is_known if self._order.left else self._count > 2)
            if self._first is not None and (
                unit.is_sync or (knows and self._is_full(due)) or waited >= 2 * self._seconds
            ):
                done.append(self._close(unit.pts))
            if unit.is_sync:
                self.tracks = self._next_tracks
            if self._first is None:
                self._first, self._first_due = unit.pts, due
            self._order.take(unit.pts)
            self._count += 1
        elif waited >= 3 * self._seconds:
            done.append(self._close(None))
        self._units.append(unit)
        return done + self._fill() if unit.track == 0 else done

    def _fill(self) -> list[Fragment]:
        """The open fragment, if no unit that is still to come belongs to it."""
        if not self._low_latency or not self._order.is_known or self._first is None:
            return []
        return [self._close(None)] if self._is_full(self._order.due) else []

    def finish(self) -> list[Fragment]:
        """The session ends: what is left of it."""
        done = [self._close(None)] if self._units else []
        self._cut, self._order, self._count, self._is_new = None, Reordering(VIDEO_RATE), 0, True
        return done

    def _is_full(self, due: int) -> bool:
        if self._first is None:
            return False
        if self._cut is not None:
            return due >= self._cut
        if self._low_latency:
            return due - self._first_due >= self._duration - self._order.unit // 2
        return due - self._first >= self._duration

    def _close(self, next_pts: int | None) -> Fragment:
        runs = []
        is_sync = False
        for track in (0, 1):
            units = [unit for unit in self._units if unit.track == track]
            if not units:
                continue
            if track == 0:
                is_sync = units[0].is_sync
            samples = b"".join(
                SAMPLE.pack(unit.pts, round(unit.at * 1e9), len(unit.data), unit.is_sync) for unit in units
            )
            runs.append(Run(track, samples, b"".join(unit.data for unit in units)))
        fragment = Fragment(self.tracks, tuple(runs), is_sync, discontinuity=self._is_new, next_pts=next_pts)
        self._units, self._first, self._cut, self._is_new = [], None, None, False
        return fragment
