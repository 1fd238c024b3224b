"""Pairs of verification protocols."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from fusiform.errors import DataError
from fusiform.faces._face_set import FaceSet

Missing = Literal["raise", "drop"]

FOLDED = ("first", "second", "same", "fold")


def check_missing(missing: str) -> None:
    """Refuse a word that is neither "raise" nor "drop"."""
    if missing not in ("raise", "drop"):
        raise DataError(f"The 'missing' parameter must be 'raise' or 'drop'; got '{missing}'.")


def report_lost(lost: Sequence[str], what: str, file: Path, n_faces: int, missing: Missing) -> None:
    """Refuse a protocol that names what is not in the set, unless its pairs may be dropped."""
    if len(lost) and missing == "raise":
        raise DataError(
            f"{len(set(lost))} {what} of '{file.name}' are not among the {n_faces} faces, the first '{lost[0]}'; "
            "missing='drop' leaves their pairs out."
        )


def index_pairs(
    faces: FaceSet, named: Iterable[tuple[str, str, bool, int]], file: Path, missing: Missing
) -> pd.DataFrame:
    """Pairs of image ids, with whether they show one person and the fold, as indices into the set."""
    check_missing(missing)
    row_of = {image_id: i for i, image_id in enumerate(faces.table["image_id"])}
    rows: list[tuple[int, int, bool, int]] = []
    lost: list[str] = []
    for first, second, same, fold in named:
        absent = [image_id for image_id in (first, second) if image_id not in row_of]
        if absent:
            lost.extend(absent)
        else:
            rows.append((row_of[first], row_of[second], same, fold))
    report_lost(lost, "images", file, len(faces), missing)
    return pd.DataFrame(rows, columns=list(FOLDED))
