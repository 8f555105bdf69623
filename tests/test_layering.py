"""The rules of docs/design about who may import whom, checked from the imports themselves."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "rtspkit"

GROUND = {"errors", "limits", "media"}
CAMERA_SIDE = {"sdp", "formats", "latm", "nalpacking", "auth", "url", "messages", "rtsp", "_rtp", "rtp", "health"} | {
    "memory",
    "quirks",
    "control",
    "events",
    "answers",
    "ranges",
    "keepalive",
    "clocks",
    "liveness",
    "reports",
    "options",
    "resolver",
    "dial",
    "links",
    "tls",
    "tunnel",
    "httphead",
    "ticker",
    "conversation",
    "datagrams",
    "poller",
    "client",
    "units",
    "reader",
    "transcript",
    "scrub",
    "recording",
    "replay",
    "report",
    "findings",
    "diagnosis",
    "reporttext",
    "prober",
}
VIEWER_SIDE = {
    "_fmp4",
    "fmp4",
    "sample_entries",
    "restamp",
    "standing",
    "silence",
    "companion",
    "dates",
    "parts",
    "reordering",
} | {
    "decoding",
    "pictureorder",
    "timeline",
    "_flac",
    "repack",
    "segments",
    "cutter",
    "segmenter",
    "rates",
    "playlist",
    "store",
    "window",
    "collector",
    "responses",
    "muxer",
    "asgitypes",
    "waiting",
    "asgi",
}
SHARED = {"h264", "h265", "aac", "opus", "flac", "codecs", "_bits"}
SENDING = {"packetizer"}  # of neither side: the receiving half is checked against it
SHELLS = {
    "client",
    "dial",
    "links",
    "tls",
    "tunnel",
    "conversation",
    "datagrams",
    "poller",
    "units",
    "resolver",
    "ticker",
    "reader",
    "waiting",
    "asgi",
    "replay",
    "prober",
}
WORLDLY = {"asyncio", "socket", "select", "selectors", "ssl", "threading", "time", "datetime", "concurrent", "signal"}


def modules() -> dict[str, Path]:
    found = {path.stem: path for path in PACKAGE.glob("*.py")}
    found |= {path.stem: path for path in PACKAGE.glob("*.pyx")}
    return {name: path for name, path in found.items() if name not in {"__init__", "_version"}}


def for_tests() -> dict[str, Path]:
    """The modules of `rtspkit.testing`."""
    return {str(path.relative_to(PACKAGE)): path for path in (PACKAGE / "testing").rglob("*.py")}


def imports(path: Path) -> set[str]:
    """Absolute names of all modules a file imports, at any depth."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        lines = [
            line for line in text.splitlines() if line.startswith(("from ", "import ")) and " cimport " not in line
        ]
        text = "\n".join(lines)
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            module = node.module or ""
            found.add(module)
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def own(path: Path) -> set[str]:
    """The modules of this package that a file imports, by their first name."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("rtspkit.")}


def test_every_module_is_known() -> None:
    assert set(modules()) == GROUND | SHARED | CAMERA_SIDE | VIEWER_SIDE | SENDING


@pytest.mark.parametrize("name", sorted(SHARED))
def test_what_both_sides_share_stands_on_the_ground(name: str) -> None:
    assert own(modules()[name]) <= GROUND | SHARED


@pytest.mark.parametrize("name", sorted(CAMERA_SIDE | VIEWER_SIDE))
def test_no_side_knows_the_sending_half(name: str) -> None:
    assert not own(modules()[name]) & SENDING


@pytest.mark.parametrize("name", sorted(CAMERA_SIDE))
def test_the_camera_side_does_not_know_the_viewer_side(name: str) -> None:
    assert not own(modules()[name]) & VIEWER_SIDE


@pytest.mark.parametrize("name", sorted(VIEWER_SIDE))
def test_the_viewer_side_does_not_know_the_camera_side(name: str) -> None:
    assert not own(modules()[name]) & CAMERA_SIDE


@pytest.mark.parametrize("name", sorted(modules()))
def test_nothing_imports_the_gateway_or_what_is_for_tests(name: str) -> None:
    assert not own(modules()[name]) & {"server", "testing"}


@pytest.mark.parametrize("name", sorted(for_tests()))
def test_what_is_for_tests_is_of_neither_side(name: str) -> None:
    """It sends, and reads messages; the receiving half is checked against it."""
    assert own(for_tests()[name]) <= GROUND | SHARED | SENDING | {"messages", "testing", "_version"}


@pytest.mark.parametrize("name", sorted(GROUND))
def test_the_ground_imports_nothing_of_the_package(name: str) -> None:
    assert not own(modules()[name])


@pytest.mark.parametrize("name", ["_rtp", "_fmp4", "_flac"])
def test_the_extensions_stand_on_the_ground(name: str) -> None:
    assert own(modules()[name]) <= GROUND | {"_wire"}


@pytest.mark.parametrize("name", sorted(set(modules()) - SHELLS))
def test_time_and_sockets_are_arguments_below_the_shells(name: str) -> None:
    assert not {module.split(".")[0] for module in imports(modules()[name])} & WORLDLY
