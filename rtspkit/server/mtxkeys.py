"""The keys of a MediaMTX configuration that do nothing here (yet), so that an existing file starts.

Facts about MediaMTX v1.20. What works stands as a field of the models in `config`; everything here loads
with a warning that says what is missing, and everything else is an unknown key.
"""

from __future__ import annotations

import re

__all__ = [
    "DEPRECATED_GLOBAL",
    "DEPRECATED_PATH",
    "FOREIGN",
    "FOREIGN_SCHEMES",
    "INERT_GLOBAL",
    "INERT_PATH",
    "RECORD_KEYS",
]

#: Protocols that will not be served: all their keys share one warning.
FOREIGN = re.compile(r"(?:rtmps?|srt|webrtc|moq|whip|whep|rpiCamera)(?:[A-Z]\w*)?")

#: Source schemes of MediaMTX that cannot be read; such a path loads, and says so when it starts.
FOREIGN_SCHEMES = frozenset(
    {"rtsp+ws", "rtsps+ws", "rtmp", "rtmps", "http", "https", "udp", "udp+mpegts"}
    | {"unix+mpegts", "udp+rtp", "unix+rtp", "srt", "whep", "wheps", "moq", "moqs"}
)

_AUTH = "viewers are not authorised yet: whoever reaches the port can watch"
_RECORD = "recording is not built yet"
_HOOK = "hooks are not built yet"
_RTSP = "no RTSP is served"
_TLS = "plain HTTP is served; put a proxy in front for TLS"

RECORD_KEYS = frozenset(
    {"record", "recordPath", "recordFormat", "recordPartDuration", "recordMaxPartSize", "recordSegmentDuration"}
    | {"recordDeleteAfter"}
)


def _table(**groups: tuple[str, str]) -> dict[str, str]:
    return {key: reason for keys, reason in groups.values() for key in keys.split()}


#: key -> why it has no effect
INERT_GLOBAL: dict[str, str] = _table(
    log=("sysLogPrefix", "there is no syslog destination yet"),
    queue=(
        "writeTimeout writeQueueSize",
        "every viewer is sent the same segments, so there are no queues to size",
    ),
    udp=("udpMaxPayloadSize", "it bounds what is sent, and to cameras next to nothing is"),
    hooks=("runOnConnect runOnConnectRestart runOnDisconnect", _HOOK),
    auth=(
        "authMethod authInternalUsers authHTTPAddress authHTTPFingerprint authHTTPExclude authHTTPForceHTTPS "
        "authJWTJWKS authJWTJWKSFingerprint authJWTClaimKey authJWTExclude authJWTIssuer authJWTAudience "
        "authJWTInHTTPQuery",
        _AUTH,
    ),
    tls=(
        "apiEncryption apiServerKey apiServerCert hlsEncryption hlsServerKey hlsServerCert serverKey serverCert",
        _TLS,
    ),
    proxies=("apiTrustedProxies hlsTrustedProxies", "client addresses from proxies are not read yet"),
    cdn=("hlsCDNSecret", "every playlist can be cached by a CDN as it is"),
    metrics=(
        "metrics metricsAddress metricsEncryption metricsServerKey metricsServerCert metricsAllowOrigins "
        "metricsTrustedProxies",
        "metrics are not built yet",
    ),
    playback=(
        "playback playbackAddress playbackEncryption playbackServerKey playbackServerCert playbackAllowOrigins "
        "playbackTrustedProxies",
        "playback of recordings is not built yet",
    ),
    pprof=(
        "pprof pprofAddress pprofEncryption pprofServerKey pprofServerCert pprofAllowOrigins pprofTrustedProxies",
        "there is no Go runtime to profile",
    ),
    rtsp=(
        "rtsp rtspTransports rtspEncryption rtspAddress rtspsAddress rtpAddress rtcpAddress srtpAddress srtcpAddress "
        "multicastIPRange multicastRTPPort multicastRTCPPort multicastSRTPPort multicastSRTCPPort rtspServerKey "
        "rtspServerCert rtspAuthMethods rtspTrustedProxies",
        _RTSP,
    ),
)

INERT_PATH: dict[str, str] = _table(
    always=(
        "alwaysAvailable alwaysAvailableTracks alwaysAvailableFile",
        "an offline camera is not replaced by a file yet",
    ),
    forward=("forward", "streams are not forwarded yet"),
    record=(" ".join(sorted(RECORD_KEYS)), _RECORD),
    udp=("mpegtsUDPReadBufferSize rtpUDPReadBufferSize rtpSDP", "streams without RTSP are not read"),
    mpegts=("rtspDemuxMpegts", "MPEG-TS in RTSP is not read yet"),
    range=("rtspRangeType rtspRangeStart rtspScale", "cameras are read live"),
    redirect=("sourceRedirect", "there is no redirect source"),
    publish=("overridePublisher", "nobody can publish to a path"),
    hooks=(
        "runOnInit runOnInitRestart runOnDemand runOnDemandRestart runOnDemandStartTimeout runOnDemandCloseAfter "
        "runOnUnDemand runOnAvailable runOnAvailableRestart runOnUnavailable runOnOnline runOnOnlineRestart "
        "runOnOffline runOnRead runOnReadRestart runOnUnread runOnRecordSegmentCreate runOnRecordSegmentComplete",
        _HOOK,
    ),
)

#: Deprecated key -> (the key that replaced it or None, why that has no effect or None where it works).
DEPRECATED_GLOBAL: dict[str, tuple[str | None, str | None]] = {
    "hlsDisable": ("hls", None),
    "hlsAllowOrigin": ("hlsAllowOrigins", None),
    "apiAllowOrigin": ("apiAllowOrigins", None),
    "metricsAllowOrigin": ("metricsAllowOrigins", "metrics are not built yet"),
    "playbackAllowOrigin": ("playbackAllowOrigins", "playback of recordings is not built yet"),
    "pprofAllowOrigin": ("pprofAllowOrigins", "there is no Go runtime to profile"),
    "rtspDisable": ("rtsp", _RTSP),
    "protocols": ("rtspTransports", _RTSP),
    "encryption": ("rtspEncryption", _RTSP),
    "authMethods": ("rtspAuthMethods", _RTSP),
    "readBufferCount": ("writeQueueSize", "there are no queues to size"),
    "externalAuthenticationURL": ("authHTTPAddress", _AUTH),
    "rtspUDPReadBufferSize": ("udpReadBufferSize", None),
    **{key: (f"pathDefaults: {key}", _RECORD) for key in sorted(RECORD_KEYS)},
}

DEPRECATED_PATH: dict[str, tuple[str | None, str | None]] = {
    "sourceProtocol": ("rtspTransport", None),
    "sourceAnyPortEnable": ("rtspAnyPort", None),
    "rtspUDPReadBufferSize": ("udpReadBufferSize", None),
    "publishUser": ("authInternalUsers", "nobody can publish to a path"),
    "publishPass": ("authInternalUsers", "nobody can publish to a path"),
    "publishIPs": ("authInternalUsers", "nobody can publish to a path"),
    "readUser": ("authInternalUsers", _AUTH),
    "readPass": ("authInternalUsers", _AUTH),
    "readIPs": ("authInternalUsers", _AUTH),
    "runOnReady": ("runOnAvailable", _HOOK),
    "runOnReadyRestart": ("runOnAvailableRestart", _HOOK),
    "runOnNotReady": ("runOnUnavailable", _HOOK),
    "fallback": (None, "there is no fallback"),
    "disablePublisherOverride": ("overridePublisher", "nobody can publish to a path"),
}
