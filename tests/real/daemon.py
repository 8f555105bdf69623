"""`Daemon`: a foreign server in the foreground, with a directory of its own, on ports of 127.0.0.1 or a test's host."""

import socket
import subprocess
import time
from pathlib import Path
from typing import Self


class Daemon:
    """What foreign servers have in common. A class of a real one sets `_command` and `_ports`.

    Attributes:
        directory: its files.
        host: where it listens.
    """

    _command: list[str]
    _ports: tuple[int, ...]
    host = "127.0.0.1"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.directory / "output").read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        """Returns once it listens."""
        with (self.directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            end = time.monotonic() + 20
            for port in self._ports:
                while not _listens(self.host, port):
                    assert self._process.poll() is None, f"ended with status {self._process.returncode}: {self.log}"
                    assert time.monotonic() < end, f"does not listen: {self.log}"
                    time.sleep(0.05)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def kill(self) -> None:
        """Ends it where it stands; it may be entered again."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True
