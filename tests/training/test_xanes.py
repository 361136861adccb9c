from pathlib import Path

import numpy as np
import pytest

from insitu.training.gaussian_process import Kernel, trained
from insitu.training.latency import outputs
from insitu.training.xanes_features import CENTRE, POINTS, SPREAD, features
from insitu.training.xanes_heads import Rows, compounds_of, enlarged, mixtures, nested, process, without
from insitu.training.xanes_oxidation import graph, prepared
from insitu.training.xas_library import COMPOUNDS, compound_of

pytest.importorskip("onnx")


def rows(seed: int = 0) -> Rows:
    """Made-up spectra: an arctangent whose edge moves 2 eV a unit of valence, two elements, ten compounds."""
    random = np.random.default_rng(seed)
    energy = np.linspace(-19.75, 59.75, POINTS)
    mu, element, valence, names = [], [], [], []
    for e in range(2):
        for v in range(5):
            for repeat in range(2):
                edge = 6.0 + 2.0 * v + e + 0.1 * random.standard_normal()
                mu.append(0.5 + np.arctan((energy - edge) / 1.5) / np.pi + 0.002 * random.standard_normal(POINTS))
                element.append([float(e == k) for k in range(5)])
                valence.append(float(v))
                names.append(frozenset([f"{e}-{v}"]))
                del repeat
    return Rows(np.array(mu), np.array(element), np.array(valence), names, np.ones(len(mu), bool))


def test_the_level_features_are_the_energies_at_which_a_spectrum_rises_through_them() -> None:
    """Independent answer: an arctangent of width 1.5 about 10 eV is 0.5 there, and 0.7 1.09 eV above."""
    energy = np.linspace(-19.75, 59.75, POINTS)
    step = 0.5 + np.arctan((energy - 10.0) / 1.5) / np.pi
    found = features(step[None])[0] * SPREAD + CENTRE
    assert found[2] == pytest.approx(10.0, abs=0.1)
    assert found[3] == pytest.approx(10.0 + 1.5 * np.tan(0.2 * np.pi), abs=0.2)


def test_nothing_of_a_compound_left_out_is_learnt_from() -> None:
    made = rows()
    larger = enlarged(made, 0)
    for compound in compounds_of(made):
        free, own = without(larger, compound)
        assert all(compound not in larger.compounds[i] for i in free)
        assert all(larger.compounds[i] == {compound} for i in own)
        assert len(free) > 20


def test_a_valence_that_moves_the_edge_is_told_for_compounds_left_out() -> None:
    made = rows()
    told = nested({"one": process(Kernel())}, made, 0)
    assert len(told) == 10
    errors = [abs(float(np.mean(t.said)) - made.valence[t.rows[0]]) for t in told]
    assert np.mean(errors) < 0.35


def test_mixtures_are_of_one_element_and_have_the_mean_valence() -> None:
    made = rows()
    mixed = mixtures(made, (0.25,))
    assert len(mixed.mu) == 20
    for compounds, valence in zip(mixed.compounds, mixed.valence, strict=True):
        (e, v), (f, w) = (name.split("-") for name in sorted(compounds))
        assert e == f
        assert valence == pytest.approx(0.25 * float(v) + 0.75 * float(w))


def test_the_graph_gives_the_process_with_its_uncertainty() -> None:
    made = rows()
    head = trained(Kernel(), features(made.mu), made.element, made.valence, np.ones(len(made.mu)))
    mean, sigma = head(features(made.mu + 0.01), made.element)
    other = made._replace(mu=made.mu + 0.01)
    found = outputs(graph(head), prepared(other))
    assert found[0][:, 0] == pytest.approx(mean, abs=2e-3)
    assert found[1][:, 0] == pytest.approx(sigma, abs=5e-3)
    far, unsure = head(features(made.mu + 1.0), made.element)
    assert unsure.min() > 2.0 * np.median(sigma), "what is unlike all training is uncertain"
    assert np.isfinite(far).all()


def test_every_file_of_the_library_is_labelled_or_left_out_on_purpose(data: Path) -> None:
    files = list((data / "xafs" / "xaslib").glob("*/*"))
    unknown = sorted(f.name for f in files if compound_of(f) is None)
    assert unknown == ["Fe3C_rt_01.xdi", "FeN_rt_01.xdi"]
    for file in files:
        if (known := compound_of(file)) is not None:
            assert known[1] == file.parent.name


def test_valences_balance_the_formulas() -> None:
    """Independent arithmetic: charges of the partners, by hand."""
    charge = {"Cr2O3": 6 / 2, "K2Cr2O7": (14 - 2) / 2, "Na2CrO4": 8 - 2, "Fe3O4": 8 / 3, "Mn3O4": 8 / 3, "V2O5": 10 / 2}
    charge |= {"Fe4(OH)8Cl": 9 / 4, "Fe6(OH)12SO4": 14 / 6, "Cu3(CO3)2(OH)2": 6 / 3, "Fe3(PO4)2": 6 / 3, "FeOOH": 3.0}
    known = {formula: valence for formula, _, valence in COMPOUNDS.values()}
    assert {k: known[k] for k in charge} == pytest.approx(charge)
