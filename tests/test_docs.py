"""What the documentation tells people to type: commands, recipes and code are tried, not trusted."""

import importlib
import inspect
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import typer

from insitu.cli import application
from insitu.config import load, tables
from insitu.config.roles import INJECTED, REGISTRIES, short_names
from insitu.models.bundle import read_bundle
from insitu.readers.join import Join
from insitu.run import run
from insitu.store.runs import StoredRun
from tests import bundles

matplotlib.use("Agg")
ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in one of the languages."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def typed(page: Path) -> list[str]:
    """The lines of `console` blocks that follow a prompt, and all lines of `sh` blocks."""
    lines = [line[2:] for block in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]
    return lines + [line for block in blocks(page, "sh") for line in block.splitlines() if line.strip()]


def commands() -> list[str]:
    """Every call of insitu in the documentation, once."""
    return sorted({line for page in PAGES for line in typed(page) if re.match(r"(\S*/)?insitu\b", line)})


@pytest.fixture(scope="module")
def tree() -> Any:
    return typer.main.get_command(application())


def found(words: list[str], tree: Any) -> Any:
    """The command that `words` begins with, which are then its arguments: `model verify FOLDER` is one of a group."""
    while hasattr(tree, "commands") and words and not words[0].startswith("-"):
        tree = tree.commands[words.pop(0)]
    return tree


def every(tree: Any, before: str = "insitu") -> set[str]:
    if not hasattr(tree, "commands"):
        return {before}
    return {name for word, command in tree.commands.items() for name in every(command, f"{before} {word}")}


def test_the_documentation_shows_every_command(tree: Any) -> None:
    shown = commands()
    assert not [name for name in every(tree) if not any(f"{line} ".startswith(f"{name} ") for line in shown)]


@pytest.mark.parametrize("line", commands())
def test_a_documented_command_exists_with_its_options(line: str, tree: Any) -> None:
    words = shlex.split(re.sub(r"\s[|>].*", "", line), comments=True)[1:]
    command = found(words, tree)
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options | {"--help"}
    if command is not tree:
        context = command.make_context(command.name, list(words), resilient_parsing=True)
        assert not context.args, f"insitu {command.name} takes no {context.args}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_and_settings_in_a_page_can_be_read(page: Path) -> None:
    assert page.read_text().count("```") % 2 == 0
    for text in blocks(page, "toml"):
        tomllib.loads(text)
    for text in blocks(page, "python"):
        compile(text, str(page), "exec")


def documented(page: str, heading: str) -> set[str]:
    """The keys in the table below a heading of a reference page."""
    text = (ROOT / "docs" / "reference" / page).read_text()
    section = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"{page} has no section {heading}"
    cells = re.findall(r"^\| ([^|]+) \|", section[2], re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


def keywords(factory: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(factory).parameters) - set(INJECTED)


@pytest.mark.parametrize(
    "table", ["recipe", "budget", "acquire", "policy", "array", "kafka", "reference", "detector", "geometry", "limit"]
)
def test_the_reference_lists_the_keys_of_every_table(table: str) -> None:
    page = "detector.md" if table in ("detector", "geometry", "limit") else "recipe.md"
    heading = "references" if table == "reference" else table
    assert documented(page, heading) == set(inspect.signature(getattr(tables, table)).parameters)


def test_the_reference_lists_the_keys_of_a_log() -> None:
    assert documented("detector.md", "join") == set(inspect.signature(Join).parameters) - {"detector"}


@pytest.mark.parametrize(("kind", "short"), [(kind, short) for kind in REGISTRIES for short in short_names(kind)])
def test_the_reference_lists_every_role_with_its_keys(kind: str, short: str) -> None:
    module, _, name = short_names(kind)[short].partition(":")
    assert documented("roles.md", short) == keywords(getattr(importlib.import_module(module), name))


def test_make_targets_in_the_documentation_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for page in PAGES for line in typed(page) for word in re.findall(r"\bmake ([a-z]+)", line)}
    assert {"demo", "test"} <= named <= targets


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed run of the shipped recipe on three small patterns whose headers tell time and temperature."""
    folder = tmp_path_factory.mktemp("docs")
    patterns = folder / "patterns"
    patterns.mkdir()
    two_theta = np.arange(10.0, 14.0, 0.01)
    for i in range(3):
        counts = np.round(50 + 900 * np.exp(-(((two_theta - 12) / 0.05) ** 2)))
        rows = "".join(f"{x:.3f} {y:.0f}\n" for x, y in zip(two_theta, counts, strict=True))
        (patterns / f"p_{i}.xy").write_text(f"# Temp (K) = {300 + i}\n{rows}")
    return Path(run(load("xrd_1d", inputs=str(patterns)), data_root=folder).path)


def test_the_code_that_reads_a_run_runs(stored: Path) -> None:
    names: dict[str, Any] = {"run": stored}
    for text in blocks(ROOT / "docs" / "how-to" / "read-a-run.md", "python"):
        exec(text, names)  # noqa: S102 - our own pages
    assert names["raw"]["frames"].dims == ("frame", "two_theta")
    assert names["raw"]["frames"].attrs["units"] == "counts"
    assert names["records"]["temperature"].values.tolist() == [300.0, 301.0, 302.0]
    assert names["state"].tolist() == [0, 0, 0]
    assert np.array_equal(names["frame"].data, names["first"])


def test_the_code_that_writes_a_bundle_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = bundles.pair(tmp_path)
    private.rename(tmp_path / "beamline.key")
    (tmp_path / "phases.onnx").write_bytes(bundles.convolutions(points=512))
    np.save(tmp_path / "prepared.npy", np.random.default_rng(0).random((40, 1, 512), np.float32))
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(ROOT / "docs" / "how-to" / "models.md", "python")
    exec(code, {})  # noqa: S102 - our own pages
    found = read_bundle(tmp_path / "our_phases", keys=[public])
    assert found.manifest.labels == ("ceria", "tenorite", "spinel")
    assert found.calibration() is not None


def test_the_code_of_the_readme_runs(stored: Path) -> None:
    reading, feature = blocks(ROOT / "README.md", "python")
    names: dict[str, Any] = {"run": stored}
    exec(reading, names)  # noqa: S102 - our own pages
    assert len(names["records"]["total"]) == len(names["raw"]["frames"]) == 3
    exec(feature, names)  # noqa: S102
    with StoredRun(stored) as opened:
        mean = names["Mean"]()(opened.frame("det", 0), {}, ())["all_mean"]
    assert mean.value == pytest.approx(float(names["raw"]["frames"][0].mean()))


def test_the_feature_of_the_how_to_works_in_its_recipe(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "how-to" / "add-a-feature.md"
    (code,), (recipe,) = blocks(page, "python"), blocks(page, "toml")
    (tmp_path / "mylab.py").write_text(code)
    (tmp_path / "my_oxide.toml").write_text(recipe.replace("11.0 deg", "11.9 deg").replace("11.2 deg", "12.1 deg"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    pipeline = load(tmp_path / "my_oxide.toml", purpose="check").pipeline()
    with StoredRun(stored) as opened:
        frame = opened.frame("det", 0)
    features = pipeline.step(frame).measurement.features
    inside = np.abs(frame.axes["two_theta"].values - 12) <= 0.1 + 1e-9
    assert features["oxide_sum"].value == pytest.approx(frame.data[inside].sum())
    assert features["oxide_share"].value == pytest.approx(frame.data[inside].sum() / frame.data.sum())


@pytest.mark.parametrize("page", ["how-to/write-a-recipe.md", "reference/recipe.md"])
def test_the_recipe_of_a_page_is_accepted(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (recipe,) = blocks(ROOT / "docs" / page, "toml")
    detector, *_ = blocks(ROOT / "docs" / "reference" / "detector.md", "toml")
    names = tomllib.loads(recipe)["detectors"]
    (tmp_path / "detectors").mkdir()
    for name in names:
        (tmp_path / "detectors" / f"{name}.toml").write_text(detector)
    (tmp_path / "recipe_of_the_page.toml").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    setup = load(tmp_path / "recipe_of_the_page.toml")
    assert len(setup.pipeline().rules) == len(tomllib.loads(recipe)["rules"])
