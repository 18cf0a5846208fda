"""``task_match``: which offered task shares most words with a note."""

import json

from demo.stand_in.question import Question
from demo.stand_in.schema import Json
from demo.stand_in.words import stems

_ENOUGH = 0.5


def match(question: Question) -> Json:
    """The offered task with the greatest share of its words in the note, if half of them are."""
    note = stems(question.sections.get("memory_content", ""))
    best, share = None, 0.0
    for task in _offered(question.sections.get("open_tasks", "")):
        wanted = stems(task["description"])
        task_share = len(wanted & note) / len(wanted) if wanted else 0.0
        if task_share > share:
            best, share = task, task_share
    if best is None or share < _ENOUGH:
        sure = round(1 - share, 2)
        return {"matched_task_id": None, "confidence": sure, "reason": "Too few words in common."}
    shared = ", ".join(sorted(stems(best["description"]) & note))
    return {
        "matched_task_id": best["id"],
        "confidence": round(0.55 + 0.4 * share, 2),
        "reason": f"Both speak of: {shared}.",
    }


def _offered(lines: str) -> list[dict[str, str]]:
    """The tasks, one JSON object a line; lines that are something else are left out."""
    tasks = []
    for line in lines.splitlines():
        try:
            task = json.loads(line.strip().rstrip(","))
        except ValueError:
            continue
        if isinstance(task, dict) and {"id", "description"} <= set(task):
            tasks.append({"id": str(task["id"]), "description": str(task["description"])})
    return tasks
