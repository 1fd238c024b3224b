"""From the name of a torch function to the part it plays in a network."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from torch import Tensor, nn

# These keep every number of their first argument.
_SAME = (
    "view view_as reshape reshape_as flatten unflatten ravel squeeze unsqueeze contiguous clone detach to type type_as "
    "float double half cpu cuda dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout identity "
    "requires_grad"
)
# These select, repeat or reorder numbers, or only say something about a tensor.
_MOVED = (
    "permute transpose swapaxes swapdims movedim moveaxis t adjoint get set getitem setitem size dim ndimension numel "
    "stride expand expand_as broadcast_to bfloat16 chunk split tensor_split unsafe_chunk split_with_sizes unbind select "
    "narrow index_select gather take_along_dim as_strided pad constant_pad_nd tile repeat repeat_interleave roll flip "
    "rot90 unfold is_contiguous is_floating_point atleast_1d atleast_2d atleast_3d nan_to_num copy"
)
SAME_NUMBERS = frozenset(_SAME.split())
# None of these functions is a layer of its own.
BOOKKEEPING = SAME_NUMBERS | frozenset(_MOVED.split())

_ALIASES = {
    "rsub": "sub",
    "subtract": "sub",
    "radd": "add",
    "iadd": "add",
    "rmul": "mul",
    "multiply": "mul",
    "rdiv": "div",
    "rtruediv": "div",
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "rpow": "pow",
    "rmatmul": "matmul",
    "concat": "cat",
    "concatenate": "cat",
    "clip": "clamp",
    "clamp_min": "clamp",
    "clamp_max": "clamp",
}

_ROLES: dict[str, str] = {}
for _role, _names in {
    "conv": "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution conv_tbc",
    "norm": "batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm normalize native_layer_norm",
    "activation": "relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh "
    "sigmoid tanh softplus softsign logsigmoid threshold glu clamp hardshrink softshrink tanhshrink",
    "softmax": "softmax log_softmax softmin gumbel_softmax",
    "fc": "linear addmm bilinear",
    "attention": "scaled_dot_product_attention multi_head_attention_forward",
}.items():
    _ROLES.update(dict.fromkeys(_names.split(), _role))

# Where a module of somebody's own calls several functions, the first of these names what it is.
PRIORITY = (
    "attention",
    "conv",
    "residual_sum",
    "concat",
    "max_feature_map",
    "fc",
    "norm",
    "pool",
    "softmax",
    "activation",
    "other",
)


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    name = name.strip("_").removesuffix("_with_indices")
    return _ALIASES.get(name, name)


def op_name(function: Any) -> str:
    """Name a torch function as it stands in layer names: ``Tensor.add_`` and ``torch.add`` are ``add``."""
    return _plain(getattr(function, "__name__", type(function).__name__))


def op_role(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], nodes: Mapping[int, int]) -> str | None:
    """Say which part a function call plays; None for bookkeeping.

    Parameters
    ----------
    op : str
        Name from `op_name`.
    args, kwargs : sequence, mapping
        What the function was called with.
    nodes : mapping
        From ``id(tensor)`` to a number, for the tensors that derive from the network's input.
    """
    if op in BOOKKEEPING:
        return None
    if op in _ROLES:
        return _ROLES[op]
    if "pool" in op:
        return "pool"
    operands = [a for a in (*args[:2], kwargs.get("other"), kwargs.get("input")) if isinstance(a, Tensor)]
    derived = [nodes[id(a)] for a in operands if id(a) in nodes]
    alike = len(derived) == 2 and len(set(derived)) == 2 and operands[0].shape == operands[1].shape
    if op == "add":
        return "residual_sum" if alike else "other"
    if op in ("max", "maximum", "fmax") and len(operands) == 2:
        return "max_feature_map" if alike else "activation"
    if op in ("minimum", "fmin") and len(operands) == 2 and len(derived) == 1:
        return "activation"
    if op == "cat":
        parts = args[0] if args else kwargs.get("tensors", ())
        return "concat" if sum(id(p) in nodes for p in parts) > 1 else "other"
    if op in ("matmul", "mm", "bmm"):
        return "fc" if len(derived) == 1 else "other"
    if op in ("mean", "sum", "amax", "max") and operands:
        return _reduction(op, operands[0].dim(), args, kwargs)
    return "other"


def _reduction(op: str, ndim: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Tell pooling over positions from a maximum over channels (or over groups of channels)."""
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if dims is None or ndim < 3:
        return "other"
    numbers = {int(d) % ndim for d in (dims if isinstance(dims, tuple | list) else (dims,))}
    if numbers == {0} and op != "mean":
        # The first axis holds the batch, unless it is one of stacked activations (as ONNX's Max and Sum become).
        return "residual_sum" if op == "sum" else "max_feature_map"
    over_positions = numbers <= ({1, 2} if ndim == 3 else set(range(2, ndim)))
    if over_positions and not (ndim == 5 and op in ("amax", "max")):
        return "pool"
    return "max_feature_map" if op in ("amax", "max") else "other"


def class_role(module: nn.Module) -> str | None:
    """Role of a module with children of its own that still is one of torch's layers by class."""
    if isinstance(module, nn.modules.conv._ConvNd):
        return "conv"
    if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
        return "norm"
    return "fc" if isinstance(module, nn.Linear) else None
