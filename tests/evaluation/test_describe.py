"""Comparing, describing and summing up maps; fixations from files."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.evaluation.nets import images
from tests.reference.evaluation import slow_auc_judd, slow_chunks, slow_spearman

from fusiform.errors import EvaluationError
from fusiform.evaluation import (
    BASELINE_MAPS,
    baseline_maps,
    compare_maps,
    describe_maps,
    read_fixations,
    summarise,
)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), levels=st.integers(2, 20))
def test_comparisons_equal_loops(seed, levels):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randint(-levels, levels, (2, 8, 9), generator=generator).double() for _ in range(2))
    points = torch.rand(2, 8, 9, generator=generator) < 0.2
    table = compare_maps(a, b, fixations=points)
    for i in range(2):
        p, q, at = a[i].numpy(), b[i].numpy(), points[i].numpy()
        row = table.loc[i]
        assert row["pearson"] == pytest.approx(np.corrcoef(p.ravel(), q.ravel())[0, 1])
        assert row["spearman"] == pytest.approx(slow_spearman(p, q))
        assert row["spearman_absolute"] == pytest.approx(slow_spearman(abs(p), abs(q)))
        p_, q_ = (m.clip(0) / m.clip(0).sum() for m in (p, q))
        assert row["similarity"] == pytest.approx(np.minimum(p_, q_).sum())
        if at.any():
            assert row["nss"] == pytest.approx(((p - p.mean()) / p.std())[at].mean())
            assert row["auc_judd"] == pytest.approx(slow_auc_judd(p, at))


def test_a_map_is_like_itself_at_any_scale_and_unlike_noise():
    maps, noise = torch.randn(2, 32, 32), torch.randn(2, 32, 32)
    own = compare_maps(maps, 1e-12 * maps)
    assert own.drop(columns="similarity").to_numpy() == pytest.approx(1, abs=1e-6)
    assert own["similarity"].to_numpy() == pytest.approx(1, abs=1e-6)
    far = compare_maps(maps, noise)[["pearson", "spearman", "spearman_absolute", "ssim", "hog_pearson"]]
    assert (far.abs() < 0.35).all(axis=None)
    flipped = compare_maps(maps, -maps)
    assert (flipped["spearman"] < -0.999).all()
    assert (flipped["spearman_absolute"] > 0.999).all()


def test_what_is_constant_has_no_correlation():
    table = compare_maps(torch.full((1, 8, 8), 0.1), torch.rand(8, 8), fixations=torch.eye(8) > 0)
    assert table[["pearson", "spearman", "nss"]].isna().all(axis=None)
    assert table["auc_judd"].item() == 0.5
    empty = compare_maps(torch.rand(1, 8, 8), torch.rand(8, 8), fixations=torch.zeros(8, 8, dtype=torch.bool))
    assert empty[["nss", "auc_judd"]].isna().all(axis=None)
    with pytest.raises(EvaluationError, match=r"one shape; got \(1, 8, 8\) and \(1, 9, 9\)"):
        compare_maps(torch.rand(1, 8, 8), torch.rand(1, 9, 9))


def test_baseline_maps_are_what_they_say():
    x = images(3)
    noise = baseline_maps(x, "random", seed=4)
    assert torch.equal(noise[0], noise[2])
    assert torch.equal(noise[:1], baseline_maps(x[:1], "random", seed=4))
    assert not torch.equal(noise, baseline_maps(x, "random", seed=5))
    assert baseline_maps(x.double(), "gaussian").dtype == torch.float64
    bump = baseline_maps(x, "gaussian")[0]
    assert torch.equal(bump, bump.flip(0))
    assert torch.equal(bump, bump.flip(1))
    slope = (torch.arange(6.0)[:, None] * 3 + torch.arange(6.0) * 4).expand(1, 3, 6, 6)
    assert baseline_maps(slope, "edges")[0, 1:-1, 1:-1].flatten().tolist() == pytest.approx([5.0] * 16)
    assert not baseline_maps(torch.ones(1, 3, 6, 6), "edges").any()
    with pytest.raises(EvaluationError, match="no baseline map 'edge'; did you mean 'edges'"):
        baseline_maps(x, "edge")
    with pytest.raises(EvaluationError, match=r"got \(3, 12, 12\)"):
        baseline_maps(x[0], BASELINE_MAPS[0])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), mass=st.floats(0.05, 0.95))
def test_chunks_equal_flooding(seed, mass):
    maps = torch.randn(2, 9, 7, generator=torch.Generator().manual_seed(seed))
    table = describe_maps(maps, mass=mass)
    for i in range(2):
        flat = sorted(maps[i].abs().flatten().tolist(), reverse=True)
        k = next(k for k in range(1, 64) if sum(flat[:k]) >= mass * sum(flat) * (1 - 1e-6))
        sizes = slow_chunks(maps[i].abs().numpy() >= flat[k - 1])
        assert table.loc[i, "chunks"] == len(sizes)
        assert table.loc[i, "chunk_px"] == pytest.approx(np.mean(sizes))
        assert table.loc[i, "largest_share"] == pytest.approx(max(sizes) / sum(sizes))
        assert table.loc[i, "area"] == pytest.approx(sum(sizes) / 63)


def test_frequency_is_that_of_a_wave():
    at = torch.arange(32) * 2 * torch.pi / 32
    waves = torch.stack([(k * at).cos().expand(32, 32) for k in (1, 3, 10)])
    assert describe_maps(1e-9 * waves)["frequency"].tolist() == pytest.approx([1, 3, 10])
    assert describe_maps(torch.full((1, 8, 8), 0.1))["frequency"].isna().all()


def test_descriptions_of_nothing_and_of_edges():
    x = images(2)
    table = describe_maps(torch.stack([torch.zeros(12, 12), -baseline_maps(x, "edges")[1]]), x)
    assert table.loc[0].isna().all()
    assert table.loc[1, "edge_correlation"] == pytest.approx(1)
    assert "edge_correlation" not in describe_maps(torch.rand(1, 4, 4))
    with pytest.raises(EvaluationError, match="above 0 and below 1; got 1"):
        describe_maps(torch.rand(1, 4, 4), mass=1)
    with pytest.raises(EvaluationError, match=r"have shape \(2, 12, 12\)"):
        describe_maps(torch.rand(2, 4, 4), x)


def test_a_summary_resamples_people():
    values = torch.tensor([0.0, 0.0, 1.0, 1.0, torch.nan])
    alone = summarise(values)
    assert (alone.value, alone.n) == (0.5, 4)
    assert 0 <= alone.lower < 0.5 < alone.upper <= 1
    two = summarise(values, ["ann", "ann", "bob", "bob", "bob"])
    assert (two.value, two.lower, two.upper) == (0.5, 0.0, 1.0)
    # Nobody knows who is missing: two people rather than one.
    unknown = summarise([0.0, 1.0], np.array([None, None], dtype=object))
    assert unknown.lower < unknown.upper
    assert summarise([float("nan")]).n == 0
    with pytest.raises(EvaluationError, match="some are infinite"):
        summarise([1.0, float("inf")])
    with pytest.raises(EvaluationError, match=r"one value an image; got shape \(2, 2\)"):
        summarise(torch.rand(2, 2))
    with pytest.raises(EvaluationError, match=r"each of the 2 images; got shape \(1,\)"):
        summarise([1.0, 2.0], ["a"])


def test_fixations_from_a_table(tmp_path):
    file = tmp_path / "looks.csv"
    file.write_text("X, Y ,duration\n5,1,100\n5,1,100\n9.9,7.9,50\n10,3,1\n-1,2,1\nlost,,3\n")
    found = read_fixations(file, (8, 10), sigma=1e-3)
    assert found.points.nonzero().tolist() == [[1, 5], [7, 9]]
    assert found.density[1, 5].item() == pytest.approx(0.8)
    assert found.density.sum().item() == pytest.approx(1)
    half = read_fixations(file, (4, 5), of=(8, 10))
    assert half.points.nonzero().tolist() == [[0, 2], [3, 4]]
    table = compare_maps(half.density[None], half.density, fixations=half.points)
    assert table["auc_judd"].item() > 0.9


def test_fixations_from_an_image(tmp_path):
    bright = np.zeros((20, 40), dtype=np.uint8)
    bright[10:, :20] = 200
    Image.fromarray(bright).save(tmp_path / "looks.png")
    found = read_fixations(tmp_path / "looks.png", (10, 20))
    assert found.points is None
    assert found.density[6:, :9].sum() > 0.7
    assert found.density.sum().item() == pytest.approx(1)


def test_files_that_hold_no_fixations_are_refused(tmp_path):
    def refused(name, text, match):
        file = tmp_path / name
        file.write_text(text)
        with pytest.raises(EvaluationError, match=match):
            read_fixations(file, (8, 8))

    refused("a.csv", "x,z\n1,2\n", "no column 'y'.*It has: x, z")
    refused("b.csv", "x,y\n100,2\n", "holds no fixation within")
    refused("c.csv", "x,y\n", "holds no fixation within")
    refused("d.csv", "", "cannot be read as a table")
    refused("e.png", "no picture", "cannot be read as an image")
    with pytest.raises(EvaluationError, match="There is no file of fixations"):
        read_fixations(tmp_path / "none.csv", (8, 8))
