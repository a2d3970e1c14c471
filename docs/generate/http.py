"""`reference/http.md`, from the gateway's OpenAPI document: what operations take and answer, objects, problems."""

from collections.abc import Iterator
from typing import Any, Final

from api.http import problem_kinds
from api.http.problem_kinds import Kind
from api.main import create_app
from api.state.draining import Draining
from docs.generate.markdown import joined, opening, table

INTRODUCTION: Final = """
The gateway serves this document itself: `/openapi.json` for programs, `/docs` with a form for each call. Where it asks
for keys, send one as `Authorization: Bearer dk_…`. Every answer has an `X-Request-ID`.

Whatever is refused is answered with a *problem* ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)):
`application/problem+json` with `type`, `title`, `status`, `detail`, `instance` and facts of its kind. The kinds are
[listed below](#problems).
"""
Json = dict[str, Any]


def page() -> str:
    """Return the page."""
    document = create_app(Draining()).openapi()
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    everywhere = set.intersection(*({slug for _, slug in _problems(one)} for *_, one in operations))
    blocks = opening("HTTP API", "the gateway's OpenAPI document", INTRODUCTION)
    said = ", ".join(_link(slug) for slug in sorted(everywhere))
    blocks.append(f"Any operation may answer with {said}; these are not repeated below.")
    tag = ""
    for method, path, operation in operations:
        if operation["tags"][0] != tag:
            tag = operation["tags"][0]
            blocks.append(f"## {tag.capitalize()}")
        blocks += [f"### {method} {path}", *_operation(operation, everywhere)]
    blocks += ["## Objects", "Members that may be null say so; those in *italics* may be missing."]
    for name, schema in sorted(document["components"]["schemas"].items()):
        blocks += [f"### {name}", schema.get("description", ""), _members(schema)]
    blocks += ["## Problems", "A problem's `type` is `/problems/` and its kind.", _kinds()]
    return joined(blocks)


def _operation(operation: Json, everywhere: set[str]) -> list[str]:
    blocks = [f"**{operation['summary']}.** {operation.get('description', '')}"]
    if parameters := operation.get("parameters"):
        rows = [
            (f"`{one['name']}`", _place(one), _type(_schema(one)), one.get("description", "")) for one in parameters
        ]
        blocks.append(table(("parameter", "in", "type", "meaning"), rows))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        blocks += _body(media, content["schema"])
    answers = [
        (status, response["description"], _answer(response))
        for status, response in sorted(operation["responses"].items())
        if status < "400"
    ]
    blocks.append(table(("status", "answer", "body"), answers))
    problems = [f"{status} {_link(slug)}" for status, slug in _problems(operation) if slug not in everywhere]
    if problems:
        blocks.append(f"Problems: {', '.join(problems)}.")
    return blocks


def _body(media: str, schema: Json) -> Iterator[str]:
    if "properties" in schema:
        yield f"Body `{media}`:"
        yield _members(schema)
    else:
        yield f"Body `{media}`: {_type(schema)}. {schema.get('description', '')}".rstrip()


def _members(schema: Json) -> str:
    if "enum" in schema:
        return "One of " + ", ".join(f"`{word}`" for word in schema["enum"]) + "."
    needed = set(schema.get("required", ()))
    rows = [
        (f"`{name}`" if name in needed else f"*`{name}`*", _type(member), _meaning(member))
        for name, member in schema.get("properties", {}).items()
    ]
    return table(("member", "type", "meaning"), rows) if rows else _type(schema)


def _meaning(member: Json) -> str:
    said = [one["description"] for one in (member, *member.get("anyOf", ())) if "description" in one]
    return str(said[0]) if said else ""


def _place(parameter: Json) -> str:
    return parameter["in"] + ", needed" * bool(parameter.get("required"))


def _schema(parameter: Json) -> Json:
    found: Json = parameter.get("schema") or next(iter(parameter["content"].values()))["schema"]
    return found


def _type(schema: Json) -> str:
    """Return a schema's type in words, objects with a name as a link."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return f"[{name}](#{name.lower()})"
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(map(_type, choices)))
    if "enum" in schema:
        return " or ".join(f"`{word}`" for word in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = str(schema.get("type", "anything"))
    return {"binary": "bytes", "uri": "URL"}.get(schema.get("format", ""), kind)


def _answer(response: Json) -> str:
    content = response.get("content", {})
    return ", ".join(
        _type(one["schema"]) if media == "application/json" and "schema" in one else f"`{media}`"
        for media, one in content.items()
    )


def _problems(operation: Json) -> Iterator[tuple[str, str]]:
    """Go through the kinds of problem an operation answers with: status and slug."""
    for status, response in sorted(operation["responses"].items()):
        for content in response.get("content", {}).values():
            for slug, example in content.get("examples", {}).items():
                if str(example.get("value", {}).get("type", "")).startswith("/problems/"):
                    yield status, slug


def _link(slug: str) -> str:
    return f"[{slug}](#problems)"


def _kinds() -> str:
    kinds = [kind for kind in vars(problem_kinds).values() if isinstance(kind, Kind)]
    rows = [
        (str(kind.status), f"`{kind.slug}`", kind.title, kind.meaning)
        for kind in sorted(kinds, key=lambda kind: (kind.status, kind.slug))
    ]
    return table(("status", "kind", "title", "meaning"), rows)
