from tests.faces.layouts import picture

from fusiform.faces import open_faces


def test_a_second_copy_of_an_image_is_left_out(tmp_path):
    picture(tmp_path / "Ann_Lee" / "Ann_Lee_0001.jpg")
    picture(tmp_path / "more" / "Ann_Lee_0001.jpg")
    faces = open_faces(f"lfw:{tmp_path}")
    assert faces.table["image_id"].tolist() == ["Ann_Lee_0001"]
    assert faces.skipped.to_numpy().tolist() == [
        ["more/Ann_Lee_0001.jpg", "the same image as 'Ann_Lee/Ann_Lee_0001.jpg' by its name"]
    ]
    assert "Huang" in faces.provenance["paper"]
    assert "licence" in faces.provenance
