"""What is asked of which images."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from fusiform.targets import Target

Kind = Literal["pair", "triplet", "images", "identities"]


@dataclass(frozen=True, eq=False)
class Question:
    """Images whose scores are explained, and the target of each.

    Attributes
    ----------
    images, others : tuple of str, length n
        Names of the images, and of what each is compared with ("" where it is with nothing).
    names : tuple of str, length n
        What the score of each is called.
    x : tensor, shape (n, channels, height, width)
        Inputs.
    target, confidence : Target
        What gradient and propagation methods explain, and what perturbation methods explain.
    parts : tensor, shape (n, parts, height, width)
        Where the parts of the face are.
    part_names : tuple of str, length parts
        Their names.
    pair : tensor, shape of `x`, optional
        The other image of each.
    """

    images: tuple[str, ...]
    others: tuple[str, ...]
    names: tuple[str, ...]
    x: Float[Tensor, "n c h w"]
    target: Target
    confidence: Target
    parts: Float[Tensor, "n p h w"]
    part_names: tuple[str, ...]
    pair: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)
