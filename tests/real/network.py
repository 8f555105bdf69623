"""`Network`: a host of its own for a camera, in a network namespace that the test makes and removes.

What crosses no loopback: multicast between two hosts, a firewall, an address that is not ours. It needs root and
Debian's iproute2; where they are not to be had the test is skipped.
"""

import os
import shutil
import subprocess
from types import TracebackType

import pytest


class Network:
    """``with Network() as network:`` - a namespace that this host reaches over one cable.

    Attributes:
        local, remote: the address of each end of the cable.
        prefix: put before a command, it runs on the other host.
    """

    def __init__(self) -> None:
        number = os.getpid() % 10000
        self.name = f"rtspkit{number}"
        self.local, self.remote = f"10.{200 + number % 50}.{number // 50}.1", f"10.{200 + number % 50}.{number // 50}.2"
        self.prefix = ("ip", "netns", "exec", self.name)

    def run(self, *command: str) -> None:
        """Runs a command on the other host."""
        subprocess.run([*self.prefix, *command], check=True, capture_output=True, timeout=10)

    def __enter__(self) -> "Network":
        if os.geteuid() or shutil.which("ip") is None:
            pytest.skip("a network namespace needs root and iproute2")
        ours, theirs = f"{self.name}a", f"{self.name}b"
        steps = (
            f"ip netns add {self.name}",
            f"ip link add {ours} type veth peer name {theirs} netns {self.name}",
            f"ip address add {self.local}/30 dev {ours}",
            f"ip link set {ours} up",
            f"ip netns exec {self.name} ip address add {self.remote}/30 dev {theirs}",
            f"ip netns exec {self.name} ip link set {theirs} up",
            f"ip netns exec {self.name} ip link set lo up",
            f"ip netns exec {self.name} ip route add default via {self.local}",
        )
        for step in steps:
            done = subprocess.run(step.split(), capture_output=True, text=True, timeout=10, check=False)
            if done.returncode:
                self.__exit__(None, None, None)
                pytest.skip(f"no network namespace can be made here: {step}: {done.stderr.strip()}")
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # by itself the cable goes with its other end, but some time later: the next one may bear its name
        for step in (f"ip link delete {self.name}a", f"ip netns delete {self.name}"):
            subprocess.run(step.split(), capture_output=True, timeout=10, check=False)
