"""Features that would come out the same are taken from the records; whatever might change them, and they are not."""

from pathlib import Path
from typing import Any

import pytest

from insitu.config import load_stored
from insitu.features.totals import Totals
from insitu.replay import kept as module
from insitu.replay import reanalyse, verify
from insitu.run import run
from insitu.store.runs import StoredRun
from insitu.types import Feature, Frame
from tests.settings import RECIPE, detector, setup


class Outside:
    """An extractor that is not ours."""

    def __init__(self, *, name: str = "outside") -> None:
        self.outputs = {name: setup().outputs["det"]["total"]}

    def __call__(self, frame: Frame, refs: Any, before: Any) -> dict[str, Feature]:
        return {"outside": Feature(float(frame.data[0]), "counts")}


def records(path: str | Path) -> list[dict[str, Any]]:
    with StoredRun(Path(path)) as stored:
        return list(stored.records())


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return Path(run(setup(frames=6), data_root=tmp_path).path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The frames of which `totals` is asked."""
    found: list[int] = []
    own = Totals.__call__

    def call(self: Totals, frame: Frame, *more: Any) -> Any:
        found.append(frame.n)
        return own(self, frame, *more)

    monkeypatch.setattr(Totals, "__call__", call)
    return found


def other(**changed: Any) -> dict[str, Any]:
    """The recipe with another limit."""
    limits = {**RECIPE["models"][0], "high": "31.50 deg"}
    return {**RECIPE, "models": [limits], **changed}


def test_another_limit_asks_no_extractor_and_the_new_run_is_derived_from_its_frames(
    first: Path, asked: list[int], tmp_path: Path
) -> None:
    again = reanalyse(first, setup(other(), frames=6), data_root=tmp_path)
    assert asked == []
    assert [r["features"] for r in records(again.path)] == [r["features"] for r in records(first)]
    assert [r["verdicts"] for r in records(again.path)] != [r["verdicts"] for r in records(first)]
    assert any("totals" in note and first.name in note for note in again.notes)
    with StoredRun(Path(again.path)) as stored:
        assert stored.open_body()["kept"]["run"] == first.name
    assert verify(Path(again.path)).identical
    assert len(asked) == 6


def test_all_is_computed_again_where_that_is_wanted(first: Path, asked: list[int], tmp_path: Path) -> None:
    again = reanalyse(first, setup(other(), frames=6), data_root=tmp_path, afresh=True)
    assert len(asked) == 6
    with StoredRun(Path(again.path)) as stored:
        assert "kept" not in stored.open_body()


def test_a_new_feature_is_computed_and_the_others_are_kept(first: Path, asked: list[int], tmp_path: Path) -> None:
    more = [*RECIPE["features"], {"use": "totals", "name": "second"}]
    again = reanalyse(first, setup(other(features=more), frames=6), data_root=tmp_path)
    assert len(asked) == 6
    fresh = reanalyse(first, setup(other(features=more), frames=6), data_root=tmp_path, afresh=True)
    assert records(again.path) == records(fresh.path)


@pytest.mark.parametrize(
    ("changed", "of_detector"),
    [
        ({"prepare": [{"use": "normalise"}]}, {}),
        ({}, {"calibration": {"wavelength": "1.5405 angstrom"}}),
    ],
    ids=["a prepare step", "the wavelength"],
)
def test_what_stands_before_a_feature_makes_it_another_one(
    first: Path, asked: list[int], tmp_path: Path, changed: dict[str, Any], of_detector: dict[str, Any]
) -> None:
    table = {"bench": {**detector(frames=6), **of_detector}}
    reanalyse(first, setup(other(**changed), detectors=table), data_root=tmp_path)
    assert len(asked) == 6


def test_another_environment_keeps_nothing(
    first: Path, asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "environment", lambda: {"digest": "blake3:other"})
    reanalyse(first, setup(other(), frames=6), data_root=tmp_path)
    assert len(asked) == 6


def test_a_file_of_another_content_under_the_same_name_is_another_feature() -> None:
    row = {"use": "xrd.phases", "files": ["files/cifs"]}
    before = {"files/cifs/a.cif": "blake3:1", "files/cifs/b.cif": "blake3:2"}
    same = module._Same(before, dict(before))
    assert same.role(row, dict(row))
    assert not module._Same(before, {**before, "files/cifs/b.cif": "blake3:3"}).role(row, dict(row))
    assert not module._Same(before, {**before, "files/cifs/c.cif": "blake3:3"}).role(row, dict(row))


def test_roles_from_outside_and_frames_with_faults_are_computed_again(tmp_path: Path) -> None:
    table = other(features=[*RECIPE["features"], {"use": "tests.replay.test_kept:Outside"}])
    folder = Path(run(setup(table, frames=3), data_root=tmp_path).path)
    with StoredRun(folder) as stored:
        again = load_stored(folder)
        found = module.kept(stored, again, again.pipeline())
        assert "outside" not in found.keys["det"]
        assert {"total"} < found.keys["det"]
        frame = next(stored.frames())
        assert found.of(frame, {}).keys() == found.keys["det"]
        stored.record = lambda n: {**records(folder)[0], "faults": ["one"]}  # type: ignore[method-assign]
        assert not found.of(frame, {})
        stored.record = lambda n: {**records(folder)[0], "references": {"dark": "blake3:1"}}  # type: ignore[method-assign]
        assert not found.of(frame, {})
