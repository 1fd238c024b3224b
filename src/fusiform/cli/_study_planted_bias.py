from typing import Annotated

import typer

from fusiform.cli import _options as options_of
from fusiform.cli._outcome import carry_out


def planted_bias(
    faces: Annotated[
        str | None,
        typer.Option(
            "--faces",
            "-f",
            metavar="SPEC",
            help="Faces with Male and Eyeglasses: celeba:PATH, table:FILE, ...  [default: synthetic faces]",
        ),
    ] = None,
    out: options_of.Out = None,
    cues: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="eyeglasses, grey: which cues are planted.  [default: both]"),
    ] = None,
    percents: Annotated[
        str | None,
        typer.Option(
            metavar="P,P,...",
            help="Of how many men the picture carries the cue.  [default: 50,60,70,80,90,100]",
        ),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Networks for each cue and percentage.  [default: 3]")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            "-n",
            metavar="SPEC",
            help="A ResNet of the zoo, without weights.  [default: resnet10?width=24&variant=small]",
        ),
    ] = None,
    dictionary: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|published:PATH|SPEC",
            help="The Face Dictionary.  [default: of people of --faces who are not trained on, if they have masks or 68 landmarks; "
            "else of other synthetic faces]",
        ),
    ] = None,
    config: options_of.Config = None,
    quick: Annotated[
        bool | None, typer.Option("--quick", help="Little of everything, for a first look.")
    ] = None,
    train_images: Annotated[
        int | None, typer.Option(help="Pictures in a training set at the most.  [default: 2000]")
    ] = None,
    test_images: Annotated[
        int | None, typer.Option(help="Pictures in the test set at the most.  [default: 800]")
    ] = None,
    dictionary_images: Annotated[
        int | None, typer.Option(help="Faces in a dictionary that the study makes.  [default: 1000]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set.  [default: 10]")] = None,
    union: Annotated[
        str | None,
        typer.Option(
            help="all (Network Dissection's) or labelled (the authors'): what IoU divides by.  [default: all]"
        ),
    ] = None,
    grey: Annotated[
        str | None,
        typer.Option(help="luminance or mean: how grey is made of the colours.  [default: luminance]"),
    ] = None,
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
    """Plant a bias in the training of networks and dissect them, as in section 4 of Teotia and others (2022)."""
    options, out, source = options_of.gathered(
        config,
        out,
        {
            "faces": faces,
            "cues": options_of.names(cues),
            "percents": options_of.names(percents),
            "repeats": repeats,
            "network": network,
            "dictionary": dictionary,
            "quick": quick,
            "train_images": train_images,
            "test_images": test_images,
            "dictionary_images": dictionary_images,
            "epochs": epochs,
            "union": union,
            "grey": grey,
            "align": align,
            "control": control,
            "strict": strict,
            "seed": seed,
            "memory_gb": memory_gb,
            "batch_size": batch_size,
        },
    )

    from fusiform.studies import PlantedBiasRequest, study_planted_bias

    PlantedBiasRequest.from_mapping(options, source=source)
    carry_out(
        study_planted_bias,
        options.pop("faces", None),
        out,
        overwrite=overwrite,
        quiet=quiet,
        open_report=open_report,
        **options,
    )
