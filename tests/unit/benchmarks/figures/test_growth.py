from benchmarks.cases.found import Found
from benchmarks.cases.growth import IDLE, MODELS, Grown
from benchmarks.figures import growth


def test_each_amount_is_compared_with_the_smallest_of_its_kind() -> None:
    found = Found(
        grown=[
            Grown(
                kind=IDLE, amount=1, milliseconds={"api": 0.3, "redis": 0.1}, rewrites=0, idle_percent={"redis": 0.5}
            ),
            Grown(kind=IDLE, amount=64, milliseconds={"api": 0.3, "redis": 0.2}, rewrites=1),
            Grown(kind=MODELS, amount=1, milliseconds={"api": 0.2, "beat": 0.0}, rewrites=0),
        ]
    )
    [section] = growth.sections(found)
    first, grown, other = section.figures
    assert (first.value, first.unit, first.reached) == (0.4, "ms", None)
    assert first.beside == "0.4 ms: api 0.3, redis 0.1; of a core without jobs: redis 0.5%"
    assert (round(grown.value, 3), grown.unit, grown.reached) == (1.25, "x", False)
    assert grown.beside.endswith("file rewrites: 1")
    assert (other.name, other.beside) == ("models with a route: 1", "0.2 ms: api 0.2")
