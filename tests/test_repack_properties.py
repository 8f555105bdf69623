"""Any packets, at any times, become the blocks that the plain model says; with the samples that went in."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import reference_flac
from hypothesis import given, settings
from hypothesis import strategies as st
from test_repack import pcm_track

from rtspkit import flac
from rtspkit.media import SAMPLE, Codec, FLACParameters, Run
from rtspkit.repack import Repacker

RATES = [8000, 11_025, 16_000, 22_050, 44_100, 48_000]


@dataclass
class Sound:
    """Packets of one camera: time, samples, damaged; and after how many each a call ends, or time starts anew."""

    codec: Codec
    rate: int
    channels: int
    packets: list[tuple[int, bytes, bool]]
    calls: list[tuple[int, bool]]


def pcm(count: int, channels: int, shift: int) -> st.SearchStrategy[bytes]:
    """So many instants: of noise, of extremes, of silence, of slopes; with low bits that are wasted."""
    total = count * channels
    extremes = st.sampled_from([-32768, 32767, 0, 1, -1])
    kinds = st.one_of(
        st.lists(st.integers(-32768, 32767), min_size=total, max_size=total),
        st.lists(st.integers(-9, 9), min_size=total, max_size=total),
        st.lists(extremes, min_size=total, max_size=total),
        extremes.map(lambda value: [value] * total),
        st.tuples(st.integers(-400, 400), st.integers(-30, 30)).map(
            lambda line: [max(-32768, min(32767, line[0] * i + line[1] * i * i // 8)) for i in range(total)]
        ),
    )
    return kinds.map(lambda values: struct.pack(f">{total}h", *(value >> shift << shift for value in values)))


@st.composite
def sounds(draw: st.DrawFn) -> Sound:
    codec: Codec = draw(st.sampled_from(["pcma", "pcmu", "l16"]))
    rate = draw(st.sampled_from(RATES) if codec == "l16" else st.sampled_from([8000, 16_000]))
    channels = draw(st.sampled_from([1, 1, 2, 3]))
    shift = draw(st.sampled_from([0, 0, 3, 15]))
    pts = draw(st.integers(-(2**40), 2**40) | st.sampled_from([2**63 - 1, -(2**63)]))
    packets = []
    for _ in range(draw(st.integers(1, 8))):
        count = draw(st.sampled_from([0, 1, rate // 50, rate // 25]) | st.integers(1, 500))
        data = draw(pcm(count, channels, shift) if codec == "l16" else st.binary(min_size=count, max_size=count * 2))
        packets.append((pts, data + draw(st.sampled_from([b"", b"", b"x"])), draw(st.booleans())))
        step = draw(
            st.sampled_from([0, 0, 1, -1, rate // 50, -rate // 10, rate // 10 + 1, rate // 5, rate // 5 + 1, -rate])
            | st.integers(-rate, rate)
        )
        pts = max(-(2**63), min(2**63 - 1, pts + count + step))
    calls = draw(st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=len(packets), max_size=len(packets)))
    return Sound(codec, rate, channels, packets, calls)


@settings(deadline=None)
@given(sounds())
def test_blocks_and_samples_are_those_of_the_model(sound: Sound) -> None:
    repacker = Repacker(pcm_track(sound.codec, sound.rate, sound.channels))
    assert isinstance(repacker.track.parameters, FLACParameters)
    size = flac.parse_stream_info(repacker.track.parameters.stream_info).block_size
    model = reference_flac.Blocks(sound.codec, sound.channels, sound.rate, size)
    number = 0
    packets = iter(enumerate(sound.packets))
    for count, restarts in sound.calls:
        call = [packet for packet, _ in zip(packets, range(count), strict=False)]
        for arrival, (pts, data, damaged) in call:
            model.take(pts, arrival, data, damaged)
        table = b"".join(SAMPLE.pack(pts, n, len(data), 1 | damaged << 1) for n, (pts, data, damaged) in call)
        run = repacker.repack(Run(1, table, b"".join(data for _, (_, data, _) in call)))
        expected, model.found = model.found, []
        records = list(SAMPLE.iter_unpack(run.samples)) if run is not None else []
        found = [(pts, arrival, flags) for pts, arrival, _, flags in records]
        assert found == [(block.pts, block.arrival, 1 | block.is_damaged << 1) for block in expected]
        offset = 0
        for (_, _, length, _), block in zip(records, expected, strict=True):
            assert run is not None
            frame = bytes(run.data)[offset : offset + length]
            offset += length
            assert reference_flac.read_frame(frame) == (number, sound.rate, block.channels)
            assert length <= 16 + sound.channels * (2 * size + 4)  # hardly more than the samples themselves
            number += 1
        if restarts:
            model.restart()
            repacker.restart()
