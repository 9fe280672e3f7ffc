"""Which tests judge a mutant, and in which order."""

from __future__ import annotations


def test_a_files_own_tests_come_first_in_however_many_files_they_stand(part) -> None:
    coverage = part("coverage")
    file = "privateyes/layer/party.py"
    seconds = {
        "tests/layer/test_party.py::test_slow": 2.0,
        "tests/layer/test_party_speaking.py::test_slower": 3.0,
        "tests/layer/test_partying.py::test_quick": 1.0,
        "tests/other/test_party.py::test_quickest": 0.5,
    }
    assert _order(coverage, file, seconds) == list(seconds)


def _order(coverage, file, seconds) -> list[str]:
    tests = [coverage.Test(name, its, {file: frozenset({"speak"})}) for name, its in seconds.items()]
    return [test.name for test in coverage.Coverage(tests[::-1], {}).tests_for(file, "speak")]


def test_each_other_file_gives_its_quickest_test_before_any_gives_a_second(part) -> None:
    seconds = {
        "tests/layer/test_party.py::test_slow": 2.0,
        "tests/layer/test_other.py::test_quick": 0.1,
        "tests/vectors/test_vectors.py::test_slow": 3.0,
        "tests/layer/test_other.py::test_as_quick": 0.2,
        "tests/layer/test_other.py::test_slower": 0.3,
    }
    assert _order(part("coverage"), "privateyes/layer/party.py", seconds) == list(seconds)
