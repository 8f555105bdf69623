"""Log lines as MediaMTX writes them: ``2026/01/08 10:00:05 INF [HLS] [muxer cam_2] is converting into HLS``.

Strategy: the standard library's logging under one logger, one formatter for text and one for JSON lines.
Both are the sink where two promises are kept for every line, whoever wrote it: control characters of a
peer's text are escaped (no second line, no terminal colours), and passwords become ``***``.

Use `logger("path cam", "RTSP source")` for a logger whose lines begin ``[path cam] [RTSP source] ``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["LEVELS", "Logger", "Redactor", "Repeats", "escape", "logger", "setup"]

#: The logger everything of the gateway goes through.
ROOT = "rtspkit.server"

#: MediaMTX's names of levels -> the standard library's.
LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}

_SHORT = {logging.DEBUG: "DEB", logging.INFO: "INF", logging.WARNING: "WAR", logging.ERROR: "ERR"}
# C0, DEL, C1, the line separators of Unicode and the marks that turn a line's direction
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_URL_PASSWORD = re.compile(
    r"(?i)\b([a-z][a-z0-9+.\-]*://[^\s/:@]*):(?!\d{1,5}[/?#])(\S+?)@(?=[^\s@/]*(?:[\s/,;'\"]|$))"
)

#: A shorter secret is found in URLs only: replaced everywhere it would eat into ordinary words.
_LITERAL_SECRET = 6

#: Seconds before the same line is logged again; they double ...
_FIRST_PAUSE = 60.0
#: ... up to this.
_LONGEST_PAUSE = 3600.0
#: Lines that are known by their text: one camera has few reasons to fail, but may write them itself.
_DIFFERENT = 8


def escape(text: str) -> str:
    """`text` on one line, control characters as ``\\x1b``; for words that came from a peer."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


class Redactor:
    """Replaces passwords: those it was told, and whatever stands where one stands in a URL."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        found = sorted({secret for secret in secrets if len(secret) >= _LITERAL_SECRET}, key=len, reverse=True)
        self._literal = re.compile("|".join(map(re.escape, found))) if found else None

    def __call__(self, text: str) -> str:
        """`text` without them."""
        text = _URL_PASSWORD.sub(r"\1:***@", text)
        return self._literal.sub("***", text) if self._literal else text


class _Text(logging.Formatter):
    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self.redact = redact

    def message(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text = f"{text}: {type(error).__name__}: {error}"
        return escape(self.redact(text))

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created)
        line = f"{when:%Y/%m/%d %H:%M:%S} {_SHORT.get(record.levelno, 'INF')} {self.message(record)}"
        if record.exc_info and logging.getLogger(ROOT).isEnabledFor(logging.DEBUG):
            trace = self.redact(self.formatException(record.exc_info))
            line += "".join(f"\n    {escape(row)}" for row in trace.splitlines())
        return line


class _Structured(_Text):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).astimezone().isoformat()
        entry = {"timestamp": when, "level": _SHORT.get(record.levelno, "INF"), "message": self.message(record)}
        return json.dumps(entry, ensure_ascii=False)


class _Foreign(logging.Handler):
    """Passes what uvicorn has to say on to our own sinks, under a prefix of their own."""

    def emit(self, record: logging.LogRecord) -> None:
        # its warnings are about what clients send, and anybody could fill a log with them
        level = logging.ERROR if record.levelno >= logging.ERROR else logging.DEBUG
        logging.getLogger(ROOT).log(level, "[HTTP] %s", record.getMessage(), exc_info=record.exc_info)


class _Together(logging.StreamHandler[Any]):
    """Writes the lines of one turn of the event loop in one go: hundreds of cameras may be lost in the same moment."""

    _due: asyncio.AbstractEventLoop | None = None  # the loop that is going to flush

    def flush(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # not in a loop: nothing would do it later
            super().flush()
            return
        if self._due is not loop:
            self._due = loop
            loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._due = None
        with contextlib.suppress(OSError, ValueError):  # nobody is there to be told
            super().flush()


class _TogetherInFile(_Together, logging.FileHandler):
    """The same into a file."""


Logger = logging.LoggerAdapter[logging.Logger]


class _Prefixed(logging.LoggerAdapter[logging.Logger]):
    def __init__(self, prefix: str) -> None:
        super().__init__(logging.getLogger(ROOT), {})
        self.prefix = prefix.replace("%", "%%")

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return f"{self.prefix}{msg}", kwargs


def logger(*parts: str) -> Logger:
    """A logger whose lines begin with each of `parts` in brackets."""
    return _Prefixed("".join(f"[{part}] " for part in parts))


class Repeats:
    """What goes wrong the same way again and again: it is said once, and then ever more rarely how often it has been.

    Time is an argument.
    """

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}

    def line(self, text: str, now: float) -> str | None:
        """What to log of it; None: it has been said.

        Args:
            text: what has gone wrong.
            now: monotonic seconds.
        """
        told = self._told.get(text)
        if told is None:
            if len(self._told) >= _DIFFERENT:
                del self._told[next(iter(self._told))]
            self._told[text] = _Told(now)
            return text
        told.count += 1
        pause = now - told.at
        if pause < told.pause:
            return None
        line = f"{text} ({told.count} more time{'s' * (told.count != 1)} in {_minutes(pause)})"
        self._told[text] = _Told(now, min(2 * told.pause, _LONGEST_PAUSE))
        return line

    def forget(self) -> None:
        """It is over: whatever goes wrong next is news."""
        self._told.clear()


@dataclass(slots=True)
class _Told:
    """When something was logged, how long it is not logged again, and how often it has been since."""

    at: float
    pause: float = _FIRST_PAUSE
    count: int = 0


def _minutes(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "a minute" if minutes <= 1 else f"{minutes} minutes"


def setup(
    *,
    level: str = "info",
    structured: bool = False,
    destinations: Iterable[str] = ("stdout",),
    file: str = "",
    secrets: Iterable[str] = (),
) -> None:
    """Opens the destinations; called once at start. Earlier ones are closed.

    Args:
        level: "error", "warn", "info" or "debug".
        structured: one JSON object a line instead of text.
        destinations: of "stdout" and "file"; others are passed over.
        file: the name of the log file, where "file" is among them; it is appended to.
        secrets: what must never be written.

    Raises:
        OSError: the file cannot be opened.
    """
    root = logging.getLogger(ROOT)
    root.propagate = False
    handlers: list[logging.Handler] = []
    for name in dict.fromkeys(destinations):
        if name == "stdout":
            if hasattr(sys.stdout, "reconfigure"):  # a line in another encoding is better than none
                sys.stdout.reconfigure(errors="backslashreplace")
            handlers.append(_Together(sys.stdout))
        elif name == "file":
            handlers.append(_TogetherInFile(file, encoding="utf-8", errors="backslashreplace"))
    redact = Redactor(secrets)
    for handler in handlers:
        handler.setFormatter(_Structured(redact) if structured else _Text(redact))
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(LEVELS[level])
    logging.raiseExceptions = False  # a reader of stdout that went away must not fill stderr
    foreign = logging.getLogger("uvicorn.error")
    foreign.handlers = [_Foreign()]
    foreign.propagate = False
    foreign.setLevel(logging.WARNING)
