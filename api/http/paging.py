"""Lists in pages, newest first; the cursor of a page is the last id of the page before."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Protocol, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request

from api.http.json import JSONResponse
from api.state.gateway import base_url
from shared.domain.errors import InvalidParameter
from shared.domain.identifiers import is_uuid

# In the document alone: FastAPI's own check of a pattern would answer with the pattern.
UUID: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Cursor = Annotated[str | None, Query(description="From `next` of the page before", json_schema_extra={"pattern": UUID})]
Limit = Annotated[int, Query(ge=1, le=1000)]


class Listed(Protocol):
    """An object on a list."""

    @property
    def id(self) -> str:
        """The cursor of a page that begins after this one."""


L = TypeVar("L", bound=Listed)


def check_cursor(cursor: str | None) -> None:
    """Raise InvalidParameter for a cursor that the API did not give."""
    if cursor is not None and not is_uuid(cursor):
        raise InvalidParameter(detail="this cursor is not one of ours", pointer="/cursor")


def page_answer(
    request: Request,
    found: Sequence[L],
    as_object: Callable[[L], Any],
    *,
    path: str,
    limit: int,
    after: str | None = None,
    **asked: str | list[str] | None,
) -> JSONResponse:
    """Return a page of at most `limit`; one more `found`, or `after`, means that a next page exists.

    `after` is the next page's cursor where it is known. `asked` are the filters, a list where one is repeated.
    """
    following = None
    if after is None and len(found) > limit:
        after = found[limit - 1].id
    if after is not None:
        query = {name: value for name, value in asked.items() if value is not None}
        query |= {"limit": str(limit), "cursor": after}
        following = f"{base_url(request)}{path}?{urlencode(query, doseq=True)}"
    results = [as_object(one) for one in found[:limit]]
    return JSONResponse({"results": results, "next": following, "previous": None})
