"""Certificates made for the tests by the `openssl` command: an authority, and cameras it has (not) spoken for."""

import hashlib
import shutil
import ssl
import subprocess
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

#: Goes with the process.
_FOLDER = TemporaryDirectory(prefix="certificates-")


@dataclass(frozen=True)
class Certificate:
    """One camera's.

    Attributes:
        path: the certificate and its key, in PEM.
    """

    path: Path

    @property
    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert("-----BEGIN CERT" + self.path.read_text().partition("-----BEGIN CERT")[2])

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.der).hexdigest()

    def server(self) -> ssl.SSLContext:
        """What a server that shows it speaks: TLS as it is today."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        return context

    def old_server(self) -> ssl.SSLContext:
        """The same of 2010: TLS 1.0, with whatever key and digest."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        context.load_cert_chain(self.path)
        return context


@dataclass(frozen=True)
class Certificates:
    """All of them.

    Attributes:
        authority: the PEM file of the one that has issued `good`, `elsewhere` and `expired`.
        good: of 127.0.0.1 and localhost.
        elsewhere: of another host.
        expired: of 127.0.0.1, and a day too old.
        own: signed by itself.
        weak: signed by itself with SHA-1, for an RSA key of 1024 bits.
    """

    authority: Path
    good: Certificate
    elsewhere: Certificate
    expired: Certificate
    own: Certificate
    weak: Certificate


@cache
def certificates() -> Certificates:
    """Makes them once; skips the test where there is no `openssl`."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here: apt install openssl")
    folder = Path(_FOLDER.name)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, capture_output=True)

    def issued(name: str, *, names: str, days: int) -> Certificate:
        (folder / "names").write_text(f"subjectAltName={names}")
        openssl("req", "-new", "-key", "key.pem", "-subj", "/CN=camera", "-out", f"{name}.csr")
        signed = ("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey", "key.pem", "-CAcreateserial")
        openssl(*signed, "-days", str(days), "-extfile", "names", "-out", f"{name}.pem")
        return with_key(name, "key.pem")

    def with_key(name: str, key: str) -> Certificate:
        path = folder / f"{name}.pem"
        path.write_text((folder / key).read_text() + path.read_text())
        return Certificate(path)

    def signed_by_itself(name: str, key: str, *options: str) -> None:
        subject = ("-subj", "/O=Cameras/CN=Authority of the tests", "-days", "30")
        openssl("req", "-x509", "-new", "-key", key, *subject, *options, "-out", f"{name}.pem")

    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem")
    openssl("genrsa", "-out", "weak-key.pem", "1024")
    for name, key, options in (
        ("authority", "key.pem", ()),
        ("own", "key.pem", ("-addext", "subjectAltName=IP:127.0.0.1")),
        ("weak", "weak-key.pem", ("-sha1",)),
    ):
        signed_by_itself(name, key, *options)
    return Certificates(
        folder / "authority.pem",
        good=issued("good", names="IP:127.0.0.1,DNS:localhost", days=30),
        elsewhere=issued("elsewhere", names="DNS:camera.example", days=30),
        expired=issued("expired", names="IP:127.0.0.1", days=-1),
        own=with_key("own", "key.pem"),
        weak=with_key("weak", "weak-key.pem"),
    )
