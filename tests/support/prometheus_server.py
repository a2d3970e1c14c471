"""A real Prometheus with the committed rules, which scrapes each second what a test names."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.support.ports import free_port
from tests.support.waiting import LIMIT, until

PROGRAM: Final = shutil.which("prometheus")
FOLDER: Final = Path(__file__).parents[2] / "deploy" / "prometheus"
GRAFANA: Final = "http://grafana.example:3000"


class PrometheusServer:
    """It has deploy/prometheus' configuration but for targets and intervals."""

    def __init__(self, folder: Path, targets: Mapping[str, Sequence[str]]) -> None:
        """`targets` are addresses, `host:port` with an optional path, by the job that has them."""
        said = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
        said["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        said["rule_files"] = [str(FOLDER / name) for name in said["rule_files"]]
        said["scrape_configs"] = [
            {"job_name": job, "static_configs": [{"targets": list(found)}]} for job, found in targets.items()
        ]
        folder.mkdir()
        (folder / "prometheus.yml").write_text(yaml.safe_dump(said))
        port = free_port()
        # Prometheus 2 replaces variables in external labels where it is told to, 3 always.
        options = {
            "config.file": folder / "prometheus.yml",
            "storage.tsdb.path": folder / "data",
            "web.listen-address": f"127.0.0.1:{port}",
            "enable-feature": "expand-external-labels",
            "log.level": "warn",
        }
        command = [str(PROGRAM), *(f"--{name}={value}" for name, value in options.items())]
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            command, env=os.environ | {"GRAFANA_URL": GRAFANA}, stdout=self._log, stderr=subprocess.STDOUT
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT, trust_env=False)
        until(self._is_ready, what="Prometheus is ready", pause=0.1)

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(timeout=LIMIT)
        self._http.close()
        self._log.close()

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each sample that an expression has now; fails where Prometheus refuses it."""
        found = self._get("/api/v1/query", query=expression)["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in found]

    def label_values(self, label: str, series: str) -> list[str]:
        """Return the values that a label has in some series."""
        found: list[str] = self._get(f"/api/v1/label/{label}/values", **{"match[]": series})
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """Return every alert that is pending or fires."""
        found: list[dict[str, Any]] = self._get("/api/v1/alerts")["alerts"]
        return found

    def _get(self, path: str, **parameters: str) -> Any:
        answer = self._http.get(path, params=parameters)
        assert answer.status_code == 200, (parameters, answer.text)
        return answer.json()["data"]

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text()
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False
