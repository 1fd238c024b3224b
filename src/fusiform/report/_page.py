import json
import webbrowser
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from fusiform.errors import RunError, nearest
from fusiform.plotting import style
from fusiform.report import _format, _shared
from fusiform.report._parts import Page
from fusiform.report.attribution import page as attribution_page
from fusiform.report.audit import page as audit_page
from fusiform.report.dissection import page as dissection_page
from fusiform.report.explain import page as explain_page
from fusiform.report.expressivity import page as expressivity_page
from fusiform.report.layers import page as layers_page
from fusiform.report.planted_bias import page as planted_bias_page
from fusiform.runs import Run, atomic_write

# A study's page is a function of its run folder and a template that fills the blocks of base.html.j2.
PAGES: dict[str, Callable[[Run], Page]] = {
    "attribution": attribution_page,
    "audit": audit_page,
    "dissection": dissection_page,
    "explain": explain_page,
    "expressivity": expressivity_page,
    "layers": layers_page,
    "planted-bias": planted_bias_page,
}

_TEMPLATES = Path(__file__).parent / "templates"
_SIZE_MARK = "{{file-size}}"
_DIGITS = 6
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
        If the folder holds no run or that of a study without a page, or the disk is full.
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
    # Folders of the first version name no study; they are audits.
    study = str(run.request.get("study", "audit"))
    if study not in PAGES:
        raise RunError(
            f"There is no page for the study '{study}' of the run '{run.path}': {nearest(study, list(PAGES))}"
        )
    content = _render(run, PAGES[study](run))
    path = run.path / "report.html"
    with atomic_write(path) as part:
        part.write_text(content, encoding="utf-8")
    if open:
        webbrowser.open(path.resolve().as_uri())
    return path


def _render(run: Run, page: Page) -> str:
    plots = {name: _json(figure) for name, figure in page.figures.items()}
    text = (
        _environment()
        .get_template(page.template)
        .render(
            **_shared.context(run),
            **page.values,
            title=page.title,
            kicker=page.kicker,
            summary=page.summary,
            key_figures=page.key_figures,
            contents=page.contents,
            plots=plots,
            style=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
            script=Markup((_TEMPLATES / "report.js").read_text(encoding="utf-8")),
            plotly=Markup(_plotly_source()) if plots else "",
            looks=_safe_json(_looks(page)),
            size_mark=_SIZE_MARK,
        )
    )
    return text.replace(_SIZE_MARK, f"{len(text.encode('utf-8')) / 1e6:.1f} MB")


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
        "breakable",
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
    environment.tests["not_there"] = _format.missing
    return environment


def _plotly_source() -> str:
    source = get_plotlyjs()
    # Nothing in a script may look like its end.
    return source.replace("</script", "<\\/script")


def _json(figure: go.Figure) -> dict[str, Any]:
    figure.update_layout(_LAYOUT_OF_PAGE)
    content = _rounded(json.loads(figure.to_json()))
    # Hundreds of lines over the same layers name them once.
    lists: dict[tuple[str, ...], int] = {}
    for trace in content["data"]:
        for key, value in trace.items():
            if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
                trace[key] = {"list": lists.setdefault(tuple(value), len(lists))}
    return {"json": _safe_json(content | {"lists": list(lists)}), "height": int(figure.layout.height)}


def _rounded(value: Any) -> Any:
    # Seventeen digits of every number would be most of a large page.
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value


def _safe_json(value: Any) -> Markup:
    # Inside a script element only "<" can do harm; as \u003c it is the same JSON.
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _looks(page: Page) -> dict[str, Any]:
    return {
        "colours": style.COLOURS,
        "symbols": style.SYMBOLS,
        "grey": style.CHANCE,
        # A single layer has no line, so its dots must be seen.
        "single": page.single,
        "light": style.SCALE_LIGHT,
        "dark": style.SCALE_DARK,
    }
