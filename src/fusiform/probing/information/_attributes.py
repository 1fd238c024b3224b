from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import ndtri
from scipy.stats import rankdata

from fusiform.errors import DataError, SpecError, nearest
from fusiform.probing.information._given import as_values

ENCODINGS = ("categorical", "numeric", "ranks", "standardised", "raw", "probability")
"""How an attribute may be shown to a critic; see `encode_attribute`."""


# A critic that sees larger numbers cannot be trained, whatever its steps.
_MOST = 1e4


@dataclass(frozen=True)
class Encoded:
    """An attribute as a critic sees it.

    Attributes
    ----------
    values : float32 array, shape (n, k)
        What stands beside the features.
    encoding : str
        One of `ENCODINGS`.
    classes : int array, shape (n,), or None
        The class of each image, 0-based, where the attribute has classes.
    entropy : float or None
        Entropy of the classes in nats, the most that any features can tell.
    note : str
        What is to be known about it, such as that it is constant.
    """

    values: Float[ndarray, "n k"]
    encoding: str
    classes: Int[ndarray, " n"] | None = None
    entropy: float | None = None
    note: str = ""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def constant(self) -> bool:
        """Whether the attribute has one value only, so that nothing can be known about it."""
        return bool((self.values == self.values[:1]).all())


def encode_attribute(
    values: Sequence[Any] | ndarray | pd.Series, *, encoding: str | None = None, name: str = "attribute"
) -> Encoded:
    """Encode an attribute for the estimators of mutual information.

    Mutual information does not change when an attribute is transformed one to one, but how well a critic learns it
    does. So continuous attributes are rank-normalised by default: each coordinate gets the normal quantiles of its ranks.

    Parameters
    ----------
    values : array or Series, shape (n,) or (n, k)
        One value or one row of numbers an image.
    encoding : str, optional
        ``"categorical"``: one-hot; ``"numeric"``: the number of the class as one standardised value, as Dhar and others
        (2020, section IV.B) give identity; ``"ranks"``: rank-normalised; ``"standardised"``; ``"raw"``: as it is;
        ``"probability"``: standardised, values between 0 and 1. When not given: categorical for whole numbers, truth
        values, text and pandas' categories, ranks for other numbers.
    name : str, default "attribute"
        What it is called, for messages.

    Returns
    -------
    Encoded
        The attribute.

    Raises
    ------
    DataError
        If values are missing or infinite, of the wrong shape, not numbers where numbers are needed, or probabilities
        outside 0 to 1.
    SpecError
        If there is no such encoding.

    Examples
    --------
    >>> encode_attribute([True, False, True]).values
    array([[0., 1.],
           [1., 0.],
           [0., 1.]], dtype=float32)
    >>> encode_attribute([10.0, 30.0, 20.0]).values.ravel().round(2)
    array([-1.22,  1.22,  0.  ], dtype=float32)
    """
    if encoding is not None and encoding not in ENCODINGS:
        raise SpecError(f"The encoding of '{name}' cannot be '{encoding}'; {nearest(encoding, ENCODINGS)}")
    given = as_values(values, name)
    if encoding is None:
        encoding = "categorical" if _is_categorical(given) else "ranks"
    missing = np.flatnonzero(np.asarray(pd.isna(given)).reshape(len(given), -1).any(axis=1))
    if len(missing):
        raise DataError(
            f"'{name}' has no value for {len(missing)} of {len(given)} images, the first of them number {missing[0]}. "
            "Leave out these images, here and in the features."
        )
    if encoding in ("categorical", "numeric"):
        return _classes(given, encoding, name)
    return _numbers(given, encoding, name)


def _is_categorical(given: pd.Series | ndarray) -> bool:
    return not pd.api.types.is_float_dtype(given.dtype) and (given.ndim == 1)


def _classes(given: pd.Series | ndarray, encoding: str, name: str) -> Encoded:
    if given.ndim != 1:
        raise DataError(f"'{name}' has shape {given.shape}; classes are one value an image.")
    classes, labels, counts, entropy = _numbered(given)
    notes = [] if len(labels) > 1 else ["constant: one value only"]
    if (counts == 1).any() and len(labels) > 1:
        single = int((counts == 1).sum())
        notes.append(
            f"{single} of {len(labels)} classes {'has' if single == 1 else 'have'} a single image, "
            "and tell nothing on images not trained on"
        )
    if encoding == "categorical":
        values = np.zeros((len(classes), len(labels)), dtype=np.float32)
        values[np.arange(len(classes)), classes] = 1
    else:
        numbers = pd.to_numeric(pd.Series(labels), errors="coerce").to_numpy(dtype=np.float64)
        # Names have no order but that of the alphabet.
        codes = classes if np.isnan(numbers).any() else numbers[classes]
        values = _standardised(np.asarray(codes, dtype=np.float64)[:, None])
    return Encoded(values, encoding, classes, entropy, "; ".join(notes))


def _numbered(
    given: pd.Series | ndarray,
) -> tuple[Int[ndarray, " n"], pd.Index | ndarray, Int[ndarray, " c"], float]:
    """The class of each image, the classes, how many images each has, and their entropy in nats."""
    classes, labels = pd.factorize(given, sort=True)
    counts = np.bincount(classes)
    shares = counts / len(classes)
    return classes.astype(np.int64), labels, counts, abs(float((shares * np.log(shares)).sum()))


def _numbers(given: pd.Series | ndarray, encoding: str, name: str) -> Encoded:
    try:
        numbers = np.asarray(given, dtype=np.float64).reshape(len(given), -1)
    except (TypeError, ValueError):
        raise DataError(f"'{name}' must hold numbers for the encoding '{encoding}'.") from None
    if not np.isfinite(numbers).all():
        bad = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
        raise DataError(f"'{name}' is infinite for {len(bad)} images, the first of them number {bad[0]}.")
    if encoding == "probability" and (numbers.min() < 0 or numbers.max() > 1):
        raise DataError(
            f"'{name}' holds no probabilities: its values go from {numbers.min():g} to {numbers.max():g}."
        )
    note = "constant: one value only" if (numbers == numbers[:1]).all() else ""
    if encoding == "ranks":
        return Encoded(rank_normalised(numbers), encoding, note=note)
    if encoding != "raw":
        numbers = _standardised(numbers)
    shown = numbers.astype(np.float32)
    if np.abs(shown).max() > _MOST:
        raise DataError(
            f"'{name}' reaches {np.abs(numbers).max():.3g}: too large for a critic to see as it is. Give it in another unit, or "
            "another encoding than 'raw'."
        )
    classes = entropy = None
    if encoding == "raw" and shown.shape[1] == 1 and pd.api.types.is_integer_dtype(given.dtype):
        # Whole numbers have so many values.
        classes, _, _, entropy = _numbered(given)
    return Encoded(shown, encoding, classes, entropy, note)


def rank_normalised(columns: Float[ndarray, "n k"]) -> Float[ndarray, "n k"]:
    """Give each column the normal quantiles of its ranks, less their mean; ties share a rank, constants are 0."""
    quantiles = ndtri((np.arange(1, 2 * len(columns)) / 2) / len(columns))
    # Ranks are halves of whole numbers, so the quantiles of all are those of a table.
    places = np.rint(2 * rankdata(columns, axis=0)).astype(np.int64) - 2
    return _standardised(quantiles[places])


def _standardised(columns: Float[ndarray, "n k"]) -> Float[ndarray, "n k"]:
    centred = columns - columns.mean(axis=0)
    deviation = centred.std(axis=0)
    # What does not vary but for rounding is constant.
    still = deviation <= 1e-12 * np.abs(columns).max(axis=0)
    return np.where(still, 0.0, centred / np.where(still, 1.0, deviation)).astype(np.float32)
