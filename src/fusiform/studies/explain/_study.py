from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fusiform.faces import FaceSet, open_faces
from fusiform.networks import FaceNetwork, load_network
from fusiform.runs import Progress, Run
from fusiform.studies._request import BUDGETS
from fusiform.studies.explain._identities import explain_identities, people_of
from fusiform.studies.explain._material import asked_faces, framed
from fusiform.studies.explain._of_images import explain_images
from fusiform.studies.explain._questions import check_network
from fusiform.studies.explain._request import ExplainRequest
from fusiform.studies.explain._work import Work


def explain(
    request: ExplainRequest | Mapping[str, Any],
    out: str | Path,
    *,
    network: FaceNetwork | None = None,
    faces: FaceSet | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Explain a decision: why two images match or do not, why an image is what a network says, what tells two people apart.

    Writes scores, maps, shares of the parts of the face and run.json into a run folder, of which
    `fusiform.report.write_report` makes the page; docs/explain.md tells what is done and all tables.

    Parameters
    ----------
    request : ExplainRequest or mapping
        What is asked.
    out : str or Path
        The run folder. An unfinished run that was asked the same is continued.
    network : FaceNetwork, optional
        The network, instead of the specification in the request.
    faces : FaceSet, optional
        The faces, instead of their specification.
    overwrite : bool, default False
        Replace an earlier run in that folder.
    progress : Progress, optional
        Where to show progress; silent when not given.

    Returns
    -------
    Run
        The run; its folder is ``run.path``. A method that does not apply is in the table ``not_applicable``, what failed in
        ``skipped``.

    Raises
    ------
    FusiformError
        One of its kinds, for whatever is wrong with what was given. What is finished is kept.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    >>> net = FaceNetwork(module, NetworkCard(name="tiny", input_size=(16, 16), threshold=-1.0))
    >>> request = {"pair": ["000000", "000001"], "methods": ["gradient"]}
    >>> faces = open_faces("synthetic?identities=2&per_identity=2&size=32")
    >>> with TemporaryDirectory() as folder:
    ...     explain(request, folder + "/run", network=net, faces=faces).table("scores").decision.tolist()
    ['match']
    """
    asked = dict(request) if isinstance(request, Mapping) else asdict(request)
    if network is not None:
        asked.setdefault("network", network.card.name)
    if faces is not None:
        asked["faces"] = asked.get("faces") or faces.spec or faces.name
    request = ExplainRequest.from_mapping(asked)
    progress = progress or Progress(quiet=True)
    # Everything that may be wrong with what was asked is looked at before a folder is made.
    net = load_network(request.network) if network is None else network
    check_network(request, net)
    if faces is None and request.faces is not None:
        faces = open_faces(request.faces)
    calibrated_on = None if request.calibrate is None else open_faces(request.calibrate)
    found = framed(net, asked_faces(request, faces, progress), request.align)
    for name in (*request.pair, *filter(None, [request.nonmate]), *request.images):
        found.row(name)
    if request.kind == "identities":
        people_of(request, found.faces)
    digests = {
        "network": net.digest(),
        "faces": found.faces.digest(),
        "calibrate": None if calibrated_on is None else calibrated_on.digest(),
    }
    run = Run.start(
        out,
        asdict(request) | {"study": "explain", "digests": digests},
        overwrite=overwrite,
        not_compared=BUDGETS,
    )
    work = Work(run, request, net, found, progress)
    work.know_threshold(calibrated_on)
    if request.kind == "identities":
        assert faces is not None
        return explain_identities(work, faces)
    return explain_images(work)
