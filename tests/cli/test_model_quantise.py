"""`insitu model quantise|prune|distil` on a signed bundle and a stored run."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from insitu.cli.model_quantise import distil, prune, quantise
from insitu.errors import MissingExtraError, ModelError, UsageError
from insitu.models.arrays import write_arrays
from insitu.models.bundle import Bundle, read_bundle
from insitu.replay.inputs import stored_inputs
from insitu.run import run
from insitu.store.runs import StoredRun
from tests import bundles
from tests.models.test_quantise import strided
from tests.run.test_networks import recipe
from tests.settings import setup

PATTERN = {"low": 1.0, "high": 5.0, "points": 256, "coverage": 0.2}


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A signed bundle, its public key and the private one."""
    folder = tmp_path_factory.mktemp("signed")
    private, public = bundles.pair(folder / "keys")
    keys = {"shape": (1, 256), "output": (5,), "labels": ("a", "b", "c", "d", "e"), "params": PATTERN}
    return bundles.written(folder / "net", strided(), key=private, name="net", **keys), public, private


@pytest.fixture(scope="module")
def stored(signed: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSITU_MODEL_KEYS", str(signed[1]))
        table = {**recipe(signed[0], allow_unsigned=False), "models": []}
        return Path(run(setup(table, frames=48), data_root=root).path)


def test_a_network_is_quantised_from_stored_frames_and_signed(
    signed: tuple[Path, Path, Path], stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, public, private = signed
    status = quantise(
        folder, tmp_path / "int8", sign=private, key=[public], runs=[str(stored)], most_loss=5.0, as_json=True
    )
    assert status == 0
    body = orjson.loads(capsys.readouterr().out)
    assert [row["kind"] for row in body["table"]] == ["fp32", "static-int8", "static-int8-inner", "dynamic-int8"]
    assert body["table"][0]["from"] == f"run {stored.name}, every fourth"
    assert body["table"][0]["n"] == 12
    new: Bundle = read_bundle(tmp_path / "int8", keys=[public], least_serial=2)
    assert (new.manifest.serial, new.digest) == (2, body["digest"])
    assert new.manifest.parent == read_bundle(folder, keys=[public]).digest
    assert new.manifest.quantisation.kind in ("fp32", "static-int8", "static-int8-inner")
    assert new.manifest.latency is not None


@pytest.mark.parametrize("command", [quantise, prune])
def test_a_bundle_with_few_inputs_of_its_own_says_where_to_get_some(
    signed: tuple[Path, Path, Path], tmp_path: Path, command: Callable
) -> None:
    with pytest.raises(ModelError, match=r"no calibration\.npz, and golden\.npz holds 4 inputs") as caught:
        command(signed[0], tmp_path / "none", key=[signed[1]])
    assert "--run last" in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_labels_of_people_are_the_judge_where_they_are_given(
    signed: tuple[Path, Path, Path], stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, public, _ = signed
    x = np.random.default_rng(0).random((24, 1, 256)).astype(np.float32)
    (tmp_path / "labels.npz").write_bytes(write_arrays({"input": x, "right": np.arange(24, dtype=np.int64) % 5}))
    labels = tmp_path / "labels.npz"
    quantise(folder, tmp_path / "new", key=[public], labelled=labels, runs=[str(stored)], as_json=True)
    row = orjson.loads(capsys.readouterr().out)["table"][0]
    assert (row["right"], row["from"], row["n"]) == ("labels", "labels.npz", 24)
    assert row["score"] < 60.0


@pytest.mark.parametrize(
    ("shape", "right", "told"),
    [
        ((4, 1, 255), [0, 1, 2, 3], "`input` is float32 of [4, 1, 255]"),
        ((0, 1, 256), [], "`input` is float32 of [0, 1, 256]"),
        ((4, 1, 256), [0, 1, 2], "`right` is int64 of [3]; expected numbers from 0 to 4 of [4]"),
        ((4, 1, 256), [0, 1, 2, 5], "expected numbers from 0 to 4"),
        ((4, 1, 256), [0, 1, 2, -1], "expected numbers from 0 to 4"),
    ],
)
def test_labels_that_do_not_fit_the_network_are_refused(
    signed: tuple[Path, Path, Path], stored: Path, tmp_path: Path, shape: tuple[int, ...], right: list[int], told: str
) -> None:
    arrays = {"input": np.zeros(shape, np.float32), "right": np.array(right, np.int64)}
    (tmp_path / "labels.npz").write_bytes(write_arrays(arrays))
    with pytest.raises(UsageError) as caught:
        quantise(signed[0], tmp_path / "new", key=[signed[1]], labelled=tmp_path / "labels.npz", runs=[str(stored)])
    assert told in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"most_loss": float("nan")}, "--most-loss nan"),
        ({"least_gain": float("inf")}, "--least-gain inf"),
        ({"serial": 1}, "the serial 1; expected more than 1"),
        ({"serial": 0}, "the serial 0; expected more than 1"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_first(
    signed: tuple[Path, Path, Path], tmp_path: Path, options: dict[str, float], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        quantise(signed[0], tmp_path / "new", key=[signed[1]], **options)  # type: ignore[arg-type]
    assert told in str(caught.value)


def test_a_stored_run_gives_the_inputs_that_the_extractor_saw(signed: tuple[Path, Path, Path], stored: Path) -> None:
    manifest = read_bundle(signed[0], keys=[signed[1]]).manifest
    found = stored_inputs(stored, manifest, most=12)
    assert found.values.shape == (12, 1, 256)
    assert len(set(found.addresses)) == 12
    assert not found.refused
    from insitu.models.preparing_pattern import pattern

    with StoredRun(stored) as given:
        first = next(iter(given.frames()))
    assert np.array_equal(found.values[0], pattern(first, **PATTERN).input)  # type: ignore[arg-type]


def test_pruning_by_the_command_line_says_what_it_compared(
    signed: tuple[Path, Path, Path], stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, public, _ = signed
    assert prune(folder, tmp_path / "small", share=0.5, key=[public], runs=[str(stored)], most_loss=-500.0) == 0
    said = capsys.readouterr().out
    assert "pruned-0.5" in said
    assert "points lost, more than -500" in said or "times as fast, less than 1.2" in said
    assert "NOT SIGNED" in said


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_teaching_without_torch_names_the_extra(signed: tuple[Path, Path, Path], stored: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"insitu\[train\]"):
        distil(signed[0], tmp_path / "student", key=[signed[1]], runs=[str(stored)])
