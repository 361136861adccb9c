"""How two records of one frame differ: the stored one and the one that was derived again."""

import math
from collections.abc import Mapping
from typing import Any

from insitu.types import Output


def difference(stored: Any, derived: Any, outputs: Mapping[str, Output]) -> str:
    """The first key at which two records differ, with both values; "" where none does. Feature values are compared
    within the tolerance of `outputs`."""
    features_a, features_b = stored["features"], derived["features"]
    for key in sorted(features_a.keys() | features_b.keys()):
        a, b = features_a.get(key), features_b.get(key)
        if a != b and not (key in outputs and a and b and _close(a, b, outputs[key])):
            return f"features.{key}: stored {a}, derived {b}"
    loose = bool(outputs)
    return _first(_rest(stored, loose=loose), _rest(derived, loose=loose), "")


def _rest(record: Mapping[str, Any], *, loose: bool) -> dict[str, Any]:
    """All but the features; within tolerance only labels and actions count, not scores, texts or array digests."""
    rest = {k: v for k, v in record.items() if k != "features"}
    if loose:
        rest.pop("arrays", None)
        rest["verdicts"] = {name: v["label"] for name, v in record["verdicts"].items()}
        rest["decision"] = {k: record["decision"][k] for k in ("action", "rule")}
        rest["spoke"] = [{k: d[k] for k in ("action", "rule")} for d in record.get("spoke", [])]
    return rest


def _close(a: Mapping[str, Any], b: Mapping[str, Any], output: Output) -> bool:
    if a["unit"] != b["unit"] or (a["value"] is None) != (b["value"] is None):
        return False
    if a["value"] is None:
        return True
    if ("sigma" in a) != ("sigma" in b):
        return False
    same = math.isclose(a["value"], b["value"], rel_tol=output.rtol, abs_tol=output.atol)
    # an uncertainty is itself an estimate: a thousandth of it is far inside its own meaning
    return same and math.isclose(
        a.get("sigma", 0.0), b.get("sigma", 0.0), rel_tol=max(output.rtol, 1e-3), abs_tol=output.atol
    )


def _first(a: Any, b: Any, at: str) -> str:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted(a.keys() | b.keys()):
            if found := _first(a.get(key), b.get(key), f"{at}.{key}" if at else key):
                return found
        return ""
    return "" if a == b else f"{at}: stored {a!r}, derived {b!r}"
