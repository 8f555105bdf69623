import pytest

from rtspkit.keepalive import Keepalive
from rtspkit.memory import CameraMemory

AGGREGATE, BASE = "rtsp://cam/all", "rtsp://cam/"


def course(memory: CameraMemory, methods: tuple[str, ...], count: int) -> list[tuple[str, str]]:
    """What is asked of a camera that answers nothing."""
    keepalive, asked = Keepalive(memory), []
    for _ in range(count):
        asked.append(keepalive.request(methods, (AGGREGATE, BASE)))
        keepalive.failed()
    return asked


def test_every_kind_is_tried_and_then_all_of_them_again() -> None:
    everything = ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER")
    kinds = ["GET_PARAMETER", "OPTIONS", "SET_PARAMETER"]
    row = [(method, url) for url in (AGGREGATE, BASE) for method in kinds]
    assert course(CameraMemory(), everything, 8) == [*row, *row[:2]]


def test_what_is_not_announced_is_asked_later_or_never() -> None:
    asked = course(CameraMemory(), (), 4)
    assert [method for method, _ in asked] == ["OPTIONS", "GET_PARAMETER", "OPTIONS", "GET_PARAMETER"]


def test_what_was_answered_is_gone_on_with_and_remembered() -> None:
    memory = CameraMemory()
    keepalive = Keepalive(memory)
    keepalive.request(("GET_PARAMETER",), (AGGREGATE,))
    keepalive.failed()
    for _ in range(3):
        assert keepalive.request(("GET_PARAMETER",), (AGGREGATE,)) == ("OPTIONS", AGGREGATE)
        keepalive.succeeded()
    assert memory.keepalive_method == "OPTIONS"
    assert course(memory, ("GET_PARAMETER",), 2) == [("OPTIONS", AGGREGATE), ("GET_PARAMETER", AGGREGATE)]


def test_one_url_is_not_asked_twice() -> None:
    keepalive = Keepalive(CameraMemory())
    for expected in ("OPTIONS", "GET_PARAMETER", "OPTIONS"):
        assert keepalive.request((), (BASE, BASE)) == (expected, BASE)
        keepalive.failed()


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 30), (60, 30), (20, 10), (600, 30), (1, 0.5), (0, 30)])
def test_interval(timeout: int | None, seconds: float) -> None:
    assert Keepalive.interval(timeout) == seconds
