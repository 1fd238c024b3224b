"""A network and the material on which methods are held against each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, FusiformError
from fusiform.faces import (
    FaceSet,
    InpaintingGame,
    group_faces,
    open_faces,
    part_masks,
    part_sources,
    synthetic_inpainting,
)
from fusiform.networks import FaceNetwork, frame_faces
from fusiform.runs import Progress
from fusiform.studies.attribution._request import AttributionRequest
from fusiform.studies.attribution._tasks import Task, tasks_of
from fusiform.targets import Contrast
from fusiform.verification import Calibration, embeddings

_ALL = "all"


@dataclass(frozen=True, eq=False)
class Game:
    """The inpainting game of one network: the triplets it plays, and how many it does not, by part."""

    task: Task
    target: Contrast
    inpainted: Float[Tensor, "n c h w"]
    masks: Bool[Tensor, "n h w"]
    parts: tuple[str, ...]
    dropped: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Regions:
    """Where parts are in the images of a task."""

    task: Task
    masks: Mapping[str, Bool[Tensor, "n h w"]]
    source: str

    @property
    def union(self) -> Bool[Tensor, "n h w"]:
        """Any of the parts."""
        return torch.stack(list(self.masks.values())).any(dim=0)


@dataclass(eq=False)
class Bench:
    """A network with its tasks; what could not be had is told in `lacking`."""

    name: str
    net: FaceNetwork
    faces: FaceSet
    tasks: list[Task]
    calibration: Calibration | None = None
    regions: Regions | None = None
    game: Game | None = None
    landmarks: Float[ndarray, "n 68 2"] | None = None
    groups: Mapping[str, ndarray] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Verifier or classifier."""
        return "verifier" if self.tasks[0].name == "similarity" else "classifier"


def make_bench(
    name: str,
    net: FaceNetwork,
    faces: FaceSet,
    request: AttributionRequest,
    progress: Progress,
    masked: FaceSet | None = None,
    played: FaceSet | None = None,
) -> Bench:
    """Put the material of a network together.

    Parameters
    ----------
    faces : FaceSet
        Framed for the network.
    masked, played : FaceSet or None
        Faces for the pointing games and for the inpainting game, not yet framed; the faces themselves and synthetic ones where
        None.

    Raises
    ------
    FusiformError
        If there is no task on these faces. What else is lacking is told in the bench.
    """
    tasks, calibration = tasks_of(net, faces, request.images, seed=request.seed, progress=progress)
    bench = Bench(name, net, faces, tasks, calibration)
    try:
        bench.regions = _regions(bench, request, progress, masked)
    except FusiformError as why:
        bench.lacking["pointing games"] = str(why)
    try:
        bench.game = _game(net, request, played)
    except FusiformError as why:
        bench.lacking["inpainting game"] = str(why)
    try:
        _canonical(bench, request)
    except FusiformError as why:
        bench.lacking["canonical maps"] = str(why)
    return bench


def _regions(
    bench: Bench, request: AttributionRequest, progress: Progress, masked: FaceSet | None
) -> Regions:
    net, faces, task = bench.net, bench.faces, bench.tasks[0]
    if masked is not None:
        faces, _ = frame_faces(net, masked, request.align)
        task = tasks_of(net, faces, request.images, seed=request.seed, progress=progress)[0][0]
    sources = part_sources(faces, request.parts)
    if not sources.names:
        raise DataError(
            f"The faces '{faces.name}' cannot show any of the parts {', '.join(request.parts)}: masks or 68 landmarks are "
            "needed. Name faces that have them by --masked-faces, or a network for landmarks by --landmarks."
        )
    for part, why in sources.left_out.items():
        bench.lacking[f"part '{part}'"] = why
    found = part_masks(faces, task.rows, net.card.input_size, sources.names)
    masks = {part: found[:, k] for k, part in enumerate(sources.names)}
    return Regions(task, masks, ", ".join(sources.names))


def _game(net: FaceNetwork, request: AttributionRequest, given: FaceSet | None) -> Game:
    if net.card.head != "embedding":
        raise DataError("The inpainting game is for verifiers: a probe is told from another identity.")
    if given is None:
        given = synthetic_inpainting(
            request.triplets, mates=2, size=max(64, *net.card.input_size), seed=request.seed
        )
    faces, _ = frame_faces(net, given, request.align)
    game = InpaintingGame.of(faces.resized(net.card.input_size))
    if len(game) > request.triplets:
        order = np.random.default_rng([request.seed, 3]).permutation(len(game))[: request.triplets]
        game = game.subset(np.sort(order))
    references = [*game.triplets["mates"], *game.triplets["inpainted_nonmates"]]
    used = sorted({int(row) for rows in references for row in rows})
    found = embeddings(net, game.faces, indices=np.array(used))
    embedded = torch.zeros(len(game.faces), found.shape[1])
    embedded[used] = found
    mates, nonmates = game.references(embedded)
    target = Contrast(mates, nonmates)
    x, inpainted = (net.prepare(game.images(role)) for role in ("probe", "inpainted_probe"))
    masks, parts = game.masks(), game.triplets["part"].astype(str).to_numpy()
    with torch.no_grad():
        told = (target(net, x) > 0) & (target(net, inpainted) < 0)
    told = told.cpu() & masks.flatten(1).any(dim=1) & ~masks.flatten(1).all(dim=1)
    rows = torch.nonzero(told)[:, 0]
    dropped = {str(part): int((~told.numpy()[parts == part]).sum()) for part in np.unique(parts)}
    subjects = tuple(game.triplets["subject"].astype(str))
    task = Task(
        "inpainting",
        x,
        target,
        target,
        game.triplets["probe"].to_numpy(),
        tuple(game.triplets["triplet"]),
        subjects,
    )
    kept = tuple(parts[rows.numpy()].tolist())
    return Game(
        task.take(rows), Contrast(mates[rows], nonmates[rows]), inpainted[rows], masks[rows], kept, dropped
    )


def _canonical(bench: Bench, request: AttributionRequest) -> None:
    task = bench.tasks[0]
    size = bench.net.card.input_size
    points = bench.faces.resized(size).subset(task.rows).landmarks
    if points is None or points.shape[1] != 68:
        raise DataError(
            f"The faces '{bench.faces.name}' have no 68 landmarks, which carry maps to the canonical face."
        )
    known = np.isfinite(points).all(axis=(1, 2))
    if not known.any():
        raise DataError(f"None of the {len(known)} images of '{bench.faces.name}' has landmarks.")
    groups = {_ALL: np.flatnonzero(known)}
    bench.landmarks, bench.groups = points, groups
    if request.groups is not None:
        named = group_faces(bench.faces.subset(task.rows), request.groups)
        bench.groups = groups | {name: kept for name, rows in named.items() if len(kept := rows[known[rows]])}


def opened(spec: str | None) -> FaceSet | None:
    """The faces of a specification; ``published:PATH`` stands for the published layout of the inpainting game."""
    if spec is None:
        return None
    return open_faces(
        f"inpainting:{spec.removeprefix('published:')}" if spec.startswith("published:") else spec
    )
