"""Several frames through a network at once: the numbers of one after another, for every task."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.inference.onnx import Onnx
from insitu.inference.onnx_scores import class_scores, margin
from insitu.models.manifest import Metric
from insitu.types import Feature, Frame
from tests import bundles, patterns

X = np.arange(10.0, 60.0, 0.05)
AXES = patterns.frame(X, X).axes
MANY = tuple(f"p{i}" for i in range(33))
RMSE = (Metric(name="rmse", value=0.2, low=0.1, high=0.3, n=10, data="simulated"),)
TASKS: dict[str, tuple[int, Mapping[str, Any]]] = {
    "classification": (3, {}),
    "multilabel": (33, {"labels": MANY}),
    "regression": (1, {"labels": ("valence",), "unit": "", "metrics": RMSE}),
    "anomaly": (1, {"labels": ()}),
}


def frames(count: int) -> list[Frame]:
    rng = np.random.default_rng(2)
    found = []
    for i in range(count):
        y = rng.poisson(100.0 + 900.0 * np.exp(-0.5 * ((X - rng.uniform(20.0, 50.0)) / 0.3) ** 2))
        found.append(replace(patterns.frame(X, y.astype(("u4", "f8")[i % 2]), wavelength=1.0), axes=AXES))
    return found


@pytest.mark.parametrize("task", TASKS)
def test_every_task_gives_the_same_numbers_for_several_frames(tmp_path: Path, task: str) -> None:
    outputs, keys = TASKS[task]
    model = bundles.convolutions(outputs=outputs)
    folder = bundles.written(
        tmp_path / "net", model, name="net", task=task, output=(outputs,), batch_exact=True, **keys
    )
    see = Onnx(bundle=folder, allow_unsigned=True)
    given = frames(23)
    given[4] = replace(given[4], context={})
    given[9] = replace(given[9], data=np.zeros(X.size))
    single = [see(f, {}, ()) for f in given]
    for count in (1, 2, 7, 8, 23):
        assert see.many(given[:count]) == single[:count]
    assert [list(f) for f in see.many(given)] == [list(f) for f in single]
    assert sum(None in [f.value for f in row.values() if isinstance(f, Feature)] for row in single) == 2


def test_a_frame_for_which_the_network_gives_no_number_spoils_no_other(tmp_path: Path, monkeypatch: Any) -> None:
    see = Onnx(bundle=bundles.written(tmp_path / "tiny", batch_exact=True), allow_unsigned=True)
    given = frames(5)
    good = [see(f, {}, ()) for f in given]
    run = type(see._loaded).run

    def spoilt(loaded: Any, batch: np.ndarray) -> list[np.ndarray]:
        found = [y.copy() for y in run(loaded, batch)]
        found[0][2, 1] = np.nan
        return found

    monkeypatch.setattr(type(see._loaded), "run", spoilt)
    found = see.many(given)
    assert found[:2] + found[3:] == good[:2] + good[3:]
    whys = {f.why for f in found[2].values() if isinstance(f, Feature)}
    assert whys == {"the network gave a number that is not finite"}


def test_scores_of_rows_are_the_bits_of_scores_of_one(tmp_path: Path) -> None:
    manifest = bundles.described()
    rng = np.random.default_rng(4)
    for labels in (2, 3, 7, 8, 9, 16, 33, 130):
        logits = rng.normal(0.0, 5.0, (31, labels)).astype(np.float32)
        together = class_scores(manifest, logits, axis=1)
        single = [class_scores(manifest, row) for row in logits]
        assert together.tobytes() == np.array(single).tobytes()
        assert margin(together).tolist() == [float(margin(row)) for row in single]
