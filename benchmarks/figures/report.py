"""Figures, what they are compared with, and how people and programs read them."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound that a figure is to keep; both ends are allowed."""

    at_least: float | None = None
    at_most: float | None = None

    def reached(self, value: float) -> bool:
        """Tell whether the value keeps the bound."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        """Write it the way the table shows it."""
        bounds = []
        if self.at_least is not None:
            bounds.append(f"≥ {written(self.at_least)}")
        if self.at_most is not None:
            bounds.append(f"≤ {written(self.at_most)}")
        return " and ".join(bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number. `beside` says what it is to be compared with, as words with the number in them."""

    name: str
    value: float
    unit: str
    beside: str = ""
    goal: Goal | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        return None if self.goal is None else self.goal.reached(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Figures that belong together, taken on the same images and model."""

    title: str
    figures: list[Figure]


def written(value: float) -> str:
    """Write a number with three significant digits, whole from 1,000 on."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1g}"


def show(console: Console, section: Section) -> None:
    """Print one section as a table."""
    table = Table(title=section.title, title_justify="left", header_style="bold")
    for column in ("figure", "compared with", "goal", ""):
        table.add_column(column)
    table.add_column("value", justify="right")
    table.columns.insert(1, table.columns.pop())
    for figure in section.figures:
        mark = {None: "", True: "reached", False: "missed"}[figure.reached]
        table.add_row(
            figure.name,
            f"{written(figure.value)} {figure.unit}",
            figure.beside,
            str(figure.goal or ""),
            mark,
        )
    console.print(table)


def as_json(*, machine: dict[str, Any], settings: dict[str, Any], sections: list[Section]) -> bytes:
    """Return the whole run as JSON."""
    return orjson.dumps(
        {
            "machine": machine,
            "settings": settings,
            "sections": [
                {
                    "title": section.title,
                    "figures": [
                        {
                            **asdict(figure),
                            "goal": str(figure.goal) if figure.goal else None,
                            "reached": figure.reached,
                        }
                        for figure in section.figures
                    ],
                }
                for section in sections
            ],
        },
        option=orjson.OPT_INDENT_2,
    )


def save(path: Path, content: bytes) -> None:
    """Write the file, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
