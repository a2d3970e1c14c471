"""What a submission asks for, resolved for each image: a version of a model, or a pipeline's versions."""

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from api.state.served_models import ServedModels
from shared.domain.errors import InvalidParameter, UnknownModel
from shared.domain.identifiers import Digest, ModelName, VersionNumber
from shared.domain.model_reference import LATEST, Reference
from shared.domain.model_route import Choice, Route
from shared.domain.pipeline import PIPELINE, Pipeline, parse_pipeline
from shared.domain.pipeline_plan import choose_plan

LONGEST_NAME: Final = 255


class AskedModel(NamedTuple):
    """One model."""

    route: Route
    reference: Reference

    @property
    def model(self) -> ModelName:
        """What answers call it."""
        return self.route.model

    @property
    def lane_model(self) -> ModelName:
        """The model in whose lane its images wait."""
        return self.route.model

    def as_asked(self) -> list[str | None]:
        """Return what must be equal for two requests to ask for the same."""
        return [self.route.model, self.reference.alias, self.reference.version]

    def choose(self, digest: Digest) -> Choice:
        """Return the version for an image; raises UnknownModel."""
        return self.route.choose(self.reference, digest=digest)


class AskedPipeline(NamedTuple):
    """A pipeline, named or given in the request, with the routes of its members as they were when it was asked for."""

    model: ModelName
    lane_model: ModelName
    pipeline: Pipeline
    routes: Mapping[ModelName, Route]

    def as_asked(self) -> list[Any]:
        """Return what must be equal for two requests to ask for the same."""
        return [self.model, self.pipeline.definition()]

    def choose(self, digest: Digest) -> Choice:
        """Return the versions for an image, each member's by its own traffic split; raises UnknownModel."""
        return _choose(self.pipeline, self.model, self.routes, digest)


Asked = AskedModel | AskedPipeline


async def asked_models(models: ServedModels, reference: Reference, definition: Mapping[str, Any] | None) -> Asked:
    """Return what a submission's fields ask for; `definition` has those of a pipeline, None where there are none.

    Raises UnknownModel and InvalidParameter, and StorageUnavailable where Redis can't be asked.
    """
    if definition is None and reference.name not in models.pipelines:
        try:
            return AskedModel(await models.for_reference(reference), reference)
        except UnknownModel:
            # The models were read again: its name may be a pipeline's that has just been registered.
            if reference.name not in models.pipelines:
                raise
    if definition is not None:
        pipeline = parse_pipeline(definition, first=reference)
        name = ModelName(pipeline.expression()[:LONGEST_NAME])
    else:
        assert reference.name is not None  # noqa: S101  it is a pipeline's
        if reference.alias or reference.version:
            raise UnknownModel(reference=str(reference), reason="it is a pipeline, which has no aliases and versions")
        name, pipeline = reference.name, models.pipelines[reference.name]
    routes = await _routes(models, pipeline)
    # Whether every member serves is found out now, not with the first image of a bulk upload.
    lane_model = _choose(pipeline, name, routes, NO_DIGEST).lane_owner
    return AskedPipeline(name, lane_model, pipeline, routes)


NO_DIGEST: Final = Digest("0" * 64)
"""Stands for the digest of an image without content, since a route's traffic split needs one."""


def _choose(pipeline: Pipeline, name: ModelName, routes: Mapping[ModelName, Route], digest: Digest) -> Choice:
    def choose(reference: Reference) -> Choice:
        route = routes.get(reference.name or ModelName(""))
        if route is None:
            raise UnknownModel(reference=str(reference), served=tuple(routes))
        return route.choose(reference, digest=digest)

    return choose_plan(pipeline, name=name, choose=choose)


async def _routes(models: ServedModels, pipeline: Pipeline) -> dict[ModelName, Route]:
    """Return the routes of the members that have one; raises InvalidParameter for a member that is a pipeline.

    Raises UnknownModel for a member without one: the first, or of a pipeline that degrades where no model of its first
    step has one.
    """
    routes: dict[ModelName, Route] = {}
    missing: list[UnknownModel] = []
    for reference in pipeline.references():
        name = reference.name
        if name is None:
            continue
        if name in models.pipelines:
            raise InvalidParameter(detail=f"{name} is a pipeline, which can't be part of another", pointer="/models")
        try:
            routes[name] = await models.for_reference(reference)
        except UnknownModel as error:
            if pipeline.on_error == "fail":
                raise
            missing.append(error)
    if missing and routes.keys().isdisjoint(member.reference.name for member in pipeline.first.members):
        raise missing[0]
    return routes


async def models_asked_again(models: ServedModels, model: ModelName, variants: Collection[str]) -> Asked:
    """Return what a retry asks for: the alias, or the version's number, that chose the version before.

    An alias may lead to another version by now, which may be why it is retried. Where several chose versions, it is the
    model's traffic split; a pipeline has its name alone. Raises UnknownModel, also for a pipeline that a request gave.
    """
    try:
        return await asked_models(models, _reference_again(model, variants), None)
    except UnknownModel as error:
        if PIPELINE not in variants:
            raise
        raise UnknownModel(reference=model, reason=_NOT_KEPT, served=error.served) from None


_NOT_KEPT: Final = "no pipeline has this name, and one that a request gives is not kept: submit the image again with it"


def _reference_again(model: ModelName, variants: Collection[str]) -> Reference:
    if len(variants) != 1 or PIPELINE in variants:
        return Reference(name=model)
    [variant] = variants
    if variant == LATEST or variant.isdigit():
        return Reference(name=model, version=VersionNumber(variant))
    return Reference(name=model, alias=variant)
