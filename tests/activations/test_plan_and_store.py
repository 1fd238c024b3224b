import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fusiform.activations import ActivationStore, Group, Plan, open_group, plan
from fusiform.errors import RunError
from fusiform.networks import Layer

CONV = Layer("conv", 0, "Conv2d", (8, 10, 10), None, "conv")
FC = Layer("fc", 1, "Linear", (50,), None, "fc")


def disk_with(monkeypatch, free):
    usage = shutil.disk_usage(".")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def test_what_fits_stays_in_memory(tmp_path):
    made = plan([CONV, FC], 1000, memory_gb=1, scratch=tmp_path)
    assert [group.layers for group in made.groups] == [("conv", "fc")]
    assert made.groups[0].where == "memory"
    assert made.n_passes == 1
    assert made.n_bytes == 850 * 1000 * 4


def test_what_does_not_fit_is_spilled_in_one_pass(tmp_path, monkeypatch):
    disk_with(monkeypatch, 10**12)
    made = plan([CONV, FC], 10**6, memory_gb=1, scratch=tmp_path / "not" / "made" / "yet")
    assert [group.where for group in made.groups] == ["disk"]
    assert "spilled to scratch disk" in str(made)


def test_a_small_disk_means_more_passes(tmp_path, monkeypatch):
    layers = [Layer(f"conv{i}", i, "Conv2d", (8, 10, 10), None, "conv") for i in range(4)]
    disk_with(monkeypatch, 2 * 7 * 10**9)
    made = plan(layers, 10**6, memory_gb=1, scratch=tmp_path)
    assert [group.layers for group in made.groups] == [("conv0", "conv1"), ("conv2", "conv3")]


def test_cheap_passes_are_preferred_to_a_slow_disk(tmp_path, monkeypatch):
    disk_with(monkeypatch, 10**12)
    layers = [Layer(f"conv{i}", i, "Conv2d", (8, 10, 10), None, "conv") for i in range(4)]
    options = {"memory_gb": 1, "scratch": tmp_path, "walks": 9}
    cheap = plan(layers, 200_000, pass_seconds=1.0, **options)
    assert [group.where for group in cheap.groups] == ["memory"] * 4
    dear = plan(layers, 200_000, pass_seconds=1000.0, **options)
    assert [group.where for group in dear.groups] == ["disk"]


def test_only_what_does_not_fit_is_spilled_where_passes_are_cheap(tmp_path, monkeypatch):
    disk_with(monkeypatch, 10**12)
    made = plan([CONV, FC], 10**6, memory_gb=1, scratch=tmp_path, pass_seconds=0.01)
    assert [(group.layers, group.where) for group in made.groups] == [
        (("fc",), "memory"),
        (("conv",), "disk"),
    ]
    assert made.n_passes == 2


def test_a_layer_that_fits_nowhere_is_computed_anew(tmp_path, monkeypatch):
    disk_with(monkeypatch, 10**9)
    made = plan([CONV], 10**6, memory_gb=1, scratch=tmp_path, walks=2)
    (group,) = made.groups
    assert group.where == "recompute"
    assert group.window * 10**6 * 4 <= 10**9
    assert made.n_passes == 2 * -(-800 // group.window)
    assert "computed anew" in str(made)


def test_a_budget_that_holds_next_to_nothing_says_what_to_do(tmp_path, monkeypatch):
    disk_with(monkeypatch, 10**9)
    with pytest.raises(RunError, match=r"'conv' needs 3.2 GB for 1000000 faces.*fewer faces"):
        plan([CONV], 10**6, memory_gb=0.1, scratch=tmp_path)


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
        for name, whole in (("conv", conv.flatten(1)), ("fc", fc)):
            held = store.of(name)
            assert torch.equal(held.level, whole[:4].median(dim=0).values)
            blocks = dict_of(held.blocks())
            assert torch.equal(torch.cat(list(blocks.values()), dim=1), whole - held.level)
            for columns, part in held.blocks(6, among=np.array([17, 40])):
                assert {17, 40} & set(range(columns.start, columns.stop))
                assert torch.equal(part, (whole - held.level)[:6, columns])
    assert list(tmp_path.iterdir()) == []


def test_a_window_of_features(tmp_path):
    conv = torch.randn(10, 8, 10, 10)
    with ActivationStore([CONV], 10, block_columns=64, scratch=None, columns=slice(100, 250)) as store:
        store.update(CONV, slice(0, 10), conv)
        held = store.of("conv")
        whole = torch.cat([block for _, block in held.blocks()], dim=1) + held.level
        assert torch.allclose(whole, conv.flatten(1)[:, 100:250], atol=1e-6)


def test_wherever_activations_lie_they_are_the_same(small_net, planted_faces, tmp_path):
    order = np.arange(40)[::-1].copy()
    layer = small_net.layer("stage2")
    found = {}
    for where in ("memory", "disk", "recompute"):
        group = Group(("stage2",), where, 0, 300)
        work = Plan((group,), 40, 1, 128, {"stage2": 1152})
        opened = open_group(small_net, planted_faces, group, work, order, batch_size=16, scratch=tmp_path)
        with opened as (of, drop):
            held = of("stage2")
            blocks = dict_of(held.blocks())
            found[where] = torch.cat(list(blocks.values()), dim=1) + held.level
            drop("stage2")
    expected = small_net.activations(small_net.prepare(planted_faces.images(order)), ["stage2"])["stage2"]
    assert layer.shape == (8, 12, 12)
    for where, values in found.items():
        assert torch.allclose(values, expected.detach().flatten(1), atol=1e-5), where


def dict_of(blocks):
    return {(columns.start, columns.stop): block for columns, block in blocks}


def test_a_scratch_file_cut_short_is_said(tmp_path):
    with ActivationStore([FC], 4, block_columns=50, scratch=tmp_path) as store:
        store.update(FC, slice(0, 4), torch.ones(4, 50))
        assert list(tmp_path.iterdir()) == []
        store._files["fc"].truncate(10)
        with pytest.raises(RunError, match="layer 'fc' has been cut short"):
            list(store.of("fc").blocks())


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
