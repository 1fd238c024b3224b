from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from fusiform.errors import DataError
from fusiform.faces import FaceSet, open_faces
from fusiform.networks import FaceNetwork, framing_template, load_network
from fusiform.probing import Sampling, best_layers, probe_layers, sample, verify_layers
from fusiform.runs import Progress, Run
from fusiform.studies._request import BUDGETS, AuditRequest
from fusiform.studies._shared import (
    framed,
    layer_table,
    named_layers,
    network_record,
    say_left_out,
    timed,
    write_examples,
)


def audit(
    network: str | FaceNetwork,
    faces: str | FaceSet,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Audit a face network: say what every layer knows of every attribute.

    Reads the faces, aligns them as the network wants, probes every layer for every attribute, verifies
    identities at every layer, does the same for random weights, and writes tables, example faces and run.json into a run folder, of which
    `fusiform.report.write_report` makes the page.

    Parameters
    ----------
    network : str or FaceNetwork
        The network or its specification.
    faces : str or FaceSet
        The faces or their specification.
    out : str or Path
        The run folder. An unfinished run that was asked the same is continued.
    overwrite : bool, default False
        Replace an earlier run in that folder.
    progress : Progress, optional
        Where to show progress; silent when not given.
    **options
        The other fields of `AuditRequest`.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    FusiformError
        One of its kinds, for whatever is wrong with what was given. Finished layers are kept.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     run = audit("demo", "synthetic?n=600&seed=1&size=32", folder + "/run", attributes=["Male"],
    ...                 layers=["pool"], control=False)
    ...     run.tables
    ['attributes', 'best', 'layers', 'probes', 'skipped', 'verification']
    """
    request = AuditRequest.from_mapping(
        {
            "network": network if isinstance(network, str) else network.card.name,
            "faces": faces if isinstance(faces, str) else faces.spec or faces.name,
            **options,
        }
    )
    progress = progress or Progress(quiet=True)
    net = load_network(network) if isinstance(network, str) else network
    opened = open_faces(faces) if isinstance(faces, str) else faces
    layers = [layer.name for layer in named_layers(net, request.layers)]
    framing_template(net, opened, request.align)
    # Everything that may be wrong with what was asked has been looked at before a folder is made.
    _sampling(opened, request)
    asked = asdict(request) | {
        "study": "audit",
        "digests": {"network": net.digest(), "faces": opened.digest()},
    }
    run = Run.start(out, asked, overwrite=overwrite, not_compared=BUDGETS)
    timings = dict(run.timings)

    with timed(timings, "reading"):
        (prepared,), (alignment,), skipped = framed([net], opened, request, progress)
    sampling = _sampling(prepared, request)
    if sampling is None:
        progress.say(
            "The faces have identities but no attributes: verification is measured, and nothing probed."
        )
    else:
        say_left_out(sampling, progress)
        run.write_table("attributes", sampling.table)
    run.record(
        seed=request.seed,
        network=network_record(net),
        faces=prepared.card() | {"digest": opened.digest(), "alignment": alignment},
    )
    run.write_table("layers", layer_table(net))
    run.write_table("skipped", skipped)
    write_examples(run, prepared, sampling)

    networks = [(net, False)] + ([(net.randomized(seed=request.seed), True)] if request.control else [])
    shared: dict[str, Any] = {
        "layers": layers,
        "seed": request.seed,
        "memory_gb": request.memory_gb,
        "batch_size": request.batch_size,
        "progress": progress,
    }
    if sampling is not None:
        probes = []
        for subject, is_control in networks:
            with timed(timings, "probing the control" if is_control else "probing"):
                table = probe_layers(
                    subject,
                    prepared,
                    units=("layer",),
                    scale="pooled",
                    n_components=request.n_components,
                    sampling=sampling,
                    run=run,
                    **shared,
                )
            table.insert(1, "control", is_control)
            probes.append(table)
            run.record(timings=timings)
        table = pd.concat(probes, ignore_index=True)
        run.write_table("probes", table)
        run.write_table("best", best_layers(table))
    verified = []
    for subject, is_control in networks:
        with timed(timings, "verification"):
            table = verify_layers(subject, prepared, scratch=run.path / "parts", **shared)
        table.insert(1, "control", is_control)
        verified.append(table)
    run.write_table("verification", pd.concat(verified, ignore_index=True))
    run.record(timings=timings)
    run.finish()
    return run


def _sampling(faces: FaceSet, request: AuditRequest) -> Sampling | None:
    """What is drawn for each attribute; None for faces of which only identities are known."""
    if request.attributes is None and faces.identity is not None and len(faces.schema) == 1:
        if faces.table[faces.identity].value_counts().gt(1).sum() < 2:
            raise DataError(
                f"Of '{faces.name}' only identities are known, and fewer than two people have two images, so there "
                "is nothing to measure. Bring attributes (table:FILE), or several images of each person."
            )
        return None
    return sample(
        faces, request.attributes, n_train=request.n_train, n_valid=request.n_valid, seed=request.seed
    )
