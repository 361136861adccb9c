"""Which channels of a recording become rows of a frame, under which names, in which units, at which rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from insitu.errors import FormatError
from insitu.readers.waveform_track import Recording, Track, clean, plausible, unique
from insitu.units import did_you_mean

Channels = Sequence[str] | Mapping[str, int | str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """The tracks that are read, with their rows; `names`, `units` and `rates` (Hz, None where not known) per row;
    `rate`: the highest one; `shares`: of each track in it; `rate_from`: what told it."""

    tracks: tuple[Track, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    rates: tuple[float | None, ...]
    rate: float | None
    rate_from: str
    shares: tuple[Fraction, ...]
    dtype: np.dtype

    def like(self, other: Chosen) -> bool:
        """Whether samples of another file can follow: same names, units, rates and type."""
        return (self.names, self.units, self.rates, self.dtype) == (other.names, other.units, other.rates, other.dtype)

    def told(self) -> str:
        """In words, for messages."""
        rate = f" at {self.rate:.6g} Hz" if self.rate else ""
        return f"{', '.join(self.names[:8])}{' ...' if self.names[8:] else ''} ({self.dtype}){rate}"


def wanted(channels: Channels | None) -> tuple[int | str, ...]:
    """What the recipe asks for, as decoders need it: titles, or numbers from 1."""
    return tuple(channels.values() if isinstance(channels, Mapping) else channels or ())


def choose(
    recording: Recording,
    channels: Channels | None,
    units: Mapping[str, str],
    unit: str,
    sample_rate: float | None,
    where: str,
) -> Chosen:
    """The channels of a recording that the recipe asks for; all of them where it names none."""
    flat = [
        (t, k, title, track.numbers[k] if track.numbers else 0)
        for t, track in enumerate(recording.tracks)
        for k, title in enumerate(track.titles)
    ]
    own = unique(clean(title, i + 1) for i, (_, _, title, _) in enumerate(flat))
    numbers = [number or i + 1 for i, (_, _, _, number) in enumerate(flat)]
    titles = [title for _, _, title, _ in flat]
    places, names = _asked(channels, own, titles, numbers, where)
    rates = _rates(recording, sample_rate)
    chosen: dict[int, list[tuple[int, int]]] = {}
    for row, place in enumerate(places):
        chosen.setdefault(flat[place][0], []).append((flat[place][1], row))
    tracks = tuple(_part(recording.tracks[t], picked) for t, picked in chosen.items())
    known = [r for t in chosen if (r := rates[t]) is not None]
    highest = max(known, default=None)
    told = [recording.tracks[flat[p][0]].units[flat[p][1]] for p in places]
    declared = sample_rate is not None and highest == sample_rate
    return Chosen(
        tracks=tracks,
        names=names,
        units=tuple(units.get(name, own_unit or unit) for name, own_unit in zip(names, told, strict=True)),
        rates=tuple(rates[flat[p][0]] for p in places),
        rate=highest,
        rate_from="" if highest is None else "declared" if declared else recording.rate_from,
        shares=tuple(_share(rates[t], highest, where) for t in chosen),
        dtype=np.result_type(*(t.dtype for t in tracks)),
    )


def _asked(
    channels: Channels | None, own: Sequence[str], titles: Sequence[str], numbers: Sequence[int], where: str
) -> tuple[list[int], tuple[str, ...]]:
    """Places among the channels of the file, and the names that they have here."""
    if not channels:
        return list(range(len(own))), tuple(own)
    if not isinstance(channels, Mapping):
        names = tuple(channels)
        if len(names) == len(own) and not all(n in own or n in titles for n in names):
            return list(range(len(own))), unique(clean(n, i + 1) for i, n in enumerate(names))
        channels = {name: name for name in names}
    places = [_place(asked, own, titles, numbers, where) for asked in channels.values()]
    return places, unique(clean(name, i + 1) for i, name in enumerate(channels))


def _place(asked: int | str, own: Sequence[str], titles: Sequence[str], numbers: Sequence[int], where: str) -> int:
    there: Sequence[int | str]
    for there in (numbers,) if isinstance(asked, int) else (titles, own, [t.strip("/") for t in titles]):
        if asked in there:
            return list(there).index(asked)
    if isinstance(asked, int):
        expected = f"a number of a column: {', '.join(map(str, numbers[:20]))}"
    else:
        expected = f"one of {', '.join(own[:20])}{' ...' if own[20:] else ''}"
    raise FormatError(
        f"there is no channel {asked!r}",
        where=where,
        expected=expected,
        remedy=did_you_mean(asked, own) if isinstance(asked, str) else 'Correct "channels" in the detector\'s [reader]',
    )


def _rates(recording: Recording, sample_rate: float | None) -> list[float | None]:
    """The rate of each track. One that is declared is taken for all where the file knows no more than one rate."""
    rates = [t.rate if t.rate is not None and plausible(t.rate) else None for t in recording.tracks]
    if sample_rate is None:
        return rates
    several = len({r for r in rates if r is not None}) > 1
    return [r if several and r is not None else sample_rate for r in rates]


def _share(rate: float | None, highest: float | None, where: str) -> Fraction:
    if rate is None or highest is None or rate == highest:
        return Fraction(1)
    share = Fraction(rate / highest).limit_denominator(10**9)
    if share <= 0:
        raise FormatError(
            f"the rates {rate:.3g} Hz and {highest:.3g} Hz are too far apart", where=where,
            expected="a ratio of less than a thousand million", remedy="Name the channels that belong together",
        )  # fmt: skip
    return share


def _part(track: Track, picked: list[tuple[int, int]]) -> Track:
    """Some rows of a track, with the rows of the frame that they fill."""
    own, rows = [k for k, _ in picked], tuple(row for _, row in picked)
    if own == list(range(len(track.titles))):
        return replace(track, rows=rows)

    def blocks() -> Iterator[np.ndarray]:
        for block in track.blocks:
            yield block[own]

    return replace(
        track, titles=tuple(track.titles[k] for k in own), units=tuple(track.units[k] for k in own), rows=rows,
        numbers=(), blocks=blocks(),
    )  # fmt: skip
