import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, SpecError, nearest
from fusiform.probing.information._attributes import Encoded, encode_attribute, rank_normalised
from fusiform.probing.information._given import as_clusters, as_features
from fusiform.probing.information._jobs import REFERENCES, Jobs
from fusiform.probing.information._objectives import OBJECTIVES
from fusiform.probing.information._result import Expressivity, nothing_told
from fusiform.probing.information._train import Schooling

ESTIMATORS = (*OBJECTIVES, *REFERENCES)
"""Names of all estimators: those that train critics, and those that do not."""


def expressivity(
    features: Float[ndarray | Tensor, "n d"],
    attribute: Sequence[Any] | ndarray | pd.Series | Encoded,
    *,
    restarts: int = 16,
    seed: int = 0,
    estimator: str = "mine",
    encoding: str | None = None,
    groups: Sequence[Any] | ndarray | pd.Series | None = None,
    batch_size: int = 128,
    steps: int = 1500,
    step_size: float = 0.01,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Expressivity:
    """Measure how much feature vectors say about an attribute (Dhar and others 2020, section III).

    MINE (Belghazi and others 2018): a critic with two hidden layers is trained to climb the Donsker-Varadhan bound of
    mutual information (eq. 3) by eq. 5, whose denominator is a running mean. Each restart leaves out some images, watches
    its convergence on others, and reports eq. 2 on the first; the next restart leaves out others.

    Parameters
    ----------
    features : array or tensor, shape (n, d)
        One feature vector an image. Each feature is rank-normalised, which changes no mutual information and
        tames heavy tails.
    attribute : array, Series or Encoded, shape (n,) or (n, k)
        One value or row of numbers an image. Whole numbers, truth values and text are classes, other numbers continuous;
        see `encode_attribute`.
    restarts : int, default 16
        Critics that are averaged.
    seed : int, default 0
        Of what is left out, of the critics and of batches.
    estimator : str, default "mine"
        ``"nwj"``, ``"smile"`` and ``"infonce"`` train the same critic with other bounds; ``"gaussian"`` and ``"ksg"``
        train none, and have one value instead of restarts.
    encoding : str, optional
        See `encode_attribute`.
    groups : array, shape (n,), optional
        What image belongs to whom: images of one group are never on both sides of a split, and intervals resample
        groups. An attribute that names the groups, as identity does, is split by image.
    batch_size : int, default 128
        Images a training step; all training images where there are fewer.
    steps : int, default 1500
        Steps of a course of training, over which the step size falls. Critics that have not converged at its end go
        through another, six at most.
    step_size : float, default 0.01
        Adam's step size.
    device : str or torch.device, default "cpu"
        Where critics are trained.
    progress : callable, optional
        Called with ``(done, total)`` critics.

    Returns
    -------
    Expressivity
        The estimate. A lower bound, but for the chance of the sample; it may lie a little below 0.

    Raises
    ------
    DataError
        If features or attribute hold NaN, their lengths differ, or there are too few images or groups to split.
    SpecError
        If there is no such estimator or encoding, or a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> smiles = rng.random(400) < 0.5
    >>> features = rng.normal(size=(400, 4)) + 3 * smiles[:, None]
    >>> found = expressivity(features, smiles, restarts=2, steps=200)
    >>> 0.5 < found.mean < found.entropy
    True
    """
    encoded = attribute if isinstance(attribute, Encoded) else encode_attribute(attribute, encoding=encoding)
    found = expressivities(
        features,
        {"attribute": encoded},
        restarts=restarts,
        seed=seed,
        estimator=estimator,
        groups=groups,
        batch_size=batch_size,
        steps=steps,
        step_size=step_size,
        device=device,
        progress=progress,
    )
    return found["attribute"]


def expressivities(
    features: Float[ndarray | Tensor, "n d"],
    attributes: Mapping[str, Any],
    *,
    restarts: int = 16,
    seed: int = 0,
    estimator: str = "mine",
    encoding: str | None = None,
    groups: Sequence[Any] | ndarray | pd.Series | None = None,
    batch_size: int = 128,
    steps: int = 1500,
    step_size: float = 0.01,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Expressivity]:
    """Measure how much feature vectors say about several attributes, whose critics are trained together.

    Each estimate is what `expressivity` gives for that attribute alone.

    Parameters
    ----------
    features : array or tensor, shape (n, d)
        One feature vector an image.
    attributes : mapping of str to array or Encoded
        The attributes by name.
    restarts, seed, estimator, encoding, groups, batch_size, steps, step_size, device, progress
        As for `expressivity`.

    Returns
    -------
    dict of str to Expressivity
        The estimates, in the order of the attributes.

    Raises
    ------
    DataError, SpecError
        As for `expressivity`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(200, 3))
    >>> attributes = {"seen": features[:, 0] > 0, "constant": np.zeros(200, dtype=int)}
    >>> found = expressivities(features, attributes, restarts=2, steps=100)
    >>> found["seen"].mean > 0.2, found["constant"].mean, found["constant"].note
    (True, 0.0, 'constant: one value only')
    """
    if estimator not in ESTIMATORS:
        raise SpecError(f"There is no estimator '{estimator}'; {nearest(str(estimator), ESTIMATORS)}")
    for name, number in {
        "restarts": restarts,
        "batch_size": batch_size,
        "steps": steps,
        "seed": seed + 1,
    }.items():
        if not isinstance(number, Integral) or number < 1:
            least, number = (0, number - 1) if name == "seed" else (1, number)
            raise SpecError(
                f"'{name}' of an expressivity must be a whole number of at least {least}; got {number}."
            )
    if not 0 < step_size < math.inf:
        raise SpecError(f"'step_size' of an expressivity must be above 0 and finite; got {step_size}.")
    try:
        where = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise SpecError(f"There is no device '{device}' here: {str(error).splitlines()[0]}") from None
    seen = as_features(features)
    encoded = {
        name: each if isinstance(each, Encoded) else encode_attribute(each, encoding=encoding, name=name)
        for name, each in attributes.items()
    }
    for name, each in encoded.items():
        if len(each) != len(seen):
            raise DataError(f"There are {len(seen)} feature vectors, but {len(each)} values of '{name}'.")
    clusters = as_clusters(groups, len(seen))
    prepared = rank_normalised(seen)
    if not prepared.any():
        encoded = {
            name: replace(each, note="; ".join(filter(None, (each.note, "all features are constant"))))
            for name, each in encoded.items()
        }
    told = {name: each for name, each in encoded.items() if not each.constant and prepared.any()}
    jobs = Jobs(prepared, told, clusters, seed, restarts, progress)
    if estimator in REFERENCES:
        found = jobs.references(estimator)
    else:
        found = jobs.trained(Schooling(estimator, batch_size, steps, step_size), where)
    still = {
        name: nothing_told(each, estimator, 1 if estimator in REFERENCES else restarts, seen.shape[1])
        for name, each in encoded.items()
        if name not in told
    }
    return {name: (found | still)[name] for name in encoded}
