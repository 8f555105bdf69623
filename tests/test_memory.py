from rtspkit.memory import CameraMemory


def test_nothing_is_known_of_a_new_camera() -> None:
    first, second = CameraMemory(), CameraMemory()
    first.digest_origins.add(("rtsp", "cam", 554))
    assert (second.transport, second.digest_origins, second.keepalive_method) == (None, set(), None)
    assert (second.reconnects, second.last_error) == (0, "")
