"""`Varnish`: Debian's varnishd with the configuration that docs/howto/varnish.md ships."""

import re
import subprocess
from pathlib import Path

from .daemon import Daemon
from .parts import free_port, require_varnish

VCL = Path(__file__).resolve().parent.parent.parent / "docs" / "howto" / "varnish.vcl"


class Varnish(Daemon):
    """One varnishd with an empty cache in front of a port of 127.0.0.1.

    Attributes:
        port: where viewers ask.
    """

    def __init__(self, directory: Path, backend: int) -> None:
        program, self._admin = require_varnish()
        self.port = free_port()
        self._ports = (self.port,)
        super().__init__(directory / f"varnish-{self.port}")
        text, replaced = re.subn(r'(?m)^( *\.port = )"8888";$', rf'\1"{backend}";', VCL.read_text(encoding="utf-8"))
        assert replaced == 1
        vcl = self.directory / "rtspkit.vcl"
        vcl.write_text(text, encoding="utf-8")
        # no jail, for its user could not read a test's directory; else as the package starts it
        self._command = [program, "-j", "none", "-F", "-n", str(self.directory / "work")]
        self._command += ["-a", f"127.0.0.1:{self.port}", "-f", str(vcl), "-s", "malloc,64m"]

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def empty(self) -> None:
        """Forgets all it has."""
        command = [self._admin, "-n", str(self.directory / "work"), "ban", "obj.status", "!=", "0"]
        subprocess.run(command, check=True, capture_output=True, timeout=20)
