"""A simulated absorption beamline: XANES and EXAFS through a reaction, or XMCD pairs, with faults on demand.

SIMULATED AND PARAMETRIC, NOT MEASURED: every arrival carries the label `simulated = "true"`. Spectrum `i` is a pure
function of the settings, the seed, the source's name and `i`, so that two runs agree byte for byte:

    mu(E) = sum_m share_m(t) mu_m(E),    t: when the scan passes E        (`maths.xas_model`, `maths.xas_model_samples`)
    counts(channel, E) ~ Poisson(beam(t) flicker response(mu) + dark) + amplifier noise     (`simulated_xas_beam`)

Channels: i0, itrans, irefer behind a foil of the same element, and as many fluorescence elements as asked for; a film
(XMCD) has i0 and the total yield, with one helicity in even spectra and the other in odd ones. The axis is what the
monochromator says; the true energy is off by a drift, a jitter from scan to scan, and what faults do, for sample and
foil alike. `XasBeamline.truth(i)` tells the true answers.

Default: a nickel oxide whose edge moves up by 1.6 eV between 20 and 80 s; a scan takes 0.5 s.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Annotated, Literal

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import empty
from insitu.readers.faults import KINDS, active, arrival_order, source_number
from insitu.readers.simulated_settings import first_time_ns, positive
from insitu.readers.simulated_xas_beam import Beam, Chambers
from insitu.readers.simulated_xas_sample import FILMS, Specimen, XasTruth
from insitu.readers.simulated_xas_settings import XAS_KINDS, Reaction, energy_grid, true_energy, xas_fault
from insitu.types import Arrival, Axis, Detector, Feature

DARK_COUNTS = 5.0
"""Counts of every channel in a point without beam."""
FULL_SCALE = 3.0
"""Where an amplifier clips, over the mean of its channel in a normal spectrum."""
GLITCHES = (83.0, 247.0)
"""Where the crystal has glitches unless told, eV above the edge."""
IDLE_S = 0.1


class XasBeamline:
    """A reader that simulates an absorption beamline (see the head of this file).

    `frames`, `rate`, `start`, `counter_*`: as `simulated.diffractometer`. `sample`: a reaction or a magnetic film;
    `members` changes numbers of its end members (`maths.xas_model_samples.changed`). `reaction`, `reaction_start`,
    `reaction_time`: its course (of a film: the moments vanish; default: none). `grid`: `points` evenly ("quick") or
    three regions ("step"), from `below` to `above` the edge. `scan_time` of a spectrum, `pause` after it.
    `photons` that the first chamber counts in a point; `beam_noise`: relative flicker that all channels share.
    `energy_drift` a spectrum, `energy_jitter` (rms): true energy minus axis, at the edge. `field`, `flip`: of a film.
    Faults: `insitu.readers.simulated_xas_settings`.

    >>> reader = XasBeamline(frames=2, fluorescence=2)
    >>> first = next(reader())
    >>> first.data.shape, first.dims, first.labels["channels"], first.labels["simulated"]
    ((5, 1600), ('channel', 'energy'), 'i0 itrans irefer ifluor1 ifluor2', 'true')
    """

    simulated = True
    labels = ("simulated", "sample", "instrument", "element", "edge", "mode", "channels", "helicity")

    def __init__(
        self,
        *,
        seed: int = 0,
        frames: int | None = None,
        rate: Annotated[float, "Hz"] | None = None,
        start: str = "",
        sample: Literal["nickel_oxidation", "chromium_reduction", "iron_reduction", "iron_film"] = "nickel_oxidation",
        members: dict[str, dict[str, float]] | None = None,
        reaction: Literal["sigmoid", "linear", "none"] | None = None,
        reaction_start: Annotated[float, "s"] = 20.0,
        reaction_time: Annotated[float, "s"] = 60.0,
        grid: Literal["quick", "step"] = "quick",
        points: int | None = None,
        below: Annotated[float, "eV"] | None = None,
        above: Annotated[float, "eV"] | None = None,
        scan_time: Annotated[float, "s"] = 0.5,
        pause: Annotated[float, "s"] = 0.0,
        photons: float = 1e6,
        beam_noise: float = 1e-3,
        amplifier_noise: float = 0.0,
        beam_lifetime: Annotated[float, "s"] = 36_000.0,
        refill: Annotated[float, "s"] = 600.0,
        glitches: list[float] | None = None,
        glitch_depth: float = 0.3,
        harmonics: float = 0.0,
        edge_step: float = 1.0,
        foil_step: float = 1.0,
        energy_drift: Annotated[float, "eV"] = 0.0,
        energy_jitter: Annotated[float, "eV"] = 0.0,
        d_spacing: Annotated[float, "angstrom"] = 3.1356,
        fluorescence: int = 0,
        dead: int = 0,
        self_absorption: float = 0.0,
        temperature: Annotated[float, "K"] = 295.65,
        field: Annotated[float, "T"] = 1.0,
        flip: Literal["helicity", "field"] = "helicity",
        counter_start: int = 0,
        counter_bits: int | None = None,
        faults: tuple[str, ...] = (),
        detector: Detector | None = None,
    ) -> None:
        if seed < 0:
            raise ConfigError(f"seed is {seed}", where="seed", expected="0 or a positive integer")
        for name, value, most in (
            ("beam_noise", beam_noise, 1.0), ("amplifier_noise", amplifier_noise, 1e9), ("dead", dead, fluorescence),
            ("glitch_depth", glitch_depth, 0.99), ("harmonics", harmonics, 1.0), ("fluorescence", fluorescence, 100),
            ("self_absorption", self_absorption, 100.0), ("energy_jitter", energy_jitter, 50.0), ("pause", pause, 1e9),
        ):  # fmt: skip
            if not 0 <= value <= most:
                raise ConfigError(f"{name} is {value}", where=name, expected=f"0 to {most:g}")
        self.source = detector.source if detector else "xas"
        self.sample, self.seed, self.temperature = sample, seed, positive(temperature, "temperature", "K")
        self.frames = None if frames is None else int(positive(frames, "frames"))
        self.rate = None if rate is None else positive(rate, "rate", "Hz")
        self.faults = tuple(xas_fault(text) for text in faults)
        self.field, self.flip = field, flip
        self.counter_start = counter_start
        self.counter_bits = counter_bits or (detector.counter_bits if detector else None)
        self._start, self._first_ns = start, first_time_ns(start, live=self.rate is not None)
        self.scan_time_s = positive(scan_time, "scan_time", "s")
        self._period_s = max(self.scan_time_s + pause, 0.0 if rate is None else 1.0 / rate)
        self._noise, self._drift = (beam_noise, amplifier_noise), (energy_drift, energy_jitter)
        self.reaction = Reaction(reaction or ("none" if sample in FILMS else "sigmoid"), reaction_start, reaction_time)
        self.specimen = Specimen(sample, members or {}, self.reaction)
        self.film, self.edge = self.specimen.film, self.specimen.edge
        if self.film is not None and fluorescence:
            raise ConfigError("a film is measured by its total yield", where="fluorescence", remedy="Leave the key out")
        self.d_spacing = None if self.film else positive(d_spacing, "d_spacing", "angstrom")
        shape = detector.shape if detector else None
        count_of = points or (shape[-1] if shape and grid == "quick" else 1600)
        span = (20.0, 50.0) if self.film else (150.0, 850.0)
        low, high = span[0] if below is None else below, span[1] if above is None else above
        self.energy = energy_grid("quick" if self.film else grid, self.edge, low, high, count_of)
        found = tuple(self.edge + off for off in GLITCHES) if glitches is None else tuple(glitches)
        self.beam = Beam(
            lifetime_s=positive(beam_lifetime, "beam_lifetime", "s"), refill_s=positive(refill, "refill", "s"),
            glitches=found, depth=glitch_depth, harmonics=harmonics,
        )  # fmt: skip
        self.chambers = Chambers(
            photons=positive(photons, "photons"), edge_step=positive(edge_step, "edge_step"),
            foil_step=positive(foil_step, "foil_step"), elements=fluorescence, dead=dead,
            fluorescence_yield=0.5 if self.film else 0.05, self_absorption=self_absorption,
        )  # fmt: skip
        self.dtype = np.dtype((detector.dtype if detector else None) or "float64")
        top = detector.saturation if detector else None
        normal = self._expected(0, 0.0, {}).mean(axis=1)
        self._full = np.full(normal.size, np.inf if top is None else top)
        self._clips = np.minimum(self._full, FULL_SCALE * normal)
        self._axes = {"energy": Axis(self.energy, "eV")}
        self._labels = self.specimen.labels(fluorescence)

    def __call__(self) -> Iterator[Arrival | None]:
        """Arrivals in the order of arrival; None while waiting for the next."""
        if self.rate is not None and self._start in ("", "now"):
            self._first_ns = time.time_ns()
        began = time.monotonic()
        indices = count() if self.frames is None else range(self.frames)
        for index in arrival_order([f for f in self.faults if f.kind not in XAS_KINDS], indices):
            if self.rate is not None:  # absolute deadlines: a late spectrum does not delay the ones after it
                due = began + index * self._period_s + self.scan_time_s
                while (left := due - time.monotonic()) > 0.0:
                    time.sleep(min(left, IDLE_S))
                    if left > IDLE_S:
                        yield None
            yield self.arrival(index)

    def arrival(self, index: int) -> Arrival:
        """Spectrum `index` as the beamline gives it: a pure function of the settings."""
        now, begins = active(self.faults, index), index * self._period_s
        random = np.random.default_rng((self.seed, zlib.crc32(self.source.encode()), index))
        expected = self._expected(index, begins, now)
        expected *= 1.0 + self._noise[0] * np.clip(random.standard_normal(self.energy.size), -5.0, 5.0)
        expected += DARK_COUNTS
        if (dead := self.chambers.dead) > 0:
            expected[2 + dead] = 0.0
        counts = random.poisson(np.maximum(expected, 0.0)).astype(np.float64)
        if self._noise[1] > 0.0:
            counts += random.normal(0.0, self._noise[1], counts.shape)
        full = self._full
        if "saturated" in now:
            behind = [1] if self.film else [1, *range(3, len(counts))]
            counts[behind] *= now["saturated"]
            full = full.copy()
            full[behind] = self._clips[behind]
        data = empty(counts.shape, self.dtype)
        np.minimum(counts, full[:, None], out=data, casting="unsafe")
        data.flags.writeable = False
        helicity, field = self._turned(index)
        context = {
            "temperature": Feature(self.temperature, "K"),
            "beam_current": Feature(float(self.beam.current(begins)) * now.get("beam_loss", 1.0), "mA"),
        }
        if self.d_spacing is not None:
            context["d_spacing"] = Feature(self.d_spacing, "angstrom")
        if field is not None:
            context["field"] = Feature(field, "T")
        return Arrival(
            source=self.source,
            data=data,
            dims=("channel", "energy"),
            unit=("counts",) * len(data),
            time_ns=self._time_ns(index),
            duration_ns=round(self.scan_time_s * 1e9),
            clock="ioc",
            source_seq=source_number(self.faults, index, self.counter_start, self.counter_bits),
            axes=self._axes,
            context=context,
            labels=self._labels if helicity is None else self._labels | {"helicity": f"{helicity:+d}"},
        )

    def truth(self, index: int) -> XasTruth:
        """The true answers for spectrum `index`."""
        now, offset = active(self.faults, index), self._offset(index)
        passed = float(np.searchsorted(self.energy, self.edge)) / self.energy.size * self.scan_time_s
        at = index * self._period_s + passed
        shares, e0, moments = self.specimen.answers(at)
        helicity, field = self._turned(index)
        return XasTruth(
            index=index,
            source_seq=source_number(self.faults, index, self.counter_start, self.counter_bits),
            time_ns=self._time_ns(index),
            duration_ns=round(self.scan_time_s * 1e9),
            shares=shares,
            e0=e0,
            e0_shift=e0 - self.edge,
            e0_read=e0 - offset,
            energy_offset=offset,
            foil_e0=foil.e0 if (foil := self.specimen.foil) else None,
            beam_current_mA=float(self.beam.current(index * self._period_s)) * now.get("beam_loss", 1.0),
            moments=moments,
            helicity=helicity,
            field_T=field,
            faults=tuple(kind for kind in now if kind not in KINDS or not KINDS[kind].transport),
        )

    def _time_ns(self, index: int) -> int:
        return self._first_ns + round(index * self._period_s * 1e9)

    def _offset(self, index: int) -> float:
        """True energy minus the axis, at the edge, eV."""
        drift, jitter = self._drift
        random = np.random.default_rng((self.seed, zlib.crc32(self.source.encode()), index, 1))
        return drift * index + jitter * random.standard_normal() + active(self.faults, index).get("energy_jump", 0.0)

    def _turned(self, index: int) -> tuple[int | None, float | None]:
        """Helicity and field of a spectrum; None where there is no magnet."""
        if self.film is None:
            return None, None
        sign = -1 if index % 2 else 1
        return (sign, self.field) if self.flip == "helicity" else (1, sign * self.field)

    def _expected(self, index: int, begins: float, now: Mapping[str, float]) -> np.ndarray:
        """Expected counts `(channels, n)` without flicker and dark counts."""
        times = begins + np.arange(self.energy.size) * (self.scan_time_s / self.energy.size)
        lit = self.beam.current(times) / self.beam.current(0.0) * now.get("beam_loss", 1.0)
        energy = true_energy(self.energy, self._offset(index), self.edge, self.d_spacing)
        helicity, field = self._turned(index)
        sign = float(np.sign((helicity or 0) * (field or 0.0)))
        return self.specimen.counts(lit, energy, times, sign, self.beam, self.chambers, now)
