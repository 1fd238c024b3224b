"""Palettes, in linear light (sRGB squared): colours are ``(3, n, 1)`` or ``(3, n, k)``."""

import colorsys
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fusiform.faces.synthetic._factors import HAIR_COLOURS
from fusiform.faces.synthetic._math import lerp
from fusiform.faces.synthetic._measures import Measures

__all__ = ["Paint", "blank", "colour", "hair_colour", "hue_colour", "palette", "skin_colour"]

_SKIN = ((240, 207, 188), (233, 194, 170), (222, 176, 147), (197, 146, 112), (152, 105, 76), (98, 66, 50))
_HAIR = {"black": (24, 20, 20), "brown": (86, 54, 36), "blond": (206, 168, 108), "red": (150, 72, 36),
         "gray": (176, 174, 172)}  # fmt: skip


@dataclass
class Paint:
    """What some sample pixels of one shell look like before light falls on them.

    Attributes
    ----------
    albedo : Tensor
        Linear RGB ``(3, n, k)``, or ``(3, n, 1)`` where all are the same.
    parts : Tensor
        Bit planes of the parts seen, int64 ``(n, k)``.
    gloss : Tensor
        Strength of the highlight ``(n, k)``.
    dim : Tensor
        Occlusion, 1 in the open ``(n, k)``.
    flesh : float, default 0.0
        How far light spreads beneath the surface: 1 skin, 0 cloth and hair.
    alpha : Tensor, optional
        Of what is laid over the picture, such as a lens: how much of what is behind it it hides ``(n, k)``.
    """

    albedo: Tensor
    parts: Tensor
    gloss: Tensor
    dim: Tensor
    flesh: float = 0.0
    alpha: Tensor | None = None


def blank(like: Tensor, part: int) -> tuple[Tensor, Tensor, Tensor]:
    """Parts, gloss and dim of a shell that shows one part, without gloss, in the open."""
    parts = torch.full_like(like, part, dtype=torch.int64)
    return parts, torch.zeros_like(like), torch.ones_like(like)


def colour(rgb: tuple[float, float, float], like: Tensor) -> Tensor:
    """SRGB 0..255 to a linear colour (3, 1, 1) on the device of a tensor."""
    return (torch.tensor(rgb, dtype=torch.float32, device=like.device)[:, None, None] / 255) ** 2


def hue_colour(hue: Tensor, lightness: Tensor | float, saturation: Tensor | float) -> Tensor:
    """Linear colours (3, n, 1) of hues (n, 1), lightness and saturation in [0, 1]."""
    lightness, saturation = (
        v if isinstance(v, Tensor) else torch.full_like(hue, v) for v in (lightness, saturation)
    )
    table = [
        colorsys.hls_to_rgb(h % 1, 0.06 + 0.86 * li, s)
        for h, li, s in zip(*(v.flatten().tolist() for v in (hue, lightness, saturation)), strict=True)
    ]
    rgb = torch.tensor(np.array(table, dtype=np.float32), device=hue.device)
    return (rgb**2).T[:, :, None]


def palette(stops: tuple[tuple[float, float, float], ...], at: Tensor) -> Tensor:
    """Linear colour (3, ...) at a place in [0, 1] between stops given as sRGB."""
    table = (torch.tensor(stops, dtype=torch.float32, device=at.device) / 255) ** 2
    place = at.clamp(0, 1) * (len(stops) - 1)
    i = place.long().clamp_max(len(stops) - 2)
    share = (place - i)[..., None]
    return lerp(table[i], table[i + 1], share).movedim(-1, 0)


def skin_colour(m: Measures) -> Tensor:
    """Linear skin colour (3, n, 1)."""
    base = palette(_SKIN, m.skin_tone)
    red = 0.07 * m.skin_redness - 0.02 * (1 - 2 * m.male)
    yellow = 0.035 * m.skin_undertone
    scale = torch.stack((1 + 0.35 * red, 1 - red + 0.3 * yellow, 1 - 1.2 * red - 1.6 * yellow))
    return (base * scale).clamp(0, 1)


def hair_colour(m: Measures) -> Tensor:
    """Linear hair colour (3, n, 1)."""
    share = torch.stack([getattr(m, f"hair_colour_{name}") for name in HAIR_COLOURS])  # (5, n, 1)
    table = torch.stack([colour(_HAIR[name], m.yaw) for name in HAIR_COLOURS])  # (5, 3, 1, 1)
    base = (share[:, None] * table).sum(0)
    spread = 0.25 + 0.13 * (1 - m.hair_colour_black - m.hair_colour_gray)
    return (base * (1 + spread * m.hair_lightness)).clamp(0, 1)
