import math
from typing import Any

import numpy as np
import pandas as pd

from fusiform.errors import SpecError
from fusiform.faces.synthetic._factors import BACKGROUNDS, FACTORS, IDENTITY_NUMBERS

__all__ = ["sample_parameters"]

_IMAGES_PER_IDENTITY = 8
# Traits that decide how common an attribute is follow low-discrepancy (Kronecker) sequences over the identities,
# so that even a set of a few dozen people has about the intended share of each.
_TRAITS = ("male", "style", "colour", "tone", "age", "brow", "nose_size", "lips", "arch", "beard", "bangs")
_STEPS = tuple(math.sqrt(prime) % 1 for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31))


def _choice(u: float, shares: dict[str, float]) -> str:
    """The level at quantile u of a categorical distribution."""
    total = sum(shares.values())
    for level, share in shares.items():
        u -= share / total
        if u < 0:
            return level
    return level


_STYLES_MALE = {
    "bald": 0.26, "horseshoe": 0.08, "buzz": 0.14, "short": 0.18, "side_part": 0.16, "curly": 0.1, "long": 0.08,
}  # fmt: skip
_STYLES_FEMALE = {
    "bald": 0.02, "short": 0.08, "side_part": 0.08, "curly": 0.16, "bob": 0.22, "long": 0.24, "long_wavy": 0.2,
}  # fmt: skip
_BEARDS_MALE = {"none": 0.09, "stubble": 0.31, "mustache": 0.1, "goatee": 0.18, "circle": 0.16, "full": 0.16}


def _identity(seed: int, identity: int) -> dict[str, Any]:
    """Numbers and stable traits of one person: a pure function of the seed and the person's index."""
    start = np.random.default_rng(np.random.SeedSequence([seed, 0])).random(len(_TRAITS))
    u = {
        trait: float((s + identity * step) % 1) for trait, s, step in zip(_TRAITS, start, _STEPS, strict=True)
    }
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1, identity]))
    person: dict[str, Any] = {name: float(np.clip(rng.normal(0, 0.55), -1, 1)) for name in IDENTITY_NUMBERS}
    # Flat distributions where colour or a threshold decides, so that people differ and classes fill.
    for name in (
        "eye_colour",
        "hair_lightness",
        "hair_part",
        "mole_x",
        "mole_y",
        "skin_redness",
        "hair_volume",
    ):
        person[name] = float(rng.uniform(-1, 1))
    person["brow_thickness"] = 2 * u["brow"] - 1
    person["brow_arch"] = 2 * u["arch"] - 1
    size = 2 * u["nose_size"] - 1  # width and length share a size, which CelebA's Big_Nose names
    person["nose_width"] = float(np.clip(0.85 * size + 0.15 * person["nose_width"], -1, 1))
    person["nose_length"] = float(np.clip(0.55 * size + 0.45 * person["nose_length"], -1, 1))
    fullness = 2 * u["lips"] - 1
    person["upper_lip"] = float(np.clip(0.8 * fullness + 0.2 * person["upper_lip"], -1, 1))
    person["lower_lip"] = float(np.clip(0.8 * fullness + 0.2 * person["lower_lip"], -1, 1))
    male = u["male"] < 0.52
    person["male"] = float(rng.uniform(0.75, 1.0) if male else rng.uniform(0.0, 0.25))
    tone = u["tone"]
    person["skin_tone"] = float(tone**1.15)
    # Dark skin goes with dark hair and eyes more often than not: mild, as in people.
    person["eye_colour"] = float(np.clip(person["eye_colour"] - 0.9 * tone, -1, 1))
    colours = {"black": 0.24 + 0.35 * tone, "brown": 0.27, "blond": 0.37 * (1.2 - tone), "red": 0.06 * (1.2 - tone),
               "gray": 0.25}  # fmt: skip
    person["hair_colour"] = _choice(u["colour"], colours)
    age = 17 + 60 * u["age"]
    if person["hair_colour"] == "gray":
        age = 42 + 38 * u["age"]
    person["age"] = age
    person["hair_style"] = _choice(u["style"], _STYLES_MALE if male else _STYLES_FEMALE)
    person["_beard"] = _choice(u["beard"], _BEARDS_MALE) if male else "none"
    person["_bangs"] = 0.1 if u["bangs"] < 0.5 else 0.62
    person["_light"] = float(rng.uniform(-1, 1))
    return person


def _image(seed: int, identity: int, index: int, person: dict[str, Any]) -> dict[str, Any]:
    """What varies between images of one person: a pure function of seed, person and the image's index."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 2, identity, index]))
    male = person["male"] > 0.5

    def yes(share: float) -> bool:
        return bool(rng.random() < share)

    row = {name: value for name, value in person.items() if not name.startswith("_")}
    row["age"] = float(np.clip(person["age"] + rng.uniform(-3, 3), 5, 90))
    haired = person["hair_style"] not in ("bald", "horseshoe", "buzz")
    row["bangs"] = yes(person["_bangs"]) and haired
    row["yaw"] = float(np.clip(rng.normal(0, 24), -75, 75))
    row["pitch"] = float(np.clip(rng.normal(0, 8), -30, 30))
    row["roll"] = float(np.clip(rng.normal(0, 5), -30, 30))
    row["shift_x"], row["shift_y"] = (float(v) for v in rng.uniform(-0.025, 0.025, 2))
    row["zoom"] = float(rng.uniform(0.95, 1.08))
    row["smile"] = float(rng.uniform(0.35, 1.0) if yes(0.46) else rng.uniform(-0.6, 0.1))
    row["mouth_open"] = float(rng.uniform(0.25, 0.85) if yes(0.4) else 0.0)
    row["brow_raise"] = float(np.clip(rng.normal(0, 0.45), -1, 1))
    row["eye_closure"] = float(rng.uniform(0.38, 0.65) if yes(0.25) else rng.uniform(0, 0.12))
    row["gaze_x"], row["gaze_y"] = float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-0.4, 0.4))
    row["glasses"] = str(rng.choice(["wire", "horn"])) if yes(0.25) else "none"
    row["hat"] = str(rng.choice(["beanie", "cap", "brimmed"])) if yes(0.2) else "none"
    row["hat_hue"] = float(rng.random())
    kept = person["_beard"] if yes(0.5) else _choice(rng.random(), _BEARDS_MALE)
    row["beard"] = kept if male else "none"
    row["lipstick"] = float(rng.uniform(0.6, 1.0)) if yes(0.03 if male else 0.55) else 0.0
    row["lipstick_hue"] = float(rng.uniform(-1, 1))
    row["makeup"] = float(rng.uniform(0.6, 1.0)) if yes(0.03 if male else 0.45) else 0.0
    row["rosy_cheeks"] = float(rng.uniform(0.55, 1.0)) if yes(0.25) else 0.0
    row["light"] = float(np.clip(rng.normal(0, 38), -90, 90))
    row["light_elevation"] = float(rng.uniform(15, 55))
    row["light_strength"] = float(rng.uniform(0.75, 1.15))
    row["ambient"] = float(rng.uniform(0.3, 0.55))
    row["background"] = str(rng.choice(BACKGROUNDS))
    row["background_hue"], row["background_lightness"] = float(rng.random()), float(rng.uniform(0.1, 0.95))
    row["background_saturation"] = float(rng.beta(1.2, 2.5))
    row["clothes_hue"], row["clothes_lightness"] = float(rng.random()), float(rng.uniform(0.05, 0.9))
    row["blur"] = float(rng.uniform(0.5, 0.9)) if yes(0.18) else 0.0
    row["greyscale"] = False
    return row


def _counts(n: int, seed: int, identities: int | None, per_identity: int | None) -> None:
    for name, value, least in (("n", n, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise SpecError(
                f"The '{name}' of synthetic faces must be an int of at least {least}; got {value!r}."
            )
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


def sample_parameters(
    n: int, *, seed: int = 0, identities: int | None = None, per_identity: int | None = None
) -> pd.DataFrame:
    """Draw parameters of synthetic faces: several images each of several people.

    A row is a pure function of the seed, its identity's index and its index within the identity, so a set of
    100 begins with the set of 50.

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

    Returns
    -------
    DataFrame
        ``identity`` (string), then a column for every one of `FACTORS`.

    Raises
    ------
    SpecError
        For counts that are not positive ints or that contradict each other.

    Examples
    --------
    >>> table = sample_parameters(16, seed=1)
    >>> table.identity.nunique(), len(table)
    (2, 16)
    >>> sample_parameters(3, seed=1).equals(table[:3])
    True
    """
    _counts(n, seed, identities, per_identity)
    if per_identity is None and identities is not None:
        places = [(i % identities, i // identities) for i in range(n)]
    else:
        each = per_identity or _IMAGES_PER_IDENTITY
        places = [(i // each, i % each) for i in range(n)]
    people = {identity: _identity(int(seed), identity) for identity in sorted({p[0] for p in places})}
    table = pd.DataFrame([_image(int(seed), k, j, people[k]) for k, j in places], columns=list(FACTORS))
    label = pd.Series([f"s{seed}_{k:05d}" for k, _ in places], dtype="string")
    table.insert(0, "identity", label)
    return table
