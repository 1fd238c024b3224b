import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import nn

from fusiform.errors import RunError, WeightsError, nearest
from fusiform.networks.training._folder import TrainingFolder, read_tensors
from fusiform.networks.training._heads import make_head
from fusiform.networks.training._recipe import Recipe
from fusiform.networks.training._trunk import TrunkSource, build_trunk, embedding_size

if TYPE_CHECKING:
    from fusiform.networks import FaceNetwork


@dataclass(frozen=True)
class TrainingResult:
    """What a training left behind.

    Parameters
    ----------
    folder : Path
        Where it lies.
    table : DataFrame
        The log: seed, step, epoch, lr (of the next step), loss and accuracy (means over the training images
        since the row before; empty at step 0), valid_auc (empty without a validation set).
    checkpoints : DataFrame
        The weights kept on the way: seed, step, path.
    seeds : DataFrame
        The initialisations: seed, complete, best_step, valid_auc (at that step), path of the best weights.
    record : dict
        What ``training.json`` holds: what was asked, classes, versions.
    """

    folder: Path
    table: pd.DataFrame
    checkpoints: pd.DataFrame
    seeds: pd.DataFrame
    record: dict[str, Any]

    @property
    def best(self) -> Path:
        """Weights of the initialisation of highest validation AUC, or of the first where none was measured."""
        return self.path(seed=self.best_seed)

    @property
    def best_seed(self) -> int:
        """The seed of `best`."""
        complete = self.seeds[self.seeds["complete"]].sort_values("valid_auc", ascending=False, kind="stable")
        if complete.empty:
            raise RunError(
                f"No initialisation in '{self.folder}' is trained to its end. Give the same command again."
            )
        return int(complete["seed"].iloc[0])

    def path(self, *, seed: int | None = None, step: int | None = None) -> Path:
        """Find weights.

        Parameters
        ----------
        seed : int, optional
            The initialisation; by default that of `best`.
        step : int, optional
            A checkpoint's step; by default the best weights.

        Returns
        -------
        Path
            A safetensors file.

        Raises
        ------
        RunError
            If there is none.
        """
        seed = self.best_seed if seed is None else seed
        rows = self.seeds[self.seeds["seed"] == seed] if step is None else self.checkpoints
        if step is not None:
            rows = rows[(rows["seed"] == seed) & (rows["step"] == step)]
        if rows.empty:
            steps = self.checkpoints.loc[self.checkpoints["seed"] == seed, "step"].astype(str)
            what = f"step {step} of seed {seed}" if step is not None else f"seed {seed}"
            known = (
                nearest(str(step), steps) if len(steps) else f"its seeds are {self.seeds['seed'].tolist()}"
            )
            raise RunError(f"The training in '{self.folder}' has no weights of {what}; {known}")
        return Path(rows["path"].iloc[0])

    def load(
        self, *, seed: int | None = None, step: int | None = None, network: TrunkSource | None = None
    ) -> "FaceNetwork":
        """Make a network of trained weights.

        Parameters
        ----------
        seed : int, optional
            The initialisation; by default that of `best`.
        step : int, optional
            A checkpoint's step; by default the best weights.
        network : str or callable, optional
            What was trained; needed only where it was a function.

        Returns
        -------
        FaceNetwork
            In evaluation mode. Its head is ``"embedding"`` for identities and triplets, ``"values"`` of a continuous
            attribute, otherwise ``"logits"`` with classes.

        Raises
        ------
        RunError
            If there are no such weights.
        WeightsError
            If they do not fit the network.
        """
        from fusiform.networks import FaceNetwork, NetworkCard

        path = self.path(seed=seed, step=step)
        state, about = read_tensors(path)
        asked = self.record["request"]
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in asked["recipe"].items()
        }
        recipe = Recipe(**fields)
        module = build_trunk(asked["network"] if network is None else network, seed=0)
        classes = asked["classes"]
        if classes is not None:
            size = embedding_size(module, recipe.input_size, asked["network"])
            head = make_head(recipe, size, asked["kind"], len(classes))
            module = nn.Sequential(OrderedDict(trunk=module, classifier=head))
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(f"The weights '{path}' do not fit '{asked['network']}': {error}") from error
        card = NetworkCard(
            name=f"{asked['network']}, {recipe.name}, seed {about['seed']}, step {about['step']}",
            input_size=recipe.input_size,
            mean=recipe.mean,
            std=recipe.std,
            head="embedding" if classes is None else "values" if asked["kind"] == "continuous" else "logits",
            classes=None if classes is None else tuple(classes) or (asked["attribute"],),
            weights_digest=hashlib.sha256(path.read_bytes()).hexdigest(),
            description=f"Trained on {asked['n_images']} images of {asked['faces']} for '{asked['attribute']}'.",
        )
        return FaceNetwork(module.eval(), card)


def load_training(out: str | Path) -> TrainingResult:
    """Read the folder of a training, finished or not.

    Parameters
    ----------
    out : str or Path
        The folder that `train` wrote.

    Returns
    -------
    TrainingResult
        What it holds so far.

    Raises
    ------
    RunError
        If the folder holds no training.

    Examples
    --------
    >>> load_training("no/such/folder")
    Traceback (most recent call last):
    ...
    fusiform.errors.RunError: The folder 'no/such/folder' holds no readable training.json, so it is not a
    training's. Choose another folder; nothing was changed.
    """
    folder = TrainingFolder.open(out)
    kept: list[dict[str, Any]] = []
    seeds: list[dict[str, Any]] = []
    for name, seed_record in folder.record["seeds"].items():
        seed = int(name)
        found = sorted(folder.seed_path(seed).glob("checkpoints/step_*.safetensors"))
        kept += [{"seed": seed, "step": int(re.findall(r"\d+", p.stem)[-1]), "path": str(p)} for p in found]
        seeds.append({"seed": seed, **seed_record, "path": str(folder.best_path(seed))})
    return TrainingResult(
        folder.path,
        folder.log(),
        pd.DataFrame(kept, columns=["seed", "step", "path"]),
        pd.DataFrame(seeds, columns=["seed", "complete", "best_step", "valid_auc", "path"]).astype(
            {"valid_auc": "float64"}
        ),
        folder.record,
    )
