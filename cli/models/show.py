"""One model, printed: its versions with what they answer, the traffic, warnings, and what could not be loaded."""

from cli.models.listed import NONE, RETIRED, Listed
from cli.terminal.lines import say, say_table
from shared.domain.model_route import CHALLENGER, CHAMPION, SHADOW, Route, Version

MOST_LABELS = 6
"""Labels of a version that are shown; more are counted."""


def show_route(route: Route, listed: Listed) -> None:
    """Print a model's route, newest version first."""
    say(f"{route.model}{f': {route.description}' if route.description else ''}")
    say("")
    share = route.challenger_percent if CHALLENGER in route.aliases else 0
    facts = [
        ("state", listed.state),
        ("workers", f"{listed.workers}, on {route.device}, {route.max_batch_size} images at once at most"),
        ("waiting", f"{listed.waiting:,}"),
    ]
    if CHAMPION in route.aliases and listed.state != RETIRED:
        split = f", {CHALLENGER} {share}%" if CHALLENGER in route.aliases else ""
        facts.append(("traffic", f"{CHAMPION} {100 - share}%{split}"))
    if SHADOW in route.aliases:
        predicts = f"{route.shadow_percent}% of the champion's images" if route.shadow_target() else "nothing"
        facts.append(("shadow", f"version {route.aliases[SHADOW]} predicts {predicts}"))
    if route.pin:
        facts.append(("pin", route.pin))
    if route.canary:
        facts.append(("canary", route.canary))
    say_table([(f"  {name}", value) for name, value in facts])
    say("")
    versions = route.newest_first()
    say_table([("version", "aliases", "task", "labels", "computes", "registered"), *(_row(route, v) for v in versions)])
    told = [(f"version {version.number}", warning) for version in versions for warning in version.warnings]
    _section("Warnings:", told)
    _section("Notices:", [("", notice) for notice in route.notices()])
    _section("Can't be loaded:", [(f"version {number}", reason) for number, reason in sorted(route.failed.items())])
    _section("Went back:", [(f"version {number}", reason) for number, reason in sorted(route.went_back.items())])


def _row(route: Route, version: Version) -> tuple[str, ...]:
    aliases = ", ".join(alias for alias, number in sorted(route.aliases.items()) if number == version.number)
    if not version.was_loaded:
        unloaded = "can't be loaded" if version.number in route.failed else "not loaded yet"
        return version.number, aliases or NONE, NONE, NONE, unloaded, version.created_at
    computes = f"{version.decode}, {version.precision}"
    if version.agreement:
        computes += f", agrees {version.agreement.top1:.2%}"
    return version.number, aliases or NONE, str(version.task), _labels(version), computes, version.created_at


def _labels(version: Version) -> str:
    if not version.labels:
        return NONE
    more = "…" if len(version.labels) > MOST_LABELS else ""
    return f"{len(version.labels)}: {', '.join([*version.labels[:MOST_LABELS], *filter(None, [more])])}"


def _section(title: str, lines: list[tuple[str, str]]) -> None:
    if lines:
        say(f"\n{title}")
        for name, text in lines:
            say(f"  {name}: {text}" if name else f"  {text}")
