from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fusiform.networks.training import Recipe


def train(
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            "-n",
            metavar="SPEC",
            help="demo, resnet50, timm:NAME, python:MODULE:FACTORY, ...  [default: the face task's own, or demo]",
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            "-r",
            help="demo, diniz2021; or one of six face tasks: age, gender, beauty, identity, triplets, smile.",
        ),
    ] = "demo",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints, log and weights.")] = Path(
        "runs/train"
    ),
    faces: Annotated[
        str | None,
        typer.Option("--faces", "-f", metavar="SPEC", help="Training faces.  [default: the recipe's own]"),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Faces of other people: to choose weights by, or, of a face task, to test on instead of a split.",
        ),
    ] = None,
    attribute: Annotated[
        str | None,
        typer.Option(help="What to learn; A+B for combinations.  [default: identity, or the face task's]"),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Of a face task: faces to keep out of training and test, such as a dictionary's.",
        ),
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Of a face task: splits.  [default: the task's]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs.  [default: the recipe's]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Faces a step.  [default: the recipe's]")] = None,
    triplets: Annotated[
        int | None, typer.Option(help="Of the recipe triplets: triplets an epoch.  [default: 80000]")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0,1,...", help="Initialisations.  [default: the recipe's]")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    memory_gb: Annotated[float, typer.Option(help="Images kept in memory, GB.")] = 2.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train a network on faces; the same command continues what was interrupted.

    Without options it remakes the bundled demo network and measures it on people it never saw.
    """
    from fusiform.errors import SpecError
    from fusiform.networks.training import FACE_TASKS, find_recipe, train_demo
    from fusiform.networks.training import train as run_training
    from fusiform.runs import Progress

    changes = {"epochs": epochs, "batch_size": batch_size, "triplets": triplets, "seeds": _seeds(seeds)}
    chosen = find_recipe(recipe, **{name: value for name, value in changes.items() if value is not None})
    if chosen.name in FACE_TASKS:
        _face_task(
            chosen, network, faces, validation, out, attribute, without, folds, device, memory_gb, quiet
        )
        return
    if without is not None or folds is not None:
        given = "--without" if without is not None else "--folds"
        raise SpecError(f"{given} is for the recipes {', '.join(FACE_TASKS)}; got --recipe {recipe}.")
    network, attribute = network or "demo", attribute or "identity"
    with Progress(quiet=quiet) as progress:
        if (network, recipe, attribute, faces, validation) == ("demo", "demo", "identity", None, None):
            made = train_demo(out, recipe=chosen, memory_gb=memory_gb, progress=progress)
            for name, value in made.metrics.items():
                typer.echo(f"{name}: {value}")
            typer.echo(f"Weights: {made.data.absolute()}")
            return
        result = run_training(
            network,
            faces,
            chosen,
            out,
            attribute=attribute,
            validation=validation,
            device=device,
            memory_gb=memory_gb,
            progress=progress,
        )
    typer.echo(result.seeds.to_string(index=False))
    typer.echo(f"Weights: {result.best.absolute()}")


def _face_task(
    recipe: "Recipe",
    network: str | None,
    faces: str | None,
    test: str | None,
    out: Path,
    attribute: str | None,
    without: str | None,
    folds: int | None,
    device: str,
    memory_gb: float,
    quiet: bool,
) -> None:
    from fusiform.errors import SpecError
    from fusiform.faces import open_faces
    from fusiform.networks.training import FACE_TASKS, fit_recipe, train_task
    from fusiform.runs import Progress

    task = FACE_TASKS[recipe.name]
    if faces is None:
        raise SpecError(
            f"The recipe '{task.name}' is made for {task.dataset}; give --faces {task.faces}, or another set."
        )
    network = network or recipe.networks[0]
    with Progress(quiet=quiet) as progress:
        made = train_task(
            task,
            faces,
            out,
            network=network,
            recipe=fit_recipe(recipe, network),
            attribute=attribute,
            test=test,
            without=() if without is None else open_faces(without).table["image_id"].tolist(),
            folds=folds,
            device=device,
            memory_gb=memory_gb,
            progress=progress,
        )
    table = made.table.assign(
        **{name: made.table[name].astype("string").fillna("") for name in ("fold", "seed")}
    )
    shown = [
        "model",
        "network",
        "attribute",
        "fold",
        "seed",
        "metric",
        "value",
        "spread",
        "paper",
        "chance",
        "n_train",
        "n_test",
    ]
    typer.echo(table[shown].to_string(index=False, float_format="%.4g"))
    typer.echo(f"Split: {made.table['split'].iloc[0]}. {task.note[:1].upper()}{task.note[1:]}.")
    typer.echo(f"Layer to dissect: {made.table['layer'].iloc[0] or 'none found'}")
    for path in filter(None, table["weights"]):
        typer.echo(f"Weights: {Path(path).absolute()}")


def _seeds(text: str | None) -> tuple[int, ...] | None:
    from fusiform.errors import SpecError

    if text is None:
        return None
    try:
        return tuple(int(seed) for seed in text.split(","))
    except ValueError:
        raise SpecError(
            f"--seeds must be whole numbers with commas between, such as 0,1,2; got '{text}'."
        ) from None
