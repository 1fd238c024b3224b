import math
import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from fusiform.faces._associations import associations
from fusiform.faces._attribute import Attribute

if TYPE_CHECKING:
    from fusiform.faces._face_set import FaceSet

REAL_PEOPLE = (
    "The people shown may be in the training set of the network under study; figures on them show how it works, "
    "not how it would do on strangers."
)
_MOST_CLASSES = 20
_MOST_CONFOUNDS = 20
_QUOTED = r"'[^']*'"
_SPLIT = re.compile(r"^(\w+_)?(split|partition|subset|fold)$", re.IGNORECASE)


def _attribute_card(name: str, attribute: Attribute, column: pd.Series) -> dict[str, Any]:
    known = column.dropna()
    card: dict[str, Any] = {
        "name": name,
        **attribute.as_dict(),
        "n_known": len(known),
        "n_missing": int(column.isna().sum()),
    }
    if not len(known):
        return card
    if attribute.kind == "binary":
        card |= {"n_true": int(known.sum()), "share": float(known.mean())}
    elif attribute.kind == "continuous":
        card |= {
            "minimum": float(known.min()),
            "median": float(known.median()),
            "maximum": float(known.max()),
            "mean": float(known.mean()),
            "sd": float(known.std(ddof=0)),
        }
    else:
        counts = known.value_counts()
        card["n_classes"] = len(counts)
        if attribute.kind == "categorical":
            card["classes"] = {str(k): int(v) for k, v in counts.head(_MOST_CLASSES).items()}
    return card


def reasons(skipped: pd.DataFrame) -> dict[str, int]:
    """How many images were left out for each reason; what a reason quotes is left out of it."""
    plain = skipped["reason"].str.replace(_QUOTED, "'…'", regex=True).value_counts()
    shown = {str(why): int(n) for why, n in plain.head(_MOST_CLASSES).items()}
    rest = int(plain.iloc[_MOST_CLASSES:].sum())
    return shown | ({"other reasons": rest} if rest else {})


def _sizes(faces: "FaceSet") -> dict[str, Any] | None:
    """How large the images are where they differ."""
    own = faces._view.own_sizes
    if faces.size is not None or not own:
        return None
    heights, widths = zip(*own, strict=True)
    return {
        "n_different": len(own),
        "height": [min(heights), max(heights)],
        "width": [min(widths), max(widths)],
    }


def _splits(faces: "FaceSet", table: pd.DataFrame) -> list[dict[str, Any]]:
    """Columns that part the images, and how many people are in more than one part."""
    splits = []
    for name, attribute in faces.schema.items():
        if attribute.kind != "categorical" or not _SPLIT.match(name):
            continue
        entry: dict[str, Any] = {
            "column": name,
            "images": {str(part): int(n) for part, n in table[name].value_counts(sort=False).items()},
        }
        if faces.identity is not None:
            parts = table.groupby(faces.identity)[name].nunique()
            entry["n_people_in_several"] = int((parts > 1).sum())
        splits.append(entry)
    return splits


def _confounds(faces: "FaceSet") -> list[dict[str, Any]]:
    rows = associations(faces, most=_MOST_CONFOUNDS, intervals=_MOST_CONFOUNDS).to_dict("records")
    return [
        {str(k): None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        for row in rows
    ]


def data_card(faces: "FaceSet") -> dict[str, Any]:
    """A face set in plain JSON values, for a report's data card."""
    table = faces.table
    skipped = faces.skipped
    provenance = faces.provenance
    identity = faces.identity
    per_identity = None
    if identity is not None and table[identity].notna().any():
        counts = table[identity].value_counts()
        per_identity = {
            "minimum": int(counts.min()),
            "median": float(counts.median()),
            "maximum": int(counts.max()),
            "n_identities": len(counts),
            "n_with_one_image": int((counts == 1).sum()),
        }
    return {
        "name": faces.name,
        "spec": faces.spec,
        "n": len(faces),
        "n_skipped": len(skipped),
        "skipped": reasons(skipped),
        "n_identities": None if per_identity is None else per_identity["n_identities"],
        "images_per_identity": per_identity,
        "size": None if faces.size is None else list(faces.size),
        "sizes": _sizes(faces),
        "n_landmarks": faces.n_landmarks,
        "parts": list(faces.parts),
        "splits": _splits(faces, table),
        "attributes": [_attribute_card(name, a, table[name]) for name, a in faces.schema.items()],
        "confounds": _confounds(faces),
        "provenance": provenance,
        "note": "" if provenance.get("synthetic") else REAL_PEOPLE,
    }
