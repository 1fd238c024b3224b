from typing import Annotated

import typer

from fusiform.cli import _options as options_of
from fusiform.cli._outcome import carry_out


def attribution(
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            "-n",
            metavar="[LABEL=]SPEC",
            help="A verifier or a classifier; may be given several times.",
        ),
    ] = None,
    faces: options_of.Faces = None,
    out: options_of.Out = None,
    config: options_of.Config = None,
    quick: Annotated[
        bool | None, typer.Option("--quick", help="Little of everything, for a first look in minutes.")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Methods of attribution, such as occlusion,lrp.  [default: all]"),
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="Images, or probes, whose maps are measured.  [default: 24]")
    ] = None,
    triplets: Annotated[
        int | None, typer.Option(help="Triplets of the inpainting game.  [default: 40]")
    ] = None,
    few: Annotated[
        int | None,
        typer.Option(help="Images of measures that make maps again and again.  [default: 6]"),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Steps of deletion, insertion and the inpainting game.  [default: 16]"),
    ] = None,
    parts: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Parts in which pointing games look.  [default: eyes,nose,mouth]"),
    ] = None,
    inpainting: Annotated[
        str | None,
        typer.Option(
            metavar="published:PATH", help="Faces of the inpainting game.  [default: synthetic faces]"
        ),
    ] = None,
    masked_faces: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="Faces with masks for the pointing games.  [default: those of --faces]"
        ),
    ] = None,
    landmarks: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="A network for 68 landmarks, for faces that have none."),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(metavar="ATTRIBUTE", help="By whose groups canonical maps are averaged."),
    ] = None,
    truth_parts: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Parts to which tasks with a known answer are confined.  [default: eyeglasses,nose,mouth]",
        ),
    ] = None,
    truth_images: Annotated[
        int | None, typer.Option(help="Images of each task with a known answer.  [default: 24]")
    ] = None,
    align: options_of.Align = None,
    strict: options_of.Strict = None,
    seed: Annotated[
        int | None, typer.Option(help="Of images, maps, trainings and intervals.  [default: 0]")
    ] = None,
    memory_gb: options_of.MemoryGb = None,
    overwrite: options_of.Overwrite = False,
    open_report: options_of.OpenReport = False,
    quiet: options_of.Quiet = False,
) -> None:
    """Hold methods of attribution against each other: which maps of your network are to be trusted."""
    options, out, source = options_of.gathered(
        config,
        out,
        {
            "network": network or None,
            "faces": faces,
            "quick": quick,
            "methods": options_of.names(methods),
            "images": images,
            "triplets": triplets,
            "few": few,
            "steps": steps,
            "parts": options_of.names(parts),
            "inpainting": inpainting,
            "masked_faces": masked_faces,
            "landmarks": landmarks,
            "groups": groups,
            "truth_parts": options_of.names(truth_parts),
            "truth_images": truth_images,
            "align": align,
            "strict": strict,
            "seed": seed,
            "memory_gb": memory_gb,
        },
    )

    from fusiform.studies import AttributionRequest, study_attribution

    request = AttributionRequest.from_mapping(options, source=source)
    options.pop("network")
    carry_out(
        study_attribution,
        list(request.network),
        options.pop("faces"),
        out,
        overwrite=overwrite,
        quiet=quiet,
        open_report=open_report,
        **options,
    )
