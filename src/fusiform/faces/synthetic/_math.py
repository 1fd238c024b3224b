"""The few functions from which shapes and colours are made; on float32 tensors of any shape."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "bell",
    "bump",
    "gaussian_noise",
    "lerp",
    "mix",
    "positive",
    "power",
    "ramp",
    "smooth_noise",
    "span",
    "take",
    "true_places",
]


_PERIOD = 256


def positive(x: Tensor) -> Tensor:
    """What is above zero of x."""
    return x.clamp_min(0)


def lerp(a: Tensor | float, b: Tensor | float, share: Tensor | float) -> Tensor:
    """From a to b by a share."""
    out: Tensor = a + (b - a) * share  # type: ignore[assignment]
    return out


mix = lerp


def ramp(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Smooth step from 0 at low to 1 at high (falling where low > high)."""
    return _ease((x - low).mul_(1 / (high - low)).clamp_(0, 1))


def _ease(t: Tensor) -> Tensor:
    """The smooth step t * t * (3 - 2 * t); in place where it can be, for a new tensor costs more than the sum."""
    return (t * -2).add_(3).mul_(t).mul_(t)


def bump(
    x: Tensor,
    y: Tensor,
    cx: float | Tensor,
    cy: float | Tensor,
    rx: float | Tensor,
    ry: float | Tensor,
) -> Tensor:
    """Hill of height one, shaped like a Gaussian of these radii, but nothing beyond 2.8 of them."""
    u, v = (x - cx) * (1 / rx), (y - cy) * (1 / ry)
    return bell(u * u + v * v)


def bell(square: Tensor) -> Tensor:
    """About exp(-square), as (1 - square / 8) to the power 8: cheaper, alike on every machine, and it ends. Overwrites."""
    t = square.mul_(-0.125).add_(1).clamp_min_(0)
    for _ in range(3):
        t.mul_(t)
    return t


def power(x: Tensor, exponent: float) -> Tensor:
    """Power of numbers in [0, inf): `torch.pow` can differ in the last bit with where a number stands in memory."""
    return (x.clamp_min(1e-30).log() * exponent).exp()


def span(low: float, high: float, n: int, device: torch.device | None = None) -> Tensor:
    """Return n evenly spaced values from low to high."""
    return torch.linspace(low, high, n, dtype=torch.float64, device=device).float()


def _hash(i: Tensor, j: Tensor, seed: int) -> Tensor:
    """Fixed numbers in [0, 1) of lattice points, by integer arithmetic, which is the same on every machine."""
    h = (i * 374761393 + j * 668265263 + seed * 144665) & 0x7FFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0x7FFFFFFF
    h = h ^ (h >> 16)
    return (h & 0xFFFFFF).float() * (1 / 0x1000000)


def take(flat: Tensor, index: Tensor) -> Tensor:
    """Values of a flat tensor at places of any shape: `index_select` is three times as fast as indexing on a CPU."""
    return flat.index_select(0, index.view(-1)).view(index.shape)


def true_places(mask: Tensor) -> Tensor:
    """Flat places at which a mask holds, ascending: NumPy's search is five times as fast as torch's on a CPU."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.reshape(-1).nonzero()[:, 0]


@lru_cache(maxsize=4)
def _lattice(device: torch.device) -> Tensor:
    """Fixed random numbers in [-1, 1] on a lattice that repeats after 256 steps, one row and column to spare; flat."""
    i = torch.arange(_PERIOD + 1, device=device) % _PERIOD
    return (_hash(i[:, None], i, 1) * 2 - 1).reshape(-1)


def smooth_noise(x: Tensor, y: Tensor, seed: int = 0) -> Tensor:
    """Value noise in [-1, 1]: fixed random numbers on the integer lattice, smoothly joined; (n, k) or (k,) each."""
    table = _lattice(x.device)
    fx, fy = x.floor(), y.floor()
    u, v = _ease(x - fx), _ease(y - fy)
    i, j = (fx + 37 * seed).int() & (_PERIOD - 1), (fy + 59 * seed).int() & (_PERIOD - 1)
    at = j * (_PERIOD + 1) + i
    low = take(table, at)
    low += (take(table, at + 1) - low).mul_(u)
    at = at + (_PERIOD + 1)
    high = take(table, at)
    high += (take(table, at + 1) - high).mul_(u)
    return high.sub_(low).mul_(v).add_(low)


def gaussian_noise(size: int, seeds: Tensor, channel: int) -> Tensor:
    """Noise (n, size, size) of mean 0 and deviation 1, fixed by seeds (n, 1) in [0, 1]; the sum of four uniforms."""
    table = _lattice(seeds.device)
    place = torch.arange(size * size, dtype=torch.int32, device=seeds.device)
    start = (seeds.double() * 1e6).int() + 9973 * channel
    total = take(table, (place + start) % len(table))
    for prime in (15013, 30011, 45007):
        total += take(table, (place + (start * 3 + prime)) % len(table))
    return (total * math.sqrt(0.75)).view(len(seeds), size, size)
