"""The simulated absorption beamline: reproducible, labelled, timed, with known answers, and every fault seen."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.maths.absorption.edge import find_e0
from insitu.readers.simulated_xas import DARK_COUNTS, XasBeamline
from insitu.testing import ReaderContract
from insitu.types import Arrival, Detector, Feature, Reader

STILL = {"reaction": "none", "beam_noise": 0.0}


def arrivals(reader: XasBeamline) -> list[Arrival]:
    return [arrival for arrival in reader() if arrival is not None]


def absorption(arrival: Arrival, name: str = "itrans") -> np.ndarray:
    """mu from the channels of one spectrum, without the house's own way of doing it."""
    rows = dict(zip(arrival.labels["channels"].split(), np.asarray(arrival.data, float), strict=True))
    if name == "ifluor":
        return sum(row for key, row in rows.items() if key.startswith("ifluor")) / rows["i0"]
    above = {"itrans": "i0", "irefer": "itrans"}[name]
    return np.log(rows[above] / rows[name])


class TestContract(ReaderContract):
    @pytest.fixture
    def make(self) -> Callable[[], Reader]:
        return lambda: XasBeamline(frames=4, fluorescence=1, faults=("missing@2", "beam_loss@1"))

    @pytest.fixture
    def idle(self) -> Callable[[], Reader]:
        return lambda: XasBeamline(frames=1, rate=1.0)


def test_everything_it_gives_is_labelled_as_simulated() -> None:
    assert XasBeamline.simulated is True
    for sample in ("nickel_oxidation", "chromium_reduction", "iron_reduction", "iron_film"):
        for arrival in arrivals(XasBeamline(frames=2, sample=sample, faults=("beam_loss@1",))):
            assert arrival.labels["simulated"] == "true"
            assert arrival.labels["instrument"] == "simulated.xas"


def test_an_arrival_has_what_the_house_expects_of_a_raw_spectrum() -> None:
    first, second = arrivals(XasBeamline(frames=2, scan_time=0.25, pause=0.5, fluorescence=2))
    assert first.dims == ("channel", "energy")
    assert first.data.shape == (5, 1600)
    assert first.unit == ("counts",) * 5
    assert first.labels["channels"] == "i0 itrans irefer ifluor1 ifluor2"
    assert (first.labels["element"], first.labels["edge"]) == ("Ni", "K")
    assert first.axes["energy"].unit == "eV"
    assert (np.diff(first.axes["energy"].values) > 0).all()
    assert first.axes["energy"].values is second.axes["energy"].values
    assert (first.duration_ns, second.time_ns - first.time_ns) == (250_000_000, 750_000_000)
    assert {name: f.unit for name, f in first.context.items()} == {
        "temperature": "K", "beam_current": "mA", "d_spacing": "angstrom",
    }  # fmt: skip


def test_the_same_seed_gives_the_same_bytes_and_another_seed_or_source_others() -> None:
    keys = {"energy_jitter": 0.2, "fluorescence": 2, "amplifier_noise": 50.0}
    reader = XasBeamline(seed=7, frames=6, **keys)
    again = XasBeamline(seed=7, **keys)
    for index, given in enumerate(arrivals(reader)):
        assert given.data.tobytes() == again.arrival(index).data.tobytes()
        assert reader.truth(index) == again.truth(index)
    other = XasBeamline(seed=8, **keys)
    left = XasBeamline(seed=7, detector=Detector(name="left", source="left"), **keys)
    assert other.arrival(0).data.tobytes() != again.arrival(0).data.tobytes() != left.arrival(0).data.tobytes()
    assert other.truth(3).energy_offset != again.truth(3).energy_offset


def test_a_step_scan_is_coarse_before_the_edge_fine_at_it_and_even_in_k_behind_it() -> None:
    reader = XasBeamline(grid="step")
    energy, steps = reader.energy, np.diff(reader.energy)
    assert energy[0] == pytest.approx(reader.edge - 150.0)
    assert energy[-1] <= reader.edge + 850.0
    assert np.median(steps[energy[:-1] < reader.edge - 26.0]) == pytest.approx(5.0)
    assert np.median(steps[np.abs(energy[:-1] - reader.edge) < 15.0]) == pytest.approx(0.4)
    k = np.sqrt((energy[energy > reader.edge + 41.0] - reader.edge) / 3.80998)
    np.testing.assert_allclose(np.diff(k), 0.05, atol=1e-5)
    assert 300 < energy.size < 500
    assert find_e0(energy, absorption(reader.arrival(0))).value == pytest.approx(reader.truth(0).e0, abs=0.2)


def test_noise_of_the_chambers_is_that_of_the_photons_counted() -> None:
    """Over 200 spectra the variance of each channel is its mean (within 5 standard deviations of the chi-square)."""
    reader = XasBeamline(points=200, fluorescence=1, beam_lifetime=1e12, **STILL)
    counts = np.array([reader.arrival(i).data for i in range(200)])
    index = counts.var(axis=0, ddof=1) / counts.mean(axis=0)
    np.testing.assert_allclose(index.mean(axis=1), 1.0, atol=5 * math.sqrt(2 / 199 / 200))


def test_flicker_of_the_beam_is_common_to_all_channels() -> None:
    keys = {"points": 400, "photons": 1e10, "reaction": "none"}
    quiet, shaky = (XasBeamline(beam_noise=noise, **keys).arrival(0) for noise in (0.0, 0.01))
    assert np.std(shaky.data[0] / quiet.data[0]) == pytest.approx(0.01, rel=0.15)
    assert np.std(absorption(shaky) - absorption(quiet)) < 1e-4


def test_the_beam_decays_and_is_refilled_within_a_scan() -> None:
    reader = XasBeamline(beam_lifetime=100.0, refill=60.0, scan_time=100.0, glitch_depth=0.0, **STILL)
    i0 = reader.arrival(0).data[0]
    half = round(0.6 * i0.size)
    assert i0[half - 20 : half].mean() / i0[:20].mean() == pytest.approx(math.exp(-0.6), abs=0.01)
    assert i0[half + 1 : half + 21].mean() / i0[:20].mean() == pytest.approx(1.0, abs=0.01)
    assert reader.truth(1).beam_current_mA == pytest.approx(100.0 * math.exp(-0.4))


def test_glitches_are_dips_of_the_beam_at_fixed_true_energies_and_cancel() -> None:
    reader = XasBeamline(glitches=[8400.0], photons=1e9, energy_drift=3.0, **STILL)
    for index in (0, 2):
        i0 = reader.arrival(index).data[0]
        at = int(np.argmin(i0))
        assert reader.energy[at] == pytest.approx(8400.0 - 3.0 * index, abs=0.5)
        assert i0[at] / np.median(i0) == pytest.approx(0.7, abs=0.05)
        mu = absorption(reader.arrival(index))
        assert abs(mu[at] - 0.5 * (mu[at - 4] + mu[at + 4])) < 0.004


@pytest.mark.parametrize(("course", "middle"), [("linear", 0.25), ("sigmoid", 1 / (1 + math.exp(2)))])
def test_the_reaction_takes_the_course_that_it_is_told(course: str, middle: float) -> None:
    reader = XasBeamline(reaction=course, reaction_start=10.0, reaction_time=40.0, scan_time=1.0)
    passes = np.searchsorted(reader.energy, reader.edge) / reader.energy.size
    shares = [reader.truth(i).shares["delithiated"] for i in range(100)]
    assert np.all(np.diff(shares) >= 0)
    assert shares[0] < 0.01
    assert shares[-1] > 0.99
    slope = (shares[21] - shares[20]) * passes
    assert shares[20] - slope == pytest.approx(middle, abs=0.003)
    assert sum(reader.truth(25).shares.values()) == pytest.approx(1.0)


def test_three_members_follow_one_another() -> None:
    reader = XasBeamline(sample="iron_reduction", reaction="linear", reaction_start=0.0, reaction_time=50.0)
    first, middle, last = (reader.truth(i).shares for i in (0, 49, 120))
    assert first["iron_iii"] > 0.99
    assert middle["iron_ii"] == pytest.approx(0.5, abs=0.01)
    assert last == {"iron_iii": 0.0, "iron_ii": 0.0, "iron": 1.0}
    assert reader.truth(120).e0_shift == pytest.approx(-12.5, abs=0.001)


def test_the_reaction_goes_on_while_a_scan_is_taken() -> None:
    """One scan over the whole reaction: its beginning is the first member, its end the last one."""
    keys = {"photons": 1e10, "beam_noise": 0.0, "scan_time": 100.0, "reaction_start": 0.0, "reaction_time": 100.0}
    slow = absorption(XasBeamline(reaction="linear", **keys).arrival(0))
    first = absorption(XasBeamline(reaction="none", **keys).arrival(0))
    last = absorption(XasBeamline(**{**keys, "reaction_start": -1e4}).arrival(0))
    apart = np.abs(last - first) > 0.02
    share = ((slow - first) / np.where(apart, last - first, 1.0))[apart]
    np.testing.assert_allclose(share, (np.arange(1600) / 1600)[apart], atol=0.02)


def test_spectra_of_a_reaction_cross_at_the_isosbestic_points_and_nowhere_else() -> None:
    reader = XasBeamline(photons=1e10, beam_noise=0.0, reaction_start=10.0, reaction_time=60.0)
    mu = np.array([absorption(reader.arrival(i)) for i in range(0, 160, 8)])
    spread = np.ptp(mu, axis=0)
    points = reader.specimen.mixture.isosbestic()
    assert len(points) >= 2
    for energy in points:
        assert np.interp(energy, reader.energy, spread) < 0.1 * spread.max()
    between = 0.5 * (points[2] + points[3])
    assert np.interp(between, reader.energy, spread) > 0.1 * spread.max()


def test_dead_elements_count_nothing_and_self_absorption_flattens_the_white_line() -> None:
    keys = {"fluorescence": 4, "photons": 1e8, **STILL}
    thin = XasBeamline(dead=3, **keys).arrival(0)
    assert not thin.data[5].any()
    assert thin.data[4].min() > 0
    thick = XasBeamline(self_absorption=2.0, **keys).arrival(0)
    heights = []
    for arrival in (thin, thick):
        mu = absorption(arrival, "ifluor")
        heights.append(mu.max() / mu[-200:].mean())
    assert heights[1] < 1.0 + 0.5 * (heights[0] - 1.0)


def test_harmonics_take_a_part_of_the_edge_step() -> None:
    steps = []
    for part in (0.0, 0.05):
        mu = absorption(XasBeamline(harmonics=part, photons=1e8, **STILL).arrival(0))
        steps.append(mu[400:].mean() - mu[:150].mean())
    assert steps[1] < 0.97 * steps[0]


def test_a_film_gives_pairs_of_opposite_helicity_or_field() -> None:
    up, down = arrivals(XasBeamline(sample="iron_film", frames=2, field=0.5))
    assert (up.labels["helicity"], down.labels["helicity"]) == ("+1", "-1")
    assert up.context["field"] == down.context["field"] == Feature(0.5, "T")
    assert up.labels["channels"] == "i0 ifluor"
    assert "d_spacing" not in up.context
    north, south = arrivals(XasBeamline(sample="iron_film", frames=2, field=0.5, flip="field"))
    assert (north.labels["helicity"], south.labels["helicity"]) == ("+1", "+1")
    assert (north.context["field"].value, south.context["field"].value) == (0.5, -0.5)
    energy = up.axes["energy"].values
    at = int(np.argmin(np.abs(energy - 707.5)))
    near = slice(at - 10, at + 11)
    for first, second in ((up, down), (north, south)):
        assert np.mean((absorption(first, "ifluor") - absorption(second, "ifluor"))[near]) < -0.1


def test_numbers_of_the_members_can_be_changed_by_name() -> None:
    reader = XasBeamline(members={"delithiated": {"e0": 8350.0, "white_line_height": 0.0, "r1": 1.8}}, reaction="none")
    last = reader.specimen.members[1]
    assert (last.e0, last.white_line.height, last.shells[0].distance) == (8350.0, 0.0, 1.8)
    assert last.shells[1].distance == 2.82
    assert reader.specimen.mixture.e0([0.0, 1.0]) == pytest.approx(8350.0, abs=0.002)


def test_spectra_before_a_fault_are_those_without_it() -> None:
    clean = XasBeamline()
    for kind in ("beam_loss", "glitch", "energy_jump", "sample_moved", "saturated"):
        reader = XasBeamline(faults=(f"{kind}@2-3",))
        for index, changed in ((1, False), (2, True), (4, False)):
            assert (reader.arrival(index).data.tobytes() != clean.arrival(index).data.tobytes()) is changed, kind
            assert reader.truth(index).faults == ((kind,) if changed else ())


def faulty(kind: str, strength: str = "", **keys) -> tuple[Arrival, Arrival, XasBeamline]:
    """A spectrum without and with a fault, and the reader."""
    reader = XasBeamline(faults=(f"{kind}@1{strength}",), **{**STILL, **keys})
    return reader.arrival(0), reader.arrival(1), reader


def test_a_lost_beam_leaves_dark_counts_in_every_channel() -> None:
    before, lost, _ = faulty("beam_loss", fluorescence=1)
    assert before.data[:, :100].min() > 100
    np.testing.assert_allclose(lost.data.mean(axis=1), DARK_COUNTS, atol=0.3)
    assert lost.context["beam_current"].value == 0.0


def test_a_glitch_that_does_not_cancel_shows_in_mu_at_its_energy() -> None:
    before, after, reader = faulty("glitch", "=0.2", photons=1e8)
    off = absorption(after) - absorption(before)
    for energy in reader.beam.glitches:
        assert off[np.abs(reader.energy - energy) < 1.0].max() > 0.04
    far = np.min([np.abs(reader.energy - energy) for energy in reader.beam.glitches], axis=0) > 5.0
    assert np.abs(off[far]).max() < 0.005


def test_a_jump_of_the_monochromator_moves_sample_and_foil_alike() -> None:
    before, after, reader = faulty("energy_jump", "=3", photons=1e8)
    assert reader.truth(1).energy_offset == 3.0
    assert reader.truth(1).e0_read == pytest.approx(reader.truth(1).e0 - 3.0)
    for channel in ("itrans", "irefer"):
        e0 = [find_e0(reader.energy, absorption(a, channel)).value for a in (before, after)]
        assert e0[1] - e0[0] == pytest.approx(-3.0, abs=0.1)


def test_a_sample_that_moved_lets_beam_pass_beside_it() -> None:
    before, after, _ = faulty("sample_moved", "=0.5", photons=1e8)
    steps = [absorption(a)[600:].mean() - absorption(a)[:150].mean() for a in (before, after)]
    assert steps[1] < 0.6 * steps[0]
    np.testing.assert_allclose(absorption(after, "irefer"), absorption(before, "irefer"), atol=0.005)


def test_a_saturated_amplifier_clips_at_one_value() -> None:
    before, after, _ = faulty("saturated")
    top = after.data[1].max()
    assert (after.data[1] == top).sum() > 50
    assert (before.data[1] == before.data[1].max()).sum() == 1
    np.testing.assert_allclose(after.data[0].mean(), before.data[0].mean(), rtol=0.01)
    known = Detector(name="xas", source="xas", saturation=500_000.0)
    assert XasBeamline(detector=known, frames=1).arrival(0).data.max() == 500_000.0


def test_duplicate_missing_and_reordered_spectra_show_in_the_numbers() -> None:
    reader = XasBeamline(frames=9, points=64, counter_start=10, faults=("duplicate@1", "missing@3", "reorder@5=2"))
    assert [a.source_seq for a in arrivals(reader)] == [10, 11, 11, 12, 14, 16, 17, 15, 18]
    wraps = XasBeamline(frames=6, points=64, counter_start=14, counter_bits=4, faults=("reset@4",))
    assert [a.source_seq for a in arrivals(wraps)] == [14, 15, 0, 1, 0, 1]


def test_a_paced_reader_stamps_spectra_with_now_and_gives_none_while_it_waits() -> None:
    given = list(XasBeamline(frames=2, points=64, rate=4.0, scan_time=0.05)())
    assert None in given
    times = [arrival.time_ns for arrival in given if arrival is not None]
    assert times[1] - times[0] == 250_000_000
    assert times[0] > 1_767_225_600_000_000_000


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"sample": "gold"}, "sample"),
        ({"seed": -1}, "seed"),
        ({"points": 4}, "points"),
        ({"below": -5.0}, "below"),
        ({"below": 9000.0}, "below"),
        ({"photons": 0.0}, "photons"),
        ({"reaction_time": 0.0}, "reaction_time"),
        ({"dead": 2, "fluorescence": 1}, "dead"),
        ({"harmonics": 2.0}, "harmonics"),
        ({"sample": "iron_film", "fluorescence": 1}, "fluorescence"),
        ({"sample": "iron_film", "members": {"iron": {}}}, "members"),
        ({"members": {"water": {}}}, "members"),
        ({"members": {"lithiated": {"colour": 1.0}}}, "members.lithiated"),
        ({"members": {"lithiated": {"width": 0.0}}}, "members.lithiated"),
        ({"faults": ("slipped@1",)}, "faults"),
        ({"faults": ("glitch@1=7",)}, "faults"),
        ({"faults": ("glitch",)}, "faults"),
    ],
)
def test_impossible_settings_are_refused_with_the_key(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        XasBeamline(**keys)
    assert refused.value.where == where
