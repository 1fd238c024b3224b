import numpy as np
from jaxtyping import Int
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.probing.information._attributes import Encoded

# A restart leaves out one, watches its convergence on the next, and trains on six.
FOLDS = 8
# With more classes than this, images of each class are dealt out to the folds.
_FEW_CLASSES = 20
_LEAST_FOLDS = 3


def folds_of(encoded: Encoded, groups: Int[ndarray, " n"] | None, seed: int, name: str) -> Int[ndarray, " n"]:
    """Which fold each image is in.

    Groups stay whole, but for an attribute that names them, which nobody could learn from other groups.
    """
    n = len(encoded)
    rng = np.random.default_rng(seed)
    if groups is not None and not _names(encoded.classes, groups):
        return _by_groups(groups, rng, name)
    if encoded.classes is not None and encoded.classes.max() >= _FEW_CLASSES:
        order = np.lexsort((rng.random(n), encoded.classes))
    else:
        order = rng.permutation(n)
    folds = np.empty(n, dtype=np.int64)
    folds[order] = np.arange(n) % FOLDS
    return folds


def _names(classes: Int[ndarray, " n"] | None, groups: Int[ndarray, " n"]) -> bool:
    """Whether each class is one group, and each group one class."""
    if classes is None:
        return False
    pairs = len(np.unique(np.stack([classes, groups]), axis=1).T)
    n_groups = int(groups.max()) + 1
    return pairs == int(classes.max()) + 1 == n_groups and n_groups > 2


def _by_groups(groups: Int[ndarray, " n"], rng: np.random.Generator, name: str) -> Int[ndarray, " n"]:
    n_groups = int(groups.max()) + 1
    for n_folds in range(min(FOLDS, n_groups), _LEAST_FOLDS - 1, -1):
        folds = _dealt(groups, n_folds, rng)
        # Two images at least: one's own value, and another's.
        if np.bincount(folds, minlength=n_folds).min() >= 2:
            return folds
    raise DataError(
        f"'{name}' cannot be measured on other people than those trained on: there are {n_groups} groups of "
        f"{len(groups)} images, and at least {_LEAST_FOLDS} with two images are needed. Leave out 'groups' to split by "
        "image."
    )


def _dealt(groups: Int[ndarray, " n"], n_folds: int, rng: np.random.Generator) -> Int[ndarray, " n"]:
    """Deal out groups, the largest first, each to the fold with the fewest images."""
    sizes = np.bincount(groups)
    held = np.zeros(n_folds)
    of_group = np.empty(len(sizes), dtype=np.int64)
    for group in np.lexsort((rng.random(len(sizes)), -sizes)):
        fold = int(held.argmin())
        of_group[group] = fold
        held[fold] += sizes[group]
    return of_group[groups]
