"""AudioSpecificConfig, its codec strings, and ADTS."""

import pytest

from rtspkit import aac
from rtspkit.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError, UnsupportedError
from rtspkit.limits import Limits
from rtspkit.media import AACParameters


def bits(*fields):
    """Bytes of (count, value) fields, filled up with zeros."""
    text = "".join(f"{value:0{count}b}" for count, value in fields)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8)


def test_the_config_of_the_example_in_the_sdp():
    config = aac.parse_config(bytes.fromhex("1408"))
    assert (config.object_type, config.sample_rate, config.channels, config.frame_length) == (2, 16000, 1, 1024)
    assert (config.extension_object_type, config.output_sample_rate) == (0, 16000)
    assert aac.codec_string(AACParameters(bytes.fromhex("1408"))) == "mp4a.40.2"


def test_short_access_units_and_core_coder():
    assert aac.parse_config(bits((5, 2), (4, 3), (4, 2), (1, 1), (2, 0))).frame_length == 960
    assert aac.parse_config(bits((5, 2), (4, 3), (4, 2), (1, 0), (1, 1), (14, 99), (1, 0))).channels == 2
    with pytest.raises(RemoteProtocolError, match="ends too early"):
        aac.parse_config(bits((5, 2), (4, 3), (4, 2), (1, 0), (1, 1), (1, 0)))


@pytest.mark.parametrize(("object_type", "length"), [(23, (512, 480)), (39, (512, 480)), (17, (1024, 960))])
def test_low_delay_and_error_resilient_types(object_type, length):
    head = ((5, object_type),) if object_type < 31 else ((5, 31), (6, object_type - 32))
    for flag in (0, 1):
        config = aac.parse_config(bits(*head, (4, 6), (4, 1), (1, flag), (1, 0), (1, 1), (4, 0), (16, 0)))
        assert (config.object_type, config.frame_length) == (object_type, length[flag])
        assert aac.codec_string(AACParameters(bits(*head, (4, 6), (4, 1), (20, 0)))) == f"mp4a.40.{object_type}"


def test_explicit_and_backward_compatible_sbr_and_ps():
    explicit = bits((5, 5), (4, 7), (4, 1), (4, 4), (5, 2), (3, 0))
    compatible = bits((5, 2), (4, 7), (4, 1), (3, 0), (11, 0x2B7), (5, 5), (1, 1), (4, 4))
    parametric = bits((5, 2), (4, 7), (4, 1), (3, 0), (11, 0x2B7), (5, 5), (1, 1), (4, 4), (11, 0x548), (1, 1))
    for data, extension in ((explicit, 5), (compatible, 5), (parametric, 29)):
        config = aac.parse_config(data)
        assert (config.object_type, config.sample_rate, config.channels) == (2, 22050, 1)
        assert (config.extension_object_type, config.output_sample_rate) == (extension, 44100)
        assert aac.codec_string(AACParameters(data)) == f"mp4a.40.{extension}"
    # the same word, and no SBR behind it
    absent = bits((5, 2), (4, 7), (4, 1), (3, 0), (11, 0x2B7), (5, 5), (1, 0))
    broken = bits((5, 2), (4, 7), (4, 1), (3, 0), (11, 0x2B7), (5, 5), (1, 1), (4, 13))
    for data in (absent, broken):
        assert aac.parse_config(data).extension_object_type == 0


def test_program_config_element():
    element = (
        *((4, 0), (2, 1), (4, 3), (4, 2), (4, 1), (4, 1), (2, 1), (3, 1), (4, 1)),
        *((1, 1), (4, 0), (1, 0), (1, 1), (3, 0)),  # mixdowns
        *((5, 0), (5, 0b10000), (5, 0b10000), (5, 0)),  # mono, pair; pair; mono
        *((4, 0), (4, 0), (5, 0)),
        (8, 0),  # no comment
        (16, 0),
    )
    assert aac.parse_config(bits((5, 2), (4, 3), (4, 0), (3, 0), *element)).channels == 1 + 2 + 2 + 1 + 1
    assert aac.parse_config(bits((5, 2), (4, 3), (4, 0), (3, 0))).channels == 0
    with pytest.raises(RemoteProtocolError):
        aac.parse_config(bits((5, 2), (4, 3), (4, 0), (3, 0), *element[:9]))


@pytest.mark.parametrize(("index", "channels"), [(1, 1), (6, 6), (7, 8), (11, 7), (12, 8), (14, 8)])
def test_channel_configurations(index, channels):
    assert aac.parse_config(bits((5, 2), (4, 3), (4, index), (3, 0))).channels == channels


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b"", "ends too early"),
        (b"\x14", "ends too early"),
        (bits((5, 0), (4, 3), (4, 2), (3, 0)), "audioObjectType is 0"),
        (bits((5, 2), (4, 13), (4, 2), (3, 0)), "sampling frequency is 0 or reserved"),
        (bits((5, 2), (4, 15), (24, 0), (4, 2), (3, 0)), "sampling frequency is 0 or reserved"),
        (bits((5, 2), (4, 3), (4, 9), (3, 0)), "channelConfiguration 9 is reserved"),
        (bits((5, 5), (4, 3), (4, 1), (4, 14), (5, 2), (3, 0)), "sampling frequency is 0 or reserved"),
    ],
)
def test_what_is_no_config_is_refused(config, message):
    with pytest.raises(RemoteProtocolError, match=f"AAC config: .*{message}"):
        aac.parse_config(config)


def test_other_object_types_and_the_limit():
    with pytest.raises(UnsupportedError, match="object type 8 is not supported: set the camera to AAC-LC"):
        aac.parse_config(bits((5, 8), (4, 3), (4, 1), (3, 0)))
    with pytest.raises(LimitExceeded, match="3 bytes, at most 2 are allowed"):
        aac.parse_config(b"\x14\x08\x00", limits=Limits(parameter_set_size=2))


@pytest.mark.parametrize("rate", [96000, 44100, 16000, 7350, 53000, 1, (1 << 24) - 1])
@pytest.mark.parametrize("channels", range(1, 9))
def test_build_config(rate, channels):
    config = aac.parse_config(aac.build_config(rate, channels))
    assert (config.object_type, config.sample_rate, config.channels) == (2, rate, channels)
    assert len(aac.build_config(rate, channels)) == (2 if rate > 7000 and rate < 1e5 and rate != 53000 else 5)


@pytest.mark.parametrize(
    "arguments", [(48000, 0), (48000, 9), (48000, -1), (0, 2), (1 << 24, 2), (-1, 2), (8000, 1, 5)]
)
def test_build_config_refuses_what_cannot_be_written(arguments):
    with pytest.raises(LocalProtocolError):
        aac.build_config(*arguments)


# -- ADTS -------------------------------------------------------------------------------------------------------------


def adts(payload, *, checksum=False, rate=8, channels=1, profile=1, size=None, blocks=0):
    size = len(payload) + (9 if checksum else 7) if size is None else size
    head = bits(
        *((12, 0xFFF), (1, 0), (2, 0), (1, not checksum), (2, profile), (4, rate), (1, 0), (3, channels), (4, 0)),
        *((13, size), (11, 0x7FF), (2, blocks)),
    )
    return head + (b"\xcc\xcc" if checksum else b"") + payload


def test_adts():
    data = adts(b"one") + adts(b"", checksum=True) + adts(b"three", checksum=True)
    assert aac.split_adts(data) == (AACParameters(bytes.fromhex("1408")), [b"one", b"", b"three"])
    header = aac.parse_adts_header(data, 10)
    assert (header.object_type, header.sample_rate, header.channel_config) == (2, 16000, 1)
    assert (header.header_size, header.size) == (9, 9)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends too early"),
        (adts(b"x")[:6], "ends too early"),
        (b"\xfe" + adts(b"x")[1:], "no header here"),
        (b"\xff\xf3" + adts(b"x")[2:], "no header here"),
        (adts(b"x", rate=13), "sampling frequency 13 is reserved"),
        (adts(b"x", size=6), "size of 6 is less than its header"),
        (adts(b"x", size=8, checksum=True), "size of 8 is less than its header"),
        (adts(b"x", size=9), "runs past the end"),
        (adts(b"x") + b"\0", "ends too early at byte 8"),
    ],
)
def test_what_is_no_adts_is_refused(data, message):
    with pytest.raises(RemoteProtocolError, match=f"ADTS: .*{message}"):
        aac.split_adts(data)


def test_several_blocks_behind_one_adts_header():
    with pytest.raises(UnsupportedError):
        aac.split_adts(adts(b"x", blocks=1))
