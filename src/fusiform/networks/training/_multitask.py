import copy
import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor, nn

from fusiform.errors import DataError, NetworkError, SpecError
from fusiform.networks.training._features import feature_layer
from fusiform.networks.training._folder import TrainingFolder, read_tensors, write_tensors
from fusiform.networks.training._loop import make_optimizer
from fusiform.networks.training._pixels import Pixels, training_batch
from fusiform.networks.training._plan import augmentation_stream, epoch_order, learning_rate, torch_seed
from fusiform.networks.training._recipe import Recipe
from fusiform.networks.training._state import restore_state, save_state
from fusiform.networks.training._tasks import Task, TaskLabels, answers, mean_loss, read_tasks
from fusiform.runs import Progress, environment

if TYPE_CHECKING:
    from fusiform.faces import FaceSet
    from fusiform.networks import FaceNetwork

_EPOCHS = {"finetune": 5, "scratch": 20}
# Share of the side by which a crop may be off the middle.
_PADDING = 0.04
_BATCH = 64


@dataclass(frozen=True)
class MultitaskResult:
    """A network trained to predict many attributes together.

    Attributes
    ----------
    name : str
        Of the trained network, for tables.
    folder : Path
        Where it lies.
    table : DataFrame
        One row an epoch: ``epoch`` (from 1), ``loss`` (mean over the training images) and ``score`` (mean over
        attributes of accuracy, or R² where continuous, on the validation images; NaN without any).
    best_epoch : int
        The epoch whose weights are kept: the one of highest score, the last where none was measured.
    tasks : tuple of Task
        What was learnt.
    model : nn.Module
        Takes uint8 images (n, 3, h, w), gives the head's outputs; in evaluation mode.
    """

    name: str
    folder: Path
    table: pd.DataFrame
    best_epoch: int
    tasks: tuple[Task, ...]
    model: nn.Module

    def predict(
        self, faces: "FaceSet", rows: Int[ndarray, " n"] | None = None, *, batch_size: int = _BATCH
    ) -> dict[str, Float[ndarray, "n ..."]]:
        """Predict all attributes of faces that are framed as the training faces were.

        Parameters
        ----------
        faces : FaceSet
            The faces.
        rows : int array, shape (n,), optional
            Which of them; all when not given.
        batch_size : int, default 64
            Faces a forward pass.

        Returns
        -------
        dict of str to array
            By attribute: probabilities, shape (n, n_classes), two classes when binary; or values, shape (n,).

        Raises
        ------
        DataError
            If the images' sizes differ.
        """
        rows = np.arange(len(faces)) if rows is None else np.asarray(rows)
        starts = range(0, len(rows), batch_size)
        outputs = [_evaluated(self.model, faces.images(rows[start : start + batch_size])) for start in starts]
        if not outputs:
            outputs = [torch.zeros(0, sum(task.n_outputs for task in self.tasks))]
        return answers(self.tasks, torch.cat(outputs))


def train_multitask(
    network: "FaceNetwork | str",
    faces: "FaceSet",
    labels: Mapping[str, TaskLabels | tuple],
    train_rows: Int[ndarray, " n"],
    valid_rows: Int[ndarray, " m"],
    out: str | Path,
    *,
    start: Literal["finetune", "scratch"] = "finetune",
    epochs: int | None = None,
    learning_rate: float = 3e-3,
    batch_size: int = 64,
    flip: bool | None = None,
    seed: int = 0,
    memory_gb: float = 2.0,
    progress: Progress | None = None,
) -> MultitaskResult:
    """Train a network to predict all attributes of a face together: what supervision reaches, for comparison.

    A copy of the network, with one linear layer for all attributes on its standardised embedding (or on the
    layer before its classifier), is trained in all its weights: binary and softmax cross-entropy, and the squared error of
    standardised values, averaged over all labels that are known. Images come with their natural frequencies,
    shifted by up to 4%, lit by up to 20%. AdamW, the rate falling along half a cosine after a warm-up of a
    tenth of the steps. Of the epochs, the one with the highest mean validation score is kept.

    The folder gets ``training.json`` and ``seed_N/best.safetensors``. An interrupted training is continued by the
    same call from its last whole epoch, and ends in the same weights, given the same versions and number of
    threads; a finished one is read.

    Parameters
    ----------
    network : FaceNetwork or str
        The network to begin from, which stays as it is; or a specification for
        `fusiform.networks.load_network`. Training runs where its weights are.
    faces : FaceSet
        Faces of one size, framed as the network wants them (`fusiform.networks.frame_faces`).
    labels : mapping of str to TaskLabels
        By attribute: kind, values of all faces with NaN where unknown, number of classes.
    train_rows, valid_rows : int array
        Faces to learn from, and to choose the epoch by; no face in both. Without validation faces the last
        epoch is kept.
    out : str or Path
        The folder.
    start : {"finetune", "scratch"}, default "finetune"
        Whether to begin from the network's weights or from fresh ones.
    epochs : int, optional
        Passes over the training faces; 5 by default, 20 from scratch.
    learning_rate : float, default 0.003
        The highest one.
    batch_size : int, default 64
        Faces a step.
    flip : bool, optional
        Mirror images at random. By default where all attributes are binary, for those rarely have a side,
        while a yaw has one.
    seed : int, default 0
        Of fresh weights, order and augmentation.
    memory_gb : float, default 2.0
        How much of the images is kept in memory; the rest is read anew each time.
    progress : Progress, optional
        Where to show how far it is; by default nowhere.

    Returns
    -------
    MultitaskResult
        With `predict`.

    Raises
    ------
    SpecError
        If an option is out of its range.
    DataError
        If labels or rows do not fit the faces, or the faces differ in size.
    NetworkError
        If the loss is no longer a number.
    RunError
        If the folder holds another training, or the disk is full.

    References
    ----------
    Diniz (2021), section 5.2, tables 5.2 and 5.3.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from fusiform.faces import open_faces
    >>> faces = open_faces("synthetic?n=12&size=112")
    >>> labels = {"yaw": ("continuous", faces.table.yaw.to_numpy())}
    >>> with TemporaryDirectory() as out:
    ...     result = train_multitask("demo", faces, labels, np.arange(8), np.arange(8, 12), out, epochs=1, batch_size=4)
    >>> result.name, result.predict(faces)["yaw"].shape
    ('demo (multitask, finetune)', (12,))
    """
    if isinstance(network, str):
        from fusiform.networks import load_network

        network = load_network(network)
    if start not in _EPOCHS:
        raise SpecError(f"'start' must be 'finetune' or 'scratch'; got '{start}'.")
    if batch_size < 2:
        raise SpecError(
            f"'batch_size' must be at least 2, for batch norm needs several faces; got {batch_size}."
        )
    train_rows, valid_rows = _checked_rows(faces, train_rows, valid_rows)
    tasks, values = read_tasks(labels, len(faces), train_rows)
    if flip is None:
        flip = all(task.kind == "binary" for task in tasks)
    recipe = _recipe(faces, _EPOCHS[start] if epochs is None else epochs, learning_rate, batch_size, flip)
    layer = feature_layer(network).name
    request = {
        "what": "multitask",
        "network": network.card.name,
        "network_digest": network.digest(),
        "start": start,
        "layer": layer,
        "seed": seed,
        "recipe": {
            key: value for key, value in recipe.record().items() if key not in ("description", "seeds")
        },
        "attributes": {task.name: task.kind for task in tasks},
        "labels_digest": _digest(values, train_rows, valid_rows),
        "n_train": len(train_rows),
        "n_valid": len(valid_rows),
        "faces": faces.spec or faces.name,
        "faces_digest": faces.digest(),
    }
    folder = TrainingFolder.start(out, request, environment(), resume=True)
    name = f"{network.card.name} (multitask, {start})"
    cuda = [network.device.index or 0] if network.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        model = _Model(network, layer, [bias for task in tasks for bias in task.bias], start, seed)
        if not folder.record["seeds"].get(str(seed), {}).get("complete"):
            kept = np.concatenate([train_rows, valid_rows])
            progress = progress or Progress(quiet=True)
            pixels = Pixels(faces.subset(kept), min(recipe.input_size), int(memory_gb * 1e9))
            pixels.fill(progress.task(f"{name}: reading the images"))
            training = _Training(model, tasks, values[kept], len(train_rows), pixels, recipe, folder, seed)
            training.run(progress.task(name))
    model.load_state_dict(read_tensors(folder.best_path(seed)).tensors)
    model.eval()
    record = folder.record["seeds"][str(seed)]
    rows = [row | {"score": math.nan if row["score"] is None else row["score"]} for row in record["rows"]]
    return MultitaskResult(name, folder.path, pd.DataFrame(rows), record["best_epoch"], tuple(tasks), model)


class _Model(nn.Module):
    """A copy of a network with one linear layer on its features; from uint8 images to the head's outputs."""

    def __init__(
        self, network: "FaceNetwork", layer: str, bias: Sequence[float], start: str, seed: int
    ) -> None:
        from fusiform.networks import FaceNetwork

        super().__init__()
        fresh = network.randomized(seed).module if start == "scratch" else copy.deepcopy(network.module)
        self._net = FaceNetwork(fresh.float().requires_grad_(True), network.card)
        self._layer = layer
        self.trunk = self._net.module
        features = math.prod(self._net.layer(layer).shape)
        linear = nn.Linear(features, len(bias))
        with torch.no_grad():
            linear.weight.zero_()
            linear.bias.copy_(torch.tensor(bias))
        # Embeddings come in all scales; standardised, one learning rate does for all.
        norm = nn.BatchNorm1d(features, affine=False)
        self.head = nn.Sequential(OrderedDict(norm=norm, linear=linear)).to(self._net.device)
        # A third faster on a CPU than channels first.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n o"]:
        x = self._net.prepare(images).to(memory_format=torch.channels_last)
        caught: dict[str, Tensor] = {}
        with self._net.tapped([self._layer], caught.__setitem__):
            self.trunk(x)
        return self.head(caught[self._layer].flatten(1))


class _Training:
    """One training on its way; what chance does hangs on (seed, step), so a whole epoch is all its state."""

    def __init__(
        self,
        model: _Model,
        tasks: list[Task],
        values: Float[ndarray, "n t"],
        n_train: int,
        pixels: Pixels,
        recipe: Recipe,
        folder: TrainingFolder,
        seed: int,
    ) -> None:
        self.model, self.tasks, self.values, self.n_train = model, tasks, values, n_train
        self.pixels, self.recipe, self.folder, self.seed = pixels, recipe, folder, seed
        self.optimizer = make_optimizer(recipe, model)
        self.targets = torch.from_numpy(values.astype(np.float32))
        self.epoch_steps = max(1, n_train // recipe.batch_size)
        self.total = recipe.epochs * self.epoch_steps

    def run(self, step_done: Any) -> None:
        state = self.folder.state_path(self.seed)
        record: dict[str, Any] = {"complete": False, "best_epoch": 0, "rows": []}
        if state.exists():
            record |= restore_state(state, self.model, self.optimizer)
        for epoch in range(len(record["rows"]), self.recipe.epochs):
            loss = self._epoch(epoch, step_done)
            score = self._score()
            best = max(
                (row["score"] for row in record["rows"] if row["score"] is not None), default=-math.inf
            )
            record["rows"].append(
                {"epoch": epoch + 1, "loss": loss, "score": None if math.isnan(score) else score}
            )
            if math.isnan(score) or score > best:
                record["best_epoch"] = epoch + 1
                write_tensors(self.folder.best_path(self.seed), self.model.state_dict())
            save_state(state, self.model, self.optimizer, record)
        self.folder.record["seeds"][str(self.seed)] = record | {"complete": True}
        self.folder.save()
        # Three times the weights, of no use once the end is reached.
        state.unlink()

    def _epoch(self, epoch: int, step_done: Any) -> float:
        batch = self.recipe.batch_size
        order = epoch_order(
            np.arange(self.n_train),
            self.epoch_steps * batch,
            sampling="uniform_images",
            seed=self.seed,
            epoch=epoch,
        )
        self.model.train()
        losses = []
        for position, draws in enumerate(order.reshape(self.epoch_steps, batch)):
            step = epoch * self.epoch_steps + position
            losses.append(self._step(step, draws))
            step_done(step + 1, self.total)
        return float(np.mean(losses))

    def _step(self, step: int, draws: Int[ndarray, " b"]) -> float:
        rate = learning_rate(self.recipe, step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        stream = augmentation_stream(self.seed, step)
        pixels = training_batch(self.pixels.take(draws), self.recipe, stream)
        torch.manual_seed(torch_seed(self.seed, step))
        outputs = self.model(pixels.mul_(255).round_().to(torch.uint8))
        loss = mean_loss(self.tasks, outputs, self.targets[draws].to(outputs.device))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NetworkError(
                f"The loss is no longer a number after step {step} (learning rate {rate:g}). Choose a smaller "
                "learning_rate or another 'start' (of a study: another baseline=), and another folder."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return value

    def _score(self) -> float:
        valid = np.arange(self.n_train, len(self.values))
        if not len(valid):
            return math.nan
        outputs = torch.cat(
            [
                _evaluated(self.model, torch.stack(self.pixels.take(valid[start : start + _BATCH])))
                for start in range(0, len(valid), _BATCH)
            ]
        )
        found = answers(self.tasks, outputs)
        scores = np.array(
            [task.score(found[task.name], self.values[valid, k]) for k, task in enumerate(self.tasks)]
        )
        return float(scores[np.isfinite(scores)].mean()) if np.isfinite(scores).any() else math.nan


@torch.no_grad()
def _evaluated(model: nn.Module, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n o"]:
    return model.eval()(images).cpu()


def _recipe(faces: "FaceSet", epochs: int, rate: float, batch_size: int, flip: bool) -> Recipe:
    if faces.size is None:
        raise DataError(
            f"The faces '{faces.name}' differ in size. Frame them for the network first "
            "(fusiform.networks.frame_faces), or use .resized(size)."
        )
    return Recipe(
        "multitask",
        epochs=epochs,
        batch_size=batch_size,
        sampling="uniform_images",
        input_size=faces.size,
        # Images are cut from their own size; this only says that the cut fits.
        shortest_side=max(faces.size),
        padding=round(_PADDING * min(faces.size)),
        grey=0.0,
        flip=0.5 if flip else 0.0,
        brightness=0.2,
        contrast=0.2,
        # What the network subtracts, its card says.
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        optimizer="adamw",
        learning_rate=rate,
        weight_decay=0.01,
        schedule="cosine",
        warmup=0.1,
        seeds=(0,),
    )


def _checked_rows(
    faces: "FaceSet", train_rows: Int[ndarray, " n"], valid_rows: Int[ndarray, " m"]
) -> tuple[Int[ndarray, " n"], Int[ndarray, " m"]]:
    train, valid = (np.unique(np.asarray(rows, dtype=np.int64)) for rows in (train_rows, valid_rows))
    for what, rows in (("train_rows", train), ("valid_rows", valid)):
        if len(rows) and not 0 <= rows[0] <= rows[-1] < len(faces):
            worst = rows[0] if rows[0] < 0 else rows[-1]
            raise DataError(f"'{what}' names face {worst} of a set of {len(faces)}.")
    if not len(train):
        raise DataError("There are no training faces; 'train_rows' is empty.")
    both = np.intersect1d(train, valid)
    if len(both):
        raise DataError(
            f"{len(both)} faces are in both 'train_rows' and 'valid_rows', among them face {both[0]}. Validation must "
            "be of faces that are not learnt."
        )
    return train, valid


def _digest(values: ndarray, *rows: ndarray) -> str:
    sha = hashlib.sha256(values.tobytes())
    for own in rows:
        sha.update(own.tobytes() + b"|")
    return sha.hexdigest()
