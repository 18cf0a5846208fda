"""What a prompt says about the time: job types have no clock of their own."""

from datetime import datetime

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def now_texts(now: datetime) -> dict[str, str | None]:
    """The sections ``now`` (RFC 3339 with the offset of ``now``) and ``weekday``, in English."""
    return {"now": now.isoformat(timespec="seconds"), "weekday": _DAYS[now.weekday()]}
