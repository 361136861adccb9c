"""What of a sentence leaves: words and numbers, no error, no path, no text that the policy does not name."""

import pytest

from insitu.sinks.sentences import ERROR, REMEMBERED, Sentences


def plain(name: str, text: str) -> str:
    return text


@pytest.fixture
def tell() -> Sentences:
    return Sentences({"operator": "anna", "title": "Ramp of NaCl", "host": ""}, frozenset({"proposal"}), plain)


@pytest.mark.parametrize(
    "sentence",
    [
        "phase: peak1_position 28.91 deg is above 28.7 deg; anomaly for 3 frames (n 118 to 120)",
        "rate is 12.5 counts/s, 3.1e-05 1/angstrom, 99.5 % of 1/cm; e.g. no beam",
        "the fit did not converge after 25 steps (chi2/n = 1.7)",
        "",
    ],
)
def test_a_sentence_of_words_and_numbers_leaves_as_it_is(tell: Sentences, sentence: str) -> None:
    assert tell(sentence, {}) == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "cannot read /data/secret/x.xy",
        "cannot read '/data/my secret/x y.xy' (line 3)",
        "see file:///home/secret, ~/secret/a, ./secret/a, ../secret",
        r"see C:\secret\x.xy and \\host\secret\x",
        "relative secret/run7/x",
        "secret_017.xy:12 is cut; also secret.h5, my-secret.tar.gz.",
        "<secret.xy>",
    ],
)
def test_paths_and_file_names_stay(tell: Sentences, sentence: str) -> None:
    assert "secret" not in tell(sentence, {})


def test_texts_of_run_and_frame_stay_unless_the_policy_names_them(tell: Sentences) -> None:
    tell.see({"sample": "BaTiO3", "proposal": "p-17"})
    told = tell("ANNA saw batio3 of p-17 in the Ramp of NaCl", {})
    assert told == "<operator> saw <sample> of p-17 in the <title>"


def test_the_text_of_an_earlier_frame_stays_too(tell: Sentences) -> None:
    tell.see({"sample": "BaTiO3"})
    for k in range(REMEMBERED - 1):
        tell.see({"sample": f"number {k}"})
    assert tell("as in BaTiO3", {}) == "as in <sample>"


def test_a_pseudonym_stands_for_the_text_in_sentences_too() -> None:
    tell = Sentences({}, frozenset({"sample"}), lambda name, text: f"hash of {name}")
    tell.see({"sample": "BaTiO3"})
    assert tell("BaTiO3 is lost", {}) == "hash of sample is lost"


def test_the_text_of_an_error_stays(tell: Sentences) -> None:
    fault = "model a: KeyError: 'whatever'"
    assert tell(f"a: {fault}; unknown for 3 frames", {"faults": [fault]}) == ERROR


def test_texts_that_are_parts_of_numbers_are_not_looked_for(tell: Sentences) -> None:
    tell.see({"sample": "28"})
    assert tell("28.4 deg", {}) == "28.4 deg"


def test_what_is_no_text_leaves_as_one(tell: Sentences) -> None:
    assert tell(12.5, {}) == "12.5"
    assert tell("caf\udce9", {}).encode()
