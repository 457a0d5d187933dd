"""What is committed of the notebook; `.ci/run` executes it."""

import json
from pathlib import Path

import purejaxrrl

NOTEBOOK = Path(purejaxrrl.__file__).parents[1] / "experiments" / "first_steps.ipynb"


def test_it_is_committed_without_what_its_cells_printed():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5
    assert not [cell for cell in cells if cell["outputs"] or cell["execution_count"]]
    assert NOTEBOOK.stat().st_size < 20_000
