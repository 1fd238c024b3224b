"""The report's data card: what goes together, and what a network predicted."""

import re

import numpy as np
import pandas as pd

from fusiform.faces import Attribute, FaceSet
from fusiform.report import write_report


def text_of(path):
    page = write_report(path).read_text(encoding="utf-8")
    section = page.partition('<section id="data">')[2].partition("</section>")[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>|&shy;|<wbr>", " ", section))


def test_the_strongest_associations_are_shown(folder, tables):
    rng = np.random.default_rng(0)
    male = rng.random(300) < 0.5
    table = pd.DataFrame(
        {"Male": male, "Beard": male & (rng.random(300) < 0.8), "age": rng.normal(40, 9, 300)}
    )
    faces = FaceSet.from_arrays(np.zeros((300, 3, 4, 4), np.uint8), table, name="people")
    text = text_of(folder(tables, faces=faces.card()))
    assert "Attributes that go together in these faces" in text
    assert re.search(r"Male\s+Beard\s+phi\s+0\.\d\d\s+0\.\d\d to 0\.\d\d\s+300", text)
    assert "The 3 strongest pairs; those with an absolute value below 0.3 are pale." in text
    assert "not given not given" not in text


def test_no_associations_no_table(folder, tables):
    faces = FaceSet.from_arrays(np.zeros((3, 3, 4, 4), np.uint8), name="people")
    assert "go together" not in text_of(folder(tables, faces=faces.card()))
    assert "go together" not in text_of(folder(tables, name="old", faces={"name": "people", "n": 3}))


def test_predicted_attributes_carry_the_networks_name_and_its_error(folder, tables):
    faces = FaceSet.from_arrays(np.zeros((3, 3, 4, 4), np.uint8), name="people")
    known = "probability of 'man'; accuracy 0.90 on UTKFace"
    attribute = Attribute("continuous", description=known, predicted_by="sex net")
    faces = faces.with_attribute("PR_MALE", [0.1, 0.9, 0.5], attribute)
    text = text_of(folder(tables, faces=faces.card())).replace("&#39;", "'")
    assert f"sex net : {known}" in text.replace("sex net:", "sex net :")
