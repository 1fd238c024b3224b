from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from fusiform.errors import DataError, nearest

if TYPE_CHECKING:
    from fusiform.faces import FaceSet


@dataclass(frozen=True)
class Labels:
    """What is to be learnt of a set's images.

    Parameters
    ----------
    rows : int array, shape (n,)
        Images whose class is known.
    codes : int or float array, shape (n,)
        The class of each of them; its value where continuous.
    classes : tuple of str
        Names of the classes, in the order of their codes; empty where continuous.
    kind : str
        ``"identity"``, ``"categorical"``, ``"binary"`` or ``"continuous"``.
    """

    rows: Int[ndarray, " n"]
    codes: Int[ndarray, " n"] | Float[ndarray, " n"]
    classes: tuple[str, ...]
    kind: str


def read_labels(faces: "FaceSet", attribute: str, *, classes: tuple[str, ...] | None = None) -> Labels:
    """Read the classes, or values, of a set's images.

    Parameters
    ----------
    faces : FaceSet
        The images.
    attribute : str
        An attribute; or several that have classes, with ``+`` between, whose combinations are the classes.
    classes : tuple of str, optional
        The classes of a training set that the codes are to follow; by default those that occur, sorted.

    Returns
    -------
    Labels
        Images without a known class are left out.

    Raises
    ------
    DataError
        If there is no such attribute, it has fewer than two classes or values, a class is not among
        `classes`, or a continuous one is to be combined.
    """
    names = attribute.split("+")
    for name in names:
        if name not in faces.schema:
            raise DataError(
                f"'{faces.name}' has no attribute '{name}' to learn; {nearest(name, faces.schema)}"
            )
    table = faces.table[names].reset_index(drop=True)
    known = table.notna().all(axis=1).to_numpy()
    kinds = [faces.schema[name].kind for name in names]
    if "continuous" in kinds:
        if len(names) > 1:
            raise DataError(
                f"'{names[kinds.index('continuous')]}' is continuous, so '{attribute}' names no classes; cut it into "
                "classes first, or leave it out."
            )
        values = table[attribute].to_numpy(dtype=np.float64, na_value=np.nan)
        rows = np.flatnonzero(np.isfinite(values))
        _need_two(faces, attribute, len(np.unique(values[rows])), "value", len(rows))
        return Labels(rows, values[rows], (), "continuous")
    rows = np.flatnonzero(known)
    texts = table.loc[known, names[0]].astype("string")
    for name in names[1:]:
        texts = texts + "/" + table.loc[known, name].astype("string")
    found = tuple(sorted(texts.unique().tolist()))
    _need_two(faces, attribute, len(found), "class", len(rows))
    if classes is None:
        classes = found
    elif strangers := sorted(set(found) - set(classes)):
        raise DataError(
            f"'{attribute}' of '{faces.name}' has the class '{strangers[0]}', which the training set lacks"
            f"{f', and {len(strangers) - 1} more' if len(strangers) > 1 else ''}. Leave those images out."
        )
    codes = pd.Categorical(texts, categories=list(classes)).codes.astype(np.int64)
    return Labels(rows, codes, classes, kinds[0] if len(kinds) == 1 else "categorical")


def _need_two(faces: "FaceSet", attribute: str, count: int, what: str, labelled: int) -> None:
    if count < 2:
        plural = "" if count == 1 else "es" if what == "class" else "s"
        raise DataError(
            f"'{attribute}' of '{faces.name}' has {count} {what}{plural} over {labelled} labelled images; at least 2 "
            "are needed to learn it."
        )


def check_other_people(faces: "FaceSet", validation: "FaceSet") -> None:
    """Make sure that a validation set shows other people than the training set.

    Parameters
    ----------
    faces, validation : FaceSet
        The two sets. Where one knows no identities there is nothing to check.

    Raises
    ------
    DataError
        If someone is in both.
    """
    if "identity" not in faces.schema or "identity" not in validation.schema:
        return
    there = set(faces.table["identity"].dropna().astype(str))
    both = sorted(there & set(validation.table["identity"].dropna().astype(str)))
    if both:
        raise DataError(
            f"The validation set shows people of the training set: '{both[0]}'"
            f"{f' and {len(both) - 1} more' if len(both) > 1 else ''}. Split the set by identity."
        )
