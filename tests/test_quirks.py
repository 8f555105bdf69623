import re
from pathlib import Path

import pytest

from rtspkit.quirks import SENTENCES, Quirks

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
