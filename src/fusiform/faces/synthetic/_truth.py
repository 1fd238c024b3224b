from collections.abc import Collection, Iterable, Mapping
from typing import NoReturn

import numpy as np
import pandas as pd

from fusiform.errors import SpecError, nearest
from fusiform.faces._attribute import Attribute
from fusiform.faces.synthetic._factors import ACTION_UNITS, FACTORS, check
from fusiform.faces.synthetic._rules import Domain, Rule, above, move, one_of, up_to

__all__ = ["ATTRIBUTES", "RULES", "all_of", "attributes", "rule_of", "settle", "tied"]

PRESENT = 0.25  # intensity above which an action unit is said to be there
_WORN = {name: one_of(name, FACTORS[name].levels[1:]) for name in ("glasses", "hat", "earrings", "necklace")}
_BALD = up_to("hair_length", 0.05) | above("hair_recession", 0.8)
_STYLED = ~_BALD & above("hair_length", 0.2)  # long enough to be straight or wavy
_SHAVEN = up_to("beard", 0.3)


def _coloured(colour: str) -> Rule:
    return one_of("hair_colour", [colour]) & ~_BALD


# The one place where an attribute is defined. A factor stands in a weighted sum or alone, never both, and a sum shares
# no factor with another sum: so whether attributes can be true together can be told factor by factor.
RULES: dict[str, Rule] = {
    "5_o_Clock_Shadow": above("stubble", 0.25) & _SHAVEN,
    "Arched_Eyebrows": above("brow_arch", 0.3),
    "Bags_Under_Eyes": above("eye_bags", 0.4),
    "Bald": _BALD,
    "Bangs": above("bangs", 0.3) & _STYLED & up_to("hair_recession", 0.4),
    "Big_Lips": above({"upper_lip": 0.5, "lower_lip": 0.5}, 0.3),
    "Big_Nose": above({"nose_width": 0.5, "nose_length": 0.5}, 0.25),
    "Black_Hair": _coloured("black"),
    "Blond_Hair": _coloured("blond"),
    "Blurry": above("blur", 0.4),
    "Brown_Hair": _coloured("brown"),
    "Bushy_Eyebrows": above("brow_thickness", 0.35),
    "Chubby": above("weight", 0.4),
    "Double_Chin": above("double_chin", 0.4),
    "Eyeglasses": _WORN["glasses"],
    "Goatee": above("goatee", 0.3) & _SHAVEN,
    "Gray_Hair": _coloured("gray"),
    "Heavy_Makeup": above("makeup", 0.4),
    "High_Cheekbones": above("cheekbone_depth", 0.3),
    "Male": above("male", 0.5),
    "Mouth_Slightly_Open": above("AU_25", 0.35) | above("AU_26", 0.15),
    "Mustache": above("mustache", 0.3),
    "Narrow_Eyes": above("eye_closure", 0.25),
    "No_Beard": up_to("stubble", 0.25) & _SHAVEN & up_to("goatee", 0.3) & up_to("mustache", 0.3),
    "Oval_Face": above({"face_length": 1, "cheekbone_width": 1, "jaw_width": -1}, 0.5),
    "Pale_Skin": up_to("skin_tone", 0.2),
    "Pointy_Nose": above({"nose_protrusion": 0.5, "nose_tip": -0.5}, 0.25),
    "Receding_Hairline": above("hair_recession", 0.3) & ~_BALD,
    "Rosy_Cheeks": above("rosy_cheeks", 0.4),
    "Sideburns": above("sideburns", 0.4),
    "Smiling": above("AU_12", 0.4),
    "Straight_Hair": up_to("hair_wave", 0.25) & _STYLED,
    "Wavy_Hair": above("hair_wave", 0.35) & _STYLED,
    "Wearing_Earrings": _WORN["earrings"],
    "Wearing_Hat": _WORN["hat"],
    "Wearing_Lipstick": above("lipstick", 0.4),
    "Wearing_Necklace": _WORN["necklace"],
    "Wearing_Necktie": one_of("necktie", [True]),
    "Young": up_to("age", 42),
    **{name: above(name, PRESENT) for name in ACTION_UNITS},
}
_CONTINUOUS = {
    "yaw": "turn of the head, positive to the right of the image",
    "pitch": "nod of the head, positive looks up",
    "roll": "tilt of the head, positive is clockwise in the image",
    "age": "age-like appearance",
    "light": "azimuth of the key light, positive to the right of the image",
    "light_elevation": "height of the key light",
    "skin_tone": "0 light to 1 dark",
}


def _described(name: str, rule: Rule) -> str:
    unit = f"{ACTION_UNITS[name]}: " if name in ACTION_UNITS else ""
    return f"{unit}{rule}"


ATTRIBUTES: dict[str, Attribute] = {
    "identity": Attribute("identity", description="who is shown: shared numbers and stable traits"),
    **{name: Attribute("binary", description=_described(name, rule)) for name, rule in RULES.items()},
    **{
        name: Attribute("continuous", unit=FACTORS[name].unit, description=text)
        for name, text in _CONTINUOUS.items()
    },
    **{
        f"{name}_intensity": Attribute("continuous", description=f"{text}, 0 to 1")
        for name, text in ACTION_UNITS.items()
    },
}


def attributes(parameters: pd.DataFrame) -> pd.DataFrame:
    """What is true of the faces that a table of parameters describes.

    CelebA's attributes but Attractive, which nothing about a face defines; twelve action units of the Facial Action
    Coding System as present or absent and as intensities. Each binary attribute is a rule on factors, which its
    description in `ATTRIBUTES` states in full. It is about the person, not about what covers it: hair under a hat keeps
    its colour, and earrings under long hair are worn. What a head does not have has no properties: a bald head's hair
    has neither colour nor shape nor hairline. High_Cheekbones is the bone alone, whatever the face does.

    Parameters
    ----------
    parameters : DataFrame
        As `render` takes it.

    Returns
    -------
    DataFrame
        One row a face: ``identity`` (string; missing where the parameters name none), the binary attributes as
        nullable booleans, then yaw, pitch, roll, light, light_elevation (deg), age (years), skin_tone and the
        intensities of the action units; see `ATTRIBUTES`.

    Raises
    ------
    DataError
        As `render` does.

    References
    ----------
    Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015. Ekman and Friesen, Facial Action Coding System,
    1978.

    Examples
    --------
    >>> table = attributes(pd.DataFrame({"AU_12": [0.8, 0.3], "yaw": [-20.0, 5.0]}))
    >>> table.Smiling.tolist(), table.AU_12.tolist(), table.yaw.tolist()
    ([True, False], [True, True], [-20.0, 5.0])
    """
    values = check(parameters)
    n = len(parameters)
    identity = parameters["identity"].to_numpy() if "identity" in parameters else [pd.NA] * n
    columns: dict[str, object] = {"identity": pd.array(identity, dtype="string")}
    for name, rule in RULES.items():
        columns[name] = pd.array(rule.holds(values), dtype="boolean")
    for name in _CONTINUOUS:
        columns[name] = np.asarray(values[name], dtype=np.float64)
    for name in ACTION_UNITS:
        columns[f"{name}_intensity"] = np.asarray(values[name], dtype=np.float64)
    return pd.DataFrame(columns)


def rule_of(name: str) -> Rule:
    """The rule of a binary attribute, of a binary factor, or of ``factor=level``."""
    if name in RULES:
        return RULES[name]
    factor, _, level = name.partition("=")
    if factor in FACTORS and level in FACTORS[factor].levels:
        return one_of(factor, [level])
    if name in FACTORS and FACTORS[name].kind == "binary":
        return one_of(name, [True])
    if level and factor in FACTORS and FACTORS[factor].levels:
        raise SpecError(
            f"The factor '{factor}' has no level '{level}'; {nearest(level, FACTORS[factor].levels)}"
        )
    raise SpecError(
        f"'{name}' is no binary attribute of synthetic faces, and no 'factor=level' either; {nearest(name, RULES)}"
    )


def all_of(wanted: Mapping[str, bool]) -> Rule:
    """That all of some binary attributes have given values."""
    out = Rule(({},))
    for name, value in wanted.items():
        rule = rule_of(name)
        out &= rule if value else ~rule
    return out


def tied(names: Iterable[str], pairs: Collection[tuple[str, str]] = ()) -> list[list[str]]:
    """Groups of binary attributes that hang together: by a given pair, or by a factor that both rules read."""
    groups: list[list[str]] = []
    for name in names:
        read = rule_of(name).factors
        joined = [
            g
            for g in groups
            if any((name, x) in pairs or (x, name) in pairs or read & rule_of(x).factors for x in g)
        ]
        merged = [x for g in joined for x in g] + [name]
        groups = (
            [merged if g is joined[0] else g for g in groups if g not in joined[1:]]
            if joined
            else [*groups, merged]
        )
    return groups


def _refuse(asked: Mapping[str, bool], row: int, frozen: Collection[str]) -> NoReturn:
    kept = sorted({factor for name in asked for factor in rule_of(name).factors if factor in frozen})
    why = f" while {', '.join(kept)} must not change" if kept else ""
    values = ", ".join(f"{name} {value}" for name, value in asked.items())
    raise SpecError(f"No face can be {values} at once{why} (row {row}). Ask for fewer of them.")


def settle(
    parameters: pd.DataFrame,
    wanted: Mapping[str, bool | np.ndarray],
    rng: np.random.Generator,
    *,
    frozen: Collection[str] = (),
    domains: Mapping[str, Domain] | None = None,
) -> pd.DataFrame:
    """Change the fewest factors that make binary attributes take given values.

    Factors that need not change stay as they are. A new level is drawn at random; a new number is drawn clear of the
    rule's threshold, but amounts (of beard, of make-up) become zero where zero will do. Factors that a rule sums up
    move together, no further than they must.

    Parameters
    ----------
    parameters : DataFrame
        As `render` takes it.
    wanted : mapping of str to bool or bool ndarray
        Binary attributes, binary factors or ``"factor=level"``, with one value for all faces or one a face.
    rng : numpy Generator
        Where new values are drawn from.
    frozen : collection of str, default ()
        Factors that must stay as they are.
    domains : mapping of str to tuple or frozenset, optional
        Narrower ranges or sets of levels, which new values keep to.

    Returns
    -------
    DataFrame
        A copy, with columns added for factors that were left at their defaults and had to change.

    Raises
    ------
    SpecError
        For an unknown name, or values that no face can have together.
    DataError
        As `render` does.

    Examples
    --------
    >>> faces = pd.DataFrame({"stubble": [0.1, 0.8], "age": [20.0, 60.0]})
    >>> settle(faces, {"No_Beard": True}, np.random.default_rng(0))
       stubble   age
    0      0.1  20.0
    1      0.0  60.0
    """
    n = len(parameters)
    values = {name: column.copy() for name, column in check(parameters).items()}
    for names in tied(wanted):
        given = [np.broadcast_to(np.asarray(wanted[name], dtype=bool), n) for name in names]
        patterns = np.stack(given, axis=1)
        for pattern in np.unique(patterns, axis=0):
            rows = np.flatnonzero((patterns == pattern).all(axis=1))
            asked = dict(zip(names, pattern.tolist(), strict=True))
            stuck = move(values, all_of(asked), rows, rng, frozen=frozen, domains=domains)
            if len(stuck):
                _refuse(asked, int(stuck[0]), frozen)
    out = parameters.copy()
    read = {factor for name in wanted for factor in rule_of(name).factors}
    for factor in sorted(read, key=list(FACTORS).index):
        if factor in out.columns or any(
            value != FACTORS[factor].default for value in values[factor].tolist()
        ):
            out[factor] = values[factor]
    return out
