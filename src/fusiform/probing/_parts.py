"""Which part of a set each face is in: to train, to validate, to test, or none."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from fusiform.errors import DataError, SpecError
from fusiform.faces import FaceSet, split_identities

TRAIN, VALID, TEST = 0, 1, 2
MIN_TRAIN = 20
MIN_TEST = 40
PUBLISHED = "partition"
_PARTS = {"train", "valid", "test"}

_SHARES: tuple[float, ...] = (0.6, 0.2, 0.2)
_MAX_POOL = 8192
_MAX_TEST = 8192
# Images that a class gets at a time, and from how many times as many the most useful are picked: the pickier, the
# more classes an image serves and the less it is like others of its class.
_STEP = 32
_PICKINESS = (1, 4, 16, 64)
# In so many images, a class of a tenth can be tested.
_MIN_PUBLISHED = 10 * MIN_TEST


def published_parts(faces: FaceSet) -> set[str]:
    """Which of train, valid and test a published split has; none where there is no such split."""
    if PUBLISHED not in faces.schema or faces.schema[PUBLISHED].kind != "categorical":
        return set()
    parts = set(faces.table[PUBLISHED].dropna().unique())
    return parts if parts <= _PARTS else set()


def published_split(faces: FaceSet, split: str) -> pd.Series | None:
    """The published split, where it is to be used."""
    if split not in ("auto", "identities", "published"):
        raise SpecError(f"The 'split' of sample must be 'auto', 'identities' or 'published'; got {split!r}.")
    if split == "identities" or published_parts(faces) != _PARTS:
        if split == "published":
            raise DataError(
                f"'{faces.name}' has no published split: that is a categorical attribute '{PUBLISHED}' with the classes "
                "train, valid and test. Use split='identities'."
            )
        return None
    column = faces.table[PUBLISHED]
    return None if split == "auto" and column.value_counts().min() < _MIN_PUBLISHED else column


def labels_of(columns: Iterable[tuple[ndarray, tuple[str, ...]]]) -> Float[ndarray, "n l"]:
    """Indicators of every class of every attribute, by which splits are stratified."""
    labels = []
    for values, classes in columns:
        if classes:
            labels += [values == k for k in range(len(classes))]
        else:
            # Quarters of the range of ranks stand in for classes.
            known = np.isfinite(values)
            edges = np.quantile(values[known], [0.25, 0.5, 0.75]) if known.any() else np.zeros(0)
            quarter = np.where(known, np.searchsorted(edges, values), -1)
            labels += [quarter == k for k in range(4)]
    return np.stack(labels, axis=1).astype(np.float64)


def split_faces(
    groups: Int[ndarray, " n"],
    columns: Sequence[tuple[ndarray, tuple[str, ...]]],
    partition: pd.Series | None,
    n_train: int,
    seed: int,
) -> tuple[Int[ndarray, " n"], Bool[ndarray, " n"], list[str]]:
    """The part of each face, -1 where it is in none; which are there by chance and not by class; what is not used."""
    part = np.full(len(groups), -1)
    notes: list[str] = []
    pool, shares = np.arange(len(groups)), _SHARES
    if partition is not None:
        test = (partition == "test").fillna(False).to_numpy(dtype=bool)
        part[test] = TEST
        known = partition.notna().to_numpy() & ~test
        shared = known & np.isin(groups, groups[test])
        if shared.any():
            notes.append(
                f"not used: {shared.sum():,} images outside the test partition of people who are in it"
            )
        pool, shares = np.flatnonzero(known & ~shared), (0.75, 0.25)
    pieces = split_identities(groups[pool], fractions=shares, labels=labels_of(columns)[pool], seed=seed)
    for number, rows in enumerate(pieces):
        part[pool[rows]] = number
    train, n_test = np.flatnonzero(part == TRAIN), int((part == TEST).sum())
    if n_test > _MAX_TEST:
        part[_surplus(groups, part == TEST, _MAX_TEST, seed)] = -1
    by_chance = np.ones(len(groups), dtype=bool)
    if len(train) > _MAX_POOL:
        inside, wanted = _wanted(columns, part, n_train, movable=partition is None)
        taken, random = _choose_pool(inside[train], wanted, _MAX_POOL, seed)
        part[train[~taken]] = -1
        by_chance[train[~random]] = False
        notes.append(f"{_MAX_POOL:,} of {len(train):,} training images are used, rare classes first")
    if n_test > _MAX_TEST:
        notes.append(f"{_MAX_TEST:,} of {n_test:,} test images are used")
    return part, by_chance, notes


def _wanted(
    columns: Sequence[tuple[ndarray, tuple[str, ...]]], part: Int[ndarray, " n"], n_train: int, movable: bool
) -> tuple[Bool[ndarray, "n c"], Int[ndarray, " c"]]:
    """Faces in each class that will be probed, and how many of them a balanced draw can use."""
    inside, wanted = [np.zeros((len(part), 0), dtype=bool)], []
    for values, classes in columns:
        # What is known of a continuous attribute stands in for a class.
        members = [values == k for k in range(len(classes))] if classes else [np.isfinite(values)]
        counts = [np.bincount(part[m] + 1, minlength=4)[1:] for m in members]
        enough = [
            k
            for k, (a, b, c) in enumerate(counts)
            if a >= MIN_TRAIN and b and MIN_TEST - c <= (_movable(b) if movable and classes else 0)
        ]
        if len(enough) < (2 if classes else 1):
            continue
        each = min(n_train // len(enough), *(int(counts[k][TRAIN]) for k in enough))
        if each:
            inside.append(np.stack([members[k] for k in enough], axis=1))
            wanted += [each] * len(enough)
    return np.concatenate(inside, axis=1), np.array(wanted, dtype=np.int64)


def _choose_pool(
    inside: Bool[ndarray, "n c"], wanted: Int[ndarray, " c"], keep: int, seed: int
) -> tuple[Bool[ndarray, " n"], Bool[ndarray, " n"]]:
    """Which images to keep so that every class has its wanted number, and which of them are a random sample."""
    order = np.random.default_rng([seed, 3]).permutation(len(inside))
    random = np.zeros(len(inside), dtype=bool)
    random[order[: keep // 4]] = True
    best, most = random, -1.0
    # No pickier than it takes to serve every class.
    for pickiness in _PICKINESS:
        taken = _serve(inside, wanted, order, random, keep, pickiness)
        least = float((inside[taken].sum(axis=0) / wanted).min(initial=1.0))
        if least > most:
            best, most = taken, least
        if least >= 1:
            break
    taken = best.copy()
    taken[order[~taken[order]][: keep - int(taken.sum())]] = True
    return taken, random


def _serve(
    inside: Bool[ndarray, "n c"],
    wanted: Int[ndarray, " c"],
    order: Int[ndarray, " n"],
    random: Bool[ndarray, " n"],
    keep: int,
    pickiness: int,
) -> Bool[ndarray, " n"]:
    """Add to a random sample, time and again, a few images of the class with the smallest share of its wanted number."""
    taken = random.copy()
    have = inside[taken].sum(axis=0)
    left = inside.sum(axis=0) - have
    queues = [order[column] for column in inside[order].T]
    while (room := keep - int(taken.sum())) and (have < wanted).any():
        k = int(np.argmin(have / wanted))
        n_new = min(_STEP, room, int(wanted[k] - have[k]))
        queues[k] = queues[k][~taken[queues[k]]]
        candidates = queues[k][: n_new * pickiness]
        # A class weighs by the share of its images left that it still needs, in whole numbers: exact on any machine.
        weights = np.ceil(1024 * np.maximum(wanted - have, 0) / np.maximum(left, 1)).astype(np.int64)
        new = candidates[np.argsort(-(inside[candidates] @ weights), kind="stable")[:n_new]]
        taken[new] = True
        have += inside[new].sum(axis=0)
        left -= inside[new].sum(axis=0)
    return taken


def with_enough_tests(
    split: ndarray, groups: ndarray, values: ndarray, n_classes: int, rng: np.random.Generator
) -> ndarray:
    """Move validation identities to test until a rare class can be tested, at most two thirds of its images."""
    own = split.copy()
    for number in range(n_classes):
        valid = (own == VALID) & (values == number)
        short = MIN_TEST - int(((own == TEST) & (values == number)).sum())
        if not 0 < short <= _movable(valid.sum()):
            continue
        for group in rng.permutation(np.unique(groups[valid])):
            own[(own == VALID) & (groups == group)] = TEST
            short -= int((valid & (groups == group)).sum())
            if short <= 0:
                break
    return own


def _movable(n_valid: int) -> float:
    return n_valid * 2 / 3


def _surplus(groups: ndarray, inside: ndarray, keep: int, seed: int) -> ndarray:
    """Faces beyond the first `keep` of a split, whole identities at a time in random order."""
    order = np.random.default_rng([seed, 2]).permutation(groups.max() + 1)
    rows = np.flatnonzero(inside)
    return rows[np.argsort(order[groups[rows]], kind="stable")][keep:]
