"""References to schemas in the components of the OpenAPI document."""

from typing import Any, Final

from pydantic import BaseModel

Json = dict[str, Any]

REFERENCE: Final = "#/components/schemas/{model}"


def reference(model: type[BaseModel]) -> Json:
    """Return a reference to a schema in the document's components."""
    return {"$ref": REFERENCE.format(model=model.__name__)}
