"""Strategies for sound: AAC, Opus packets that a decoder would take, and samples that all have one size.

Specs: ISO/IEC 14496-3, 1.6.2.1 (AudioSpecificConfig); RFC 6716, 3 (Opus packets); RFC 3551, 4.5 (PCM).
"""

from __future__ import annotations

from hypothesis import strategies as st

from rtspkit import aac, opus
from rtspkit.media import AACParameters, OpusParameters, PCMParameters
from rtspkit.testing.strategies.values import ElementaryStream, SoundFormat, StreamCodec

__all__ = ["aac_parameters", "sound_units"]

_SAMPLE_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
#: Of codecs whose samples have one size: clock rates, samples a tick, bits of a sample.
_PCM: dict[StreamCodec, tuple[tuple[int, ...], int, tuple[int, ...]]] = {
    "pcma": ((8000, 16000), 1, (8,)),
    "pcmu": ((8000, 16000), 1, (8,)),
    "g722": ((8000,), 2, (4,)),
    "g726": ((8000,), 1, (2, 3, 4, 5)),
    "l16": ((16000, 44100, 48000), 1, (16,)),
}


def aac_parameters() -> st.SearchStrategy[tuple[AACParameters, SoundFormat]]:
    """AudioSpecificConfigs of AAC-LC, 8 to 96 kHz, 1 to 8 channels, and what they say."""
    return st.builds(
        lambda rate, channels: (AACParameters(aac.build_config(rate, channels)), SoundFormat(rate, channels)),
        st.sampled_from(_SAMPLE_RATES),
        st.sampled_from([1, 2, 3, 4, 5, 6, 8]),
    )


@st.composite
def _opus_packets(draw: st.DrawFn, *, configuration: int, count: int) -> bytes:
    """Opus packets of `count` frames, with any bytes for them.

    Args:
        configuration: mode, bandwidth and length of the frames (RFC 6716, table 2).
        count: 1 to 48, no more than 120 ms of them.
    """
    head = configuration << 3 | draw(st.integers(0, 1)) << 2
    size = draw(st.integers(0, 20))
    frames = [draw(st.binary(min_size=size, max_size=size)) for _ in range(min(count, 2))]
    if count == 1:
        return bytes((head,)) + frames[0]
    if count == 2 and draw(st.booleans()):
        return bytes((head | 1,)) + b"".join(frames)
    return bytes((head | 3, count)) + frames[0] * count


@st.composite
def _opus(draw: st.DrawFn, max_units: int) -> ElementaryStream:
    configuration = draw(st.integers(0, 31))
    samples = opus.packet_samples(bytes((configuration << 3,)))
    count = draw(st.integers(1, min(6, opus.LONGEST // samples)))
    packets = draw(st.lists(_opus_packets(configuration=configuration, count=count), min_size=1, max_size=max_units))
    parameters = OpusParameters(draw(st.integers(1, 2)))
    return _stream("opus", parameters, opus.CLOCK_RATE, count * samples, packets)


@st.composite
def _pcm(draw: st.DrawFn, codec: StreamCodec, max_units: int) -> ElementaryStream:
    rates, factor, sizes = _PCM[codec]
    rate, bits = draw(st.sampled_from(rates)), draw(st.sampled_from(sizes))
    channels = draw(st.integers(1, 2)) if bits >= 8 else 1
    ticks = 8 * draw(st.integers(1, 20))  # whole bytes of every size
    size = ticks * factor * bits * channels // 8
    units = draw(st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=max_units))
    return _stream(codec, PCMParameters(rate * factor, channels, bits), rate, ticks, units)


@st.composite
def _aac(draw: st.DrawFn, codec: StreamCodec, max_units: int) -> ElementaryStream:
    parameters, sound = draw(aac_parameters())
    bodies = st.builds(
        lambda data, times: data * times, st.binary(min_size=1, max_size=30), st.sampled_from([1, 1, 1, 1, 60])
    )
    units = draw(st.lists(bodies.filter(lambda unit: unit[0] != 0xFF), min_size=1, max_size=max_units))
    return _stream(codec, parameters, sound.sample_rate, 1024, units)


def _stream(
    codec: StreamCodec,
    parameters: AACParameters | OpusParameters | PCMParameters,
    clock_rate: int,
    ticks: int,
    units: list[bytes],
) -> ElementaryStream:
    wrapped = tuple((unit,) for unit in units)
    return ElementaryStream(codec, parameters, clock_rate, ticks, wrapped, (True,) * len(units))


def sound_units(codec: StreamCodec, *, max_units: int = 6) -> st.SearchStrategy[ElementaryStream]:
    """Units of sound one after the other, with the parameters that belong to them.

    AAC units hold any bytes but what would be taken for an ADTS header; Opus packets all last as long, in any of the
    ways that RFC 6716 has to put frames into them.

    Args:
        codec: which, but neither "h264" nor "h265".
        max_units: at most, and at least one.
    """
    if codec == "opus":
        return _opus(max_units)
    return _pcm(codec, max_units) if codec in _PCM else _aac(codec, max_units)
