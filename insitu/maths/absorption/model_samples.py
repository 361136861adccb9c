"""Samples of the absorption simulator: the compounds that a reaction leads through, and foils. Parametric, made up.

Edge energies are like those of real compounds, and so are distances; no spectrum here agrees with a measured one point
by point, and none is meant to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from insitu.errors import ConfigError
from insitu.maths.absorption.foil import FOILS
from insitu.maths.absorption.model import EndMember, Peak, Shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A reaction: `element` and `edge` (for the labels), the end members in the order of the reaction."""

    element: str
    edge: str
    members: tuple[EndMember, ...]


def metal(element: str, distance: float = 2.5) -> EndMember:
    """A foil of a 3d metal; the largest derivative at its known energy (`insitu.maths.absorption.foil.FOILS`), eV."""
    shells = (Shell(12.0, distance, 0.006, "heavy"), Shell(6.0, distance * 1.414, 0.008, "heavy"))
    return EndMember(name=f"{element.lower()}_metal", e0=FOILS[element], width=1.6, shells=shells, s02=0.85)


REACTIONS: dict[str, Sample] = {
    "nickel_oxidation": Sample(
        element="Ni",
        edge="K",
        members=(
            EndMember(
                name="lithiated", e0=8344.2, width=1.9, white_line=Peak(6.5, 0.45, 8.0),
                pre_edge=Peak(-11.0, 0.03, 3.0),
                shells=(Shell(6.0, 1.97, 0.006), Shell(6.0, 2.87, 0.006, "heavy")),
            ),
            EndMember(
                name="delithiated", e0=8345.8, width=2.0, white_line=Peak(7.2, 0.40, 9.0),
                pre_edge=Peak(-11.0, 0.05, 3.0),
                shells=(Shell(6.0, 1.89, 0.005), Shell(6.0, 2.82, 0.006, "heavy")),
            ),
        ),
    ),
    "chromium_reduction": Sample(
        element="Cr",
        edge="K",
        members=(
            EndMember(
                name="chromate", e0=6006.0, width=2.0, white_line=Peak(7.0, 0.15, 10.0),
                pre_edge=Peak(-12.5, 0.85, 2.2), shells=(Shell(4.0, 1.65, 0.003),),
            ),
            EndMember(
                name="chromium_iii", e0=6003.0, width=1.8, white_line=Peak(5.5, 0.55, 7.0),
                pre_edge=Peak(-12.5, 0.04, 2.5), shells=(Shell(6.0, 1.98, 0.005), Shell(4.0, 2.95, 0.006, "heavy")),
            ),
        ),
    ),
    "iron_reduction": Sample(
        element="Fe",
        edge="K",
        members=(
            EndMember(
                name="iron_iii", e0=7124.5, width=1.8, white_line=Peak(6.0, 0.50, 8.0), pre_edge=Peak(-10.5, 0.06, 3.0),
                shells=(Shell(6.0, 2.00, 0.008), Shell(6.0, 2.98, 0.008, "heavy")),
            ),
            EndMember(
                name="iron_ii", e0=7120.5, width=1.8, white_line=Peak(5.5, 0.50, 8.0), pre_edge=Peak(-8.5, 0.03, 3.0),
                shells=(Shell(6.0, 2.14, 0.010), Shell(12.0, 3.05, 0.009, "heavy")),
            ),
            replace(metal("Fe", 2.48), name="iron"),
        ),
    ),
}  # fmt: skip
"""By name. Isosbestic points exist where there are two members."""

_PLAIN = ("e0", "width", "s02")
_PEAKS = tuple(f"{peak}_{part}" for peak in ("white_line", "pre_edge") for part in Peak._fields)
_SHELL = {"n": "number", "r": "distance", "sigma2": "sigma2", "shift": "shift"}


def changed(sample: Sample, members: Mapping[str, Mapping[str, float]]) -> Sample:
    """The sample with some numbers of some members replaced: {member: {key: value}}.

    Keys: `e0`, `width`, `s02`; `white_line_at`, `white_line_height`, `white_line_fwhm` and the same for `pre_edge`;
    `n1`, `r1`, `sigma2_1`, `shift1` of the first shell, `n2`... of the next. Raises `ConfigError` for any other.

    >>> changed(REACTIONS["chromium_reduction"], {"chromate": {"pre_edge_height": 0.5}}).members[0].pre_edge.height
    0.5
    """
    known = [m.name for m in sample.members]
    for name in members:
        if name not in known:
            raise ConfigError(f"{name!r} is no end member", where="members", expected=f"one of {', '.join(known)}")
    return replace(sample, members=tuple(_changed(m, members.get(m.name, {})) for m in sample.members))


def _changed(member: EndMember, keys: Mapping[str, float]) -> EndMember:
    shells = list(member.shells)
    places = {
        f"{key}_{n}" if key == "sigma2" else f"{key}{n}": (n - 1, name)
        for n in range(1, len(shells) + 1)
        for key, name in _SHELL.items()
    }
    for key, value in keys.items():
        if key in _PLAIN:
            member = replace(member, **{key: value})
        elif key in _PEAKS:
            peak, _, part = key.rpartition("_")
            member = replace(member, **{peak: getattr(member, peak)._replace(**{part: value})})
        elif key in places:
            at, name = places[key]
            shells[at] = shells[at]._replace(**{name: value})
        else:
            raise ConfigError(
                f"an end member has no {key!r}",
                where=f"members.{member.name}",
                expected=f"one of {', '.join((*_PLAIN, *_PEAKS, *places))}",
            )
    member = replace(member, shells=tuple(shells))
    widths = (member.width, member.white_line.fwhm, member.pre_edge.fwhm)
    if min(*widths, *(s.distance for s in shells), 1.0) <= 0.0 or min((s.sigma2 for s in shells), default=0.0) < 0.0:
        raise ConfigError(
            "a width or a distance is not above 0", where=f"members.{member.name}", expected="more than 0"
        )
    return member
