"""Grafana's dashboards: what the code makes, what the SDK reads, only series that exist, and alerts that link to them.

No Grafana can be had here, so none loads them: its SDK's model stands in for it. tests/acceptance/test_dashboards.py
runs each query.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from shared.domain.prediction import ErrorCode, Source
from tests.support.dashboards import FOLDER, ROOT, PanelQuery, boards, panels, queries, variable_queries
from tests.support.exported_series import ADDED, OWN, exported, series

WIDTH = 24
UNITS = {"s", "bytes", "percentunit", "short", "reqps"}
"""Units that Grafana knows; others are `suffix:<text>`."""


@cache
def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def link(alert: str) -> tuple[str, int]:
    """The board and the panel that an alert links to."""
    found = re.fullmatch(
        r"\{\{ \$externalLabels\.grafana \}\}/d/([\w-]+)\?viewPanel=(\d+)"
        r"(&var-model=\{\{ \$labels\.model \| urlquery \}\})?",
        alerts()[alert]["annotations"]["dashboard"],
    )
    assert found is not None, alert
    return found[1], int(found[2])


def test_the_committed_dashboards_are_what_the_code_makes() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "deploy.grafana.generate", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr


@pytest.mark.parametrize("uid", boards())
def test_grafanas_model_reads_a_dashboard_without_loss(uid: str) -> None:
    register_default_plugins()
    said = boards()[uid]
    assert json.loads(json.dumps(Dashboard.from_json(said), cls=JSONEncoder)) == said


def test_dashboards_have_addresses_of_their_own_and_titles() -> None:
    assert set(boards()) == {
        f"darkroom-{name}" for name in ("golden-signals", "queue", "models", "gpu", "webhooks", "slow")
    }
    titles = [board["title"] for board in boards().values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("uid", boards())
def test_ids_are_unique_and_panels_tile_the_page(uid: str) -> None:
    board = boards()[uid]
    assert max(Counter(panel["id"] for panel in board["panels"]).values()) == 1
    lines: dict[int, list[dict[str, int]]] = {}
    for panel in board["panels"]:
        lines.setdefault(panel["gridPos"]["y"], []).append(panel["gridPos"])
    for line in lines.values():
        places = sorted(line, key=lambda place: place["x"])
        assert places[0]["x"] == 0
        assert all(left["x"] + left["w"] == right["x"] for left, right in pairwise(places))
        assert places[-1]["x"] + places[-1]["w"] == WIDTH, places
        assert len({place["h"] for place in places}) == 1, places


@pytest.mark.parametrize("uid", boards())
def test_each_panel_says_what_it_is_and_in_which_unit(uid: str) -> None:
    for panel in panels(boards()[uid]).values():
        assert panel["title"]
        if panel["type"] != "text":
            assert len(panel["description"]) > 40, panel["title"]
            unit = panel["fieldConfig"]["defaults"]["unit"]
            assert unit in UNITS or unit.startswith("suffix:"), panel["title"]
            assert panel["targets"], panel["title"]
            assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.mark.parametrize("query", queries(), ids=str)
def test_a_query_uses_only_series_and_labels_that_exist(query: PanelQuery) -> None:
    rules = {"darkroom:redis_memory_used:ratio": frozenset[str]()}
    known = exported() | OWN | rules
    named = list(series(query.expression))
    assert named or re.search(r"ALERTS|process_\w+", query.expression), query.expression
    for name, matchers in named:
        assert name in known, query.expression
        assert set(matchers) <= known[name] | ADDED, query.expression
        if "code" in matchers:
            assert set(matchers["code"].split("|")) <= set(ErrorCode)
        if "source" in matchers:
            assert set(matchers["source"].split("|")) <= set(Source)


@pytest.mark.parametrize("uid", boards())
def test_a_boards_variables_are_those_that_its_queries_use(uid: str) -> None:
    used = {
        name
        for query in queries()
        if query.board == uid
        for name in re.findall(r"\$(\w+)", query.expression)
        if not name.startswith("__")
    }
    assert set(variable_queries(boards()[uid])) == used


@pytest.mark.parametrize("alert", alerts())
def test_an_alert_links_to_a_panel_that_shows_what_it_fires_on(alert: str) -> None:
    uid, id = link(alert)
    panel = panels(boards()[uid])[id]
    assert f"**{alert}**" in panel["description"]
    shown = {name for target in panel["targets"] for name, _ in series(target["expr"])}
    assert shown & {name for name, _ in series(alerts()[alert]["expr"])}
    if "var-model" in alerts()[alert]["annotations"]["dashboard"]:
        assert "model" in variable_queries(boards()[uid])


def test_each_alert_is_on_one_panel() -> None:
    named = [
        name
        for board in boards().values()
        for panel in panels(board).values()
        for name in re.findall(r"^\*\*(\w+)\*\* \(", panel.get("description", ""), re.MULTILINE)
    ]
    assert Counter(named) == Counter(list(alerts()))


def test_the_provisioned_source_is_composes_prometheus_and_the_boards_are_where_compose_shows_them() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    shown = dict(volume.split(":")[:2] for volume in service["volumes"] if volume.startswith("./"))
    assert all((ROOT / source).is_dir() for source in shown)
    [source] = yaml.safe_load((FOLDER / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    [provider] = yaml.safe_load((FOLDER / "provisioning" / "dashboards" / "darkroom.yml").read_text())["providers"]
    assert shown["./deploy/grafana/dashboards"] == provider["options"]["path"]
    home = service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/golden-signals.json"
    interval = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == interval["scrape_interval"]


def test_alerts_begin_with_the_address_that_compose_gives_grafana() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    labels = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["global"][
        "external_labels"
    ]
    assert labels == {"grafana": "${GRAFANA_URL}"}
    address = services["prometheus"]["environment"]["GRAFANA_URL"]
    assert services["grafana"]["environment"]["GF_SERVER_ROOT_URL"] == address
