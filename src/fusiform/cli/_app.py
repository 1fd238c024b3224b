import sys

import typer

import fusiform
from fusiform.cli import _audit, _dictionary, _doctor, _explain, _faces, _networks, _report, _study, _train
from fusiform.errors import FusiformError

app = typer.Typer(
    name="fusiform",
    help="Open a face network up: measure what every layer knows, and read it in one report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("audit", short_help="Say what every layer knows of every attribute.")(_audit.audit)
app.add_typer(_study.study, name="study", short_help="Repeat a published study, or test maps of saliency.")
app.command("explain", short_help="Say where a decision looks: a pair, images, or two people.")(
    _explain.explain
)
app.command("faces", short_help="Say what is known of a set of faces; contact sheet, export.")(_faces.faces)
app.command("dictionary", short_help="Build, check and save a Face Dictionary of a set of faces.")(
    _dictionary.dictionary
)
app.command("report", short_help="Make a run's report again, from its folder.")(_report.report)
app.command("layers", short_help="List a network's layers in forward order.")(_networks.layers)
app.command("train", short_help="Train a network; remakes the demo network.")(_train.train)
app.command("doctor", short_help="Say what is installed and whether it runs.")(_doctor.doctor)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
) -> None:
    if version:
        typer.echo(f"fusiform {fusiform.__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line: one line and exit code 2 for an error about what was given."""
    try:
        app()
    except FusiformError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("\nStopped. Finished layers are kept; give the same command again to continue.", err=True)
        sys.exit(130)
