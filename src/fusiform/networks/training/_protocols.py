from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.networks.training._classes import read_labels
from fusiform.networks.training._six_tasks import FaceTask

if TYPE_CHECKING:
    from fusiform.faces import FaceSet

# What the images of a triplet share where no identities are known: race, sex and age group.
_SHARED = (("race", "ethnicity"), ("Male", "sex", "gender"), ("age_group",))
_PUBLISHED = ("split", "partition")
_TEST = ("test", "valid", "val")
_AGES = (0.0, 100.0)
_FOLDS = 5  # that SCUT-FBP5500 publishes
_COMPARED = 100  # images of one name in two sets that are looked at
_KINDS = {"binary": ("binary", "categorical"), "continuous": ("continuous",), "identity": ("identity",)}


class Parts(NamedTuple):
    """What is trained and tested on.

    Attributes
    ----------
    train, test : FaceSet
        The two parts.
    split : str
        How they were made, in words.
    left_out : int
        How many images were kept out because they are named.
    """

    train: "FaceSet"
    test: "FaceSet"
    split: str
    left_out: int


def learnt_attribute(task: FaceTask, faces: "FaceSet", attribute: str | None) -> str:
    """Say which attribute of a set a task learns.

    Parameters
    ----------
    task : FaceTask
        The task.
    faces : FaceSet
        The set.
    attribute : str or None
        What was asked; None takes the task's own.

    Returns
    -------
    str
        Its name; several with ``+`` between where a triplet shares several.

    Raises
    ------
    DataError
        If the set has none.
    """
    if task.kind == "classes":
        if attribute is not None:
            return attribute
        named = [next((name for name in names if _has_classes(faces, name)), None) for names in _SHARED]
        found = faces.identity or "+".join(name for name in named if name)
        if not found:
            raise DataError(
                f"'{faces.name}' has neither identities nor race, sex or age groups that a triplet could share; name an "
                f"attribute. It has {', '.join(faces.schema) or 'none'}."
            )
        return found
    if attribute is None:
        attribute = (faces.identity if task.kind == "identity" else None) or task.attribute
    kinds = _KINDS[task.kind]
    if attribute not in faces.schema or faces.schema[attribute].kind not in kinds:
        fitting = [name for name, own in faces.schema.items() if own.kind in kinds]
        there = f", for a trial, one of {', '.join(fitting)}" if fitting else "; there is none here"
        what = "has no" if attribute not in faces.schema else f"has {faces.schema[attribute].kind} values of"
        raise DataError(
            f"'{faces.name}' {what} '{attribute}'; the recipe '{task.name}' learns a {' or '.join(kinds)} attribute. Open "
            f"the set it is meant for ({task.faces}), or name another attribute{there}."
        )
    return attribute


def _has_classes(faces: "FaceSet", name: str) -> bool:
    return name in faces.schema and faces.schema[name].kind in ("binary", "categorical")


def deal(
    task: FaceTask,
    faces: "FaceSet",
    test: "FaceSet | None",
    attribute: str,
    *,
    without: frozenset[str] = frozenset(),
    fold: int = 0,
    folds: int = 1,
    seed: int = 0,
) -> Parts:
    """Split a set as a task's protocol says.

    Parameters
    ----------
    task : FaceTask
        Says test share and draws.
    faces : FaceSet
        The set.
    test : FaceSet or None
        A test set of its own; then `faces` is not split. It may not hold images of `faces`: of those of one ``image_id`` in both,
        up to 100 are compared.
    attribute : str
        What is learnt; images without it are left out, and of ``age`` those outside 0 to 100 years.
    without : frozenset of str
        ``image_id`` of images to keep out.
    fold : int, default 0
        Which of several splits, from 0.
    folds : int, default 1
        How many splits there are. One is the set's own, where it has one. Several are the published folds of SCUT-FBP5500
        where its lists are there, otherwise holdouts of the task's share, drawn anew for each.
    seed : int, default 0
        Of the draws.

    Returns
    -------
    Parts
        Images that cannot be read are in neither.

    Raises
    ------
    DataError
        If a part is empty, or test images are trained on.
    """
    rows, left_out = _usable(faces, attribute, without)
    words = "not made yet" if test is None else "test set given"

    def filled(what: str, part: Int[ndarray, " k"], of: "FaceSet", known: int) -> None:
        if not len(part):
            raise DataError(
                f"No images of '{of.name}' are left to {what} on: {known} of {len(of)} have a known '{attribute}' "
                f"and are not kept out; the split is: {words}. Give more images, or a test set."
            )

    filled("train", rows, faces, len(rows))
    if test is not None:
        test_rows, more = _usable(test, attribute, without)
        filled("test", test_rows, test, len(test_rows))
        train, test = faces.subset(rows), test.subset(test_rows)
        _check_other_images(train, test)
        return Parts(train.readable(), test.readable(), words, left_out + more)
    share = task.test_share if task.draw is None else task.draw[1] / sum(task.draw)
    dealt = _published(faces, rows) if folds == 1 else _published_fold(faces, rows, fold, folds)
    if dealt is None:
        dealt = _drawn(faces, rows, share, [seed] if folds == 1 else [seed, fold])
    (train_rows, test_rows), words = dealt
    if task.draw is not None:
        rng = np.random.default_rng([seed, fold])
        train_rows, test_rows = (
            _balanced(faces, attribute, part, count, rng)
            for part, count in zip((train_rows, test_rows), task.draw, strict=True)
        )
        words += f"; {len(train_rows)} and {len(test_rows)} drawn, as many of each class"
    filled("train", train_rows, faces, len(rows))
    filled("test", test_rows, faces, len(rows))
    return Parts(faces.subset(train_rows).readable(), faces.subset(test_rows).readable(), words, left_out)


def _usable(faces: "FaceSet", attribute: str, without: frozenset[str]) -> tuple[Int[ndarray, " n"], int]:
    rows = read_labels(faces, attribute).rows
    if attribute == "age":
        ages = faces.table["age"].to_numpy(dtype=np.float64, na_value=np.nan)[rows]
        rows = rows[(ages >= _AGES[0]) & (ages <= _AGES[1])]
    named = faces.table["image_id"].isin(without).to_numpy()[rows]
    return rows[~named], int(named.sum())


def _check_other_images(faces: "FaceSet", test: "FaceSet") -> None:
    from fusiform.faces import overlap

    both = sorted({*faces.table["image_id"]} & {*test.table["image_id"]})[:_COMPARED]
    if not both:
        return
    # Sets often number their images, so that a name alone says little.
    train, tested = (each.subset(np.flatnonzero(each.table["image_id"].isin(both))) for each in (faces, test))
    found = overlap(tested, train, near=1)
    same = sorted(found["image_id"][found["image_id"] == found["other_id"]])
    if same:
        more = f" and {len(same) - 3} more" if len(same) > 3 else ""
        raise DataError(
            f"The test set '{test.name}' holds images that are trained on, of '{faces.name}': {', '.join(same[:3])}{more} (of "
            f"{len(both)} compared). Give other faces to test on, or none, and the set is split."
        )


def _published_fold(
    faces: "FaceSet", rows: Int[ndarray, " n"], fold: int, folds: int
) -> tuple[tuple[Int[ndarray, " k"], Int[ndarray, " m"]], str] | None:
    from fusiform.faces.readers.scut_fbp5500 import open_scut

    made = faces.provenance
    if made.get("reader") != "scut" or folds > _FOLDS:
        return None
    source = Path(made["source"])
    if next(source.glob("**/cross_validation_1"), None) is None:
        return None
    listed = open_scut(source, fold=fold + 1).table.set_index("image_id")["split"]
    part = listed.reindex(faces.table["image_id"].iloc[rows]).fillna("").to_numpy(dtype=object)
    return (rows[part == "train"], rows[part == "test"]), f"published fold {fold + 1} of {_FOLDS}"


def _published(
    faces: "FaceSet", rows: Int[ndarray, " n"]
) -> tuple[tuple[Int[ndarray, " k"], Int[ndarray, " m"]], str] | None:
    for column in _PUBLISHED:
        if column in faces.table:
            part = faces.table[column].astype("string").fillna("").to_numpy(dtype=object)[rows]
            tested = next((name for name in _TEST if (part == name).any()), None)
            if tested is not None and (part == "train").any():
                words = f"the set's own '{column}': train and {tested}"
                return (rows[part == "train"], rows[part == tested]), words
    return None


def _drawn(
    faces: "FaceSet", rows: Int[ndarray, " n"], share: float, seeds: list[int]
) -> tuple[tuple[Int[ndarray, " k"], Int[ndarray, " m"]], str]:
    from fusiform.faces import split_identities

    words = f"{1 - share:.0%} and {share:.0%} drawn with seed {', '.join(map(str, seeds))}"
    rng = np.random.default_rng(seeds)
    if len(seeds) > 1:
        words = f"repeated holdout {seeds[1] + 1}, {words}"
    if faces.identity is None:
        order = rng.permutation(rows)
        cut = len(rows) - round(share * len(rows))
        return (np.sort(order[:cut]), np.sort(order[cut:])), f"{words}, of images"
    people = faces.table[faces.identity].iloc[rows]
    seed = seeds[0] if len(seeds) == 1 else int(rng.integers(2**31))
    train, test = split_identities(people, fractions=(1 - share, share), seed=seed)
    return (rows[train], rows[test]), f"{words}, of people"


def _balanced(
    faces: "FaceSet", attribute: str, rows: Int[ndarray, " n"], count: int, rng: np.random.Generator
) -> Int[ndarray, " k"]:
    labels = faces.table[attribute].astype("string").to_numpy(dtype=object)[rows]
    classes = np.unique(labels)
    by_class = [rows[labels == name] for name in classes]
    each = min([count // max(1, len(classes)), *map(len, by_class)])
    return np.sort(np.concatenate([rng.permutation(own)[:each] for own in by_class] or [rows]))
