"""What a probe scores, with intervals over identities."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

from fusiform.probing._sampling import Draw
from fusiform.statistics import DualPLS, cluster_intervals, roc_auc, weighted_auc_interval

# Added to the within-class covariances of unit-variance scores, so that QDA survives degenerate ones.
QDA_REGULARISATION = 1e-6

_Answer = Callable[[ndarray], ndarray]
_Named = Iterator[tuple[str, tuple[float, float, float], float]]

PRIMARY = {"binary": "balanced_accuracy", "categorical": "balanced_accuracy", "continuous": "r2"}


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


def measure(
    draw: Draw, fit: DualPLS, scores: Float[ndarray, "n c"], groups: Int[ndarray, " n"], *, seed: int = 0
) -> Iterator[Measure]:
    """Train a probe on the scores of the training images and score it on validation and test.

    Binary and categorical attributes: QDA on the PLS scores (Diniz 2020, section 4.1). Continuous ones:
    the PLS regression itself.

    Parameters
    ----------
    draw : Draw
        The images.
    fit : DualPLS
        The fitted projection.
    scores : array, shape (n_faces, c)
        PLS scores, on rows of the FaceSet; only those of the draw are read.
    groups : int array, shape (n_faces,)
        Identity numbers, over which intervals resample.
    seed : int, default 0
        Of the resampling.

    Yields
    ------
    Measure
        The primary metric on validation, then all metrics on test.
    """
    answer = _classifier(draw, scores) if draw.classes else _regression(fit, scores)
    for split, rows in (("valid", draw.valid), ("test", draw.test)):
        clusters = np.unique(groups[rows], return_inverse=True)[1]
        counts = {"n": len(rows), "n_identities": int(clusters.max()) + 1}
        truth = draw.values[rows]
        metrics = _of_classes if draw.classes else _of_values
        for metric, (value, lower, upper), chance in metrics(draw, truth, answer(rows), clusters, seed):
            if split == "test" or metric == PRIMARY[draw.kind]:
                yield Measure(split, metric, value, lower, upper, chance, **counts)


def _classifier(draw: Draw, scores: ndarray) -> _Answer:
    train = scores[draw.train]
    spread = np.maximum(train.std(axis=0, keepdims=True), np.finfo(np.float64).tiny)
    if not train.shape[1]:
        # Nothing in the features varies with the attribute: every class is as likely.
        return lambda rows: np.full((len(rows), len(draw.classes)), 1 / len(draw.classes))
    k = len(draw.classes)
    qda = QuadraticDiscriminantAnalysis(priors=np.full(k, 1 / k), reg_param=QDA_REGULARISATION, tol=0.0)
    qda.fit(train / spread, draw.values[draw.train].astype(int))
    return lambda rows: qda.predict_proba(scores[rows] / spread)


def _regression(fit: DualPLS, scores: ndarray) -> _Answer:
    return lambda rows: fit.y_mean[0] + scores[rows] @ fit.y_loadings[:, 0]


def _of_classes(draw: Draw, truth: ndarray, probability: ndarray, clusters: ndarray, seed: int) -> _Named:
    k = len(draw.classes)
    correct = probability.argmax(axis=1) == truth
    indicator = truth[:, None] == np.arange(k)
    terms = np.concatenate([indicator & correct[:, None], indicator], axis=1).astype(np.float64)

    def balanced(sums: ndarray) -> ndarray:
        return (sums[:, :k] / sums[:, k:]).mean(axis=1)

    def plain(sums: ndarray) -> ndarray:
        return sums[:, :k].sum(axis=1) / sums[:, k:].sum(axis=1)

    yield "balanced_accuracy", cluster_intervals(terms, clusters, balanced, seed=seed), 1 / k
    yield (
        "accuracy",
        cluster_intervals(terms, clusters, plain, seed=seed),
        float(indicator.mean(axis=0).max()),
    )
    if draw.kind == "binary":
        score = probability[:, 1]
        value = roc_auc(score[truth == 1], score[truth == 0])
        yield "auc", (value, *weighted_auc_interval(score, truth == 1, clusters, seed=seed)), 0.5


def _of_values(draw: Draw, truth: ndarray, predicted: ndarray, clusters: ndarray, seed: int) -> _Named:
    typical = draw.values[draw.train]
    shifted = truth - typical.mean()
    error = truth - predicted
    terms = np.stack([error**2, shifted, shifted**2, np.abs(error), np.ones(len(truth))], axis=1)

    def r2(sums: ndarray) -> ndarray:
        return 1 - sums[:, 0] / (sums[:, 2] - sums[:, 1] ** 2 / sums[:, 4])

    def mae(sums: ndarray) -> ndarray:
        return sums[:, 3] / sums[:, 4]

    yield "r2", cluster_intervals(terms, clusters, r2, seed=seed), 0.0
    chance = float(np.abs(truth - np.median(typical)).mean())
    yield "mae", cluster_intervals(terms, clusters, mae, seed=seed), chance
