"""Silence: which tracks have it, and that a decoder takes it as what it is."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fragments import AUDIO, VIDEO

from rtspkit import aac, flac, silence
from rtspkit.fmp4 import init_section, write_fragment
from rtspkit.media import AACParameters, FLACParameters, OpusParameters, Track


def audio(channels: int, rate: int = 48_000, object_type: int = aac.AAC_LC) -> Track:
    return Track(1, "audio", "aac", rate, AACParameters(aac.build_config(rate, channels, object_type)))


def test_what_has_silence() -> None:
    assert silence.silent_unit(audio(1), 1024) != silence.silent_unit(audio(2), 1024)
    assert silence.silent_unit(AUDIO, 1024) == silence.silent_unit(audio(2, 16_000), 1024)
    assert silence.silent_unit(Track(1, "audio", "flac", 8000, flac.build_parameters(8000, 1)), 320) is not None
    assert silence.silent_unit(Track(1, "audio", "flac", 8000, FLACParameters(b"")), 320) is None
    assert silence.silent_unit(Track(1, "audio", "opus", 48_000, OpusParameters(2)), 960) == b"\xfc\xff\xfe"
    for track in (VIDEO, audio(6), audio(2, object_type=1), Track(1, "audio", "aac", 8000, None)):
        assert silence.silent_unit(track, 1024) is None
    assert silence.silent_unit(Track(1, "audio", "aac", 8000, AACParameters(b"\xff")), 1024) is None


@pytest.mark.real
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_a_decoder_hears_nothing(channels: int, rate: int, tmp_path: Path) -> None:
    unit = silence.silent_unit(audio(channels, rate), 1024)
    assert unit is not None
    size = len(unit) + 7
    rates = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000]
    # ADTS (ISO/IEC 14496-3, 1.A.2.2): MPEG-4, no checksum, AAC-LC
    value = 0xFFF1 << 40 | 1 << 38 | rates.index(rate) << 34 | channels << 30 | size << 13 | 0x7FF << 2
    file = tmp_path / "silent.aac"
    file.write_bytes((value.to_bytes(7, "big") + unit) * 50)
    sound = decoded(file)
    assert len(sound) >= 49 * 1024 * 2 * channels
    assert not any(sound)


def decoded(file: Path, *options: str) -> bytes:
    """What ffmpeg makes of a file, and no word of complaint: 16 bits a sample."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed (Debian package ffmpeg)")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-err_detect", "explode", *options, "-i", file]
    result = subprocess.run([*command, "-f", "s16le", "-"], capture_output=True, timeout=30, check=True)
    assert result.stderr == b""
    return result.stdout


@pytest.mark.real
@pytest.mark.parametrize("decoder", ["opus", "libopus"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", [120, 480, 960, 2880, 5760])
def test_a_decoder_hears_nothing_of_opus(samples: int, channels: int, decoder: str, tmp_path: Path) -> None:
    track = Track(0, "audio", "opus", 48_000, OpusParameters(channels))
    unit = silence.silent_unit(track, samples)
    assert unit is not None
    run = silence.silent_run(0, unit, first=0, ticks=samples, count=20)
    fragment, ends = write_fragment(1, [(1, 0, 0, -1, samples, run.samples, run.data)])
    assert ends == (20 * samples,)
    file = tmp_path / "silent.mp4"
    file.write_bytes(init_section([track]) + fragment)
    sound = decoded(file, "-c:a", decoder)
    assert len(sound) == (20 * samples - 312) * 2 * channels  # the encoder has looked ahead
    assert not any(sound)
