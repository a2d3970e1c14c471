"""Reports on models: what its versions predicted, how they compare, whether a difference means anything."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from api import schemas
from api.edge.auth import caller
from api.edge.guard import GuardedRoute
from api.http import problem_kinds as kinds
from api.http.json import JSONResponse
from api.openapi import responses
from api.state.gateway import gateway
from api.state.postgres import ask_postgres
from shared.domain.ages import parse_age
from shared.domain.api_keys import Role
from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import ModelName
from shared.domain.timestamps import instant, parse_rfc3339
from shared.presentation.model_report import report_object
from shared.storage.model_report import read_model_report

router = APIRouter(prefix="/v1", tags=["models"], route_class=GuardedRoute)

LONGEST: Final = timedelta(seconds=10)
"""A report takes a few statements, each limited as any; a day of a million rows took 0.4 s, the first 1 s."""

_RESPONSES = responses.by_status(
    {200: schemas.ModelReport}, kinds.UNKNOWN_MODEL, kinds.INVALID_PARAMETER, kinds.STORAGE_UNAVAILABLE
)


@router.get("/models/{name}/report", summary="Report on a model's versions", responses=_RESPONSES)
async def report(
    request: Request,
    name: str,
    since: Annotated[
        str,
        Query(
            description="How far back, as `30m`, `24h` or `7d`, or since when, as `2026-01-31T12:00:00Z`: predictions "
            "submitted then or later count",
            examples=["24h"],
        ),
    ] = "1d",
    versions: Annotated[
        str | None, Query(description="Only these versions, separated by commas", examples=["3,4"])
    ] = None,
) -> Response:
    """Return figures by version and variant, drift, accuracy and agreement.

    Of the caller's own predictions; an admin's key, and an API without keys, sees everybody's.
    """
    gate, asker, model = gateway(request), caller(request), ModelName(name)
    owner = None if asker.role is Role.ADMIN else asker.owner
    start, wanted = _start(since), _versions(versions)
    found = await ask_postgres(
        gate,
        lambda connection: read_model_report(connection, model, since=start, owner=owner, versions=wanted),
        longest=LONGEST,
        pool=gate.threads.results,
    )
    if not found.versions and found.first_week is None:
        # A retired model still has its reports; one that has neither rows nor a route is unknown.
        await gate.models.get(model)
    return JSONResponse(report_object(found))


def _start(text: str) -> datetime:
    """Return the instant that `since` means; raises InvalidParameter."""
    try:
        return instant(parse_rfc3339(text)) if text[4:5] == "-" else datetime.now(UTC) - parse_age(text)
    except (ValueError, OverflowError) as error:
        detail = str(error) if isinstance(error, ValueError) else "is too long ago"
        raise InvalidParameter(detail=f"since: {detail}", pointer="/since") from None


def _versions(text: str | None) -> list[str]:
    """Return the versions that are asked for, none for all; raises InvalidParameter for what is no list of them."""
    if text is None:
        return []
    found = [part.strip() for part in text.split(",")]
    if not all(found) or not text.isprintable():
        raise InvalidParameter(detail="versions must be separated by commas, as 3,4", pointer="/versions")
    return found
