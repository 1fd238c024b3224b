import numpy as np
import pandas as pd
import pytest

from fusiform.errors import DataError
from fusiform.plotting import accuracy_over_depth, best_layers, example_faces, layer_attribute_heatmap
from fusiform.plotting.tables import attribute_order, primary, skill

LAYERS = ["stem", "stage1", "fc"]


def rows(attribute, values, *, kind="binary", control=False, layers=LAYERS, chance=0.5, network="n"):
    metric = "r2" if kind == "continuous" else "balanced_accuracy"
    return [
        {
            "network": network,
            "control": control,
            "layer": layer,
            "depth": index,
            "unit_kind": "layer",
            "attribute": attribute,
            "kind": kind,
            "split": "test",
            "metric": metric,
            "value": value,
            "lower": value - 0.02,
            "upper": value + 0.02,
            "chance": chance,
        }
        for index, (layer, value) in enumerate(zip(layers, values, strict=True))
    ]


@pytest.fixture
def probes():
    return pd.DataFrame(
        rows("A", [0.6, 0.7, 0.8])
        + rows("A", [0.55, 0.56, 0.57], control=True)
        + rows("B", [0.9, 0.95, 0.7])
        + rows("yaw", [0.1, 0.4, 0.3], kind="continuous", chance=0.0)
    )


@pytest.fixture
def forty():
    values = np.linspace(0.55, 0.95, 40)
    return pd.DataFrame([row for i, v in enumerate(values) for row in rows(f"a{i:02d}", [0.5, v, v - 0.02])])


def traces(figure, role):
    return {t.meta["attribute"]: t for t in figure.data if t.meta["role"] == role}


def test_lines_hold_the_values_in_order_of_depth(probes):
    shuffled = probes.sample(frac=1, random_state=0)
    figure = accuracy_over_depth(shuffled)
    lines = traces(figure, "line")
    assert set(lines) == {"A", "B", "yaw"}
    assert list(lines["A"].x) == LAYERS
    assert list(lines["A"].y) == [0.6, 0.7, 0.8]
    assert list(traces(figure, "control")["A"].y) == [0.55, 0.56, 0.57]
    band = traces(figure, "band")["A"]
    assert np.allclose(band.y, [0.62, 0.72, 0.82, 0.78, 0.68, 0.58])


def test_measures_do_not_share_an_axis(probes):
    figure = accuracy_over_depth(probes)
    lines = traces(figure, "line")
    assert lines["A"].yaxis == lines["B"].yaxis != lines["yaw"].yaxis
    titles = {figure.layout.yaxis.title.text, figure.layout.yaxis2.title.text}
    assert titles == {"balanced accuracy", "R²"}
    heat = layer_attribute_heatmap(probes)
    assert [list(t.y) for t in heat.data] == [["B", "A"], ["yaw"]]
    assert heat.data[0].yaxis != heat.data[1].yaxis


def test_every_panel_has_a_legend_of_its_own(probes):
    figure = accuracy_over_depth(probes)
    lines = traces(figure, "line")
    assert lines["A"].legend != lines["yaw"].legend
    assert "Yes/no attributes" in figure.layout.legend.title.text
    assert "Measured quantities" in figure.layout.legend2.title.text
    assert figure.layout.legend.y > figure.layout.legend2.y


def test_chance_has_a_line_a_level():
    table = pd.DataFrame(
        rows("two", [0.5, 0.6, 0.7], kind="categorical")
        + rows("four", [0.3, 0.4, 0.5], kind="categorical", chance=0.25)
    )
    figure = accuracy_over_depth(table)
    chance = [t for t in figure.data if t.meta["role"] == "chance"]
    assert [t.y[0] for t in chance] == [0.25, 0.5]


def test_many_attributes_are_grey_but_for_the_best_and_can_be_chosen(forty):
    figure = accuracy_over_depth(forty)
    lines = traces(figure, "line")
    assert len(lines) == 40
    highlighted = {name for name, t in lines.items() if "slot" in t.meta}
    assert highlighted == {"a35", "a36", "a37", "a38", "a39"}
    assert lines["a39"].line.color != lines["a00"].line.color
    assert lines["a00"].line.width < lines["a39"].line.width
    assert traces(figure, "band")["a00"].visible is False
    (menu,) = figure.layout.updatemenus
    assert len(menu.buttons) == 41
    changes, indices = menu.buttons[-1].args
    chosen = [i for i, width in zip(indices, changes["line.width"], strict=True) if width > 2]
    assert [figure.data[i].meta["attribute"] for i in chosen] == [menu.buttons[-1].label]
    assert not accuracy_over_depth(forty, selector=False).layout.updatemenus


def test_highlight_and_attributes(forty):
    figure = accuracy_over_depth(forty, attributes=["a01", "a02"], highlight=["a02"])
    lines = traces(figure, "line")
    assert set(lines) == {"a01", "a02"}
    assert lines["a02"].meta["slot"] == 0
    assert "slot" not in lines["a01"].meta
    with pytest.raises(DataError, match="no attribute 'a2': did you mean"):
        accuracy_over_depth(forty, attributes=["a2"])


def test_one_layer_is_drawn_as_dots_with_bars():
    table = pd.DataFrame(
        rows("A", [0.8], layers=["fc"]) + rows("A", [0.6], layers=["fc"], control=True),
    )
    figure = accuracy_over_depth(table)
    line = traces(figure, "line")["A"]
    assert "markers" in line.mode
    assert np.allclose(line.error_y.array, [0.02])
    assert traces(figure, "control")["A"].mode == "markers"
    assert not traces(figure, "band")


def test_heatmap_is_chance_corrected_and_says_the_values(probes):
    probes = pd.concat(
        [probes, pd.DataFrame(rows("race", [0.25, 0.625, 1.0], kind="categorical", chance=0.25))]
    )
    figure = layer_attribute_heatmap(probes)
    by_name = {t.y[0]: t for t in figure.data}
    assert np.allclose(by_name["race"].z[0], [0.0, 0.5, 1.0])
    assert np.allclose(by_name["B"].z, [[0.8, 0.9, 0.4], [0.2, 0.4, 0.6]])
    assert list(by_name["B"].text[1]) == ["0.60", "0.70", "0.80"]
    assert "random weights: 0.570" in by_name["B"].hovertext[1][2]


def test_heatmap_marks_the_best_layer(probes, forty):
    best = pd.DataFrame({"attribute": ["A", "a03"], "layer": ["stage1", "fc"]})
    small = layer_attribute_heatmap(probes, kind="binary", best=best)
    assert list(small.data[0].text[1]) == ["0.60", "<b>0.70</b> •", "0.80"]
    large = layer_attribute_heatmap(forty, best=best, annotate=False)
    ring = large.data[1]
    assert (list(ring.x), list(ring.y)) == (["fc"], ["a03"])


def test_heatmap_leaves_holes_where_nothing_was_measured(probes):
    table = probes[~((probes["attribute"] == "A") & (probes["layer"] == "stage1"))]
    figure = layer_attribute_heatmap(table, kind="binary")
    assert figure.data[0].z[1][1] is None
    assert figure.data[0].hovertext[1][1].endswith("not measured")


def test_heatmap_of_the_control(probes):
    figure = layer_attribute_heatmap(probes, control=True)
    assert len(figure.data) == 1
    assert np.allclose(figure.data[0].customdata[1], [0.55, 0.56, 0.57])
    with pytest.raises(DataError, match="no rows of the random-weights control"):
        layer_attribute_heatmap(probes[~probes["control"]], control=True)


def test_orders(probes):
    binary = primary(probes, kind="binary")
    assert attribute_order(binary, "best") == ["B", "A"]
    assert attribute_order(binary, "gained") == ["B", "A"]
    assert attribute_order(binary, "name") == ["A", "B"]
    late = pd.DataFrame(
        rows("late", [0.5, 0.5, 1.0]) + rows("early", [0.7, 0.7, 0.7]) + rows("never", [0.4] * 3)
    )
    assert attribute_order(primary(late), "gained") == ["early", "late", "never"]
    with pytest.raises(DataError, match="order must be"):
        attribute_order(binary, "size")


def test_skill_of_a_chance_of_one_is_missing():
    assert skill(pd.Series([1.0]), pd.Series([1.0])).isna().all()


def test_primary_takes_whole_layers_the_split_and_one_network(probes):
    more = pd.concat(
        [
            probes,
            probes.assign(unit_kind="channel"),
            probes.assign(split="valid", value=0.0),
            probes.assign(metric="auc", value=0.0),
        ]
    )
    assert len(primary(more)) == len(probes)
    two = pd.concat([probes, probes.assign(network="other")])
    with pytest.raises(DataError, match="several networks"):
        primary(two)
    assert set(primary(two, network="other")["network"]) == {"other"}
    with pytest.raises(DataError, match="no network 'othr': did you mean 'other'"):
        primary(two, network="othr")
    with pytest.raises(DataError, match=r"lacks the columns \['chance'\]"):
        primary(probes.drop(columns="chance"))
    with pytest.raises(DataError, match="kind must be one of"):
        primary(probes, kind="binray")


def test_nothing_to_draw(probes):
    with pytest.raises(DataError, match="no rows of whole layers on the split 'valid'"):
        accuracy_over_depth(probes, split="valid")


def test_best_layers_best_on_top_with_interval_and_control():
    row = {"kind": "binary", "lower": 0.6, "upper": 0.75, "chance": 0.5, "layer": "fc"}
    best = pd.DataFrame(
        [
            row | {"attribute": "A", "value": 0.7, "control_value": 0.55},
            row | {"attribute": "B", "value": 0.65, "control_value": 0.6},
            row
            | {
                "attribute": "yaw",
                "kind": "continuous",
                "value": 0.7,
                "chance": 0.0,
                "control_value": np.nan,
            },
        ]
    )
    figure = best_layers(best)
    trained = [t for t in figure.data if t.name == "trained"]
    assert [list(t.y) for t in trained] == [["B", "A"], ["yaw"]]
    assert np.allclose(trained[0].error_x.array, [0.1, 0.05])
    control = next(t for t in figure.data if t.name == "random weights")
    assert list(control.x) == [0.6, 0.55]
    assert len(best_layers(best, kind="continuous").data) == 4
    with pytest.raises(DataError, match="no attributes to draw"):
        best_layers(best, kind="categorical")


def test_names_are_shown_as_they_are(probes):
    table = probes.replace({"attribute": {"A": "<b>&%{x}"}})
    figure = accuracy_over_depth(table)
    line = traces(figure, "line")["<b>&%{x}"]
    assert line.name == "&lt;b&gt;&amp;%{x}"
    assert "<b><b>" not in line.hovertemplate
    assert line.hovertemplate.count("%{x}") == 1
    assert "&lt;b&gt;&amp;%{x}" in layer_attribute_heatmap(table).data[0].y


def test_example_faces_from_arrays_and_files(tmp_path):
    from PIL import Image

    pixels = np.zeros((6, 5, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    figure = example_faces([pixels, tmp_path / "a.png", pixels[..., 0]], ["x", "<y>", "z"], columns=2)
    assert all(image.source.startswith("data:image/png;base64,") for image in figure.layout.images)
    assert [(image.x, image.y) for image in figure.layout.images] == [(0, 0), (1, 0), (0, 1)]
    assert [a.text for a in figure.layout.annotations] == ["x", "&lt;y&gt;", "z"]
    with pytest.raises(DataError, match="must be a uint8 array"):
        example_faces([pixels.astype(float)])
    with pytest.raises(DataError, match="3 images, got 1 captions"):
        example_faces([pixels] * 3, ["x"])
    with pytest.raises(DataError, match="no images"):
        example_faces([])
    with pytest.raises(DataError, match="columns must be at least 1"):
        example_faces([pixels], columns=0)
