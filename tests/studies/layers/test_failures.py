"""The study of layers where something fails: what is kept, what is done again, and what ends it."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch

from fusiform.errors import DataError, RunError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.networks.training import train_multitask
from fusiform.runs import Progress, Run
from fusiform.studies import study_layers
from fusiform.studies.layers import _experiments, _study
from fusiform.studies.layers._experiments import EXPERIMENTS

OFF = dict.fromkeys(("control", "selectivity", "confounds", "ablation", "consistency", "geometry"), False)
ASKED = {"attributes": ["Eyeglasses"], "layers": ["fc"], "units": ["layer"], "quick": True} | OFF


@pytest.fixture
def break_with(monkeypatch):
    """Make an experiment fail with an error, or none when the name is None."""

    def broken(name, error=None):
        def failing(bench, subject, probes):
            raise error

        changed = [replace(e, measure=failing) if e.name == name else e for e in EXPERIMENTS]
        monkeypatch.setattr(_study, "EXPERIMENTS", changed)

    return broken


@pytest.fixture
def refuse(monkeypatch):
    """Make the probing of some networks fail with a DataError; gives the names that were tried."""

    def refusing(which):
        tried, probing = [], _study.probing

        def changed(bench, subject):
            tried.append(subject.name)
            if which(subject):
                raise DataError("These faces are too dark.")
            return probing(bench, subject)

        monkeypatch.setattr(_study, "probing", changed)
        return tried

    return refusing


def test_a_failing_experiment_loses_no_other_and_is_done_again(
    small_net, planted_faces, tmp_path, monkeypatch, capsys
):
    asked = (
        {"attributes": ["Eyeglasses"], "layers": ["stage2", "fc"], "quick": True} | OFF | {"geometry": True}
    )
    calls = []

    def failing(bench, subject, probes):
        raise RuntimeError("out of luck")

    def counting(experiment):
        def measure(bench, subject, probes):
            calls.append(experiment.name)
            return experiment.measure(bench, subject, probes)

        return replace(experiment, measure=measure)

    broken = [replace(e, measure=failing) if e.name == "geometry" else counting(e) for e in EXPERIMENTS]
    monkeypatch.setattr(_study, "EXPERIMENTS", broken)
    with Progress() as progress:
        run = study_layers(small_net, planted_faces, tmp_path / "run", progress=progress, **asked)
    assert run.status == "running"
    (problem,) = run.problems
    assert (problem["experiment"], problem["network"]) == ("geometry", "small")
    assert problem["error"] == "RuntimeError: out of luck"
    assert "Failed: geometry of 'small'. RuntimeError: out of luck" in capsys.readouterr().err
    assert calls == ["identification"]
    assert {"probes", "best", "identification"} <= set(run.tables)
    monkeypatch.setattr(_study, "EXPERIMENTS", [counting(e) for e in EXPERIMENTS])
    run = study_layers(small_net, planted_faces, tmp_path / "run", **asked)
    assert run.status == "complete"
    assert calls == ["identification", "geometry"]
    assert "geometry" in run.tables
    assert run.problems == []


def test_what_the_faces_do_not_allow_is_said_and_does_not_hold_up_the_study(
    small_net, planted_faces, tmp_path, break_with
):
    break_with("identification", DataError("These faces are too few."))
    run = study_layers(small_net, planted_faces, tmp_path / "run", **ASKED)
    assert run.status == "complete"
    assert [p["error"] for p in run.problems] == ["These faces are too few."]


def test_a_network_that_cannot_be_probed_does_not_lose_the_others(small_net, planted_faces, tmp_path):
    class Broken(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).mean((2, 3)) + torch.where(x.sum() == 0, 0.0, torch.inf)

    broken = FaceNetwork(Broken(), NetworkCard(name="broken", input_size=(48, 48)))
    asked = {"attributes": ["Eyeglasses"], "quick": True} | OFF
    run = study_layers([broken, small_net], planted_faces, tmp_path / "run", **asked)
    assert set(run.table("probes").network) == {"small"}
    assert run.status == "running"
    assert "broken" in {p["network"] for p in run.problems}
    with pytest.raises(DataError, match=r"No network could be probed: .*infinite"):
        study_layers(broken, planted_faces, tmp_path / "alone", **asked)


def test_a_failed_probing_is_always_done_again(small_net, planted_faces, tmp_path, refuse):
    tried = refuse(lambda subject: subject.control and len(tried) == 2)
    asked = ASKED | {"control": True}
    run = study_layers(small_net, planted_faces, tmp_path / "run", **asked)
    twin = "small (random weights)"
    assert [(p["experiment"], p["network"]) for p in run.problems] == [("probing", twin)]
    assert run.status == "running"
    run = study_layers(small_net, planted_faces, tmp_path / "run", **asked)
    assert (run.status, run.problems) == ("complete", [])
    assert set(run.table("probes").network) == {"small", twin}


def test_random_weights_alone_are_no_study(small_net, planted_faces, tmp_path, refuse):
    tried = refuse(lambda subject: not subject.control)
    with pytest.raises(DataError, match=r"No network could be probed: These faces are too dark\. Finished"):
        study_layers(small_net, planted_faces, tmp_path / "run", **ASKED | {"control": True})
    assert tried == ["small"]


def test_trouble_with_the_run_folder_ends_the_study_after_what_follows_from_the_probes(
    small_net, planted_faces, tmp_path, break_with
):
    break_with("identification", RunError("The disk is full."))
    with pytest.raises(RunError, match="The disk is full"):
        study_layers(small_net, planted_faces, tmp_path / "run", **ASKED)
    run = Run.open(tmp_path / "run")
    assert run.status == "running"
    assert {"probes", "best", "averages", "gained", "findings"} <= set(run.tables)
    break_with(None)
    run = study_layers(small_net, planted_faces, tmp_path / "run", **ASKED)
    assert run.status == "complete"
    assert "identification" in run.tables


def test_trouble_before_a_network_is_probed_is_said_as_it_is(small_net, planted_faces, tmp_path, monkeypatch):
    def full(bench, subject):
        raise RunError("The disk is full.")

    monkeypatch.setattr(_study, "probing", full)
    with pytest.raises(RunError, match="The disk is full"):
        study_layers(small_net, planted_faces, tmp_path / "run", **ASKED)
    assert "best" not in Run.open(tmp_path / "run").tables


def test_a_baseline_that_diverges_costs_nothing_else(small_net, planted_faces, tmp_path, monkeypatch):
    monkeypatch.setattr(_experiments, "train_multitask", partial(train_multitask, learning_rate=1e30))
    asked = ASKED | {"baseline": "finetune", "n_train": 60, "n_valid": 20}
    run = study_layers(small_net, planted_faces, tmp_path / "run", **asked)
    assert [p["experiment"] for p in run.problems] == ["baseline"]
    assert "no longer a number" in run.problems[0]["error"]
    assert "baseline=" in run.problems[0]["error"]
    # A second time would end alike.
    assert run.status == "complete"
    assert {"best", "findings", "identification"} <= set(run.tables)


def test_a_study_is_continued_with_other_budgets(small_net, planted_faces, tmp_path, break_with, monkeypatch):
    break_with("identification", RuntimeError("out of memory"))
    study_layers(small_net, planted_faces, tmp_path / "run", memory_gb=2, **ASKED)
    break_with(None)
    with pytest.raises(RunError, match="seed: 0 there, 1 asked"):
        study_layers(small_net, planted_faces, tmp_path / "run", seed=1, **ASKED)
    written, inner = [], Run.write_part
    monkeypatch.setattr(Run, "write_part", lambda *given: (written.append(given[1]), inner(*given))[1])
    run = study_layers(small_net, planted_faces, tmp_path / "run", memory_gb=1, batch_size=8, **ASKED)
    assert run.status == "complete"
    assert written == ["identification@small"]
    assert (run.request["memory_gb"], run.request["batch_size"]) == (1, 8)


def test_a_study_is_continued_with_an_experiment_switched_on(
    small_net, planted_faces, tmp_path, break_with, monkeypatch
):
    break_with("identification", RuntimeError("out of memory"))
    study_layers(small_net, planted_faces, tmp_path / "run", **ASKED)
    break_with(None)
    written, inner = [], Run.write_part
    monkeypatch.setattr(Run, "write_part", lambda *given: (written.append(given[1]), inner(*given))[1])
    run = study_layers(small_net, planted_faces, tmp_path / "run", **ASKED | {"geometry": True})
    assert run.status == "complete"
    # Layers that are probed are not probed again, but for the moved faces of the new experiment.
    assert (written[0], written[-1]) == ("identification@small", "geometry@small")
    assert "geometry" in run.tables


def test_setups_of_one_architecture_have_random_twins_of_their_own(
    small_net, planted_faces, tmp_path, monkeypatch
):
    module = copy.deepcopy(small_net.module)
    with torch.no_grad():
        module.fc.bias.add_(1.0)
    other = FaceNetwork(module, replace(small_net.card, name="other"))
    twins, made = [], _study.random_twin
    monkeypatch.setattr(_study, "random_twin", lambda *given: (twins.append(made(*given)), twins[-1])[1])
    asked = ASKED | {"control": True, "seed": 3}
    study_layers({"a": small_net, "b": other}, planted_faces, tmp_path / "run", **asked)
    assert [t.net.digest() for t in twins] == [
        small_net.randomized(seed=3).digest(),
        small_net.randomized(seed=4).digest(),
    ]
