from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from fusiform.perturbation._incremental_patch import Patches, whole

Rule = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]

RULES: dict[str, Rule] = {}


class NotIncrementalError(Exception):
    """The network does what patches cannot follow."""


class Bases:
    """The activations of the unperturbed image, computed in the first pass and known in all later ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Tensor] = {}
        self._calls: Counter[tuple[object, ...]] = Counter()

    def begin(self) -> None:
        """Begin another pass."""
        self._calls.clear()

    def after(self, function: object, bases: tuple[Tensor, ...], compute: Callable[[], Tensor]) -> Tensor:
        """Return what a function makes of bases; which call of it on them this is tells its parameters apart."""
        key = (function, *map(id, bases))
        self._calls[key] += 1
        return self.once((*key, self._calls[key]), compute)

    def once(self, key: tuple[object, ...], compute: Callable[[], Tensor]) -> Tensor:
        """Return what is known under a key."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]


class PatchedTensor(Tensor):
    """Looks like a tensor (k, c, h, w) and holds `Patches`; a function without a rule is given it whole."""

    held: Patches
    bases: Bases
    aliased: bool  # whether another tensor looks at the same values

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Patches, bases: Bases, *, aliased: bool = False) -> "PatchedTensor":
        self: PatchedTensor = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, dtype=held.values.dtype, device=held.values.device
        )
        self.held, self.bases, self.aliased = held, bases, aliased
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"PatchedTensor({tuple(self.shape)}, patches of {self.held.size})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        into_given = func._overloadname.endswith("out")
        rule = None if into_given else RULES.get(func.overloadpacket.__name__)
        result = NotImplemented if rule is None else rule(func, args, kwargs or {})
        return _whole_call(func, args, kwargs or {}) if result is NotImplemented else result


def _whole_call(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not any(a.alias_info is not None for a in func._schema.arguments):
        return func(*tree_map(_contiguous, args), **tree_map(_contiguous, kwargs))
    # What is written to, or looked at from elsewhere, must be memory that stays.
    patched = [a for a in tree_leaves((args, kwargs)) if isinstance(a, PatchedTensor)]
    for tensor in patched:
        if tensor.held.base is not None or not tensor.held.values.is_contiguous():
            refuse_aliased(tensor)
            tensor.held = whole(_contiguous(tensor))
    result = func(*tree_map(_contiguous, args), **tree_map(_contiguous, kwargs))
    return next((t for t in patched if t.held.values is result), result)


def _contiguous(value: Any) -> Any:
    return value.held.whole().contiguous() if isinstance(value, PatchedTensor) else value


def refuse_aliased(tensor: PatchedTensor) -> None:
    """Refuse to replace the values of a tensor that another one looks at."""
    if tensor.aliased:
        raise NotIncrementalError(f"{tensor!r} is a view, or has one, and is changed in place.")
