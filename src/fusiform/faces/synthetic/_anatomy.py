"""From factors to measures of one face, in decimetres on the chart (see `_surface`).

The head's frame: x to the right of the image, y up, z towards the viewer, all in decimetres; y = 0 lies between
the eyes. Geometry, colours and landmarks all read the same measures, so what is drawn and what is said about it
cannot part.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np

__all__ = [
    "Face",
    "brow_curve",
    "bump",
    "flat",
    "lid_curves",
    "lip_curves",
    "measure",
    "positive",
    "ramp",
    "span",
]

Face = SimpleNamespace


def flat(values: Any) -> np.ndarray:
    """Numbers as a float32 array: whatever is computed from it stays float32."""
    return np.asarray(values, dtype=np.float32)


def span(low: float, high: float, n: int) -> np.ndarray:
    """Return n evenly spaced float32 values from low to high."""
    return np.linspace(low, high, n, dtype=np.float32)


def positive(x: np.ndarray) -> np.ndarray:
    """What is above zero of x; NumPy clips twice as fast as it takes the maximum with a number."""
    return x.clip(0, np.inf)


def ramp(x: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Smooth step from 0 at low to 1 at high (falling where low > high)."""
    t = ((x - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)


def bump(x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    """Gaussian hill of height one."""
    u, v = (x - cx) / rx, (y - cy) / ry
    square = u * u + v * v
    return np.exp(np.negative(square, square), square)


def measure(p: SimpleNamespace) -> Face:
    """Measures of one face from its factors; keeps the factors under their own names."""
    m = SimpleNamespace(**vars(p))
    s = 2 * p.male - 1  # -1 female-like, +1 male-like
    child = min(max((16 - p.age) / 12, 0.0), 1.0)
    m.old = min(max((p.age - 38) / 42, 0.0), 1.2)
    m.child = child
    m.scale_x = 1 + 0.045 * p.skull_width + 0.012 * s
    m.scale_low = 1 + 0.075 * p.face_length + 0.025 * s - 0.1 * child
    m.scale_high = 1 + 0.05 * p.skull_height + 0.05 * child
    # eyes
    m.eye_x = 0.318 + 0.03 * p.eye_spacing + 0.006 * s
    m.eye_y = 0.0 + 0.025 * p.eye_height
    m.eye_w = 0.16 * (1 + 0.13 * p.eye_size + 0.12 * child)
    m.eye_tilt = 0.16 * p.eye_tilt + 0.03 - 0.06 * max(m.old, 0)
    open_ = (1 + 0.22 * p.eye_openness - 0.09 * s + 0.25 * child - 0.15 * m.old) * (
        1 + 0.18 * max(p.brow_raise, 0)
    )
    m.lid_high, m.lid_low = 0.086 * open_, 0.05 * open_ * (1 - 0.25 * max(p.smile, 0))
    m.iris = 0.07 * (1 + 0.05 * p.eye_size + 0.06 * child)
    # brows
    m.brow_y = m.eye_y + 0.205 + 0.03 * p.brow_height - 0.018 * s + 0.055 * p.brow_raise
    m.brow_in = 0.125 + 0.035 * p.brow_gap - 0.02 * max(-p.brow_raise, 0)
    m.brow_out = m.eye_x + 0.19 + 0.03 * p.brow_length
    m.brow_half = 0.028 * (1 + 0.85 * max(p.brow_thickness, 0) + 0.5 * min(p.brow_thickness, 0) + 0.18 * s)
    m.brow_arch = 0.045 + 0.045 * p.brow_arch
    m.brow_tilt = 0.05 * p.brow_tilt + 0.09 * min(p.brow_raise, 0) * -0.6 + 0.01
    # nose
    grown = 1 - 0.22 * child
    m.nose_y = -0.485 - 0.045 * p.nose_length - 0.012 * s + 0.06 * child  # its base
    m.nose_w = 0.155 * (1 + 0.26 * p.nose_width + 0.08 * s) * grown
    m.bridge_w = 0.085 * (1 + 0.22 * p.nose_bridge_width + 0.06 * s)
    m.nose_z = 0.2 * (1 + 0.22 * p.nose_protrusion + 0.07 * s) * grown
    m.tip_w = 0.085 * (1 + 0.28 * p.nose_tip)
    m.tip_y = m.nose_y + 0.115 + 0.03 * p.nose_tip_up
    # mouth
    m.mouth_y = m.nose_y - 0.225 + 0.028 * p.mouth_height + 0.01 * s
    smile = max(p.smile, 0.0)
    m.mouth_w = 0.248 * (1 + 0.14 * p.mouth_width - 0.1 * child) + 0.062 * smile - 0.02 * p.mouth_open
    m.corner = 0.075 * p.smile if p.smile > 0 else 0.055 * p.smile
    m.gap = 0.2 * p.mouth_open
    m.upper_lip = 0.066 * (1 + 0.48 * p.upper_lip - 0.16 * s - 0.25 * m.old) * (1 - 0.22 * smile)
    m.lower_lip = 0.086 * (1 + 0.42 * p.lower_lip - 0.1 * s - 0.2 * m.old) * (1 - 0.16 * smile)
    m.jaw_drop = 0.11 * p.mouth_open
    m.chin_y = -1.2
    return m


def lid_curves(s: np.ndarray, m: Face) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower lid over the eye's own x, -1 at the inner to 1 at the outer corner (y from the eye's centre)."""
    t = positive(1 - s * s)
    lower = -m.lid_low * t**0.8
    upper = m.lid_high * t**0.62 * (1 - 0.1 * s)
    return upper + (lower + 0.006 * t - upper) * m.eye_closure, lower


def brow_curve(t: np.ndarray, m: Face) -> tuple[np.ndarray, np.ndarray]:
    """Centre line and half thickness of a brow over t, 0 at the inner to 1 at the outer end."""
    arch = m.brow_arch * (1 - ((t - 0.6) / 0.62) ** 2)
    raise_in = 0.03 * min(m.brow_raise, 0.0) * (1 - t)
    centre = m.brow_y - 0.03 + arch + m.brow_tilt * (t - 0.4) + raise_in
    half = m.brow_half * (0.55 + 0.45 * ramp(t, 0.0, 0.22)) * (1 - 0.72 * ramp(t, 0.45, 1.02))
    return centre, half


def lip_curves(s: np.ndarray, m: Face) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The lips' four edges over s = x / mouth_w in [-1, 1], from the top: upper lip, its rim, lower lip's rim, edge."""
    s2 = s * s
    t = positive(1 - s2)
    line = m.mouth_y + m.corner * (s2 - 0.35) + 0.006 * np.cos(s * 9) * t
    rim_up = line + 0.16 * m.gap * t
    three_quarters = np.sqrt(t * np.sqrt(t))  # t to the power 0.75
    rim_low = line - 0.84 * m.gap * three_quarters
    bow = (0.13 + 0.12 * m.cupids_bow) * (
        np.exp(-(((abs(s) - 0.25) / 0.16) ** 2)) - np.exp(-((s / 0.13) ** 2))
    )
    top = rim_up + m.upper_lip * three_quarters * (1 + bow)
    bottom = rim_low - m.lower_lip * t**0.62
    return top, rim_up, rim_low, bottom
