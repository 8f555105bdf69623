"""RTSP cameras in, HLS out, without transcoding.

::

    async with rtspkit.open("rtsp://user:password@192.168.1.100/stream1") as camera:
        async for unit in camera:
            print(unit.track.codec, unit.pts, unit.is_sync, len(unit.data))

The pieces below can be used one by one: `rtspkit.rtsp.Connection` and `rtspkit.rtp.Receiver` are sans-IO,
`Muxer` turns access units into HLS, `HLSApp` serves muxers from any ASGI server.
"""

try:
    from rtspkit import _flac, _fmp4, _rtp  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"rtspkit's compiled part is missing ({error}): build it with `pip install .` in the source directory"
    ) from None

from rtspkit._version import __version__
from rtspkit.asgi import HLSApp, NotReady, PathNotFound
from rtspkit.client import Camera, CameraOptions, CameraStats, connect
from rtspkit.errors import (
    AuthenticationError,
    CertificateError,
    ConnectionLost,
    LimitExceeded,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    ResponseError,
    RtspkitError,
    TimeoutExceeded,
    UnsupportedError,
)
from rtspkit.health import CameraHealth, TrackHealth
from rtspkit.limits import DEFAULT_LIMITS, Limits
from rtspkit.media import (
    AACParameters,
    AccessUnit,
    FLACParameters,
    Fragment,
    H264Parameters,
    H265Parameters,
    OpusParameters,
    PCMParameters,
    Run,
    Track,
)
from rtspkit.memory import CameraMemory
from rtspkit.muxer import Muxer
from rtspkit.prober import probe
from rtspkit.reader import CameraReader, open
from rtspkit.report import ProbeReport
from rtspkit.store import DirectoryStore, MemoryStore
from rtspkit.ticker import Ticker

__all__ = [
    "DEFAULT_LIMITS",
    "AACParameters",
    "AccessUnit",
    "AuthenticationError",
    "Camera",
    "CameraHealth",
    "CameraMemory",
    "CameraOptions",
    "CameraReader",
    "CameraStats",
    "CertificateError",
    "ConnectionLost",
    "DirectoryStore",
    "FLACParameters",
    "Fragment",
    "H264Parameters",
    "H265Parameters",
    "HLSApp",
    "LimitExceeded",
    "Limits",
    "LocalProtocolError",
    "MemoryStore",
    "Muxer",
    "NotReady",
    "OpusParameters",
    "PCMParameters",
    "PathNotFound",
    "ProbeReport",
    "ProtocolError",
    "RemoteProtocolError",
    "ResponseError",
    "RtspkitError",
    "Run",
    "Ticker",
    "TimeoutExceeded",
    "Track",
    "TrackHealth",
    "UnsupportedError",
    "__version__",
    "connect",
    "open",
    "probe",
]
