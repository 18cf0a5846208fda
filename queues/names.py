"""Names of RQ lists: a queue and a priority make a list; a worker serves all three of a queue."""

from collections.abc import Iterable
from typing import Literal, get_args

Priority = Literal["high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)


def list_name(queue: str, priority: str) -> str:
    """The RQ list that holds the tickets of ``queue`` with ``priority``.

    ``NAME-high``, ``NAME`` for ``normal``, ``NAME-low``. Raises ``ValueError`` on another priority.
    """
    if priority not in PRIORITIES:
        raise ValueError(f"priority must be one of {', '.join(PRIORITIES)}, not {priority!r}")
    return queue if priority == "normal" else f"{queue}-{priority}"


def lists_of(queue: str) -> list[str]:
    """The lists of a queue in the order in which a worker empties them."""
    return [list_name(queue, priority) for priority in PRIORITIES]


def expand(queues: Iterable[str]) -> list[str]:
    """The lists that a worker serves for the names it was given, each once, in order.

    A name that is itself a list (``llm_intent-high``) stands for itself alone.
    """
    names: list[str] = []
    for queue in queues:
        is_list = queue.endswith(("-high", "-low"))
        for name in [queue] if is_list else lists_of(queue):
            if name not in names:
                names.append(name)
    return names
