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

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rtspkit.errors import LocalProtocolError
from rtspkit.options import LossPolicy, TransportChoice, normal_fingerprint
from rtspkit.server.mtxkeys import (
    DEPRECATED_GLOBAL,
    DEPRECATED_PATH,
    FOREIGN,
    FOREIGN_SCHEMES,
    INERT_GLOBAL,
    INERT_PATH,
)
from rtspkit.server.retry import RetryPolicy
from rtspkit.server.values import (
    Address,
    Destinations,
    Directory,
    Flag,
    Ports,
    Text,
    Texts,
    camel,
    duration,
    one_of,
    parse_duration,
    parse_size,
    read_flag,
    read_text,
    redact_url,
    show,
    size,
    split_userinfo,
    url_secrets,
    whole_number,
)
from rtspkit.server.yamlfile import MAX_SIZE, ConfigError, Location, Tree, load_text, scalar
from rtspkit.url import SCHEMES

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


def _source(value: object) -> str:
    text = read_text(value)
    if text in ("publisher", "redirect", "rpiCamera"):
        return text
    scheme, found, rest = text.partition("://")
    if not found:
        raise ValueError(f"expected a URL such as rtsp://user:pass@host:554/path, got {show(text)}")
    if scheme in FOREIGN_SCHEMES:
        return text
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme[:20]!r} in {show(text)} (what works: {', '.join(SCHEMES)})")
    host = re.split(r"[/?#]", split_userinfo(rest)[2], maxsplit=1)[0]
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:\s]+)(?::(\d{1,5}))?", host)
    if match is None or (match[2] is not None and not 0 < int(match[2]) < 65536):
        shown = show(text)
        cut = '; if a " #" is part of it, put it in quotes' if "@" not in text and "***" in shown else ""
        raise ValueError(f"expected rtsp://user:pass@host:554/path, got {shown}{cut}")
    if re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError(f"a URL must not hold spaces or control characters, got {show(text)}")
    return text


def _fingerprint(value: object) -> str | None:
    text = read_text(value)
    if not text:
        return None
    try:
        return normal_fingerprint(text)
    except LocalProtocolError as error:
        raise ValueError(f"{error}, got {show(text)}") from None


# -- models ---------------------------------------------------------------


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=camel, populate_by_name=True, extra="forbid", frozen=True)


class SharedOptions(_Model):
    """What may stand globally, in `pathDefaults` and in a path. Times are seconds, sizes bytes."""

    hls_always_remux: Flag = False
    hls_variant: Annotated[Literal["lowLatency", "fmp4", "mpegts"], one_of("fmp4", "lowLatency", "mpegts")] = "fmp4"
    hls_segment_count: Annotated[int, whole_number(3)] = 7
    hls_segment_duration: Annotated[float, duration(0.1, 60.0)] = 1.0
    hls_part_duration: Annotated[float, duration(0.05, 5.0)] = 0.2
    hls_segment_max_size: Annotated[int, size(100 << 10, 4 << 30)] = 50 << 20
    hls_directory: Text = ""
    hls_muxer_close_after: Annotated[float, duration(0.0)] = 60.0
    #: how long viewers are kept on a playlist whose camera is lost
    gap_keep_alive: Annotated[float, duration(0.0)] = 60.0
    #: how long a camera may send media without a sync sample before viewers are told so
    keyframe_timeout: Annotated[float, duration(0.01)] = 30.0
    #: see `RetryPolicy`
    source_tries: Annotated[int, whole_number(1)] = RetryPolicy.tries
    source_try_pause: Annotated[float, duration(0.0)] = RetryPolicy.try_pause
    source_retry_pause: Annotated[float, duration(0.1)] = RetryPolicy.pause
    source_retry_pause_max: Annotated[float, duration(0.1)] = RetryPolicy.pause_max
    source_retry_pause_gap: Annotated[float, duration(0.1)] = RetryPolicy.pause_gap
    source_refused_pause: Annotated[float, duration(1.0)] = RetryPolicy.refused_pause
    #: what becomes of pictures where packets were lost; see `CameraOptions`
    loss_policy: Annotated[LossPolicy, one_of("keep", "drop", "skip")] = "keep"
    #: of a UDP socket at least; 0: as much as suits
    udp_read_buffer_size: Annotated[int, size(0, 64 << 20)] = 0

    @property
    def retry_policy(self) -> RetryPolicy:
        """When a lost camera is tried again."""
        return RetryPolicy(
            tries=self.source_tries,
            try_pause=self.source_try_pause,
            pause=self.source_retry_pause,
            pause_max=self.source_retry_pause_max,
            pause_gap=self.source_retry_pause_gap,
            refused_pause=self.source_refused_pause,
        )

    @property
    def part_duration(self) -> float | None:
        """Seconds a part lasts where Low-Latency HLS is served; None: plain."""
        if self.hls_variant != "lowLatency":
            return None
        return min(self.hls_part_duration, max(1.0, self.hls_segment_duration))


class PathConfig(SharedOptions):
    """One path; every value is the one in force, defaults and global keys included."""

    #: never part of a repr: it may hold a password
    source: Annotated[str, BeforeValidator(_source), Field(repr=False)] = "publisher"
    source_on_demand: Flag = False
    source_on_demand_start_timeout: Annotated[float, duration(0.1)] = 10.0
    source_on_demand_close_after: Annotated[float, duration(0.0)] = 10.0
    max_readers: Annotated[int, whole_number(0)] = 0
    source_fingerprint: Annotated[str | None, BeforeValidator(_fingerprint)] = None
    rtsp_transport: Annotated[TransportChoice, one_of("automatic", "udp", "multicast", "tcp")] = "automatic"
    rtsp_any_port: Flag = False
    allow_redirect_hosts: Flag = False
    use_absolute_timestamp: Flag = False
    rtsp_udp_source_port_range: Annotated[Ports, Field(alias="rtspUDPSourcePortRange")] = (32768, 60999)

    @property
    def shown_source(self) -> str:
        """The source without its password."""
        return redact_url(self.source)


class Config(SharedOptions):
    """The whole configuration.

    Attributes:
        paths: by name, in the file's order.
        warnings: one line each, with its place; what loads without effect.
        origin: the file's name, None where there is none.
        explicit: the keys that were really given (YAML names).
    """

    log_level: Annotated[str, one_of("error", "warn", "info", "debug")] = "info"
    log_destinations: Destinations = ("stdout",)
    log_structured: Flag = False
    log_file: Text = "rtspkit.log"
    read_timeout: Annotated[float, duration(0.1, 3600.0)] = 10.0
    hls: Flag = True
    hls_address: Address = ":8888"
    hls_allow_origins: Texts = ("*",)
    api: Flag = True
    api_address: Address = "127.0.0.1:9997"
    api_allow_origins: Texts = ()
    #: where it is kept what must outlive the process; "": see `state.find_directory`; "no": nowhere
    state_directory: Directory = ""
    paths: dict[str, PathConfig] = {}
    warnings: tuple[str, ...] = ()
    origin: str | None = None
    explicit: frozenset[str] = frozenset()

    @property
    def secrets(self) -> set[str]:
        """Everything in the configuration that must never be shown."""
        return {secret for path in self.paths.values() for secret in url_secrets(path.source)}


_OWN = ("paths", "warnings", "origin", "explicit")


def _keys(model: type[_Model]) -> dict[str, str]:
    """The keys of the file -> the model's fields."""
    return {str(field.alias): name for name, field in model.model_fields.items() if name not in _OWN}


_GLOBAL_KEYS, _PATH_KEYS, _SHARED_KEYS = _keys(Config), _keys(PathConfig), _keys(SharedOptions)
_GLOBAL_ONLY = set(_GLOBAL_KEYS) - set(_SHARED_KEYS) | set(INERT_GLOBAL)


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
                return not read_flag(value)
            except ValueError as error:
                raise self.fail(place, f"{key}: {error}") from None
        return value

    def unknown(self, key: str, at: Location, *known: Iterable[str]) -> str:
        shown = show(key)
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
            raise self.fail(location, f"expected keys and values, got {show(value)}")
        return value

    def path(self, raw: dict[str, Any], at: Location) -> PathConfig:
        kept = self.sort(raw, at, _PATH_KEYS, INERT_PATH, DEPRECATED_PATH)
        path = self.model(PathConfig, kept, at)
        self.check_hls(path, at)
        self.check_source(path, at)
        return path

    def check_source(self, path: PathConfig, at: Location) -> None:
        scheme, found, _ = path.source.partition("://")
        if found and scheme in FOREIGN_SCHEMES:
            self.warn((*at, "source"), f"a source of type {scheme!r} cannot be read: {', '.join(SCHEMES)} can")

    def check_hls(self, options: SharedOptions, at: Location) -> None:
        if options.hls_variant == "mpegts":
            self.warn((*at, "hlsVariant"), "'hlsVariant: mpegts' is not built yet: fmp4 is served")
        if options.hls_segment_duration < 1.0:
            self.warn((*at, "hlsSegmentDuration"), "'hlsSegmentDuration' counts as 1s: shorter segments are not made")

    def check_parts(self, given: SharedOptions, at: Location, served: Iterable[SharedOptions]) -> None:
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
        inherited = {name: getattr(config, name) for name in _SHARED_KEYS.values()}
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
                raise ConfigError(f"{self.where(at)}: path name {show(name)} {problem}")
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
    if key == "rtspUDPSourcePortRange":
        return [int(item) if item.strip().isdecimal() else item.strip() for item in text.strip("[] ").split(",")]
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
