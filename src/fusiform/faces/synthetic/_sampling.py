from collections.abc import Mapping

import numpy as np
import pandas as pd

from fusiform.errors import SpecError
from fusiform.faces.synthetic._factors import FACTORS
from fusiform.faces.synthetic._people import ROOTS, Person, image, person, root
from fusiform.faces.synthetic._plan import (
    Fixed,
    Marginal,
    Plan,
    RankPair,
    factor_of,
    is_continuous,
    is_stable,
    read_plan,
)
from fusiform.faces.synthetic._quotas import Joint, largest_remainders, whole_counts
from fusiform.faces.synthetic._ranks import highest, rank_order
from fusiform.faces.synthetic._truth import rule_of, settle

__all__ = ["check_count", "draw", "sample_parameters"]

_IMAGES_PER_IDENTITY = 8
_STABLE = tuple(name for name, factor in FACTORS.items() if factor.stable)
_VARYING = tuple(name for name, factor in FACTORS.items() if not factor.stable)

Flags = dict[str, np.ndarray]


def check_count(name: str, value: object, least: int) -> int:
    """An int of at least so much."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise SpecError(f"The '{name}' of synthetic faces must be an int of at least {least}; got {value!r}.")
    return int(value)


def _places(n: int, identities: int | None, per_identity: int | None) -> list[tuple[int, int]]:
    """Identity and index within the identity of each row."""
    for name, given in (("identities", identities), ("per_identity", per_identity)):
        if given is not None and (
            isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1
        ):
            raise SpecError(
                f"'{name}' of synthetic faces must be an int of at least 1, or None; got {given!r}."
            )
    if identities is not None and per_identity is not None and n > identities * per_identity:
        raise SpecError(
            f"{identities} identities with {per_identity} images each give {identities * per_identity} faces; "
            f"n={n} was asked. Raise one of them, or leave one out."
        )
    if per_identity is None and identities is not None:
        return [(i % identities, i // identities) for i in range(n)]
    each = per_identity or _IMAGES_PER_IDENTITY
    return [(i // each, i % each) for i in range(n)]


class _Casting:
    """Meets a plan while a set is being drawn: roots of people first, then the people, then their images."""

    def __init__(self, plan: Plan, seed: int, units: np.ndarray, n_units: int) -> None:
        self._plan = plan
        self._rng = np.random.default_rng(np.random.SeedSequence([seed, 9]))
        self._units, self._n_units = units, n_units
        self._of_unit: Flags = {}  # stable attributes, one value an identity
        self._of_row: Flags = {}
        for joint in plan.joints:
            self._deal_identities(joint)

    def _deal(self, joint: Joint, counts: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Which pattern each of some places gets, in random order."""
        out = np.empty(len(places), dtype=np.int64)
        out[self._rng.permutation(len(places))] = np.repeat(np.arange(len(counts)), counts)
        return joint.patterns[out]

    def _deal_identities(self, joint: Joint) -> None:
        kept = [i for i, name in enumerate(joint.names) if is_stable(name)]
        if kept:
            table = joint.only(kept)
            counts = whole_counts(table, {(): self._n_units})
            dealt = self._deal(table, counts, np.arange(self._n_units))
            self._of_unit |= dict(zip(table.names, dealt.T, strict=True))

    def _deal_rows(self, joint: Joint, rows: pd.DataFrame) -> None:
        n, kept = len(rows), sum(map(is_stable, joint.names))
        heads = np.stack(
            [self._of_unit[name][self._units] for name in joint.names[:kept]] or [np.zeros(n)], axis=1
        )
        heads = heads[:, :kept].astype(bool)
        combinations = np.unique(heads, axis=0)
        totals = {tuple(head.tolist()): int((heads == head).all(axis=1).sum()) for head in combinations}
        counts = (
            whole_counts(joint, totals, kept)
            if kept < len(joint.names)
            else np.zeros(len(joint.patterns), int)
        )
        for name in joint.names:
            self._of_row[name] = np.zeros(n, dtype=bool)
        for head in combinations:
            here = np.flatnonzero((heads == head).all(axis=1))
            same = (joint.patterns[:, :kept] == head).all(axis=1)
            dealt = (
                self._deal(joint, np.where(same, counts, 0), here)
                if kept < len(joint.names)
                else head[None].repeat(len(here), 0)
            )
            for name, column in zip(joint.names, dealt.T, strict=True):
                self._of_row[name][here] = column
        for rank in self._plan.ranks:
            if rank.mover in joint.names:
                reference = rank.reference, rows[factor_of(rank.reference)].to_numpy(), rank.value
                count = int(self._of_row[rank.mover].sum())
                self._of_row[rank.mover] = highest(count, rank.mover, reference, self._rng)

    def _set(self, table: pd.DataFrame, names: tuple[str, ...]) -> None:
        """Fixed values, ranges and shares of levels of some factors."""
        for name in names:
            if name in self._plan.fixed:
                table[name] = self._plan.fixed[name]
            elif name in self._plan.ranges:
                low, high = self._plan.ranges[name]
                even = (self._rng.permutation(len(table)) + self._rng.random(len(table))) / len(table)
                table[name] = low + even * (high - low)
            elif name in self._plan.levels:
                shares = self._plan.levels[name]
                counts = largest_remainders(np.array(list(shares.values())), len(table))
                table[name] = self._rng.permutation(np.repeat(np.array(list(shares), dtype=object), counts))

    def _reorder(self, table: pd.DataFrame, flags: Flags, movers: list[str]) -> None:
        for mover in dict.fromkeys(movers):
            ranks = [rank for rank in self._plan.ranks if rank.mover == mover]
            references = [(r.reference, _column(r.reference, table, flags), r.value) for r in ranks]
            factor = factor_of(mover)
            table[factor] = rank_order(table[factor].to_numpy(dtype=np.float64), mover, references, self._rng)

    def _among_roots(self, rank: RankPair) -> bool:
        reads = (
            {factor_of(rank.reference)} if is_continuous(rank.reference) else rule_of(rank.reference).factors
        )
        return rank.mover in ROOTS and reads <= set(ROOTS)

    def roots(self, table: pd.DataFrame) -> pd.DataFrame:
        """Meet what is asked of the roots, before the rest of a person is drawn after them."""
        self._set(table, ROOTS)
        flags = {name: f for name, f in self._of_unit.items() if rule_of(name).factors <= set(ROOTS)}
        table = settle(table, flags, self._rng, domains=self._plan.domains)
        self._reorder(table, flags, self._movers_of_roots())
        return table

    def _movers_of_roots(self) -> list[str]:
        movers = [rank.mover for rank in self._plan.ranks if rank.mover in ROOTS]
        return [m for m in movers if all(self._among_roots(r) for r in self._plan.ranks if r.mover == m)]

    def people(self, table: pd.DataFrame) -> pd.DataFrame:
        """Meet what is asked of stable factors; habits are columns beside."""
        self._set(table, tuple(name for name in _STABLE if name not in ROOTS))
        factors = settle(table[[*_STABLE, "bangs"]], self._of_unit, self._rng, domains=self._plan.domains)
        table[factors.columns] = factors
        done = self._movers_of_roots()
        movers = [r.mover for r in self._plan.ranks if is_continuous(r.mover) and is_stable(r.mover)]
        self._reorder(table, self._of_unit, [mover for mover in movers if mover not in done])
        return table

    def images(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Meet what is asked of the images."""
        self._set(rows, _VARYING)
        for name, at in self._plan.domains.items():  # the years between images of a person
            if FACTORS[name].stable and isinstance(at, tuple):
                rows[name] = rows[name].clip(*at)
        for joint in self._plan.joints:
            self._deal_rows(joint, rows)
        rows = settle(rows, self._of_row, self._rng, frozen=_STABLE, domains=self._plan.domains)
        movers = [r.mover for r in self._plan.ranks if is_continuous(r.mover) and not is_stable(r.mover)]
        self._reorder(rows, self._of_row, movers)
        return rows


def _column(name: str, table: pd.DataFrame, flags: Flags) -> np.ndarray:
    return (
        table[factor_of(name)].to_numpy(dtype=np.float64)
        if is_continuous(name)
        else flags[name].astype(np.float64)
    )


def _records(table: pd.DataFrame) -> list[Person]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _people(seed: int, identities: list[int], covariation: bool, casting: _Casting | None) -> list[Person]:
    """Draw people by their numbers: stable factors and habits."""
    roots = pd.DataFrame([root(seed, k) for k in identities])
    if casting is not None:
        roots = casting.roots(roots)
    drawn = [person(seed, k, at, covariation) for k, at in zip(identities, _records(roots), strict=True)]
    if casting is not None:
        drawn = _records(casting.people(pd.DataFrame(drawn)))
    return drawn


def draw(places: list[tuple[int, int]], seed: int, covariation: bool, plan: Plan) -> pd.DataFrame:
    """Parameters of given images of given people under a plan."""
    who = sorted({identity for identity, _ in places})
    unit = {identity: i for i, identity in enumerate(who)}
    units = np.array([unit[identity] for identity, _ in places])
    casting = _Casting(plan, seed, units, len(who)) if plan.domains or plan.joints or plan.ranks else None
    cast = _people(seed, who, covariation, casting)
    rows = [image(seed, k, j, cast[i]) for (k, j), i in zip(places, units, strict=True)]
    table = pd.DataFrame(rows, columns=list(FACTORS))
    if casting is not None:
        table = casting.images(table)
    table.insert(0, "identity", pd.Series([f"s{seed}_{k:05d}" for k, _ in places], dtype="string"))
    return table


def sample_parameters(
    n: int,
    *,
    seed: int = 0,
    identities: int | None = None,
    per_identity: int | None = None,
    covariation: bool = True,
    fixed: Mapping[str, Fixed] | None = None,
    marginals: Mapping[str, Marginal] | None = None,
    correlations: Mapping[tuple[str, str], float] | None = None,
) -> pd.DataFrame:
    """Draw parameters of synthetic faces: several images each of several people, as they come or as they are planned.

    A row is a pure function of the seed, its identity's index and its index within the identity, so a set of
    100 begins with the set of 50, as long as no marginals or correlations are asked; with them, a set is a pure
    function of all arguments. Every fourth image of a person is an easy one: frontal, evenly lit and sharp.

    What is planned is met exactly, not on average. Binary attributes have their shares to a face, or to an identity
    where the attribute is one that all images of an identity share. Attributes that are planned together go together as
    asked and otherwise not at all, as far as their definitions allow (no bald head has black hair); ask for what is
    not so and the error names the nearest that is. What is planned does not change what people have in common
    otherwise: beards stay with men unless beards, too, are planned.

    Parameters
    ----------
    n : int
        How many faces.
    seed : int, default 0
        What the people and images are drawn from; sets of different seeds share no person.
    identities : int, optional
        How many people. Given alone, the people take turns: face i shows person ``i % identities``.
    per_identity : int, optional
        Images of one person, in consecutive rows: face i shows person ``i // per_identity``. 8 where
        neither is given.
    covariation : bool, default True
        Whether traits go together as in people: grey hair with age, dark hair and eyes with dark skin, beards with men.
        If False, no trait of a person leans on sex, age or skin tone; how common each trait is stays the same.
    fixed : mapping of str to float, bool or str, optional
        Factors that are the same in all faces, such as ``{"yaw": 0.0, "hat": "none"}``.
    marginals : mapping, optional
        Binary attributes of `ATTRIBUTES`, binary factors or ``"factor=level"`` to their shares in [0, 1]; continuous
        factors to the ``(low, high)`` of a uniform distribution; categorical factors to the shares of their levels. A
        range also bounds what a planned attribute draws, so that ``{"age": (20, 60), "Young": 0.3}`` can be asked.
    correlations : mapping of (str, str) to float, optional
        Of two binary attributes, their phi coefficient; attributes without a marginal get a share of one half. Of
        continuous factors, Spearman's rank correlation, with another one or with a binary attribute; the
        intensity of an action unit is named as in ``"AU_12_intensity"``. What images of an identity share is
        correlated over identities.

    Returns
    -------
    DataFrame
        ``identity`` (string), then a column for every one of `FACTORS`.

    Raises
    ------
    SpecError
        For counts that are not positive ints or that contradict each other, for unknown names, and for marginals and
        correlations that no set of faces can have.

    Notes
    -----
    A joint table of all binary attributes that hang together is found by a linear programme (whether there is one)
    and iterative proportional fitting (the one of largest entropy), and rounded to whole faces. For 500 faces and
    more, correlations are within 0.02 of what was asked; of two attributes that identities share, for 500
    identities.

    References
    ----------
    Deming and Stephan, On a least squares adjustment of a sampled frequency table, Annals of Mathematical Statistics
    1940.

    Examples
    --------
    >>> table = sample_parameters(16, seed=1)
    >>> table.identity.nunique(), len(table)
    (2, 16)
    >>> sample_parameters(3, seed=1).equals(table[:3])
    True
    >>> table = sample_parameters(40, per_identity=1, marginals={"Male": 0.25}, correlations={("Male", "Eyeglasses"): 1})
    Traceback (most recent call last):
    ...
    fusiform.errors.SpecError: No set of faces has this correlation (phi): Eyeglasses and Male 1, given the shares
    Male 0.25, Eyeglasses 0.5. The nearest possible: Eyeglasses and Male 0.577. Ask for that, or change the shares.
    """
    n, seed = check_count("n", n, 1), check_count("seed", seed, 0)
    plan = read_plan(fixed, marginals, correlations)
    return draw(_places(n, identities, per_identity), seed, covariation, plan)
