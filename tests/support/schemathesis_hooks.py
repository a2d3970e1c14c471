"""Schemathesis hooks: real images for request bodies, and which findings to ignore.

Loaded by Schemathesis (`hooks` in schemathesis.toml), which runs in a process of its own.
"""

import gc
import hashlib
import io
import os
import re
import tarfile
import zipfile
from http import HTTPStatus
from typing import Any, Final

import schemathesis
from hypothesis import strategies as st
from PIL import Image
from schemathesis import Case, GenerationMode, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import AllowHeaderMismatch, EnsureResourceAvailability, RejectedPositiveData

from shared.domain.identifiers import is_uuid
from shared.domain.webhooks import check_webhook_url
from tests.support.pictures import data_url, encoded

# What was imported stays: going through it again and again took a tenth of the time.
gc.freeze()
gc.set_threshold(50_000)

HOOK: Final = os.environ["FUZZING_HOOK"]
"""Where all webhooks go: nobody out there is told of what is tried here."""
KEY_ID: Final = os.environ["FUZZING_KEY_ID"]
"""The id of the key that all requests have."""
UNKNOWN_ID: Final = "00000000-0000-7000-8000-000000000000"
LINES: Final = "application/x-ndjson"
MODEL: Final = "digits"
"""The model that serves here."""
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
PICTURES: Final = [
    encoded(Image.new("RGB", (8, 8), (249, number, 77)), FORMATS[number % len(FORMATS)]) for number in range(24)
]
REFUSALS: Final = re.compile(
    "|".join(
        [
            "is given twice, with different values",  # a query that contradicts the body
            "^the upload holds no image$",  # lines, all of them empty
            "^the CSV.s first line names no column",
            "holds a character that can.t be stored",
            "^exactly one of label, value and boxes is needed",
            "^a box has a label and four numbers of pixels, 0 ≤ x1 < x2",
            "^give model or models, not both$",
            "^(it|then) names no model$",  # a pipeline's other fields alone
            "is named twice$|models are named, at most|^weights must be ",  # of the members of a chain together
            "^since: must be ",  # an instant or an age
            "^versions must be separated by commas",
            r"^feedback on an? \w+ is given as ",
            "^model .* and version .* contradict$",
            r"^metadata has \d+ bytes, at most",
            "holds the character U\\+0000",
            "^the path holds a control character$",
            r"^no image of \w+ \S+ is kept",  # what failed there were lines without an image
            "^owner must be the caller.s own",  # of an API key
            "the limit of the key that makes this one$",  # of an API key
            "^steps must be rising",  # of a canary
            "^metadata is nested too deeply",
            "is over 7 days$|more than no time at all$",  # Cancel-After
        ]
    )
)
"""Why a request that the document allows may be refused: what lies between two of its parts, and what it measures."""


def an_archive(kind: str) -> bytes:
    """Return a zip, tar (`w`) or tar.gz (`w:gz`) of three pictures."""
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            for number, data in enumerate(PICTURES[:3]):
                archive.writestr(zipfile.ZipInfo(f"{number}.png"), data)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode=kind) as tar:  # type: ignore[call-overload]
        for number, data in enumerate(PICTURES[:3]):
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


ARCHIVES: Final = [an_archive(kind) for kind in ("zip", "w", "w:gz")]
schemathesis.openapi.media_type("image/*", st.sampled_from(PICTURES), aliases=["application/octet-stream"])


@schemathesis.serializer(LINES)
def write_lines(_: object, value: Any) -> bytes:
    """Write a body of lines."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(_: HookContext, case: Case, __: dict[str, Any]) -> None:
    """Point webhooks to the test's receiver; make the parts of a valid request, drawn one by one, consistent."""
    proper = case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE
    query, body = dict(case.query or {}), dict(case.body) if isinstance(case.body, dict) else {}
    if proper:
        _make_sense(query, body, number=_number(case, query, body))
        # It takes the ids of answers for names of models, which below the same path have none.
        if is_uuid(str((case.path_parameters or {}).get("name", ""))):
            case.path_parameters["name"] = MODEL
    if KEY_ID and (case.path_parameters or {}).get("id") == KEY_ID:
        case.path_parameters["id"] = UNKNOWN_ID
    for parameters in (query, body):
        if _is_hook(parameters.get("webhook")):
            parameters["webhook"] = HOOK
    case.query = query
    if isinstance(case.body, dict):
        case.body = body
    if proper and "Idempotency-Key" in (case.headers or {}):  # a key is one request's; drawn again, it is sent again
        case.headers["Idempotency-Key"] = f"{_number(case, query, body):x}"
    case._record_starting_state()  # else bytes, which no JSON schema allows, would make it an improper one


def _number(case: Case, query: dict[str, Any], body: dict[str, Any]) -> int:
    """Return a number that is always this request's."""
    facts = (case.operation.label, case.path_parameters, case.media_type, query, body or case.body)
    facts += ((case.headers or {}).get("Cancel-After"),)
    return int(hashlib.sha256(repr(facts).encode()).hexdigest()[:16], 16)


def _make_sense(query: dict[str, Any], body: dict[str, Any], *, number: int) -> None:
    for name in body.keys() & query.keys():
        del query[name]
    if body.keys() >= {"images", "archive"}:  # the examples, which are put together past the schema's "one of"
        del body[("images", "archive")[number % 2]]
    if "images" in body:
        body["images"] = [PICTURES[(number + place) % len(PICTURES)] for place, _ in enumerate(body.pop("images"))]
    if "archive" in body:
        del body["archive"]  # the files come last
        body["archive"] = ARCHIVES[number % len(ARCHIVES)]
    if isinstance(body.get("input"), dict) and body["input"].get("image"):
        body["input"] = {**body["input"], "image": data_url(PICTURES[number % len(PICTURES)])}


def _is_hook(value: object) -> bool:
    try:
        check_webhook_url(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


@schemathesis.hook
def filter_failure(_: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Tell whether a finding counts: not if the document can't express it, or if it is accepted on purpose."""
    if isinstance(failure, RejectedPositiveData):
        return not REFUSALS.search(response.json()["detail"])
    if isinstance(failure, AllowHeaderMismatch):
        # GET there reads the model of this name of an owner: another path of the document.
        return not re.fullmatch(r"/v1/models/\{name\}/\w+", case.operation.path)
    if isinstance(failure, EnsureResourceAvailability):
        return not case.operation.path.endswith("/mask")  # the model that serves here makes none
    if isinstance(failure, AcceptedNegativeData) and response.status_code == HTTPStatus.GONE:
        return False  # it is refused; Schemathesis does not count this status as a refusal
    return not (isinstance(failure, AcceptedNegativeData) and _is_forgiven(case))


def _is_forgiven(case: Case) -> bool:
    """Tell whether an invalid request may be accepted."""
    given = dict(case.query or {}) | (case.body if isinstance(case.body, dict) else {})
    if any(given.get(name) in ("", []) for name in ("metadata", "webhook")):
        return True  # forms send their empty fields; a list of nothing isn't even sent
    if "webhook_events_filter" in given and not given.get("webhook"):
        return True  # events that are not sent
    # Any text is lines: one that can't be used is an image that failed.
    return (
        case.media_type == LINES
        and case.meta is not None
        and not any(
            component.mode is GenerationMode.NEGATIVE
            for location, component in case.meta.components.items()
            if location is not ParameterLocation.BODY
        )
    )
