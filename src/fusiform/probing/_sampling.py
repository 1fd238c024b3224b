from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from fusiform.errors import DataError, nearest
from fusiform.faces import Attribute, FaceSet, identity_codes, split_identities

_SHARES = (0.6, 0.2, 0.2)
_TRAIN, _VALID, _TEST = 0, 1, 2
_MIN_TRAIN = 20
_MIN_TEST = 40
_MAX_POOL = 8192
_MAX_TEST = 8192


@dataclass(frozen=True)
class Draw:
    """The images with which one attribute is probed.

    Attributes
    ----------
    attribute : str
        Its name.
    kind : str
        ``"binary"``, ``"categorical"`` or ``"continuous"``.
    classes : tuple of str
        Names of the classes, in the order of the numbers in `values`; empty when continuous.
    values : array, shape (n_faces,)
        Class numbers or values of all faces; NaN where unknown.
    train, valid, test : int arrays
        Faces of each split; no identity is in two of them. Classes are balanced in `train` and `valid`,
        as they come in `test`.
    """

    attribute: str
    kind: str
    classes: tuple[str, ...]
    values: Float[ndarray, " n"]
    train: Int[ndarray, " a"]
    valid: Int[ndarray, " b"]
    test: Int[ndarray, " c"]

    def targets(self) -> Float[ndarray, "a q"]:
        """Training targets for PLS: one column, or an indicator column a class for three classes or more.

        Returns
        -------
        array, shape (n_train, q)
            The targets.
        """
        values = self.values[self.train]
        if len(self.classes) > 2:
            return (values[:, None] == np.arange(len(self.classes))).astype(np.float64)
        return values[:, None]


@dataclass(frozen=True)
class Sampling:
    """What is drawn for every attribute from one identity-disjoint split.

    Attributes
    ----------
    draws : tuple of Draw
        One for each attribute that can be probed.
    groups : int array, shape (n_faces,)
        The identity of each face as a number; each face its own where identities are unknown.
    table : DataFrame
        A row an attribute asked for, also those left out: ``attribute, kind, unit, n_known, share,
        classes, n_train, n_valid, n_test, rarer_test, status, note``.
    """

    draws: tuple[Draw, ...]
    groups: Int[ndarray, " n"]
    table: pd.DataFrame

    @property
    def pool(self) -> Int[ndarray, " p"]:
        """Faces in the training draw of any attribute, in ascending order."""
        return np.unique(np.concatenate([d.train for d in self.draws]))

    @property
    def others(self) -> Int[ndarray, " q"]:
        """Faces in the validation or test draw of any attribute, in ascending order."""
        return np.unique(np.concatenate([rows for d in self.draws for rows in (d.valid, d.test)]))


def sample(
    faces: FaceSet,
    attributes: Sequence[str] | None = None,
    *,
    n_train: int = 2048,
    n_valid: int = 6144,
    seed: int = 0,
) -> Sampling:
    """Split faces 60/20/20 by identity, stratified by every attribute, and draw each attribute's images.

    Training and validation images are drawn balanced, as many of each class as the rarer class allows, up
    to `n_train` and `n_valid` in all; the test split stays as it is. Where it would hold fewer than 40 of a
    class, it takes people from validation. An attribute is left out, with the reason in the table, when
    that does not suffice, or when there are fewer than 20 of a class to train; of a categorical attribute
    only the classes that are too rare are left out.

    Parameters
    ----------
    faces : FaceSet
        The faces.
    attributes : sequence of str, optional
        Which attributes; all but identity when not given.
    n_train, n_valid : int, default 2048 and 6144
        Images an attribute at the most (Diniz 2020, section 5.1.2).
    seed : int, default 0
        Of the split and the draws.

    Returns
    -------
    Sampling
        Draws and the table of what was drawn.

    Raises
    ------
    DataError
        If a named attribute does not exist or has one class only, or if nothing can be probed.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> sampling = sample(open_faces("synthetic?n=600&seed=1&size=32"), ["Male", "yaw"])
    >>> [d.attribute for d in sampling.draws]
    ['Male', 'yaw']
    """
    names = _chosen(faces, attributes)
    groups = identity_codes(faces.table[faces.identity]) if faces.identity else np.arange(len(faces))
    columns = {name: _values(faces.table[name], faces.schema[name]) for name in names}
    split = _split(groups, columns, seed)
    if (split == _TRAIN).sum() > _MAX_POOL:
        split[_surplus(groups, split == _TRAIN, _MAX_POOL, seed)] = -1
    if (split == _TEST).sum() > _MAX_TEST:
        split[_surplus(groups, split == _TEST, _MAX_TEST, seed)] = -1
    draws, rows = [], []
    for number, (name, (values, classes)) in enumerate(columns.items()):
        rng = np.random.default_rng([seed, 1, number])
        own = _with_enough_tests(split, groups, values, len(classes), rng)
        draw, note = _draw(name, faces.schema[name], values, classes, own, n_train, n_valid, rng)
        if draw is None and attributes is not None and note.startswith("only one"):
            raise DataError(
                f"Attribute '{name}' has {note}, so there is nothing to tell apart. Leave it out, or bring faces "
                "that differ in it."
            )
        rows.append(_row(name, faces.schema[name], values, classes, draw, note))
        if draw is not None:
            draws.append(draw)
    table = pd.DataFrame(rows)
    if not draws:
        reasons = "; ".join(f"{r['attribute']}: {r['note']}" for r in rows[:5])
        raise DataError(
            f"None of {len(rows)} attributes of '{faces.name}' ({len(faces)} faces) can be probed ({reasons}). "
            f"Probing needs {_MIN_TRAIN} training and {_MIN_TEST} test images of each class: bring more faces."
        )
    return Sampling(tuple(draws), groups, table)


def _chosen(faces: FaceSet, attributes: Sequence[str] | None) -> list[str]:
    available = [name for name, a in faces.schema.items() if a.kind != "identity"]
    if attributes is None:
        if not available:
            raise DataError(f"'{faces.name}' has no attributes to probe, only images.")
        return available
    for name in attributes:
        if name not in faces.schema:
            raise DataError(f"'{faces.name}' has no attribute '{name}'; {nearest(name, available)}")
        if name not in available:
            raise DataError(
                f"'{name}' is an identity, which is measured by verification and not probed; leave it out."
            )
    if not attributes:
        raise DataError("No attribute was asked for; name one, or leave 'attributes' out for all.")
    return list(dict.fromkeys(attributes))


def _values(column: pd.Series, attribute: Attribute) -> tuple[ndarray, tuple[str, ...]]:
    if attribute.kind == "continuous":
        values = pd.to_numeric(column).astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        values[~np.isfinite(values)] = np.nan
        return values, ()
    if attribute.kind == "binary":
        return column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan), ("False", "True")
    codes, known = pd.factorize(column, sort=True)
    return np.where(codes < 0, np.nan, codes.astype(np.float64)), tuple(map(str, known))


def _split(groups: ndarray, columns: dict[str, tuple[ndarray, tuple[str, ...]]], seed: int) -> ndarray:
    """The part of each face, every class of every attribute split 60/20/20 as nearly as may be."""
    labels = []
    for values, classes in columns.values():
        if classes:
            labels += [values == k for k in range(len(classes))]
        else:
            # Quarters of the range of ranks stand in for classes.
            known = np.isfinite(values)
            edges = np.quantile(values[known], [0.25, 0.5, 0.75]) if known.any() else np.zeros(0)
            quarter = np.where(known, np.searchsorted(edges, values), -1)
            labels += [quarter == k for k in range(4)]
    parts = split_identities(
        groups, fractions=_SHARES, labels=np.stack(labels, axis=1).astype(np.float64), seed=seed
    )
    split = np.empty(len(groups), dtype=np.int64)
    for number, rows in enumerate(parts):
        split[rows] = number
    return split


def _with_enough_tests(
    split: ndarray, groups: ndarray, values: ndarray, n_classes: int, rng: np.random.Generator
) -> ndarray:
    """Move validation identities to test until a rare class can be tested, at most two thirds of its images."""
    own = split.copy()
    for number in range(n_classes):
        valid = (own == _VALID) & (values == number)
        short = _MIN_TEST - int(((own == _TEST) & (values == number)).sum())
        if not 0 < short <= valid.sum() * 2 / 3:
            continue
        for group in rng.permutation(np.unique(groups[valid])):
            own[(own == _VALID) & (groups == group)] = _TEST
            short -= int((valid & (groups == group)).sum())
            if short <= 0:
                break
    return own


def _surplus(groups: ndarray, inside: ndarray, keep: int, seed: int) -> ndarray:
    """Faces beyond the first `keep` of a split, whole identities at a time in random order."""
    order = np.random.default_rng([seed, 2]).permutation(groups.max() + 1)
    rows = np.flatnonzero(inside)
    return rows[np.argsort(order[groups[rows]], kind="stable")][keep:]


def _draw(
    name: str,
    attribute: Attribute,
    values: ndarray,
    classes: tuple[str, ...],
    split: ndarray,
    n_train: int,
    n_valid: int,
    rng: np.random.Generator,
) -> tuple[Draw | None, str]:
    def rows(part: int, number: int | None = None) -> ndarray:
        inside = (split == part) & (np.isfinite(values) if number is None else values == number)
        return rng.permutation(np.flatnonzero(inside))

    if not np.isfinite(values).any():
        return None, "no known value"
    if attribute.kind == "continuous":
        train, valid, test = (rows(part) for part in (_TRAIN, _VALID, _TEST))
        if np.unique(values[np.isfinite(values)]).size < 2:
            return None, "only one value"
        if len(train) < _MIN_TRAIN or len(test) < _MIN_TEST or not len(valid):
            return None, f"too few images: {len(train)} to train, {len(test)} to test"
        return _sorted(Draw(name, attribute.kind, (), values, train[:n_train], valid[:n_valid], test)), ""

    present = [k for k in range(len(classes)) if (values == k).any()]
    if len(present) < 2:
        return None, f"only one class ({classes[present[0]]})"
    each = {k: [rows(part, k) for part in (_TRAIN, _VALID, _TEST)] for k in present}
    enough = [k for k, (a, b, c) in each.items() if len(a) >= _MIN_TRAIN and len(b) and len(c) >= _MIN_TEST]
    thin = [k for k in present if k not in enough]
    if len(enough) < 2:
        k = min(thin, key=lambda k: len(each[k][2]))
        return None, f"too few of class {classes[k]}: {len(each[k][0])} to train, {len(each[k][2])} to test"
    if thin:
        values = values.copy()
        values[np.isin(values, thin)] = np.nan
    renumbered = np.full(len(values), np.nan)
    for new, k in enumerate(enough):
        renumbered[values == k] = new
    k_train = min(n_train // len(enough), *(len(each[k][_TRAIN]) for k in enough))
    k_valid = min(n_valid // len(enough), *(len(each[k][_VALID]) for k in enough))
    draw = Draw(
        name,
        attribute.kind,
        tuple(classes[k] for k in enough),
        renumbered,
        np.concatenate([each[k][_TRAIN][:k_train] for k in enough]),
        np.concatenate([each[k][_VALID][:k_valid] for k in enough]),
        np.concatenate([each[k][_TEST] for k in enough]),
    )
    note = "left out, too rare: " + ", ".join(classes[k] for k in thin) if thin else ""
    return _sorted(draw), note


def _sorted(draw: Draw) -> Draw:
    return Draw(
        draw.attribute,
        draw.kind,
        draw.classes,
        draw.values,
        np.sort(draw.train),
        np.sort(draw.valid),
        np.sort(draw.test),
    )


def _row(
    name: str, attribute: Attribute, values: ndarray, classes: tuple[str, ...], draw: Draw | None, note: str
) -> dict[str, object]:
    known = np.isfinite(values)
    rarer = None
    if draw is not None and draw.classes:
        rarer = int(np.bincount(draw.values[draw.test].astype(int), minlength=len(draw.classes)).min())
    return {
        "attribute": name,
        "kind": attribute.kind,
        "unit": attribute.unit,
        "n_known": int(known.sum()),
        "share": float(values[known].mean()) if attribute.kind == "binary" and known.any() else None,
        "classes": ", ".join(draw.classes if draw is not None else classes) or None,
        "n_train": len(draw.train) if draw is not None else 0,
        "n_valid": len(draw.valid) if draw is not None else 0,
        "n_test": len(draw.test) if draw is not None else 0,
        "rarer_test": rarer,
        "status": "probed" if draw is not None else "left out",
        "note": note or None,
    }
