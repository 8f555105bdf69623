"""Output: one muxer after the other under one URL, its clock, and what is noted of it."""

import asyncio
import re
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from test_server_paths import AUDIO, VIDEO, fragment, until

from rtspkit.muxer import Continuation, Muxer
from rtspkit.server.config import PathConfig
from rtspkit.server.output import Output
from rtspkit.server.state import Settings, StateFile

SETTINGS = Settings("fmp4", 1.0, None)


def output(state: StateFile | None = None, **options: Any) -> Output:
    config = PathConfig(**{"hls_segment_duration": 1.0, **options})
    return Output("cam", config, StateFile() if state is None else state)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How each muxer was made."""
    found: list[dict[str, Any]] = []

    class Spy(Muxer):
        def __init__(self, tracks: Any, **options: Any) -> None:
            found.append(options)
            super().__init__(tracks, **options)

    monkeypatch.setattr("rtspkit.server.output.Muxer", Spy)
    return found


async def test_a_muxer_goes_on_from_the_one_before(made: list[dict[str, Any]]) -> None:
    one = output()
    for number in range(3):
        muxer = one.open((VIDEO,))
        if number:
            last = made[number - 1]
            assert made[number]["first_msn"] > last["first_msn"]
            assert made[number]["first_discontinuity"] > last["first_discontinuity"]
            assert made[number]["continues"].target_duration == 1
        for unit in range(4):
            one.write(fragment(unit))
        assert muxer.has_media
        assert one.close("again")
        assert one.muxer is None
        assert not one.close("twice")


async def test_a_playlist_says_why_there_is_no_picture() -> None:
    """The words are those of now: the camera may have been set to something else while it was away."""
    one = output()

    def said() -> list[str]:
        assert one.muxer is not None
        response = one.muxer.get("index.m3u8")
        assert response is not None
        assert isinstance(response.body, tuple)
        return [line for line in response.body[0].decode().splitlines() if "SESSION-DATA" in line]

    sound = replace(AUDIO, index=0)
    one.open((sound,), ("track 1 (M-JPEG, choose H.264 or H.265)",))
    (line,) = said()
    assert line == (
        '#EXT-X-SESSION-DATA:DATA-ID="rtspkit.no-picture",VALUE="the camera sends M-JPEG; choose H.264 or H.265'
        ' in its settings, or another of its streams"'
    )
    one.announce("", (sound,), ("track 1 (MP4V-ES, choose H.264 or H.265)",))
    assert "sends MPEG-4 video;" in said()[0]
    one.announce("", (sound,), ("track 1 (VND.ONVIF.METADATA)",))
    assert said() == []
    one.close("again")
    one.open((VIDEO, AUDIO), ("track 3 (M-JPEG, choose H.264 or H.265)",))
    assert said() == []


async def test_segments_are_dated_by_the_cameras_clock_where_that_is_wanted() -> None:
    """The camera's is half a minute ahead."""
    ahead = time.time() + 30
    for wanted, least in ((False, -5), (True, 25)):
        one = output(use_absolute_timestamp=wanted)
        muxer = one.open((VIDEO,))
        for unit in range(4):
            one.write(fragment(unit)._replace(wall_clock=ahead + unit))
        playlist = muxer.get("stream.m3u8")
        assert playlist is not None
        assert isinstance(playlist.body, tuple)
        date = re.search(r"PROGRAM-DATE-TIME:(\S+)", b"".join(playlist.body).decode())
        assert date is not None
        assert least < datetime.fromisoformat(date[1]).timestamp() - time.time() < least + 10
        one.close("done")


async def test_numbers_of_the_state_are_used_as_they_are(made: list[dict[str, Any]]) -> None:
    state = StateFile()
    stored = Continuation(int(time.time()) + 1000, 5, 3, None)
    state.note("cam", SETTINGS, stored)
    one = output(state)
    one.open((VIDEO,))
    assert (made[0]["first_msn"], made[0]["first_discontinuity"]) == (stored.msn, 5)
    assert made[0]["continues"] == stored
    one.close("no media")
    assert state.begin("cam", SETTINGS) == stored  # nothing was used up


async def test_what_must_not_be_used_again_is_noted_at_once() -> None:
    state = StateFile()
    one = output(state)
    muxer = one.open((VIDEO,))
    first = state.begin("cam", SETTINGS)
    assert first.target_duration is None
    for unit in range(3):
        one.write(fragment(unit))
    assert state.begin("cam", SETTINGS).target_duration == 1
    for _ in range(3):
        one.interrupt()
        one.write(fragment(0))
        one.write(fragment(1))
    noted = state.begin("cam", SETTINGS)
    assert noted.discontinuity == muxer.continuation.discontinuity >= first.discontinuity + 3
    assert noted.msn <= muxer.continuation.msn
    one.note()
    assert state.begin("cam", SETTINGS).msn == muxer.continuation.msn


async def test_segments_on_disk_and_what_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write segments"):
        output(hls_directory=str(tmp_path / "file")).open((VIDEO,))
    one = output(hls_directory=str(tmp_path))
    one.open((VIDEO,))
    for unit in range(3):
        one.write(fragment(unit))
    assert list((tmp_path / "cam").glob("seg_*.mp4"))
    one.report_disk()
    one.close("")


# -- the muxer's clock ----------------------------------------------------


class Clock:
    """Takes the place of a muxer's own times."""

    def __init__(self, muxer: Muxer, monkeypatch: pytest.MonkeyPatch, *, period: float = 0.05) -> None:
        self.due: float | None = None
        self.period = period
        self.asked = 0
        self.fired: list[float] = []
        monkeypatch.setattr(muxer, "next_timeout", self.next_timeout)
        monkeypatch.setattr(muxer, "handle_timeout", self.handle_timeout)

    def next_timeout(self) -> float | None:
        self.asked += 1
        return self.due

    def handle_timeout(self, *, now: float, wall: float) -> None:
        assert abs(now - time.monotonic()) < 1
        assert abs(wall - time.time()) < 1
        self.fired.append(now)
        if self.due is not None and now >= self.due:
            self.due = now + self.period


async def test_the_clock_is_armed_with_media_and_runs_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    one = output()
    clock = Clock(one.open((VIDEO,)), monkeypatch)
    await asyncio.sleep(0.03)
    one.write(fragment(0))
    assert clock.fired == []
    clock.due = time.monotonic() + 0.1
    one.write(fragment(1))
    await until(lambda: len(clock.fired) >= 4)
    one.close("enough")
    count = len(clock.fired)
    await asyncio.sleep(0.15)
    assert len(clock.fired) == count


async def test_media_in_time_cost_the_clock_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one = output()
    clock = Clock(one.open((VIDEO,)), monkeypatch)
    clock.due = time.monotonic() + 0.2
    for number in range(30):
        one.write(fragment(number))
        clock.due = time.monotonic() + 0.2
        await asyncio.sleep(0.01)
    assert clock.asked <= 4
    await until(lambda: clock.due is not None and bool(clock.fired) and clock.fired[-1] >= clock.due - 0.06)
    one.close("")


async def test_a_clock_that_is_always_due_does_not_eat_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    one = output()
    clock = Clock(one.open((VIDEO,)), monkeypatch, period=0.0)
    clock.due = 1.0
    one.write(fragment(0))
    await asyncio.sleep(0.2)
    assert 2 <= len(clock.fired) <= 45
    one.close("")


async def test_a_fault_in_the_clock_is_logged_and_media_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = output()
    muxer = one.open((VIDEO,))
    monkeypatch.setattr(muxer, "next_timeout", lambda: time.monotonic())
    monkeypatch.setattr(muxer, "handle_timeout", lambda **_: 1 / 0)
    with caplog.at_level("ERROR", "rtspkit.server"):
        one.write(fragment(0))
        await asyncio.sleep(0.05)
    assert [record.getMessage() for record in caplog.records] == ["[HLS] [muxer cam] internal error"]
    one.write(fragment(1))
    one.write(fragment(2))
    assert one.has_media
    one.close("")


# -- low latency ----------------------------------------------------------


async def test_low_latency_settings_reach_the_muxer(made: list[dict[str, Any]]) -> None:
    output(hls_variant="lowLatency", hls_part_duration=0.5).open((VIDEO,))
    output(hls_part_duration=0.5).open((VIDEO,))
    assert [options["part_duration"] for options in made] == [0.5, None]
