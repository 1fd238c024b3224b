"""What commands that run studies share: options, and reading them from a TOML file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fusiform.errors import SpecError

Faces = Annotated[
    str | None,
    typer.Option(
        "--faces", "-f", metavar="SPEC", help="folder:PATH, table:FILE, celeba:PATH, synthetic?n=.., ..."
    ),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The run folder to make.")]
Attributes = Annotated[
    str | None, typer.Option(metavar="A,B,...", help="Which attributes; all when not given.")
]
Config = Annotated[Path | None, typer.Option(help="A TOML file with these options; the command line wins.")]
Align = Annotated[str | None, typer.Option(help="auto, none, or a template's name.  [default: auto]")]
TrainImages = Annotated[int | None, typer.Option(help="Training images an attribute.  [default: 2048]")]
ValidImages = Annotated[int | None, typer.Option(help="Validation images an attribute.  [default: 6144]")]
Components = Annotated[int | None, typer.Option(help="PLS dimensions.  [default: 8]")]
Control = Annotated[
    bool | None,
    typer.Option("--control/--no-control", help="Probe random weights beside it.  [default: control]"),
]
Strict = Annotated[
    bool | None,
    typer.Option("--strict", help="An unreadable image is an error instead of being left out."),
]
Seed = Annotated[int | None, typer.Option(help="Of split, draws, control and intervals.  [default: 0]")]
MemoryGb = Annotated[float | None, typer.Option(help="Budget for activations, GB.  [default: 4]")]
BatchSize = Annotated[int | None, typer.Option(help="Faces a forward pass.  [default: 32]")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in that folder.")]
OpenReport = Annotated[bool, typer.Option("--open", help="Open the report in the browser.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def names(text: str | None) -> list[str] | None:
    """Split a list of names at its commas."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def gathered(
    config: Path | None, out: Path | None, given: dict[str, Any]
) -> tuple[dict[str, Any], Path, str]:
    """Put the TOML file and the command line together.

    Returns
    -------
    options : dict
        Names and values; what the command line gives wins over the file.
    out : Path
        The run folder.
    source : str
        What to call the options in messages.
    """
    options = _read(config) if config is not None else {}
    configured = options.pop("out", None)
    if out is None and configured is not None:
        out = Path(configured)
    options |= {name: value for name, value in given.items() if value is not None}
    if out is None:
        raise SpecError(
            "No run folder was named; give --out FOLDER, where tables and report.html will be written."
        )
    return options, out, f"'{config}'" if config is not None else "The command"


def _read(config: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"There is no file '{config}'.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"'{config}' cannot be read as TOML: {error}.") from error
