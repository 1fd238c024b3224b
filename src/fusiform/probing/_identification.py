import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.activations import stream
from fusiform.errors import DataError
from fusiform.faces import FaceSet, identity_codes
from fusiform.networks import FaceNetwork, Layer
from fusiform.networks.training import feature_layer
from fusiform.runs import Progress
from fusiform.statistics import cluster_intervals

_RANKS = (1, 5)
_COLUMNS = {
    "network": "object",
    "layer": "object",
    "metric": "object",
    "value": "float64",
    "lower": "float64",
    "upper": "float64",
    "chance": "float64",
    "n": "int64",
    "n_identities": "int64",
}
_CHUNK = 4096


def identify(
    net: FaceNetwork,
    faces: FaceSet,
    *,
    n_gallery: int = 1,
    seed: int = 0,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measure closed-set identification: how often the right person is the most alike of all known.

    Of everybody with more than `n_gallery` images, that many, drawn at random, are the gallery; all the
    others are probe images. A probe is compared by cosine with every person: with the embedding, or with the
    mean of the L2-normalised embeddings where the gallery holds several. Ties count as their share, so a
    network that gives one embedding for all scores chance. Nothing is trained.

    Parameters
    ----------
    net : FaceNetwork
        The network. Where its output is no embedding, the layer before the classifier serves.
    faces : FaceSet
        Faces with identities, framed as the network wants them.
    n_gallery : int, default 1
        Gallery images a person.
    seed : int, default 0
        Of the draw and the intervals.
    batch_size : int, default 32
        Faces a forward pass.
    progress : Progress, optional
        Where to show how far it is.

    Returns
    -------
    DataFrame
        Two rows, metric ``"rank1"`` and ``"rank5"``: ``network, layer, metric, value, lower, upper, chance,
        n, n_identities``. `value` is the share of the `n` probe images whose person is among the first (or
        first five); intervals are 95% and resample people. No row where fewer than two people have images
        enough.

    Raises
    ------
    DataError
        If `n_gallery` is not positive.
    NetworkError
        If the features are NaN or infinite; names the image.

    References
    ----------
    Diniz (2021), table 5.1.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> faces = open_faces("synthetic?identities=6&per_identity=4&size=112&seed=5")
    >>> table = identify(load_network("demo"), faces)
    >>> table.metric.tolist(), table.n.tolist(), bool((table.value > table.chance).all())
    (['rank1', 'rank5'], [18, 18], True)
    """
    if n_gallery < 1:
        raise DataError(f"The gallery needs at least one image a person; got n_gallery={n_gallery}.")
    rows, people, in_gallery = _draw(faces, n_gallery, seed)
    n_identities = int(people.max(initial=-1)) + 1
    if n_identities < 2:
        return pd.DataFrame(columns=list(_COLUMNS)).astype(_COLUMNS)
    layer = feature_layer(net)
    progress = progress or Progress(quiet=True)
    kept = _Unit(len(rows))
    stream(
        net,
        faces,
        [layer.name],
        [kept],
        indices=rows,
        batch_size=batch_size,
        progress=progress.task(f"{net.card.name}: identification"),
    )
    gallery = np.zeros((n_identities, kept.rows.shape[1]), dtype=np.float32)
    np.add.at(gallery, people[in_gallery], kept.rows[in_gallery])
    probes, own = kept.rows[~in_gallery], people[~in_gallery]
    hits = _hits(probes, gallery, own)
    records = []
    for k, rank in enumerate(_RANKS):
        terms = np.stack([hits[:, k], np.ones(len(own))], axis=1)
        value, lower, upper = cluster_intervals(terms, own, lambda sums: sums[:, 0] / sums[:, 1], seed=seed)
        records.append(
            {
                "network": net.card.name,
                "layer": layer.name,
                "metric": f"rank{rank}",
                "value": value,
                "lower": lower,
                "upper": upper,
                "chance": min(1.0, rank / n_identities),
                "n": len(own),
                "n_identities": n_identities,
            }
        )
    return pd.DataFrame(records)


class _Unit:
    """L2-normalised features of every image."""

    def __init__(self, n: int) -> None:
        self._n = n
        self.rows: Float[ndarray, "n d"] = np.zeros((n, 0), dtype=np.float32)

    def update(self, layer: Layer, rows: slice, activations: Tensor) -> None:
        features = torch.nn.functional.normalize(activations.flatten(1).float()).cpu().numpy()
        if not self.rows.shape[1]:
            self.rows = np.zeros((self._n, features.shape[1]), dtype=np.float32)
        self.rows[rows] = features


def _draw(
    faces: FaceSet, n_gallery: int, seed: int
) -> tuple[Int[ndarray, " n"], Int[ndarray, " n"], Int[ndarray, " n"]]:
    """Images of people with enough of them, in order; whose each is, without gaps; and which are gallery."""
    if faces.identity is None:
        return (np.zeros(0, dtype=np.int64),) * 3
    known = np.flatnonzero(faces.table[faces.identity].notna())
    codes = identity_codes(faces.table[faces.identity].iloc[known])
    several = np.bincount(codes, minlength=1)[codes] > n_gallery
    rows, people = known[several], identity_codes(codes[several])
    order = np.random.default_rng([seed, 4]).permutation(len(rows))
    # How many images of the same person come before it in the drawn order.
    before = pd.Series(people[order]).groupby(people[order]).cumcount().to_numpy()
    in_gallery = np.zeros(len(rows), dtype=bool)
    in_gallery[order] = before < n_gallery
    return rows, people, in_gallery


def _hits(
    probes: Float[ndarray, "n d"], gallery: Float[ndarray, "p d"], own: Int[ndarray, " n"]
) -> Float[ndarray, "n r"]:
    """How surely each probe's own person is among the first of each rank."""
    norms = np.linalg.norm(gallery, axis=1, keepdims=True)
    gallery = gallery / np.where(norms > 0, norms, 1.0)
    hits = np.empty((len(probes), len(_RANKS)))
    for start in range(0, len(probes), _CHUNK):
        part = slice(start, start + _CHUNK)
        scores = probes[part] @ gallery.T
        right = scores[np.arange(len(scores)), own[part], None]
        above = (scores > right).sum(axis=1)
        level = (scores == right).sum(axis=1)
        for k, rank in enumerate(_RANKS):
            hits[part, k] = np.clip((rank - above) / level, 0.0, 1.0)
    return hits
