import numpy as np
import pytest

from insitu.maths.absorption.edge import find_e0
from insitu.maths.absorption.edges import ENERGIES, SHELLS, edge_of, edges_between, guess_edge
from insitu.maths.absorption.spectrum import NotMeasurable
from tests.maths.absorption import xafs_files as files


def test_element_and_edge_are_found_from_the_spectrum_alone(data) -> None:
    for one in files.library(data / "xafs"):
        if one.element != "?":
            found = guess_edge(find_e0(one.energy, one.mu).value)
            assert (found.element, found.shell) == (one.element, "K"), one.path


def test_the_table_has_what_the_reference_lists(data) -> None:
    for one in files.library(data / "xafs"):
        if one.element != "?":
            assert edge_of(one.element, "K").energy == one.tabulated


def test_energies_rise_with_the_atomic_number_and_fall_with_the_shell() -> None:
    assert len(ENERGIES) == 98
    k = np.array([energies[0] for energies in ENERGIES.values()])
    assert (np.diff(k) > 0.0).all()
    for energies in ENERGIES.values():
        assert (np.diff(energies) <= 0.5).all()  # M4 and M5 of light elements are one
        assert len(energies) <= len(SHELLS)


@pytest.mark.parametrize(
    ("e0", "element", "shell"),
    [(13035.0, "Pb", "L3"), (2472.5, "S", "K"), (5487.0, "La", "L3"), (853.5, "Ni", "L3"), (640.5, "Mn", "L3"),
     (20002.0, "Mo", "K"), (17168.0, "U", "L3"), (7245.5, "Gd", "L3"), (25516.0, "Ag", "K")],
)  # fmt: skip
def test_common_edges_are_recognised(e0: float, element: str, shell: str) -> None:
    assert guess_edge(e0)[:2] == (element, shell)


def test_unknown_names_give_a_reason() -> None:
    with pytest.raises(NotMeasurable, match="expected an element symbol"):
        edge_of("Xx")
    with pytest.raises(NotMeasurable, match=r"Fe has no 'N5' edge.*K, L1, L2, L3"):
        edge_of("Fe", "N5")
    with pytest.raises(NotMeasurable, match="no absorption edge is tabulated near"):
        guess_edge(200000.0)
    assert edge_of(" fe ", "l3").energy == 706.8
    assert edges_between(7000.0, 7115.0)[-1][:2] == ("Fe", "K")
