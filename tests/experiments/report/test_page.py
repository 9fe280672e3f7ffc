"""The page as a whole: self-contained, accessible, escaped, and honest about what is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest

from privateyes.errors import DataError, RunDirectoryError
from privateyes.experiments.report import write_report

Maker = Callable[..., Path]
VOID = {"meta", "br", "image", "line", "circle", "path", "rect", "polyline"}


class Page(HTMLParser):
    """Collects a page's tags, attributes and text, and checks that tags are closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(run: Path, **options: bool) -> Page:
    return Page(write_report(run, **options))


def test_the_page_lies_in_the_runs_directory_and_leaves_nothing_else(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    before = {entry.name for entry in run.iterdir()}
    assert write_report(run) == run / "report.html"
    assert {entry.name for entry in run.iterdir()} == before | {"report.html"}


def test_equal_files_give_equal_bytes(run_maker: Maker) -> None:
    run = run_maker(rounds=3)
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


@pytest.mark.parametrize("folds", [1, 15])
def test_the_page_is_small(run_maker: Maker, folds: int) -> None:
    assert write_report(run_maker(folds=folds)).stat().st_size < 300_000


def test_nothing_is_loaded_from_outside_and_nothing_runs(run_maker: Maker) -> None:
    run = run_maker(rounds=3)
    shown = page(run)
    assert not {"script", "link", "iframe", "object", "form", "base"} & {tag for tag, _ in shown.tags}
    for tag, attributes in shown.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href", "action"):
                assert (value or "").startswith(("#", "data:image/png;base64,")), (tag, value)
    text = (run / "report.html").read_text()
    assert not re.search(r"https?://|url\(|@import", text)
    policy = next(meta["content"] for meta in shown.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_every_inner_link_has_its_target_and_no_id_is_used_twice(run_maker: Maker) -> None:
    shown = page(run_maker(rounds=2))
    ids = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"] for link in shown.all("a")} <= {f"#{name}" for name in ids}


def test_every_drawing_is_described_or_hidden_from_screen_readers(run_maker: Maker) -> None:
    drawings = page(run_maker(rounds=2)).all("svg")
    assert len(drawings) > 10
    assert all(svg.get("aria-label") or svg.get("aria-hidden") == "true" for svg in drawings)


def test_headings_descend_one_step_at_a_time(run_maker: Maker) -> None:
    levels = [int(tag[1]) for tag, _ in page(run_maker(rounds=2)).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_page_says_what_matters(run_maker: Maker) -> None:
    text = page(run_maker()).text
    for words in (
        "as long as at least one of the 3 aggregators is honest",
        "even if 2 of the 3 aggregators (n − 1 of n)",
        "All 3 aggregators together.",
        "no differential privacy",
        "HPKE with ML-KEM-768 and X25519, Ed25519, AES-256, SHA-256, BLAKE3",
        "All parties of this run were parts of one program on one machine",
        "does not itself keep anything from anyone",
        "Any single party can make a round stop",
        "All 7 clients refused the altered round.",
        "aggregator 2 altered its share",
        "Within the bound",
        "Private averages equal plain ones",
        "An altered round is refused",
        "Here the same clients took part in every round.",
        "mean predictor",
        "privateyes train experiment.toml",
        "These eyes are rendered",
    ):
        assert words in text, words


def test_the_claim_follows_the_number_of_aggregators(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    path = run / "experiment.toml"
    path.write_text(path.read_text().replace("aggregators = 3", "aggregators = 5"))
    assert "even if 4 of the 5 aggregators (n − 1 of n)" in page(run).text


def test_a_public_run_does_not_claim_that_the_model_is_hidden(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    assert "is not shown to the hub or the aggregators" in page(run).text
    path = run / "experiment.toml"
    path.write_text(path.read_text().replace("aggregators = 3", 'aggregators = 3\nmode = "public"'))
    text = page(run).text
    assert "is not shown to the hub" not in text
    assert "This run was public: everyone, the hub and the aggregators included, reads the average" in text
    assert "can be checked by everyone" in text


def test_without_private_no_protection_is_claimed(run_maker: Maker) -> None:
    text = page(run_maker(rounds=2, methods=("federated", "local"))).text
    assert "this page claims no protection of anything" in text
    assert "What is protected" not in text
    assert "hub reads every client's update" in text
    assert "Private and plain averages" not in text
    assert "demonstrates the protocol" not in text


def test_an_unfinished_run_says_so_and_shows_what_there_is(run_maker: Maker) -> None:
    text = page(run_maker(rounds=5, stop_after=("federated", 2))).text
    assert "This run is not finished." in text
    assert "federated: round 2 of 5; private: not begun." in text
    assert "no samples.npz yet" in text
    assert "The altered round is replayed when training is done." in text
    assert "Within the bound" not in text


def test_a_run_without_any_round_has_a_page(run_maker: Maker) -> None:
    run = run_maker(rounds=2, stop_after=("centralised", 1))
    (run / "metrics.jsonl").unlink()
    text = page(run).text
    assert "No round is complete yet" in text
    assert "Here the same clients" not in text


def test_private_half_done_shows_its_deviations_without_a_verdict(run_maker: Maker) -> None:
    text = page(run_maker(rounds=4, stop_after=("private", 2))).text
    assert "Largest deviation of any coordinate in each round" in text
    assert "Within the bound" not in text


def test_a_half_written_line_is_noted_on_the_page(run_maker: Maker) -> None:
    run = run_maker(rounds=3, stop_after=("local", 2))
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"event": "rou')
    assert "half written and was ignored" in page(run).text


def test_without_eyes_there_are_no_pictures_and_a_reason(run_maker: Maker) -> None:
    shown = page(run_maker(rounds=2), with_pictures=False)
    assert not shown.all("image")
    assert "was written without pictures" in shown.text


def test_with_eyes_of_a_data_file_the_reader_is_warned(run_maker: Maker) -> None:
    shown = page(run_maker(rounds=2, synthetic=False))
    assert len(shown.all("image")) == 8
    assert "treat this page as their personal data" in shown.text
    assert "These eyes are rendered" not in shown.text
    assert "/srv/secret" not in shown.text


def test_a_replay_that_was_not_refused_is_shown_as_bad(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    path = run / "results.json"
    content = json.loads(path.read_text())
    content["replay"]["verdicts"][3]["refused"] = False
    content["equality"] |= {"largest_deviation": 1.0, "ratio": 9.0}
    path.write_text(json.dumps(content))
    shown = page(run)
    assert "Only 6 of 7 clients refused the altered round." in shown.text
    assert "Not within the bound" in shown.text
    assert "Private averages equal plain ones" not in shown.text
    assert "An altered round is refused" not in shown.text
    verdicts = [attributes["class"] for attributes in shown.all("p") if "verdict" in (attributes.get("class") or "")]
    assert verdicts == ["verdict bad", "verdict bad"]


def test_clipping_is_named_where_it_happened(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    path = run / "results.json"
    content = json.loads(path.read_text())
    content["equality"]["saturated"] = 12
    path.write_text(json.dumps(content))
    assert "it does not cover what clipping changes" in page(run).text


def test_shortened_updates_are_named_where_they_happened(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    assert "were shortened to it" not in page(run).text
    path = run / "results.json"
    content = json.loads(path.read_text())
    content["equality"]["shortened"] = 3
    path.write_text(json.dumps(content))
    assert "were shortened to it" in page(run).text


def test_everything_from_the_files_is_escaped(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    attack = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    for name in ("results.json", "metrics.jsonl", "environment.json"):
        path = run / name
        path.write_text(
            path.read_text()
            .replace('"r07"', json.dumps(attack))
            .replace('"r00"', json.dumps(attack))
            .replace('"aggregator 2"', json.dumps(attack))
            .replace("tag 1 does not fit the sum", attack.replace('"', ""))
            .replace("it added 1", attack.replace('"', ""))
            .replace("Linux x86_64", attack.replace('"', ""))
            .replace('"hub"', json.dumps(attack))
        )
    path = run / "experiment.toml"
    path.write_text(
        path.read_text().replace('"resnet_preact_8"', json.dumps(attack)).replace('"demo"', json.dumps(attack))
    )
    shown = page(run)
    assert attack in shown.text
    assert not shown.all("script")
    assert not shown.all("img")


def test_a_method_that_the_page_does_not_know_is_shown_all_the_same(run_maker: Maker) -> None:
    run = run_maker(rounds=2, methods=("federated", "local"))
    for name in ("results.json", "metrics.jsonl", "experiment.toml"):
        path = run / name
        path.write_text(path.read_text().replace('"local"', '"<novel>"'))
    assert "<novel>" in page(run).text


def test_one_test_person_has_no_spread_and_still_a_page(run_maker: Maker) -> None:
    assert "On 1 person never trained on" in page(run_maker(rounds=2, folds=1, train=3, test=1)).text


def test_a_damaged_run_writes_no_page_and_keeps_the_old_one(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    write_report(run).write_text("old")
    (run / "results.json").write_text("{")
    with pytest.raises(DataError):
        write_report(run)
    assert (run / "report.html").read_text() == "old"


def test_a_page_that_cannot_be_written_is_one_clear_line(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    (run / "report.html").mkdir()
    with pytest.raises(RunDirectoryError, match=r"report\.html cannot be written: .*; check"):
        write_report(run)


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb [WCAG 2.2]."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out_from_their_background(theme: int) -> None:
    style = resources.files("privateyes.experiments.report").joinpath("templates", "page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", blocks[theme]))
    words = ("ink", "soft", "link", "good", "bad", "centralised", "local", "federated", "private", "other")
    low = {
        name: min(contrast(colours[name], colours[ground]) for ground in ("paper", "card", "band")) for name in words
    }
    assert all(value >= 4.5 for value in low.values()), low
    bars = {name: contrast(colours[name], colours["paper"]) for name in ("training", "exchange", "up", "down")}
    assert all(value >= 3 for value in bars.values()), bars
