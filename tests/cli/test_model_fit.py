"""`insitu model fit`: from stored good runs of one's own to a bundle that judges new ones; and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from insitu import cli
from insitu.config import load
from insitu.inference.onnx import Onnx
from insitu.inference.onnx_verdict import Network
from insitu.models.bundle import read_bundle
from insitu.readers.simulated import Diffractometer
from insitu.readers.simulated_line import Line
from insitu.run import run
from insitu.training.anomaly_kinds import line_features
from insitu.training.measured import measurements

pytest.importorskip("onnx")
Insitu = Callable[..., tuple[int, str, str]]

LINE = (
    'format = 1\nsource = "line"\nlive = false\ndims = ["channel", "sample"]\n'
    '[reader]\nuse = "simulated.line"\nseed = 0\nframes = 60\n',
    'use = "channels"\nchannels = ["temperature", "pressure", "flow", "power", "vibration"]\n',
)
XRD = (
    'format = 1\nsource = "det"\nlive = false\n[reader]\nuse = "simulated.diffractometer"\nseed = 0\nframes = 20\n',
    'use = "totals"\n',
)


def stored(folder: Path, texts: tuple[str, str], count: int) -> Path:
    """Good runs with seeds of their own; the data root that they are in."""
    (folder / "detector.toml").write_text(texts[0])
    recipe = folder / "good.toml"
    recipe.write_text(f'format = 1\ntitle = "good"\ndetectors = ["detector.toml"]\n[[features]]\n{texts[1]}')
    for seed in range(count):
        run(load(recipe, sets=[f"detector.reader.seed={seed + 1}"]), data_root=folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def line_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("line"), LINE, 6)


@pytest.fixture
def fit(capsys: pytest.CaptureFixture[str]) -> Insitu:
    """Calls the command with the runs of a data root: exit status, what people read on stdout, on stderr."""

    def call(root: Path, *arguments: str) -> tuple[int, str, str]:
        runs = sorted(str(path) for path in (root / "runs").glob("*/*"))
        with pytest.raises(SystemExit) as end:
            cli.main(["model", "fit", *runs, "--data-root", str(root), *arguments])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


def test_a_score_of_own_features_leaves_new_good_frames_alone_and_finds_faults(
    line_runs: Path, fit: Insitu, tmp_path: Path
) -> None:
    status, _, err = fit(line_runs, "--like", "line_anomaly", "--false-alarms", "0.03", "-o", str(tmp_path / "my_line"))
    assert status == 0, err
    network = Network(bundle=tmp_path / "my_line", allow_unsigned=True)
    m = network.manifest
    assert (m.name, m.serial, m.decision.false_alarms, m.training.split) == ("my_line", 1, 0.03, "by run")
    assert {x.name for x in m.metrics} == {"false_alarms", "unknown"}
    assert {x.data for x in m.metrics} == {"simulated"}

    def labels(seed: int, *faults: str) -> list[str]:
        told = measurements(Line(seed=seed, frames=40, faults=list(faults))(), line_features())
        return [v.label for x in told if (v := network(x)) is not None]

    good = [label for seed in range(500, 510) for label in labels(seed)]
    assert len(good) == 400
    assert good.count("normal") >= 0.97 * 400
    for fault in ("leak@30-32", "bearing_wear@30-32", "stuck@30-32", "dropout@30-32"):
        assert set(labels(500, fault)[30:33]) & {"anomaly", "unknown"}, fault


def test_patterns_are_fitted_over_the_range_that_they_cover(fit: Insitu, tmp_path: Path) -> None:
    root = stored(tmp_path, XRD, 6)
    status, _, err = fit(root, "--like", "xrd_anomaly", "--false-alarms", "0.05", "-o", str(tmp_path / "mine"))
    assert status == 0, err
    bundle = tmp_path / "mine"
    made = read_bundle(bundle, allow_unsigned=True).manifest
    assert made.preparation.params["points"] > 1000, "as many as the detector has"
    extractor, network = (
        Onnx(bundle=bundle, name="mine", allow_unsigned=True),
        Network(bundle=bundle, allow_unsigned=True),
    )

    def labels(seed: int, *faults: str) -> list[str]:
        told = measurements(Diffractometer(seed=seed, frames=16, faults=faults)(), [extractor])
        return [v.label for x in told if (v := network(x)) is not None]

    assert [label for seed in (90, 91) for label in labels(seed)].count("normal") >= 30
    for fault in ("zero_shift@12", "lost_phase@12", "beam_loss@12"):
        assert labels(90, fault)[12] != "normal", fault


def test_runs_too_few_for_the_rate_are_refused_with_how_many_are_needed(
    line_runs: Path, fit: Insitu, tmp_path: Path
) -> None:
    status, out, err = fit(
        line_runs, "--like", "line_anomaly", "--false-alarms", "1e-4", "-o", str(tmp_path / "my_line")
    )
    assert (status, out) == (2, "")
    assert "expected 29956 independent frames: about" in err
    assert "the lowest rate that these allow" in err
    assert not (tmp_path / "my_line").exists()


def test_recorded_features_of_any_recipe_will_do(line_runs: Path, fit: Insitu, tmp_path: Path) -> None:
    keys = ("--features", "temperature_*", "--features", "flow_mean", "--log", "temperature_std")
    status, _, err = fit(line_runs, *keys, "--false-alarms", "0.05", "--modality", "line", "-o", str(tmp_path / "t-2"))
    assert status == 0, err
    m = read_bundle(tmp_path / "t-2", allow_unsigned=True).manifest
    assert m.name == "t"
    assert "flow_mean" in m.preparation.params["keys"]
    assert m.preparation.params["log"] == ["temperature_std"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "it is not said which numbers"),
        (["--like", "line_anomaly", "--features", "flow_*"], "it is not said which numbers"),
        (["--features", "nothing_*"], "no feature like 'nothing_*'"),
        (["--like", "video_anomaly"], "recorded none of video_focus"),
        (["--like", "no_such"], 'no bundle is named "no_such"; expected a folder, or one of area_anomaly'),
        (["--like", "gearbox_state"], "gearbox_state is for classification"),
        (["--like", "line_anomaly", "--false-alarms", "0"], "a rate of 0"),
        (["--like", "line_anomaly", "--log", "nothing"], "'nothing' is none of the numbers"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    line_runs: Path, fit: Insitu, tmp_path: Path, arguments: list[str], message: str
) -> None:
    status, out, err = fit(line_runs, *arguments, "-o", str(tmp_path / "new"))
    assert status in (2, 6)
    assert message in err
    assert out == ""
    assert not (tmp_path / "new").exists()


def test_four_runs_are_too_few_and_the_same_frames_count_once(line_runs: Path, tmp_path: Path) -> None:
    from insitu.errors import UsageError
    from insitu.replay.good_runs import good_run
    from insitu.training import own_anomaly

    params = {"keys": ["flow_mean", "power_mean"]}
    known = [good_run(path, "features", params) for path in sorted((line_runs / "runs").glob("*/*"))]
    assert [len(one.values) for one in known] == [60] * 6
    assert len(own_anomaly.usable([*known, known[2]])) == 6
    with pytest.raises(UsageError, match="4 runs with frames that can be used"):
        own_anomaly.fit(known[:4], "features", 0.05)
    strange = known[0]._replace(values=np.zeros((0, 2), np.float32))
    with pytest.raises(UsageError, match="4 runs with frames that can be used"):
        own_anomaly.fit([strange, *known[:4]], "features", 0.05)
