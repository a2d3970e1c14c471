"""The objects of models and versions in answers, made from a model's route."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_route import CHALLENGER, CHAMPION, Choice, Route, Version
from shared.domain.output_schema import output_schema, pipeline_output_schema
from shared.domain.pipeline import Pipeline
from shared.domain.task import Task

COG_VERSION: Final = "darkroom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy a model is: live predict workers, computations in its interactive lane, predictions on record.

    `loaded_workers` are the workers that have its champion in memory.
    """

    workers: int
    loaded_workers: int
    lane_depth: int
    run_count: int


def model_object(route: Route, load: Load, *, owner: str, base: str) -> dict[str, Any]:
    """Return a model's object, in the form that Replicate's clients read too."""
    latest = latest_version(route)
    return {
        "url": f"{base}/v1/models/{quote(owner, safe='')}/{quote(route.model, safe='')}",
        "owner": owner,
        "name": route.model,
        "description": route.description,
        "visibility": "private",
        "run_count": load.run_count,
        "latest_version": version_object(route, latest) if latest else None,
        "aliases": dict(sorted(route.aliases.items())),
        "traffic": traffic(route),
        "shadow": {target.version: target.percent} if (target := route.shadow_target()) else {},
        "canary": route.canary or None,
        "versions": [_served(route, version) for version in route.newest_first()],
        "failed_versions": [
            {"version": number, "error": error} for number, error in sorted({**route.failed, **route.went_back}.items())
        ],
        "notices": [*route.notices(), *filter(None, [route.pin])],
        "device": route.device,
        "max_batch_size": route.max_batch_size,
        "workers": load.workers,
        "loaded_workers": load.loaded_workers,
        "lane_depth": load.lane_depth,
        "pipeline": None,
    }


def pipeline_object(
    name: ModelName, pipeline: Pipeline, choice: Choice, home: Route, load: Load, *, owner: str, base: str
) -> dict[str, Any]:
    """Return a named pipeline's object: a model's, without versions of its own.

    `choice` is what it resolves to where each member's champion is chosen, `home` the model in whose lane it waits.
    """
    return model_object(
        replace(home, versions={}, aliases={}, failed={}, went_back={}, gone={}), load, owner=owner, base=base
    ) | {
        "url": f"{base}/v1/models/{quote(owner, safe='')}/{quote(name, safe='')}",
        "name": name,
        "description": pipeline.expression(),
        "latest_version": pipeline_version_object(name, choice, home),
        "pipeline": pipeline.definition(),
    }


def pipeline_version_object(name: ModelName, choice: Choice, home: Route) -> dict[str, Any]:
    """Return what a pipeline resolves to now, as a version."""
    latest = latest_version(home)
    return {
        "id": choice.version,
        "created_at": latest.created_at if latest else "",
        "cog_version": COG_VERSION,
        "openapi_schema": _document(name, choice.version, pipeline_output_schema()),
    }


def version_object(route: Route, version: Version) -> dict[str, Any]:
    """Return a version's object, in the form that Replicate's clients read too."""
    return {
        "id": version.number,
        "created_at": version.created_at,
        "cog_version": COG_VERSION,
        "openapi_schema": interface(route, version),
    }


def latest_version(route: Route) -> Version | None:
    """Return the champion, or else the newest version that serves."""
    champion = route.versions.get(route.aliases.get(CHAMPION, VersionNumber("")))
    return champion or next(iter(route.newest_first()), None)


def traffic(route: Route) -> dict[str, int]:
    """Return the percentage of requests that each alias gets where a request names none."""
    if CHAMPION not in route.aliases:
        return {}
    if CHALLENGER not in route.aliases:
        return {CHAMPION: 100}
    return {CHAMPION: 100 - route.challenger_percent, CHALLENGER: route.challenger_percent}


def _served(route: Route, version: Version) -> dict[str, Any]:
    labels = version.labels if Task(version.task).needs_labels else ()
    return {
        "version": version.number,
        "aliases": sorted(name for name, number in route.aliases.items() if number == version.number),
        "created_at": version.created_at,
        "task": version.task if version.was_loaded else None,
        "classes": list(labels),
        "num_classes": len(labels),
        "input": version.image,
        "output": _output(version) if version.was_loaded else None,
        "parameters": version.parameters,
        "metrics": version.metrics,
        "decode": version.decode,
        "precision": version.precision,
        "agreement": asdict(version.agreement) if version.agreement else None,
        "warnings": list(version.warnings),
    }


def interface(route: Route, version: Version) -> dict[str, Any]:
    """Return a version's own OpenAPI document."""
    return _document(route.model, version.number, _output(version))


def _document(name: str, version: str, output: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI document: Replicate's clients look for `Input` and `Output` in it."""
    image = {
        "type": "string",
        "format": "uri",
        "title": "Image",
        "description": "A data: URL, or the URL of an uploaded file",
        "x-order": 0,
    }
    return {
        "openapi": "3.0.2",
        "info": {"title": name, "version": version},
        "paths": {},
        "components": {
            "schemas": {
                "Input": {
                    "type": "object",
                    "title": "Input",
                    "required": ["image"],
                    "properties": {"image": image},
                },
                "Output": output,
            }
        },
    }


def _output(version: Version) -> dict[str, Any]:
    """Return the schema of its outputs; made here where the worker that loaded it is of a release that told none."""
    return version.output or output_schema(Task.CLASSIFICATION, labels=version.labels)
