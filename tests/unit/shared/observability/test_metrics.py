"""Every metric says what it is: its help text becomes its line in the reference."""

from collections.abc import Iterator

import pytest
from prometheus_client.core import Metric

from shared.observability.metrics import new_registry
from tests.component.deploy.test_prometheus import classes, filled


def families() -> Iterator[Metric]:
    """Yield every metric that Darkroom makes itself, once each."""
    for kind in classes():
        yield from filled(kind).collect()
    yield from (family for family in new_registry().collect() if family.name.startswith("darkroom_"))


@pytest.mark.parametrize("family", list(families()), ids=lambda family: family.name)
def test_a_metric_is_described_in_words(family: Metric) -> None:
    assert len(family.documentation.split()) > 2
    assert "\n" not in family.documentation


@pytest.mark.parametrize("kind", classes())
def test_a_class_of_metrics_is_described_in_a_sentence(kind: type) -> None:
    assert (kind.__doc__ or "").strip().endswith(".")
