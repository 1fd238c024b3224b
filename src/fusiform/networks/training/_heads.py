import math

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional as F

from fusiform.networks.training._recipe import Recipe
from fusiform.networks.training._triplets import TripletHead


class LinearHead(nn.Linear):
    """Softmax over a linear layer on the embedding."""

    def loss(self, logits: Float[Tensor, "n k"], codes: Int[Tensor, " n"]) -> Float[Tensor, ""]:
        """Give the softmax cross-entropy.

        Parameters
        ----------
        logits : float tensor, shape (n, classes)
            What the head gave.
        codes : int tensor, shape (n,)
            The true classes.

        Returns
        -------
        float tensor, shape ()
            The mean over the images.
        """
        return F.cross_entropy(logits, codes)

    def hits(self, logits: Float[Tensor, "n k"], codes: Int[Tensor, " n"]) -> float:
        """Count the images whose class is named rightly."""
        return _right(logits, codes)


class CosineHead(nn.Module):
    """Softmax over scaled cosines between the embedding and one direction a class.

    The cosine is what verification compares, so the network is trained for the score it is used with.

    Parameters
    ----------
    features, classes : int
        Length of the embedding; number of classes.
    scale : float
        Factor on the cosines.
    margin : float
        Taken off the true class's cosine in the loss.

    References
    ----------
    Wang et al. (2018), CosFace, eq. 4.
    """

    def __init__(self, features: int, classes: int, *, scale: float, margin: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, features) / features**0.5)
        self.scale = scale
        self.margin = margin

    def forward(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Give the scaled cosines.

        Parameters
        ----------
        embedding : float tensor, shape (n, d)
            Of any length.

        Returns
        -------
        float tensor, shape (n, classes)
            In [-scale, scale].
        """
        return self.scale * F.linear(F.normalize(embedding), F.normalize(self.weight))

    def loss(self, logits: Float[Tensor, "n k"], codes: Int[Tensor, " n"]) -> Float[Tensor, ""]:
        """Give the softmax cross-entropy with the margin.

        Parameters
        ----------
        logits : float tensor, shape (n, classes)
            What the head gave.
        codes : int tensor, shape (n,)
            The true classes.

        Returns
        -------
        float tensor, shape ()
            The mean over the images.
        """
        penalty = F.one_hot(codes, logits.shape[1]) * (self.scale * self.margin)
        return F.cross_entropy(logits - penalty, codes)

    def hits(self, logits: Float[Tensor, "n k"], codes: Int[Tensor, " n"]) -> float:
        """Count the images whose class is named rightly."""
        return _right(logits, codes)


def _right(logits: Float[Tensor, "n k"], codes: Int[Tensor, " n"]) -> float:
    return float((logits.detach().argmax(dim=1) == codes).sum())


class ValueHead(nn.Module):
    """A continuous attribute on a linear layer, which learns the standardised value.

    Parameters
    ----------
    features : int
        Length of the embedding.
    """

    # Of the attribute over the training images; part of the weights.
    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("deviation", torch.tensor(1.0))

    def standardise(self, values: Float[ndarray, " n"]) -> None:
        """Take mean and deviation from the training images' values."""
        self.mean.fill_(float(values.mean()))
        self.deviation.fill_(float(values.std()))

    def forward(self, embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n 1"]:
        """Give the values.

        Parameters
        ----------
        embedding : float tensor, shape (n, d)
            Of the faces.

        Returns
        -------
        float tensor, shape (n, 1)
            In the attribute's unit.
        """
        return self.linear(embedding) * self.deviation + self.mean

    def loss(self, values: Float[Tensor, "n 1"], truth: Float[Tensor, " n"]) -> Float[Tensor, ""]:
        """Give the squared error of the standardised value.

        Parameters
        ----------
        values : float tensor, shape (n, 1)
            What the head gave.
        truth : float tensor, shape (n,)
            The true values.

        Returns
        -------
        float tensor, shape ()
            The mean over the images.
        """
        return ((values[:, 0] - truth) / self.deviation).square().mean()

    def hits(self, values: Float[Tensor, "n 1"], truth: Float[Tensor, " n"]) -> float:
        """Give NaN, for a value is not right or wrong."""
        return math.nan


Head = LinearHead | CosineHead | ValueHead | TripletHead


def make_head(recipe: Recipe, features: int, kind: str, classes: int) -> Head:
    """Make what sits on the network while it is trained.

    Parameters
    ----------
    recipe : Recipe
        Says which.
    features : int
        Length of the embedding.
    kind : str
        Of what is learnt: a continuous attribute is regressed, whatever the recipe says.
    classes : int
        Number of classes, of what has them.

    Returns
    -------
    nn.Module
        With ``loss(outputs, codes)`` and ``hits(outputs, codes)``.
    """
    if kind == "continuous":
        return ValueHead(features)
    if recipe.head == "triplet":
        return TripletHead(margin=recipe.margin)
    if recipe.head == "linear":
        return LinearHead(features, classes)
    return CosineHead(features, classes, scale=recipe.scale, margin=recipe.margin)
