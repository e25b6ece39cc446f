import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.prompts.cases import Chain, Evidence, Facts, Item
from r2rec.report import forest, page, records
from r2rec.report.cases import Browser, Case, ShownAnswer, ShownEvidence
from r2rec.report.marks import Mark, MarkedPiece
from r2rec.report.ran import Cost, StageCost
from tests.report.rows import HOSTILE, record


class Skeleton(HTMLParser):
    """Tags and attribute names of a page, with nothing of its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name.endswith(("href", "src"))]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))

    def handle_data(self, data: str) -> None:
        self.text += data


def browser(text: str, **changes: Any) -> Browser:
    """One case that two arms answered; `changes` are to the answer of the last one."""
    item = Item(text, (text, text))
    links = [(text, "c1"), (text, "c1-2"), ("A", "kA")]
    first = ShownAnswer("right", text, (1, 2, 3, 4), text, [(text, links)], text)
    pieces = [MarkedPiece(text, None, ""), MarkedPiece(text, text, "c1"), MarkedPiece("9", "", "")]
    marks = [Mark("wrong", pieces)]
    last = ShownAnswer(
        *("wrong", "ranked 2 of 4", (2, 0, 1, 0), "", [(text, [])], text, marks, text, "misread")
    )
    answers = [first, last._replace(**changes)]
    chains = [Chain(item, 5, 4, 2.5, item, 4), Chain(item, 5, 4, 2.5, item, None)]
    case = Case(text, text, [item], chains, [item] * 4, 0, answers)
    return Browser([text, text], [case], 0, 7)


def evidence_browser(text: str, n_full: int = 2, **changes: Any) -> Browser:
    """The case of `browser` with evidence, by strength C, A, B; no chain leads to D.

    The strongest `n_full` chains are told in full; `changes` are to each of them.
    """
    shown = browser(text)
    item = Item(text, (text,))
    first = Evidence(1, item, 4.5, 1200, 34, 28, 9, 2)._replace(**changes)
    second = Evidence(2, item, 2, 1, 1, 0, 1)._replace(**changes)
    evidence = ShownEvidence([(2, first), (0, second)][:n_full], [2, 0, 1], [3])
    facts = [Facts(1, 100), Facts(0, 0), Facts(3012, 78), Facts(5, 20)]
    links = [("chain 1", "c1"), ("hop 3", "c1-3"), ("no chain", "c0"), ("C", "kC")]
    answer = shown.cases[0].answers[0]._replace(steps=[(text, links)])
    case = shown.cases[0]._replace(
        chains=(), evidence=evidence, facts=facts, answers=[answer, answer]
    )
    return shown._replace(cases=[case])


def written(path: Path, text: str, **changes: Any) -> str:
    arguments = {
        "title": text,
        "records": [record(text)],
        "published": records.published_rows("ml_1m"),
        "figures": {text: '<svg viewBox="0 0 1 1"></svg>'},
        "browser": browser(text),
        "facts": {"seed": text},
        "notes": [text],
    }
    page.write_page(path, **(arguments | changes))
    return path.read_text("utf-8")


def skeleton(html: str) -> Skeleton:
    parser = Skeleton()
    parser.feed(html)
    return parser


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("make", [browser, evidence_browser])
def test_hostile_text_is_inert(make: Any, text: str, tmp_path: Path) -> None:
    tame = skeleton(written(tmp_path / "tame.html", "calm", browser=make("calm")))
    found = skeleton(written(tmp_path / "report.html", text, browser=make(text)))
    assert found.tags == tame.tags
    assert found.links == tame.links
    visible = text.replace("\x00", "").replace("\ud800", "?")
    assert visible in found.text.replace("\x00", "").replace("\ufffd", "")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(min_size=1).filter(str.strip))
def test_no_text_changes_the_page(tmp_path: Path, text: str) -> None:
    figures: dict[str, str] = {}
    tame = written(tmp_path / "tame.html", "calm", figures=figures)
    assert (
        skeleton(written(tmp_path / "report.html", text, figures=figures)).tags
        == skeleton(tame).tags
    )


def test_page_requests_nothing(tmp_path: Path) -> None:
    html = written(tmp_path / "report.html", "calm", figures={"HR@1": forest.forest([record("x")])})
    policy = html.index("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert policy < html.index("<style>")
    found = skeleton(html)
    assert not {"script", "iframe", "object", "form", "base"} & {tag for tag, *_ in found.tags}
    assert all(link.startswith(("#", "data:")) for link in found.links)
    assert not [names for _, *names in found.tags if any(name.startswith("on") for name in names)]
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_page_shows_the_results(tmp_path: Path) -> None:
    text = skeleton(written(tmp_path / "report.html", "calm")).text
    for part in ("0.400", "0.370–0.430", "1,000 users", "100.0%", "GraphSAGE †", records.FOOTNOTE):
        assert part in text
    html = written(
        tmp_path / "bare.html", "calm", records=[], published=[], figures={}, browser=None, notes=[]
    )
    assert "No method has been ranked yet" in html
    assert "<h2>Figures" not in html
    assert records.DAGGER not in skeleton(html).text.split("Results")[1]


@pytest.mark.parametrize("ranks", [(2, 0, 1, 0), (0, 0, 0, 0)])
def test_case_has_the_ranks_of_every_arm(ranks: tuple[int, ...], tmp_path: Path) -> None:
    html = written(tmp_path / "report.html", "calm", browser=browser("calm", ranks=ranks))
    shown = re.findall(r'style="--p0:(\d+);--p1:(\d+);"', html)
    assert [(int(a), int(b)) for a, b in shown] == [
        (n, rank or 99) for n, rank in enumerate(ranks, 1)
    ]
    assert html.count('class="truth"') == 1
    assert [f"{stars}</text>" in html for stars in ("★★★★★ 5", "★★★★☆ 4", "★★½☆☆ 2.5")] == [
        True
    ] * 3
    assert len(re.findall(r'id="1-c1-\d"', html)) == 4
    assert len(re.findall(r'id="1-c2-\d"', html)) == 3  # it is open: its last rating is asked for


def test_a_wrong_claim_has_the_true_value_beside_it(tmp_path: Path) -> None:
    html = written(tmp_path / "report.html", "calm")
    assert '<li class="wrong">calm<del>calm</del><ins><a href="#1-c1">calm</a></ins>' in html
    assert "<del>9</del><ins>not in the prompt</ins>" in html
    assert "ranked 2 of 4<small>, misread</small>" in html


def test_equal_answers_are_written_once(tmp_path: Path) -> None:
    shown = browser("calm")
    answer = shown.cases[0].answers[0]
    twice = shown.cases[0]._replace(answers=[answer, answer._replace(summary="ranked 3 of 4")])
    assert twice.distinct_answers() == [(answer, [])]
    assert [others for _, others in shown.cases[0].distinct_answers()] == [[1], [0]]
    html = written(tmp_path / "report.html", "calm", browser=shown._replace(cases=[twice]))
    assert html.count('<ol class="thought">') == 1


def test_a_heavy_page_tells_of_some_of_every_kind_and_lists_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = browser("calm")
    often = shown.cases[0]
    rare = often._replace(answers=[answer._replace(verdict="invalid") for answer in often.answers])
    many = shown._replace(cases=[*[often] * 60, rare], total=61)
    whole = written(tmp_path / "whole.html", "calm", browser=many)
    assert whole.count('<details name="case"') == 61
    assert "told in full" not in whole
    limit = len(whole.encode()) * 2 // 3
    monkeypatch.setattr(page, "MAX_WEIGHT", limit)
    html = written(tmp_path / "report.html", "calm", browser=many)
    assert len(html.encode()) <= limit
    told = html.count('<details name="case"')
    assert 20 < told < 60
    assert html.count('<p class="case line') == 61 - told
    assert f"{told} users are told in full" in html
    assert '<details name="case" class="case x0 x1"' in html


def test_the_list_says_what_other_methods_do_and_where_arms_disagree(tmp_path: Path) -> None:
    shown = browser("calm")
    [case] = shown.cases
    assert case.split
    agreed = case._replace(answers=[case.answers[0]] * 2, places=(4, 0))
    assert not agreed.split
    cases = [case._replace(places=(12, 1)), agreed]
    methods = ["popularity", "R2Rec"]
    html = written(
        tmp_path / "report.html", "calm", browser=shown._replace(cases=cases, methods=methods)
    )
    assert "<small><i>12</i><i>1</i></small>" in html
    assert "<small><i>4</i><i>–</i></small>" in html
    assert "place 12 by popularity, place 1 by R2Rec." in html
    assert "nowhere by R2Rec." in html
    assert html.count(' split"') == 1
    assert "methods disagree <b>1</b>" in html


def test_what_must_be_known_comes_first(tmp_path: Path) -> None:
    strip = Cost({"time of all stages": "3 min"}, [StageCost("sft", "made", "2 s", "1 GB", "5K")])
    html = written(tmp_path / "report.html", "calm", banners=["Beware."], cost=strip)
    order = ["<h1>", "Beware.", "3 min", "<h2>Results", "<h2>Every user", "<h2>What ran"]
    assert sorted(order, key=html.index) == order
    assert "1 stages" in html


def test_published_figures_are_folded(tmp_path: Path) -> None:
    html = written(tmp_path / "report.html", "calm")
    assert html.index('<details class="fold">') < html.index('<table class="reference">')


def test_every_link_has_a_target(tmp_path: Path) -> None:
    html = written(tmp_path / "report.html", "calm")
    links = re.findall(r'href="#([^"]+)"', html)
    targets = re.findall(r' id="([^"]+)"', html)
    assert set(links) == {"1-c1", "1-c1-2", "1-kA"}
    assert set(links) <= set(targets)
    assert len(targets) == len(set(targets))


def test_case_shows_evidence_as_a_way_to_a_candidate(tmp_path: Path) -> None:
    html = written(tmp_path / "report.html", "calm", browser=evidence_browser("calm"))
    text = " ".join(skeleton(html).text.split())
    for words in ("★★★★½ 4.5", "1,200 others", "34 soon rated C", "28 liked it", "C calm"):
        assert words in text
    assert "9 items lead here" in text
    assert "1 item leads here" in text
    assert "another model ranks it 2" in text
    assert "gave 2 to calm; 1 others rated it; 1 of them soon rated A, 0 liked it" in html
    assert text.count("another model") == 1
    assert "By evidence, strongest first: C, A, B" in text
    assert "No chain leads to: D" in text
    for facts in ("1 rating, 100% liked", "0 ratings, 0% liked", "3,012 ratings, 78% liked"):
        assert facts in text
    assert len(re.findall(r'<g class="h" id="1-c[12]-[123]">', html)) == 6
    assert "Interaction chains" not in text
    assert "hops 1 to 4" not in text
    assert "to all others who rated it" in text


def test_other_chains_have_no_evidence_beside_them(tmp_path: Path) -> None:
    text = skeleton(written(tmp_path / "report.html", "calm")).text
    assert "hops 1 to 4" in text
    for words in ("Evidence chains", "By evidence", "leads to", "% liked", "others rated"):
        assert words not in text


def test_evidence_that_leads_nowhere_says_so(tmp_path: Path) -> None:
    shown = evidence_browser("calm", n_full=0)
    case = shown.cases[0]._replace(evidence=ShownEvidence([], [], [2, 0, 1, 3]), facts=())
    html = written(tmp_path / "report.html", "calm", browser=shown._replace(cases=[case]))
    text = skeleton(html).text
    assert "No chain leads to: C, A, B, D" in text
    assert "By evidence" not in text
    assert 'class="chains"' not in html
    assert "% liked" not in text


def test_every_link_about_evidence_has_a_target(tmp_path: Path) -> None:
    html = written(tmp_path / "report.html", "calm", browser=evidence_browser("calm"))
    links = set(re.findall(r'href="#([^"]+)"', html))
    targets = re.findall(r' id="([^"]+)"', html)
    assert links == {"1-c0", "1-c1", "1-c1-3", "1-kA", "1-kB", "1-kC", "1-kD"}
    assert links <= set(targets)
    assert len(targets) == len(set(targets))


def test_counts_and_classes_follow_the_verdicts(tmp_path: Path) -> None:
    html = written(tmp_path / "report.html", "calm")
    assert 'class="case r0 w1 split" style="--r0:1;--r1:2;" open' in html
    counts = re.findall(
        r'id="(right|wrong|invalid)">\w+ <b class="a0">(\d)</b> <b class="a1">(\d)</b>', html
    )
    assert counts == [("right", "1", "0"), ("wrong", "0", "1"), ("invalid", "0", "0")]


def test_published_rows_show_our_difference(tmp_path: Path) -> None:
    rows = [record("graphsage", value=0.5), record("R2Rec without RL", value=0.5)]
    rows += [record("backbone", variant=v, value=0.156) for v in ("base", "base, prompt=no_chain")]
    text = skeleton(written(tmp_path / "report.html", "calm", records=rows)).text
    assert "backbone, no chains8B parameters0.156+0.000" in text
    assert "backbone, no thought8B parameters0.1860.327" in text  # none of ours
    assert "GraphSAGE †0.313+0.1870.491+0.0090.461+0.039" in text
    assert "R2Rec without RL8B parameters0.320+0.180" in text
    assert "NGCF †0.3580.512" in text


def test_figures_must_be_svg(tmp_path: Path) -> None:
    with pytest.raises(R2RecError, match="not an SVG"):
        written(tmp_path / "report.html", "calm", figures={"x": "<script>"})
    assert not list(tmp_path.iterdir())
