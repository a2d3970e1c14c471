"""The alerts that a panel shows, read from Prometheus' rules: threshold, severity, how long it must hold."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

RULES: Final = Path(__file__).parents[2] / "prometheus" / "alerts.yml"


@dataclass(frozen=True)
class Alert:
    """One alert. `operator` and `threshold` are the first comparison of its expression, such as `>` and 60.

    Of an expression that begins with `absent(…)`, the operator is `absent`.
    """

    name: str
    severity: str
    operator: str
    threshold: float
    held_for: str
    """How long the expression must hold, such as `1m`; empty: not at all."""

    @property
    def colour(self) -> str:
        """The colour of a value that fires it: red where somebody is woken, orange where it can wait."""
        return "red" if self.severity == "page" else "orange"


@cache
def find_alert(name: str) -> Alert:
    """Return an alert; raises KeyError where alerts.yml has none of this name."""
    rules = {
        rule["alert"]: rule
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    rule = rules[name]
    severity, held_for = rule["labels"]["severity"], rule.get("for", "")
    if rule["expr"].startswith("absent("):
        return Alert(name, severity, "absent", 0, held_for)
    found = re.search(r"(>=|>|==) ([\d.]+)", rule["expr"])
    if found is None:
        raise ValueError(f"no comparison in the expression of {name}")
    return Alert(name, severity, found[1], float(found[2]), held_for)
