"""Orders to change what serves: what is ordered of a model, and by whom."""

from dataclasses import dataclass
from typing import Any

from shared.domain.identifiers import ModelName, Owner, new_uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOrder:
    """What is ordered of a model, and by whom."""

    id: str
    model: ModelName
    change: str
    arguments: dict[str, Any]
    owner: Owner


def new_order(model: ModelName, change: str, arguments: dict[str, Any], *, owner: Owner) -> ModelOrder:
    """Return an order."""
    return ModelOrder(id=new_uuid7(), model=model, change=change, arguments=arguments, owner=owner)
