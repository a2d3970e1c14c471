"""What Darkroom itself says while it serves: the batch sizes it formed, how it decodes and computes a model."""

import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from prometheus_client.parser import text_string_to_metric_families

_TOLD: Final = ("decode", "precision", "agreement")


def batch_sizes(urls: Sequence[str], model: str) -> dict[str, float]:
    """Return the batch-size histogram of a model over all predict processes: upper bound to count, `sum`, `count`."""
    found: dict[str, float] = {}
    for url in urls:
        for family in text_string_to_metric_families(_read(url).decode()):
            if family.name != "darkroom_batch_size":
                continue
            for sample in family.samples:
                if sample.labels.get("model") == model:
                    key = sample.labels.get("le") or sample.name.rpartition("_")[2]
                    found[key] = found.get(key, 0.0) + sample.value
    return found


def mean_batch(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Return the mean size of the batches between two readings; 0 where there was none."""
    batches = after.get("count", 0.0) - before.get("count", 0.0)
    return (after.get("sum", 0.0) - before.get("sum", 0.0)) / batches if batches else 0.0


def size_shares(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the share of batches by upper bound of their size; bounds that no batch fell under are left out."""
    bounds = sorted((float(key), key) for key in after if key not in ("sum", "count"))
    total, below, shares = after.get("count", 0.0) - before.get("count", 0.0), 0.0, {}
    for _, key in bounds:
        upto = after[key] - before.get(key, 0.0)
        if total and upto > below:
            shares[f"≤{float(key):g}"] = (upto - below) / total
        below = upto
    return shares


def served_how(port: int, model: str) -> dict[str, Any]:
    """Return what `GET /v1/models/NAME` says of decoding, precision and agreement, and the device."""
    answer = orjson.loads(_read(f"http://127.0.0.1:{port}/v1/models/{model}"))
    return {"device": answer.get("device"), **dict(_told(answer))}


def _told(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _told(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in _TOLD:
                yield name, item
            elif name not in ("openapi_schema", "classes"):
                yield from _told(item)


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  an address of this machine
        return bytes(answer.read())
