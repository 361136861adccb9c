"""A model that says in words which phases a pattern holds, from the features of `xrd.phases`.

`unknown`: no candidate is found, or more of the peaks' area than `unexplained` belongs to none that is found. With
`expected` phases, `anomaly`: one of them is missing, or another one has at least `smallest` of the intensity. Else
`normal`. Score: the part of the peaks' area that is not explained; scores: the share of each phase found.
"""

from collections.abc import Mapping

from insitu.errors import ConfigError
from insitu.types import Feature, Measurement, Verdict


class Phases:
    """Verdicts `normal`, `anomaly` or `unknown` about the phases of each pattern.

    `phases`: the name of the `xrd.phases` entry (the beginning of its keys). `expected`: names of candidates, as in
    the keys. Frames without these features (of another source) are passed over.

    >>> found = {"phase_unexplained": Feature(0.03), "phase_ceo2_share": Feature(1.0), "phase_si_share": Feature(0.0)}
    >>> Phases()(Measurement(source="det", seq=0, n=0, time_ns=0, features=found)).reason
    'ceo2; 3 % of the peaks is not explained'
    """

    def __init__(
        self,
        *,
        phases: str = "phase",
        source: str | None = None,
        expected: list[str] | None = None,
        unexplained: float = 0.2,
        smallest: float = 0.005,
        name: str = "phases",
        units: Mapping[str, str] | None = None,
    ) -> None:
        if not 0.0 < unexplained <= 1.0:
            raise ConfigError(f"unexplained = {unexplained:g} is no part", where="unexplained", expected="0 to 1")
        if not 0.0 <= smallest < 1.0:
            raise ConfigError(f"smallest = {smallest:g} is no part", where="smallest", expected="0 to 1")
        self.prefix, self.source, self.name = f"{phases}_", source, name
        self.expected, self.unexplained, self.smallest = tuple(expected or ()), unexplained, smallest
        if units is not None:
            self._check(units)

    def __call__(self, measurement: Measurement) -> Verdict | None:
        left = measurement.features.get(f"{self.prefix}unexplained")
        if left is None or not measurement.complete or (self.source is not None and measurement.source != self.source):
            return None
        if left.value is None:
            return Verdict(label="unknown", reason=f"phases are not known: {left.why}")
        shares = self._shares(measurement.features)
        rest = f"{100.0 * left.value:.0f} % of the peaks is not explained"
        if not shares:
            return Verdict(
                label="unknown", score=float(left.value), reason=f"none of the candidate phases is found; {rest}"
            )
        found = _listed(shares)
        label, reason = "normal", f"{found}; {rest}"
        if left.value > self.unexplained:
            label, reason = "unknown", f"{rest}: beside {found} there is something that is no candidate"
        elif self.expected:
            missing = [name for name in self.expected if name not in shares]
            other = {n: s for n, s in shares.items() if n not in self.expected and s >= self.smallest}
            if missing or other:
                label = "anomaly"
                said = [f"{' and '.join(missing)} not found"] if missing else []
                said += [f"{_listed(other, all_of=False)} not expected"] if other else []
                reason = f"{'; '.join(said)} (found: {found})"
        return Verdict(label=label, score=float(left.value), scores=shares, reason=reason)

    def _shares(self, features: Mapping[str, Feature]) -> dict[str, float]:
        """Share of each phase found, the largest first."""
        shares = {
            key.removeprefix(self.prefix).removesuffix("_share"): float(feature.value)
            for key, feature in features.items()
            if key.startswith(self.prefix) and key.endswith("_share") and feature.value
        }
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def _check(self, units: Mapping[str, str]) -> None:
        """What the recipe says must fit what `xrd.phases` declares."""
        if f"{self.prefix}unexplained" not in units:
            raise ConfigError(
                f'no [[features]] with use = "xrd.phases" is named {self.prefix[:-1]!r}',
                where="phases",
                expected="the name of such an entry (default: phase)",
            )
        known = [k.removeprefix(self.prefix).removesuffix("_share") for k in units if k.endswith("_share")]
        for name in self.expected:
            if name not in known:
                raise ConfigError(
                    f"{name!r} is no candidate", where="expected", expected=f"one of {', '.join(sorted(known))}"
                )


def _listed(shares: Mapping[str, float], all_of: bool = True) -> str:
    """Names, with their shares where there are several."""
    if len(shares) == 1 and all_of:
        return next(iter(shares))
    return ", ".join(f"{name} ({_percent(share)} of the intensity)" for name, share in shares.items())


def _percent(share: float) -> str:
    """Two digits of a small part, whole per cents of a large one."""
    return f"{100.0 * share:.0f} %" if share >= 0.1 else f"{100.0 * share:.2g} %"
