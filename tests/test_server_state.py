"""StateFile: what is kept over a restart, that the file is never behind, and that no file is worth a failure."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtspkit.muxer import Continuation, first_numbers
from rtspkit.server.config import Config
from rtspkit.server.state import (
    FIRST_DISCONTINUITIES,
    INTERVAL,
    KEEP_TARGETS,
    MAX_SIZE,
    RESERVE,
    Settings,
    StateFile,
    _BrokenFile,
    _decode,
    _directory,
    find_file,
)

PLAIN = Settings("fmp4", 1.0, None)
QUICK = Settings("lowLatency", 1.0, 0.2)
#: A day of 2027.
WALL = 1_800_000_000.0


@pytest.fixture
def lines() -> Iterator[list[str]]:
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(f"{record.levelname[:3]} {record.getMessage()}")  # type: ignore[method-assign]
    log = logging.getLogger("rtspkit.server")
    log.addHandler(handler)
    yield found
    log.removeHandler(handler)


def loaded(file: Path, wall: float = WALL, *, keeps: bool = False) -> StateFile:
    """As the next process finds it; `keeps`: and as that one writes it."""
    state = StateFile()
    state.load(file, wall)
    state._closed = not keeps
    return state


async def until(condition: Callable[[], Any], seconds: float = 3.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come to that"
        await asyncio.sleep(0.005)


def content(file: Path) -> Any:
    return json.loads(file.read_bytes())["paths"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "inside" / "state.json"


# -- numbers --------------------------------------------------------------


def test_first_numbers_without_a_file() -> None:
    assert StateFile().begin("cam", PLAIN, WALL) == Continuation(*first_numbers(WALL))


async def test_first_numbers_with_a_file_are_small(file: Path) -> None:
    for wall in (WALL, WALL + 1e6, WALL + 1e9):
        found = StateFile(file).begin("cam", PLAIN, wall)
        assert found.msn == int(wall)
        assert 0 <= found.discontinuity < FIRST_DISCONTINUITIES
        assert (found.target_duration, found.part_target) == (None, None)


def test_a_muxer_goes_on_from_the_one_before() -> None:
    state = StateFile()
    state.begin("cam", QUICK, WALL)
    last = Continuation(int(WALL) + 900, 7, 4, 220_000)
    state.note("cam", QUICK, last, WALL + 100)
    assert state.begin("cam", QUICK, WALL + 101) == last
    assert state.begin("other", QUICK, WALL + 101).discontinuity != 7
    assert state.begin("cam", QUICK, WALL + 2000).msn == int(WALL) + 2000
    assert state.begin("cam", QUICK, WALL - 9999).msn == int(WALL) + 2000  # nor where the clock was set back


@pytest.mark.parametrize(
    "other", [PLAIN, Settings("lowLatency", 2.0, 0.2), Settings("lowLatency", 1.0, 0.5), Settings("fmp4", 1.0, 0.2)]
)
def test_target_durations_are_for_the_same_settings_only(other: Settings) -> None:
    state = StateFile()
    state.note("cam", QUICK, Continuation(5, 7, 4, 220_000), WALL)
    found = state.begin("cam", other, WALL)
    assert (found.target_duration, found.part_target) == (None, None)
    assert found.discontinuity == 7


@pytest.mark.parametrize(("age", "kept"), [(-3600, True), (0, True), (KEEP_TARGETS - 1, True), (KEEP_TARGETS, False)])
def test_target_durations_are_kept_for_a_while(age: float, kept: bool) -> None:
    state = StateFile()
    state.note("cam", PLAIN, Continuation(5, 7, 4, None), WALL)
    found = state.begin("cam", PLAIN, WALL + age)
    assert found.target_duration == (4 if kept else None)
    assert found.discontinuity == 7


# -- over a restart -------------------------------------------------------


async def test_killed_and_started_again(file: Path) -> None:
    state = StateFile(file)
    first = state.begin("cam", QUICK, WALL)
    await until(file.exists)
    assert loaded(file).begin("cam", QUICK, WALL + 1).discontinuity > first.discontinuity
    state.note("cam", QUICK, Continuation(first.msn + 5, first.discontinuity + 1, 4, 220_000), WALL + 5)
    await until(lambda: content(file)["cam"]["targetDuration"] == 4)
    again = loaded(file, WALL + 6).begin("cam", QUICK, WALL + 6)
    assert (again.target_duration, again.part_target) == (4, 220_000)
    assert int(WALL) + 6 <= again.msn <= int(WALL) + 80
    assert first.discontinuity + 1 <= again.discontinuity <= first.discontinuity + 2 + RESERVE
    assert os.listdir(file.parent) == [file.name]
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert os.stat(file.parent).st_mode & 0o777 == 0o700


async def test_a_camera_that_comes_and_goes_does_not_write_each_time(file: Path, monkeypatch: Any) -> None:
    written: list[int] = []
    monkeypatch.setattr("rtspkit.server.state._DELAY", 0.0)
    real = os.fsync
    monkeypatch.setattr("os.fsync", lambda number: (written.append(1), real(number)))
    state = StateFile(file)
    number = state.begin("cam", PLAIN, WALL).discontinuity
    for step in range(1, 100):
        state.note("cam", PLAIN, Continuation(int(WALL) + step, number + step, 2), WALL + step)
        await asyncio.sleep(0)
        await until(lambda: state._timer is None and (state._writing is None or state._writing.done()))
        stored = content(file)["cam"]["discontinuity"]
        assert number + step < stored <= number + step + 1 + RESERVE  # never behind
    assert 99 / (RESERVE + 2) <= len(written) <= 99 / RESERVE + 2


async def test_a_clean_end_stores_the_numbers_themselves(file: Path) -> None:
    state = StateFile(file)
    number = state.begin("cam", PLAIN, WALL).discontinuity
    last = Continuation(int(WALL) + 99, number + 1, 2)
    state.note("cam", PLAIN, last, WALL + 99)
    await state.close()
    assert loaded(file, WALL + 99).begin("cam", PLAIN, WALL + 99) == last
    await state.close()
    state.note("cam", PLAIN, Continuation(1, 1000), WALL)  # too late: not written
    await asyncio.sleep(0.1)
    assert content(file)["cam"]["discontinuity"] == number + 1


async def test_nothing_is_written_before_a_muxer_starts(file: Path) -> None:
    state = loaded(file, keeps=True)
    await state.close()
    assert not file.parent.exists()


async def test_a_clock_set_back_while_the_gateway_was_down(file: Path) -> None:
    state = StateFile(file)
    state.note("cam", PLAIN, Continuation(int(WALL) + 50, 3, 2), WALL)
    await state.close()
    assert loaded(file, WALL + 1).begin("cam", PLAIN, WALL + 1).msn == int(WALL) + 50
    assert loaded(file, WALL - 3600).begin("cam", PLAIN, WALL - 3600).msn >= int(WALL) + 50 + INTERVAL


async def test_numbers_that_are_ahead_of_the_clock(file: Path) -> None:
    """A Low-Latency playlist begins with gaps, which have numbers of their own."""
    wall, msn = WALL, int(WALL)
    for _ in range(5):
        state = loaded(file, wall, keeps=True)
        first = state.begin("cam", QUICK, wall)
        assert first.msn > msn or first.msn == int(WALL)
        target = Continuation(first.msn + 4, first.discontinuity + 1, 4, 220_000)
        state.note("cam", QUICK, target, wall + 0.5)
        await until(lambda state=state: state._timer is None and state._writing is not None and state._writing.done())
        before = content(file)
        for second in range(1, 60):  # from then on one a second at most
            state.note("cam", QUICK, replace(target, msn=target.msn + second), wall + 0.5 + second)
        assert state._timer is None
        assert content(file) == before
        msn, wall = target.msn + 59, wall + 60  # killed
    assert loaded(file, WALL + 9000).begin("cam", QUICK, WALL + 9000).msn == int(WALL) + 9000


async def test_many_muxers_at_once_are_few_writes(file: Path, monkeypatch: Any) -> None:
    written: list[int] = []
    real = os.fsync
    monkeypatch.setattr("os.fsync", lambda number: (written.append(1), real(number)))
    state = StateFile(file)
    for number in range(1000):
        state.begin(f"cam{number}", QUICK, WALL)
    await until(lambda: file.exists() and state._writing is not None and state._writing.done())
    assert len(content(file)) == 1000
    assert len(written) == 1


async def test_a_disk_that_does_not_answer_holds_up_nothing(file: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("rtspkit.server.state._replace", lambda *_: time.sleep(2))
    state = StateFile(file)
    started = time.monotonic()
    state.begin("cam", PLAIN, WALL)
    await asyncio.sleep(0.1)
    state.note("cam", PLAIN, Continuation(7, 5000, 2), WALL)
    await asyncio.sleep(0.1)
    assert time.monotonic() - started < 0.6
    await state.close()
    assert time.monotonic() - started < 1.5


# -- what may be wrong with a file ----------------------------------------


GOOD = {
    "at": 1.0,
    "msn": 2,
    "discontinuity": 3,
    "variant": "fmp4",
    "segmentDuration": 1.0,
    "partDuration": None,
    "targetDuration": None,
    "partTarget": None,
}


def text(**changes: Any) -> bytes:
    return json.dumps({"rtspkit": 1, "paths": {"cam": {**GOOD, **changes}}}).encode()


def test_the_good_one_is_good(tmp_path: Path, lines: list[str]) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(text())
    assert loaded(file, 1.0)._entries["cam"].continuation == Continuation(3, 3)
    assert lines == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\x00",
        b"[" * 100_000,
        b"9" * 100_000,
        b"null",
        b"[]",
        b'{"paths": {}}',
        b'{"rtspkit": 2, "paths": {}}',
        b'{"rtspkit": 1, "paths": []}',
        b'{"rtspkit": 1}',
        b'{"rtspkit": 1, "paths": {"cam": []}}',
        json.dumps({"rtspkit": 1, "paths": {str(n): GOOD for n in range(10_001)}}).encode(),
        text(variant="hls"),
        text(msn=-1),
        text(msn=True),
        text(msn=1.5),
        text(msn=1 << 60),
        text(discontinuity=1 << 30),
        text(discontinuity=None),
        text(targetDuration=0),
        text(targetDuration="4"),
        text(partTarget=-1),
        text(segmentDuration=1e99),
        text(at="now"),
        text(at=None),
        b" " * (MAX_SIZE + 1),
    ],
    ids=lambda data: data[:30].decode("ascii", "replace"),
)
async def test_a_broken_file_is_one_warning(tmp_path: Path, data: bytes, lines: list[str]) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(data)
    state = loaded(file, keeps=True)
    assert [line[:10] for line in lines] == ["WAR [state"]
    assert "is ignored" in lines[0]
    assert len(lines[0]) < 300
    state.begin("cam", PLAIN, WALL)
    await state.close()
    assert "cam" in content(file)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str.encode and repr))
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes(data: bytes | str) -> None:
    try:
        _decode(data if isinstance(data, bytes) else data.encode(), WALL)
    except _BrokenFile:
        return
    raise AssertionError("that was no state")


@given(
    st.dictionaries(
        st.sampled_from(sorted(GOOD)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        min_size=1,
    )
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_any_values(changes: dict[str, Any]) -> None:
    try:
        entries = _decode(text(**changes), WALL)
    except _BrokenFile:
        return
    found = StateFile()
    found._entries = entries
    assert found.begin("cam", PLAIN, WALL).msn >= int(WALL)


def test_a_pipe_in_its_place_does_not_hold_up_the_start(tmp_path: Path, lines: list[str]) -> None:
    file = tmp_path / "a.json"
    os.mkfifo(file)
    loaded(file)
    assert "it is no file" in lines[0]


async def test_a_link_in_the_temporary_files_place_is_not_followed(tmp_path: Path, lines: list[str]) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    file = tmp_path / "a.json"
    file.with_name("a.json.tmp").symlink_to(victim)
    state = StateFile(file)
    state.begin("cam", PLAIN, WALL)
    await state.close()
    await asyncio.sleep(0)
    assert victim.read_text() == "mine"
    assert "cannot be written" in lines[0]


async def test_a_directory_that_cannot_be_written_is_one_warning(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "file").write_text("")
    state = StateFile(tmp_path / "file" / "a.json")
    for step in range(5):
        state.note("cam", PLAIN, Continuation(7, 1000 * step, 2), WALL)
        await until(lambda: state._writing is not None and state._writing.done())
        await asyncio.sleep(0)
    await state.close()
    assert len(lines) == 1
    assert "cannot be written (File exists)" in lines[0]
    assert state.begin("cam", PLAIN, WALL).discontinuity == 4000


# -- where it lies --------------------------------------------------------


def place(config: Config, **environ: str) -> Path | None:
    return find_file(config, environ)


def test_directories(tmp_path: Path, lines: list[str]) -> None:
    home, own = str(tmp_path / "home"), str(tmp_path / "own")
    Path(home).mkdir()
    config = Config()
    chosen = place(config.model_copy(update={"state_directory": own}), HOME=home, STATE_DIRECTORY="/nothing")
    assert chosen is not None
    name = chosen.name
    assert chosen == tmp_path / "own" / name
    assert place(config, HOME=home, STATE_DIRECTORY=f"{own}:/var/x") == tmp_path / "own" / name
    assert place(config, HOME=home, XDG_STATE_HOME=own) == tmp_path / "own" / "rtspkit" / name
    assert place(config, HOME=home) == tmp_path / "home" / ".local" / "state" / "rtspkit" / name
    assert place(config, HOME=home, XDG_STATE_HOME="relative") == place(config, HOME=home)
    assert _directory("", {}) == _directory("", {"HOME": "/"}) == Path("/var/lib/rtspkit")
    assert _directory("", {"HOME": f"{home}/none"}) == Path("/var/lib/rtspkit")
    assert not (tmp_path / "own").exists()  # made with the first write
    assert lines == []


def test_a_file_for_each_configuration_and_address(tmp_path: Path) -> None:
    config = Config().model_copy(update={"state_directory": str(tmp_path)})
    others = [
        config,
        config.model_copy(update={"hls_address": ":8889"}),
        config.model_copy(update={"origin": "a.yml"}),
        config.model_copy(update={"origin": "b.yml"}),
    ]
    assert len({place(other) for other in others}) == 4
    assert place(others[2]) == place(config.model_copy(update={"origin": os.path.abspath("a.yml")}))


@pytest.mark.parametrize("changes", [{"state_directory": "no"}, {"hls": False}, {"hls_address": "127.0.0.1:0"}])
def test_nowhere(tmp_path: Path, changes: dict[str, Any], lines: list[str]) -> None:
    config = Config().model_copy(update={"state_directory": str(tmp_path), **changes})
    assert place(config) is None
    assert lines == []


def test_nothing_that_can_be_written(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "file").write_text("")
    config = Config().model_copy(update={"state_directory": str(tmp_path / "file" / "x")})
    assert place(config) is None
    (line,) = lines
    assert "file/x cannot be written" in line
    assert "stateDirectory" in line
