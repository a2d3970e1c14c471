"""GPUs and what occupies predict workers, whatever device they compute on."""

from typing import Final

from deploy.grafana.generate.layout import Board, Row
from deploy.grafana.generate.panels import Query, Shown, Unit
from deploy.grafana.generate.promql import MODEL, WINDOW, mean, per_second, quantile

MEMORY: Final = "darkroom_device_memory_bytes"


def busy(histogram: str) -> str:
    """Return seconds spent in something, each second, by worker: 1 is one thread that does nothing else."""
    return f"sum by (instance) (rate({histogram}_sum{{{MODEL}}}{WINDOW}))"


def an_image(histogram: str) -> str:
    """Return the seconds that an image of a micro-batch costs in it, by model."""
    seconds = per_second(f"{histogram}_sum", by="model", where=MODEL)
    return f"{seconds} / {per_second('darkroom_batch_size_sum', by='model', where=MODEL)}"


DEVICE_MEMORY: Final = Row(
    "Memory of GPUs (empty without one)",
    [
        Shown(
            id=1,
            title="A worker's share of its GPU's memory",
            what="What torch has reserved for this worker, of the device's total. Near 100% the next larger "
            "micro-batch does not fit: it is halved and repeated, which costs time, and the limit of images is "
            "lowered.",
            queries=[
                Query(
                    f'max by (instance, device) ({MEMORY}{{kind="reserved"}}) '
                    f'/ max by (instance, device) ({MEMORY}{{kind="total"}})',
                    "{{instance}} {{device}}",
                )
            ],
            unit=Unit.SHARE,
            highest=1,
        ),
        Shown(
            id=2,
            title="Memory, by kind",
            what="`allocated` holds tensors now, `reserved` is what torch keeps for this worker; `free` and `total` "
            "are the GPU's. Little `free` although the workers have little reserved: another process occupies the "
            "GPU. Much reserved and little allocated: memory that other processes lack.",
            queries=[Query(f"max by (instance, device, kind) ({MEMORY})", "{{instance}} {{device}} {{kind}}")],
            unit=Unit.BYTES,
        ),
        Shown(
            id=3,
            title="Memory of loaded versions, a worker",
            what="As estimated when each was loaded: weights and what its warm-up took.",
            queries=[
                Query(f"sum by (instance) (darkroom_model_memory_bytes{{{MODEL}}})", "{{instance}}"),
            ],
            unit=Unit.BYTES,
        ),
    ],
)
OCCUPIED: Final = Row(
    "What predict workers do",
    [
        Shown(
            id=4,
            title="Forward passes, of a worker's time",
            what="Near 100% the device (or the core) is the limit: add a worker, or a faster model. Low while images "
            "wait: it waits for decoding, Redis or the registry. It exceeds 100% where several threads share a GPU.",
            queries=[Query(busy("darkroom_forward_seconds"), "{{instance}}")],
            unit=Unit.SHARE,
        ),
        Shown(
            id=5,
            title="Decoding, of a worker's time",
            what="Near 100% for each thread the CPU is the limit, not the device: give the worker more cores, or let "
            "clients send smaller images.",
            queries=[Query(busy("darkroom_decode_seconds"), "{{instance}}")],
            unit=Unit.SHARE,
        ),
        Shown(
            id=6,
            title="Images computed, by worker",
            what="A worker far below the others is on a slower or a shared device, or is stuck.",
            queries=[Query(per_second("darkroom_images_total", by="instance", where=MODEL), "{{instance}}")],
            unit=Unit.IMAGES_A_SECOND,
        ),
        Shown(
            id=7,
            title="Time an image costs",
            what="Of the micro-batch's time, its share for each image. The larger the micro-batch, the less a forward "
            "pass costs an image on a GPU.",
            queries=[
                Query(an_image("darkroom_decode_seconds"), "{{model}}: decoding"),
                Query(an_image("darkroom_forward_seconds"), "{{model}}: forward pass"),
                Query(an_image("darkroom_finish_seconds"), "{{model}}: writing results"),
            ],
            unit=Unit.SECONDS,
        ),
        Shown(
            id=8,
            title="Time of a micro-batch's forward pass",
            what="Half of them, and 99 of 100, end within this time.",
            queries=[
                Query(quantile(0.5, "darkroom_forward_seconds", by="model", where=MODEL), "{{model}}: half within"),
                Query(quantile(0.99, "darkroom_forward_seconds", by="model", where=MODEL), "{{model}}: 99% within"),
            ],
            unit=Unit.SECONDS,
        ),
        Shown(
            id=9,
            title="Images in a micro-batch",
            what="A GPU with small micro-batches under load: raise the model's `max_wait`, or use fewer workers.",
            queries=[Query(mean("darkroom_batch_size", by="model", where=MODEL), "{{model}}")],
            unit=Unit.IMAGES,
        ),
    ],
)
BOARD: Final = Board(
    name="gpu",
    title="GPU and workers",
    what="Memory of GPUs, and what predict workers spend their time on. Temperature and clock are the driver's: "
    "NVIDIA's DCGM exporter has them.",
    rows=[DEVICE_MEMORY, OCCUPIED],
)
