from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.activations import Activations, open_group, plan
from fusiform.faces import FaceSet, identity_codes
from fusiform.networks import FaceNetwork
from fusiform.probing._products import GramProducts
from fusiform.probing._scales import Scales
from fusiform.runs import Progress
from fusiform.statistics import verification_auc

_COLUMNS = ["network", "layer", "depth", "n_genuine", "n_impostor", "auc", "lower", "upper"]


def verify_layers(
    net: FaceNetwork,
    faces: FaceSet,
    layers: Sequence[str] | None = None,
    *,
    n_images: int = 600,
    seed: int = 0,
    memory_gb: float = 4.0,
    batch_size: int = 32,
    progress: Progress | None = None,
    scratch: Path | None = None,
) -> pd.DataFrame:
    """Measure how well each layer tells whether two images show one person.

    Pairs are compared by cosine. The embedding is taken as it is; of any other layer each feature is first
    scaled to zero mean and unit variance over the images, for their scales differ. Nothing is trained.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    faces : FaceSet
        Faces with identities.
    layers : sequence of str, optional
        Which layers; block outputs, pools and fully connected layers when not given.
    n_images : int, default 600
        Images at the most: all images of people drawn at random among those with two or more.
    seed : int, default 0
        Of the draw and the intervals.
    memory_gb, batch_size, progress, scratch
        As in `probe_layers`.

    Returns
    -------
    DataFrame
        A row a layer: ``network, layer, depth, n_genuine, n_impostor, auc, lower, upper``; no row where fewer
        than two people have two images. Intervals are 95% and resample people.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> faces = open_faces("synthetic?identities=6&per_identity=4&size=64&seed=5")
    >>> verify_layers(load_network("demo"), faces, ["embedding"]).auc.item() > 0.8
    True
    """
    chosen = [net.layer(name) for name in layers] if layers is not None else net.default_layers()
    order = _draw(faces, n_images, seed)
    if not len(order):
        return pd.DataFrame(columns=_COLUMNS)
    people = identity_codes(faces.table[faces.identity].iloc[order])
    progress = progress or Progress(quiet=True)
    scratch = scratch or Path(gettempdir())
    work = plan(chosen, len(order), memory_gb=memory_gb, reserved_bytes=len(order) ** 2 * 20, scratch=scratch)
    records = []
    for group in work.groups:
        step = progress.task(f"{net.card.name}: verification")
        opened = open_group(
            net, faces, group, work, order, batch_size=batch_size, scratch=scratch, progress=step
        )
        with opened as (of, drop):
            for layer in map(net.layer, group.layers):
                gram = (_raw_gram if layer.role == "embedding" else _scaled_gram)(of(layer.name))
                result = verification_auc(_features(gram), people, seed=seed)
                records.append(
                    {
                        "network": net.card.name,
                        "layer": layer.name,
                        "depth": layer.depth,
                        "n_genuine": result.n_genuine,
                        "n_impostor": result.n_impostor,
                        "auc": result.auc,
                        "lower": result.lower,
                        "upper": result.upper,
                    }
                )
                drop(layer.name)
    return pd.DataFrame(records, columns=_COLUMNS)


def _draw(faces: FaceSet, n_images: int, seed: int) -> Int[ndarray, " n"]:
    """All images of people with several, people in random order, as long as there is room."""
    if faces.identity is None:
        return np.zeros(0, dtype=np.int64)
    known = np.flatnonzero(faces.table[faces.identity].notna())
    people = identity_codes(faces.table[faces.identity].iloc[known])
    counts = np.bincount(people, minlength=1)
    drawn: list[ndarray] = []
    for person in np.random.default_rng([seed, 3]).permutation(np.flatnonzero(counts > 1)):
        # Of a person with very many images a part will do, so that there are others beside.
        images = known[people == person][: max(2, n_images // 4)]
        if sum(map(len, drawn)) + len(images) <= n_images:
            drawn.append(images)
    return np.sort(np.concatenate(drawn)) if len(drawn) > 1 else np.zeros(0, dtype=np.int64)


def _raw_gram(activations: Activations) -> Float[Tensor, "n n"]:
    level = activations.level.double()
    whole = [block.double() + level[columns] for columns, block in activations.blocks()]
    return torch.stack([X @ X.T for X in whole]).sum(dim=0)


def _scaled_gram(activations: Activations) -> Float[Tensor, "n n"]:
    n = len(next(iter(activations.blocks()))[1])
    scales = Scales("pooled", [], n, len(activations.level), torch.device("cpu"))
    return GramProducts(activations, scales, [0]).grams[0]


def _features(gram: Float[Tensor, "n n"]) -> Float[ndarray, "n n"]:
    """Vectors with these inner products, few as they are images instead of as many as features."""
    values, vectors = torch.linalg.eigh(gram)
    return (vectors * values.clamp(min=0).sqrt()).numpy()
