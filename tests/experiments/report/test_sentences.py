"""Sentences with numbers: they say what the files say and no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privateyes.experiments.report import sentences, summary
from privateyes.experiments.report.files import RunFiles, read_run
from privateyes.experiments.report.schema import Equality, Replay, Verdict

Maker = Callable[..., Path]


def headline(files: RunFiles) -> str:
    return str(sentences.headline(files, summary.summaries(files))).replace("<b>", "").replace("</b>", "")


def changed(run: Path, change: Callable[[dict[str, Any]], None]) -> RunFiles:
    path = run / "results.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return read_run(run)


def set_errors(content: dict[str, Any]) -> None:
    for row, error in zip(content["rows"], (4.5, 8.25, 5.5, 5.500031), strict=True):
        row["mean_error"] = error
    content["mean_predictor"]["mean_error"] = 14.0


def test_the_headline_names_every_method_with_its_error_and_the_price_of_privacy(run_maker: Maker) -> None:
    assert headline(changed(run_maker(rounds=2), set_errors)) == (
        "On 2 people never trained on, private training is off by 5.50° on average, plain federated training by 5.50°, "
        "training on all images pooled by 4.50°, training alone, each person on their own images, by 8.25°. "
        "Between private and federated lie 0.000031°: rounding of at most 3.2 × 10⁻⁹ in a parameter and round, "
        "amplified by training. Always answering with the mean gaze would be off by 14.00°."
    )


@pytest.mark.parametrize(("key", "value"), [("ratio", 1.2), ("saturated", 4), ("shortened", 1)])
def test_rounding_is_not_blamed_where_something_else_may_be_the_cause(run_maker: Maker, key: str, value: float) -> None:
    def altered(content: dict[str, Any]) -> None:
        set_errors(content)
        content["equality"][key] = value

    said = headline(changed(run_maker(rounds=2), altered))
    assert "Between private and federated lie 0.000031°. " in said
    assert "rounding" not in said


def test_the_headline_says_that_clipping_happened_and_how_much(run_maker: Maker) -> None:
    def clipped(content: dict[str, Any]) -> None:
        set_errors(content)
        content["equality"] |= {"saturated": 1500, "coordinates": 6000, "clipped_rounds": 1, "rounds": 2}

    said = headline(changed(run_maker(rounds=2), clipped))
    assert "1,500 of 6,000 coordinates (25.0 %) were cut to aggregation.clip in 1 of 2 rounds" in said
    assert "The bound holds for the clipped updates alone" in said
    assert "clipped" not in headline(changed(run_maker(rounds=2), set_errors))


def test_no_difference_is_called_none_only_if_it_is_exactly_zero(run_maker: Maker) -> None:
    def no_difference(content: dict[str, Any]) -> None:
        set_errors(content)
        content["rows"][3]["mean_error"] = content["rows"][2]["mean_error"]

    assert "Privacy made no difference to the error" in headline(changed(run_maker(rounds=2), no_difference))


def test_where_rounds_were_void_the_difference_is_not_put_down_to_rounding(run_maker: Maker) -> None:
    def some_void(content: dict[str, Any]) -> None:
        set_errors(content)
        content["rows"][3]["void_rounds"] = 1

    said = headline(changed(run_maker(rounds=2), some_void))
    assert "lie 0.000031°; 1 round of private and 0 of federated were void, for too few clients. Always" in said
    assert "rounding" not in said


def test_the_table_says_which_rounds_the_errors_are_of_and_which_were_void(run_maker: Maker) -> None:
    def stopped(content: dict[str, Any]) -> None:
        content["rows"][3] |= {"best_rounds": {"all": 7}, "rounds_run": {"all": 9}, "void_rounds": 2}

    files = read_run(run_maker(rounds=2))
    assert "best on" not in sentences.table_caption(files, ["r07"])
    assert "void" not in sentences.table_caption(files, ["r07"])
    said = sentences.table_caption(changed(run_maker(rounds=2), stopped), ["r07"])
    assert "Errors are of the round whose model was the best on the validation persons: private 7 of 9." in said
    assert "Rounds that were void, for too few clients arrived, and count in no mean: private 2." in said


def rename(content: dict[str, Any], names: dict[str, str]) -> None:
    for row in content["rows"]:
        row["method"] = names.get(row["method"], row["method"])


def test_a_method_that_the_page_has_no_words_for_is_told_by_its_name(run_maker: Maker) -> None:
    def other_ways(content: dict[str, Any]) -> None:
        for row, error in zip(content["rows"], (5.5, 5.500031), strict=True):
            row["mean_error"] = error
        rename(content, {"federated": "fedyogi", "private": "private-fedyogi"})

    run = run_maker(rounds=2, methods=("federated", "private"))
    path = run / "experiment.toml"
    path.write_text(path.read_text().replace('"federated", "private"', '"fedyogi", "private-fedyogi"'))
    said = headline(changed(run, other_ways))
    assert said.startswith("On 2 people never trained on, fedyogi is off by 5.50° on average, private-fedyogi by 5.50°")
    assert "Between private-fedyogi and fedyogi lie 0.000031°: rounding" in said


def test_of_several_pairs_the_one_farthest_apart_is_told(run_maker: Maker) -> None:
    def two_pairs(content: dict[str, Any]) -> None:
        set_errors(content)
        rename(content, {"centralised": "adaptive", "local": "private-adaptive"})
        content["rows"][1]["mean_error"] = 4.75
        content["equality"]["error_difference"] = 0.25

    said = headline(changed(run_maker(rounds=2), two_pairs))
    assert "Between private-adaptive and adaptive lie 0.25°, and no more between the other pairs: rounding" in said


def test_costs_are_compared_for_every_pair(run_maker: Maker) -> None:
    def other_ways(content: dict[str, Any]) -> None:
        rename(content, {"federated": "fedprox", "private": "private-fedprox"})

    said = sentences.ratios(summary.summaries(changed(run_maker(rounds=2), other_ways)))
    assert [sentence.split(" takes ")[0] for sentence in said] == [
        "A client of private-fedprox sends 1.00 times and receives 1.02 times the bytes of fedprox.",
        "A round of private-fedprox",
    ]


def test_rounds_that_were_void_do_not_make_the_others_cheaper(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1] |= {"seconds_training": 0.0, "seconds_exchange": 0.0, "participation": {"void": True}}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shown = {entry.method.key: entry for entry in summary.summaries(read_run(run))}
    assert (shown["private"].seconds_training, shown["private"].seconds_exchange) == pytest.approx((1.31, 0.31))


def test_without_private_the_headline_speaks_of_no_privacy(run_maker: Maker) -> None:
    said = headline(read_run(run_maker(rounds=2, methods=("federated", "centralised"))))
    assert said.startswith("On 2 people never trained on, plain federated training is off by")
    assert "rivacy" not in said


def test_an_unfinished_run_is_never_compared_as_if_it_were_final(run_maker: Maker) -> None:
    said = headline(read_run(run_maker(rounds=4, stop_after=("private", 2))))
    assert said.startswith("So far, on 2 people")
    assert said.endswith("This is not final: not every method is done.")
    assert "difference" not in said


def test_before_the_first_round_there_is_nothing_to_compare(run_maker: Maker) -> None:
    run = run_maker(rounds=2, stop_after=("centralised", 1))
    (run / "metrics.jsonl").unlink()
    assert headline(read_run(run)) == "No round is complete yet, so there is nothing to compare."


@pytest.mark.parametrize(("largest", "within"), [(1e-9, True), (3e-9, True), (3.1e-9, False)])
def test_the_equality_is_judged_by_its_numbers(largest: float, within: bool) -> None:
    good, said = sentences.equality_verdict(Equality(largest_deviation=largest, bound=3e-9, ratio=largest / 3e-9))
    assert good is within
    assert said.startswith("Within the bound" if within else "Not within the bound")


def test_a_round_beyond_its_own_bound_is_not_excused_by_another_rounds_larger_one() -> None:
    good, said = sentences.equality_verdict(Equality(largest_deviation=2e-9, bound=4e-9, ratio=1.6))
    assert not good
    assert said == "Not within the bound: a round's deviation was 1.60 times that round's bound."


def test_the_replay_is_judged_by_the_verdicts() -> None:
    verdicts = [Verdict(client="a", refused=True), Verdict(client="b", refused=False)]
    both = Replay(altered_by="aggregator 2", verdicts=verdicts, control_accepted=["a", "b"])
    assert sentences.replay_verdict(both) == (False, "Only 1 of 2 clients refused the altered round.")
    assert sentences.control_sentence(both)[0] is True
    fine = both.model_copy(update={"verdicts": [verdicts[0], verdicts[0]], "control_accepted": []})
    assert sentences.replay_verdict(fine) == (True, "All 2 clients refused the altered round.")
    assert sentences.control_sentence(fine)[0] is False
    assert sentences.replay_verdict(fine.model_copy(update={"verdicts": []}))[0] is False


def test_a_path_is_shown_by_its_file_name_only(run_maker: Maker) -> None:
    files = read_run(run_maker(rounds=2, synthetic=False))
    assert sentences.data_name(files) == "Data file eyes.h5"
    assert ("data.path", "eyes.h5") in sentences.settings(files)
    assert sentences.file_name("C:\\Users\\me\\eyes.h5") == "eyes.h5"


def test_settings_and_environment_are_complete(run_maker: Maker) -> None:
    files = read_run(run_maker(rounds=2))
    settings, environment = dict(sentences.settings(files)), dict(sentences.environment(files))
    assert settings["aggregation.aggregators"] == "3"
    assert settings["methods"] == "centralised, local, federated, private"
    assert environment["packages.torch"] == "2.9.1"
    assert environment["git_commit"] == "none"


def test_what_was_run_counts_folds_and_clients(run_maker: Maker) -> None:
    said = sentences.what_was_run(read_run(run_maker(rounds=2, folds=4, name="loo")))
    assert "3 clients, 3 aggregators, leave one person out in 4 folds; seed 1." in said


def test_a_one_off_upload_is_told(run_maker: Maker) -> None:
    shown = summary.summaries(read_run(run_maker(rounds=2)))
    assert sentences.once(shown) == [
        "Before its first round, centralised uploaded 652.8 kB of images and labels per client."
    ]


def test_the_verdict_on_the_bound_says_that_it_is_about_clipped_updates() -> None:
    good, said = sentences.equality_verdict(Equality(largest_deviation=1e-9, bound=3e-9, ratio=0.4, shortened=1))
    assert good
    assert said.startswith("Within the bound, for the clipped updates: ")


def test_methods_that_are_all_worse_than_the_mean_are_said_to_have_learned_nothing(run_maker: Maker) -> None:
    def lost(content: dict[str, Any]) -> None:
        set_errors(content)
        content["mean_predictor"]["mean_error"] = 4.5

    assert headline(changed(run_maker(rounds=2), lost)).endswith(
        "would be off by 4.50°. No method is better than that: none of them learned anything of use."
    )
    assert "No method is better" not in headline(changed(run_maker(rounds=2), set_errors))
