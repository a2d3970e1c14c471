"""`reference/alerts.md`, from Prometheus' rules: each alert with its reason and what to do."""

from pathlib import Path
from typing import Any, Final

import yaml

from docs.generate.markdown import joined, one_line, opening

RULES: Final = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"
INTRODUCTION: Final = """
What Prometheus calls somebody for, and what they should do. *page*: people get no answers, or soon none. *warning*: it
can wait for the morning. `{{ … }}` is filled in by Prometheus.
"""


def page() -> str:
    """Return the page."""
    blocks = opening("Alerts", "`deploy/prometheus/alerts.yml`", INTRODUCTION)
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        alerts = [rule for rule in group["rules"] if "alert" in rule]
        if alerts:
            blocks.append(f"## {group['name'].capitalize()}")
        for rule in alerts:
            blocks += _describe(rule)
    return joined(blocks)


def _describe(rule: dict[str, Any]) -> list[str]:
    said = {name: one_line(text) for name, text in rule["annotations"].items()}
    after = f" for {rule['for']}" if "for" in rule else ""
    return [
        f"### {rule['alert']}",
        f"**{rule['labels']['severity']}**: {said['summary']}.",
        said["description"],
        f"*What to do:* {said['what_to_do']}" if "what_to_do" in said else "",
        f"*Fires when* this holds{after}:",
        f"```promql\n{rule['expr'].strip()}\n```",
    ]
