"""Two canonical model saliency maps compared: of two groups of people, or of two networks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from fusiform.attribution.canonical._model import (
    CanonicalModelSaliency,
    Sums,
    bounds,
    on_face,
    ratio,
    shares,
)
from fusiform.errors import AttributionError
from fusiform.faces import canonical_face
from fusiform.statistics import cluster_weights


@dataclass(frozen=True, eq=False)
class CanonicalDifference:
    """Where two canonical model saliency maps differ.

    Both maps are divided by their mean absolute value over the places that both show: compared is where a network
    looks, not how large its scores are.

    Attributes
    ----------
    map, lower, upper : tensor, shape (size, size)
        The first map less the second, and its interval.
    correlation : tuple of float
        Of the two maps' pixels, with its interval.
    p_value : float
        Of a permutation test: how often labels given by chance make maps that differ as much.
    table : DataFrame
        One row a part: difference of its shares of the positive mass, interval, p_value.
    """

    map: Float[Tensor, "s s"]
    lower: Float[Tensor, "s s"]
    upper: Float[Tensor, "s s"]
    correlation: tuple[float, float, float]
    p_value: float
    table: pd.DataFrame


def canonical_difference(
    first: CanonicalModelSaliency,
    second: CanonicalModelSaliency,
    *,
    draws: int = 500,
    permutations: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> CanonicalDifference:
    """Compare two canonical model saliency maps.

    People who are in both, as when two networks saw the same images, are resampled together and stay pairs: chance
    exchanges their two labels. The others' labels are permuted among them.

    Parameters
    ----------
    first, second : CanonicalModelSaliency
        Of one group each, see `CanonicalModelSaliency.group`; of one size.
    draws : int, default 500
        Bootstrap samples of people.
    permutations : int, default 500
        Permutations; the least p-value is one of this number plus one.
    level : float, default 0.95
        Coverage.
    seed : int, default 0
        Of both.

    Returns
    -------
    CanonicalDifference
        The difference and what chance makes of it.

    Raises
    ------
    AttributionError
        If there are several groups, sizes differ, or no place is shown by both.

    Examples
    --------
    >>> import torch
    >>> from fusiform.attribution.canonical import canonical_model_saliency
    >>> maps = torch.rand(6, 32, 32)
    >>> both = canonical_model_saliency(maps, groups=[True, False] * 3)
    >>> found = canonical_difference(both.group("True"), both.group("True"), draws=20, permutations=20)
    >>> round(found.correlation[0], 6), found.p_value
    (1.0, 1.0)
    """
    for given in (first, second):
        if len(given.groups) != 1:
            raise AttributionError(
                f"A difference is between two groups; one of these holds {len(given.groups)}, {', '.join(given.groups)}. "
                "Take one with .group(name)."
            )
    if first.size != second.size:
        raise AttributionError(f"Canonical maps of different size, {first.size} and {second.size}.")
    both = (first.sums[0].seen.sum(axis=0) > 0) & (second.sums[0].seen.sum(axis=0) > 0)
    if not both.any():
        raise AttributionError("No place of the face is shown by both.")
    face = canonical_face(first.size).face
    inside = {name: mask.cpu()[face].numpy()[both] for name, mask in first.parts.items()}
    people = sorted({*first.sums[0].identities, *second.sums[0].identities})
    blocks = [_block(given.sums[0], people, both) for given in (first, second)]
    (a, a_seen), (b, b_seen) = blocks
    a_map, b_map = (_scaled(ratio(t.sum(axis=0), s.sum(axis=0))) for t, s in blocks)
    part_shares = [shares(m, inside) for m in (a_map, b_map)]
    distance = _distance(a_map, b_map)

    weights = cluster_weights(len(people), draws=draws if len(people) > 1 else 0, seed=seed)
    drawn = [_scaled(ratio(weights @ t, weights @ s)) for t, s in blocks]
    drawn_shares = [shares(m, inside) for m in drawn]
    lower, upper = bounds(drawn[0] - drawn[1], level)

    # The scores of one network may be larger: labels are exchanged between maps of one scale.
    a, b = (t / _scale(ratio(t.sum(axis=0), s.sum(axis=0))) for t, s in blocks)
    swapped = _swaps(np.asarray(a_seen.any(axis=1)), np.asarray(b_seen.any(axis=1)), permutations, seed)
    new_a, new_a_seen = a.sum(axis=0) + swapped @ (b - a), a_seen.sum(axis=0) + swapped @ (b_seen - a_seen)
    one = _scaled(ratio(new_a, new_a_seen))
    other = _scaled(ratio((a + b).sum(axis=0) - new_a, (a_seen + b_seen).sum(axis=0) - new_a_seen))
    chance = [shares(m, inside) for m in (one, other)]
    rows = []
    for part in inside:
        value = float(part_shares[0][part] - part_shares[1][part])
        low, high = bounds((drawn_shares[0][part] - drawn_shares[1][part])[:, None], level)[:, 0]
        p = _p_value(abs(value), np.abs(chance[0][part] - chance[1][part]))
        rows.append((part, "share difference", value, low, high, p, first.sums[0].n, second.sums[0].n))

    def picture(values: ndarray) -> Tensor:
        whole = np.full(both.shape, np.nan)
        whole[both] = values
        return on_face(whole, face).to(first.maps)

    related = bounds(_correlation(*drawn)[:, None], level)[:, 0]
    return CanonicalDifference(
        picture(a_map - b_map),
        picture(lower),
        picture(upper),
        (float(_correlation(a_map[None], b_map[None])[0]), float(related[0]), float(related[1])),
        _p_value(float(distance), _distance(one, other)),
        pd.DataFrame(
            rows, columns=["part", "metric", "value", "lower", "upper", "p_value", "n_first", "n_second"]
        ),
    )


def _block(sums: Sums, people: list[str], both: ndarray) -> tuple[ndarray, ndarray]:
    """Sums by person, for all people, zero for those who are not in it."""
    place = {name: i for i, name in enumerate(people)}
    rows = [place[name] for name in sums.identities]
    total, seen = (np.zeros((len(people), int(both.sum()))) for _ in range(2))
    total[rows], seen[rows] = sums.total[:, both], sums.seen[:, both]
    return total, seen


def _swaps(in_a: ndarray, in_b: ndarray, permutations: int, seed: int) -> Float[ndarray, "b people"]:
    """1 where a person's label is exchanged: by chance for those in both, a permutation of labels for the others."""
    rng = np.random.default_rng(seed)
    out = (rng.random((permutations, len(in_a))) < 0.5).astype(np.float64)
    alone = np.flatnonzero(in_a != in_b)
    labels = in_a[alone]
    for row in out:
        row[alone] = rng.permutation(labels) != labels
    return out


def _scale(means: ndarray) -> ndarray:
    known = np.isfinite(means)
    return np.abs(np.where(known, means, 0)).sum(axis=-1, keepdims=True) / np.maximum(
        known.sum(axis=-1, keepdims=True), 1
    )


def _scaled(means: ndarray) -> ndarray:
    scale = _scale(means)
    return np.divide(means, scale, out=np.zeros_like(means), where=scale > 0)


def _distance(one: ndarray, other: ndarray) -> ndarray:
    apart = (one - other) ** 2
    known = np.isfinite(apart)
    return ratio(np.where(known, apart, 0).sum(axis=-1), known.sum(axis=-1))


def _correlation(one: Float[ndarray, "b p"], other: Float[ndarray, "b p"]) -> Float[ndarray, " b"]:
    known = np.isfinite(one) & np.isfinite(other)
    count = known.sum(axis=1, keepdims=True)
    x, y = (
        np.where(known, m - ratio(np.where(known, m, 0).sum(axis=1, keepdims=True), count), 0)
        for m in (one, other)
    )
    return ratio((x * y).sum(axis=1), np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1)))


def _p_value(value: float, chance: ndarray) -> float:
    # Up to rounding, so that a permutation that changes nothing counts as reaching the value.
    return float((1 + (chance >= value * (1 - 1e-9) - 1e-12).sum()) / (1 + len(chance)))
