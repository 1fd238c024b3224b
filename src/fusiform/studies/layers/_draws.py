"""The images each attribute is probed with, as the numbers and the extent of a request have it."""

from dataclasses import replace

import pandas as pd

from fusiform.faces import FaceSet
from fusiform.probing import Sampling, sample
from fusiform.studies.layers._request import LayersRequest


def drawn(faces: FaceSet, request: LayersRequest) -> Sampling:
    """Draw each attribute's images, and note which attributes get no more of them than there are components."""
    sampling = sample(
        faces,
        request.attributes,
        n_train=request.n_train,
        n_valid=request.n_valid,
        split=request.split,
        seed=request.seed,
    )
    table = sampling.table.astype({"note": object})
    for row in table.index[(table.status == "probed") & (table.n_train <= request.n_components)]:
        few = f"no more training images ({table.n_train[row]}) than components ({request.n_components})"
        table.loc[row, "note"] = few if pd.isna(table.note[row]) else f"{table.note[row]}; {few}"
    return replace(sampling, table=table)


def fewer(sampling: Sampling, most: int | None) -> Sampling:
    """Keep the attributes with the most training images, where a quick look takes only some."""
    if most is None or len(sampling.draws) <= most:
        return sampling
    ranked = sorted(sampling.draws, key=lambda draw: -len(draw.train))
    kept = {draw.attribute for draw in ranked[:most]}
    table = sampling.table.copy()
    cut = (table.status == "probed") & ~table.attribute.isin(kept)
    table.loc[cut, "status"] = "left out"
    table.loc[cut, "note"] = f"a quick look takes the {most} attributes with the most images"
    draws = tuple(draw for draw in sampling.draws if draw.attribute in kept)
    return replace(sampling, draws=draws, table=table)
