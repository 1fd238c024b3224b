"""Rank correlation by reordering: values keep their distribution and only change places."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from fusiform.errors import SpecError

__all__ = ["highest", "rank_order"]

_TOLERANCE = 0.005


def _standard(values: np.ndarray) -> np.ndarray:
    ranks = rankdata(values) - (len(values) + 1) / 2
    return np.asarray(ranks / max(float(np.sqrt((ranks * ranks).sum())), 1e-12))


def rank_order(
    values: np.ndarray,
    name: str,
    references: Sequence[tuple[str, np.ndarray, float]],
    rng: np.random.Generator,
) -> np.ndarray:
    """Reorder values so that they have given rank correlations with other columns.

    `references` are names, columns and wanted correlations (Spearman's; with a binary column, the correlation of the
    ranks with it). Raises SpecError, naming the nearest that is possible.
    """
    n = len(values)
    others = np.stack([_standard(column) for _, column, _ in references], axis=1)
    wanted = np.array([r for *_, r in references])
    ordered = np.sort(values)
    noise = rng.permutation(n).astype(np.float64)
    spread = _standard(noise)
    basis, _ = np.linalg.qr(others)
    spread = spread - basis @ (basis.T @ spread)
    spread = spread / max(float(np.sqrt((spread * spread).sum())), 1e-12)
    gram = others.T @ others + 1e-9 * np.eye(len(wanted))
    for (other, column, r), standard in zip(references, others.T, strict=True):
        most = abs(float(_standard(ordered) @ np.sort(standard)))
        if abs(r) > most + _TOLERANCE:
            what = "constant" if np.ptp(np.asarray(column, dtype=np.float64)) == 0 else "given its ties"
            raise SpecError(
                f"'{name}' and '{other}' cannot have a rank correlation of {r:g}: '{other}' is {what}. The nearest possible: "
                f"{np.copysign(np.floor(most * 1000) / 1000, r) + 0.0:g}."
            )
    target, best, least = wanted.copy(), values, np.inf
    for _ in range(60):
        weights = np.linalg.solve(gram, target)
        explained = float(target @ weights)
        score = others @ weights / max(1.0, np.sqrt(max(explained, 0)))
        score = score + spread * np.sqrt(max(0.0, 1 - explained))
        # Ties of the score are broken by the noise, which decides alone where nothing else does.
        order = np.lexsort((noise, np.round(score, 12)))
        placed = np.empty_like(values)
        placed[order] = ordered
        reached = _standard(placed) @ others
        error = float(np.abs(reached - wanted).max())
        if error < least:
            best, least = placed, error
        if error < _TOLERANCE / 5:
            break
        target = np.clip(target + 0.7 * (wanted - reached), -1, 1)
    if least > 0.02 + 4 / n:
        reached = _standard(best) @ others
        near = ", ".join(f"{other} {r:.3g}" for (other, *_), r in zip(references, reached, strict=True))
        asked = ", ".join(f"{other} {r:g}" for other, _, r in references)
        raise SpecError(
            f"'{name}' cannot have these rank correlations at once with {n} values: {asked}. The nearest found: {near}."
        )
    return best


def highest(
    count: int, name: str, reference: tuple[str, np.ndarray, float], rng: np.random.Generator
) -> np.ndarray:
    """Choose as many rows as given so that being chosen has a given correlation with another column's ranks."""
    flags = np.zeros(len(reference[1]))
    flags[:count] = 1
    return rank_order(flags, name, [reference], rng) > 0
