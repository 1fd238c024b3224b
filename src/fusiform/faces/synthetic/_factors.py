from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from fusiform.errors import DataError, nearest

__all__ = ["ACTION_UNITS", "EXPRESSIONS", "FACTORS", "IDENTITY_NUMBERS", "LABEL_COLUMNS", "Factor", "check"]

LABEL_COLUMNS = (
    "identity",
    "image_id",
    "pair",
    "role",
    "level",
    "class",
    "eyes_expression",
    "mouth_expression",
)  # may stand beside factors; change no pixel

HAIR_COLOURS = ("black", "brown", "blond", "red", "gray")
GLASSES = ("none", "wire", "horn", "half_rim", "sunglasses")
HATS = ("none", "beanie", "cap", "brimmed")
EARRINGS = ("none", "stud", "hoop", "drop")
NECKLACES = ("none", "chain", "pearls")
BACKGROUNDS = ("plain", "gradient", "blobs", "indoors", "outdoors")
ACTION_UNITS = {
    "AU_1": "inner brow raiser",
    "AU_2": "outer brow raiser",
    "AU_4": "brow lowerer",
    "AU_5": "upper lid raiser",
    "AU_6": "cheek raiser",
    "AU_9": "nose wrinkler",
    "AU_12": "lip corner puller, a smile",
    "AU_15": "lip corner depressor",
    "AU_17": "chin raiser",
    "AU_20": "lip stretcher",
    "AU_25": "lips part",
    "AU_26": "jaw drop",
}
# What people usually show together (the prototypes of Ekman and Friesen's coding system, as far as its units are here).
EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "happiness": {"AU_6": 0.8, "AU_12": 1.0, "AU_25": 0.7},
    "polite_smile": {"AU_12": 0.6},
    "sadness": {"AU_1": 0.9, "AU_4": 0.6, "AU_15": 0.9, "AU_17": 0.4},
    "surprise": {"AU_1": 1.0, "AU_2": 1.0, "AU_5": 0.8, "AU_25": 0.8, "AU_26": 0.9},
    "fear": {"AU_1": 0.9, "AU_2": 0.6, "AU_4": 0.6, "AU_5": 0.9, "AU_20": 0.9, "AU_25": 0.7, "AU_26": 0.3},
    "anger": {"AU_4": 1.0, "AU_5": 0.6, "AU_17": 0.5},
    "disgust": {"AU_4": 0.3, "AU_9": 1.0, "AU_15": 0.6, "AU_17": 0.6},
    "speech": {"AU_25": 0.7, "AU_26": 0.4},
}


@dataclass(frozen=True)
class Factor:
    """One thing about a synthetic face that can be set alone.

    Parameters
    ----------
    kind : {"continuous", "binary", "categorical"}
        What values it takes.
    default : float, bool or str
        Its value where a table of parameters has no such column.
    low, high : float, optional
        Inclusive range of a continuous factor.
    levels : tuple of str, default ()
        The values of a categorical factor.
    unit : str, optional
        ``"deg"`` or ``"years"``; None for a number without one.
    description : str, default ""
        What it does to the picture.
    stable : bool, default False
        Whether images of one identity share it when parameters are sampled (age only roughly).
    """

    kind: Literal["continuous", "binary", "categorical"]
    default: float | bool | str
    low: float | None = None
    high: float | None = None
    levels: tuple[str, ...] = ()
    unit: str | None = None
    description: str = ""
    stable: bool = False


def _number(
    low: float, high: float, default: float, text: str, unit: str | None = None, stable: bool = False
) -> Factor:
    return Factor("continuous", default, low, high, unit=unit, description=text, stable=stable)


def _levels(levels: tuple[str, ...], text: str, default: str, stable: bool = False) -> Factor:
    return Factor("categorical", default, levels=levels, description=text, stable=stable)


# An identity is these numbers, each in [-1, 1] with 0 the average person, and the stable factors below.
IDENTITY_NUMBERS: dict[str, str] = {
    "skull_width": "width of the whole head",
    "skull_height": "height of the crown above the eyes",
    "forehead_slope": "how far the forehead leans back",
    "face_length": "distance from eyes to chin",
    "cheekbone_width": "width at the cheekbones",
    "cheekbone_depth": "how far the cheekbones stand out",
    "cheek_fullness": "hollow to full cheeks",
    "jaw_width": "width at the angle of the jaw",
    "chin_width": "pointed to broad chin",
    "chin_length": "length of the chin below the mouth",
    "chin_protrusion": "receding to prominent chin",
    "eye_spacing": "distance between the eyes",
    "eye_size": "width of the eye opening",
    "eye_openness": "height of the eye opening",
    "eye_height": "height of the eyes",
    "eye_tilt": "outer corners low to high",
    "eye_depth": "shallow to deep eye sockets",
    "eye_colour": "iris from dark brown over hazel and green to pale blue",
    "lid_fold": "distance of the crease of the upper lid",
    "brow_thickness": "thin to bushy brows",
    "brow_height": "distance from eye to brow",
    "brow_arch": "straight to arched brows",
    "brow_tilt": "outer ends low to high",
    "brow_gap": "gap between the brows",
    "brow_length": "length of the brows",
    "brow_ridge": "strength of the bone above the eyes",
    "nose_length": "distance from eyes to the nose's base",
    "nose_width": "width at the nostrils",
    "nose_bridge_width": "width of the bridge",
    "nose_bridge": "concave to convex bridge",
    "nose_protrusion": "how far the tip stands out",
    "nose_tip": "narrow to bulbous tip",
    "nose_tip_up": "drooping to upturned tip",
    "mouth_width": "width of the mouth",
    "mouth_height": "height of the mouth between nose and chin",
    "upper_lip": "thickness of the upper lip",
    "lower_lip": "thickness of the lower lip",
    "cupids_bow": "flat to peaked upper lip",
    "lip_redness": "pale to red lips",
    "ear_size": "size of the ears",
    "ear_protrusion": "flat to protruding ears",
    "neck_width": "width of the neck",
    "skin_redness": "yellowish to ruddy skin",
    "freckles": "freckles, from zero up",
    "mole_x": "where a mole sits, left to right",
    "mole_y": "where a mole sits, low to high",
    "mole_size": "size of the mole, from zero up",
    "temple_width": "narrow to broad temples",
    "jaw_angle": "rounded to square angle of the jaw",
    "chin_cleft": "smooth to cleft chin, from zero up",
    "eye_bulge": "sunken to bulging eyeballs",
    "lid_hood": "open to hooded upper lids",
    "nostril_flare": "narrow to flared nostrils",
    "nose_bend": "nose's ridge bent to the left or right of the image",
    "lip_protrusion": "flat to protruding lips",
    "philtrum": "smooth to grooved upper lip",
    "ear_lobe": "attached to hanging ear lobes",
    "dimples": "dimples of a smile, from zero up",
    "skin_undertone": "rosy to golden skin",
    "skin_shine": "matt to shiny skin",
    "skin_roughness": "smooth skin to visible pores and mottling",
    "asymmetry": "brow and mouth higher on the left or right of the image",
    "hair_lightness": "darker or lighter than the hair colour's middle",
    "hair_volume": "flat to voluminous hair",
    "hairline": "low to high hairline",
    "hairline_peak": "straight hairline to widow's peak",
    "hair_part": "which side the hair is parted",
}

FACTORS: dict[str, Factor] = {
    **{name: _number(-1, 1, 0.0, text, stable=True) for name, text in IDENTITY_NUMBERS.items()},
    "male": _number(0, 1, 0.5, "female-like to male-like shape and colours", stable=True),
    "age": _number(5, 90, 30.0, "age-like proportions, wrinkles, jowls", unit="years", stable=True),
    "weight": _number(-1, 1, 0.0, "lean to heavy face", stable=True),
    "skin_tone": _number(0, 1, 0.25, "light to dark skin", stable=True),
    "eye_bags": _number(0, 1, 0.0, "none to heavy bags under the eyes", stable=True),
    "double_chin": _number(0, 1, 0.0, "none to a full double chin", stable=True),
    "hair_colour": _levels(HAIR_COLOURS, "colour of hair, brows and beard", "brown", stable=True),
    "hair_length": _number(
        0, 1, 0.3, "shaved (0), cropped (0.1), short (0.3), to the chin (0.6), long (1)", stable=True
    ),
    "hair_wave": _number(0, 1, 0.1, "straight over wavy to tightly curled hair", stable=True),
    "hair_recession": _number(0, 1, 0.0, "full hair over receding temples to a bald crown", stable=True),
    "bangs": _number(0, 1, 0.0, "none to hair over the whole forehead"),
    "yaw": _number(-75, 75, 0.0, "turn of the head; positive to the right of the image", "deg"),
    "pitch": _number(-30, 30, 0.0, "nod of the head; positive looks up", "deg"),
    "roll": _number(-30, 30, 0.0, "tilt of the head; positive is clockwise in the image", "deg"),
    "shift_x": _number(-0.3, 0.3, 0.0, "head moved right, as a share of the image's width"),
    "shift_y": _number(-0.3, 0.3, 0.0, "head moved down, as a share of the image's height"),
    "zoom": _number(0.7, 1.5, 1.0, "magnification"),
    **{name: _number(0, 1, 0.0, text) for name, text in ACTION_UNITS.items()},
    "eye_closure": _number(0, 1, 0.0, "open over narrowed to closed eyes"),
    "gaze_x": _number(-1, 1, 0.0, "eyes look left to right in the image"),
    "gaze_y": _number(-1, 1, 0.0, "eyes look down to up"),
    "glasses": _levels(GLASSES, "eyeglasses", "none"),
    "hat": _levels(HATS, "head gear", "none"),
    "hat_hue": _number(0, 1, 0.6, "colour of hat, a turn of the colour wheel"),
    "stubble": _number(0, 1, 0.0, "none to dense stubble of a day"),
    "beard": _number(0, 1, 0.0, "none to full beard on cheeks, jaw and chin"),
    "goatee": _number(0, 1, 0.0, "none to full beard on the chin alone"),
    "mustache": _number(0, 1, 0.0, "none to full mustache"),
    "sideburns": _number(0, 1, 0.0, "none to full hair in front of the ears"),
    "lipstick": _number(0, 1, 0.0, "none to strong lipstick"),
    "lipstick_hue": _number(-1, 1, 0.0, "lipstick from orange over red to purple"),
    "makeup": _number(0, 1, 0.0, "none to heavy eye make-up"),
    "rosy_cheeks": _number(0, 1, 0.0, "none to strongly rosy cheeks"),
    "earrings": _levels(EARRINGS, "jewellery at the ears", "none"),
    "necklace": _levels(NECKLACES, "jewellery round the neck", "none"),
    "necktie": Factor("binary", False, description="collar and tie"),
    "necktie_hue": _number(
        0, 1, 0.6, "colour of the tie, a turn of the colour wheel; without a tie, the cut of the clothes"
    ),
    "light": _number(-90, 90, 0.0, "where the key light stands; positive to the right of the image", "deg"),
    "light_elevation": _number(-20, 70, 35.0, "height of the key light", "deg"),
    "light_strength": _number(0.4, 1.4, 1.0, "strength of the key light"),
    "light_warmth": _number(-1, 1, 0.0, "key light from bluish over white to orange"),
    "ambient": _number(0.1, 0.8, 0.4, "strength of the light from all sides"),
    "background": _levels(BACKGROUNDS, "pattern behind the head", "gradient"),
    "background_hue": _number(0, 1, 0.58, "colour of the background, a turn of the colour wheel"),
    "background_saturation": _number(0, 1, 0.25, "grey to colourful background"),
    "background_lightness": _number(0, 1, 0.6, "dark to light background"),
    "clothes_hue": _number(0, 1, 0.6, "colour of the clothes, a turn of the colour wheel"),
    "clothes_lightness": _number(0, 1, 0.35, "dark to light clothes"),
    "blur": _number(0, 1, 0.0, "sharp to strongly blurred (standard deviation 2.5% of the size)"),
    "noise": _number(0, 1, 0.0, "none to strong sensor noise (standard deviation 8% of full scale)"),
    "noise_seed": _number(0, 1, 0.0, "which pattern the noise has"),
    "greyscale": Factor("binary", False, description="image without colours"),
}


def _no_gaps(name: str, column: pd.Series) -> None:
    """Refuse a column with missing values."""
    if column.isna().any():
        row = int(np.flatnonzero(column.isna().to_numpy())[0])
        raise DataError(
            f"Factor '{name}' is missing (NaN) in row {row}; expected a value in every row. "
            "Fill it, or drop the column to use the default."
        )


def _column(name: str, column: pd.Series) -> np.ndarray:
    """One factor's values, checked."""
    factor = FACTORS[name]
    if factor.kind == "categorical":
        if not set(column) <= set(factor.levels):
            _no_gaps(name, column)
            row = int(np.flatnonzero(~column.isin(factor.levels).to_numpy())[0])
            raise DataError(
                f"Factor '{name}' must be one of {', '.join(factor.levels)}; got '{column.iloc[row]}' in row {row}: "
                f"{nearest(str(column.iloc[row]), factor.levels)}"
            )
        return column.astype(object).to_numpy()
    try:
        values = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        _no_gaps(name, column)
        raise DataError(f"Factor '{name}' must be numeric; got values of type {column.dtype}.") from error
    low, high = (0.0, 1.0) if factor.kind == "binary" else (factor.low, factor.high)
    bad = ~((values >= low) & (values <= high))
    if factor.kind == "binary":
        bad |= (values != 0) & (values != 1)
    if bad.any():
        _no_gaps(name, column)
        row = int(np.flatnonzero(bad)[0])
        expected = "True or False" if factor.kind == "binary" else f"within [{low:g}, {high:g}]"
        unit = f" {factor.unit}" if factor.unit else ""
        raise DataError(f"Factor '{name}' must be {expected}{unit}; got {values[row]:g} in row {row}.")
    return values.astype(bool) if factor.kind == "binary" else values


def check(parameters: pd.DataFrame) -> dict[str, np.ndarray]:
    """Check a table of parameters and fill in what it leaves out.

    Parameters
    ----------
    parameters : DataFrame
        One row a face, any subset of `FACTORS` as columns; ``identity`` and ``image_id`` are let through.

    Returns
    -------
    dict of str to ndarray
        Every factor, shape ``(n,)``.

    Raises
    ------
    DataError
        For a column that is no factor, a missing value, or a value out of range.
    """
    if not isinstance(parameters, pd.DataFrame):
        raise DataError(
            f"Parameters must be a pandas DataFrame, one row a face; got {type(parameters).__name__}."
        )
    names = [str(c) for c in parameters.columns]
    for name in names:
        if name not in FACTORS and name not in LABEL_COLUMNS:
            raise DataError(f"'{name}' is not a factor of synthetic faces: {nearest(name, FACTORS)}")
        if names.count(name) > 1:
            raise DataError(
                f"Column '{name}' stands {names.count(name)} times in the parameters; expected once."
            )
    out: dict[str, np.ndarray] = {}
    for name, factor in FACTORS.items():
        if name in names:
            out[name] = _column(name, parameters[name])
        else:
            out[name] = np.full(len(parameters), factor.default, object if factor.levels else None)
    return out
