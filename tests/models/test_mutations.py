"""A sample of the mutated bundles of `make prove`: refused, without a crash, in little memory."""

from pathlib import Path

import pytest

from tests import mutations


def test_mutated_bundles_are_refused_without_a_crash_and_in_little_memory(tmp_path: Path) -> None:
    many = {"tampered": len(mutations.TAMPERED), "hostile": len(mutations.HOSTILE), "noisy": 4}
    counts = mutations.mutated(1, tmp_path, many)
    assert counts["bundles"] == sum(many.values())
    assert counts["refused"] >= many["tampered"] + many["hostile"]
    assert counts["latest_peak_MiB"] < 256


def test_a_bundle_that_is_taken_though_it_was_mutated_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def harmless(folder: Path, rng: mutations.Rng) -> None:
        """As planted."""

    monkeypatch.setattr(mutations, "TAMPERED", (harmless,))
    with pytest.raises(AssertionError, match="tampered, harmless: taken"):
        mutations.mutated(0, tmp_path, {"tampered": 1})
