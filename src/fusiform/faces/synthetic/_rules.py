"""Rules on factors: what makes a binary attribute true, and the least change that makes it so.

A rule is a tuple of *boxes*, of which one has to hold. A box maps factors (or weighted sums of factors) to what they
may be: a span ``low < value <= high``, or a set of levels. Rules are closed under and, or and not, so whether several
attributes can be true together, and what has to change for it, follows from their definitions alone.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from fusiform.faces.synthetic._factors import FACTORS

__all__ = ["Domain", "Rule", "Span", "above", "domain", "move", "one_of", "up_to"]

Terms = tuple[tuple[str, float], ...]  # factors with their weights
Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Span:
    """Numbers above low and up to high."""

    low: float = -math.inf
    high: float = math.inf


Levels = frozenset[str | bool]
Allowed = Span | Levels
Domain = tuple[float, float] | Levels  # what a factor may be at all: both ends count
Box = dict[Terms, Allowed]

# Where a new value is drawn from when the factor's whole range would be odd.
_USUAL = {"age": (16.0, 80.0)}
_MARGIN = 0.3  # share of a span that new values keep clear of its thresholds


@dataclass(frozen=True)
class Rule:
    """One of several boxes holds."""

    boxes: tuple[Box, ...]

    def __and__(self, other: "Rule") -> "Rule":
        joined = (_intersect(a, b) for a, b in product(self.boxes, other.boxes))
        return Rule(_distinct(box for box in joined if box is not None))

    def __or__(self, other: "Rule") -> "Rule":
        return Rule(_distinct((*self.boxes, *other.boxes)))

    def __invert__(self) -> "Rule":
        out = Rule(({},))
        for box in self.boxes:
            out &= Rule(
                tuple({terms: part} for terms, allowed in box.items() for part in _others(terms, allowed))
            )
        return out

    @property
    def factors(self) -> frozenset[str]:
        """Everything the rule reads."""
        return frozenset(name for box in self.boxes for terms in box for name, _ in terms)

    def holds(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Which rows it is true of."""
        n = len(next(iter(values.values())))
        out = np.zeros(n, dtype=bool)
        for box in self.boxes:
            inside = np.ones(n, dtype=bool)
            for terms, allowed in box.items():
                inside &= _holds(terms, allowed, values)
            out |= inside
        return out

    def possible(self, domains: Mapping[str, Domain]) -> bool:
        """Whether any face within the domains fits."""
        return any(
            all(_reachable(terms, a, {}, (), domains) for terms, a in box.items()) for box in self.boxes
        )

    def __str__(self) -> str:
        return ", or ".join(" and ".join(_text(*item) for item in box.items()) for box in self.boxes)


def above(what: str | Mapping[str, float], threshold: float) -> Rule:
    """A factor, or a weighted sum of factors, above a threshold."""
    return Rule(({_terms(what): Span(low=threshold)},))


def up_to(what: str | Mapping[str, float], threshold: float) -> Rule:
    """A factor, or a weighted sum of factors, at most a threshold."""
    return Rule(({_terms(what): Span(high=threshold)},))


def one_of(factor: str, levels: Iterable[str | bool]) -> Rule:
    """A factor at one of some levels."""
    return Rule(({_terms(factor): frozenset(levels)},))


def domain(factor: str) -> Domain:
    """All that a factor may be."""
    f = FACTORS[factor]
    if f.low is not None and f.high is not None:
        return f.low, f.high
    return frozenset(f.levels or (True, False))


def _terms(what: str | Mapping[str, float]) -> Terms:
    return ((what, 1.0),) if isinstance(what, str) else tuple(what.items())


def _intersect(a: Box, b: Box) -> Box | None:
    out = dict(a)
    for terms, allowed in b.items():
        if terms not in out:
            out[terms] = allowed
            continue
        mine = out[terms]
        if isinstance(mine, Span) and isinstance(allowed, Span):
            both = Span(max(mine.low, allowed.low), min(mine.high, allowed.high))
            if both.low >= both.high:
                return None
            out[terms] = both
        else:
            assert isinstance(mine, frozenset)
            assert isinstance(allowed, frozenset)
            if not mine & allowed:
                return None
            out[terms] = mine & allowed
    return out


def _within(a: Box, b: Box) -> bool:
    """Whether box a lies in box b."""
    return all(
        terms in a and _intersect({terms: a[terms]}, {terms: part}) == {terms: a[terms]}
        for terms, part in b.items()
    )


def _distinct(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Without boxes that lie in another one."""
    kept: list[Box] = []
    for box in boxes:
        if not any(_within(box, other) for other in kept):
            kept = [other for other in kept if not _within(other, box)] + [box]
    return tuple(kept)


def _others(terms: Terms, allowed: Allowed) -> list[Allowed]:
    if isinstance(allowed, Span):
        below, over = Span(high=allowed.low), Span(low=allowed.high)
        return [span for span in (below, over) if span.high > -math.inf and span.low < math.inf]
    everything = domain(terms[0][0])
    assert isinstance(everything, frozenset)
    return [everything - allowed] if everything - allowed else []


def _text(terms: Terms, allowed: Allowed) -> str:
    name = " ".join(
        ("- " if weight < 0 else "+ " if i else "")
        + (f"{abs(weight):g} " if abs(weight) != 1 else "")
        + factor
        for i, (factor, weight) in enumerate(terms)
    )
    if isinstance(allowed, Span):
        parts = [f"above {allowed.low:g}"] if allowed.low > -math.inf else []
        return f"{name} " + " and ".join(
            parts + ([f"up to {allowed.high:g}"] if allowed.high < math.inf else [])
        )
    known = [str(level) for level in FACTORS[terms[0][0]].levels or (False, True) if level in allowed]
    return f"{name} {' or '.join(known)}"


def _total(terms: Terms, values: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.asarray(sum(weight * values[name] for name, weight in terms), dtype=np.float64)


def _holds(terms: Terms, allowed: Allowed, values: Mapping[str, np.ndarray]) -> np.ndarray:
    if isinstance(allowed, Span):
        total = _total(terms, values)
        return (total > allowed.low) & (total <= allowed.high)
    column = values[terms[0][0]]
    return np.asarray([value in allowed for value in column.tolist()], dtype=bool)


def _ends(
    terms: Terms, values: Mapping[str, np.ndarray], frozen: Collection[str], domains: Mapping[str, Domain]
) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest value that a weighted sum can be given."""
    low, high = np.zeros(()), np.zeros(())
    for name, weight in terms:
        if name in frozen:
            ends = (weight * values[name],) * 2
        else:
            at = domains.get(name) or domain(name)
            assert isinstance(at, tuple)
            ends = (np.asarray(weight * at[0]), np.asarray(weight * at[1]))
        low, high = np.asarray(low + np.minimum(*ends)), np.asarray(high + np.maximum(*ends))
    return low, high


def _reachable(
    terms: Terms,
    allowed: Allowed,
    values: Mapping[str, np.ndarray],
    frozen: Collection[str],
    domains: Mapping[str, Domain],
) -> np.ndarray:
    """Whether the factors that may move can bring a value to where it is allowed."""
    if isinstance(allowed, Span):
        low, high = _ends(terms, values, frozen, domains)
        return np.asarray((high > allowed.low) & (low <= allowed.high))
    name = terms[0][0]
    levels = domains.get(name) or domain(name)
    assert isinstance(levels, frozenset)
    return np.asarray(name not in frozen and bool(levels & allowed))


def _between(low: np.ndarray, high: np.ndarray, allowed: Span, rng: np.random.Generator) -> np.ndarray:
    """Values within both the ends and the span, clear of the span's thresholds."""
    start, stop = np.maximum(low, allowed.low), np.minimum(high, allowed.high)
    margin = _MARGIN * (stop - start)
    start, stop = start + margin * (allowed.low >= low), stop - margin * (allowed.high <= high)
    return np.asarray(start + rng.random(np.shape(start)) * (stop - start))


def _new_number(name: str, allowed: Span, at: Domain, n: int, rng: np.random.Generator) -> np.ndarray:
    assert isinstance(at, tuple)
    factor = FACTORS[name]
    if factor.default == factor.low == at[0] and allowed.low < at[0]:
        return np.full(n, at[0])  # an amount: the face goes without
    usual = _USUAL.get(name, at)
    low, high = max(at[0], usual[0]), min(at[1], usual[1])
    if not (high > allowed.low and low <= allowed.high and low < high):
        low, high = at
    return _between(np.full(n, low), np.full(n, high), allowed, rng)


def _change(
    box: Box,
    values: Values,
    rows: np.ndarray,
    rng: np.random.Generator,
    frozen: Collection[str],
    domains: Mapping[str, Domain],
) -> None:
    """Bring rows into a box."""
    for terms, allowed in box.items():
        here = rows[~_holds(terms, allowed, {name: values[name][rows] for name, _ in terms})]
        if not len(here):
            continue
        name = terms[0][0]
        if isinstance(allowed, frozenset):
            levels = domains.get(name) or domain(name)
            choice = [x for x in FACTORS[name].levels or (False, True) if x in allowed and x in levels]
            values[name][here] = np.array(choice, dtype=values[name].dtype)[
                rng.integers(len(choice), size=len(here))
            ]
        elif len(terms) == 1:
            values[name][here] = _new_number(name, allowed, domains.get(name) or domain(name), len(here), rng)
        else:
            _shift(terms, allowed, values, here, rng, frozen, domains)


def _shift(
    terms: Terms,
    allowed: Span,
    values: Values,
    rows: np.ndarray,
    rng: np.random.Generator,
    frozen: Collection[str],
    domains: Mapping[str, Domain],
) -> None:
    """Move the factors of a sum together until it lies in a span."""
    part = {name: values[name][rows] for name, _ in terms}
    low, high = (np.broadcast_to(end, rows.shape) for end in _ends(terms, part, frozen, domains))
    # No further than needed: extremes of a sum would set every factor to its end.
    near = Span(max(allowed.low, -1e9), min(allowed.high, 1e9))
    start, stop = np.maximum(low, near.low), np.minimum(high, near.high)
    third = (stop - start) / 3
    from_below = _total(terms, part) <= allowed.low
    target = np.where(
        from_below,
        start + third * (0.2 + rng.random(len(rows))),
        stop - third * (0.2 + rng.random(len(rows))),
    )
    free = [(name, weight) for name, weight in terms if name not in frozen]
    for _ in range(60):
        missing = target - _total(terms, part)
        for name, weight in free:
            at = domains.get(name) or domain(name)
            assert isinstance(at, tuple)
            step = missing * np.sign(weight) / sum(abs(w) for _, w in free)
            part[name] = np.clip(part[name] + step, *at)
    for name, _ in free:
        values[name][rows] = part[name]


def move(
    values: Values,
    rule: Rule,
    rows: np.ndarray,
    rng: np.random.Generator,
    *,
    frozen: Collection[str] = (),
    domains: Mapping[str, Domain] | None = None,
) -> np.ndarray:
    """Change the fewest factors of some rows so that a rule holds, in place; return the rows for which none can."""
    domains = domains or {}
    cost = np.full((len(rule.boxes), len(rows)), np.inf)
    for i, box in enumerate(rule.boxes):
        cost[i] = 0
        for terms, allowed in box.items():
            part = {name: values[name][rows] for name, _ in terms}
            changes = sum(name not in frozen for name, _ in terms)
            needed = np.where(_reachable(terms, allowed, part, frozen, domains), changes, np.inf)
            cost[i] += np.where(_holds(terms, allowed, part), 0, needed)
    if not len(cost):
        return rows
    best = cost.argmin(axis=0)
    stuck = ~np.isfinite(cost.min(axis=0))
    for i, box in enumerate(rule.boxes):
        chosen = rows[(best == i) & ~stuck]
        if len(chosen):
            _change(box, values, chosen, rng, frozen, domains)
    return rows[stuck]
