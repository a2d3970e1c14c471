"""Which kept pictures an export has, each with its label and the predictions that it belongs to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cli.export.label_folders import UNLABELLED, label_folder
from shared.domain.identifiers import Digest
from shared.domain.timestamps import microseconds, rfc3339
from shared.storage.kept_predictions import KeptPrediction


@dataclass(slots=True)
class Picture:
    """One kept picture and its predictions, the oldest first. `name` is its name in the store, `size` its bytes."""

    digest: Digest
    name: str
    size: int
    predictions: list[KeptPrediction] = field(default_factory=list)

    @property
    def labelled_by(self) -> KeptPrediction | None:
        """The prediction whose feedback counts for the picture: the last that anybody gave."""
        told = [one for one in self.predictions if one.feedback is not None]
        return max(told, key=lambda one: one.feedback.id if one.feedback else "", default=None)

    @property
    def disagreed(self) -> bool:
        """Whether a shadow disagreed with any of its predictions."""
        return any(one.disagreed for one in self.predictions)

    def entry(self) -> dict[str, Any]:
        """Return the picture as the manifest has it: the same for the same predictions and feedback."""
        last, told = self.predictions[-1], self.labelled_by
        feedback = told.feedback if told else None
        label = feedback.label if feedback else None
        folder = UNLABELLED if label is None else label_folder(label)
        return {
            "path": f"{folder}/{self.digest}.{self.name.rpartition('.')[2]}",
            "sha256": self.digest,
            "bytes": self.size,
            "label": label,
            "value": feedback.value if feedback else None,
            "boxes": feedback.boxes if feedback else None,
            "by": feedback.by if feedback else None,
            "labelled_at": rfc3339(microseconds(feedback.created_at)) if feedback else None,
            "disagreed": self.disagreed,
            "version": last.version,
            "predicted_class": last.predicted_class,
            "confidence": last.confidence,
            "predicted_at": rfc3339(microseconds(last.created_at)),
            "predictions": [one.id for one in self.predictions],
        }


def select_pictures(
    kept: dict[Digest, Picture], predictions: Iterable[KeptPrediction], *, labelled: bool, disagreed: bool
) -> list[Picture]:
    """Return the pictures that have predictions, in the order of their digests; only labelled or disagreed ones."""
    for one in predictions:
        kept[one.digest].predictions.append(one)
    chosen = (picture for picture in kept.values() if picture.predictions)
    return sorted(
        (
            picture
            for picture in chosen
            if (picture.labelled_by or not labelled) and (picture.disagreed or not disagreed)
        ),
        key=lambda picture: picture.digest,
    )
