import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rtspkit.auth import MAX_CHALLENGES, Authenticator, Challenge, parse_challenges

MD5 = 'Digest realm="r", nonce="n"'
SHA = 'Digest realm="r", nonce="n", algorithm=SHA-256'
BASIC = 'Basic realm="r"'


def parameters(value: str | None) -> dict[str, str]:
    assert value is not None
    assert value.startswith("Digest ")
    return {name: text.strip('"') for name, text in re.findall(r'(\w+)=("[^"]*"|[^,]*)', value)}


def answer(*challenges: str, username: str = "user", password: str = "secret") -> dict[str, str]:
    authenticator = Authenticator(username, password, make_cnonce=lambda: "c")
    assert authenticator.challenge(challenges)
    return parameters(authenticator.authorization("PLAY", "rtsp://cam/"))


def h(text: str, name: str = "md5") -> str:
    return hashlib.new(name, text.encode()).hexdigest()


# -- challenges ----------------------------------------------------------------


def test_several_challenges_in_one_header() -> None:
    found = parse_challenges(['Digest realm="a, Basic b", nonce=n , Basic realm=x, Negotiate, NTLM TlRM=='])
    assert [one.scheme for one in found] == ["Digest", "Basic", "Negotiate", "NTLM"]
    assert found[0].realm == "a, Basic b"
    assert found[1].realm == "x"


def test_quotes() -> None:
    assert parse_challenges([r'Digest realm="a \"b\" c", nonce="never closed, x=1']) == [
        Challenge("Digest", realm=r"a \"b\" c", nonce="never closed, x=1")
    ]


def test_first_of_a_repeated_parameter() -> None:
    assert parse_challenges(['Digest realm="a", realm="b", nonce="n"'])[0].realm == "a"


@pytest.mark.parametrize("value", ['Digest realm="a\r\nX: y", nonce="n"', 'Basic realm="\x00"', "Basic realm=\x7f"])
def test_control_characters_are_refused(value: str) -> None:
    assert parse_challenges([value]) == []
    assert not Authenticator("user", "secret").challenge([value])


def test_many_challenges() -> None:
    assert len(parse_challenges([BASIC] * 100)) == MAX_CHALLENGES


def test_long_values_take_linear_time() -> None:
    for value in ("a" * 200_000, 'Digest realm="' + "\\" * 200_000, "a=" * 100_000, '"' * 200_000, " ," * 100_000):
        parse_challenges([value])


# -- choice --------------------------------------------------------------------


def test_the_best_wins() -> None:
    authenticator = Authenticator("user", "secret")
    assert authenticator.scheme is None
    assert authenticator.authorization("PLAY", "rtsp://cam/") is None
    assert authenticator.challenge([BASIC, MD5, SHA])
    assert "algorithm=SHA-256" in str(authenticator.authorization("PLAY", "rtsp://cam/"))
    assert Authenticator("user", "secret").challenge([BASIC, MD5])


@pytest.mark.parametrize(
    "value", ["", "Negotiate", 'Digest realm="r"', 'Digest realm="r", nonce="n", algorithm=SHA-512', "Bearer x=y"]
)
def test_nothing_to_answer(value: str) -> None:
    authenticator = Authenticator("user", "secret")
    assert not authenticator.challenge([value])
    assert authenticator.authorization("PLAY", "rtsp://cam/") is None


def test_digest_is_never_given_up_for_basic() -> None:
    authenticator = Authenticator("user", "secret")
    assert authenticator.challenge([MD5])
    assert not authenticator.challenge([BASIC])
    assert str(authenticator.authorization("PLAY", "rtsp://cam/")).startswith("Digest ")


def test_basic() -> None:
    authenticator = Authenticator("us", "pä:ss")
    assert authenticator.challenge([BASIC])
    assert authenticator.authorization("PLAY", "rtsp://cam/") == "Basic dXM6cMOkOnNz"


# -- digest --------------------------------------------------------------------


def test_digest_without_qop() -> None:
    found = answer(MD5)
    assert found == {
        "username": "user",
        "realm": "r",
        "nonce": "n",
        "uri": "rtsp://cam/",
        "response": h(f"{h('user:r:secret')}:n:{h('PLAY:rtsp://cam/')}"),
    }


@pytest.mark.parametrize("name", ["MD5", "SHA-256"])
@pytest.mark.parametrize("session", ["", "-sess"])
@pytest.mark.parametrize("qop", ["", "auth", "auth-int", "auth-int,auth"])
def test_digest_forms(name: str, session: str, qop: str) -> None:
    found = answer(f'Digest realm="r", nonce="n", algorithm={name}{session}, qop="{qop}"')
    hashed = name.replace("-", "").lower()
    a1 = h("user:r:secret", hashed)
    if session:
        a1 = h(f"{a1}:n:c", hashed)
    used = "auth" if "auth" in qop.split(",") else qop
    a2 = "PLAY:rtsp://cam/" + (f":{h('', hashed)}" if used == "auth-int" else "")
    middle = f"n:00000001:c:{used}" if used else "n"
    assert found["response"] == h(f"{a1}:{middle}:{h(a2, hashed)}", hashed)
    assert found.get("qop", "") == used
    assert found["algorithm"] == name + session
    assert ("cnonce" in found) == bool(used or session)


def test_rfc_7616_example() -> None:
    authenticator = Authenticator(
        "Mufasa", "Circle of Life", make_cnonce=lambda: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    )
    assert authenticator.challenge(
        [
            'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, '
            'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
            'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
        ]
    )
    found = parameters(authenticator.authorization("GET", "/dir/index.html"))
    assert found["response"] == "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    assert found["opaque"] == "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"


def test_userhash() -> None:
    found = answer(MD5 + ", userhash=true")
    assert found["username"] == h("user:r")
    assert found["userhash"] == "true"


def test_counts_go_up_and_start_again_with_a_new_nonce() -> None:
    authenticator = Authenticator("user", "secret")
    counts = []
    for nonce in ("a", "a", "b"):
        assert authenticator.challenge([f'Digest realm="r", nonce="{nonce}", qop="auth", stale={nonce == "b"}'])
        counts.append(parameters(authenticator.authorization("PLAY", "rtsp://cam/"))["nc"])
    assert counts == ["00000001", "00000002", "00000001"]
    assert authenticator.stale


def test_cnonces_differ() -> None:
    found = set()
    for _ in range(10):
        authenticator = Authenticator("user", "secret")
        authenticator.challenge(['Digest realm="r", nonce="n", qop="auth"'])
        found.add(parameters(authenticator.authorization("PLAY", "rtsp://cam/"))["cnonce"])
    assert len(found) == 10


def test_realm_bytes_survive() -> None:
    """A realm in GBK: the bytes that came are the bytes that are hashed and sent."""
    realm = b"\xc9\xe3\xcf\xf1".decode("utf-8", "surrogateescape")
    authenticator = Authenticator("user", "secret")
    assert authenticator.challenge([f'Digest realm="{realm}", nonce="n"'])
    value = str(authenticator.authorization("PLAY", "rtsp://cam/")).encode("utf-8", "surrogateescape")
    a1 = hashlib.md5(b"user:\xc9\xe3\xcf\xf1:secret").hexdigest()
    assert h(f"{a1}:n:{h('PLAY:rtsp://cam/')}").encode() in value
    assert b'realm="\xc9\xe3\xcf\xf1"' in value


def test_odd_user_names_cannot_break_the_header() -> None:
    authenticator = Authenticator('a"b\r\n', "secret")
    authenticator.challenge([MD5])
    value = str(authenticator.authorization("PLAY", "rtsp://cam/"))
    assert r'username="a\"b  "' in value


def test_shows_no_password() -> None:
    authenticator = Authenticator("user", "secret")
    authenticator.challenge([MD5])
    assert "secret" not in repr(authenticator)
    assert "secret" not in str(authenticator.authorization("PLAY", "rtsp://cam/"))


# -- what cameras ask for ------------------------------------------------------

CHALLENGES = json.loads((Path(__file__).parent / "data" / "cameras" / "challenges.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CHALLENGES, ids=[case["camera"] for case in CHALLENGES])
def test_challenges_of_cameras(case: dict[str, Any]) -> None:
    authenticator = Authenticator(case["username"], case["password"], make_cnonce=lambda: str(case["cnonce"]))
    assert authenticator.challenge(case["challenges"]) == (case["authorization"] is not None)
    value = authenticator.authorization(case["method"], case["uri"])
    if case["authorization"] is None:
        assert value is None
        return
    assert value is not None
    expected = dict(case["authorization"])
    scheme, _, rest = value.partition(" ")
    assert scheme == expected.pop("scheme")
    if scheme == "Basic":
        assert {"credentials": rest} == expected
        return
    found = dict(re.findall(r'([\w*]+)=("(?:\\.|[^"\\])*"|[^,]*)', rest))
    assert {name: text.strip('"') for name, text in found.items()} == expected
    # quoted where RFC 7616 wants it, and where the camera has quoted it itself
    assert not any(found.get(name, "").startswith('"') for name in ("qop", "nc", "userhash"))
    assert all(found[name].startswith('"') for name in ("realm", "nonce", "uri", "response"))


def test_the_table_of_challenges() -> None:
    assert len(CHALLENGES) >= 40
    assert len({case["camera"] for case in CHALLENGES}) == len(CHALLENGES)


@pytest.mark.parametrize("algorithm", ["MD5", '"MD5"', "SHA-256", '"SHA-256"'])
def test_the_algorithm_is_quoted_as_it_came(algorithm: str) -> None:
    authenticator = Authenticator("user", "secret")
    assert authenticator.challenge([f'Digest realm="r", nonce="n", algorithm={algorithm}'])
    assert f"algorithm={algorithm}" in str(authenticator.authorization("PLAY", "rtsp://cam/")).split(", ")


@pytest.mark.parametrize(("basic_allowed", "digest_known", "answered"), [
    (False, False, True), (False, True, False), (True, True, True),
])  # fmt: skip
def test_basic_where_digest_was_known(basic_allowed: bool, digest_known: bool, answered: bool) -> None:
    authenticator = Authenticator("user", "secret", basic_allowed=basic_allowed, digest_known=digest_known)
    assert authenticator.challenge([BASIC]) is answered
    assert authenticator.basic_refused is not answered
    assert authenticator.digest_known is digest_known
    assert (authenticator.authorization("PLAY", "rtsp://cam/") is not None) is answered


def test_digest_that_cannot_be_answered_is_not_known() -> None:
    authenticator = Authenticator("user", "secret")
    assert authenticator.challenge(['Digest realm="r", nonce="n", algorithm=unknown', BASIC])
    assert (authenticator.scheme, authenticator.digest_known) == ("Basic", False)


def test_next_nonce() -> None:
    authenticator = Authenticator("user", "secret")
    authenticator.take_info(['nextnonce="early"'])  # nothing to renew yet
    assert authenticator.challenge(['Digest realm="r", nonce="a", qop="auth"'])
    authenticator.authorization("PLAY", "rtsp://cam/")
    for info, expected in (
        ('rspauth="x", nextnonce="b", qop=auth', ("b", "00000001")),
        ("nothing", ("b", "00000002")),
        ('nextnonce="\r\nX: y"', ("b", "00000003")),
        ('nextnonce=""', ("b", "00000004")),
        ("nextnonce=c", ("c", "00000001")),
    ):
        authenticator.take_info([info])
        found = parameters(authenticator.authorization("PLAY", "rtsp://cam/"))
        assert (found["nonce"], found["nc"]) == expected


def test_names_are_composed_where_the_server_knows_utf_8() -> None:
    for name in ("M\u00fcller", "Mu\u0308ller"):
        found = answer(MD5 + ", charset=UTF-8, userhash=true", username=name)
        assert found["username"] == h("M\u00fcller:r")
