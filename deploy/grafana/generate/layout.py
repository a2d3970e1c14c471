"""A board: its rows of panels, its variables, and the JSON that Grafana reads."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.generate.panels import SOURCE, Shown, Words

TAG: Final = "darkroom"
ROW_IDS: Final = 1000
"""Ids of rows begin here, so that they never take a panel's."""
MODEL_VALUES: Final = "label_values(darkroom_workers, model)"
VERSION_VALUES: Final = 'label_values(darkroom_predictions_total{model=~"$model"}, version)'


@dataclass(frozen=True)
class Row:
    """Panels under a heading; each line of them is 24 wide."""

    title: str
    panels: Sequence[Shown | Words]


@dataclass(frozen=True, kw_only=True)
class Board:
    """One dashboard. Its uid, `darkroom-<name>`, and its panels' ids stay: alerts link to them."""

    name: str
    title: str
    what: str
    rows: Sequence[Row]
    variables: Sequence[str] = field(default=("model",))

    @property
    def uid(self) -> str:
        """What its address holds."""
        return f"darkroom-{self.name}"


def text(board: Board) -> str:
    """Return a board's JSON as it is committed."""
    return json.dumps(build(board).build(), cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n"


def build(board: Board) -> dashboard.Dashboard:
    """Return a board as the SDK's builder."""
    made = (
        dashboard.Dashboard(f"Darkroom / {board.title}")
        .uid(board.uid)
        .description(board.what)
        .tags([TAG])
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboard.DashboardLink("Darkroom")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(as_dropdown=True)
            .keep_time(keep_time=True)
            .include_vars(include_vars=True)
        )
        .annotation(
            dashboard.AnnotationQuery()
            .name("Alerts that call somebody")
            .datasource(SOURCE)
            .enable(enable=True)
            .icon_color("red")
            .expr('ALERTS{alertstate="firing", severity="page"}')
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for name in board.variables:
        made.with_variable(_variable(name))
    for number, row in enumerate(board.rows):
        made.with_row(dashboard.Row(row.title).id(ROW_IDS + number))
        for panel in row.panels:
            made.with_panel(panel.build())
    return made


def _variable(name: str) -> Builder[VariableModel]:
    """Return a variable whose choices Prometheus tells; `All` is every value, those included that come later."""
    query = {"model": MODEL_VALUES, "version": VERSION_VALUES}[name]
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query({"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )
