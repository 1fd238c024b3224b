"""Tasks of which it is known where the evidence is: confined to one part, or shared out between two."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusiform import evaluation
from fusiform.faces import FaceSet, conflict_faces
from fusiform.networks import FaceNetwork
from fusiform.networks.training._ground_truth import GroundTruth, expression_network, ground_truth_network
from fusiform.runs import Progress
from fusiform.studies.attribution._measure import Sheet, add_sanity
from fusiform.studies.attribution._methods import Competitor
from fusiform.studies.attribution._request import AttributionRequest
from fusiform.studies.attribution._targets import Classes
from fusiform.studies.attribution._tasks import Task, described
from fusiform.targets import Probability, Target

_QUICK: dict[str, Any] = {"n": 240, "epochs": 4}
_EYES, _MOUTH = "eyes_expression", "mouth_expression"
_BESIDE = 7_001  # seed of conflict faces: no people of the training


class Truth(ABC):
    """A task with a known answer."""

    name: str
    found: GroundTruth

    def __init__(self, request: AttributionRequest, folder: Path, progress: Progress) -> None:
        self.request, self.folder, self.progress = request, folder, progress

    @abstractmethod
    def prepare(self) -> bool:
        """Train what is needed."""

    @abstractmethod
    def measured(self, method: Competitor) -> Sheet:
        """Hold a method against the answer."""

    @property
    def training(self) -> dict[str, Any]:
        """Options of a training; those that continue it among them."""
        quick = _QUICK if self.request.quick else {}
        return {"seed": self.request.seed, "progress": self.progress, **quick}

    def sheet(self, method: Competitor) -> Sheet:
        """A sheet that says which network it is of."""
        sheet, net = Sheet(self.name, method), self.found.network
        sheet.rows.append(
            (
                "networks",
                {
                    "network": self.name,
                    "kind": "known answer",
                    "targets": "class",
                    "input_size": " x ".join(map(str, net.card.input_size)),
                    "n_parameters": net.n_parameters,
                    "n_images": self.request.truth_images,
                    "n_identities": self.request.truth_images,
                    "score": "probability",
                    "accuracy": self.found.accuracy,
                    "note": f"trained for this study; chance {self.found.chance:.2f}",
                },
            )
        )
        return sheet

    def maps(self, method: Competitor, task: Task) -> Tensor:
        """A method's maps."""
        return method.maps(self.found.network, task, seed=self.request.seed, memory_gb=self.request.memory_gb)


class Confined(Truth):
    """Two classes that differ in one part alone."""

    def __init__(
        self, part: str, request: AttributionRequest, folder: Path, progress: Progress, *, control: bool
    ) -> None:
        super().__init__(request, folder, progress)
        self.name, self.part, self.control = f"confined:{part}", part, control
        self.shuffled: FaceNetwork | None = None

    def prepare(self) -> bool:
        """Train the network, and where asked its twin on shuffled labels."""
        train = partial(ground_truth_network, self.part, **self.training)
        self.found = train(out=self.folder / f"training-{self.part}")
        if self.control:
            twin = train(out=self.folder / f"training-{self.part}-shuffled", shuffled=True)
            self.shuffled = twin.network
        found, net = self.found, self.found.network
        n = min(self.request.truth_images, len(found.faces))
        faces = found.faces.subset(list(range(n)))
        self.task = class_task(net, faces, found.labels[:n])
        shown = faces.resized(net.card.input_size)
        self.masks = torch.stack([shown.mask(name) for name in found.masks]).any(dim=0)
        return True

    def measured(self, method: Competitor) -> Sheet:
        """Share of the saliency on the evidence, and whether the highest point is there."""
        sheet, task, seed = self.sheet(method), self.task, self.request.seed
        with sheet.trying(task.name):
            maps = self.maps(method, task)
            energy = evaluation.summarise(evaluation.energy_pointing_game(maps, self.masks), seed=seed)
            hits = evaluation.summarise(evaluation.pointing_game(maps, self.masks), seed=seed)
            shown = self.masks.flatten(1).any(dim=1)
            sheet.add(
                "ground_truth", task.name, part=self.part, energy=energy.value, lower=energy.lower, upper=energy.upper,
                area=float(self.masks[shown].float().mean()), hit_rate=hits.value, hit_lower=hits.lower,
                hit_upper=hits.upper, accuracy=self.found.accuracy, n=energy.n,
            )  # fmt: skip
            if self.shuffled is not None:
                self._data(sheet, method, task.first(self.request.few))
        return sheet

    def _data(self, sheet: Sheet, method: Competitor, few: Task) -> None:
        def explain(net: FaceNetwork, x: Tensor, target: Target) -> Tensor:
            return method.maps(net, few, target, x=x, seed=self.request.seed)

        assert self.shuffled is not None
        table = evaluation.data_randomization(
            self.found.network,
            few.x,
            method.explained(few),
            explain,
            self.shuffled,
            groups=few.identities,
            seed=self.request.seed,
        )
        add_sanity(sheet, few.name, table, "data")


class Conflict(Truth):
    """Faces with the eyes of one expression and the mouth of another (figure 1 of the survey)."""

    name = "conflict"

    def prepare(self) -> bool:
        """Train the network, and draw the faces."""
        self.found = expression_network(out=self.folder / "training-expressions", **self.training)
        net = self.found.network
        moods = net.card.classes or ()
        faces = conflict_faces(
            self.request.truth_images, moods, size=net.card.input_size[0], seed=self.request.seed + _BESIDE
        )
        self.tasks = {
            part: class_task(net, faces, torch.tensor([moods.index(mood) for mood in faces.table[part]]))
            for part in (_EYES, _MOUTH)
        }
        shown = faces.resized(net.card.input_size)
        self.masks = {part: shown.mask(part) for part in (_EYES, _MOUTH)}
        return True

    def measured(self, method: Competitor) -> Sheet:
        """Whether the map of each class puts more on the part that shows it than on the other."""
        sheet = self.sheet(method)
        with sheet.trying("class"):
            hits: dict[str, Tensor] = {}
            for part, other in ((_EYES, _MOUTH), (_MOUTH, _EYES)):
                maps = self.maps(method, self.tasks[part])
                own, rest = (evaluation.energy_pointing_game(maps, self.masks[p]) for p in (part, other))
                hits[part.partition("_")[0]] = ((own > rest).float() + 0.5 * (own == rest)).where(
                    own.isfinite() & rest.isfinite(), torch.nan
                )
            hits["both"] = (hits["eyes"] + hits["mouth"]) / 2
            for part, values in hits.items():
                summary = evaluation.summarise(values, seed=self.request.seed)
                sheet.add(
                    "conflict", "class", part=part, chance=0.5 if part == "both" else None,
                    accuracy=self.found.accuracy, **summary._asdict(),
                )  # fmt: skip
        return sheet


def class_task(net: FaceNetwork, faces: FaceSet, classes: Tensor) -> Task:
    """A class of each face as the task."""
    rows = np.arange(len(faces))
    given = described(faces, rows, net)
    x = net.prepare(faces.images(rows))
    return Task("class", x, Classes(classes), Classes(classes, Probability), **given)


def truths(request: AttributionRequest, folder: Path, progress: Progress) -> Iterator[Truth]:
    """The tasks with a known answer; the first network has a twin on shuffled labels."""
    for k, part in enumerate(request.truth_parts):
        yield Confined(part, request, folder, progress, control=k == 0)
    if not request.quick:
        # Trained shortly, the network cannot tell expressions.
        yield Conflict(request, folder, progress)
