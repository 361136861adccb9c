"""What the events of one source hold: keys that are fixed before its first frame, and how a record fills them.

A value that is not there is NaN (text: empty) and its `<key>_status` says "absent"; where the policy lets reasons
leave, also why. The keys follow from policy, declared outputs and model names alone, so that `insitu check` shows
exactly those that will leave, and a run with no peak has the keys of a run with seven. Values are plain Python types,
so that an event is packed as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from insitu.sinks.policy import ArrayRule, Policy, matching
from insitu.store.canonical import text
from insitu.types import ArrayFeature, Output

OWN = ("frame_seq", "withheld", "action", "rule", "reason", "review", "raw_address", "time", "seq_num")
"""Keys that are ours (or the reader's of documents): no feature and no context that leaves may be named so."""

Hide = Callable[[str, str], str]
"""(name, text) to what may leave of it."""
Tell = Callable[[Any, Mapping[str, Any]], str]
"""(sentence, body of its record) to what may leave of it."""
NAN: Final = float("nan")
NO_VERDICT: Final = {"label": "", "reason": ""}


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
    """The keys of one source's events. `features`: units of those that are numbers; `context`: units by name, "" where
    only the first frame tells; `labels`: frame labels by name."""

    source: str
    features: Mapping[str, str]
    context: Mapping[str, str]
    verdicts: tuple[str, ...]
    labels: tuple[str, ...]
    reasons: bool
    _context: tuple[tuple[str, str, str], ...] = field(init=False, repr=False)  # key, unit, _status
    _features: tuple[tuple[str, str, str, str], ...] = field(init=False, repr=False)  # key, unit, _status, _sigma
    _verdicts: tuple[tuple[str, str, str, str], ...] = field(init=False, repr=False)  # name, _label, _score, _reason

    def __post_init__(self) -> None:  # events are many: their keys are made once
        made = {
            "_context": tuple((k, unit, f"{k}_status") for k, unit in self.context.items()),
            "_features": tuple((k, unit, f"{k}_status", f"{k}_sigma") for k, unit in self.features.items()),
            "_verdicts": tuple((n, f"{n}_label", f"{n}_score", f"{n}_reason") for n in self.verdicts),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

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

    def data(self, body: Mapping[str, Any], address: str, withheld: int, hide: Hide, tell: Tell) -> dict[str, Any]:
        """The values of one record under all keys, in plain types."""
        verdicts, context, features = body["verdicts"], body.get("context", {}), body["features"]
        data = self._ours(body, address, withheld)
        if self.reasons:
            data["reason"] = tell(body["decision"]["reason"], body)
            data["review"], data["raw_address"] = (
                data.pop("review"),
                data.pop("raw_address"),
            )  # in the order of the keys
        for key, unit, status in self._context:
            data[key], data[status] = self._number(context.get(key), unit, body, tell)
        for key, unit, status, sigma in self._features:
            found = features.get(key)
            data[key], said = self._number(found, unit, body, tell)
            data[sigma] = NAN if found is None or said != "ok" else found.get("sigma", NAN)
            data[status] = said
        for name, label, score, reason in self._verdicts:
            found = verdicts.get(name, NO_VERDICT)
            data[label], data[score] = text_of(found["label"]), number_of(found.get("score"))
            if self.reasons:
                data[reason] = tell(found["reason"], body)
        labels = body.get("labels", {})
        for name in self.labels:
            data[f"label_{name}"] = hide(name, labels[name]) if name in labels else ""
        return data

    def bare(self, body: Mapping[str, Any], address: str, withheld: int) -> dict[str, Any]:
        """The decision alone: no value, each status "withheld", no text."""
        empty = {"number": NAN, "string": ""}
        data = {key: empty.get(described["dtype"], "") for key, described in self.data_keys().items()}
        data |= {f"{name}_status": "withheld" for name in (*self.context, *self.features)}
        return data | self._ours(body, address, withheld)

    @staticmethod
    def _ours(body: Mapping[str, Any], address: str, withheld: int) -> dict[str, Any]:
        decision = body["decision"]
        review = any(v["label"] == "review" for v in body["verdicts"].values())
        return {
            "frame_seq": body["seq"],
            "withheld": withheld,
            "action": decision["action"],
            "rule": decision["rule"],
            "review": review,
            "raw_address": address if review else "",
        }

    def _number(
        self, found: Mapping[str, Any] | None, unit: str, body: Mapping[str, Any], tell: Tell
    ) -> tuple[float, str]:
        """(value, status)."""
        if found is not None and found["value"] is not None and found["unit"] == unit:
            return float(found["value"]), "ok"
        if not self.reasons or found is None:
            return NAN, "absent"
        why = tell(f"it is in {found['unit']}" if found["value"] is not None else found.get("why", ""), body)
        return NAN, f"absent: {why}" if why else "absent"


def text_of(value: Any) -> str:
    """A text of a role, valid."""
    return value if type(value) is str else text(value)


def number_of(value: Any) -> float:
    """A number of a role; NaN where it is none."""
    try:
        return NAN if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return NAN


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
