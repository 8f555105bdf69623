"""The judge of playlists is judged: each rule is seen to fire on a playlist that breaks it, and on nothing else.

`RIGHT` is a legal Low-Latency playlist; a wrong one is made of it by exchanging text, and has to give the rules named
and no other. What happens in time is a list of snapshots. That no rule is left out is checked at the end.
"""

from collections.abc import Callable
from struct import pack

import pytest
from hlsrules import RULES, Audit, check

SEEN: set[str] = set()

RIGHT = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,HOLD-BACK=6.0,PART-HOLD-BACK=3.3
#EXT-X-PART-INF:PART-TARGET=1.1
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-DISCONTINUITY-SEQUENCE:7
#EXT-X-MAP:URI="e/init_0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:00.000Z
#EXTINF:2.00000,
e/seg_100.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:02.000Z
#EXT-X-PART:DURATION=1.00000,URI="e/part_2.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.00000,URI="e/part_3.mp4"
#EXTINF:2.00000,
e/seg_101.mp4
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="e/init_1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:04.500Z
#EXT-X-PART:DURATION=1.00000,URI="e/part_4.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.00000,URI="e/part_5.mp4"
#EXTINF:2.00000,
e/seg_102.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:06.500+00:00
#EXT-X-PART:DURATION=1.00000,URI="e/part_6.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.93500,URI="e/part_7.mp4"
#EXT-X-PART:DURATION=0.06500,URI="e/part_8.mp4"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="e/part_9.mp4"
"""

#: Of a gap: a segment, then parts of the one that is open.
GAPS = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.3
#EXT-X-PART-INF:PART-TARGET=1.1
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:00.000Z
#EXT-X-GAP
#EXTINF:2.000,
e/gap.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:02.000Z
#EXT-X-PART:DURATION=1.000,URI="e/gap.mp4",GAP=YES
#EXT-X-PART:DURATION=1.000,URI="e/gap.mp4",GAP=YES
#EXT-X-GAP
#EXTINF:2.000,
e/gap.mp4
#EXT-X-MAP:URI="e/init_0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:04.000Z
#EXT-X-PART:DURATION=0.500,URI="e/part_0.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.100,URI="e/part_1.mp4"
#EXT-X-PART:DURATION=0.300,URI="e/gap.mp4",GAP=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="e/part_2.mp4"
"""

PLAIN = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-MAP:URI="i.mp4"
#EXTINF:4.499,a title
0.mp4
#EXTINF:3.9,
1.mp4
"""


def rules(found) -> list[str]:
    names = sorted({violation.rule for violation in found})
    SEEN.update(names)
    return names


def change(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize(
    "text", [RIGHT, GAPS, RIGHT.replace("\n", "\r\n"), RIGHT.replace("#EXTINF", "# hm\n\n#EXTINF")]
)
def test_a_right_playlist_breaks_no_rule(text: str) -> None:
    assert check(text) == []


PART_6 = '#EXT-X-PART:DURATION=1.00000,URI="e/part_6.mp4",INDEPENDENT=YES\n'
HINT = '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="e/part_9.mp4"\n'
PART_9 = '#EXT-X-PART:DURATION=0.00100,URI="e/part_9.mp4"\n'
DSN = "#EXT-X-DISCONTINUITY-SEQUENCE:8\n"
MAP_1 = '#EXT-X-MAP:URI="e/init_1.mp4"\n'
WRONG = [
    ("first-line", [("#EXTM3U", "#EXTM3U8")], "tag", "value"),
    ("first-line", [("#EXT-X-VERSION:6", "#EXT-X-VERSION:6\n#EXTM3U")]),
    ("line", [("e/seg_100", "e/ seg_100")]),
    ("line", [("e/seg_100", "e/seg_\x7f100")]),
    ("line", [("e/seg_100", "e/seg_\u0041\u0308100")]),
    ("line", [('_9.mp4"\n', '_9.mp4"')]),
    ("value", [("DURATION:2", "DURATION:2.0")], "target-duration", "segment-long", "parts-old"),
    ("value", [("SEQUENCE:7", "SEQUENCE")]),
    ("value", [("#EXT-X-DISCONTINUITY\n", "#EXT-X-DISCONTINUITY:1\n")], "map-change"),
    ("value", [("2026-05-01T10:00:02.000Z", "2026-05-32T10:00:02.000Z")]),
    ("value", [("#EXTINF", "#EXT-X-PLAYLIST-TYPE:LIVE\n#EXTINF")]),
    ("tag", [("#EXTINF", "#EXT-X-CUE-OUT:3\n#EXTINF")]),
    ("tag", [("#EXTINF", "#EXT-X-STREAM-INF:BANDWIDTH=3\n#EXTINF")]),
    ("once", [("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:2\n#EXT-X-TARGETDURATION:2")]),
    ("once", [("#EXT-X-VERSION:6", "#EXT-X-VERSION:6\n#EXT-X-VERSION:6")]),
    ("attributes", [("PART-TARGET=1.1", "PART-TARGET=1.1,PART-TARGET=1.1")]),
    ("attributes", [("PART-TARGET=1.1", "PART-TARGET=1.1, X=1")]),
    ("attributes", [("PART-TARGET=1.1", 'PART-TARGET="1.1"')], "part-long"),
    ("attributes", [("PART-TARGET=1.1", "PART-TARGET=1.1,")], "part-long"),
    ("attributes", [("DURATION=1.00000,", "")], "accuracy", "parts-sum"),
    ("attributes", [("INDEPENDENT=YES", "INDEPENDENT=NO")]),
    ("attributes", [("INDEPENDENT=YES", "independent=YES")]),
    ("attributes", [('TYPE=PART,URI="e/part_9.mp4"', "TYPE=PART,URI=e/part_9.mp4")]),
    ("version", [("VERSION:6", "VERSION:5")]),
    ("version", [("#EXT-X-VERSION:6\n", "")]),
    ("version-high", [("VERSION:6", "VERSION:7")]),
    ("sequence-place", [("#EXT-X-MEDIA-SEQUENCE:100\n", ""), ("seg_100.mp4\n", "s\n#EXT-X-MEDIA-SEQUENCE:5\n")]),
    ("sequence-place", [("SEQUENCE:7\n", "SEQUENCE:7\n#EXT-X-DISCONTINUITY\n"), ("#EXT-X-MAP", DSN + "#EXT-X-MAP")],
     "date-discontinuity", "once"),
    ("target-duration", [("#EXT-X-TARGETDURATION:2\n", "")], "segment-long", "parts-old"),
    ("segment-long", [("EXTINF:2.00000", "EXTINF:2.50000")]),
    ("segment-long", [("1.00000,URI=\"e/part_6", "1.10000,URI=\"e/part_6"), ("0.93500", "1.1000"),
                      (HINT, '#EXT-X-PART:DURATION=0.9999,URI="x"\n' + HINT)], "part-short"),
    ("extinf", [("#EXTINF:2.00000,\n", "")]),
    ("extinf", [("#EXTINF:2.00000,", "#EXTINF:2.00000")]),
    ("extinf", [("#EXTINF:2.00000,", "#EXTINF:2.00000,\n#EXTINF:2.00000,")]),
    ("extinf", [(HINT, HINT + "#EXTINF:2.00000,\n")]),
    ("accuracy", [("EXTINF:2.00000", "EXTINF:2.0")]),
    ("accuracy", [("DURATION=1.00000", "DURATION=1.0")]),
    ("part-inf", [("#EXT-X-PART-INF:PART-TARGET=1.1\n", "")]),
    ("part-long", [("1.00000,URI=\"e/part_6", "1.10001,URI=\"e/part_6")]),
    ("part-short", [("0.93500,URI", "0.93499,URI")]),
    ("part-place", [(PART_6, PART_6 + MAP_1)]),
    ("part-place", [(PART_6, PART_6 + "#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:06.500Z\n")]),
    ("part-place", [(PART_6, PART_6 + "#EXT-X-DISCONTINUITY\n")]),
    ("part-place", [("e/seg_101", '#EXT-X-PART:DURATION=0.000,URI="x"\ne/seg_101')]),
    ("parts-sum", [("#EXTINF:2.00000,\ne/seg_102", "#EXTINF:1.99990,\ne/seg_102")]),
    ("part-twice", [("part_3.mp4", "part_2.mp4")]),
    ("parts-old", [("#EXTINF", '#EXT-X-PART:DURATION=2.00000,URI="p"\n#EXTINF'), (HINT, PART_9 + HINT)],
     "part-short", "part-long", "hint-type"),
    ("part-hold-back", [(",PART-HOLD-BACK=3.3", "")]),
    ("part-hold-back", [("PART-HOLD-BACK=3.3", "PART-HOLD-BACK=2.19")]),
    ("part-hold-back-low", [("PART-HOLD-BACK=3.3", "PART-HOLD-BACK=3.29")]),
    ("hold-back", [(",HOLD-BACK=6.0", ",HOLD-BACK=5.99")]),
    ("skip-boundary", [("UNTIL=12.0", "UNTIL=11.99")]),
    ("skip-boundary", [("CAN-SKIP-UNTIL=12.0", "CAN-SKIP-DATERANGES=YES")]),
    ("low-latency-profile", [("CAN-BLOCK-RELOAD=YES,", "")]),
    ("hint-missing", [(HINT, "")]),
    ("map-missing", [('#EXT-X-MAP:URI="e/init_0.mp4"\n', "")]),
    ("map-change", [("#EXT-X-DISCONTINUITY\n", "")]),
    ("date-precision", [("10:00:04.500Z", "10:00:04Z")]),
    ("date-precision", [("10:00:04.500Z", "10:00:04.500")]),
    ("date-discontinuity", [("#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:04.500Z\n", "")]),
    ("date-ambiguous", [("10:00:04.500Z", "10:00:03.000Z")]),
    ("date-ambiguous", [("10:00:04.500Z", "10:00:02.000Z")]),
    ("date-ambiguous", [("10:00:04.500Z", "09:00:00.000Z")]),
    ("hint-type", [("TYPE=PART", "TYPE=SEGMENT")], "hint-missing"),
    ("hint-type", [(HINT, HINT + HINT)]),
    ("hint-type", [("part_9.mp4", "part_8.mp4")]),
    ("hint-ended", [(HINT, HINT + "#EXT-X-ENDLIST\n")]),
    ("report", [(HINT, HINT + '#EXT-X-RENDITION-REPORT:URI="../a.m3u8",LAST-MSN=4\n')]),
    ("report", [(HINT, HINT + '#EXT-X-RENDITION-REPORT:URI="/a.m3u8",LAST-MSN=4,LAST-PART=0\n')]),
    ("skip-place", [("e/seg_100.mp4\n", "e/seg_100.mp4\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n")], "version"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "changes", "others"), [(rule, changes, others) for rule, changes, *others in WRONG])
def test_a_wrong_playlist_breaks_the_rule(rule: str, changes: list[tuple[str, str]], others: list[str]) -> None:
    found = rules(check(change(RIGHT, *changes)))
    assert rule in found
    assert set(found) <= {rule, *others}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (change(GAPS, ('URI="e/gap.mp4",GAP=YES', 'URI="e/x.mp4"')), ["parts-gap"]),
        (change(GAPS, ("#EXT-X-GAP\n", "")), ["map-missing"]),
        (change(GAPS, ("0.300,URI", "1.200,URI")), ["part-long"]),
        (change(GAPS, (',GAP=YES\n#EXT-X-PRELOAD', '\n#EXT-X-PRELOAD')), ["part-short", "part-twice"]),
        (PLAIN, ["accuracy"]),
        (change(PLAIN, ("3.9", "3.900")), []),
        (change(PLAIN, ("3.9", "4.500")), ["segment-long"]),
        (change(PLAIN, ("4.499", "4"), ("3.9", "4")), ["accuracy"]),
        (change(PLAIN, ("3.9", "3.900"), ("#EXTINF", '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"\n#EXTINF')), []),
        ("#EXTM3U\n#EXT-X-VERSION:2\n#EXT-X-TARGETDURATION:4\n#EXT-X-GAP\n#EXTINF:4.000,\n0\n", ["version"]),
        (change(GAPS, ("VERSION:6", "VERSION:3"), ("MAP:URI", "BYTERANGE:4")), ["map-missing", "version"]),
        (RIGHT[: RIGHT.index("#EXT-X-PROGRAM")] + HINT, []),
        (RIGHT.replace("#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-PROGRAM-DATE"), ["low-latency-profile", "tag"]),
        ("", ["first-line", "line", "target-duration"]),
        ("\ufeff" + RIGHT, ["first-line", "line"]),
    ],
)  # fmt: skip
def test_other_playlists(text: str, expected: list[str]) -> None:
    assert rules(check(text)) == expected


def test_a_violation_tells_its_section_and_its_line() -> None:
    (violation,) = check(change(RIGHT, ("0.93500,URI", "0.10000,URI")))
    assert (violation.rule, violation.section, violation.should, violation.line) == ("part-short", "4.4.4.9", False, 26)
    expected = 'MUST 4.4.4.9 part-short: 0.10000 s of 1.1, line 26: #EXT-X-PART:DURATION=0.10000,URI="e/part_7.mp4"'
    assert str(violation) == expected
    assert str(check(change(RIGHT, ("VERSION:6", "VERSION:7")))[0]).startswith("SHOULD 6.2.1 version-high: ")


# -- one after the other -------------------------------------------------------------------------------------


class Maker:
    """A live playlist with a discontinuity at each tenth segment; a segment of 2 s has two parts."""

    def __init__(self, **header: object) -> None:
        self.header = {"target": 2, "part_target": 1.1, "window": 8, "with_parts": True, "skip": "", **header}
        self.parts = 0  # published so far
        self.ended = False
        self.dsn_offset = 0
        self.first_offset = 0

    def text(self, *, skip: bool = False) -> str:
        header = self.header
        closed = self.parts // 2
        first = max(0, closed - int(str(header["window"]))) + self.first_offset
        skipped = max(0, closed - first - 6) if skip and closed - first > 6 else 0
        lines = [
            "#EXTM3U",
            f"#EXT-X-VERSION:{9 if skipped else 6}",
            f"#EXT-X-TARGETDURATION:{header['target']}",
            f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,{header['skip']}PART-HOLD-BACK=3.3",
            f"#EXT-X-PART-INF:PART-TARGET={header['part_target']}",
            f"#EXT-X-MEDIA-SEQUENCE:{first}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{(first + 9) // 10 + self.dsn_offset}",
        ]
        if skipped:
            lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
        for msn in range(first + skipped, closed + 1):
            if msn == closed and not self.parts % 2:
                continue
            tags = ["#EXT-X-DISCONTINUITY"] if msn % 10 == 0 else []
            if msn == first or msn % 10 == 0:
                tags.append(f'#EXT-X-MAP:URI="init_{msn // 10}.mp4"')
            minutes, seconds = divmod(msn * 2, 60)
            tags.append(f"#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:{minutes:02}:{seconds:02}.000Z")
            lines += tags
            if msn >= closed - 3:
                for part in range(msn * 2, min(self.parts, msn * 2 + 2)):
                    independent = ",INDEPENDENT=YES" if part % 2 == 0 else ""
                    lines.append(f'#EXT-X-PART:DURATION=1.00000,URI="part_{part}.mp4"{independent}')
            if msn < closed:
                lines += ["#EXTINF:2.00000,", f"seg_{msn}.mp4"]
        lines.append("#EXT-X-ENDLIST" if self.ended else f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="part_{self.parts}.mp4"')
        return "\n".join([*lines, ""])


def run(maker: Maker, audit: Audit, parts: int, start: float = 0.0) -> float:
    """Publish `parts` parts, one a second."""
    for index in range(parts):
        maker.parts += 1
        audit.snapshot(start + index, maker.text())
    return start + parts


def test_a_right_stream_breaks_no_rule_over_its_life() -> None:
    maker, audit = Maker(skip="CAN-SKIP-UNTIL=12.0,"), Audit()
    for now in range(60):
        maker.parts += 1
        text = maker.text()
        msn, part = divmod(maker.parts - 1, 2)
        assert audit.snapshot(now, text, msn=msn, part=part) == []
        assert audit.delta(now, maker.text(skip=True), text) == []
    assert audit.longest_part_gap == 1.0
    maker.ended = True
    assert audit.snapshot(61.0, maker.text()) == []
    assert audit.snapshot(99.0, maker.text(), msn=99) == []


def test_delta_updates_alone_make_the_playlist() -> None:
    maker, audit = Maker(skip="CAN-SKIP-UNTIL=12.0,"), Audit()
    now = run(maker, audit, 20)
    for _ in range(20):
        maker.parts += 1
        assert audit.snapshot(now, maker.text(skip=True), skip=True) == []
        now += 1.0
    assert audit.violations == []


SERIES: list[tuple[str, Callable[[str], str]]] = [
    ("target-changed", lambda t: t.replace("DURATION:2", "DURATION:3")),
    ("header-changed", lambda t: t.replace("TARGET=1.1", "TARGET=1.05")),
    ("header-changed", lambda t: t.replace("BACK=3.3", "BACK=3.4")),
    ("header-changed", lambda t: t.replace("#EXT-X-PART-INF", "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-PART-INF")),
    ("changed", lambda t: t.replace("seg_11.mp4", "seg_11b.mp4")),
    ("changed", lambda t: t.replace("EXTINF:2.00000", "EXTINF:2.00001", 1)),
    ("changed", lambda t: t.replace("#EXTINF:2.00000,\nseg_11.", "#EXT-X-GAP\n#EXTINF:2.00000,\nseg_11.")),
    ("changed", lambda t: t.replace("10:00:22.000", "10:00:22.001")),
    ("changed", lambda t: t.replace('MAP:URI="init_1', 'MAP:URI="init_2')),
    ("changed", lambda t: t.replace("part_24.mp4", "part_24b.mp4")),
    ("changed", lambda t: t.replace('part_24.mp4",INDEPENDENT=YES', 'part_24.mp4"')),
    ("changed", lambda t: t.replace("DISCONTINUITY-SEQUENCE:1", "DISCONTINUITY-SEQUENCE:2")),
    ("changed", lambda t: t.replace("#EXT-X-DISCONTINUITY\n#EXT-X-MAP", "#EXT-X-MAP")),
    ("parts-order", lambda t: t.replace('#EXT-X-PART:DURATION=1.00000,URI="part_24.mp4",INDEPENDENT=YES\n', "")),
    ("hint-wrong", lambda t: t.replace('"part_28.mp4"', '"part_28b.mp4"')),
    ("live-type", lambda t: t.replace("#EXTINF", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXTINF", 1)),
]


@pytest.mark.parametrize(("rule", "spoil"), SERIES)
def test_a_wrong_change_breaks_the_rule(rule: str, spoil: Callable[[str], str]) -> None:
    maker, audit = Maker(), Audit()
    now = run(maker, audit, 28)
    assert audit.violations == []
    maker.parts += 2 if rule == "live-type" else 1
    text = maker.text()
    assert spoil(text) != text
    assert rule in rules(audit.snapshot(now, spoil(text)))


def test_numbers_that_go_back() -> None:
    maker, audit = Maker(), Audit()
    now = run(maker, audit, 28)
    maker.parts -= 2
    assert rules(audit.snapshot(now, maker.text())) == ["sequence-back"]
    audit = Audit()
    now = run(maker, audit, 4)
    maker.first_offset = -1
    assert "sequence-back" in rules(audit.snapshot(now, maker.text()))
    maker, audit = Maker(), Audit()
    now = run(maker, audit, 28)
    maker.dsn_offset = -1
    maker.parts += 1
    assert rules(audit.snapshot(now, maker.text())) == ["changed", "discontinuity-back"]


def test_what_has_discontinuities_and_loses_segments_numbers_them() -> None:
    maker, audit = Maker(), Audit()
    now = 0.0
    for maker.parts in range(1, 30):
        text = maker.text().replace(f"#EXT-X-DISCONTINUITY-SEQUENCE:{'01'[maker.parts > 17]}\n", "")
        audit.snapshot(now, text)
        now += 1.0
    assert "discontinuity-missing" in rules(audit.violations)


def test_three_target_durations_remain() -> None:
    maker, audit = Maker(window=3), Audit()
    run(maker, audit, 40)
    assert audit.violations == []
    maker, audit = Maker(window=2), Audit()
    run(maker, audit, 7)
    assert rules(audit.violations) == ["too-short"]


def test_parts_add_up_to_their_segment() -> None:
    maker, audit = Maker(), Audit()
    now = run(maker, audit, 7)
    maker.parts += 1
    text = maker.text().replace("#EXTINF:2.00000,\nseg_3", "#EXTINF:2.00010,\nseg_3")
    assert rules(audit.snapshot(now, text)) == ["parts-sum"]


def test_nothing_follows_the_end() -> None:
    maker, audit = Maker(), Audit()
    now = run(maker, audit, 7)
    maker.ended = True
    audit.snapshot(now, maker.text())
    maker.parts += 1
    assert rules(audit.snapshot(now, maker.text())) == ["ended"]


LATE = [(1.1, []), (1.101, ["part-late"]), (2.9, ["part-late"]), (3.1, ["part-late", "segment-late"])]


@pytest.mark.parametrize(("gap", "broken"), LATE)
@pytest.mark.parametrize("exact", [True, False])
def test_new_parts_and_segments_come_in_time(gap: float, broken: list[str], exact: bool) -> None:
    maker, audit = Maker(), Audit(exact=exact)
    now = run(maker, audit, 8)
    late = now - 1.0 + gap
    if not exact:  # then only a playlist with nothing new in it proves something
        audit.snapshot(late, maker.text())
    maker.parts += 2
    audit.snapshot(late, maker.text())
    assert rules(audit.violations) == broken
    maker.parts += 2
    assert audit.snapshot(late + 1.0, maker.text()) == []
    assert audit.longest_part_gap == (pytest.approx(gap if gap > 1.0 else 1.0) if exact else 0.0)


def test_patience_and_excuses_are_granted() -> None:
    for audit, excused in ((Audit(patience=0.5), False), (Audit(), True)):
        maker = Maker()
        now = run(maker, audit, 8)
        if excused:
            audit.excuse(now - 0.9, now - 0.4)
        maker.parts += 2
        assert audit.snapshot(now + 0.5, maker.text()) == []
        maker.parts += 1
        assert rules(audit.snapshot(now + 2.2, maker.text())) == ["part-late"]


@pytest.mark.parametrize(
    ("parts", "msn", "part", "expected"),
    [
        (8, 3, None, []),
        (8, 2, 7, []),  # beyond the last part of a segment: the first of the next
        (8, 4, None, ["not-held"]),
        (8, 4, 0, ["not-held"]),
        (9, 4, 0, []),
        (9, 4, None, ["not-held"]),
        (9, 4, 1, ["not-held"]),
        (9, 5, 0, ["not-held"]),
        (10, 4, 1, []),
        (9, 3, 2, []),
        (0, 0, 0, ["not-held", "version-high"]),
    ],
)
def test_a_reply_has_what_was_asked_for(parts: int, msn: int, part: int | None, expected: list[str]) -> None:
    maker = Maker()
    maker.parts = parts
    assert rules(Audit().snapshot(0.0, maker.text(), msn=msn, part=part)) == expected


def test_delta_updates_are_given_where_they_are_offered_and_asked_for() -> None:
    maker, audit = Maker(skip="CAN-SKIP-UNTIL=12.0,"), Audit()
    now = run(maker, audit, 28)
    full, delta = maker.text(), maker.text(skip=True)
    assert "SKIPPED-SEGMENTS=2" in delta
    assert audit.delta(now, delta, full) == []
    assert rules(audit.snapshot(now, delta)) == ["skip-unasked"]
    unoffered = [text.replace("CAN-SKIP-UNTIL=12.0,", "") for text in (delta, full)]
    assert rules(audit.delta(now, *unoffered)) == ["skip-unasked"]
    assert rules(audit.delta(now, full, full)) == ["skip-ignored"]
    assert rules(audit.delta(now, delta.replace("VERSION:9", "VERSION:6"), full)) == ["version"]
    assert rules(audit.delta(now, delta.replace("seg_12", "seg_x"), full)) == ["skip-differs"]
    assert rules(audit.delta(now, delta.replace("SEGMENTS=2", "SEGMENTS=1"), full)) == ["skip-differs"]
    few = Maker(skip="CAN-SKIP-UNTIL=12.0,")
    few.parts = 8
    assert audit.delta(now, few.text(), few.text()) == []
    assert rules(audit.delta(now, few.text().replace("seg_3", "seg_x"), few.text())) == ["skip-differs"]
    lines = few.text().split("\n")
    first = lines.index("seg_0.mp4")
    lines[7 : first + 1] = ["#EXT-X-SKIP:SKIPPED-SEGMENTS=1"]
    lines[1] = "#EXT-X-VERSION:9"
    assert rules(audit.delta(now, "\n".join(lines), few.text())) == ["skip-too-much"]


# -- media ---------------------------------------------------------------------------------------------------


def box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return pack(">I4s", 8 + len(data), kind) + data


def init(*tracks: tuple[int, bytes, int]) -> bytes:
    """ftyp and moov of tracks, each with its ID, handler and timescale."""
    traks, trexes = [], []
    for number, handler, timescale in tracks:
        tkhd = box(b"tkhd", pack(">IIII", 3, 0, 0, number), bytes(68))
        mdhd = box(b"mdhd", pack(">IIII", 0, 0, 0, timescale), bytes(8))
        hdlr = box(b"hdlr", bytes(8), handler, bytes(13))
        stbl = box(b"stbl", box(b"stsd", pack(">III4s", 0, 1, 8, b"avc1")))
        traks.append(box(b"trak", tkhd, box(b"mdia", mdhd, hdlr, box(b"minf", stbl))))
        trexes.append(box(b"trex", pack(">IIIIII", 0, number, 1, 0, 0, 0)))
    return box(b"ftyp", b"iso6") + box(b"moov", *traks, box(b"mvex", *trexes))


def media(*runs: tuple[int, int, list[int], int | None]) -> bytes:
    """moof and mdat of runs, each with its track's ID, decode time, durations, and which one is a sync sample."""
    trafs, data = [], b""
    for number, start, durations, sync in runs:
        rows = b""
        for index, duration in enumerate(durations):
            flags = 0x02000000 if index == sync else 0x01010000
            rows += pack(">IIII", duration, 4, flags, 0)
            data += pack(">HH", number, (start + index) & 0xFFFF)
        tfhd = box(b"tfhd", pack(">II", 0x020000, number))
        tfdt = box(b"tfdt", pack(">IQ", 0x01000000, start))
        trun = box(b"trun", pack(">IIi", 0x01000F01, len(durations), 0), rows)
        trafs.append(box(b"traf", tfhd, tfdt, trun))
    return box(b"moof", box(b"mfhd", bytes(8)), *trafs) + box(b"mdat", data)


TRACKS = [(1, b"vide", 90_000), (2, b"soun", 48_000)]


class Shelf:
    """The media of `Maker`'s playlist: five pictures a part, and sound beside them."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.changed: dict[str, bytes] = {}

    def part(self, number: int, **changes: int | None) -> bytes:
        facts: dict[str, int | None] = {
            "off": 0,
            "sync": None if number % 2 else 0,
            "last": 18_000,
            "audio_off": 0,
            **changes,
        }
        durations = [18_000] * 4 + [int(facts["last"])]
        video = (1, number * 90_000 + int(facts["off"]), durations, facts["sync"])
        return media(video, (2, number * 48_000 + int(facts["audio_off"]), [1200] * 40, 0))

    def fetch(self, uri: str) -> bytes | None:
        if uri in self.gone:
            return None
        if uri in self.changed:
            return self.changed[uri]
        kind, _, number = uri.removesuffix(".mp4").partition("_")
        if kind == "init":
            return init(*TRACKS)
        if kind == "part":
            return self.part(int(number))
        return self.part(int(number) * 2) + self.part(int(number) * 2 + 1)


def audited(spoil: Callable[[Shelf], None], text: Callable[[str], str] = lambda t: t, parts: int = 40) -> list[str]:
    shelf, maker = Shelf(), Maker()
    audit = Audit(shelf.fetch)
    spoil(shelf)
    for now in range(parts):
        maker.parts += 1
        audit.snapshot(now, text(maker.text()))
    assert audit.media is not None
    assert audit.media.parts == parts
    assert audit.media.segments == parts // 2
    return rules(audit.violations)


def test_right_media_break_no_rule() -> None:
    assert audited(lambda shelf: None) == []


@pytest.mark.parametrize(
    ("rule", "uri", "data"),
    [
        ("timestamps", "part_5.mp4", Shelf().part(5, off=1)),
        ("timestamps", "part_5.mp4", Shelf().part(5, audio_off=-1)),
        ("timestamps", "part_5.mp4", Shelf().part(5) + Shelf().part(5)),
        ("duration", "part_5.mp4", Shelf().part(5, last=18_010)),
        ("independent-wrong", "part_4.mp4", Shelf().part(4, sync=None)),
        ("independent-missing", "part_5.mp4", Shelf().part(5, sync=0)),
        ("independent-inside", "part_5.mp4", Shelf().part(5, sync=2)),
        ("parts-differ", "seg_2.mp4", Shelf().part(4)),
        ("parts-differ", "seg_2.mp4", Shelf().part(4) + Shelf().part(5)[:-1] + b"x"),
        ("media", "part_5.mp4", b"nonsense"),
        ("media", "part_5.mp4", media((3, 0, [1], 0))),
        ("media", "init_0.mp4", b""),
        ("tracks", "init_0.mp4", None),
    ],
)  # fmt: skip
def test_wrong_media_break_the_rule(rule: str, uri: str, data: bytes | None) -> None:
    def spoil(shelf: Shelf) -> None:
        if data is not None:
            shelf.changed[uri] = data

    def other_init(text: str) -> str:
        """The init section changes within a discontinuity, and with it the timescale of sound."""
        tags = '#EXT-X-MAP:URI="init_x.mp4"\n#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:10'
        return text.replace("#EXT-X-PROGRAM-DATE-TIME:2026-05-01T10:00:10", tags)

    def other_track(shelf: Shelf) -> None:
        shelf.changed["init_x.mp4"] = init(TRACKS[0], (2, b"soun", 44_100))

    if rule == "tracks":
        found = audited(other_track, other_init)
        assert set(found) <= {"tracks", "map-change", "changed", "timestamps"}
    else:
        found = audited(spoil)
    assert rule in found


def test_segments_without_parts_are_looked_into_themselves() -> None:
    def plain(text: str) -> str:
        kept = [line for line in text.split("\n") if not line.startswith(("#EXT-X-PART", "#EXT-X-PRE", "#EXT-X-SERV"))]
        if kept[-2].startswith("#EXT-X-PROGRAM"):
            del kept[-2]
        return "\n".join(kept)

    for data, expected in (
        (Shelf().part(4) + Shelf().part(5), []),
        (Shelf().part(4) + Shelf().part(5, off=9), ["timestamps"]),
        (Shelf().part(4) + Shelf().part(5, last=17_000), ["duration", "timestamps"]),
    ):
        shelf, maker = Shelf(), Maker()
        shelf.changed["seg_2.mp4"] = data
        audit = Audit(shelf.fetch)
        for now in range(12):
            maker.parts += 1
            audit.snapshot(now, plain(maker.text()))
        assert rules(audit.violations) == expected


def test_a_viewer_may_join_in_the_middle_and_fetch_seldom() -> None:
    shelf, maker = Shelf(), Maker()
    maker.parts = 13
    audit = Audit(shelf.fetch, exact=False)
    for now in range(0, 60, 3):
        audit.snapshot(now, maker.text())
        maker.parts += 3
    assert audit.violations == []
    assert audit.media is not None
    assert audit.media.segments > 30


def test_independent_segments_are_independent() -> None:
    def promise(text: str) -> str:
        return text.replace("#EXT-X-PART-INF", "#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-PART-INF")

    def spoil(shelf: Shelf) -> None:
        shelf.changed["part_4.mp4"] = shelf.part(4, sync=None)
        shelf.changed["seg_2.mp4"] = shelf.part(4, sync=None) + shelf.part(5)

    assert audited(lambda shelf: None, promise) == []
    assert audited(spoil, promise) == ["independent-segments", "independent-wrong"]


def test_a_gap_takes_its_time() -> None:
    def gap(text: str) -> str:
        """Segment 2 is a gap."""
        for number in (4, 5):
            independent = ",INDEPENDENT=YES" if number == 4 else ""
            text = text.replace(f'00,URI="part_{number}.mp4"{independent}', '00,URI="gap.mp4",GAP=YES')
        return text.replace("#EXTINF:2.00000,\nseg_2.mp4", "#EXT-X-GAP\n#EXTINF:2.00000,\ngap.mp4")

    for off, expected in ((0, []), (90, ["timestamps"])):
        shelf, maker = Shelf(), Maker()
        shelf.changed["part_6.mp4"] = shelf.part(6, off=off, last=18_000 - off)
        shelf.gone.add("gap.mp4")
        audit = Audit(shelf.fetch, ignore=frozenset({"hint-wrong", "parts-differ", "duration"}))
        for now in range(10):
            maker.parts += 1
            audit.snapshot(now, gap(maker.text()))
        assert rules(audit.violations) == expected


def test_what_is_listed_and_what_has_left_can_be_had() -> None:
    for uri in ("part_5.mp4", "seg_2.mp4", "init_0.mp4"):
        shelf, maker = Shelf(), Maker()
        shelf.gone.add(uri)
        audit = Audit(shelf.fetch)
        run(maker, audit, 6)
        assert "not-available" in rules(audit.violations)
    # segment 0 is listed from 1 s on, and leaves at 17 s; 16 s and its own 2 after it came it may go
    for uri, after, expected in (
        ("seg_0.mp4", 16, ["gone-early", "not-available"]),
        ("seg_0.mp4", 18, ["gone-early"]),
        ("seg_0.mp4", 20, []),
        ("init_0.mp4", 18, ["gone-early"]),
        ("init_0.mp4", 36, ["gone-early"]),  # segment 9 needs it: listed from 19 s on
        ("init_0.mp4", 38, []),
        ("part_0.mp4", 8, ["gone-early"]),  # part 0 leaves at 7 s, and can be had 6 s more
        ("part_0.mp4", 12, ["gone-early"]),
        ("part_0.mp4", 13, []),
    ):
        shelf, maker = Shelf(), Maker()
        audit = Audit(shelf.fetch)
        now = run(maker, audit, after)
        shelf.gone.add(uri)
        run(maker, audit, 20, now)
        assert (uri, after, rules(audit.violations)) == (uri, after, expected)


def test_no_rule_is_left_out(request: pytest.FixtureRequest) -> None:
    """Runs last: what no test above has seen to fire may not fire at all."""
    config = request.config
    if (
        config.getoption("keyword")
        or config.getoption("lf", default=False)
        or any("::" in argument for argument in config.args)
    ):
        pytest.skip("only with the whole file")
    assert set(RULES) - SEEN == set()
