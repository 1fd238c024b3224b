"""Which columns of a table hold points of the face."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from fusiform.errors import DataError

_FIVE = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_SYNONYMS: dict[str, str] = {
    **dict.fromkeys(("lefteye", "eyeleft", "leye"), "left_eye"),
    **dict.fromkeys(("righteye", "eyeright", "reye"), "right_eye"),
    **dict.fromkeys(("nose", "nosetip"), "nose"),
    **dict.fromkeys(("leftmouth", "mouthleft", "leftmouthcorner", "mouthleftcorner"), "mouth_left"),
    **dict.fromkeys(("rightmouth", "mouthright", "rightmouthcorner", "mouthrightcorner"), "mouth_right"),
}
_PREFIX = re.compile(r"^(lm|landmarks?|kp|keypoints?|points?|pt|p)_")
_NUMBERED = re.compile(r"^(?:([xy])_?(\d+)|(\d+)_?([xy]))$")


def _point_of(column: str) -> tuple[str | int, str] | None:
    """Which point and which of x and y a column holds, by its name."""
    plain = _PREFIX.sub("", column.strip().lower().replace("-", "_").replace(" ", "_"))
    numbered = _NUMBERED.match(plain)
    if numbered:
        axis_first, number_second, number_first, axis_second = numbered.groups()
        return int(number_second or number_first), axis_first or axis_second
    if plain[-2:] in ("_x", "_y"):
        name = _SYNONYMS.get(plain[:-2].replace("_", ""))
        return (name, plain[-1]) if name else None
    return None


def landmark_columns(columns: Sequence[str]) -> tuple[int, list[str]] | None:
    """The columns of 68 points, or of five, as (count, [x of the first, y of the first, ...]); None without."""
    found: dict[tuple[str | int, str], str] = {}
    for column in columns:
        point = _point_of(column)
        if point is not None:
            found.setdefault(point, column)
    numbers = sorted({point for point, _ in found if isinstance(point, int)})
    if len(numbers) == 68 and numbers[-1] - numbers[0] == 67 and numbers[0] in (0, 1):
        wanted: list[str | int] = list(numbers)
    else:
        wanted = list(_FIVE)
    pairs = [(point, axis) for point in wanted for axis in "xy"]
    if not all(pair in found for pair in pairs):
        return None
    return len(wanted), [found[pair] for pair in pairs]


def read_points(table: pd.DataFrame, columns: Sequence[str]) -> tuple[Float[ndarray, "n p 2"], bool]:
    """Points from their columns, NaN where one is missing, and whether left and right had to be exchanged.

    Names that mean the shown person's left and right are told by the eyes' order in most images; the points
    returned are always left and right as seen in the image.
    """
    try:
        values = table[list(columns)].apply(pd.to_numeric).to_numpy(dtype=np.float64, na_value=np.nan).copy()
    except (ValueError, TypeError) as error:
        raise DataError(
            f"A landmark column ({columns[0]} ... {columns[-1]}) holds something else than numbers: {error}."
        ) from error
    points = values.reshape(len(table), -1, 2)
    points[~np.isfinite(points).all(axis=(1, 2))] = np.nan
    exchanged = False
    if points.shape[1] == 5:
        eyes = points[:, 1, 0] - points[:, 0, 0]
        eyes = eyes[np.isfinite(eyes)]
        if len(eyes) and np.median(eyes) < 0:
            points, exchanged = points[:, [1, 0, 2, 4, 3]], True
    return points, exchanged


def named_point(column: str) -> bool:
    """Whether a column's name is that of one of the five points."""
    point = _point_of(column)
    return point is not None and isinstance(point[0], str)
