"""Reads a media playlist line by line, to the letter of draft-pantos-hls-rfc8216bis-22, and says where it is not legal.

Strategy: nothing is raised; each line that breaks a rule of syntax or place becomes a `Violation`, and reading goes on,
so that one mistake does not hide the next. What the lines mean together is judged in `hlsrules`. Written from the
draft alone and sharing no code with the writer. Encryption and date ranges are read only as far as they ask for a
version; byte ranges are not followed.

Spec: draft 4.1, 4.2 (lines, attribute lists), 4.4.1-4.4.5 (tags), 8 (versions).
"""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache


@dataclass(frozen=True)
class Rule:
    """One thing the draft asks for. `should`: it only recommends it."""

    section: str
    text: str
    should: bool = False


#: Every rule that is checked, here and in `hlsrules`, by a name of our own.
RULES = {
    # lines and tags
    "first-line": Rule("4.4.1.1", "#EXTM3U is the first line, and no other"),
    "line": Rule("4.1", "UTF-8 in normal form C, no byte order mark, no control characters, no stray white space"),
    "attributes": Rule(
        "4.2", "an attribute list is what it has to be, its values of their types, none twice or missing"
    ),
    "value": Rule("4.2", "a tag's value is what it has to be"),
    "tag": Rule("4.4", "a media playlist has the tags of media playlists only, and only those that there are"),
    "once": Rule("4.4.3", "a media playlist tag stands there once"),
    "version": Rule("8", "EXT-X-VERSION is high enough for what the playlist holds"),
    "version-high": Rule("6.2.1", "EXT-X-VERSION is no higher than that", should=True),
    "sequence-place": Rule(
        "4.4.3.2", "EXT-X-MEDIA-SEQUENCE and EXT-X-DISCONTINUITY-SEQUENCE stand before the first segment"
    ),
    # durations
    "target-duration": Rule("4.4.3.1", "EXT-X-TARGETDURATION is there, and at least 1"),
    "segment-long": Rule("4.4.3.1", "EXTINF, rounded, is no more than the target duration"),
    "extinf": Rule("4.4.4.1", "a segment has one EXTINF"),
    "accuracy": Rule("4.4.4.1", "durations are accurate enough to be added up", should=True),
    "part-inf": Rule("4.4.3.7", "parts ask for EXT-X-PART-INF"),
    "part-long": Rule("4.4.4.9", "a part lasts no longer than the part target"),
    "part-short": Rule(
        "4.4.4.9", "and 85 % of it at least, if not independent, a gap, before a gap or the last of its segment"
    ),
    "part-place": Rule("4.4.4.9", "parts stand after the tags of their segment and before its EXTINF"),
    "parts-sum": Rule("3.2", "parts add up to their segment"),
    "parts-gap": Rule("6.2.1", "a part of a segment that is not there is a gap itself"),
    "part-twice": Rule("3.2", "no two parts have one URI; gaps may"),
    "parts-old": Rule("6.2.2", "no part is listed more than three target durations before the end", should=True),
    # server control
    "part-hold-back": Rule("4.4.3.8", "PART-HOLD-BACK is there where EXT-X-PART-INF is, two part targets at least"),
    "part-hold-back-low": Rule("4.4.3.8", "and three of them rather", should=True),
    "hold-back": Rule("4.4.3.8", "HOLD-BACK is three target durations at least"),
    "skip-boundary": Rule("4.4.3.8", "CAN-SKIP-UNTIL is six target durations at least; CAN-SKIP-DATERANGES wants it"),
    "low-latency-profile": Rule("B.1", "with parts: CAN-BLOCK-RELOAD and EXT-X-PROGRAM-DATE-TIME"),
    "hint-missing": Rule("B.1", "with parts: EXT-X-PRELOAD-HINT of the part that is expected next"),
    # others
    "map-missing": Rule("3.1.2", "every fMP4 segment has an EXT-X-MAP applied to it"),
    "map-change": Rule("6.2.1", "what changes the encoding parameters follows EXT-X-DISCONTINUITY"),
    "date-precision": Rule("4.4.4.6", "dates have a time zone and milliseconds", should=True),
    "date-discontinuity": Rule("6.2.1", "a segment after EXT-X-DISCONTINUITY is dated where any is", should=True),
    "date-ambiguous": Rule("6.2.1", "dates overlap by less than a second, and no segment is passed over by the next"),
    "hint-type": Rule(
        "4.4.5.3", "EXT-X-PRELOAD-HINT hints a PART or a MAP, one of each, and not what is listed", should=True
    ),
    "hint-ended": Rule("4.4.5.3", "nothing is hinted after the end"),
    "report": Rule("4.4.5.4", "EXT-X-RENDITION-REPORT has a relative URI, and LAST-PART where there are parts"),
    "skip-place": Rule("4.4.5.2", "EXT-X-SKIP stands before the first segment that is not skipped"),
    # changes
    "live-type": Rule("6.2.2", "a live playlist has no EXT-X-PLAYLIST-TYPE"),
    "changed": Rule("6.2.1", "nothing that was listed changes"),
    "target-changed": Rule("6.2.1", "EXT-X-TARGETDURATION never changes"),
    "header-changed": Rule("6.2.1", "nor does any other tag of the whole playlist, PART-TARGET among them"),
    "sequence-back": Rule("6.2.2", "EXT-X-MEDIA-SEQUENCE and the last segment's number never go back"),
    "discontinuity-back": Rule("6.2.2", "EXT-X-DISCONTINUITY-SEQUENCE never goes back"),
    "discontinuity-missing": Rule(
        "6.2.2", "what loses segments and has discontinuities has EXT-X-DISCONTINUITY-SEQUENCE"
    ),
    "parts-order": Rule("6.2.2", "parts leave in the order they stand in"),
    "too-short": Rule("6.2.2", "no segment leaves where less than three target durations remain"),
    "segment-late": Rule("6.2.1", "a new segment comes within one and a half target durations"),
    "part-late": Rule("6.2.1", "a new part comes within one part target"),
    "hint-wrong": Rule("4.4.5.3", "the part that comes next is the one that was hinted"),
    "ended": Rule("4.4.3.4", "nothing is added after EXT-X-ENDLIST"),
    # directives
    "not-held": Rule("6.2.5.2", "a reply to _HLS_msn and _HLS_part has what they ask for"),
    "skip-unasked": Rule("6.2.5.1", "segments are skipped where _HLS_skip was asked for, and CAN-SKIP-UNTIL offered"),
    "skip-ignored": Rule("6.2.5.1", "_HLS_skip gets a delta update where CAN-SKIP-UNTIL is offered"),
    "skip-too-much": Rule("6.2.5.1", "nothing within the skip boundary is skipped"),
    "skip-differs": Rule("6.2.5.1", "a delta update, put together with what was there before, is the playlist"),
    # media
    "not-available": Rule("6.2.1", "what is listed can be had"),
    "gone-early": Rule(
        "6.2.2", "what has left can still be had: a segment for its availability duration, a part for 3 targets"
    ),
    "media": Rule("3.1.2", "segments, parts and init sections are fMP4, each with a tfdt for every track it has"),
    "duration": Rule("4.4.4.1", "durations are those of the media"),
    "timestamps": Rule("4.4.4.3", "media times go on, without hole or overlap, where there is no EXT-X-DISCONTINUITY"),
    "tracks": Rule("4.4.4.3", "as do number, type and identifiers of the tracks"),
    "independent-wrong": Rule("4.4.4.9", "what is INDEPENDENT starts with a sync sample"),
    "independent-missing": Rule("4.4.4.9", "what starts with a sync sample is INDEPENDENT", should=True),
    "independent-inside": Rule("4.4.4.9", "and what has one further on", should=True),
    "independent-segments": Rule("4.4.2.1", "with EXT-X-INDEPENDENT-SEGMENTS every segment starts with a sync sample"),
    "parts-differ": Rule("3.2", "a segment has the samples of its parts"),
}


@dataclass(frozen=True)
class Violation:
    """A rule that is not kept, with the line (number from 1, text) where it shows."""

    rule: str
    section: str
    should: bool
    detail: str
    line: int = 0
    source: str = ""
    now: float | None = None

    def __str__(self) -> str:
        level = "SHOULD" if self.should else "MUST"
        when = "" if self.now is None else f" at {self.now:.3f} s"
        where = f", line {self.line}: {self.source}" if self.line else ""
        return f"{level} {self.section} {self.rule}{when}: {self.detail}{where}"


@dataclass(slots=True)
class Part:
    uri: str
    duration: Decimal
    is_independent: bool
    is_gap: bool
    line: int

    @property
    def facts(self) -> tuple[str, Decimal, bool, bool]:
        return self.uri, self.duration, self.is_independent, self.is_gap


@dataclass(slots=True)
class Segment:
    """A segment, or what is known of the one that is open: that has no URI, and its parts' duration."""

    msn: int
    dsn: int
    init: str | None
    parts: list[Part] = field(default_factory=list)
    uri: str | None = None
    duration: Decimal = Decimal(0)
    date: int | None = None  # Unix microseconds
    starts_discontinuity: bool = False
    is_gap: bool = False
    line: int = 0

    @property
    def facts(self) -> dict[str, object]:
        """What is told before the first part, and may not change."""
        return {
            "DISCONTINUITY": (self.starts_discontinuity, self.dsn),
            "MAP": self.init,
            "PROGRAM-DATE-TIME": self.date,
        }


@dataclass(slots=True)
class Playlist:
    lines: list[str]
    violations: list[Violation] = field(default_factory=list)
    version: int = 1
    target_duration: int = 0
    media_sequence: int = 0
    discontinuity_sequence: int | None = None
    part_target: Decimal | None = None
    control: dict[str, str] | None = None
    control_line: int = 0
    is_ended: bool = False
    playlist_type: str | None = None
    is_independent: bool = False
    segments: list[Segment] = field(default_factory=list)
    open: Segment | None = None
    skipped: int | None = None
    skip_line: int = 0
    hints: list[tuple[str, str, int]] = field(default_factory=list)  # type, URI, line
    reports: list[tuple[dict[str, str], int]] = field(default_factory=list)
    #: Segments' own lines, by number from 0: the first after the segment before, and the URI's.
    blocks: dict[int, tuple[int, int]] = field(default_factory=dict)
    needs_version: tuple[int, int] = (1, 0)  # and the line that needs it
    tags: set[str] = field(default_factory=set)

    @property
    def duration(self) -> Decimal:
        return sum((segment.duration for segment in self.segments), Decimal(0))

    @property
    def all_segments(self) -> list[Segment]:
        return [*self.segments, self.open] if self.open is not None else self.segments

    def report(self, rule: str, detail: str, line: int = 0) -> None:
        known = RULES[rule]
        source = self.lines[line - 1] if line else ""
        self.violations.append(Violation(rule, known.section, known.should, detail, line, source))


#: Durations are taken to be printed with five decimals at least (s); adding up n of them may be off by n times this.
ROUNDING = Decimal("0.00001")

_PAIR = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(,(?=.)|$)')
_CONTROL = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_INTEGER = re.compile(r"[0-9]{1,20}")
_FLOAT = re.compile(r"[0-9]+(\.[0-9]+)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")

#: Attributes of the tags that are read: name -> (kind, required).
_ATTRIBUTES: dict[str, dict[str, tuple[str, bool]]] = {
    "EXT-X-PART-INF": {"PART-TARGET": ("float", True)},
    "EXT-X-SERVER-CONTROL": {
        "CAN-SKIP-UNTIL": ("float", False),
        "CAN-SKIP-DATERANGES": ("yes", False),
        "HOLD-BACK": ("float", False),
        "PART-HOLD-BACK": ("float", False),
        "CAN-BLOCK-RELOAD": ("yes", False),
    },
    "EXT-X-MAP": {"URI": ("quoted", True), "BYTERANGE": ("quoted", False)},
    "EXT-X-PART": {
        "URI": ("quoted", True),
        "DURATION": ("float", True),
        "INDEPENDENT": ("yes", False),
        "BYTERANGE": ("quoted", False),
        "GAP": ("yes", False),
    },
    "EXT-X-SKIP": {"SKIPPED-SEGMENTS": ("integer", True), "RECENTLY-REMOVED-DATERANGES": ("quoted", False)},
    "EXT-X-PRELOAD-HINT": {
        "TYPE": ("enumerated", True),
        "URI": ("quoted", True),
        "BYTERANGE-START": ("integer", False),
        "BYTERANGE-LENGTH": ("integer", False),
    },
    "EXT-X-RENDITION-REPORT": {
        "URI": ("quoted", True),
        "LAST-MSN": ("integer", True),
        "LAST-PART": ("integer", False),
    },
    "EXT-X-START": {"TIME-OFFSET": ("signed", True), "PRECISE": ("enumerated", False)},
}
#: Tags of which a media playlist has one at most.
_ONCE = {
    "EXT-X-VERSION",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-START",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-ENDLIST",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-SKIP",
}
_WITHOUT_VALUE = {
    "EXTM3U",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-ENDLIST",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-DISCONTINUITY",
    "EXT-X-GAP",
}
_OTHERS = {"EXT-X-KEY", "EXT-X-BYTERANGE", "EXT-X-DATERANGE", "EXT-X-BITRATE", "EXT-X-DEFINE"}
_MULTIVARIANT = {
    "EXT-X-MEDIA",
    "EXT-X-STREAM-INF",
    "EXT-X-I-FRAME-STREAM-INF",
    "EXT-X-SESSION-DATA",
    "EXT-X-SESSION-KEY",
    "EXT-X-CONTENT-STEERING",
}
#: Draft 8: what asks for which version, by the tag alone.
_VERSIONS = {"EXT-X-BYTERANGE": 4, "EXT-X-I-FRAMES-ONLY": 4, "EXT-X-MAP": 6, "EXT-X-DEFINE": 8, "EXT-X-SKIP": 9}


@lru_cache(maxsize=4096)
def _attributes(tag: str, value: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The attributes, quotes taken off, and what is wrong with them (draft 4.2)."""
    kinds = _ATTRIBUTES[tag]
    found: dict[str, str] = {}
    wrong: list[str] = []
    position = 0
    while position < len(value):
        pair = _PAIR.match(value, position)
        if pair is None:
            wrong.append(f"{value[position:]!r} is no attribute list")
            break
        name, text = pair[1], pair[2]
        if name in found:
            wrong.append(f"{name} twice")
        kind = kinds.get(name, ("", False))[0]
        good = {
            "": False,
            "float": bool(_FLOAT.fullmatch(text)),
            "signed": bool(_FLOAT.fullmatch(text.removeprefix("-"))),
            "integer": bool(_INTEGER.fullmatch(text)) and int(text or 0) < 2**64,
            "yes": text == "YES",
            "enumerated": not text.startswith('"'),
            "quoted": text.startswith('"'),
        }[kind]
        if not good:
            wrong.append(f"{name}={text} is no {kind}" if kind else f"{name} is no attribute of {tag}")
        else:
            found[name] = text.strip('"')
        position = pair.end()
    wrong.extend(f"no {name}" for name, (_, required) in kinds.items() if required and name not in found)
    return found, tuple(wrong)


def read_date(text: str) -> int | None:
    """Unix microseconds of an ISO 8601 date; None where it is none."""
    if not _DATE.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    delta = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def read(text: str) -> Playlist:
    """Read a media playlist; what is wrong with its lines stands in `violations`."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    reader = _Reader(Playlist(lines))
    playlist = reader.playlist
    if not text.endswith("\n"):
        playlist.report("line", "the last line has no end", len(lines))
    if lines[0] != "#EXTM3U":
        playlist.report("first-line", "a playlist starts with #EXTM3U", 1)
    is_odd = not text.isascii() or _CONTROL.search(text)
    for number, line in enumerate(lines, 1):
        if is_odd:
            if unicodedata.normalize("NFC", line) != line:
                playlist.report("line", "not in normal form C", number)
            if _CONTROL.search(line):
                playlist.report("line", "a control character", number)
            if line.startswith("\ufeff"):
                playlist.report("line", "a byte order mark", number)
        reader.line(number, line.removeprefix("\ufeff"))
    reader.end()
    return playlist


class _Reader:
    """Where reading is: the segment being put together."""

    def __init__(self, playlist: Playlist) -> None:
        self.playlist = playlist
        self.discontinuities = 0
        self.init: str | None = None
        self.segment = self.fresh()
        self.touched = False  # something of the segment has been read
        self.duration: Decimal | None = None
        self.first_line = 0

    def fresh(self) -> Segment:
        playlist = self.playlist
        msn = playlist.media_sequence + (playlist.skipped or 0) + len(playlist.segments)
        return Segment(msn, (playlist.discontinuity_sequence or 0) + self.discontinuities, self.init)

    def line(self, number: int, line: str) -> None:
        if not line or (line.startswith("#") and not line.startswith("#EXT")):
            return  # blank lines and comments
        if line.startswith("#"):
            tag, colon, value = line[1:].partition(":")
            self.tag(number, tag, value if colon else None)
            return
        if line.strip() != line or " " in line:
            self.playlist.report("line", "a URI has no white space", number)
        self.uri(number, line)

    def uri(self, number: int, uri: str) -> None:
        playlist, segment = self.playlist, self.segment
        if self.duration is None:
            playlist.report("extinf", "a segment without EXTINF", number)
        segment.uri, segment.duration, segment.line = uri, self.duration or Decimal(0), number
        playlist.blocks[segment.msn] = (self.first_line or number, number)
        playlist.segments.append(segment)
        self.segment, self.touched, self.duration, self.first_line = self.fresh(), False, None, 0

    def needs(self, version: int, number: int) -> None:
        if version > self.playlist.needs_version[0]:
            self.playlist.needs_version = (version, number)

    def begin(self, number: int) -> None:
        """A tag of the segment to come."""
        self.touched = True
        self.first_line = self.first_line or number

    def integer(self, number: int, value: str | None) -> int:
        if value is None or not _INTEGER.fullmatch(value) or int(value) >= 2**64:
            self.playlist.report("value", f"{value!r} is no decimal integer", number)
            return 0
        return int(value)

    def tag(self, number: int, tag: str, value: str | None) -> None:
        playlist = self.playlist
        if tag in _ONCE and tag in playlist.tags:
            playlist.report("once", f"{tag} stands there twice", number)
        if tag in _MULTIVARIANT:
            playlist.report("tag", f"{tag} belongs into a multivariant playlist", number)
            return
        playlist.tags.add(tag)
        if (value is None) != (tag in _WITHOUT_VALUE):
            playlist.report("value", f"{tag} has {'no value' if value is None else 'a value'}", number)
            return
        if tag in _VERSIONS:
            self.needs(_VERSIONS[tag], number)
        if tag in _ATTRIBUTES:
            assert value is not None
            attributes, wrong = _attributes(tag, value)
            for detail in wrong:
                playlist.report("attributes", detail, number)
            self.attribute_tag(number, tag, attributes)
            return
        match tag:
            case "EXTM3U":
                if number != 1:
                    playlist.report("first-line", "#EXTM3U in the middle", number)
            case "EXT-X-VERSION":
                playlist.version = self.integer(number, value)
            case "EXT-X-TARGETDURATION":
                playlist.target_duration = self.integer(number, value)
                if playlist.target_duration < 1:
                    playlist.report("target-duration", "less than 1", number)
            case "EXT-X-MEDIA-SEQUENCE":
                playlist.media_sequence = self.integer(number, value)
                if playlist.segments or self.segment.parts:
                    playlist.report("sequence-place", "after the first segment", number)
                self.segment.msn = playlist.media_sequence
            case "EXT-X-DISCONTINUITY-SEQUENCE":
                playlist.discontinuity_sequence = self.integer(number, value)
                if playlist.segments or self.segment.parts or self.discontinuities:
                    playlist.report("sequence-place", "after the first segment or discontinuity", number)
                self.segment.dsn = playlist.discontinuity_sequence
            case "EXT-X-ENDLIST":
                playlist.is_ended = True
            case "EXT-X-PLAYLIST-TYPE":
                playlist.playlist_type = value
                if value not in {"EVENT", "VOD"}:
                    playlist.report("value", f"{value} is no type", number)
            case "EXT-X-INDEPENDENT-SEGMENTS":
                playlist.is_independent = True
            case "EXT-X-DISCONTINUITY":
                self.before_parts(number, tag)
                self.begin(number)
                self.discontinuities += 1
                self.segment.starts_discontinuity = True
                self.segment.dsn += 1
            case "EXT-X-GAP":
                self.begin(number)
                self.segment.is_gap = True
            case "EXT-X-PROGRAM-DATE-TIME":
                assert value is not None
                self.before_parts(number, tag)
                self.begin(number)
                self.segment.date = read_date(value)
                if self.segment.date is None:
                    playlist.report("value", f"{value} is no ISO 8601 date", number)
                elif not re.search(r"\.\d{3,}(Z|[+-]\d\d:?\d\d)$", value):
                    playlist.report("date-precision", "no time zone, or no milliseconds", number)
            case "EXTINF":
                assert value is not None
                self.extinf(number, value)
            case _ if tag in _OTHERS:
                self.begin(number)
                self.other(number, tag, value or "")
            case "EXT-X-I-FRAMES-ONLY":
                pass
            case _:
                playlist.report("tag", f"the draft knows no {tag}", number)

    def extinf(self, number: int, value: str) -> None:
        playlist = self.playlist
        self.begin(number)
        if self.duration is not None:
            playlist.report("extinf", "two for one segment", number)
        duration, comma, _ = value.partition(",")
        if not comma or not _FLOAT.fullmatch(duration):
            playlist.report("extinf", "not <duration>,[<title>]", number)
            return
        if "." in duration:
            self.needs(3, number)
        if len(duration.partition(".")[2]) < 3:
            playlist.report("accuracy", "durations add up; they want milliseconds at least", number)
        self.duration = Decimal(duration)

    def other(self, number: int, tag: str, value: str) -> None:
        if tag == "EXT-X-KEY":
            self.before_parts(number, tag)
            for name, version in (("IV=", 2), ("KEYFORMAT", 5), ("METHOD=SAMPLE-AES", 5)):
                if name in value:
                    self.needs(version, number)

    def before_parts(self, number: int, tag: str) -> None:
        if self.segment.parts:
            self.playlist.report("part-place", f"{tag} after the first part of its segment", number)

    def attribute_tag(self, number: int, tag: str, attributes: dict[str, str]) -> None:
        playlist = self.playlist
        match tag:
            case "EXT-X-PART-INF":
                playlist.part_target = Decimal(attributes.get("PART-TARGET", "0"))
            case "EXT-X-SERVER-CONTROL":
                playlist.control, playlist.control_line = attributes, number
            case "EXT-X-MAP":
                self.before_parts(number, tag)
                self.begin(number)
                self.init = self.segment.init = attributes.get("URI")
            case "EXT-X-PART":
                self.begin(number)
                if self.duration is not None:
                    playlist.report("part-place", "a part after its segment's EXTINF", number)
                if len(attributes.get("DURATION", "").partition(".")[2]) < 3:
                    playlist.report("accuracy", "durations add up; they want milliseconds at least", number)
                duration = Decimal(attributes.get("DURATION", "0"))
                part = Part(
                    attributes.get("URI", ""), duration, "INDEPENDENT" in attributes, "GAP" in attributes, number
                )
                self.segment.parts.append(part)
            case "EXT-X-SKIP":
                playlist.skipped, playlist.skip_line = int(attributes.get("SKIPPED-SEGMENTS", "0")), number
                if playlist.segments or self.touched:
                    playlist.report("skip-place", "after a segment that is not skipped", number)
                self.segment = self.fresh()
                if "RECENTLY-REMOVED-DATERANGES" in attributes:
                    self.needs(10, number)
            case "EXT-X-PRELOAD-HINT":
                playlist.hints.append((attributes.get("TYPE", ""), attributes.get("URI", ""), number))
            case "EXT-X-RENDITION-REPORT":
                playlist.reports.append((attributes, number))

    def end(self) -> None:
        if self.duration is not None:
            self.playlist.report("extinf", "without a URI", len(self.playlist.lines) - 1)
        if self.touched:
            self.segment.duration = sum((part.duration for part in self.segment.parts), Decimal(0))
            self.segment.line = self.first_line
            self.playlist.open = self.segment
