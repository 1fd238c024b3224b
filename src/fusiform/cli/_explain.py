from typing import Annotated

import typer

from fusiform.cli import _options as options_of
from fusiform.cli._outcome import carry_out


def explain(
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE", help="Images to explain one by one, as with --images."),
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", "-n", metavar="SPEC", help="A verifier or a classifier.")
    ] = None,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B", help="Why do these two match, or not? Image files, or image ids of --faces."
        ),
    ] = None,
    nonmate: Annotated[
        str | None,
        typer.Option(metavar="C", help="With --pair: why is A more like B than like C, another person?"),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A B ...", help="Explain these one by one: image files, or image ids of --faces."
        ),
    ] = None,
    identities: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="What tells these two people of --faces apart?"),
    ] = None,
    faces: options_of.Faces = None,
    out: options_of.Out = None,
    config: options_of.Config = None,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAME|NUMBER",
            help="The class to explain.  [default: the predicted one of each image]",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="activation:LAYER:CHANNEL",
            help="A unit instead of a class; of a pair: match_probability instead of the similarity.",
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Methods, with options as in 'lrp?rule=gamma&gamma=0.1'.  [default: occlusion, paired occlusion, LRP, "
            "contrastive Excitation Backprop, Integrated Gradients, Grad-CAM]",
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Cosine from which two images match.  [default: the network card's]")
    ] = None,
    calibrate: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Faces with identities, to find the threshold on.")
    ] = None,
    false_match_rate: Annotated[
        float | None, typer.Option(help="Share of pairs of two people that may match.  [default: 0.001]")
    ] = None,
    landmarks: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="A network for 68 landmarks, for faces that have none."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="What hidden pixels become: mean, blur, noise, grey, black, white.  [default: mean]"
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(help="Images where none are named.  [default: 12; of two people 8 each]"),
    ] = None,
    align: options_of.Align = None,
    strict: options_of.Strict = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is drawn.  [default: 0]")] = None,
    memory_gb: options_of.MemoryGb = None,
    overwrite: options_of.Overwrite = False,
    open_report: options_of.OpenReport = False,
    quiet: options_of.Quiet = False,
) -> None:
    """Explain a decision: why two images match or do not, why an image is what a network says, what tells two people apart."""
    options, out, source = options_of.gathered(
        config,
        out,
        {
            "network": network,
            "pair": None if pair is None else list(pair),
            "nonmate": nonmate,
            "images": [*(images or []), *(more or [])] or None,
            "identities": None if identities is None else list(identities),
            "faces": faces,
            "class_name": class_name,
            "target": target,
            "methods": options_of.names(methods),
            "threshold": threshold,
            "calibrate": calibrate,
            "false_match_rate": false_match_rate,
            "landmarks": landmarks,
            "baseline": baseline,
            "most": most,
            "align": align,
            "strict": strict,
            "seed": seed,
            "memory_gb": memory_gb,
        },
    )

    from fusiform.studies import ExplainRequest
    from fusiform.studies import explain as run_explain

    carry_out(
        run_explain,
        ExplainRequest.from_mapping(options, source=source),
        out,
        overwrite=overwrite,
        quiet=quiet,
        open_report=open_report,
    )
