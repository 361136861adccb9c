"""Units of magnetic measurements: how people write them, and how they convert.

cgs units of electromagnetism are no multiples of SI units (their quantities are defined otherwise); what magnetometers
mean by them is: a field of 1 Oe is mu0 H = 1e-4 T in the field that acts on a sample, a moment of 1 emu is 1e-3 A m^2,
so 1 emu/g is 1 A m^2/kg and 1 emu/cm^3 is 1000 A/m (R. B. Goldfarb, F. R. Fickett, NBS Special Publication 696, 1985).
"""

from __future__ import annotations

import math

MU0 = 4e-7 * math.pi

FIELDS = {
    "T": 1.0, "mT": 1e-3, "uT": 1e-6, "Oe": 1e-4, "kOe": 0.1, "gauss": 1e-4, "A/m": MU0, "kA/m": 1e3 * MU0, "MA/m": 1e6
    * MU0,
}  # fmt: skip
"""A field in one of these units, in T of mu0 H."""

MOMENTS = {
    "A m^2": ("A m^2", 1.0), "mA m^2": ("A m^2", 1e-3), "uA m^2": ("A m^2", 1e-6), "nA m^2": ("A m^2", 1e-9),
    "emu": ("A m^2", 1e-3), "memu": ("A m^2", 1e-6), "uemu": ("A m^2", 1e-9),
    "A m^2/kg": ("A m^2/kg", 1.0), "mA m^2/kg": ("A m^2/kg", 1e-3), "emu/g": ("A m^2/kg", 1.0), "memu/g": ("A m^2/kg",
    1e-3), "A/m": ("A/m", 1.0), "kA/m": ("A/m", 1e3), "MA/m": ("A/m", 1e6), "emu/cm^3": ("A/m", 1e3),
}  # fmt: skip
"""A moment, a moment by mass or one by volume: its SI unit, and the factor."""

WRITTEN = {
    "t": "T", "tesla": "T", "mt": "mT", "millitesla": "mT", "ut": "uT", "oe": "Oe", "oersted": "Oe", "oersteds": "Oe",
    "koe": "kOe", "g": "gauss", "gs": "gauss", "gauss": "gauss", "a/m": "A/m", "am-1": "A/m", "ka/m": "kA/m", "kam-1":
    "kA/m", "am2": "A m^2", "j/t": "A m^2", "jt-1": "A m^2", "mam2": "mA m^2", "uam2": "uA m^2", "nam2": "nA m^2",
    "emu": "emu", "memu": "memu", "uemu": "uemu",
    "am2/kg": "A m^2/kg", "am2kg-1": "A m^2/kg", "mam2/kg": "mA m^2/kg", "emu/g": "emu/g", "emug-1": "emu/g", "memu/g":
    "memu/g", "emu/cm3": "emu/cm^3", "emu/cc": "emu/cm^3", "emucm-3": "emu/cm^3",
}  # fmt: skip


def unit_of(text: str) -> str:
    """The unit that a text means, as it is called here; "" where it is none of them.

    >>> unit_of("Am2_per_kg"), unit_of("A·m²/kg"), unit_of("OE"), unit_of("emu g-1"), unit_of("deg")
    ('A m^2/kg', 'A m^2/kg', 'Oe', 'emu/g', '')
    """
    plain = text.strip().lower().replace("²", "2").replace("³", "3").replace("⁻¹", "-1").replace("_per_", "/")
    plain = plain.replace(" per ", "/")
    for mark in ("µ", "μ"):
        plain = plain.replace(mark, "u")
    plain = "".join(c for c in plain if c not in " _·*^.×⋅")
    return WRITTEN.get(plain, "")


def field_in_tesla(unit: str) -> float | None:
    """The factor from a field's unit to T; None where nobody knows it."""
    return FIELDS.get(unit)


def moment_factor(unit: str, wanted: str, mass_kg: float | None = None) -> float | None:
    """The factor from one unit of a moment to another; by the sample's mass between moment and moment by mass.

    >>> moment_factor("emu", "A m^2"), moment_factor("emu", "A m^2/kg"), moment_factor("emu", "A m^2/kg", 1e-4)
    (0.001, None, 10.0)
    """
    if unit == wanted and unit:
        return 1.0
    if unit not in MOMENTS or wanted not in MOMENTS:
        return None
    (kind, factor), (wanted_kind, wanted_factor) = MOMENTS[unit], MOMENTS[wanted]
    if kind != wanted_kind:
        if mass_kg is None or not mass_kg > 0.0 or {kind, wanted_kind} != {"A m^2", "A m^2/kg"}:
            return None
        factor = factor / mass_kg if kind == "A m^2" else factor * mass_kg
    return factor / wanted_factor
