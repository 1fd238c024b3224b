"""What commands that run studies do, and what they say at their end."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from fusiform.runs import Run


def carry_out(
    study: "Callable[..., Run]", *asked: Any, quiet: bool, open_report: bool, **options: Any
) -> None:
    """Run a study with progress, write its report, and `tell`."""
    from fusiform.report import write_report
    from fusiform.runs import Progress

    with Progress(quiet=quiet) as progress:
        run = study(*asked, progress=progress, **options)
        report = write_report(run.path, open=open_report)
    tell(run, report)


def tell(run: "Run", report: Path) -> None:
    """Say where the report is and what failed; exit code 1 where the same command would do something again."""
    typer.echo(f"Report: {report.absolute()}")
    failed = ", ".join(f"{each['experiment']} of '{each['network']}'" for each in run.problems)
    if run.status != "complete":
        typer.echo(
            f"Failed: {failed}; run.json says why. Give the same command again to do them again.", err=True
        )
        raise typer.Exit(1)
    if failed:
        typer.echo(f"Not possible with these faces and networks: {failed}; run.json says why.", err=True)
