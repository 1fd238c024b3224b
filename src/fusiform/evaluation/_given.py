"""What measures are given, checked: inputs, maps, masks, and the scores of inputs as they are."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fusiform.errors import EvaluationError
from fusiform.networks import FaceNetwork
from fusiform.perturbation import masked_scores
from fusiform.targets import Logit, Probability, Target

Explain = Callable[[FaceNetwork, Tensor, Target], Tensor]


def checked_inputs(
    net: FaceNetwork, x: Tensor, target: Target | int, number: type[Logit | Probability] = Logit
) -> tuple[Tensor, Target]:
    """Inputs on the network's device and in its type, and the target; what the number of a class stands for."""
    if not isinstance(net, FaceNetwork):
        raise EvaluationError(f"A measure of maps takes a FaceNetwork; got {type(net).__name__}.")
    if isinstance(target, int):
        target = number(target)
    if not isinstance(target, Target):
        raise EvaluationError(f"A measure of maps takes a target; got {type(target).__name__}.")
    net.check(x)
    x = x.detach().to(net.device, net.dtype)
    refuse_rows(~x.flatten(1).isfinite().all(dim=1), "Inputs hold values that are not finite")
    target.check(len(x))
    return x, target


def checked_maps(maps: Tensor, x: Tensor) -> Float[Tensor, "n h w"]:
    """Maps that fit the inputs, on their device, detached."""
    return _fitting(maps, (len(x), *x.shape[2:])).to(x.device)


def made_maps(maps: Tensor | Explain, net: FaceNetwork, x: Tensor, target: Target) -> Float[Tensor, "n h w"]:
    """Maps as given, or as made for these inputs."""
    return checked_maps(maps if isinstance(maps, Tensor) else _called(maps)(net, x, target), x)


def _called(explain: object) -> Explain:
    if not callable(explain):
        raise EvaluationError(
            f"Maps are a tensor (n, h, w), or are made by explain(net, x, target); got {type(explain).__name__}."
        )
    return explain


def lone_maps(maps: Tensor) -> Float[Tensor, "n h w"]:
    """Maps without inputs to fit."""
    if not isinstance(maps, Tensor) or maps.dim() != 3:
        got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise EvaluationError(f"Maps are a tensor of shape (n, height, width); got {got}.")
    return _fitting(maps, tuple(maps.shape))


def _fitting(maps: Tensor, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(maps, Tensor) or tuple(maps.shape) != shape:
        got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise EvaluationError(
            f"Maps of {shape[0]} images of {shape[1]} x {shape[2]} pixels have shape {shape}; got {got}."
        )
    if maps.is_complex():
        raise EvaluationError("Maps are real; got complex numbers.")
    maps = maps.detach()
    if not maps.is_floating_point():
        maps = maps.float()
    refuse_rows(~maps.flatten(1).isfinite().all(dim=1), "Maps hold values that are not finite")
    return maps


def checked_masks(masks: Tensor, maps: Tensor) -> Bool[Tensor, "n h w"]:
    """Masks that fit the maps; one mask stands for all."""
    if not isinstance(masks, Tensor) or tuple(masks.shape) not in (tuple(maps.shape), tuple(maps.shape[1:])):
        got = tuple(masks.shape) if isinstance(masks, Tensor) else type(masks).__name__
        raise EvaluationError(
            f"Masks have the shape of the maps, {tuple(maps.shape)} or {tuple(maps.shape[1:])}; got {got}. "
            "fusiform.faces.part_masks brings masks to a network's input size."
        )
    if masks.dtype != torch.bool:
        if not ((masks == 0) | (masks == 1)).all():
            raise EvaluationError("Masks are bool, or hold 0 and 1 only.")
        masks = masks.bool()
    return masks.to(maps.device).expand_as(maps)


def refuse_rows(bad: Tensor, what: str) -> None:
    """Raise, naming the images, if any is bad."""
    rows = bad.nonzero()[:, 0].tolist()
    if rows:
        more = " and more" if len(rows) > 5 else ""
        raise EvaluationError(f"{what}: image {', '.join(map(str, rows[:5]))}{more} of the batch.")


def checked_scores(scores: Tensor) -> Tensor:
    """Scores (n, ...) that are all finite."""
    bad = ~scores.isfinite().flatten(1).all(dim=1) if scores.dim() > 1 else ~scores.isfinite()
    refuse_rows(bad, "The network's scores are not finite, as of an embedding of length 0")
    return scores


def plain_scores(net: FaceNetwork, target: Target, x: Tensor, **how: Any) -> Float[Tensor, " n"]:
    """Scores of inputs as they are."""
    return checked_scores(masked_scores(net, target, x, x.new_ones(1, *x.shape[2:]), x, **how)[:, 0])


def as_groups(groups: Sequence[Any] | np.ndarray | Tensor | None, n: int) -> np.ndarray:
    """Identities of images as numbers from 0; without them each image is one of its own."""
    if groups is None:
        return np.arange(n)
    values = np.asarray(groups.cpu() if isinstance(groups, Tensor) else groups)
    if values.shape != (n,):
        raise EvaluationError(
            f"Groups name the identity of each of the {n} images; got shape {values.shape}."
        )
    codes, known = pd.factorize(pd.Series(values))
    # Nobody knows who is missing: each is one of its own.
    missing = codes < 0
    codes[missing] = len(known) + np.arange(missing.sum())
    return np.asarray(codes)
