"""The page at /docs: Swagger UI from local files, which works without internet and runs no foreign scripts."""

from functools import cache
from importlib import resources
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from api.edge.guard import GuardedRoute, open_to_all
from api.http.json import JSONResponse

router = APIRouter(include_in_schema=False, route_class=GuardedRoute)

# Swagger UI writes style attributes; only the scripts served here may run.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Darkroom's API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START: Final = b"""SwaggerUIBundle({
  url: "openapi.json", dom_id: "#page", deepLinking: true, tryItOutEnabled: true, persistAuthorization: false
});
"""
_MEDIA_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
    "start.js": "text/javascript",
}


@router.get("/openapi.json")
@open_to_all
async def document(request: Request) -> Response:
    """Return the document that the page shows."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
@open_to_all
async def page() -> Response:
    """Show every operation, to read and to try."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": POLICY})


@router.get("/docs/{name}")
@open_to_all
async def file(name: str) -> Response:
    """Return one of the page's files."""
    if name not in _MEDIA_TYPES:
        raise HTTPException(404)
    return Response(_content(name), media_type=_MEDIA_TYPES[name], headers={"Cache-Control": "public, max-age=86400"})


@cache
def _content(name: str) -> bytes:
    return _START if name == "start.js" else (resources.files("fastapi_swagger") / "resources" / name).read_bytes()
