"""The past of a network: checkpoints in their order, and what stands at step 0."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from glob import glob
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from fusiform.errors import RunError, SpecError
from fusiform.networks import FaceNetwork, load_network
from fusiform.networks.training import load_training
from fusiform.networks.zoo import demo
from fusiform.studies.layers._subjects import evenly

_WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".tar")
Start = Literal["random", "pretrained", "training"]
# By step: where the weights come from, and what loads them.
Loaders = dict[int, tuple[str, Callable[[], FaceNetwork]]]


@dataclass(frozen=True)
class Checkpoint:
    """One state of a network during its training, loaded when it is its turn."""

    step: int
    start: Start
    source: str
    load: Callable[[], FaceNetwork]


@dataclass(frozen=True)
class Course:
    """The checkpoints of one training, from step 0 on.

    Attributes
    ----------
    checkpoints : tuple of Checkpoint
        By step.
    step_unit : str
        ``"step"`` or ``"epoch"``, as the files' names have it.
    initial : str
        What stands at step 0, in words.
    """

    checkpoints: tuple[Checkpoint, ...]
    step_unit: str
    initial: str


def course(
    net: FaceNetwork, spec: str | None, checkpoints: str, *, initial: str, seed: int, most: int | None = None
) -> Course:
    """Find the checkpoints of a network's training, and decide what stands at step 0.

    A start that a training recorded is its untouched, random start. Otherwise a random initialisation of the same
    architecture is added as step 0, and a checkpoint that is labelled 0 has been trained already: then all labels are
    counted one higher.

    Parameters
    ----------
    net : FaceNetwork
        The network.
    spec : str or None
        Its specification, in which other weights are put.
    checkpoints : str
        ``"demo"``, a folder of weights, the folder of a training, or a pattern of files.
    initial : {"auto", "checkpoint", "random"}
        Whether the first checkpoint is the start, or a random initialisation is added.
    seed : int
        Of the random initialisation.
    most : int, optional
        At most so many checkpoints beside an added start, evenly spread.

    Returns
    -------
    Course
        The checkpoints.

    Raises
    ------
    SpecError
        If there are no checkpoints, their names hold no step, or two hold the same.

    Examples
    --------
    >>> found = course(load_network("demo"), "demo", "demo", initial="auto", seed=0, most=3)
    >>> [(each.step, each.start) for each in found.checkpoints], found.initial
    ([(0, 'random'), (140, 'training'), (5236, 'training')], 'the first checkpoint, the untouched start of the training')
    """
    loaders, recorded, unit = _found(spec, checkpoints)
    steps = sorted(loaders)
    untouched = initial == "checkpoint" or (initial == "auto" and recorded and steps[0] == 0)
    shift = 1 if not untouched and steps[0] == 0 else 0
    kept = [int(step) for step in evenly([str(step) for step in steps], most or len(steps))]
    listed = [
        Checkpoint(step + shift, "random" if untouched and step == steps[0] else "training", *loaders[step])
        for step in kept
    ]
    if untouched:
        what = (
            "the untouched start of the training"
            if recorded and steps[0] == 0
            else "taken for the start, as asked"
        )
        return Course(tuple(listed), unit, f"the first checkpoint, {what}")
    start = Checkpoint(0, "random", f"random weights, seed {seed}", lambda: net.randomized(seed=seed))
    why = "as asked" if initial == "random" else "for no checkpoint is recorded to be the untouched start"
    said = f"a random initialisation of the same architecture, {why}"
    if shift:
        said += f"; the checkpoint labelled 0 has been trained already, so every label is counted one {unit} higher"
    return Course((start, *listed), unit, said)


def _found(spec: str | None, checkpoints: str) -> tuple[Loaders, bool, str]:
    """Loaders by step, whether the training recorded its untouched start, and what steps are."""
    if checkpoints == "demo":
        return (
            {
                step: (f"demo?checkpoint={step}", partial(load_network, f"demo?checkpoint={step}"))
                for step in demo.CHECKPOINTS
            },
            True,
            "step",
        )
    path = Path(checkpoints).expanduser()
    if path.is_dir():
        try:
            training = load_training(path)
        except RunError:
            training = None
        if training is not None:
            seed = training.seeds["seed"].iloc[0] if len(training.seeds) else 0
            rows = training.checkpoints[training.checkpoints["seed"] == seed]
            if not len(rows):
                raise SpecError(f"The training in '{path}' has kept no checkpoints.")
            found: Loaders = {
                int(step): (str(file), partial(training.load, seed=int(seed), step=int(step)))
                for step, file in zip(rows["step"], rows["path"], strict=True)
            }
            return found, True, "step"
        files = sorted(each for each in path.iterdir() if each.suffix in _WEIGHTS)
    else:
        # A pattern may be absolute, which Path.glob does not take.
        files = [Path(each) for each in sorted(glob(str(path))) if Path(each).suffix in _WEIGHTS]  # noqa: PTH207
    if not files:
        raise SpecError(
            f"There are no weights at '{checkpoints}'; give a folder or a pattern of files that end in "
            f"{', '.join(_WEIGHTS)}, or 'demo'."
        )
    if spec is None:
        raise SpecError(
            f"Checkpoints '{checkpoints}' need the first network as a specification, in which their weights are put; it was "
            "given as an object."
        )
    by_step: Loaders = {}
    for file in files:
        numbers = re.findall(r"\d+", file.stem)
        if not numbers:
            raise SpecError(
                f"The name of the checkpoint '{file}' holds no step; number it, as in step_0100.pt."
            )
        step = int(numbers[-1])
        if step in by_step:
            raise SpecError(
                f"The checkpoints '{by_step[step][0]}' and '{file}' are both of step {step}, the last number in their names. "
                "Give a pattern that names one of them."
            )
        by_step[step] = (str(file), partial(load_network, with_weights(spec, file)))
    unit = "epoch" if all("epoch" in file.stem.lower() for file in files) else "step"
    return by_step, False, unit


def with_weights(spec: str, file: Path) -> str:
    """Put other weights into a network's specification.

    Examples
    --------
    >>> with_weights("mini_xception?weights=a.pt&name=mine", Path("runs/b.pt"))
    'mini_xception?name=mine&weights=runs/b.pt'
    """
    body, _, query = spec.partition("?")
    options = [pair for pair in query.split("&") if pair and not pair.startswith("weights=")]
    return f"{body}?{'&'.join([*options, 'weights=' + quote(str(file), safe='/: ')])}"
