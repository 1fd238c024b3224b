"""What the attributes themselves are like: histograms, entropies, association with identity, who gave the values."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from fusiform.faces import Attribute, FaceSet, associations
from fusiform.studies.expressivity._asked import Asked

BINS = 20
_MOST_CLASSES = 40
DESCRIBED = [
    "attribute",
    "kind",
    "encoding",
    "unit",
    "n",
    "n_missing",
    "classes",
    "entropy",
    "entropy_kind",
    "association",
    "association_measure",
    "predicted",
    "predicted_by",
    "note",
]
HISTOGRAMS = ["attribute", "bin", "left", "right", "label", "count"]


def described(asked: Asked) -> pd.DataFrame:
    """Describe the attributes: the three reasons for a high value of age (Dhar and others 2020, section V.A) as numbers.

    Returns
    -------
    DataFrame
        A row an attribute and encoding, then those left out: ``attribute, kind, encoding, unit, n, n_missing, classes,
        entropy, entropy_kind, association, association_measure, predicted, predicted_by, note``. The entropy (nats) of a
        continuous attribute is that of its histogram of 20 bins. The association is with identity, both corrected for
        bias: Cramér's V for classes, the correlation ratio eta for numbers.
    """
    ties = _with_identity(asked)
    found = []
    for piece in asked.pieces:
        for entry in piece.entries:
            name = entry.attribute
            attribute = asked.known.schema[name]
            classes = entry.encoded.classes
            continuous = attribute.kind == "continuous"
            entropy = entry.encoded.entropy
            if continuous:
                entropy = _entropy(np.histogram(_numbers(asked, name), bins=BINS)[0])
            tie, measure = ties.get(name, (np.nan, ""))
            source = "" if attribute.predicted_by is None else attribute.description
            note = "; ".join(filter(None, (entry.encoded.note, entry.note, source)))
            found.append(
                (
                    name,
                    attribute.kind,
                    entry.encoded.encoding,
                    attribute.unit or "",
                    len(piece.rows),
                    len(asked.known) - len(piece.rows),
                    None if classes is None else int(classes.max()) + 1,
                    entropy,
                    f"histogram of {BINS} bins" if continuous else "" if entropy is None else "classes",
                    tie,
                    measure,
                    attribute.predicted_by is not None,
                    attribute.predicted_by,
                    note,
                )
            )
    for name, why in asked.left_out.items():
        attribute = asked.known.schema[name]
        missing = int(asked.known.table[name].isna().sum())
        n = len(asked.known) - missing
        found.append(
            (
                name,
                attribute.kind,
                "",
                attribute.unit or "",
                n,
                missing,
                None,
                None,
                "",
                np.nan,
                "",
                False,
                None,
                f"left out: {why}",
            )
        )
    table = pd.DataFrame(found, columns=DESCRIBED)
    place = {name: number for number, name in enumerate([*asked.attributes, *asked.left_out])}
    table = table.sort_values("attribute", key=lambda names: names.map(place), kind="stable")
    return table.reset_index(drop=True).astype(
        {"classes": "Int64", "entropy": "Float64", "association": "Float64"}
    )


def histograms(asked: Asked) -> pd.DataFrame:
    """Count the values of the attributes.

    Returns
    -------
    DataFrame
        ``attribute, bin, left, right, label, count``: 20 bins of a continuous attribute; the classes of others, the most
        frequent first, what comes after the fortieth together.
    """
    found: list[tuple] = []
    for name in asked.attributes:
        if asked.known.schema[name].kind == "continuous":
            counts, edges = np.histogram(_numbers(asked, name), bins=BINS)
            labels = [f"{left:.3g} to {right:.3g}" for left, right in pairwise(edges)]
            found += [
                (name, *row) for row in zip(range(BINS), edges[:-1], edges[1:], labels, counts, strict=True)
            ]
            continue
        shares = asked.known.table[name].dropna().astype(str).value_counts()
        rows = list(shares.head(_MOST_CLASSES).items())
        if len(shares) > _MOST_CLASSES:
            rows.append((f"{len(shares) - _MOST_CLASSES} others", int(shares.iloc[_MOST_CLASSES:].sum())))
        found += [
            (name, number, np.nan, np.nan, str(label), int(count))
            for number, (label, count) in enumerate(rows)
        ]
    return pd.DataFrame(found, columns=HISTOGRAMS)


def _numbers(asked: Asked, name: str) -> Float[ndarray, " k"]:
    return asked.known.table[name].dropna().to_numpy(dtype=np.float64)


def _entropy(counts: ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return abs(float(-(shares * np.log(shares)).sum()))


def _with_identity(asked: Asked) -> dict[str, tuple[float, str]]:
    """How strongly each attribute goes together with identity, which here counts as an attribute with classes."""
    identity = asked.known.identity
    if identity is None:
        return {}
    found: dict[str, tuple[float, str]] = {}
    for name in asked.attributes:
        if name == identity:
            continue
        schema = {identity: Attribute("categorical"), name: asked.known.schema[name]}
        pair: Any = SimpleNamespace(schema=schema, table=asked.known.table[[identity, name]], identity=None)
        rows = associations(cast(FaceSet, pair), intervals=0)
        if len(rows):
            found[name] = (float(rows["value"].iloc[0]), str(rows["measure"].iloc[0]))
    return found
