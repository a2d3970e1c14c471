"""Folds batch normalisations into the convolutions before them: one pass over a layer's values in place of two.

In evaluation a batch normalisation multiplies each channel by a constant and adds another, which a convolution's
weights and bias can do (Jacob et al. 2018, arXiv:1712.05877, section 3.2). Sums are rounded elsewhere, no more often:
scores change in their last digits.
"""

from operator import attrgetter
from typing import Any, Final

import torch
from torch.fx import GraphModule, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

from worker.models.flavours.graph_calls import arguments_of

_ATEN: Final = torch.ops.aten
_CONVOLUTIONS: Final = frozenset(
    getattr(convolution, overload)
    for convolution in (_ATEN.conv1d, _ATEN.conv2d, _ATEN.conv3d)
    for overload in ("default", "padding")
)
"""With padding as numbers, and as a word."""


def fold_batch_norms(module: GraphModule) -> int:
    """Fold what can be folded in an exported program's module, and return how many were.

    Left as they are: normalisations exported in training, those of values that are read elsewhere too, and those whose
    constants are no float32 of the module, or would become infinite.
    """
    normalisations = [node for node in module.graph.nodes if node.target is _ATEN.batch_norm.default]
    folded = sum(_fold(module, node) for node in normalisations)
    if folded:
        module.graph.eliminate_dead_code()
        module.graph.lint()
        module.recompile()
        _delete_unread(module)
    return folded


def _fold(module: GraphModule, normalisation: Node) -> bool:
    """Fold one normalisation into the convolution before it; return whether that could be done."""
    given = arguments_of(normalisation)
    convolution = given["input"]
    if given["training"] or convolution.target not in _CONVOLUTIONS or len(convolution.users) > 1:
        return False
    taken = arguments_of(convolution)
    nodes = (
        taken["weight"],
        taken["bias"],
        given["running_mean"],
        given["running_var"],
        given["weight"],
        given["bias"],
    )
    constants = [None if node is None else _float32(module, node) for node in nodes]
    if any(node is not None and constant is None for node, constant in zip(nodes, constants, strict=True)):
        return False
    weight, bias, mean, variance, scale, shift = (None if one is None else one.double() for one in constants)
    if weight is None or mean is None or variance is None:
        return False
    fused = fuse_conv_bn_weights(weight, bias, mean, variance, given["eps"], scale, shift)
    values = [one.detach().float() for one in fused]
    if not all(one.isfinite().all() for one in values):
        return False
    name = f"folded_{normalisation.name}"
    for kind, value in zip(("weight", "bias"), values, strict=True):
        module.register_parameter(f"{name}_{kind}", torch.nn.Parameter(value, requires_grad=False))
    with module.graph.inserting_before(convolution):
        folded = {kind: module.graph.get_attr(f"{name}_{kind}") for kind in ("weight", "bias")}
    convolution.args, convolution.kwargs = tuple({**taken, **folded}.values()), {}
    normalisation.replace_all_uses_with(convolution)
    module.graph.erase_node(normalisation)
    return True


def _float32(module: GraphModule, node: Node) -> torch.Tensor | None:
    """Return the tensor of float32 that a node of the graph reads from the module, None for any other."""
    if node.op != "get_attr":
        return None
    found: Any = attrgetter(str(node.target))(module)
    return found.detach() if isinstance(found, torch.Tensor) and found.dtype is torch.float32 else None


def _delete_unread(module: GraphModule) -> None:
    """Delete parameters and buffers that no node of the graph reads any more."""
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name, _ in [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]:
        if name not in read:
            owner, _, attribute = name.rpartition(".")
            delattr(module.get_submodule(owner), attribute)
