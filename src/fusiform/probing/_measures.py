"""What probes score, with intervals over identities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.probing._sampling import Draw
from fusiform.statistics import batched_cluster_intervals, roc_auc, weighted_auc_interval

PRIMARY = {"binary": "balanced_accuracy", "categorical": "balanced_accuracy", "continuous": "r2"}

_DRAWS = 500
# Values of all probes that are resampled at once.
_CHUNK = 1 << 22

_Statistic = Callable[[Float[ndarray, "b s"]], Float[ndarray, " b"]]
_Metrics = dict[str, tuple[_Statistic, float]]


@dataclass(frozen=True)
class Measure:
    """One number that a probe reached on one split."""

    split: str
    metric: str
    value: float
    lower: float
    upper: float
    chance: float
    n: int
    n_identities: int


def measure_answers(
    draw: Draw,
    answers: Mapping[str, Float[ndarray, "p k ..."]],
    groups: Int[ndarray, " n"],
    *,
    seed: int = 0,
    intervals: bool = True,
    auc: bool = True,
) -> list[list[Measure]]:
    """Score the answers of p probes for one attribute.

    Parameters
    ----------
    draw : Draw
        The images and their labels.
    answers : mapping of str to array, shapes (p, k, n_classes) or (p, k)
        For ``"valid"`` and ``"test"``, or one of them: probabilities of the classes, or predicted values of a
        continuous attribute, for the k images of the split in the draw's order.
    groups : int array, shape (n_faces,)
        Identity numbers, over which intervals resample; the same resampling serves all probes.
    seed : int, default 0
        Of the resampling.
    intervals : bool, default True
        Whether to compute 95% intervals; `lower` and `upper` are NaN otherwise.
    auc : bool, default True
        Whether to compute the area under the ROC curve too, whose intervals are the dearest.

    Returns
    -------
    list of p lists of Measure
        In the order of `answers`: on validation the primary metric only, on test all of them.

    Raises
    ------
    DataError
        If answers have another shape than the draw asks for.

    Examples
    --------
    >>> rows = np.arange(4)
    >>> draw = Draw("Male", "binary", ("False", "True"), np.array([0.0, 0, 1, 1]), rows, rows, rows)
    >>> answers = np.array([[[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]]])
    >>> (probe,) = measure_answers(draw, {"test": answers}, rows)
    >>> {m.metric: m.value for m in probe}
    {'balanced_accuracy': 0.75, 'accuracy': 0.75, 'auc': 1.0}
    """
    draws = _DRAWS if intervals else 0
    measures: list[list[Measure]] = []
    for split, answer in answers.items():
        rows = draw.valid if split == "valid" else draw.test
        _check_shape(draw, split, answer, len(rows))
        measures = measures or [[] for _ in answer]
        clusters = np.unique(groups[rows], return_inverse=True)[1]
        counts = {"n": len(rows), "n_identities": int(clusters.max()) + 1}
        truth = draw.values[rows]
        metrics = _metrics(draw, truth)
        if split == "valid":
            metrics = {PRIMARY[draw.kind]: metrics[PRIMARY[draw.kind]]}
        step = max(1, _CHUNK // (len(rows) * 2 * max(2, len(draw.classes))))
        for start in range(0, len(answer), step):
            part = answer[start : start + step]
            terms = _of_classes(draw, truth, part) if draw.classes else _of_values(draw, truth, part)
            for metric, (statistic, chance) in metrics.items():
                found = batched_cluster_intervals(terms, clusters, statistic, draws=draws, seed=seed)
                for probe, (value, lower, upper) in zip(measures[start:], found.tolist(), strict=False):
                    probe.append(Measure(split, metric, value, lower, upper, chance, **counts))
        if auc and split == "test" and draw.kind == "binary":
            for probe, score in zip(measures, answer[:, :, 1], strict=True):
                value, lower, upper = _auc(score, truth == 1, clusters, draws, seed)
                probe.append(Measure(split, "auc", value, lower, upper, 0.5, **counts))
    return measures


def _check_shape(draw: Draw, split: str, answer: ndarray, n: int) -> None:
    wanted = (n, len(draw.classes)) if draw.classes else (n,)
    if answer.shape[1:] != wanted:
        raise DataError(
            f"Answers for '{draw.attribute}' on {split} must have the shape (probes, {', '.join(map(str, wanted))}); got "
            f"{answer.shape}."
        )


def _metrics(draw: Draw, truth: ndarray) -> _Metrics:
    """Statistics of sums of terms, and what guessing reaches."""
    k = len(draw.classes)
    if k:
        return {
            "balanced_accuracy": (lambda sums: (sums[:, :k] / sums[:, k:]).mean(axis=1), 1 / k),
            "accuracy": (
                lambda sums: sums[:, :k].sum(axis=1) / sums[:, k:].sum(axis=1),
                float(np.bincount(truth.astype(int)).max() / len(truth)),
            ),
        }
    typical = np.median(draw.values[draw.train])
    return {
        "r2": (_r2, 0.0),
        "mae": (lambda sums: sums[:, 3] / sums[:, 4], float(np.abs(truth - typical).mean())),
    }


def _r2(sums: Float[ndarray, "b s"]) -> Float[ndarray, " b"]:
    spread = sums[:, 2] - sums[:, 1] ** 2 / sums[:, 4]
    # Of values that do not vary there is nothing to explain; what is left is rounding.
    return 1 - sums[:, 0] / np.where(spread > 1e-12 * sums[:, 2], spread, np.nan)


def _of_classes(draw: Draw, truth: ndarray, probabilities: ndarray) -> Float[ndarray, "p n s"]:
    """Which images of each class are answered right, and which there are."""
    indicator = (truth[:, None] == np.arange(len(draw.classes))).astype(np.float64)
    correct = probabilities.argmax(axis=2) == truth
    return np.concatenate(
        [indicator * correct[:, :, None], np.broadcast_to(indicator, (len(correct), *indicator.shape))],
        axis=2,
    )


def _of_values(draw: Draw, truth: ndarray, predicted: ndarray) -> Float[ndarray, "p n s"]:
    error = truth - predicted
    # Sums of squares of values far from zero would lose their digits.
    shifted = np.broadcast_to(truth - draw.values[draw.train].mean(), error.shape)
    return np.stack([error**2, shifted, shifted**2, np.abs(error), np.ones_like(error)], axis=2)


def _auc(
    score: ndarray, positive: ndarray, clusters: ndarray, draws: int, seed: int
) -> tuple[float, float, float]:
    value = roc_auc(score[positive], score[~positive])
    if not draws:
        return value, np.nan, np.nan
    return value, *weighted_auc_interval(score, positive, clusters, draws=draws, seed=seed)
