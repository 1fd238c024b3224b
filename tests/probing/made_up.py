"""Tables of faces without images, of which draws are made."""

import numpy as np
import pandas as pd

from fusiform.faces import Attribute


class Faces:
    """The part of a FaceSet that sampling reads."""

    name = "made up"

    def __init__(self, table, schema):
        self.table, self.schema = table, schema

    def __len__(self):
        return len(self.table)

    @property
    def identity(self):
        return "identity" if "identity" in self.schema else None


def made_up(n=1000, people=100, seed=0, **columns):
    rng = np.random.default_rng(seed)
    who = pd.Series(rng.integers(0, people, n)).astype("string")
    table = {"image_id": [f"{i}" for i in range(n)], "identity": who}
    schema = {"identity": Attribute(kind="identity")}
    for name, (kind, values) in columns.items():
        table[name] = values
        schema[name] = Attribute(kind=kind)
    return Faces(pd.DataFrame(table), schema)


def binary(values):
    return "binary", pd.array(values, dtype="boolean")


def categorical(values):
    return "categorical", pd.array(values, dtype="string")
