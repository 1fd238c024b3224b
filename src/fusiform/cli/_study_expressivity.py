from typing import Annotated

import typer

from fusiform.cli import _options as options_of
from fusiform.cli._outcome import carry_out


def expressivity(
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network", "-n", metavar="[SETUP=]SPEC", help="A network; may be given several times."
        ),
    ] = None,
    faces: options_of.Faces = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Features that you have, .npy, .npz, .parquet or .csv, a row an image; instead of networks and faces.",
        ),
    ] = None,
    out: options_of.Out = None,
    attributes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...|FILE",
            help="Which attributes of the faces, identity by its name among them; all when not given. With --features: the "
            "file of the attributes, .csv, .tsv or .parquet.",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="With --features: which columns of the attributes.  [default: all]"
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --features: the column that says who is shown.  [default: found by its name]",
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Which layers, 'image' for the grey image; 'all'; 'default': image, block outputs, pools and fc.",
        ),
    ] = None,
    config: options_of.Config = None,
    quick: Annotated[
        bool | None, typer.Option("--quick", help="Little of everything, for a first look in minutes.")
    ] = None,
    estimators: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="mine, nwj, smile, infonce, gaussian, ksg; the main one first.  [default: mine,infonce,gaussian]",
        ),
    ] = None,
    restarts: Annotated[
        int | None, typer.Option(help="Critics for an attribute and layer.  [default: 16]")
    ] = None,
    images: Annotated[int | None, typer.Option(help="Images at the most.  [default: 5000]")] = None,
    dimension: Annotated[
        int | None,
        typer.Option(help="D: channels of a map are drawn to have nearest to D features.  [default: 2048]"),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Height to which the grey image is averaged; the network's own keeps all pixels.  [default: nearest to D pixels]"
        ),
    ] = None,
    min_images: Annotated[
        int | None, typer.Option(help="Images a person must have to count for identity.  [default: 10]")
    ] = None,
    identity_anyway: Annotated[
        bool | None,
        typer.Option(
            "--identity-anyway", help="Study identity with fewer images a person: numbers without meaning."
        ),
    ] = None,
    raw: Annotated[
        bool | None,
        typer.Option("--raw", help="Degrees, years, probabilities, numeric identity as they are, too."),
    ] = None,
    predict: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:OUTPUT]=SPEC",
            help="An attribute predicted by a network, such as yaw=pose3d?weights=FILE; may be given several times.",
        ),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|GLOB|demo",
            help="Weights during the first network's training; the last number in a name is the step.",
        ),
    ] = None,
    course_layers: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Layers watched over training.  [default: the last features]"),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(
            help="Step 0. checkpoint: the first of them; random: random weights; auto: the first where its training "
            "recorded it as the start.  [default: auto]"
        ),
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="A network trained on objects, whose last features are another step 0."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the network is trained to tell, for the compression reading.  [default: identity]",
        ),
    ] = None,
    linear: Annotated[
        bool | None,
        typer.Option("--linear/--no-linear", help="Linear probes on the same features.  [default: on]"),
    ] = None,
    calibration: Annotated[
        bool | None,
        typer.Option(
            "--calibration/--no-calibration",
            help="Hold the estimators to known mutual information.  [default: on]",
        ),
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
    """Say how much the features of face networks say about attributes, with every experiment of Dhar and others (2020)."""
    options, out, source = options_of.gathered(
        config,
        out,
        {
            "network": network or None,
            "faces": faces,
            "features": features,
            "attributes": options_of.names(attributes),
            "only": options_of.names(only),
            "identity": identity,
            "layers": options_of.names(layers),
            "quick": quick,
            "estimators": options_of.names(estimators),
            "restarts": restarts,
            "images": images,
            "dimension": dimension,
            "image_size": image_size,
            "min_images": min_images,
            "identity_anyway": identity_anyway,
            "raw": raw,
            "predict": predict or None,
            "checkpoints": checkpoints,
            "course_layers": options_of.names(course_layers),
            "initial": initial,
            "pretrained": pretrained,
            "task": task,
            "linear": linear,
            "calibration": calibration,
            "align": align,
            "control": control,
            "strict": strict,
            "seed": seed,
            "memory_gb": memory_gb,
            "batch_size": batch_size,
        },
    )

    from fusiform.studies import ExpressivityRequest, study_expressivity

    ExpressivityRequest.from_mapping(options, source=source)
    carry_out(
        study_expressivity,
        options.pop("network", None),
        options.pop("faces", None),
        out,
        overwrite=overwrite,
        quiet=quiet,
        open_report=open_report,
        **options,
    )
