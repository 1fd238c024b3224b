"""From factors to measures of faces, in decimetres on the chart (see `_surface`).

The head's frame: x to the right of the image, y up, z towards the viewer, all in decimetres; y = 0 lies between
the eyes. Geometry, colours and landmarks all read the same measures, so what is drawn and what is said about it
cannot part. A measure is a column ``(n, 1)``, which broadcasts over the points of each of n faces.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusiform.faces.synthetic._factors import FACTORS
from fusiform.faces.synthetic._math import bell, lerp, positive, ramp

__all__ = ["Measures", "brow_curve", "lid_curves", "lip_curves", "measure"]


class Measures:
    """Columns ``(n, 1)`` by name: every factor (levels as ``factor_level``, 0 or 1), and what is derived from them."""

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.__dict__.update(columns)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"Faces have no measure '{name}'.")

    def __setattr__(self, name: str, value: Tensor) -> None:
        self.__dict__[name] = value

    def of(self, faces: Tensor) -> "Measures":
        """Return the measures of some of the faces, each taken when it is asked for."""
        return self if len(faces) == len(self) else _Some(self, faces)

    def over_grids(self, faces: Tensor) -> "Measures":
        """Return the measures of some of the faces as ``(n, 1, 1)``, which broadcasts over rows and columns."""
        return _Some(self, faces, deep=True)

    def __len__(self) -> int:
        return len(self.yaw)


class _Some(Measures):
    """Measures of some of the faces."""

    def __init__(self, whole: Measures, faces: Tensor, deep: bool = False) -> None:
        self.__dict__.update(_whole=whole, _faces=faces, _deep=deep)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._whole, name).index_select(0, self._faces)
        self.__dict__[name] = value = value[..., None] if self._deep else value
        return value


def columns(values: Mapping[str, np.ndarray], device: torch.device) -> Measures:
    """Checked factors as columns; a categorical one becomes one column a level."""
    out: dict[str, Tensor] = {}
    for name, value in values.items():
        levels = FACTORS[name].levels
        for level in levels:
            out[f"{name}_{level}"] = torch.tensor(value == level, dtype=torch.float32, device=device)[:, None]
        if not levels:
            out[name] = torch.tensor(np.asarray(value, dtype=np.float32), device=device)[:, None]
    return Measures(out)


def measure(values: Mapping[str, np.ndarray], device: torch.device) -> Measures:
    """Measures of faces from their factors; keeps the factors under their own names."""
    m = columns(values, device)
    s = m.sex = 2 * m.male - 1  # -1 female-like, +1 male-like
    m.child = ((17 - m.age) / 12).clamp(0, 1)
    m.old = ((m.age - 32) / 48).clamp(0, 1.2)
    m.full = (0.6 * m.weight + 0.4 * m.cheek_fullness + 0.35 * m.child - 0.25 * m.old).clamp(-1, 1.2)
    m.scale_x = 1 + 0.045 * m.skull_width + 0.012 * s + 0.02 * m.weight + 0.02 * m.child
    m.scale_low = 1 + 0.07 * m.face_length + 0.02 * s - 0.13 * m.child
    m.scale_high = 1 + 0.05 * m.skull_height + 0.05 * m.child
    _eyes(m)
    _nose(m)
    _mouth(m)
    m.hairless = ramp(m.hair_length, 0.04, 0.02)
    m.has_hair = (m.hair_length > 0.03) & (m.hair_recession < 0.97)
    return m


def _eyes(m: Measures) -> None:
    s = m.sex
    m.eye_x = 0.318 + 0.028 * m.eye_spacing + 0.006 * s
    m.eye_y = 0.025 * m.eye_height
    m.eye_w = 0.155 * (1 + 0.13 * m.eye_size + 0.14 * m.child)
    m.tilt = 0.13 * m.eye_tilt + 0.05 - 0.07 * m.old - 0.02 * s
    open_ = (1 + 0.2 * m.eye_openness - 0.08 * s + 0.2 * m.child - 0.18 * m.old) * (
        1 + 0.1 * m.AU_2 + 0.38 * m.AU_5
    )
    m.lid_high = 0.068 * open_ * (1 - 0.12 * positive(m.lid_hood)) * (1 - 0.12 * m.AU_4)
    m.lid_low = 0.045 * open_ * (1 - 0.55 * m.AU_6)
    m.iris = 0.072 * (1 + 0.04 * m.eye_size + 0.06 * m.child)
    # brows: the inner, middle and outer part move on their own
    m.brow_y = m.eye_y + 0.205 + 0.028 * m.brow_height - 0.02 * s - 0.012 * m.old
    m.brow_inner = 0.075 * m.AU_1 - 0.06 * m.AU_4 - 0.02 * m.AU_9
    m.brow_outer = 0.07 * m.AU_2 - 0.03 * m.AU_4
    m.brow_in = 0.13 + 0.03 * m.brow_gap - 0.035 * m.AU_4
    m.brow_out = m.eye_x + 0.195 + 0.03 * m.brow_length
    m.brow_half = 0.03 * (
        1 + 0.8 * positive(m.brow_thickness) + 0.5 * m.brow_thickness.clamp_max(0) + 0.2 * s - 0.2 * m.child
    )
    m.arch = 0.042 + 0.04 * m.brow_arch - 0.012 * s
    m.brow_slope = 0.045 * m.brow_tilt + 0.01
    m.uneven = 0.012 * m.asymmetry


def _nose(m: Measures) -> None:
    s = m.sex
    grown = 1 - 0.25 * m.child
    m.nose_y = -0.475 - 0.045 * m.nose_length - 0.012 * s + 0.07 * m.child - 0.02 * m.old + 0.018 * m.AU_9
    m.nose_w = 0.152 * (1 + 0.25 * m.nose_width + 0.08 * s + 0.1 * m.AU_9 + 0.04 * m.AU_12) * grown
    m.bridge_w = 0.085 * (1 + 0.22 * m.nose_bridge_width + 0.06 * s)
    m.nose_z = 0.205 * (1 + 0.22 * m.nose_protrusion + 0.07 * s) * grown
    m.tip_w = 0.088 * (1 + 0.28 * m.nose_tip)
    m.tip_y = m.nose_y + 0.112 + 0.03 * m.nose_tip_up
    m.bend = 0.022 * m.nose_bend


def _mouth(m: Measures) -> None:
    s = m.sex
    rise = 0.03 * m.AU_17 - 0.018 * m.AU_9  # the nose rises, the mouth does not
    m.mouth_y = m.nose_y - 0.225 + 0.026 * m.mouth_height + 0.006 * s + rise
    m.mouth_w = (
        0.25 * (1 + 0.13 * m.mouth_width - 0.1 * m.child) + 0.06 * m.AU_12 + 0.055 * m.AU_20 - 0.045 * m.AU_26 * (1 - m.AU_20)
        - 0.012 * m.AU_15 - 0.01 * m.AU_17
    )  # fmt: skip
    m.corner = 0.085 * m.AU_12 - 0.07 * m.AU_15 - 0.014 * m.AU_17 - 0.012 * m.AU_20 - 0.012 * m.old
    m.gap = 0.05 * m.AU_25 * (1 + 0.35 * m.AU_12) + 0.19 * m.AU_26
    thin = (1 - 0.12 * m.AU_12) * (1 - 0.22 * m.AU_20) * (1 - 0.12 * m.AU_15)
    m.upper_lip_h = (
        0.062 * (1 + 0.46 * m.upper_lip - 0.16 * s - 0.3 * m.old) * thin * (1 - 0.2 * m.AU_17 + 0.12 * m.AU_9)
    )
    m.lower_lip_h = 0.082 * (1 + 0.42 * m.lower_lip - 0.1 * s - 0.22 * m.old) * thin * (1 - 0.1 * m.AU_17)
    m.jaw_drop = 0.125 * m.AU_26


def lid_curves(s: Tensor, m: Measures) -> tuple[Tensor, Tensor]:
    """Upper and lower lid over the eye's own x, -1 at the inner to 1 at the outer corner (y from the eye's centre)."""
    t = positive(1 - s * s)
    root = t.sqrt()
    lower = -m.lid_low * (0.35 * root + 0.65 * t) * (1 + 0.22 * s)
    upper = m.lid_high * (0.72 * root + 0.28 * t) * (1 - 0.12 * s)
    return upper + (lower + 0.004 * t - upper) * m.eye_closure, lower


def brow_curve(t: Tensor, m: Measures, side: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """Centre line and half thickness of a brow over t, 0 at the inner to 1 at the outer end; side -1 left, 1 right."""
    u = (t - 0.62) * (1 / 0.62)
    arch = m.arch * (1 - u * u)
    inner = positive(1 - t * 1.15)
    moved = m.brow_inner * inner * (1.6 - 0.6 * inner) + m.brow_outer * ramp(t, 0.25, 0.85)
    centre = m.brow_y - 0.03 + arch + m.brow_slope * (t - 0.4) + moved + m.uneven * side
    half = m.brow_half * (0.5 + 0.5 * ramp(t, -0.05, 0.3)) * (1 - 0.78 * ramp(t, 0.42, 1.04))
    return centre, half


def lip_curves(s: Tensor, m: Measures) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The lips' four edges over s = x / mouth_w in [-1, 1], from the top: upper lip, its rim, lower lip's rim, edge."""
    s2 = s * s
    t = positive(1 - s2)
    root = t.sqrt()
    three_quarters = 0.5 * (root + t)
    rise = 0.5 * m.AU_17 * 0.03 * t
    line = m.mouth_y + m.corner * (s2 - 0.3) + 0.004 * (s * 9).cos() * t + rise + 0.6 * m.uneven * s
    oval = lerp(t, root, 0.8)
    rim_up = line + 0.22 * m.gap * oval
    rim_low = line - 0.78 * m.gap * oval
    a, b = (s.abs() - 0.25) * (1 / 0.17), s * (1 / 0.12)
    bow = (0.13 + 0.12 * m.cupids_bow) * (bell(a * a) - bell(b * b)) * (1 - 0.5 * m.AU_20)
    top = rim_up + m.upper_lip_h * three_quarters * (1 + bow)
    bottom = rim_low - m.lower_lip_h * lerp(t, root, 0.55)
    return top, rim_up, rim_low, bottom
