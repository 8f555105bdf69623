"""Silence: what stands in the audio track where the camera announces audio and sends none.

A player of muxed media shows nothing where one of the announced tracks has none: a camera whose microphone
is switched off would never start, one whose audio stops would freeze. The silent unit is constant, so it
costs a few bytes, and a decoder takes it between any others.

Spec: ISO/IEC 14496-3, 4.4.2.1 (raw_data_block): one channel element with max_sfb 0, and the end; RFC 6716, 3.2.5;
RFC 9639, 9.2.3.
"""

from __future__ import annotations

from rtspkit import aac, opus
from rtspkit.errors import RtspkitError
from rtspkit.media import SAMPLE, AACParameters, FLACParameters, OpusParameters, Run, Track
from rtspkit.repack import silent_block

__all__ = ["filled", "silent_run", "silent_unit"]

#: By channels; what an encoder makes of digital silence, for every sample rate.
_SILENT_UNITS = {1: bytes.fromhex("01182007"), 2: bytes.fromhex("211004608c1c")}


def silent_unit(track: Track, ticks: int) -> bytes | None:
    """One silent access unit for this track; None where there is none.

    Args:
        track: AAC-LC of one or two channels, Opus, or FLAC.
        ticks: what it is to last; AAC and FLAC have one length only.
    """
    match track.parameters:
        case AACParameters(config=data):
            return _silent_aac(data)
        case OpusParameters(channels=channels):
            return opus.silent_packet(ticks * opus.CLOCK_RATE // track.clock_rate, channels)
        case FLACParameters() as parameters:
            return _silent_flac(parameters)
        case _:
            return None


def _silent_aac(data: bytes) -> bytes | None:
    try:
        config = aac.parse_config(data)
    except RtspkitError:
        return None
    if config.object_type != aac.AAC_LC or config.frame_length != 1024:
        return None
    return _SILENT_UNITS.get(config.channels)


def _silent_flac(parameters: FLACParameters) -> bytes | None:
    try:
        return silent_block(parameters)
    except RtspkitError:
        return None


def silent_run(index: int, unit: bytes, *, first: int, ticks: int, count: int) -> Run:
    """`count` silent units of `ticks` each, the first presented at `first`; they have no arrival."""
    samples = b"".join(SAMPLE.pack(first + number * ticks, 0, len(unit), 1) for number in range(count))
    return Run(index, samples, unit * count)


def filled(run: Run, unit: bytes, *, ticks: int, longest: int) -> Run:
    """The run with silent units of `ticks` each where two of its own are more than `longest` ticks apart."""
    samples: list[bytes] = []
    media: list[bytes | memoryview] = []
    data = memoryview(run.data).cast("B")
    at, before = 0, None
    for pts, arrival, size, flags in SAMPLE.iter_unpack(run.samples):
        if before is not None and pts - before > longest:
            gap = silent_run(run.track, unit, first=before + ticks, ticks=ticks, count=(pts - before) // ticks - 1)
            samples.append(bytes(gap.samples))
            media.append(bytes(gap.data))
        samples.append(SAMPLE.pack(pts, arrival, size, flags))
        media.append(data[at : at + size])
        at, before = at + size, pts
    return Run(run.track, b"".join(samples), b"".join(media))
