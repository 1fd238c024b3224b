from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
) -> None:
    """Make the report of a run again, from its folder alone."""
    from fusiform.report import write_report

    typer.echo(f"Report: {write_report(folder).absolute()}")
