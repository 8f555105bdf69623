"""Whatever a camera comes to do, in whatever order: every playlist is right by the draft, deadlines left aside."""

from hlsrules import Audit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stories import FIRST, Camera, Step, steps

from rtspkit.muxer import Muxer, Response

#: What a story cannot be asked for: its clock and its media have nothing to do with each other.
LEFT_ASIDE = {"part-late", "segment-late"}
#: What is known and accepted: see `test_live_rules`; units longer than a part leave no part to hint.
ACCEPTED = {"version-high", "independent-inside", "hint-missing"}


def body(response: Response | None) -> bytes | None:
    if response is None or response.status != 200:
        return None
    assert isinstance(response.body, tuple)
    return b"".join(response.body)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    story=st.lists(steps(), max_size=40),
    part_duration=st.sampled_from([None, 0.2, 0.5, 1.0]),
    duration=st.sampled_from([1.0, 2.0, 4.0]),
    count=st.integers(1, 9),
    with_audio=st.booleans(),
    listens=st.booleans(),
)
def test_any_story_is_right_by_the_draft(
    *, story: list[Step], part_duration: float | None, duration: float, count: int, with_audio: bool, listens: bool
) -> None:
    camera = Camera(with_video=True, with_audio=with_audio)
    muxer = Muxer(
        camera.tracks(0),
        segment_duration=duration,
        segment_count=count,
        part_duration=part_duration,
        epoch="e",
        now=camera.now,
        wall=FIRST + camera.now,
    )
    changed: list[bool] = []
    muxer.subscribe(lambda: changed.append(True))
    audit = Audit(lambda uri: body(muxer.get(uri)), ignore=frozenset(LEFT_ASIDE | ACCEPTED))
    now = camera.now

    def look() -> None:
        if not changed:
            return
        changed.clear()
        text = body(muxer.get("stream.m3u8"))
        if text is None:
            return
        found = audit.snapshot(now, text.decode())
        if part_duration is not None:
            delta = body(muxer.get("stream.m3u8", skip=True))
            assert delta is not None
            found += audit.delta(now, delta.decode(), text.decode())
        assert not found, "\n".join(map(str, found))

    for step in story:
        fragment = camera.fragment(step) if step.units is not None else None
        while listens and (timeout := muxer.next_timeout()) is not None and timeout <= camera.now:
            now = max(now, timeout)
            muxer.handle_timeout(now=now, wall=FIRST + now)
            look()
        now = max(now, camera.now)
        if fragment is None:
            muxer.interrupt()
        else:
            muxer.write(fragment, now=now, wall=FIRST + now)
        look()
