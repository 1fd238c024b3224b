from typing import Annotated

import typer

from fusiform.cli import _options as options_of
from fusiform.cli._outcome import carry_out

_Units = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="channels, neurons, or layer alone; entire layers are always probed.  [default: all]",
    ),
]


def layers(
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            "-n",
            metavar="[SETUP=]SPEC",
            help="A network; may be given several times. Networks of one SETUP are averaged as its initialisations.",
        ),
    ] = None,
    faces: options_of.Faces = None,
    out: options_of.Out = None,
    attributes: options_of.Attributes = None,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Which layers; 'all'; 'default': stem, block outputs, ends of residual branches, pools and fc.",
        ),
    ] = None,
    config: options_of.Config = None,
    quick: Annotated[
        bool | None, typer.Option("--quick", help="Little of everything, for a first look in minutes.")
    ] = None,
    units: _Units = None,
    top: Annotated[
        int | None, typer.Option(help="Channels and neurons probed in a layer.  [default: 8]")
    ] = None,
    align: options_of.Align = None,
    n_train: options_of.TrainImages = None,
    n_valid: options_of.ValidImages = None,
    n_components: options_of.Components = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="subset: features scaled on each attribute's own training images; pooled: on all.  [default: subset]"
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="published: the set's own test split; identities: 60/20/20.  [default: auto, the first there is]"
        ),
    ] = None,
    control: options_of.Control = None,
    selectivity: Annotated[
        bool | None,
        typer.Option("--selectivity/--no-selectivity", help="Probe shuffled labels too.  [default: on]"),
    ] = None,
    confounds: Annotated[
        bool | None,
        typer.Option(
            "--confounds/--no-confounds", help="Probe with the strongest associate balanced.  [default: on]"
        ),
    ] = None,
    ablation: Annotated[
        bool | None,
        typer.Option(
            "--ablation/--no-ablation", help="Zero neurons and measure later layers.  [default: on]"
        ),
    ] = None,
    consistency: Annotated[
        bool | None,
        typer.Option(
            "--consistency/--no-consistency", help="Tell manipulated inputs by attributes.  [default: on]"
        ),
    ] = None,
    geometry: Annotated[
        bool | None,
        typer.Option(
            "--geometry/--no-geometry", help="Probe under rotation, scaling and shift.  [default: on]"
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="none; finetune or scratch: a network supervised on all.  [default: none]"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of the baseline.  [default: 5; 20 from scratch]")
    ] = None,
    families: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="TOML or CSV: families of attributes, beside the thesis' own."),
    ] = None,
    strict: options_of.Strict = None,
    seed: options_of.Seed = None,
    memory_gb: options_of.MemoryGb = None,
    batch_size: options_of.BatchSize = None,
    overwrite: options_of.Overwrite = False,
    open_report: options_of.OpenReport = False,
    quiet: options_of.Quiet = False,
) -> None:
    """Say what each layer, channel and neuron of face networks knows, with every experiment of Diniz (2020)."""
    options, out, source = options_of.gathered(
        config,
        out,
        {
            "network": network or None,
            "faces": faces,
            "attributes": options_of.names(attributes),
            "layers": options_of.names(layers),
            "quick": quick,
            "units": options_of.names(units),
            "top": top,
            "align": align,
            "n_train": n_train,
            "n_valid": n_valid,
            "n_components": n_components,
            "scale": scale,
            "split": split,
            "control": control,
            "selectivity": selectivity,
            "confounds": confounds,
            "ablation": ablation,
            "consistency": consistency,
            "geometry": geometry,
            "baseline": baseline,
            "epochs": epochs,
            "families": families,
            "strict": strict,
            "seed": seed,
            "memory_gb": memory_gb,
            "batch_size": batch_size,
        },
    )

    from fusiform.studies import LayersRequest, study_layers

    LayersRequest.from_mapping(options, source=source)
    carry_out(
        study_layers,
        options.pop("network"),
        options.pop("faces"),
        out,
        overwrite=overwrite,
        quiet=quiet,
        open_report=open_report,
        **options,
    )
