"""Held-out expressivity of the main estimator, with its bootstrap draws, over layers and over training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import norm

from fusiform.studies._findings import Estimate
from fusiform.studies.expressivity._measure import HELD_OUT
from fusiform.studies.layers._rows import RANDOM_WEIGHTS

_PLACE = ["network", "step", "layer", "attribute", "encoding", "estimator"]
_TRAINED_STEP = -1  # no checkpoint: the network as it is


def records(table: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table, columns as attributes."""
    return iter(table.itertuples())


def main_encodings(table: pd.DataFrame) -> dict[str, str]:
    """The encoding of each attribute on which orders and findings rest: the first of each."""
    first = table.drop_duplicates("attribute")
    return dict(zip(first["attribute"], first["encoding"], strict=True))


def main_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Held-out rows of trained networks with a value, in every attribute's main encoding."""
    rows = table[(table["split"] == HELD_OUT) & ~table["network"].str.endswith(RANDOM_WEIGHTS)]
    rows = rows[rows["value"].notna()]
    return rows[rows["encoding"] == rows["attribute"].map(main_encodings(table))]


def estimate(value: float, draws: Float[ndarray, " d"]) -> Estimate:
    """A number with the interval that holds 95% of its draws."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return Estimate(value, np.nan, np.nan)
    lower, upper = np.quantile(known, [0.025, 0.975])
    return Estimate(value, float(lower), float(upper))


def widened(value: float, draws: Float[ndarray, " d"], n: int) -> Estimate:
    """The largest of `n` numbers with its interval by Bonferroni's correction: normal, with the deviation of its draws."""
    known = draws[np.isfinite(draws)]
    half = float(norm.isf(0.025 / n) * known.std()) if len(known) else np.nan
    return Estimate(value, value - half, value + half)


@dataclass(frozen=True)
class Traces:
    """The tables of a run, looked up by place.

    Attributes
    ----------
    tables : mapping of str to DataFrame
        ``expressivity``, ``course`` and ``draws``, as far as they are there.
    named : str
        The estimator; the first when empty.
    """

    tables: Mapping[str, pd.DataFrame]
    named: str = ""

    @cached_property
    def over_layers(self) -> pd.DataFrame:
        """Main rows of the estimator, by depth; empty where there are none."""
        table = self.tables.get("expressivity")
        if table is None or not len(table):
            return pd.DataFrame(columns=["network", "layer", "depth", "attribute", "encoding", "value"])
        rows = main_rows(table)
        rows = rows[rows["estimator"] == self.estimator]
        return rows.sort_values("depth", kind="stable").reset_index(drop=True)

    @cached_property
    def over_training(self) -> pd.DataFrame:
        """Rows of the checkpoints, held out, of the estimator, by step; empty where there are none."""
        table = self.tables.get("course")
        if table is None or not len(table):
            return pd.DataFrame(
                columns=[
                    "network",
                    "layer",
                    "depth",
                    "step",
                    "start",
                    "attribute",
                    "encoding",
                    "value",
                    "main",
                ]
            )
        rows = table[(table["split"] == HELD_OUT) & (table["estimator"] == self.estimator)]
        rows = rows[rows["value"].notna()]
        rows = rows.assign(main=rows["encoding"] == rows["attribute"].map(main_encodings(table)))
        return rows.sort_values("step", kind="stable").reset_index(drop=True)

    @cached_property
    def estimator(self) -> str:
        if self.named:
            return self.named
        for name in ("expressivity", "course"):
            table = self.tables.get(name)
            if table is not None and len(table):
                return str(table["estimator"].iloc[0])
        return ""

    @cached_property
    def _draws(self) -> dict[tuple, ndarray]:
        table = self.tables.get("draws")
        if table is None or not len(table):
            return {}
        rows = table.assign(step=table["step"].fillna(_TRAINED_STEP).astype(int))
        return {place: own["value"].to_numpy() for place, own in rows.groupby(_PLACE, sort=False)}

    def draws(
        self,
        network: str,
        layer: str,
        attribute: str,
        encoding: str,
        step: int | None = None,
        estimator: str | None = None,
    ) -> Float[ndarray, " d"]:
        """Draws of one held-out value, of the traces' estimator if none is named; one NaN where there are none."""
        at = _TRAINED_STEP if step is None else int(step)
        place = (network, at, layer, attribute, encoding, estimator or self.estimator)
        return self._draws.get(place, np.full(1, np.nan))


def difference(a: Float[ndarray, " d"], b: Float[ndarray, " e"]) -> Float[ndarray, " f"]:
    """Draws of a difference, draw by draw."""
    n = min(len(a), len(b))
    return a[:n] - b[:n]
