"""People and their pictures as they come when nothing particular is asked."""

import math
from typing import Any

import numpy as np

from fusiform.faces.synthetic._factors import (
    ACTION_UNITS,
    BACKGROUNDS,
    EARRINGS,
    EXPRESSIONS,
    HATS,
    IDENTITY_NUMBERS,
    NECKLACES,
)

__all__ = ["ROOTS", "image", "person", "root"]

ROOTS = ("male", "age", "skin_tone")  # what the rest of a person leans on

# Traits that decide how common an attribute is follow low-discrepancy (Kronecker) sequences over the identities,
# so that even a set of a few dozen people has about the intended share of each.
_TRAITS = (
    "male", "age", "tone", "colour", "length", "recession", "wave", "bangs", "beard", "weight", "brow", "arch",
    "nose", "lips", "cheekbone", "bags", "chin", "glasses", "made_up", "jewels",
)  # fmt: skip
_STEPS = tuple(
    math.sqrt(p) % 1 for p in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71)
)
# Numbers spread evenly, since colour or a threshold decides on them; the others crowd around the average.
_EVEN = (
    "eye_colour", "hair_lightness", "hair_part", "hair_volume", "mole_x", "mole_y", "skin_redness", "chin_cleft", "freckles",
    "dimples",
)  # fmt: skip
_BEARDS = {"none": 0.3, "stubble": 0.27, "mustache": 0.11, "goatee": 0.15, "full": 0.17}
_MOODS = {
    "neutral": 0.3, "happiness": 0.26, "polite_smile": 0.12, "speech": 0.08, "sadness": 0.04, "surprise": 0.05,
    "fear": 0.04, "anger": 0.05, "disgust": 0.06,
}  # fmt: skip

Person = dict[str, Any]


def _choice(u: float, shares: dict[str, float]) -> str:
    """The level at quantile u of a categorical distribution."""
    u *= sum(shares.values())
    for level, share in shares.items():
        u -= share
        if u < 0:
            return level
    return level


def _grow(u: float, *points: tuple[float, float]) -> float:
    """Linear interpolation between (quantile, value) points."""
    return float(np.interp(u, *np.array(points).T))


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key))


def _quantiles(seed: int, identity: int) -> dict[str, float]:
    start = _generator(seed, 0).random(len(_TRAITS))
    return {
        name: float((s + identity * step) % 1) for name, s, step in zip(_TRAITS, start, _STEPS, strict=True)
    }


def _root(u: dict[str, float], rng: np.random.Generator) -> Person:
    age = _grow(u["age"], (0, 5), (0.07, 16), (0.62, 42), (0.94, 74), (1, 90))
    apart = rng.uniform(0.25, 0.5) * min(1, 0.35 + age / 30)  # children's faces tell their sex less
    return {"male": 0.5 + (apart if u["male"] < 0.5 else -apart), "age": age, "skin_tone": u["tone"] ** 1.15}


def root(seed: int, identity: int) -> Person:
    """Sex-like and age-like appearance and skin tone of a person."""
    return _root(_quantiles(seed, identity), _generator(seed, 1, identity))


class _Context:
    """What the traits of a person lean on: the person's own roots, or, without co-variation, another one's each time."""

    def __init__(self, roots: Person, key: tuple[int, ...], covariation: bool) -> None:
        self._roots, self._key, self._covariation, self._asked = roots, key, covariation, 0

    def roots(self) -> tuple[bool, float, float]:
        """Whether male-like, the age in years, the skin tone."""
        at = self._roots
        if not self._covariation:
            self._asked += 1
            rng = _generator(*self._key, self._asked)
            at = _root({name: float(rng.random()) for name in ("male", "age", "tone")}, rng)
        return at["male"] > 0.5, at["age"], at["skin_tone"]


def person(seed: int, identity: int, roots: Person, covariation: bool) -> Person:
    """Stable factors of one person and, with a leading underscore, habits: a pure function of its arguments."""
    u = _quantiles(seed, identity)
    rng = _generator(seed, 2, identity)
    context = _Context(roots, (seed, 3, identity), covariation)
    out: Person = {name: float(np.clip(rng.normal(0, 0.5), -1, 1)) for name in IDENTITY_NUMBERS}
    for name in _EVEN:
        out[name] = float(rng.uniform(-1, 1))
    for name, trait in (("brow_thickness", "brow"), ("brow_arch", "arch"), ("cheekbone_depth", "cheekbone")):
        out[name] = 2 * u[trait] - 1
    # Numbers that an attribute takes together share a size.
    for names, trait in ((("nose_width", "nose_length"), "nose"), (("upper_lip", "lower_lip"), "lips")):
        for name in names:
            out[name] = float(np.clip(0.75 * (2 * u[trait] - 1) + 0.35 * out[name], -1, 1))
    out |= roots
    heavy = 2 * u["weight"] - 1
    out["weight"] = math.copysign(abs(heavy) ** 1.5, heavy)
    _, age, _ = context.roots()
    out["eye_bags"] = float(np.clip(1.1 * u["bags"] - 0.55 + (age - 28) / 70, 0, 1)) if age > 14 else 0.0
    _, age, _ = context.roots()
    other = rng.uniform(-1, 1)
    weight = out["weight"] if covariation else other
    out["double_chin"] = float(np.clip(0.6 * weight + 0.9 * u["chin"] - 0.6 + (age - 30) / 80, 0, 1))
    out["freckles"] = max(0.0, out["freckles"] - 0.5 - context.roots()[2])
    out["skin_roughness"] = float(np.clip(out["skin_roughness"] + (context.roots()[1] - 40) / 60, -1, 1))
    _colours(out, u, context)
    _hair(out, u, rng, context)
    _habits(out, u, rng, context)
    return out


def _colours(out: Person, u: dict[str, float], context: _Context) -> None:
    # Dark skin goes with dark hair and eyes more often than not, and grey hair with age.
    tone = context.roots()[2]
    out["eye_colour"] = float(np.clip(out["eye_colour"] - 1.1 * tone, -1, 1))
    _, age, tone = context.roots()
    gray = min(max((age - 38) / 38, 0), 0.9)
    shares = {"black": 0.18 + 0.6 * tone, "brown": 0.36, "blond": 0.42 * (1 - tone), "red": 0.1 * (1 - tone)}
    total = sum(shares.values())
    out["hair_colour"] = _choice(
        u["colour"], {"gray": gray} | {name: (1 - gray) * s / total for name, s in shares.items()}
    )


def _hair(out: Person, u: dict[str, float], rng: np.random.Generator, context: _Context) -> None:
    male, age, _ = context.roots()
    points: tuple[tuple[float, float], ...]
    if male and age > 16:
        points = ((0, 0), (0.1, 0.02), (0.101, 0.07), (0.25, 0.15), (0.82, 0.4), (1, 0.9))
    elif male:
        points = ((0, 0.07), (0.15, 0.15), (0.82, 0.4), (1, 0.9))
    else:
        points = ((0, 0.06), (0.05, 0.15), (0.2, 0.4), (0.5, 0.65), (1, 1))
    out["hair_length"] = _grow(u["length"], *points)
    male, age, _ = context.roots()
    lost = (u["recession"] - 0.25) / 0.75 * min(max((age - 18) / 32, 0), 1.25)
    out["hair_recession"] = float(np.clip(lost if male else 0.45 * lost - 0.1, 0, 1))
    tone = context.roots()[2]
    out["hair_wave"] = float(np.clip(u["wave"] ** 1.7 + 0.75 * max(0.0, tone - 0.45), 0, 1))
    male, age, _ = context.roots()
    share = 0.4 if age < 14 else 0.14 if male else 0.42
    out["bangs"] = float(rng.uniform(0.45, 1)) if u["bangs"] < share else float(rng.uniform(0, 0.2))


def _habits(out: Person, u: dict[str, float], rng: np.random.Generator, context: _Context) -> None:
    """What a person mostly, not always, wears and does."""
    male, age, _ = context.roots()
    grown = male and age > 17
    out["_grows"] = grown
    out["_beard"] = _choice(u["beard"], _BEARDS) if grown else "none"
    sideburns, worn = float(rng.uniform(0.55, 1)), rng.random() < 0.3
    out["_sideburns"] = sideburns if grown and worn else 0.0
    out["_density"] = float(rng.uniform(0.55, 1))
    _, age, _ = context.roots()
    out["_glasses"] = 0.88 if u["glasses"] < 0.1 + 0.004 * age else 0.03
    out["_frame"] = str(rng.choice(["wire", "horn", "half_rim"]))
    out["_hat"] = 0.45 if rng.random() < 0.2 else 0.08
    male, age, _ = context.roots()
    out["_makeup"] = 0.02 if male or age < 15 else 0.8 if u["made_up"] < 0.55 else 0.12
    male, age, _ = context.roots()
    out["_jewels"] = 0.05 if male else 0.75 if u["jewels"] < 0.5 else 0.1
    male, age, _ = context.roots()
    out["_necktie"] = 0.22 if male and age > 17 else 0.02
    out["_easy"] = int(rng.integers(4))  # drawn, so that sets of one image a person have easy ones too


def image(seed: int, identity: int, index: int, who: Person) -> Person:
    """One picture of a person, factors by name: a pure function of its arguments. Every fourth is an easy one.

    It takes the same random numbers whoever is shown, so that a change of the person changes nothing else.
    """
    rng = _generator(seed, 4, identity, index)
    easy = (index + who["_easy"]) % 4 == 0

    def yes(share: float) -> bool:
        return bool(rng.random() < share)

    def normal(deviation: float, limit: float) -> float:
        return float(np.clip(rng.normal(0, deviation), -limit, limit))

    row = {name: value for name, value in who.items() if not name.startswith("_")}
    age = float(np.clip(who["age"] + rng.uniform(-3, 3), 5, 90))
    # Nobody is Young in some pictures only.
    row["age"] = age if (age > 42) == (who["age"] > 42) else who["age"]
    bangs = who["bangs"] * rng.uniform(0.8, 1)
    row["bangs"] = bangs if yes(0.85) else float(rng.uniform(0, 0.2))
    row["yaw"] = normal(6 if easy else 24, 75)
    row["pitch"] = normal(3 if easy else 8, 30)
    row["roll"] = normal(2 if easy else 5, 30)
    row["shift_x"], row["shift_y"] = (float(v) for v in rng.uniform(-0.025, 0.025, 2))
    row["zoom"] = float(rng.uniform(0.95, 1.08))
    row |= _expression(rng, easy)
    row["eye_closure"] = (
        float(rng.uniform(0.35, 0.7)) if yes(0.05 if easy else 0.22) else float(rng.uniform(0, 0.12))
    )
    row["gaze_x"], row["gaze_y"] = float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-0.4, 0.4))
    row["glasses"] = who["_frame"] if yes(who["_glasses"]) else "none"
    if yes(0.01 if easy else 0.07):
        row["glasses"] = "sunglasses"
    hat, covered = str(rng.choice(HATS[1:])), yes(who["_hat"])
    row["hat"] = hat if covered and not easy else "none"
    row["hat_hue"] = float(rng.random())
    row |= _facial_hair(who, rng)
    row |= _adornment(who, rng)
    row |= _surroundings(rng, easy)
    return row


def _expression(rng: np.random.Generator, easy: bool) -> Person:
    mood = EXPRESSIONS[_choice(rng.random(), _MOODS)]
    strength = rng.uniform(0.3, 0.7) if easy else rng.uniform(0.5, 1)
    also = np.where(rng.random(len(ACTION_UNITS)) < 0.06, rng.uniform(0.1, 0.7, len(ACTION_UNITS)), 0)
    faint = rng.uniform(0, 0.08, len(ACTION_UNITS))
    return {
        name: float(np.clip(strength * mood.get(name, 0.0) + also[i] + faint[i], 0, 1))
        for i, name in enumerate(ACTION_UNITS)
    }


def _facial_hair(who: Person, rng: np.random.Generator) -> Person:
    out = dict.fromkeys(("stubble", "beard", "goatee", "mustache", "sideburns"), 0.0)
    kept, other, circle = rng.random(), rng.random(), rng.random() < 0.5
    dense = who["_density"] * rng.uniform(0.85, 1)
    if not who["_grows"]:
        return out
    kind = who["_beard"] if kept < 0.85 else "stubble" if other < 0.6 else "none"
    if kind == "stubble":
        out["stubble"] = dense
    elif kind != "none":
        out[{"full": "beard"}.get(kind, kind)] = dense
        out["stubble"] = 0.2 * dense
        if kind == "full" or (kind == "goatee" and circle):
            out["mustache"] = dense
    out["sideburns"] = who["_sideburns"] * (0.75 + 0.25 * dense)
    return out


def _adornment(who: Person, rng: np.random.Generator) -> Person:
    def amount(share: float, least: float) -> float:
        u, strength = rng.random(2)
        return float(least + (1 - least) * strength) if u < share else 0.0

    made_up = rng.random() < who["_makeup"]  # lips and eyes mostly on the same day
    out: Person = {
        "lipstick": amount(0.85 if made_up else 0.02, 0.55),
        "lipstick_hue": float(rng.uniform(-1, 1)),
        "makeup": amount(0.75 if made_up else 0.01, 0.55),
        "rosy_cheeks": amount(0.45 if made_up else 0.07, 0.5),
        "necktie_hue": float(rng.random()),
        "necktie": bool(rng.random() < who["_necktie"]),
    }
    for name, levels, share in (("earrings", EARRINGS, 1.0), ("necklace", NECKLACES, 0.75)):
        worn, kind = rng.random() < share * who["_jewels"], str(rng.choice(levels[1:]))
        out[name] = kind if worn and not (name == "necklace" and out["necktie"]) else "none"
    return out


def _surroundings(rng: np.random.Generator, easy: bool) -> Person:
    blurred, noisy = rng.random() < (0 if easy else 0.13), rng.random() < (0 if easy else 0.2)
    return {
        "light": float(np.clip(rng.normal(0, 12 if easy else 40), -90, 90)),
        "light_elevation": float(rng.uniform(15, 55)),
        "light_strength": float(rng.uniform(0.75, 1.15)),
        "light_warmth": float(np.clip(rng.normal(0, 0.3), -1, 1)),
        "ambient": float(rng.uniform(0.3, 0.55)),
        "background": str(rng.choice(BACKGROUNDS)),
        "background_hue": float(rng.random()),
        "background_saturation": float(rng.beta(1.2, 2.5)),
        "background_lightness": float(rng.uniform(0.1, 0.95)),
        "clothes_hue": float(rng.random()),
        "clothes_lightness": float(rng.uniform(0.05, 0.9)),
        "blur": float(rng.uniform(0.45, 0.9)) if blurred else float(rng.uniform(0, 0.08)),
        "noise": float(rng.uniform(0.15, 0.4)) if noisy else float(rng.uniform(0, 0.1)),
        "noise_seed": float(rng.random()),
        "greyscale": False,
    }
