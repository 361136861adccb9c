from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import SourceError
from insitu.training import trials
from insitu.training.metrics import threshold_for
from insitu.training.xrd_anomaly import FAULTS, frames_of, main, measured, network_input, range_of
from tests import patterns

pytest.importorskip("onnx")


def test_patterns_of_a_good_run_make_a_score_that_finds_what_is_not_of_it(data: Path) -> None:
    """Real: the chromite from 7 to 289 K. Every fifth pattern is not learnt from, and is no anomaly; a zero shift of
    0.02 deg, another sample and half of the lines gone are. (Its lines are 0.005 deg wide, and move by 0.012 deg.)"""
    folder = data / "xrd" / "series_cucr2o4_7-289K"
    params = range_of(folder)
    made, level, rows, _ = measured(folder, params)
    assert len(rows) == 17
    held = np.arange(17) % 5 == 2
    assert (made(rows[held]) <= level).all()
    prepare = network_input(params)
    frame = patterns.copper_chromite(data)[156.9]
    axis = frame.axes["two_theta"]
    shifted = replace(frame, axes={"two_theta": axis._replace(values=axis.values + 0.02)})
    weak = np.where(axis.values > 13.0, np.minimum(frame.data, np.median(frame.data)), frame.data)
    _, other = patterns.fxye(data / "xrd" / "ref_jadarite_11bm" / "11bmb_6231.fxye", 0.413529)
    for bad in (shifted, replace(frame, data=weak), other):
        x = prepare(bad)
        assert x is not None
        assert made(x[None])[0] > level


def test_a_folder_without_patterns_enough_is_refused(data: Path) -> None:
    folder = data / "xrd" / "ref_fluorapatite_lab"
    params = range_of(folder)
    with pytest.raises(SourceError, match="1 of 1 patterns can be used"):
        measured(folder, params)


def test_clean_frames_and_faults_of_the_simulator_are_those_of_the_settings() -> None:
    clean, faulty = frames_of("si", 1, 12), frames_of("si", 1, 12, "dead")
    assert len(clean) == len(faulty) == 12
    assert all(np.ptp(frame.data) == 0 for frame in faulty)
    assert len({frame.context["temperature"].value for frame in clean}) == 12
    assert set(FAULTS) == {"beam_loss", "shutter", "saturation", "slipped", "zero_shift", "dead", "lost_phase"}


def test_frames_that_cannot_be_prepared_count_as_found() -> None:
    frames = frames_of("si", 1, 2, "dead")
    trial = trials.trial("dead", frames, lambda frame: None, lambda x: x)
    assert trial.alarms(threshold_for(np.arange(100.0), 0.01)) == 2


def test_the_script_writes_a_bundle_that_reads_back(tmp_path: Path) -> None:
    main(["--out", str(tmp_path / "made"), "--quick"])
    from insitu.models.bundle import read_bundle

    bundle = read_bundle(tmp_path / "made", allow_unsigned=True)
    assert bundle.manifest.decision.threshold is not None
    assert {m.name for m in bundle.manifest.metrics} >= {"false_alarms", "found_beam_loss", "found_zero_shift"}
