import numpy as np
import pytest

from insitu.features.xrd_phases import Phases
from insitu.maths.diffraction.library import LIBRARY
from insitu.training.xrd_patterns import Beamline, drawn, known, lines_of, strangers

pytest.importorskip("gemmi")
SOME = {name: LIBRARY[name] for name in ("ceria", "corundum", "tenorite", "halite")}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


class Calm(np.random.Generator):
    """No texture, no doubt, no strain: every normal number is 0 and every uniform one nearly 1."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def normal(self, loc=0.0, scale=1.0, size=None):  # type: ignore[override]
        return np.zeros(size) if size is not None else 0.0

    def random(self, size=None, dtype=np.float64, out=None):  # type: ignore[override]
        return 0.99


def test_lines_without_nuisance_are_those_of_the_structure() -> None:
    """CeO2 with Cu K-alpha1, a = 5.411651 (SRM 674b): 28.55, 33.08, 47.48 deg; the strongest is 111."""
    (ceria,) = known({"ceria": LIBRARY["ceria"]})
    beam = Beamline(1.5405929, 0.0, 1.0, np.arange(20.0, 60.0, 0.02), 0.1, 0.0, 0.5)
    at, area = lines_of(ceria, beam, Calm(), 0.01)
    assert at[:3] == pytest.approx([28.55, 33.08, 47.48], abs=0.01)
    assert area.argmax() == 0
    assert area[1] / area[0] == pytest.approx(0.28, abs=0.04)  # ICDD 34-394: 30 %


def test_texture_keeps_the_sum_over_equivalent_planes_of_a_cubic_line() -> None:
    """March's function averages to 1 over all directions: over a random axis the mean over lines stays near 1."""
    (ceria,) = known({"ceria": LIBRARY["ceria"]})
    cosine = ceria.cosines[0].astype(float)
    assert cosine.min() >= 0.0
    assert cosine.max() <= 1.0
    assert cosine.mean(axis=1) == pytest.approx(np.full(len(cosine), 1 / 3), abs=1e-6)  # cubic: mean cos^2 is 1/3


def test_patterns_hold_what_is_said_of_them() -> None:
    candidates, others = known(SOME), strangers(3, seed=5)
    random = np.random.default_rng(3)
    patterns = [drawn(candidates, others, random) for _ in range(60)]
    kinds = {p.kind for p in patterns}
    assert kinds == {"empty", "stranger", "candidates"}
    for pattern in patterns:
        assert np.isfinite(pattern.frame.data).all()
        assert pattern.frame.data.min() >= 0.0
        if pattern.kind != "candidates":
            assert not pattern.truth.any()
    assert any(p.truth.sum() > 1 for p in patterns)
    again = drawn(candidates, others, np.random.default_rng(3))
    assert np.array_equal(again.frame.data, patterns[0].frame.data)


def test_an_independent_search_sees_the_lines_of_what_was_drawn() -> None:
    """`xrd.phases` scores candidates by their lines, from other code: what was drawn has most of them."""
    candidates = known(SOME)
    search = Phases(library=True, strain=0.01)
    random, seen = np.random.default_rng(8), []
    while len(seen) < 4:
        one = drawn(candidates, candidates, random)
        if one.truth.sum() == 1:
            name = candidates[int(one.truth.argmax())].phase.name
            seen.append(search(one.frame, {}, ())[f"phase_{name}_score"].value or 0.0)
    assert np.sum(np.array(seen) > 0.6) >= 3
