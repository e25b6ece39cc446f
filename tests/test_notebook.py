"""The notebook runs from its first cell to its last."""

import json
from pathlib import Path

import pytest

from r2rec.results.plots import Picture

NOTEBOOK = Path(__file__).parents[1] / "examples" / "shop.ipynb"


@pytest.mark.slow
def test_every_cell_of_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        assert not cell.get("outputs"), "outputs are not committed"
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    said = capsys.readouterr().out
    assert "products" in said
    assert names["differences"].height  # type: ignore[attr-defined]
    picture = [cell for cell in cells if "plot_differences" in "".join(cell["source"])]
    assert isinstance(eval("".join(picture[0]["source"]), names), Picture)
