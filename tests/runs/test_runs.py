import errno
import io
import os

import pandas as pd
import pytest

from fusiform.errors import RunError
from fusiform.runs import Progress, Run, atomic_write

REQUEST = {"study": "audit", "network": "demo", "seed": 0}


def test_a_run_keeps_its_request_tables_and_parts(tmp_path):
    run = Run.start(tmp_path / "r", REQUEST)
    run.record(seed=0, network={"name": "demo"})
    run.write_table("probes", pd.DataFrame({"value": [0.5]}))
    run.write_part("stage1.0@0", pd.DataFrame({"value": [1.0]}))
    again = Run.start(tmp_path / "r", REQUEST)
    assert again.part("stage1.0@0").value.tolist() == [1.0]
    assert again.part("stage1.1@0") is None
    again.finish()
    read = Run.open(tmp_path / "r")
    assert read.status == "complete"
    assert read.request == REQUEST
    assert read.network == {"name": "demo"}
    assert read.tables == ["probes"]
    assert not (tmp_path / "r" / "parts").exists()


def test_an_existing_run_is_never_overwritten_silently(tmp_path):
    Run.start(tmp_path / "r", REQUEST).finish()
    with pytest.raises(RunError, match=r"complete run.*--overwrite"):
        Run.start(tmp_path / "r", REQUEST)
    run = Run.start(tmp_path / "r", REQUEST, overwrite=True)
    run.write_part("fc", pd.DataFrame({"a": [1]}))
    with pytest.raises(RunError, match=r"seed: 0 there, 1 asked"):
        Run.start(tmp_path / "r", {**REQUEST, "seed": 1})


def test_a_run_that_finished_nothing_may_be_asked_something_else(tmp_path):
    Run.start(tmp_path / "r", REQUEST)
    other = Run.start(tmp_path / "r", {**REQUEST, "seed": 1})
    assert Run.open(other.path).request["seed"] == 1


def test_a_run_may_be_continued_with_other_values_of_what_is_not_compared(tmp_path):
    asked = REQUEST | {"memory_gb": 4.0}
    Run.start(tmp_path / "r", asked).write_part("fc", pd.DataFrame({"a": [1]}))
    less = asked | {"memory_gb": 1.0}
    with pytest.raises(RunError, match=r"memory_gb: 4\.0 there, 1\.0 asked"):
        Run.start(tmp_path / "r", less)
    again = Run.start(tmp_path / "r", less, not_compared=["memory_gb"])
    assert again.part("fc").a.tolist() == [1]
    assert Run.open(tmp_path / "r").request == less
    with pytest.raises(RunError, match=r"asked something else \(seed: 0 there, 1 asked\)"):
        Run.start(tmp_path / "r", asked | {"seed": 1}, not_compared=["memory_gb"])


def test_parts_with_names_that_no_file_can_have_stay_apart(tmp_path):
    run = Run.start(tmp_path / "r", REQUEST)
    names = ["face net", "face-net", "face/net", "face:net", "stage1.0@0"]
    for number, name in enumerate(names):
        run.write_part(name, pd.DataFrame({"a": [number]}))
    assert [run.part(name).a[0] for name in names] == list(range(5))
    assert {"face-net.parquet", "stage1.0@0.parquet"} < {p.name for p in (run.path / "parts").iterdir()}


def test_problems_are_told(tmp_path):
    run = Run.start(tmp_path / "r", REQUEST)
    assert run.problems == []
    run.record(problems=[{"experiment": "geometry", "network": "demo", "error": "too few", "trace": ""}])
    assert Run.open(run.path).problems[0]["error"] == "too few"


def test_overwriting_removes_only_what_a_run_writes(tmp_path):
    run = Run.start(tmp_path / "r", REQUEST)
    run.write_table("old", pd.DataFrame({"a": [1]}))
    (run.path / "notes.txt").write_text("mine")
    run.finish()
    Run.start(tmp_path / "r", REQUEST, overwrite=True)
    assert (tmp_path / "r" / "notes.txt").read_text() == "mine"
    assert Run.open(tmp_path / "r").tables == []


def test_a_folder_that_is_no_run_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "photo.jpg").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(RunError, match=r"no run\.json"):
            Run.start(tmp_path, REQUEST, overwrite=overwrite)
    with pytest.raises(RunError, match="is a file"):
        Run.start(tmp_path / "photo.jpg", REQUEST)
    with pytest.raises(RunError, match="not a run folder"):
        Run.open(tmp_path)


def test_a_missing_table_offers_the_nearest(tmp_path):
    run = Run.start(tmp_path / "r", REQUEST)
    run.write_table("probes", pd.DataFrame({"a": [1]}))
    with pytest.raises(RunError, match="did you mean 'probes'"):
        run.table("probe")


@pytest.mark.parametrize(
    ("code", "says"),
    [(errno.ENOSPC, "disk is full.*again to continue"), (errno.EACCES, "may not be written")],
)
def test_a_full_disk_keeps_the_old_file_and_leaves_no_half_one(tmp_path, code, says):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_until_full():
        with atomic_write(target) as part:
            part.write_text("half")
            raise OSError(code, os.strerror(code))

    with pytest.raises(RunError, match=says):
        write_until_full()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_inside_a_write_passes_through(tmp_path):
    def fail():
        with atomic_write(tmp_path / "a.txt"):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_progress_writes_plain_lines_where_there_is_no_terminal():
    out = io.StringIO()
    with Progress(stream=out) as progress:
        progress.say("Plan: one pass")
        step = progress.task("Streaming")
        for done in range(1, 6):
            step(done, 5)
    assert out.getvalue().splitlines() == ["Plan: one pass", "Streaming: 5/5 (0 s)"]
    silent = io.StringIO()
    with Progress(quiet=True, stream=silent) as progress:
        progress.task("x")(1, 1)
        progress.say("y")
    assert silent.getvalue() == ""
