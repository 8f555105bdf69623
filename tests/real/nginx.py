"""`Nginx`: Debian's nginx with the configuration that docs/howto/nginx.md ships, and a certificate made for it."""

import os
import re
import subprocess
from pathlib import Path

from .daemon import Daemon
from .parts import free_port, require_nginx

CONF = Path(__file__).resolve().parent.parent.parent / "docs" / "howto" / "nginx.conf"

#: What /etc/nginx/nginx.conf has around the files of conf.d, as far as it changes what they do.
_MAIN = """\
worker_processes 2;
daemon off;
pid {directory}/pid;
error_log stderr notice;
{user}
events {{
    worker_connections 4096;
}}
http {{
    sendfile on;
    tcp_nopush on;
    access_log off;
    gzip on;
    default_type application/octet-stream;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/rtspkit.conf;
}}
"""


class Nginx(Daemon):
    """One nginx with an empty cache in front of a port of 127.0.0.1.

    Attributes:
        port: where it speaks plain HTTP.
        tls_port: where it speaks TLS and HTTP/2.
        certificate: its certificate, which it has signed itself, for `cameras.example.org` and 127.0.0.1.
    """

    def __init__(self, directory: Path, backend: int) -> None:
        program = require_nginx()
        self.port, self.tls_port = self._ports = free_port(), free_port()
        super().__init__(directory / f"nginx-{self.port}")
        self._command = [program, "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")]
        self.certificate, key = self.directory / "cameras.pem", self.directory / "cameras.key"
        _sign(self.certificate, key)
        text = CONF.read_text(encoding="utf-8")
        for pattern, value in {
            r"listen 80;": f"listen 127.0.0.1:{self.port};",
            r"listen 443 ": f"listen 127.0.0.1:{self.tls_port} ",
            r"server 127\.0\.0\.1:8888;": f"server 127.0.0.1:{backend};",
            r"/etc/ssl/certs/cameras\.pem": str(self.certificate),
            r"/etc/ssl/private/cameras\.key": str(key),
            r"/var/lib/nginx/rtspkit ": f"{self.directory}/media ",
            r"/var/lib/nginx/rtspkit-playlists ": f"{self.directory}/playlists ",
        }.items():
            text, replaced = re.subn(pattern, value, text)
            assert replaced == 1, pattern
        (self.directory / "rtspkit.conf").write_text(text, encoding="utf-8")
        # the user of Debian's nginx could not read a test's directory; without root there is no other user to become
        user = "user root;" if os.geteuid() == 0 else ""
        main = _MAIN.format(directory=self.directory, user=user)
        (self.directory / "nginx.conf").write_text(main, encoding="utf-8")

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_base(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"

    def empty(self) -> None:
        """Forgets all it has: an entry whose file is gone is fetched anew."""
        for zone in ("media", "playlists"):
            for file in (self.directory / zone).rglob("*"):
                if file.is_file():
                    file.unlink(missing_ok=True)


def _sign(certificate: Path, key: Path) -> None:
    names = "subjectAltName=DNS:cameras.example.org,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=cameras.example.org", "-addext", names]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
