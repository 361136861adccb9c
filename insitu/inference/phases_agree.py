"""A model that lets a network and the non-negative fit judge together which phases a pattern holds.

The network (`onnx` with the bundle `xrd_phases`) has seen patterns with texture, strain and noise, and ranks all that
it knows; the fit (`xrd.phases`) says how much of each is needed, and what nobody explains. What both say counts:

- `unknown`: the fit finds none, or leaves more than `unexplained` of the peaks' area; or the main phase of the fit is
  one that the network knows and does not see (below `contradicted`), or sees less than one that is no candidate of the
  fit; or one of the two has no numbers;
- `review`: the network is sure (`sure`) of a candidate that the fit does not find;
- `anomaly`: with `expected` phases, one is missing, or another has at least `smallest` of the intensity;
- else `normal`.

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
        unexplained: float = 0.2,
        contradicted: float = 0.02,
        sure: float = 0.9,
        smallest: float = 0.005,
        name: str = "phases",
        units: Mapping[str, str] | None = None,
    ) -> None:
        for key, value in (("unexplained", unexplained), ("contradicted", contradicted), ("sure", sure)):
            if not 0.0 < value <= 1.0:
                raise ConfigError(f"{key} = {value:g} is no part", where=key, expected="0 to 1")
        if not 0.0 <= smallest < 1.0:
            raise ConfigError(f"smallest = {smallest:g} is no part", where="smallest", expected="0 to 1")
        self.network, self.prefix, self.source, self.name = f"{network}_", f"{phases}_", source, name
        self.expected, self.unexplained, self.smallest = tuple(expected or ()), unexplained, smallest
        self.contradicted, self.sure = contradicted, sure
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
        label, reason = self._judged(shares, scores, strange, candidates, float(left.value))
        ranked = self._ranked(found, shares, scores)
        return Verdict(label=label, score=float(left.value), scores=ranked, reason=reason)

    def _judged(
        self,
        shares: dict[str, float],
        scores: dict[str, float],
        strange: dict[str, float],
        candidates: Mapping[str, Feature],
        left: float,
    ) -> tuple[str, str]:
        """Label and reason."""
        rest = f"{100.0 * left:.0f} % of the peaks is not explained"
        best = max(scores, key=lambda name: scores[name], default="")
        likely = f"; the network's likeliest is {best} ({scores[best]:.2f})" if best else ""
        if not shares:
            return "unknown", f"the fit finds none of the candidates{likely}"
        said = ", ".join(self._told(name, share, scores, len(shares)) for name, share in shares.items())
        main = next(iter(shares))
        if left > self.unexplained:
            return "unknown", f"{rest}: beside {said} there is something that is no candidate"
        if scores.get(main, 1.0) < self.contradicted:
            return "unknown", f"the fit finds {said}, but the network sees no {main}{likely}"
        other = max(strange, key=lambda name: strange[name], default="")
        if other and main in scores and strange[other] > max(scores[main], LEAST):
            return "unknown", (
                f"the fit finds {said}, but the network rather sees {other} ({strange[other]:.2f}), no candidate"
            )
        missed = [n for n, p in scores.items() if p >= self.sure and candidates[n].value == 0.0]
        if missed:
            sure = ", ".join(f"{n} ({scores[n]:.2f})" for n in missed)
            return "review", f"the network is sure of {sure}, which the fit does not find (found: {said})"
        if self.expected:
            gone = [n for n in self.expected if n not in shares]
            more = [n for n, s in shares.items() if n not in self.expected and s >= self.smallest]
            if gone or more:
                parts = [f"{' and '.join(gone)} not found"] if gone else []
                parts += [f"{' and '.join(more)} not expected"] if more else []
                return "anomaly", f"{'; '.join(parts)} (found: {said})"
        return "normal", f"{said}; {rest}"

    @staticmethod
    def _told(name: str, share: float, scores: Mapping[str, float], count: int) -> str:
        """A phase found, its share where there are several, and what the network says of it."""
        part = f"{100.0 * share:.2g} % of the intensity, " if count > 1 else ""
        return f"{name} ({part}network {scores[name]:.2f})" if name in scores else f"{name} ({part}by the fit alone)"

    def _ranked(
        self, found: Mapping[str, object], shares: Mapping[str, float], scores: Mapping[str, float]
    ) -> dict[str, float]:
        """The first candidates, by both."""
        both = {}
        for name in {*shares, *scores}:
            fit = found.get(f"{self.prefix}{name}_score")
            value = float(fit.value) if isinstance(fit, Feature) and fit.value is not None else 0.0
            both[name] = 0.5 * (value + scores.get(name, value)) + (1.0 if name in shares else 0.0)
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
