from benchmarks.cases.found import Found
from benchmarks.cases.shadow import Shadowed, Side
from benchmarks.figures import shadow


def side(p99: float, *, shadowed: int) -> Side:
    return Side(requests=300, p50=3.0, p99=p99, longest=20.0, turns=[p99, 9.0], shadowed=shadowed, skipped=0)


def test_the_p99_beside_a_shadow_is_a_multiple_of_that_without() -> None:
    found = Found(
        shadows={"digits": Shadowed(rate=100.0, without=side(8.0, shadowed=0), beside=side(10.0, shadowed=300))}
    )
    [section] = shadow.sections(found)
    with_shadow, times, _, images = section.figures
    assert (with_shadow.value, with_shadow.beside) == (10.0, "8 without; by turn 10, 9, without 8, 9; 100 images/s")
    assert (times.value, times.reached) == (1.25, False)
    assert (images.value, images.beside) == (300, "of 300; 0 counted as skipped")
