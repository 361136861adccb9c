from collections.abc import Mapping

import pytest

from insitu.errors import ConfigError
from insitu.inference.phases_agree import PhasesAgree
from insitu.types import Feature, Measurement, Verdict


def judged(
    shares: Mapping[str, float | None],
    network: dict[str, float],
    left: float | None = 0.05,
    strain: float | None = None,
    **keys,
) -> Verdict:
    """A verdict about candidates with these shares and scores of the network; None: it cannot be told from another."""
    features = {"phase_unexplained": Feature(None, why="no lines") if left is None else Feature(left)}
    if strain is not None:
        features["phase_strain"] = Feature(strain)
    for name, share in shares.items():
        features[f"phase_{name}_share"] = Feature(None, why="too much alike") if share is None else Feature(share)
        features[f"phase_{name}_score"] = Feature(0.95 if share else 0.1)
    features |= {f"xrd_phases_{name}": Feature(score) for name, score in network.items()}
    verdict = PhasesAgree(**keys)(Measurement(source="det", seq=0, n=0, time_ns=0, features=features))
    assert verdict is not None
    return verdict


def test_what_both_say_is_normal_and_ranks_first() -> None:
    verdict = judged(
        {"ceria": 1.0, "sphalerite": 0.0, "silicon": 0.0}, {"ceria": 0.47, "sphalerite": 0.35, "silicon": 0.9e-2}
    )
    assert verdict.label == "normal"
    assert list(verdict.scores)[:2] == ["ceria", "sphalerite"]
    assert "network 0.47" in verdict.reason


def test_a_phase_that_the_network_does_not_see_is_unknown() -> None:
    verdict = judged({"sphalerite": 1.0, "silver": 0.0}, {"sphalerite": 0.001, "silver": 0.01})
    assert verdict.label == "unknown"
    assert "the network sees no sphalerite" in verdict.reason


def test_a_phase_that_the_network_is_sure_of_and_the_fit_does_not_find_is_for_a_person() -> None:
    verdict = judged({"ceria": 1.0, "zincite": 0.0}, {"ceria": 0.9, "zincite": 0.97})
    assert verdict.label == "review"
    assert "zincite (0.97)" in verdict.reason


def test_what_the_network_rather_sees_and_the_fit_could_not_try_is_unknown() -> None:
    """Sphalerite has the cell of ceria, to 0.04 %: without ceria among the candidates the fit takes it."""
    verdict = judged({"sphalerite": 1.0}, {"sphalerite": 0.12, "ceria": 0.48, "margin": 0.99})
    assert verdict.label == "unknown"
    assert "rather sees ceria (0.48)" in verdict.reason
    assert judged({"sphalerite": 1.0}, {"sphalerite": 0.5, "ceria": 0.3}).label == "normal"


@pytest.mark.parametrize("share", [0.0, None])
def test_what_the_network_rather_sees_and_the_fit_does_not_name_is_unknown(share: float | None) -> None:
    """Chromium has the lattice of iron to 0.6 %; what the fit cannot tell apart, or has put second, decides nothing."""
    verdict = judged({"iron": 1.0, "chromium": share}, {"iron": 0.18, "chromium": 0.8})
    assert verdict.label == "unknown"
    assert "rather sees chromium (0.80)" in verdict.reason
    assert judged({"iron": 1.0, "chromium": share}, {"iron": 0.8, "chromium": 0.18}).label == "normal"
    beside = judged({"copper": 0.5, "chromium": 0.5, "iron": share}, {"copper": 1.0, "chromium": 0.51, "iron": 0.65})
    assert beside.label == "unknown"


def test_a_lattice_that_is_far_from_its_file_is_for_a_person() -> None:
    """Palladium looks like platinum whose lattice is 0.8 % smaller; so does an alloy."""
    verdict = judged({"platinum": 1.0}, {"platinum": 0.98}, strain=-0.0083)
    assert verdict.label == "review"
    assert "0.83 % smaller than in its file" in verdict.reason
    assert judged({"platinum": 1.0}, {"platinum": 0.98}, strain=-0.0083, lattice=0.01).label == "normal"
    assert judged({"platinum": 1.0}, {"platinum": 0.98}, strain=0.004).label == "normal"


def test_traces_that_the_fit_alone_sees_are_there_perhaps_and_larger_parts_must_be_seen_by_both() -> None:
    trace = judged({"barite": 0.988, "copper": 0.012}, {"barite": 0.99, "copper": 0.001})
    assert trace.label == "normal"
    assert "perhaps copper (1.2 % of the intensity, by the fit alone)" in trace.reason
    assert list(trace.scores) == ["barite", "copper"]
    assert trace.scores["copper"] < 1.0
    more = judged({"thoria": 0.91, "germanium": 0.09}, {"thoria": 1.0, "germanium": 0.001})
    assert more.label == "unknown"
    assert "the network sees no germanium" in more.reason


def test_where_the_fit_leaves_more_than_the_network_is_sure_of_it_is_unknown() -> None:
    assert judged({"titanium_carbide": 1.0}, {"titanium_carbide": 0.09}, left=0.1).label == "unknown"
    assert judged({"titanium_carbide": 1.0}, {"titanium_carbide": 0.09}, left=0.01).label == "normal"


@pytest.mark.parametrize(
    ("shares", "left", "says"),
    [
        ({"ceria": 0.0}, 1.0, "finds none"),
        ({"ceria": 1.0}, 0.5, "no candidate"),
        ({"ceria": 0.0}, None, "no lines"),
    ],
)
def test_nothing_found_or_explained_is_unknown(shares: dict[str, float], left: float | None, says: str) -> None:
    verdict = judged(shares, {"ceria": 0.6}, left)
    assert verdict.label == "unknown"
    assert says in verdict.reason


def test_candidates_that_only_the_fit_knows_are_confirmed_by_it_alone() -> None:
    verdict = judged({"mine": 0.7, "ceria": 0.3}, {"ceria": 0.8})
    assert verdict.label == "normal"
    assert "mine (70 % of the intensity, by the fit alone)" in verdict.reason


def test_what_is_expected_must_be_there_and_nothing_else() -> None:
    assert judged({"ceria": 1.0}, {"ceria": 0.9}, expected=["ceria"]).label == "normal"
    other = judged({"ceria": 0.8, "tenorite": 0.2}, {"ceria": 0.9, "tenorite": 0.6}, expected=["ceria"])
    assert (other.label, "tenorite not expected" in other.reason) == ("anomaly", True)


def test_a_recipe_without_the_network_or_the_fit_is_refused() -> None:
    units = {"phase_unexplained": "", "phase_ceria_share": "", "xrd_phases_ceria": ""}
    PhasesAgree(units=units)
    with pytest.raises(ConfigError, match=r"xrd\.phases"):
        PhasesAgree(units={"xrd_phases_ceria": ""})
    with pytest.raises(ConfigError, match="no candidate is known to a network"):
        PhasesAgree(units={"phase_unexplained": "", "phase_ceria_share": ""})
    with pytest.raises(ConfigError, match="'zincite' is no candidate"):
        PhasesAgree(units=units, expected=["zincite"])
