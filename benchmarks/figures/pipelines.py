"""The figures of pipelines: processor time a job of each kind, and as a multiple of one model's."""

from benchmarks.cases.found import Found
from benchmarks.cases.pipelines import ONE
from benchmarks.figures.report import Figure, Section, written
from benchmarks.figures.throughput import cost_figure
from benchmarks.workbench import DIGITS


def sections(found: Found) -> list[Section]:
    """Return one section, if the case has run."""
    if found.piped is None:
        return []
    one = found.piped.kinds[ONE].total_milliseconds
    figures: list[Figure] = []
    for kind, throughput in found.piped.kinds.items():
        figures += [
            Figure(
                name=f"{kind}: images/s",
                value=throughput.images_per_second,
                unit="/s",
                beside=f"runs {', '.join(map(written, throughput.runs))}",
            ),
            cost_figure(found, throughput, DIGITS, goal=None),
        ]
        if kind != ONE:
            figures.append(
                Figure(
                    name="  as a multiple of one model's",
                    value=throughput.total_milliseconds / one,
                    unit="x",
                    beside=f"{written(throughput.total_milliseconds - one)} ms more",
                )
            )
    return [Section(title=f"{DIGITS}: pipelines", figures=figures)]
