from typing import TYPE_CHECKING, Any

import pandas as pd

from fusiform.faces._attribute import Attribute

if TYPE_CHECKING:
    from fusiform.faces._face_set import FaceSet

REAL_PEOPLE = (
    "The people shown may be in the training set of the network under study; figures on them show how it works, "
    "not how it would do on strangers."
)
_MOST_CLASSES = 20


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


def data_card(faces: "FaceSet") -> dict[str, Any]:
    """A face set in plain JSON values, for a report's data card."""
    table = faces.table
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
        "n_skipped": len(faces.skipped),
        "n_identities": None if per_identity is None else per_identity["n_identities"],
        "images_per_identity": per_identity,
        "size": None if faces.size is None else list(faces.size),
        "n_landmarks": faces.n_landmarks,
        "parts": list(faces.parts),
        "attributes": [_attribute_card(name, a, table[name]) for name, a in faces.schema.items()],
        "provenance": provenance,
        "note": "" if provenance.get("synthetic") else REAL_PEOPLE,
    }
