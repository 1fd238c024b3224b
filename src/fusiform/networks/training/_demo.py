import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from fusiform.networks.training._classes import read_labels
from fusiform.networks.training._folder import read_tensors
from fusiform.networks.training._heads import make_head
from fusiform.networks.training._measure import embed_all
from fusiform.networks.training._pixels import Pixels
from fusiform.networks.training._recipe import Recipe, find_recipe
from fusiform.networks.training._result import TrainingResult
from fusiform.networks.training._train import train
from fusiform.runs import Progress, atomic_write, environment
from fusiform.statistics import verification_auc

if TYPE_CHECKING:
    from fusiform.faces import FaceSet

_FALSE_MATCHES = 0.01
_MAX_YAW_DEG = 45.0


class DemoTraining(NamedTuple):
    """What the remaking of the demo network left behind.

    Attributes
    ----------
    result : TrainingResult
        The training.
    data : Path
        The folder to ship: ``step_*.safetensors`` and ``demo.json``.
    metrics : dict
        What ``demo.json`` says.
    """

    result: TrainingResult
    data: Path
    metrics: dict[str, Any]


def train_demo(
    out: str | Path,
    *,
    recipe: str | Recipe = "demo",
    faces: "FaceSet | None" = None,
    validation: "FaceSet | None" = None,
    test: "FaceSet | None" = None,
    held_out: int = 1,
    resume: bool = True,
    memory_gb: float = 2.0,
    progress: Progress | None = None,
) -> DemoTraining:
    """Remake the demo network: render its faces, train, measure on people it never saw, and export.

    Parameters
    ----------
    out : str or Path
        The folder; what is to be shipped goes to its ``data``.
    recipe : str or Recipe, default "demo"
        How.
    faces, validation, test : FaceSet, optional
        Three sets of different people; by default the recipe's.
    held_out : int, default 1
        Images of each training identity that are kept from training, to see whether they are recognised.
    resume : bool, default True
        Continue what the folder holds.
    memory_gb : float, default 2.0
        How much of the images is kept in memory.
    progress : Progress, optional
        Where to show how far it is.

    Returns
    -------
    DemoTraining
        Training, folder to ship, figures.

    Raises
    ------
    RunError
        If the folder holds another training, or the disk is full.

    Examples
    --------
    >>> train_demo("runs/demo_network").metrics["verification"]["auc"] > 0.95  # doctest: +SKIP
    True
    """
    from fusiform.faces import open_faces

    recipe = find_recipe(recipe)
    faces = open_faces(recipe.faces) if faces is None else faces
    validation = open_faces(recipe.validation) if validation is None else validation
    test = open_faces(recipe.test) if test is None else test
    # Which image of a person this is, counted from the person's last.
    rank = faces.table.groupby("identity", observed=True).cumcount(ascending=False).to_numpy()
    learnt, kept = faces.subset(rank >= held_out), faces.subset(rank < held_out)
    result = train(
        "demo",
        learnt,
        recipe,
        out,
        validation=validation,
        resume=resume,
        memory_gb=memory_gb,
        progress=progress,
    )
    data = Path(out).expanduser() / "data"
    budget = int(memory_gb * 1e9)
    unseen = Pixels(test, recipe.shortest_side, budget)
    identities = read_labels(test, "identity")
    shown = progress or Progress(quiet=True)
    unseen.fill(shown.task("Reading the test images"))

    checkpoints = result.checkpoints[result.checkpoints["seed"] == result.best_seed]
    listed: list[dict[str, Any]] = []
    embeddings: dict[int, np.ndarray] = {}
    for step in checkpoints["step"].tolist():
        weights = _halved(read_tensors(result.path(seed=result.best_seed, step=step)).tensors)
        name = f"step_{step:07d}.safetensors"
        with atomic_write(data / name) as part:
            part.write_bytes(save(weights))
        embeddings[step] = embed_all(_module(weights), unseen, identities.rows, recipe).numpy()
        auc = verification_auc(embeddings[step], identities.codes, draws=0).auc
        listed.append({"step": step, "file": name, "auc": round(auc, 5)})

    module = _module(weights)
    metrics = {
        "format": 1,
        "verification": _verification(test, embeddings[listed[-1]["step"]], identities.codes),
        "identification": _identification(result, module, learnt, kept, recipe),
        "threshold": _threshold(module, validation, recipe, budget),
        "threshold_rule": f"{_FALSE_MATCHES:.0%} of the impostor pairs of the validation set lie above it",
        "training": {
            "recipe": recipe.record(),
            "seed": result.best_seed,
            "identities": int(learnt.table["identity"].nunique()),
            "images": len(learnt),
            "steps": listed[-1]["step"],
            "faces_digest": faces.digest(),
        },
        "checkpoints": listed,
        "environment": environment(),
    }
    with atomic_write(data / "demo.json") as part:
        part.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    return DemoTraining(result, data, metrics)


def _halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    # Running variances span more than half precision does; they are few.
    return {k: v if "running" in k or not v.is_floating_point() else v.half() for k, v in tensors.items()}


def _module(weights: dict[str, Tensor]) -> nn.Module:
    from fusiform.networks.zoo import demo

    module = demo.build()
    module.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    return module.eval()


def _verification(test: "FaceSet", embeddings: np.ndarray, codes: np.ndarray) -> dict[str, Any]:
    whole = verification_auc(embeddings, codes)
    record = {
        "auc": round(whole.auc, 5),
        "lower": round(whole.lower, 5),
        "upper": round(whole.upper, 5),
        "n_genuine": whole.n_genuine,
        "n_impostor": whole.n_impostor,
        "identities": len(np.unique(codes)),
        "images": len(codes),
        "faces": test.spec,
    }
    if "yaw" in test.schema:
        turned = test.table["yaw"].abs().to_numpy(dtype=np.float64)
        near = turned <= _MAX_YAW_DEG
        record["auc_yaw_45"] = round(verification_auc(embeddings[near], codes[near], draws=0).auc, 5)
        record["max_yaw"] = round(float(turned.max()), 1)
    return record


def _identification(
    result: TrainingResult, module: nn.Module, learnt: "FaceSet", kept: "FaceSet", recipe: Recipe
) -> dict[str, Any]:
    """How often the classifier names a held-out image of a training identity rightly."""
    classes = read_labels(learnt, "identity").classes
    labels = read_labels(kept, "identity", classes=classes)
    weights = read_tensors(result.best.with_name("classifier.safetensors")).tensors
    head = make_head(recipe, weights["weight"].shape[1], "identity", len(classes))
    head.load_state_dict(weights)
    with torch.no_grad():
        logits = head(embed_all(module, Pixels(kept, recipe.shortest_side, 0), labels.rows, recipe))
    right = logits.argmax(dim=1).numpy() == labels.codes
    return {"rank_1": round(float(right.mean()), 5), "images": len(right), "identities": len(classes)}


def _threshold(module: nn.Module, validation: "FaceSet", recipe: Recipe, budget: int) -> float:
    labels = read_labels(validation, "identity")
    unit = _unit(
        embed_all(module, Pixels(validation, recipe.shortest_side, budget), labels.rows, recipe)
    ).numpy()
    above = np.triu_indices(len(unit), 1)
    impostor = (labels.codes[:, None] != labels.codes[None, :])[above]
    return round(float(np.quantile((unit @ unit.T)[above][impostor], 1 - _FALSE_MATCHES)), 4)


def _unit(rows: Tensor) -> Tensor:
    return nn.functional.normalize(rows)
