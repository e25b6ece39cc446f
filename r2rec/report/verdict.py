"""The verdict: one sentence on each data set, of what won and of what cannot be said.

What won, by how much, whether it could be chance, on how many users. It opens the page, closes the
console's output, and is the note of a dashboard. It claims nothing that an interval and a test do
not show: a lead that may be chance is none, and one seed tells nothing of another training.
"""

import textwrap
from collections.abc import Mapping, Sequence

from r2rec.base.words import enumeration
from r2rec.evaluate.names import metric_title
from r2rec.report.compare import Setting
from r2rec.report.findings import Contest, Findings, Lead, Standing
from r2rec.report.fitting import WIDTH
from r2rec.report.naming import arm_names
from r2rec.report.numbers import interval, p_is, signed, value_text
from r2rec.report.repeats import WORDS

FEW_USERS = 30  # below, whatever was found is an anecdote
MOST_NAMED = 3  # arms that are level with the best

Names = Mapping[Setting, str]


def run_verdict(findings: Findings) -> str:
    """A sentence for each data set, on lines of their own; "" where nothing was ranked."""
    title = metric_title(findings.metrics[0])
    return "\n".join(_sentence(contest, title) for contest in findings.contests)


def verdict_text(findings: Findings) -> str:
    """The same for a terminal: within its width, and marked as what it is."""
    lines = run_verdict(findings).splitlines()
    return "\n".join(textwrap.fill(line, WIDTH, initial_indent="verdict: ") for line in lines)


def names_of(contest: Contest) -> Names:
    """What the arms of a data set are called."""
    settings = [standing.setting for standing in contest.standings]
    names = arm_names([setting._asdict() for setting in settings])
    return dict(zip(settings, names, strict=True))


def _sentence(contest: Contest, title: str) -> str:
    names = names_of(contest)
    parts = [
        _claim(contest, names, title),
        _on_focus(contest, names),
        _on_chance(contest, title),
        _limits(contest),
    ]
    return f"{'; '.join(filter(None, parts))}."


def _claim(contest: Contest, names: Names, title: str) -> str:
    """What won, and by how much."""
    best = contest.best
    name = names[best.setting]
    where = f"on {best.row['users']} {_plural('user', best.row['users'])} of {contest.dataset}"
    if contest.seeds > 1:
        where += f" at {contest.seeds} seeds"
        if contest.varied and "data" not in contest.varied:
            where += f" of {' and '.join(WORDS[side] for side in contest.varied)}"
    compared = [standing for standing in contest.standings if standing.behind]
    if not compared:
        return f"{name} has {title} {value_text(best.value)} {where}, and is compared with nothing"
    if best.value == 0:
        return f"No winner {where}: {title} is 0 for all"
    compared.sort(key=lambda standing: -standing.value)
    level = [standing for standing in compared if standing.behind and not standing.behind.sure]
    if level:
        level.sort(key=lambda standing: standing.setting != contest.focus.setting)
        return (
            f"No winner {where}: {name} has the highest {title}, {value_text(best.value)}, but "
            f"{_level(level, names)}"
        )
    second = compared[0]
    assert second.behind is not None
    ahead = f"{value_text(second.behind.difference)} above {names[second.setting]}"
    others = " and further above the others" if len(compared) > 1 else ""
    return (
        f"{name} wins {where}: {title} {value_text(best.value)}, {ahead} "
        f"({_chance_of(second.behind)}){others}"
    )


def _level(level: Sequence[Standing], names: Names) -> str:
    """Which arms the best one is not shown to be better than."""
    told = []
    for standing in level[:MOST_NAMED]:
        lead = standing.behind
        assert lead is not None
        about = f"{signed(-lead.difference)}, {p_is(lead.p_holm)}"
        if lead.kind:
            about += f", {lead.kind}"
        if lead.difference == 0:
            about = "a tie"
        told.append(f"{names[standing.setting]} ({about})")
    if len(level) > MOST_NAMED:
        told.append(f"{len(level) - MOST_NAMED} more")
    are = "is" if len(level) == 1 else "are"
    return f"{enumeration(told)} {are} within chance of it"


def _on_focus(contest: Contest, names: Names) -> str:
    """Where the arm that the run is about stands, unless the claim says it."""
    focus = contest.focus
    name = names[focus.setting]
    if focus.row["valid_ratio"] == 0:
        return f"{name} gave no answer that could be read"
    lead = focus.behind
    if lead is None or not contest.best.value:
        return ""
    if lead.sure:
        return f"{name} is {value_text(lead.difference)} below ({_chance_of(lead)})"
    return ""


def _on_chance(contest: Contest, title: str) -> str:
    """That the best arm may be no better than a random order, where it may be."""
    best = contest.best
    metric = title.lower()
    low, _ = best.row["ci95"][metric]
    if low > contest.chance[metric]:
        return ""
    return f"none is shown to be above a random order ({value_text(contest.chance[metric])})"


def _limits(contest: Contest) -> str:
    """What cannot be said."""
    limits = []
    if contest.n_users < FEW_USERS:
        limits.append(f"{contest.n_users} users are too few to conclude from")
    missing = sum(standing.behind is None for standing in contest.standings) - 1
    if missing > 0:
        limits.append(f"{missing} {_plural('arm', str(missing))} with other candidates left out")
    unseen = [
        standing.behind.detectable
        for standing in contest.standings
        if standing.behind and not standing.behind.sure and standing.behind.detectable
    ]
    if unseen and max(unseen) >= 1:
        limits.append("no difference could show")
    elif unseen:
        limits.append(f"a difference below {value_text(max(unseen))} would not show")
    if "train" not in contest.varied:
        limits.append("one seed cannot say what training again would change")
    elif "data" not in contest.varied:
        limits.append("other candidates, users and data are not asked")
    else:
        limits.append("other data and other backbones are not asked")
    return ", ".join(limits)


def _chance_of(lead: Lead) -> str:
    kind = f", {lead.kind}" if lead.kind else ""
    return f"95% interval {interval(lead.ci95)}, {p_is(lead.p_holm)} by Holm{kind}"


def _plural(word: str, count: str) -> str:
    return word if count == "1" else f"{word}s"
