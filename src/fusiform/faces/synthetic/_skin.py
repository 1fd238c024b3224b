"""The painted face: skin with its shadows, eyes, brows, lips, beard, make-up."""

import numpy as np

from fusiform.faces.synthetic._anatomy import (
    Face,
    brow_curve,
    bump,
    flat,
    lid_curves,
    lip_curves,
    positive,
    ramp,
)
from fusiform.faces.synthetic._colour import Paint, hair_colour, hue_colour, linear, mix, noise, skin_colour
from fusiform.faces.synthetic._surface import beard_density

__all__ = ["BITS", "PARTS", "paint_head"]

# In the order in which parts that overlap claim the one label of a pixel.
PARTS = ("glasses", "hat", "hair", "beard", "left_eye", "right_eye", "left_brow", "right_brow", "mouth", "nose",
         "left_cheek", "right_cheek", "chin", "skin", "left_ear", "right_ear", "neck", "clothes", "background")  # fmt: skip
_TRACE = 0.003  # paint thinner than that changes no byte, and is not part of a mask
BITS = {name: 1 << i for i, name in enumerate(PARTS)}

_IRIS = ((44, 26, 18), (96, 58, 30), (122, 100, 52), (84, 112, 80), (78, 116, 150), (150, 178, 192))


class _Canvas:
    """Colours of the head's sample pixels; features paint over a part of them."""

    def __init__(self, uv: np.ndarray, m: Face) -> None:
        self.theta, self.cx, self.cy = uv
        self.ax = abs(self.cx)
        count = uv.shape[1]
        self.albedo = np.repeat(skin_colour(m), count, 1)
        self.parts = np.zeros(count, np.int32)
        self.gloss = np.full(count, 0.045, np.float32)
        self.dim: np.ndarray = np.ones(count, np.float32)
        self.front = abs(self.theta) < 1.5

    def over(self, where: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
        """Blend a colour (3, 1 or k) over the pixels at indices ``where`` (k,) by alpha (k,)."""
        for channel, values in zip(self.albedo, colour, strict=True):
            channel[where] = mix(channel.take(where), values, alpha)

    def mark(self, where: np.ndarray, part: str, right: str | None = None) -> None:
        """Set a part's bit at indices; where two parts are named, the one on whose side of the face a pixel lies."""
        bits = np.int32(BITS[part])
        self.parts[where] |= (
            bits if right is None else np.where(self.cx[where] < 0, bits, np.int32(BITS[right]))
        )


def _skin(c: _Canvas, m: Face) -> None:
    """Redness, mottling, folds and age; shadows where light does not reach."""
    ax, cx, cy = c.ax, c.cx, c.cy
    f = c.front.astype(np.float32)
    red = 0.10 * bump(ax, cy, 0.4, -0.38, 0.2, 0.18) + 0.12 * bump(cx, cy, 0, m.tip_y, 0.13, 0.1)
    red = (red + 0.04 * noise(cx * 9 + 3, cy * 8)) * f
    c.albedo *= np.stack((1 + 0.2 * red, 1 - red, 1 - 0.8 * red))
    smile = max(m.smile, 0.0)
    dark = 0.30 * bump(ax, cy, m.eye_x - 0.12, m.eye_y + 0.05, 0.10, 0.09)
    dark = dark + 0.13 * bump(ax, cy, m.eye_x, m.eye_y + 0.07, 0.18, 0.05)
    dark = dark + (0.1 + 0.12 * m.old) * bump(ax, cy, m.eye_x - 0.03, m.eye_y - 0.12, 0.12, 0.035)
    dark = dark + 0.34 * bump(cx, cy, 0, m.nose_y - 0.035, m.nose_w * 0.9, 0.04)
    dark = dark + 0.16 * bump(ax, cy, m.nose_w * 1.22, m.nose_y + 0.05, 0.035, 0.08)
    dark = dark + 0.14 * bump(cx, cy, 0, m.mouth_y - m.lower_lip - 0.85 * m.gap - 0.06, 0.16, 0.035)
    # From the wing of the nose past the corner of the mouth.
    fold_x = m.nose_w * 1.3 + (m.mouth_w + 0.07 - m.nose_w * 1.3) * ramp(cy, m.nose_y + 0.08, m.mouth_y)
    fold = (
        np.exp(-(((ax - fold_x) / 0.028) ** 2))
        * ramp(cy, m.nose_y + 0.1, m.nose_y)
        * ramp(cy, m.mouth_y - 0.1, m.mouth_y + 0.06)
    )
    dark = dark + (0.26 * smile + 0.24 * min(m.old, 1.0)) * fold
    if m.old > 0:
        lines = positive(np.cos((cy + 0.03 * np.cos(cx * 5)) * 62)) ** 2
        brow = lines * lines * ramp(cy, 0.3, 0.36) * ramp(cy, 0.66, 0.56) * ramp(ax, 0.5, 0.3)
        feet = positive(np.cos(np.arctan2(cy - m.eye_y, ax - m.eye_x - m.eye_w + 0.05) * 9)) ** 3
        feet = feet * bump(ax, cy, m.eye_x + m.eye_w + 0.07, m.eye_y, 0.05, 0.09)
        jowl = np.exp(-(((ax - m.mouth_w - 0.02 - 0.2 * (m.mouth_y - cy)) / 0.022) ** 2))
        jowl = jowl * ramp(cy, m.mouth_y, m.mouth_y - 0.06) * ramp(cy, -1.08, -0.95)
        dark = dark + min(m.old, 1.0) * (0.3 * brow + 0.35 * feet + 0.25 * jowl)
        bag = np.exp(-(((cy - m.eye_y + 0.12 - 0.5 * (ax - m.eye_x) ** 2) / 0.014) ** 2))
        dark = dark + 0.22 * min(m.old, 1.0) * bag * ramp(abs(ax - m.eye_x), 0.14, 0.08)
    if m.brow_raise < 0:
        crease = np.exp(-(((ax - 0.05) / 0.014) ** 2)) * bump(cx, cy, 0, m.brow_y - 0.01, 0.3, 0.07)
        dark = dark - 0.3 * m.brow_raise * crease
    c.dim = (1 - dark * f).clip(0.25)
    under_chin = ramp(cy, -1.12, -1.2)
    c.dim = c.dim * (1 - 0.35 * under_chin)
    if m.hat != "none":
        c.dim = c.dim * (1 - 0.3 * ramp(cy, 0.2, 0.36))
    elif m.hair_style not in ("bald", "horseshoe", "buzz"):
        c.dim = c.dim * (1 - 0.16 * ramp(cy, 0.42, 0.62))
    freckles = max(m.freckles, 0.0) * (1 - m.skin_tone)
    if freckles > 0:
        spots = ramp(noise(cx * 60 + 5, cy * 57) + 0.5 * noise(cx * 101, cy * 93 + 2), 0.45, 0.75)
        spots = spots * bump(ax, cy, 0.25, -0.28, 0.3, 0.2) * f
        c.albedo *= 1 - flat([[0.35], [0.5], [0.55]]) * (freckles * spots)
    if m.mole_size > 0.15:
        mole = ramp(np.sqrt((cx - 0.42 * m.mole_x) ** 2 + (cy + 0.45 - 0.35 * m.mole_y) ** 2), 0.012 + 0.02 * m.mole_size,
                    0.004 + 0.012 * m.mole_size) * f  # fmt: skip
        c.albedo *= 1 - 0.72 * mole


def _cheeks(c: _Canvas, m: Face) -> None:
    if m.rosy_cheeks > 0:
        where = ((abs(c.ax - 0.43) < 0.36) & (abs(c.cy + 0.36) < 0.32) & c.front).nonzero()[0]
        rosy = bump(c.ax[where], c.cy[where], 0.43, -0.36, 0.16, 0.14)
        tint = c.albedo[:, where] * flat([[1.12], [0.42], [0.5]]) + flat([[0.03], [0.0], [0.005]])
        c.over(where, tint, 0.62 * m.rosy_cheeks * rosy)
    cheek = ((c.ax - 0.43) / 0.24) ** 2 + ((c.cy + 0.36) / 0.25) ** 2 < 1
    cheek &= c.front
    c.mark(cheek.nonzero()[0], "left_cheek", "right_cheek")


def _nose(c: _Canvas, m: Face) -> None:
    half = m.bridge_w + 0.02 + (m.nose_w * 1.22 - m.bridge_w) * ramp(c.cy, -0.12, m.nose_y + 0.1)
    nose = (c.ax < half) & (c.cy < m.eye_y + 0.04) & (c.cy > m.nose_y - 0.035) & c.front
    where = nose.nonzero()[0]
    c.mark(where, "nose")
    ax, cy = c.ax[where], c.cy[where]
    hole = bump(
        ax, cy + 0.25 * (ax - m.nose_w * 0.5), m.nose_w * 0.5, m.nose_y + 0.012, m.nose_w * 0.27, 0.024
    )
    c.dim[where] *= 1 - 0.8 * ramp(hole, 0.15, 0.75)
    wing = np.exp(-(((ax - m.nose_w * 1.08) / 0.02) ** 2)) * bump(
        ax, cy, m.nose_w, m.nose_y + 0.06, 0.1, 0.06
    )
    c.dim[where] *= 1 - 0.3 * wing


def _brows(c: _Canvas, m: Face) -> None:
    length = m.brow_out - m.brow_in
    t_all = (c.ax - m.brow_in) / length
    near = ((t_all > -0.12) & (t_all < 1.1) & (abs(c.cy - m.brow_y) < 0.25) & c.front).nonzero()[0]
    t, ax, cy = t_all[near], c.ax[near], c.cy[near]
    centre, half = brow_curve(t, m)
    across = (cy - centre) / half
    hairs = noise(ax * 85 - cy * 60, cy * 45 + ax * 12)
    body = ramp(abs(across) + 0.3 * hairs, 1.25, 0.55) * ramp(t, -0.07, 0.06) * ramp(t, 1.06, 0.93)
    colour = hair_colour(m)
    darker = 0.42 if m.hair_colour in ("blond", "gray") else 0.7
    colour = np.minimum(colour * darker, skin_colour(m) * 0.55)
    made = 0.12 * m.makeup
    alpha = body * min(0.72 + 0.12 * m.brow_thickness + made + 0.1 * m.male, 0.97) * (0.88 + 0.12 * hairs)
    c.over(near, colour, alpha)
    c.gloss[near] *= 1 - body
    c.mark(near[alpha > _TRACE], "left_brow", "right_brow")


def _eyes(c: _Canvas, m: Face) -> None:
    s_all = (c.ax - m.eye_x) / m.eye_w
    near = ((abs(s_all) < 1.75) & (abs(c.cy - m.eye_y) < 0.3) & c.front).nonzero()[0]
    s, cx, cy = s_all[near], c.cx[near], c.cy[near]
    y = cy - m.eye_y - m.eye_tilt * s * m.eye_w
    upper, lower = lid_curves(s.clip(-1, 1), m)
    inside = (abs(s) < 1) & (y < upper) & (y > lower)
    if m.makeup > 0:
        shadow = (
            ramp(y, upper - 0.005, upper + 0.02)
            * ramp(y, upper + 0.12, upper + 0.05)
            * ramp(abs(s), 1.25, 0.8)
        )
        c.over(near, hue_colour(0.78 + 0.1 * m.eye_colour, 0.3, 0.35) * 0.9, 0.68 * m.makeup * shadow)
    fold = upper.clip(0.02) * 1.0 + 0.045 + 0.018 * m.lid_fold - 0.02 * m.eye_closure
    crease = np.exp(-(((y - fold) / 0.011) ** 2)) * ramp(abs(s), 1.1, 0.8)
    c.dim[near] *= 1 - (0.3 + 0.1 * min(m.old, 1.0)) * crease
    # white, iris, pupil
    side = np.sign(cx)
    gaze_x, gaze_y = 0.05 * m.gaze_x, 0.028 * m.gaze_y
    ix, iy = cx - side * m.eye_x - gaze_x, y - (m.lid_high - m.lid_low) * 0.28 - gaze_y
    radius = np.sqrt(ix * ix + iy * iy)
    white = linear((236, 230, 226)) * (1 - 0.28 * abs(s) ** 3)
    at = (m.eye_colour + 1) / 2 * (len(_IRIS) - 1)
    i = min(int(at), len(_IRIS) - 2)
    iris = mix(linear(_IRIS[i]), linear(_IRIS[i + 1]), at - i)
    spokes = 1 + 0.25 * np.sin(np.arctan2(iy, ix) * 11) * ramp(radius, 0.0, m.iris)
    ring = 1 - 0.6 * ramp(radius, m.iris * 0.72, m.iris) + 0.35 * ramp(-iy, 0.0, m.iris)
    eye = mix(white, iris * spokes * ring, ramp(radius, m.iris + 0.006, m.iris - 0.006))
    eye = mix(eye, linear((12, 10, 10)), ramp(radius, m.iris * 0.45 + 0.005, m.iris * 0.45 - 0.005))
    tear = bump(s, y, -0.97, -0.005, 0.13, 0.02)
    eye = mix(eye, linear((206, 138, 128)), 0.8 * tear)
    lid_shade = 1 - 0.5 * ramp(upper - y, 0.05, 0.0)
    glint_x, glint_y = 0.02 * (1 if m.light >= 0 else -1), 0.024
    glint = ramp(np.sqrt((ix - glint_x) ** 2 + (iy - glint_y) ** 2), 0.02, 0.011)
    eye = mix(eye * lid_shade, linear((255, 255, 255)) * 1.2, 0.9 * glint)
    lit = near[inside]
    for channel, values in zip(c.albedo, eye, strict=True):
        channel[lit] = values[inside]
    c.gloss[lit] = 0.03
    c.dim[lit] = 0.95
    # lashes
    thick = 0.011 + 0.008 * (1 - m.male) + 0.012 * m.makeup
    wing = (s > 0.9) & (s < 1.25)
    curve = np.where(wing, upper + 0.10 * positive(s - 1), upper)
    lash = ramp(abs(y - curve - thick * 0.4), thick * 1.3, thick * 0.45)
    lash = lash * ramp(s, 1.2 + 0.1 * m.makeup, 0.98) * ramp(s, -1.04, -0.9)
    low = ramp(abs(y - lower), 0.013, 0.004) * ramp(abs(s), 1.02, 0.9) * (0.38 + 0.35 * m.makeup)
    line = np.maximum(lash * min(0.82 + 0.1 * m.makeup, 1.0), low)
    c.over(near, linear((30, 20, 18)), line)
    c.gloss[near] *= 1 - line
    c.mark(near[inside | (line > _TRACE)], "left_eye", "right_eye")


def _lips(c: _Canvas, m: Face) -> None:
    s_all = c.cx / m.mouth_w
    near = ((abs(s_all) < 1.12) & (abs(c.cy - m.mouth_y) < 0.48) & c.front).nonzero()[0]
    s, cy = s_all[near], c.cy[near]
    top, rim_up, rim_low, bottom = lip_curves(s.clip(-1, 1), m)
    soft = 0.009
    in_s = abs(s) < 1
    lips = np.minimum(ramp(cy, top + soft, top - soft), ramp(cy, bottom - soft, bottom + soft)) * in_s
    skin = skin_colour(m)
    red = 0.5 + 0.28 * m.lip_redness - 0.14 * m.male - 0.1 * min(m.old, 1.0)
    natural = skin * flat([[0.86], [0.46], [0.47]]) * (1 - 0.12 * m.male)
    natural = mix(skin * 0.8, natural, min(0.45 + 0.55 * red + 0.1, 1.0))
    stick = hue_colour(0.985 - 0.045 * m.lipstick_hue, 0.34, 0.78)
    colour = mix(natural, stick, 0.88 * m.lipstick)
    upper = ramp(cy, (rim_up + rim_low) / 2 - 0.004, (rim_up + rim_low) / 2 + 0.004)
    ridges = 1 + 0.06 * np.sin(s * 46) - 0.17 * upper
    c.over(near, colour * ridges, lips * 0.96)
    c.gloss[near] = c.gloss[near] + lips * (0.05 + 0.12 * m.lipstick) * (1 - upper)
    # the opening: dark, teeth above, tongue below
    gap = rim_up - rim_low
    hole = np.minimum(ramp(cy, rim_up + 0.004, rim_up - 0.006), ramp(cy, rim_low - 0.004, rim_low + 0.006))
    hole = hole * (gap > 0.004) * in_s
    inner = linear((58, 18, 20))
    tongue = bump(s, cy, 0.0, m.mouth_y - 0.9 * m.gap, 0.5, 0.06 + 0.1 * m.gap)
    inner = mix(inner, linear((170, 78, 78)), 0.8 * tongue)
    teeth = ramp(cy, rim_up - 0.35 * gap - 0.032, rim_up - 0.35 * gap - 0.014) * ramp(abs(s), 0.86, 0.7)
    inner = mix(inner, linear((240, 234, 224)) * (0.9 - 0.25 * s * s), teeth)
    c.over(near, inner, hole)
    c.dim[near] = c.dim[near] + (0.9 - c.dim[near]) * np.maximum(hole, 0.7 * lips)
    slit = np.exp(-(((cy - (rim_up + rim_low) / 2) / 0.010) ** 2)) * ramp(abs(s), 1.06, 0.95) * (gap <= 0.03)
    corner = bump(abs(s), cy - m.mouth_y - 0.65 * m.corner, 1.0, 0.0, 0.07, 0.03)
    c.over(near, linear((70, 26, 26)) * (0.4 + 0.6 * skin), np.maximum(0.72 * slit, 0.5 * corner))
    inside = np.maximum(lips, hole) > _TRACE
    inside |= (slit > _TRACE) & in_s
    c.mark(near[inside], "mouth")


def _beard(c: _Canvas, m: Face) -> None:
    if m.beard == "none":
        return
    near = ((c.cy < 0.15) & (abs(c.theta) < 1.8)).nonzero()[0]
    cx, cy, theta = c.cx[near], c.cy[near], c.theta[near]
    density = beard_density(cx, cy, theta, m)
    fine = noise(theta * 52 + 2, cy * 23) * 0.5 + 0.5 * noise(theta * 88, cy * 31 + 3)
    colour = hair_colour(m) * 0.85
    if m.beard == "stubble":
        alpha = density * (0.5 + 0.2 * fine)
        colour = np.minimum(colour * 0.75, skin_colour(m) * 0.4) + 0.01
        tone = np.ones_like(cy)
    else:
        alpha = ramp(density + 0.28 * fine, 0.22, 0.7) * 0.97
        alpha = alpha * (density > 0.02)
        tone = 0.85 + 0.4 * fine
    free = (c.parts[near] & BITS["mouth"]) == 0
    alpha = alpha * free
    c.over(near, colour * tone.clip(0.3), alpha)
    c.gloss[near] *= 1 - alpha
    c.mark(near[alpha > _TRACE], "beard")


def paint_head(uv: np.ndarray, m: Face) -> Paint:
    """Colours of the head's sample pixels.

    Parameters
    ----------
    uv : np.ndarray
        Theta and chart coordinates, ``(3, m)``.
    m : Face
        Measures.

    Returns
    -------
    Paint
    """
    c = _Canvas(uv, m)
    _skin(c, m)
    _cheeks(c, m)
    _nose(c, m)
    _brows(c, m)
    _eyes(c, m)
    _lips(c, m)
    _beard(c, m)
    covered = BITS["left_eye"] | BITS["right_eye"] | BITS["left_brow"] | BITS["right_brow"] | BITS["mouth"]
    low = ((c.ax < 0.3) & (c.cy < m.mouth_y + 0.1) & c.front).nonzero()[0]
    _, _, _, bottom = lip_curves((c.cx[low] / m.mouth_w).clip(-1, 1), m)
    c.mark(low[c.cy[low] < bottom - 0.05], "chin")
    c.mark(((c.parts & covered) == 0).nonzero()[0], "skin")
    return Paint(c.albedo, c.parts, c.gloss, c.dim)
