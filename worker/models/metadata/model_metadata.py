"""What a model version says of itself: its task, its labels, how images and outputs are prepared, what it may lose.

Each key stands in `MLmodel`'s metadata or, which counts more, in a tag of the model version in the registry: tags can
be changed after the version was registered. What a flavour knows of itself counts where neither says anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from shared.domain.image import ImageSpec
from shared.domain.large_masks import LARGEST_INLINE
from shared.domain.task import TASKS_OF, Task
from worker.models.errors import IncompleteMetadata, ModelError
from worker.models.metadata.metadata_values import (
    TAG_PREFIX,
    Heads,
    Key,
    MetadataValues,
    choice_of,
    fraction,
    heads,
    image_spec,
    label_list,
    named_values,
    one_of,
    truth,
    whole_number,
)

ALL_CLASSES_UP_TO: Final = 100
TOP_K_OF_MANY: Final = 5
THRESHOLD: Final = 0.5
MAX_DETECTIONS: Final = 100
IOU_THRESHOLD: Final = 0.45
"""As YOLOv5's and NudeNet's own code."""
MAX_BYTES: Final = 65_536
MOST_BYTES: Final = LARGEST_INLINE
"""An output is kept in Redis and in Postgres, and may be sent in a webhook."""
NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})
NO_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType({})
OTHER_TAGS: Final = frozenset(
    {
        "challenger_percent",
        "shadow_percent",
        "max_batch_size",
        "max_wait",
        "beside_people",
        "timeout",
        "max_error_percent",
        "keep_images",
    }
)
"""Tags that begin with `darkroom.` and are read elsewhere: by what follows the registry, and by what makes batches."""


class Decode(StrEnum):
    """How a version's images may be decoded and resized."""

    AUTO = "auto"
    """Exact on a CPU; on a GPU fast, if the scores agree with those of exact decoding."""
    EXACT = "exact"
    """Pillow's pixels, bit for bit those of torchvision's preset."""
    FAST = "fast"
    """The device's fastest decoder and resizer; a few pixels differ by a grey level or two."""


class Precision(StrEnum):
    """The number format in which a version's forward pass may compute."""

    AUTO = "auto"
    """fp32 on a CPU; on a GPU the fastest whose scores agree with fp32's."""
    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"


class Activation(StrEnum):
    """What turns the model's raw scores into probabilities."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    NONE = "none"


class Encoding(StrEnum):
    """How an embedding is written."""

    LIST = "list"
    BASE64 = "base64"
    """Of little-endian float32."""


class RawBoxes(StrEnum):
    """The layout of a detector's raw head: one array of all the boxes that it considers, in the input's pixels.

    By the name of the YOLO that brought it; later ones have one of these.
    """

    YOLOV5 = "yolov5"
    """(images, boxes, 5 + classes): centre x, centre y, width, height, objectness, then the classes' scores."""
    YOLOV8 = "yolov8"
    """(images, 4 + classes, boxes): centre x, centre y, width, height, then the classes' scores."""
    YOLOV10 = "yolov10"
    """(images, boxes, 6): x0, y0, x1, y1, score, class; overlapping boxes are left out already."""

    def columns(self, classes: int) -> int:
        """Return how many numbers a box has."""
        return {RawBoxes.YOLOV5: 5 + classes, RawBoxes.YOLOV8: 4 + classes, RawBoxes.YOLOV10: 6}[self]


_ACTIVATIONS: Final = {
    Task.CLASSIFICATION: (Activation.SOFTMAX, Activation.NONE),
    Task.MULTILABEL: (Activation.SIGMOID, Activation.NONE),
    Task.SEGMENTATION: (Activation.SIGMOID, Activation.SOFTMAX, Activation.NONE),
}
"""Those that a task may have, its default first; the other tasks have none.

Of a segmentation's it matters where there is one score a pixel: the highest of several is the same after any of them.
"""

_KEYS: Final[Mapping[str, Key]] = {
    "task": Key(choice_of(Task), is_word=True),
    "image": Key(image_spec),
    "labels": Key(label_list),
    "top_k": Key(whole_number()),
    "activation": Key(choice_of(Activation), is_word=True),
    "decode": Key(choice_of(Decode), is_word=True),
    "precision": Key(choice_of(Precision), is_word=True),
    "threshold": Key(fraction),
    "max_detections": Key(whole_number()),
    "raw_boxes": Key(choice_of(RawBoxes), is_word=True),
    "iou_threshold": Key(fraction),
    "values": Key(named_values),
    "normalize": Key(truth),
    "encoding": Key(choice_of(Encoding), is_word=True),
    "max_bytes": Key(whole_number(highest=MOST_BYTES)),
    "output": Key(heads),
}
CONTRACT_TAGS: Final = frozenset(f"{TAG_PREFIX}{key}" for key in _KEYS)
"""Tags of a version that change what it answers."""
_OF_SEVERAL_HEADS: Final = (Task.REGRESSION, Task.DETECTION, Task.JSON)
_TAKEN_AS_THEY_ARE: Final = ("output", *(key for key in TASKS_OF if key not in ("labels", "top_k", "activation")))
"""Keys whose values need no look at another's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """The metadata of one version; what means nothing for its task has its default.

    `values` has a regression's names with their units, or is empty where they are not named. `output` is None where
    the model's whole output counts, `raw_boxes` where a detector's boxes are not raw. `warnings` are those of the
    metadata itself, in words for people.
    """

    spec: ImageSpec
    labels: tuple[str, ...] = ()
    task: Task = Task.CLASSIFICATION
    top_k: int = TOP_K_OF_MANY
    activation: Activation = Activation.SOFTMAX
    decode: Decode = Decode.AUTO
    precision: Precision = Precision.AUTO
    threshold: float = THRESHOLD
    max_detections: int = MAX_DETECTIONS
    raw_boxes: RawBoxes | None = None
    iou_threshold: float = IOU_THRESHOLD
    values: Mapping[str, str | None] = field(default_factory=dict)
    normalize: bool = False
    encoding: Encoding = Encoding.LIST
    max_bytes: int = MAX_BYTES
    output: Heads | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_metadata(
        cls,
        metadata: Mapping[str, Any] | None,
        tags: Mapping[str, str] = NO_TAGS,
        defaults: Mapping[str, Any] = NO_DEFAULTS,
    ) -> Self:
        """Read the version's tags, `MLmodel`'s metadata, and what its flavour knows of itself, in that order.

        Raises ModelError that names what is missing, misspelled or wrong, and where it stands.
        """
        values = MetadataValues(_KEYS, metadata or {}, tags, defaults)
        values.refuse_misspelled(other_tags=OTHER_TAGS)
        task = values.get("task") or Task.CLASSIFICATION
        _check_heads(values, task)
        _require(values, "image", *(["labels"] if task.needs_labels else []))
        labels = (values.get("labels") or ()) if task.needs_labels else ()
        top_k = values.get("top_k") or (len(labels) if len(labels) <= ALL_CLASSES_UP_TO else TOP_K_OF_MANY)
        found = {
            key: value
            for key in _TAKEN_AS_THEY_ARE
            if (value := values.get(key)) is not None and task in TASKS_OF.get(key, tuple(Task))
        }
        return cls(
            spec=values.get("image"),
            labels=labels,
            task=task,
            top_k=min(top_k, len(labels)) if labels else top_k,
            activation=_activation(values, task),
            decode=values.get("decode") or Decode.AUTO,
            precision=values.get("precision") or Precision.AUTO,
            warnings=_warnings(values, task),
            **found,
        )

    def options(self) -> dict[str, Any]:
        """Return, as JSON, the options that decide the form of this task's outputs."""
        options: dict[str, Any] = {
            "top_k": self.top_k,
            "activation": str(self.activation),
            "threshold": self.threshold,
            "max_detections": self.max_detections,
            "values": dict(self.values),
            "normalize": self.normalize,
            "encoding": str(self.encoding),
            "max_bytes": self.max_bytes,
        }
        if self.raw_boxes not in (None, RawBoxes.YOLOV10):
            options["iou_threshold"] = self.iou_threshold
        return {key: value for key, value in options.items() if self.task in TASKS_OF[key]}


def _require(values: MetadataValues, *keys: str) -> None:
    """Raise IncompleteMetadata where one of the keys stands nowhere, or is empty."""
    missing = [key for key in keys if (place := values.place(key)) is None or place.value in ([], {}, (), "")]
    if missing:
        tags = " or ".join(TAG_PREFIX + key for key in missing)
        names = " and no ".join(missing)
        raise IncompleteMetadata(f"the metadata in MLmodel has no {names}, nor is there a tag {tags}", missing=missing)


def _check_heads(values: MetadataValues, task: Task) -> None:
    """Raise ModelError where several heads are named for a task that has one."""
    found = values.get("output")
    if found is None or found.only is not None:
        return
    place = values.place("output")
    if task not in _OF_SEVERAL_HEADS:
        raise ModelError(f"{place and place.where} must name one head for the task {task}")
    if task is Task.DETECTION and values.get("raw_boxes") is not None:
        raise ModelError(f"{place and place.where} must name one head where raw_boxes says what that has")


def _activation(values: MetadataValues, task: Task) -> Activation:
    """Return what the version names, else the task's default; raises ModelError for one that the task has not."""
    allowed = _ACTIVATIONS.get(task)
    found = values.get("activation")
    if allowed is None:
        return Activation.NONE
    if found is None:
        return allowed[0]
    if found not in allowed:
        if values.given("activation") is None:  # a flavour's, for another task
            return allowed[0]
        where = values.place("activation")
        raise ModelError(f"{where and where.where} must be {one_of(allowed)} for the task {task}, not {str(found)!r}")
    return found  # type: ignore[no-any-return]


def _warnings(values: MetadataValues, task: Task) -> tuple[str, ...]:
    """Return what is probably a mistake but keeps nothing from working."""
    unknown = [f"nothing reads the tag {tag}" for tag in values.unknown_tags(other_tags=OTHER_TAGS)]
    useless = [
        f"{place.where} means nothing for the task {task}"
        for key, tasks in TASKS_OF.items()
        if task not in tasks and (place := values.given(key)) is not None
    ]
    if values.get("raw_boxes") in (None, RawBoxes.YOLOV10) and task is Task.DETECTION:
        overlap = values.given("iou_threshold")
        useless += [f"{overlap.where} means nothing without boxes that overlap"] if overlap is not None else []
    return (*unknown, *useless)
