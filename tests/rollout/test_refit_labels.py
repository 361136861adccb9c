"""`insitu model refit` with labels that do not fit: exit status 2, and the file, the line and the remedy."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from insitu.cli import main
from insitu.config import load
from insitu.models.manifest import Ranges
from insitu.rollout import labelling
from insitu.rollout.checking import of_network
from insitu.rollout.labelled import seen
from insitu.rollout.labels import Given
from insitu.run import run
from insitu.store.runs import StoredRun
from tests.bundles import convolutions, dense, described, pair, written

NET: dict[str, Any] = {"params": {"low": 1.5, "high": 4.0, "points": 64}}
BENCH = {
    "format": 1, "source": "det", "shape": [1024], "dtype": "uint32",
    "reader": {"use": "simulated.diffractometer", "frames": 20, "seed": 1},
    "calibration": {"wavelength": "1.5406 angstrom"},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data root with one run, and its uid."""
    root = tmp_path_factory.mktemp("labels") / "data"
    recipe = {"format": 1, "title": "labels", "detectors": ["bench"], "features": [{"use": "totals"}]}
    path = Path(run(load(recipe, detectors={"bench": BENCH}), data_root=root).path)
    with StoredRun(path) as opened:
        return root, opened.uid


def refused(
    data: tuple[Path, str], folder: Path, rows: list[str], capsys: pytest.CaptureFixture[str], **bundle: Any
) -> tuple[int, dict[str, str]]:
    """Exit status and error of a re-fit with these rows."""
    written(folder / "bundle", convolutions(), **(NET | bundle))
    table = folder / "labels.csv"
    table.write_text("\n".join(["frame,label", *(row.replace("UID", data[1]) for row in rows), ""]))
    with pytest.raises(SystemExit) as ended:
        main(["model", "refit", str(folder / "bundle"), "-o", str(folder / "new"), "--labels", str(table),
              "--data-root", str(data[0]), "--allow-unsigned", "--json"])  # fmt: skip
    assert not (folder / "new").exists()
    code = ended.value.code
    return (code if isinstance(code, int) else 0), json.loads(capsys.readouterr().out)["error"]


GOOD = [f"insitu:UID/det/{k},CuO" for k in range(12)]


@pytest.mark.parametrize(
    ("rows", "line", "what", "remedy"),
    [
        ([*GOOD, "insitu:UID/det/13,CuO2"], 14, "tiny 1.0.0 knows no 'CuO2'", "Correct or empty the label"),
        ([*GOOD, "insitu:UID/det/13,CeO2 + CuO"], 14, "knows no 'CeO2 + CuO'", "needs a training"),
        ([*GOOD, "insitu:20200101-another/det/3,CuO"], 14, "of another place", "--data-root"),
        ([*GOOD, "insitu:UID/det/99,CuO"], 14, "no frame 99", "Take the row out"),
        ([*GOOD, "insitu:UID/other/3,CuO"], 14, "source 'other'", "Take the row out"),
        ([*GOOD, "insitu:UID/det/3,CeO2"], 14, "is labelled 'CuO' and 'CeO2'", "Take one of the rows out"),
        ([*GOOD, f"insitu:UID/det/{'9' * 400},CuO"], 14, "no address of a frame", "or take the row out"),
        ([*GOOD, "det/3,CeO2"], 14, "no address of a frame", "as `insitu label choose` wrote it"),
    ],
)
def test_a_label_that_does_not_fit_is_refused_with_its_line(
    data: tuple[Path, str], tmp_path: Path, capsys: Any, rows: list[str], line: int, what: str, remedy: str
) -> None:
    code, error = refused(data, tmp_path, rows, capsys)
    assert code == 2
    assert error["where"] == f"{tmp_path / 'labels.csv'}:{line}"
    assert what in error["what"]
    assert remedy in error["remedy"]


def test_labels_of_frames_that_the_network_cannot_see_are_told_with_the_first_line(
    data: tuple[Path, str], tmp_path: Path, capsys: Any
) -> None:
    """Diffraction patterns, and a network for spectra."""
    params = {"element": "Fe", "low": -20.0, "high": 80.0, "points": 64}
    code, error = refused(data, tmp_path, GOOD, capsys, preparation="spectrum", params=params)
    assert code == 2
    assert error["where"] == f"{tmp_path / 'labels.csv'}:2"
    assert "12 of 12 labelled frames cannot be used" in error["what"]
    assert "measured with this network" in error["remedy"]


def test_a_frame_of_another_shape_is_left_out_and_told(data: tuple[Path, str]) -> None:
    address = f"insitu:{data[1]}/det/3"
    found, told = seen({address: "CuO"}, data[0], described(**NET, shape=(1, 128)))
    assert (found, told) == (
        [], [f"{address} cannot be used: it is prepared as [1, 64], the network takes [1, 128]"]
    )  # fmt: skip


def test_labels_that_were_taken_are_named_by_the_table_that_was_kept(
    data: tuple[Path, str], tmp_path: Path, capsys: Any
) -> None:
    """No --labels: a wrong label lies in a table of `labels/`."""
    written(tmp_path / "bundle", convolutions(), **NET)
    (tmp_path / "t.csv").write_text(f"frame,label\ninsitu:{data[1]}/det/3,rust\n")
    labelling.take(tmp_path / "t.csv", data[0], "me")
    (table,) = (data[0] / "labels").glob("*.csv")
    with pytest.raises(SystemExit) as ended:
        main(["model", "refit", str(tmp_path / "bundle"), "-o", str(tmp_path / "new"), "--data-root", str(data[0]),
              "--allow-unsigned", "--json"])  # fmt: skip
    assert ended.value.code == 2
    assert json.loads(capsys.readouterr().out)["error"]["where"] == f"{table}:2"


def test_the_last_label_counts_also_where_the_clock_was_set_back(
    data: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"insitu:{data[1]}/det/7"

    class Back(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) - timedelta(days=400)

    for label in ("CuO", "CeO2", "none"):
        (tmp_path / "t.csv").write_text(f"frame,label\n{address},{label}\n")
        labelling.take(tmp_path / "t.csv", data[0], "me")
        assert labelling.kept(data[0])[address] == label
        monkeypatch.setattr(labelling, "datetime", Back)


def test_labels_kept_for_another_network_are_left_out_and_told(tmp_path: Path) -> None:
    key, trusted = pair(tmp_path / "keys")
    names = ("quartz", "calcite", "mica")
    rocks = written(tmp_path / "rocks", convolutions(), key=key, name="rocks", labels=names, **NET)
    recipe = {
        "format": 1, "title": "rocks", "detectors": ["bench"], "features": [{"use": "onnx", "bundle": str(rocks)}],
        "models": [{"use": "network", "bundle": str(rocks)}],
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSITU_MODEL_KEYS", str(trusted))
        path = Path(run(load(recipe, detectors={"bench": BENCH}), data_root=tmp_path / "data").path)
    given = [Given(label, f"t.csv:{k + 2}") for k, label in enumerate(("mica", "CuO", "?"))]
    rows = {f"insitu:{path.name}/det/{k}": one for k, one in enumerate(given)}

    found, told = of_network(rows, described(**NET), tmp_path / "data")

    assert [given.label for given in found.values()] == ["CuO"]
    assert told == ["2 kept labels are left out: tiny does not know them, and others judged those runs"]
    assert of_network(rows, described(**NET, name="rocks"), tmp_path / "data") == (rows, []), "it may be a slip there"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--loss", "nan"], "a loss of nan"),
        (["--loss", "-1"], "a loss of -1"),
        (["--serial", "0"], "the serial 0; expected more than 1"),
        (["--serial", "1"], "the serial 1; expected more than 1"),
        (["--update", "."], "something is here already"),
    ],
)
def test_an_option_that_makes_no_sense_is_told(
    data: tuple[Path, str], tmp_path: Path, capsys: Any, options: list[str], told: str
) -> None:
    written(tmp_path / "bundle", convolutions(), **NET)
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["frame,label", *(row.replace("UID", data[1]) for row in GOOD), ""]))

    with pytest.raises(SystemExit) as ended:
        main(["model", "refit", str(tmp_path / "bundle"), "-o", str(tmp_path / "new"), "--labels", str(table),
              "--data-root", str(data[0]), "--allow-unsigned", *options])  # fmt: skip

    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_network_for_another_task_is_told_before_anybody_asks_for_labels(tmp_path: Path, capsys: Any) -> None:
    written(tmp_path / "bundle", dense(3), task="anomaly", labels=(), shape=(3,), output=(1,),
            preparation="features", params={"keys": ["a", "b", "c"]}, ranges=Ranges())  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(["model", "refit", str(tmp_path / "bundle"), "-o", str(tmp_path / "new"), "--allow-unsigned",
              "--data-root", str(tmp_path)])  # fmt: skip

    assert ended.value.code == 6
    assert "a network for anomaly is not re-fitted" in capsys.readouterr().err
