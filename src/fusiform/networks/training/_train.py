import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fusiform.errors import DataError, NetworkError, SpecError
from fusiform.networks.training._classes import Labels, check_other_people, read_labels
from fusiform.networks.training._folder import TrainingFolder
from fusiform.networks.training._heads import ValueHead, make_head
from fusiform.networks.training._loop import Trainer
from fusiform.networks.training._pixels import Pixels
from fusiform.networks.training._recipe import Recipe, find_recipe
from fusiform.networks.training._result import TrainingResult, load_training
from fusiform.networks.training._triplets import enough_images
from fusiform.networks.training._trunk import (
    TrunkSource,
    begun_from,
    build_trunk,
    embedding_size,
    source_name,
)
from fusiform.runs import Progress, environment

if TYPE_CHECKING:
    from fusiform.faces import FaceSet


def train(
    network: TrunkSource,
    faces: "FaceSet | str | None",
    recipe: str | Recipe,
    out: str | Path,
    *,
    attribute: str = "identity",
    seeds: tuple[int, ...] | None = None,
    validation: "FaceSet | str | None" = None,
    resume: bool = True,
    device: str = "cpu",
    memory_gb: float = 2.0,
    save_minutes: float = 5.0,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a network on an attribute of faces: by softmax, by triplets, or by regression where it is continuous.

    The network's output is its embedding; a classifier sits on it while it is trained. Of an identity
    network the classifier is dropped (``classifier.safetensors`` keeps that of the best weights); of other
    attributes it stays (``trunk.*`` and ``classifier.*`` in the weights). Triplets need none: the embedding itself is
    trained, and what the images of a class share counts as their identity.

    The folder gets ``training.json`` (what was asked), ``log.parquet``, and for each seed
    ``seed_N/checkpoints/step_*.safetensors`` and ``seed_N/best.safetensors``. A training that was
    interrupted is continued by the same call, and ends in the same weights, given the same versions and
    number of threads.

    Parameters
    ----------
    network : str or callable
        ``"demo"``, ``"timm:NAME"`` (without its classifier), any other specification that
        `fusiform.networks.load_network` takes, or a function without arguments that returns a module with
        embeddings of shape (n, d). Weights are fresh, unless the specification names some (``weights=PATH``).
    faces : FaceSet or str or None
        Images to learn from, as a set or a specification; None takes the recipe's own. Images whose class is
        missing are left out.
    recipe : str or Recipe
        A name out of `RECIPES`, or a recipe.
    out : str or Path
        The folder.
    attribute : str, default "identity"
        What to learn; several attributes with ``+`` between make classes of their combinations.
    seeds : tuple of int, optional
        Initialisations; by default the recipe's. More can be added to a folder later.
    validation : FaceSet or str, optional
        Images of other people. Its AUC is measured at every epoch and checkpoint, and the weights are
        chosen by it where the recipe says so. By default the recipe's own, if `faces` is too.
    resume : bool, default True
        Continue what the folder holds; False refuses a folder that holds anything.
    device : str, default "cpu"
        Where to compute.
    memory_gb : float, default 2.0
        How much of the images is kept in memory; the rest is read anew each time.
    save_minutes : float, default 5.0
        How much work an interruption may cost.
    progress : Progress, optional
        Where to show how far it is; by default nowhere.

    Returns
    -------
    TrainingResult
        Log, checkpoints, best weights.

    Raises
    ------
    DataError
        If the attribute cannot be learnt from these faces, or validation shows people of the training set.
    SpecError
        If there is no such network or recipe.
    NetworkError
        If the network does not run at the recipe's input size, or returns no embeddings, or there is no such device.
    RunError
        If the folder holds another training, or the disk is full.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from fusiform.faces import open_faces
    >>> faces = open_faces("synthetic?seed=0&identities=3&per_identity=2&size=32")
    >>> recipe = find_recipe("demo", epochs=1, batch_size=3, input_size=(32, 32), shortest_side=32)
    >>> with TemporaryDirectory() as folder:
    ...     result = train("demo", faces, recipe, folder)
    ...     result.checkpoints["step"].tolist()
    [0, 2]
    """
    recipe = find_recipe(recipe)
    seeds = recipe.seeds if seeds is None else tuple(seeds)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise SpecError(f"'seeds' must be different whole numbers that are not negative; got {seeds!r}.")
    _check_device(device)
    if faces is None and validation is None:
        validation = recipe.validation or None
    faces = _open(recipe.faces if faces is None else faces, "faces", recipe)
    validation = _open(validation, "validation", recipe) if validation is not None else None
    labels, validation_labels = _labels(faces, validation, attribute, recipe)
    name = source_name(network)
    size = embedding_size(build_trunk(network, seeds[0]), recipe.input_size, name)
    folder = TrainingFolder.start(
        out, _request(network, faces, validation, recipe, attribute, labels), environment(), resume=resume
    )
    with ExitStack() as stack:
        progress = progress or stack.enter_context(Progress(quiet=True))
        stack.enter_context(torch.random.fork_rng(devices=_cuda_devices(device)))
        missing = [seed for seed in seeds if not folder.record["seeds"].get(str(seed), {}).get("complete")]
        if missing:
            budget = int(memory_gb * 1e9)
            pixels = Pixels(faces, recipe.shortest_side, budget)
            pixels.fill(progress.task("Reading the training images"))
            measured = None
            if validation is not None and validation_labels is not None:
                unseen = Pixels(validation, recipe.shortest_side, budget - pixels.bytes)
                unseen.fill(progress.task("Reading the validation images"))
                measured = (unseen, validation_labels)
        for seed in missing:
            folder.record["seeds"][str(seed)] = {"complete": False, "best_step": None, "valid_auc": None}
            folder.save()
            torch.manual_seed(seed)
            head = make_head(recipe, size, labels.kind, len(labels.classes))
            if isinstance(head, ValueHead):
                head.standardise(labels.codes)
            trainer = Trainer(
                build_trunk(network, seed),
                head,
                pixels,
                labels,
                measured,
                recipe,
                folder,
                seed=seed,
                device=device,
                save_minutes=save_minutes,
            )
            trainer.run(progress.task(f"Training {name}, seed {seed}"))
            _complete(folder, trainer)
    return load_training(out)


def _open(faces: "FaceSet | str", what: str, recipe: Recipe) -> "FaceSet":
    if not isinstance(faces, str):
        return faces
    if not faces:
        raise SpecError(f"The recipe '{recipe.name}' brings no {what} of its own; say which to use.")
    from fusiform.faces import open_faces

    return open_faces(faces)


def _labels(
    faces: "FaceSet", validation: "FaceSet | None", attribute: str, recipe: Recipe
) -> tuple[Labels, Labels | None]:
    labels = read_labels(faces, attribute)
    if recipe.head == "triplet":
        if labels.kind == "continuous":
            raise DataError(f"'{attribute}' is continuous; the images of a triplet share a class. Name one.")
        kept = enough_images(labels.codes, recipe, attribute)
        # What a triplet shares is its identity, and the embedding alone is kept.
        labels = replace(labels, rows=labels.rows[kept], codes=labels.codes[kept], kind="identity")
    if validation is None:
        return labels, None
    check_other_people(faces, validation)
    if labels.kind == "identity":
        known = read_labels(validation, attribute)
        if len(known.classes) == len(known.rows):
            raise DataError(
                f"The validation set '{validation.name}' has one image of each person, so no two can be compared. "
                "Give one with several images a person."
            )
        return labels, replace(known, kind="identity")
    return labels, read_labels(validation, attribute, classes=labels.classes)


def _request(
    network: TrunkSource,
    faces: "FaceSet",
    validation: "FaceSet | None",
    recipe: Recipe,
    attribute: str,
    labels: Labels,
) -> dict[str, Any]:
    # The recipe's own sets, its seeds and its words say nothing about how these faces are learnt.
    aside = {"description", "networks", "faces", "validation", "test", "seeds"}
    if recipe.head != "triplet":
        aside |= {"triplets", "images_each"}
    architecture, start = begun_from(network)
    return {
        "network": architecture,
        "start": start,
        "recipe": {k: v for k, v in recipe.record().items() if k not in aside},
        "attribute": attribute,
        "kind": labels.kind,
        "n_classes": len(labels.classes),
        # Identities may be many; the names of other classes are part of the network.
        "classes": None if labels.kind == "identity" else list(labels.classes),
        "n_images": len(labels.rows),
        "faces": faces.spec or faces.name,
        "faces_digest": faces.digest(),
        "validation": None if validation is None else validation.spec or validation.name,
        "validation_digest": None if validation is None else validation.digest(),
    }


def _complete(folder: TrainingFolder, trainer: Trainer) -> None:
    folder.record["seeds"][str(trainer.seed)] = {
        "complete": True,
        "best_step": trainer.best_step,
        "valid_auc": None if math.isnan(trainer.best_auc) else trainer.best_auc,
    }
    folder.save()
    # Two and more times the weights, of no use once the end is reached.
    folder.state_path(trainer.seed).unlink(missing_ok=True)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise NetworkError(f"Nothing can be trained on the device '{device}': {error}") from error


def _cuda_devices(device: str) -> list[int]:
    if not device.startswith("cuda"):
        return []
    index = torch.device(device).index
    return [torch.cuda.current_device() if index is None else index]
