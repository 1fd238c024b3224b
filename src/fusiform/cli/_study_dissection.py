from typing import Annotated

import typer

from fusiform.cli import _options as options_of
from fusiform.cli._outcome import carry_out


def dissection(
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network", "-n", metavar="[LABEL=]SPEC", help="A network; may be given several times."
        ),
    ] = None,
    faces: options_of.Faces = None,
    dictionary: Annotated[
        str | None,
        typer.Option(
            "--dictionary",
            "-d",
            metavar="FOLDER|published:PATH",
            help="A Face Dictionary that is there, instead of --faces.",
        ),
    ] = None,
    out: options_of.Out = None,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Which layers, by name or role; 'all': all convolutions; 'last-stages': those of the last two stages; "
            "'blocks': the outputs of their blocks, which are fewer.  [default: last-stages]",
        ),
    ] = None,
    config: options_of.Config = None,
    quick: Annotated[
        bool | None, typer.Option("--quick", help="Little of everything, for a first look in minutes.")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="hierarchical, network (Network Dissection).  [default: both]"),
    ] = None,
    quantile: Annotated[
        float | None,
        typer.Option(help="Share of a unit's activations above its threshold.  [default: 0.005]"),
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(help="From which intersection over union a unit is a detector.  [default: 0.04]"),
    ] = None,
    union: Annotated[
        str | None,
        typer.Option(
            help="all: over all images in which a concept is known; labelled: over those that carry it and in which the unit "
            "fires.  [default: all]"
        ),
    ] = None,
    permutations: Annotated[
        int | None, typer.Option(help="Of labels, for p-values of global groups.  [default: 1000]")
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="Images at the most, drawn at random.  [default: all]")
    ] = None,
    landmarks: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="A network for 68 landmarks, for faces that have none."),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(
            help="Of faces. exact: the set's own; ellipses: from 68 landmarks; auto: the first where there are some.  "
            "[default: auto]"
        ),
    ] = None,
    concepts: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Further concepts, regions and global categories, .toml or .csv."),
    ] = None,
    balance: Annotated[
        bool | None,
        typer.Option(
            "--balance/--no-balance", help="Equally many images a group of each category.  [default: balance]"
        ),
    ] = None,
    training_faces: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="Faces the network was trained with, to be looked for in the dictionary."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The attribute that the network was trained to tell, for the reading of bias.",
        ),
    ] = None,
    task_faces: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Faces with that attribute.  [default: those of --training-faces]"),
    ] = None,
    unit_pages: Annotated[
        int | None, typer.Option(help="Units of a network with pictures.  [default: 48]")
    ] = None,
    top: Annotated[int | None, typer.Option(help="Images in a strip.  [default: 5]")] = None,
    align: options_of.Align = None,
    control: options_of.Control = None,
    strict: options_of.Strict = None,
    seed: options_of.Seed = None,
    memory_gb: options_of.MemoryGb = None,
    batch_size: options_of.BatchSize = None,
    overwrite: options_of.Overwrite = False,
    open_report: options_of.OpenReport = False,
    quiet: options_of.Quiet = False,
) -> None:
    """Pair units of face networks with facial concepts, by Network Dissection and by hierarchical dissection (Teotia and others 2022)."""
    options, out, source = options_of.gathered(
        config,
        out,
        {
            "network": network or None,
            "faces": faces,
            "dictionary": dictionary,
            "layers": options_of.names(layers),
            "quick": quick,
            "methods": options_of.names(methods),
            "quantile": quantile,
            "iou": iou,
            "union": union,
            "permutations": permutations,
            "images": images,
            "landmarks": landmarks,
            "masks": masks,
            "concepts": concepts,
            "balance": balance,
            "training_faces": training_faces,
            "task": task,
            "task_faces": task_faces,
            "unit_pages": unit_pages,
            "top": top,
            "align": align,
            "control": control,
            "strict": strict,
            "seed": seed,
            "memory_gb": memory_gb,
            "batch_size": batch_size,
        },
    )

    from fusiform.studies import DissectionRequest, study_dissection

    request = DissectionRequest.from_mapping(options, source=source)
    options.pop("network")
    carry_out(
        study_dissection,
        list(request.network),
        options.pop("faces", None),
        out,
        overwrite=overwrite,
        quiet=quiet,
        open_report=open_report,
        **options,
    )
