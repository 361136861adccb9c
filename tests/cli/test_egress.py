"""What people see of what leaves: `insitu check` beforehand, `insitu why --egress` afterwards."""

from itertools import pairwise
from pathlib import Path

import pytest

from insitu.config import load, load_stored
from insitu.run import run
from insitu.sinks.kafka import connection_options, stored_link
from tests.documents import documents, keys

SENDING = """
[kafka]
beamline = "b01"
[metadata]
proposal = "p1"
"""
POLICY = 'features = ["peak1_*"]\nverdicts = ["phase"]\nmetadata = ["proposal", "file"]\nmax_rate = "5 Hz"\n'


@pytest.fixture(scope="module")
def sending(laboratory: Path) -> Path:
    """The recipe of the laboratory, with `[kafka]` and more of a policy."""
    text = (laboratory / "pipelines" / "ramp.toml").read_text(encoding="utf-8")
    path = laboratory / "pipelines" / "sending.toml"
    path.write_text(text.replace('features = ["peak1_*"]\n', POLICY) + SENDING, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def sent(sending: Path, laboratory: Path):
    return run(load(sending), data_root=laboratory / "insitu-sent", operator="anna")


def test_check_shows_exactly_the_keys_that_then_leave(insitu, sending, sent):
    leaves = insitu("check", sending, "--json").body["leaves"]
    found = documents(sent)
    assert leaves["streams"].keys() == {d["name"] for name, d in found if name == "descriptor"}
    assert leaves["streams"]["det"].keys() == keys(found).keys()
    assert leaves["start"] == {"proposal": "p1"}
    assert found[0][1].keys() == {"uid", "time", "simulated", *leaves["start"]}
    text = insitu("check", sending).out
    for key in leaves["streams"]["det"]:
        assert f"{key} (" in text
    assert "start    proposal = p1" in text
    assert "at most  5 Hz by frame time" in text


def test_check_without_kafka_says_that_nothing_leaves_in_short_lines(insitu):
    lines = insitu("check", "ramp").out.splitlines()
    at = lines.index("may leave  nothing: the recipe has no [kafka]. With it:")
    assert max(map(len, lines[at:])) <= 120
    (told,) = [line for line in lines if line.startswith("  events   of det")]
    assert told.split(": ")[1] == "18 keys (6 always, 12 features)"


def test_check_with_kafka_keeps_lines_short_and_groups_the_keys_of_a_source(insitu, sending):
    lines = insitu("check", sending).out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  events   of det"))
    assert lines[at].endswith("21 keys (6 always, 12 features, 2 verdicts, 1 labels)")
    groups = [line.split()[0] for line in lines[at + 1 :] if line.startswith("    ") and line[4] != " "]
    assert groups == ["always", "features", "verdicts", "labels"]
    assert max(map(len, lines[at:])) <= 120
    assert not any(line.rstrip(",").endswith("(") for line in lines)


ARRAYS = """
[[policy.arrays]]
feature = "pattern"
shape = [1024]
dtype = "float32"
max_rate = "2 Hz"
"""


def test_what_check_lists_is_what_leaves_key_by_key(insitu, laboratory):
    """Everything on: arrays, calibrations, context, labels, pseudonyms, sentences, two sources."""
    text = (laboratory / "pipelines" / "ramp.toml").read_text(encoding="utf-8")
    bench = (laboratory / "detectors" / "bench.toml").read_text(encoding="utf-8")
    bench += '[calibration]\nwavelength = "1.5406 angstrom"\n'
    (laboratory / "detectors" / "one.toml").write_text(bench, encoding="utf-8")
    other = bench.replace('"det"', '"other"').replace("frames = 40", "frames = 20").replace(', "missing@10"', "")
    (laboratory / "detectors" / "other.toml").write_text(other.replace("lost_phase@30", "slipped@9"), encoding="utf-8")
    key = laboratory / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    policy = """features = ["*"]
verdicts = ["*"]
context = ["temperature"]
metadata = ["proposal", "wavelength", "sample", "title"]
pseudonyms = ["operator", "instrument"]
pseudonym_key = "../key"
reasons = true
max_ratio = 0.9
"""
    text = text.replace('["bench"]', '["one", "other"]').replace('features = ["peak1_*"]\n', policy + ARRAYS)
    text = text.replace("[[features]]", '[[prepare]]\nuse = "baseline"\nwindow = "2 deg"\n[[features]]', 1)
    text = text.replace("[[models]]", '[[features]]\nuse = "prepared"\n[[models]]', 1)
    recipe = laboratory / "pipelines" / "all.toml"
    recipe.write_text(text + SENDING, encoding="utf-8")
    leaves = insitu("check", recipe, "--json").body["leaves"]
    found = documents(run(load(recipe), data_root=laboratory / "insitu-all", operator="anna"))
    streams = {d["uid"]: d["name"] for name, d in found if name == "descriptor"}
    assert sorted(streams.values()) == sorted(leaves["streams"]) == sorted(leaves["data_keys"])
    for name, d in found:
        listed = leaves["documents"][name]
        if name == "descriptor":
            source = next(iter(d["object_keys"]))
            expected = {key: {**k, "units": "K"} if key == "temperature" else k for key, k in
                        leaves["data_keys"][d["name"]].items()}  # fmt: skip
            assert d["data_keys"] == expected
            assert [*d["configuration"][source]["data"]] == listed[source]
        elif name == "event":
            assert d.keys() == set(listed)
            assert d["data"].keys() == leaves["streams"][streams[d["descriptor"]]].keys()
        elif name == "start":
            assert d.keys() == set(listed) - {"source_run_uid", "instrument", "sample"}, "those are labels of frames"
        else:
            assert d.keys() == set(listed)
    (pattern, _) = leaves["arrays"]
    assert (pattern["stream"], pattern["shape"], pattern["dtype"]) == ("det-pattern", [1024], "float32")
    assert pattern["max_rate_hz"] == 2.0
    arrays = [d["time"] for name, d in found if name == "event" and streams[d["descriptor"]] == "det-pattern"]
    assert all(b - a >= 0.5 - 1e-6 for a, b in pairwise(arrays))
    assert leaves["limits"] == {"max_rate_hz": None, "max_bytes": 1_000_000, "max_ratio": 0.9,
                                "array_rate_hz": {"pattern": 2.0}}  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "line", "said"),
    [
        ('features = ["peak1_*",\n  "peek*"]', 21, "matches no feature"),
        ('features = ["peak1_*"]\nmetadata = ["sampel"]', 21, 'nothing is named "sampel"'),
        ('max_rate = "0 Hz"', 20, "above 0"),
        ("max_ratio = 2.0", 20, "at most 1"),
        ('max_bytes = "200 byte"', 20, "too few"),
        ('pseudonyms = ["sample"]\npseudonym_key = "nowhere"', 21, "cannot be read"),
        ('[[policy.arrays]]\nfeature = "pattern"\nmax_rate = "1 Hz"\ndtype = "float32"', 20, '"shape" is missing'),
    ],
)
def test_a_policy_is_refused_with_file_and_line(insitu, laboratory, policy, line, said):
    text = (laboratory / "pipelines" / "ramp.toml").read_text(encoding="utf-8")
    recipe = laboratory / "pipelines" / "wrong.toml"
    recipe.write_text(text.replace('features = ["peak1_*"]', policy), encoding="utf-8")
    told = insitu("check", recipe)
    assert told.code == 2
    (problem,) = [p for p in told.err.splitlines() if said in p]
    assert f"wrong.toml:{line}: policy" in problem


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_secrets_are_found_beside_the_recipe_from_any_folder(laboratory, tmp_path, monkeypatch):
    secrets, key = laboratory / "pipelines" / "secrets.toml", laboratory / "pipelines" / "key"
    for path, text in ((secrets, 'username = "u"\npassword = "p"\n'), (key, "k" * 32)):
        path.write_text(text)
        path.chmod(0o600)
    text = (laboratory / "pipelines" / "ramp.toml").read_text(encoding="utf-8")
    more = '\npseudonyms = ["sample"]\npseudonym_key = "key"\n[kafka]\nbeamline = "b01"\nbootstrap = "127.0.0.1:1"\n'
    recipe = laboratory / "pipelines" / "secret.toml"
    recipe.write_text(text + more + 'security = "secrets.toml"\n[budget]\nlinger = "0 s"\n', encoding="utf-8")
    summary = run(load(Path("pipelines/secret.toml")), data_root=tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    to = stored_link(Path(summary.path))
    assert to is not None
    assert to.security == secrets
    assert connection_options(to, {})["sasl_plain_username"] == "u"
    assert load_stored(Path(summary.path)).pseudonym_key == key
    assert not any(b'"p"' in p.read_bytes() for p in Path(summary.path).rglob("*") if p.is_file())


def test_a_file_of_secrets_that_is_not_there_is_refused(insitu, sending):
    said = insitu("check", sending, "--set", "kafka.security=nowhere.toml")
    assert said.code == 2
    assert "kafka.security: there is no file" in said.err


def test_check_refuses_a_policy_that_names_what_is_not_there(insitu, sending):
    said = insitu("check", sending, "--set", "policy.features=['peek*']")
    assert said.code == 2
    assert "matches no feature" in said.err


def test_why_egress_tells_what_left_and_what_stayed(insitu, sent):
    body = insitu("why", sent.path, "--egress", "--json").body
    assert body["egress"]["records"] == 39
    assert body["egress"]["withheld"]["rate"] + body["egress"]["documents"]["event"] == 39
    assert body["acknowledged"] == 0
    text = insitu("why", sent.path, "--egress").out
    assert "0 of them acknowledged by a broker" in text
    assert "max_rate" in text
    assert "peak1_position_sigma" in text


def test_why_egress_of_a_run_that_sends_nothing_says_so(insitu, halted):
    assert insitu("why", halted, "--egress", "--json").body["egress"] is None
    assert "nothing was to leave" in insitu("why", halted, "--egress").out


def test_why_egress_excludes_a_frame(insitu, halted):
    assert insitu("why", halted, "det/3", "--egress").code == 2
