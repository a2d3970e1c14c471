"""Serves the console: its page at `/`, its scripts and styles at `/console`. Only what they ask for needs a key."""

from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from api.console.files import WebFile, web_files
from api.edge.guard import GuardedRoute, open_to_all

router = APIRouter(include_in_schema=False, route_class=GuardedRoute)

# Scripts, styles and data of this API alone; `blob:` and `data:` are pictures that the page itself has made.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Of what browsers ask people for, the page Try asks for the camera, to take a picture; nothing may ask for the rest.
PERMISSIONS: Final = (
    "camera=(self), microphone=(), geolocation=(), display-capture=(), usb=(), serial=(), hid=(), payment=()"
)
HEADERS: Final = {"Content-Security-Policy": POLICY, "Permissions-Policy": PERMISSIONS, "Cache-Control": "no-cache"}
FOR_GOOD: Final = "public, max-age=31536000, immutable"


@router.get("/")
@open_to_all
async def page(request: Request) -> Response:
    """Return the console's page; always asked for anew, since it names the version of everything else."""
    return _answer(request, web_files().page, HEADERS)


@router.get("/console/{digest}/{path:path}")
@open_to_all
async def file(request: Request, digest: str, path: str) -> Response:
    """Return one of the console's files.

    A page of another version, as while gateways are replaced, gets this version's file and keeps it for once.
    """
    files = web_files()
    found = files.by_path.get(path)
    if found is None:
        raise HTTPException(404)
    return _answer(request, found, {"Cache-Control": FOR_GOOD if digest == files.digest else "no-store"})


def _answer(request: Request, file: WebFile, headers: dict[str, str]) -> Response:
    """Return a file, compressed for those who take that."""
    headers = headers | {"Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.compressed, media_type=file.media_type, headers=headers | {"Content-Encoding": "gzip"})
    return Response(file.content, media_type=file.media_type, headers=headers)
