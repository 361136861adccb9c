"""What the events of one source hold: keys that are fixed before its first frame, and how a record fills them.

A value that is not there is NaN (text: empty) and its `<key>_status` says "absent"; where the policy lets reasons
leave, also why. The keys follow from policy, declared outputs and model names alone, so that `insitu check` shows
exactly those that will leave, and a run with no peak has the keys of a run with seven.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from insitu.sinks.policy import ArrayRule, Policy, matching
from insitu.types import ArrayFeature, Output

OWN = ("frame_seq", "withheld", "action", "rule", "reason", "review", "raw_address", "time", "seq_num")
"""Keys that are ours (or the reader's of documents): no feature and no context that leaves may be named so."""

Hide = Callable[[str, str], str]
"""(name, text) to what may leave of it."""


def data_key(
    source: str, dtype: str, unit: str | None = None, shape: Sequence[int] = (), *, numpy: str = ""
) -> dict[str, Any]:
    """One entry of a descriptor's `data_keys`."""
    key: dict[str, Any] = {"source": f"insitu:{source}", "dtype": dtype, "shape": list(shape)}
    if unit is not None:
        key["units"] = unit
    if numpy:
        key["dtype_numpy"] = numpy
    return key


def number_key(source: str, unit: str | None = None) -> dict[str, Any]:
    """A number: always a double, so that NaN can say that there is none."""
    return data_key(source, "number", unit, numpy="<f8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The keys of one source's events. `units`: of scalar features, by key; `context`: units by name, "" where only the
    first frame tells; `labels`: frame labels by name."""

    source: str
    features: Mapping[str, str]
    context: Mapping[str, str]
    verdicts: tuple[str, ...]
    labels: tuple[str, ...]
    reasons: bool

    def data_keys(self) -> dict[str, dict[str, Any]]:
        """The descriptor's `data_keys`, in the order of the events' data."""
        keys = {name: data_key(self.source, "integer", numpy="<i8") for name in ("frame_seq", "withheld")}
        keys |= {name: data_key(self.source, "string") for name in ("action", "rule")}
        if self.reasons:
            keys["reason"] = data_key(self.source, "string")
        keys["review"] = data_key(self.source, "boolean", numpy="|b1")
        keys["raw_address"] = data_key(self.source, "string")
        for name, unit in self.context.items():
            keys[name] = number_key(self.source, unit)
            keys[f"{name}_status"] = data_key(self.source, "string")
        for name, unit in self.features.items():
            keys[name] = number_key(self.source, unit)
            keys[f"{name}_sigma"] = number_key(self.source, unit)
            keys[f"{name}_status"] = data_key(self.source, "string")
        for name in self.verdicts:
            keys[f"{name}_label"] = data_key(self.source, "string")
            keys[f"{name}_score"] = number_key(self.source)
            if self.reasons:
                keys[f"{name}_reason"] = data_key(self.source, "string")
        return keys | {f"label_{name}": data_key(self.source, "string") for name in self.labels}

    def data(self, body: Mapping[str, Any], address: str, withheld: int, hide: Hide) -> dict[str, Any]:
        """The values of one record under all keys."""
        decision, verdicts = body["decision"], body["verdicts"]
        review = any(v["label"] == "review" for v in verdicts.values())
        data: dict[str, Any] = {"frame_seq": body["seq"], "withheld": withheld}
        data |= {"action": decision["action"], "rule": decision["rule"]}
        if self.reasons:
            data["reason"] = decision["reason"]
        data |= {"review": review, "raw_address": address if review else ""}
        for name, unit in self.context.items():
            data |= self._number(name, body.get("context", {}).get(name), unit)
        for name, unit in self.features.items():
            found = body["features"].get(name)
            data |= self._number(name, found, unit)
            sigma = None if found is None else found.get("sigma")
            data[f"{name}_sigma"] = float("nan") if sigma is None else float(sigma)
        for name in self.verdicts:
            data |= self._verdict(name, verdicts.get(name))
        labels = body.get("labels", {})
        return data | {f"label_{name}": hide(name, labels[name]) if name in labels else "" for name in self.labels}

    def _number(self, name: str, found: Mapping[str, Any] | None, unit: str) -> dict[str, Any]:
        status, value = "ok", float("nan")
        if found is None or found["value"] is None:
            status = self._absent("" if found is None else found.get("why", ""))
        elif found["unit"] != unit:
            status = self._absent(f"it is in {found['unit']}")
        else:
            value = float(found["value"])
        return {name: value, f"{name}_status": status}

    def _absent(self, why: str) -> str:
        return f"absent: {why}" if self.reasons and why else "absent"

    def _verdict(self, name: str, verdict: Mapping[str, Any] | None) -> dict[str, Any]:
        found = verdict or {"label": "", "reason": ""}
        data = {f"{name}_label": found["label"], f"{name}_score": float(found.get("score", float("nan")))}
        if self.reasons:
            data[f"{name}_reason"] = found["reason"]
        return data


def columns(
    policy: Policy,
    source: str,
    outputs: Mapping[str, Output],
    models: Sequence[str],
    labels: Sequence[str],
    context: Mapping[str, str],
) -> Columns:
    """The keys of a source. `context`: units by name, as far as known."""
    numbers = {key: o.unit for key, o in outputs.items() if not o.array}
    return Columns(
        source=source,
        features={key: numbers[key] for key in matching(policy.features, numbers)},
        context={name: context.get(name, "") for name in policy.context},
        verdicts=tuple(matching(policy.verdicts, models)),
        labels=tuple(labels),
        reasons=policy.reasons,
    )


def array_rules(policy: Policy, outputs: Mapping[str, Output]) -> list[ArrayRule]:
    """The rules of those array features that a source gives."""
    return [r for r in policy.arrays if r.feature in outputs and outputs[r.feature].array]


def array_keys(source: str, rule: ArrayRule, unit: str) -> dict[str, dict[str, Any]]:
    """The `data_keys` of an array's own stream."""
    numpy = np.dtype(rule.dtype).newbyteorder("<").str
    return {
        "frame_seq": data_key(source, "integer", numpy="<i8"),
        rule.feature: data_key(source, "array", unit, rule.shape, numpy=numpy),
    }


def fits(array: ArrayFeature, rule: ArrayRule) -> bool:
    """Whether an array has the shape and the dtype that its rule names."""
    values = np.asarray(array.values)
    return values.shape == rule.shape and values.dtype == np.dtype(rule.dtype)
