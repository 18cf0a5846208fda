"""A ticket: the RQ job that carries ``{job_id, seq}``, and how its RQ id is spelled."""

from dataclasses import dataclass


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
    job_id, separator, seq = rq_id.rpartition("-")
    if not separator or not job_id or not seq.isascii() or not seq.isdigit():
        return None
    return job_id, int(seq)
