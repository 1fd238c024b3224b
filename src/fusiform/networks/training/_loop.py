import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fusiform.errors import RunError
from fusiform.networks.training._classes import Labels
from fusiform.networks.training._folder import TrainingFolder, write_tensors
from fusiform.networks.training._heads import Head
from fusiform.networks.training._measure import validation_auc
from fusiform.networks.training._pixels import Pixels, training_batch
from fusiform.networks.training._plan import (
    Plateau,
    augmentation_stream,
    epoch_batches,
    epoch_steps,
    learning_rate,
    log_spaced_steps,
    torch_seed,
)
from fusiform.networks.training._recipe import Recipe
from fusiform.networks.training._state import restore_state, save_state


class Trainer:
    """One initialisation on its way.

    All chance of a step is drawn from streams seeded by (seed, step), and the order of an epoch's images from
    (seed, epoch). The step number is therefore the whole state of sampler and random numbers, and a training
    that was interrupted ends in the very weights of one that was not.

    Parameters
    ----------
    trunk, head : nn.Module
        The network as it begins, and what sits on it.
    pixels, labels : Pixels and Labels
        Images, and classes or values to learn.
    validation : (Pixels, Labels) or None
        Images and classes to measure on.
    recipe : Recipe
        How.
    folder : TrainingFolder
        Where weights and log go.
    seed : int
        Which initialisation.
    device : str
        Where to compute.
    save_minutes : float
        How much work an interruption may cost; the state is saved at every row of the log too.
    """

    def __init__(
        self,
        trunk: nn.Module,
        head: Head,
        pixels: Pixels,
        labels: Labels,
        validation: tuple[Pixels, Labels] | None,
        recipe: Recipe,
        folder: TrainingFolder,
        *,
        seed: int,
        device: str,
        save_minutes: float,
    ) -> None:
        # The trunk alone is kept of an identity network; of others the classifier is what one wants.
        self.model = nn.Sequential(OrderedDict(trunk=trunk, classifier=head)).to(device)
        # A third faster on a CPU than channels first.
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trunk, self.head = trunk, head
        self.pixels, self.labels, self.validation = pixels, labels, validation
        self.recipe, self.folder, self.seed, self.device = recipe, folder, seed, device
        self.save_seconds = save_minutes * 60
        self.optimizer = make_optimizer(recipe, self.model)
        self.epoch_steps = epoch_steps(labels, recipe)
        self.total = recipe.epochs * self.epoch_steps
        self.kept_steps = log_spaced_steps(self.total, recipe.checkpoints, first=recipe.first_checkpoint)
        codes = torch.from_numpy(labels.codes)
        self.codes = codes.float() if labels.kind == "continuous" else codes
        self.plateau = Plateau(patience=recipe.plateau_patience, threshold=recipe.plateau_threshold)
        self.step = 0
        self.rows: list[dict[str, Any]] = []
        self.best_step, self.best_auc = 0, math.nan
        self.since_row = _Sums()
        self.epoch_sums = _Sums()

    def run(self, progress: Callable[[int, int], None]) -> None:
        """Train to the end, from where the state on disk stands.

        Parameters
        ----------
        progress : callable
            Called with (steps done, steps in all) after every step.

        Raises
        ------
        RunError
            If the loss is no longer a number, or the disk is full.
        """
        if self.folder.state_path(self.seed).exists():
            self._restore()
        if not self.rows:
            self._mark()
        self.model.train()
        saved = time.monotonic()
        batches = None
        while self.step < self.total:
            epoch, position = divmod(self.step, self.epoch_steps)
            if batches is None or position == 0:
                batches = epoch_batches(self.labels, self.recipe, seed=self.seed, epoch=epoch)
            self._take_step(batches[position])
            self.step += 1
            if self.step % self.epoch_steps == 0:
                self.plateau.update(self.epoch_sums.mean_loss)
                self.epoch_sums = _Sums()
            if self.step in self.kept_steps or self.step % self.epoch_steps == 0:
                self._mark()
                saved = time.monotonic()
            elif time.monotonic() - saved >= self.save_seconds:
                self._save_state()
                saved = time.monotonic()
            progress(self.step, self.total)

    # One step -----------------------------------------------------------------------------------------

    def _take_step(self, draws: Any) -> None:
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images = self.pixels.take(self.labels.rows[draws])
        x = training_batch(images, self.recipe, augmentation_stream(self.seed, self.step))
        x = x.to(self.device, memory_format=torch.channels_last)
        codes = self.codes[draws].to(self.device)
        torch.manual_seed(torch_seed(self.seed, self.step))
        outputs = self.model(x)
        loss = self.head.loss(outputs, codes)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise RunError(
                f"The loss of seed {self.seed} is no longer a number after step {self.step} (learning rate "
                f"{rate:g}). Choose a smaller learning_rate in the recipe, and another folder."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        correct = self.head.hits(outputs, codes)
        for sums in (self.since_row, self.epoch_sums):
            sums.add(value, correct, len(draws))

    def _rate(self) -> float:
        return learning_rate(self.recipe, self.step, self.total, self.plateau.drops)

    # Rows, checkpoints, state -------------------------------------------------------------------------

    def _mark(self) -> None:
        auc = math.nan
        if self.validation is not None:
            auc = validation_auc(self.trunk, self.head, *self.validation, self.recipe, device=self.device)
        self.rows.append(
            {
                "seed": self.seed,
                "step": self.step,
                "epoch": self.step // self.epoch_steps,
                "lr": self._rate(),
                "loss": self.since_row.mean_loss,
                "accuracy": self.since_row.accuracy,
                "valid_auc": auc,
            }
        )
        self.since_row = _Sums()
        about = {"seed": self.seed, "step": self.step, "valid_auc": _plain(auc), "recipe": self.recipe.name}
        if self.step in self.kept_steps:
            write_tensors(self.folder.checkpoint_path(self.seed, self.step), self._exported(), about)
        if self._is_best(auc):
            self.best_step, self.best_auc = self.step, auc
            write_tensors(self.folder.best_path(self.seed), self._exported(), about)
            if self.labels.kind == "identity":
                write_tensors(self.folder.classifier_path(self.seed), self.head.state_dict(), about)
        self.folder.write_log(self.seed, self.rows)
        self._save_state()

    def _is_best(self, auc: float) -> bool:
        if self.recipe.select == "last" or math.isnan(auc):
            return self.step == self.total
        return math.isnan(self.best_auc) or auc > self.best_auc

    def _exported(self) -> dict[str, Tensor]:
        return (self.trunk if self.labels.kind == "identity" else self.model).state_dict()

    def _save_state(self) -> None:
        values = {
            "step": self.step,
            "rows": [{k: _plain(v) for k, v in row.items()} for row in self.rows],
            "best": [self.best_step, _plain(self.best_auc)],
            "plateau": [self.plateau.best, self.plateau.stalled, self.plateau.drops],
            "since_row": [_plain(v) for v in self.since_row.values()],
            "epoch_sums": [_plain(v) for v in self.epoch_sums.values()],
        }
        # The last file of a mark: until it stands, the work since the state before is done again.
        save_state(self.folder.state_path(self.seed), self.model, self.optimizer, values)

    def _restore(self) -> None:
        values = restore_state(self.folder.state_path(self.seed), self.model, self.optimizer)
        self.step = values["step"]
        self.rows = [{k: _number(v) for k, v in row.items()} for row in values["rows"]]
        self.best_step, self.best_auc = values["best"][0], _number(values["best"][1])
        self.plateau.best, self.plateau.stalled, self.plateau.drops = values["plateau"]
        self.since_row = _Sums(*map(_number, values["since_row"]))
        self.epoch_sums = _Sums(*map(_number, values["epoch_sums"]))


class _Sums:
    """Sums of loss and hits over training images."""

    def __init__(self, loss: float = 0.0, correct: float = 0.0, count: int = 0) -> None:
        self.loss, self.correct, self.count = loss, correct, count

    def add(self, loss: float, correct: float, count: int) -> None:
        self.loss += loss * count
        self.correct += correct
        self.count += count

    @property
    def mean_loss(self) -> float:
        return self.loss / self.count if self.count else math.nan

    @property
    def accuracy(self) -> float:
        return self.correct / self.count if self.count else math.nan

    def values(self) -> list[float]:
        return [self.loss, self.correct, self.count]


def make_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Make who takes the steps; weight decay is for weights with two axes and more.

    Parameters
    ----------
    recipe : Recipe
        Says which.
    model : nn.Module
        What is trained.

    Returns
    -------
    torch.optim.Optimizer
        SGD or AdamW.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999))


def _plain(value: Any) -> Any:
    """Write what is not a number as null, which JSON has."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _number(value: Any) -> Any:
    return math.nan if value is None else value
