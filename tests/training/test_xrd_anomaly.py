"""The score of the shipped simulated diffractometer, and the script that makes it."""

from pathlib import Path

import numpy as np
import pytest

from insitu.training import trials
from insitu.training.metrics import threshold_for
from insitu.training.xrd_anomaly import FAULTS, frames_of, main

pytest.importorskip("onnx")


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
