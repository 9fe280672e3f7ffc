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
    tests = [coverage.Test(name, its, {file: frozenset({"speak"})}) for name, its in seconds.items()]
    found = coverage.Coverage(tests[::-1], {}).tests_for(file, "speak")
    assert [test.name for test in found] == list(seconds)
