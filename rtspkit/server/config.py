"""The configuration: a MediaMTX-style YAML file, environment overrides, pydantic models.

Strategy: `yamlfile` gives plain values with their lines; this module sorts every key into "works" (a field
of a model), "does nothing yet" (a table in `mtxkeys`, one warning), "deprecated" (renamed, one warning) or
"unknown" (an error with the line and the nearest known key), and lets pydantic check what works. Anything
wrong ends in one `ConfigError` whose message is one line; passwords are never part of it.

`hls*` keys may stand in a path and override the global ones there; `pathDefaults` lies between.

Spec: MediaMTX v1.20 `mediamtx.yml`: durations in Go's style plus days (`1d12h`), sizes as `50M`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import unquote

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rtspkit.server.mtxkeys import (
    DEPRECATED_GLOBAL,
    DEPRECATED_PATH,
    FOREIGN,
    FOREIGN_SCHEMES,
    INERT_GLOBAL,
    INERT_PATH,
)
from rtspkit.server.yamlfile import MAX_SIZE, ConfigError, Location, Tree, load_text, scalar
from rtspkit.url import split

__all__ = [
    "Config",
    "ConfigError",
    "PathConfig",
    "check_path_name",
    "load",
    "load_text_config",
    "parse_duration",
    "parse_size",
    "redact_url",
    "url_secrets",
]

_PATH_NAME = re.compile(r"[0-9A-Za-z_.\-]+(?:/[0-9A-Za-z_.\-]+)*")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(d|h|ms|m|s|us|µs|μs|ns)", re.ASCII)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_CREDENTIALS = re.compile(r":\S*@")
_SECRET_QUERY = re.compile(r"(?i)([?&](?:\w*pass\w*|pwd|psw|\w*token|\w*secret|auth|sig(?:nature)?)=)([^&#]*)")


# -- values ---------------------------------------------------------------


def redact_url(url: str) -> str:
    """`url` with its password, and what looks like one in its query, as `***`."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    userinfo, at, host = _split_userinfo(rest)
    if at:
        user, colon, _ = userinfo.partition(":")
        rest = f"{user}{':***' if colon else ''}@{host}"
    return f"{scheme}://" + _SECRET_QUERY.sub(r"\1***", rest)


def url_secrets(url: str) -> set[str]:
    """What must never be shown of `url`: its password, as written and percent-decoded, and those in its query."""
    userinfo = _split_userinfo(url.partition("://")[2])[0]
    password = userinfo.partition(":")[2]
    found = {password, unquote(password)} | {match[2] for match in _SECRET_QUERY.finditer(url)}
    return {secret for secret in found if secret}


def _split_userinfo(rest: str) -> tuple[str, str, str]:
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
        raise ValueError(f"expected a duration such as 10s, 1m30s, 500ms or 1d, got {_show(text)}")
    return total


def parse_size(text: str) -> int:
    """Bytes of a size such as "50M" (50 * 2**20), "512K", "1.5G", "1000".

    Raises:
        ValueError: it is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a size such as 50M, got {_show(text)}")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def _show(value: object) -> str:
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
    if "://" not in text:  # a URL with a slip in it
        text = _CREDENTIALS.sub(":***@", text)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("yes", "no", "true", "false"):
        return value.lower() in ("yes", "true")
    raise ValueError(f"expected yes or no, got {_show(value)}")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"expected text, got {_show(value)}")


def _texts(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if isinstance(items, list | tuple) and all(isinstance(item, str) for item in items):
        return tuple(items)
    raise ValueError(f"expected a list of texts, got {_show(value)}")


def _count(minimum: int) -> BeforeValidator:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"expected a whole number, got {_show(value)}")
        if not minimum <= value <= 1_000_000:
            raise ValueError(f"must be at least {minimum}, got {value}")
        return value

    return BeforeValidator(check)


def _duration(minimum: float, maximum: float = 366 * 86400.0) -> BeforeValidator:
    def check(value: object) -> float:
        if isinstance(value, str):
            seconds = parse_duration(value)
        elif value == 0 and not isinstance(value, bool):
            seconds = 0.0
        elif isinstance(value, float):
            seconds = value  # has been read before
        else:
            raise ValueError(f"expected a duration such as 10s (with its unit), got {_show(value)}")
        if not minimum <= seconds <= maximum:
            raise ValueError(f"must lie between {minimum:g}s and {maximum:g}s, got {seconds:g}s")
        return seconds

    return BeforeValidator(check)


def _size(value: object) -> int:
    size = value if isinstance(value, int) and not isinstance(value, bool) else None
    if size is None:
        if not isinstance(value, str):
            raise ValueError(f"expected a size such as 50M, got {_show(value)}")
        size = parse_size(value)
    if not 100_000 <= size <= 1 << 32:
        raise ValueError(f"must lie between 100K and 4G, got {size} bytes")
    return size


def _one_of(*choices: str) -> BeforeValidator:
    def check(value: object) -> str:
        if value is False and "no" in choices:
            return "no"
        if value not in choices:
            raise ValueError(f"expected {', '.join(choices[:-1])} or {choices[-1]}, got {_show(value)}")
        return str(value)

    return BeforeValidator(check)


def _destinations(value: object) -> tuple[str, ...]:
    names = _texts(value)
    for name in names:
        if name not in ("stdout", "file", "syslog"):
            raise ValueError(f"expected stdout or file, got {_show(name)}")
    return names


def _address(value: object) -> str:
    """ ":8888", "127.0.0.1:8888", "[::1]:8888"."""
    text = _text(str(value) if type(value) is int else value)  # a port alone is a number to YAML
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535 or not re.fullmatch(r"[\w.\-:\[\]%]*", host):
        raise ValueError(f"expected an address such as :8888 or 127.0.0.1:8888, got {_show(text)}")
    return text


def _source(value: object) -> str:
    text = _text(value)
    if text in ("publisher", "redirect", "rpiCamera"):
        return text
    scheme, found, rest = text.partition("://")
    if not found:
        raise ValueError(f"expected a URL such as rtsp://user:pass@host:554/path, got {_show(text)}")
    if scheme in FOREIGN_SCHEMES:
        return text
    if scheme != "rtsp":
        raise ValueError(f"unknown scheme {scheme[:20]!r} in {_show(text)} (rtsp://… is what works)")
    host = re.split(r"[/?#]", _split_userinfo(rest)[2], maxsplit=1)[0]
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:\s]+)(?::(\d{1,5}))?", host)
    if match is None or (match[2] is not None and not 0 < int(match[2]) < 65536):
        raise ValueError(f"expected rtsp://user:pass@host:554/path, got {_show(text)}")
    if re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError(f"a URL must not hold spaces or control characters, got {_show(text)}")
    return text


def _directory(value: object) -> str:
    return "no" if value is False else _text(value)


Flag = Annotated[bool, BeforeValidator(_bool)]
Text = Annotated[str, BeforeValidator(_text)]
Address = Annotated[str, BeforeValidator(_address)]


# -- models ---------------------------------------------------------------


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=_camel, populate_by_name=True, extra="forbid", frozen=True)


class HLSOptions(_Model):
    """What may stand globally, in `pathDefaults` and in a path. Times are seconds, sizes bytes."""

    hls_always_remux: Flag = False
    hls_variant: Annotated[Literal["lowLatency", "fmp4", "mpegts"], _one_of("fmp4", "lowLatency", "mpegts")] = "fmp4"
    hls_segment_count: Annotated[int, _count(3)] = 7
    hls_segment_duration: Annotated[float, _duration(0.1, 60.0)] = 1.0
    hls_part_duration: Annotated[float, _duration(0.05, 5.0)] = 0.2
    hls_segment_max_size: Annotated[int, BeforeValidator(_size)] = 50 << 20
    hls_directory: Text = ""
    hls_muxer_close_after: Annotated[float, _duration(0.0)] = 60.0
    #: how long viewers are kept on a playlist whose camera is lost
    gap_keep_alive: Annotated[float, _duration(0.0)] = 60.0
    #: how long a camera may send media without a sync sample before viewers are told so
    keyframe_timeout: Annotated[float, _duration(0.01)] = 30.0

    @property
    def part_duration(self) -> float | None:
        """Seconds a part lasts where Low-Latency HLS is served; None: plain."""
        if self.hls_variant != "lowLatency":
            return None
        return min(self.hls_part_duration, max(1.0, self.hls_segment_duration))


class PathConfig(HLSOptions):
    """One path; every value is the one in force, defaults and global keys included."""

    #: never part of a repr: it may hold a password
    source: Annotated[str, BeforeValidator(_source), Field(repr=False)] = "publisher"
    source_on_demand: Flag = False
    source_on_demand_start_timeout: Annotated[float, _duration(0.1)] = 10.0
    source_on_demand_close_after: Annotated[float, _duration(0.0)] = 10.0
    max_readers: Annotated[int, _count(0)] = 0
    rtsp_transport: Annotated[str, _one_of("automatic", "tcp", "udp", "multicast")] = "automatic"

    @property
    def shown_source(self) -> str:
        """The source without its password."""
        return redact_url(self.source)


class Config(HLSOptions):
    """The whole configuration.

    Attributes:
        paths: by name, in the file's order.
        warnings: one line each, with its place; what loads without effect.
        origin: the file's name, None where there is none.
        explicit: the keys that were really given (YAML names).
    """

    log_level: Annotated[str, _one_of("error", "warn", "info", "debug")] = "info"
    log_destinations: Annotated[tuple[str, ...], BeforeValidator(_destinations)] = ("stdout",)
    log_structured: Flag = False
    log_file: Text = "rtspkit.log"
    read_timeout: Annotated[float, _duration(0.1, 3600.0)] = 10.0
    hls: Flag = True
    hls_address: Address = ":8888"
    hls_allow_origins: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ("*",)
    api: Flag = True
    api_address: Address = "127.0.0.1:9997"
    api_allow_origins: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()
    #: where it is kept what must outlive the process; "": see `state.find_directory`; "no": nowhere
    state_directory: Annotated[str, BeforeValidator(_directory)] = ""
    paths: dict[str, PathConfig] = {}
    warnings: tuple[str, ...] = ()
    origin: str | None = None
    explicit: frozenset[str] = frozenset()

    @property
    def secrets(self) -> set[str]:
        """Everything in the configuration that must never be shown."""
        return {secret for path in self.paths.values() for secret in url_secrets(path.source)}


_OWN = ("paths", "warnings", "origin", "explicit")
_GLOBAL_KEYS = {_camel(name): name for name in Config.model_fields if name not in _OWN}
_PATH_KEYS = {_camel(name): name for name in PathConfig.model_fields}
_HLS_KEYS = {_camel(name): name for name in HLSOptions.model_fields}
_GLOBAL_ONLY = set(_GLOBAL_KEYS) - set(_HLS_KEYS) | set(INERT_GLOBAL)


def check_path_name(name: str) -> str | None:
    """What is wrong with a path's name; None where it is right."""
    if name.startswith("/") or name.endswith("/"):
        return "must not begin or end with a slash"
    if not _PATH_NAME.fullmatch(name):
        return "may hold letters, digits and _ . - / only"
    if any(part in (".", "..") for part in name.split("/")):
        return "must not hold '.' or '..' between slashes"
    return None


# -- from values to models ------------------------------------------------

_M = TypeVar("_M", bound=_Model)


class _Loader:
    """Sorts the keys of one document; collects warnings."""

    def __init__(self, tree: Tree, environ: Mapping[str, str]) -> None:
        self.tree = tree
        self.environ = environ
        self.warnings: list[str] = []
        self.foreign: list[tuple[str, str]] = []
        self.from_environment: dict[Location, str] = {}

    def where(self, location: Location) -> str:
        for end in range(len(location), 0, -1):
            if location[:end] in self.from_environment:
                return f"environment variable {self.from_environment[location[:end]]}"
        return self.tree.place(location)

    def scope(self, location: Location) -> str:
        if location[:1] == ("paths",) and len(location) > 1:
            return f"path {str(location[1])!r}: "
        return f"{location[0]}: " if location[:1] == ("pathDefaults",) else ""

    def fail(self, location: Location, message: str) -> ConfigError:
        return ConfigError(f"{self.where(location)}: {self.scope(location)}{message}")

    def warn(self, location: Location, message: str) -> None:
        self.warnings.append(f"{self.where(location)}: {self.scope(location)}{message}")

    def sort(
        self,
        raw: dict[str, Any],
        at: Location,
        working: Iterable[str],
        inert: Mapping[str, str],
        deprecated: Mapping[str, tuple[str | None, str | None]],
    ) -> dict[str, Any]:
        """The working keys of `raw`; warns about the others, fails on unknown ones."""
        kept: dict[str, Any] = {}
        for key, value in raw.items():
            place = (*at, key)
            if key in working:
                kept[key] = value
            elif key in inert:
                if value:  # "record: no" asks for nothing, and gets it
                    self.warn(place, f"{key!r} has no effect: {inert[key]}")
            elif key in deprecated:
                new, reason = deprecated[key]
                if reason is not None:
                    instead = f" (deprecated name of {new!r})" if new else ""
                    self.warn(place, f"{key!r} has no effect{instead}: {reason}")
                elif new is not None:
                    self.warn(place, f"{key!r} is deprecated: use {new!r}")
                    if new not in raw:
                        kept[new] = self.translate(place, key, value)
                        self.tree.lines[(*at, new)] = self.tree.lines.get(place, 1)
            elif FOREIGN.fullmatch(key):
                self.foreign.append((self.where(place), key))
            else:
                raise self.fail(place, self.unknown(key, at, working, inert, deprecated))
        return kept

    def translate(self, place: Location, key: str, value: Any) -> Any:
        if key == "hlsDisable":
            try:
                return not _bool(value)
            except ValueError as error:
                raise self.fail(place, f"{key}: {error}") from None
        return value

    def unknown(self, key: str, at: Location, *known: Iterable[str]) -> str:
        shown = _show(key)
        if at and key in _GLOBAL_ONLY:
            return f"key {shown} is global and cannot stand here"
        if not at and (key in _PATH_KEYS or key in INERT_PATH or key in DEPRECATED_PATH):
            return f"key {shown} belongs into a path or into pathDefaults"
        names = {name for group in known for name in group}
        if not at:
            names |= {"paths", "pathDefaults"}
        folded = {name.lower(): name for name in sorted(names)}
        near = difflib.get_close_matches(key.lower(), folded, n=1, cutoff=0.7)
        return f"unknown key {shown}" + (f" (did you mean {folded[near[0]]!r}?)" if near else "")

    def model(self, kind: type[_M], values: dict[str, Any], at: Location) -> _M:
        try:
            return kind.model_validate({key: value for key, value in values.items() if value is not None})
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            place = (*at, *found["loc"][:1])
            reason = str(found.get("ctx", {}).get("error") or found["msg"])
            raise self.fail(place, f"{found['loc'][0]}: {reason}") from None

    def mapping(self, value: Any, location: Location) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fail(location, f"expected keys and values, got {_show(value)}")
        return value

    def path(self, raw: dict[str, Any], at: Location) -> PathConfig:
        kept = self.sort(raw, at, _PATH_KEYS, INERT_PATH, DEPRECATED_PATH)
        path = self.model(PathConfig, kept, at)
        self.check_hls(path, at)
        if path.rtsp_transport in ("udp", "multicast"):
            self.warn((*at, "rtspTransport"), f"'rtspTransport: {path.rtsp_transport}' has no effect: TCP is used")
        return path

    def check_hls(self, options: HLSOptions, at: Location) -> None:
        if options.hls_variant == "mpegts":
            self.warn((*at, "hlsVariant"), "'hlsVariant: mpegts' is not built yet: fmp4 is served")
        if options.hls_segment_duration < 1.0:
            self.warn((*at, "hlsSegmentDuration"), "'hlsSegmentDuration' counts as 1s: shorter segments are not made")

    def check_parts(self, given: HLSOptions, at: Location, served: Iterable[HLSOptions]) -> None:
        """Warns about an `hlsPartDuration` that can change nothing for those it stands for."""
        place = (*at, "hlsPartDuration")
        if "hls_part_duration" not in given.model_fields_set:
            return
        low_latency = [options for options in served if options.hls_variant == "lowLatency"]
        if not low_latency:
            self.warn(place, "'hlsPartDuration' has no effect without 'hlsVariant: lowLatency'")
        elif any(options.part_duration != options.hls_part_duration for options in low_latency):
            self.warn(place, "'hlsPartDuration' is longer than a segment: parts are as long as 'hlsSegmentDuration'")

    def load(self) -> Config:
        root = dict(self.mapping(self.tree.value, ()))
        self.apply_environment(root)
        raw_paths = self.mapping(root.pop("paths", None), ("paths",))
        defaults_at: Location = ("pathDefaults",)
        raw_defaults = self.mapping(root.pop("pathDefaults", None), defaults_at)
        kept = self.sort(root, (), _GLOBAL_KEYS, INERT_GLOBAL, DEPRECATED_GLOBAL)
        config = self.model(Config, kept, ())
        self.check_hls(config, ())
        if "syslog" in config.log_destinations:
            self.warn(("logDestinations",), "'logDestinations: syslog' has no effect: there is none yet")
        if "*" in config.api_allow_origins:
            self.warn(("apiAllowOrigins",), "'apiAllowOrigins: *' has no effect: name the origins")
        defaults = self.path(raw_defaults, defaults_at)
        inherited = {name: getattr(config, name) for name in _HLS_KEYS.values()}
        inherited.update((name, getattr(defaults, name)) for name in defaults.model_fields_set)
        paths: dict[str, PathConfig] = {}
        for name, value in raw_paths.items():
            at = ("paths", name)
            own = self.mapping(value, at)
            if name in ("all", "all_others") or name.startswith("~"):
                self.sort(own, at, _PATH_KEYS, INERT_PATH, DEPRECATED_PATH)
                self.warn(at, "has no effect: paths that stand for many names are not built yet")
                continue
            problem = check_path_name(name)
            if problem:
                raise ConfigError(f"{self.where(at)}: path name {_show(name)} {problem}")
            path = self.path(own, at)
            given = {field: getattr(path, field) for field in path.model_fields_set}
            paths[name] = path.model_copy(update={**inherited, **given})
            self.check_parts(path, at, [paths[name]])
        self.check_parts(config, (), paths.values() or [config])
        self.check_parts(defaults, defaults_at, paths.values() or [defaults])
        if self.foreign:
            names = ", ".join(repr(key) for _, key in self.foreign[:6]) + (" …" if len(self.foreign) > 6 else "")
            self.warnings.append(f"{self.foreign[0][0]}: no effect, these protocols are not served: {names}")
        if not paths:
            self.warnings.append(f"{self.tree.name}: no paths are configured: there is nothing to watch")
        return config.model_copy(update={"paths": paths, "warnings": tuple(self.warnings), "explicit": frozenset(kept)})

    # -- environment ------------------------------------------------------

    def apply_environment(self, root: dict[str, Any]) -> None:
        """MTX_HLSVARIANT=fmp4, MTX_PATHS_CAM_SOURCE=rtsp://…, MTX_PATHDEFAULTS_SOURCEONDEMAND=yes."""
        global_keys = [*_GLOBAL_KEYS, *INERT_GLOBAL, *DEPRECATED_GLOBAL]
        path_keys = [*_PATH_KEYS, *INERT_PATH, *DEPRECATED_PATH]
        for variable in sorted(name for name in self.environ if name.startswith("MTX_")):
            rest = variable[4:]
            text = self.environ[variable]
            at: Location = ()
            if rest.startswith("PATHDEFAULTS_"):
                at, rest = ("pathDefaults",), rest[len("PATHDEFAULTS_") :]
            elif rest.startswith("PATHS_"):
                name, rest = self.environment_path(rest[len("PATHS_") :], root, path_keys)
                at = ("paths", name)
            key = _match(rest, path_keys if at else global_keys)
            if key is None or (at and not at[-1]):
                self.warnings.append(f"environment variable {variable} names no configuration key: ignored")
                continue
            target = root
            for step in at:
                inner = target.get(str(step))
                target[str(step)] = target = dict(inner) if isinstance(inner, dict) else {}
            self.from_environment[(*at, key)] = variable
            target[key] = _environment_value(key, text)

    @staticmethod
    def environment_path(rest: str, root: dict[str, Any], keys: list[str]) -> tuple[str, str]:
        """CAM_2_SOURCE -> the configured path that is written so, else "cam_2"; and SOURCE."""
        configured = root.get("paths")
        for name in sorted(configured if isinstance(configured, dict) else (), key=len, reverse=True):
            prefix = re.sub(r"[^0-9A-Z]", "_", str(name).upper()) + "_"
            if rest.startswith(prefix) and _match(rest[len(prefix) :], keys):
                return str(name), rest[len(prefix) :]
        name, _, key = rest.rpartition("_")
        if _match(key, keys) is None:  # a list item such as …_RUNONINIT_0
            name, _, key = rest.partition("_")
        return name.lower(), key


def _match(text: str, keys: Iterable[str]) -> str | None:
    """The key that is `text` in capitals; of lists and maps (AUTHINTERNALUSERS_0_USER) their first step."""
    head = text.split("_", maxsplit=1)[0]
    return next((key for key in keys if key.upper() in (text, head)), None)


def _environment_value(key: str, text: str) -> Any:
    if key in ("logDestinations", "hlsAllowOrigins", "apiAllowOrigins"):
        return [item.strip() for item in text.split(",") if item.strip()]
    if key in ("source", "hlsDirectory", "logFile", "hlsAddress", "apiAddress", "stateDirectory"):
        return text
    kind: str = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return scalar(kind.rpartition(":")[2], text)


def load_text_config(data: bytes, name: str, environ: Mapping[str, str] | None = None) -> Config:
    """Reads a configuration from YAML text.

    Args:
        data: the text, UTF-8.
        name: what messages call it.
        environ: where `MTX_*` overrides are read; none by default.

    Raises:
        ConfigError: one line, with `name` and the line.
    """
    return _Loader(load_text(data, name), environ or {}).load()


def load(path: str | os.PathLike[str] | None, environ: Mapping[str, str] | None = None) -> Config:
    """Reads the configuration file `path`; None reads the environment alone.

    Raises:
        ConfigError: one line: the file cannot be read, or what is wrong in it and where.
    """
    environ = os.environ if environ is None else environ
    if path is None:
        return load_text_config(b"", "environment", environ)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise ConfigError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from None
    config = load_text_config(data, os.fspath(path), environ)
    return config.model_copy(update={"origin": os.fspath(path)})
