import io
from datetime import timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from cli.stack.supervisor.state import ROLES
from cli.status.errors import Trouble
from cli.status.figures import (
    OUTCOMES,
    AnswerFigures,
    Figures,
    LaneFigures,
    ModelFigures,
    QueueFigures,
    RoleFigures,
)
from cli.status.tried_versions import ShadowFigures, TriedVersions
from cli.status.view import status_page
from tests.support.status_snapshots import CLOCK

NASTY = "[bold]no markup[/bold] [/] \x1b[31m red \x07 bell \r\n two 字" * 5


def role(name: str, **rest: object) -> RoleFigures:
    facts = {
        "state": "ready",
        "pids": (123456,),
        "cores": 0.5,
        "memory": 98_000_000,
        "where": "",
        "why": "",
    }
    return RoleFigures(role=name, **facts | rest)  # type: ignore[arg-type]


def shown(**rest: object) -> Figures:
    model = ModelFigures(
        model="digits",
        workers=2,
        images=1541.4,
        batch_size=12.34,
        people=LaneFigures(entries=3, oldest=0.02),
        bulk=LaneFigures(entries=250_000, oldest=4000.0),
    )
    facts = {
        "roles": [role(name) for name in ROLES],
        "models": [model],
        "answers": AnswerFigures(rates=dict.fromkeys(OUTCOMES, 1234.5), cached=0.2),
        "queue": QueueFigures(lag=0.12, unrecorded=34, oldest=90.0, memory=45_000_000, limit=2_100_000_000),
        "troubles": [trouble(f"event{number}") for number in range(30)],
        "tried": [],
    }
    return Figures(**facts | rest)  # type: ignore[arg-type]


def trouble(event: str, reason: str = "", **rest: object) -> Trouble:
    return Trouble(at=CLOCK, role="predict", event=event, reason=reason, **rest)  # type: ignore[arg-type]


def drawn(figures: Figures, *, width: int = 80, height: int | None = 40, color: bool = False) -> list[str]:
    screen = io.StringIO()
    console = Console(
        file=screen, width=width, height=height, force_terminal=color, color_system="standard" if color else None
    )
    began = CLOCK - timedelta(minutes=3)
    console.print(
        status_page(figures, title="Darkroom  http://x", clock=CLOCK, began=began, hint="q ends", height=height)
    )
    return screen.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_every_figure_is_shown_and_no_line_is_too_long(width: int) -> None:
    lines = drawn(shown(), width=width)
    said = "\n".join(lines)
    assert max(map(cell_len, lines)) <= width
    assert "…" not in said
    for words in (
        "q ends",
        "12:00:00",
        "up 3.0 min",
        "1,541",
        "12.3",
        "250,000",
        "1.1 h",
        "20%",
        "45 MB of 2.1 GB",
        "34",
    ):
        assert words in said
    assert all(any(line.startswith(role) for line in lines) for role in ROLES)


def test_errors_fill_the_height_that_is_left() -> None:
    for height in (30, 40):
        lines = drawn(shown(), height=height)
        assert len(lines) == height
        assert lines[-1].split()[-1] == f"event{height - 24}"
    assert len(drawn(shown(), height=None)) == 30 + 23


def test_columns_keep_their_places_when_figures_grow() -> None:
    small = shown(
        models=[
            ModelFigures(
                model="digits",
                workers=0,
                images=0.0,
                batch_size=None,
                people=LaneFigures(entries=0, oldest=0.0),
                bulk=LaneFigures(entries=0, oldest=0.0),
            )
        ],
        answers=AnswerFigures(rates=dict.fromkeys(OUTCOMES, 0.0), cached=None),
        roles=[role(name, cores=0.0, memory=1_000_000) for name in ROLES],
    )
    headings = [
        [line for line in drawn(figures) if line.startswith(("role", "model", "answers"))]
        for figures in (small, shown())
    ]
    assert headings[0] == headings[1]


def test_unknown_figures_are_dashes_in_their_places() -> None:
    unknown = ModelFigures(model="digits", workers=None, images=None, batch_size=None, people=None, bulk=None)
    lines = drawn(shown(models=[unknown], answers=None, queue=None, roles=[role("api", cores=None, memory=None)]))
    digits = next(line for line in lines if line.startswith("digits"))
    assert digits.split()[1:] == ["–"] * 7
    assert any(line.split() == ["–"] * (len(OUTCOMES) + 1) for line in lines)
    assert any(line.split() == ["–"] * 4 for line in lines)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_log_texts_are_cut_to_the_width_and_without_control_characters(width: int) -> None:
    figures = shown(
        roles=[role("api", why=NASTY), role("predict", where=NASTY, pids=tuple(range(100_000, 100_064)))],
        troubles=[trouble(NASTY, NASTY, times=3), trouble("[/]", "[red]")],
    )
    lines = drawn(figures, width=width)
    assert max(map(cell_len, lines)) <= width
    assert not any(set(line) & {"\x1b", "\x07", "\r"} for line in lines)
    said = "\n".join(lines)
    assert "[bold]no" in said or width == 40
    assert "[/]  [red]" in said


def test_errors_from_before_the_stacks_start_are_dimmed() -> None:
    old = Trouble(at=CLOCK - timedelta(hours=1), role="api", event="old_event")
    lines = drawn(shown(troubles=[trouble("new_event"), old]), color=True)
    new, before = (next(line for line in lines if name in line) for name in ("new_event", "old_event"))
    assert "\x1b[33mnew_event" in new
    assert "\x1b[2m" in before
    assert "\x1b[33m" not in before


def test_an_error_of_another_day_has_its_date() -> None:
    lines = drawn(shown(troubles=[Trouble(at=CLOCK - timedelta(days=2), role="api", event="e")]))
    assert lines[-1].startswith("23 Nov")


def test_no_password_is_shown() -> None:
    said = "\n".join(drawn(shown(roles=[role("postgres", where="postgresql://me:secret@db/x")]), width=200))
    assert "postgresql://me:***@db/x" in said
    assert "secret" not in said


def test_without_a_stack_the_page_says_so_and_shows_the_last_errors() -> None:
    nothing = Figures(roles=[], models=[], answers=None, queue=None, troubles=[trouble("ended")], tried=[])
    lines = drawn(nothing)
    assert lines[0].startswith("Darkroom")
    assert "ended" in lines[-1]
    assert len(lines) == 4
    assert drawn(shown(troubles=[]))[-1].startswith("no warnings or errors")


def test_a_role_whose_work_is_not_done_is_shown_even_if_ready() -> None:
    lines = drawn(shown(roles=[role("webhooks", state="missing", why="no sign of life for 31 s"), role("beat")]))
    [line] = [line for line in lines if line.startswith("webhooks")]
    assert "missing" in line
    assert "no sign of life for 31 s" in line
    assert "ready" not in line


def test_shadows_and_canaries_have_a_line_each_and_count_for_the_height() -> None:
    shadow = ShadowFigures(version="2", percent=25, waiting=7, recorded=42)
    tried = [TriedVersions(model="digits", shadow=shadow, canary="version 2 gets 5%: waits")]
    lines = drawn(shown(tried=tried), width=120)
    assert len(lines) == 40
    at = next(number for number, line in enumerate(lines) if line.startswith("tried"))
    assert lines[at + 1].strip().split(maxsplit=2) == ["digits", "shadow", shadow.words()]
    assert lines[at + 2].strip().split(maxsplit=2) == ["digits", "canary", tried[0].canary]
