"""What a predict task did: its micro-batches added up, for Flower and the logs."""

from typing import Final, NamedTuple, TypedDict


class PredictReport(TypedDict):
    """What Flower shows of a predict task; its list has room for about the first three.

    `batch_size` is the mean of the task's micro-batches, `ms` the milliseconds of decoding and forward passes.
    """

    model: str
    batch_size: float
    ms: float
    images: int
    batches: int


class MicroBatch(NamedTuple):
    """How many images were computed, and how long decoding and forward passes took."""

    size: int
    milliseconds: float


NOTHING: Final = MicroBatch(0, 0.0)


def count_batch(report: PredictReport, batch: MicroBatch) -> None:
    """Add a micro-batch to a task's report."""
    if batch.size:
        report["batches"] += 1
        report["images"] += batch.size
        report["batch_size"] = round(report["images"] / report["batches"], 1)
        report["ms"] = round(report["ms"] + batch.milliseconds, 3)
