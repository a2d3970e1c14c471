"""Grafana's dashboards as they are committed: panels, queries as Grafana would send them, variables."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "deploy" / "grafana"


@dataclass(frozen=True)
class PanelQuery:
    """One query of a panel, its variables not yet filled in."""

    board: str
    panel: int
    title: str
    reference: str
    expression: str

    def __str__(self) -> str:
        return f"{self.board} panel {self.panel} ({self.title}) {self.reference}"

    def filled_in(self, *, window: str, model: str = ".*", version: str = ".*") -> str:
        """Return the query with Grafana's variables replaced."""
        values = {"__rate_interval": window, "model": model, "version": version}
        return re.sub(r"\$(\w+)", lambda found: values[found[1]], self.expression)


def boards() -> dict[str, dict[str, Any]]:
    """Return every committed dashboard by its uid."""
    found = [json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))]
    return {board["uid"]: board for board in found}


def panels(board: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Return a board's panels by their id, rows left out."""
    return {panel["id"]: panel for panel in board["panels"] if panel["type"] != "row"}


def queries() -> list[PanelQuery]:
    """Return every query of every panel."""
    return [
        PanelQuery(uid, id, panel["title"], target["refId"], target["expr"])
        for uid, board in boards().items()
        for id, panel in panels(board).items()
        for target in panel.get("targets", ())
    ]


def variable_queries(board: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return by variable which label's values it offers, and of which series."""
    offered = {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found is not None, variable["query"]
            offered[variable["name"]] = (found[2], found[1])
    return offered
