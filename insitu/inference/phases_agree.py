"""A model that lets a network and the non-negative fit judge together which phases a pattern holds.

The network (`onnx` with the bundle `xrd_phases`) has seen patterns with texture, strain and noise, and ranks all that
it knows; the fit (`xrd.phases`) says how much of each is needed, and what nobody explains. What both say counts:

- `unknown`: the fit finds none, or leaves more than `unexplained` of the peaks' area; or a phase that it finds is one
  that the network knows and does not see (below `contradicted`, from a share of `SEEN` on), or sees less than one that
  the fit does not find; or the network's score of the main phase is less than the part that is not explained: both
  doubt; or one of the two has no numbers;
- `review`: the network is sure (`sure`) of a candidate that the fit does not find; or a lattice is further off from its
  file than `lattice`, relative: hot, cold, alloyed, or another substance of the same structure;
- `anomaly`: with `expected` phases, one is missing, or another has at least `smallest` of the intensity;
- else `normal`. Traces that the fit alone sees are said to be there "perhaps".

Scores rank the candidates that both know: the mean of the network's score and the fit's, for those that the fit found
plus 1, so that they come first. Candidates that only the fit knows are confirmed by it alone, and the reason says so.
"""

from collections.abc import Mapping

from insitu.errors import ConfigError
from insitu.types import Feature, Measurement, Verdict

TOLD = 10
"""Candidates in a verdict's scores, the first in rank."""
NO_LABELS = ("margin", "outside")
LEAST = 0.1
"""Scores of the network below this are no hint."""
SEEN = 0.02
"""Share of the intensity from which on the network is asked to see a phase: it has learnt none with less."""


class PhasesAgree:
    """Verdicts `normal`, `anomaly`, `review` or `unknown` about the phases of each pattern.

    `network`, `phases`: the names of the `onnx` and `xrd.phases` entries (the beginnings of their keys). Candidates and
    labels of the network are the same where their names are.

    >>> features = {"phase_unexplained": Feature(0.03), "phase_ceria_share": Feature(1.0)}
    >>> features["xrd_phases_ceria"] = Feature(0.9)
    >>> PhasesAgree()(Measurement(source="det", seq=0, n=0, time_ns=0, features=features)).reason
    'ceria (network 0.90); 3 % of the peaks is not explained'
    """

    def __init__(
        self,
        *,
        network: str = "xrd_phases",
        phases: str = "phase",
        source: str | None = None,
        expected: list[str] | None = None,
        unexplained: float = 0.15,
        contradicted: float = 0.02,
        sure: float = 0.9,
        smallest: float = 0.005,
        lattice: float = 0.005,
        name: str = "phases",
        units: Mapping[str, str] | None = None,
    ) -> None:
        parts = {"unexplained": unexplained, "contradicted": contradicted, "sure": sure, "lattice": lattice}
        for key, value in parts.items():
            if not 0.0 < value <= 1.0:
                raise ConfigError(f"{key} = {value:g} is no part", where=key, expected="0 to 1")
        if not 0.0 <= smallest < 1.0:
            raise ConfigError(f"smallest = {smallest:g} is no part", where="smallest", expected="0 to 1")
        self.network, self.prefix, self.source, self.name = f"{network}_", f"{phases}_", source, name
        self.expected, self.unexplained, self.smallest = tuple(expected or ()), unexplained, smallest
        self.contradicted, self.sure, self.lattice = contradicted, sure, lattice
        if units is not None:
            self._check(units)

    def __call__(self, measurement: Measurement) -> Verdict | None:
        found = measurement.features
        left = found.get(f"{self.prefix}unexplained")
        if left is None or not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        candidates = _named(found, self.prefix, "_share")
        seen = {
            name: f for name in candidates if (f := found.get(f"{self.network}{name}")) is not None
        }  # the candidates that both know
        if left.value is None:
            return Verdict(label="unknown", reason=f"phases are not known: {left.why}")
        blind = next((f.why for f in seen.values() if f.value is None), None)
        if blind is not None:
            return Verdict(label="unknown", reason=f"the network says nothing: {blind}")
        scores = {name: float(f.value) for name, f in seen.items() if f.value is not None}
        strange = {
            name: float(f.value)
            for name, f in _named(found, self.network, "").items()
            if name not in (*candidates, *NO_LABELS) and f.value is not None
        }  # what the network knows and the fit could not try
        shares = {name: float(f.value) for name, f in candidates.items() if f.value}
        shares = dict(sorted(shares.items(), key=lambda item: -item[1]))
        doubt = self._doubt(shares, scores, strange, candidates, float(left.value), found.get(f"{self.prefix}strain"))
        label, reason = doubt or self._as_expected(shares, scores, float(left.value))
        ranked = self._ranked(found, shares, scores)
        return Verdict(label=label, score=float(left.value), scores=ranked, reason=reason)

    def _doubt(
        self,
        shares: Mapping[str, float],
        scores: Mapping[str, float],
        strange: Mapping[str, float],
        candidates: Mapping[str, Feature],
        left: float,
        strain: Feature | None,
    ) -> tuple[str, str] | None:
        """Label and reason where the two do not agree, or both doubt; None where they agree."""
        rest = f"{100.0 * left:.0f} % of the peaks is not explained"
        best = max(scores, key=lambda name: scores[name], default="")
        likely = f"; the network's likeliest is {best} ({scores[best]:.2f})" if best else ""
        if not shares:
            return "unknown", f"the fit finds none of the candidates{likely}"
        said, main = self._said(shares, scores), next(iter(shares))
        if left > self.unexplained:
            return "unknown", f"{rest}: beside {said} there is something that is no candidate"
        blind = [n for n, s in shares.items() if (n == main or s >= SEEN) and scores.get(n, 1.0) < self.contradicted]
        if blind:
            return "unknown", f"the fit finds {said}, but the network sees no {' and no '.join(blind)}{likely}"
        missed = [n for n, p in scores.items() if p >= self.sure and candidates[n].value == 0.0]
        if missed:
            sure = ", ".join(f"{n} ({scores[n]:.2f})" for n in missed)
            return "review", f"the network is sure of {sure}, which the fit does not find (found: {said})"
        asked = {n: scores[n] for n, s in shares.items() if n in scores and (n == main or s >= SEEN)}
        others = {**strange, **{n: p for n, p in scores.items() if n not in shares}}
        other = max(others, key=lambda name: others[name], default="")
        if other and asked and others[other] > max(min(asked.values()), LEAST):
            told = ", no candidate" if other in strange else f": {why}" if (why := candidates[other].why) else ""
            return "unknown", f"the fit finds {said}, but the network rather sees {other} ({others[other]:.2f}){told}"
        if scores.get(main, 1.0) < left:
            return "unknown", f"{rest}, and the network is not sure either: {said}"
        if strain is not None and strain.value is not None and abs(strain.value) > self.lattice:
            way = "larger" if strain.value > 0.0 else "smaller"
            return "review", (
                f"{said}, but a lattice is {100.0 * abs(strain.value):.2g} % {way} than in its file: hot, cold, "
                "alloyed, or another substance of the same structure"
            )
        return None

    def _as_expected(self, shares: Mapping[str, float], scores: Mapping[str, float], left: float) -> tuple[str, str]:
        """Label and reason where the two agree."""
        said = self._said(shares, scores)
        if self.expected:
            gone = [n for n in self.expected if n not in shares]
            more = [n for n, s in shares.items() if n not in self.expected and s >= self.smallest]
            if gone or more:
                parts = [f"{' and '.join(gone)} not found"] if gone else []
                parts += [f"{' and '.join(more)} not expected"] if more else []
                return "anomaly", f"{'; '.join(parts)} (found: {said})"
        return "normal", f"{said}; {100.0 * left:.0f} % of the peaks is not explained"

    def _said(self, shares: Mapping[str, float], scores: Mapping[str, float]) -> str:
        """The phases found, their shares where there are several, and what the network says of them."""
        told = []
        for name, share in shares.items():
            part = f"{100.0 * share:.2g} % of the intensity, " if len(shares) > 1 else ""
            seen = f"network {scores[name]:.2f}" if name in scores else "by the fit alone"
            trace = self._trace(name, share, scores)
            told.append(f"perhaps {name} ({part}by the fit alone)" if trace else f"{name} ({part}{seen})")
        return ", ".join(told)

    def _trace(self, name: str, share: float, scores: Mapping[str, float]) -> bool:
        """Whether a phase is too little for the network, which does not see it: profiles that are not quite those of
        the fit leave as much."""
        return share < SEEN and scores.get(name, 1.0) < self.contradicted

    def _ranked(
        self, found: Mapping[str, object], shares: Mapping[str, float], scores: Mapping[str, float]
    ) -> dict[str, float]:
        """The first candidates, by both."""
        both = {}
        for name in {*shares, *scores}:
            fit = found.get(f"{self.prefix}{name}_score")
            value = float(fit.value) if isinstance(fit, Feature) and fit.value is not None else 0.0
            there = name in shares and not self._trace(name, shares[name], scores)
            both[name] = 0.5 * (value + scores.get(name, value)) + (1.0 if there else 0.0)
        return dict(sorted(both.items(), key=lambda item: (-item[1], item[0]))[:TOLD])

    def _check(self, units: Mapping[str, str]) -> None:
        """What the recipe says must fit what the extractors declare."""
        known = [k.removeprefix(self.prefix).removesuffix("_share") for k in units if k.endswith("_share")]
        if f"{self.prefix}unexplained" not in units:
            raise ConfigError(
                f'no [[features]] with use = "xrd.phases" is named {self.prefix[:-1]!r}',
                where="phases",
                expected="the name of such an entry (default: phase)",
            )
        if not any(f"{self.network}{name}" in units for name in known):
            raise ConfigError(
                f"no candidate is known to a network named {self.network[:-1]!r}",
                where="network",
                expected='the name of an entry with use = "onnx", whose labels are names of candidates',
            )
        for name in self.expected:
            if name not in known:
                raise ConfigError(
                    f"{name!r} is no candidate", where="expected", expected=f"one of {', '.join(sorted(known))}"
                )


def _named(found: Mapping[str, Feature], prefix: str, suffix: str) -> dict[str, Feature]:
    """Features `prefix NAME suffix` by name."""
    return {
        key.removeprefix(prefix).removesuffix(suffix): feature
        for key, feature in found.items()
        if key.startswith(prefix) and key.endswith(suffix)
    }
