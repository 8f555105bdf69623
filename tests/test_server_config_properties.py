"""Any bytes are a configuration or one line that says why not; no password gets out."""

from urllib.parse import unquote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtspkit.server.config import Config, ConfigError, load_text_config, redact_url, url_secrets
from rtspkit.server.log import Redactor, escape
from rtspkit.server.mtxkeys import INERT_GLOBAL, INERT_PATH
from rtspkit.url import parse_url

KEYS = ["paths", "pathDefaults", "hls", "hlsAddress", "hlsSegmentDuration", "source", "maxReaders", "logDestinations"]
KEYS += [
    "hlsVariant",
    "hlsPartDuration",
    "stateDirectory",
    "keyframeTimeout",
    "lossPolicy",
    *list(INERT_GLOBAL)[:5],
    *list(INERT_PATH)[:5],
    "rtmp",
    "<<",
    "sourse",
    "protocols",
    "hlsDisable",
]
SCALARS = st.sampled_from(
    [
        "yes",
        "no",
        "1",
        "-1",
        "1e999",
        "10s",
        "50M",
        ":8888",
        "rtsp://u:p@h/x",
        "rtsps://h",
        "~",
        "",
        "[]",
        "{}",
        "*a",
        "&a x",
    ]
) | st.text(max_size=8)


@st.composite
def documents(draw: st.DrawFn, depth: int = 0) -> str:
    """Text that is nearly a configuration."""
    lines = []
    for _ in range(draw(st.integers(0, 4))):
        key = draw(st.sampled_from(KEYS) | st.text(max_size=6))
        inner = draw(documents(depth + 1)) if depth < 3 and draw(st.booleans()) else ""
        value = "\n" + inner if inner else " " + draw(SCALARS)
        lines.append("  " * depth + f"{key}:{value}")
    return "\n".join(lines)


def check(data: bytes) -> None:
    message = ""
    try:
        config = load_text_config(data, "config.yml")
    except ConfigError as error:
        message = str(error)
    else:
        assert isinstance(config, Config)
        return
    assert message.startswith("config.yml:")
    assert len(message) < 400
    assert "\n" not in message


@given(st.binary(max_size=200))
@settings(max_examples=150)
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(documents())
# the first text that is ever drawn on a machine takes seconds
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_nearly_configurations(text: str) -> None:
    check(text.encode("utf-8", "replace"))


PASSWORDS = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=6, max_size=20)


@given(PASSWORDS.filter(lambda text: "/" not in text and "?" not in text and "#" not in text))
@settings(max_examples=200)
def test_no_password_in_a_url_that_is_shown(password: str) -> None:
    url = f"rtsp://someuser:{password}@cam/x"
    assert redact_url(url) == "rtsp://someuser:***@cam/x"
    assert password in url_secrets(url)


@given(
    PASSWORDS, st.sampled_from(["10.0.0.5", "cam.local", "[::1]"]), st.sampled_from(["", "/", ":8554/s@2", "/a:b@c"])
)
@settings(max_examples=300)
def test_what_is_used_as_the_password_is_never_shown(password: str, host: str, rest: str) -> None:
    """The place where it is hidden is the place where it is found."""
    url = f"rtsp://someuser:{password}@{host}{rest}"
    found = parse_url(url)
    assert found.password is not None
    assert redact_url(url).startswith("rtsp://someuser:***@")
    assert f":{password}@" not in redact_url(url)
    assert found.password == "" or {found.password, unquote(found.password)} & url_secrets(url)


@given(PASSWORDS, st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=200)
def test_no_secret_gets_through_the_sink(password: str, before: str, after: str) -> None:
    shown = Redactor({password})(f"{before}{password}{after}")
    assert password not in shown.replace("***", "") or password in before + after


@given(st.text())
def test_escaped_text_is_one_line(text: str) -> None:
    assert len(escape(text).splitlines()) <= 1
    escape(text).encode()
