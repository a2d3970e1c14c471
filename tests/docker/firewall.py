"""What a Docker daemon does to a machine's packet filter, undone when the daemon has ended.

A daemon adds chains named DOCKER… with jumps to them, may forbid forwarding and may switch it on; it takes nothing of
that back itself. Where another daemon's chains were there before, everything stays as it is: they are shared.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TABLES: Final = ("nat", "filter")
_PROGRAMS: Final = ("iptables", "ip6tables")
_FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True)
class Firewall:
    """The rules as they were; `root` has the programs that read and write them, `addresses` are the daemon's."""

    root: Path
    addresses: str
    rules: dict[tuple[str, str], str]
    forwarding: str

    @classmethod
    def seen_from(cls, root: Path, *, addresses: str) -> "Firewall":
        """Take note of the rules as they are now."""
        rules = {(program, table): _rules(root, program, table) for program in _PROGRAMS for table in _TABLES}
        return cls(root, addresses, rules, _FORWARDING.read_text())

    def put_back(self) -> None:
        """Delete the chains of Docker's that have come since, with all that leads to them, and forward as before."""
        for (program, table), before in self.rules.items():
            if "DOCKER" not in before:
                self._clean(program, table, before)
        _FORWARDING.write_text(self.forwarding)

    def _clean(self, program: str, table: str, before: str) -> None:
        now = _rules(self.root, program, table)
        added = [rule for rule in now.splitlines() if rule.startswith("-A ") and rule not in before.splitlines()]
        chains = sorted(set(re.findall(r"^-N (DOCKER\S*)", now, re.MULTILINE)))
        for rule in added:
            if re.search(rf"DOCKER|darkroom| {re.escape(self.addresses)}\.", rule):
                _do(self.root, program, table, "-D", *rule.split()[1:])
        for step in ("-F", "-X"):
            for chain in chains:
                _do(self.root, program, table, step, chain)
        for name, policy in re.findall(r"^-P (\S+) (\S+)", before, re.MULTILINE):
            _do(self.root, program, table, "-P", name, policy)


def _rules(root: Path, program: str, table: str) -> str:
    """Return a table as `iptables -S` writes it; '' where the kernel has no such table."""
    answer = subprocess.run(
        ("chroot", str(root), program, "--wait", "-t", table, "-S"), capture_output=True, text=True, check=False
    )
    return answer.stdout


def _do(root: Path, program: str, table: str, *words: str) -> None:
    subprocess.run(("chroot", str(root), program, "--wait", "-t", table, *words), check=False, capture_output=True)
