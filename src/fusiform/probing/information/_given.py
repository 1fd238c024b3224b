"""What people give as features, attributes and groups, made into arrays."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError

_LEAST = 16


def as_features(given: Any) -> Float[ndarray, "n d"]:
    """Check feature vectors: finite numbers, one row an image, and enough images."""
    array = _array(given, "Features")
    if array.ndim != 2 or not array.size:
        raise DataError(f"Features must have shape (images, features); got {array.shape}.")
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
        raise DataError(f"Features must be real numbers; got {array.dtype}.")
    # Single precision cannot tell large whole numbers apart.
    wide = array.dtype.itemsize > 4 and array.dtype != bool
    array = array.astype(np.float64 if wide else np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise DataError(
            f"Features are NaN or infinite for {len(bad)} of {len(array)} images, the first of them number {bad[0]}."
        )
    if len(array) < _LEAST:
        raise DataError(
            f"Mutual information needs at least {_LEAST} images to train on some and measure on others; got {len(array)}."
        )
    return array


def as_values(given: Any, name: str) -> pd.Series | ndarray:
    """Check the values of an attribute: one value or one row of numbers an image, of a kind that can be told."""
    values = given if isinstance(given, pd.Series) else _array(given, f"'{name}'")
    if values.ndim not in (1, 2) or len(values) == 0 or values.size == 0:
        raise DataError(
            f"'{name}' must hold one value or one row of numbers an image; its shape is {values.shape}."
        )
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 1 and values.dtype == object:
        # Numbers among objects are numbers.
        values = pd.Series(values).infer_objects()
    if pd.api.types.is_complex_dtype(values.dtype) or pd.api.types.is_datetime64_any_dtype(values.dtype):
        raise DataError(f"'{name}' holds {values.dtype}; give real numbers, truth values or names.")
    return values


def as_clusters(given: Any, n: int) -> Int[ndarray, " n"] | None:
    """Number the groups of images."""
    if given is None:
        return None
    groups = given if isinstance(given, pd.Series) else _array(given, "Groups")
    if groups.ndim != 1:
        raise DataError(f"Groups must be one value an image; their shape is {groups.shape}.")
    if len(groups) != n:
        raise DataError(f"There are {n} feature vectors, but {len(groups)} groups.")
    missing = np.flatnonzero(np.asarray(pd.isna(groups)))
    if len(missing):
        raise DataError(
            f"{len(missing)} of {n} images have no group, the first of them number {missing[0]}. Leave out these images, "
            "or give each a group of its own."
        )
    return pd.factorize(groups, sort=True)[0]


def _array(given: Any, what: str) -> ndarray:
    if isinstance(given, Tensor):
        dense = given.detach().cpu()
        dense = dense.to_dense() if dense.layout != torch.strided else dense
        return (dense.float() if dense.dtype in (torch.bfloat16, torch.float16) else dense).numpy()
    try:
        if isinstance(given, pd.DataFrame):
            return given.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(given)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} cannot be read as an array of numbers: {error}") from None
