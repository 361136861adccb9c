"""Columns of the records: as many as there are, whatever fits into memory."""

from pathlib import Path

import numpy as np
import pytest

from insitu.store import seal


def record(k: int) -> dict:
    features = {"a": {"value": k / 7, "unit": "K", "sigma": 0.1}} | (
        {"late": {"value": k, "unit": ""}} if k > 30 else {}
    )
    return {"n": 2 * k, "seq": k, "time_ns": 10**18 + k, "features": features, "decision": {"action": "CONTINUE"}}


@pytest.mark.parametrize("at_once", [5, 16_384], ids=["spooled", "in memory"])
def test_columns_are_whole_whatever_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(seal, "SPOOL", at_once)
    table = seal._Table(tmp_path)
    for k in range(47):
        table.add(record(k))
    found = {name: values for name, values, _, _ in table.columns()}
    table.spool.close()
    assert found["n"].tolist() == list(range(0, 94, 2))
    assert found["time"].dtype == np.dtype("i8")
    assert found["a"].tolist() == [k / 7 for k in range(47)]
    assert np.isnan(found["late"][:31]).all()
    assert found["late"][31:].tolist() == list(range(31, 47))
    assert not list(tmp_path.iterdir())
