"""How the parts of the face share a score, and how far that depends on how parts are hidden."""

from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor

from fusiform.attribution import shapley_values
from fusiform.networks import FaceNetwork
from fusiform.studies.explain._question import Question

Fill = Literal["mean", "blur", "noise", "grey"]

FILLS: tuple[Fill, ...] = ("mean", "blur", "noise", "grey")
_SHIFT = 0.03  # of the shorter side
_KEYS = ["network", "image", "other", "target"]
_VARIANT = ["fill", "down", "right"]
SHAPLEY = "shapley"
REST = "rest"


def variants(size: tuple[int, int]) -> list[tuple[Fill, int, int]]:
    """Fills and shifts (pixels down and to the right): every fill in place, and the first one shifted four ways.

    Examples
    --------
    >>> variants((112, 112))[3:6]
    [('grey', 0, 0), ('mean', 3, 0), ('mean', -3, 0)]
    """
    step = max(1, round(_SHIFT * min(size)))
    shifts = [(step, 0), (-step, 0), (0, step), (0, -step)]
    return [(fill, 0, 0) for fill in FILLS] + [(FILLS[0], down, right) for down, right in shifts]


def moved(x: Tensor, down: int, right: int) -> Tensor:
    """Images moved by pixels, their border repeated.

    Examples
    --------
    >>> moved(torch.arange(4.0).view(1, 1, 1, 4), 0, 1).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """
    rows = (torch.arange(x.shape[-2]) - down).clamp(0, x.shape[-2] - 1)
    columns = (torch.arange(x.shape[-1]) - right).clamp(0, x.shape[-1] - 1)
    return x[..., rows[:, None], columns]


def shared(
    net: FaceNetwork, question: Question, rows: Sequence[int], *, seed: int, memory_gb: float
) -> list[dict[str, Any]]:
    """Exact Shapley values of the parts of some of the images under every variant, a row each; hidden parts have none."""
    index = torch.as_tensor(rows)
    x, parts, target = question.x[index], question.parts[index], question.confidence.rows(index)
    seen = (parts > 0).flatten(2).any(dim=2)
    found = []
    for fill, down, right in variants((x.shape[2], x.shape[3])):
        values = shapley_values(
            net,
            moved(x, down, right),
            target,
            moved(parts, down, right),
            baseline=fill,
            seed=seed,
            memory_gb=memory_gb,
        )
        own = {"network": net.card.name, "fill": fill, "down": down, "right": right}
        for k, row in enumerate(rows):
            said = own | described(question, row)
            ends = {"whole": float(values.whole[k]), "empty": float(values.empty[k])}
            found += [
                said | ends | {"part": name, "value": float(values.values[k, p])}
                for p, name in enumerate(question.part_names)
                if seen[k, p]
            ]
    return found


def described(question: Question, row: int) -> dict[str, str]:
    """Which image is explained, compared with what."""
    return {
        "image": question.images[row],
        "other": question.others[row],
        "target": question.names[row],
    }


def part_shares(table: pd.DataFrame) -> pd.DataFrame:
    """Of each part of each image its value in place with the first fill, its share, and the least and most of all variants.

    A share is the value over the sum of the absolute values of all parts, so that it keeps its sign.
    """
    return _summed_up(table, [*_KEYS, "part"]).assign(method=SHAPLEY)


def group_shares(table: pd.DataFrame, *, together: bool) -> pd.DataFrame:
    """As `part_shares`, with both sides of the face as one; with `together` the mean over all images."""
    sides = table.assign(part=table["part"].map(both_sides))
    keys = _KEYS
    if together:
        n = sides["image"].nunique()
        sides = sides.assign(image="", other="", target=sides["target"].iloc[0], value=sides["value"] / n)
    else:
        n = 1
    whole = sides.groupby([*keys, "part", *_VARIANT], sort=False)[["value"]].sum().reset_index()
    return _summed_up(whole, [*keys, "part"]).assign(images=n)


def both_sides(part: str) -> str:
    """The name of a part and its twin.

    Examples
    --------
    >>> both_sides("left_eye"), both_sides("nose")
    ('eyes', 'nose')
    """
    side, _, rest = part.partition("_")
    return f"{rest}s" if side in ("left", "right") else part


def _summed_up(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    mass = table["value"].abs().groupby([table[key] for key in [*by[:-1], *_VARIANT]]).transform("sum")
    table = table.assign(share=(table["value"] / mass.where(mass > 0)).fillna(0.0))
    base = table[(table["fill"] == FILLS[0]) & (table["down"] == 0) & (table["right"] == 0)]
    found = base[[*by, "value", "share"]]
    for column, names in (("value", ("lower", "upper")), ("share", ("share_lower", "share_upper"))):
        ends = table.groupby(by, sort=False)[column].agg(["min", "max"])
        ends.columns = pd.Index(names)
        found = found.merge(ends.reset_index(), on=by, how="left")
    return found


def mass_in_parts(values: Tensor, parts: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
    """What a map holds in each part of a face, and beside all of them.

    Parameters
    ----------
    values : tensor, shape (height, width)
        The map.
    parts : tensor, shape (parts, height, width)
        Where the parts are; a part without pixels has no row.
    names : sequence of str
        Of the parts.

    Returns
    -------
    list of dict
        ``part``, ``value`` (the sum within it) and ``share`` (of the sum of all absolute values).
    """
    whole = float(values.abs().sum())
    beside = (parts.sum(dim=0) == 0).to(values)
    regions = [(name, mask) for name, mask in zip(names, parts.to(values), strict=True) if mask.any()]
    rows = []
    for name, mask in [*regions, (REST, beside)]:
        value = float((values * mask).sum())
        rows.append({"part": name, "value": value, "share": value / whole if whole > 0 else 0.0})
    return rows
