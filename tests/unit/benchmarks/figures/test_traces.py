from benchmarks.cases.found import Found
from benchmarks.cases.traces import Traced
from benchmarks.figures import traces
from benchmarks.measuring.predictions import Throughput


def side(api: float, predict: float) -> Throughput:
    return Throughput(
        images_per_second=1000.0,
        milliseconds={"api": api, "predict": predict, "beat": 0.0},
        generator_milliseconds=0.1,
        runs=[1000.0],
    )


def test_each_side_tells_what_a_job_costs_more_by_role() -> None:
    sides = {"off": side(0.2, 0.1), "every request": side(0.3, 0.25)}
    found = Found(traced=Traced(sides=sides, bytes_each={"off": 0.0, "every request": 1500.0}))
    [section] = traces.sections(found)
    off, every = section.figures
    assert (off.value, off.beside) == (0.2 + 0.1, "+0.000; api 0.2 (+0.000), predict 0.1 (+0.000)")
    assert every.beside == "+0.250; api 0.3 (+0.100), predict 0.25 (+0.150)"
    assert traces.sections(Found()) == []
