from pathlib import Path
from typing import Annotated, Any

import typer

from fusiform.errors import SpecError


def audit(
    network: Annotated[
        str | None,
        typer.Option(
            "--network", "-n", metavar="SPEC", help="demo, timm:NAME, onnx:FILE, python:MODULE:FACTORY, ..."
        ),
    ] = None,
    faces: Annotated[
        str | None,
        typer.Option(
            "--faces", "-f", metavar="SPEC", help="folder:PATH, table:FILE, celeba:PATH, synthetic?n=.., ..."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The run folder to make.")] = None,
    attributes: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Which attributes; all when not given.")
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Which layers; 'all'; block outputs, pools and fc when not given."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with these options; the command line wins.")
    ] = None,
    align: Annotated[
        str | None, typer.Option(help="auto, none, or a template's name.  [default: auto]")
    ] = None,
    n_train: Annotated[
        int | None, typer.Option(help="Training images an attribute.  [default: 2048]")
    ] = None,
    n_valid: Annotated[
        int | None, typer.Option(help="Validation images an attribute.  [default: 6144]")
    ] = None,
    n_components: Annotated[int | None, typer.Option(help="PLS dimensions.  [default: 8]")] = None,
    control: Annotated[
        bool | None,
        typer.Option("--control/--no-control", help="Probe random weights beside it.  [default: control]"),
    ] = None,
    strict: Annotated[
        bool | None,
        typer.Option("--strict", help="An unreadable image is an error instead of being left out."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of split, draws, control and intervals.  [default: 0]")
    ] = None,
    memory_gb: Annotated[float | None, typer.Option(help="Budget for activations, GB.  [default: 4]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Faces a forward pass.  [default: 32]")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in that folder.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Say what every layer of a face network knows of every attribute, in one report."""
    given = {
        "network": network,
        "faces": faces,
        "attributes": _names(attributes),
        "layers": _names(layers),
        "align": align,
        "n_train": n_train,
        "n_valid": n_valid,
        "n_components": n_components,
        "control": control,
        "strict": strict,
        "seed": seed,
        "memory_gb": memory_gb,
        "batch_size": batch_size,
    }
    options = _read(config) if config is not None else {}
    configured = options.pop("out", None)
    if out is None and configured is not None:
        out = Path(configured)
    options |= {name: value for name, value in given.items() if value is not None}
    if out is None:
        raise SpecError(
            "No run folder was named; give --out FOLDER, where tables and report.html will be written."
        )

    from fusiform.report import write_report
    from fusiform.runs import Progress
    from fusiform.studies import AuditRequest
    from fusiform.studies import audit as run_audit

    AuditRequest.from_mapping(options, source=f"'{config}'" if config is not None else "The command")
    with Progress(quiet=quiet) as progress:
        run = run_audit(out=out, overwrite=overwrite, progress=progress, **options)
        report = write_report(run.path)
    typer.echo(f"Report: {report.absolute()}")


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _read(config: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"There is no file '{config}'.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"'{config}' cannot be read as TOML: {error}.") from error
