"""What a set of synthetic faces is asked to be: fixed factors, marginals and correlations, checked."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fusiform.errors import DataError, SpecError, nearest
from fusiform.faces.synthetic._factors import FACTORS, check
from fusiform.faces.synthetic._people import ROOTS
from fusiform.faces.synthetic._quotas import Joint, joint_table
from fusiform.faces.synthetic._rules import Domain
from fusiform.faces.synthetic._truth import RULES, rule_of, tied

__all__ = ["Fixed", "Marginal", "Plan", "RankPair", "factor_of", "is_continuous", "is_stable", "read_plan"]

Fixed = float | bool | str
Marginal = float | tuple[float, float] | Mapping[str, float]
_INTENSITY = "_intensity"


@dataclass(frozen=True)
class RankPair:
    """A continuous factor to be reordered, or a binary attribute to be dealt out, so that it goes with another."""

    mover: str
    reference: str
    value: float


@dataclass(frozen=True)
class Plan:
    """A checked request.

    Parameters
    ----------
    fixed : dict
        Factors and their one value.
    ranges : dict
        Continuous factors and the ends of their uniform distribution.
    levels : dict
        Categorical factors and the shares of their levels.
    domains : dict
        What each of these factors may be.
    joints : tuple of Joint
        Joint tables of binary attributes, one for each group that hangs together.
    ranks : tuple of RankPair
        Correlations with continuous factors, in the order in which they are made.
    """

    fixed: dict[str, Fixed]
    ranges: dict[str, tuple[float, float]]
    levels: dict[str, dict[str, float]]
    domains: dict[str, Domain]
    joints: tuple[Joint, ...]
    ranks: tuple[RankPair, ...]


def is_stable(name: str) -> bool:
    """Whether images of one identity share a binary attribute or a continuous factor when it is planned."""
    if is_continuous(name):
        return FACTORS[factor_of(name)].stable
    return any(FACTORS[factor].stable for factor in rule_of(name).factors)


def factor_of(name: str) -> str:
    plain = name.removesuffix(_INTENSITY)
    return plain if plain in FACTORS else name


def is_continuous(name: str) -> bool:
    return name not in RULES and factor_of(name) in FACTORS and FACTORS[factor_of(name)].kind == "continuous"


def _order(names: Iterable[str]) -> list[str]:
    """Sorted by the tables of rules and factors, so that the order of a request does not matter."""
    known = {name: i for i, name in enumerate((*RULES, *FACTORS))}
    return sorted(names, key=lambda name: (known.get(factor_of(name.partition("=")[0]), 0), name))


def _number(value: object, what: str, low: float, high: float) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.integer | np.floating)
        or not low <= value <= high
    ):
        raise SpecError(f"{what} must be a number in [{low:g}, {high:g}]; got {value!r}.")
    return float(value)


def _mapping(value: object, name: str, example: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SpecError(f"'{name}' must be a mapping such as {example}; got {value!r}.")
    return value


def _read_fixed(given: Mapping[str, Fixed]) -> dict[str, Fixed]:
    out: dict[str, Fixed] = {}
    for name in given:
        plain = factor_of(str(name))
        if plain not in FACTORS:
            instead = (
                f"it is an attribute: give marginals={{'{name}': 1.0}}, or 0.0"
                if name in RULES
                else nearest(str(name), FACTORS)
            )
            raise SpecError(f"'fixed' takes factors of synthetic faces, and '{name}' is none; {instead}")
        try:
            value = check(pd.DataFrame({plain: [given[name]]}))[plain].tolist()[0]
        except DataError as error:
            raise SpecError(f"In 'fixed': {str(error).replace(' in row 0', '')}") from error
        out[plain] = value
    return {name: out[name] for name in _order(out)}


def _read_range(name: str, given: object) -> tuple[float, float]:
    factor = FACTORS[name]
    assert factor.low is not None
    assert factor.high is not None
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise SpecError(
            f"The marginal of the continuous factor '{name}' must be a range (low, high); got {given!r}. "
            f"For one value, use fixed={{'{name}': ...}}."
        )
    low, high = (_number(x, f"Either end of the range of '{name}'", factor.low, factor.high) for x in given)
    if low >= high:
        raise SpecError(f"The range of '{name}' must go from low to high; got ({low:g}, {high:g}).")
    return low, high


def _read_levels(name: str, given: object) -> dict[str, float]:
    levels = FACTORS[name].levels
    if not isinstance(given, Mapping):
        raise SpecError(
            f"The marginal of the categorical factor '{name}' must map levels to shares, as in {{'{levels[0]}': 0.5, "
            f"'{levels[1]}': 0.5}}; got {given!r}. For one level's share, name '{name}=LEVEL'."
        )
    for level in given:
        if level not in levels:
            raise SpecError(f"The factor '{name}' has no level '{level}'; {nearest(str(level), levels)}")
    shares = {
        level: _number(given[level], f"The share of '{name}={level}'", 0, 1)
        for level in levels
        if level in given
    }
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise SpecError(
            f"The shares of the levels of '{name}' must sum to 1; got {sum(shares.values()):g}. Levels left out get none."
        )
    return {level: share for level, share in shares.items() if share > 0}


def _read_correlations(given: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    out: dict[tuple[str, str], float] = {}
    for pair, value in given.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise SpecError(
                f"A correlation is asked of two names, as in {{('Male', 'Eyeglasses'): 0.6}}; got {pair!r}."
            )
        for name in map(str, pair):
            if not is_continuous(name):
                _binary(name, "Correlations are")
        first, second = _order(map(str, pair))
        if factor_of(first) == factor_of(second) and is_continuous(first) == is_continuous(second):
            raise SpecError(f"A correlation needs two different names; got '{first}' twice.")
        if (first, second) in out:
            raise SpecError(f"The correlation of '{first}' and '{second}' is given twice.")
        for a, b in ((first, second), (second, first)):
            if is_continuous(a) and not is_continuous(b) and factor_of(a) in rule_of(b).factors:
                raise SpecError(
                    f"'{a}' defines '{b}' ({rule_of(b)}), so their correlation is not free. Give one of them a marginal."
                )
        out[first, second] = _number(value, f"The correlation of '{first}' and '{second}'", -1, 1)
    places = {name: i for i, name in enumerate(_order({name for pair in out for name in pair}))}
    return {pair: out[pair] for pair in sorted(out, key=lambda pair: [places[name] for name in pair])}


def _binary(name: str, what: str) -> None:
    if name not in RULES and name in FACTORS and FACTORS[name].levels:
        raise SpecError(
            f"{what} asked of binary attributes and continuous factors; '{name}' is categorical. Name one level, as in "
            f"'{name}={FACTORS[name].levels[-1]}'."
        )
    rule_of(name)


def _only(name: str, value: Fixed) -> Domain:
    if FACTORS[name].kind == "continuous":
        return float(value), float(value)
    return frozenset([value] if isinstance(value, bool) else [str(value)])


def read_plan(
    fixed: Mapping[str, Fixed] | None,
    marginals: Mapping[str, Marginal] | None,
    correlations: Mapping[tuple[str, str], float] | None,
) -> Plan:
    """Check a request; raises SpecError for what cannot be read or cannot be met, naming the nearest possible."""
    held = _read_fixed(_mapping(fixed, "fixed", "{'yaw': 0.0}"))
    asked = _read_correlations(_mapping(correlations, "correlations", "{('Male', 'Eyeglasses'): 0.6}"))
    given = _mapping(marginals, "marginals", "{'Eyeglasses': 0.5, 'yaw': (-45, 45)}")
    ranges: dict[str, tuple[float, float]] = {}
    levels: dict[str, dict[str, float]] = {}
    shares: dict[str, float] = {}
    for name in _order(map(str, given)):
        value, plain = given[name], factor_of(name)
        if name in RULES and not isinstance(value, tuple | list):
            shares[name] = _number(value, f"The share of '{name}'", 0, 1)
        elif plain in FACTORS and FACTORS[plain].kind == "continuous":
            ranges[plain] = _read_range(plain, value)
        elif plain in FACTORS and FACTORS[plain].levels:
            levels[plain] = _read_levels(plain, value)
        else:
            rule_of(name)
            shares[name] = _number(value, f"The share of '{name}'", 0, 1)
    for name in (*ranges, *levels):
        if name in held:
            raise SpecError(f"'{name}' is both fixed and given a marginal; leave one out.")
    for pair in asked:
        for name in pair:
            if not is_continuous(name):
                shares.setdefault(name, 0.5)
    shares = {name: shares[name] for name in _order(shares)}
    domains: dict[str, Domain] = {
        **{name: _only(name, value) for name, value in held.items()},
        **ranges,
        **{name: frozenset(share) for name, share in levels.items()},
    }
    ranks = _ranks(asked, shares, held)
    _check_clashes(shares, levels, ranks)
    pairs = {pair: r for pair, r in asked.items() if not any(map(is_continuous, pair))}
    # What an identity keeps comes first in each group: it is dealt out first.
    groups = [sorted(group, key=lambda name: not is_stable(name)) for group in tied(shares, pairs)]
    _check_movers(ranks, groups)
    joints = tuple(
        joint_table(
            {name: shares[name] for name in group},
            {pair: r for pair, r in pairs.items() if pair[0] in group},
            domains,
            [name for name in domains if any(name in rule_of(other).factors for other in group)],
        )
        for group in groups
    )
    return Plan(held, ranges, levels, domains, joints, ranks)


def _ranks(
    asked: Mapping[tuple[str, str], float], shares: Mapping[str, float], held: Mapping[str, Fixed]
) -> tuple[RankPair, ...]:
    out: list[RankPair] = []
    for pair, value in asked.items():
        if not any(map(is_continuous, pair)):
            continue
        for name in pair:
            if is_continuous(name) and factor_of(name) in held:
                raise SpecError(
                    f"'{name}' is fixed, so it has no correlation. Leave it out of 'fixed' or 'correlations'."
                )
            if name in shares and not 0 < shares[name] < 1:
                raise SpecError(
                    f"'{name}' has the share {shares[name]:g}, so it has no correlation with anything."
                )

        reference, mover = sorted(pair, key=_turn)
        out.append(RankPair(mover, reference, value))
    # A reference has found its place before what follows it moves.
    return tuple(sorted(out, key=lambda rank: _turn(rank.mover)))


def _turn(name: str) -> tuple[bool, bool, bool, int]:
    """When it is a name's turn to move: what images vary in after what an identity keeps, numbers after attributes."""
    place = list(FACTORS).index(factor_of(name)) if is_continuous(name) else -1
    return not is_stable(name), is_continuous(name), name not in ROOTS, place


def _check_clashes(
    shares: Mapping[str, float], levels: Mapping[str, Mapping[str, float]], ranks: Iterable[RankPair]
) -> None:
    moved = {
        factor_of(name) for rank in ranks for name in (rank.mover, rank.reference) if is_continuous(name)
    }
    for name in shares:
        for factor in _order(rule_of(name).factors):
            if factor in levels:
                raise SpecError(
                    f"The shares of '{factor}' and of '{name}' both decide on '{factor}' ({name}: {rule_of(name)}). Give one."
                )
            if factor in moved:
                raise SpecError(
                    f"'{name}' has a share of its own and reads '{factor}', which is correlated with something else "
                    f"({name}: {rule_of(name)}). Correlate '{name}', or leave its share out."
                )


def _check_movers(ranks: Iterable[RankPair], groups: Iterable[list[str]]) -> None:
    """A binary attribute that is dealt out by a factor's ranks can follow that one factor alone."""
    seen: dict[str, str] = {}
    for rank in ranks:
        if is_continuous(rank.mover):
            continue
        group = next(group for group in groups if rank.mover in group)
        other = seen.get(rank.mover) or next((name for name in group if name != rank.mover), None)
        if other is not None:
            raise SpecError(
                f"'{rank.mover}' is to go with '{rank.reference}', which images of an identity share, and is tied to '{other}' "
                "too; both at once cannot be planned. Leave one out, or take a binary attribute in place of "
                f"'{rank.reference}'."
            )
        seen[rank.mover] = rank.reference
