import math
from types import SimpleNamespace

import numpy as np
import pandas as pd

from fusiform.faces._attribute import Attribute
from fusiform.faces.synthetic._anatomy import Face, brow_curve, flat, lid_curves, lip_curves, span
from fusiform.faces.synthetic._factors import check
from fusiform.faces.synthetic._surface import face_theta

__all__ = ["ATTRIBUTES", "attributes", "landmark_charts"]

# iBUG's jaw line on surface coordinates: degrees of azimuth and chart heights from ear to chin.
_JAW_THETA = (88, 88, 88, 87, 84, 76, 62, 36, 0)
_JAW_Y = (0.0, -0.2, -0.42, -0.63, -0.81, -0.95, -1.06, -1.13, -1.165)


def landmark_charts(m: Face) -> tuple[np.ndarray, np.ndarray]:
    """Surface coordinates (theta, y) of the 68 iBUG points, each (68,), left as seen in the image first."""
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []

    def chart(x: np.ndarray, y: np.ndarray) -> None:
        xs.append(x)
        ys.append(y)

    jaw = [(-math.radians(t), y) for t, y in zip(_JAW_THETA, _JAW_Y, strict=True)]
    contour = jaw + [(-t, y) for t, y in reversed(jaw[:-1])]
    t = flat([1.0, 0.75, 0.5, 0.25, 0.0])
    centre, half = brow_curve(t.clip(0.04, 0.96), m)
    x = m.brow_in + t.clip(0.04, 0.96) * (m.brow_out - m.brow_in)
    chart(-x, centre + 0.3 * half)
    chart(x[::-1], (centre + 0.3 * half)[::-1])
    ridge = span(m.eye_y + 0.02, m.tip_y, 4)
    chart(np.zeros(4, np.float32), ridge)
    base = flat([-0.85, -0.45, 0.0, 0.45, 0.85]) * m.nose_w
    chart(base, m.nose_y + flat([0.025, 0.0, -0.02, 0.0, 0.025]))
    s = flat([1.0, 0.38, -0.38, -1.0, -0.38, 0.38])  # from the outer corner over the upper lid
    upper, lower = lid_curves(s, m)
    lid = np.concatenate((upper[:4], lower[4:]))
    y = m.eye_y + m.eye_tilt * s * m.eye_w + lid
    x = m.eye_x + s * m.eye_w
    chart(-x, y)
    order = np.array([3, 2, 1, 0, 5, 4])  # the other eye begins at its inner corner
    chart(x[order], y[order])
    s = flat([-1.0, -0.62, -0.25, 0.0, 0.25, 0.62, 1.0, 0.62, 0.3, 0.0, -0.3, -0.62])
    top, rim_up, rim_low, bottom = lip_curves(s, m)
    y = np.concatenate((top[:7], bottom[7:]))
    chart(s * m.mouth_w, y)
    s = flat([-0.86, -0.36, 0.0, 0.36, 0.86, 0.36, 0.0, -0.36])
    _, rim_up, rim_low, _ = lip_curves(s, m)
    chart(s * m.mouth_w, np.concatenate((rim_up[:5], rim_low[5:])))
    edge_theta, edge_y = flat(contour).T
    cx, cy = np.concatenate(xs), np.concatenate(ys)
    return np.concatenate((edge_theta, face_theta(cx, cy, m))), np.concatenate((edge_y, cy))


def _haired(v: SimpleNamespace) -> np.ndarray:
    return ~np.isin(v.hair_style.astype(str), ["bald", "horseshoe"])


def _colour(v: SimpleNamespace, name: str) -> np.ndarray:
    # A bald head shows no hair whose colour one could name.
    return (v.hair_colour.astype(str) == name) & (v.hair_style.astype(str) != "bald")


def _beards(v: SimpleNamespace, *kinds: str) -> np.ndarray:
    return np.isin(v.beard.astype(str), kinds)


# name: (definition on the factors, description)
_BINARY = {
    "Male": (lambda v: v.male > 0.5, "male above 0.5"),
    "Young": (lambda v: v.age < 42, "age below 42 years"),
    "Smiling": (lambda v: v.smile > 0.25, "smile above 0.25"),
    "Mouth_Slightly_Open": (lambda v: v.mouth_open > 0.15, "mouth_open above 0.15"),
    "Eyeglasses": (lambda v: v.glasses.astype(str) != "none", "glasses of any kind"),
    "Wearing_Hat": (lambda v: v.hat.astype(str) != "none", "hat of any kind"),
    "Bald": (lambda v: ~_haired(v), "hair_style bald or horseshoe"),
    "Bangs": (
        lambda v: v.bangs & _haired(v) & (v.hair_style.astype(str) != "buzz"),
        "bangs over the forehead",
    ),
    "Black_Hair": (lambda v: _colour(v, "black"), "hair_colour black, head not bald"),
    "Blond_Hair": (lambda v: _colour(v, "blond"), "hair_colour blond, head not bald"),
    "Brown_Hair": (lambda v: _colour(v, "brown"), "hair_colour brown, head not bald"),
    "Gray_Hair": (lambda v: _colour(v, "gray"), "hair_colour gray, head not bald"),
    "No_Beard": (lambda v: v.beard.astype(str) == "none", "beard none"),
    "5_o_Clock_Shadow": (lambda v: _beards(v, "stubble"), "beard stubble"),
    "Goatee": (lambda v: _beards(v, "goatee", "circle"), "beard goatee or circle"),
    "Mustache": (lambda v: _beards(v, "mustache", "circle", "full"), "beard mustache, circle or full"),
    "Bushy_Eyebrows": (lambda v: v.brow_thickness > 0.35, "brow_thickness above 0.35"),
    "Arched_Eyebrows": (lambda v: v.brow_arch > 0.3, "brow_arch above 0.3"),
    "Narrow_Eyes": (lambda v: v.eye_closure > 0.25, "eye_closure above 0.25"),
    "Big_Nose": (lambda v: v.nose_width > 0.3, "nose_width above 0.3"),
    "Big_Lips": (lambda v: v.upper_lip + v.lower_lip > 0.6, "upper_lip and lower_lip above 0.3 on average"),
    "Wearing_Lipstick": (lambda v: v.lipstick > 0.4, "lipstick above 0.4"),
    "Heavy_Makeup": (lambda v: v.makeup > 0.4, "makeup above 0.4"),
    "Rosy_Cheeks": (lambda v: v.rosy_cheeks > 0.4, "rosy_cheeks above 0.4"),
    "Pale_Skin": (lambda v: v.skin_tone < 0.2, "skin_tone below 0.2"),
    "Blurry": (lambda v: v.blur > 0.4, "blur above 0.4"),
}
_CONTINUOUS = {
    "yaw": ("deg", "turn of the head, positive to the right of the image"),
    "pitch": ("deg", "nod of the head, positive looks up"),
    "roll": ("deg", "tilt of the head, positive is clockwise in the image"),
    "age": ("years", "age-like appearance"),
    "light": ("deg", "azimuth of the key light, positive to the right of the image"),
    "skin_tone": (None, "0 light to 1 dark"),
}
ATTRIBUTES: dict[str, Attribute] = {
    "identity": Attribute("identity", description="who is shown: shared numbers and stable traits"),
    **{name: Attribute("binary", description=text) for name, (_, text) in _BINARY.items()},
    **{
        name: Attribute("continuous", unit=unit, description=text)
        for name, (unit, text) in _CONTINUOUS.items()
    },
}


def attributes(parameters: pd.DataFrame) -> pd.DataFrame:
    """What is true of the faces that a table of parameters describes.

    Parameters
    ----------
    parameters : DataFrame
        As `render` takes it.

    Returns
    -------
    DataFrame
        One row a face: ``identity`` (string; missing where the parameters name none), CelebA's names as nullable
        booleans, then yaw, pitch, roll, light (deg), age (years) and skin_tone; see `ATTRIBUTES`.

    Raises
    ------
    DataError
        As `render` does.

    Examples
    --------
    >>> table = attributes(pd.DataFrame({"smile": [0.8, 0.0], "yaw": [-20.0, 5.0]}))
    >>> table.Smiling.tolist(), table.yaw.tolist()
    ([True, False], [-20.0, 5.0])
    """
    values = SimpleNamespace(**check(parameters))
    n = len(parameters)
    identity = parameters["identity"].to_numpy() if "identity" in parameters else [pd.NA] * n
    columns: dict[str, object] = {"identity": pd.array(identity, dtype="string")}
    for name, (rule, _) in _BINARY.items():
        columns[name] = pd.array(rule(values).astype(bool), dtype="boolean")
    for name in _CONTINUOUS:
        columns[name] = np.asarray(getattr(values, name), dtype=np.float64)
    return pd.DataFrame(columns)
