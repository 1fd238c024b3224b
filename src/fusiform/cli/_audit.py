from typing import Annotated

import typer

from fusiform.cli import _options as options_of


def audit(
    network: Annotated[
        str | None,
        typer.Option(
            "--network", "-n", metavar="SPEC", help="demo, timm:NAME, onnx:FILE, python:MODULE:FACTORY, ..."
        ),
    ] = None,
    faces: options_of.Faces = None,
    out: options_of.Out = None,
    attributes: options_of.Attributes = None,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Which layers; 'all'; block outputs, pools and fc when not given."
        ),
    ] = None,
    config: options_of.Config = None,
    align: options_of.Align = None,
    n_train: options_of.TrainImages = None,
    n_valid: options_of.ValidImages = None,
    n_components: options_of.Components = None,
    control: options_of.Control = None,
    strict: options_of.Strict = None,
    seed: options_of.Seed = None,
    memory_gb: options_of.MemoryGb = None,
    batch_size: options_of.BatchSize = None,
    overwrite: options_of.Overwrite = False,
    quiet: options_of.Quiet = False,
) -> None:
    """Say what every layer of a face network knows of every attribute, in one report."""
    options, out, source = options_of.gathered(
        config,
        out,
        {
            "network": network,
            "faces": faces,
            "attributes": options_of.names(attributes),
            "layers": options_of.names(layers),
            "align": align,
            "n_train": n_train,
            "n_valid": n_valid,
            "n_components": n_components,
            "control": control,
            "strict": strict,
            "seed": seed,
            "memory_gb": memory_gb,
            "batch_size": batch_size,
        },
    )

    from fusiform.report import write_report
    from fusiform.runs import Progress
    from fusiform.studies import AuditRequest
    from fusiform.studies import audit as run_audit

    AuditRequest.from_mapping(options, source=source)
    with Progress(quiet=quiet) as progress:
        run = run_audit(out=out, overwrite=overwrite, progress=progress, **options)
        report = write_report(run.path)
    typer.echo(f"Report: {report.absolute()}")
