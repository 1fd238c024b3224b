"""Groups of whole faces, read off a set's columns, and brought to one size."""

import re

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from fusiform.faces._face_set import FaceSet
from fusiform.faces.dictionary._concepts import Category, ConceptTable

# What published tables call the groups of the Face Dictionary.
_ALSO = {
    "m": "male", "man": "male", "men": "male", "f": "female", "woman": "female", "women": "female",
    "east asian": "asian", "southeast asian": "asian", "caucasian": "white", "light": "bright",
}  # fmt: skip
_BAND = re.compile(r"(\d+)\s*(?:-|to)\s*(\d+)")
_FROM = re.compile(r"(?:more than|over|from)\s*(\d+)|(\d+)\s*\+")
_SMALL = 10


def _plain(text: object) -> str:
    return re.sub(r"[\s_-]+", " ", str(text)).strip().lower()


def _of_value(value: object, category: Category) -> int:
    """The group that a word names: its name, another word for it, or a range of numbers inside its bounds."""
    groups = [_plain(group) for group in category.groups]
    word = _plain(value)
    word = word if word in groups else _ALSO.get(word, word)
    if word in groups:
        return groups.index(word)
    text = str(value).strip().lower()
    band, beyond = _BAND.fullmatch(text), _FROM.fullmatch(text)
    if not category.bounds or (band is None and beyond is None):
        return -1
    low = float(band[1]) if band else float(next(filter(None, beyond.groups()))) if beyond else 0.0
    high = float(band[2]) if band else np.inf
    first, last = np.searchsorted(category.bounds, [low, high], side="right")
    return int(first) if first == last else -1


def group_numbers(faces: FaceSet, category: Category) -> tuple[Int[ndarray, " n"], str]:
    """To which group of a category each image of a set belongs, as the set's columns say.

    Parameters
    ----------
    faces : FaceSet
        The images and their columns.
    category : Category
        The grouping, its columns and bounds.

    Returns
    -------
    numbers : int array, shape (n,)
        Place in ``category.groups``; -1 where unknown.
    why : str
        Why no image is in a group, "" otherwise.

    Examples
    --------
    >>> faces = FaceSet.from_arrays(np.zeros((3, 3, 8, 8), np.uint8), pd.DataFrame({"age": [4.0, 50.0, 30.0]}))
    >>> group_numbers(faces, Category("Age", ("young", "old"), columns=("age",), bounds=(40.0,)))
    (array([0, 1, 0]), '')
    """
    why = f"no column {' or '.join(map(repr, category.columns))}"
    table = faces.table
    for name in category.columns:
        if name not in faces.schema:
            continue
        column, kind = table[name], faces.schema[name].kind
        numbers = np.full(len(faces), -1)
        known = column.notna().to_numpy()
        if kind == "binary":
            if len(category.groups) != 2:
                why = f"column '{name}' is binary, and there are {len(category.groups)} groups"
                continue
            true = _of_value(name, category)
            if true < 0 and _plain(name) in (_plain(category.name), "sex", "gender"):
                first, second = category.groups
                why = (
                    f"column '{name}' is binary and does not say whether true is {first} or {second}; name it after one "
                    "of them, or give it words"
                )
                continue
            true = max(true, 0)
            numbers[known] = np.where(column[known].astype(bool), true, 1 - true)
        elif kind == "continuous":
            if not category.bounds:
                why = f"column '{name}' holds numbers, and the category names no bounds"
                continue
            numbers[known] = np.searchsorted(category.bounds, column[known].astype(float), side="right")
        else:
            codes, values = pd.factorize(column)
            numbers[known] = np.array([_of_value(value, category) for value in values])[codes[known]]
        if (numbers >= 0).any():
            return numbers, ""
        why = f"no value of column '{name}' names one of its groups"
    return np.full(len(faces), -1), why


def settled(
    numbers: Int[ndarray, " n"], category: Category, balance: bool, rng: np.random.Generator
) -> tuple[Int[ndarray, " n"], tuple[str, ...], list[tuple[str, str]]]:
    """Groups without images left out, the others brought to the size of the smallest.

    Returns the new numbers, the groups left, and what is to be said of which group.
    """
    counts = np.bincount(numbers[numbers >= 0], minlength=len(category.groups))
    problems = [
        (group, f"no image is in this group of {category.name}")
        for group, count in zip(category.groups, counts, strict=True)
        if count == 0
    ]
    there = np.flatnonzero(counts)
    if len(there) < 2:
        return np.full_like(numbers, -1), (), problems
    least = int(counts[there].min())
    if balance and least < _SMALL:
        smallest = category.groups[int(there[counts[there].argmin()])]
        problems.append(
            (smallest, f"only {least} images, to which all groups of {category.name} are balanced")
        )
    out = np.full_like(numbers, -1)
    for new, old in enumerate(there):
        rows = np.flatnonzero(numbers == old)
        if balance:
            rows = np.sort(rng.choice(rows, least, replace=False))
        out[rows] = new
    return out, tuple(category.groups[i] for i in there), problems


def settle(
    groups: pd.DataFrame, table: ConceptTable, balance: bool, seed: int
) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]], list[tuple[str, str]]]:
    """All categories settled: the numbers of those with two groups or more, their groups, and what is to be said."""
    found: dict[str, ndarray] = {}
    names: dict[str, tuple[str, ...]] = {}
    problems: list[tuple[str, str]] = []
    for number, category in enumerate(table.categories):
        if category.name in groups:
            rng = np.random.default_rng([seed, number])
            values, left, said = settled(groups[category.name].to_numpy(), category, balance, rng)
            problems += said
            if left:
                found[category.name], names[category.name] = values, left
            else:
                problems.append((category.name, "fewer than two of its groups have images"))
    return pd.DataFrame(found, index=groups.index, dtype="int64"), names, problems


def fewer_groups(asked: ConceptTable, left: ConceptTable) -> list[tuple[str, str]]:
    """What is to be said of the threshold of categories that lost groups."""
    whole = {category.name: category for category in asked.categories}
    said = []
    for category in left.categories:
        before = whole[category.name]
        if len(category.groups) < len(before.groups):
            stays = category.threshold == before.threshold
            said.append(
                (
                    category.name,
                    f"{len(category.groups)} of its {len(before.groups)} groups have images; its threshold "
                    + (
                        f"stays {before.threshold:g} as stated"
                        if stays
                        else f"is then {category.threshold:g}"
                    ),
                )
            )
    return said
