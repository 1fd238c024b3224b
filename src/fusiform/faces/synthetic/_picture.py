"""From the light of the samples to the picture's bytes: pixels, blur, noise, grey."""

import torch
from torch import Tensor

from fusiform.faces.synthetic._math import gaussian_noise, true_places
from fusiform.faces.synthetic._measures import Measures

__all__ = ["develop"]


def _blurred(image: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of images (3, n, h, w) by standard deviations (n, 1) in pixels, each its own."""
    most = float(sigma.max())
    if most <= 0:
        return image
    reach = max(1, int(3 * most + 0.5))
    out = image
    wide_sigma = sigma.view(-1, 1, 1).clamp_min(1e-3)
    for dim in (2, 3):
        pad = (reach, reach, 0, 0) if dim == 3 else (0, 0, reach, reach)
        wide = torch.nn.functional.pad(out, pad, mode="replicate")
        total = torch.zeros_like(out)
        weights = torch.zeros_like(wide_sigma)
        for i in range(-reach, reach + 1):
            weight = (-0.5 * (i / wide_sigma) ** 2).exp() * (
                abs(i) <= (3 * wide_sigma + 0.5).clamp_min(1).floor()
            )
            total += weight * wide.narrow(dim, i + reach, out.shape[dim])
            weights += weight
        out = total / weights
    return torch.where(sigma.view(-1, 1, 1) > 0, out, image)


def _tone(light: Tensor) -> Tensor:
    """Film-like shoulder: linear up to bright skin, then bent so that highlights do not clip."""
    return torch.where(light < 0.6, light, 0.6 + 0.4 * (1 - (-(light - 0.6) * (1 / 0.4)).exp()))


def develop(image: Tensor, m: Measures) -> Tensor:
    """Bytes (n, 3, size, size) of pictures of n faces from linear light (3, n, size, size)."""
    n, size = image.shape[1:3]
    image = _blurred(image, 0.025 * size * m.blur)
    grey = 0.2126 * image[0] + 0.7152 * image[1] + 0.0722 * image[2]
    image = torch.where(m.greyscale.view(1, n, 1, 1) > 0, grey, image)
    picture = _tone(image.clamp_min(0)).sqrt()
    noisy = true_places(m.noise[:, 0] > 0)
    if len(noisy):
        some = m.of(noisy)
        grain = torch.stack([gaussian_noise(size, some.noise_seed, channel) for channel in range(3)])
        grain = torch.where(some.greyscale.view(1, -1, 1, 1) > 0, grain[:1], grain)
        clean = picture[:, noisy]
        picture[:, noisy] = clean + 0.08 * some.noise[:, :, None] * grain * (1 - 0.4 * clean)
    return (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).transpose(0, 1)
