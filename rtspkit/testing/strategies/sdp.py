"""Strategies for session descriptions: as cameras should write them, and as cameras do.

Strategy: what a description says is drawn first and then written down. A quirk is a change to the lines that leaves
what they say as it is, or takes something away that a reader has to do without; `Description` tells the rest.

Specs: RFC 8866 (SDP); RFC 2326, C.1; RFC 6184, 8.2.1 (H264); RFC 7798, 7.1 (H265); RFC 3640, 4.1 (MPEG4-GENERIC).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from rtspkit.media import AACParameters, H264Parameters, H265Parameters, OpusParameters, PCMParameters
from rtspkit.testing.strategies.codecs import h264_parameters
from rtspkit.testing.strategies.h265 import h265_parameters
from rtspkit.testing.strategies.sounds import aac_parameters
from rtspkit.testing.strategies.values import DescribedMedia, Description, Wire

__all__ = ["broken_session_descriptions", "session_descriptions"]


@dataclass(frozen=True)
class _Plan:
    """A description before it is written: its lines, by what they belong to."""

    head: list[str]
    sections: list[list[str]]
    value: Description

    def text(self, end: str = "\r\n", last: str = "\r\n") -> bytes:
        return (end.join([*self.head, *(line for section in self.sections for line in section)]) + last).encode()


_VIDEO = ("h264", "h265")
#: Other things cameras offer: kind, encoding name, payload type, clock rate, channels, whether an rtpmap is needed, and
#: what a decoder needs.
_OTHERS = (
    ("audio", "pcmu", 0, 8000, 1, False, PCMParameters(8000, 1, 8)),
    ("audio", "pcma", 8, 8000, 1, False, PCMParameters(8000, 1, 8)),
    ("audio", "g726-32", 102, 8000, 1, True, PCMParameters(8000, 1, 4)),
    ("audio", "opus", 111, 48000, 2, True, OpusParameters(2)),
    ("video", "jpeg", 26, 90000, None, False, None),
    ("video", "mp4v-es", 98, 90000, None, True, None),
    ("application", "vnd.onvif.metadata", 107, 90000, None, True, None),
)
_controls = st.sampled_from(
    [
        "trackID={0}",
        "track{0}",
        "streamid={0}",
        "rtsp://192.168.1.64/Streaming/Channels/101/trackID={0}",
        "stream={0}?x=1",
    ]
)


def _h264(parameters: H264Parameters, payload_type: int) -> tuple[str, str]:
    sets = ",".join(base64.b64encode(nal).decode() for nal in (parameters.sps, *parameters.pps))
    profile = parameters.sps[1:4].hex().upper()
    return (
        f"a=rtpmap:{payload_type} H264/90000",
        f"a=fmtp:{payload_type} packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sets}",
    )


def _h265(parameters: H265Parameters, payload_type: int) -> tuple[str, str]:
    vps, sps, pps = (
        ",".join(base64.b64encode(nal).decode() for nal in nals)
        for nals in ((parameters.vps,), (parameters.sps,), parameters.pps)
    )
    return (
        f"a=rtpmap:{payload_type} H265/90000",
        f"a=fmtp:{payload_type} profile-id=1;sprop-vps={vps};sprop-sps={sps};sprop-pps={pps}",
    )


def _aac(parameters: AACParameters, payload_type: int, rate: int, channels: int) -> tuple[str, str]:
    return (
        f"a=rtpmap:{payload_type} MPEG4-GENERIC/{rate}/{channels}",
        f"a=fmtp:{payload_type} streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;"
        f"indexdeltalength=3;config={parameters.config.hex()}",
    )


@st.composite
def _plans(draw: st.DrawFn) -> _Plan:
    control = draw(st.sampled_from([None, "*", "rtsp://192.168.1.64/stream1/"]))
    template = draw(_controls)
    found: list[DescribedMedia] = []
    sections: list[list[str]] = []
    kinds = draw(st.lists(st.sampled_from(["aac", *_OTHERS]), max_size=3))
    video = draw(st.sampled_from(["h264", "h264", "h265"]))
    for kind in draw(st.permutations([video, *kinds])):
        name = template.format(len(found))
        lines: list[str]
        if kind in _VIDEO:
            payload_type = draw(st.sampled_from([96, 97, 99, 100]))  # none of the others'
            lines = [f"m=video 0 RTP/AVP {payload_type}"]
            sets: H264Parameters | H265Parameters
            if kind == "h264":
                sets, _ = draw(h264_parameters())
                lines += _h264(sets, payload_type)
            else:
                sets, _ = draw(h265_parameters())
                lines += _h265(sets, payload_type)
            found.append(DescribedMedia("video", video, payload_type, 90000, None, name, sets))
        elif kind == "aac":
            config, sound = draw(aac_parameters())
            payload_type = draw(st.integers(103, 106))
            found.append(
                DescribedMedia("audio", "mpeg4-generic", payload_type, sound.sample_rate, sound.channels, name, config)
            )
            lines = [
                f"m=audio 0 RTP/AVP {payload_type}",
                *_aac(config, payload_type, sound.sample_rate, sound.channels),
            ]
        else:
            assert isinstance(kind, tuple)
            media, encoding, payload_type, rate, channels, mapped, needed = kind
            found.append(DescribedMedia(media, encoding, payload_type, rate, channels, name, needed))
            lines = [f"m={media} 0 RTP/AVP {payload_type}"]
            if mapped:
                lines.append(
                    f"a=rtpmap:{payload_type} {encoding.upper()}/{rate}" + (f"/{channels}" if channels else "")
                )
        if draw(st.booleans()):
            lines.insert(1, "c=IN IP4 0.0.0.0")
        if draw(st.booleans()):
            lines.append("a=recvonly")
        lines.append(f"a=control:{name}")
        sections.append(lines)
    head = ["v=0", f"o=- {draw(st.integers(0, 2**31))} 1 IN IP4 192.168.1.64", "s=Media Presentation"]
    head += draw(st.sampled_from([[], ["i=live", "e=NONE"]]))
    head += ["c=IN IP4 0.0.0.0", *draw(st.sampled_from([[], ["b=AS:5100"]])), "t=0 0"]
    head += [] if control is None else [f"a=control:{control}"]
    head += draw(st.sampled_from([[], ["a=range:npt=0-"], ["a=tool:LIVE555 Streaming Media v2020.01.01"]]))
    return _Plan(head, sections, Description(tuple(found), control))


def session_descriptions() -> st.SearchStrategy[Wire[Description]]:
    """Valid session descriptions of cameras: H.264 or H.265, mostly with AAC or another media beside it.

    The parameter sets and the AudioSpecificConfig in them are right, and those of `Description`.
    """
    return _plans().map(lambda plan: Wire(plan.text(), plan.value))


# -- quirks --------------------------------------------------------------------


def _in_head(letter: str, *lines: str) -> Callable[[_Plan], _Plan]:
    """All lines of that letter in the session's part, as these instead."""

    def change(plan: _Plan) -> _Plan:
        place = next((number for number, line in enumerate(plan.head) if line.startswith(letter + "=")), None)
        if place is None:  # another quirk has taken it
            return plan
        rest = [line for line in plan.head if not line.startswith(letter + "=")]
        return replace(plan, head=[*rest[:place], *lines, *rest[place:]])

    return change


def _in_lines(change: Callable[[str], str]) -> Callable[[_Plan], _Plan]:
    """A change to every line of every media."""
    return lambda plan: replace(plan, sections=[[change(line) for line in lines] for lines in plan.sections])


#: Each parameter set behind one of the names that begin so.
_SPROP = re.compile(r"(?<=sets=|.vps=|.sps=|.pps=)[\w+/=]+|(?<=[\w+/=],)[\w+/=]+")


def _sprop(change: Callable[[bytes], bytes], *, is_lost: bool) -> Callable[[_Plan], _Plan]:
    """Other bytes in sprop-parameter-sets, sprop-vps and their like; `is_lost`: which are of no use then."""

    def line(text: str) -> str:
        if not text.startswith("a=fmtp:"):
            return text
        return _SPROP.sub(lambda found: base64.b64encode(change(base64.b64decode(found[0]))).decode(), text)

    def apply(plan: _Plan) -> _Plan:
        plan = _in_lines(line)(plan)
        return _without_parameter_sets(plan) if is_lost else plan

    return apply


def _without_parameter_sets(plan: _Plan) -> _Plan:
    medias = tuple(
        replace(media, parameters=None) if media.encoding_name in _VIDEO else media for media in plan.value.medias
    )
    return replace(plan, value=replace(plan.value, medias=medias))


def _empty_fmtp(plan: _Plan) -> _Plan:
    def line(text: str) -> str:
        return text.partition(" ")[0] + " " if text.startswith("a=fmtp:") and "sprop" in text else text

    return _without_parameter_sets(_in_lines(line)(plan))


def _control_first(plan: _Plan) -> _Plan:
    """Luckfox writes a=control before all else."""
    return replace(plan, sections=[[lines[0], lines[-1], *lines[1:-1]] for lines in plan.sections])


def _foreign_fmtp(plan: _Plan) -> _Plan:
    """The video's format parameters stand below another media."""
    at = next(number for number, media in enumerate(plan.value.medias) if media.encoding_name in _VIDEO)
    to = (at + 1) % len(plan.sections)
    if to == at:
        return plan
    sections = [list(lines) for lines in plan.sections]
    moved = [line for line in sections[at] if line.startswith("a=fmtp:")]
    sections[at] = [line for line in sections[at] if line not in moved]
    sections[to] += moved
    return replace(plan, sections=sections)


def _separators(text: str) -> str:
    return text + ("; " if text.startswith("a=fmtp:") else " " if text.startswith("a=rtpmap:") else "")


#: What is wrong -> ids it is known under, and how it comes about. One at a time would do; several may meet.
_QUIRKS: dict[str, tuple[str, Callable[[_Plan], _Plan]]] = {
    "no name": ("session-name", _in_head("s", "s=")),
    "two names": ("session-name", _in_head("s", "s=Media Presentation", "s=H264 Video")),
    "Uniview's connection": ("connection-line", _in_head("c", "c=IN ")),
    "no origin": ("origin-line", _in_head("o")),
    "an origin with a typo": ("origin-line", _in_head("o", "o=- 0 0 IN IPV4 127.0.0.1")),
    "an origin with numbers that are none": ("origin-line", _in_head("o", "o=- -1 0x1f IN IP4 127.0.0.1")),
    "FLIR's times": ("timing-line", _in_head("t", "t=now-")),
    "no times": ("timing-line", _in_head("t")),
    "no version": ("version-line", _in_head("v")),
    "lines that are none": ("unreadable-lines", lambda plan: replace(plan, head=[*plan.head, "\0\0", "hello", "="])),
    "TP-Link's media": (
        "media-line",
        lambda plan: replace(
            plan, head=plan.head, sections=[*plan.sections, ["m=application/TP-LINK 0 RTP/AVP smart/1/90000"]]
        ),
    ),
    "Reolink's separators": ("trailing-separators", _in_lines(_separators)),
    "Ubiquiti's fmtp": ("empty-fmtp", _empty_fmtp),
    "a start code in the sprop": ("sprop-annexb", _sprop(lambda nal: b"\0\0\0\1" + nal, is_lost=False)),
    "nothing of use in the sprop": ("sprop-unusable", _sprop(lambda nal: b"\xff" + nal, is_lost=True)),
    "Luckfox's order": ("", _control_first),
    "the fmtp of another media": ("foreign-fmtp", _foreign_fmtp),
    "all to be sent to": (
        "wrong-direction",
        lambda plan: replace(
            plan,
            sections=[[*(line for line in lines if line != "a=recvonly"), "a=sendonly"] for lines in plan.sections],
        ),
    ),
}


@st.composite
def broken_session_descriptions(draw: st.DrawFn, *, max_quirks: int = 3) -> Wire[Description]:
    """Session descriptions with the mistakes of real cameras, each of which a reader has to put up with.

    Args:
        max_quirks: mistakes in one description at most, and at least one.

    Returns:
        The text, and what must come out of it all the same; `Description.quirks` has the mistakes' ids in
        `rtspkit.quirks`, as far as they have one.
    """
    plan = draw(_plans())
    names = draw(st.lists(st.sampled_from(sorted(_QUIRKS)), min_size=1, max_size=max_quirks, unique=True))
    ids = set()
    for name in names:
        identifier, change = _QUIRKS[name]
        before = plan
        plan = change(plan)
        if plan is not before and identifier:
            ids.add(identifier)
    end, last = draw(st.sampled_from([("\r\n", "\r\n"), ("\n", "\n"), ("\r\n", ""), ("\n", "\r\n\0")]))
    return Wire(plan.text(end, last), replace(plan.value, quirks=frozenset(ids)))
