"""Methods by name, and what each of them is given."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import AttributionError, SpecError, nearest
from fusiform.networks import FaceNetwork
from fusiform.runs import Progress
from fusiform.targets import Target

Family = Literal["perturbation", "gradient", "propagation"]

_FEW = 32  # images whose gradients are formed at once


@dataclass(frozen=True)
class Call:
    """What a method is given: checked inputs, and how to work.

    Randomness is drawn from `seed` once and shared by all images, so that a batch of one equals its row in a
    batch of many.
    """

    net: FaceNetwork
    x: Float[Tensor, "n c h w"]
    target: Target
    seed: int = 0
    batch_size: int | None = None
    memory_gb: float = 4.0
    progress: Progress | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the inputs."""
        return (self.x.shape[2], self.x.shape[3])

    def generator(self) -> torch.Generator:
        """Return a generator on the CPU, at `seed`."""
        return torch.Generator().manual_seed(self.seed)

    @cached_property
    def scores(self) -> Float[Tensor, " n"]:
        """Scores of the inputs as they are.

        Raises
        ------
        AttributionError
            If one is not finite.
        """
        with torch.no_grad():
            parts = [part.target(self.net, part.x) for _, part in self.batches()]
        return checked_scores(torch.cat(parts), f"of '{self.net.card.name}'")

    def batches(self, size: int | None = None) -> "Iterator[tuple[Tensor, Call]]":
        """Yield the call for a few images at a time, with their rows."""
        for rows in torch.arange(len(self.x)).split(size or self.batch_size or _FEW):
            yield rows, replace(self, x=self.x[rows], target=self.target.rows(rows))


def checked_scores(scores: Tensor, whose: str) -> Tensor:
    """Return scores if all are finite.

    Raises
    ------
    AttributionError
        Else; the message names the rows.
    """
    bad = (~scores.isfinite()).nonzero()[:, 0].unique().tolist()
    if bad:
        raise AttributionError(
            f"The scores {whose} are not finite for image {', '.join(map(str, bad[:5]))}"
            f"{' and more' if len(bad) > 5 else ''} of the batch: the network gave values that are not finite, or an "
            "embedding of length 0, which has no direction."
        )
    return scores


@dataclass(frozen=True)
class Method:
    """A way to make maps: its function takes a `Call` and its own options, by name."""

    name: str
    family: Family
    run: Callable[..., Tensor]

    @property
    def options(self) -> dict[str, object]:
        """Names of its options and their defaults."""
        found = list(inspect.signature(self.run).parameters.values())[1:]
        return {p.name: p.default for p in found}

    @property
    def summary(self) -> str:
        """First line of its function's docstring."""
        return (inspect.getdoc(self.run) or "").partition("\n")[0]


_REGISTERED: dict[str, Method] = {}


def method(name: str, family: Family) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a function as the method of this name."""

    def register(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
        if name in _REGISTERED:
            raise ValueError(f"Two methods of the name '{name}'.")
        _REGISTERED[name] = Method(name, family, run)
        return run

    return register


def find_method(name: str) -> Method:
    """Return the method of this name.

    Raises
    ------
    SpecError
        If there is none; the message offers the nearest names.
    """
    if name not in _REGISTERED:
        raise SpecError(f"There is no method of attribution '{name}'; {nearest(name, _REGISTERED)}")
    return _REGISTERED[name]
