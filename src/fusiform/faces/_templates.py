from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray


@dataclass(frozen=True)
class Template:
    """Where five points of a face belong in an aligned image.

    Parameters
    ----------
    name : str
        Name, as network cards give it.
    size : (int, int)
        Height and width of the aligned image.
    points : tuple of five (x, y)
        Left eye, right eye, nose tip, left and right mouth corner, left and right as seen in the image;
        pixels, the centre of the top left pixel being (0, 0).
    outside : {"black", "edge"}, default "black"
        What lies where the aligned image reaches beyond the original: black, as face verifiers are trained, or the
        original's border continued, for crops so wide that black would be much of the image.

    Examples
    --------
    >>> TEMPLATES["arcface_112"].size
    (112, 112)
    """

    name: str
    size: tuple[int, int]
    points: tuple[tuple[float, float], ...]
    outside: Literal["black", "edge"] = "black"

    def array(self) -> Float[ndarray, "5 2"]:
        """The points as an array.

        Returns
        -------
        float64 array, shape (5, 2)
            x and y in pixels.

        Examples
        --------
        >>> TEMPLATES["arcface_112"].array().shape
        (5, 2)
        """
        return np.asarray(self.points, dtype=np.float64)


# Deng et al. 2019 (ArcFace); the points that insightface made customary for 112 x 112.
_ARCFACE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)

# Mean of the five points over aligned CelebA pictures (178 wide, 218 high).
_CELEBA = ((69.5, 111.7), (108.9, 111.9), (88.7, 135.7), (71.9, 152.6), (105.9, 152.7))


def _moved(
    points: tuple[tuple[float, float], ...], scale: float, dx: float, dy: float
) -> tuple[tuple[float, float], ...]:
    return tuple((round(scale * x + dx, 4), round(scale * y + dy, 4)) for x, y in points)


def _placed(eye_distance: float, eye_x: float, eye_y: float) -> tuple[tuple[float, float], ...]:
    """CelebA's mean face with a given distance between the eyes and the point between them at (eye_x, eye_y)."""
    scale = eye_distance / (_CELEBA[1][0] - _CELEBA[0][0])
    middle_x, middle_y = (_CELEBA[0][0] + _CELEBA[1][0]) / 2, (_CELEBA[0][1] + _CELEBA[1][1]) / 2
    return _moved(_CELEBA, scale, eye_x - scale * middle_x, eye_y - scale * middle_y)


def _celeba_square(side: int) -> tuple[tuple[float, float], ...]:
    """The middle 178 x 178 of a CelebA picture, enlarged to a square of the given side."""
    scale = side / 178
    # Pixel centres are whole numbers, so the picture's corner is at -1/2: that is where scaling is centred.
    return _moved(_CELEBA, scale, (scale - 1) / 2, (scale - 1) / 2 - 20 * scale)


# Mean of the five points, made symmetric, over frontal faces in the square crop that 3DDFA V2 takes around a
# detector's box (its side 1.58 times the box's mean side, its centre 0.14 of that side lower).
_POSE = ((44.0, 40.2), (73.4, 40.2), (58.7, 56.1), (47.2, 72.0), (70.1, 72.0))

_ALL = (
    Template("arcface_112", (112, 112), _ARCFACE),
    Template("arcface_112x96", (112, 96), _moved(_ARCFACE, 1.0, -8.0, 0.0)),
    Template("celeba_224", (224, 224), _celeba_square(224)),
    Template("celeba_112", (112, 112), _celeba_square(112)),
    Template("fer_64", (64, 64), _placed(23.0, 31.5, 25.0), "edge"),
    Template("wide_64", (64, 64), _placed(14.4, 31.5, 25.0), "edge"),
    Template("pose_120", (120, 120), _POSE),
)

TEMPLATES: dict[str, Template] = {template.name: template for template in _ALL}
"""The named templates.

``arcface_112`` and ``arcface_112x96`` (x less 8)
    Tight crops for face verifiers, from brows to chin.
``celeba_224`` and ``celeba_112``
    CelebA's own alignment: its middle 178 x 178, scaled, hair and chin included.
``fer_64``
    Tight crop as in FER2013, which emotion networks were trained on: the eyes 23 pixels apart in 64.
``wide_64``
    The whole head with hair and some background, as in the IMDB faces with a 40% margin, which sex
    classifiers were trained on: the eyes 14.4 pixels apart in 64.
``pose_120``
    The whole head, as 3D face models are fitted to it: the eyes 29.4 pixels apart in 120.
In ``fer_64`` and ``wide_64``, the border of the original is continued where the crop reaches beyond it.
"""
