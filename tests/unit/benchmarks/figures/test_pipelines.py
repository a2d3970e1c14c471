from benchmarks.cases.found import Found
from benchmarks.cases.pipelines import CHAIN, ENSEMBLE, ONE, Piped
from benchmarks.figures import pipelines
from benchmarks.measuring.predictions import Throughput


def throughput(milliseconds: float) -> Throughput:
    return Throughput(
        images_per_second=1000.0, milliseconds={"api": milliseconds}, generator_milliseconds=0.1, runs=[1000.0]
    )


def test_what_a_pipeline_costs_is_a_multiple_of_one_model() -> None:
    kinds = {ONE: throughput(0.4), ENSEMBLE: throughput(0.5), CHAIN: throughput(0.6)}
    [section] = pipelines.sections(Found(piped=Piped(kinds=kinds)))
    multiples = [(round(figure.value, 3), figure.beside) for figure in section.figures if "multiple" in figure.name]
    assert multiples == [(1.25, "0.1 ms more"), (1.5, "0.2 ms more")]
    assert pipelines.sections(Found()) == []
