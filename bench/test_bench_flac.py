"""A second of G.711 as FLAC: our encoder, from packets to blocks, and libFLAC's, which is given expanded samples.

libFLAC is what pyFLAC and soundfile have below their own layers; it is called here without any, at its quickest level,
with the same block size, and without the checksum of the whole.
"""

from __future__ import annotations

import array
import ctypes
import ctypes.util
import math
import random
from typing import Any

import pytest
import reference_flac

from rtspkit.media import SAMPLE, PCMParameters, Run, Track
from rtspkit.repack import Repacker

RATE = 8000
PACKET = 160


def speech() -> bytes:
    """A second of something like a voice, in A-law."""
    values = {value: code for code, value in enumerate(reference_flac.expand("pcma", bytes(range(256))))}
    known = sorted(values)
    noise = random.Random(1)
    found = bytearray()
    for number in range(RATE):
        time = number / RATE
        loud = 4000 * max(0.02, math.sin(14.5 * time)) ** 2
        pitch = 2 * math.pi * (120 + 30 * math.sin(4.4 * time))
        value = loud * sum(math.sin(pitch * k * time) / k for k in range(1, 12)) + noise.gauss(0, 30)
        found.append(values[min(known, key=lambda at: abs(at - value))])
    return bytes(found)


class LibFLAC:
    """libFLAC's stream encoder, and how many bytes it has written."""

    def __init__(self, library: ctypes.CDLL, block: int) -> None:
        self._library, self.written = library, 0
        library.FLAC__stream_encoder_new.restype = ctypes.c_void_p
        self._encoder = ctypes.c_void_p(library.FLAC__stream_encoder_new())
        for name, value in (
            ("channels", 1),
            ("bits_per_sample", 16),
            ("sample_rate", RATE),
            ("compression_level", 0),
            ("blocksize", block),
            ("do_md5", 0),
        ):
            assert getattr(library, f"FLAC__stream_encoder_set_{name}")(self._encoder, value)
        write = ctypes.CFUNCTYPE(
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_uint32,
            ctypes.c_uint32,
            ctypes.c_void_p,
        )
        self._write = write(self._take)
        state = library.FLAC__stream_encoder_init_stream(self._encoder, self._write, None, None, None, None)
        assert state == 0

    def _take(self, _encoder: Any, _data: Any, size: int, _samples: int, _frame: int, _client: Any) -> int:
        self.written += size
        return 0

    def encode(self, samples: Any, count: int) -> None:
        """Take so many samples."""
        assert self._library.FLAC__stream_encoder_process_interleaved(self._encoder, samples, count)

    def close(self) -> None:
        """Give its memory back."""
        self._library.FLAC__stream_encoder_delete(self._encoder)


@pytest.mark.benchmark(group="a second of G.711 as FLAC")
def test_repack(benchmark: Any) -> None:
    repacker = Repacker(Track(0, "audio", "pcma", RATE, PCMParameters(RATE, 1, 8)))
    samples = b"".join(SAMPLE.pack(number * PACKET, 0, PACKET, 1) for number in range(RATE // PACKET))
    run = Run(0, samples, speech())

    def second() -> Run | None:
        repacker.restart()
        return repacker.repack(run)

    found = benchmark(second)
    assert found is not None
    assert len(found.samples) == 25 * SAMPLE.size
    benchmark.extra_info["bytes"] = len(found.data)


@pytest.mark.benchmark(group="a second of G.711 as FLAC")
def test_libflac(benchmark: Any) -> None:
    name = ctypes.util.find_library("FLAC")
    if name is None:
        pytest.skip("libFLAC is not installed (Debian package libflac12)")
    values = array.array("i", reference_flac.expand("pcma", speech()))
    samples = (ctypes.c_int32 * RATE).from_buffer(values)
    encoder = LibFLAC(ctypes.CDLL(name), 320)
    try:
        benchmark(encoder.encode, samples, RATE)
        benchmark.extra_info["bytes written"] = encoder.written
        assert encoder.written > RATE // 2
    finally:
        encoder.close()
