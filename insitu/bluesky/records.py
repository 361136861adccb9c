"""Records on their way from the process of the run to who watches them, and what of them is shown as signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from insitu.store.canonical import feature_from, record_body
from insitu.types import Action, ArrayFeature, Axis, Decision, Measurement, Record, Verdict

NAN = float("nan")


def packed(record: Record) -> dict[str, Any]:
    """A record as plain values and arrays: the body that is stored, and what that leaves out."""
    m = record.measurement
    body = record_body(replace(record, measurement=replace(m, arrays={})) if m.arrays else record)
    arrays = {
        key: {
            "values": a.values,
            "dims": list(a.dims),
            "unit": a.unit,
            "axes": {name: [axis.values, axis.unit] for name, axis in a.axes.items()},
        }
        for key, a in m.arrays.items()
    }
    return {"body": body, "run": m.source_run_uid, "clock_sigma_ns": m.clock_sigma_ns, "arrays": arrays}


def unpacked(found: Mapping[str, Any]) -> Record:
    """The record that `packed` took apart."""
    body = found["body"]
    arrays = {
        key: ArrayFeature(
            values=a["values"],
            dims=tuple(a["dims"]),
            unit=a["unit"],
            axes={name: Axis(values, unit) for name, (values, unit) in a["axes"].items()},
        )
        for key, a in found["arrays"].items()
    }
    measurement = Measurement(
        source=body["source"],
        seq=body["seq"],
        n=body["n"],
        time_ns=body["time_ns"],
        clock_sigma_ns=found["clock_sigma_ns"],
        source_seq=body["source_seq"],
        role=body["role"],
        complete=body.get("complete", True),
        provisional=body.get("provisional", False),
        points=body.get("k"),
        features={key: feature_from(f) for key, f in body["features"].items()},
        arrays=arrays,
        context={key: feature_from(f) for key, f in body.get("context", {}).items()},
        labels=body.get("labels", {}),
        references=body.get("references", {}),
        faults=tuple(body.get("faults", ())),
        source_run_uid=found["run"],
    )
    return Record(
        measurement=measurement,
        verdicts={name: Verdict(**v) for name, v in body["verdicts"].items()},
        decision=_decision(body["decision"]),
        spoke=tuple(_decision(d) for d in body.get("spoke", ())),
    )


def _decision(body: Mapping[str, Any]) -> Decision:
    params = {key: feature_from(f) for key, f in body.get("params", {}).items()}
    return Decision(**{**body, "action": Action[body["action"]], "params": params})


def shown(record: Record) -> dict[str, Any]:
    """What signals say of a record, by their names; the decision after its reason."""
    m, decision = record.measurement, record.decision
    found: dict[str, Any] = {}
    for key, feature in m.features.items():
        found[key] = NAN if feature.value is None else float(feature.value)
        found[f"{key}_sigma"] = NAN if feature.sigma is None else float(feature.sigma)
    for model, verdict in record.verdicts.items():
        found[f"{model}_label"] = verdict.label
        found[f"{model}_score"] = NAN if verdict.score is None else float(verdict.score)
    found |= {"reason": decision.reason, "rule": decision.rule, "decision": decision.action.name}
    if not m.provisional:
        found["frame"] = m.seq
    return found
