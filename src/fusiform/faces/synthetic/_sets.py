"""Sets of synthetic faces made for one question: tables of parameters in which one thing alone differs."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fusiform.errors import DataError, SpecError, nearest
from fusiform.faces.synthetic._factors import FACTORS, check
from fusiform.faces.synthetic._plan import Fixed, read_plan
from fusiform.faces.synthetic._sampling import check_count, draw
from fusiform.faces.synthetic._truth import RULES, rule_of, settle

__all__ = ["PART_FACTORS", "confined", "counterfactual_pairs", "pairs", "series", "triplets"]

# The factors that move one part of the picture and leave the rest alone. Numbers that reach further are in no part:
# a longer nose moves the mouth, a longer chin the jaw, and the colour of the hair is that of the brows. Shadows and the
# outline against the background go with a part.
PART_FACTORS: dict[str, tuple[str, ...]] = {
    "eyes": ("eye_size", "eye_openness", "eye_tilt", "eye_colour", "eye_bulge", "lid_fold", "lid_hood"),
    "brows": ("brow_thickness", "brow_height", "brow_arch", "brow_tilt", "brow_gap", "brow_length"),
    "nose": (
        "nose_width", "nose_bridge_width", "nose_bridge", "nose_protrusion", "nose_tip", "nose_tip_up", "nostril_flare",
        "nose_bend",
    ),
    "mouth": ("mouth_width", "upper_lip", "lower_lip", "cupids_bow", "lip_redness", "lip_protrusion"),
    "chin": ("chin_width", "chin_protrusion", "chin_cleft"),
    "cheeks": ("cheekbone_depth", "dimples", "rosy_cheeks"),
    "ears": ("ear_size", "ear_protrusion", "ear_lobe"),
    "hair": ("hair_length", "hair_wave", "hair_recession", "hair_volume", "hairline", "hairline_peak", "hair_part", "bangs"),
    "facial_hair": ("stubble", "beard", "goatee", "mustache", "sideburns"),
    "clothes": ("clothes_hue", "clothes_lightness"),
    "scene": ("background", "background_hue", "background_saturation", "background_lightness"),
}  # fmt: skip
# What would hide a part from view.
UNCOVERED: dict[str, dict[str, Fixed]] = {
    "eyes": {"glasses": "none", "eye_closure": 0.0, "bangs": 0.0},
    "brows": {"glasses": "none", "hat": "none", "bangs": 0.0},
    "nose": {"glasses": "none"},
    "mouth": {"mustache": 0.0, "beard": 0.0, "lipstick": 0.0},
    "chin": {"stubble": 0.0, "beard": 0.0, "goatee": 0.0},
    "cheeks": {"stubble": 0.0, "beard": 0.0},
    "ears": {"hat": "none", "hair_length": 0.15, "hair_recession": 0.0},
    "hair": {"hat": "none"},
    "facial_hair": {"male": 0.9},
}


def fresh_seed(seed: int, use: int) -> int:
    """A seed whose people are in no set that was drawn with the seed itself."""
    return int(np.random.SeedSequence([seed, use]).generate_state(1)[0])


def numbered(letter: str, rows: Sequence[int] | np.ndarray) -> pd.Series:
    return pd.Series([f"{letter}{row:05d}" for row in rows], dtype="string")


def labelled(table: pd.DataFrame, **columns: Sequence[object] | pd.Series) -> pd.DataFrame:
    """A table with label columns before its factors."""
    rest = table.drop(columns=[name for name in columns if name in table]).reset_index(drop=True)
    at = 1 if "identity" in rest else 0
    for name, values in columns.items():
        rest.insert(at, name.rstrip("_"), values)
        at += 1
    return rest


def pairs(
    n: int,
    *,
    seed: int = 0,
    same: float = 0.5,
    covariation: bool = True,
    fixed: Mapping[str, Fixed] | None = None,
) -> pd.DataFrame:
    """Pairs of images for verification, each of people who occur in no other pair.

    Parameters
    ----------
    n : int
        How many pairs.
    seed : int, default 0
        What they are drawn from. The first pairs are the same for every n.
    same : float, default 0.5
        Share of genuine pairs, two images of one person; met to a pair.
    covariation, fixed
        As in `sample_parameters`.

    Returns
    -------
    DataFrame
        2n rows, the images of a pair one after the other: ``identity``, ``pair`` ("p00000", ...), ``role`` ("first",
        "second"), ``class`` ("genuine", "impostor"), then the factors.

    Raises
    ------
    SpecError
        If n is no positive int or same is outside [0, 1].

    Examples
    --------
    >>> table = pairs(2)
    >>> table[["pair", "role", "class", "identity"]].values.tolist()
    [['p00000', 'first', 'impostor', 's0_00000'], ['p00000', 'second', 'impostor', 's0_00001'],
     ['p00001', 'first', 'genuine', 's0_00002'], ['p00001', 'second', 'genuine', 's0_00002']]
    """
    n, seed = check_count("n", n, 1), check_count("seed", seed, 0)
    if isinstance(same, bool) or not isinstance(same, int | float) or not 0 <= same <= 1:
        raise SpecError(f"The share 'same' of genuine pairs must be a number in [0, 1]; got {same!r}.")
    genuine = np.diff(np.floor(np.round(np.arange(n + 1) * same, 9))) > 0
    places = [p for i, g in enumerate(genuine) for p in ((2 * i, 0), (2 * i, 1) if g else (2 * i + 1, 0))]
    return labelled(
        draw(places, seed, covariation, read_plan(fixed, None, None)),
        pair=numbered("p", np.repeat(np.arange(n), 2)),
        role=["first", "second"] * n,
        class_=np.repeat(np.where(genuine, "genuine", "impostor"), 2).tolist(),
    )


def triplets(
    n: int, *, seed: int = 0, covariation: bool = True, fixed: Mapping[str, Fixed] | None = None
) -> pd.DataFrame:
    """Triplets of a probe, another image of the same person (mate) and an image of someone else (nonmate).

    Parameters
    ----------
    n : int
        How many triplets.
    seed : int, default 0
        What they are drawn from. The first triplets are the same for every n.
    covariation, fixed
        As in `sample_parameters`.

    Returns
    -------
    DataFrame
        3n rows: ``identity``, ``pair`` ("p00000", ... for the triplet), ``role`` ("probe", "mate", "nonmate"), then the
        factors.

    Raises
    ------
    SpecError
        If n is no positive int.

    Examples
    --------
    >>> triplets(1)[["role", "identity"]].values.tolist()
    [['probe', 's0_00000'], ['mate', 's0_00000'], ['nonmate', 's0_00001']]
    """
    n, seed = check_count("n", n, 1), check_count("seed", seed, 0)
    places = [place for i in range(n) for place in ((2 * i, 0), (2 * i, 1), (2 * i + 1, 0))]
    return labelled(
        draw(places, seed, covariation, read_plan(fixed, None, None)),
        pair=numbered("p", np.repeat(np.arange(n), 3)),
        role=["probe", "mate", "nonmate"] * n,
    )


def _differing(table: pd.DataFrame, factor: str, rng: np.random.Generator) -> list[Fixed]:
    """Another value of a factor for each row: another level, or a number a quarter of the range away at least."""
    f = FACTORS[factor]
    own = check(table)[factor]
    if f.kind != "continuous":
        levels: tuple[Fixed, ...] = f.levels or (False, True)
        return [[x for x in levels if x != v][int(rng.integers(len(levels) - 1))] for v in own.tolist()]
    assert f.low is not None
    assert f.high is not None
    gap = (f.high - f.low) / 4
    below, above = np.maximum(own - gap - f.low, 0), np.maximum(f.high - own - gap, 0)
    at = rng.random(len(own)) * (below + above)
    return [float(x) for x in np.where(at < below, f.low + at, own + gap + at - below)]


def _another(table: pd.DataFrame, names: Sequence[str], seed: int) -> pd.DataFrame:
    """The part of another person for each row, never equal to the row's own."""
    own = pd.DataFrame({name: column for name, column in check(table).items() if name in names})[list(names)]
    out, missing, start = own.copy(), np.arange(len(own)), 0
    while len(missing):
        donors = draw(
            [(start + i, 0) for i in range(len(missing))],
            fresh_seed(seed, 10),
            True,
            read_plan(None, None, None),
        )
        donors.index = pd.Index(missing)
        start += len(missing)
        for name in names:
            out.loc[missing, name] = donors[name]
        missing = missing[(out.loc[missing] == own.loc[missing]).all(axis=1).to_numpy()]
    return out


def _twins(
    table: pd.DataFrame, what: str, value: Fixed | Mapping[str, Fixed] | None, seed: int
) -> pd.DataFrame:
    """A changed copy of each row."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 11]))
    out = table.copy()
    if what in FACTORS:
        if isinstance(value, Mapping):
            raise SpecError(f"The factor '{what}' takes one value; got {value!r}.")
        out[what] = _differing(table, what, rng) if value is None else [value] * len(table)
    elif what in PART_FACTORS:
        names = PART_FACTORS[what]
        if value is None:
            new = _another(table, names, seed)
        elif isinstance(value, Mapping) and value and set(value) <= set(names):
            new = pd.DataFrame(dict(value), index=table.index)
        else:
            raise SpecError(
                f"The value of the part '{what}' must map some of its factors ({', '.join(names)}) to values, or be left out "
                f"for another person's; got {value!r}."
            )
        for name in new:
            out[name] = new[name]
    else:
        has = rule_of(what).holds(check(table))
        if value is not None and not isinstance(value, bool | np.bool_):
            raise SpecError(f"The attribute '{what}' is True or False; got {value!r}.")
        out = settle(table, {what: ~has if value is None else bool(value)}, rng)
    return out


def counterfactual_pairs(
    parameters: pd.DataFrame,
    what: str,
    value: Fixed | Mapping[str, Fixed] | None = None,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Twins of faces that differ in one factor, in one part, or in one attribute, and in nothing else.

    With a part and no value, the twin has the part of another person: the inpainting game.

    Parameters
    ----------
    parameters : DataFrame
        As `render` takes it; n rows.
    what : str
        A factor; a part, one of `PART_FACTORS`; or a binary attribute of `ATTRIBUTES`, of which as few factors change as
        its definition allows. What is both a factor and an attribute (an action unit) is taken for the factor.
    value : float, bool, str or mapping, optional
        The twins' value: of a factor its value, of a part a mapping of its factors, of an attribute a bool. By
        default another value than the original's, a quarter of a number's range away at least; another person's
        part; the attribute's other value.
    seed : int, default 0
        What new values are drawn from.

    Returns
    -------
    DataFrame
        2n rows, each original followed by its twin, with ``pair`` ("p00000", ...) and ``role`` ("original", "twin")
        beside what was given. A twin that differs in a stable factor other than age is another person: its identity,
        where there is one, ends in ``_twin`` and the pair's number.

    Raises
    ------
    SpecError
        For an unknown name, or a value that does not fit it.
    DataError
        If a row has the value already, or as `render` does.

    References
    ----------
    Williford, May and Byrne, Explainable Face Recognition, ECCV 2020.

    Examples
    --------
    >>> counterfactual_pairs(pd.DataFrame({"yaw": [10.0], "hat": ["none"]}), "hat", "cap")
         pair      role   yaw   hat
    0  p00000  original  10.0  none
    1  p00000      twin  10.0   cap
    """
    seed = check_count("seed", seed, 0)
    check(parameters)
    if what not in FACTORS and what not in PART_FACTORS and what not in RULES and "=" not in what:
        known = [*FACTORS, *PART_FACTORS, *RULES]
        raise SpecError(
            f"'{what}' is no factor, part or attribute of synthetic faces; {nearest(what, known)}"
        )
    table = parameters.reset_index(drop=True)
    twins = _twins(table, what, value, seed)
    before, after = check(table), check(twins)
    changed = {name: before[name] != after[name] for name in FACTORS}
    alike = ~np.any(list(changed.values()), axis=0)
    if alike.any():
        raise DataError(
            f"Row {int(np.flatnonzero(alike)[0])} and its twin would be equal: it has {what}={value!r} already. Leave out such "
            f"rows ({int(alike.sum())} of {len(table)}), or give no value to get a different one in each row."
        )
    number = numbered("p", range(len(table)))
    if "identity" in table:
        stable = [flags for name, flags in changed.items() if FACTORS[name].stable and name != "age"]
        other = pd.Series(np.any(stable, axis=0))
        identity = table["identity"].astype("string")
        twins["identity"] = identity.mask(other & identity.notna(), identity + "_twin" + number.str[1:])
    for column in twins.columns.difference(table.columns):
        table[column] = before[column]
    n = len(table)
    both = pd.concat([table, twins[table.columns]], ignore_index=True)
    both = both.iloc[np.arange(2 * n).reshape(2, n).T.ravel()]
    return labelled(both, pair=number.repeat(2).reset_index(drop=True), role=["original", "twin"] * n)


def series(parameters: pd.DataFrame, factor: str, levels: Sequence[Fixed]) -> pd.DataFrame:
    """Every face at every level of a factor, all else equal, as psychophysics needs it.

    Parameters
    ----------
    parameters : DataFrame
        As `render` takes it; n rows.
    factor : str
        One of `FACTORS`.
    levels : sequence of float, bool or str
        Its k values, in the order in which they are to come.

    Returns
    -------
    DataFrame
        n k rows, the levels of a face one after the other, with ``pair`` ("p00000", ... for the face) and ``level`` beside
        what was given.

    Raises
    ------
    SpecError
        For an unknown factor or no levels.
    DataError
        For a level that the factor does not have, or as `render` does.

    Examples
    --------
    >>> series(pd.DataFrame({"yaw": [5.0]}), "blur", [0.0, 0.5])
         pair  level  yaw  blur
    0  p00000    0.0  5.0   0.0
    1  p00000    0.5  5.0   0.5
    """
    if factor not in FACTORS:
        raise SpecError(f"'{factor}' is not a factor of synthetic faces; {nearest(str(factor), FACTORS)}")
    if isinstance(levels, str) or not len(levels):
        raise SpecError(f"The levels of '{factor}' must be a sequence of one value at least; got {levels!r}.")
    check(parameters)
    check(pd.DataFrame({factor: list(levels)}))
    n, k = len(parameters), len(levels)
    table = (
        parameters.loc[parameters.index.repeat(k)]
        if parameters.index.is_unique
        else parameters.iloc[np.repeat(np.arange(n), k)]
    )
    table = table.reset_index(drop=True)
    table[factor] = list(levels) * n
    return labelled(table, pair=numbered("p", np.repeat(np.arange(n), k)), level=list(levels) * n)


def confined(n: int, part: str, *, classes: int = 2, seed: int = 0) -> pd.DataFrame:
    """Faces of many people whose class shows in one part alone.

    Each class has its own values of the part's factors; everything else is drawn without regard to the class,
    and what would hide the part is taken off. Whoever tells the classes apart looks at the part.

    Parameters
    ----------
    n : int
        How many faces, each of another person. Classes are equally frequent to a face.
    part : str
        One of `PART_FACTORS`.
    classes : int, default 2
        How many classes, 2 to 20. A class differs from every other one in all numbers of the part.
    seed : int, default 0
        What classes and faces are drawn from.

    Returns
    -------
    DataFrame
        ``identity``, ``class`` ("nose_0", ...), then the factors.

    Raises
    ------
    SpecError
        For an unknown part or a count out of range.

    Examples
    --------
    >>> table = confined(6, "nose", classes=3)
    >>> table.groupby("class").nose_width.nunique().tolist(), table.identity.nunique()
    ([1, 1, 1], 6)
    """
    n, seed = check_count("n", n, 1), check_count("seed", seed, 0)
    if part not in PART_FACTORS:
        raise SpecError(
            f"Synthetic faces have no part '{part}' to confine a class to; {nearest(str(part), PART_FACTORS)}"
        )
    if check_count("classes", classes, 2) > 20:
        raise SpecError(f"The 'classes' of synthetic faces must be 2 to 20; got {classes}.")
    plan = read_plan(UNCOVERED.get(part), None, None)
    table = draw([(k, 0) for k in range(n)], fresh_seed(seed, 12), True, plan)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 13]))
    label = rng.permutation(np.arange(n) % classes)
    for name in PART_FACTORS[part]:
        factor = FACTORS[name]
        if factor.levels:
            order = rng.permutation(len(factor.levels))
            values = [factor.levels[order[c % len(order)]] for c in range(classes)]
            table[name] = [values[c] for c in label]
        else:
            assert factor.low is not None
            assert factor.high is not None
            even = 0.1 + 0.8 * rng.permutation(classes) / (classes - 1)
            table[name] = factor.low + (factor.high - factor.low) * even[label]
    return labelled(table, class_=[f"{part}_{c}" for c in label])
