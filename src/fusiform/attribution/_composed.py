"""Functions written as sums, products and elementwise functions, so that a rule for these serves them too."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_EUCLIDEAN = (None, 2, 2.0, "fro")


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """See `torch.nn.functional.layer_norm`."""
    dims = tuple(range(-len(normalized_shape), 0))
    return _scaled(_standardised(input, dims, eps), weight, bias)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """See `torch.nn.functional.group_norm`."""
    grouped = input.reshape(len(input), num_groups, -1)
    out = _standardised(grouped, (2,), eps).reshape(input.shape)
    each = (1, -1) + (1,) * (input.dim() - 2)
    return _scaled(out, *(None if part is None else part.reshape(each) for part in (weight, bias)))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None) -> Any:
    """See `torch.nn.functional.normalize`."""
    if p != 2 or out is not None:
        return NotImplemented
    return input * (input * input).sum(dim, keepdim=True).sqrt().clamp(min=eps).reciprocal()


def norm(
    input: Tensor, p: Any = None, dim: Any = None, keepdim: bool = False, dtype: Any = None, **given: Any
) -> Any:
    """See `torch.Tensor.norm` and `torch.linalg.vector_norm`."""
    if given.pop("ord", p) not in _EUCLIDEAN or dtype is not None or given:
        return NotImplemented
    squares = input * input
    return (squares.sum() if dim is None else squares.sum(dim, keepdim=keepdim)).sqrt()


def div(input: Any, other: Tensor, *, rounding_mode: str | None = None, **given: Any) -> Any:
    """See `torch.div`."""
    return NotImplemented if rounding_mode is not None or given else input * other.reciprocal()


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """See `torch.nn.functional.scaled_dot_product_attention`."""
    if attn_mask is not None or is_causal or enable_gqa:
        return NotImplemented
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    weights = torch.softmax((query * factor) @ key.transpose(-2, -1), dim=-1)
    return weights @ value


COMPOSED: dict[str, Callable[..., Any]] = {
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "normalize": normalize,
    "norm": norm,
    "vector_norm": norm,
    "linalg_vector_norm": norm,
    "linalg_norm": norm,
    "div": div,
    "scaled_dot_product_attention": scaled_dot_product_attention,
}
"""By name; each takes what torch's own does and returns NotImplemented where it cannot stand in for it."""


def _standardised(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(dims, keepdim=True)
    return centred * ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
