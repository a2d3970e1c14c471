"""`reference/alerts.md`, from Prometheus' rules: each alert with its reason, what to do, and its panel in Grafana."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from docs.generate.markdown import joined, one_line, opening

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RULES: Final = DEPLOY / "prometheus" / "alerts.yml"
INTRODUCTION: Final = """
What Prometheus calls somebody for, and what they should do. *page*: people get no answers, or soon none. *warning*: it
can wait for the morning. `{{ … }}` is filled in by Prometheus. Each alert's annotation `dashboard` links to the panel
that is named with it here: [dashboards](../guides/operate/dashboards.md).
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
        f"*Panel:* {_panel_name(said['dashboard'])}." if "dashboard" in said else "",
        f"*Fires when* this holds{after}:",
        f"```promql\n{rule['expr'].strip()}\n```",
    ]


def _panel_name(link: str) -> str:
    """Return the titles of the dashboard and the panel that an alert links to."""
    found = re.search(r"/d/([\w-]+)\?viewPanel=(\d+)", link)
    if found is None:
        raise ValueError(f"no link to a panel: {link}")
    title, panels = _boards()[found[1]]
    return f"{title}, *{panels[int(found[2])]}*"


@cache
def _boards() -> dict[str, tuple[str, dict[int, str]]]:
    """Return by uid a dashboard's title and its panels' titles by id."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in (DEPLOY / "grafana" / "dashboards").glob("*.json")]
    return {
        board["uid"]: (board["title"], {panel["id"]: panel["title"] for panel in board["panels"]}) for board in read
    }
