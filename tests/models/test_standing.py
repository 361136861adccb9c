"""What is in force: folding the registry's log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.errors import ModelError, NotFoundError
from insitu.models.standing import Entry, Standing, fold

A, B, C = ("sha256:" + letter * 64 for letter in "abc")


def entry(kind: str, **body: object) -> Entry:
    return Entry(kind=kind, body={"name": "net", **body}, hash=b"")


ADDED = [
    entry("add", digest=digest, serial=serial, version=f"1.{serial}.0", signed_by="key")
    for serial, digest in enumerate((A, B, C), 1)
]


def standing(*more: Entry) -> Standing:
    return fold([*ADDED, *more])["net"]


def test_adding_puts_nothing_in_force() -> None:
    assert (standing().current, standing().candidate) == (None, None)
    assert standing().known == {A: 1, B: 2, C: 3}


def test_a_promoted_canary_is_current_and_a_rollback_goes_back() -> None:
    on = [entry("activate", digest=A), entry("canary", digest=B, share=0.5), entry("promote", digest=B)]
    now = standing(*on)
    assert (now.current, now.canary, now.share, now.past) == (B, None, 0.0, (A,))
    back = standing(*on, entry("rollback", digest=A))
    assert (back.current, back.past) == (A, ())


def test_a_rollback_with_a_canary_ends_the_canary_only() -> None:
    now = standing(entry("activate", digest=A), entry("canary", digest=B, share=0.5))
    assert now.before_last() == A
    after = standing(
        entry("activate", digest=A), entry("canary", digest=B, share=0.5), entry("rollback", digest=A, canary=B)
    )
    assert (after.current, after.canary, after.past) == (A, None, ())


def test_a_bundle_is_found_by_serial_version_digest_and_role() -> None:
    now = standing(entry("activate", digest=A), entry("shadow", digest=C))
    assert [now.find(w) for w in ("2", "1.2.0", "bbbb", B, "current", "shadow")] == [B, B, B, B, A, C]


@pytest.mark.parametrize("which", ["9", "bb", "canary", "", "sha256:"])
def test_what_names_no_bundle_is_refused_with_what_there_is(which: str) -> None:
    with pytest.raises(NotFoundError, match=r"1 \(aaaaaaaa\), 2"):
        standing(entry("activate", digest=A)).find(which)


def test_there_is_nothing_before_the_first() -> None:
    with pytest.raises(ModelError, match="nothing to go back to"):
        standing(entry("activate", digest=A)).before_last()


STEPS = st.one_of(
    st.tuples(st.sampled_from(["activate", "promote", "shadow"]), st.sampled_from([A, B, C])),
    st.tuples(st.just("canary"), st.sampled_from([A, B, C])),
    st.tuples(st.just("rollback"), st.none()),
)


@given(st.lists(STEPS, max_size=20))
def test_whatever_is_done_the_current_one_is_known_and_is_no_candidate(steps: list[tuple[str, str | None]]) -> None:
    log = list(ADDED)
    for kind, digest in steps:
        now = fold(log)["net"]
        if kind == "rollback":
            try:
                back = now.before_last()
            except ModelError:
                continue
            log.append(entry(kind, digest=back, **({"canary": now.canary} if now.canary else {})))
        elif kind in ("shadow", "canary") and (now.current is None or digest == now.current):
            continue
        else:
            log.append(entry(kind, digest=digest, share=0.2))
        now = fold(log)["net"]
        assert now.current is None or now.current in now.known
        assert now.current is None or now.current not in (now.shadow, now.canary)
        assert all(p in now.known for p in now.past)
