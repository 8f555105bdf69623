"""Single values of the configuration: durations, sizes, addresses, URLs that show no password.

Strategy: a reader takes what YAML gave and returns what is meant, or raises a `ValueError` whose message says what
was expected; none of them ever shows a password. Those that need bounds are made by a function that takes them.

Spec: MediaMTX v1.20 `mediamtx.yml`: durations in Go's style plus days (`1d12h`), sizes as `50M`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated
from urllib.parse import unquote

from pydantic import BeforeValidator

from rtspkit.url import split

__all__ = [
    "Address",
    "Destinations",
    "Directory",
    "Flag",
    "Ports",
    "Text",
    "Texts",
    "camel",
    "duration",
    "one_of",
    "parse_duration",
    "parse_size",
    "read_flag",
    "redact_url",
    "show",
    "size",
    "split_userinfo",
    "url_secrets",
    "whole_number",
]

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(d|h|ms|m|s|us|µs|μs|ns)", re.ASCII)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
#: A user and what is no port: the rest of the URL is missing, for " #" has begun a comment.
_CUT_CREDENTIALS = re.compile(r"(://[^:/@\[\]]+):(?!\*\*\*@|[0-9]{1,5}(?:[/?#]|$)).*", re.DOTALL)
_CREDENTIALS = re.compile(r":\S*@")
_SECRET_QUERY = re.compile(r"(?i)([?&](?:\w*pass\w*|pwd|psw|\w*token|\w*secret|auth|sig(?:nature)?)=)([^&#]*)")


@cache
def camel(name: str) -> str:
    """`hls_segment_count` as it stands in a file: `hlsSegmentCount`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def redact_url(url: str) -> str:
    """`url` with its password, and what looks like one in its query, as `***`."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    userinfo, at, host = split_userinfo(rest)
    if at:
        user, colon, _ = userinfo.partition(":")
        rest = f"{user}{':***' if colon else ''}@{host}"
    return f"{scheme}://" + _SECRET_QUERY.sub(r"\1***", rest)


def url_secrets(url: str) -> set[str]:
    """What must never be shown of `url`: its password, as written and percent-decoded, and those in its query."""
    userinfo = split_userinfo(url.partition("://")[2])[0]
    password = userinfo.partition(":")[2]
    found = {password, unquote(password)} | {match[2] for match in _SECRET_QUERY.finditer(url)}
    return {secret for secret in found if secret}


def split_userinfo(rest: str) -> tuple[str, str, str]:
    """userinfo, "@" or "", and what follows."""
    userinfo, authority, tail = split(rest)
    return ("", "", rest) if userinfo is None else (userinfo, "@", authority + tail)


def parse_duration(text: str) -> float:
    """Seconds of a Go duration plus days: "10s", "1h30m", "1.5s", "200ms", "1d", "0".

    Raises:
        ValueError: it is none.
    """
    if text == "0":
        return 0.0
    total, end = 0.0, 0
    for match in _DURATION.finditer(text):
        if match.start() != end:
            break
        total += float(match[1]) * _SECONDS[match[2]]
        end = match.end()
    if not text or end != len(text):
        raise ValueError(f"expected a duration such as 10s, 1m30s, 500ms or 1d, got {show(text)}")
    return total


def parse_size(text: str) -> int:
    """Bytes of a size such as "50M" (50 * 2**20), "512K", "1.5G", "1000".

    Raises:
        ValueError: it is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a size such as 50M, got {show(text)}")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def show(value: object) -> str:
    """`value` for a message: short, one line, without a password."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = redact_url(value) if isinstance(value, str) else str(value)
    text = _CUT_CREDENTIALS.sub(r"\1:***", text)
    if "://" not in text:  # a URL with a slip in it
        text = _CREDENTIALS.sub(":***@", text)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def read_flag(value: object) -> bool:
    """`yes`, `no`, `true` or `false`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("yes", "no", "true", "false"):
        return value.lower() in ("yes", "true")
    raise ValueError(f"expected yes or no, got {show(value)}")


def read_text(value: object) -> str:
    """Text, and not what YAML takes for a number."""
    if isinstance(value, str):
        return value
    raise ValueError(f"expected text, got {show(value)}")


def read_texts(value: object) -> tuple[str, ...]:
    """A list of texts, or one."""
    items = [value] if isinstance(value, str) else value
    if isinstance(items, list | tuple) and all(isinstance(item, str) for item in items):
        return tuple(items)
    raise ValueError(f"expected a list of texts, got {show(value)}")


def whole_number(minimum: int) -> BeforeValidator:
    """Reads a number of things."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"expected a whole number, got {show(value)}")
        if not minimum <= value <= 1_000_000:
            raise ValueError(f"must be at least {minimum}, got {value}")
        return value

    return BeforeValidator(check)


def duration(minimum: float, maximum: float = 366 * 86400.0) -> BeforeValidator:
    """Reads a duration as seconds, from `minimum` to `maximum`."""

    def check(value: object) -> float:
        if isinstance(value, str):
            seconds = parse_duration(value)
        elif value == 0 and not isinstance(value, bool):
            seconds = 0.0
        elif isinstance(value, float):
            seconds = value  # has been read before
        else:
            raise ValueError(f"expected a duration such as 10s (with its unit), got {show(value)}")
        if not minimum <= seconds <= maximum:
            bound = f"at least {minimum:g}s" if seconds < minimum else f"at most {maximum:g}s"
            raise ValueError(f"must be {bound}, got {seconds:g}s")
        return seconds

    return BeforeValidator(check)


def size(minimum: int, maximum: int) -> BeforeValidator:
    """Reads a size as bytes, from `minimum` to `maximum`."""

    def check(value: object) -> int:
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
        if number is None:
            if not isinstance(value, str):
                raise ValueError(f"expected a size such as 50M, got {show(value)}")
            number = parse_size(value)
        if not minimum <= number <= maximum:
            least, most = _size_text(minimum), _size_text(maximum)
            raise ValueError(f"must lie between {least} and {most}, got {number} bytes")
        return number

    return BeforeValidator(check)


def _size_text(size: int) -> str:
    unit = max((power for power in range(5) if size and size % 1024**power == 0), default=0)
    return f"{size // 1024**unit}{' KMGT'[unit].strip()}"


def read_ports(value: object) -> tuple[int, int]:
    """``[32768, 60999]``: the first port and the last."""
    ports = value if isinstance(value, list | tuple) and len(value) == 2 else ()
    if not all(type(port) is int for port in ports) or not ports or not 1 <= ports[0] < ports[1] <= 65535:
        shown = f"[{show(value[0])}, {show(value[1])}]" if isinstance(value, list) and ports else show(value)
        raise ValueError(f"expected two ports such as [32768, 60999], got {shown}")
    return ports[0], ports[1]


def one_of(*choices: str) -> BeforeValidator:
    """Reads one of several words."""

    def check(value: object) -> str:
        if value is False and "no" in choices:
            return "no"
        if value not in choices:
            raise ValueError(f"expected {', '.join(choices[:-1])} or {choices[-1]}, got {show(value)}")
        return str(value)

    return BeforeValidator(check)


def read_destinations(value: object) -> tuple[str, ...]:
    """Where log lines go."""
    names = read_texts(value)
    for name in names:
        if name not in ("stdout", "file", "syslog"):
            raise ValueError(f"expected stdout or file, got {show(name)}")
    return names


def read_address(value: object) -> str:
    """ ":8888", "127.0.0.1:8888", "[::1]:8888"."""
    text = read_text(str(value) if type(value) is int else value)  # a port alone is a number to YAML
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535 or not re.fullmatch(r"[\w.\-:\[\]%]*", host):
        raise ValueError(f"expected an address such as :8888 or 127.0.0.1:8888, got {show(text)}")
    return text


def read_directory(value: object) -> str:
    """A directory, or "no" for none."""
    return "no" if value is False else read_text(value)


Flag = Annotated[bool, BeforeValidator(read_flag)]
Text = Annotated[str, BeforeValidator(read_text)]
Texts = Annotated[tuple[str, ...], BeforeValidator(read_texts)]
Address = Annotated[str, BeforeValidator(read_address)]
Destinations = Annotated[tuple[str, ...], BeforeValidator(read_destinations)]
Directory = Annotated[str, BeforeValidator(read_directory)]
Ports = Annotated[tuple[int, int], BeforeValidator(read_ports)]
