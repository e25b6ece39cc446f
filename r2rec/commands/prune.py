"""`r2rec prune [--delete]`"""

from pathlib import Path

from r2rec.base.errors import R2RecError
from r2rec.commands import Parser
from r2rec.results.find import ROOT, STORE, folders


def prune_store(words: list[str]) -> None:
    """Tell what the store holds and what no run needs; remove that where asked to."""
    from r2rec.results import prune

    parser = Parser(
        "prune",
        "What the store holds, and what of it no run needs. Nothing is removed without --delete.\n"
        "An artefact is needed if the manifest.json of a run lists it; what was removed can be\n"
        "made again. Downloads and paid answers of endpoints are always kept.",
    )
    parser.add_argument(
        "--store",
        type=Path,
        default=ROOT / STORE,
        metavar="FOLDER",
        help="artefacts=FOLDER of runs",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        action="append",
        metavar="FOLDER",
        help=f"where all runs are that use the store; may repeat (default: {ROOT})",
    )
    parser.add_argument("--delete", action="store_true", help="remove what no run needs")
    parser.add_argument(
        "--unfinished",
        action="store_true",
        help="also what stopped runs left, from which the same run would go on",
    )
    given = parser.parse_args(words)
    roots = given.runs or [ROOT]
    artefacts = prune.stored(given.store, roots)
    n_runs = sum(len(folders(root)) for root in roots)
    spare = [one for one in artefacts if one.spare or (given.unfinished and one.unfinished)]
    size = prune.shown_size(sum(one.size for one in spare))
    looked = f"{n_runs} runs in {', '.join(map(str, roots))}"
    if not given.delete:
        print(prune.store_summary(given.store, artefacts))
        print(f"\n{len(spare)} artefacts ({size}) can go; looked at {looked}.")
        print("--delete removes them. Are there runs elsewhere? Name their folders with --runs.")
        return
    if not n_runs:
        raise R2RecError(f"there is no run in {', '.join(map(str, roots))}: name folders by --runs")
    removed = prune.delete(spare)
    freed = prune.shown_size(sum(one.size for one in removed))
    print(f"removed {len(removed)} artefacts ({freed}) that none of {looked} needs")
    if len(removed) < len(spare):
        print(f"{len(spare) - len(removed)} stay: a run is making them")
