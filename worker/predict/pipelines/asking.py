"""Asks the versions of a step about pictures: one forward pass a version for all the pictures of a micro-batch.

A picture that makes a version raise has that version's failure alone: what raises is halved until it is found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from shared.domain.identifiers import ModelName, VersionKey
from shared.domain.image import ImageSpec
from shared.domain.pipeline_plan import PlannedMember
from shared.domain.prediction import ErrorCode
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import to_pixels
from worker.decode.sized_pixels import SizedPixels
from worker.models.errors import ModelError, ModelUnavailable
from worker.models.failure_text import failure_text, one_line
from worker.predict.batch_limit import BatchLimit
from worker.predict.halving import predict_in_halves
from worker.predict.model_protocols import Member, Members


@dataclass(frozen=True, slots=True)
class Answered:
    """One version's output for one picture (JSON), with its scores where its task has one a class."""

    member: Member
    output: bytes
    scores: Any = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why a version has no output for a picture."""

    code: ErrorCode
    error: str


Answer = Answered | Unanswered


@dataclass(slots=True)
class Question:
    """A picture, or a crop of one, for a step's versions; `answers` are in their order once they were asked."""

    picture: Image.Image
    members: Sequence[PlannedMember]
    answers: dict[int, Answer] = field(default_factory=dict)
    pixels: dict[ImageSpec, Any] = field(default_factory=dict)


class Asking:
    """Answers questions; threads may share it."""

    def __init__(self, members: Members, *, limit: BatchLimit, max_pixels: int) -> None:
        self._members = members
        self._limit = limit
        self._max_pixels = max_pixels

    def ask(self, questions: Sequence[Question]) -> None:
        """Answer every question by each of its members."""
        groups: dict[tuple[ModelName, VersionKey], list[tuple[Question, int]]] = {}
        for question in questions:
            for place, member in enumerate(question.members):
                if member.missing:
                    question.answers[place] = Unanswered(ErrorCode.MODEL_UNAVAILABLE, one_line(member.missing))
                else:
                    groups.setdefault((member.model, member.key), []).append((question, place))
        for (model, key), asked in groups.items():
            try:
                version = self._members.loaded(model, key)
            except ModelUnavailable as error:
                failure = Unanswered(ErrorCode.MODEL_UNAVAILABLE, one_line(str(error)))
                for question, place in asked:
                    question.answers[place] = failure
                continue
            most = self._limit.images()
            for first in range(0, len(asked), most):
                self._ask_version(version, asked[first : first + most])
        for question in questions:
            question.pixels.clear()

    def _ask_version(self, version: Member, asked: Sequence[tuple[Question, int]]) -> None:
        ready: list[tuple[Question, int]] = []
        images: list[object] = []
        for question, place in asked:
            try:
                images.append(self._pixels(question, version))
                ready.append((question, place))
            except Undecodable as error:
                question.answers[place] = Unanswered(ErrorCode.UNDECODABLE_IMAGE, one_line(str(error)))
        answers = predict_answers(version, images, lower=self._limit.lower) if images else []
        for (question, place), answer in zip(ready, answers, strict=True):
            question.answers[place] = answer

    def _pixels(self, question: Question, version: Member) -> object:
        """Return the picture as a version takes it; versions with the same preprocessing share it."""
        pixels = question.pixels.get(version.spec)
        if pixels is None:
            pixels = to_pixels(question.picture, version.spec, max_pixels=self._max_pixels)
            question.pixels[version.spec] = pixels
        return SizedPixels(pixels, question.picture.size) if version.needs_size else pixels


def predict_answers(version: Member, images: Sequence[object], *, lower: Callable[[int], object]) -> list[Answer]:
    """Return an answer an image; what raises is halved. `lower` is told of short memory."""

    def predict(part: Sequence[object]) -> list[Answer]:
        outputs, scores = version.predict_scored(part)
        rows = [None] * len(part) if scores is None else scores
        return [_answer(version, output, row) for output, row, _ in zip(outputs, rows, part, strict=True)]

    def failed(_: object, reason: str) -> Answer:
        return Unanswered(ErrorCode.MODEL_ERROR, one_line(reason))

    return predict_in_halves(images, predict, failed=failed, lower=lower)


def _answer(version: Member, output: bytes | ModelError, scores: Any) -> Answer:
    if isinstance(output, bytes):
        return Answered(version, output, scores)
    return Unanswered(ErrorCode.MODEL_ERROR, one_line(failure_text(output)))
