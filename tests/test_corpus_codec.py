"""Parameter sets, configurations and codec strings out of the corpus, for H.264 and AAC."""

import corpus
import pytest

from rtspkit import aac, h264
from rtspkit.errors import LocalProtocolError, RtspkitError
from rtspkit.media import AACParameters, H264Parameters

PPS = b"\x68\xce\x3c\x80"

#: Cases that are not run, by the codec they are of.
NOT_YET = {
    "h265": "H.265 is not read yet",
    "H265": "H.265 is not read yet",
    "AV1": "AV1 is not read yet",
    "VP9": "VP9 is not read yet",
    "Opus": "Opus is not read yet",
    "FLAC": "FLAC is not read yet",
}


@pytest.mark.parametrize("case", corpus.cases("codec/sps"), ids=lambda case: case["id"])
def test_sps(case):
    if case["codec"] in NOT_YET:
        pytest.skip(NOT_YET[case["codec"]])
    expected = case["expected"]
    data = bytes.fromhex(case["sps_hex"])
    sps = h264.parse_sps(data)
    for name in ("width", "height", "profile_idc", "constraint_flags", "level_idc"):
        assert getattr(sps, name) == expected[name], name
    for name in ("chroma_format_idc", "max_num_ref_frames", "pic_order_cnt_type", "frame_mbs_only"):
        assert getattr(sps, name) == expected.get(name, getattr(sps, name)), name
    # what upstream does not state was read off another parser; 0 there means that the VUI does not say
    rate = case["mediacommon_says"]["fps"] if expected["fps"] is None else expected["fps"]
    assert (sps.frame_rate or 0) == rate
    assert h264.codec_string(H264Parameters(data, (PPS,))) == expected["rfc6381"]


@pytest.mark.parametrize("case", corpus.cases("codec/aac_config"), ids=lambda case: case["id"])
def test_aac_config(case):
    expected = case["expected"]
    if "encode_only" in case:
        fields = case["encode_only"]
        with pytest.raises(LocalProtocolError):
            aac.build_config(fields["sample_rate"], fields["channels"], fields["object_type"])
        return
    data = bytes.fromhex(case["config_hex"])
    config = aac.parse_config(data)
    found = {
        "object_type": config.object_type,
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "channel_config": config.channel_config,
        "sbr_extension_type": config.extension_object_type,
        "extension_sample_rate": config.extension_sample_rate,
        "output_sample_rate": config.output_sample_rate,
        "frame_length": config.frame_length,
        "rfc6381": aac.codec_string(AACParameters(data)),
    }
    assert expected == {name: found[name] for name in expected}
    if "also" in case:  # the other way round
        assert aac.build_config(config.sample_rate, config.channels) == data


@pytest.mark.parametrize("case", corpus.cases("codec/rfc6381"), ids=lambda case: case["id"])
def test_codec_strings(case):
    """Hexadecimal digits are compared without regard to case, as RFC 6381 has it."""
    codec = case["codec"]
    if codec["_type"] in NOT_YET:
        pytest.skip(NOT_YET[codec["_type"]])
    if codec["_type"] == "H264":
        found = h264.codec_string(H264Parameters(bytes.fromhex(codec["sps_hex"]), (PPS,)))
    else:
        fields = codec["config"]
        config = aac.build_config(fields["sample_rate"], fields["channel_count"], fields["type"])
        found = aac.codec_string(AACParameters(config))
    assert found.casefold() == case["expected"]["codecs"].casefold()


def _read_stream(data):
    """Take `data` for both kinds of access unit and read what parameter sets there are."""
    for split in (h264.split_annexb, h264.split_avcc):
        for unit in h264.access_units(split(data)):
            for nal in unit:
                if h264.nal_type(nal) == h264.NAL_SPS:
                    h264.parse_sps(nal)


READERS = {
    ("h264 bitstream", "FuzzAVCCUnmarshal"): h264.avcc_to_annexb,
    ("h264 bitstream", "FuzzAnnexBUnmarshal"): h264.annexb_to_avcc,
    ("h264 bitstream", "FuzzDTSExtractor"): _read_stream,
    ("h264 bitstream", "FuzzSPSUnmarshal"): h264.parse_sps,
    ("aac", "FuzzAudioSpecificConfigUnmarshal"): aac.parse_config,
    ("aac", "FuzzADTSUnmarshal"): aac.split_adts,
}
#: Seeds that have no reader here.
NO_READER = {
    ("aac", "FuzzCountChannelsFromRawDataBlock"): "access units of AAC are not looked into",
    ("aac", "FuzzParsePCEFromRawDataBlock"): "access units of AAC are not looked into",
    ("aac", "FuzzStreamMuxConfigUnmarshal"): "LATM is not read yet",
    ("aac", "FuzzAudioMuxElementUnmarshal"): "LATM is not read yet",
    ("aac", "FuzzAudioSyncStreamUnmarshal"): "LATM is not read yet",
    ("h265 bitstream", "FuzzSPSUnmarshal"): "H.265 is not read yet",
    ("h265 bitstream", "FuzzPPSUnmarshal"): "H.265 is not read yet",
    ("h265 bitstream", "FuzzDTSExtractor"): "H.265 is not read yet",
    ("opus", "FuzzPacketDuration"): "Opus is not read yet",
    ("opus", "FuzzIDHeaderUnmarshal"): "Opus is not read yet",
    ("mp4 parser", "FuzzPresentationUnmarshal"): "MP4 is only written, never read",
    ("fmp4 parser", "FuzzInitUnmarshal"): "MP4 is only written, never read",
    ("fmp4 parser", "FuzzPartsUnmarshal"): "MP4 is only written, never read",
}
SEEDS: dict[tuple[str, str], list[bytes]] = {}
for _case in corpus.cases("codec/fuzz_seeds"):
    SEEDS.setdefault((_case["target"], _case["upstream_target"]), []).append(bytes.fromhex(_case["input_hex"] or ""))


@pytest.mark.parametrize("target", sorted(SEEDS), ids="/".join)
def test_fuzz_seeds(target):
    """An error of ours or a result that can be true; nothing else."""
    if target in NO_READER:
        pytest.skip(NO_READER[target])
    for seed in SEEDS[target]:
        try:
            result = READERS[target](seed)
        except RtspkitError:
            continue
        if isinstance(result, h264.SPS):
            assert 0 < result.width <= 16880, seed.hex()
            assert 0 < result.height <= 16880, seed.hex()
        if isinstance(result, aac.AudioSpecificConfig):
            assert 0 < result.sample_rate < 1 << 24, seed.hex()
        if isinstance(result, tuple):
            assert sum(map(len, result[1])) < len(seed)
