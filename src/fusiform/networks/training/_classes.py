from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Int
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
    codes : int array, shape (n,)
        The class of each of them.
    classes : tuple of str
        Names of the classes, in the order of their codes.
    kind : str
        ``"identity"``, ``"categorical"`` or ``"binary"``.
    """

    rows: Int[ndarray, " n"]
    codes: Int[ndarray, " n"]
    classes: tuple[str, ...]
    kind: str


def read_labels(faces: "FaceSet", attribute: str, *, classes: tuple[str, ...] | None = None) -> Labels:
    """Read the classes of a set's images.

    Parameters
    ----------
    faces : FaceSet
        The images.
    attribute : str
        A binary, categorical or identity attribute.
    classes : tuple of str, optional
        The classes of a training set that the codes are to follow; by default those that occur, sorted.

    Returns
    -------
    Labels
        Images without a known class are left out.

    Raises
    ------
    DataError
        If there is no such attribute, it is continuous, it has fewer than two classes, or a class is
        not among `classes`.
    """
    if attribute not in faces.schema:
        raise DataError(
            f"'{faces.name}' has no attribute '{attribute}' to learn; {nearest(attribute, faces.schema)}"
        )
    kind = faces.schema[attribute].kind
    if kind == "continuous":
        raise DataError(
            f"'{attribute}' is continuous; training with softmax needs classes. Choose a binary, categorical "
            "or identity attribute, or cut it into classes first."
        )
    column = faces.table[attribute].reset_index(drop=True)
    known = column.notna().to_numpy()
    rows = np.flatnonzero(known)
    values = column[known].astype("string")
    found = tuple(sorted(values.unique().tolist()))
    if len(found) < 2:
        raise DataError(
            f"'{attribute}' of '{faces.name}' has {len(found)} class{'' if len(found) == 1 else 'es'} over "
            f"{len(rows)} labelled images; at least 2 are needed to learn it."
        )
    if classes is None:
        classes = found
    elif strangers := sorted(set(found) - set(classes)):
        raise DataError(
            f"'{attribute}' of '{faces.name}' has the class '{strangers[0]}', which the training set lacks"
            f"{f', and {len(strangers) - 1} more' if len(strangers) > 1 else ''}. Leave those images out."
        )
    codes = pd.Categorical(values, categories=list(classes)).codes.astype(np.int64)
    return Labels(rows, codes, classes, kind)


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
