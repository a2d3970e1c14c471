from dataclasses import replace

import pytest

from benchmarks.cases.found import Found
from benchmarks.cases.webhook import Alone, Webhooks
from benchmarks.cases.webhook_beside import BesideHanging
from benchmarks.figures import sections as figures
from benchmarks.figures.report import Figure
from benchmarks.measuring.predictions import Throughput

WEBHOOKS = Webhooks(
    deliveries=10_000,
    steady=Throughput(
        images_per_second=700.0, milliseconds={"api": 0.2, "webhooks": 0.6}, generator_milliseconds=0.01, runs=[700.0]
    ),
    p50=3000.0,
    p99=9000.0,
    alone=Alone(per_second=900.0, milliseconds={"webhooks": 0.6, "postgres": 0.25}, receiver_milliseconds=5.0),
    alone_runs=[900.0],
)
BESIDE = BesideHanging(
    predictions=500, least_hanging=750, p50_alone=20.0, p99_alone=30.0, p50_beside=25.0, p99_beside=2000.0
)


def section(found: Found) -> list[Figure]:
    (part,) = figures.sections(found)
    assert part.title == "webhooks"
    return part.figures


def test_only_beside_receivers_that_hang_is_there_a_goal() -> None:
    found = section(Found(webhooks=WEBHOOKS, beside_hanging=BESIDE))
    assert [figure.reached for figure in found if figure.goal] == [True]
    slower = replace(BESIDE, p99_beside=2001.0)
    assert [figure.reached for figure in section(Found(beside_hanging=slower))] == [False]


def test_a_deliverys_cost_is_the_cpu_time_of_the_delivering_roles() -> None:
    (cost,) = [figure for figure in section(Found(webhooks=WEBHOOKS)) if figure.name == "  CPU a delivery"]
    assert cost.value == pytest.approx(0.85)
    assert "webhooks 0.6, postgres 0.25" in cost.beside
