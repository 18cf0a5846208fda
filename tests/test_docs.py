"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

from app.jobs.status import TRANSITIONS, JobStatus

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_graph_of_the_states_is_the_code():
    graph = (ROOT / "docs/state-machine.md").read_text().split("```mermaid")[1].split("```")[0]
    drawn = set(re.findall(r"^\s*(\S+) --> (\w+):", graph, re.MULTILINE))

    coded = {(s.value, t.value) for s, targets in TRANSITIONS.items() for t in targets}
    assert drawn == coded | {("[*]", "queued")}


def test_every_state_has_a_line_in_the_table():
    table = (ROOT / "docs/state-machine.md").read_text()
    for status in JobStatus:
        assert f"| `{status}` |" in table


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(document):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target
