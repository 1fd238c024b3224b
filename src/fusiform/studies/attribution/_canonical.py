"""Canonical model saliency: maps of all images carried to the canonical face, averaged by group."""

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from fusiform.evaluation import summarise
from fusiform.faces import canonical_face, canonical_parts, to_canonical
from fusiform.runs import Run, atomic_write
from fusiform.studies.attribution._bench import Bench
from fusiform.studies.attribution._measure import Sheet

SIZE = 64
FOLDER = "maps"


def add_canonical(sheet: Sheet, run: Run, bench: Bench, number: int, maps: Tensor, seed: int) -> None:
    """Write the canonical model saliency maps of a method, and rows of the parts' shares.

    Each image's map is scaled to a sum of absolute values of 1 over what is visible of the canonical face; a part's share is
    that of the positive values.
    """
    if bench.landmarks is None:
        return
    task = bench.tasks[0]
    every = np.unique(np.concatenate(list(bench.groups.values())))
    carried, visible = to_canonical(maps[every].detach().cpu(), bench.landmarks[every], SIZE)
    values = torch.where(visible, carried, 0)
    scaled = values / values.abs().sum(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    positive = scaled.clamp(min=0)
    parts, face = canonical_parts(SIZE), canonical_face(SIZE).face
    people = np.array(task.identities, dtype=object)
    for name, rows in bench.groups.items():
        at = np.searchsorted(every, rows)
        for part, mask in parts.items():
            share = (positive[at] * mask).sum(dim=(1, 2)) / positive[at].sum(dim=(1, 2))
            found = summarise(share, people[rows], seed=seed)
            area = float((mask & face).sum() / face.sum())
            sheet.add(
                "canonical", task.name, group=name, part=part, share=found.value, lower=found.lower,
                upper=found.upper, area=area, n=found.n,
            )  # fmt: skip
        file = f"canonical{number}_{sheet.method.name}_{_plain(name)}.npy"
        write_map(run, file, _mean(scaled[at], visible[at]))
        sheet.add("canonical_maps", task.name, group=name, file=file, n=len(rows))


def write_map(run: Run, file: str, values: Float[ndarray, "h w"]) -> None:
    """Write a map into the run's folder of maps."""
    with atomic_write(run.path / FOLDER / file) as part, part.open("wb") as out:
        np.save(out, values.astype(np.float32))


def _mean(scaled: Float[Tensor, "n s s"], visible: Tensor) -> Float[ndarray, "s s"]:
    """Mean over the images in which a place is visible; NaN where it is in none."""
    seen = visible.sum(dim=0)
    total = (scaled * visible).sum(dim=0)
    return torch.where(seen > 0, total / seen.clamp(min=1), torch.nan).numpy()


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)
