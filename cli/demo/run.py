"""Send held-out digits through a stack, started for this if none runs, and print a table of figures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.addresses import api_key, gateway_url
from cli.client import Client, Declined
from cli.demo import trial
from cli.demo.trial import Figures
from cli.home import command_line
from cli.stack import ports
from cli.stack.plan import DEMO_MODEL, Options, held_out_folder, usual_gateways
from cli.stack.supervisor import state
from cli.terminal.interrupts import terminated_as_interrupted
from cli.terminal.lines import say
from cli.terminal.refused import Refused
from cli.up import attended
from shared import settings

USUAL_PORT = 8000


def demo(home: Path) -> None:
    """Run the trial on the gateway that is set, else on the stack of this home, else on one started for it."""
    console = Console()
    found = state.running_stack(home)
    if settings.read(settings.Local).url or found is not None:
        send_images(gateway_url(home), home, console)
        return
    port = USUAL_PORT if ports.is_free(USUAL_PORT) else ports.free_port()
    options = Options(home=home, port=port, models=(DEMO_MODEL,), gateways=usual_gateways())
    with terminated_as_interrupted():
        started, ready = attended.start(options, console, attached=True)
        try:
            send_images(ready.url, home, console)
        finally:
            attended.stop(started, console)
    say(f"\nKeep it running: {command_line('up', home)}")


def send_images(url: str, home: Path, console: Console) -> None:
    """Send the images with a progress bar and print the figures; raises Refused where that fails."""
    images = trial.held_out_images(held_out_folder(home), count=trial.IMAGES)
    if not images:
        raise Refused(f"No held-out images in {held_out_folder(home)}: {command_line('up', home)} creates them.")
    repeated = min(trial.REPEATED, len(images))
    say(
        f"\nSending {len(images)} scanned digits that the model has never seen, then {repeated} of them again, "
        f"{trial.AT_ONCE} at a time, to {url}\n"
    )
    try:
        with (
            Client(url, home=home, api_key=api_key()) as client,
            _bar(console, total=len(images) + repeated) as advance,
        ):
            outcomes, seconds = trial.send(client, images, model=DEMO_MODEL, repeated=repeated, advance=advance)
    except Declined as error:
        raise Refused(str(error)) from None
    console.print(_table(trial.trial_figures(outcomes, seconds=seconds)))


@contextmanager
def _bar(console: Console, *, total: int) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _table(figures: Figures) -> Table:
    """Return the figures, a row each."""
    cached, coalesced = figures.sources["cache"], figures.sources["coalesced"]
    rows = [
        ("accuracy", f"{figures.accuracy:.1%}", "each image counted once"),
        ("throughput", f"{figures.per_second:,.0f} images/s", f"{figures.requests} requests, {figures.failed} failed"),
        ("latency p50", f"{figures.p50 * 1000:.1f} ms", "submit to result, as this client sees it"),
        ("latency p99", f"{figures.p99 * 1000:.1f} ms", ""),
        (
            "from the cache",
            f"{cached / figures.requests:.0%}",
            f"{cached} answers, p50 {figures.repeated_p50 * 1000:.1f} ms",
        ),
    ]
    if coalesced:
        rows.append(("computed once for two", f"{coalesced / figures.requests:.0%}", f"{coalesced} answers"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    for name, value, remark in rows:
        table.add_row(f"[bold]{name}[/]", value, f"[dim]{remark}[/]")
    return table
