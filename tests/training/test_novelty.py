"""Scores of novelty: the exported graph gives numpy's numbers; a frame unlike every cluster scores high."""

import numpy as np
import pytest

from insitu.training.anomaly import Scorer, clean, found, good
from insitu.training.anomaly_kinds import KINDS
from insitu.training.latency import outputs
from insitu.training.novelty import cluster, component_model, components, distance_model, distances


def test_the_nearest_cluster_counts_and_onnx_says_the_same() -> None:
    random = np.random.default_rng(0)
    near, far = random.normal(0.0, 1.0, (500, 5)), random.normal(50.0, 2.0, (500, 5))
    clusters = [cluster(near), cluster(far)]
    x = np.concatenate([near[:20], far[:20], np.full((1, 5), 20.0)])
    ours = distances(clusters, x)
    assert ours[:40].max() < 3.0 < 8.0 < ours[40]
    assert outputs(distance_model(clusters), x.astype(np.float32))[0][:, 0] == pytest.approx(ours, rel=1e-3)


def test_what_components_leave_over_is_what_is_new() -> None:
    t = np.linspace(0.0, 1.0, 64)
    random = np.random.default_rng(0)
    x = np.array([a * np.sin(7 * t) + b * t for a, b in random.normal(size=(50, 2))])[:, None]
    of = components(x, 2)
    assert of.left_over(x).max() < 1e-9
    spiked = x.copy()
    spiked[:, 0, 30] += 1.0
    assert of.left_over(spiked).min() > 0.1
    again = outputs(component_model(of, (1, 64)), spiked.astype(np.float32))[0]
    assert np.sqrt(np.mean((again - spiked) ** 2, axis=(1, 2))) == pytest.approx(of.left_over(spiked), rel=1e-3)


@pytest.mark.parametrize("kind", ["core", "loops"])
def test_planted_faults_score_above_every_good_frame(kind: str) -> None:
    some = KINDS[kind]._replace(frames=8)
    (of,) = some.simulators
    clusters = [cluster(x) for x in good(some, of, range(4)).values()]
    level = 4.0 * max(float(distances(clusters, x).max()) for x in good(some, of, range(100, 104)).values())
    caught = {fault: found(some, of, fault, Scorer(some, clusters), level, 999) for fault in of.faults}
    assert all(late >= 0 for late in caught.values()), caught


def test_clean_frames_are_scored_one_series_after_another() -> None:
    some = KINDS["loops"]._replace(frames=3)
    (of,) = some.simulators
    scores = clean(some, of, Scorer(some, [cluster(x) for x in good(some, of, range(4)).values()]), 50, 7)
    assert scores.shape == (7,)
    assert np.isfinite(scores).all()
