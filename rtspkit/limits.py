"""Every bound on what a peer may send, each with where its number comes from.

Nothing is allocated from a length before that many bytes have arrived; these numbers bound what may
arrive. Pass an own `Limits` to whatever takes one; the defaults suit cameras up to 4K.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a camera may send. Sizes are bytes, times are seconds."""

    # -- RTSP messages --------------------------------------------------------
    #: One start line or header line. The longest seen from a camera (a Digest challenge) has 400.
    line_size: int = 4096
    #: Header lines of one message; real cameras send up to 20.
    header_count: int = 128
    #: All header lines of one message together.
    headers_size: int = 32 * 1024
    #: A message body: SDPs of real cameras stay under 4 kB.
    body_size: int = 256 * 1024
    #: Bytes of garbage skipped in search of the next message or interleaved frame.
    resync_size: int = 64 * 1024
    #: Bytes on interleaved channels nobody set up before the connection is given up.
    unknown_channel_size: int = 64 * 1024 * 1024
    #: Redirects followed for one connection attempt.
    redirects: int = 3

    # -- SDP ------------------------------------------------------------------
    #: The whole description.
    sdp_size: int = 64 * 1024
    #: `m=` sections that are read; multi-sensor cameras send up to 6.
    media_count: int = 16

    # -- time -----------------------------------------------------------------
    #: TCP connect (MediaMTX: readTimeout).
    connect_timeout: float = 10.0
    #: Answer to one request, in all: a byte every two seconds does not extend it.
    reply_timeout: float = 5.0
    #: No RTP for this long and the connection counts as lost.
    media_timeout: float = 10.0
    #: No RTP for this long after PLAY over UDP, and TCP is tried (a firewall drops it silently).
    udp_timeout: float = 3.0

    # -- RTP and codecs -------------------------------------------------------
    #: One access unit: a 4K intra picture at the highest quality has about 4 MB.
    access_unit_size: int = 8 * 1024 * 1024
    #: NAL units in one access unit: 4K pictures cut into a slice a macroblock row have 270.
    nal_unit_count: int = 512
    #: One parameter set: real ones stay under 100 bytes, the syntax allows more.
    parameter_set_size: int = 1024
    #: Media that waits in one fragment of a camera before it is closed early.
    fragment_size: int = 16 * 1024 * 1024

    # -- UDP ------------------------------------------------------------------
    #: How long a packet waits for one before it: what paths of unequal length in a site's network make.
    reorder_time: float = 0.05
    #: Packets of one track that wait: 64 of the usual 1500 bytes are 96 kB, of the largest Ethernet has 576 kB.
    reorder_size: int = 1024 * 1024

    # -- HLS ------------------------------------------------------------------
    #: One segment; what a `Muxer` cuts at where it is not told otherwise (MediaMTX: hlsSegmentMaxSize).
    segment_size: int = 50 * 1024 * 1024
    #: Requests that wait for one path's next part or playlist; each holds some 10 kB. Beyond it they are answered 503.
    blocked_requests: int = 4096


#: The bounds used where none are given.
DEFAULT_LIMITS = Limits()
