"""What commands that run studies say at their end."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fusiform.runs import Run


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
