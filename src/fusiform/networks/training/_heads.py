import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fusiform.networks.training._recipe import Recipe


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


def make_head(recipe: Recipe, features: int, classes: int) -> LinearHead | CosineHead:
    """Make the classifier that sits on the network while it is trained.

    Parameters
    ----------
    recipe : Recipe
        Says which.
    features, classes : int
        Length of the embedding; number of classes.

    Returns
    -------
    nn.Module
        With `loss(logits, codes)`.
    """
    if recipe.head == "linear":
        return LinearHead(features, classes)
    return CosineHead(features, classes, scale=recipe.scale, margin=recipe.margin)
