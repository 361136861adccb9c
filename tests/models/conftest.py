"""A pair of keys, and a signed bundle that tests copy before they change it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from insitu.models import signing
from tests import networks
from tests.bundles import convolutions, written


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private and a public key."""
    return signing.make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, pair: tuple[Path, Path]) -> Path:
    """A signed bundle. Not to be changed."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    networks.write(folder, pair[0])
    return folder


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory, pair: tuple[Path, Path]) -> list[Path]:
    """Serials 1, 2 and 3 of one model, signed. Not to be changed."""
    folder = tmp_path_factory.mktemp("bundles")
    return [
        written(folder / f"tiny{k}", convolutions(seed=k), key=pair[0], serial=k, version=f"1.{k}.0") for k in (1, 2, 3)
    ]


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch, pair: tuple[Path, Path]) -> None:
    """The key of `pair` is trusted."""
    monkeypatch.setenv(signing.KEYS, str(pair[1]))


@pytest.fixture
def copy(whole: Path, tmp_path: Path, trust: None) -> Path:
    """A copy of the signed bundle, whose key is trusted."""
    return shutil.copytree(whole, tmp_path / "tiny")


@pytest.fixture
def signed_again(copy: Path, pair: tuple[Path, Path]) -> Callable[[], Path]:
    """Signs the copy again as it is now, with digests in the manifest that fit: somebody with a trusted key is hostile
    or careless."""
    return lambda: networks.sign_again(copy, pair[0])
