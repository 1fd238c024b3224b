"""What a network expects and who made it: the frozen card."""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

from fusiform.errors import NetworkError

_CHANNELS = {"rgb": 3, "bgr": 3, "grey": 1}


@dataclass(frozen=True)
class NetworkCard:
    """What a network expects of an image, what it gives, and where it comes from.

    Parameters
    ----------
    name : str
        Short name for tables and titles.
    input_size : (int, int), default (112, 112)
        Height and width of the input, in pixels.
    mean, std : tuple of float, default (0.5, 0.5, 0.5)
        Subtracted from and divided into each channel, in units of `value_range` and in the order of
        `channels`; one number stands for all channels.
    channels : {"rgb", "bgr", "grey"}, default "rgb"
        Order of the channels; grey is Rec. 601 luma in one channel.
    value_range : (float, float), default (0.0, 1.0)
        What 0 and 255 become before `mean` is subtracted.
    alignment : str, optional
        Template to which faces are aligned for this network, such as ``"arcface_112"``.
    head : str, default "embedding"
        What the output is: ``"embedding"``, ``"logits"``, ``"landmarks"``, ``"features"`` ...
    threshold : float, optional
        Cosine similarity from which two embeddings count as the same person.
    classes : tuple of str, optional
        Names of the outputs: classes, or what the numbers are.
    licence, paper, weights_digest, description : str, default ""
        Terms of the weights, where the network was published, sha256 of the weights' file (hexadecimal),
        and in a sentence or two what it was trained on.

    Raises
    ------
    NetworkError
        If a field cannot be: a size that is not positive, unknown channels, a zero deviation ...

    Examples
    --------
    >>> card = NetworkCard(name="mine", channels="grey", mean=(0.5,), std=(0.5,))
    >>> card.n_channels, card.input_size
    (1, (112, 112))
    """

    name: str
    input_size: tuple[int, int] = (112, 112)
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    channels: Literal["rgb", "bgr", "grey"] = "rgb"
    value_range: tuple[float, float] = (0.0, 1.0)
    alignment: str | None = None
    head: str = "embedding"
    threshold: float | None = None
    classes: tuple[str, ...] | None = None
    licence: str = ""
    paper: str = ""
    weights_digest: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if self.channels not in _CHANNELS:
            raise NetworkError(
                f"The card of '{self.name}' has channels '{self.channels}'; expected 'rgb', 'bgr' or 'grey'."
            )
        size = tuple(self.input_size) if isinstance(self.input_size, Iterable) else ()
        if len(size) != 2 or not all(isinstance(s, Integral) and s > 0 for s in size):
            raise NetworkError(
                f"The card of '{self.name}' has input_size {self.input_size}; "
                "expected (height, width), two positive whole numbers."
            )
        value_range = self._numbers("value_range", self.value_range)
        if len(value_range) != 2 or value_range[0] == value_range[1]:
            raise NetworkError(
                f"The card of '{self.name}' has value_range {self.value_range}; expected two different numbers."
            )
        object.__setattr__(self, "input_size", tuple(int(s) for s in size))
        object.__setattr__(self, "value_range", value_range)
        object.__setattr__(self, "mean", self._per_channel("mean", self.mean))
        object.__setattr__(self, "std", self._per_channel("std", self.std))
        if self.classes is not None:
            object.__setattr__(self, "classes", tuple(self.classes))
        if 0 in self.std:
            raise NetworkError(f"The card of '{self.name}' has a std of 0, by which nothing can be divided.")

    def _numbers(self, field: str, values: Any) -> tuple[float, ...]:
        try:
            numbers = tuple(float(v) for v in (values if isinstance(values, Iterable) else (values,)))
        except (TypeError, ValueError):
            numbers = (math.nan,)
        if not all(map(math.isfinite, numbers)):
            raise NetworkError(f"The card of '{self.name}' has {field} {values!r}; expected finite numbers.")
        return numbers

    def _per_channel(self, field: str, values: Any) -> tuple[float, ...]:
        numbers = self._numbers(field, values)
        if len(set(numbers)) == 1:
            return (numbers[0],) * self.n_channels
        if len(numbers) != self.n_channels:
            raise NetworkError(
                f"The card of '{self.name}' has {len(numbers)} numbers as {field}; expected 1 or "
                f"{self.n_channels}, one for each channel of '{self.channels}'."
            )
        return numbers

    @property
    def n_channels(self) -> int:
        """Number of input channels: 1 for grey, otherwise 3."""
        return _CHANNELS[self.channels]

    def replace(self, **changes: object) -> "NetworkCard":
        """Return a card in which some fields are different.

        Examples
        --------
        >>> NetworkCard(name="mine").replace(head="logits").head
        'logits'
        """
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
