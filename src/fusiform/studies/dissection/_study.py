from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fusiform.errors import SpecError
from fusiform.faces import (
    ConceptTable,
    FaceDictionary,
    FaceSet,
    build_dictionary,
    open_dictionary,
    open_faces,
    pick_faces,
)
from fusiform.networks import FaceNetwork, framing_template, load_network, predict_landmarks
from fusiform.runs import Progress, Run
from fusiform.studies._request import BUDGETS
from fusiform.studies.dissection._bias import check_task
from fusiform.studies.dissection._layers import check_names, dissected_layers
from fusiform.studies.dissection._request import DissectionRequest
from fusiform.studies.dissection._work import Work
from fusiform.studies.layers._subjects import Networks, Subject, asked_networks, load_subjects


def study_dissection(
    networks: Networks,
    faces: str | FaceSet | FaceDictionary | None,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Study what each unit of face networks detects (Teotia, Lapedriza and Ostadabbas 2022; Bau and others 2017).

    Pairs the units of layers with the concepts of a Face Dictionary, by Network Dissection and by hierarchical network
    dissection, beside the same network with random weights. Writes tables, strips of images and run.json into a run folder,
    of which `fusiform.report.write_report` makes the page; docs/dissection.md tells the protocol and all tables.

    Parameters
    ----------
    networks : str, FaceNetwork, sequence of these, or mapping of str to these
        Networks or specifications. The keys of a mapping, and what stands before ``=`` in ``"SETUP=SPEC"``, name them.
    faces : str, FaceSet, FaceDictionary or None
        Faces or their specification, from which a dictionary is built; a dictionary; or None with the option `dictionary`.
    out : str or Path
        The run folder. An unfinished run that was asked the same is continued.
    overwrite : bool, default False
        Replace an earlier run in that folder.
    progress : Progress, optional
        Where to show progress; silent when not given.
    **options
        The other fields of `DissectionRequest`.

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
    >>> with TemporaryDirectory() as folder:
    ...     run = study_dissection("demo", "synthetic?n=24&seed=1&size=32", folder + "/run", layers=["stage4.0.conv1"],
    ...                            control=False, permutations=20, unit_pages=1)
    ...     sorted(set(run.table("coverage").method))
    ['hierarchical', 'network']
    """
    asked = asked_networks(networks)
    given: dict[str, Any] = {
        "network": [_described(label, net) for label, net in asked],
        "dictionary" if isinstance(faces, FaceDictionary) else "faces": _named(faces),
    }
    request = DissectionRequest.from_mapping({k: v for k, v in given.items() if v} | options)
    progress = progress or Progress(quiet=True)
    # Everything that may be wrong with what was asked is looked at before a folder is made.
    subjects = _apart(load_subjects(asked))
    check_names([subject.net for subject in subjects], request.layers)
    for subject in subjects:
        dissected_layers(subject.net, request.layers, request.most_layers)
    training = None if request.training_faces is None else open_faces(request.training_faces)
    task_faces = training if request.task_faces is None else open_faces(request.task_faces)
    if request.task is not None and task_faces is not None:
        check_task(task_faces, request.task)
    dictionary = _dictionary(faces, request, progress)
    for subject in subjects:
        framing_template(subject.net, dictionary.faces, request.align)
    digests = {
        "networks": {subject.setup: subject.net.digest() for subject in subjects},
        "dictionary": dictionary.digest(),
        "training": None if training is None else training.digest(),
        "task": None if task_faces is None else task_faces.digest(),
    }
    run = Run.start(
        out,
        asdict(request) | {"study": "dissection", "digests": digests},
        overwrite=overwrite,
        not_compared=BUDGETS,
    )
    return Work(run, request, progress).go(subjects, dictionary, training, task_faces)


def _dictionary(
    given: str | FaceSet | FaceDictionary | None, request: DissectionRequest, progress: Progress
) -> FaceDictionary:
    if isinstance(given, FaceDictionary) or request.dictionary is not None:
        whole = given if isinstance(given, FaceDictionary) else open_dictionary(str(request.dictionary))
        fewer = _drawn(whole.faces, request)
        return whole if fewer is whole.faces else whole.on(fewer)
    concepts = None
    if request.concepts is not None:
        concepts = ConceptTable.published().extended(ConceptTable.read(request.concepts))
    faces = _drawn(given if isinstance(given, FaceSet) else open_faces(str(request.faces)), request)
    if request.landmarks is not None:
        net = load_network(request.landmarks)
        faces = predict_landmarks(net, faces, progress=progress.task("Landmarks"))
    return build_dictionary(
        faces,
        concepts=concepts,
        masks=request.masks,
        balance=request.balance,
        seed=request.seed,
        progress=progress.task("Face Dictionary"),
    )


def _drawn(faces: FaceSet, request: DissectionRequest) -> FaceSet:
    if request.images is None or request.images >= len(faces):
        return faces
    return faces.subset(np.sort(pick_faces(faces, request.images, seed=request.seed)))


def _apart(subjects: list[Subject]) -> list[Subject]:
    """The same networks, if each has a name of its own."""
    names = [subject.setup for subject in subjects]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SpecError(
            f"Several networks are labelled '{twice[0]}'; a dissection is of single networks, so give each its own label: "
            "--network LABEL=SPEC."
        )
    return subjects


def _named(faces: str | FaceSet | FaceDictionary | None) -> str | None:
    if isinstance(faces, FaceDictionary):
        return faces.name
    return faces if isinstance(faces, str | None) else faces.spec or faces.name


def _described(label: str | None, net: str | FaceNetwork) -> str:
    text = net if isinstance(net, str) else net.card.name
    return text if label is None else f"{label}={text}"
