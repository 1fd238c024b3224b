from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from fusiform.errors import LayerError, SpecError, nearest
from fusiform.networks.training._classes import read_labels
from fusiform.networks.training._folder import TrainingFolder
from fusiform.networks.training._measure import embed_all, verification_accuracy
from fusiform.networks.training._pixels import Pixels
from fusiform.networks.training._protocols import Parts, deal, learnt_attribute
from fusiform.networks.training._recipe import Recipe, find_recipe
from fusiform.networks.training._result import TrainingResult, load_training
from fusiform.networks.training._six_tasks import FACE_TASKS, FaceTask, fit_recipe
from fusiform.networks.training._train import train
from fusiform.runs import Progress, atomic_write

if TYPE_CHECKING:
    from fusiform.faces import FaceSet


class TaskTraining(NamedTuple):
    """What the training of one of the six models left behind.

    Attributes
    ----------
    results : tuple of TrainingResult
        One a fold.
    table : DataFrame
        A row a fold and initialisation, and one more with their mean (``fold`` and ``seed`` are empty) where there are
        several, whose ``spread`` is the standard deviation over the folds, or over the initialisations of one fold (elsewhere
        it is empty): recipe, model, task, dataset and architecture (the paper's), faces, network, layer (to dissect, as named in the network of
        ``result.load()``), attribute, shares (what a triplet shares), split, metric, value, spread, paper, chance (of the
        answer that is constant over the training images, or one half), n_train, n_test (pairs, of verification),
        left_out (images of `without`), epochs, steps, weights, seed, fold.
    """

    results: tuple[TrainingResult, ...]
    table: pd.DataFrame


def train_task(
    task: str | FaceTask,
    faces: "FaceSet | str",
    out: str | Path,
    *,
    network: str | None = None,
    recipe: Recipe | None = None,
    attribute: str | None = None,
    test: "FaceSet | str | None" = None,
    without: Collection[str] = (),
    folds: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    memory_gb: float = 2.0,
    progress: Progress | None = None,
) -> TaskTraining:
    """Train one of the six models of table 1 and measure it beside the paper's figure.

    Images without the label are left out, and ages outside 0 to 100; no person is in both parts. Where the set has a
    published split (``split`` or ``partition``), that is taken; otherwise the test share is drawn. Several folds are the
    published ones of SCUT-FBP5500, or holdouts drawn one by one; ``split`` says which. The figure stands in
    each ``training.json`` and, of all folds, in ``performance.parquet``. An interrupted call may be repeated.

    Parameters
    ----------
    task : str or FaceTask
        A name out of `FACE_TASKS`.
    faces : FaceSet or str
        The data set, or one like it.
    out : str or Path
        The folder; of several folds each has a folder ``fold_K`` in it.
    network : str, optional
        As for `train`; the recipe's own by default. Weights may be named.
    recipe : Recipe, optional
        By default that of the task's name, showing images as the network's card says (`fit_recipe`); given, it is taken
        as it is. The last weights are the result, whatever it says.
    attribute : str, optional
        Another attribute of the task's kind, for trials on sets that lack it (synthetic faces have no beauty);
        of triplets, what the images of a triplet share. By default identity where there is one, otherwise the
        combination of race, sex and age group, of those that the set has.
    test : FaceSet or str, optional
        Test on these faces, and train on all of `faces`.
    without : collection of str, optional
        ``image_id`` of images to keep out of both parts, such as a dictionary's.
    folds : int, optional
        How many splits; by default the task's. One where `test` is given.
    seed : int, default 0
        Of splits and draws.
    device, memory_gb, progress
        As for `train`.

    Returns
    -------
    TaskTraining
        Trainings and table.

    Raises
    ------
    SpecError
        If there is no such task or network, or the recipe does not fit.
    DataError
        If the faces lack the attribute, or there are too few.
    NetworkError, RunError
        As for `train`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> recipe = find_recipe("smile", epochs=1, batch_size=4, input_size=(32, 32), shortest_side=32)
    >>> with TemporaryDirectory() as out:
    ...     made = train_task("smile", "synthetic?n=24&size=32", out, network="demo", recipe=recipe)
    >>> made.table[["model", "metric", "paper"]].values.tolist()
    [['SMILE', 'accuracy', 0.912]]
    """
    if isinstance(task, str):
        if task not in FACE_TASKS:
            raise SpecError(f"There is no face task '{task}'; {nearest(task, FACE_TASKS)}")
        task = FACE_TASKS[task]
    network = find_recipe(task.name).networks[0] if network is None else network
    if recipe is None:
        recipe = fit_recipe(find_recipe(task.name), network)
    recipe = replace(recipe, select="last")  # the test faces choose nothing
    folds = task.folds if folds is None else folds
    if folds < 1:
        raise SpecError(f"'folds' must be a whole number of at least 1; got {folds}.")
    faces = _opened(faces)
    test = None if test is None else _opened(test)
    attribute = learnt_attribute(task, faces, attribute)
    out = Path(out).expanduser()
    several = folds > 1 and test is None
    rows, results = [], []
    for fold in range(folds if several else 1):
        parts = deal(
            task, faces, test, attribute, without=frozenset(without), fold=fold, folds=folds, seed=seed
        )
        place = out / f"fold_{fold + 1}" if several else out
        result = train(
            network,
            parts.train,
            recipe,
            place,
            attribute=attribute,
            validation=parts.test,
            device=device,
            memory_gb=memory_gb,
            progress=progress,
        )
        measured = [
            _row(task, faces, network, attribute, recipe, parts, result, seed_of_weights, memory_gb)
            | {"fold": fold + 1 if several else pd.NA}
            for seed_of_weights in recipe.seeds
        ]
        folder = TrainingFolder.open(place)
        folder.record["performance"] = [
            {k: None if pd.isna(v) else v for k, v in row.items()} for row in measured
        ]
        folder.save()
        results.append(load_training(place))
        rows += measured
    table = _table(rows)
    with atomic_write(out / "performance.parquet") as part:
        table.to_parquet(part, index=False)
    return TaskTraining(tuple(results), table)


def _opened(faces: "FaceSet | str") -> "FaceSet":
    if not isinstance(faces, str):
        return faces
    from fusiform.faces import open_faces

    return open_faces(faces)


def _row(
    task: FaceTask,
    faces: "FaceSet",
    network: str,
    attribute: str,
    recipe: Recipe,
    parts: Parts,
    result: TrainingResult,
    seed: int,
    memory_gb: float,
) -> dict[str, Any]:
    from fusiform.networks import find_role

    net = result.load(seed=seed)
    try:
        layer = find_role(net, "second_to_last_conv").name
    except LayerError:
        layer = ""
    labels = read_labels(parts.test, attribute, classes=_classes(result))
    pixels = Pixels(parts.test, recipe.shortest_side, int(memory_gb * 1e9))
    outputs = embed_all(net.module, pixels, labels.rows, recipe).double().numpy()
    learnt = read_labels(parts.train, attribute)
    n_test = len(labels.rows)
    if labels.kind == "continuous":
        power = 1 if task.metric == "mae" else 2
        value = float((np.abs(outputs[:, 0] - labels.codes) ** power).mean())
        chance = float((np.abs(labels.codes - learnt.codes.mean()) ** power).mean())
    elif net.card.head == "embedding":
        value, n_test = verification_accuracy(outputs, labels.codes)
        chance = 0.5
    else:
        value = float((outputs.argmax(axis=1) == labels.codes).mean())
        chance = float((labels.codes == np.bincount(learnt.codes).argmax()).mean())
    return {
        "recipe": task.name,
        "model": task.model,
        "task": task.task,
        "dataset": task.dataset,
        "architecture": task.architecture,
        "faces": faces.spec or faces.name,
        "network": network,
        "layer": layer,
        "attribute": attribute,
        "shares": attribute if recipe.head == "triplet" else pd.NA,
        "split": parts.split,
        "metric": task.metric,
        "value": value,
        "spread": np.nan,
        "paper": task.paper,
        "chance": chance,
        "n_train": result.record["request"]["n_images"],
        "n_test": n_test,
        "left_out": parts.left_out,
        "epochs": recipe.epochs,
        "steps": int(result.table["step"].max()),
        "weights": str(result.path(seed=seed)),
        "seed": seed,
    }


def _classes(result: TrainingResult) -> tuple[str, ...] | None:
    classes = result.record["request"]["classes"]
    return tuple(classes) if classes else None


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = _typed(rows)
    if len(table) > 1:
        several = table["fold"].nunique() > 1
        figures = table.groupby("fold")["value"].mean() if several else table["value"]
        what = f"{len(figures)} {'folds' if several else 'initialisations'}"
        mean = rows[0] | {
            "fold": pd.NA,
            "seed": pd.NA,
            "split": f"mean of {what} ({rows[0]['split']}{', and so on' if several else ''})",
            "spread": float(figures.std()),
            "weights": "",
            "value": table["value"].mean(),
            "chance": table["chance"].mean(),
            "n_test": int(table["n_test"].sum()),
        }
        table = _typed([*rows, mean])
    return table


def _typed(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"fold": "Int64", "seed": "Int64", "shares": "string"})
