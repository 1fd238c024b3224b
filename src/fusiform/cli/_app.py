import sys

import typer

import fusiform
from fusiform.cli import _audit, _doctor, _networks, _report
from fusiform.errors import FusiformError

app = typer.Typer(
    name="fusiform",
    help="Open a face network up: measure what every layer knows, and read it in one report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("audit")(_audit.audit)
app.command("report")(_report.report)
app.command("layers")(_networks.layers)
app.command("train")(_networks.train)
app.command("doctor")(_doctor.doctor)


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
