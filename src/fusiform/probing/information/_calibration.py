from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped
from numpy import ndarray
from scipy.optimize import brentq
from scipy.special import entr, log_softmax, softmax

from fusiform.errors import DataError, SpecError, nearest
from fusiform.probing.information._attributes import Encoded, encode_attribute
from fusiform.probing.information._estimate import expressivities
from fusiform.probing.information._references import leading

KINDS = ("continuous", "binary", "categorical")
"""Kinds of attributes that can be planted."""

# Directions of the features that planted attributes depend on, and classes of a categorical one.
_DIRECTIONS, _CLASSES = 8, 5
# Part of the entropy of classes that truths may take up: beyond it, classes are certain and estimators are not told apart.
_ROOM = 0.9


def planted(
    features: Float[ndarray, "n d"], kind: str, truth: float, *, classes: int = 2, seed: int = 0
) -> tuple[Shaped[ndarray, " n"], float]:
    r"""An attribute made up for features, of which it is known how much they say about it.

    The features' 8 leading principal components, of variance 1, are turned into scores along random directions, and the
    attribute is drawn given the scores. The images at hand count as all that there are, so the truth is exact for them:
    entropy of the mean of the distributions less the mean of their entropies.

    - ``"continuous"``: one score plus Gaussian noise; the entropy of the mixture is integrated numerically.
    - ``"binary"``, ``"categorical"``: classes drawn with probabilities ``softmax(c * scores)``.

    Parameters
    ----------
    features : array, shape (n, d)
        Finite.
    kind : str
        ``"continuous"``, ``"binary"`` or ``"categorical"``.
    truth : float
        Mutual information that is asked for, in nats. At most log n can be had, and of classes about their entropy; then
        it is the most that there is.
    classes : int, default 2
        How many, of ``"categorical"``.
    seed : int, default 0
        Of directions and draws.

    Returns
    -------
    attribute : array, shape (n,)
        Numbers of ``"continuous"``, else classes from 0, as integers.
    exact : float
        Its mutual information with the features in nats.

    Raises
    ------
    SpecError
        If there is no such kind, the truth is negative, or there are fewer than two classes.
    DataError
        If no feature varies.

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(500, 16))
    >>> attribute, exact = planted(features, "binary", 0.3)
    >>> attribute[:8], round(exact, 6)
    (array([...]), 0.3)
    """
    if kind not in KINDS:
        raise SpecError(f"No attribute of kind '{kind}' can be planted; {nearest(kind, KINDS)}")
    if not np.isfinite(truth) or truth < 0:
        raise SpecError(f"The mutual information of a planted attribute is 0 or more nats; got {truth}.")
    if kind == "binary":
        classes = 2
    if classes < 2:
        raise SpecError(f"A planted attribute needs at least 2 classes; got {classes}.")
    components = leading(np.asarray(features), _DIRECTIONS, seed=seed)
    if not components.shape[1]:
        raise DataError("Nothing can be planted on these features: every one of them is constant.")
    rng = np.random.default_rng(seed)
    columns = 1 if kind == "continuous" else classes
    directions = rng.standard_normal((components.shape[1], columns))
    scores = components @ (directions / np.linalg.norm(directions, axis=0))
    if kind == "continuous":
        return _continuous(scores[:, 0] / scores[:, 0].std(), truth, rng)
    return _classes(scores - scores.mean(axis=0), truth, rng)


def gaussian_pair(
    n: int, dimension: int, truth: float, *, target_dimension: int = 1, seed: int = 0
) -> tuple[Float[ndarray, "n d"], Float[ndarray, "n k"]]:
    """Jointly Gaussian features and attributes of known mutual information.

    As many features as there are attributes are correlated with them pairwise, all alike, so that the mutual
    information is ``-k log(1 - rho^2) / 2``; both sides are then turned by random rotations. Features do
    not depend on the truth: with one seed, they are the same for all.

    Parameters
    ----------
    n : int
        Samples.
    dimension : int
        Features.
    truth : float
        Mutual information in nats.
    target_dimension : int, default 1
        Attributes, at most as many as features.
    seed : int, default 0
        Seed.

    Returns
    -------
    features : array, shape (n, dimension)
        Of mean 0 and unit covariance.
    attributes : array, shape (n, target_dimension)
        Likewise.

    Raises
    ------
    SpecError
        If there are more attributes than features, or numbers are out of range.

    Examples
    --------
    >>> x, y = gaussian_pair(2000, 3, 0.5)
    >>> x.shape, y.shape
    ((2000, 3), (2000, 1))
    """
    if not 1 <= target_dimension <= dimension:
        raise SpecError(
            f"A Gaussian pair has 1 to 'dimension' attributes; got {target_dimension} for dimension {dimension}."
        )
    if not np.isfinite(truth) or truth < 0 or n < 1:
        raise SpecError(f"A Gaussian pair needs samples and 0 or more nats; got n {n} and {truth} nats.")
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, dimension))
    noise = rng.standard_normal((n, target_dimension))
    sq_correlation = -np.expm1(-2 * truth / target_dimension)
    attributes = np.sqrt(sq_correlation) * latent[:, :target_dimension] + np.sqrt(1 - sq_correlation) * noise
    return latent @ _rotation(dimension, rng), attributes @ _rotation(target_dimension, rng)


def calibrate(
    features: Float[ndarray, "n d"],
    *,
    kinds: Sequence[str] = ("continuous", "binary"),
    truths: Sequence[float] = (0.0, 0.5, 1.0, 2.0),
    estimators: Sequence[str] = ("mine",),
    restarts: int = 4,
    seed: int = 0,
    groups: Shaped[ndarray, " n"] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """What the estimators find where the truth is known, with as many images and features as are at hand.

    Attributes are planted on the features themselves (`planted`), and on Gaussian features of the same number and
    dimension (where continuous ones are those of `gaussian_pair`). All attributes of one source are trained together.

    Parameters
    ----------
    features : array, shape (n, d)
        The features at hand.
    kinds : sequence of str, default ("continuous", "binary")
        What to plant; ``"categorical"`` has 5 classes.
    truths : sequence of float, default (0, 0.5, 1, 2)
        Mutual information in nats. Where the largest is more than 0.9 of what classes can hold (log 2 of binary
        ones), all truths of that kind are scaled down to fit.
    estimators : sequence of str, default ("mine",)
        As in `expressivities`.
    restarts : int, default 4
        As in `expressivities`.
    seed : int, default 0
        Seed.
    groups : array, shape (n,), optional
        As in `expressivities`, of the features at hand; Gaussian ones have none.
    progress : callable, optional
        Called with ``(done, total)`` as the work goes on.

    Returns
    -------
    DataFrame
        One row for each source, kind, truth, estimator and split: ``source`` ("planted" | "gaussian"), ``kind``, ``truth``,
        ``estimator``, ``split`` ("held out" | "train"), ``value``, ``lower``, ``upper`` (95 %, of what is held out), ``n``,
        ``dimension``, ``error`` (value less truth); nats. Estimators that train nothing have no row "train".

    Raises
    ------
    SpecError
        If a kind, an estimator or a truth does not exist or nothing is asked for.
    DataError
        If features do not vary, or are not finite numbers of shape (n, d).

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(400, 2))
    >>> found = calibrate(features, truths=(0.0, 0.5), kinds=("continuous",), estimators=("gaussian",))
    >>> found.loc[found["split"] == "held out", ["source", "truth"]]
         source  truth
    0   planted    0.0
    2   planted    0.5
    4  gaussian    0.0
    6  gaussian    0.5
    """
    features = np.asarray(features)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise DataError(
            f"Features must be finite numbers of shape (images, features); got shape {features.shape}."
        )
    if not kinds or not truths or not estimators:
        raise SpecError("A calibration needs at least one kind, one truth and one estimator.")
    n, dimension = features.shape
    rows: list[dict[str, Any]] = []
    made_up = gaussian_pair(n, dimension, 0.0, seed=seed)[0].astype(np.float32)
    sources = (("planted", features, groups), ("gaussian", made_up, None))
    runs = len(sources) * len(estimators)
    for number, (source, given, people) in enumerate(sources):
        attributes, exact = _attributes(source, given, kinds, truths, seed)
        for done, estimator in enumerate(estimators, start=number * len(estimators)):
            found = expressivities(
                given,
                attributes,
                restarts=restarts,
                seed=seed,
                estimator=estimator,
                groups=people,
                progress=_part(progress, done, runs),
            )
            for name, result in found.items():
                kind, truth = exact[name]
                common = {"source": source, "kind": kind, "truth": truth, "estimator": estimator}
                for split, value, lower, upper in (
                    ("held out", result.mean, result.lower, result.upper),
                    ("train", result.train_mean, np.nan, np.nan),
                ):
                    if split == "train" and np.isnan(value):
                        continue
                    measured = {"split": split, "value": value, "lower": lower, "upper": upper}
                    sizes = {"n": n, "dimension": dimension, "error": value - truth}
                    rows.append(common | measured | sizes)
    return pd.DataFrame(rows)


def _part(
    progress: Callable[[int, int], None] | None, done: int, runs: int
) -> Callable[[int, int], None] | None:
    """Progress of one of several runs as part of all."""
    if progress is None:
        return None
    return lambda step, steps: progress(done * steps + step, runs * steps)


def _attributes(
    source: str, features: ndarray, kinds: Sequence[str], truths: Sequence[float], seed: int
) -> tuple[dict[str, Encoded], dict[str, tuple[str, float]]]:
    """Attributes of one source by name, with the kind and exact truth of each."""
    attributes, exact = {}, {}
    n, dimension = features.shape
    for kind in kinds:
        classes = _CLASSES if kind == "categorical" else 2
        room = np.inf if kind == "continuous" else _ROOM * np.log(classes)
        fit = min(1.0, room / max(max(truths), 1e-300))
        for number, truth in enumerate(truths):
            if source == "gaussian" and kind == "continuous":
                values, known = gaussian_pair(n, dimension, truth, seed=seed)[1][:, 0], float(truth)
            else:
                values, known = planted(features, kind, fit * truth, classes=classes, seed=seed)
            name = f"{kind} {number}"
            attributes[name] = encode_attribute(values, name=name)
            exact[name] = (kind, known)
    return attributes, exact


def _continuous(
    scores: Float[ndarray, " n"], truth: float, rng: np.random.Generator
) -> tuple[Float[ndarray, " n"], float]:
    noise = rng.standard_normal(len(scores))
    if truth == 0:
        return noise, 0.0
    # Around e^-truth, for Gaussian scores; far fewer nats than log n leave a root.
    most = _mixture_information(scores, least := 0.05 / len(scores))
    if most <= truth:
        return scores + least * noise, most
    found = brentq(
        lambda log: _mixture_information(scores, np.exp(log)) - truth, np.log(least), np.log(1e4), xtol=1e-6
    )
    deviation = float(np.exp(found))
    return scores + deviation * noise, _mixture_information(scores, deviation)


def _mixture_information(scores: Float[ndarray, " n"], deviation: float) -> float:
    """Information of ``score + noise`` about the score, each score of the array being as likely."""
    centres = np.sort(scores) / deviation
    # In units of the deviation; what lies further than 9 from a centre has no mass, nor has a gap between centres.
    gaps = np.flatnonzero(np.diff(centres) > 18)
    total = 0.0
    for part in np.split(centres, gaps + 1):
        grid = np.arange(part[0] - 9, part[-1] + 9, 0.125)
        density = np.zeros(len(grid))
        reach = np.searchsorted(grid, part - 9), np.searchsorted(grid, part + 9)
        for centre, first, end in zip(part, *reach, strict=True):
            density[first:end] += np.exp(-np.square(grid[first:end] - centre) / 2)
        total += 0.125 * entr(density / (len(scores) * np.sqrt(2 * np.pi))).sum()
    return float(total - 0.5 * np.log(2 * np.pi * np.e))


def _classes(
    scores: Float[ndarray, "n k"], truth: float, rng: np.random.Generator
) -> tuple[Shaped[ndarray, " n"], float]:
    def information(sharpness: float) -> float:
        p = softmax(sharpness * scores, axis=1)
        return float(entr(p.mean(axis=0)).sum() - entr(p).sum(axis=1).mean())

    sharpness = 1e4
    if truth == 0:
        sharpness = 0.0
    elif information(sharpness) > truth:
        sharpness = float(brentq(lambda c: information(c) - truth, 0.0, sharpness, xtol=1e-9))
    # The largest of logits and Gumbel noise is a draw from their softmax.
    logits = log_softmax(sharpness * scores, axis=1)
    return (logits + rng.gumbel(size=scores.shape)).argmax(axis=1), abs(information(sharpness))


def _rotation(dimension: int, rng: np.random.Generator) -> Float[ndarray, "d d"]:
    q, r = np.linalg.qr(rng.standard_normal((dimension, dimension)))
    return q * np.sign(np.diag(r))
