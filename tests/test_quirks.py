import json
import re
from pathlib import Path
from typing import Any

import pytest
from dialogue import Dialogue

from rtspkit.formats import MediaTrack
from rtspkit.h264 import parse_sps
from rtspkit.media import H264Parameters
from rtspkit.quirks import SENTENCES, Quirks
from rtspkit.rtsp import Connection, Described

PACKAGE = Path(__file__).resolve().parent.parent / "rtspkit"


def test_what_was_met_first_stands_first() -> None:
    quirks = Quirks()
    for name in ("cseq", "garbage", "cseq"):
        quirks.note(name)
    quirks.note("blank-lines", False)
    assert list(quirks.items()) == [("cseq", SENTENCES["cseq"]), ("garbage", SENTENCES["garbage"])]
    assert quirks == {"cseq": SENTENCES["cseq"], "garbage": SENTENCES["garbage"]}


def test_an_unknown_one_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Quirks().note("csec")


@pytest.mark.parametrize("name", SENTENCES)
def test_the_table(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert re.fullmatch(r"[A-Z][^.\n]*\.", SENTENCES[name])
    assert len(SENTENCES[name]) <= 110


def test_whatever_is_noted_is_in_the_table() -> None:
    noted = {
        name for path in PACKAGE.glob("*.py") for name in re.findall(r'\bnote\(\s*"([^"]+)"', path.read_text("utf-8"))
    }
    assert noted <= set(SENTENCES)


# -- cameras -------------------------------------------------------------------

CAMERAS = Path(__file__).parent / "data" / "cameras"
SDPS, DIALOGUES = (sorted(path.stem for path in CAMERAS.glob(pattern)) for pattern in ("*.sdp", "*.rtsp"))


def expected_of(name: str) -> dict[str, Any]:
    return dict(json.loads((CAMERAS / f"{name}.json").read_text("utf-8")))


def described(track: MediaTrack) -> str:
    made = track.track
    sets = "with" if made.parameters is not None else "without"
    return f"{made.kind} {made.codec}/{made.clock_rate}, type {track.payload_type}, {sets} parameter sets, {track.url}"


@pytest.mark.parametrize("name", SDPS)
def test_descriptions_of_cameras(name: str) -> None:
    """What DESCRIBE gives, and nothing else than the quirk of the camera that the file is named after."""
    expected = expected_of(name)
    connection = Connection(expected.get("url", "rtsp://192.0.2.10/stream1"))
    connection.describe(0.0)
    body = (CAMERAS / f"{name}.sdp").read_bytes()
    headers = expected.get("headers", {"Content-Type": "application/sdp"}) | {"Content-Length": len(body)}
    lines = ["RTSP/1.0 200 OK", "CSeq: 1", *(f"{key}: {value}" for key, value in headers.items())]
    connection.receive_data("\r\n".join([*lines, "", ""]).encode() + body, 0.0)
    event = connection.next_event()
    assert isinstance(event, Described)
    assert [described(track) for track in event.tracks] == expected["tracks"]
    assert list(event.skipped) == expected["skipped"]
    assert sorted(connection.quirks) == expected["quirks"]
    for track in event.tracks:
        if isinstance(track.track.parameters, H264Parameters):
            assert parse_sps(track.track.parameters.sps).width == 320


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogues_with_cameras(name: str) -> None:
    expected = expected_of(name)
    dialogue = Dialogue(Connection(expected.get("url", "rtsp://192.0.2.10/stream1")))
    dialogue.play((CAMERAS / f"{name}.rtsp").read_text("utf-8"))
    assert dialogue.events == expected["events"]
    assert sorted(dialogue.connection.quirks) == expected["quirks"]


def test_every_quirk_of_the_signalling_has_a_camera() -> None:
    met = {quirk for name in (*SDPS, *DIALOGUES) for quirk in expected_of(name)["quirks"]}
    names = list(SENTENCES)
    assert set(names[: names.index("marker-never-set")]) <= met


def test_every_camera_has_both_files() -> None:
    stems = [path.stem for path in CAMERAS.glob("*.json") if path.stem != "challenges"]
    assert sorted(stems) == sorted([*SDPS, *DIALOGUES])
    for name in stems:
        assert {"camera", "does", "seen", "quirks"} <= set(expected_of(name))
