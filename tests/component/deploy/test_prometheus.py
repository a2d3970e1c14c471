import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from shared import settings
from shared.domain.prediction import ErrorCode, Source
from shared.domain.webhooks import DeliveryStatus
from shared.observability import metrics
from shared.observability.metrics.pictures import OUTCOMES
from tests.support.exported_series import ADDED, OWN, classes, exported, filled, series

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed; it comes with Prometheus"
)


def promtool(*arguments: object, given: str | None = None) -> subprocess.CompletedProcess[str]:
    # In another folder: relative paths must be found beside the file that names them.
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, text=True, cwd="/", check=False)


@cache
def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / name).read_text())


def rules() -> dict[str, str]:
    """Every rule's expression by its name: an alert's or a recorded series'."""
    return {name_of(rule): rule["expr"] for group in read("alerts.yml")["groups"] for rule in group["rules"]}


def name_of(rule: dict[str, Any]) -> str:
    """An alert's name, or that of a recorded series."""
    return str(rule.get("alert") or rule["record"])


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in read("alerts.yml")["groups"] for rule in group["rules"] if "alert" in rule}


def aggregations(expression: str) -> Iterator[tuple[set[str], str]]:
    """Go through `by (labels) (what)`."""
    for match in re.finditer(r"\bby \(([^)]*)\) \(", expression):
        depth, end = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(expression[end], 0)
            end += 1
        yield {label.strip() for label in match[1].split(",")}, expression[match.end() : end - 1]


def scraped_series(name: str) -> set[str]:
    """The scraped series that a rule reads, directly or through recorded series."""
    known = rules()
    return {
        inner for found, _ in series(known[name]) for inner in (scraped_series(found) if found in known else {found})
    }


def needed_rules(name: str) -> set[str]:
    """The names of a rule and of those that record what it reads."""
    known = rules()
    return {name}.union(*(needed_rules(found) for found, _ in series(known[name]) if found in known))


def threshold(alert: str) -> float:
    [found] = re.findall(r"[<>]=? ([\d.]+)$", rules()[alert])
    return float(found)


@needs_promtool
def test_prometheus_accepts_the_configuration_at_the_containers_paths(tmp_path: Path) -> None:
    there = shutil.copytree(FOLDER, tmp_path / "etc" / "prometheus")
    checked = promtool("check", "config", "--lint=all", "--lint-fatal", there / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"SUCCESS: {len(rules())} rules found" in checked.stdout


@needs_promtool
def test_prometheus_accepts_the_rules() -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", FOLDER / "alerts.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
def test_every_alert_fires_when_it_should_and_not_earlier(tmp_path: Path) -> None:
    # Each test has a file of its own, with the rules that it asks for: promtool would evaluate all of them in each.
    files = []
    for number, test in enumerate(read("alerts_test.yml")["tests"]):
        needed = set().union(*(needed_rules(case["alertname"]) for case in test["alert_rule_test"]))
        groups = [
            group | {"rules": [rule for rule in group["rules"] if name_of(rule) in needed]}
            for group in read("alerts.yml")["groups"]
        ]
        (tmp_path / f"rules{number}.yml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
        files.append(tmp_path / f"test{number}.yml")
        alone = read("alerts_test.yml") | {"rule_files": [f"rules{number}.yml"], "tests": [test]}
        files[-1].write_text(yaml.safe_dump(alone), encoding="utf-8")
    played = promtool("test", "rules", *files)
    assert played.returncode == 0, played.stdout + played.stderr


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_has_a_firing_and_a_silent_case(alert: str) -> None:
    plays = [
        (bool(case.get("exp_alerts")), {name for given in test["input_series"] for name, _ in series(given["series"])})
        for test in read("alerts_test.yml")["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert
    ]
    assert any(fires for fires, _ in plays)
    # An alert that is silent only because no series exists proves nothing.
    assert any(given & scraped_series(alert) for fires, given in plays if not fires)


def test_every_tested_alert_exists() -> None:
    played = {case["alertname"] for test in read("alerts_test.yml")["tests"] for case in test["alert_rule_test"]}
    assert played == set(alerts())


@pytest.mark.parametrize("alert", alerts())
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: str) -> None:
    rule = alerts()[alert]
    assert rule["labels"]["severity"] in {"page", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "what_to_do", "dashboard"}
    assert all(text.strip() for text in rule["annotations"].values())


@pytest.mark.parametrize("rule", rules())
def test_rules_use_only_exported_series(rule: str) -> None:
    known = exported() | OWN
    for name, matchers in series(rules()[rule]):
        if name in rules():
            assert not matchers
        else:
            assert name in known
            assert set(matchers) <= known[name] | ADDED
    for labels, inner in aggregations(rules()[rule]):
        for name, _ in series(inner):
            assert labels <= known[name] | ADDED


@pytest.mark.parametrize("rule", rules())
def test_rules_use_only_label_values_that_exist(rule: str) -> None:
    kinds = {
        "lane": {metrics.INTERACTIVE, metrics.BULK},
        "code": set(ErrorCode),
        "source": set(Source),
        "outcome": {*DeliveryStatus, *OUTCOMES},
        "job": {job["job_name"] for job in read("prometheus.yml")["scrape_configs"]},
    }
    for _, matchers in series(rules()[rule]):
        for label, value in matchers.items():
            if label in kinds:
                assert set(value.split("|")) <= kinds[label]


def test_the_alert_tests_use_only_exported_series() -> None:
    known = exported() | OWN
    for test in read("alerts_test.yml")["tests"]:
        for given in test["input_series"]:
            [(name, labels)] = series(given["series"])
            assert set(labels) - ADDED == known[name], given["series"]


def test_advice_names_only_series_and_events_that_exist() -> None:
    sources = "".join(path.read_text() for room in ("worker", "shared") for path in (ROOT / room).rglob("*.py"))
    advice = " ".join(text for rule in alerts().values() for text in rule["annotations"].values())
    named, events = re.findall(r"darkroom_\w+", advice), re.findall(r"`([a-z]+(?:_[a-z]+)+)`", advice)
    assert named
    assert set(named) <= set(exported())
    assert events
    assert [event for event in events if f'"{event}"' not in sources] == []


def test_every_target_is_a_service() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for job in read("prometheus.yml")["scrape_configs"]:
        found = [name for discovery in job.get("dns_sd_configs", ()) for name in discovery["names"]]
        fixed = [target for given in job.get("static_configs", ()) for target in given["targets"]]
        hosts = found + [target.partition(":")[0] for target in fixed]
        assert hosts == (["localhost"] if job["job_name"] == "prometheus" else [job["job_name"]])
        assert job["job_name"] in services


def test_alert_thresholds_match_the_settings() -> None:
    def default(kind: type, name: str) -> Any:
        return kind.model_fields[name].default

    refuses, pauses = default(settings.Redis, "memory_share"), default(settings.Bulk, "memory_share")
    assert pauses < threshold("RedisFillsUp") < refuses == threshold("RedisFull")
    assert threshold("WorkerStuck") > default(settings.Predict, "timeout").total_seconds()
    given_up = default(settings.Queue, "lease") * default(settings.Queue, "max_attempts")
    assert threshold("PeopleWait") > given_up.total_seconds()


@needs_promtool
@pytest.mark.parametrize("kind", classes())
def test_metric_names_and_help_follow_the_conventions(kind: type) -> None:
    checked = promtool("check", "metrics", given=generate_latest(filled(kind)).decode())
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
