"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.broker import Broker, NoBrokerError
from tests.tiled_server import Forks, Tiled

if TYPE_CHECKING:
    from bluesky import RunEngine

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("insitu", deadline=None)  # the first call compiles, and machines are slow at times
settings.load_profile("insitu")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real measurements: `INSITU_DATA`, else `../shared/data` beside the repository."""
    named = os.environ.get("INSITU_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    if named or os.environ.get("CI"):
        pytest.fail(f"the real measurements are not at {folder}; INSITU_DATA names the folder that holds them")
    pytest.skip(f"the real measurements are not at {folder}; set INSITU_DATA to the folder that holds them")


@pytest.fixture(autouse=True)
def every_run_is_proven(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test, every sealed run that it made must verify: identical. Tests that damage runs say so by the mark
    `damages`."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is None or request.node.get_closest_marker("damages"):
        return
    seals = [p for p in Path(folder).rglob("seal.json") if (p.parent / "recipe.toml").exists()]
    if seals:
        from insitu.replay import verify

        for seal in seals:
            report = verify(seal.parent)
            assert report.identical, (seal.parent, report.findings)


@pytest.fixture(scope="session")
def _node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The session's own Kafka."""
    try:
        node = Broker(tmp_path_factory.mktemp("kafka")).start()
    except NoBrokerError as e:
        pytest.skip(str(e))
    yield node
    node.kill()


@pytest.fixture
def broker(_node: Broker) -> Iterator[Broker]:
    """A real broker that a test may pause, kill and restart; it runs again for the next one."""
    yield _node
    if _node.process is None or _node.process.poll() is not None:
        _node.restart()
    _node.resume()


@pytest.fixture
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The address of a broker that a test only talks to: `INSITU_KAFKA`, else our own."""
    return os.environ.get("INSITU_KAFKA") or request.getfixturevalue("broker").bootstrap


@pytest.fixture
def engine() -> Iterator["RunEngine"]:
    """A stock RunEngine."""
    from tests.sessions import run_engine

    with run_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def tiled_forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Tiled, imported once for all workers of the session."""
    base = tmp_path_factory.getbasetemp()
    forks = Forks((base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "tiled-forks")
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def tiled(tiled_forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiled]:
    """The worker's own Tiled, which may read what tests write."""
    server = Tiled(tiled_forks, tmp_path_factory.mktemp("tiled"), tmp_path_factory.getbasetemp())
    yield server
    server.close()
