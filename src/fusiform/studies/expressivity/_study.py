from dataclasses import asdict
from pathlib import Path
from typing import Any

from fusiform.errors import DataError
from fusiform.faces import FaceSet, open_faces
from fusiform.networks import FaceNetwork, framing_template, load_network
from fusiform.networks._weights import file_digest
from fusiform.runs import Progress, Run
from fusiform.studies._request import BUDGETS
from fusiform.studies.expressivity._asked import Known, ask, draw_images, named
from fusiform.studies.expressivity._bench import (
    chosen_features,
    predictors,
    watched,
)
from fusiform.studies.expressivity._course import Checkpoint, course
from fusiform.studies.expressivity._embeddings import read_embeddings
from fusiform.studies.expressivity._features import IMAGE
from fusiform.studies.expressivity._request import ExpressivityRequest
from fusiform.studies.expressivity._work import Work
from fusiform.studies.layers._subjects import (
    Networks,
    asked_networks,
    check_layers,
    load_subjects,
)


def study_expressivity(
    networks: Networks | None,
    faces: str | FaceSet | None,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Study how much the features of face networks say about attributes (Dhar and others 2020).

    Estimates the mutual information of every attribute with the features of the image, of the layers, and of the last
    layer over training, fits linear probes on the same features, and follows the paper's readings: the order of attributes,
    their decay, compression. Writes tables, example faces and run.json into a run folder, of which
    `fusiform.report.write_report` makes the page; docs/expressivity.md tells the protocol and all tables.

    Parameters
    ----------
    networks : str, FaceNetwork, sequence of these, mapping of str to these, or None
        Networks or specifications, as for `fusiform.studies.study_layers`; None with the option `features`.
    faces : str, FaceSet or None
        The faces or their specification; None with the option `features`.
    out : str or Path
        The run folder. An unfinished run that was asked the same is continued.
    overwrite : bool, default False
        Replace an earlier run in that folder.
    progress : Progress, optional
        Where to show progress; silent when not given.
    **options
        The other fields of `ExpressivityRequest`.

    Returns
    -------
    Run
        The run. Where a layer failed, the others are done, and its ``problems`` name it. Unless the faces or the network do
        not allow that layer, the run then is not complete, and a second call does again what failed.

    Raises
    ------
    FusiformError
        One of its kinds, for whatever is wrong with what was given. What is finished is kept.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> off = dict.fromkeys(("control", "linear", "calibration"), False)
    >>> with TemporaryDirectory() as folder:
    ...     run = study_expressivity("demo", "synthetic?n=60&seed=1&size=32", folder + "/run", attributes=["yaw"],
    ...                              layers=["image", "embedding"], estimators=["gaussian"], **off)
    ...     sorted(set(run.table("expressivity").layer))
    ['embedding', 'image']
    """
    asked = [] if networks is None else asked_networks(networks)
    given = {
        "network": [_described(setup, net) for setup, net in asked],
        "faces": faces if isinstance(faces, str | None) else faces.spec or faces.name,
    }
    request = ExpressivityRequest.from_mapping(
        {name: value for name, value in given.items() if value} | options
    )
    progress = progress or Progress(quiet=True)
    if request.features is not None and request.attributes is not None:
        read = read_embeddings(request.features, request.attributes[0], identity=request.identity)
        ask(read.known.subset(draw_images(read.known, request.only, request)), request.only, request)
        files = {
            name: file_digest(Path(path).expanduser())
            for name, path in (("features", request.features), ("attributes", request.attributes[0]))
        }
        run = _start(out, request, files, overwrite)
        return Work(run, request, progress).go_features(read)
    # Everything that may be wrong with what was asked is looked at before a folder is made.
    subjects = load_subjects(asked)
    layers = tuple(name for name in request.layers or () if name != IMAGE) or None
    check_layers(subjects, layers)
    for subject in subjects:
        chosen_features(subject.net, request)
    opened = open_faces(faces) if isinstance(faces, str) else faces
    if opened is None:  # the request has faces by now
        raise DataError("The study needs faces.")
    predicted = predictors(request)
    names = None if request.attributes is None else [n for n in request.attributes if n not in predicted]
    if names is None or names:
        named(Known.of(opened), names)
    pretrained = None if request.pretrained is None else load_network(request.pretrained)
    past = None
    if request.checkpoints is not None:
        watched(subjects[0].net, request)
        past = course(
            subjects[0].net,
            asked[0][1] if isinstance(asked[0][1], str) else None,
            request.checkpoints,
            initial=request.initial,
            seed=request.seed,
            most=request.most_checkpoints,
        )
    nets = [subject.net for subject in subjects] + ([] if pretrained is None else [pretrained])
    for net in nets:
        framing_template(net, opened, request.align)
    digests: dict[str, Any] = {
        "networks": {subject.name: subject.net.digest() for subject in subjects},
        "faces": opened.digest(),
        "predict": {name: net.digest() for name, (net, _) in predicted.items()},
        "pretrained": None if pretrained is None else pretrained.digest(),
        "checkpoints": [] if past is None else [_checkpoint(each) for each in past.checkpoints],
    }
    study = Work(_start(out, request, digests, overwrite), request, progress)
    return study.go_networks(opened, subjects, predicted, past, pretrained)


def _start(out: str | Path, request: ExpressivityRequest, digests: dict[str, Any], overwrite: bool) -> Run:
    asked = asdict(request) | {"study": "expressivity", "digests": digests}
    return Run.start(out, asked, overwrite=overwrite, not_compared=BUDGETS)


def _checkpoint(each: Checkpoint) -> str:
    """A checkpoint by what it holds, or by its name where it is no file: of the demo, or random weights."""
    path = Path(each.source)
    return f"{each.step}: {file_digest(path) if path.is_file() else each.source}"


def _described(setup: str | None, net: str | FaceNetwork) -> str:
    text = net if isinstance(net, str) else net.card.name
    return text if setup is None else f"{setup}={text}"
