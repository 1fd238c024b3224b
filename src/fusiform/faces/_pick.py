from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from fusiform.errors import DataError, nearest
from fusiform.faces._splits import identity_codes

if TYPE_CHECKING:
    from fusiform.faces._face_set import FaceSet

_MOST_GROUPS = 12
_N_RANGES = 4


def pick_faces(
    faces: "FaceSet", n: int, *, among: Int[ndarray, " k"] | None = None, seed: int = 0
) -> Int[ndarray, " m"]:
    """Choose some images of a set to look at, of as many people as there are.

    Everybody is taken once, in random order, before anybody is taken again.

    Parameters
    ----------
    faces : FaceSet
        The set.
    n : int
        How many; all where there are fewer.
    among : int array, optional
        Rows to choose from; all when not given.
    seed : int, default 0
        Seed of the order.

    Returns
    -------
    int array, shape (min(n, k),)
        Rows.

    Raises
    ------
    DataError
        If n is below 1.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> faces = open_faces("synthetic?identities=3&per_identity=4")
    >>> faces.table["identity"][pick_faces(faces, 3)].nunique()
    3
    """
    if n < 1:
        raise DataError(f"The number of faces to choose must be at least 1; got {n}.")
    order = np.random.default_rng(seed).permutation(np.arange(len(faces)) if among is None else among)
    if faces.identity is None or not len(order):
        return order[:n]
    people = pd.Series(identity_codes(faces.table[faces.identity].iloc[order].reset_index(drop=True)))
    turn = people.groupby(people).cumcount().to_numpy()
    return order[np.argsort(turn, kind="stable")][:n]


def group_faces(faces: "FaceSet", attribute: str) -> dict[str, Int[ndarray, " k"]]:
    """Rows of a set by the value of an attribute, with words for each value.

    Parameters
    ----------
    faces : FaceSet
        The set.
    attribute : str
        Binary, categorical or identity: by value, of more than twelve the most frequent; continuous: four ranges with as
        many images each as may be. Images without a value come last.

    Returns
    -------
    dict of str to int array
        Rows of each group.

    Raises
    ------
    DataError
        If the set has no such attribute.

    Examples
    --------
    >>> from fusiform.faces import FaceSet
    >>> faces = FaceSet.from_arrays(np.zeros((3, 3, 8, 8), np.uint8), pd.DataFrame({"Male": [1, -1, 1]}))
    >>> {name: rows.tolist() for name, rows in group_faces(faces, "Male").items()}
    {'Male: yes': [0, 2], 'Male: no': [1]}
    """
    if attribute not in faces.schema:
        raise DataError(
            f"The faces '{faces.name}' have no attribute '{attribute}' to group by; {nearest(attribute, faces.schema)}"
        )
    column, kind = faces.table[attribute], faces.schema[attribute].kind
    groups: dict[str, ndarray] = {}
    if kind == "continuous":
        unit = f" {faces.schema[attribute].unit}" if faces.schema[attribute].unit else ""
        known = column.dropna()
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _N_RANGES + 1))) if len(known) else np.zeros(0)
        for low, high in pairwise(edges):
            inside = (column >= low) & ((column <= high) if high == edges[-1] else (column < high))
            groups[f"{attribute}: {low:.4g} to {high:.4g}{unit}"] = np.flatnonzero(inside)
        if len(edges) == 1:
            groups[f"{attribute}: {edges[0]:.4g}{unit}"] = np.flatnonzero(column.notna())
    elif kind == "binary":
        groups = {
            f"{attribute}: {word}": np.flatnonzero((column == value).fillna(False)) for word, value in _WORDS
        }
    else:
        for value in column.value_counts().index[:_MOST_GROUPS]:
            groups[f"{attribute}: {value}"] = np.flatnonzero((column == value).fillna(False))
    groups[f"{attribute}: not known"] = np.flatnonzero(column.isna())
    return {name: rows for name, rows in groups.items() if len(rows)}


_WORDS = (("yes", True), ("no", False))
