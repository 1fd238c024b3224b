import errno
import os
import shutil
from pathlib import Path

import pytest
import torch

from fusiform.activations import ActivationStore, plan
from fusiform.errors import RunError
from fusiform.networks import Layer

CONV = Layer("conv", 0, "Conv2d", (8, 10, 10), None, "conv")
FC = Layer("fc", 1, "Linear", (50,), None, "fc")


def disk_with(monkeypatch, free):
    usage = shutil.disk_usage(".")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def test_what_fits_stays_in_memory(tmp_path):
    made = plan([CONV, FC], 1000, memory_gb=1, scratch=tmp_path)
    assert made.groups == (("conv", "fc"),)
    assert not made.on_disk
    assert made.n_bytes == 850 * 1000 * 4


def test_what_does_not_fit_is_spilled_in_one_pass(tmp_path, monkeypatch):
    disk_with(monkeypatch, 10**12)
    made = plan([CONV, FC], 10**6, memory_gb=1, scratch=tmp_path / "not" / "made" / "yet")
    assert made.on_disk
    assert len(made.groups) == 1
    assert "on scratch disk" in str(made)


def test_a_small_disk_means_more_passes(tmp_path, monkeypatch):
    layers = [Layer(f"conv{i}", i, "Conv2d", (8, 10, 10), None, "conv") for i in range(4)]
    disk_with(monkeypatch, 2 * 7 * 10**9)
    made = plan(layers, 10**6, memory_gb=1, scratch=tmp_path)
    assert made.groups == (("conv0", "conv1"), ("conv2", "conv3"))


def test_a_layer_that_fits_nowhere_says_what_to_do(tmp_path, monkeypatch):
    disk_with(monkeypatch, 10**9)
    with pytest.raises(RunError, match=r"'conv' needs 3.2 GB for 1000000 faces.*fewer faces"):
        plan([CONV], 10**6, memory_gb=1, scratch=tmp_path)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("block", [7, 100, 800, 5000])
def test_a_store_gives_back_what_was_streamed(tmp_path, on_disk, block):
    scratch = tmp_path if on_disk else None
    conv, fc = torch.randn(10, 8, 10, 10), torch.randn(10, 50)
    with ActivationStore([CONV, FC], 10, block_columns=block, scratch=scratch) as store:
        for start in (0, 4, 8):
            rows = slice(start, min(10, start + 4))
            live = conv[rows].clone()
            store.update(CONV, rows, live)
            live.zero_()  # an in-place operation after the tap
            store.update(FC, rows, fc[rows])
        assert torch.equal(torch.cat(list(store.blocks("conv")), dim=1), conv.flatten(1))
        assert torch.equal(torch.cat(list(store.blocks("fc")), dim=1), fc)
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_file_cut_short_is_said(tmp_path):
    with ActivationStore([FC], 4, block_columns=50, scratch=tmp_path) as store:
        store.update(FC, slice(0, 4), torch.ones(4, 50))
        (file,) = [p for folder in tmp_path.iterdir() for p in folder.iterdir()]
        os.truncate(file, 10)
        with pytest.raises(RunError, match="layer 'fc' has been cut short"):
            list(store.blocks("fc"))


def test_a_full_scratch_disk_is_said_and_cleaned_up(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with (
        pytest.raises(RunError, match="disk is full"),
        ActivationStore([FC], 4, block_columns=50, scratch=tmp_path) as store,
    ):
        store.update(FC, slice(0, 4), torch.ones(4, 50))
    assert list(Path(tmp_path).iterdir()) == []
