"""What tells two people apart who look alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from fusiform.attribution.canonical._model import CanonicalModelSaliency, canonical_model_saliency
from fusiform.attribution.canonical._occlusion import canonical_image_saliency
from fusiform.errors import AttributionError
from fusiform.faces import canonical_parts
from fusiform.networks import FaceNetwork
from fusiform.perturbation import Baseline
from fusiform.runs import Progress
from fusiform.targets import Contrast

_NAMED = 3  # most parts that the sentence names


@dataclass(frozen=True, eq=False)
class LookAlikes:
    """What tells two people apart, in a network's eyes.

    Attributes
    ----------
    saliency : CanonicalModelSaliency
        Of each person's images, the groups being the two names.
    together : CanonicalModelSaliency
        Of all images.
    table : DataFrame
        One row a part, the most telling first: rank, part, value (share of the positive mass over share of the area),
        lower, upper, share, area, n.
    sentence : str
        Where to look, in words.
    """

    saliency: CanonicalModelSaliency
    together: CanonicalModelSaliency
    table: pd.DataFrame
    sentence: str


def look_alikes(
    net: FaceNetwork,
    first: Float[Tensor, "a c h w"],
    second: Float[Tensor, "b c h w"],
    first_landmarks: Float[Tensor | ndarray, "a 68 2"],
    second_landmarks: Float[Tensor | ndarray, "b 68 2"],
    *,
    names: tuple[str, str] = ("A", "B"),
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    baseline: Baseline = "mean",
    size: int = 128,
    draws: int = 500,
    level: float = 0.95,
    batch_size: int | None = None,
    memory_gb: float = 4.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> LookAlikes:
    """Find the parts of the face that tell two people apart.

    Every image is explained by its contrast: similarity with the mean of its person's other images (with itself, where
    it is the only one) less similarity with the mean of the other person's. The canonical saliency of both people's
    images is averaged.

    Parameters
    ----------
    net : FaceNetwork
        A verifier.
    first, second : tensor, shape (n, channels, height, width)
        Inputs: images of one person, and of the other.
    first_landmarks, second_landmarks : tensor or array, shape (n, 68, 2)
        In pixels of the inputs.
    names : (str, str), default ("A", "B")
        Who they are.
    window, stride, baseline, size, batch_size, memory_gb, seed, progress
        As of `canonical_image_saliency`.
    draws, level
        As of `canonical_model_saliency`; images are resampled, as there are only two people.

    Returns
    -------
    LookAlikes
        Maps, ranked parts and a sentence.

    Raises
    ------
    AttributionError
        If one of them has no image, or both have one name.
    DataError, SpecError, TargetError
        As of `canonical_image_saliency`.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.faces import canonical_landmarks
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    >>> net = FaceNetwork(module, NetworkCard(name="tiny", input_size=(32, 32)))
    >>> points = canonical_landmarks(32).expand(2, -1, -1)
    >>> a, b = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    >>> found = look_alikes(net, a, b, points, points, size=32, window=16, draws=20)
    >>> found.table["rank"].tolist()
    [1, 2, 3, 4, 5, 6, 7]
    """
    if not len(first) or not len(second):
        raise AttributionError(f"Each of two look-alikes needs an image; got {len(first)} and {len(second)}.")
    if names[0] == names[1]:
        raise AttributionError(f"Two look-alikes need two names; got '{names[0]}' twice.")
    with torch.no_grad():
        mine, theirs = (net.embed(x.to(net.device, net.dtype)).double() for x in (first, second))
    maps = [
        canonical_image_saliency(
            net,
            x,
            Contrast(_others(own), other.mean(dim=0)),
            points,
            window=window,
            stride=stride,
            baseline=baseline,
            size=size,
            batch_size=batch_size,
            memory_gb=memory_gb,
            seed=seed,
            progress=progress,
        )
        for x, points, own, other in (
            (first, first_landmarks, mine, theirs),
            (second, second_landmarks, theirs, mine),
        )
    ]
    groups = [names[0]] * len(first) + [names[1]] * len(second)
    parts = _paired(canonical_parts(size))
    apart, together = (
        canonical_model_saliency(
            torch.cat(maps), groups=given, parts=parts, draws=draws, level=level, seed=seed
        )
        for given in (groups, None)
    )
    table = _ranked(together.table)
    return LookAlikes(apart, together, table, _sentence(table, names))


def _others(embeddings: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """For each image the mean of the others of the same person."""
    n = len(embeddings)
    return embeddings if n == 1 else (embeddings.sum(dim=0) - embeddings) / (n - 1)


def _paired(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parts with both sides as one."""
    out: dict[str, Tensor] = {}
    for name, mask in parts.items():
        side, _, rest = name.partition("_")
        whole = f"{rest}s" if side in ("left", "right") else name
        out[whole] = out[whole] | mask if whole in out else mask
    return out


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    by_metric = {metric: rows.set_index("part") for metric, rows in table.groupby("metric")}
    found = by_metric["concentration"].sort_values("value", ascending=False, kind="stable")
    share = by_metric["share"].loc[found.index]
    out = found[["value", "lower", "upper"]].assign(share=share["value"], area=share["chance"], n=found["n"])
    out = out.reset_index()
    out.insert(0, "rank", range(1, len(out) + 1))
    return out


def _sentence(table: pd.DataFrame, names: tuple[str, str]) -> str:
    telling = table[(table["lower"] > 1) & (table["value"] > 1)].head(_NAMED)
    who = f"{names[0]} and {names[1]}"
    if not len(telling):
        return (
            f"No part of the face stands out in telling {who} apart: of none is the share of the evidence surely above its "
            "share of the face."
        )
    *rest, last = telling["part"]
    parts = f"{', '.join(rest)} and {last}" if rest else last
    times = ", ".join(f"{value:.1f}" for value in telling["value"])
    return (
        f"To tell {who} apart, look at {parts}: evidence {times} times as dense there as over the whole face."
    )
