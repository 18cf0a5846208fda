"""A ticket: the RQ job that carries ``{job_id, seq}``, and how its RQ id is spelled."""

import re
from dataclasses import dataclass

# No more than what a database's columns hold: anybody may have written the RQ job.
_RQ_ID = re.compile(r"(?P<job_id>[A-Za-z0-9_-]{1,64})-(?P<seq>[1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Ticket:
    """What is pushed to RQ: a job's id and the dispatch generation that makes older ones void."""

    job_id: str
    seq: int
    job_type: str
    list_name: str
    """The RQ list: the queue with its priority."""

    @property
    def rq_id(self) -> str:
        """The id of the RQ job; a new generation is a new id, so a lost one cannot block it."""
        return f"{self.job_id}-{self.seq}"

    def previous(self) -> "Ticket":
        """The ticket of the generation before this one."""
        return Ticket(self.job_id, self.seq - 1, self.job_type, self.list_name)


def parse_rq_id(rq_id: str) -> tuple[str, int] | None:
    """The job's id and the generation of an RQ id; ``None`` when the RQ job is not a ticket."""
    match = _RQ_ID.fullmatch(rq_id)
    return (match["job_id"], int(match["seq"])) if match else None
