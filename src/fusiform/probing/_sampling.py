from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from fusiform.errors import DataError, SpecError, nearest
from fusiform.faces import Attribute, FaceSet, identity_codes
from fusiform.probing._parts import (
    MIN_TEST,
    MIN_TRAIN,
    PUBLISHED,
    TEST,
    TRAIN,
    VALID,
    published_parts,
    published_split,
    split_faces,
    with_enough_tests,
)
from fusiform.probing._shuffled import shuffled_labels


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
        classes, n_train, n_valid, n_test, rarer_test, class_counts, status, note``; `class_counts` says how many
        images of each class train, valid and test hold.
    seed : int
        Of the split and the draws.
    split : {"identities", "published"}
        Whether the test images are a part of the identities or the published test partition.
    """

    draws: tuple[Draw, ...]
    groups: Int[ndarray, " n"]
    table: pd.DataFrame
    seed: int = 0
    split: str = "identities"

    @property
    def pool(self) -> Int[ndarray, " p"]:
        """Faces in the training draw of any attribute, in ascending order."""
        return np.unique(np.concatenate([d.train for d in self.draws]))

    @property
    def others(self) -> Int[ndarray, " q"]:
        """Faces in the validation or test draw of any attribute, in ascending order."""
        return np.unique(np.concatenate([rows for d in self.draws for rows in (d.valid, d.test)]))

    def shuffled(self, seed: int = 0) -> "Sampling":
        """The same draws with labels that say nothing: the control for what probes find by themselves.

        Labels are dealt anew within train, valid and test each, so that each class keeps its images. A label that
        belongs to people (at most a tenth of its variance is within them) is dealt person by person: images of one
        person are alike, so that answers for them are right or wrong together, and the control spreads around chance
        as much as a real attribute would. Any other label is dealt image by image. Every image has the chance of each
        label that the label has in its split, and no person is in two splits; so a probe is at chance on test, however
        well it remembers people.

        Parameters
        ----------
        seed : int, default 0
            Of the deal, beside the sampling's own.

        Returns
        -------
        Sampling
            The same images; labels of faces outside the draws are NaN.

        References
        ----------
        Hewitt and Liang (2019), Designing and interpreting probes with control tasks.

        Examples
        --------
        >>> from fusiform.faces import open_faces
        >>> sampling = sample(open_faces("synthetic?n=600&seed=1&size=32"), ["Male"])
        >>> real, control = sampling.draws[0], sampling.shuffled().draws[0]
        >>> int(real.values[real.test].sum() - control.values[control.test].sum())
        0
        """
        draws = []
        for number, draw in enumerate(self.draws):
            rng = np.random.default_rng([self.seed, 4, seed, number])
            parts = (draw.train, draw.valid, draw.test)
            values = shuffled_labels(draw.values, parts, self.groups, len(draw.classes), rng)
            draws.append(replace(draw, values=values))
        return replace(self, draws=tuple(draws))


def sample(
    faces: FaceSet,
    attributes: Sequence[str] | None = None,
    *,
    n_train: int = 2048,
    n_valid: int = 6144,
    seed: int = 0,
    split: Literal["auto", "identities", "published"] = "auto",
) -> Sampling:
    """Split faces by identity, stratified by every attribute, and draw each attribute's images.

    Training and validation images are drawn balanced, as many of each class as the rarer class allows, up
    to `n_train` and `n_valid` in all; the test split stays as it is. An attribute is left out, with the reason in the
    table, when fewer than 20 of a class are left to train or fewer than 40 to test; of a categorical attribute only
    the classes that are too rare are left out.

    At most 8,192 images of the training split are used, and as many of the test split; the table notes what is cut.
    Test loses whole identities at random. Of the training images a quarter of the 8,192 is drawn at random, and
    the others are picked for the classes that have the smallest share of what their draw could use: rare classes keep
    full draws, but the pool holds more of them than the faces do. A draw takes the random images first, so that
    continuous attributes and common classes are hardly touched; images of a rare class have other rare attributes
    more often than they should.

    Parameters
    ----------
    faces : FaceSet
        The faces.
    attributes : sequence of str, optional
        Which attributes; all but identity and the published split when not given.
    n_train, n_valid : int, default 2048 and 6144
        Images an attribute at the most (Diniz 2020, section 5.1.2).
    seed : int, default 0
        Of the split and the draws.
    split : {"auto", "identities", "published"}, default "auto"
        ``"identities"``: 60/20/20; where the test split would hold fewer than 40 of a class, it takes people from
        validation. ``"published"``: the categorical attribute ``partition`` with train, valid and test, as in CelebA;
        train and valid are pooled and split 75/25 by identity, test is left as it was published (Diniz 2020, section
        5.1.2), and people who are in it are not trained on. ``"auto"``: the published split where each of the
        three holds 400 images, otherwise identities.

    Returns
    -------
    Sampling
        Draws and the table of what was drawn.

    Raises
    ------
    DataError
        If a named attribute does not exist or has one class only, if nothing can be probed, or if there is no
        published split.
    SpecError
        If `split` is none of the three.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> sampling = sample(open_faces("synthetic?n=600&seed=1&size=32"), ["Male", "yaw"])
    >>> [d.attribute for d in sampling.draws]
    ['Male', 'yaw']
    """
    partition = published_split(faces, split)
    names = _chosen(faces, attributes)
    groups = identity_codes(faces.table[faces.identity]) if faces.identity else np.arange(len(faces))
    columns = {name: values_of(faces.table[name], faces.schema[name]) for name in names}
    part, by_chance, cuts = split_faces(groups, list(columns.values()), partition, n_train, seed)
    draws, records = [], []
    for number, (name, (values, classes)) in enumerate(columns.items()):
        rng = np.random.default_rng([seed, 1, number])
        own = with_enough_tests(part, groups, values, len(classes), rng) if partition is None else part
        draw, note = _draw(name, faces.schema[name], values, classes, own, by_chance, n_train, n_valid, rng)
        if draw is None and attributes is not None and note.startswith("only one"):
            raise DataError(
                f"Attribute '{name}' has {note}, so there is nothing to tell apart. Leave it out, or bring faces "
                "that differ in it."
            )
        note = "; ".join([*([note] if note else []), *cuts])
        records.append(_row(name, faces.schema[name], values, classes, draw, note))
        if draw is not None:
            draws.append(draw)
    table = pd.DataFrame(records)
    if not draws:
        reasons = "; ".join(f"{r['attribute']}: {r['note']}" for r in records[:5])
        raise DataError(
            f"None of {len(records)} attributes of '{faces.name}' ({len(faces)} faces) can be probed ({reasons}). "
            f"Probing needs {MIN_TRAIN} training and {MIN_TEST} test images of each class: bring more faces."
        )
    return Sampling(tuple(draws), groups, table, seed, "identities" if partition is None else "published")


def _chosen(faces: FaceSet, attributes: Sequence[str] | None) -> list[str]:
    available = [name for name, a in faces.schema.items() if a.kind != "identity"]
    if attributes is None:
        default = [name for name in available if name != PUBLISHED or not published_parts(faces)]
        if not default:
            raise DataError(f"'{faces.name}' has no attributes to probe, only images.")
        return default
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


def values_of(column: pd.Series, attribute: Attribute) -> tuple[ndarray, tuple[str, ...]]:
    if attribute.kind == "continuous":
        values = pd.to_numeric(column).astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        values[~np.isfinite(values)] = np.nan
        return values, ()
    if attribute.kind == "binary":
        return column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan), ("False", "True")
    codes, known = pd.factorize(column, sort=True)
    return np.where(codes < 0, np.nan, codes.astype(np.float64)), tuple(map(str, known))


def _draw(
    name: str,
    attribute: Attribute,
    values: ndarray,
    classes: tuple[str, ...],
    split: ndarray,
    by_chance: ndarray,
    n_train: int,
    n_valid: int,
    rng: np.random.Generator,
) -> tuple[Draw | None, str]:
    def rows(part: int, number: int | None = None) -> ndarray:
        inside = (split == part) & (np.isfinite(values) if number is None else values == number)
        shuffled = rng.permutation(np.flatnonzero(inside))
        return shuffled[np.argsort(~by_chance[shuffled], kind="stable")]

    if not np.isfinite(values).any():
        return None, "no known value"
    if attribute.kind == "continuous":
        train, valid, test = (rows(part) for part in (TRAIN, VALID, TEST))
        if np.unique(values[np.isfinite(values)]).size < 2:
            return None, "only one value"
        if len(train) < MIN_TRAIN or len(test) < MIN_TEST or not len(valid):
            return None, f"too few images: {len(train)} to train, {len(test)} to test"
        return _sorted(Draw(name, attribute.kind, (), values, train[:n_train], valid[:n_valid], test)), ""

    present = [k for k in range(len(classes)) if (values == k).any()]
    if len(present) < 2:
        return None, f"only one class ({classes[present[0]]})"
    each = {k: [rows(part, k) for part in (TRAIN, VALID, TEST)] for k in present}
    enough = [k for k, (a, b, c) in each.items() if len(a) >= MIN_TRAIN and len(b) and len(c) >= MIN_TEST]
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
    if n_train < 2 * len(enough) or n_valid < len(enough):
        raise SpecError(
            f"Attribute '{name}' has {len(enough)} classes, so it needs n_train >= {2 * len(enough)} and n_valid >= "
            f"{len(enough)}; got {n_train} and {n_valid}."
        )
    k_train = min(n_train // len(enough), *(len(each[k][TRAIN]) for k in enough))
    k_valid = min(n_valid // len(enough), *(len(each[k][VALID]) for k in enough))
    draw = Draw(
        name,
        attribute.kind,
        tuple(classes[k] for k in enough),
        renumbered,
        np.concatenate([each[k][TRAIN][:k_train] for k in enough]),
        np.concatenate([each[k][VALID][:k_valid] for k in enough]),
        np.concatenate([each[k][TEST] for k in enough]),
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
    rarer = counts = None
    if draw is not None and draw.classes:
        each = [
            np.bincount(draw.values[rows].astype(int), minlength=len(draw.classes))
            for rows in (draw.train, draw.valid, draw.test)
        ]
        rarer = int(each[2].min())
        counts = "; ".join(f"{c}: {a}, {b}, {d}" for c, a, b, d in zip(draw.classes, *each, strict=True))
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
        "class_counts": counts,
        "status": "probed" if draw is not None else "left out",
        "note": note or None,
    }
