"""Which of a camera's tracks HLS can carry, and how: G.711 and L16 are packed anew as FLAC, which loses nothing.

Strategy: whoever takes a camera's fragments for HLS passes them through a `Carriage` first. It leaves out what cannot
be carried, so that the video goes on, and gives PCM to a `Repacker`, which is a track and a compiled encoder (`_flac`):
whole blocks of one size come out, and what does not fill one waits for the next fragment. A fragment of a camera that
needs neither passes as it is.

Spec: RFC 9639 (FLAC); draft-pantos-hls-rfc8216bis 3.1.2 (fMP4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rtspkit import _flac, codecs, flac, restamp
from rtspkit.errors import RtspkitError, UnsupportedError
from rtspkit.media import SAMPLE, FLACParameters, Fragment, PCMParameters, Run, Track

__all__ = ["Carriage", "Repacker", "carried", "silent_block"]


def carried(tracks: Sequence[Track]) -> tuple[tuple[Track, ...], tuple[str, ...]]:
    """What HLS makes of a camera's tracks.

    Returns:
        the tracks it carries, those of PCM as the FLAC they become; and the names of the others ("track 2 (G722)";
        tracks count from 1).
    """
    found: list[Track] = []
    skipped: list[str] = []
    for track in tracks:
        try:
            found.append(_carried(track))
        except RtspkitError as error:
            reason = f", {error}" if codecs.carried_as(track.codec) else ""
            skipped.append(f"track {track.index + 1} ({track.codec.upper()}{reason})")
    return tuple(found), tuple(skipped)


def _carried(track: Track) -> Track:
    """The track as HLS carries it.

    Raises:
        RtspkitError: it does not.
    """
    codec = codecs.carried_as(track.codec)
    if codec is None:
        raise UnsupportedError("HLS has no such codec")
    if codec != track.codec:
        if track.parameters is None:
            return replace(track, codec=codec)
        if not isinstance(track.parameters, PCMParameters):
            raise UnsupportedError(f"{type(track.parameters).__name__} are no parameters of it")
        rate = track.parameters.sample_rate
        if rate != track.clock_rate:
            raise UnsupportedError(f"a clock of {track.clock_rate} Hz for {rate} samples a second")
        return replace(track, codec=codec, parameters=flac.build_parameters(rate, track.parameters.channels))
    if track.kind == "audio" and track.parameters is not None:
        codecs.codec_string(track)  # video goes on beside sound that cannot be described; not without a picture's size
    return track


def silent_block(parameters: FLACParameters) -> bytes:
    """A block of zero samples.

    Raises:
        RtspkitError: the parameters cannot be read, or are not such as are made here.
    """
    info = flac.parse_stream_info(parameters.stream_info)
    data = bytes(2 * info.channels * info.block_size)
    return _encoder("l16", info).encode(SAMPLE.pack(0, 0, len(data), 1), data)[1]


def _encoder(codec: str, info: flac.StreamInfo) -> _flac.Encoder:
    """What makes FLAC of the PCM called `codec`.

    Raises:
        RtspkitError: not of such.
    """
    code = flac.rate_code(info.sample_rate)
    try:
        return _flac.Encoder(
            codec, channels=info.channels, sample_rate=info.sample_rate, rate_code=code, block_size=info.block_size
        )
    except ValueError as error:
        raise UnsupportedError(str(error)) from None


class Repacker:
    """Packs the PCM of one track anew as FLAC.

    Times are kept: a block's pts is that of its first sample, whatever packet it came in; see `_flac` for timestamps
    that do not go on where the samples do. A block is damaged where one of its packets is, or zero samples stand for
    some that are missing.

    Attributes:
        source: what goes in.
        track: what comes out: codec "flac", the same index, a clock that counts samples.

    Args:
        track: of codec "pcma", "pcmu" or "l16", with its parameters.

    Raises:
        RtspkitError: FLAC cannot be made of it.
    """

    def __init__(self, track: Track) -> None:
        self.source, self.track = track, _carried(track)
        if not isinstance(self.track.parameters, FLACParameters) or track.codec == "flac":
            raise UnsupportedError(f"no FLAC can be made of {track.codec} with parameters {track.parameters}")
        self._encoder = _encoder(track.codec, flac.parse_stream_info(self.track.parameters.stream_info))

    def repack(self, run: Run) -> Run | None:
        """Takes packets, gives the blocks that are complete; None where none is.

        Raises:
            ValueError: the run announces other media than it has.
        """
        samples, data = self._encoder.encode(run.samples, run.data)
        return Run(run.track, samples, data) if samples else None

    def restart(self) -> None:
        """Time starts anew with the next run: what is held of a block is forgotten."""
        self._encoder.restart()


class Carriage:
    """The fragments of one camera as HLS carries them.

    Which tracks these are is decided once, for tracks never change within a playlist: one that turns into what
    cannot be carried, or has no parameters any more, stays as it was, and one that comes later is left out.

    Attributes:
        tracks: those that are carried, with their latest parameters.
        skipped: the names of the others; see `carried`.
    """

    def __init__(self, tracks: Sequence[Track]) -> None:
        self._repackers: dict[int, Repacker] = {}
        self._usable: frozenset[int] = frozenset()  # indices of the tracks whose media are carried
        self._given: tuple[Track, ...] | None = None  # the last fragment's, for a comparison by identity
        self._is_plain = False  # nothing has to be done to its fragments
        self.tracks, self.skipped = carried(tracks)

    def take(self, fragment: Fragment) -> Fragment:
        """The fragment as it is carried; it is the same one where nothing has to be done.

        Raises:
            ValueError: a run announces other media than it has.
        """
        if fragment.tracks is not self._given:
            self._take_tracks(fragment.tracks)
        if self._is_plain:
            return fragment
        if fragment.discontinuity:
            self.restart()
        runs = []
        wall_clock = fragment.wall_clock
        for number, run in enumerate(fragment.runs):
            packed = self._take_run(run)
            if number == 0 and packed is not run and wall_clock is not None:
                # it is the time of the first unit, which is a block now, and may have begun with an earlier packet
                wall_clock = None if packed is None else wall_clock - self._distance(packed, run)
            if packed is not None:
                runs.append(packed)
        return fragment._replace(tracks=self.tracks, runs=tuple(runs), wall_clock=wall_clock)

    def restart(self) -> None:
        """Time starts anew with the next fragment."""
        for repacker in self._repackers.values():
            repacker.restart()

    def _take_tracks(self, tracks: tuple[Track, ...]) -> None:
        self._given = tracks
        before = {track.index: track for track in self.tracks}
        found = {track.index: track for track in carried(tracks)[0]}
        self.tracks = tuple(
            found[index] if index in found and found[index].parameters else before[index]
            for index in (track.index for track in tracks)
            if index in before
        )
        self._is_plain = self.tracks == tracks
        known, self._repackers = self._repackers, {}
        usable = set()
        for track in tracks:
            index = track.index
            if index not in before or index not in found:
                continue
            if found[index].codec == track.codec:
                usable.add(index)
            elif track.parameters is not None:
                usable.add(index)
                old = known.get(index)
                self._repackers[index] = old if old is not None and old.source == track else Repacker(track)
        self._usable = frozenset(usable)

    def _take_run(self, run: Run) -> Run | None:
        if run.track not in self._usable:
            return None
        repacker = self._repackers.get(run.track)
        return run if repacker is None else repacker.repack(run)

    def _distance(self, packed: Run, run: Run) -> float:
        """Seconds from the first unit of one run to that of the other."""
        ticks = restamp.survey(run).first - restamp.survey(packed).first
        return ticks / self._repackers[run.track].track.clock_rate
