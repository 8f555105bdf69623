"""Hypothesis strategies for what cameras send: RTSP, SDP, RTP, H.264, H.265 and AAC, as they should be and as they are.

Every strategy gives the bytes **and** what must come out of them, so that a test of one's own parser is an equation::

    from hypothesis import given, strategies as st
    from rtspkit.testing.strategies import chunks, interleaved_streams

    @given(interleaved_streams(), st.data())
    def test_any_split_gives_the_same(stream, data):
        parser = MyParser()
        found = [item for piece in data.draw(chunks(stream.data)) for item in parser.feed(piece)]
        assert len(found) == len(stream.items)

They need Hypothesis: ``pip install '.[testing]'`` in a checkout.
"""

try:
    import hypothesis as _hypothesis  # noqa: F401
except ModuleNotFoundError:
    raise ImportError(
        "rtspkit.testing.strategies needs Hypothesis: pip install '.[testing]' in rtspkit's sources"
    ) from None

from rtspkit.testing.strategies.codecs import (
    access_units,
    h264_parameters,
    picture_parameter_sets,
    sequence_parameter_sets,
)
from rtspkit.testing.strategies.h265 import h265_parameters, h265_sequence_parameter_sets
from rtspkit.testing.strategies.messages import (
    METHODS,
    STATUSES,
    interleaved_streams,
    rtp_info_headers,
    rtsp_requests,
    rtsp_responses,
    session_headers,
    transport_headers,
    www_authenticate_headers,
)
from rtspkit.testing.strategies.rtp import rtp_packets, rtp_streams
from rtspkit.testing.strategies.sdp import broken_session_descriptions, session_descriptions
from rtspkit.testing.strategies.sounds import aac_parameters
from rtspkit.testing.strategies.text import chunks, damaged
from rtspkit.testing.strategies.values import (
    ChallengeFields,
    DescribedMedia,
    Description,
    ElementaryStream,
    InterleavedStream,
    PictureFormat,
    RTPFields,
    RTPStream,
    SoundFormat,
    StreamCodec,
    Wire,
    Written,
)

__all__ = [
    "METHODS",
    "STATUSES",
    "ChallengeFields",
    "DescribedMedia",
    "Description",
    "ElementaryStream",
    "InterleavedStream",
    "PictureFormat",
    "RTPFields",
    "RTPStream",
    "SoundFormat",
    "StreamCodec",
    "Wire",
    "Written",
    "aac_parameters",
    "access_units",
    "broken_session_descriptions",
    "chunks",
    "damaged",
    "h264_parameters",
    "h265_parameters",
    "h265_sequence_parameter_sets",
    "interleaved_streams",
    "picture_parameter_sets",
    "rtp_info_headers",
    "rtp_packets",
    "rtp_streams",
    "rtsp_requests",
    "rtsp_responses",
    "sequence_parameter_sets",
    "session_descriptions",
    "session_headers",
    "transport_headers",
    "www_authenticate_headers",
]
