"""What findings about expressivity are judged on: one network's values, with intervals by bootstrap draws."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fusiform.studies._findings import Estimate, NotMeasured
from fusiform.studies.expressivity._asked import IRRELEVANT, role_of
from fusiform.studies.expressivity._traces import Traces, difference, estimate


@dataclass(frozen=True)
class Evidence:
    """One network's expressivity over layers and over training; what is not there raises `NotMeasured`."""

    network: str
    traces: Traces

    @cached_property
    def layers(self) -> pd.DataFrame:
        rows = self.traces.over_layers
        rows = rows[rows["network"] == self.network]
        if not len(rows):
            raise NotMeasured("nothing was measured over its layers")
        return rows

    @cached_property
    def course(self) -> pd.DataFrame:
        """Over training, in the deepest watched layer; step 0 of a network trained on objects is not in it."""
        rows = self.traces.over_training
        rows = rows[
            (rows["network"] == self.network) & (rows["start"] != "pretrained") & rows["main"].astype(bool)
        ]
        if not len(rows):
            raise NotMeasured("no checkpoints were given")
        return rows[rows["depth"] == rows["depth"].max()]

    @property
    def places(self) -> list[str]:
        """Layers in forward order, the image first."""
        return list(dict.fromkeys(self.layers["layer"]))

    @property
    def steps(self) -> list[int]:
        return sorted(set(self.course["step"]))

    # attributes ---------------------------------------------------------------------------------------

    @cached_property
    def names(self) -> list[str]:
        """Attributes studied of this network, over layers or over training."""
        tables = (self.traces.over_layers, self.traces.over_training)
        return list(
            dict.fromkeys(
                name for rows in tables for name in rows.loc[rows["network"] == self.network, "attribute"]
            )
        )

    def identity(self) -> str:
        table = self.traces.tables.get("described")
        if table is not None:
            found = [n for n in table.loc[table["kind"] == "identity", "attribute"] if n in self.names]
            if found:
                return str(found[0])
        raise NotMeasured("identity was not studied")

    def role(self, role: str) -> str:
        """The attribute that stands for age, sex or yaw."""
        name = role_of(self.names, role)
        if name is not None:
            return name
        raise NotMeasured(f"no attribute for {role} was studied")

    def roles(self) -> dict[str, str]:
        """Those of age, sex and yaw that are there, one at least."""
        found = {}
        for role in IRRELEVANT:
            try:
                found[role] = self.role(role)
            except NotMeasured:
                continue
        if not found:
            raise NotMeasured("none of age, sex and yaw was studied")
        return found

    # numbers ------------------------------------------------------------------------------------------

    def at(
        self, attribute: str, *, layer: str | None = None, step: int | None = None
    ) -> tuple[float, np.ndarray]:
        """Value and draws of an attribute in a layer, or at a step of the course."""
        rows = self.layers if step is None else self.course
        rows = rows[
            (rows["attribute"] == attribute)
            & (rows["layer"] == layer if step is None else rows["step"] == step)
        ]
        if not len(rows):
            where = f"in the layer '{layer}'" if step is None else f"at step {step}"
            raise NotMeasured(f"'{attribute}' was not measured {where}")
        row = rows.iloc[0]
        return float(row["value"]), self.traces.draws(
            self.network, row["layer"], attribute, row["encoding"], step
        )

    def gap(self, a: tuple[float, np.ndarray], b: tuple[float, np.ndarray]) -> Estimate:
        """How far the first is above the second."""
        return estimate(a[0] - b[0], difference(a[1], b[1]))

    def vectors(self) -> list[str]:
        """Layers that are vectors (pool, fully connected), in forward order."""
        rows = self.layers[self.layers["channels"].isna() & (self.layers["depth"] >= 0)]
        return list(dict.fromkeys(rows["layer"]))


def nats(value: Estimate) -> str:
    return f"{value.plain()} nats"
