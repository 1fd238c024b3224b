"""Linear probes on the same features: ridge regression, its error on people not trained on."""

import warnings

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.linalg import LinAlgWarning
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from fusiform.faces import Attribute, split_identities
from fusiform.statistics import cluster_intervals
from fusiform.studies.expressivity._asked import Asked

_ALPHAS = 10.0 ** np.arange(-1, 7)
_TRAIN_SHARE = 0.6
# 3,000 images to train and 2,000 to test (Dhar and others 2020, section IV.D), and 3:2 where there are fewer.
_MOST_TRAIN, _MOST_TEST = 3000, 2000
COLUMNS = ["attribute", "metric", "value", "lower", "upper", "chance", "n_train", "n_test", "unit"]


def linear_probes(features: Float[ndarray, "n m"], asked: Asked, *, seed: int = 0) -> pd.DataFrame:
    """Fit ridge probes for every attribute studied, and test them on other people.

    Continuous attributes are regressed on, and their mean absolute error is in the attribute's unit. Of classes, each
    has an indicator, and the highest prediction wins; the error rate is the share of wrong ones. How much is
    penalised is chosen by leave-one-out on the training images, for each target on its own. Identity is tested on other
    images of the same people.

    Parameters
    ----------
    features : array, shape (n, m)
        Of all images of `asked`.
    asked : Asked
        What is studied.
    seed : int, default 0
        Of the split and the intervals.

    Returns
    -------
    DataFrame
        A row an attribute: ``attribute, metric, value, lower, upper, chance, n_train, n_test, unit``; `chance` is the
        error of always saying the training images' median, or their most frequent class.
    """
    found: dict[str, tuple] = {}
    for piece in asked.pieces:
        names = list(dict.fromkeys(entry.attribute for entry in piece.entries))
        identity = [name for name in names if name == asked.known.identity]
        others = [name for name in names if name not in identity]
        for some, groups in ((others, piece.groups), (identity, None)):
            if some:
                found |= _probes(features[piece.rows], some, groups, asked, piece.rows, seed)
    return pd.DataFrame([found[name] for name in asked.attributes if name in found], columns=COLUMNS)


def _probes(
    features: Float[ndarray, "k m"],
    names: list[str],
    groups: Int[ndarray, " k"] | None,
    asked: Asked,
    images: Int[ndarray, " k"],
    seed: int,
) -> dict[str, tuple]:
    train, test = _split(len(features), groups, seed)
    answers = [_answers(asked, name, images) for name in names]
    targets = np.concatenate([target for _, target, _ in answers], axis=1)
    predicted = _ridge(features[train], targets[train], features[test])
    who = np.arange(len(features)) if groups is None else groups
    _, cluster = np.unique(who[test], return_inverse=True)
    rows = {}
    start = 0
    for name, (attribute, target, values) in zip(names, answers, strict=True):
        said = predicted[:, start : start + target.shape[1]]
        start += target.shape[1]
        if attribute.kind == "continuous":
            metric, wrong = "mean absolute error", np.abs(said[:, 0] - values[test])
            by_chance = np.abs(np.median(values[train]) - values[test])
        else:
            metric, wrong = "error rate", (said.argmax(axis=1) != values[test]).astype(np.float64)
            by_chance = (np.bincount(values[train]).argmax() != values[test]).astype(np.float64)
        terms = np.stack([wrong, np.ones(len(wrong))], axis=1)
        value, lower, upper = cluster_intervals(terms, cluster, lambda s: s[:, 0] / s[:, 1], seed=seed)
        rows[name] = (
            name,
            metric,
            value,
            lower,
            upper,
            float(by_chance.mean()),
            len(train),
            len(test),
            attribute.unit or "",
        )
    return rows


def _split(n: int, groups: ndarray | None, seed: int) -> tuple[Int[ndarray, " a"], Int[ndarray, " b"]]:
    rng = np.random.default_rng([seed, 12])
    if groups is None or len(np.unique(groups)) < 2:
        order = rng.permutation(n)
        n_train = round(_TRAIN_SHARE * n)
        train, test = order[:n_train], order[n_train:]
    else:
        train, test = split_identities(groups, fractions=(_TRAIN_SHARE, 1 - _TRAIN_SHARE), seed=seed)
        train, test = rng.permutation(train), rng.permutation(test)
    return np.sort(train[:_MOST_TRAIN]), np.sort(test[:_MOST_TEST])


def _answers(asked: Asked, name: str, rows: ndarray) -> tuple[Attribute, ndarray, ndarray]:
    """The attribute, its regression targets, and its values or class numbers."""
    attribute = asked.known.schema[name]
    column = asked.known.table[name].iloc[rows]
    if attribute.kind == "continuous":
        values = column.to_numpy(dtype=np.float64)
        return attribute, values[:, None], values
    codes = pd.factorize(column, sort=True)[0]
    return attribute, 2.0 * (codes[:, None] == np.arange(codes.max() + 1)) - 1, codes


def _ridge(X: Float[ndarray, "a m"], y: Float[ndarray, "a q"], other: Float[ndarray, "b m"]) -> ndarray:
    scaler = StandardScaler()
    model = RidgeCV(_ALPHAS, alpha_per_target=y.shape[1] > 1)
    with warnings.catch_warnings():
        # Fewer images than features leave directions without variance, which the penalty is there for.
        warnings.simplefilter("ignore", LinAlgWarning)
        model.fit(scaler.fit_transform(X), y)
    predicted = model.predict(scaler.transform(other))
    return predicted.reshape(len(other), -1)
