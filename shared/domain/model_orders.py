"""Orders to change what serves: what is ordered of a model, by whom, and until when it has to be begun."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.domain.identifiers import ModelName, Owner, new_uuid7
from shared.domain.timestamps import now_us


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOrder:
    """What is ordered of a model, and by whom; `expires` in microseconds. Not begun by then, it is not carried out."""

    id: str
    model: ModelName
    change: str
    arguments: dict[str, Any]
    owner: Owner
    expires: int


def new_order(
    model: ModelName, change: str, arguments: dict[str, Any], *, owner: Owner, patience: timedelta
) -> ModelOrder:
    """Return an order that has to be begun within `patience`."""
    expires = now_us() + patience // timedelta(microseconds=1)
    return ModelOrder(id=new_uuid7(), model=model, change=change, arguments=arguments, owner=owner, expires=expires)
