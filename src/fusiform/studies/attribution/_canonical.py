"""Canonical model saliency: maps of all images carried to the canonical face, averaged by group."""

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from fusiform.attribution.canonical import canonical_model_saliency
from fusiform.faces import to_canonical
from fusiform.runs import Run, atomic_write
from fusiform.studies.attribution._bench import Bench
from fusiform.studies.attribution._measure import Sheet, records

SIZE = 64
FOLDER = "maps"


def add_canonical(sheet: Sheet, run: Run, bench: Bench, number: int, maps: Tensor, seed: int) -> None:
    """Write the canonical model saliency maps of a method, and rows of the parts' shares.

    Each image's map is scaled to a sum of absolute values of 1 over what is visible of the canonical face, so that images
    count alike.
    """
    if bench.landmarks is None:
        return
    task = bench.tasks[0]
    every = np.unique(np.concatenate(list(bench.groups.values())))
    carried, visible = to_canonical(maps[every].detach().cpu(), bench.landmarks[every], SIZE)
    mass = torch.where(visible, carried, 0).abs().sum(dim=(1, 2), keepdim=True)
    scaled = carried / torch.where(mass > 0, mass, 1)
    people = np.array(task.identities, dtype=object)
    for name, rows in bench.groups.items():
        at = np.searchsorted(every, rows)
        found = canonical_model_saliency(scaled[at], visible[at], identities=people[rows].tolist(), seed=seed)
        for row in records(found.table[found.table["metric"] == "share"]):
            said = {k: row[k] for k in ("part", "lower", "upper", "n")}
            sheet.add("canonical", task.name, group=name, share=row["value"], area=row["chance"], **said)
        file = f"canonical{number}_{sheet.method.name}_{_plain(name)}.npy"
        write_map(run, file, found.maps[0].numpy())
        sheet.add("canonical_maps", task.name, group=name, file=file, n=len(rows))


def write_map(run: Run, file: str, values: Float[ndarray, "h w"]) -> None:
    """Write a map into the run's folder of maps."""
    with atomic_write(run.path / FOLDER / file) as part, part.open("wb") as out:
        np.save(out, values.astype(np.float32))


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)
