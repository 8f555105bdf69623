"""Parameter sets, configurations and codec strings out of the corpus."""

import corpus
import pytest

from rtspkit import aac, codecs, h264, h265, latm, opus
from rtspkit.errors import LocalProtocolError, RemoteProtocolError, RtspkitError
from rtspkit.media import AACParameters, H264Parameters, H265Parameters, OpusParameters, Track

PPS = b"\x68\xce\x3c\x80"

#: Cases that are not run, by the codec they are of.
NOT_YET = {
    "AV1": "AV1 is not read yet",
    "VP9": "VP9 is not read yet",
    "FLAC": "FLAC is not read yet",
}


SPS_CASES = corpus.cases("codec/sps")


@pytest.mark.parametrize("case", [case for case in SPS_CASES if case["codec"] == "h264"], ids=lambda case: case["id"])
def test_sps(case):
    expected = case["expected"]
    data = bytes.fromhex(case["sps_hex"])
    sps = h264.parse_sps(data)
    for name in ("width", "height", "profile_idc", "constraint_flags", "level_idc"):
        assert getattr(sps, name) == expected[name], name
    for name in ("chroma_format_idc", "max_num_ref_frames", "pic_order_cnt_type", "frame_mbs_only"):
        assert getattr(sps, name) == expected.get(name, getattr(sps, name)), name
    assert (sps.frame_rate or 0) == stated_rate(case)
    assert h264.codec_string(H264Parameters(data, (PPS,))) == expected["rfc6381"]


def stated_rate(case):
    """Pictures a second; what upstream does not state was read off another parser; 0: the VUI does not say."""
    rate = case["expected"]["fps"]
    return case["mediacommon_says"]["fps"] if rate is None else rate


@pytest.mark.parametrize("case", [case for case in SPS_CASES if case["codec"] == "h265"], ids=lambda case: case["id"])
def test_h265_sps(case):
    expected = case["expected"]
    data = bytes.fromhex(case["sps_hex"])
    if case["verdict"] == "reject":
        with pytest.raises(RemoteProtocolError):
            h265.parse_sps(data)
        return
    sps = h265.parse_sps(data)
    told = sps.profile_tier_level
    found = {
        "width": sps.width,
        "height": sps.height,
        "general_profile_idc": told.profile_idc,
        "general_tier_flag": told.tier_flag,
        "general_level_idc": told.level_idc,
        "chroma_format_idc": sps.chroma_format_idc,
        "bit_depth_luma": sps.bit_depth_luma,
    }
    assert {name: expected.get(name, value) for name, value in found.items()} == found
    assert (told.profile_idc, told.level_idc) == (
        case["mediacommon_says"]["profile"],
        case["mediacommon_says"]["level"],
    )
    assert float(sps.frame_rate or 0) == stated_rate(case)
    if "short_term_ref_pic_sets" in expected:
        assert list(sps.short_term_ref_pic_sets) == [(*s["s0"], *s["s1"]) for s in expected["short_term_ref_pic_sets"]]
    if "fmtp" in expected:
        fmtp = dict(entry.partition("=")[::2] for entry in expected["fmtp"].split(";"))
        sets = h265.parameters_from_sprop(fmtp["sprop-vps"], fmtp["sprop-sps"], fmtp["sprop-pps"])
        assert sets.sps == data
        assert h265.codec_string(sets).startswith(f"hvc1.{fmtp['profile-id']}.6.L{fmtp['level-id']}")
        assert h265.parse_vps(sets.vps).profile_tier_level == told


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
    if codec["_type"] == "H265":
        found = h265.codec_string(H265Parameters(b"", bytes.fromhex(codec["sps_hex"]), ()))
        # a byte of zeros at the end may be left out, and is
        assert found == case["expected"]["codecs"].removesuffix(".00")
        return
    if codec["_type"] == "Opus":
        found = codecs.codec_string(Track(0, "audio", "opus", 48000, OpusParameters(2)))
    elif codec["_type"] == "H264":
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


def _read_h265_stream(data):
    readers = {h265.NAL_VPS: h265.parse_vps, h265.NAL_SPS: h265.parse_sps, h265.NAL_PPS: h265.parse_pps}
    for split in (h264.split_annexb, h264.split_avcc):
        for unit in h265.access_units(split(data)):
            for nal in unit:
                if h265.nal_type(nal) in readers:
                    readers[h265.nal_type(nal)](nal)


READERS = {
    ("h264 bitstream", "FuzzAVCCUnmarshal"): h264.avcc_to_annexb,
    ("h264 bitstream", "FuzzAnnexBUnmarshal"): h264.annexb_to_avcc,
    ("h264 bitstream", "FuzzDTSExtractor"): _read_stream,
    ("h264 bitstream", "FuzzSPSUnmarshal"): h264.parse_sps,
    ("h265 bitstream", "FuzzSPSUnmarshal"): h265.parse_sps,
    ("h265 bitstream", "FuzzPPSUnmarshal"): h265.parse_pps,
    ("h265 bitstream", "FuzzDTSExtractor"): _read_h265_stream,
    ("aac", "FuzzAudioSpecificConfigUnmarshal"): aac.parse_config,
    ("aac", "FuzzADTSUnmarshal"): aac.split_adts,
    ("aac", "FuzzStreamMuxConfigUnmarshal"): latm.parse_stream_mux,
    ("aac", "FuzzAudioMuxElementUnmarshal"): latm.read_element,
    ("opus", "FuzzPacketDuration"): opus.packet_samples,
}
#: Seeds that have no reader here.
NO_READER = {
    ("aac", "FuzzCountChannelsFromRawDataBlock"): "access units of AAC are not looked into",
    ("aac", "FuzzParsePCEFromRawDataBlock"): "access units of AAC are not looked into",
    ("aac", "FuzzAudioSyncStreamUnmarshal"): "LOAS is for broadcasting: RTP has no AudioSyncStream",
    ("opus", "FuzzIDHeaderUnmarshal"): "Ogg is not read: Opus comes in RTP, and its header is only written",
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
        if isinstance(result, h265.SPS):
            assert 0 < result.width <= 33776, seed.hex()
            assert 0 < result.height <= 33776, seed.hex()
        if isinstance(result, aac.AudioSpecificConfig):
            assert 0 < result.sample_rate < 1 << 24, seed.hex()
        if isinstance(result, int):
            assert 0 <= result <= opus.LONGEST, seed.hex()
        if isinstance(result, latm.StreamMux):
            assert result.bits <= 8 * len(seed), seed.hex()
        elif isinstance(result, tuple):
            assert sum(map(len, result[1])) < len(seed)
