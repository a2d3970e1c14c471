"""Pages that the `type` of every problem leads to: what it means."""

from typing import Any

from fastapi import APIRouter
from starlette.exceptions import HTTPException

from api.edge.guard import GuardedRoute, open_to_all
from api.http.problem_table import KINDS

router = APIRouter(tags=["problems"], route_class=GuardedRoute)


@router.get("/problems/{slug}", summary="What a problem's type means", include_in_schema=False)
@open_to_all
async def explain(slug: str) -> dict[str, Any]:
    """Say what a problem's `type` means; raises 404 for one that does not exist."""
    kind = KINDS.get(slug)
    if kind is None:
        raise HTTPException(404)
    return {"type": f"/problems/{slug}", "title": kind.title, "status": kind.status, "meaning": kind.meaning}
