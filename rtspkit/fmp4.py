"""Fragmented MP4: the init section, and the public name of the fragment writer.

An init section is written once per set of parameters, so it is built here in plain Python: boxes are bytes, joined
from the inside out. `write_fragment`, which every fragment passes, is compiled (`rtspkit._fmp4`).

What a codec has of its own in it, the sample entry, is made in `sample_entries.py`.

Spec: ISO/IEC 14496-12 (boxes); draft-pantos-hls-rfc8216bis 3.1.2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

from rtspkit._fmp4 import write_fragment
from rtspkit.errors import LocalProtocolError
from rtspkit.sample_entries import box, full_box, sample_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

    from rtspkit.media import Track

__all__ = ["FragmentRun", "init_section", "write_fragment"]

#: What `write_fragment` takes for a track: track_id, dts, shift, end, default_duration, samples, data and, if pictures
#: are reordered, delay and is_even.
FragmentRun: TypeAlias = (
    "tuple[int, int, int, int, int, Buffer, Buffer]"
    "| tuple[int, int, int, int, int, Buffer, Buffer, int]"
    "| tuple[int, int, int, int, int, Buffer, Buffer, int, bool]"
)

#: Ticks a second of the movie header, which has no duration here; any value would do.
_MOVIE_TIMESCALE = 1000
#: "und" in three times five bits (8.4.2.3).
_LANGUAGE_UNDETERMINED = 0x55C4
#: A matrix that changes nothing, in 16.16 and 2.30 (6.2.2).
_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
#: track_enabled, track_in_movie
_TRACK_FLAGS = 3
_VIDEO_HANDLER = b"vide"
_AUDIO_HANDLER = b"soun"


def init_section(tracks: Sequence[Track]) -> bytes:
    """Write the ftyp and moov boxes that the fragments of these tracks need before them (EXT-X-MAP).

    Each track's track_ID is its index + 1, its timescale its clock rate.

    Raises:
        LocalProtocolError: there is no track, or one whose parameters are not known yet.
        UnsupportedError: parameters that a track of this codec cannot have.
        RemoteProtocolError: parameters that cannot be read.
    """
    if not tracks:
        raise LocalProtocolError("an init section needs at least one track")
    if len({track.index for track in tracks}) != len(tracks):
        raise LocalProtocolError("two tracks have the same index")
    for track in tracks:
        if not (0 <= track.index < 0xFFFFFFFE and 0 < track.clock_rate <= 0xFFFFFFFF):
            raise LocalProtocolError(f"index {track.index} or clock rate {track.clock_rate} of a track is out of range")
    return _ftyp() + box(
        b"moov",
        full_box(
            b"mvhd",
            struct.pack(">IIIIIH10x", 0, 0, _MOVIE_TIMESCALE, 0, 0x10000, 0x100),  # rate 1.0, volume 1.0
            _UNITY_MATRIX,
            bytes(24),
            struct.pack(">I", max(_track_id(track) for track in tracks) + 1),
        ),
        *(_trak(track) for track in tracks),
        box(
            b"mvex",
            *(full_box(b"trex", struct.pack(">IIIII", _track_id(track), 1, 0, 0, 0)) for track in tracks),
        ),
    )


def _track_id(track: Track) -> int:
    return track.index + 1


def _ftyp() -> bytes:
    # iso6: tfdt and default-base-is-moof; hlsf: the draft's own brand; mp41 for the esds
    return box(b"ftyp", b"iso6", bytes(4), b"iso6", b"mp41", b"hlsf")


def _trak(track: Track) -> bytes:
    entry = sample_entry(track)
    if entry.is_video:
        handler, name, header, volume = _VIDEO_HANDLER, b"Video", full_box(b"vmhd", bytes(8), flags=1), 0
    else:
        handler, name, header, volume = _AUDIO_HANDLER, b"Sound", full_box(b"smhd", bytes(4)), 0x100
    empty_table = struct.pack(">I", 0)
    return box(
        b"trak",
        full_box(
            b"tkhd",
            struct.pack(">IIIII8xHHHH", 0, 0, _track_id(track), 0, 0, 0, 0, volume, 0),
            _UNITY_MATRIX,
            struct.pack(">II", entry.width, entry.height),
            flags=_TRACK_FLAGS,
        ),
        box(
            b"mdia",
            full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, track.clock_rate, 0, _LANGUAGE_UNDETERMINED, 0)),
            full_box(b"hdlr", bytes(4), handler, bytes(12), name, b"\0"),
            box(
                b"minf",
                header,
                box(b"dinf", full_box(b"dref", struct.pack(">I", 1), full_box(b"url ", flags=1))),
                box(
                    b"stbl",
                    full_box(b"stsd", struct.pack(">I", 1), entry.box),
                    full_box(b"stts", empty_table),
                    full_box(b"stsc", empty_table),
                    full_box(b"stsz", empty_table, empty_table),
                    full_box(b"stco", empty_table),
                ),
            ),
        ),
    )
