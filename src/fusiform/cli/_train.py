from pathlib import Path
from typing import Annotated

import typer


def train(
    network: Annotated[
        str,
        typer.Option("--network", "-n", metavar="SPEC", help="demo, timm:NAME, python:MODULE:FACTORY, ..."),
    ] = "demo",
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="Name of a recipe, such as demo or diniz2021.")
    ] = "demo",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints, log and weights.")] = Path(
        "runs/train"
    ),
    faces: Annotated[
        str | None,
        typer.Option("--faces", "-f", metavar="SPEC", help="Training faces.  [default: the recipe's own]"),
    ] = None,
    validation: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Faces of other people, by which weights are chosen.")
    ] = None,
    attribute: Annotated[str, typer.Option(help="What to learn.")] = "identity",
    epochs: Annotated[int | None, typer.Option(help="Epochs.  [default: the recipe's]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Faces a step.  [default: the recipe's]")] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0,1,...", help="Initialisations.  [default: the recipe's]")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    memory_gb: Annotated[float, typer.Option(help="Images kept in memory, GB.")] = 2.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train a network to tell faces apart; the same command continues what was interrupted.

    Without options it remakes the bundled demo network and measures it on people it never saw.
    """
    from fusiform.networks.training import find_recipe, train_demo
    from fusiform.networks.training import train as run_training
    from fusiform.runs import Progress

    changes = {"epochs": epochs, "batch_size": batch_size, "seeds": _seeds(seeds)}
    chosen = find_recipe(recipe, **{name: value for name, value in changes.items() if value is not None})
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
