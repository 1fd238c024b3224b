"""The class that a network predicts, of each image its own."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fusiform.errors import TargetError
from fusiform.networks import FaceNetwork
from fusiform.targets import Logit, Probability, Start, Target


class Classes(Target):
    """A class for each image: its logit, or its probability.

    Parameters
    ----------
    classes : int tensor, shape (n,)
        Number of each image's class.
    kind : {Logit, Probability}
        What is scored.
    """

    def __init__(self, classes: Int[Tensor, " n"], kind: type[Logit | Probability] = Logit) -> None:
        self.classes, self.kind = classes.detach().cpu(), kind

    def __repr__(self) -> str:
        return f"{self.kind.__name__} of {len(self.classes)} classes"

    @property
    def name(self) -> str:
        """Return ``"class"``."""
        return "class"

    def rows(self, index: Tensor) -> "Classes":
        """Return the target with the classes of these rows."""
        return Classes(self.classes[index.cpu()], self.kind)

    def check(self, n: int) -> None:
        """Refuse a batch of another number of images than there are classes."""
        if len(self.classes) != n:
            raise TargetError(f"There are {len(self.classes)} classes for {n} images; give one for each.")

    def __call__(self, net: FaceNetwork, x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return the scores."""
        self.check(len(x))
        output = net(x).flatten(1)
        if self.kind is Probability:
            if output.shape[1] == 1:
                return output[:, 0].sigmoid()
            output = output.softmax(dim=1)
        return output.gather(1, self._columns(output))[:, 0]

    def start(self, net: FaceNetwork, x: Float[Tensor, "n c h w"]) -> Start:
        """Start at the logits."""
        self.check(len(x))
        output = net(x).flatten(1)
        places = self._columns(output)
        held = output.detach()
        return Start(output, torch.zeros_like(held).scatter(1, places, held.gather(1, places)))

    def _columns(self, output: Tensor) -> Tensor:
        if len(self.classes) and int(self.classes.max()) >= output.shape[1]:
            raise TargetError(
                f"Class {int(self.classes.max())} is out of range: the network has {output.shape[1]} outputs."
            )
        return self.classes.to(output.device)[:, None]


def predicted(net: FaceNetwork, x: Float[Tensor, "n c h w"]) -> Int[Tensor, " n"]:
    """The class with the largest output for each image; of a single output that one."""
    with torch.no_grad():
        return torch.cat([net(few).flatten(1).argmax(dim=1) for few in x.split(32)]).cpu()
