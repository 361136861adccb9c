from pathlib import Path

import pytest

from insitu.models.manifest import Manifest
from insitu.training.shipped_table import section

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.parent.name for path in (ROOT / "pipelines" / "models").glob("*/manifest.json"))


@pytest.mark.parametrize("name", NAMES)
def test_the_figures_of_the_docs_are_those_of_the_manifest(name: str) -> None:
    """Else: python -m insitu.training.shipped_table pipelines/models, into docs/how-to/shipped-models.md."""
    manifest = Manifest.from_json((ROOT / "pipelines" / "models" / name / "manifest.json").read_bytes())
    told = (ROOT / "docs" / "how-to" / "shipped-models.md").read_text(encoding="utf-8")
    assert section(manifest).strip() in told


def test_every_figure_has_its_number_of_cases_and_kind_of_data() -> None:
    for path in (ROOT / "pipelines" / "models").glob("*/manifest.json"):
        text = section(Manifest.from_json(path.read_bytes()))
        for line in text.splitlines():
            if line.startswith("| ") and not line.startswith("| figure"):
                cells = [c.strip() for c in line.strip("|").split("|")]
                assert int(cells[2].replace(",", "")) > 0, line
                assert cells[3] in ("real", "simulated"), line
