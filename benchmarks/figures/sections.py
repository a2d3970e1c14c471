"""Every section of a run's report, in the order they are shown."""

from benchmarks.cases.found import Found
from benchmarks.figures import (
    bulk,
    depth,
    flood,
    growth,
    model_report,
    models,
    pipelines,
    retention,
    shadow,
    single_images,
    stall,
    swap,
    traces,
    webhook,
)
from benchmarks.figures.report import Section


def sections(found: Found) -> list[Section]:
    """Return the sections that have figures: those of the cases that ran."""
    parts = [
        part
        for figures in (
            *(single_images, depth, growth, bulk, webhook, flood, retention, stall),
            *(swap, models, shadow, model_report, pipelines, traces),
        )
        for part in figures.sections(found)
    ]
    return [part for part in parts if part.figures]
