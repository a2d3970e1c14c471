"""Computes the entries of pipelines: every step of each picture in this process, with one output at the end.

Steps of all pictures of a micro-batch share forward passes. Pictures are held whole until their last step, so many at a
time as PORTION allows. They are computed in parts: the first step of a portion of pictures, and
MOST_CROPS_AT_ONCE crops.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import orjson
from PIL import Image

from shared.domain.pipeline_plan import PlannedMember, read_plan
from shared.domain.prediction import ErrorCode, Status
from shared.image_files.formats import HEAVY, identify_format, read_header
from shared.image_files.header import BrokenImageError
from shared.observability.metrics import ModelMetrics
from shared.queue.consumer.entries import Entry, Result
from worker.decode.decode_threads import DecodeThreads
from worker.decode.decoder_pool import DecoderPool
from worker.decode.image_loading import Undecodable
from worker.decode.preprocessing import estimated_work, load_upright
from worker.models.errors import ModelError, ModelUnavailable
from worker.models.failure_text import one_line
from worker.models.outputs.writer import as_json
from worker.predict.batch_limit import BatchLimit
from worker.predict.batch_tracing import Step
from worker.predict.decoding import MOST_HEAVY
from worker.predict.model_protocols import Members
from worker.predict.pipelines.answer import Failed, first_step, second_step, whole_output
from worker.predict.pipelines.asking import Asking, Question
from worker.predict.pipelines.condition import Selection, select
from worker.predict.pipelines.portions import MOST_CROPS_AT_ONCE, portions, selected_pixels
from worker.predict.pipelines.work import Unfinished, Work


class Pipelines:
    """Computes one lane's pipelines; threads may share it."""

    def __init__(
        self,
        members: Members,
        *,
        decoders: DecoderPool,
        threads: DecodeThreads,
        max_pixels: int,
        metrics: ModelMetrics,
        limit: BatchLimit,
        on_progress: Callable[[], object],
        step: Step,
    ) -> None:
        """`on_progress` is called after each part where all are computed at once: what has taken long is not stuck."""
        self._on_progress = on_progress
        self._step = step
        self._members = members
        self._decoders = decoders
        self._threads = threads
        self._max_pixels = max_pixels
        self._metrics = metrics
        self._asking = Asking(members, limit=limit, max_pixels=max_pixels)

    def has_to_load(self, entry: Entry) -> bool:
        """Tell whether a version of the entry's pipeline has to be loaded first."""
        return any(self._members.has_to_load(one.model, one.key) for one in _members_of(entry))

    def load(self, entry: Entry) -> None:
        """Load the versions of the entry's pipeline that are not; one that can't be is told when it is asked."""
        for one in _members_of(entry):
            try:
                self._members.loaded(one.model, one.key)
            except ModelUnavailable:
                continue

    def compute(
        self,
        entries: Sequence[Entry],
        *,
        heavy: list[Entry] | None,
        heavy_in_hand: Callable[[], int],
        unfinished: Unfinished | None,
        others_wait: bool = False,
    ) -> list[Result]:
        """Return the entries' results, in no particular order; heavy images as `Computation.compute` says.

        One part of them is computed, and what is left is added to `unfinished`; all of them where that is None, none of
        them where `others_wait`: those of an earlier micro-batch, which come first.
        """
        results: list[Result] = []
        light: list[Entry] = []
        for entry in entries:
            if self._work(entry) <= HEAVY:
                light.append(entry)
            elif heavy is not None and len(heavy) + heavy_in_hand() < MOST_HEAVY:
                heavy.append(entry)
            else:
                decoded = self.decode_heavy(entry)
                results += [decoded] if isinstance(decoded, Result) else decoded()
        left = Unfinished(entries=light)
        if unfinished is None:
            while left.works or left.entries:
                results += self.compute_part(left)
                self._on_progress()
            return results
        if not others_wait:
            results += self.compute_part(left)
        unfinished.add(left)
        return results

    def compute_part(self, unfinished: Unfinished) -> list[Result]:
        """Take a part out of what is unfinished and return the results of the pictures that are finished by it.

        That is the first step of a portion of pictures, if none has its first step's answer yet, and the second step of
        MOST_CROPS_AT_ONCE crops or pictures, or of one picture.
        """
        results: list[Result] = []
        if not unfinished.works and unfinished.entries:
            entries = unfinished.entries
            portion = next(portions(entries, size=lambda one: _pixels(one.image), most=len(entries)))
            unfinished.entries = entries[len(portion) :]
            results, unfinished.works = self._begin_portion(portion)
        works = unfinished.take_works(MOST_CROPS_AT_ONCE)
        return results + self._finish_works(works)

    def decode_heavy(self, entry: Entry) -> Result | Callable[[], list[Result]]:
        """Decode in a decoder process; return how the image failed, or what computes the rest."""
        with self._metrics.decode.time(), self._step("decode", [entry]):
            try:
                pixels = self._decoders.decode_picture(entry.image)
            except Undecodable as error:
                return _failure(entry, Failed(ErrorCode.UNDECODABLE_IMAGE, str(error)))
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return partial(self._compute_picture, entry, picture)

    def _compute_picture(self, entry: Entry, picture: Image.Image) -> list[Result]:
        results, works = self._begin_pictures([(entry, picture)])
        return results + self._finish_works(works)

    def _begin_portion(self, portion: Sequence[Entry]) -> tuple[list[Result], list[Work]]:
        """Decode pictures and ask the first step; return the results of those that are done, and the others."""
        results: list[Result] = []
        pictures: list[tuple[Entry, Image.Image]] = []
        with self._metrics.decode.time(), self._step("decode", portion):
            images, work = [entry.image for entry in portion], sum(self._work(entry) for entry in portion)
            decoded = self._threads.map(self._picture_or_reason, images, estimated_work=work)
        for entry, picture in zip(portion, decoded, strict=True):
            if isinstance(picture, Undecodable):
                results.append(_failure(entry, Failed(ErrorCode.UNDECODABLE_IMAGE, str(picture))))
            else:
                pictures.append((entry, picture))
        ended, works = self._begin_pictures(pictures) if pictures else ([], [])
        return results + ended, works

    def _begin_pictures(self, pictures: Sequence[tuple[Entry, Image.Image]]) -> tuple[list[Result], list[Work]]:
        results: list[Result] = []
        works: list[Work] = []
        for entry, picture in pictures:
            try:
                works.append(Work(entry, read_plan(entry.plan), picture))
            except (KeyError, TypeError, ValueError):
                wrong = "the pipeline was written by another release, which this worker can't read"
                results.append(_failure(entry, Failed(ErrorCode.MODEL_UNAVAILABLE, wrong)))
        with self._metrics.forward.time(), self._step("forward", [work.entry for work in works]):
            self._ask_first(works)
        results += [_result(work) for work in works if not work.selections]
        return results, [work for work in works if work.selections]

    def _finish_works(self, works: Sequence[Work]) -> list[Result]:
        if works:
            with self._metrics.forward.time(), self._step("then", [work.entry for work in works]):
                self._ask_second(works)
        return [_result(work) for work in works]

    def _ask_first(self, works: Sequence[Work]) -> None:
        questions = [Question(work.picture, work.plan.first.members) for work in works]
        self._asking.ask(questions)
        for work, question in zip(works, questions, strict=True):
            step = first_step(work.plan.first, question, degrades=work.plan.degrades)
            if isinstance(step, Failed):
                work.failure = step
                continue
            work.first, work.step, work.degraded = step.output, step.members, step.degraded
            then = work.plan.then
            if then is None:
                continue
            try:
                selections, work.left_out = select(then, step.output, size=work.picture.size)
            except ModelError as error:
                work.failure = Failed(ErrorCode.MODEL_ERROR, f"then: {error}")
                continue
            work.selections = [(one, Question(work.picture, then.step.members)) for one in selections]

    def _ask_second(self, works: Sequence[Work]) -> None:
        """Ask about pictures and crops; boxes that overlap may have more pixels together than are held at once."""
        selected = [selection for work in works for selection in work.selections]
        for portion in portions(selected, size=lambda one: selected_pixels(one[0]), most=MOST_CROPS_AT_ONCE):
            self._asking.ask([_cut(selection, question) for selection, question in portion])

    def _picture_or_reason(self, image: bytes) -> Image.Image | Undecodable:
        try:
            return load_upright(image, max_pixels=self._max_pixels)
        except Undecodable as error:
            return error

    def _work(self, entry: Entry) -> float:
        """Return the milliseconds that decoding and resizing may take at most, by the first version that is loaded."""
        for one in _members_of(entry):
            try:
                return estimated_work(entry.image, self._members.loaded(one.model, one.key).spec)
            except ModelUnavailable:
                continue
        return 0.0


def _cut(selection: Selection, question: Question) -> Question:
    """Return the question about a selection's crop, whose answers are the question's; the crop lives as long as it."""
    if selection.crop is None:
        return question
    return replace(question, picture=question.picture.crop(selection.crop))


def _members_of(entry: Entry) -> list[PlannedMember]:
    try:
        return list(read_plan(entry.plan).members())
    except (KeyError, TypeError, ValueError):
        return []


def _pixels(image: bytes) -> int:
    kind = identify_format(image)
    if kind is None:
        return 0
    try:
        width, height, _ = read_header(image, kind[1])
    except BrokenImageError:
        return 0
    return width * height


def _result(work: Work) -> Result:
    if work.failure is None:
        work.failure = _finish(work)
    if work.failure is not None:
        return _failure(work.entry, work.failure)
    written = whole_output(work.first, work.step, degraded=work.degraded)
    try:
        return Result(work.entry, Status.SUCCEEDED, output=as_json(written), cacheable=not work.degraded)
    except (ModelError, orjson.JSONEncodeError) as error:
        return _failure(work.entry, Failed(ErrorCode.MODEL_ERROR, str(error)))


def _finish(work: Work) -> Failed | None:
    """Put the second step's answers into the output, where there is one."""
    if work.plan.then is None:
        return None
    step = second_step(work.plan.then, work.selections, left_out=work.left_out, degrades=work.plan.degrades)
    if isinstance(step, Failed):
        return step
    work.degraded = work.degraded or step.degraded
    work.step = {"steps": [work.step, step.members]}
    if step.output is not None:
        # The picture went on: its result is the second step's, and the first's stands in its step.
        work.step["steps"][0] |= {"output": work.first}
        work.first = step.output
    return None


def _failure(entry: Entry, failed: Failed) -> Result:
    return Result(entry, Status.FAILED, error=one_line(failed.error), code=failed.code)
