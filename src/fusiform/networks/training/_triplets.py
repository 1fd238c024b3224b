import math

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional as F

from fusiform.errors import DataError
from fusiform.networks.training._recipe import Recipe


def triplet_loss(
    embeddings: Float[Tensor, "n d"], codes: Int[Tensor, " n"], *, margin: float = 0.2
) -> Float[Tensor, ""]:
    """Triplet loss over all anchor-positive pairs of a batch, each with its semi-hard negative.

    Embeddings are normalised to length 1, and distances squared. The negative of a pair is, of the batch's images of other classes,
    the nearest to the anchor that lies farther away than the positive; where none does, the farthest there is.

    Parameters
    ----------
    embeddings : float tensor, shape (n, d)
        Of any length.
    codes : int tensor, shape (n,)
        Class (identity) of each.
    margin : float, default 0.2
        By how much the negative shall be farther away than the positive.

    Returns
    -------
    float tensor, shape ()
        Mean over the pairs of ``max(0, d(anchor, positive) - d(anchor, negative) + margin)``; 0 without any pair or
        any other class.

    References
    ----------
    Schroff, Kalenichenko and Philbin (2015), FaceNet, eq. 2, 3 and section 3.2.

    Examples
    --------
    >>> e = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> codes = torch.tensor([0, 0, 1, 1])
    >>> float(triplet_loss(e, codes)), round(float(triplet_loss(e, codes.roll(1))), 3)
    (0.0, 0.2)
    """
    unit = F.normalize(embeddings)
    squared = _squared_distances(unit)
    same = codes[:, None] == codes[None, :]
    anchors, positives = (same & ~torch.eye(len(codes), dtype=torch.bool, device=codes.device)).nonzero(
        as_tuple=True
    )
    other = ~same[anchors]
    if not other.any():
        return unit.sum() * 0.0
    near, away = squared[anchors, positives], squared[anchors]
    farther = other & (away > near[:, None])
    semi_hard = away.masked_fill(~farther, math.inf).amin(dim=1)
    farthest = away.masked_fill(~other, -math.inf).amax(dim=1)
    negative = torch.where(farther.any(dim=1), semi_hard, farthest)
    return (near - negative + margin).clamp(min=0.0).mean()


def _squared_distances(unit: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    return (2.0 - 2.0 * unit @ unit.T).clamp(min=0.0)


class TripletHead(nn.Module):
    """No classifier: the embedding itself, trained by `triplet_loss`.

    Parameters
    ----------
    margin : float
        Of the loss.
    """

    def __init__(self, *, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Give the embedding, normalised."""
        return F.normalize(embedding)

    def loss(self, embedding: Float[Tensor, "n d"], codes: Int[Tensor, " n"]) -> Float[Tensor, ""]:
        """Give the triplet loss over the batch."""
        return triplet_loss(embedding, codes, margin=self.margin)

    def hits(self, embedding: Float[Tensor, "n d"], codes: Int[Tensor, " n"]) -> float:
        """Count the images whose nearest image in the batch is of their class."""
        squared = _squared_distances(embedding.detach()).fill_diagonal_(math.inf)
        return float((codes[squared.argmin(dim=1)] == codes).sum())


def triplet_steps(recipe: Recipe) -> int:
    """Say how many batches hold an epoch's triplets.

    Parameters
    ----------
    recipe : Recipe
        Says how many triplets, and how batches are made.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> from fusiform.networks.training import find_recipe
    >>> triplet_steps(find_recipe("triplets"))  # 64 anchors with 3 positives each
    417
    """
    return math.ceil(recipe.triplets / (recipe.batch_size * (recipe.images_each - 1)))


def class_batches(
    codes: Int[ndarray, " n"], steps: int, recipe: Recipe, rng: np.random.Generator
) -> Int[ndarray, "steps b"]:
    """Draw batches of several classes with several images each.

    Parameters
    ----------
    codes : int array, shape (n,)
        Class of each image; each class has at least ``recipe.images_each``.
    steps : int
        How many batches.
    recipe : Recipe
        Says how many images and classes.
    rng : numpy.random.Generator
        The chance.

    Returns
    -------
    int array, shape (steps, batch_size)
        Indices into `codes`; no class and no image twice in a batch. Classes and the images of a class come in shuffled
        rounds.
    """
    each = recipe.images_each
    a_batch = recipe.batch_size // each
    images = {code: np.flatnonzero(codes == code) for code in np.unique(codes)}
    names = np.array(list(images))
    waiting = {code: np.zeros(0, dtype=np.int64) for code in images}
    drawn, queue = [], np.zeros(0, dtype=np.int64)
    for _ in range(steps):
        if len(queue) < a_batch:
            queue = rng.permutation(names)
        batch, queue = queue[:a_batch], queue[a_batch:]
        for code in batch:
            if len(waiting[code]) < each:
                waiting[code] = rng.permutation(images[code])
            drawn.append(waiting[code][:each])
            waiting[code] = waiting[code][each:]
    return np.concatenate(drawn).reshape(steps, recipe.batch_size)


def enough_images(codes: Int[ndarray, " n"], recipe: Recipe, what: str) -> Int[ndarray, " k"]:
    """Say which images triplets can be made of: those of classes that fill their place in a batch.

    Parameters
    ----------
    codes : int array, shape (n,)
        Class of each image.
    recipe : Recipe
        Says how many images and classes a batch has.
    what : str
        What to call the classes in an error.

    Returns
    -------
    int array, shape (k,)
        Indices into `codes`.

    Raises
    ------
    DataError
        If there are too few such classes for a batch.
    """
    counts = np.bincount(codes)
    rich = int((counts >= recipe.images_each).sum())
    wanted = recipe.batch_size // recipe.images_each
    if rich < wanted:
        raise DataError(
            f"A batch of {recipe.batch_size} with {recipe.images_each} images each takes {wanted} classes of {what} with that "
            f"many images; there are {rich}. Make batch_size or images_each smaller."
        )
    return np.flatnonzero(counts[codes] >= recipe.images_each)
