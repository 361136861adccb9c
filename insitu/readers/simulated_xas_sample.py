"""What stands in a simulated absorption beamline: a reaction with its foil, or a magnetic film; the true answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.absorption.model import EndMember, MixtureTruth, normalised
from insitu.maths.absorption.model_dichroism import IRON, Film, pair
from insitu.maths.absorption.model_samples import REACTIONS, changed, metal
from insitu.readers.simulated_xas_beam import Beam, Chambers, scan_counts, yield_counts
from insitu.readers.simulated_xas_settings import Reaction

FILMS: dict[str, Film] = {"iron_film": IRON}


class Moments(NamedTuple):
    """Moments of a film in Bohr magnetons per atom, as the sum rules define them (no <T>)."""

    m_orb: float
    m_spin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class XasTruth:
    """The true answers for one spectrum. `shares` of the end members when the scan passes the edge; `e0`: the largest
    derivative at true energies, eV (of a film: L3), and `e0_shift` from that of the first member; `energy_offset`:
    what must be added to the axis at the edge; `e0_read = e0 - energy_offset`; `moments` and `helicity` of a film."""

    index: int
    source_seq: int
    time_ns: int
    duration_ns: int
    shares: Mapping[str, float]
    e0: float
    e0_shift: float
    e0_read: float
    energy_offset: float
    foil_e0: float | None
    beam_current_mA: float
    moments: Moments | None
    helicity: int | None
    field_T: float | None
    faults: tuple[str, ...]


class Specimen:
    """A sample by name; `edge`: the energy that grids are built around, eV; `film`: where it is a magnet.

    Raises `ConfigError` for an unknown name, and for end members that it does not have.
    """

    def __init__(self, name: str, members: Mapping[str, Mapping[str, float]], reaction: Reaction) -> None:
        if name not in REACTIONS and name not in FILMS:
            known = ", ".join((*REACTIONS, *FILMS))
            raise ConfigError(f"sample {name!r} is not known", where="sample", expected=f"one of {known}")
        self.name, self.reaction, self.film = name, reaction, FILMS.get(name)
        self.members: tuple[EndMember, ...] = ()
        self.foil: EndMember | None = None
        if self.film is not None:
            if members:
                raise ConfigError("a film has no end members", where="members", remedy="Leave the key out")
            self.element, self.shell, self.edge = self.film.element, "L3", self.film.l3
            return
        found = changed(REACTIONS[name], members)
        self.element, self.shell, self.members = found.element, found.edge, found.members
        self.foil, self.mixture, self.edge = metal(found.element), MixtureTruth(found.members), found.members[0].e0

    def labels(self, elements: int) -> dict[str, str]:
        """The labels that all spectra have, with so many fluorescence elements."""
        names = ["i0", "ifluor"] if self.film else ["i0", "itrans", "irefer"]
        names += [f"ifluor{n + 1}" for n in range(elements)]
        return {
            "simulated": "true",
            "sample": self.name,
            "instrument": "simulated.xas",
            "element": self.element,
            "edge": self.shell,
            "mode": "xmcd" if self.film else "fluorescence" if elements else "transmission",
            "channels": " ".join(names),
        }

    def answers(self, time_s: float) -> tuple[dict[str, float], float, Moments | None]:
        """Shares by member, E0 in eV, and moments, when the scan passes the edge at a time after the first one."""
        if self.film is not None:
            left = 1.0 - float(self.reaction.progress(time_s))
            return {}, self.edge, Moments(left * self.film.m_orb, left * self.film.m_spin)
        shares = self.reaction.shares(time_s, len(self.members)).tolist()
        named = {member.name: share for member, share in zip(self.members, shares, strict=True)}
        return named, self.mixture.e0(shares), None

    def counts(
        self,
        lit: np.ndarray,
        energy: np.ndarray,
        times: np.ndarray,
        sign: float,
        beam: Beam,
        chambers: Chambers,
        now: Mapping[str, float],
    ) -> np.ndarray:
        """Expected counts `(channels, n)` at true energies and times `(n,)`; `sign`: of helicity times field."""
        if self.film is not None:
            first, second = pair(energy, self.film)
            half = 0.5 * sign * (1.0 - self.reaction.progress(times)) * (first - second)
            return yield_counts(lit, energy, 0.5 * (first + second) + half, beam, chambers, now)
        assert self.foil is not None
        shares = self.reaction.shares(times, len(self.members))
        mu = np.zeros(energy.size)
        for share, member in zip(shares, self.members, strict=True):
            if share.any():
                mu += share * normalised(energy, member)
        return scan_counts(lit, energy, mu, normalised(energy, self.foil), self.edge, beam, chambers, now)
