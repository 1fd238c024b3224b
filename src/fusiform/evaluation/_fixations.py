"""Where people looked, from a file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fusiform.errors import EvaluationError


@dataclass(frozen=True, eq=False)
class Fixations:
    """Where people looked at an image.

    Attributes
    ----------
    density : tensor, shape (height, width)
        Sums to 1.
    points : bool tensor, shape (height, width), or None
        Pixels that were looked at; not known of an image of densities.
    """

    density: Float[Tensor, "h w"]
    points: Bool[Tensor, "h w"] | None


def read_fixations(
    path: str | Path,
    size: tuple[int, int],
    *,
    of: tuple[int, int] | None = None,
    sigma: float | None = None,
) -> Fixations:
    r"""Read human fixations from an image of their density, or from a table of points.

    Parameters
    ----------
    path : path
        An image (brighter was looked at more), or a CSV with the columns ``x`` and ``y`` in pixels from the upper left corner
        and, if there is one, ``duration``, by which points are weighted.
    size : (int, int)
        Height and width of the maps to compare with.
    of : (int, int), optional
        Height and width of the image that was looked at, to whose pixels a table refers; by default `size`.
    sigma : float, optional
        Standard deviation in pixels of the Gaussian that makes a density of points (about one degree of visual angle); by
        default a twentieth of the shorter side.

    Returns
    -------
    Fixations
        Density and points.

    Raises
    ------
    EvaluationError
        If the file cannot be read, has no such columns, or holds no fixation within the image.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "looks.csv")
    ...     _ = file.write_text("x,y\n30,10\n")
    ...     found = read_fixations(file, (8, 8), of=(80, 80))
    >>> found.points.nonzero().tolist(), round(found.density.sum().item(), 5)
    ([[1, 3]], 1.0)
    """
    path, height, width = Path(path), *size
    if not path.is_file():
        raise EvaluationError(f"There is no file of fixations '{path}'.")
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return Fixations(_density(_read_image(path, size), path), None)
    at, weight = _read_points(path)
    rows = np.floor(at[:, 1] * height / (of or size)[0]).astype(int)
    columns = np.floor(at[:, 0] * width / (of or size)[1]).astype(int)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    counts = np.zeros(size)
    np.add.at(counts, (rows[inside], columns[inside]), weight[inside])
    from scipy.ndimage import gaussian_filter

    spread = gaussian_filter(counts, min(size) / 20 if sigma is None else sigma, mode="constant")
    return Fixations(_density(spread, path), torch.from_numpy(counts > 0))


def _density(values: np.ndarray, path: Path) -> Tensor:
    if not values.sum() > 0:
        raise EvaluationError(f"'{path}' holds no fixation within the image.")
    return torch.from_numpy(values / values.sum()).float()


def _read_image(path: Path, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            grey = image.convert("F").resize(size[::-1], Image.Resampling.BILINEAR)
            return np.clip(np.asarray(grey, dtype=np.float64), 0, None)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"'{path}' cannot be read as an image of fixations: {error}.") from error


def _read_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        table = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    except (ValueError, OSError) as error:
        raise EvaluationError(f"'{path}' cannot be read as a table of fixations: {error}.") from error
    table.columns = [str(c).strip().lower() for c in table.columns]
    missing = [c for c in ("x", "y") if c not in table.columns]
    if missing:
        raise EvaluationError(
            f"'{path}' has no column '{missing[0]}'; a table of fixations has x and y, and may have duration. "
            f"It has: {', '.join(table.columns)}."
        )
    numbers = table.reindex(columns=["x", "y", "duration"]).apply(pd.to_numeric, errors="coerce")
    if "duration" not in table.columns:
        numbers["duration"] = 1.0
    numbers = numbers.dropna()
    numbers = numbers[numbers["duration"] > 0]
    values = numbers.to_numpy(dtype=np.float64)
    values = values[np.isfinite(values).all(axis=1)]
    return values[:, :2], values[:, 2]
