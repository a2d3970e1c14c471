"""Calls of operators in the graph of an exported program."""

from typing import Any

import torch
from torch.fx import Node


def arguments_of(node: Node) -> dict[str, Any]:
    """Return a call's arguments by name, also those that it leaves out, in their order; none for another node."""
    if not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001  nothing public has the arguments' names
        return {}
    arguments = node.target._schema.arguments  # noqa: SLF001
    given = dict(zip((one.name for one in arguments), node.args, strict=False))
    return {**{one.name: one.default_value for one in arguments}, **given, **node.kwargs}
