"""A student says what its teacher says; only where torch is installed."""

from pathlib import Path

import numpy as np
import pytest

from insitu.models import quantise as q
from tests.models.test_quantise import inputs, made, strided

pytest.importorskip("torch")


def test_a_student_says_what_its_teacher_says(tmp_path: Path) -> None:
    from insitu.training.distil import distil

    teacher = made(tmp_path / "teacher", strided(128, 32), (1, 128), 5)
    fresh = np.random.default_rng(77).random((60, 1, 128)).astype(np.float32) ** 3
    outcome = distil(teacher, inputs((1, 128), 120), q.Trial(inputs=fresh), width=8, rounds=40, most_loss=30.0)
    student = outcome.candidates[1]
    assert student.kind == "distilled-8"
    assert student.row["size"] < 0.5
    assert student.row["score"] > 70.0
    again = distil(teacher, inputs((1, 128), 120), q.Trial(inputs=fresh), width=8, rounds=40, most_loss=30.0)
    assert again.candidates[1].model == student.model
