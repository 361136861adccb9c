"""Features of driven cores: the simulator's truth within uncertainties, units, windings, and a reason where none is."""

import dataclasses
import math
import re
from collections.abc import Callable

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.core_loss import CoreLoss
from insitu.features.permeability import CorePermeability
from insitu.features.permeability_frame import clipped
from insitu.features.relaxation import Relaxation
from insitu.maths.magnetic.core_loss import igse
from insitu.maths.magnetic.permeability import MU0
from insitu.maths.magnetic.relaxation import permeability_of
from insitu.readers.simulated_core import DrivenCore
from insitu.types import Arrival, Axis, Feature, Frame

WOUND = {"turns": 10.0, "area": 5e-5, "length": 0.06}
N87 = {"k_i": 0.15178, "alpha": 1.4722, "beta": 2.6147}


def frame_of(arrival: Arrival, **changes) -> Frame:
    fields = {f.name: getattr(arrival, f.name) for f in dataclasses.fields(arrival)}
    return Frame(**(fields | changes), seq=0, n=0)


def waves(rows: dict[str, np.ndarray], unit: tuple[str, ...], rate: float | None = 1e7, **context: Feature) -> Frame:
    if rate is not None:
        context["sample_rate"] = Feature(rate, "Hz")
    return Frame(
        source="core", data=np.stack(list(rows.values())), dims=("channel", "sample"), unit=unit, time_ns=0, seq=0, n=0,
        context=context, labels={"channels": " ".join(rows)},
    )  # fmt: skip


def ellipse(f: float = 1e5, b: float = 0.05, mu: complex = 2000 - 100j, n: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    turns = 2 * np.pi * f * np.arange(n) / 1e7 + 0.3
    return b * np.cos(turns), np.real(b / (MU0 * mu) * np.exp(1j * turns))


@pytest.mark.parametrize("channels", ["b h", "v i"])
def test_the_truth_of_the_simulator_lies_within_the_uncertainties(channels: str) -> None:
    """40 frames over frequency and amplitude: pulls of mean 0 and width 1 within 4 sigma."""
    reader = DrivenCore(
        seed=5, channels=channels, frequency=3e4, frequency_stop=6e5, amplitude=0.01, amplitude_stop=0.2, steps=40,
        harmonics=[0.05, 0.02], distortion=[0.01], noise=0.01, window=4e-4,
    )  # fmt: skip
    extract, pulls = CorePermeability(**(WOUND if channels == "v i" else {})), []
    for index in range(40):
        truth, found = reader.truth(index), extract(frame_of(reader.arrival(index)), {}, ())
        told = ("mu_real", "mu_imag", "loss", "b_peak", "h_peak", "frequency")
        pulls.append([(found[key].value - getattr(truth, key)) / found[key].sigma for key in told])
        assert found["noise_b"].value == pytest.approx(0.01, rel=0.1)
        assert found["thd_h"].value == pytest.approx(math.hypot(0.05, 0.02), abs=0.012)
    assert np.all(np.abs(np.mean(pulls, axis=0)) < 4 / math.sqrt(40)), np.mean(pulls, axis=0)
    assert np.all(np.abs(np.std(pulls, axis=0) - 1) < 4 / math.sqrt(80)), np.std(pulls, axis=0)


def test_what_is_known_of_the_channels_is_taken_out() -> None:
    reader = DrivenCore(noise=0.0, phase_error=3.0, delay=1e-8)
    found = CorePermeability(phase_error=3.0, delay=1e-8)(frame_of(reader.arrival(0)), {}, ())
    assert found["mu_imag"].value == pytest.approx(reader.truth(0).mu_imag, rel=1e-8)


@pytest.mark.parametrize(
    ("names", "unit", "factor", "keys"),
    [
        (("b", "h"), ("mT", "kA/m"), (1e3, 1e-3), {}),
        (("b", "h"), ("", ""), (1.0, 1.0), {}),
        (("b", "h"), ("arb", "arb"), (1.0, 1.0), {}),
        (("ch1", "ch2"), ("T", "A/m"), (1.0, 1.0), {}),
        (("ch2", "ch1"), ("", ""), (1.0, 1.0), {"b": "ch2", "h": "ch1"}),
        (("b_t", "h_am"), ("arb", "arb"), (1.0, 1.0), {}),
        (("flux_density", "field_strength"), ("T", "A/m"), (1.0, 1.0), {}),
        (("b", "current"), ("T", "mA"), (1.0, 6.0), {"turns": 10.0, "length": 0.06}),
        (("b", "shunt"), ("T", "mV"), (1.0, 3.0), {"turns": 10.0, "length": 0.06, "i": "shunt", "shunt": 0.5}),
    ],
)
def test_channels_are_found_by_name_or_unit_and_brought_to_si(names, unit, factor, keys) -> None:
    b, h = ellipse()
    found = CorePermeability(**keys)(waves({names[0]: b * factor[0], names[1]: h * factor[1]}, unit), {}, ())
    assert found["mu_real"].value == pytest.approx(2000.0, rel=1e-8), found["mu_real"].why
    assert found["mu_imag"].value == pytest.approx(100.0, rel=1e-8)


@pytest.mark.parametrize(
    ("frame", "keys", "word"),
    [
        (waves(dict(zip("bh", ellipse(), strict=True)), ("T", "A/m"), rate=None), {}, "sample rate"),
        (waves(dict(zip("bh", ellipse(f=3e3), strict=True)), ("T", "A/m")), {}, "periods|no wave"),
        (waves(dict(zip("bh", ellipse(f=3e3), strict=True)), ("T", "A/m")), {"frequency": 3e3}, "too few"),
        (waves(dict(zip("xy", ellipse(), strict=True)), ("arb", "arb")), {}, "no channel"),
        (waves(dict(zip("vi", ellipse(), strict=True)), ("V", "A")), {}, "set turns and area"),
        (waves(dict(zip("bi", ellipse(), strict=True)), ("T", "A")), {}, "set turns and length"),
        (waves(dict(zip("bi", ellipse(), strict=True)), ("T", "V")), {"turns": 1.0, "length": 1.0}, "set shunt"),
        (waves(dict(zip("bh", ellipse(), strict=True)), ("T", "K")), {}, "not in A/m"),
        (waves({"b": ellipse()[0], "h": np.clip(ellipse()[1], -10, 10)}, ("T", "A/m")), {}, "h is clipped"),
        (waves({"b": ellipse()[0], "h": 0 * ellipse()[1]}, ("T", "A/m")), {}, "constant"),
    ],
)
def test_what_cannot_be_measured_says_why(frame: Frame, keys: dict, word: str) -> None:
    found = CorePermeability(**keys)(frame, {}, ())
    assert all(f.value is None for key, f in found.items() if key != "clipped")
    assert re.search(word, found["mu_real"].why), found["mu_real"].why


def test_counts_of_a_converter_are_not_taken_for_tesla() -> None:
    b, h = ellipse()
    found = CorePermeability()(waves({"b": np.round(b / 0.05 * 20000), "h": h}, ("arb", "arb")), {}, ())
    assert found["mu_real"].value is None
    assert "B would be 2e+04 T" in found["mu_real"].why
    assert found["clipped"].value == 0.0


def test_clipping_is_told_from_coarse_digits_triangles_and_square_voltages() -> None:
    i = np.arange(20_000)
    sine = np.sin(i / 17.3)
    rng = np.random.default_rng(0)
    noisy = sine + 0.01 * rng.standard_normal(i.size)
    assert clipped(np.round(noisy * 127)) == 0.0
    assert clipped(np.round(np.interp(i % 100, [0, 50, 100], [-1, 1, -1]) * 100)) == 0.0
    assert clipped(np.clip(noisy, -2.0, 0.95)) == pytest.approx(0.1, abs=0.03)
    assert clipped(np.clip(np.round(noisy * 140), -128, 127).astype(np.int8).astype(float)) > 0.1
    assert clipped(np.sign(sine), square=True) == 0.0


def test_loss_of_a_triangle_is_predicted_and_that_of_a_loop_measured() -> None:
    f, n = 1.0003e5, 20_000
    at = (f * np.arange(n) / 1e7 + 0.2) % 1.0
    b = 0.1 * np.interp(at, [0.0, 0.3, 1.0], [-1.0, 1.0, -1.0])
    found = CoreLoss(**N87)(waves({"b": b}, ("T",)), {}, ())
    exact = igse(np.array([0.0, 0.3]) / f, np.array([-0.1, 0.1]), *N87.values(), period=1 / f)
    assert found["loss_predicted"].value == pytest.approx(exact, rel=0.01)
    assert found["b_swing"].value == pytest.approx(0.2, rel=0.005)
    assert "no channel h" in found["loss_measured"].why
    reader = DrivenCore(noise=1e-3, harmonics=[0.05])
    core = CoreLoss(**N87)(frame_of(reader.arrival(0)), {}, ())
    assert core["loss_measured"].value == pytest.approx(reader.truth(0).loss, abs=5 * core["loss_measured"].sigma)
    assert core["loss_ratio"].value == pytest.approx(core["loss_measured"].value / core["loss_predicted"].value)
    wound = DrivenCore(noise=1e-3, channels="v i")
    again = CoreLoss(**N87, **WOUND)(frame_of(wound.arrival(0)), {}, ())
    assert again["loss_predicted"].value == pytest.approx(core["loss_predicted"].value, rel=0.005)
    assert "not given" in CoreLoss()(frame_of(reader.arrival(0)), {}, ())["loss_predicted"].why


def sweep(rows: dict[str, np.ndarray], f: np.ndarray, unit: tuple[str, ...], **more) -> Frame:
    return Frame(
        source="core", data=np.stack(list(rows.values())), dims=("channel", "frequency"), unit=unit, time_ns=0, seq=0,
        n=0, axes={"frequency": Axis(f, "Hz")}, labels={"channels": " ".join(rows)}, **more,
    )  # fmt: skip


def test_a_relaxation_is_found_in_mu_and_in_what_an_impedance_analyser_gives() -> None:
    f = np.geomspace(1e4, 1e8, 40)
    mu = permeability_of(f, "cole_cole", {"mu_s": 900.0, "f_r": 3e6, "a": 0.2})
    z = 2j * np.pi * f * MU0 * mu * 20**2 * 5e-5 / 0.06 + 0.1
    wound = Relaxation(turns=20, area=5e-5, length=0.06, resistance=0.1)
    frames = {
        "mu": (Relaxation(), sweep({"mu_real": mu.real, "mu_imag": -mu.imag}, f, ("", ""))),
        "l": (wound, sweep({"l": z.imag / (2 * np.pi * f) * 1e6, "r": z.real}, f, ("uH", "ohm"))),
        "z": (wound, sweep({"z": np.abs(z), "theta": np.degrees(np.angle(z))}, f, ("ohm", "deg"))),
    }
    for extract, frame in frames.values():
        found = extract(frame, {}, ())
        assert found["f_r"].value == pytest.approx(3e6, rel=1e-4)
        assert found["mu_s"].value == pytest.approx(900.0, rel=1e-4)
        assert found["exponent"].value == pytest.approx(0.2, abs=1e-3)
        assert (found["resonant"].value, found["damping"].value) == (0, None)
    holes = frames["mu"][1]
    mask = np.zeros(holes.data.shape, bool)
    mask[:, ::3] = True
    broken = dataclasses.replace(holes, data=np.where(mask, 1e9, holes.data), mask=mask)
    assert Relaxation()(broken, {}, ())["f_r"].value == pytest.approx(3e6, rel=1e-4)
    assert "turns, area" in Relaxation()(frames["l"][1], {}, ())["mu_s"].why


EXTRACTORS: list[Callable] = [
    CorePermeability(), CorePermeability(**WOUND, name="core"), CoreLoss(**N87), CoreLoss(**WOUND), Relaxation(),
    Relaxation(turns=1, area=1e-4, length=0.1),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_strange_frame_makes_an_extractor_raise_or_invent() -> None:
    rng = np.random.default_rng(11)
    for _ in range(120):
        rows, n = int(rng.integers(1, 4)), int(rng.choice([1, 7, 16, 100, 3000]))
        data = rng.choice([1e-300, 1e-3, 1.0, 1e200]) * (
            np.sin(np.arange(n) * rng.uniform(0.001, 3)) + rng.choice([0, 0.1, 10]) * rng.standard_normal((rows, n))
        )
        if rng.random() < 0.2:
            data[rng.integers(rows), rng.integers(n)] = rng.choice([np.nan, np.inf])
        if rng.random() < 0.2:
            data[0] = 1.0
        names = rng.choice(["b", "h", "v", "i", "mu_real", "mu_imag", "l", "r", "x"], rows, replace=False)
        dims = ("channel", str(rng.choice(["sample", "frequency"])))
        axes = {"frequency": Axis(np.geomspace(1e3, 1e6, n), "Hz")} if dims[1] == "frequency" else {}
        context = {"sample_rate": Feature(float(rng.choice([1.0, 1e6])), "Hz")} if rng.random() < 0.8 else {}
        if rng.random() < 0.3:
            context["frequency"] = Feature(float(rng.choice([0.0, 1e5, 1e12])), str(rng.choice(["Hz", "K"])))
        frame = Frame(
            source="c", data=data, dims=dims, unit=tuple(map(str, rng.choice(["", "T", "V", "A/m", "bad"], rows))),
            time_ns=0, seq=0, n=0, axes=axes, context=context, labels={"channels": " ".join(map(str, names))},
        )  # fmt: skip
        check(frame)
    image = Frame(source="d", data=np.ones((4, 5, 6)), dims=("a", "y", "x"), unit="counts", time_ns=0, seq=1, n=1)
    check(image)


def check(frame: Frame) -> None:
    for extract in EXTRACTORS:
        found = extract(frame, {}, ())
        assert set(found) == set(extract.outputs)
        for key, feature in found.items():
            assert isinstance(feature, Feature)
            assert feature.unit == extract.outputs[key].unit
            assert feature.value is not None or feature.why


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: CorePermeability(turns=0.0), "turns"), (lambda: CorePermeability(harmonics=0), "harmonics"),
        (lambda: CorePermeability(name="9"), "begin a key"),
        (lambda: CorePermeability(phase_sigma=-1.0), "phase_sigma"),
        (lambda: CoreLoss(k_i=1.0), "in part"), (lambda: CoreLoss(k=1.0, k_i=1.0, alpha=1.5, beta=2.5), "in part"),
        (lambda: CoreLoss(k_i=1.0, alpha=9.0, beta=2.5), "alpha"),
        (lambda: CoreLoss(k=-1.0, alpha=1.5, beta=2.5), "factor"),
        (lambda: Relaxation(models=["cole"]), "no model"), (lambda: Relaxation(turns=-1.0), "turns"),
    ],
)  # fmt: skip
def test_keys_that_cannot_be_meant_are_refused(make: Callable, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        make()
