"""Judges HLS and Low-Latency HLS playlists by draft-pantos-hls-rfc8216bis-22: one alone, and one after the other.

Strategy: `check` says what is wrong with one playlist. An `Audit` is shown snapshot after snapshot, as a viewer would
fetch them, remembers what was listed, and says what may not follow; with a way to fetch media it looks into those too.
Both give `Violation`s and raise nothing. Written from the draft alone: it shares nothing with the writer, and knows no
number that the playlist does not tell it. `RULES` has every rule; the reading of lines is in `hlslines`.

Where the draft leaves room:
- "within one Part Target Duration" cannot be kept to the millisecond where media come from a camera by network;
  `patience` is what an Audit grants, and `excuse` tells it of times when there were no media.
- Between "further from the end than the Skip Boundary" and not, a segment that the boundary divides may go either way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from hlslines import ROUNDING, RULES, Part, Playlist, Rule, Segment, Violation, read
from hlsmedia import Media

__all__ = ["RULES", "Audit", "Part", "Playlist", "Rule", "Segment", "Violation", "check", "read"]

_SECOND = 1_000_000
#: Dates are printed in milliseconds; two of them may be off by this together (microseconds).
_DATE_ROUNDING = 1_000
#: The fraction of the part target that a part has to last.
_LEAST_PART = Decimal("0.85")


def check(text: str) -> list[Violation]:
    """What is wrong with this playlist, taken alone."""
    return check_playlist(read(text))


def check_playlist(playlist: Playlist) -> list[Violation]:
    """Likewise, of a playlist that has been read; the violations are its own list."""
    _check_header(playlist)
    _check_segments(playlist)
    _check_parts(playlist)
    _check_dates(playlist)
    _check_hints(playlist)
    return playlist.violations


def _check_header(playlist: Playlist) -> None:
    target = playlist.target_duration
    needed, line = playlist.needs_version
    if playlist.version < needed:
        playlist.report("version", f"{playlist.version}, not {needed}", line)
    elif playlist.version > needed and playlist.version > 1:
        playlist.report("version-high", f"{playlist.version}, {needed} would do")
    if "EXT-X-TARGETDURATION" not in playlist.tags:
        playlist.report("target-duration", "missing")
    parts = any(segment.parts for segment in playlist.all_segments)
    if parts and "EXT-X-PART-INF" not in playlist.tags:
        playlist.report("part-inf", "missing")
    control = {} if playlist.control is None else playlist.control
    line = playlist.control_line
    skip, hold_back = control.get("CAN-SKIP-UNTIL"), control.get("HOLD-BACK")
    part_hold_back = control.get("PART-HOLD-BACK")
    if skip is not None and Decimal(skip) < 6 * target:
        playlist.report("skip-boundary", f"{skip} is less than 6 times {target}", line)
    if skip is None and "CAN-SKIP-DATERANGES" in control:
        playlist.report("skip-boundary", "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL", line)
    if hold_back is not None and Decimal(hold_back) < 3 * target:
        playlist.report("hold-back", f"{hold_back} is less than 3 times {target}", line)
    if playlist.part_target is not None:
        if part_hold_back is None:
            playlist.report("part-hold-back", "missing", line)
        elif Decimal(part_hold_back) < 2 * playlist.part_target:
            playlist.report("part-hold-back", f"{part_hold_back} is less than 2 times {playlist.part_target}", line)
        elif Decimal(part_hold_back) < 3 * playlist.part_target:
            playlist.report("part-hold-back-low", f"{part_hold_back} is less than 3 times {playlist.part_target}", line)
        if "CAN-BLOCK-RELOAD" not in control:
            playlist.report("low-latency-profile", "no CAN-BLOCK-RELOAD", line)
    for attributes, line in playlist.reports:
        uri = attributes.get("URI", "")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|/", uri):
            playlist.report("report", f"{uri} is not relative", line)
        if playlist.part_target is not None and "LAST-PART" not in attributes:
            playlist.report("report", "no LAST-PART", line)


def _check_segments(playlist: Playlist) -> None:
    init, first = None, True
    for segment in playlist.all_segments:
        rounded = segment.duration.quantize(Decimal(1), ROUND_HALF_UP)
        if rounded > playlist.target_duration:
            playlist.report("segment-long", f"{segment.duration} s, {playlist.target_duration} announced", segment.line)
        if segment.is_gap:
            continue
        if segment.init is None and playlist.skipped is None and (segment.uri or segment.parts):
            playlist.report("map-missing", "no EXT-X-MAP", segment.line)
        if not first and segment.init != init and not segment.starts_discontinuity and init is not None:
            playlist.report("map-change", "another EXT-X-MAP without EXT-X-DISCONTINUITY", segment.line)
        init, first = segment.init or init, False


def _check_parts(playlist: Playlist) -> None:
    target = playlist.part_target
    seen: set[str] = set()
    after = sum((segment.duration for segment in playlist.all_segments), Decimal(0))
    for segment in playlist.all_segments:
        whole = segment.uri is not None
        for index, part in enumerate(segment.parts):
            is_last = index + 1 == len(segment.parts)
            before_gap = not is_last and segment.parts[index + 1].is_gap
            exempt = part.is_independent or part.is_gap or before_gap or is_last
            if target is not None and part.duration > target:
                playlist.report("part-long", f"{part.duration} s of {target}", part.line)
            if target is not None and part.duration < _LEAST_PART * target and not exempt:
                playlist.report("part-short", f"{part.duration} s of {target}", part.line)
            if segment.is_gap and not part.is_gap:
                playlist.report("parts-gap", "its segment is a gap", part.line)
            if not part.is_gap and part.uri in seen:
                playlist.report("part-twice", part.uri, part.line)
            seen.add(part.uri)
        if segment.parts and after - segment.duration > 3 * playlist.target_duration:
            playlist.report("parts-old", f"they end {after - segment.duration} s before the end", segment.parts[0].line)
        total = sum((part.duration for part in segment.parts), Decimal(0))
        if whole and total - segment.duration > ROUNDING * (len(segment.parts) + 1):
            playlist.report("parts-sum", f"parts of {total} s, EXTINF {segment.duration}", segment.line)
        after -= segment.duration


def _check_dates(playlist: Playlist) -> None:
    dated = any(segment.date is not None for segment in playlist.all_segments)
    listed = any(segment.uri or segment.parts for segment in playlist.all_segments)
    if playlist.part_target is not None and listed and not dated:
        playlist.report("low-latency-profile", "no EXT-X-PROGRAM-DATE-TIME")
    start = end = None
    for segment in playlist.all_segments:
        if segment.date is None:
            if dated and segment.starts_discontinuity:
                playlist.report("date-discontinuity", "not dated", segment.line)
        else:
            if start is not None and end is not None:
                overlap = end - segment.date
                if segment.date <= start and end > start + _DATE_ROUNDING:
                    playlist.report("date-ambiguous", "not after the segment before", segment.line)
                elif overlap >= _SECOND:
                    playlist.report("date-ambiguous", f"{overlap / 1e6} s of overlap", segment.line)
            start = segment.date
        if segment.date is not None or end is not None:
            begin = segment.date if segment.date is not None else end
            assert begin is not None
            start, end = begin, begin + int(segment.duration * _SECOND)


def _check_hints(playlist: Playlist) -> None:
    types = [kind for kind, _, _ in playlist.hints]
    listed = {part.uri for segment in playlist.all_segments for part in segment.parts if not part.is_gap}
    for index, (kind, uri, line) in enumerate(playlist.hints):
        if kind not in {"PART", "MAP"} or kind in types[:index]:
            playlist.report("hint-type", f"{kind} here", line)
        elif kind == "PART" and uri in listed:
            playlist.report("hint-type", f"{uri} is listed", line)
        if playlist.is_ended:
            playlist.report("hint-ended", uri, line)
    parts = any(segment.parts for segment in playlist.all_segments)
    if parts and not playlist.is_ended and "PART" not in types:
        playlist.report("hint-missing", "no EXT-X-PRELOAD-HINT of a part")


@dataclass(slots=True)
class _Known:
    """A segment as it was listed."""

    facts: dict[str, object]
    first_seen: float
    longest: Decimal = Decimal(0)
    closed: tuple[str, Decimal, bool] | None = None  # URI, duration, is_gap
    parts: list[tuple[str, Decimal, bool, bool]] = field(default_factory=list)
    block: list[str] = field(default_factory=list)
    init: str | None = None
    removed_parts: int = 0


class Audit:
    """Follows one media playlist through its life.

    Args:
        fetch: the bytes at a URI of the playlist, None where they cannot be had; without it media are not looked at.
        exact: a snapshot is shown for every change, at the instant of the change; otherwise the times of
            snapshots only bound those of the changes.
        patience: seconds granted to every deadline.
        ignore: rules that are not reported.
    """

    def __init__(
        self,
        fetch: Callable[[str], bytes | None] | None = None,
        *,
        exact: bool = True,
        patience: float = 0.0,
        ignore: frozenset[str] = frozenset(),
    ) -> None:
        self.violations: list[Violation] = []
        self.playlist: Playlist | None = None
        self.longest_part_gap = 0.0  # seconds between two new parts, excused ones left out
        self._fetch = fetch
        #: Looks into segments and parts; None without a way to fetch them.
        self.media = None if fetch is None else Media(fetch)
        self._exact = exact
        self.patience = patience
        self._ignore = ignore
        self._known: dict[int, _Known] = {}
        self._text = ""
        self._now = self._before = 0.0
        self._last_segment_at: float | None = None
        self._last_part_at: float | None = None
        self._was_late: set[str] = set()
        self._excuses: list[tuple[float, float, str | None]] = []
        self._left: list[tuple[str, float]] = []  # URI, to be had until
        self._looked = 0.0

    # -- what a viewer does --------------------------------------------------------------------------------

    def excuse(self, start: float, end: float, rule: str | None = None) -> None:
        """There were no media between these times; what deadlines (or this one) they made missed is nobody's fault."""
        self._excuses.append((start, end, rule))

    def snapshot(
        self, now: float, text: str, *, msn: int | None = None, part: int | None = None, skip: bool = False
    ) -> list[Violation]:
        """Look at the playlist as it was fetched at `now`, with these directives; what is wrong, and new."""
        playlist = read(text)
        if playlist.skipped is not None:
            offered = playlist.control is not None and "CAN-SKIP-UNTIL" in playlist.control
            if not skip or not offered or playlist.is_ended:
                playlist.report("skip-unasked", "EXT-X-SKIP", playlist.skip_line)
            whole = self._expand(playlist)
            check_playlist(playlist)
            found = playlist.violations
            playlist = read(whole)
            playlist.violations.extend(found)
            if self.playlist is not None:
                playlist.version = self.playlist.version  # EXT-X-SKIP may have asked for a higher one
        else:
            check_playlist(playlist)
        self._directives(playlist, msn, part)
        before, self._before, self._now = self.playlist, self._now, now
        first = before is None
        if before is not None:
            self._compare(before, playlist)
        self._follow(playlist, first)
        self.playlist, self._text = playlist, "\n".join(playlist.lines)
        self._look_for(playlist)
        return self._note(playlist.violations)

    def delta(self, now: float, text: str, full: str) -> list[Violation]:
        """Judge the delta update that is given at the same instant as `full`, which is not looked at itself."""
        playlist = read(text)
        whole = read(full)
        offered = whole.control is not None and "CAN-SKIP-UNTIL" in whole.control and not whole.is_ended
        after = sum((segment.duration for segment in whole.segments), Decimal(0))
        assert whole.control is not None or not offered
        boundary = Decimal(whole.control["CAN-SKIP-UNTIL"]) if offered and whole.control else Decimal(0)
        if playlist.skipped is None:
            if offered and whole.segments and after - whole.segments[0].duration > boundary:
                playlist.report("skip-ignored", f"{after} s are listed, the boundary is {boundary}")
            elif text != full:
                playlist.report("skip-differs", "no EXT-X-SKIP, but not the same text")
            return self._note(playlist.violations, now)
        if not offered:
            playlist.report("skip-unasked", "CAN-SKIP-UNTIL is not offered", playlist.skip_line)
            return self._note(playlist.violations, now)
        live = after + (whole.open.duration if whole.open is not None else 0)
        for segment in whole.segments[: playlist.skipped]:
            if live <= boundary:
                playlist.report("skip-too-much", f"{segment.uri} starts {live} s before the end", playlist.skip_line)
            live -= segment.duration
        left = whole.segments[playlist.skipped :]
        remaining = sum((segment.duration for segment in left), Decimal(0))
        if left and remaining - left[0].duration > boundary:
            playlist.report("skip-ignored", f"{remaining} s are left, the boundary is {boundary}", playlist.skip_line)
        ours, theirs = self._expand(playlist, whole).split("\n"), full.split("\n")
        ours, theirs = ([line for line in lines if "EXT-X-VERSION" not in line] for lines in (ours, theirs))
        if ours != theirs:
            differing = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), ("", ""))
            playlist.report("skip-differs", f"{len(ours)} and {len(theirs)} lines, first {differing}")
        check_playlist(playlist)
        return self._note(playlist.violations, now)

    def _note(self, violations: list[Violation], now: float | None = None) -> list[Violation]:
        at = self._now if now is None else now
        found = [
            Violation(v.rule, v.section, v.should, v.detail, v.line, v.source, at)
            for v in violations
            if v.rule not in self._ignore
        ]
        self.violations.extend(found)
        return found

    def _expand(self, delta: Playlist, whole: Playlist | None = None) -> str:
        """The playlist that a delta update makes of what was there before (or is there, in `whole`)."""
        first, skipped = delta.media_sequence, delta.skipped or 0
        lines = list(delta.lines)
        blocks: list[str] = []
        for msn in range(first, first + skipped):
            if whole is not None and msn in whole.blocks:
                start, end = whole.blocks[msn]
                blocks += whole.lines[start - 1 : end]
            elif whole is None and msn in self._known and self._known[msn].block:
                known = self._known[msn]
                if not blocks and known.init is not None and not any("#EXT-X-MAP" in line for line in known.block):
                    blocks.append(f'#EXT-X-MAP:URI="{known.init}"')  # it stood before a segment that has left
                blocks += [line for line in known.block if not line.startswith("#EXT-X-PART:")]
            else:
                delta.report("skip-differs", f"segment {msn} is skipped and unknown", delta.skip_line)
        lines[delta.skip_line - 1 : delta.skip_line] = blocks
        return "\n".join(lines)

    # -- what may follow what -------------------------------------------------------------------------------

    def _directives(self, playlist: Playlist, msn: int | None, part: int | None) -> None:
        if msn is None or playlist.is_ended:
            return
        last = playlist.segments[-1].msn if playlist.segments else -1
        if last >= msn:
            return
        opened = playlist.open
        if part is None or opened is None or opened.msn < msn or (opened.msn == msn and len(opened.parts) <= part):
            playlist.report("not-held", f"_HLS_msn={msn}, _HLS_part={part}; the last segment is {last}")

    def _compare(self, old: Playlist, new: Playlist) -> None:
        if new.target_duration != old.target_duration:
            new.report("target-changed", f"from {old.target_duration} to {new.target_duration}")
        for name, ours, theirs in (
            ("EXT-X-VERSION", old.version, new.version),
            ("EXT-X-SERVER-CONTROL", old.control, new.control),
            ("EXT-X-PART-INF", old.part_target, new.part_target),
            ("EXT-X-INDEPENDENT-SEGMENTS", old.is_independent, new.is_independent),
            ("EXT-X-PLAYLIST-TYPE", old.playlist_type, new.playlist_type),
        ):
            if ours != theirs:
                new.report("header-changed", f"{name} from {ours} to {theirs}")
        if new.media_sequence < old.media_sequence:
            new.report("sequence-back", f"from {old.media_sequence} to {new.media_sequence}")
        elif (new.segments or old.segments) and _end(new) < _end(old):
            new.report("sequence-back", f"the last segment is {_end(new) - 1}, it was {_end(old) - 1}")
        if (new.discontinuity_sequence or 0) < (old.discontinuity_sequence or 0):
            new.report("discontinuity-back", f"from {old.discontinuity_sequence} to {new.discontinuity_sequence}")
        if old.is_ended and new.lines != old.lines:
            new.report("ended", "it was at its end")
        removed = [segment for segment in old.segments if segment.msn < new.media_sequence]
        if not removed:
            return
        if new.playlist_type is not None:
            new.report("live-type", new.playlist_type)
        discontinuity = any(segment.starts_discontinuity for segment in old.all_segments)
        if discontinuity and new.discontinuity_sequence is None:
            new.report("discontinuity-missing", f"{removed[0].uri} has left")
        if new.duration < 3 * new.target_duration:
            new.report("too-short", f"{removed[-1].uri} has left, {new.duration} s remain")

    def _follow(self, playlist: Playlist, first: bool) -> None:
        """Compare with what was listed before, and remember."""
        now = self._now
        since = now if self._exact or first else self._before
        new_segment = new_part = False
        hidden = False  # parts may have come and gone unseen
        hinted = [uri for kind, uri, _ in self.playlist.hints if kind == "PART"] if self.playlist is not None else []
        fresh: list[Part] = []
        gone: list[tuple[Segment, int]] = []  # segments with how many of their parts have left
        for segment in playlist.all_segments:
            known = self._known.get(segment.msn)
            named = segment.uri is not None or segment.parts
            if known is None:
                if not named:
                    continue
                known = self._known[segment.msn] = _Known(segment.facts, since)
            elif named and known.facts != segment.facts:
                for name, value in segment.facts.items():
                    if known.facts[name] != value:
                        detail = f"{name} of segment {segment.msn} from {known.facts[name]} to {value}"
                        playlist.report("changed", detail, segment.line)
                known.facts = segment.facts
            added = self._follow_parts(playlist, segment, known)
            new_part = new_part or bool(added)
            fresh += added
            known.init = segment.init
            if self.media is not None and not (first and segment.uri is not None):
                for part in added:
                    self.media.part(playlist, segment, part)
            if segment.uri is not None:
                closed = (segment.uri, segment.duration, segment.is_gap)
                if known.closed is None:
                    new_segment = True
                    known.first_seen = since
                    start, end = playlist.blocks[segment.msn]
                    known.block = playlist.lines[start - 1 : end]
                    complete = self._sum(playlist, segment, known, first)
                    hidden = hidden or not segment.parts
                    if self.media is not None:
                        self.media.close(playlist, segment, complete)
                elif known.closed != closed:
                    playlist.report("changed", f"from {known.closed} to {closed}", segment.line)
                known.closed = closed
                known.longest = max(known.longest, playlist.duration)
            gone.append((segment, len(known.parts) - len(segment.parts)))
        self._order(playlist, gone)
        if not first:
            real = next((part for part in fresh if not part.is_gap), None)
            if hinted and real is not None and real.uri not in hinted and not hidden:
                playlist.report("hint-wrong", f"{hinted[0]} was hinted", real.line)
        self._deadlines(playlist, new_segment, new_part, first)
        self._forget(playlist)

    def _follow_parts(self, playlist: Playlist, segment: Segment, known: _Known) -> list[Part]:
        ours = [part.facts for part in segment.parts]
        if known.closed is None and ours[: len(known.parts)] == known.parts:
            added = segment.parts[len(known.parts) :]
            known.parts = ours
            return added
        if not ours or known.parts[-len(ours) :] == ours:
            return []
        line = segment.parts[0].line
        playlist.report("changed", f"the parts of segment {segment.msn} are not those that were listed", line)
        known.parts = ours
        return []

    def _sum(self, playlist: Playlist, segment: Segment, known: _Known, first: bool) -> bool:
        """Whether all parts of a segment that has just closed were seen."""
        if not known.parts:
            return False
        total = sum((duration for _, duration, _, _ in known.parts), Decimal(0))
        equal = abs(total - segment.duration) <= ROUNDING * (len(known.parts) + 1)
        if self._exact and not first and not equal and segment.parts:  # with none left, some were never shown
            playlist.report("parts-sum", f"parts of {total} s, EXTINF {segment.duration}", segment.line)
        return equal and not first

    def _order(self, playlist: Playlist, gone: list[tuple[Segment, int]]) -> None:
        """Parts leave in order: where some have left, none may remain before them."""
        remains: Segment | None = None
        for segment, left in gone:
            if left > 0 and remains is not None:
                playlist.report("parts-order", f"segment {remains.msn} still has its parts", segment.line)
            if segment.parts:
                remains = remains or segment
            known = self._known.get(segment.msn)
            if known is not None and left > known.removed_parts:
                until = (self._now if self._exact else self._before) + 3 * playlist.target_duration
                self._left += [(facts[0], until) for facts in known.parts[known.removed_parts : left] if not facts[3]]
                known.removed_parts = left

    def _deadlines(self, playlist: Playlist, new_segment: bool, new_part: bool, first: bool) -> None:
        now = self._now
        if playlist.is_ended or first:
            self._last_segment_at = self._last_part_at = now
            return
        limits = [("segment-late", self._last_segment_at, new_segment, 1.5 * playlist.target_duration)]
        if playlist.part_target is not None and any(segment.parts for segment in playlist.all_segments):
            limits.append(("part-late", self._last_part_at, new_part, float(playlist.part_target)))
        for rule, last, is_new, limit in limits:
            assert last is not None
            if is_new and not self._exact:
                self._was_late.discard(rule)
                continue
            spans = [(start, end) for start, end, only in self._excuses if only in {None, rule}]
            excused = sum(max(0.0, min(end, now) - max(start, last)) for start, end in spans)
            passed = now - last - excused
            if rule == "part-late" and is_new:
                self.longest_part_gap = max(self.longest_part_gap, passed)
            if passed > limit + self.patience + 1e-6 and rule not in self._was_late:
                playlist.report(rule, f"{passed:.3f} s after the one before, {limit:.3f} allowed")
                self._was_late.add(rule)
            if is_new:
                self._was_late.discard(rule)
        if new_segment:
            self._last_segment_at = now
        if new_part:
            self._last_part_at = now

    def _forget(self, playlist: Playlist) -> None:
        for msn in [msn for msn in self._known if msn < playlist.media_sequence]:
            known = self._known.pop(msn)
            now = self._now if self._exact else self._before
            for uri, _, _, is_gap in known.parts[known.removed_parts :]:
                if not is_gap:
                    self._left.append((uri, now + 3 * playlist.target_duration))
            if known.closed is not None and not known.closed[2]:
                uri, duration, _ = known.closed
                until = known.first_seen + float(duration + known.longest)
                self._left.append((uri, until))
                if known.init is not None:
                    self._left.append((known.init, until))

    def _look_for(self, playlist: Playlist) -> None:
        """Once a second: is all still to be had that has to be?"""
        now = self._now
        if self._fetch is None or now < self._looked + 1.0:
            return
        self._looked = now
        self._left = [(uri, until) for uri, until in self._left if until > now + 1e-6]
        for uri, until in self._left:
            if self._fetch(uri) is None:
                playlist.report("gone-early", f"{uri} is gone, {until - now:.3f} s too early")
        self._left = [(uri, until) for uri, until in self._left if self._fetch(uri) is not None]
        for segment in playlist.segments:
            if not segment.is_gap and segment.uri is not None and self._fetch(segment.uri) is None:
                playlist.report("not-available", segment.uri, segment.line)


def _end(playlist: Playlist) -> int:
    return playlist.media_sequence + len(playlist.segments)
