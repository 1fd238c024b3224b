import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.faces import FaceSet, identity_codes
from fusiform.networks import FaceNetwork
from fusiform.statistics import cluster_weights
from fusiform.verification._calibration import Calibration
from fusiform.verification._embeddings import embeddings
from fusiform.verification._pairs import (
    BINS,
    AllPairs,
    ListedPairs,
    MatePairs,
    NonmatePairs,
    Pairs,
    bins_of,
    listed,
)

# The rule of three: of N pairs without a false match, the rate's upper 95% bound is 3 / N, so that a lower one cannot be
# told from nothing (ISO/IEC 19795-1:2021, annex B).
_LEAST_FALSE_MATCHES = 3
_LEVEL = 0.95
# Of how many times as many false matches as are expected the pairs are kept, to begin with.
_TAIL = 8


def calibrate(
    net: FaceNetwork,
    faces: FaceSet,
    *,
    false_match_rate: float = 1e-3,
    pairs: Literal["all"] | pd.DataFrame | None = None,
    resamples: int = 500,
    seed: int = 0,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Find the cosine similarity from which two images count as one person's, at a stated false match rate.

    The threshold is the lowest score of a non-mate pair at which no more than the asked share of non-mate pairs match
    (score and threshold equal is a match). A rate needs pairs enough to be seen: three false matches must be expected
    (the rule of three), otherwise it is refused. Thirty are what makes it good to a third; the interval shows it.

    Parameters
    ----------
    net : FaceNetwork
        A network whose head is ``"embedding"``.
    faces : FaceSet
        Faces with identities, framed as the network wants them (`fusiform.networks.frame_faces`). Images of nobody known
        are left out; people with one image serve in non-mate pairs only.
    false_match_rate : float, default 1e-3
        Share of the pairs of two people that may match; in (0, 1).
    pairs : "all" or DataFrame, optional
        Every pair of images by default; or those of a protocol, such as `fusiform.faces.lfw_pairs` gives: ``first`` and
        ``second`` (rows of the set), and ``same``, which must agree with the identities.
    resamples : int, default 500
        Bootstrap samples of people, for the intervals.
    seed : int, default 0
        Of the samples.
    batch_size : int, default 32
        Faces a forward pass.
    progress : callable, optional
        Called with ``(done, total)`` images.

    Returns
    -------
    Calibration
        Threshold, error rates and intervals.

    Raises
    ------
    DataError
        If the set has no identities, no person has two images or no two people are shown, the table of pairs does not
        fit the set, or the pairs do not support the rate; the text says which rate they do.
    NetworkError
        If the network gives no embeddings.

    References
    ----------
    ISO/IEC 19795-1:2021, Biometric performance testing and reporting; Platt (1999), Probabilistic outputs for support
    vector machines, with smoothed targets; Poh and Bengio (2007), Estimating the confidence interval of expected
    performance curve in biometric authentication using joint bootstrap.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> faces = open_faces("synthetic?identities=6&per_identity=2&size=64")
    >>> calibrate(load_network("demo"), faces, false_match_rate=1e-4)
    Traceback (most recent call last):
    ...
    fusiform.errors.DataError: A false match rate of 0.0001 cannot be seen in 60 pairs of two people: 0.006 false
    matches are expected, and 3 are needed. These pairs support rates from 0.05; give more images, or ask for that.
    """
    rate = _checked_rate(false_match_rate)
    if isinstance(resamples, bool) or not isinstance(resamples, int) or resamples < 2:
        raise DataError(f"The 'resamples' of a calibration must be an int of at least 2; got {resamples!r}.")
    if faces.identity is None:
        raise DataError(
            f"The faces '{faces.name}' have no identities, so nobody knows which pairs match. Give a set with a column "
            "of kind 'identity'."
        )
    table = faces.table
    known, people = table[faces.identity].notna().to_numpy(), table[faces.identity]
    ends = None
    if isinstance(pairs, pd.DataFrame):
        ends = listed(pairs, people, table["image_id"])
        known = np.isin(np.arange(len(faces)), ends)
    elif pairs not in (None, "all"):
        raise DataError(f"'pairs' must be 'all' or a table with columns first and second; got {pairs!r}.")
    rows = np.flatnonzero(known)
    who = identity_codes(people.iloc[rows])
    if ends is None:
        # Refuse before anything is embedded.
        images = np.bincount(who) if len(who) else np.zeros(1, dtype=np.int64)
        _check_pairs(
            int((images * (images - 1)).sum()) // 2,
            int(images.sum() ** 2 - (images**2).sum()) // 2,
            rate,
            faces,
        )
    embedded = embeddings(net, faces, indices=rows, batch_size=batch_size, progress=progress)
    vectors = embedded.numpy().astype(np.float64)
    scored: Pairs
    if ends is None:
        scored = AllPairs(vectors, who)
    else:
        place = np.cumsum(known) - 1
        scored = ListedPairs(vectors, who, place[ends[0]], place[ends[1]])
    mates = scored.mates()
    samples = cluster_weights(int(who.max()) + 1, draws=resamples, seed=seed)
    nonmates, thresholds = _thresholds(scored, rate, samples)
    _check_pairs(len(mates), nonmates.n, rate, faces)
    missed = np.array([_missed(mates, c, t) for c, t in zip(samples, thresholds[1:], strict=True)])
    threshold = float(thresholds[0])
    tails = [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]
    lower, upper = np.nanquantile(thresholds[1:], tails)
    fnmr_lower, fnmr_upper = np.nanquantile(missed, tails)
    slope, intercept = _logistic(mates, nonmates)
    return Calibration(
        threshold=threshold,
        lower=float(lower),
        upper=float(upper),
        false_match_rate=rate,
        reached_false_match_rate=float((nonmates.scores >= threshold).sum() / nonmates.n),
        false_non_match_rate=float((mates.scores < threshold).mean()),
        fnmr_lower=float(fnmr_lower),
        fnmr_upper=float(fnmr_upper),
        slope=slope,
        intercept=intercept,
        n_images=len(rows),
        n_identities=int(who.max()) + 1,
        n_mate_pairs=len(mates),
        n_nonmate_pairs=nonmates.n,
        pairs="all" if ends is None else "table",
        network=net.card.name,
        network_digest=net.digest(),
        faces=faces.spec or faces.name,
        faces_digest=faces.digest(),
        resamples=resamples,
        seed=seed,
    )


def _checked_rate(rate: float) -> float:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1:
        raise DataError(f"A false match rate is a number in (0, 1); got {rate!r}.")
    return float(rate)


def _check_pairs(n_mates: int, n_nonmates: int, rate: float, faces: FaceSet) -> None:
    if not n_mates or not n_nonmates:
        raise DataError(
            f"A calibration needs pairs of one person and of two; '{faces.name}' gives {n_mates} and {n_nonmates}. "
            "Give people with two images or more, and two people or more."
        )
    if rate * n_nonmates < _LEAST_FALSE_MATCHES * (1 - 1e-9):
        raise DataError(
            f"A false match rate of {rate:g} cannot be seen in {n_nonmates:,} pairs of two people: {rate * n_nonmates:.2g} "
            f"false matches are expected, and {_LEAST_FALSE_MATCHES} are needed. These pairs support rates from "
            f"{_ceil(_LEAST_FALSE_MATCHES / n_nonmates):g}; give more images, or ask for that."
        )


def _ceil(rate: float) -> float:
    """Round up to two digits, so that the number shown is itself possible."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return math.ceil(rate / unit - 1e-9) * unit


def _thresholds(
    scored: Pairs, rate: float, samples: Float[ndarray, "draws people"]
) -> tuple[NonmatePairs, Float[ndarray, " draws_and_one"]]:
    """The threshold of all people, then of each sample of people."""
    counts = np.concatenate([np.ones((1, samples.shape[1])), samples])
    allowed = rate * np.array([scored.weight(c) for c in counts])
    factor = _TAIL
    while True:
        nonmates = scored.nonmates(math.ceil(factor * allowed[0]) + 1)
        whole = len(nonmates.scores) == nonmates.n
        found = [_lowest(nonmates, c, a, whole) for c, a in zip(counts, allowed, strict=True)]
        if None not in found:
            return nonmates, np.array(found, dtype=np.float64)
        factor *= 4


def _lowest(
    nonmates: NonmatePairs, counts: Float[ndarray, " people"], allowed: float, whole: bool
) -> float | None:
    """The lowest score from which on pairs of no more than this weight lie; None where it is not among those kept."""
    weight = counts[nonmates.first] * counts[nonmates.second]
    there = weight > 0
    scores, matched = nonmates.scores[there], np.cumsum(weight[there])
    if not len(scores):
        return math.nan if whole else None  # a sample that shows one person alone
    within = int(np.searchsorted(matched, allowed * (1 + 1e-12), side="right"))
    if within == len(scores):
        return float(scores[-1]) if whole else None
    # Equal scores match together or not at all.
    while within and scores[within - 1] == scores[within]:
        within -= 1
    return float(scores[within - 1] if within else np.nextafter(scores[0], np.inf))


def _missed(mates: MatePairs, counts: Float[ndarray, " people"], threshold: float) -> float:
    weight = counts[mates.who]
    total = weight.sum()
    return float(weight[mates.scores < threshold].sum() / total) if total else math.nan


def _logistic(mates: MatePairs, nonmates: NonmatePairs) -> tuple[float, float]:
    """Slope and intercept of the log odds: logistic regression on a histogram, each kind of pair half of the weight."""
    from scipy.optimize import minimize
    from scipy.special import expit

    centres = (np.arange(BINS) + 0.5) * (2 / BINS) - 1
    shares = np.stack([np.bincount(bins_of(mates.scores), minlength=BINS), nonmates.counts]).astype(
        np.float64
    )
    # Platt's smoothed targets, without which pairs that a threshold parts would make the slope infinite.
    truth = np.array([(len(mates) + 1) / (len(mates) + 2), 1 / (nonmates.n + 2)])
    shares /= 2 * shares.sum(axis=1, keepdims=True)
    weight = shares.sum(axis=0)
    positive = truth @ shares

    def loss(p: ndarray) -> tuple[float, ndarray]:
        odds = p[0] * centres + p[1]
        slack = weight * expit(odds) - positive
        return float(weight @ np.logaddexp(0, odds) - positive @ odds), np.array(
            [slack @ centres, slack.sum()]
        )

    found = minimize(loss, np.array([10.0, -3.0]), jac=True, method="BFGS", options={"gtol": 1e-9})
    return float(found.x[0]), float(found.x[1])
