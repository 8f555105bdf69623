"""The report as data."""

import dataclasses
import json

from rtspkit.report import SCHEMA, Address, Advice, ProbeReport, Timings, TrackReport

REPORT = ProbeReport(
    url="rtsp://admin:***@h/",
    plays=False,
    problem=Advice("no-sync", "nothing to begin with", ("wait",)),
    address=Address("h", 554, None),
    timings=Timings(connect=0.123456789),
    tracks=(TrackReport(0, "video", "h264", None, 90000, gop_units=(1, 2)),),
    skipped=("track 2 (PCMU)",),
)


def test_json_has_every_name() -> None:
    found = json.loads(REPORT.to_json())
    assert found.pop("schema") == SCHEMA
    assert found.keys() == {field.name for field in dataclasses.fields(ProbeReport)}
    assert found["tracks"][0].keys() == {field.name for field in dataclasses.fields(TrackReport)}


def test_json_is_plain() -> None:
    found = json.loads(REPORT.to_json())
    assert found["problem"] == {"id": "no-sync", "text": "nothing to begin with", "try_next": ["wait"]}
    assert found["timings"]["connect"] == 0.123457
    assert found["timings"]["play"] is None
    assert found["tracks"][0]["gop_units"] == [1, 2]
    assert found["skipped"] == ["track 2 (PCMU)"]


def test_printed_it_is_for_people() -> None:
    assert "DOES NOT PLAY" in str(REPORT)
