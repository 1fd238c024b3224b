"""What is explained: a target maps a network's inputs to one number an image.

A target is a value: it holds no network, so that one target serves a network and its randomised copy. It says three
things: the score of inputs (`Target.__call__`), where in the network propagation starts and with which relevance
(`Target.start`), and what it is for other rows of the same batch (`Target.rows`).

Examples
--------
>>> import torch
>>> from torch import nn
>>> from fusiform.networks import FaceNetwork, NetworkCard
>>> module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
>>> net = FaceNetwork(module, NetworkCard(name="tiny", input_size=(2, 2), head="logits"))
>>> x = torch.rand(4, 3, 2, 2)
>>> bool((Logit(1)(net, x) == net(x)[:, 1]).all())
True
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fusiform.errors import TargetError

if TYPE_CHECKING:
    from fusiform.networks import FaceNetwork

__all__ = [
    "Activation",
    "Contrast",
    "Logit",
    "MatchProbability",
    "Probability",
    "Similarity",
    "Start",
    "Target",
]


class Start(NamedTuple):
    """Where propagation starts: a tensor of the forward pass, and the relevance of each of its entries.

    Summed over an image's entries, `relevance` is the image's score (for a probability, its logit).
    """

    tensor: Tensor
    relevance: Tensor


class Target(ABC):
    """One number an image; what every method of attribution, evaluation and visualization explains."""

    @abstractmethod
    def __call__(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the scores of inputs; follows the grad mode.

        Raises
        ------
        TargetError
            If the network's output does not hold what the target names.
        """

    @abstractmethod
    def start(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Start:
        """Run the network and say where propagation starts and with which relevance.

        The relevance is detached; the tensor is part of the graph of this forward pass.
        """

    def rows(self, index: Tensor) -> "Target":
        """Return the target of these rows of the batch, in this order, repeated ones included."""
        return self

    def check(self, n: int) -> None:  # noqa: B027
        """Refuse a batch of `n` images that the target was not made for.

        Raises
        ------
        TargetError
            If the target holds a reference for each of another number of images.
        """

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name for tables."""


def _outputs(net: "FaceNetwork", x: Tensor) -> Tensor:
    output = net(x)
    if not isinstance(output, Tensor) or output.flatten(1).shape[1] != output.shape[1]:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise TargetError(
            f"A target on the output of '{net.card.name}' needs (n, features); got {got}. "
            "Target a layer with Activation."
        )
    return output.flatten(1)


class _Output(Target):
    """One column of the network's output."""

    def __init__(self, class_index: int) -> None:
        if isinstance(class_index, bool) or not isinstance(class_index, int) or class_index < 0:
            raise TargetError(
                f"{type(self).__name__} takes the number of a class, from 0; got {class_index!r}."
            )
        self.class_index = class_index

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.class_index})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.class_index == self.class_index

    def __hash__(self) -> int:
        return hash((type(self), self.class_index))

    def _columns(self, net: "FaceNetwork", x: Tensor) -> Tensor:
        output = _outputs(net, x)
        if self.class_index >= output.shape[1]:
            raise TargetError(
                f"{self!r} is out of range: '{net.card.name}' has {output.shape[1]} outputs, "
                f"0 to {output.shape[1] - 1}."
            )
        return output

    def start(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Start:
        """Start at the logit."""
        output = self._columns(net, x)
        relevance = torch.zeros_like(output)
        relevance[:, self.class_index] = output.detach()[:, self.class_index]
        return Start(output, relevance)


class Logit(_Output):
    """A column of the network's output, whatever its head.

    Parameters
    ----------
    class_index : int
        Number of the column, from 0.

    Raises
    ------
    TargetError
        If it is not a number from 0, or, when scored, if the network has fewer outputs.
    """

    def __call__(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the logits."""
        return self._columns(net, x)[:, self.class_index]

    @property
    def name(self) -> str:
        """Return ``"logit i"``."""
        return f"logit {self.class_index}"


class Probability(_Output):
    """The probability of a class: softmax over the outputs, or the sigmoid of a single output.

    Propagation starts at the logit, as a softmax only shares out what the logits decide.

    Parameters
    ----------
    class_index : int
        Number of the class, from 0.

    Raises
    ------
    TargetError
        As of `Logit`.
    """

    def __call__(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the probabilities."""
        output = self._columns(net, x)
        if output.shape[1] == 1:
            return output[:, 0].sigmoid()
        return output.softmax(dim=1)[:, self.class_index]

    @property
    def name(self) -> str:
        """Return ``"probability i"``."""
        return f"probability {self.class_index}"


class _Embedded(Target):
    """A score of the direction of the embedding, linear in it once it has length 1."""

    _references: tuple[Tensor, ...]

    @abstractmethod
    def _direction(self) -> Tensor: ...

    def __repr__(self) -> str:
        shapes = ", ".join(str(tuple(r.shape)) for r in self._references)
        return f"{type(self).__name__}({shapes})"

    def _with(self, references: tuple[Tensor, ...]) -> "Target":
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, _references=references)
        return new

    def rows(self, index: Tensor) -> "Target":
        """Return the target with the references of these rows."""
        return self._with(
            # A single reference serves all images.
            tuple(r[index.to(r.device)] if r.dim() == 2 and len(r) > 1 else r for r in self._references)
        )

    def check(self, n: int) -> None:
        """Refuse a batch of another number of images than there are references."""
        for reference in self._references:
            if reference.dim() == 2 and len(reference) not in (1, n):
                raise TargetError(
                    f"{type(self).__name__} holds {len(reference)} references for {n} images; "
                    "give one, or one for each image."
                )

    def _parts(self, net: "FaceNetwork", x: Tensor) -> tuple[Tensor, Tensor]:
        raw = _outputs(net, x)
        direction = self._direction().to(raw)
        if direction.shape[-1] != raw.shape[1]:
            raise TargetError(
                f"{type(self).__name__} holds references of {direction.shape[-1]} numbers; "
                f"'{net.card.name}' gives {raw.shape[1]}. Take references from net.embed of the same network."
            )
        if direction.dim() == 2 and len(direction) == 1:
            direction = direction[0]
        self.check(len(raw))
        return raw, direction

    def _cosine(self, net: "FaceNetwork", x: Tensor) -> Tensor:
        raw, direction = self._parts(net, x)
        # An embedding of length 0 has no direction: 0 / 0, so that the score is not a number.
        return (raw / raw.norm(dim=1, keepdim=True) * direction).sum(dim=1)

    def start(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Start:
        """Start at the embedding before its normalisation: each entry's share of the cosine."""
        raw, direction = self._parts(net, x)
        return Start(raw, raw.detach() / raw.detach().norm(dim=1, keepdim=True) * direction)


def _reference(owner: str, reference: object) -> Tensor:
    if (
        not isinstance(reference, Tensor)
        or not reference.is_floating_point()
        or reference.dim() not in (1, 2)
    ):
        got = tuple(reference.shape) if isinstance(reference, Tensor) else type(reference).__name__
        raise TargetError(f"{owner} takes an embedding as a floating tensor (d,) or (n, d); got {got}.")
    reference = reference.detach()
    if not reference.isfinite().all():
        raise TargetError(f"{owner} was given an embedding with values that are not finite.")
    if not (reference.norm(dim=-1) > 0).all():
        raise TargetError(f"{owner} was given an embedding of length 0, which has no direction.")
    return F.normalize(reference, dim=-1)


class Similarity(_Embedded):
    """Cosine similarity with a reference embedding: why these two match, or do not.

    Parameters
    ----------
    reference : tensor, shape (d,) or (n, d)
        One embedding for all images, or one for each; of any length above 0.

    Raises
    ------
    TargetError
        If it is no finite embedding of length above 0, or does not fit the network or the batch.
    """

    def __init__(self, reference: Float[Tensor, "... d"]) -> None:
        self._references = (_reference("Similarity", reference),)

    @property
    def reference(self) -> Tensor:
        """The reference, of length 1."""
        return self._references[0]

    def _direction(self) -> Tensor:
        return self._references[0]

    def __call__(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the cosines."""
        return self._cosine(net, x)

    @property
    def name(self) -> str:
        """Return ``"similarity"``."""
        return "similarity"


class MatchProbability(Similarity):
    """The probability that two images show one person: a logistic function of their cosine similarity.

    Propagation starts at the similarity.

    Parameters
    ----------
    reference : tensor, shape (d,) or (n, d)
        As of `Similarity`.
    slope, intercept : float
        Log odds of a match are ``slope * cosine + intercept``, as calibrated on pairs.

    Raises
    ------
    TargetError
        As of `Similarity`.
    """

    def __init__(self, reference: Float[Tensor, "... d"], slope: float, intercept: float) -> None:
        super().__init__(reference)
        self.slope, self.intercept = float(slope), float(intercept)

    def __call__(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the probabilities."""
        return (self.slope * self._cosine(net, x) + self.intercept).sigmoid()

    @property
    def name(self) -> str:
        """Return ``"match probability"``."""
        return "match probability"


class Contrast(_Embedded):
    """Cosine with a mate less cosine with a non-mate: why this one and not that one (Williford and others, 2020).

    Parameters
    ----------
    mate, nonmate : tensor, shape (d,) or (n, d)
        Embeddings of the same person and of another one.

    Raises
    ------
    TargetError
        As of `Similarity`, or if both have the same direction.
    """

    def __init__(self, mate: Float[Tensor, "... d"], nonmate: Float[Tensor, "... d"]) -> None:
        self._references = (_reference("Contrast", mate), _reference("Contrast", nonmate))
        first, second = self._references
        if first.shape[-1] != second.shape[-1]:
            raise TargetError(
                f"Contrast takes two embeddings of one network; got {first.shape[-1]} and {second.shape[-1]} numbers."
            )
        if (
            first.dim() == second.dim() == 2
            and 1 not in (len(first), len(second))
            and len(first) != len(second)
        ):
            raise TargetError(f"Contrast was given {len(first)} mates and {len(second)} non-mates.")

    @property
    def mate(self) -> Similarity:
        """Similarity with the mate alone."""
        return Similarity(self._references[0])

    @property
    def nonmate(self) -> Similarity:
        """Similarity with the non-mate alone."""
        return Similarity(self._references[1])

    def _direction(self) -> Tensor:
        return self._references[0] - self._references[1]

    def __call__(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the differences of cosines."""
        return self._cosine(net, x)

    @property
    def name(self) -> str:
        """Return ``"contrast"``."""
        return "contrast"


class Activation(Target):
    """What a layer holds: a channel, a direction among channels, a position, or the mean of all.

    Parameters
    ----------
    layer : str
        Name of a layer of the network.
    channel : int, optional
        One channel (or feature); without it and without a direction, the mean over all.
    position : (int, int) or int, optional
        Row and column (of tokens, the number of one); without it, the mean over positions.
    direction : tensor, shape (channels,), optional
        Weights of the channels, instead of a channel.

    Raises
    ------
    TargetError
        If both a channel and a direction are given, or one is out of the layer's range.
    LayerError
        If the network has no such layer.

    Examples
    --------
    >>> Activation("layer4.0.conv1", channel=7)
    Activation('layer4.0.conv1', channel=7)
    """

    def __init__(
        self,
        layer: str,
        channel: int | None = None,
        position: Sequence[int] | int | None = None,
        direction: Float[Tensor, " c"] | None = None,
    ) -> None:
        if channel is not None and direction is not None:
            raise TargetError("Activation takes a channel or a direction among channels, not both.")
        if direction is not None and direction.dim() != 1:
            raise TargetError(
                f"The direction of an Activation has shape (channels,); got {tuple(direction.shape)}."
            )
        self.layer, self.channel = layer, channel
        self.position = (
            None if position is None else ((position,) if isinstance(position, int) else tuple(position))
        )
        self.direction = None if direction is None else direction.detach()

    def __repr__(self) -> str:
        given = {"channel": self.channel, "position": self.position}
        said = [f"{k}={v}" for k, v in given.items() if v is not None]
        said += [] if self.direction is None else [f"direction of {len(self.direction)}"]
        return f"Activation({', '.join([repr(self.layer), *said])})"

    @property
    def name(self) -> str:
        """Layer, channel and position."""
        channel = "" if self.channel is None else f" {self.channel}"
        channel = channel if self.direction is None else " direction"
        at = "" if self.position is None else f" at {','.join(map(str, self.position))}"
        return f"{self.layer}{channel}{at}"

    def _weights(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Weights of a layer's entries, whose sum with them is the score."""
        tokens = len(shape) == 2
        channels, places = (shape[-1], shape[:-1]) if tokens else (shape[0], shape[1:])
        if self.channel is not None and not -channels <= self.channel < channels:
            raise TargetError(f"{self!r} is out of range: '{self.layer}' has {channels} channels.")
        if self.direction is not None and len(self.direction) != channels:
            raise TargetError(
                f"The direction has {len(self.direction)} numbers; '{self.layer}' has {channels} channels."
            )
        if self.position is not None and (
            len(self.position) != len(places)
            or any(not -s <= p < s for p, s in zip(self.position, places, strict=True))
        ):
            raise TargetError(
                f"{self!r} is out of range: positions of '{self.layer}' are {places or 'none'}."
            )
        if self.direction is not None:
            along = self.direction.to(like)
        elif self.channel is not None:
            along = like.new_zeros(channels)
            along[self.channel] = 1
        else:
            along = like.new_full((channels,), 1 / channels)
        at = like.new_zeros(places) if self.position is not None else like.new_ones(places)
        if self.position is not None:
            at[self.position] = 1
        at = at / at.sum()
        return at[..., None] * along if tokens else along.view(-1, *[1] * len(places)) * at

    def _activation(self, net: "FaceNetwork", x: Tensor) -> tuple[Tensor, Tensor]:
        found = net.activations(x, [self.layer])[self.layer]
        return found, self._weights(tuple(found.shape[1:]), found)

    def __call__(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the activations."""
        found, weights = self._activation(net, x)
        return (found * weights).flatten(1).sum(dim=1)

    def start(self, net: "FaceNetwork", x: Float[Tensor, "n c h w"]) -> Start:
        """Start at the layer: each entry's share of the score."""
        found, weights = self._activation(net, x)
        return Start(found, found.detach() * weights)
