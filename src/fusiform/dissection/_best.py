"""The best few images of many keys, kept by comparing with the worst kept."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


class BestImages:
    """The images with the highest values of each key; most candidates are dropped by one comparison.

    Parameters
    ----------
    n_keys : int
        Keys, such as pairs of unit and concept.
    top : int
        Images a key.

    Examples
    --------
    >>> best = BestImages(2, top=2)
    >>> best.update(torch.tensor([0, 0, 0]), torch.tensor([0.1, 0.3, 0.2]), torch.tensor([4, 5, 6]))
    >>> best.rows
    tensor([[ 5,  6],
            [-1, -1]], dtype=torch.int32)
    """

    def __init__(self, n_keys: int, top: int) -> None:
        self._top = top
        self.values: Float[Tensor, "k t"] = torch.zeros(n_keys, top)
        self.rows: Int[Tensor, "k t"] = torch.full((n_keys, top), -1, dtype=torch.int32)

    def update(self, key: Int[Tensor, " m"], value: Float[Tensor, " m"], row: Int[Tensor, " m"]) -> None:
        """Offer images; values at or below 0 never count, and earlier images win ties."""
        better = value > self.values[key, -1]
        key, value, row = key[better], value[better], row[better]
        if not len(key):
            return
        order = value.sort(descending=True, stable=True).indices
        order = order[key[order].sort(stable=True).indices]
        keys, group, number = key[order].unique_consecutive(return_inverse=True, return_counts=True)
        place = torch.arange(len(order)) - (number.cumsum(0) - number)[group]
        kept = place < self._top
        values, rows = torch.zeros(len(keys), self._top), torch.full((len(keys), self._top), -1).int()
        values[group[kept], place[kept]] = value[order[kept]]
        rows[group[kept], place[kept]] = row[order[kept]].int()
        values, rows = torch.cat([self.values[keys], values], 1), torch.cat([self.rows[keys], rows], 1)
        values, order = values.sort(dim=1, descending=True, stable=True)
        self.values[keys], self.rows[keys] = (
            values[:, : self._top],
            rows.gather(1, order[:, : self._top]),
        )
