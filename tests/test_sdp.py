import base64

import pytest

from rtspkit.errors import LimitExceeded, RemoteProtocolError, UnsupportedError
from rtspkit.formats import MediaTrack, picture_refusal, select_tracks
from rtspkit.limits import Limits
from rtspkit.media import (
    AACParameters,
    Codec,
    H264Parameters,
    H265Parameters,
    OpusParameters,
    PCMParameters,
    Track,
)
from rtspkit.sdp import (
    aggregate_url,
    media_url,
    parse_sdp,
)

SPS = bytes.fromhex("6764001facd940f011")
PPS = bytes.fromhex("68ee3c80")
VIDEO = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
AUDIO = (
    "m=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/16000/1\n"
    "a=fmtp:97 mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408\n"
)

#: A camera's answer as the documents of most of them show it.
TYPICAL = """\
v=0
o=- 1234567890 1234567890 IN IP4 192.168.1.100
s=RTSP Session
c=IN IP4 0.0.0.0
t=0 0
a=control:*
a=range:npt=0-

m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1;profile-level-id=64001f;sprop-parameter-sets=Z2QAH6zZQPAR,aO48gA==
a=control:trackID=0

m=audio 0 RTP/AVP 97
a=rtpmap:97 MPEG4-GENERIC/16000/1
a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408
a=control:trackID=1
"""


def tracks_of(text: str, *, limits: Limits | None = None) -> tuple[tuple[MediaTrack, ...], tuple[str, ...]]:
    return select_tracks(parse_sdp(text.encode()), "rtsp://cam/live", limits=limits or Limits())


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\r\n\r\n"])
def test_typical(end: str) -> None:
    description = parse_sdp(TYPICAL.replace("\n", end).encode())
    (video, audio), skipped = select_tracks(description, "rtsp://192.168.1.100:554/stream1")
    assert skipped == ()
    assert video.track == Track(0, "video", "h264", 90000, H264Parameters(SPS, (PPS,)))
    assert (SPS[1], SPS[3]) == (100, 31)  # High, 3.1
    assert (video.payload_type, video.packetization_mode) == (96, 1)
    assert video.url == "rtsp://192.168.1.100:554/stream1/trackID=0"
    assert audio.track == Track(1, "audio", "aac", 16000, AACParameters(bytes.fromhex("1408")))
    assert (audio.payload_type, audio.media.channels) == (97, 1)
    assert audio.packing == {"size_length": 13, "index_length": 3, "index_delta_length": 3}
    assert audio.url == "rtsp://192.168.1.100:554/stream1/trackID=1"
    assert description.name == "RTSP Session"
    assert description.attributes == (("control", "*"), ("range", "npt=0-"))
    assert aggregate_url(description, "rtsp://cam/") == "rtsp://cam/"


# -- text ----------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"", b"\r\n\r\n", b"<html>Not found</html>", b"\0" * 100, b"v\n=0\n"])
def test_not_sdp(text: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_sdp(text)


def test_limits() -> None:
    text = TYPICAL.encode()
    parse_sdp(text, limits=Limits(sdp_size=len(text), media_count=2))
    with pytest.raises(LimitExceeded):
        parse_sdp(text, limits=Limits(sdp_size=len(text) - 1))
    assert parse_sdp(text, limits=Limits(media_count=1)).medias == parse_sdp(text).medias[:1]


def test_large_ones_take_linear_time() -> None:
    for text in (
        "m=video 0 RTP/AVP" + " 96" * 10_000 + "\n" + "a=fmtp:96 a=b\n" * 2_000,
        VIDEO + "a=fmtp:96 " + "a=b;" * 15_000,
        VIDEO + "a=fmtp:96 sprop-parameter-sets=" + "aO48gA==," * 7_000,
        "a=control:*\n" * 5_000,
    ):
        assert len(text) <= 65536
        parse_sdp(text.encode())
        if text.startswith(VIDEO):
            tracks_of(text)


def test_header_of_any_kind() -> None:
    """Only what stands below an m= line counts: FLIR, Uniview and Verint get the header wrong."""
    for header in ("", "o=- -1 0x1f IP IPV4\nt=0 x\nc=IN\n", "s=\ns=a\ns=b\n", "\ufeffv=0\n", "  v=0\nnonsense\n\0\n"):
        tracks, _ = tracks_of(header + VIDEO)
        assert tracks[0].track.codec == "h264"
    assert parse_sdp(b"s=a\ns=b\n").name == "a"
    assert parse_sdp(b"s=a\na=tool:x\na=tool:y\na=control:1\na=control:2\n").tool == "x"


def test_media_lines_with_parts_missing() -> None:
    medias = parse_sdp(b"m=\nm=video\nm=audio 99999 RTP/AVP\nm=video 0 RTP/AVP 96 x 128 -1 96 1_0\n").medias
    assert [media.kind for media in medias] == ["", "video", "audio", "video"]
    assert [media.payload_type for media in medias] == [None, None, None, 96]
    assert [encoding.payload_type for encoding in medias[3].encodings] == [96]
    assert medias[0].encoding_name is medias[0].clock_rate is medias[0].channels is None
    assert medias[0].fmtp == {}


def test_rtpmap() -> None:
    text = (
        "m=audio 0 RTP/AVP 0 8 96 97 98\na=rtpmap:8 pcmu/8000\na=rtpmap:97 X / 9000 / 2 \na=rtpmap:98 Y/x\na=rtpmap:\n"
    )
    encodings = parse_sdp(text.encode()).medias[0].encodings
    assert [(one.encoding_name, one.clock_rate, one.channels) for one in encodings] == [
        ("pcmu", 8000, 1), ("pcmu", 8000, 1), (None, None, None), ("x", 9000, 2), ("y", None, 1),
    ]  # fmt: skip


def test_fmtp() -> None:
    text = VIDEO + 'a=fmtp:96\na=fmtp:96 A = 1 ;; b="x=y"; c; a=2; \na=fmtp:96 d=4\na=fmtp:97 e=5\n'
    assert parse_sdp(text.encode()).medias[0].fmtp == {"a": "1", "b": "x=y", "c": "", "d": "4"}


def test_fmtp_below_another_media() -> None:
    text = VIDEO + "m=audio 0 RTP/AVP 0\na=fmtp:96 packetization-mode=1\n"
    assert tracks_of(text)[0][0].packetization_mode == 1
    # but not where the number means something else there (Ubiquiti)
    text = "m=audio 0 RTP/AVP 96\na=rtpmap:96 opus/48000/2\na=fmtp:96 x=1\n" + VIDEO
    assert parse_sdp(text.encode()).medias[1].fmtp == {}


@pytest.mark.parametrize(
    ("rtpmap", "fmtp", "channels"),
    [
        ("opus/48000/2", "", 2),
        ("OPUS/48000/2", "sprop-stereo=0", 1),
        ("opus/48000/2", "minptime=10;useinbandfec=1;sprop-stereo=1", 2),
        ("opus/48000", "", 1),
        ("opus/8000/1", "", 1),
        ("opus/16000/2", "", 2),
        ("opus", "", 1),
    ],
)
def test_opus(rtpmap: str, fmtp: str, channels: int) -> None:
    """Its clock has 48 kHz, whatever is announced (RFC 7587, 4.1)."""
    (track,), _ = tracks_of(f"m=audio 0 RTP/AVP 111\na=rtpmap:111 {rtpmap}\na=fmtp:111 {fmtp}\n")
    assert track.track == Track(0, "audio", "opus", 48000, OpusParameters(channels))
    assert track.packing == {}


def test_opus_of_many_channels() -> None:
    _, skipped = tracks_of(VIDEO + "m=audio 0 RTP/AVP 111\na=rtpmap:111 opus/48000/6\n")
    assert skipped == ("track 2 (OPUS, 6 channels; set mono or stereo)",)


def test_direction() -> None:
    medias = parse_sdp((f"a=recvonly\n{VIDEO}{AUDIO}a=sendonly\n").encode()).medias
    assert [media.direction for media in medias] == ["recvonly", "sendonly"]
    assert [media.back_channel for media in medias] == [False, True]
    assert [media.back_channel for media in parse_sdp(f"a=sendonly\n{VIDEO}{AUDIO}".encode()).medias] == [False, False]


# -- control URLs --------------------------------------------------------------


def test_absolute_control_of_the_session() -> None:
    """Without a Content-Base it is the base of the medias' controls (Windows Media)."""
    description = parse_sdp(f"a=control:rtsp://10.0.0.1/a.wmv/\n{VIDEO}a=control:video\n".encode())
    media = description.medias[0]
    assert media_url(description, media, "rtsp://cam/x", None) == "rtsp://cam/a.wmv/video"
    assert media_url(description, media, "rtsp://cam/x", "rtsp://cam/y/") == "rtsp://cam/y/video"
    assert aggregate_url(description, "rtsp://cam/y/") == "rtsp://cam/a.wmv/"


# -- tracks --------------------------------------------------------------------


def test_what_is_skipped_is_named() -> None:
    text = (
        "m=audio 0 RTP/AVP 4\n" + VIDEO + "m=video 0 RTP/AVP 99\na=rtpmap:99 VP8/90000\n" + VIDEO
        + "m=application 0 RTP/AVP 107\n" + AUDIO + "a=sendonly\n" + AUDIO + "m=smart/1 0 RTP/AVP smart/1/90000\n"
        + "m=audio 0 RTP/AVP 98\na=rtpmap:98 a\x1b[31mü\n" + AUDIO.replace("RTP/AVP", "RTP/SAVP")
        + AUDIO.replace("RTP/AVP", "udp") + "m=\n"
    )  # fmt: skip
    tracks, skipped = tracks_of(text)
    assert [(track.media.index, track.track.index) for track in tracks] == [(1, 0), (6, 1)]
    assert skipped == (
        "track 1 (G723, choose AAC, Opus or G.711)",
        "track 3 (VP8, choose H.264 or H.265)",
        "track 4 (H264, another video track)",
        "track 5 (payload type 107)",
        "track 6 (MPEG4-GENERIC, back channel)",
        "track 8 (smart/1)",
        "track 9 (A?[31M?, choose AAC, Opus or G.711)",
        "track 10 (MPEG4-GENERIC, encrypted)",
        "track 11 (MPEG4-GENERIC, not RTP)",
        "track 12 (no format, not RTP)",
    )


H265 = "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\na=fmtp:96 "


def test_h265() -> None:
    (track,), skipped = tracks_of(H265 + "sprop-vps=; sprop-sps=x\n")
    assert (track.track.codec, track.track.clock_rate, track.track.parameters) == ("h265", 90000, None)
    assert skipped == ()
    sets = "sprop-vps=QAEMAQ==;sprop-sps=QgEBAWA=;sprop-pps=RAHBcg=="
    (track,), _ = tracks_of(H265 + sets + ";sprop-max-don-diff=0;tx-mode=SRST\n")
    assert track.track.parameters == H265Parameters(
        b"\x40\x01\x0c\x01", b"\x42\x01\x01\x01\x60", (b"\x44\x01\xc1\x72",)
    )
    (track,), _ = tracks_of("m=video 0 RTP/AVP 96\na=rtpmap:96 HEVC\n")
    assert (track.track.codec, track.track.clock_rate) == ("h265", 90000)


@pytest.mark.parametrize(
    ("fmtp", "reason"), [("sprop-max-don-diff=2", "sprop-max-don-diff 2"), ("tx-mode=MRST", "tx-mode MRST")]
)
def test_h265_that_is_not_in_decoding_order(fmtp: str, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"track 1 \(H265, {reason}\)"):
        tracks_of(H265 + fmtp + "\n")


def test_nothing_usable() -> None:
    with pytest.raises(UnsupportedError, match=r"used: track 1 \(A, .*\), track 2 \(G728, .*\); choose H.264"):
        tracks_of("m=video 0 RTP/AVP 98\na=rtpmap:98 a/90000\nm=audio 0 RTP/AVP 15\n")
    with pytest.raises(UnsupportedError, match="no media at all"):
        tracks_of("v=0\n")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("m=video 0 RTP/AVP 26\n", "M-JPEG"),
        ("m=video 0 RTP/AVP 26\nm=audio 0 RTP/AVP 4\nm=video 0 RTP/AVP 26\n", "M-JPEG"),
        ("m=video 0 RTP/AVP 26\nm=video 0 RTP/AVP 96\na=rtpmap:96 MP4V-ES/90000\n", "M-JPEG and MPEG-4 video"),
    ],
)
def test_video_to_be_set_otherwise(text: str, names: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        tracks_of(text)
    assert (
        str(caught.value)
        == f"the camera sends {names}; choose H.264 or H.265 in its settings, or another of its streams"
    )


def test_sound_plays_beside_video_that_is_not_received() -> None:
    (track,), skipped = tracks_of("m=video 0 RTP/AVP 26\n" + AUDIO)
    assert track.track.codec == "aac"
    assert skipped == ("track 1 (M-JPEG, choose H.264 or H.265)",)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("m=video 0 RTP/AVP 26\n", "the camera sends M-JPEG"),
        ("m=video 0 RTP/AVP 96\na=rtpmap:96 MP4V-ES/90000\n", "the camera sends MPEG-4 video"),
        (
            "m=video 0 RTP/AVP 96\na=rtpmap:96 a(b)/90000\n",
            "the camera offers no picture that can be used: track 1 (A(B), choose H.264 or H.265)",
        ),
        (
            "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=2\n",
            "the camera offers no picture that can be used: track 1 (H264, packetization-mode 2)",
        ),
        ("m=application 0 RTP/AVP 98\na=rtpmap:98 vnd.onvif.metadata/90000\nm=audio 0 RTP/AVP 4\n", ""),
    ],
)
def test_why_there_is_no_picture_beside_the_sound(text: str, begins: str) -> None:
    (track,), skipped = tracks_of(text + AUDIO)
    assert track.track.kind == "audio"
    advice = "; choose H.264 or H.265 in its settings, or another of its streams"
    assert picture_refusal(skipped) == (begins and begins + advice)


def test_why_a_camera_has_no_picture_that_refuses_to_set_it_up() -> None:
    assert "track 1 (h264, refused by the camera)" in picture_refusal(["track 1 (h264, refused by the camera)"])
    assert not picture_refusal(["whatever"])


@pytest.mark.parametrize(
    ("lines", "codec", "clock_rate", "parameters", "block_size"),
    [
        ("0\n", "pcmu", 8000, PCMParameters(8000, 1, 8), 1),
        ("8\n", "pcma", 8000, PCMParameters(8000, 1, 8), 1),
        ("97\na=rtpmap:97 PCMA/16000/2\n", "pcma", 16000, PCMParameters(16000, 2, 8), 2),
        ("8\na=rtpmap:8 PCMU/8000\n", "pcmu", 8000, PCMParameters(8000, 1, 8), 1),  # GW
        ("9\n", "g722", 8000, PCMParameters(16000, 1, 4), 1),
        ("97\na=rtpmap:97 G722/16000\n", "g722", 8000, PCMParameters(16000, 1, 4), 1),
        ("97\na=rtpmap:97 G726-16/8000\n", "g726", 8000, PCMParameters(8000, 1, 2), 1),
        ("97\na=rtpmap:97 G726-40/8000/1\n", "g726", 8000, PCMParameters(8000, 1, 5), 1),
        ("97\na=rtpmap:97 AAL2-G726-32/8000\n", "g726", 8000, PCMParameters(8000, 1, 4, is_aal2=True), 1),
        ("10\n", "l16", 44100, PCMParameters(44100, 2, 16), 4),
        ("11\n", "l16", 44100, PCMParameters(44100, 1, 16), 2),
        ("97\na=rtpmap:97 L16/48000/2\n", "l16", 48000, PCMParameters(48000, 2, 16), 4),
        ("97\na=rtpmap:97 PCMA\n", "pcma", 8000, PCMParameters(8000, 1, 8), 1),
    ],
)
def test_pcm(lines: str, codec: Codec, clock_rate: int, parameters: PCMParameters, block_size: int) -> None:
    (track,), _ = tracks_of("m=audio 0 RTP/AVP " + lines)
    assert track.track == Track(0, "audio", codec, clock_rate, parameters)
    assert track.packing == {"block_size": block_size}


@pytest.mark.parametrize(
    ("rtpmap", "reason"),
    [("PCMA/8000/9", "9 channels"), ("L16/900000000", "odd clock rate"), ("L24/48000/2", "choose")],
)
def test_odd_pcm(rtpmap: str, reason: str) -> None:
    _, skipped = tracks_of(VIDEO + f"m=audio 0 RTP/AVP 97\na=rtpmap:97 {rtpmap}\n")
    assert reason in skipped[0]


LATM = "m=audio 0 RTP/AVP 97\na=rtpmap:97 MP4A-LATM/24000/2\na=fmtp:97 profile-level-id=1;object=2;"


@pytest.mark.parametrize(
    ("fmtp", "config", "is_in_band"),
    [
        ("cpresent=0;config=400026203fc0", "1310", False),
        ("config=400026203fc0", "1310", False),
        ("cpresent=0;config=400026203fc", "1310", False),  # half a byte is missing, of the zeros at the end
        ("cpresent=1;config=400026203fc0", "1310", True),
        ("cpresent=1", None, True),
        ("bitrate=64000", None, True),
        ("cpresent=1;config=zz", None, True),
    ],
)
def test_latm(fmtp: str, config: str | None, is_in_band: bool) -> None:
    (track,), _ = tracks_of(LATM + fmtp + "\n")
    parameters = None if config is None else AACParameters(bytes.fromhex(config))
    assert track.track == Track(0, "audio", "aac", 24000, parameters, is_latm=True)
    assert ("read_mux" in track.packing) is is_in_band
    assert ("stream_mux" in track.packing) is (config is not None)


@pytest.mark.parametrize(
    ("fmtp", "reason"),
    [
        ("cpresent=0", "without a config"),
        ("cpresent=0;config=40", "without a config"),
        ("cpresent=0;config=401026203fc0", "2 programs, the first of 1 layers"),
        ("cpresent=0;config=400026203fc0\na=rtpmap:97 MP4A-LATM", ""),
    ],
)
def test_odd_latm(fmtp: str, reason: str) -> None:
    text = LATM.replace("/24000/2", "") if not reason else LATM
    _, skipped = tracks_of(f"{VIDEO}{text}{fmtp}\n")
    assert (reason or "without a clock rate") in skipped[0]


def test_a_usable_format_behind_another() -> None:
    """FLIR offers MPEG-4 and H.264 in one media."""
    (track,), _ = tracks_of("m=video 0 RTP/AVP 96 111\na=rtpmap:96 MP4V-ES/90000\na=rtpmap:111 H264/90000\n")
    assert track.payload_type == 111
    assert track.media.payload_type == 96


@pytest.mark.parametrize(
    ("sprop", "expected"),
    [
        ("Z2QAH6zZQPAR,aO48gA==", (PPS,)),
        ("Z2QAH6zZQPAR , aO48gA", (PPS,)),  # spaces, no padding
        ("aO48gA==,Z2QAH6zZQPAR,aO48gA==,aM4xEg==", (PPS, bytes.fromhex("68ce3112"))),
        (base64.b64encode(b"\0\0\0\1" + SPS + b"\0\0\1" + PPS + b"\0\0\0").decode(), (PPS,)),  # Annex B
        (base64.b64encode(SPS + b"\0\0\0\1").decode() + ",aO48gA==", (PPS,)),  # GW
        ("Z2QAH6zZQPAR,aO48gA==,!!!,,Z", (PPS,)),
        ("Z2QAH6zZQPAR", None),
        ("aO48gA==", None),
        ("", None),
        ("!!!,???", None),
        ("ZwAA,aO48gA==", None),  # an SPS of one byte
        ("52QAH6zZQPAR,6O48gA==", None),  # forbidden_zero_bit
        (base64.b64encode(SPS * 200).decode() + ",aO48gA==", None),
    ],
)
def test_parameter_sets(sprop: str, expected: tuple[bytes, ...] | None) -> None:
    (track,), _ = tracks_of(f"{VIDEO}a=fmtp:96 sprop-parameter-sets={sprop}\n")
    assert track.track.parameters == (None if expected is None else H264Parameters(SPS, expected))


def test_h264_defaults() -> None:
    (track,), _ = tracks_of("m=video 0 RTP/AVP 96\na=rtpmap:96 H264\n")
    assert (track.track.clock_rate, track.packetization_mode) == (90000, 0)
    with pytest.raises(UnsupportedError, match="packetization-mode 2"):
        tracks_of(VIDEO + "a=fmtp:96 packetization-mode=2\n")
    with pytest.raises(UnsupportedError, match="odd clock rate"):
        tracks_of("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/900000000\n")


def test_aac_config_alone() -> None:
    """Anpviz sends no lengths; Ubiquiti writes the names with capitals."""
    (track,), _ = tracks_of("m=audio 0 RTP/AVP 0\na=rtpmap:0 MPEG4-GENERIC/16000/2\na=fmtp:0 Config=1410\n")
    assert track.track == Track(0, "audio", "aac", 16000, AACParameters(bytes.fromhex("1410")))
    assert track.packing == {"size_length": 13, "index_length": 3, "index_delta_length": 3}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("AAC-hbr", "AAC-lbr", "mode AAC-lbr"),
        ("sizelength=13", "sizelength=0", "odd AU header lengths"),
        ("sizelength=13", "sizelength=17", "odd AU header lengths"),
        ("sizelength=13", "sizelength=x", "odd AU header lengths"),
        ("indexlength=3", "indexlength=17", "odd AU header lengths"),
        ("indexdeltalength=3", "indexdeltalength=-1", "odd AU header lengths"),
        ("config=1408", "config=", "without a config"),
        ("config=1408", "config=14", "without a config"),
        ("config=1408", "config=xyz", "without a config"),
        ("config=1408", "config=" + "00" * 2000, "without a config"),
        ("/16000/1", "", "without a clock rate"),
        ("/16000/1", "/0", "without a clock rate"),
        ("/16000/1", "/999999999/1", "odd clock rate"),
    ],
)
def test_aac_that_cannot_be_used(old: str, new: str, reason: str) -> None:
    assert tracks_of(VIDEO + AUDIO.replace(old, new))[1] == (f"track 2 (MPEG4-GENERIC, {reason})",)


def test_encryption_within_tls_is_not_needed() -> None:
    """MediaMTX offers SRTP over rtsps, and sends RTP to whoever asks for that."""
    description = parse_sdp(
        b"v=0\r\no=- 1 1 IN IP4 0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\n"
        b"a=control:track1\r\n"
    )
    tracks, _ = select_tracks(description, "rtsps://camera/x", "rtsp://camera/x/")
    assert [track.track.codec for track in tracks] == ["h264"]
    with pytest.raises(UnsupportedError, match="H264, encrypted"):
        select_tracks(description, "rtsp://camera/x", "rtsps://camera/x/")


def test_sound_that_hls_carries_comes_before_sound_that_it_does_not() -> None:
    tracks, skipped = tracks_of("v=0\nm=audio 0 RTP/AVP 9\nm=audio 0 RTP/AVP 8\nm=audio 0 RTP/AVP 0\n")
    assert [(track.track.codec, track.track.index) for track in tracks] == [("pcma", 0)]
    assert skipped == ("track 1 (G722, another audio track)", "track 3 (PCMU, another audio track)")
    tracks, _ = tracks_of("v=0\nm=audio 0 RTP/AVP 9\n")
    assert [track.track.codec for track in tracks] == ["g722"]
