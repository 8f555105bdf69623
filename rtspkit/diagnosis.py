"""What is wrong with a camera and what to try next; what suits one that plays.

Strategy: tables of plain sentences, chosen by the error that ended the attempt and by what the camera had said until
then. A sentence says nothing that is not known: a usual address is named only for a maker that names itself.
"""

from __future__ import annotations

import errno
import math
import re

from rtspkit.codecs import carried_as
from rtspkit.errors import (
    AuthenticationError,
    CertificateError,
    ConnectionLost,
    LimitExceeded,
    RemoteProtocolError,
    ResponseError,
    RtspkitError,
    TimeoutExceeded,
    UnsupportedError,
)
from rtspkit.findings import Findings
from rtspkit.media import Track
from rtspkit.report import Advice, Authentication, Playback, Settings, TrackReport, TransportReport
from rtspkit.url import CameraURL

__all__ = ["name_unknown", "no_connection", "no_media", "notes", "playback", "refusal", "settings"]

#: Text in a Server header -> the addresses that such cameras have.
_USUAL_PATHS = (
    ("TP-LINK", "/stream1 or /stream2"),
    ("Hipcam RealServer", "/11 or /12"),
    ("H264DVR", "/user=NAME&password=WORD&channel=1&stream=0.sdp?"),
    ("Hikvision", "/Streaming/Channels/101 or /102"),
    ("Dahua", "/cam/realmonitor?channel=1&subtype=0"),
)
#: H.264 profiles that browsers play: 4:2:0 with 8 bits.
_PLAYED_PROFILES = frozenset({"Baseline", "Main", "Extended", "High"})
#: The same of H.265, for those that play it at all.
_PLAYED_H265_PROFILES = frozenset({"Main", "Main 10"})
_H265_PLAYERS = (
    "Chrome and Edge play H.265 only where the graphics chip decodes it; "
    "set the camera, or its second stream, to H.264 for all browsers"
)
#: AAC object types that every browser plays; low delay ones are Safari's alone.
_PLAYED_AAC = frozenset({"AAC-LC", "HE-AAC", "HE-AAC v2"})
#: Seconds of a segment that suit: shorter ones are requests for nothing, longer ones delay.
_SEGMENT = 2.0
#: Seconds from one sync sample to the next beyond which viewers wait for their picture.
_LONG_GOP = 4.0
#: What a rate may be off before it is worth a word.
_RATE_SLACK = 0.15


# -- it cannot be reached -------------------------------------------------------


def name_unknown(url: CameraURL) -> Advice:
    """Its name has no address."""
    return Advice(
        "name-unknown",
        f"the name {url.host} is not known (DNS)",
        ("Look for a typing error in the name.", "Use the camera's IP address instead of its name."),
    )


def no_connection(url: CameraURL, error: RtspkitError) -> Advice:
    """The attempt ended before a byte was sent.

    Args:
        url: what was to be reached.
        error: what `dial` has raised.
    """
    text = str(error)
    if isinstance(error, TimeoutExceeded) and "TLS" not in text:
        return Advice(
            "unreachable",
            text,
            (
                "See whether the camera has power and a network, and whether it still has this address (ping).",
                "A firewall, or another network (VLAN, VPN) in between, may swallow what is sent to it.",
            ),
        )
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ECONNREFUSED:
        return Advice(
            "refused",
            f"{url.host} is there, but nothing listens on port {url.port}",
            (
                f"See in the camera's network settings which port RTSP has; {_usual_port(url)} is usual.",
                "RTSP may be switched off: many makers (Tapo, Reolink, Ubiquiti) want it enabled in their app first.",
                "After a restart a camera takes up to two minutes until it listens.",
            ),
        )
    if number in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return Advice(
            "unreachable",
            text,
            (
                "Nothing has this address, or no way leads there: compare it with the list in your router.",
                "See whether the camera has power and its cable.",
            ),
        )
    if isinstance(error, CertificateError):
        return Advice(
            "certificate",
            text,
            (
                "Cameras mostly make their certificates themselves. If you are sure that it is your camera: "
                f"--fingerprint {error.fingerprint}",
            ),
        )
    if url.is_tunnel:
        return Advice("tunnel", text, ("Most cameras do RTSP without HTTP as well: try rtsp://.",))
    if url.is_secure:
        return Advice(
            "not-tls",
            text,
            (
                "Its port for RTSP over TLS is another one; 322 is usual.",
                "It may do RTSP without TLS only: try rtsp:// (554).",
            ),
        )
    return Advice("unreachable", text, ("See whether the camera has power, a network and this address (ping).",))


def _usual_port(url: CameraURL) -> str:
    usual = {"rtsp": 554, "rtsps": 322, "rtsp+http": 80, "rtsps+http": 443}[url.scheme]
    return f"{usual}" if usual != url.port else "8554" if url.scheme == "rtsp" else "443"


# -- it answers, and it does not play -------------------------------------------


def refusal(url: CameraURL, error: RtspkitError, findings: Findings) -> Advice:
    """The attempt ended in the conversation, before there were media."""
    text = str(error)
    if isinstance(error, AuthenticationError):
        return _credentials(url, error, text)
    if isinstance(error, ResponseError):
        return _response(url, error, text, findings)
    if isinstance(error, UnsupportedError):
        if findings.exchanges("SETUP"):
            return Advice("transport", text, ("Try --transport tcp.",))
        return Advice(
            "codecs",
            text,
            (
                "Set the camera's video to H.264 (not H.264+ or a smart codec), or to H.265 for players of your own.",
                "Its second stream (sub-stream) may be H.264 already.",
            ),
        )
    if isinstance(error, LimitExceeded):
        return Advice(
            "limits",
            f"{url.address} does not speak RTSP as a camera does: {_for_people(text)}",
            ("See whether this is the camera's address and RTSP port.", _report_it()),
        )
    if findings.foreign.startswith(b"HTTP/"):
        return Advice(
            "http",
            f"{url.address} answers HTTP, not RTSP: this is the port of its web pages",
            (
                f"Use the camera's RTSP port; {_usual_port(url)} is usual.",
                "If it offers RTSP over HTTP only, write rtsp+http:// instead of rtsp://.",
            ),
        )
    if findings.foreign[:1] in (b"\x15", b"\x16") and findings.foreign[1:2] == b"\x03":
        return Advice(
            "tls-needed",
            f"{url.address} wants TLS",
            ("Write rtsps:// instead of rtsp://.", "Its port for RTSP without TLS is another one; 554 is usual."),
        )
    if isinstance(error, RemoteProtocolError) and not findings.is_connected:
        return Advice("tunnel", text, ("Most cameras do RTSP without HTTP as well: try rtsp://.",))
    if isinstance(error, RemoteProtocolError):
        return Advice(
            "not-rtsp",
            f"{url.address} does not speak RTSP: {_for_people(text)}",
            ("Something else than a camera may listen on this port.", _report_it()),
        )
    if isinstance(error, TimeoutExceeded):
        return Advice(
            "silent",
            text,
            (
                "Something listens there and does not speak RTSP, or the camera hangs: restart it.",
                "If the port is for RTSP over TLS, write rtsps:// instead of rtsp://.",
            ),
        )
    if not findings.responses():
        return Advice(
            "hangs-up",
            text,
            (
                "It may have no place for another viewer: close others, and wait a minute.",
                "If the port is for RTSP over TLS, write rtsps:// instead of rtsp://.",
                "Something else than a camera may listen on this port.",
            ),
        )
    return Advice(
        "hangs-up",
        text,
        ("It may have no place for another viewer: close others, and wait a minute.", _report_it()),
    )


def _for_people(text: str) -> str:
    """Without the place in the stream, which a recording shows better."""
    return re.sub(r" at byte [0-9]+.*| \(bytes [0-9a-f ]+\)", "", text)


def _report_it() -> str:
    return "If the camera plays elsewhere, record the attempt with --save and send it in."


def _credentials(url: CameraURL, error: ResponseError, text: str) -> Advice:
    if error.status == 403:
        return _forbidden(text)
    if url.username is None:
        return Advice(
            "password-missing",
            text,
            ("Put the camera's user and password into the address: rtsp://USER:PASSWORD@…",),
        )
    if "not known here" in text:
        return Advice("authentication", text, ("Set the camera's RTSP authentication to Digest.", _report_it()))
    return Advice(
        "password-wrong",
        text,
        (
            "Try user and password in the camera's own web page.",
            "Some cameras (Tapo, Reolink, Axis, Hikvision with ONVIF) have an account for RTSP or ONVIF of its own.",
            "After several wrong passwords cameras lock the account for up to half an hour: wait, then try again.",
        ),
    )


def _forbidden(text: str) -> Advice:
    return Advice(
        "forbidden",
        text,
        (
            "Give this user the right to watch, in the camera's settings.",
            "Or close other viewers (its app, a recorder): Dahua says so when it has as many as it can have.",
        ),
    )


def _response(url: CameraURL, error: ResponseError, text: str, findings: Findings) -> Advice:
    status = error.status
    if status in (404, 400, 451) and error.method in ("DESCRIBE", "SETUP"):
        server = findings.server() or ""
        hints = [
            f"Cameras that call themselves {name} have their streams at {paths}."
            for name, paths in _USUAL_PATHS
            if name.lower() in server.lower()
        ]
        return Advice(
            "path",
            text,
            (*hints, "See in the camera's manual, or with an ONVIF tool, what comes behind its address and port."),
        )
    if status == 403:
        return _forbidden(text)
    if status in (453, 503):
        return Advice(
            "busy",
            text,
            (
                "It sends to as many viewers as it can: close others (its app, a recorder), and wait a minute.",
                "One gateway can take its stream once and show it to all.",
            ),
        )
    if status == 461:
        return Advice("transport", text, ("Leave --transport away, or try --transport tcp.",))
    if 300 <= status < 400 or "redirects" in text:
        return Advice("redirect", text, ("Try the address it redirects to.",))
    if status >= 500:
        return Advice("refuses", text, ("The camera itself is in trouble: restart it.", _report_it()))
    return Advice("refuses", text, (_report_it(),))


def no_media(
    url: CameraURL,
    error: RtspkitError | None,
    findings: Findings,
    *,
    tracks: tuple[Track, ...],
    transport: str,
    seconds: float,
) -> Advice | None:
    """The camera plays, so it says: what is wrong with what came of it; None where nothing is.

    Args:
        url: the camera's.
        error: what ended the media early; None where nothing did.
        findings: what came.
        tracks: what was to come.
        transport: what media were to come over.
        seconds: how long they were listened to.
    """
    counts = findings.counts
    packets = findings.timings().first_packet is not None
    if not any(one.units for one in counts.values()):
        if transport != "tcp" and not packets:
            return Advice(
                "udp-blocked",
                f"{url.address} plays, but nothing of it arrives over {'UDP' if transport == 'udp' else transport}",
                (
                    "A firewall or NAT in between stops it: try --transport tcp.",
                    "Some cameras send from other ports than they say (rtspAnyPort: yes).",
                ),
            )
        if packets:
            return Advice(
                "no-units",
                f"{url.address} sends packets, but no picture and no sound can be made of them",
                (
                    "See that the codec is H.264 or H.265, and AAC, Opus or G.711, then record the session with --save "
                    "and send it in.",
                ),
            )
        ended = f": {error}" if isinstance(error, ConnectionLost) else f" within {seconds:.0f} s"
        return Advice(
            "no-media",
            f"{url.address} says that it plays, and sends nothing{ended}",
            (
                "Restart the camera: its encoder may hang.",
                "Its first stream may be taken by another viewer; try the second one.",
            ),
        )
    video = [track.index for track in tracks if track.kind == "video"]
    if video and not any(counts[index].sync_units for index in video if index in counts):
        return Advice(
            "no-sync",
            f"{url.address} sends pictures, but none that a player could begin with (IDR) within {seconds:.0f} s",
            (
                "Set its I-frame interval (GOP) to one or two seconds.",
                "Switch off H.264+, Smart codec, dynamic GOP and the like.",
                "Listen longer: --seconds 60.",
            ),
        )
    if error is not None:
        return Advice(
            "lost",
            f"it plays, and is lost after {seconds:.0f} s: {error}",
            (
                "It may have no place for another viewer: close others, and wait a minute.",
                "Look for a bad cable, wireless link or power supply.",
                _report_it(),
            ),
        )
    return None


# -- it plays -------------------------------------------------------------------


def playback(tracks: tuple[TrackReport, ...]) -> Playback | None:
    """What plays the tracks; None where a codec string is not known yet."""
    carried = [track for track in tracks if carried_as(track.codec)]
    if tracks and not carried:
        names = " or ".join(track.profile or track.codec for track in tracks)
        return Playback("", False, False, False, f"HLS cannot carry {names}; set the audio to AAC or G.711")
    strings = [track.codec_string for track in carried]
    if not strings or None in strings:
        return None
    codecs = ",".join(text for text in strings if text)
    for track in tracks:
        if track.codec == "h265" and track.profile in _PLAYED_H265_PROFILES:
            return Playback(codecs, False, False, True, _H265_PLAYERS)
        if track.codec == "h265":
            reason = f"no browser plays H.265 {track.profile}; set the camera to H.264, or to H.265 Main"
            return Playback(codecs, False, False, False, reason)
        if track.kind == "video" and track.profile not in _PLAYED_PROFILES:
            reason = f"no browser plays H.264 {track.profile}; set the camera to High, Main or Baseline"
            return Playback(codecs, False, False, False, reason)
        if track.codec == "aac" and track.profile not in _PLAYED_AAC:
            return Playback(
                codecs, False, False, True, f"of the browsers only Safari plays {track.profile}; set AAC-LC"
            )
    return Playback(codecs, True, True, True)


def notes(
    tracks: tuple[TrackReport, ...],
    authentication: Authentication | None,
    skipped: tuple[str, ...],
) -> tuple[Advice, ...]:
    """What is worth knowing of a camera though it plays."""
    found: list[Advice] = []
    if authentication is not None and authentication.in_clear:
        found.append(
            Advice(
                "basic-in-clear",
                "the password goes readably over the network (Basic, without TLS)",
                ("Set the camera's RTSP authentication to Digest, or use rtsps://.",),
            )
        )
    # what has no reason is neither video nor sound, such as ONVIF's metadata; nobody misses the way back
    missed = [name for name in skipped if "," in name and not name.endswith("back channel)")]
    if missed:
        found.append(
            Advice(
                "skipped",
                f"left out: {', '.join(missed)}",
                ("Set the camera to H.264 or H.265, and to AAC or G.711, if you need these tracks.",),
            )
        )
    found += [
        Advice(
            "not-carried",
            f"HLS leaves out {track.profile or track.codec}, for no browser plays it",
            ("Set the camera's audio to AAC or G.711 if it is to be heard.",),
        )
        for track in tracks
        if not carried_as(track.codec)
    ]
    lossy = [track for track in tracks if track.lost]
    if lossy:
        shares = [f"{track.lost} of the {track.kind}'s ({_share(track):.1%})" for track in lossy]
        found.append(
            Advice(
                "loss",
                f"packets are lost: {' and '.join(shares)}",
                (
                    "Look for a bad cable or an overloaded link or Wi-Fi; lower the bitrate.",
                    "Over UDP, try rtspTransport: tcp.",
                ),
            )
        )
    dropped = sum(track.kernel_drops for track in tracks)
    if dropped:
        found.append(
            Advice(
                "receive-buffer",
                f"{dropped} datagrams had no room in this machine's receive buffer",
                ("Raise net.core.rmem_max to 4194304 (sysctl), or try rtspTransport: tcp.",),
            )
        )
    wrong = next((track.clock for track in tracks if track.clock is not None and not track.clock.is_good), None)
    if wrong is not None:
        text = f"the camera's clock is {_ahead(wrong.offset)}"
        found.append(Advice("clock", text, ("Let the camera take its time from the network (NTP).",)))
    if any(track.units for track in tracks):
        for track in tracks:
            found += _track_notes(track)
    return tuple(found)


def _share(track: TrackReport) -> float:
    return track.lost / (track.lost + track.packets)


def _track_notes(track: TrackReport) -> list[Advice]:
    if not track.units:
        text = f"the {track.kind} is announced, but nothing of it came"
        return [Advice("silent-track", text, ("Switch it off if it is not used.",))]
    found: list[Advice] = []
    if track.gop_seconds is not None and track.gop_seconds[1] > _LONG_GOP:
        found.append(
            Advice(
                "long-gop",
                f"sync samples are up to {track.gop_seconds[1]:.1f} s apart, and viewers wait as long for a picture",
                ("Set the I-frame interval to one or two seconds; switch off H.264+ or Smart codec.",),
            )
        )
    rate, announced = track.rate, track.announced_rate
    if rate and announced and abs(rate - announced) > _RATE_SLACK * announced:
        text = f"{rate:.1f} pictures a second come, where {announced:g} are announced"
        found.append(Advice("rate", text, ("In the dark many cameras take longer for a picture.",)))
    if track.has_b_pictures:
        found.append(Advice("b-pictures", "B-pictures only add delay", ("Switch them off, if you can.",)))
    return found


def _ahead(seconds: float) -> str:
    size, way = abs(seconds), "ahead" if seconds > 0 else "behind"
    for unit, length in (("years", 365.25 * 86400), ("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if size >= 2 * length:
            return f"{size / length:.0f} {unit} {way}"
    return f"{size:.1f} seconds {way}"


def settings(
    transport: TransportReport, tracks: tuple[TrackReport, ...], *, chosen: bool, fingerprint: str | None = None
) -> Settings:
    """What suits the camera in a path of the gateway.

    Args:
        transport: what it plays over.
        tracks: what it sends.
        chosen: the caller has asked for that transport.
        fingerprint: of the camera's certificate, where the caller has given it.
    """
    keys: dict[str, str] = {}
    reasons: dict[str, str] = {}
    video = next((track for track in tracks if track.kind == "video"), None)
    if chosen or (transport.name == "tcp" and not transport.tunnel):
        keys["rtspTransport"] = transport.name
        reasons["rtspTransport"] = "as it was tried" if chosen else "no time is lost with trying UDP"
    if fingerprint is not None:
        keys["sourceFingerprint"] = fingerprint
    gop = video.gop_seconds[1] if video is not None and video.gop_seconds is not None else None
    if gop:
        length = gop * max(1, math.ceil(_SEGMENT / gop - 0.01))
        if abs(length - round(length, 1)) < 0.015:  # timestamps wobble, and the gateway allows for half a picture
            length = round(length, 1)
        keys["hlsSegmentDuration"] = f"{length:.0f}s" if length == int(length) else f"{length * 1000:.0f}ms"
        reasons["hlsSegmentDuration"] = (
            "a segment begins with each sync sample" if length < 1.5 * gop else "a whole number of sync samples"
        )
    clock = video.clock if video is not None else None
    if clock is not None and clock.is_good:
        keys["useAbsoluteTimestamp"] = "yes"
        reasons["useAbsoluteTimestamp"] = "the camera's clock is right"
    if gop is None:
        advisable, why = False, "the distance between sync samples is not known"
    elif gop > _LONG_GOP:
        advisable, why = False, f"sync samples are {gop:.1f} s apart; two seconds would do"
    elif video is not None and video.lost:
        advisable, why = False, "packets are lost"
    else:
        advisable, why = True, "sync samples come often enough, and nothing is lost"
    return Settings(keys, reasons, advisable, why)
