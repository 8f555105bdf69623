"""A `ProbeReport` in words, for whoever stands on the ladder beside the camera.

Strategy: `rows` makes pairs of a label and lines of text, each with a mood; who prints them chooses colours and
widths. `plain` prints them without either. First comes whether it plays, then what to do about it, then the rest.
What comes from a camera is one line of printable ASCII before it gets here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rtspkit.formats import picture_refusal
from rtspkit.report import Advice, Authentication, ClockReport, ProbeReport, Settings, Timings, TrackReport

__all__ = ["Mood", "Row", "lines", "plain", "rows"]

Mood = Literal["plain", "good", "bad", "warning", "title", "code"]

_LABEL = 16
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A label, and the text beside it; continued rows have none. "title" and "code" stand without a label."""

    label: str
    text: str
    mood: Mood = "plain"


def plain(report: ProbeReport) -> str:
    """The report as text."""
    return "\n".join(text for text, _ in lines(report))


def lines(report: ProbeReport) -> Iterator[tuple[str, Mood]]:
    """The report line by line, each of at most a hundred characters where words allow, and its mood."""
    for row in rows(report):
        if row.mood in ("title", "code") or not (row.label or row.text):
            yield row.text, row.mood
            continue
        wrapped = textwrap.wrap(
            row.text,
            _WIDTH,
            initial_indent=f"{row.label:{_LABEL}}",
            subsequent_indent=" " * (_LABEL + 2 * row.text.startswith("- ")),
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield from ((line, row.mood) for line in wrapped)


def rows(report: ProbeReport) -> Iterator[Row]:
    """The report, row by row."""
    yield Row("", report.url, "title")
    yield Row("", "")
    yield from _verdict(report)
    yield Row("", "")
    yield from _connection(report)
    for track in report.tracks:
        yield Row("", "")
        yield from _track(track)
    told = {note.id for note in report.notes}
    told |= {"sender-report-clock-wrong"} if "clock" in told else set()
    quirks = [quirk for quirk in report.quirks if quirk.id not in told]
    if quirks:
        yield Row("", "")
        for number, quirk in enumerate(quirks):
            yield Row("" if number else "put up with", f"- {quirk.text}")
    if report.notes:
        yield Row("", "")
        for number, note in enumerate(report.notes):
            yield from _note("" if number else "take note", note)
    if report.settings is not None:
        yield Row("", "")
        yield from _settings(report, report.settings)


def _verdict(report: ProbeReport) -> Iterator[Row]:
    if report.problem is None:
        text = f"{_in_browsers(report)}{'; take note of what stands below' * bool(report.notes)}"
        if _lacks_picture(report):
            yield Row("SOUND ONLY", f"the video is left out, and the sound plays {text}", "warning")
        else:
            yield Row("PLAYS", text, "good")
        return
    yield Row("DOES NOT PLAY", report.problem.text, "bad")
    for number, text in enumerate(report.problem.try_next):
        yield Row("" if number else "try", f"- {text}")


def _lacks_picture(report: ProbeReport) -> bool:
    """Whether the camera offers video and none of it can be received."""
    has_video = any(track.kind == "video" for track in report.tracks)
    return bool(report.tracks) and not has_video and bool(picture_refusal(report.skipped))


def _in_browsers(report: ProbeReport) -> str:
    playback = report.playback
    if playback is None:
        return "the media come; what browsers make of them is not known"
    if playback.chrome and playback.firefox and playback.safari:
        return "in Chrome, Edge, Firefox and Safari, over HLS"
    some = " and ".join(
        name
        for name, does in (
            ("Chrome and Edge", playback.chrome),
            ("Firefox", playback.firefox),
            ("Safari", playback.safari),
        )
        if does
    )
    return f"{f'in {some} only' if some else 'but in no browser'}: {playback.reason}"


def _note(label: str, note: Advice) -> Iterator[Row]:
    text = f"{note.text}. {' '.join(note.try_next)}".strip() if note.try_next else f"{note.text}."
    yield Row(label, f"- {text[0].upper()}{text[1:]}", "warning")


# -- the connection -------------------------------------------------------------


def _connection(report: ProbeReport) -> Iterator[Row]:
    address = report.address
    if address.ip is None:
        reached = f"{address.host}, port {address.port}: no address was found"
    else:
        host = address.host if address.host == address.ip else f"{address.host} ({address.ip})"
        reached = f"{host}, port {address.port}" + ("" if report.timings.connect is not None else ": not reached")
    yield Row("address", reached)
    steps = list(_steps(report.timings))
    if steps:
        yield Row("took", ", ".join(steps))
    media = list(_media_steps(report.timings))
    if media:
        yield Row("after PLAY", ", ".join(media))
    transport = report.transport
    if transport is not None:
        name = {"tcp": "TCP, in the RTSP connection", "udp": "UDP", "multicast": "multicast"}[transport.name]
        yield Row("transport", f"{name}: {transport.reason}")
    if report.authentication is not None:
        yield Row("sign-in", _sign_in(report.authentication), "warning" if report.authentication.in_clear else "plain")
    if report.server is not None:
        yield Row("server", report.server)
    session = report.session
    if session is not None:
        kept = f"{session.timeout} s" if session.timeout is not None else "60 s (the camera does not say)"
        yield Row("session", f"ends after {kept} without a sign of life; kept by {session.keepalive}")
    if report.skipped:
        yield Row("left out", ", ".join(report.skipped))


def _steps(timings: Timings) -> Iterator[str]:
    for name, seconds in (
        ("connect", timings.connect),
        ("DESCRIBE", timings.describe),
        ("SETUP", timings.setup),
        ("PLAY", timings.play),
    ):
        if seconds is not None:
            yield f"{name} {_time(seconds)}"


def _media_steps(timings: Timings) -> Iterator[str]:
    if timings.first_packet is not None:
        yield f"first packet {_time(timings.first_packet)}"
    if timings.first_sync is not None:
        yield f"first sync sample {_time(timings.first_sync)}"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _sign_in(authentication: Authentication) -> str:
    if authentication.scheme == "none":
        return "none: whoever knows the address can watch"
    if authentication.in_clear:
        return "Basic: the password goes readably over the network"
    return " ".join(filter(None, (authentication.scheme, authentication.algorithm)))


# -- the tracks -----------------------------------------------------------------


def _track(track: TrackReport) -> Iterator[Row]:
    yield Row(f"track {track.index + 1}", ", ".join(_what(track)))
    rate = _rate(track)
    if rate:
        yield Row("  rate", rate)
    if track.bitrate is not None:
        yield Row("  bitrate", _bitrate(track.bitrate))
    if track.kind == "video":
        yield Row("  sync samples", _gop(track))
        sets = {"sdp": "in the SDP", "in band": "in the stream", "both": "in the SDP and in the stream"}
        names = "VPS, SPS, PPS" if track.codec == "h265" else "SPS and PPS"
        yield Row(f"  {names}", sets.get(track.parameter_sets or "", "none have come"))
    yield Row("  packets", _packets(track), "warning" if track.lost else "plain")
    yield Row("  clock", _clock(track.clock))


def _what(track: TrackReport) -> Iterator[str]:
    yield track.kind
    if track.kind == "video":
        name = {"h264": "H.264", "h265": "H.265"}.get(track.codec, track.codec)
        yield " ".join(filter(None, (name, track.profile, track.level and f"level {track.level}")))
        if track.width is not None:
            yield f"{track.width}x{track.height}"
    else:
        yield track.profile or "AAC"
        if track.sample_rate is not None:
            yield f"{track.sample_rate} Hz"
        if track.channels:
            yield {1: "mono", 2: "stereo"}.get(track.channels, f"{track.channels} channels")
    if track.codec_string is not None:
        yield track.codec_string


def _rate(track: TrackReport) -> str:
    if track.kind == "audio":
        return ""
    come = "too few came to say" if track.rate is None else f"{track.rate:.1f} pictures a second come"
    announced = "" if track.announced_rate is None else f" (the camera announces {track.announced_rate:g})"
    order = ", with B-pictures" if track.has_b_pictures else ""
    return f"{come}{announced}{order}"


def _bitrate(bitrate: float) -> str:
    return f"{bitrate / 1e6:.1f} Mbit/s" if bitrate >= 1e6 else f"{bitrate / 1e3:.0f} kbit/s"


def _gop(track: TrackReport) -> str:
    if track.gop_units is None or track.gop_seconds is None:
        return "only one came" if track.sync_units else "none came"
    units = " to ".join(dict.fromkeys(str(number) for number in track.gop_units))
    seconds = " to ".join(dict.fromkeys(f"{number:.1f}" for number in track.gop_seconds))
    return f"every {units} pictures, {seconds} s"


def _packets(track: TrackReport) -> str:
    if not track.packets:
        return "none came"
    counted = [
        f"{number} {what}"
        for number, what in (
            (track.lost, "lost"),
            (track.reordered, "out of order"),
            (track.duplicates, "twice"),
            (track.late, "too late"),
            (track.broken, "broken"),
            (track.discarded, "of another kind"),
            (track.foreign, "from others"),
        )
        if number
    ]
    return f"{track.packets}, {', '.join(counted) or 'none lost'}"


def _clock(clock: ClockReport | None) -> str:
    if clock is None:
        return "no sender reports came"
    if clock.is_good:
        return "right to a second" if abs(clock.offset) > 0.2 else "right"
    return "wrong: see below"


# -- what suits -----------------------------------------------------------------


def _settings(report: ProbeReport, settings: Settings) -> Iterator[Row]:
    yield Row("settings", "what suits it in the gateway's configuration:")
    yield Row("", "")
    yield Row("", "paths:", "code")
    yield Row("", "  camera:", "code")
    hidden = "  # with the password" if "***" in report.url else ""
    yield Row("", f"    source: {_quoted(report.url)}{hidden}", "code")
    for key, value in settings.keys.items():
        reason = settings.reasons.get(key)
        yield Row("", f"    {key}: {value}{f'  # {reason}' if reason else ''}", "code")
    can = "is advisable" if settings.low_latency else "is not advisable"
    yield Row("", f"    # hlsVariant: lowLatency {can}: {settings.low_latency_reason}", "code")


def _quoted(text: str) -> str:
    """A YAML scalar: an address is one as it is, unless somebody has put strange things into it."""
    if re.fullmatch(r"[A-Za-z0-9+]+://[\w.:/?&=%@*,~;!\[\]-]+", text):
        return text
    return "'" + text.replace("'", "''") + "'"
