"""Heads by scikit-learn: the exported graph says what scikit-learn's numbers say, and no group is on both sides."""

import numpy as np
import pytest

from insitu.training.heads import committee, held_out, linear
from insitu.training.latency import outputs
from insitu.training.splits import leave_one_out


def examples(classes: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    at = np.arange(n) % classes
    return random.normal(0.0, 1.0, (n, 4)) * [1.0, 10.0, 1e-3, 1.0] + at[:, None], np.array([f"c{k}" for k in at])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("learn", [linear(1.0), committee(4, members=2, rounds=20)])
def test_a_head_as_onnx_gives_the_same_logits(classes: int, learn) -> None:
    x, y = examples(classes)
    head = learn(x, y)
    assert head.classes == tuple(f"c{k}" for k in range(classes))
    assert outputs(head.model(), x.astype(np.float32))[0] == pytest.approx(head.logits(x), rel=1e-3, abs=1e-3)


def test_rows_left_out_are_judged_by_a_head_without_their_group() -> None:
    random = np.random.default_rng(1)
    groups = [k // 10 for k in range(40)]
    x, y = random.normal(size=(40, 3)), np.array([f"c{g % 2}" for g in groups])
    seen: list[int] = []

    def learn(rows: np.ndarray, labels: np.ndarray):
        seen.append(len(rows))
        return linear(1.0)(rows, labels)

    out = held_out(learn, x, y, [(a, b) for _, a, b in leave_one_out(groups)])
    assert seen == [30, 30, 30, 30]
    assert np.isfinite(out).all()
    # numbers without any sense give no better than chance when groups are left out
    assert (np.unique(y)[out.argmax(axis=1)] == y).mean() < 0.8


def test_a_feature_that_never_varied_does_not_decide() -> None:
    x, y = examples(2)
    x = np.concatenate([x, np.full((len(x), 1), 3.0)], axis=1)
    head = linear(1.0)(x, y)
    moved = x.copy()
    moved[:, -1] += 1e-9
    assert (head.said(x) == head.said(moved)).all()
