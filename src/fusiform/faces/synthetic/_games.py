"""Sets of synthetic faces for the games of explanations: one part replaced, one part that tells, two that disagree."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fusiform.errors import SpecError, nearest
from fusiform.faces.synthetic._factors import EXPRESSIONS, FACTORS, check
from fusiform.faces.synthetic._plan import Fixed, read_plan
from fusiform.faces.synthetic._sampling import check_count, draw
from fusiform.faces.synthetic._sets import (
    PART_FACTORS,
    UNCOVERED,
    fresh_seed,
    labelled,
    numbered,
)

__all__ = [
    "MAX_YAW_DEG",
    "clear",
    "conflicts",
    "expressions",
    "inpainting_triplets",
    "spectacled",
    "twins",
    "without",
]

# How close faces are seen where a small network is to tell small parts apart.
CLOSE = 1.3
MAX_YAW_DEG = 20.0
"""How far heads turn in these sets; farther, half of most parts is out of sight."""
_UPPER = ("AU_1", "AU_2", "AU_4", "AU_5", "AU_6")
_LOWER = ("AU_12", "AU_15", "AU_17", "AU_20", "AU_25", "AU_26")
_BARE: dict[str, Fixed] = {
    "glasses": "none",
    "hat": "none",
    "bangs": 0.0,
    "eye_closure": 0.0,
    "mustache": 0.0,
    "beard": 0.0,
}
_UNWORN: dict[str, Fixed] = {"glasses": "none", "bangs": 0.0}
_SHOWN = ("both", "eyes", "mouth")


def clear(table: pd.DataFrame, zoom: float = 1.0) -> pd.DataFrame:
    """The same faces in clear pictures: sharp, in the middle, bareheaded, lit from the front, and turned little."""
    most = {"yaw": MAX_YAW_DEG, "pitch": 10.0, "roll": 5.0, "light": 40.0}
    within = {name: table[name].clip(-limit, limit) for name, limit in most.items()}
    return table.assign(blur=0.0, noise=0.0, hat="none", shift_x=0.0, shift_y=0.0, zoom=zoom, **within)


def inpainting_triplets(
    n: int,
    parts: Sequence[str] = ("eyes", "brows", "nose", "mouth", "chin", "cheeks"),
    *,
    mates: int = 2,
    donors: int = 8,
    seed: int = 0,
) -> pd.DataFrame:
    """Triplets of the inpainting game: a person, and the same pictures in which one part is another person's.

    Of each person there are a probe and some mates, and each of these pictures again with the part of one other
    person: the inpainted probe and the inpainted non-mates.

    Parameters
    ----------
    n : int
        How many triplets, each of another person.
    parts : sequence of str, default eyes, brows, nose, mouth, chin, cheeks
        Parts to replace, out of `PART_FACTORS`; triplets take turns.
    mates : int, default 2
        Further images of each person.
    donors : int, default 8
        How many people the part may come from; it is taken from the one whose part differs most.
    seed : int, default 0
        What they are drawn from. The first triplets are the same for every n.

    Returns
    -------
    DataFrame
        ``2 (1 + mates)`` rows a triplet, originals first, then the inpainted ones in the same order: ``identity`` (ends in
        ``_PART`` where the part is another's), ``pair`` ("p00000", ... for the triplet), ``role`` ("probe", "mate",
        "inpainted_probe", "inpainted_nonmate"), ``class`` (the part), then the factors.

    Raises
    ------
    SpecError
        For an unknown part, or a count out of range.

    References
    ----------
    Williford, May and Byrne, Explainable Face Recognition, ECCV 2020, section 4.

    Examples
    --------
    >>> table = inpainting_triplets(1, ["nose"], mates=1)
    >>> table[["role", "class", "identity"]].values.tolist()
    [['probe', 'nose', 's0_00000'], ['mate', 'nose', 's0_00000'],
     ['inpainted_probe', 'nose', 's0_00000_nose'], ['inpainted_nonmate', 'nose', 's0_00000_nose']]
    """
    n, mates = check_count("n", n, 1), check_count("mates", mates, 1)
    donors, seed = check_count("donors", donors, 1), check_count("seed", seed, 0)
    parts = [parts] if isinstance(parts, str) else list(parts)
    if not parts:
        raise SpecError("The inpainting game needs at least one part to replace; got none.")
    for part in parts:
        if part not in PART_FACTORS:
            raise SpecError(
                f"Synthetic faces have no part '{part}' to replace; {nearest(part, PART_FACTORS)}"
            )
    each = 1 + mates
    drawn: list[pd.DataFrame] = [pd.DataFrame()] * n
    for k, part in enumerate(dict.fromkeys(parts)):
        mine = [i for i in range(n) if parts[i % len(parts)] == part]
        if not mine:
            continue
        plan = read_plan(_UNWORN | UNCOVERED.get(part, {}), None, None)
        originals = clear(draw([(i, j) for i in mine for j in range(each)], seed, True, plan))
        others = draw(
            [(donors * i + d, 0) for i in mine for d in range(donors)], fresh_seed(seed, 20 + k), True, plan
        )
        names = list(PART_FACTORS[part])
        for at, i in enumerate(mine):
            own = originals.iloc[at * each : (at + 1) * each].reset_index(drop=True)
            offered = others.iloc[at * donors : (at + 1) * donors]
            inpainted = own.copy()
            inpainted[names] = offered[names].iloc[_farthest(own.iloc[[0]], offered, names)].tolist()
            inpainted["identity"] = own["identity"] + f"_{part}"
            drawn[i] = pd.concat([own, inpainted], ignore_index=True)
    role = ["probe", *["mate"] * mates, "inpainted_probe", *["inpainted_nonmate"] * mates]
    return labelled(
        pd.concat(drawn, ignore_index=True),
        pair=numbered("p", np.repeat(np.arange(n), 2 * each)),
        role=role * n,
        class_=[parts[i % len(parts)] for i in range(n) for _ in range(2 * each)],
    )


def _farthest(own: pd.DataFrame, offered: pd.DataFrame, names: Sequence[str]) -> int:
    """Which of the people offered differs most in some factors, each over its range."""
    apart = np.zeros(len(offered))
    for name in names:
        factor, values = FACTORS[name], offered[name].to_numpy()
        if factor.kind == "continuous":
            assert factor.low is not None
            assert factor.high is not None
            gap = values.astype(np.float64) - float(own[name].iloc[0])
            apart += (gap / (factor.high - factor.low)) ** 2
        else:
            apart += values != own[name].iloc[0]
    return int(apart.argmax())


def spectacled(n: int, *, seed: int = 0) -> pd.DataFrame:
    """Faces of many people, half of whom, whatever else is true of them, wear glasses.

    Parameters
    ----------
    n : int
        How many faces, each of another person.
    seed : int, default 0
        What they are drawn from.

    Returns
    -------
    DataFrame
        As of `confined`, with the classes "eyeglasses_0" (none) and "eyeglasses_1" (horn-rimmed).

    Examples
    --------
    >>> spectacled(4).groupby("class").glasses.unique().map(list).to_dict()
    {'eyeglasses_0': ['none'], 'eyeglasses_1': ['horn']}
    """
    n, seed = check_count("n", n, 1), check_count("seed", seed, 0)
    plan = read_plan({"bangs": 0.0}, None, None)
    table = clear(draw([(k, 0) for k in range(n)], fresh_seed(seed, 14), True, plan), CLOSE)
    worn = np.random.default_rng(np.random.SeedSequence([seed, 15])).permutation(np.arange(n) % 2)
    table["glasses"] = np.where(worn == 1, "horn", "none")
    return labelled(table, class_=[f"eyeglasses_{k}" for k in worn])


def _expressive(
    n: int, upper: Sequence[str], lower: Sequence[str], seed: int, label: Sequence[str] | None
) -> pd.DataFrame:
    table = draw([(k, 0) for k in range(n)], fresh_seed(seed, 16), True, read_plan(_BARE, None, None))
    table = clear(table, CLOSE)
    strength = np.random.default_rng(np.random.SeedSequence([seed, 17])).uniform(0.7, 1.0, (n, 2))
    for side, (names, moods) in enumerate(((_UPPER, upper), (_LOWER, lower))):
        for name in names:
            full = np.array([EXPRESSIONS[mood].get(name, 0.0) for mood in moods])
            table[name] = strength[:, side] * full
    table["AU_9"] = 0.0
    extra = {} if label is None else {"class_": list(label)}
    return labelled(table, eyes_expression=list(upper), mouth_expression=list(lower), **extra)


def _moods(named: Sequence[str]) -> list[str]:
    moods = [named] if isinstance(named, str) else list(named)
    for mood in moods:
        if mood not in EXPRESSIONS:
            raise SpecError(f"There is no expression '{mood}'; {nearest(str(mood), EXPRESSIONS)}")
        shown = EXPRESSIONS[mood]
        if not set(shown) & set(_UPPER) or not set(shown) & set(_LOWER):
            raise SpecError(
                f"'{mood}' does not show at both eyes and mouth, so the two cannot disagree about it."
            )
    if len(set(moods)) != len(moods) or len(moods) < 2:
        raise SpecError(f"Expressions that can disagree are two or more, all different; got {moods}.")
    return moods


def expressions(
    n: int,
    moods: Sequence[str] = ("surprise", "anger"),
    *,
    shown: Sequence[str] = _SHOWN,
    twins: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Faces of many people with an expression that shows at the eyes and brows, at the mouth, or at both.

    A network that is to tell them apart must read the eyes as well as the mouth.

    Parameters
    ----------
    n : int
        How many faces, each of another person. Expressions and places are equally frequent to a face.
    moods : sequence of str, default surprise and anger
        Classes, out of `EXPRESSIONS`; each must move the eyes or brows and the mouth.
    shown : sequence of str, default both, eyes, mouth
        Where the expression may show; the other place is neutral.
    twins : bool, default False
        Each face is followed by the same face with the next expression: 2n rows.
    seed : int, default 0
        What they are drawn from.

    Returns
    -------
    DataFrame
        ``identity``, ``eyes_expression``, ``mouth_expression``, ``class`` (the expression), then the factors.

    Raises
    ------
    SpecError
        For an unknown expression or place.

    Examples
    --------
    >>> table = expressions(6)
    >>> table.groupby("class").size().to_dict(), (table.eyes_expression == "neutral").sum()
    ({'anger': 3, 'surprise': 3}, np.int64(2))
    """
    n, seed = check_count("n", n, 1), check_count("seed", seed, 0)
    moods = _moods(moods)
    places = [shown] if isinstance(shown, str) else list(shown)
    for place in places:
        if place not in _SHOWN:
            raise SpecError(f"An expression shows at {', '.join(_SHOWN)}; got '{place}'.")
    if not places:
        raise SpecError("An expression must show somewhere; got no place.")
    order = np.random.default_rng(np.random.SeedSequence([seed, 18])).permutation(n)
    where = [places[k // len(moods) % len(places)] for k in order]
    tables = []
    for step in range(2 if twins else 1):
        shows = [moods[(k + step) % len(moods)] for k in order]
        upper = [m if p != "mouth" else "neutral" for m, p in zip(shows, where, strict=True)]
        lower = [m if p != "eyes" else "neutral" for m, p in zip(shows, where, strict=True)]
        tables.append(_expressive(n, upper, lower, seed, shows))
    return _interleaved(tables)


def conflicts(n: int, moods: Sequence[str] = ("surprise", "anger"), *, seed: int = 0) -> pd.DataFrame:
    """Faces with the eyes and brows of one expression and the mouth of another.

    The evidence for one class is at the eyes and for the other at the mouth, so a map of each must choose its place.

    Parameters
    ----------
    n : int
        How many faces, each of another person. All ordered pairs of two expressions are equally frequent to a face.
    moods : sequence of str, default surprise and anger
        Two or more out of `EXPRESSIONS`; each must move the eyes or brows and the mouth.
    seed : int, default 0
        What they are drawn from.

    Returns
    -------
    DataFrame
        ``identity``, ``eyes_expression``, ``mouth_expression``, then the factors.

    Raises
    ------
    SpecError
        For an unknown expression, or fewer than two.

    Examples
    --------
    >>> conflicts(2)[["eyes_expression", "mouth_expression"]].values.tolist()
    [['anger', 'surprise'], ['surprise', 'anger']]
    """
    n, seed = check_count("n", n, 1), check_count("seed", seed, 0)
    moods = _moods(moods)
    ordered = [(a, b) for a in moods for b in moods if a != b]
    order = np.random.default_rng(np.random.SeedSequence([seed, 19])).permutation(n)
    chosen = [ordered[k % len(ordered)] for k in order]
    return _expressive(n, [a for a, _ in chosen], [b for _, b in chosen], seed, None)


def twins(table: pd.DataFrame) -> pd.DataFrame:
    """Each face of `confined` or `spectacled`, followed by the same face of the next class.

    Parameters
    ----------
    table : DataFrame
        n rows.

    Returns
    -------
    DataFrame
        2n rows.

    Examples
    --------
    >>> twins(spectacled(2)).glasses.tolist()
    ['none', 'horn', 'horn', 'none']
    """
    return _interleaved([table, without(table, "class")[0]])


def _interleaved(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Row i of each table, then row i + 1 of each."""
    both = pd.concat(tables, ignore_index=True)
    return both.iloc[np.arange(len(both)).reshape(len(tables), -1).T.ravel()].reset_index(drop=True)


def without(table: pd.DataFrame, what: str) -> list[pd.DataFrame]:
    """The same faces but for what shows their class: the pictures against which evidence is seen.

    Parameters
    ----------
    table : DataFrame
        What `confined`, `spectacled`, `expressions` or `conflicts` gave.
    what : str
        "class": with the part of each of the other classes in turn; "eyes_expression" or "mouth_expression": neutral there.

    Returns
    -------
    list of DataFrame
        As many rows as the table in each.

    Examples
    --------
    >>> from fusiform.faces.synthetic import confined
    >>> [other["class"].tolist() for other in without(confined(2, "nose"), "class")]
    [['nose_1', 'nose_0']]
    """
    if what in ("eyes_expression", "mouth_expression"):
        side = _UPPER if what == "eyes_expression" else _LOWER
        return [table.assign(**dict.fromkeys(side, 0.0), **{what: "neutral"})]
    part = str(table["class"].iloc[0]).rpartition("_")[0]
    names = PART_FACTORS.get(part, ("glasses",))
    values = (
        pd.DataFrame({name: check(table)[name] for name in names}).groupby(table["class"].to_numpy()).first()
    )
    own = values.index.get_indexer(pd.Index(table["class"]))
    others = []
    for step in range(1, len(values)):
        turned = (own + step) % len(values)
        given = {str(name): values[name].to_numpy()[turned] for name in names}
        others.append(table.assign(**given, **{"class": values.index.to_numpy()[turned]}))
    return others
