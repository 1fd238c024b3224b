import json
import re
import webbrowser
from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from fusiform.plotting import style
from fusiform.report import _format
from fusiform.report._material import Material, read_material
from fusiform.report._sections import context
from fusiform.runs import Run, atomic_write

_TEMPLATES = Path(__file__).parent / "templates"
_SIZE_MARK = "{{file-size}}"
_LAYOUT_OF_PAGE = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": style.CHANCE, "activecolor": style.TRAINED},
}


def write_report(run_folder: str | Path | Run, *, open: bool = False) -> Path:
    """Write a run's ``report.html`` from its folder alone.

    The page holds all it needs: it opens offline, asks for nothing over the network, follows the reader's light or
    dark colours, and prints. Tables that the run does not have are said to be not measured.

    Parameters
    ----------
    run_folder : str, Path or Run
        The run folder.
    open : bool, default False
        Show the page in the browser.

    Returns
    -------
    Path
        The page, ``report.html`` in the run folder.

    Raises
    ------
    RunError
        If the folder holds no run, or the disk is full.
    DataError
        If a table lacks columns that it must have.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     run = Run.start(Path(folder) / "run", {"study": "audit"})
    ...     write_report(run).name
    'report.html'
    """
    run = run_folder if isinstance(run_folder, Run) else Run.open(run_folder)
    page = _render(read_material(run))
    path = run.path / "report.html"
    with atomic_write(path) as part:
        part.write_text(page, encoding="utf-8")
    if open:
        webbrowser.open(path.resolve().as_uri())
    return path


def _render(material: Material) -> str:
    values = context(material)
    values["plots"] = {name: _json(figure) for name, figure in values.pop("figures").items()}
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            **values,
            style=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
            script=Markup((_TEMPLATES / "report.js").read_text(encoding="utf-8")),
            plotly=Markup(_plotly_source()) if values["plots"] else "",
            looks=_safe_json(_looks(material)),
            size_mark=_SIZE_MARK,
        )
    )
    return page.replace(_SIZE_MARK, f"{len(page.encode('utf-8')) / 1e6:.1f} MB")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "count",
        "interval",
        "large",
        "listing",
        "number",
        "percent",
        "scalar",
        "seconds",
        "signed",
        "words",
    ):
        environment.filters[name] = getattr(_format, name)
    environment.filters["breakable"] = _breakable
    environment.tests["not_there"] = _format.missing
    return environment


def _breakable(text: Any) -> Markup:
    # Long names may be broken after a dot or an underscore.
    return Markup(re.sub(r"([._/\-])(?=\w)", r"\1<wbr>", str(Markup.escape(text))))


def _plotly_source() -> str:
    source = get_plotlyjs()
    # Nothing in a script may look like its end.
    return source.replace("</script", "<\\/script")


def _json(figure: go.Figure) -> dict[str, Any]:
    figure.update_layout(_LAYOUT_OF_PAGE)
    return {"json": _safe_json(json.loads(figure.to_json())), "height": int(figure.layout.height)}


def _safe_json(value: Any) -> Markup:
    # Inside a script element only "<" can do harm; as \u003c it is the same JSON.
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _looks(material: Material) -> dict[str, Any]:
    return {
        "colours": style.COLOURS,
        "symbols": style.SYMBOLS,
        "grey": style.CHANCE,
        # A single layer has no line, so its dots must be seen.
        "single": [f"depth-{kind}" for kind in material.kinds if len(material.probed_layers) == 1],
        "light": style.SCALE_LIGHT,
        "dark": style.SCALE_DARK,
    }
