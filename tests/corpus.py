"""Reads the corpus of foreign cases where it lies; tests that need it skip, saying so, where it is absent."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("RTSPKIT_CORPUS") or Path(__file__).resolve().parent.parent.parent / "shared" / "corpus")


@cache
def document(name: str) -> dict[str, Any]:
    """The file `name` ("rtp/rtcp") of the corpus."""
    path = ROOT / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no corpus at {ROOT} (set RTSPKIT_CORPUS)", allow_module_level=True)
    with path.open(encoding="utf-8") as file:
        return dict(json.load(file))


def cases(name: str, *verdicts: str) -> list[dict[str, Any]]:
    """The cases of one file, of the given verdicts only where some are given."""
    return [case for case in document(name)["cases"] if not verdicts or case["verdict"] in verdicts]
