"""The three bodies of a submission; contradictions, excess and what can't be stored are refused.

Over 300 lines: it holds all tests of one module, whose name it has.
"""

import asyncio
import base64
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx
import orjson
import pytest
from fastapi import Request
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from api.http import problem_table
from api.state.body_memory import BodyMemory, MemoryHold
from api.uploads.bodies import FileUpload, Upload, read_file, read_prediction
from shared.domain.errors import BadRequest, DarkroomError, ImageTooLarge, InvalidParameter, UnsupportedImage
from shared.domain.identifiers import ANYONE
from shared.domain.webhooks import SENT_UNASKED, Event, Webhook
from shared.settings import Intake
from tests.support.damaged_files import damaged

T = TypeVar("T")
FUZZING = settings(derandomize=True, max_examples=150)
IMAGE = b"\x89PNG\r\n\x1a\n and then some"
HOOK = "https://example.com/hook?token=1"
LIMITS = Intake(max_image_bytes=1000)


def a_hold() -> MemoryHold:
    return BodyMemory(LIMITS).hold(ANYONE)


def a_request(
    body: bytes | list[bytes],
    content_type: str | None,
    *,
    query: dict[str, str] | str = "",
    declared: int | None = None,
    leaves: bool = False,
) -> Request:
    """Make a request whose body arrives in pieces."""
    pieces = [body] if isinstance(body, bytes) else body
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b""})
    if len(pieces) == 1 and not leaves:
        messages = [{"type": "http.request", "body": pieces[0], "more_body": False}]
    headers = [(b"content-length", str(sum(map(len, pieces)) if declared is None else declared).encode())]
    if content_type is not None:
        headers.append((b"content-type", content_type.encode("latin-1")))

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/predictions",
        "query_string": (query if isinstance(query, str) else urlencode(query)).encode(),
        "headers": headers,
    }
    return Request(scope, receive)


def read(body: bytes | list[bytes], content_type: str | None, **rest: Any) -> Upload:
    return asyncio.run(read_prediction(a_request(body, content_type, **rest), limits=LIMITS, hold=a_hold()))


def form(fields: Any, files: Any = (("image", ("7.png", IMAGE, "image/png")),)) -> tuple[bytes, str]:
    """Encode a form as httpx does."""
    request = httpx.Request("POST", "http://test", data=fields, files=list(files))
    return request.read(), request.headers["content-type"]


def as_json(**members: Any) -> tuple[bytes, str]:
    return orjson.dumps(members), "application/json"


def data_url(image: bytes = IMAGE) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def refused(error: type[DarkroomError], *given: Any, **rest: Any) -> Any:
    with pytest.raises(error) as raised:
        read(*given, **rest)
    return raised.value


# The raw body


def test_a_raw_body_is_the_image_itself_without_a_copy() -> None:
    upload = read(IMAGE, "image/png")
    assert upload.image is IMAGE
    assert upload.fields.model is None


def test_a_raw_body_in_pieces_is_joined_and_named_by_the_query() -> None:
    upload = read(
        [IMAGE[:5], IMAGE[5:]],
        "application/octet-stream",
        query={"model": "digits@champion", "priority": "bulk", "metadata": '{"a": 1}'},
    )
    assert upload.image == IMAGE
    assert (upload.fields.model, upload.fields.priority) == ("digits@champion", "bulk")
    assert upload.fields.metadata == {"a": 1}


def test_a_declared_length_over_the_limit_is_refused_unread() -> None:
    error = refused(ImageTooLarge, b"", "image/png", declared=50_000_000)
    assert (error.size, error.limit) == (50_000_000, 1000)


def test_a_body_that_grows_over_the_limit_is_refused() -> None:
    refused(ImageTooLarge, [b"x" * 600, b"y" * 600, b"never read"], "image/png", declared=5)


@pytest.mark.parametrize("content_type", ["image/png", "application/json", "multipart/form-data; boundary=x", None])
def test_an_empty_body_is_a_bad_request(content_type: str | None) -> None:
    refused(BadRequest, b"", content_type)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/pdf", None])
def test_other_bodies_are_unsupported(content_type: str | None) -> None:
    assert "application/json" in refused(UnsupportedImage, b"hello", content_type).supported


def test_a_client_that_leaves_midway_ends_the_reading() -> None:
    with pytest.raises(ClientDisconnect):
        read([IMAGE], "image/png", leaves=True)


# The form


def test_a_form_has_the_image_and_the_fields() -> None:
    body, content_type = form({"model": "digits", "metadata": '{"a": "b"}', "unknown": "ignored"})
    upload = read([body[:100], body[100:]], content_type)
    assert (upload.image, upload.filename, upload.content_type) == (IMAGE, "7.png", "image/png")
    assert (upload.fields.model, upload.fields.metadata) == ("digits", {"a": "b"})


def test_a_form_needs_exactly_one_image_with_content() -> None:
    refused(BadRequest, *form({}, [("image", ("a.png", IMAGE)), ("image", ("b.png", IMAGE))]))
    refused(BadRequest, *form({}, [("image", ("a.png", b""))]))
    assert refused(InvalidParameter, *form({}, [("picture", ("a.png", IMAGE))])).pointer == "/image"


def test_an_image_over_the_limit_in_a_form_is_left_to_the_image_check() -> None:
    # The form may be larger than the image by its other fields; the image itself is measured where it is checked.
    assert len(read(*form({}, [("image", ("a.png", bytes(1500)))])).image) == 1500
    refused(ImageTooLarge, *form({}, [("image", ("a.png", bytes(80_000)))]))


# JSON


@pytest.mark.parametrize(
    "url",
    [
        data_url(),
        data_url().replace("base64,", "BASE64,").replace("data:", "DATA:"),
        "data:;base64," + base64.b64encode(IMAGE).decode().rstrip("="),
        "data:image/png;base64," + base64.urlsafe_b64encode(IMAGE).decode(),
        "data:image/png;base64," + quote(base64.encodebytes(IMAGE).decode()),
        "data:image/png," + quote(IMAGE),
        "data:image/png;name=7.png;base64," + base64.b64encode(IMAGE).decode(),
    ],
)
def test_a_data_url_is_decoded_to_the_image(url: str) -> None:
    assert read(*as_json(input={"image": url}, model="digits")).image == IMAGE


@pytest.mark.parametrize("host", ["http://127.0.0.1:8000", "https://files.example", "http://old-host/prefix"])
def test_a_files_url_is_a_reference_whatever_its_host(host: str) -> None:
    upload = read(*as_json(input={"image": f"{host}/v1/files/0193d5a2-7b1c-7c3e-9d55-3f6f2a0c9b11?x=1"}))
    assert (upload.image, upload.fields.file_reference) == (b"", "0193d5a2-7b1c-7c3e-9d55-3f6f2a0c9b11")


@pytest.mark.parametrize(
    "image",
    [
        "https://example.com/cat.png",
        "http://127.0.0.1/v1/files",
        "http://127.0.0.1/v1/files/a/b",
        "file:///v1/files/x",
        "/etc/passwd",
        "http://[broken/v1/files/x",
        "data:image/png;base64",
        "data:image/png;base64,****",
        "data:image/png;base64,AAAAA",
        "",
        None,
        7,
    ],
)
def test_any_other_image_value_is_refused_with_its_pointer(image: Any) -> None:
    assert refused(InvalidParameter, *as_json(input={"image": image})).pointer == "/input/image"


@pytest.mark.parametrize("members", [{}, {"input": None}, {"input": []}, {"input": {}}])
def test_json_without_an_image_is_refused_with_its_pointer(members: dict[str, Any]) -> None:
    assert refused(InvalidParameter, *as_json(**members)).pointer == "/input/image"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b'{"input": NaN}', b"[" * 5000])
def test_bad_json_is_a_bad_request(body: bytes) -> None:
    refused(BadRequest, body, "application/json; charset=utf-8")


def test_unknown_members_are_ignored() -> None:
    upload = read(*as_json(input={"image": data_url(), "secret": "s"}, stream=True, webhook_completed="x"))
    assert "secret" not in repr(upload)
    assert upload.fields.metadata == {}


def test_json_may_be_as_much_longer_as_base64_is() -> None:
    assert len(read(*as_json(input={"image": data_url(bytes(1000))})).image) == 1000
    refused(ImageTooLarge, *as_json(input={"image": data_url(bytes(1001))}))
    refused(ImageTooLarge, *as_json(input={"image": data_url(bytes(90_000))}))


# What all three share


def bodies(**fields: Any) -> list[tuple[bytes, str, dict[str, str]]]:
    texts = {name: v if isinstance(v, str) else orjson.dumps(v).decode() for name, v in fields.items()}
    return [
        (IMAGE, "image/png", texts),
        (*form(texts), {}),
        (*as_json(input={"image": data_url()}, **fields), {}),
    ]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"priority": "urgent"}, "/priority"),
        ({"model": "m" * 300}, "/model"),
        ({"model": "nul\0"}, "/model"),
        ({"webhook": "example.com/hook"}, "/webhook"),
        ({"webhook": "ftp://example.com/hook"}, "/webhook"),
        ({"webhook": "https://user@example.com/hook"}, "/webhook"),
        ({"webhook": "https://example.com/nul\0"}, "/webhook"),
        ({"webhook": f"https://example.com/{'x' * 2048}"}, "/webhook"),
        ({"webhook": "https://example.com/hook", "webhook_events_filter": "end"}, "/webhook_events_filter"),
        ({"metadata": [1]}, "/metadata"),
        ({"metadata": {"a": "x" * 4096}}, "/metadata"),
        ({"metadata": {"a": ["nul\0"]}}, "/metadata"),
        ({"metadata": {"nul\0": 1}}, "/metadata"),
        ({"metadata": "{"}, "/metadata"),
        ({"metadata": '{"a": NaN}'}, "/metadata"),
        ({"metadata": '{"a": "\\ud800"}'}, "/metadata"),
        ({"metadata": '{"a": 1e999}'}, "/metadata"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_in_every_body(fields: dict[str, Any], pointer: str) -> None:
    for body, content_type, query in bodies(**fields):
        assert refused(InvalidParameter, body, content_type, query=query).pointer == pointer


def test_metadata_may_look_like_an_escape() -> None:
    for body, content_type, query in bodies(metadata={"a": "\\u0000", "deep": {"er": [1, 2.5, None, True]}}):
        assert read(body, content_type, query=query).fields.metadata["a"] == "\\u0000"


def test_metadata_nested_too_deeply_is_refused() -> None:
    deep = b'{"a":' * 400 + b"1" + b"}" * 400
    assert refused(InvalidParameter, *form({"metadata": deep.decode()})).pointer == "/metadata"


def test_a_lone_surrogate_in_json_metadata_is_refused_with_its_pointer() -> None:
    body = b'{"input": {"image": "x"}, "metadata": {"a": "\\uD800"}}'
    assert refused(InvalidParameter, body, "application/json").pointer == "/metadata"
    refused(BadRequest, b'{"model": "\\ud800"}', "application/json")


def test_a_query_that_contradicts_the_body_is_a_bad_request() -> None:
    for body, content_type, _ in bodies(model="digits", metadata={"a": 1, "b": 2})[1:]:
        refused(BadRequest, body, content_type, query={"model": "letters"})
        same = {"model": "digits", "metadata": '{"b":2,"a":1}', "priority": "bulk"}
        assert read(body, content_type, query=same).fields.priority == "bulk"


def test_a_query_that_contradicts_itself_is_a_bad_request() -> None:
    refused(BadRequest, IMAGE, "image/png", query="model=a&model=b")


def test_empty_values_count_as_omitted() -> None:
    for body, content_type, query in bodies(model="", webhook="", version="", metadata=""):
        assert read(body, content_type, query=query).fields.model is None


def webhook_of(body: bytes, content_type: str, **rest: Any) -> Webhook | None:
    return read(body, content_type, **rest).fields.webhook


@pytest.mark.parametrize(
    ("given", "events"),
    [([], ["start", "completed"]), (["completed"], ["completed"]), (["logs", "start", "start"], ["start"])],
)
def test_a_webhook_and_its_events_come_in_every_body(given: list[str], events: list[str]) -> None:
    wanted = Webhook(HOOK, frozenset(map(Event, events)))
    fields = {"webhook": HOOK, "webhook_events_filter": given}
    assert webhook_of(IMAGE, "image/png", query=urlencode(fields, doseq=True)) == wanted
    assert webhook_of(*form(fields)) == wanted
    assert webhook_of(*as_json(input={"image": data_url()}, **fields)) == wanted


@pytest.mark.parametrize("events", [None, "", [], "start", ["start"]])
def test_the_events_in_json_are_a_list_or_one_or_all(events: Any) -> None:
    wanted = frozenset({Event.START} if events in ("start", ["start"]) else SENT_UNASKED)
    members = {"input": {"image": data_url()}, "webhook": HOOK, "webhook_events_filter": events}
    assert webhook_of(*as_json(**members)) == Webhook(HOOK, wanted)


@pytest.mark.parametrize("events", [7, {}, [["start"]], [None], ["start"] * 21, ["start", "end"]])
def test_unknown_events_beside_a_webhook_are_refused_with_their_pointer(events: Any) -> None:
    members = {"input": {"image": data_url()}, "webhook_events_filter": events}
    error = refused(InvalidParameter, *as_json(**members, webhook=HOOK))
    assert error.pointer == "/webhook_events_filter"
    for nobody in (None, ""):
        assert webhook_of(*as_json(**members, webhook=nobody)) is None
    assert webhook_of(*as_json(**members)) is None


@pytest.mark.parametrize("webhook", [7, True, [HOOK], {"url": HOOK}])
def test_a_webhook_that_is_no_text_is_refused_with_its_pointer(webhook: Any) -> None:
    members = {"input": {"image": data_url()}, "webhook": webhook}
    assert refused(InvalidParameter, *as_json(**members)).pointer == "/webhook"


def test_two_webhooks_are_refused_and_events_are_merged() -> None:
    for body, content_type, _ in bodies(webhook=HOOK, webhook_events_filter="start")[1:]:
        refused(BadRequest, body, content_type, query={"webhook": f"{HOOK}/2"})
        both = webhook_of(body, content_type, query={"webhook": HOOK, "webhook_events_filter": "completed"})
        assert both == Webhook(HOOK, SENT_UNASKED)


# Files


def read_upload(body: bytes, content_type: str) -> FileUpload:
    return asyncio.run(read_file(a_request(body, content_type), limits=LIMITS, hold=a_hold()))


@pytest.mark.parametrize(
    "metadata", [("metadata", (None, '{"a": 1}')), ("metadata", ("blob", b'{"a": 1}', "application/json"))]
)
def test_a_files_metadata_is_a_text_field_or_a_json_file(metadata: Any) -> None:
    upload = read_upload(*form({}, [("content", ("dir/7.png", IMAGE, "image/png")), metadata]))
    assert (upload.content, upload.name, upload.metadata) == (IMAGE, "7.png", {"a": 1})


def test_a_file_has_one_metadata() -> None:
    body, content_type = form({"metadata": ['{"a": 1}', '{"a": 2}']}, [("content", ("7.png", IMAGE))])
    with pytest.raises(BadRequest):
        read_upload(body, content_type)


def test_a_file_needs_content_within_the_limit() -> None:
    for error, parts in (
        (InvalidParameter, [("image", ("a", IMAGE))]),
        (BadRequest, [("content", ("a", b""))]),
        (ImageTooLarge, [("content", ("a", bytes(1001)))]),
    ):
        with pytest.raises(error):
            read_upload(*form({}, parts))
    with pytest.raises(UnsupportedImage):
        read_upload(IMAGE, "image/png")


# Arbitrary input

PROPER = bodies(model="digits", metadata={"a": [1, "b"]}, webhook=HOOK, webhook_events_filter=["start"])
PROPER[0][2]["webhook_events_filter"] = "start"


def outcome(reading: Coroutine[Any, Any, T]) -> T | tuple[str, str]:
    """Return what is read, or which of the contract's errors is raised; fails at any other."""
    try:
        return asyncio.run(reading)
    except DarkroomError as error:
        return type(error).__name__, problem_table.error_words(error)


@FUZZING
@given(
    st.binary(max_size=80), st.sampled_from([b"", *[kind.encode() for _, kind, _ in PROPER], b"multipart/form-data;"])
)
def test_no_content_type_raises_anything_else(rest: bytes, start: bytes) -> None:
    for body, _, query in PROPER:
        content_type = (start + rest).decode("latin-1")
        outcome(read_prediction(a_request(body, content_type, query=query), limits=LIMITS, hold=a_hold()))
        outcome(read_file(a_request(body, content_type), limits=LIMITS, hold=a_hold()))


@FUZZING
@given(damaged([body for body, _, _ in PROPER]), st.sampled_from(PROPER), st.lists(st.integers(0, 900), max_size=6))
def test_bodies_raise_only_refusals_and_cuts_change_nothing(
    body: bytes, proper: tuple[bytes, str, dict[str, str]], places: list[int]
) -> None:
    _, content_type, query = proper
    cuts = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    pieces = [body[start:end] for start, end in pairwise(cuts)]
    for read_it in (read_prediction, read_file):
        whole = outcome(read_it(a_request(body, content_type, query=query), limits=LIMITS, hold=a_hold()))
        assert outcome(read_it(a_request(pieces, content_type, query=query), limits=LIMITS, hold=a_hold())) == whole


@FUZZING
@given(st.binary(max_size=60))
def test_no_query_raises_anything_else(query: bytes) -> None:
    for name in (b"", b"model=", b"metadata=", b"webhook=", b"webhook_events_filter=", b"priority="):
        text = (name + query).decode("latin-1").encode()
        request = a_request(IMAGE, "image/png", query=quote(text, safe="=&%;+"))
        outcome(read_prediction(request, limits=LIMITS, hold=a_hold()))


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]"])
def test_the_image_field_may_have_list_brackets(name: str) -> None:
    assert read(*form({}, [(name, ("7.png", IMAGE, "image/png"))])).image == IMAGE


def test_an_image_under_two_of_its_names_is_two_images() -> None:
    files = [(name, ("7.png", IMAGE, "image/png")) for name in ("image", "image[]")]
    refused(BadRequest, *form({}, files))


@pytest.mark.parametrize("name", ["webhook_events_filter", "webhook_events_filter[]", "webhook_events_filter[0]"])
def test_the_event_filter_field_may_have_list_brackets(name: str) -> None:
    for given_form in (form({"webhook": HOOK, name: "start"}), form({"webhook": HOOK, name: ["start"]})):
        assert read(*given_form).fields.webhook == Webhook(HOOK, frozenset({Event.START}))
    assert read(IMAGE, "image/png", query={"webhook": HOOK, name: "start"}).fields.webhook is not None


@pytest.mark.parametrize("field", ["metadata", "model", "webhook"])
def test_fields_are_limited_before_they_are_parsed(field: str) -> None:
    text = "[" * 70_000
    assert "bytes" in refused_large(BadRequest, *form({field: text})).detail


def test_a_files_metadata_is_limited_before_it_is_parsed() -> None:
    files = [("content", ("7.png", IMAGE, "image/png")), ("metadata", ("m.json", b"{" * 70_000, "application/json"))]
    with pytest.raises(BadRequest, match="bytes"):
        asyncio.run(read_file(a_request(*form({}, files)), limits=Intake(), hold=a_hold()))


def refused_large(error: type[DarkroomError], *given: Any) -> Any:
    with pytest.raises(error) as raised:
        asyncio.run(read_prediction(a_request(*given), limits=Intake(), hold=a_hold()))
    return raised.value


@pytest.mark.parametrize("name", ["metadata", "model", "version", "webhook", "priority"])
def test_a_long_text_beside_the_image_is_refused_with_its_pointer(name: str) -> None:
    members = {"input": {"image": data_url()}, name: {"a": "x" * 200_000} if name == "metadata" else "x" * 200_000}
    assert refused_large(InvalidParameter, *as_json(**members)).pointer == f"/{name}"


def test_a_long_text_elsewhere_is_ignored() -> None:
    body, kind = as_json(input={"image": data_url(), "mask": "x" * 200_000}, other=["x" * 200_000])
    upload = asyncio.run(read_prediction(a_request(body, kind), limits=Intake(), hold=a_hold()))
    assert upload.image == IMAGE


def test_a_json_object_may_start_with_a_byte_order_mark() -> None:
    body, kind = as_json(input={"image": data_url()})
    assert read(b"\xef\xbb\xbf" + body, kind).image == IMAGE
