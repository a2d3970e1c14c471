"""The table of alerts says what alerts.yml says."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.domain.status.alerts import ALERTS, ONLY_PROMETHEUS

RULES: dict[str, Any] = {
    rule["alert"]: rule
    for group in yaml.safe_load(Path("deploy/prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}


def test_every_alert_is_in_the_table_or_named_as_prometheus_own() -> None:
    known = [alert.name for alert in ALERTS]
    assert len(known) == len(set(known))
    assert {*known, *ONLY_PROMETHEUS} == RULES.keys()
    assert not ONLY_PROMETHEUS.keys() & set(known)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_has_the_severity_the_time_and_the_words_of_alerts_yml(alert: Any) -> None:
    rule = RULES[alert.name]
    held = rule.get("for", "0s")
    assert alert.severity == rule["labels"]["severity"]
    assert alert.hold_seconds == int(held[:-1]) * UNITS[held[-1]].total_seconds()
    for words, annotation in ((alert.summary, "summary"), (alert.what_to_do, "what_to_do")):
        written = " ".join(rule["annotations"][annotation].split())
        assert words == re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"{\1}", written)
