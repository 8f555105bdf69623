"""Configuration: what works, what loads with a warning, and what ends in one line that names the place."""

from pathlib import Path

import pytest
from real.gateway import HLS_BLOCK, PATHS_BLOCK

from rtspkit.limits import DEFAULT_LIMITS
from rtspkit.server.config import (
    Config,
    ConfigError,
    check_path_name,
    load,
    load_text_config,
    parse_duration,
    parse_size,
    redact_url,
    url_secrets,
)
from rtspkit.server.mtxkeys import DEPRECATED_GLOBAL, DEPRECATED_PATH, INERT_GLOBAL, INERT_PATH
from rtspkit.server.retry import RetryPolicy
from rtspkit.server.source import camera_options

SEED = f"{PATHS_BLOCK}\n{HLS_BLOCK}".encode()


def read(text: str | bytes, **environ: str) -> Config:
    return load_text_config(text.encode() if isinstance(text, str) else text, "config.yml", environ)


def refused(text: str | bytes, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, **environ)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300
    return message


def test_seed() -> None:
    config = read(SEED)
    path = config.paths["cam_2"]
    assert path.source == "rtsp://admin:password@192.168.1.100:554/stream1"
    assert path.source_on_demand
    assert path.source_on_demand_start_timeout == 10.0
    assert path.source_on_demand_close_after == 15.0
    assert path.max_readers == 8
    assert path.hls_segment_count == config.hls_segment_count == 6
    assert path.hls_segment_duration == 4.0
    assert path.hls_segment_max_size == 50 << 20
    assert path.hls_muxer_close_after == 30.0
    assert config.warnings == ("config.yml:17: 'hlsPartDuration' has no effect without 'hlsVariant: lowLatency'",)
    assert path.part_duration is None


def test_seed_buffer_settings_load_with_a_warning_each() -> None:
    config = read(SEED + b"rtspUDPReadBufferSize: 65536    # 64KB\nwriteQueueSize: 65536           # 64K packets\n")
    about = [line for line in config.warnings if "hlsPart" not in line]
    assert len(about) == 2
    assert about[0] == "config.yml:18: 'rtspUDPReadBufferSize' is deprecated: use 'udpReadBufferSize'"
    assert about[1].startswith("config.yml:19: 'writeQueueSize' has no effect")
    assert config.paths["cam_2"].udp_read_buffer_size == 65536


def test_segments_of_less_than_a_second_are_not_made() -> None:
    (warning,) = read("hlsSegmentDuration: 500ms\npaths: {cam: }\n").warnings
    assert warning.startswith("config.yml:1: 'hlsSegmentDuration' counts as 1s")


LOW_LATENCY = "hlsVariant: lowLatency\n"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (LOW_LATENCY + "paths: {cam: }\n", 0.2),
        (LOW_LATENCY + "hlsPartDuration: 500ms\npaths: {cam: }\n", 0.5),
        ("pathDefaults: {hlsVariant: lowLatency}\nhlsPartDuration: 500ms\npaths: {cam: }\n", 0.5),
        (LOW_LATENCY + "pathDefaults: {hlsPartDuration: 300ms}\npaths: {cam: }\n", 0.3),
        ("hlsPartDuration: 1s\npaths: {cam: {hlsVariant: lowLatency}}\n", 1.0),
        (LOW_LATENCY + "paths: {cam: {hlsPartDuration: 100ms}}\n", 0.1),
        (LOW_LATENCY + "paths: {cam: {hlsVariant: fmp4}}\n", None),
        ("paths: {cam: }\n", None),
    ],
)
def test_low_latency_globally_by_default_and_in_a_path(text: str, part: float | None) -> None:
    config = read(text)
    assert config.warnings == ()
    assert config.paths["cam"].part_duration == part


def test_low_latency_of_one_path_only() -> None:
    config = read("hlsPartDuration: 500ms\npaths: {plain: , quick: {hlsVariant: lowLatency}}\n")
    assert {name: path.part_duration for name, path in config.paths.items()} == {"plain": None, "quick": 0.5}
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("hlsPartDuration: 1s\npaths: {cam: }\n", "1: "),
        ("hlsPartDuration: 1s\npaths:\n  a: {hlsVariant: mpegts}\n", "1: "),
        ("pathDefaults:\n  hlsPartDuration: 1s\npaths: {cam: }\n", "2: pathDefaults: "),
        ("paths:\n  cam:\n    hlsPartDuration: 1s\n  quick: {hlsVariant: lowLatency}\n", "3: path 'cam': "),
    ],
)
def test_part_duration_without_low_latency_warns(text: str, place: str) -> None:
    text = f"{text}hlsVariant: fmp4\n"
    (warning,) = (line for line in read(text).warnings if "hlsPart" in line)
    assert warning == f"config.yml:{place}'hlsPartDuration' has no effect without 'hlsVariant: lowLatency'"


def test_parts_are_no_longer_than_segments() -> None:
    config = read(LOW_LATENCY + "hlsSegmentDuration: 2s\nhlsPartDuration: 3s\npaths: {cam: }\n")
    assert config.paths["cam"].part_duration == 2.0
    (warning,) = config.warnings
    assert warning.startswith("config.yml:3: 'hlsPartDuration' is longer than a segment")


@pytest.mark.parametrize(
    ("text", "environ", "directory"),
    [
        ("", {}, ""),
        ("stateDirectory: /var/lib/cams\n", {}, "/var/lib/cams"),
        ("stateDirectory: no\n", {}, "no"),
        ("stateDirectory: /a\n", {"MTX_STATEDIRECTORY": "no"}, "no"),
        ("", {"MTX_STATEDIRECTORY": "/b"}, "/b"),
    ],
)
def test_state_directory(text: str, environ: dict[str, str], directory: str) -> None:
    assert read(text, **environ).state_directory == directory


def test_state_directory_is_global() -> None:
    assert "is global" in refused("paths: {cam: {stateDirectory: /a}}\n")
    assert "expected text" in refused("stateDirectory: yes\n")


def test_password_is_in_no_repr() -> None:
    config = read(SEED)
    assert "password" not in repr(config)
    assert config.paths["cam_2"].shown_source == "rtsp://admin:***@192.168.1.100:554/stream1"
    assert config.secrets == {"password"}


@pytest.mark.parametrize("key", sorted(INERT_GLOBAL))
def test_inert_global_keys_warn(key: str) -> None:
    (warning,) = read(f"{key}: something\npaths: {{cam: }}\n").warnings
    assert warning.startswith(f"config.yml:1: {key!r} has no effect: ")


@pytest.mark.parametrize("key", sorted(INERT_PATH))
def test_inert_path_keys_warn(key: str) -> None:
    (warning,) = read(f"paths:\n  cam:\n    {key}: something\n").warnings
    assert warning.startswith(f"config.yml:3: path 'cam': {key!r} has no effect: ")


@pytest.mark.parametrize("key", sorted(set(DEPRECATED_GLOBAL) - {"hlsDisable", "rtspUDPReadBufferSize"}))
def test_deprecated_global_keys_warn(key: str) -> None:
    (warning,) = read(f"{key}: something\npaths: {{cam: }}\n").warnings
    assert warning.startswith(f"config.yml:1: {key!r}")
    assert "deprecated" in warning


DEPRECATED_THAT_WORK = {"sourceProtocol", "sourceAnyPortEnable", "rtspUDPReadBufferSize"}


@pytest.mark.parametrize("key", sorted(set(DEPRECATED_PATH) - DEPRECATED_THAT_WORK))
def test_deprecated_path_keys_warn(key: str) -> None:
    (warning,) = read(f"paths:\n  cam:\n    {key}: something\n").warnings
    assert warning.startswith(f"config.yml:3: path 'cam': {key!r}")


def test_deprecated_keys_that_work() -> None:
    config = read("hlsDisable: yes\nhlsAllowOrigin: https://a.example\npaths: {cam: {sourceProtocol: tcp}}\n")
    assert not config.hls
    assert config.hls_allow_origins == ("https://a.example",)
    assert config.paths["cam"].rtsp_transport == "tcp"
    assert len(config.warnings) == 3
    assert all("is deprecated: use" in warning for warning in config.warnings)


def test_loss_policy() -> None:
    paths = "paths:\n  a:\n  b: {lossPolicy: keep}\n"
    assert {path.loss_policy for path in read(paths).paths.values()} == {"keep"}
    for text in ("lossPolicy: skip\n", "pathDefaults: {lossPolicy: skip}\n"):
        found = read(text + paths).paths
        assert (found["a"].loss_policy, found["b"].loss_policy) == ("skip", "keep")
        assert camera_options(found["a"], DEFAULT_LIMITS).loss_policy == "skip"
    assert refused(f"lossPolicy: drpo\n{paths}") == "config.yml:1: lossPolicy: expected keep, drop or skip, got 'drpo'"


def test_transports() -> None:
    text = (
        "pathDefaults: {rtspTransport: udp}\npaths:\n  a: {rtspAnyPort: yes, rtspUDPSourcePortRange: [40000, 40999]}\n"
    )
    config = read(text + "  b: {rtspTransport: multicast}\n  c: {rtspTransport: automatic}\n")
    assert {name: path.rtsp_transport for name, path in config.paths.items()} == {
        "a": "udp",
        "b": "multicast",
        "c": "automatic",
    }
    a, b = config.paths["a"], config.paths["b"]
    assert (a.rtsp_any_port, a.rtsp_udp_source_port_range) == (True, (40000, 40999))
    assert (b.rtsp_any_port, b.rtsp_udp_source_port_range) == (False, (32768, 60999))
    assert config.warnings == ()


def test_old_names_of_transports_work() -> None:
    config = read(
        "rtspUDPReadBufferSize: 2M\npaths:\n"
        "  a: {sourceProtocol: multicast, sourceAnyPortEnable: yes}\n  b: {rtspUDPReadBufferSize: 65536}\n"
    )
    a, b = config.paths["a"], config.paths["b"]
    assert (a.rtsp_transport, a.rtsp_any_port) == ("multicast", True)
    assert (a.udp_read_buffer_size, b.udp_read_buffer_size) == (2 << 20, 65536)
    assert len(config.warnings) == 4
    assert all("is deprecated: use" in warning for warning in config.warnings)


def test_ports_from_the_environment() -> None:
    config = read("paths: {cam: }\n", MTX_PATHS_CAM_RTSPUDPSOURCEPORTRANGE="40000, 40999", MTX_UDPREADBUFFERSIZE="1M")
    assert config.paths["cam"].rtsp_udp_source_port_range == (40000, 40999)
    assert config.paths["cam"].udp_read_buffer_size == 1 << 20


def test_retries_are_as_patient_as_ever_where_nothing_is_set() -> None:
    assert read("paths: {cam: }\n").paths["cam"].retry_policy == RetryPolicy()


def test_retries_globally_by_default_and_in_a_path() -> None:
    config = read(
        "sourceTries: 5\nsourceRetryPause: 2s\nsourceRetryPauseMax: 20s\nsourceRefusedPause: 5m\n"
        "pathDefaults: {sourceRetryPauseMax: 10s}\n"
        "paths:\n  a: {sourceRetryPauseMax: 1s, sourceTryPause: 0, sourceRetryPauseGap: 900ms}\n  b:\n"
    )
    a, b = config.paths["a"].retry_policy, config.paths["b"].retry_policy
    assert b == RetryPolicy(tries=5, pause=2.0, pause_max=10.0, refused_pause=300.0)
    assert a == RetryPolicy(tries=5, try_pause=0.0, pause=2.0, pause_max=1.0, pause_gap=0.9, refused_pause=300.0)


def test_what_asks_for_nothing_warns_of_nothing() -> None:
    assert read("metrics: no\nplayback: false\npathDefaults: {record: no}\npaths: {cam: }\n").warnings == ()


def test_foreign_protocols_share_one_warning() -> None:
    config = read(
        "rtmp: yes\nrtmpAddress: :1935\nsrt: yes\nwebrtc: yes\nwebrtcICEServers2: []\nmoq: yes\nmoqAddress: :1\n"
        "paths: {cam: {rpiCameraWidth: 1920, srtReadPassphrase: x}}\n"
    )
    assert len(config.warnings) == 1
    assert config.warnings[0].startswith("config.yml:1: no effect, these protocols are not served: 'rtmp'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "paths:\n  cam_2:\n    sourse: rtsp://h/\n",
            "config.yml:3: path 'cam_2': unknown key 'sourse' (did you mean 'source'?)",
        ),
        ("\n\nhlsAdress: :1\n", "config.yml:3: unknown key 'hlsAdress' (did you mean 'hlsAddress'?)"),
        ("path:\n", "config.yml:1: unknown key 'path' (did you mean 'paths'?)"),
        ("qqqqq: 1\n", "config.yml:1: unknown key 'qqqqq'"),
        ("source: rtsp://h/\n", "config.yml:1: key 'source' belongs into a path or into pathDefaults"),
        ("paths:\n a:\n  hlsAddress: :1\n", "config.yml:3: path 'a': key 'hlsAddress' is global and cannot stand here"),
        ("pathDefaults:\n  xyzzy: 1\n", "config.yml:2: pathDefaults: unknown key 'xyzzy'"),
        ("paths: [a]\n", "config.yml:1: expected keys and values, got a list"),
        (
            "paths:\n  cam: rtsp://u:secret@h/\n",
            "config.yml:2: path 'cam': expected keys and values, got 'rtsp://u:***@h/'",
        ),
        ("- a\n", "config.yml:1: expected keys and values, got a list"),
        ("hls: maybe\n", "config.yml:1: hls: expected yes or no, got 'maybe'"),
        ("hlsSegmentCount: six\n", "config.yml:1: hlsSegmentCount: expected a whole number, got 'six'"),
        ("hlsSegmentCount: yes\n", "config.yml:1: hlsSegmentCount: expected a whole number, got yes"),
        ("hlsSegmentCount: 2\n", "config.yml:1: hlsSegmentCount: must be at least 3, got 2"),
        (
            "hlsSegmentDuration: 4\n",
            "config.yml:1: hlsSegmentDuration: expected a duration such as 10s (with its unit), got '4'",
        ),
        (
            "readTimeout: 10 s\n",
            "config.yml:1: readTimeout: expected a duration such as 10s, 1m30s, 500ms or 1d, got '10 s'",
        ),
        ("hlsSegmentMaxSize: big\n", "config.yml:1: hlsSegmentMaxSize: expected a size such as 50M, got 'big'"),
        ("hlsVariant: ts\n", "config.yml:1: hlsVariant: expected fmp4, lowLatency or mpegts, got 'ts'"),
        ("logLevel: loud\n", "config.yml:1: logLevel: expected error, warn, info or debug, got 'loud'"),
        ("logDestinations: [stdout, tty]\n", "config.yml:1: logDestinations: expected stdout or file, got 'tty'"),
        (
            "hlsAddress: 8888\n",
            "config.yml:1: hlsAddress: expected an address such as :8888 or 127.0.0.1:8888, got '8888'",
        ),
        (
            "hlsAddress: :99999\n",
            "config.yml:1: hlsAddress: expected an address such as :8888 or 127.0.0.1:8888, got ':99999'",
        ),
        (
            "paths:\n  a:\n    rtspTransport: quic\n",
            "config.yml:3: path 'a': rtspTransport: expected automatic, udp, multicast or tcp, got 'quic'",
        ),
        (
            "paths:\n  a:\n    rtspUDPSourcePortRange: [1, 2, 3]\n",
            "config.yml:3: path 'a': rtspUDPSourcePortRange: expected two ports such as [32768, 60999], got a list",
        ),
        (
            "paths:\n  a:\n    rtspUDPSourcePortRange: [60999, 32768]\n",
            "config.yml:3: path 'a': rtspUDPSourcePortRange: expected two ports such as [32768, 60999], "
            "got ['60999', '32768']",
        ),
        (
            "udpReadBufferSize: 1G\n",
            "config.yml:1: udpReadBufferSize: must lie between 0 and 64M, got 1073741824 bytes",
        ),
        (
            "sourceRefusedPause: 1ms\n",
            "config.yml:1: sourceRefusedPause: must be at least 1s, got 0.001s",
        ),
        ("sourceTries: 0\n", "config.yml:1: sourceTries: must be at least 1, got 0"),
        ("hlsDirectory: [x]\n", "config.yml:1: hlsDirectory: expected text, got a list"),
        ("paths:\n  /cam:\n", "config.yml:2: path name '/cam' must not begin or end with a slash"),
        ("paths:\n  a b:\n", "config.yml:2: path name 'a b' may hold letters, digits and _ . - / only"),
        ("paths:\n  a/../b:\n", "config.yml:2: path name 'a/../b' must not hold '.' or '..' between slashes"),
        (
            "paths:\n  c:\n    source: rtps://u:secret@h/x\n",
            "config.yml:3: path 'c': source: unknown scheme 'rtps' in 'rtps://u:***@h/x' "
            "(what works: rtsp, rtsps, rtsp+http, rtsps+http)",
        ),
        (
            "paths:\n  c:\n    source: 192.168.1.4\n",
            "config.yml:3: path 'c': source: expected a URL such as rtsp://user:pass@host:554/path, got '192.168.1.4'",
        ),
        (
            "paths:\n  c:\n    source: rtsp://u:secret@/x\n",
            "config.yml:3: path 'c': source: expected rtsp://user:pass@host:554/path, got 'rtsp://u:***@/x'",
        ),
        (
            "paths:\n  c:\n    source: rtsp://h:99999/x\n",
            "config.yml:3: path 'c': source: expected rtsp://user:pass@host:554/path, got 'rtsp://h:99999/x'",
        ),
        (
            "paths:\n  c:\n    source: rtsp://admin:sec ret #1@h/x\n",
            "config.yml:3: path 'c': source: expected rtsp://user:pass@host:554/path, got 'rtsp://admin:***'; "
            'if a " #" is part of it, put it in quotes',
        ),
        ("hls: yes\nhls: no\n", "config.yml:2: key 'hls' stands twice (first in line 1)"),
        ("paths:\n  a: {}\n  b: {}\n  a: {}\n", "config.yml:4: key 'a' stands twice (first in line 2)"),
        ("paths:\n\ta: {}\n", "config.yml:2: not valid YAML: a tab; lines are indented with spaces"),
        ("hls: yes\n\tapi: no\n", "config.yml:2: not valid YAML: a tab; lines are indented with spaces"),
        ("? [a]\n: b\n", "config.yml:1: a key must be plain text"),
        ("hls: !python/object:os.system x\n", "config.yml:1: unknown tag '!python/object:os.system'"),
        (b"hls: yes\nlogFile: \xff\n", "config.yml:2: not UTF-8 text"),
    ],
)
def test_wrong_files_end_in_one_line(text: str | bytes, message: str) -> None:
    assert refused(text) == message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hls: [yes\n", 2),
        ("hls: yes\n\tapi: no\n", 2),
        ("hls: 'yes\n", 2),
        ("a: b: c\n", 1),
        ("hls: yes\n---\napi: yes\n", 2),
        ("hls: *nothing\n", 1),
        ("hls: yes\nlogFile: \x00\n", 2),
        ("a: " + "[" * 900 + "]" * 900, 1),
        ("a: " + "[" * 400_000 + "]" * 400_000, 1),
        ("\n".join(" " * depth + "a:" for depth in range(1000)), 21),
    ],
)
def test_broken_yaml_names_the_line(text: str, line: int) -> None:
    assert refused(text).startswith(f"config.yml:{line}: ")


def test_too_large() -> None:
    assert "larger than" in refused(b"#" * 1_000_001)
    assert read(b"#" * 1_000_000).paths == {}


def test_too_large_file_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "big.yml"
    with file.open("wb") as handle:
        handle.truncate(1 << 40)  # sparse
    with pytest.raises(ConfigError, match="larger than"):
        load(file, {})


def test_alias_bomb() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        text += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    assert "aliases" in refused(text)
    assert "nested" in refused("a: &a [*a]\n")
    assert refused("a: &a {b: c}\n" + "".join(f"k{n}: *a\n" for n in range(70))).endswith("uses of aliases")


def test_merge_keys_and_anchors() -> None:
    config = read(
        "paths:\n  a: &base\n    source: rtsp://h/a\n    maxReaders: 3\n  b:\n    <<: *base\n    source: rtsp://h/b\n"
    )
    assert config.paths["b"].source == "rtsp://h/b"
    assert config.paths["b"].max_readers == 3


def test_hls_keys_of_a_path_override_defaults_and_globals() -> None:
    config = read(
        "hlsSegmentDuration: 4s\nhlsSegmentCount: 5\nhlsMuxerCloseAfter: 7s\n"
        "pathDefaults:\n  hlsSegmentDuration: 3s\n  hlsSegmentCount: 6\n  maxReaders: 2\n  sourceOnDemand: yes\n"
        "paths:\n  a:\n    hlsSegmentDuration: 2s\n    sourceOnDemand: no\n  b:\n"
    )
    a, b = config.paths["a"], config.paths["b"]
    assert (a.hls_segment_duration, a.hls_segment_count, a.hls_muxer_close_after) == (2.0, 6, 7.0)
    assert (b.hls_segment_duration, b.hls_segment_count, b.hls_muxer_close_after) == (3.0, 6, 7.0)
    assert (a.source_on_demand, b.source_on_demand) == (False, True)
    assert a.max_readers == b.max_readers == 2


@pytest.mark.parametrize("name", ["all", "all_others", "~^cam"])
def test_paths_for_many_names_load_with_a_warning(name: str) -> None:
    config = read(f"paths:\n  '{name}':\n    source: publisher\n  cam:\n")
    assert list(config.paths) == ["cam"]
    assert config.warnings == (
        f"config.yml:2: path {name!r}: has no effect: paths that stand for many names are not built yet",
    )


@pytest.mark.parametrize("value", ["yes", "true", "True", "on", "'yes'", '"true"'])
def test_flags(value: str) -> None:
    assert read(f"logStructured: {value}\n").log_structured


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("1d12h", 129600.0),
        ("200ms", 0.2),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("100us", 1e-4),
        ("0", 0.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "10 s", "1s2", "1x", "१s", "1e3s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("50M", 50 << 20),
        ("50MB", 50 << 20),
        ("50MiB", 50 << 20),
        ("512k", 512 << 10),
        ("1.5G", 3 << 29),
        ("7", 7),
        ("7B", 7),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("url", "shown", "secrets"),
    [
        ("rtsp://u:p@h/x", "rtsp://u:***@h/x", {"p"}),
        ("rtsp://u:p%40q@h/x", "rtsp://u:***@h/x", {"p%40q", "p@q"}),
        ("rtsp://u:p@q@h/x", "rtsp://u:***@h/x", {"p@q"}),
        ("rtsp://u:a/b#c?d@h/x", "rtsp://u:***@h/x", {"a/b#c?d"}),
        ("rtsp://u:1?a@10.0.0.1/x", "rtsp://u:***@10.0.0.1/x", {"1?a"}),
        ("rtsp://u:@?b@10.0.0.1/s@2", "rtsp://u:***@10.0.0.1/s@2", {"@?b"}),
        ("rtsp://u:@h/x", "rtsp://u:***@h/x", set()),
        ("rtsp://u@h/x", "rtsp://u@h/x", set()),
        ("rtsp://h:554/x@y", "rtsp://h:554/x@y", set()),
        ("rtsp://[::1]:554/x@y", "rtsp://[::1]:554/x@y", set()),
        ("rtsp://h/x?user=a&password=b&c=d", "rtsp://h/x?user=a&password=***&c=d", {"b"}),
        ("publisher", "publisher", set()),
    ],
)
def test_redaction(url: str, shown: str, secrets: set[str]) -> None:
    assert redact_url(url) == shown
    assert url_secrets(url) == secrets


@pytest.mark.parametrize(
    "line",
    [
        "source: http//admin:hunter22@h/x",
        "source: rtsp:/u:hunter22@h/x",
        "source: u:hunter22@h",
        "rtsp://u:hunter22@h/x: 1",
    ],
)
def test_a_url_with_a_slip_in_it_shows_no_password_either(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text_config(f"paths:\n  cam:\n    {line}\n".encode(), "f.yml")
    assert "hunter22" not in str(caught.value)
    assert str(caught.value).startswith("f.yml:3: ")


@pytest.mark.parametrize("name", ["cam", "cam_2", "a/b.c/d-e", "..a"])
def test_path_names(name: str) -> None:
    assert check_path_name(name) is None


@pytest.mark.parametrize("name", ["", "/", "a//b", "a/", ".", "a/.", "ä", "a%2f", "a\n"])
def test_no_path_names(name: str) -> None:
    assert check_path_name(name)


@pytest.mark.parametrize("source", ["rtsps://h/x", "rtmp://h/x", "srt://h:1", "redirect", "rpiCamera"])
def test_sources_of_other_kinds_load(source: str) -> None:
    assert read(f"paths: {{cam: {{source: '{source}'}}}}\n").paths["cam"].source == source


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "rtsp+http", "rtsps+http"])
def test_cameras(scheme: str) -> None:
    config = read(f"paths: {{cam: {{source: '{scheme}://u:p@h:1/x'}}}}\n")
    assert config.paths["cam"].source == f"{scheme}://u:p@h:1/x"
    assert config.paths["cam"].shown_source == f"{scheme}://u:***@h:1/x"
    assert not config.warnings
    with pytest.raises(ConfigError, match="expected rtsp://"):
        read(f"paths: {{cam: {{source: '{scheme}://h:99999/x'}}}}\n")


@pytest.mark.parametrize("text", ["ab" * 32, "AB" * 32, ":".join(["Ab"] * 32)])
def test_fingerprints(text: str) -> None:
    config = read(f"pathDefaults: {{sourceFingerprint: '{text}'}}\npaths: {{a: , b: {{sourceFingerprint: ''}}}}\n")
    assert config.paths["a"].source_fingerprint == "ab" * 32
    assert config.paths["b"].source_fingerprint is None
    with pytest.raises(ConfigError, match=r"sourceFingerprint: .*64 hexadecimal digits, got 'ab'"):
        read("paths: {a: {sourceFingerprint: ab}}\n")


def test_environment_overrides() -> None:
    config = read(
        "hlsSegmentCount: 6\npaths:\n  cam_2:\n    source: rtsp://h/x\n",
        MTX_HLSSEGMENTCOUNT="4",
        MTX_HLSALLOWORIGINS="https://a.example, https://b.example",
        MTX_API="no",
        MTX_PATHDEFAULTS_MAXREADERS="5",
        MTX_PATHS_CAM_2_SOURCE="rtsp://other/y",
        MTX_PATHS_YARD_SOURCEONDEMAND="yes",
        MTX_PATHS_YARD_SOURCE="rtsp://yard/z",
        MTX_AUTHINTERNALUSERS_0_USER="me",
        MTX_NONSENSE="1",
        OTHER="x",
    )
    assert config.hls_segment_count == 4
    assert config.hls_allow_origins == ("https://a.example", "https://b.example")
    assert not config.api
    assert config.paths["cam_2"].source == "rtsp://other/y"
    assert config.paths["cam_2"].max_readers == 5
    assert config.paths["yard"].source_on_demand
    assert config.paths["yard"].source == "rtsp://yard/z"
    assert sorted(config.warnings) == [
        "environment variable MTX_AUTHINTERNALUSERS_0_USER: 'authInternalUsers' has no effect: "
        "viewers are not authorised yet: whoever reaches the port can watch",
        "environment variable MTX_NONSENSE names no configuration key: ignored",
    ]


def test_wrong_environment_names_the_variable() -> None:
    assert (
        refused("hls: yes\n", MTX_HLSSEGMENTCOUNT="many")
        == "environment variable MTX_HLSSEGMENTCOUNT: hlsSegmentCount: expected a whole number, got 'many'"
    )


def test_empty_file_is_all_defaults() -> None:
    config = read("")
    assert config.hls_address == ":8888"
    assert config.api_address == "127.0.0.1:9997"
    assert config.warnings == ("config.yml: no paths are configured: there is nothing to watch",)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml: cannot be read: No such file"):
        load(tmp_path / "none.yml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})
