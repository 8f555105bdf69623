"""Any text gives a description or a RemoteProtocolError; what is selected is fit to be used."""

import base64
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtspkit.control import join_control, resolve_base
from rtspkit.errors import RemoteProtocolError, UnsupportedError
from rtspkit.formats import select_tracks
from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.media import AACParameters, H264Parameters
from rtspkit.sdp import parse_sdp
from rtspkit.testing import strategies as rs

BASE = "rtsp://cam:8554/live?x=1"

words = st.one_of(
    st.sampled_from(
        ["96", "97", "0", "8", "128", "-1", "RTP/AVP", "RTP/SAVP", "video", "audio", "H264/90000", "MPEG4-GENERIC/0"]
    ),
    st.text(max_size=12),
)
lines = st.one_of(
    st.builds("m={} {} {} {}".format, words, words, words, words),
    st.builds("m=video 0 RTP/AVP {}".format, words),
    st.builds("a=rtpmap:{} {}".format, words, words),
    st.builds("a=rtpmap:96 {}".format, words),
    st.builds("a=fmtp:96 {}={};{}".format, words, words, words),
    st.builds(
        "a=fmtp:96 sprop-parameter-sets={}".format, st.binary(max_size=60).map(lambda b: base64.b64encode(b).decode())
    ),
    st.builds("a=fmtp:96 config={};sizelength={}".format, st.binary(max_size=5).map(bytes.hex), words),
    st.builds("a=control:{}".format, words),
    st.sampled_from(["a=sendonly", "a=rtpmap:96 H264/90000", "a=rtpmap:96 mpeg4-generic/48000/2", "v=0", ""]),
    st.text(max_size=20),
)
texts = st.one_of(
    st.lists(lines, max_size=20).map(lambda found: "\n".join(found).encode("utf-8", "replace")),
    st.binary(max_size=300),
)
#: Fit for a request line and for a quoted string.
SAFE = re.compile(r'[^\x00-\x20"\\\x7f-\U0010ffff]*')


@given(texts | (rs.session_descriptions() | rs.broken_session_descriptions()).flatmap(lambda sdp: rs.damaged(sdp.data)))
@settings(max_examples=400)
def test_any_text(text: bytes) -> None:
    try:
        description = parse_sdp(text)
        tracks, skipped = select_tracks(description, BASE)
    except (RemoteProtocolError, UnsupportedError) as error:
        message = str(error)
    else:
        message = ""
    assert message.isprintable()
    if message:
        return
    assert [media.index for media in description.medias] == list(range(len(description.medias)))
    assert [track.track.index for track in tracks] == list(range(len(tracks)))
    assert len({track.track.kind for track in tracks}) == len(tracks)
    assert len(tracks) + len(skipped) == len(description.medias)
    assert all(name.isprintable() for name in skipped)
    for track in tracks:
        assert track.track.clock_rate > 0
        assert 0 <= track.payload_type <= 127
        assert track.url.startswith("rtsp://cam:8554")
        assert SAFE.fullmatch(track.url)
        parameters = track.track.parameters
        if isinstance(parameters, H264Parameters):
            for unit, kind in [(parameters.sps, 7), *((unit, 8) for unit in parameters.pps)]:
                assert unit[0] & 0x9F == kind
                assert b"\0\0\1" not in unit
                assert not unit.endswith(b"\0")
                assert len(unit) <= DEFAULT_LIMITS.parameter_set_size
        elif isinstance(parameters, AACParameters):
            assert len(parameters.config) >= 2
            assert 1 <= track.packing["size_length"] <= 16


@given(st.text(max_size=40), st.text(max_size=40))
@example("rtsp://evil@evil:1\\@evil/", "rtsp://evil?@evil")
@example("rtsp:///", "//evil/x")
@settings(max_examples=300)
def test_urls_stay_at_their_host(content_base: str, control: str) -> None:
    for prefix in ("", "rtsp://", "rtsps://rtsp://"):
        base = resolve_base(BASE, prefix + content_base)
        for url in (base, join_control(base, prefix + control)):
            assert re.match(r"rtsp://cam:8554(?=[/?]|$)", url)
            assert SAFE.fullmatch(url)
