"""What the micro benches share: a second of a camera's stream, and a closing line with the ratio in each group."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # the references live beside the tests


@pytest.fixture(scope="session")
def ticks() -> list[bytes]:
    """One second of a camera."""
    from stream import camera_ticks

    return camera_ticks(1)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints how much faster the fastest of each group is than the others."""
    groups: dict[str, list[Any]] = {}
    for bench in getattr(getattr(config, "_benchmarksession", None), "benchmarks", []):
        if bench.stats.rounds:
            groups.setdefault(bench.group or bench.name, []).append(bench)
    for group, benches in groups.items():
        first, *others = sorted(benches, key=lambda bench: bench.stats.median)
        for other in others:
            ratio = other.stats.median / first.stats.median
            terminalreporter.write_line(f"{group}: {first.name} is {ratio:.1f} times as fast as {other.name}")
