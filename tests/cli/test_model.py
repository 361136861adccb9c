"""`insitu model verify|show|key`: sentences for people, one object for machines, exit status 6 for a bundle refused."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from insitu.cli import main
from insitu.models import signing
from tests import networks


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed bundle whose key is trusted."""
    private, public = signing.make_keys(tmp_path / "keys")
    monkeypatch.setenv(signing.KEYS, str(public))
    networks.write(tmp_path / "tiny", private)
    return tmp_path / "tiny"


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    code = ended.value.code
    found = capsys.readouterr()
    return (code if isinstance(code, int) else 0), found.out, found.err


def test_a_good_bundle_is_verified(made: Path, capsys: Any) -> None:
    code, out, _ = said(capsys, "model", "verify", made)
    assert code == 0
    assert "tiny 1.0.0, serial 7: verified" in out
    assert "4 golden outputs came out" in out
    code, out, _ = said(capsys, "model", "verify", made, "--json")
    body = json.loads(out)
    assert (code, body["verified"], body["serial"], body["golden"]) == (0, True, 7, 4)
    assert body["digest"] == signing.sha256((made / "manifest.json").read_bytes())


def test_a_changed_bundle_ends_with_6_and_says_what_to_do(made: Path, capsys: Any) -> None:
    (made / "model.onnx").write_bytes(b"other")
    code, out, err = said(capsys, "model", "verify", made)
    assert (code, out) == (6, "")
    assert err.startswith(f"Error: {made}/model.onnx: not the bytes that were signed")
    code, out, _ = said(capsys, "model", "show", made, "--json")
    body = json.loads(out)
    assert (code, body["exit_code"], body["error"]["kind"]) == (6, 6, "model")
    assert body["error"]["remedy"]


@pytest.mark.parametrize(("serial", "code"), [(7, 0), (8, 6)])
def test_a_least_serial_may_be_asked_for(made: Path, capsys: Any, serial: int, code: int) -> None:
    assert said(capsys, "model", "verify", made, "--least-serial", serial)[0] == code


def test_an_unsigned_bundle_is_shown_only_when_asked_so_and_says_it(made: Path, capsys: Any) -> None:
    (made / signing.NAME).unlink()
    assert said(capsys, "model", "show", made)[0] == 6
    code, out, _ = said(capsys, "model", "show", made, "--allow-unsigned")
    assert code == 0
    assert "NOT SIGNED" in out


def test_what_it_is_is_told_in_words_and_as_its_manifest(made: Path, capsys: Any) -> None:
    code, out, _ = said(capsys, "model", "show", made)
    assert code == 0
    for words in ("classification of xrd", "CeO2, CuO, none", "batch x 1 x 32", "0.9 (0.8 to 0.95) on 10 simulated"):
        assert words in out
    assert "simulated data only" in out
    code, out, _ = said(capsys, "model", "show", made, "--json")
    assert json.loads(out)["manifest"] == json.loads((made / "manifest.json").read_text())


def test_a_pair_of_keys_is_made_and_counts(
    made: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = said(capsys, "model", "key", tmp_path / "mine", "--name", "bench", "--json")
    body = json.loads(out)
    assert code == 0
    assert stat.S_IMODE(Path(body["private"]).stat().st_mode) == 0o600
    networks.write(tmp_path / "other", Path(body["private"]))
    assert said(capsys, "model", "verify", tmp_path / "other")[0] == 6
    assert said(capsys, "model", "verify", tmp_path / "other", "--key", body["public"])[0] == 0
    assert said(capsys, "model", "key", tmp_path / "mine", "--name", "bench")[0] == 2


def test_a_missing_package_is_answered_with_the_extra(
    made: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.asymmetric", None)
    code, _, err = said(capsys, "model", "verify", made)
    assert code == 2
    assert "pip install 'insitu[models]'" in err


@pytest.mark.parametrize("name", ["gearbox_state", "pipelines/models/gearbox_state"])
def test_a_shipped_bundle_is_shown_by_its_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = said(capsys, "model", "show", name)
    assert code == 0
    assert "gearbox_state" in out
    (tmp_path / "gearbox_state").mkdir()  # a folder that is there is meant
    assert said(capsys, "model", "show", "gearbox_state")[0] == 6
