"""The read side: views, damaged folders, lists of runs, what a query may see."""

import pytest

from sim.core.errors import ScenarioError
from sim.record.folder import RunFolder
from sim.record.store import list_runs, open_run
from tests.unit.test_record_recorder import play, recorder


def made_run(parent, name="run", *, complete=True):
    folder = RunFolder.create(parent, name)
    made = recorder(folder.path)
    folder.write_status("run", force=True)
    play(made, range(3), flush=True)
    if not complete:
        return folder
    made.write_table("geo_cells", {"cell": [0, 1], "rat": ["4G", "2G"]})
    made.finish()
    folder.write_json("manifest.json", {"status": "complete", "seed": 4})
    folder.write_json("kpis.json", {"funnel": {}})
    folder.complete()
    return folder


def test_every_file_of_a_run_is_a_table(tmp_path):
    """Queries, whole tables, JSON and checksums of a complete run."""
    with open_run(made_run(tmp_path).path) as run:
        assert run.manifest["seed"] == 4
        assert {"metrics", "decisions", "contacts", "activity", "geo_cells"} <= set(run.tables)
        total = run.sql("SELECT sum(value) AS n FROM metrics WHERE metric = ?", ["plain"])
        assert total.n[0] == 0 + 1 + 2
        assert run.arrow("SELECT rat FROM geo_cells")["rat"].to_pylist() == ["4G", "2G"]
        assert len(run.metrics()) > 10
        assert len(run.decisions()) == 0
        assert run.table("nothing").empty
        assert run.verify() == []


def test_an_unfinished_run_can_be_read_while_it_is_written(tmp_path):
    """The parts that are flushed so far, with the names that the final files will have."""
    made_run(tmp_path, complete=False)
    with open_run(tmp_path / "run") as run:
        assert not run.complete
        assert run.sql("SELECT count(*) AS n FROM activity").n[0] == 12
        assert run.sql("SELECT count(*) AS n FROM contacts").n[0] == 6
        assert run.kpis == {}


def test_a_query_sees_this_run_alone(tmp_path):
    """No other file of the machine, no writing, no other settings, and errors in a sentence."""
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with open_run(made_run(tmp_path).path) as run:
        for query in (
            f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')",
            f"COPY metrics TO '{tmp_path / 'out.csv'}'",
            "SET enable_external_access = true",
            "SELECT nonsense FROM metrics",
            "CREATE TABLE t (a INT)",
            f"COPY metrics TO '{run.path / 'metrics.parquet'}'",
            "SELECT 1; SELECT 2",
        ):
            with pytest.raises(ScenarioError):
                run.sql(query)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.fault("C8")
def test_a_damaged_file_is_named(tmp_path):
    """Cut off, replaced, or gone: the message says which one."""
    path = made_run(tmp_path).path
    whole = (path / "audit.parquet").read_bytes()
    (path / "audit.parquet").write_bytes(whole[:-9])
    with pytest.raises(ScenarioError, match=r"audit\.parquet"):
        open_run(path)
    (path / "audit.parquet").write_bytes(b"x" * len(whole))
    with pytest.raises(ScenarioError, match=r"audit\.parquet"):
        open_run(path)
    (path / "audit.parquet").unlink()
    with pytest.raises(ScenarioError, match=r"audit\.parquet"):
        open_run(path)


@pytest.mark.fault("C8")
def test_a_changed_byte_is_found_by_verify(tmp_path):
    """The size is the same, the checksum is not."""
    path = made_run(tmp_path).path
    data = bytearray((path / "digests.parquet").read_bytes())
    data[6] ^= 1
    (path / "digests.parquet").write_bytes(bytes(data))
    with open_run(path) as run:
        assert run.verify() == ["digests.parquet"]


def test_what_is_no_run_is_refused(tmp_path):
    """No folder, an empty folder, an empty part."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "p.part").mkdir()
    for name in ("gone", "empty", "p", "p.part"):
        with pytest.raises(ScenarioError):
            open_run(tmp_path / name)


def test_a_list_of_runs_says_the_state_of_each(tmp_path):
    """Complete, running, interrupted, killed and damaged; strangers are left out."""
    made_run(tmp_path, "done")
    running = made_run(tmp_path, "running", complete=False)
    made_run(tmp_path, "stopped", complete=False).interrupted()
    killed = made_run(tmp_path, "killed", complete=False)
    killed._release()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_text("{")
    (tmp_path / "stranger").mkdir()
    states = {run.name: run.state for run in list_runs(tmp_path)}
    assert states == {
        "done": "complete", "running": "running", "stopped": "interrupted", "killed": "killed",
        "bad": "damaged",
    }  # fmt: skip
    assert list_runs(tmp_path / "nowhere") == []
    running.complete()
