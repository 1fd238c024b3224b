"""One layer's features, measured: expressivity of all attributes by all estimators, as rows of the tables."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.probing import Expressivity, expressivities
from fusiform.studies.expressivity._asked import Asked, Entry, Piece
from fusiform.studies.expressivity._features import Chosen
from fusiform.studies.expressivity._linear import linear_probes
from fusiform.studies.expressivity._request import ExpressivityRequest

KEPT_DRAWS = 200
HELD_OUT, TRAIN = "held out", "train"
Tables = dict[str, pd.DataFrame]
Sayer = Callable[[str], Callable[[int, int], None]]


def measure(
    features: Float[ndarray, "n m"],
    place: dict[str, Any],
    chosen: Chosen,
    asked: Asked,
    request: ExpressivityRequest,
    progress: Sayer,
) -> Tables:
    """Measure the features of one layer.

    Parameters
    ----------
    features : array, shape (n, m)
        Of all images of `asked`.
    place : dict
        The first columns of every row: network, layer, depth, and over training step and start.
    chosen : Chosen
        What the features are.
    asked : Asked
        Attributes and images.
    request : ExpressivityRequest
        Estimators, restarts, seed.
    progress : callable
        Begins a piece of work by its name.

    Returns
    -------
    dict of str to DataFrame
        ``values``, ``draws``, ``curves`` and, where asked for, ``linear``. Attributes that the faces do not allow to be
        measured have NaN, and the reason as their note.

    Raises
    ------
    DataError
        If nothing can be measured.
    """
    values, draws, curves = [], [], []
    refused: list[DataError] = []
    where = f"{place['layer']} of {place['network']}" if place["network"] else place["layer"]
    if "step" in place:
        where += f" at {place['step']}"
    for estimator in request.estimators:
        for piece in asked.pieces:
            try:
                found = expressivities(
                    features[piece.rows],
                    {entry.key: entry.encoded for entry in piece.entries},
                    restarts=request.restarts,
                    seed=request.seed,
                    estimator=estimator,
                    groups=piece.groups,
                    progress=progress(f"{estimator}, {where}"),
                )
            except DataError as error:
                refused.append(error)
                found = _unknown(piece, estimator, features.shape[1], str(error))
            for entry in piece.entries:
                result = found[entry.key]
                key = {"attribute": entry.attribute, "encoding": result.encoding, "estimator": estimator}
                values += _values(place, key, entry, result, chosen)
                draws.append(_draws(place, key, result))
                curves.append(_curves(place, key, result))
    if len(refused) == len(request.estimators) * len(asked.pieces):
        raise refused[0]
    tables = {
        "values": pd.DataFrame(values).astype({"channels": "Int64", "entropy": "Float64"}),
        "draws": pd.concat(draws, ignore_index=True),
        "curves": pd.concat(curves, ignore_index=True),
    }
    if request.linear:
        linear = linear_probes(features, asked, seed=request.seed)
        for number, name in enumerate(name for name in place if name != "start"):
            linear.insert(number, name, place[name])
        tables["linear"] = linear
    return tables


def _unknown(piece: Piece, estimator: str, dimension: int, why: str) -> dict[str, Expressivity]:
    """What stands for estimates that cannot be made."""
    nothing, curve = (
        np.full(1, np.nan),
        pd.DataFrame(columns=["restart", "epoch", "train", "valid"], dtype=float),
    )
    return {
        each.key: Expressivity(
            estimator,
            each.encoded.encoding,
            values=nothing,
            train_values=nothing,
            draws=nothing,
            entropy=each.encoded.entropy,
            n=len(each.encoded),
            dimension=dimension,
            curve=curve,
            epochs=nothing,
            converged=np.zeros(1, dtype=bool),
            note="; ".join(filter(None, (each.encoded.note, why))),
        )
        for each in piece.entries
    }


def _values(
    place: dict[str, Any], key: dict[str, str], entry: Entry, result: Expressivity, chosen: Chosen
) -> list[dict[str, Any]]:
    both = {
        HELD_OUT: (result.mean, result.lower, result.upper, result.std),
        TRAIN: (result.train_mean, np.nan, np.nan, result.train_std),
    }
    return [
        place
        | {"unit_kind": "layer", "unit": ""}
        | key
        | {
            "split": split,
            "metric": "mutual information",
            "value": float(value),
            "lower": float(lower),
            "upper": float(upper),
            "chance": 0.0,
            "n": int(result.n),
            "std": float(std),
            "restarts": len(result.values),
            "retried": int(result.retried),
            "converged": int(np.sum(result.converged)),
            "epochs": float(np.mean(result.epochs)) if len(result.epochs) else np.nan,
            "entropy": result.entropy,
            "channels": None if chosen.channels is None else len(chosen.channels),
            "features": int(result.dimension),
            "note": "; ".join(filter(None, (result.note, entry.note))),
        }
        for split, (value, lower, upper, std) in both.items()
    ]


def _draws(place: dict[str, Any], key: dict[str, str], result: Expressivity) -> pd.DataFrame:
    values = np.asarray(result.draws, dtype=np.float64)[:KEPT_DRAWS]
    keys = {name: value for name, value in place.items() if name != "depth"}
    return pd.DataFrame({"draw": np.arange(len(values)), "value": values}).assign(**keys, **key)[
        [*keys, *key, "draw", "value"]
    ]


def _curves(place: dict[str, Any], key: dict[str, str], result: Expressivity) -> pd.DataFrame:
    keys = {name: value for name, value in place.items() if name not in ("depth", "start")}
    # The step of a critic's training is not that of the network's.
    curve = result.curve[["restart", "epoch", "train", "valid"]].reset_index(drop=True)
    return curve.assign(**keys, **key)[[*keys, *key, *curve.columns]]
