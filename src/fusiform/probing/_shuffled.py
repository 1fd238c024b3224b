from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

# A label that varies within people by no more than this part of its variance belongs to people, but for slips.
_SLIPS = 0.1


def shuffled_labels(
    values: Float[ndarray, " n"],
    parts: Sequence[Int[ndarray, " k"]],
    groups: Int[ndarray, " n"],
    n_classes: int,
    rng: np.random.Generator,
) -> Float[ndarray, " n"]:
    """Labels dealt anew within each part: person by person if they belong to people, otherwise image by image."""
    whole = _belongs_to_people(values, np.concatenate(parts), groups, n_classes)
    result = np.full(len(values), np.nan)
    for part in parts:
        if not whole:
            result[part] = rng.permutation(values[part])
            continue
        # People in random order, laid along a circle of sorted labels: wherever it starts, each image has the
        # chance of each label that the label has, and only people at a border have two.
        order = rng.permutation(groups.max() + 1)[groups[part]].argsort(kind="stable")
        result[part[order]] = np.roll(np.sort(values[part]), rng.integers(len(part)))
    return result


def _belongs_to_people(values: ndarray, rows: ndarray, groups: ndarray, n_classes: int) -> bool:
    """Whether images of one person share the label."""
    person, count = np.unique(groups[rows], return_inverse=True, return_counts=True)[1:]
    several = count[person] > 1
    if not several.any():
        return False
    values, person = values[rows][several], person[several]
    columns = [values == k for k in range(n_classes)] if n_classes else [values]
    within = total = 0.0
    for column in columns:
        mean = np.bincount(person, weights=column) / np.maximum(1, np.bincount(person))
        within += float(np.square(column - mean[person]).sum())
        total += float(np.square(column - column.mean()).sum())
    return within <= _SLIPS * total
