"""Joint tables of binary attributes with given shares and correlations, and whole counts that meet them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from fusiform.errors import SpecError
from fusiform.faces.synthetic._rules import Domain, Rule
from fusiform.faces.synthetic._truth import all_of, rule_of

__all__ = ["Joint", "feasible_patterns", "joint_table", "largest_remainders", "whole_counts"]

_MOST_PATTERNS = 400
_TOLERANCE = 1e-6
Pairs = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Joint:
    """How often each combination of some binary attributes occurs.

    Parameters
    ----------
    names : tuple of str
        k attributes.
    patterns : ndarray of bool, shape (c, k)
        The combinations that a face can have.
    shares : ndarray, shape (c,)
        Their shares, which sum to 1.
    pairs : mapping of (int, int) to float
        Wanted phi coefficients between columns.
    """

    names: tuple[str, ...]
    patterns: np.ndarray
    shares: np.ndarray
    pairs: Mapping[tuple[int, int], float]

    @property
    def margins(self) -> np.ndarray:
        """Share of each attribute."""
        return self.shares @ self.patterns

    def only(self, columns: Sequence[int]) -> "Joint":
        """The table of some of the attributes."""
        patterns, inverse = np.unique(self.patterns[:, columns], axis=0, return_inverse=True)
        shares = np.bincount(inverse.ravel(), self.shares, minlength=len(patterns))
        place = {column: i for i, column in enumerate(columns)}
        pairs = {(place[i], place[j]): r for (i, j), r in self.pairs.items() if i in place and j in place}
        return Joint(tuple(self.names[c] for c in columns), patterns, shares, pairs)


def feasible_patterns(names: Sequence[str], domains: Mapping[str, Domain]) -> np.ndarray:
    """Every combination of attributes that some face within the domains has, shape (c, k)."""
    open_: list[tuple[tuple[bool, ...], Rule]] = [((), all_of({}))]
    for i, name in enumerate(names):
        rule = rule_of(name)
        longer = [((*p, v), so_far & (rule if v else ~rule)) for p, so_far in open_ for v in (False, True)]
        open_ = [(p, both) for p, both in longer if both.possible(domains)]
        if len(open_) > _MOST_PATTERNS:
            raise SpecError(
                f"The attributes {', '.join(names)} hang together, and the first {i + 1} of them alone have {len(open_)} "
                f"combinations; at most {_MOST_PATTERNS} can be planned. Name fewer attributes or correlations."
            )
    return np.array([p for p, _ in open_], dtype=bool).reshape(len(open_), len(names))


def _both(p: float, q: float, phi: float) -> float:
    """Share of faces that have both of two attributes."""
    return p * q + phi * float(np.sqrt(p * (1 - p) * q * (1 - q)))


def _solve(
    rows: np.ndarray, targets: np.ndarray, hard: int, scale: np.ndarray
) -> tuple[float, np.ndarray] | None:
    """Shares of patterns that meet the first `hard` targets exactly and the others as nearly as can be."""
    soft = len(rows) - hard
    slack = np.zeros((len(rows), 2 * soft))
    slack[hard:, :soft], slack[hard:, soft:] = np.eye(soft), -np.eye(soft)
    cost = np.concatenate((np.zeros(rows.shape[1]), scale, scale))
    result = linprog(cost, A_eq=np.hstack((rows, slack)), b_eq=targets, bounds=(0, None), method="highs")
    return (float(result.fun), result.x[: rows.shape[1]]) if result.status == 0 else None


def _short(value: float) -> str:
    """Three decimals towards zero, so that what a message names can be asked for."""
    return f"{np.trunc(value * 1000 + np.sign(value) * 1e-6) / 1000 + 0.0:g}"


def joint_table(
    shares: Mapping[str, float], pairs: Pairs, domains: Mapping[str, Domain], fixed: Sequence[str] = ()
) -> Joint:
    """The joint table of attributes that has given shares and correlations and is otherwise as even as can be.

    Shares and correlations are met, or refused, by a linear programme over the combinations that the attributes'
    definitions allow; among all tables that meet them, iterative proportional fitting finds the one of largest
    entropy, in which what is not asked to go together does not.

    Raises SpecError, naming the nearest that is possible.
    """
    names = tuple(shares)
    patterns = feasible_patterns(names, domains)
    x = patterns.astype(np.float64).T
    p = np.array([shares[name] for name in names])
    rows, targets = np.vstack((np.ones(len(patterns)), x)), np.concatenate(([1.0], p))
    solved = _solve(rows, targets, 1, np.ones(len(names)))
    assert solved is not None
    if solved[0] > _TOLERANCE:
        _refuse_shares(names, p, x @ solved[1], fixed)
    index = {name: i for i, name in enumerate(names)}
    places = {(index[a], index[b]): phi for (a, b), phi in pairs.items()}
    if places:
        _refuse_constant(names, p, places)
        both = np.array([x[i] * x[j] for i, j in places])
        wanted = np.array([_both(p[i], p[j], phi) for (i, j), phi in places.items()])
        spread = np.array([np.sqrt(p[i] * (1 - p[i]) * p[j] * (1 - p[j])) for i, j in places])
        solved = _solve(np.vstack((rows, both)), np.concatenate((targets, wanted)), len(rows), 1 / spread)
        if solved is None:  # the shares held to the last digit only with a slack
            raise SpecError(
                f"The shares of {', '.join(names)} leave no room for correlations. Change them slightly."
            )
        if solved[0] > _TOLERANCE:
            reached = {
                pair: float((both[k] @ solved[1] - p[pair[0]] * p[pair[1]]) / spread[k])
                for k, pair in enumerate(places)
            }
            _refuse_pairs(names, p, places, reached)
    return Joint(names, patterns, _fit(patterns, p, places), places)


def _refuse_shares(
    names: Sequence[str], wanted: np.ndarray, reached: np.ndarray, fixed: Sequence[str]
) -> None:
    asked = ", ".join(f"{name} {share:g}" for name, share in zip(names, wanted, strict=True))
    near = ", ".join(f"{name} {_short(share)}" for name, share in zip(names, reached, strict=True))
    beside = f" beside what is fixed or ranged ({', '.join(fixed)})" if fixed else ""
    raise SpecError(
        f"No set of faces has these shares: {asked}{beside}; a face that has one attribute cannot have some other. "
        f"The nearest possible: {near}. Ask for these, or change one of them."
    )


def _refuse_constant(names: Sequence[str], p: np.ndarray, places: Mapping[tuple[int, int], float]) -> None:
    for i, j in places:
        for k in (i, j):
            if not 0 < p[k] < 1:
                raise SpecError(
                    f"The correlation of {names[i]} and {names[j]} needs some faces with and some without {names[k]}; "
                    f"its share is {p[k]:g}. Give it a share between 0 and 1."
                )


def _refuse_pairs(
    names: Sequence[str],
    p: np.ndarray,
    places: Mapping[tuple[int, int], float],
    reached: Mapping[tuple[int, int], float],
) -> None:
    off = {pair: phi for pair, phi in places.items() if abs(reached[pair] - phi) > 1e-5}
    asked = ", ".join(f"{names[i]} and {names[j]} {phi:g}" for (i, j), phi in off.items())
    near = ", ".join(f"{names[i]} and {names[j]} {_short(reached[i, j])}" for i, j in off)
    among = sorted({k for pair in off for k in pair})
    shares = ", ".join(f"{names[k]} {p[k]:g}" for k in among)
    others = " and the other correlations" if len(places) > len(off) else ""
    raise SpecError(
        f"No set of faces has this correlation (phi): {asked}, given the shares {shares}{others}. The nearest possible: "
        f"{near}. Ask for that, or change the shares."
    )


def _fit(patterns: np.ndarray, p: np.ndarray, places: Mapping[tuple[int, int], float]) -> np.ndarray:
    """Iterative proportional fitting, from even shares, to the margins and the two-by-two tables of the pairs."""
    groups: list[tuple[np.ndarray, np.ndarray]] = [
        (patterns[:, i].astype(np.intp), np.array([1 - p[i], p[i]])) for i in range(len(p))
    ]
    for (i, j), phi in places.items():
        a = _both(p[i], p[j], phi)
        table = np.array([1 - p[i] - p[j] + a, p[j] - a, p[i] - a, a])
        groups.append((2 * patterns[:, i].astype(np.intp) + patterns[:, j], np.maximum(table, 0)))
    shares = np.full(len(patterns), 1 / len(patterns))
    for _ in range(2000):
        before = shares
        for group, table in groups:
            now = np.bincount(group, shares, minlength=len(table))
            shares = shares * np.divide(table, now, out=np.zeros_like(table), where=now > 0)[group]
        if np.abs(shares - before).max() < 1e-12:
            break
    return shares / shares.sum()


def whole_counts(joint: Joint, totals: Mapping[tuple[bool, ...], int], kept: int = 0) -> np.ndarray:
    """How many of a whole number of units get each pattern, so that margins and correlations are met.

    `totals` gives the number of units for each combination of the first `kept` attributes, which have been dealt out
    already. Shares are rounded so that the margins of the others are exact to a unit; then units are moved, and
    exchanged in one attribute, as long as that brings margins and correlations nearer.
    """
    patterns = joint.patterns
    counts = np.zeros(len(patterns), dtype=np.int64)
    for head, total in totals.items():
        here = np.flatnonzero((patterns[:, :kept] == np.array(head, dtype=bool)).all(axis=1))
        counts[here] = largest_remainders(joint.shares[here], total)
    n = sum(totals.values())
    fixed = np.array([sum(t for head, t in totals.items() if head[i]) for i in range(kept)])
    margins = np.concatenate((fixed, np.rint(n * np.round(joint.margins[kept:], 9)))).astype(np.float64)
    free = [i for i in range(patterns.shape[1]) if i >= kept]
    pairs = [pair for pair in joint.pairs if max(pair) >= kept]
    targets = [margins[i] for i in free]
    targets += [n * _both(margins[i] / n, margins[j] / n, joint.pairs[i, j]) for i, j in pairs]
    x = patterns.astype(np.float64)
    features = np.stack([x[:, i] for i in free] + [x[:, i] * x[:, j] for i, j in pairs], axis=1)
    weights = np.array([4.0] * len(free) + [1.0] * len(pairs))
    moves = _moves(patterns, features, kept)
    for _ in range(4 * n + 100):
        off = counts @ features - np.array(targets)
        now = float(weights @ (off * off))
        best: tuple[float, list[tuple[int, int]]] = (now - 1e-9, [])
        for delta, taken, given in moves:
            possible = np.ones(len(delta), dtype=bool)
            for k in range(taken.shape[1]):
                possible &= counts[taken[:, k]] > (taken[:, :k] == taken[:, k : k + 1]).sum(axis=1)
            if not possible.any():
                continue
            score = np.where(possible, ((off + delta) ** 2) @ weights, np.inf)
            k = int(np.round(score, 6).argmin())
            if score[k] < best[0]:
                best = (
                    float(score[k]),
                    [*((int(c), -1) for c in taken[k]), *((int(c), 1) for c in given[k])],
                )
        if not best[1]:
            break
        for cell, step in best[1]:
            counts[cell] += step
    return counts


def largest_remainders(shares: np.ndarray, total: int) -> np.ndarray:
    if not total:
        return np.zeros(len(shares), dtype=np.int64)
    exact = (
        np.round(total * shares / shares.sum(), 9)
        if shares.sum() > 0
        else np.full(len(shares), total / len(shares))
    )
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts


def _moves(
    patterns: np.ndarray, features: np.ndarray, kept: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All single moves and exchanges of one attribute: change of the features, cells taken from, cells given to."""
    n, k = patterns.shape
    a, b = (i.ravel() for i in np.indices((n, n)))
    alike = (a != b) & (patterns[a, :kept] == patterns[b, :kept]).all(axis=1)
    a, b = a[alike], b[alike]
    out = [(features[b] - features[a], a[:, None], b[:, None])]
    place = {tuple(row): i for i, row in enumerate(patterns.tolist())}
    for j in range(kept, k):
        flipped = patterns.copy()
        flipped[:, j] ^= True
        partner = np.array([place.get(tuple(row), -1) for row in flipped.tolist()])
        with_, without = (np.flatnonzero((patterns[:, j] == v) & (partner >= 0)) for v in (True, False))
        first, second = (i.ravel() for i in np.meshgrid(with_, without, indexing="ij"))
        taken, given = np.stack((first, second), 1), np.stack((partner[first], partner[second]), 1)
        delta = features[given[:, 0]] + features[given[:, 1]] - features[taken[:, 0]] - features[taken[:, 1]]
        out.append((delta, taken, given))
    return [move for move in out if len(move[0])]
