from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from fusiform.cli._options import Overwrite, Quiet
from fusiform.errors import SpecError

if TYPE_CHECKING:
    from fusiform.faces import FaceDictionary

_MOST = 20


def dictionary(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC",
            help="A saved folder, published:PATH, or any faces: celeba:PATH, synthetic?n=.., ...",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to save the dictionary into.")
    ] = None,
    concepts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CSV or TOML with concepts and categories beside the published ones."
        ),
    ] = None,
    masks: Annotated[
        str, typer.Option(help="auto, exact (the set's masks) or ellipses (68 landmarks).")
    ] = "auto",
    balance: Annotated[
        bool, typer.Option("--balance/--no-balance", help="As many images in each group of a category.")
    ] = True,
    landmarks: Annotated[
        str | None,
        typer.Option(metavar="NETWORK", help="Find 68 landmarks first, with a network of 136 outputs."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the balancing draw.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Build a Face Dictionary, say how many images show each concept and what is wrong, and save it."""
    from fusiform.faces import ConceptTable, build_dictionary, open_dictionary, open_faces
    from fusiform.runs import Progress

    if masks not in ("auto", "exact", "ellipses"):
        raise SpecError(f"--masks must be auto, exact or ellipses; got '{masks}'.")
    choice = cast(Literal["auto", "exact", "ellipses"], masks)
    table = ConceptTable.published()
    if concepts is not None:
        table = table.extended(ConceptTable.read(concepts))
    with Progress(quiet=quiet) as progress:
        step = progress.task("Reading masks")
        if landmarks is None:
            made = open_dictionary(
                spec, concepts=table, masks=choice, balance=balance, seed=seed, progress=step
            )
        else:
            from fusiform.networks import load_network, predict_landmarks

            faces = open_faces(spec).readable()
            found = predict_landmarks(
                load_network(landmarks), faces, progress=progress.task("Finding landmarks")
            )
            made = build_dictionary(
                found, concepts=table, masks=choice, balance=balance, seed=seed, progress=step
            )
        saved = None
        if out is not None:
            saved = made.save(out, overwrite=overwrite, progress=progress.task("Writing masks"))
    _tell(made)
    if saved is not None:
        typer.echo(f"Written: {saved.absolute()}")


def _tell(made: "FaceDictionary") -> None:
    groups = sum(len(category.groups) for category in made.concepts.categories)
    typer.echo(
        f"{made.name}: {len(made):,} images, {len(made.concepts.local)} local concepts, {groups} groups"
    )
    histogram = made.histogram
    width = max(map(len, histogram["concept"]))
    shown = histogram[histogram["images"] > 0].to_dict("records")
    title = ""
    for row in shown:
        if row["region"] != title:
            title = str(row["region"])
            typer.echo(f"\n{title}{' (groups of faces)' if row['kind'] == 'global' else ''}")
        drawn = "" if row["drawn"] == row["concept"] else row["drawn"]
        typer.echo(f"  {row['concept']:<{width}}  {row['images']:>7,}  {drawn}".rstrip())
    for note, rows in histogram[histogram["images"] == 0].groupby("note", sort=False):
        typer.echo(f"\nNot there, {note}:\n  {', '.join(rows['concept'])}")
    problems = made.problems
    each = problems[problems["image_id"].notna()].fillna({"concept": ""})
    if len(each):
        counts = (
            each.groupby(["concept", "reason"])
            .size()
            .rename("n")
            .reset_index()
            .sort_values("n", ascending=False)
        )
        typer.echo(f"\n{len(each):,} masks or images cannot be used:")
        for found in counts.head(_MOST).to_dict("records"):
            concept = f"{found['concept']}: " if found["concept"] else ""
            typer.echo(f"  {found['n']:>7,}  {concept}{found['reason']}")
        if len(counts) > _MOST:
            typer.echo(
                f"  and {len(counts) - _MOST} more reasons; problems.csv of a saved dictionary lists every image"
            )
    advice = str(made.settings.get("landmarks", ""))
    if "ellipses need 68" in advice:
        typer.echo(f"\nLandmarks: {advice}; or give --landmarks NETWORK.")
