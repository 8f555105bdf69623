"""Dialling: whatever goes wrong is an error of the package's, and no socket stays behind."""

import socket

import pytest
from sockets import reset_at_close

import rtspkit


async def test_a_camera_that_resets_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def reset(_: socket.socket) -> None:  # between connect(2) and the first use
            theirs, _ = server.accept()
            reset_at_close(theirs)
            theirs.close()

        monkeypatch.setattr("rtspkit.dial._tune", reset)
        with pytest.raises(rtspkit.ConnectionLost, match="dropped the connection: connection reset by peer"):
            await rtspkit.client.connect(f"rtsp://127.0.0.1:{server.getsockname()[1]}/")


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "rtsp+http", "rtsps+http"])
@pytest.mark.parametrize("host", ["a..b", ".b", "a" * 64 + ".b"])
async def test_a_name_that_can_be_none(scheme: str, host: str) -> None:
    with pytest.raises(rtspkit.ConnectionLost, match="its name is not valid"):
        await rtspkit.client.connect(f"{scheme}://{host}/")
