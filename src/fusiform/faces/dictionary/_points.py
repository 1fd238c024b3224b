"""Groups of landmarks as they are written in the table of concepts."""

import re

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from fusiform.errors import SpecError

_ITEM = re.compile(r"(\d+)-(\d+)|\d+(?:/\d+)*")

Group = Float[ndarray, "p 68"]


def landmark_groups(text: str, concept: str) -> tuple[Group, ...]:
    """The groups of points that a text names, each as weights (points, 68) of the 68 landmarks.

    ``"36-41 42-47"`` is one group of twelve points, ``"36-41 | 42-47"`` two groups; ``"40/31"`` is the point halfway
    between two landmarks, ``"40/40/31"`` a third of the way.
    """
    return tuple(_group(part, text, concept) for part in text.split("|") if part.strip())


def _group(part: str, text: str, concept: str) -> Group:
    points: list[list[int]] = []
    for item in part.replace(",", " ").split():
        match = _ITEM.fullmatch(item)
        if match is None:
            raise _wrong(text, concept, f"'{item}' is no landmark")
        if match[1] is not None:
            points += [[i] for i in range(int(match[1]), int(match[2]) + 1)]
        else:
            points.append([int(number) for number in item.split("/")])
    beyond = max((i for point in points for i in point), default=0)
    if len(points) < 3 or beyond > 67:
        why = f"{len(points)} points, an ellipse needs 3" if beyond <= 67 else f"landmark {beyond}"
        raise _wrong(text, concept, why)
    weights = np.zeros((len(points), 68))
    for row, point in enumerate(points):
        np.add.at(weights[row], point, 1 / len(point))
    return weights


def _wrong(text: str, concept: str, why: str) -> SpecError:
    return SpecError(
        f"The landmarks of concept '{concept}' are written '0-16 40/31 | 42', with numbers 0 to 67, a slash for a point "
        f"between and a bar between ellipses; got '{text}' ({why})."
    )
