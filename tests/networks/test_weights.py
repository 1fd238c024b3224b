"""Weights: what is read, what is refused, and what the refusals say."""

import os
import pickle
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fusiform.errors import WeightsError
from fusiform.networks._weights import file_digest, fit_weights, read_weights


def module(width=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Linear(width, 2))


@pytest.fixture
def state():
    return {name: torch.randn_like(t.float()).to(t.dtype) for name, t in module().state_dict().items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"epoch": 3, "net_state_dict": s},
        lambda s: {"model": {"state_dict": s}},
        lambda s: {f"module.{name}": t for name, t in s.items()},
        lambda s: {"model_state_dict": {f"module.module.{name}": t for name, t in s.items()}},
    ],
)
def test_wrappers_and_prefixes_are_taken_off(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "w.pt")
    read = read_weights(tmp_path / "w.pt")
    assert list(read) == list(state)
    target = module()
    fit_weights(target, read, what="'tiny'", path="w.pt")
    assert all(torch.equal(t, state[name]) for name, t in target.state_dict().items())


def test_formats_are_told_by_their_bytes_not_their_names(tmp_path, state):
    save_file(state, tmp_path / "w.pt")
    torch.save(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    for name in ("w.pt", "w.safetensors", "old.bin"):
        assert all(torch.equal(t, state[n]) for n, t in read_weights(tmp_path / name).items())
    assert len(file_digest(tmp_path / "w.pt")) == 64


class Innocent:
    """A class that a pickle may name; loading it must never happen."""

    loaded = False

    def __setstate__(self, state):
        Innocent.loaded = True


@pytest.mark.parametrize("kind", ["module", "object", "plain pickle"])
def test_pickles_are_refused_with_what_to_do(tmp_path, state, kind):
    path = tmp_path / "w.pt"
    thing = Innocent()
    thing.value = 1
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps({"a": nn.Linear(1, 1)}))
    else:
        torch.save(module() if kind == "module" else {"state_dict": state, "extra": thing}, path)
    with pytest.raises(
        WeightsError, match=r"hold pickled Python objects.*safetensors.torch.save_file\(module.state"
    ):
        read_weights(path)
    assert not Innocent.loaded


class Harmful:
    """What an attacker's pickle looks like: a module that torch blocks by name."""

    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize("kind", ["torch.save", "pickle", "TorchScript"])
def test_programs_are_refused_without_the_advice_to_run_them(tmp_path, kind):
    path = tmp_path / "w.pt"
    if kind == "torch.save":
        torch.save({"a": Harmful()}, path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Harmful()))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)
    with pytest.raises(WeightsError, match="hold pickled Python objects") as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)


def damaged(kind, path, state):
    if kind == "safetensors cut":
        save_file(state, path)
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "torch cut":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "old torch cut":
        torch.save(state, path, _use_new_zipfile_serialization=False)
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n")
    else:
        path.write_bytes(bytes(range(256)) * 20)


@pytest.mark.parametrize("kind", ["safetensors cut", "torch cut", "old torch cut", "empty", "text", "bytes"])
def test_damaged_files_are_named_with_their_size(tmp_path, state, kind):
    path = tmp_path / "w.bin"
    damaged(kind, path, state)
    size = path.stat().st_size
    with pytest.raises(
        WeightsError, match=rf"w.bin' \({size} bytes\) are no readable weights file: .*complete\?"
    ) as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere\.pt' cannot be read: No such file or directory"):
        read_weights(tmp_path / "nowhere.pt")
    with pytest.raises(WeightsError, match="cannot be read: Is a directory"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "hold a list; expected a state dict"),
        ({"epoch": 3, "optimizer": {}}, "hold no state dict: .* besides 0 tensors got 'epoch', 'optimizer'"),
        ({"a": torch.zeros(2), "lr": 0.1}, "besides 1 tensors got 'lr'"),
    ],
)
def test_files_that_hold_something_else(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path / "w.pt")


def test_misfits_are_listed_and_counted(state):
    target = module(width=6)
    before = {n: t.clone() for n, t in target.state_dict().items()}
    del state["2.bias"]
    state["3.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        fit_weights(target, state, what="'tiny'", path="w.pt")
    text = str(caught.value)
    assert text.startswith(
        "The weights 'w.pt' do not fit 'tiny': 1 missing (2.bias), 1 unexpected (3.weight), "
    )
    assert "7 of another shape (0.weight is 4x3x3x3, expected 6x3x3x3; " in text
    assert "; ...)" in text
    assert "1 of 9 tensors fit" in text
    assert all(torch.equal(t, before[n]) for n, t in target.state_dict().items())


def test_half_precision_and_missing_counters_fit(state):
    del state["1.num_batches_tracked"]
    target = module()
    fit_weights(target, {n: t.half() for n, t in state.items()}, what="'tiny'", path="w.pt")
    assert target[0].weight.dtype == torch.float32
    torch.testing.assert_close(target[0].weight.detach(), state["0.weight"].half().float())
