"""Models: what serves, by which version, and how busy it is."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from api import schemas
from api.edge.auth import caller
from api.edge.guard import GuardedRoute
from api.http import problem_kinds as kinds
from api.http.json import JSONResponse
from api.models.objects import Load, model_object, pipeline_object, version_object
from api.openapi import responses
from api.state.asked_models import NO_DIGEST, AskedPipeline, asked_models
from api.state.gateway import Gateway, base_url, gateway
from api.state.threads import in_thread
from shared.domain.errors import InvalidParameter, UnknownModel
from shared.domain.identifiers import ModelName, Owner
from shared.domain.model_reference import Reference
from shared.domain.model_route import Route
from shared.storage import predictions

router = APIRouter(prefix="/v1", tags=["models"], route_class=GuardedRoute)

# Counting costs Postgres 0.1 µs a row; over a hundred thousand the exact number says nothing more.
MOST_RUNS_COUNTED: Final = 100_000
COUNTING_TIME: Final = timedelta(seconds=1)

_ONE = responses.by_status({200: schemas.Model}, kinds.UNKNOWN_MODEL, kinds.STORAGE_UNAVAILABLE)


@router.get(
    "/models",
    summary="List models",
    responses=responses.by_status({200: schemas.ModelList}, kinds.STORAGE_UNAVAILABLE),
)
async def index(request: Request) -> Response:
    """Return every model that serves, by name; all on one page."""
    gate = gateway(request)
    cards = [await _card(request, route) for route in await gate.models.all()]
    cards += [card for name in sorted(gate.models.pipelines) if (card := await _pipeline_card(request, name))]
    return JSONResponse({"results": cards, "next": None, "previous": None})


@router.get("/models/{name}", summary="Read a model", responses=_ONE)
async def show(request: Request, name: str) -> Response:
    """Return what serves under a name, a model or a pipeline."""
    models = gateway(request).models
    try:
        route = await models.get(ModelName(name))
    except UnknownModel:
        card = await _pipeline_card(request, ModelName(name))
        if card is None:
            raise
        return JSONResponse(card)
    return JSONResponse(await _card(request, route))


@router.get("/models/{owner}/{name}", summary="Read a model, as owner/name", responses=_ONE)
async def show_owned(request: Request, owner: str, name: str) -> Response:  # noqa: ARG001  any owner does
    """Return what serves under a name, whatever the owner."""
    return await show(request, name)


@router.get(
    "/models/{owner}/{name}/versions",
    summary="List a model's versions",
    responses=responses.by_status({200: schemas.VersionList}, kinds.UNKNOWN_MODEL, kinds.STORAGE_UNAVAILABLE),
)
async def versions(request: Request, owner: str, name: str) -> Response:  # noqa: ARG001  any owner does
    """Return the versions that serve, newest first; all on one page."""
    gate = gateway(request)
    try:
        route = await gate.models.get(ModelName(name))
    except UnknownModel:
        if ModelName(name) not in gate.models.pipelines:
            raise
        card = await _pipeline_card(request, ModelName(name))
        results = [card["latest_version"]] if card else []
        return JSONResponse({"results": results, "next": None, "previous": None})
    results = [version_object(route, version) for version in route.newest_first()]
    return JSONResponse({"results": results, "next": None, "previous": None})


@router.get(
    "/models/{owner}/{name}/versions/{id}",
    summary="Read a version",
    responses=responses.by_status({200: schemas.Version}, kinds.UNKNOWN_MODEL, kinds.STORAGE_UNAVAILABLE),
)
async def version(request: Request, owner: str, name: str, id: str) -> Response:  # noqa: ARG001  any owner does
    """Return one version that serves; `id` is its number, `latest`, `name:number`, or `name@alias`."""
    route = await gateway(request).models.get(ModelName(name))
    wanted = Reference.parse_version(id)
    alias = None if wanted.version else wanted.alias or id
    found = route.find_version(Reference(name=route.model, alias=alias, version=wanted.version))
    return JSONResponse(version_object(route, found))


async def _card(request: Request, route: Route) -> dict[str, object]:
    """Return one model's object."""
    gate, owner = gateway(request), gateway(request).settings.owner_name
    load = await _load(gate, route.model, caller=caller(request).owner)
    return model_object(route, load, owner=owner, base=base_url(request))


async def _pipeline_card(request: Request, name: ModelName) -> dict[str, object] | None:
    """Return a named pipeline's object; None where there is none of that name, or a member does not serve."""
    gate, owner = gateway(request), gateway(request).settings.owner_name
    try:
        asked = await asked_models(gate.models, Reference(name=name), None)
        choice = asked.choose(NO_DIGEST)
        home = await gate.models.get(asked.lane_model)
    except (UnknownModel, InvalidParameter):
        return None
    if not isinstance(asked, AskedPipeline):
        return None
    load = await _load(gate, home.model, caller=caller(request).owner)
    load = replace(load, run_count=await _run_count(gate, name, caller(request).owner))
    return pipeline_object(name, asked.pipeline, choice, home, load, owner=owner, base=base_url(request))


async def _load(gate: Gateway, model: ModelName, *, caller: Owner) -> Load:
    """Ask Redis how busy a model is, and Postgres how many predictions it has made."""
    workers, loaded, depth, runs = await asyncio.gather(
        gate.producer.models.live_workers(model),
        gate.producer.models.workers_with_champion_loaded(model),
        gate.producer.models.interactive_depth(model),
        _run_count(gate, model, caller),
    )
    return Load(workers=workers, loaded_workers=loaded, lane_depth=depth, run_count=runs)


async def _run_count(gate: Gateway, model: ModelName, owner: Owner) -> int:
    """Count a model's recorded predictions; 0 while Postgres can't say, since clients need a number."""
    try:
        async with asyncio.timeout(COUNTING_TIME.total_seconds()):
            return await in_thread(gate.threads.asks, _count, gate.engine, model, owner)
    except (SQLAlchemyError, TimeoutError):
        return 0


def _count(engine: Engine, model: ModelName, owner: Owner) -> int:
    with engine.connect() as connection:
        return predictions.count_predictions(connection, owner, model, most=MOST_RUNS_COUNTED)
