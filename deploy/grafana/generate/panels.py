"""The kinds of panel, each as Grafana's SDK builds it: graph, number, table, text.

A panel keeps its id for ever: alerts link to it, and so may people. A new panel gets the next number of its board.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.generate.alerts import Alert, find_alert

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
REFERENCE: Final = "ABCDEFGHIJ"
"""Names of a panel's queries."""
_Made = TypeVar("_Made", timeseries.Panel, stat.Panel, table.Panel)


class Unit(StrEnum):
    """Units as Grafana names them."""

    SECONDS = "s"
    BYTES = "bytes"
    SHARE = "percentunit"
    COUNT = "short"
    IMAGES_A_SECOND = "suffix:images/s"
    REQUESTS_A_SECOND = "reqps"
    A_SECOND = "suffix:/s"
    CORES = "suffix:cores"
    IMAGES = "suffix:images"


@dataclass(frozen=True)
class Query:
    """One query of a panel; `legend` may hold labels, such as `{{model}}`."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One panel: `id` is its own on its board, `what` tells a woken operator what it is and what to do."""

    id: int
    title: str
    what: str
    queries: Sequence[Query]
    unit: Unit = Unit.COUNT
    width: int = 8
    height: int = 8
    alerts: Sequence[str] = ()
    """The alerts that link here; their thresholds are drawn."""
    stacked: bool = False
    highest: float | None = None
    """Where the axis ends; None: wherever the data does."""

    def build(self) -> Builder[Panel]:
        """Return the panel, a graph over time."""
        panel = (
            timeseries.Panel()
            .unit(self.unit)
            .min(0)
            .line_width(1)
            .fill_opacity(30 if self.stacked else 8)
            .show_points(options.VisibilityMode.NEVER)
            .legend(
                common.VizLegendOptions()
                .display_mode(options.LegendDisplayMode.TABLE)
                .placement(options.LegendPlacement.BOTTOM)
                .show_legend(show_legend=True)
                .calcs(["lastNotNull", "max"])
            )
            .tooltip(
                common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)
            )
        )
        if self.stacked:
            panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
        if self.highest is not None:
            panel.max(self.highest)
        alerts = [find_alert(name) for name in self.alerts]
        if alerts:
            panel.thresholds(thresholds(alerts)).thresholds_style(
                common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED)
            )
        return _dress(panel, self, instant=False)

    @property
    def description(self) -> str:
        """What it is, and which alerts fire on it."""
        return "\n\n".join([self.what, *(_in_words(find_alert(name), self.unit) for name in self.alerts)])


@dataclass(frozen=True, kw_only=True)
class Number(Shown):
    """One number, as it is now, with its course behind it; from `orange` and from `red` on it has these colours."""

    width: int = 4
    height: int = 4
    orange: float | None = None
    red: float | None = None

    def build(self) -> Builder[Panel]:
        """Return the panel."""
        steps = [Threshold(color="green")]
        steps += [Threshold(value=self.orange, color="orange")] if self.orange is not None else []
        steps += [Threshold(value=self.red, color="red")] if self.red is not None else []
        panel = (
            stat.Panel()
            .unit(self.unit)
            .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
            .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
            .color_mode(options.BigValueColorMode.VALUE)
            .graph_mode(options.BigValueGraphMode.AREA)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
            .no_value("none")
        )
        return _dress(panel, self, instant=False)


@dataclass(frozen=True, kw_only=True)
class Table(Shown):
    """A table of the present samples: a column for each of `columns`, which are labels, and `value` for the number."""

    columns: Sequence[str] = ()
    value: str = "value"

    def build(self) -> Builder[Panel]:
        """Return the panel."""
        names = [*self.columns, "Value"]
        organised = {
            "excludeByName": {"Time": True},
            "indexByName": {name: place for place, name in enumerate(names)},
            "renameByName": {"Value": self.value},
        }
        panel = (
            table.Panel()
            .unit(self.unit)
            .align(options.FieldTextAlignment.AUTO)
            .cell_options(options.TableAutoCellOptions())
            .with_transformation(DataTransformerConfig(id_val="organize", options=organised))
            .no_value("none")
        )
        return _dress(panel, self, instant=True)


@dataclass(frozen=True, kw_only=True)
class Words:
    """A panel of Markdown."""

    id: int
    title: str
    content: str
    width: int = 24
    height: int = 7

    def build(self) -> Builder[Panel]:
        """Return the panel."""
        return text.Panel().id(self.id).title(self.title).content(self.content).span(self.width).height(self.height)


def thresholds(alerts: Sequence[Alert]) -> dashboard.ThresholdsConfig:
    """Return the colours of a panel's values, which change where an alert fires: below 1 where it compares with 0."""
    steps = [Threshold(color="green")]
    for alert in sorted(alerts, key=lambda alert: alert.threshold):
        if alert.operator == "==" and alert.threshold == 0:
            return (
                dashboard.ThresholdsConfig()
                .mode(ThresholdsMode.ABSOLUTE)
                .steps([Threshold(color=alert.colour), Threshold(value=1, color="green")])
            )
        if alert.operator != "absent":
            steps.append(Threshold(value=alert.threshold, color=alert.colour))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _dress(panel: _Made, shown: Shown, *, instant: bool) -> _Made:
    """Add what every panel has: id, words, size, queries."""
    panel.id(shown.id).title(shown.title).description(shown.description).datasource(SOURCE)
    panel.span(shown.width).height(shown.height)
    for reference, query in zip(REFERENCE, shown.queries, strict=False):
        made = prometheus.Dataquery().expr(query.expression).ref_id(reference).datasource(SOURCE)
        made = made.instant().format(PromQueryFormat.TABLE) if instant else made.range()
        panel.with_target(made.legend_format(query.legend) if query.legend else made)
    return panel


def _in_words(alert: Alert, unit: Unit) -> str:
    threshold = f"{alert.threshold * 100:g}%" if unit is Unit.SHARE else f"{alert.threshold:g}"
    threshold += " s" if unit is Unit.SECONDS else ""
    when = {
        ">": f"above {threshold}",
        ">=": f"from {threshold} on",
        "==": f"at {threshold}",
        "absent": "where there is no line",
    }[alert.operator]
    after = f" for {alert.held_for}" if alert.held_for else ""
    return f"**{alert.name}** ({alert.severity}) fires {when}{after}."
