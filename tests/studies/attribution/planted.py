"""Networks whose decision is known, and an answer that needs no training."""

import numpy as np
import torch
from torch import nn

from fusiform.faces import confined_faces, open_faces
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.networks.training._ground_truth import GroundTruth
from fusiform.studies.attribution._bench import Game
from fusiform.studies.attribution._bench import _game as real_game
from fusiform.studies.attribution._tasks import Task
from fusiform.targets import Contrast

SIZE = 32
PLACE = (slice(8, 28), slice(6, 26))  # the only pixels that count
FACES = "synthetic?identities=5&per_identity=2&seed=3&size=32"


class Looks(nn.Module):
    """Reads one place: a rectified convolution, weighted there alone."""

    def __init__(self, outputs: int, seed: int = 0, side: int = SIZE) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4 * side * side, outputs)
        with torch.no_grad():
            self.conv.weight.copy_(torch.randn(4, 3, 1, 1, generator=generator))
            self.conv.bias.zero_()
            place = torch.zeros(4, side, side)
            place[:, *PLACE] = 1
            weight = torch.randn(outputs, 4 * side * side, generator=generator)
            self.head.weight.copy_(weight * place.flatten())
            self.head.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.conv(x)).flatten(1))


def network(head: str, outputs: int = 8) -> FaceNetwork:
    return FaceNetwork(
        Looks(outputs), NetworkCard(name=f"looks ({head})", input_size=(SIZE, SIZE), head=head)
    )


def faces():
    return open_faces(FACES)


def ground_truth_network(part: str, *, shuffled: bool = False, **options) -> GroundTruth:
    """A stand-in for the training, which is tested where it lives."""
    card = NetworkCard(name=part, input_size=(48, 48), head="logits", classes=(f"{part}_0", f"{part}_1"))
    net = FaceNetwork(Looks(2, seed=5 + shuffled, side=48), card)
    test = confined_faces(6, part, size=48, seed=options["seed"])
    labels = torch.tensor([net.card.classes.index(name) for name in test.table["class"]])
    return GroundTruth(net, test, labels, ("evidence",), accuracy=0.75, chance=0.5)


def game(net: FaceNetwork, request, given) -> Game:
    """Triplets that the network tells apart: probes, and the same with another place, one part each."""
    if net.card.head != "embedding":
        return real_game(net, request, given)
    probe = net.prepare(faces().images([0, 2, 4, 6]))
    masks = torch.zeros(4, SIZE, SIZE, dtype=torch.bool)
    masks[:2, 10:14, 10:22] = True
    masks[2:, 20:24, 10:22] = True
    inpainted = torch.where(masks[:, None], -probe, probe)
    with torch.no_grad():
        target = Contrast(net(probe), net(inpainted))
    names = tuple("abcd")
    task = Task("inpainting", probe, target, target, np.arange(4), names, names)
    return Game(task, target, inpainted, masks, ("eyes", "eyes", "mouth", "mouth"), {"eyes": 1, "mouth": 0})
