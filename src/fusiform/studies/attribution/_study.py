from dataclasses import asdict
from pathlib import Path
from typing import Any

from fusiform.attribution import METHODS
from fusiform.errors import NetworkError, SpecError
from fusiform.faces import FaceSet, open_faces
from fusiform.networks import framing_template, load_network, predict_landmarks
from fusiform.runs import Progress, Run
from fusiform.studies._request import BUDGETS
from fusiform.studies.attribution._bench import opened
from fusiform.studies.attribution._methods import competitors
from fusiform.studies.attribution._request import AttributionRequest
from fusiform.studies.attribution._work import Work
from fusiform.studies.layers._subjects import Networks, Subject, asked_networks, load_subjects


def study_attribution(
    networks: Networks,
    faces: str | FaceSet,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Study whether maps of attribution of face networks are to be trusted.

    Every method makes maps of the same images and is held against the same measures, beside random maps, edges and a
    Gaussian in the centre; then against tasks of which it is known where the evidence is. Writes tables, maps and run.json
    into a run folder, of which `fusiform.report.write_report` makes the page; docs/attribution.md tells the protocol and
    all tables.

    Parameters
    ----------
    networks : str, FaceNetwork, sequence of these, or mapping of str to these
        Networks or specifications. The keys of a mapping, and what stands before ``=`` in ``"LABEL=SPEC"``, name them.
    faces : str or FaceSet
        Faces or their specification; for verifiers with identities.
    out : str or Path
        The run folder. An unfinished run that was asked the same is continued, method by method.
    overwrite : bool, default False
        Replace an earlier run in that folder.
    progress : Progress, optional
        Where to show progress; silent when not given.
    **options
        The other fields of `AttributionRequest`.

    Returns
    -------
    Run
        The run. A method that does not apply to a network is in the table ``not_applicable``, what failed in ``skipped``.

    Raises
    ------
    FusiformError
        One of its kinds, for whatever is wrong with what was given. What is finished is kept.

    Examples
    --------
    >>> from fusiform.studies.attribution import AttributionRequest
    >>> AttributionRequest.from_mapping({"network": "demo", "faces": "synthetic?n=8", "methods": ["lrp"]}).images
    24
    """
    asked = asked_networks(networks)
    names = [net if isinstance(net, str) else net.card.name for _, net in asked]
    given = {
        "network": [
            name if label is None else f"{label}={name}"
            for name, (label, _) in zip(names, asked, strict=True)
        ],
        "faces": faces if isinstance(faces, str) else faces.spec or faces.name,
    }
    request = AttributionRequest.from_mapping({k: v for k, v in given.items() if v} | options)
    progress = progress or Progress(quiet=True)
    # Everything that may be wrong with what was asked is looked at before a folder is made.
    subjects = load_subjects(asked)
    _check(subjects)
    opened_faces = open_faces(faces) if isinstance(faces, str) else faces
    masked = None if request.masked_faces is None else open_faces(request.masked_faces)
    played = opened(request.inpainting)
    if request.groups is not None and request.groups not in opened_faces.schema:
        raise SpecError(
            f"The faces '{opened_faces.name}' have no attribute '{request.groups}' to group canonical maps by."
        )
    if request.landmarks is not None:
        opened_faces = predict_landmarks(
            load_network(request.landmarks), opened_faces, progress=progress.task("Landmarks")
        )
    for subject in subjects:
        for each in (opened_faces, masked, played):
            if each is not None:
                framing_template(subject.net, each, request.align)
    digests = {
        "networks": {subject.setup: subject.net.digest() for subject in subjects},
        "faces": opened_faces.digest(),
        "masked_faces": None if masked is None else masked.digest(),
        "inpainting": None if played is None else played.digest(),
    }
    run = Run.start(
        out,
        asdict(request) | {"study": "attribution", "digests": digests},
        overwrite=overwrite,
        not_compared=BUDGETS,
    )
    methods = competitors(request.methods or METHODS, quick=request.quick)
    return Work(run, request, progress).go(subjects, opened_faces, masked, played, methods)


def _check(subjects: list[Subject]) -> None:
    labels = [subject.setup for subject in subjects]
    for subject in subjects:
        if labels.count(subject.setup) > 1:
            raise SpecError(
                f"Several networks are labelled '{subject.setup}'; give each its own label: --network LABEL=SPEC."
            )
        if subject.net.card.head not in ("embedding", "logits"):
            raise NetworkError(
                f"'{subject.name}' gives {subject.net.card.head}; this study is of verifiers (head 'embedding') and "
                "classifiers (head 'logits')."
            )
