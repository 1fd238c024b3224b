"""From the light of the samples to the picture's bytes: pixels, blur, noise, grey."""

import torch
from torch import Tensor

from fusiform.faces.synthetic._math import gaussian_noise, true_places
from fusiform.faces.synthetic._measures import Measures

__all__ = ["develop"]


def _blurred(image: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of images (3, n, h, w) by standard deviations (n, 1) in pixels, each its own."""
    reach = (3 * sigma[:, 0] + 0.5).floor().clamp_min(1) * (sigma[:, 0] > 0)
    image = image.clone()
    for least, most in ((1, 1), (2, 2), (3, torch.inf)):  # most pictures are blurred a little, few a lot
        faces = true_places((reach >= least) & (reach <= most))
        if len(faces):
            image[:, faces] = _convolved(
                image[:, faces], sigma[faces][:, :, None], reach[faces][:, None, None]
            )
    return image


def _convolved(image: Tensor, sigma: Tensor, reach: Tensor) -> Tensor:
    """Convolve images (3, n, h, w) with bells of deviations and reaches (n, 1, 1), down and then across."""
    most = int(reach.max())
    for dim in (2, 3):
        pad = (most, most, 0, 0) if dim == 3 else (0, 0, most, most)
        wide = torch.nn.functional.pad(image, pad, mode="replicate")
        total, weights = torch.zeros_like(image), torch.zeros_like(sigma)
        for i in range(-most, most + 1):
            weight = (-0.5 * (i / sigma) ** 2).exp() * (abs(i) <= reach)
            total += weight * wide.narrow(dim, i + most, image.shape[dim])
            weights += weight
        image = total / weights
    return image


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
