"""Requests, measures, intervals over seeds and verdicts, on made-up numbers with known answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats
from tests.studies.planted_bias.small import request

from fusiform.errors import SpecError
from fusiform.studies.planted_bias._findings import findings
from fusiform.studies.planted_bias._measure import accuracies, biased_units, quantities, write_sprite
from fusiform.studies.planted_bias._networks import _classifier, untrained
from fusiform.studies.planted_bias._request import PlantedBiasRequest
from fusiform.studies.planted_bias._summary import over_seeds, ratios, summary


def made_up(quantity, values, layer="l4", cue="eyeglasses"):
    """Values of percentages (rows of `values`) and seeds (its columns)."""
    rows = [
        (cue, percent, seed, quantity, layer, float(value))
        for percent, row in values.items()
        for seed, value in enumerate(row)
    ]
    return pd.DataFrame(rows, columns=["cue", "percent", "seed", "quantity", "layer", "value"])


def test_requests():
    asked = PlantedBiasRequest.from_mapping({"percents": [100, 50], "seed": 4})
    assert (asked.levels, asked.seeds) == ([50, 100], [4, 5, 6])
    assert PlantedBiasRequest.from_mapping({"quick": True}).repeats == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"percents": ["40", "100"]},
            r"'percents' in the request must be whole numbers of 50 to 100.*got '40'",
        ),
        ({"percents": []}, r"one at least; got none"),
        ({"percents": ["50", "50"]}, r"'percents' .* name each value once"),
        ({"cues": ["glasses"]}, r"cannot be 'glasses'; did you mean 'eyeglasses'"),
        ({"layers": ["layer4"]}, r"has 'layers', but this study trains its own network"),
        ({"attributes": ["Male"]}, r"has 'attributes', but"),
        ({"train_images": 4}, r"'train_images' in the request must be at least 8; got 4"),
        ({"grey": "red"}, r"'grey' .* cannot be 'red'"),
        ({"epoch": 3}, r"unknown option 'epoch'; did you mean 'epochs'"),
    ],
)
def test_requests_that_cannot_be(options, message):
    with pytest.raises(SpecError, match=message):
        PlantedBiasRequest.from_mapping(options)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("demo", r"must be a ResNet of the zoo, .*; got 'demo'"),
        ("resnet10?weights=a.pt", r"leave weights= and classes= out of 'resnet10.weights=a.pt'"),
        ("resnet11", r"no network 'resnet11'"),
    ],
)
def test_networks_that_cannot_be(network, message):
    with pytest.raises(SpecError, match=message):
        untrained(request(network=network))


def test_standardising_and_classifying_become_one_layer():
    torch.manual_seed(0)
    norm, linear = torch.nn.BatchNorm1d(5, affine=False), torch.nn.Linear(5, 1)
    norm(3 * torch.randn(100, 5) + torch.arange(5))
    norm.eval()
    state = _classifier(norm, linear)
    x = torch.randn(7, 5)
    assert torch.allclose(x @ state["fc.weight"].T + state["fc.bias"], linear(norm(x)), atol=1e-5)


def test_accuracies_with_and_against_the_bias():
    male = np.array([True, True, False, False])
    cue = np.array([True, False, True, False])
    # Goes by the cue alone.
    found = accuracies(np.array([1.0, -1.0, 1.0, -1.0]), male, cue)
    assert found == {"accuracy": 0.5, "accuracy_congruent": 1.0, "accuracy_incongruent": 0.0}


def test_the_threshold_is_strict():
    p = np.array([0.55, 0.5500001, 0.4, 0.45])
    table = pd.DataFrame(
        {"stage": 1, "layer": "l1", "unit": range(4), "p_grey": p, "p_colour": 1 - p, "rank": range(4)}
    )
    assert biased_units(table).values.tolist() == [
        [1, "l1", "grey", 1, 4, 0.25],
        [1, "l1", "colour", 1, 4, 0.25],
    ]
    found = quantities({"probabilities": table, "biased": biased_units(table)}).set_index("quantity")["value"]
    assert found["biased units"] == 2
    assert found["deviation of p_grey"] == pytest.approx(p.std())


def test_sprites_are_read_from_left_to_right(tmp_path):
    images = torch.zeros(12, 3, 16, 16, dtype=torch.uint8)
    images[:] = (20 * torch.arange(12, dtype=torch.uint8))[:, None, None, None]
    write_sprite(images, tmp_path / "s.jpg")
    with Image.open(tmp_path / "s.jpg") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (32, 160, 3)
    assert abs(int(pixels[24, 24, 0]) - 220) < 6
    assert pixels[24, 40, 0] > 245  # nothing there: white


def test_intervals_against_scipy():
    values = np.array([3.0, 7.0, 4.0])
    found = over_seeds(values)
    test = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.lower, found.upper) == pytest.approx((test.low, test.high))
    alone = over_seeds(values[:1])
    assert alone.value == 3
    assert np.isnan([alone.lower, alone.upper]).all()


def test_summary_and_ratios():
    values = pd.concat(
        [
            made_up("eyeglasses units", {50: [2, 4, 3], 100: [10, 12, 11]}),
            made_up("Cheek region units", {50: [5, 9, 7], 100: [4, 8, 6]}),
            made_up("Chin region units", {50: [0, 0, 0], 100: [1, 0, 2]}),
        ]
    )
    table = summary(values).set_index(["quantity", "percent"])
    assert table.loc[("eyeglasses units", 50), ["value", "std", "n_seeds"]].tolist() == [3, 1, 3]
    found = ratios(values).set_index("quantity")
    assert found["agrees"].isna().tolist() == [False, False, True]
    assert found["agrees"].iloc[:2].all()
    fewer = ratios(made_up("eyeglasses units", {50: [10, 10], 100: [1, 1]})).iloc[0]
    assert fewer.exceeds
    assert not fewer.agrees
    glasses = found.loc["eyeglasses units"]
    assert (glasses.percent_high, glasses.percent_low, glasses.difference, glasses.spread) == (100, 50, 8, 2)
    assert glasses.ratio == pytest.approx(11 / 3)
    assert glasses.exceeds
    # The same in every seed, so that the interval is a point, but less than the seeds differ.
    cheek = found.loc["Cheek region units"]
    assert (cheek.lower, cheek.upper, cheek.spread) == pytest.approx((-1, -1, 4))
    assert not cheek.exceeds
    assert np.isnan(found.loc["Chin region units", "ratio"])
    one = ratios(values[values.seed == 0]).set_index("quantity")
    assert one["exceeds"].isna().all()
    assert np.isnan(one["lower"]).all()


def verdicts(values, biased=None, cue="eyeglasses"):
    control = pd.DataFrame(columns=["cue", "seed", "quantity", "layer", "value"])
    table = findings(values, control, biased, [cue], "net")
    return dict(zip(table["finding"], table["verdict"], strict=True)), table


def test_findings_on_eyeglasses():
    seeds = np.array([0, 0.5, -0.5])
    values = pd.concat(
        [
            made_up("accuracy", {50: 0.8 + seeds / 100, 100: 0.6 + seeds / 100}, ""),
            made_up("accuracy congruent", {50: 0.8 + seeds / 100, 100: 0.99 + seeds / 100}, ""),
            made_up("accuracy incongruent", {50: 0.8 + seeds / 100, 100: 0.1 + seeds / 100}, ""),
            made_up("eyeglasses units", {50: 2 + seeds, 75: 3 + seeds, 100: 10 + seeds}),
            made_up("Eye region units", {50: 20 + seeds, 75: 21 + seeds, 100: 30 + seeds}),
            made_up("Cheek region units", {50: 20 + seeds, 75: 20 + 20 * seeds, 100: 19 + 20 * seeds}),
            made_up("eyeglasses among top men", {50: 0.5 + seeds / 10, 100: 0.9 + seeds / 10}, ""),
            made_up("eyeglasses among top women", {50: 0.5 + seeds / 10, 100: 0.9 + seeds / 10}, ""),
        ]
    )
    found, table = verdicts(values)
    assert list(found.values()) == [
        "holds",  # relies on the cue
        "holds",  # exceeds the spread
        "holds",  # thrice: 10 against 2, differing by 4 + 2 seeds
        "holds",  # those between lie near the balanced
        "holds",  # eye region
        "unclear",  # cheek region: the seeds do not agree
        "holds",  # men
        "does not hold",  # women
    ]
    said = table.set_index("finding")["measured"]
    assert "2.0 at P = 50 and 10.0 at P = 100, 5.0 times as many" in said.iloc[2]


def test_findings_on_grey_and_what_is_missing():
    seeds = np.array([0, 1, -1])
    layers = {1: (5, 15), 2: (5, 15), 3: (5, 15), 4: (5, 95)}
    values, shares = [], []
    for stage, (low, high) in layers.items():
        counts = {50: low + seeds, 100: high + seeds}
        values.append(made_up("biased units", counts, f"l{stage}", "grey"))
        values.append(
            made_up("deviation of p_grey", {p: c / 100 for p, c in counts.items()}, f"l{stage}", "grey")
        )
        shares += [
            {"cue": "grey", "percent": p, "seed": s, "stage": stage, "layer": f"l{stage}", "share": v / 100}
            for p, row in counts.items()
            for s, v in enumerate(row)
        ]
    found, table = verdicts(pd.concat(values), pd.DataFrame(shares), "grey")
    assert list(found.values()) == [
        "not measured",
        "holds",
        "holds",
        "holds",
        "holds",
        "does not hold",  # 15% of the units of early stages are biased, not more than 80%
    ]
    assert "no values of 'accuracy congruent'" in table["measured"].iloc[0]
    one, _ = verdicts(pd.concat(values).query("seed == 0"), pd.DataFrame(shares).query("seed == 0"), "grey")
    assert list(one.values())[1:] == ["unclear"] * 5
    none, _ = verdicts(pd.concat(values).iloc[:0], None, "grey")
    assert set(none.values()) == {"not measured"}


def test_units_are_counted_once_a_region_and_zeros_are_kept(monkeypatch):
    from types import SimpleNamespace

    import fusiform.dissection
    from fusiform.studies.planted_bias._measure import dissected

    pairs = {
        "labelled": [
            (0, "Eye", "Eyeglasses"),
            (0, "Eye", "AU_1"),
            (3, "Eye", "Eyeglasses"),
            (5, "Chin", "Goatee"),
        ],
        "all": [(3, "Eye", "Eyeglasses")],
    }
    iou = np.array([[0.2, 0.0, 0.0], [0.1, np.nan, 0.3]])

    def fake(net, dictionary, layer, method, *, union, **options):
        table = pd.DataFrame(
            [
                *((u, r, c, "local") for u, r, c in pairs[union]),
                (0, "Gender", "Male", "global"),
            ],
            columns=["unit", "region", "concept", "scope"],
        )
        return SimpleNamespace(table=table, layers={layer: SimpleNamespace(iou=iou)})

    monkeypatch.setattr(fusiform.dissection, "dissect", fake)
    concepts = SimpleNamespace(
        names=("Eyeglasses", "AU_1", "Goatee"), regions={"Eye": (), "Nose": (), "Chin": ()}
    )
    book, layer = SimpleNamespace(concepts=concepts), SimpleNamespace(name="l4")
    found = dissected(None, layer, book, request(union="labelled"), lambda done, total: None)
    assert found["units_regions"].values.tolist() == [["l4", "Eye", 2], ["l4", "Nose", 0], ["l4", "Chin", 1]]
    assert found["units_concepts"]["units"].tolist() == [2, 1, 1]
    values = quantities(found).set_index("quantity")["value"]
    assert values["eyeglasses units"] == 2
    assert values["eyeglasses units (union all)"] == 1
    assert values["Chin region units (union all)"] == 0
    assert values["mean IoU with eyeglasses (union labelled)"] == pytest.approx(0.15)
