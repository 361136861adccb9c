"""Complex permeability and loss of a core from what the lock-in found of B and H, with uncertainties.

    mu_r = B / (mu0 H) = mu' - j mu''            B, H complex amplitudes (peak) at the drive frequency f
    P    = pi f Im(H B*) = pi f |B|^2 mu'' / (mu0 |mu_r|^2)      W/m^3, the area of the elliptic loop times f
    tan(delta) = mu'' / mu',  Q = 1 / tan(delta),  delta = arg H - arg B
    THD  = sqrt(sum_(k >= 2) |A_k|^2) / |A_1|    of B and of H

Windings: B = integral of v / (turns area), H = turns i / length; at each harmonic, integrating is a division by
j 2 pi k f, so that nothing drifts. Known errors of the channels are taken out first: a gain, a phase, a delay of one
against the other.

Uncertainties are propagated to first order from the lock-in's covariance of the real and imaginary parts (GUM, JCGM
102:2011), plus what is declared of gain and phase. B / H is analytic in both: noise that has no preferred phase leaves
it unbiased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from insitu.maths.magnetic.lock_in import LockIn

MU0 = 4e-7 * math.pi
"""Magnetic constant, T m/A: exact until 2019, and still within the uncertainty of CODATA 2022, 1.25663706127(20)e-6."""
LEAST_ANGLE = 2.0
"""Q is given where mu'' stands so many sigma above 0."""


class Number(NamedTuple):
    """A value and its standard uncertainty (nan: not known); no value is nan, and `why`."""

    value: float
    sigma: float = math.nan
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Winding:
    """`primary` turns carry the current, `secondary` turns give the voltage; core `area` m^2, path `length` m."""

    primary: float = 1.0
    secondary: float = 1.0
    area: float = math.nan
    length: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """What is known of the channels: their gain (read / true), `phase` in rad and `delay` in s by which what is read
    of B comes too late against H; relative uncertainty `gain_sigma` of mu and `phase_sigma` in rad."""

    gain_b: float = 1.0
    gain_h: float = 1.0
    phase: float = 0.0
    delay: float = 0.0
    gain_sigma: float = 0.0
    phase_sigma: float = 0.0


class Permeability(NamedTuple):
    """What one window tells; `b` and `h` are the corrected harmonics `(K,)` complex in T and A/m."""

    mu_real: Number
    mu_imag: Number
    loss: Number
    loss_angle: Number
    quality: Number
    b_peak: Number
    h_peak: Number
    thd_b: Number
    thd_h: Number
    loss_harmonics: Number
    b: np.ndarray
    h: np.ndarray


def flux_and_field(found: LockIn, kinds: tuple[str, str], winding: Winding) -> LockIn:
    """The lock-in of (b, h) in T and A/m from that of two channels, each given as it was measured: kinds "b" or "v",
    and "h" or "i"."""
    k = np.arange(1, found.amplitude.shape[1] + 1)
    turn = 2j * math.pi * found.frequency * k * winding.secondary * winding.area
    flux = 1.0 / turn if kinds[0] == "v" else np.ones(k.size, complex)
    field = np.full(k.size, winding.primary / winding.length if kinds[1] == "i" else 1.0, complex)
    return scaled(found, np.stack([flux, field]))


def scaled(found: LockIn, factors: np.ndarray) -> LockIn:
    """The lock-in with the harmonics times `factors` `(channels, K)` complex; the covariance goes with the first.

    Offsets and drifts lose their meaning with a factor that is no number, and are left as they were.
    """
    first = factors[:, 0]
    turn = np.zeros((2 * first.size, 2 * first.size))
    for c, z in enumerate(first):
        turn[2 * c : 2 * c + 2, 2 * c : 2 * c + 2] = _real(z)
    return found._replace(
        amplitude=found.amplitude * factors,
        covariance=turn @ found.covariance @ turn.T,
        noise=found.noise * np.abs(first),
        sigma=found.sigma * np.abs(factors),
    )


def corrected(found: LockIn, known: Channels) -> LockIn:
    """The lock-in of (b, h) without the errors that are known of the channels."""
    k = np.arange(1, found.amplitude.shape[1] + 1)
    late = np.exp(1j * (known.phase + 2.0 * math.pi * found.frequency * k * known.delay))
    return scaled(found, np.stack([late / known.gain_b, np.full(k.size, 1.0 / known.gain_h, complex)]))


def permeability(found: LockIn, known: Channels = Channels()) -> Permeability:
    """mu_r, loss and what goes with them from the lock-in of (b, h): two channels, T and A/m.

    >>> import numpy as np
    >>> from insitu.maths.magnetic.lock_in import lock_in
    >>> turns = 2 * np.pi * 1e5 * np.arange(1000) / 1e7
    >>> b = 0.1 * np.cos(turns)
    >>> h = np.real(0.1 / (MU0 * (2000 - 50j)) * np.exp(1j * turns))
    >>> seen = permeability(lock_in(np.stack([b, h]), 1e7, 1e5))
    >>> round(seen.mu_real.value, 6), round(seen.mu_imag.value, 6)
    (2000.0, 50.0)
    """
    seen = corrected(found, known)
    b, h, covariance = seen.amplitude[0], seen.amplitude[1], seen.covariance
    mu = complex(b[0] / (MU0 * h[0]))
    to_mu = np.concatenate([_real(1.0 / (MU0 * h[0])), -_real(mu / h[0])], axis=1)
    of_mu = to_mu @ covariance @ to_mu.T + _declared(mu, known)
    loss, of_loss = _loss(seen.frequency, complex(b[0]), complex(h[0]))
    sigma_loss = math.hypot(
        _root(of_loss @ covariance @ of_loss),
        loss * known.gain_sigma,
        math.pi * seen.frequency * float(np.real(h[0] * np.conj(b[0]))) * known.phase_sigma,
    )
    angle = math.atan2(-mu.imag, mu.real)
    along = np.array([mu.imag, -mu.real]) / abs(mu) ** 2  # d(angle) / d(Re mu, Im mu)
    sigma_angle = _root(along @ of_mu @ along)
    return Permeability(
        mu_real=Number(mu.real, _root(of_mu[0, 0])),
        mu_imag=Number(-mu.imag, _root(of_mu[1, 1])),
        loss=Number(loss, sigma_loss),
        loss_angle=Number(angle, sigma_angle),
        quality=_quality(angle, sigma_angle),
        b_peak=_peak(seen, 0),
        h_peak=_peak(seen, 1),
        thd_b=_distortion(seen, 0),
        thd_h=_distortion(seen, 1),
        loss_harmonics=_loss_of_harmonics(seen),
        b=b,
        h=h,
    )


def _real(z: complex) -> np.ndarray:
    """Multiplying by z as a matrix on (Re, Im)."""
    return np.array([[z.real, -z.imag], [z.imag, z.real]])


def _root(variance: float | np.ndarray) -> float:
    return math.sqrt(max(float(variance), 0.0))


def _declared(mu: complex, known: Channels) -> np.ndarray:
    """Covariance of (Re mu, Im mu) from gain (along mu) and phase (across it)."""
    along, across = np.array([mu.real, mu.imag]), np.array([-mu.imag, mu.real])
    return known.gain_sigma**2 * np.outer(along, along) + known.phase_sigma**2 * np.outer(across, across)


def _loss(frequency: float, b: complex, h: complex) -> tuple[float, np.ndarray]:
    """pi f Im(H B*), and its derivatives by Re B, Im B, Re H, Im H."""
    factor = math.pi * frequency
    return factor * (h.imag * b.real - h.real * b.imag), factor * np.array([h.imag, -h.real, -b.imag, b.real])


def _quality(angle: float, sigma: float) -> Number:
    """1 / tan(delta); its sigma to first order."""
    if not angle > LEAST_ANGLE * sigma or not 0.0 < angle < math.pi:
        return Number(math.nan, math.nan, f"the loss angle {angle:.2g} rad is not clearly above 0 (sigma {sigma:.2g})")
    return Number(1.0 / math.tan(angle), sigma / math.sin(angle) ** 2)


def _peak(seen: LockIn, channel: int) -> Number:
    z = seen.amplitude[channel, 0]
    along = np.array([z.real, z.imag]) / abs(z)
    block = seen.covariance[2 * channel : 2 * channel + 2, 2 * channel : 2 * channel + 2]
    return Number(float(abs(z)), _root(along @ block @ along))


def _distortion(seen: LockIn, channel: int) -> Number:
    """THD; the power that noise alone adds is taken off, and where nothing is left, it is 0."""
    z = seen.amplitude[channel]
    if z.size < 2:
        return Number(math.nan, math.nan, "no harmonic lies below half of the sample rate")
    noise = seen.sigma[channel]
    power, first = float(np.sum(np.abs(z[1:]) ** 2)), float(abs(z[0]))
    above = power - 2.0 * float(np.sum(noise[1:] ** 2))
    spread = 2.0 * math.sqrt(float(np.sum(noise[1:] ** 2 * np.maximum(np.abs(z[1:]) ** 2, noise[1:] ** 2))))
    thd = math.sqrt(max(above, 0.0))
    sigma = min(spread / (2.0 * thd), math.sqrt(spread)) if thd > 0.0 else math.sqrt(spread)
    return Number(thd / first, sigma / first)


def _loss_of_harmonics(seen: LockIn) -> Number:
    """What the harmonics add to the loss: sum_(k >= 2) pi k f Im(H_k B_k*)."""
    b, h = seen.amplitude[:, 1:]
    if b.size == 0:
        return Number(math.nan, math.nan, "no harmonic lies below half of the sample rate")
    factor = math.pi * seen.frequency * np.arange(2, b.size + 2)
    noise = seen.sigma[:, 1:]
    variance = np.sum(factor**2 * ((np.abs(h) * noise[0]) ** 2 + (np.abs(b) * noise[1]) ** 2))
    return Number(float(np.sum(factor * np.imag(h * b.conj()))), _root(variance))
