"""What the repository promises about itself: layout, locks, packaging, layers, links."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import insitu

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("insitu", "pipelines", "detectors", "tests", "examples", "benchmarks", "docs")
FILES = (
    ".ci/run",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
)
LOCKS = ("requirements.lock", "requirements-dev.lock")
REQUIREMENT = re.compile(r"([a-z0-9][a-z0-9.-]*)==(\S+)( ; [^\\]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")
PLACE = re.compile(r"insitu(\.[a-z0-9_]+)+:[A-Za-z_]\w*")


def ours() -> list[Path]:
    """Every file that belongs to the repository (environments, caches and results lie elsewhere)."""
    found = [ROOT / name for name in FILES]
    for folder in FOLDERS:
        found += [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return found


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, str]:
    """Requirement to version; fails where a line of the lock is anything but a pinned name with hashes."""
    text = (ROOT / name).read_text()
    assert REQUIREMENT.sub("", text) == "", f"{name} holds more than pinned names with hashes"
    return {match[1]: match[2] for match in REQUIREMENT.finditer(text)}


@pytest.mark.parametrize("name", [*FOLDERS, *FILES])
def test_the_top_level_layout_is_there(name: str) -> None:
    path = ROOT / name
    assert path.is_dir() if name in FOLDERS else path.is_file()
    if name in FOLDERS:
        assert any(p.is_file() for p in path.iterdir()), f"{name}/ is empty"


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_only_pinned_names_with_hashes(name: str) -> None:
    assert len(locked(name)) > 50


def test_the_development_lock_holds_the_run_time_lock() -> None:
    assert locked(LOCKS[0]).items() <= locked(LOCKS[1]).items()


def test_every_declared_dependency_is_locked_within_its_range() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    table = project()
    declared = table["project"]["dependencies"] + table["dependency-groups"]["build"]
    extras = table["project"]["optional-dependencies"]
    # `train` is for whoever trains a network, not for any machine that measures: no lock of ours holds it
    plot, everything = extras["plot"], [text for name, texts in extras.items() if name != "train" for text in texts]
    for name, texts in ((LOCKS[0], declared + plot), (LOCKS[1], declared + everything)):
        versions = locked(name)
        for requirement in map(Requirement, texts):
            if requirement.name != "insitu":
                assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), (
                    f"{requirement} in {name}"
                )


def imported() -> dict[str, str]:
    """Every package from elsewhere that insitu imports, and one file that does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "insitu").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found |= {name.partition(".")[0]: str(path.relative_to(ROOT)) for name in names}
    del found["pytest"]  # only testing.py, which is for tests
    return {name: file for name, file in found.items() if name not in {*sys.stdlib_module_names, "insitu"}}


def test_whatever_insitu_imports_is_declared() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    table = project()["project"]
    extras = [text for name, texts in table["optional-dependencies"].items() if name != "dev" for text in texts]
    texts = table["dependencies"] + extras
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    distributions = packages_distributions()
    missing = {
        name: file
        for name, file in imported().items()
        if not declared & {canonicalize_name(d) for d in distributions.get(name, ())}
    }
    assert missing == {}


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    foreign = re.compile(rf"(?<![\w.])/(?:work|root)/|{re.escape(str(ROOT))}|{re.escape(str(Path.home()))}/")
    hits = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in ours()
        if path != Path(__file__).resolve()
        if (match := foreign.search(path.read_text(errors="replace")))
    ]
    assert hits == []


def test_every_local_link_in_the_documentation_exists() -> None:
    broken = []
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target.partition("#")[0]).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert broken == []


def test_every_page_of_the_documentation_is_reached_from_its_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert {p for p in pages if f"({p})" not in index and not p.startswith("explanations/decisions/")} == set()


def registered() -> list[str]:
    """Every `module:name` in a dict literal of a package of insitu."""
    places = []
    for module in pkgutil.iter_modules(insitu.__path__, "insitu."):
        if module.ispkg:
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, dict):
                    places += [v for v in value.values() if isinstance(v, str) and PLACE.fullmatch(v)]
    return sorted(set(places))


def test_the_registries_are_found() -> None:
    assert len(registered()) >= 15


@pytest.mark.parametrize("place", registered())
def test_every_short_name_resolves(place: str) -> None:
    module, name = place.split(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_import_contract_knows_every_room() -> None:
    contract = project()["tool"]["importlinter"]["contracts"][0]
    assert contract["type"] == "layers"
    assert contract["exhaustive"] is True
    named = re.findall(r"[a-z]+", " ".join(contract["layers"]))
    rooms = {module.name for module in pkgutil.iter_modules(insitu.__path__)}
    assert rooms <= set(named)
    optional = set(re.findall(r"\(([a-z]+)\)", " ".join(contract["layers"])))
    assert not rooms & optional, "a room that is there need not be optional any more"


def test_version_licence_and_python_agree_everywhere() -> None:
    table = project()["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {insitu.__version__}\n" in citation
    assert f"\nlicense: {table['license']}\n" in citation
    assert table["license"] == "BSD-3-Clause"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")
    assert f"## {insitu.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert table["requires-python"] == ">=3.11"
    assert "Programming Language :: Python :: 3.11" in table["classifiers"]


def test_ci_and_the_makefile_call_what_is_there() -> None:
    ci = ROOT / ".ci" / "run"
    assert ci.stat().st_mode & 0o111
    assert "make test" in ci.read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test", "check", "bench", "prove", "lock"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for script in ("benchmarks/__main__.py", "tests/prove.py"):
        assert (ROOT / script).is_file()


def test_the_wheel_carries_recipes_detectors_and_units(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("pipelines", "detectors"):
        shipped = {f"insitu/_shipped/{folder}/{path.name}" for path in (ROOT / folder).glob("*.toml")}
        assert shipped
        assert shipped <= names
    models = ROOT / "pipelines" / "models"
    bundles = {f"insitu/_shipped/pipelines/models/{p.relative_to(models)}" for p in models.rglob("*") if p.is_file()}
    assert "insitu/_shipped/pipelines/models/insitu.pub" in bundles
    assert bundles <= names
    assert "insitu/units.txt" in names
    assert not [name for name in names if not name.startswith(("insitu/", f"insitu-{insitu.__version__}.dist-info/"))]
