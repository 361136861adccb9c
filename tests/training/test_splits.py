import numpy as np
import pytest

from insitu.training.splits import apart, folds, held_out, leave_one_out

GROUPS = ["MnO", "MnO", "Mn2O3", "MnO2", "Mn2O3", "Mn3O4", "MnO2", "MnO2"]


def test_no_group_is_ever_on_both_sides() -> None:
    splits = [(train, test) for _, train, test in leave_one_out(GROUPS)]
    splits += list(folds(GROUPS, 3, seed=1))
    splits.append(held_out(GROUPS, 0.3, seed=2))
    for train, test in splits:
        assert not {GROUPS[i] for i in train} & {GROUPS[i] for i in test}
        assert sorted([*train, *test]) == list(range(len(GROUPS)))


def test_every_row_is_tested_once() -> None:
    for splits in ([t for _, _, t in leave_one_out(GROUPS)], [t for _, t in folds(GROUPS, 4)]):
        assert np.array_equal(np.sort(np.concatenate(splits)), np.arange(len(GROUPS)))


def test_too_few_groups_and_groups_on_both_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="4 groups cannot make 5 folds"):
        list(folds(GROUPS, 5))
    with pytest.raises(ValueError, match="MnO2"):
        apart(["MnO", "MnO2"], ["MnO2"])
