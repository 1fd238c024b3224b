"""Partial least squares and VIP as the textbooks write them: one matrix at a time, deflated, nothing saved."""

from dataclasses import dataclass

import numpy as np


@dataclass
class SlowPLS:
    weights: np.ndarray
    scores: np.ndarray
    x_loadings: np.ndarray
    y_loadings: np.ndarray
    gap: float
    """Smallest distance of a leading singular value from the second, relative; weights are that well defined."""


def slow_pls(X: np.ndarray, Y: np.ndarray, n_components: int, *, scale: bool) -> SlowPLS:
    """PLS with deflation of both blocks and a full singular value decomposition a component."""
    X, Y = X.astype(np.float64), Y.astype(np.float64).reshape(len(Y), -1)
    E, F = X - X.mean(axis=0), Y - Y.mean(axis=0)
    if scale:
        E, F = (A / np.where(A.any(axis=0), A.std(axis=0, ddof=1), 1.0) for A in (E, F))
    parts: list[tuple[np.ndarray, ...]] = []
    gap = 1.0
    for _ in range(n_components):
        u, s, _ = np.linalg.svd(E.T @ F, full_matrices=False)
        if len(s) > 1:
            gap = min(gap, 1 - s[1] / s[0])
        w = u[:, 0]
        t = E @ w
        p, q = E.T @ t / (t @ t), F.T @ t / (t @ t)
        E, F = E - np.outer(t, p), F - np.outer(t, q)
        parts.append((w, t, p, q))
    return SlowPLS(*(np.stack(column, axis=1) for column in zip(*parts, strict=True)), gap=gap)


def slow_vip(weights: np.ndarray, scores: np.ndarray, y_loadings: np.ndarray) -> np.ndarray:
    """Importance of every feature, one component and one target at a time."""
    m, c = weights.shape
    explained = [0.0] * c
    for a in range(c):
        for loading in y_loadings[:, a]:
            explained[a] += float(loading**2 * (scores[:, a] @ scores[:, a]))
    vip = np.zeros(m)
    for j in range(m):
        total = 0.0
        for a in range(c):
            total += explained[a] * (weights[j, a] / np.linalg.norm(weights[:, a])) ** 2
        vip[j] = np.sqrt(m * total / sum(explained))
    return vip
