"""Silent AAC: which tracks have it, and that a decoder takes it as what it is."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fragments import AUDIO, VIDEO

from rtspkit import aac, silence
from rtspkit.media import AACParameters, Track


def audio(channels: int, rate: int = 48_000, object_type: int = aac.AAC_LC) -> Track:
    return Track(1, "audio", "aac", rate, AACParameters(aac.build_config(rate, channels, object_type)))


def test_what_has_silence() -> None:
    assert silence.silent_unit(audio(1)) != silence.silent_unit(audio(2))
    assert silence.silent_unit(AUDIO) == silence.silent_unit(audio(2, 16_000))
    for track in (VIDEO, audio(6), audio(2, object_type=1), Track(1, "audio", "aac", 8000, None)):
        assert silence.silent_unit(track) is None
    assert silence.silent_unit(Track(1, "audio", "aac", 8000, AACParameters(b"\xff"))) is None


@pytest.mark.real
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_a_decoder_hears_nothing(channels: int, rate: int, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed (Debian package ffmpeg)")
    unit = silence.silent_unit(audio(channels, rate))
    assert unit is not None
    size = len(unit) + 7
    rates = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000]
    # ADTS (ISO/IEC 14496-3, 1.A.2.2): MPEG-4, no checksum, AAC-LC
    value = 0xFFF1 << 40 | 1 << 38 | rates.index(rate) << 34 | channels << 30 | size << 13 | 0x7FF << 2
    file = tmp_path / "silent.aac"
    file.write_bytes((value.to_bytes(7, "big") + unit) * 50)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-err_detect", "explode", "-i", file]
    result = subprocess.run([*command, "-f", "s16le", "-"], capture_output=True, timeout=30, check=True)
    assert result.stderr == b""
    assert len(result.stdout) >= 49 * 1024 * 2 * channels
    assert not any(result.stdout)
