import numpy as np
import pandas as pd
import pytest
import torch
from tests.reference import canonical as reference
from torch import nn

from fusiform.attribution import (
    canonical_difference,
    canonical_image_saliency,
    canonical_model_saliency,
    look_alikes,
)
from fusiform.attribution._occlusion import windows_of
from fusiform.attribution.canonical._occlusion import _on_face
from fusiform.errors import AttributionError, DataError, SpecError, TargetError
from fusiform.faces import (
    canonical_coordinates,
    canonical_face,
    canonical_landmarks,
    canonical_parts,
    from_canonical,
    synthetic,
    to_canonical,
)
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.statistics import cluster_weights
from fusiform.targets import Logit, Similarity

SIDE, SIZE = 48, 40


class _Bright(nn.Module):
    """Scores how much of the image is bright; and the image itself, which serves as an embedding."""

    def __init__(self, embeds=False):
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.gain = nn.Parameter(torch.tensor(1.0))
        self.embeds = embeds

    def forward(self, x):
        x = self.drop(x)
        if self.embeds:
            return x.flatten(1) * self.gain
        bright = torch.relu(x.mean(dim=1) - 0.5).sum(dim=(1, 2)) * self.gain / 5
        return torch.stack([-bright, bright], dim=1)


def _net(embeds=False, dtype=torch.float32):
    head = "embedding" if embeds else "logits"
    return FaceNetwork(
        _Bright(embeds).to(dtype), NetworkCard(name="bright", input_size=(SIDE, SIDE), head=head)
    )


def _points(**factors):
    return torch.from_numpy(synthetic.landmarks(pd.DataFrame(factors), size=SIDE)).double() - 0.5


@pytest.fixture(scope="module")
def points():
    return _points(yaw=[0.0, 25.0, -20.0], roll=[0.0, 10.0, -15.0], AU_12=[0.0, 0.8, 0.0])


def _with(points, part):
    """Images in which one part of the face is bright."""
    shown = from_canonical(canonical_parts(64)[part][None], points, (SIDE, SIDE))
    return 0.2 + 0.8 * shown.expand(-1, 3, -1, -1).float()


@pytest.mark.parametrize("part", ["nose", "mouth", "left_cheek"])
def test_the_part_that_decides_is_found_in_any_pose(points, part):
    parts = canonical_parts(SIZE)
    maps = canonical_image_saliency(
        _net(), _with(points, part), Logit(1), points, window=6, stride=3, size=SIZE
    )
    assert maps.shape == (3, SIZE, SIZE)
    for found in maps:
        mean = {name: float(found[mask].nanmean()) for name, mask in parts.items()}
        assert max(mean, key=mean.get) == part
    pooled = canonical_model_saliency(maps)
    rows = pooled.table.query("metric == 'concentration'").set_index("part")
    assert rows["value"].idxmax() == part


def test_windows_equal_loops(points):
    net, x = _net(), torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    some = points[[0, 1]]
    maps = canonical_image_saliency(
        net, x, Logit(1), some, window=(10, 8), stride=5, size=SIZE, baseline="black"
    )
    boxes = windows_of((SIZE, SIZE), (10, 8), 5).boxes.tolist()
    face = canonical_face(SIZE).face
    boxes = [box for box in boxes if face[box[0] : box[2], box[1] : box[3]].any()]
    at = canonical_coordinates(some, (SIDE, SIDE), SIZE).numpy()
    black = net.prepare(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8))[0].numpy()
    visible = to_canonical(x[:, 0], some, SIZE)[1]
    for i in range(2):
        slow = reference.occlude(
            lambda image: float(net(torch.from_numpy(image)[None]).detach()[0, 1]),
            x[i].numpy(),
            black,
            at[i],
            boxes,
            SIZE,
        )
        seen = visible[i].numpy()
        assert torch.isnan(maps[i][~visible[i]]).all()
        assert np.abs(maps[i].numpy() - slow)[seen].max() < 1e-4


def test_a_class_number_is_a_probability_and_rows_equal_the_batch(points):
    x = _with(points, "nose")
    kept = {"window": 10, "size": SIZE}
    batch = canonical_image_saliency(_net(), x, 1, points, **kept)
    assert float(batch.nan_to_num(0).abs().max()) <= 1
    for i in range(3):
        one = canonical_image_saliency(
            _net(), x[i : i + 1], 1, points[i : i + 1].numpy(), **kept, batch_size=3
        )
        assert torch.allclose(one[0].nan_to_num(9), batch[i].nan_to_num(9), atol=1e-5)
    target = Similarity(torch.rand(3, 3 * SIDE**2))
    pairs = canonical_image_saliency(_net(embeds=True), x, target, points, **kept)
    single = canonical_image_saliency(
        _net(embeds=True), x[2:], target.rows(torch.tensor([2])), points[2:], **kept
    )
    assert torch.allclose(single[0].nan_to_num(9), pairs[2].nan_to_num(9), atol=1e-6)


def test_the_network_is_left_as_it_was(points):
    net = _net(dtype=torch.float64)
    net.module.train()
    before = {k: v.clone() for k, v in net.module.state_dict().items()}
    x = _with(points, "nose").double()
    maps = canonical_image_saliency(net, x, Logit(1), points, size=SIZE)
    assert maps.dtype == torch.float64
    assert not maps.requires_grad
    with pytest.raises(TargetError, match="out of range"):
        canonical_image_saliency(net, x, Logit(7), points, size=SIZE)
    assert net.module.training
    assert all((before[k] == v).all() for k, v in net.module.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.module.parameters())


def test_images_without_landmarks_or_with_wrong_windows_are_refused(points):
    x = _with(points, "nose")
    lost = points.clone()
    lost[1] = torch.nan
    with pytest.raises(DataError, match="The landmarks of image 1 of the batch are not known"):
        canonical_image_saliency(_net(), x, 1, lost)
    with pytest.raises(DataError, match=r"Landmarks have shape \(3, 68, 2\); got \(2, 68, 2\)"):
        canonical_image_saliency(_net(), x, 1, points[:2])
    with pytest.raises(SpecError, match="The option 'window' is a number of pixels"):
        canonical_image_saliency(_net(), x, 1, points, window=500)
    with pytest.raises(SpecError, match="a whole number of pixels from 32"):
        canonical_image_saliency(_net(), x, 1, points, size=8)
    assert canonical_image_saliency(_net(), x[:0], 1, points[:0], size=SIZE).shape == (0, SIZE, SIZE)


def test_every_window_that_is_left_out_lies_beside_the_face():
    whole = windows_of((SIZE, SIZE), 6, 3)
    kept = _on_face(windows_of((SIZE, SIZE), 6, 3), canonical_face(SIZE).face)
    assert len(kept) < len(whole)
    assert torch.isfinite(kept.spread(torch.ones(1, len(kept)))[0][canonical_face(SIZE).face]).all()


# Canonical model saliency ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    """Maps of 40 images of 20 people: one group looks at the mouth, the other at the eyes; a third are noise."""
    rng = np.random.default_rng(0)
    parts = {name: mask.numpy() for name, mask in canonical_parts(SIZE).items()}
    maps = rng.normal(0, 0.3, (40, SIZE, SIZE))
    group = np.array(["a", "b"] * 20)
    maps[group == "a"] += 2.0 * parts["mouth"]
    maps[group == "b"] += 2.0 * (parts["left_eye"] | parts["right_eye"])
    people = np.repeat([f"p{k}" for k in range(20)], 2)
    return torch.from_numpy(maps).float(), people, group


def _table(found, metric="share", group="all"):
    rows = found.table[(found.table["metric"] == metric) & (found.table["group"] == group)]
    return rows.set_index("part")


def test_means_count_only_the_images_that_show_a_place():
    face = canonical_face(SIZE).face
    maps = torch.rand(5, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    visible = torch.rand(5, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) < 0.6
    found = canonical_model_saliency(maps, visible, draws=0)
    naive = np.full((SIZE, SIZE), np.nan)
    for y in range(SIZE):
        for x in range(SIZE):
            values = [float(maps[i, y, x]) for i in range(5) if visible[i, y, x]]
            if face[y, x] and values:
                naive[y, x] = sum(values) / len(values)
    assert np.allclose(found.maps[0].numpy(), naive, equal_nan=True)
    assert (found.counts[0][face] == visible.sum(dim=0)[face]).all()
    nan = canonical_model_saliency(torch.where(visible, maps, torch.nan), draws=0)
    assert torch.equal(nan.maps.nan_to_num(-1), found.maps.nan_to_num(-1))
    assert torch.isnan(found.lower).all()


def test_shares_and_intervals_equal_a_loop_over_bootstrap_samples(planted):
    maps, people, _ = planted
    found = canonical_model_saliency(maps, identities=people, draws=60, level=0.9, seed=3)
    shares = _table(found)
    assert shares["value"].sum() == pytest.approx(1)
    assert shares["chance"].sum() == pytest.approx(1)
    face, mouth = canonical_face(SIZE).face.numpy(), canonical_parts(SIZE)["mouth"].numpy()
    names = sorted(set(people))
    drawn = []
    for weights in cluster_weights(20, draws=60, seed=3):
        rows = [
            i
            for k, name in enumerate(names)
            for _ in range(int(weights[k]))
            for i in np.flatnonzero(people == name)
        ]
        mean = maps.double().numpy()[rows].mean(axis=0).clip(0)
        drawn.append(mean[mouth].sum() / mean[face].sum())
    low, high = np.quantile(drawn, [0.05, 0.95])
    assert shares.loc["mouth", ["lower", "upper"]].tolist() == pytest.approx([low, high])
    assert (found.lower <= found.upper).logical_or(found.lower.isnan()).all()
    row = _table(found, "concentration").loc["mouth"]
    assert row["value"] == pytest.approx(shares.loc["mouth", "value"] / shares.loc["mouth", "chance"])
    assert (row["n"], row["identities"]) == (40, 20)


def test_intervals_resample_people_not_images(planted):
    maps = planted[0]
    copies, names = maps.repeat_interleave(3, dim=0), [f"p{k:02d}" for k in range(40)]
    widths = [
        float(_table(found).loc["mouth", "upper"] - _table(found).loc["mouth", "lower"])
        for found in (
            canonical_model_saliency(copies, identities=np.repeat(names, 3), draws=200),
            canonical_model_saliency(copies, draws=200),
            canonical_model_saliency(maps, identities=names, draws=200),
        )
    ]
    assert widths[1] < 0.8 * widths[0]
    assert widths[0] == pytest.approx(widths[2])


def test_one_person_has_no_interval(planted):
    found = canonical_model_saliency(planted[0][:4], identities=["one"] * 4)
    assert _table(found)[["lower", "upper"]].isna().all(axis=None)
    assert torch.isnan(found.lower).all()


def test_groups_look_where_they_were_told_to(planted):
    maps, people, group = planted
    labels = [None if i < 2 else g for i, g in enumerate(group)]
    found = canonical_model_saliency(maps, identities=people, groups=labels, draws=50)
    assert found.groups == ("a", "b")
    assert _table(found, "concentration", "a")["value"].idxmax() == "mouth"
    assert _table(found, "concentration", "b")["value"].nlargest(2).index.str.endswith("eye").all()
    assert int(found.counts[0].max()) == 19
    one = found.group("b")
    assert one.groups == ("b",)
    assert torch.equal(one.maps[0].nan_to_num(), found.maps[1].nan_to_num())
    with pytest.raises(SpecError, match="There is no group 'c'; there are: 'a', 'b'"):
        found.group("c")


def test_groups_that_differ_are_told_from_groups_that_do_not(planted):
    maps, people, group = planted
    found = canonical_model_saliency(maps, identities=people, groups=group)
    differ = canonical_difference(found.group("a"), found.group("b"), permutations=200, draws=200)
    table = differ.table.set_index("part")
    assert differ.p_value == pytest.approx(1 / 201)
    assert table.loc["mouth", "lower"] > 0 > table.loc["left_eye", "upper"]
    assert table.loc["mouth", "p_value"] < 0.02
    parts = canonical_parts(SIZE)
    assert differ.map[parts["mouth"]].mean() > 1 > -1 > differ.map[parts["left_eye"]].mean()
    assert differ.correlation[0] < 0.2
    assert differ.correlation[1] <= differ.correlation[0] <= differ.correlation[2]
    assert torch.isnan(differ.map[~canonical_face(SIZE).face]).all()

    chance = canonical_model_saliency(maps[group == "a"], groups=["x", "y"] * 10)
    same = canonical_difference(chance.group("x"), chance.group("y"), permutations=200, draws=200)
    assert same.p_value > 0.05
    assert same.correlation[0] > 0.7


def test_permutation_is_calibrated():
    """Of groups that do not differ, p-values are about uniform."""
    rng = np.random.default_rng(1)
    parts = canonical_parts(32)
    shape = torch.stack([mask.double() for mask in parts.values()])
    found = []
    for _ in range(40):
        maps = torch.einsum("nk,kyx->nyx", torch.from_numpy(rng.gamma(2.0, 1.0, (12, len(parts)))), shape)
        both = canonical_model_saliency(maps, groups=["a"] * 6 + ["b"] * 6, draws=0)
        found.append(canonical_difference(both.group("a"), both.group("b"), draws=0, permutations=39).p_value)
    assert 0.35 < np.mean(found) < 0.65
    assert np.mean(np.array(found) <= 0.1) < 0.25


def test_networks_are_compared_pair_by_pair_and_up_to_scale(planted):
    maps, people, _ = planted
    one = canonical_model_saliency(maps, identities=people)
    louder = canonical_model_saliency(7 * maps, identities=people)
    same = canonical_difference(one, louder, permutations=50, draws=50)
    assert same.map.abs().nan_to_num(0).max() < 1e-5
    assert same.correlation[0] == pytest.approx(1)
    assert same.p_value == 1
    blind = canonical_model_saliency(maps.roll(6, dims=1), identities=people)
    assert canonical_difference(one, blind, permutations=50, draws=50).p_value < 0.05


def test_what_cannot_be_compared_is_said(planted):
    maps, _, group = planted
    both = canonical_model_saliency(maps, groups=group, draws=0)
    with pytest.raises(
        AttributionError, match=r"between two groups; one of these holds 2, a, b. Take one with .group"
    ):
        canonical_difference(both, both.group("a"))
    small = canonical_model_saliency(torch.rand(2, 32, 32), draws=0)
    with pytest.raises(AttributionError, match="Canonical maps of different size, 32 and 40"):
        canonical_difference(small, canonical_model_saliency(maps, draws=0))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"maps": torch.rand(2, 32, 40)}, r"Canonical maps are a floating tensor \(n, size, size\); got \(2, 32, 40\)"),
        ({"visible": torch.ones(2, 32, 32, dtype=torch.bool)}, "'visible' must have the shape of the maps"),
        ({"identities": ["a"]}, "'identities' must have one entry an image, 3; got 1"),
        ({"groups": [None] * 3}, "needs at least one image of a group; got none"),
        ({"identities": ["a", None, "b"]}, "'identities' must say who is shown in every image; some are missing"),
        ({"parts": {"mine": torch.ones(8, 8)}}, r"Part 'mine' must have the size of the maps, \(32, 32\); got \(8, 8\)"),
        (
            {"maps": torch.full((3, 32, 32), torch.inf), "visible": torch.ones(3, 32, 32, dtype=torch.bool)},
            "The canonical map of image 0 is not finite where the face is visible",
        ),
    ],
)  # fmt: skip
def test_bad_maps_are_refused(change, text):
    given = {"maps": torch.rand(3, 32, 32), **change}
    with pytest.raises(AttributionError, match=text):
        canonical_model_saliency(given.pop("maps"), **given)


# Look-alikes -----------------------------------------------------------------------------------------------


def _people(part, n, points, seed):
    """Images of one person: a face that both share, and a pattern of their own in one part."""
    shared, own = (torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(s)) for s in (0, seed))
    noise = torch.randn(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed + 9))
    shown = from_canonical(canonical_parts(64)[part][None], points, (SIDE, SIDE)).float()
    return torch.lerp(shared.expand(n, -1, -1, -1), own.expand(n, -1, -1, -1), shown) + 0.05 * noise


def test_look_alikes_differ_where_they_were_drawn_to_differ():
    points = canonical_landmarks(SIDE).expand(4, -1, -1)
    first, second = (_people("forehead", 4, points, seed) for seed in (1, 2))
    found = look_alikes(
        _net(embeds=True), first, second, points, points, names=("Ann", "Bea"), window=8, size=SIZE, draws=100
    )
    assert found.table["part"].tolist()[0] == "forehead"
    assert set(found.table["part"]) == {"forehead", "brows", "eyes", "cheeks", "nose", "mouth", "chin"}
    assert found.table["rank"].tolist() == list(range(1, 8))
    assert found.sentence.startswith("To tell Ann and Bea apart, look at forehead")
    assert found.saliency.groups == ("Ann", "Bea")
    assert found.together.table["n"].unique().tolist() == [8]
    one = look_alikes(
        _net(embeds=True), first[:1], second[:1], points[:1], points[:1], window=8, size=SIZE, draws=20
    )
    assert one.table["part"].tolist()[0] == "forehead"


def test_look_alikes_without_a_difference_say_so():
    points = canonical_landmarks(SIDE).expand(3, -1, -1)
    first, second = (_people("nose", 3, points, 1) + 0.3 * torch.randn(3, 3, SIDE, SIDE) for _ in range(2))
    found = look_alikes(_net(embeds=True), first, second, points, points, window=20, size=SIZE, draws=0)
    assert found.sentence.startswith("No part of the face stands out in telling A and B apart")


def test_look_alikes_need_images_and_two_names():
    points = canonical_landmarks(SIDE).expand(1, -1, -1)
    x = torch.rand(1, 3, SIDE, SIDE)
    with pytest.raises(AttributionError, match="Each of two look-alikes needs an image; got 1 and 0"):
        look_alikes(_net(embeds=True), x, x[:0], points, points[:0])
    with pytest.raises(AttributionError, match="need two names; got 'A' twice"):
        look_alikes(_net(embeds=True), x, x, points, points, names=("A", "A"))
