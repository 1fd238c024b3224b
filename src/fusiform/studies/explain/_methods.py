"""Methods with their options, as they are named in a request: ``"lrp?rule=epsilon_plus"``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import torch
from torch import Tensor

from fusiform.attribution import METHODS, attribute, options_of
from fusiform.attribution._registry import find_method
from fusiform.errors import SpecError, nearest
from fusiform.networks import FaceNetwork
from fusiform.studies.explain._question import Question

DEFAULTS = (
    "occlusion",
    "paired_occlusion",
    "lrp?rule=epsilon_plus",
    "contrastive_excitation_backprop",
    "integrated_gradients",
    "grad_cam",
)
_PAIRED = "paired_occlusion"


@dataclass(frozen=True)
class Chosen:
    """A method and its options.

    Attributes
    ----------
    label : str
        As it was named.
    name : str
        One of `fusiform.attribution.METHODS`.
    options : dict
        What was said of its options.
    """

    label: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """Perturbation, gradient or propagation."""
        return find_method(self.name).family

    def told(self) -> str:
        """The options in words."""
        return ", ".join(f"{k}={v}" for k, v in self.options.items()) or "defaults"

    def maps(
        self,
        net: FaceNetwork,
        question: Question,
        rows: Sequence[int],
        *,
        baseline: str,
        seed: int,
        memory_gb: float,
    ) -> Tensor:
        """Maps of some of the images, (k, height, width)."""
        own = options_of(self.name)
        options = dict(self.options)
        if own.get("baseline") == "mean":
            options.setdefault("baseline", baseline)
        index = torch.as_tensor(rows)
        if own.get("parts") == "face":
            options.setdefault("parts", question.parts[index])
        if "pair" in own and question.pair is not None:
            options["pair"] = question.pair[index]
        target = question.confidence if self.family == "perturbation" else question.target
        return attribute(
            net,
            question.x[index],
            target.rows(index),
            self.name,
            seed=seed,
            memory_gb=memory_gb,
            **options,
        )


def parsed(text: str, source: str) -> Chosen:
    """The method of a text.

    Raises
    ------
    SpecError
        If there is no such method or option.

    Examples
    --------
    >>> parsed("occlusion?window=16", "the request")
    Chosen(label='occlusion?window=16', name='occlusion', options={'window': 16})
    """
    name, _, query = text.partition("?")
    if name not in METHODS:
        raise SpecError(f"{source} names a method '{name}' that there is not; {nearest(name, METHODS)}")
    known = [option for option in options_of(name) if option != "pair"]
    options: dict[str, Any] = {}
    for item in filter(None, query.split("&")):
        option, equals, value = item.partition("=")
        if not equals or option not in known:
            raise SpecError(
                f"Options of a method are written 'name=value' and separated by '&'; '{name}' has no "
                f"'{item}' in {source}, {nearest(option, known)}"
            )
        options[option] = _value(unquote(value))
    return Chosen(text, name, options)


def defaults(*, paired: bool) -> tuple[str, ...]:
    """The methods that are shown where none are named."""
    return tuple(name for name in DEFAULTS if paired or name != _PAIRED)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
