"""Which frames are worth a label, and what becomes of labels: through stored runs and the command line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from insitu.cli import main
from insitu.config import load
from insitu.errors import NotFoundError, UsageError
from insitu.models.manifest import Ranges
from insitu.models.preparing import Prepared
from insitu.rollout.labelled import seen
from insitu.rollout.labelling import Candidate, choose, kept, take, worthwhile, write_table
from insitu.rollout.labels import read_labels
from insitu.run import run
from insitu.store.runs import StoredRun
from tests.bundles import convolutions, described, written

RECIPE = {
    "format": 1,
    "title": "labels",
    "detectors": ["bench"],
    "prepare": [{"use": "baseline", "window": "4 deg"}],
    "features": [{"use": "onnx", "bundle": "", "name": "net", "allow_unsigned": True}],
    "models": [{"use": "network", "bundle": "", "prefix": "net", "allow_unsigned": True}],
}
BENCH = {
    "format": 1, "source": "det", "shape": [1024], "dtype": "uint32",
    "reader": {"use": "simulated.diffractometer", "frames": 60, "seed": 1},
    "calibration": {"wavelength": "1.5406 angstrom"},
}  # fmt: skip
NET = {"ranges": Ranges(), "params": {"low": 1.5, "high": 4.0, "points": 64}}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelling")
    bundle = str(written(folder / "bundle", convolutions(), **NET))
    recipe = RECIPE | {k: [RECIPE[k][0] | {"bundle": bundle}] for k in ("features", "models")}
    return Path(run(load(recipe, detectors={"bench": BENCH}), data_root=folder / "data").path)


def root(stored: Path) -> Path:
    return stored.parent.parent.parent


def test_frames_are_chosen_once_and_not_those_with_a_label(stored: Path) -> None:
    with StoredRun(stored) as opened:
        chosen = choose([opened], "network", 10)
        rest = choose([opened], "network", 60)
        known = {c.address: "CuO" for c in chosen[:4]}
        again = choose([opened], "network", 60, known)
    assert len(chosen) == 10
    assert len({c.address for c in rest}) == 60
    assert [c.address for c in rest[:10]] == [c.address for c in chosen]
    assert not known.keys() & {c.address for c in again}


def test_undecided_frames_come_first_and_are_unlike_each_other() -> None:
    """Three kinds of frames; the network is sure of the third."""
    rng = np.random.default_rng(0)
    kinds = np.repeat([0, 1, 2], 20)
    x = np.eye(3)[kinds] * 10.0 + rng.normal(0.0, 0.1, (60, 3))
    pool = [
        Candidate(address=f"insitu:r/d/{i}", says="a", score=0.5, margin=(0.1, 0.2, 0.99)[k], time_ns=i)
        for i, k in enumerate(kinds)
    ]
    chosen = [kinds[int(c.address.rpartition("/")[2])] for c in worthwhile(pool, x, 12, {})]
    assert set(chosen[:2]) == {0, 1}, "one of each kind before a second one"
    assert chosen.count(2) <= 1
    seen_one = {c.address: "a" for c in pool[:3]}
    assert kinds[int(worthwhile(pool, x, 1, seen_one)[0].address.rpartition("/")[2])] == 1


def test_a_model_that_did_not_judge_is_named_with_those_that_did(stored: Path) -> None:
    with StoredRun(stored) as opened, pytest.raises(NotFoundError, match="one of network"):
        choose([opened], "other", 10)


def test_labels_go_out_and_come_back_by_the_command_line(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, data = tmp_path / "to-label.csv", ["--data-root", str(root(stored)), "--json"]
    with pytest.raises(SystemExit) as done:
        main(["label", "choose", "last", "--count", "3", "-o", str(table), "--pictures", str(tmp_path / "p"), *data])
    assert done.value.code == 0, capsys.readouterr()
    assert len(json.loads(capsys.readouterr().out)["frames"]) == 3
    assert [p.name for p in sorted((tmp_path / "p").iterdir())] == ["001.png", "002.png", "003.png"]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    for row, label in zip(rows, ("CuO", "", "CeO2"), strict=True):
        row["label"] = label
    with table.open("w", newline="") as file:
        out = csv.DictWriter(file, rows[0].keys())
        out.writeheader()
        out.writerows(rows)
    with pytest.raises(SystemExit) as done:
        main(["label", "take", str(table), *data])
    assert json.loads(capsys.readouterr().out)["labels"] == {"CuO": 1, "CeO2": 1}
    assert done.value.code == 0
    assert kept(root(stored)) == {rows[0]["frame"]: "CuO", rows[2]["frame"]: "CeO2"}
    with pytest.raises(UsageError, match="there already"):
        write_table([], table)


def test_of_one_frame_the_last_label_counts(stored: Path, tmp_path: Path) -> None:
    with StoredRun(stored) as opened:
        address = f"insitu:{opened.uid}/det/7"
    for label in ("CuO", "none"):
        (tmp_path / "t.csv").write_text(f"frame,label\n{address},{label}\n")
        take(tmp_path / "t.csv", root(stored), "me")
    assert kept(root(stored))[address] == "none"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n", "no table of labels"),
        ("frame,label\ndet/3,CuO\n", "no address"),
        ("frame,label\ninsitu:run,CuO\n", "no address"),
        ("frame,label\ninsitu:run/det/\u00b2,CuO\n", "no address"),
        ('frame,label\n"insitu:run/det/1,CuO\n', "cannot be read"),
        ("frame,label\ninsitu:x/det/3,CuO\ninsitu:x/det/3,CeO2\n", "labelled 'CuO' and 'CeO2'"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=why):
        read_labels(tmp_path / "t.csv")


def test_labels_of_frames_that_are_not_stored_are_refused(stored: Path, tmp_path: Path) -> None:
    with StoredRun(stored) as opened:
        uid = opened.uid
    for address in (f"insitu:{uid}/det/999", "insitu:nothing/det/1"):
        (tmp_path / "t.csv").write_text(f"frame,label\n{address},CuO\n")
        with pytest.raises(NotFoundError):
            take(tmp_path / "t.csv", root(stored), "me")


def test_labelled_frames_are_seen_as_the_network_saw_them(stored: Path) -> None:
    """Through the same prepare steps: the extractor on those inputs gives what was recorded."""
    from insitu.inference.onnx_loading import load as loaded

    with StoredRun(stored) as opened:
        labels = {f"insitu:{opened.uid}/det/{k}": "CuO" for k in (3, 40)}
        records = [opened.record(opened.n_of("det", k)) for k in (3, 40)]
        bundle = loaded(next((stored / "files").iterdir()), stored=True)
    found, told = seen(labels, root(stored), described(**NET))
    assert not told
    for case, record in zip(found, records, strict=True):
        logits = bundle.one(case.input)[0]
        assert record is not None
        scores = {k: record["features"][f"net_{k}"]["value"] for k in ("ceo2", "cuo", "none")}
        assert list(scores.values()).index(max(scores.values())) == int(logits.argmax())
        assert (case.group, case.simulated) == (
            f"{opened.uid}/det/{int(case.address.rpartition('/')[2]) * 10 // 41}",
            True,
        )


def test_frames_that_the_network_would_see_as_no_numbers_are_left_out_and_told(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Prepared(np.full((1, 64), np.nan, np.float32), "")
    monkeypatch.setattr("insitu.rollout.labelled.preparation", lambda *_: lambda thing: nothing)
    with StoredRun(stored) as opened:
        address = f"insitu:{opened.uid}/det/3"
    found, told = seen({address: "CuO"}, root(stored), described(**NET))
    assert (found, told) == ([], [f"{address} cannot be used: the network would see numbers that are not finite"])
