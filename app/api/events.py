"""``/events``: calendar events; email_extract proposes ``pending`` ones."""

from typing import Literal, Self

from apiflask import APIBlueprint
from pydantic import model_validator

from app.api.fields import In, Out, ShortText, Text, Time, UserId, UserIdFilter
from app.api.paging import Page, list_of
from app.api.services import services
from app.errors import NotFoundError
from app.store import calendar

blueprint = APIBlueprint("events", __name__, url_prefix="/events", tag="Calendar events")

EventStatus = Literal["pending", "confirmed", "rejected"]


class EventIn(In):
    """A calendar event."""

    owner_user_id: UserId
    description: Text
    event_time: Time
    source_type: ShortText | None = None
    source_detail: Text | None = None


class EventPatch(In):
    """What changes."""

    status: EventStatus | None = None
    description: Text | None = None
    event_time: Time | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(value is not None for _name, value in self):
            raise ValueError("send at least one of status, description, event_time")
        return self


class EventFilter(Page):
    """Which events."""

    owner_user_id: UserIdFilter | None = None
    status: EventStatus | None = None


class EventOut(Out):
    """A calendar event."""

    id: str
    owner_user_id: int
    description: str
    event_time: Time
    source_type: str | None
    source_detail: str | None
    status: EventStatus
    created_at: Time

    @classmethod
    def of(cls, row: calendar.EventRow | None) -> "EventOut":
        """From the store's row; raises ``NotFoundError`` when there is none."""
        if row is None:
            raise NotFoundError("There is no such event.")
        return cls.model_validate(row, from_attributes=True)


@blueprint.post("")
@blueprint.input(EventIn)
@blueprint.output(EventOut, status_code=201)
def add_event(json_data: EventIn) -> tuple[EventOut, int, dict[str, str]]:
    """Add an event; it is ``pending`` until it is confirmed."""
    with services().database.begin() as connection:
        event = EventOut.of(calendar.add(connection, **dict(json_data)))
    return event, 201, {"Location": f"/events/{event.id}"}


@blueprint.get("")
@blueprint.input(EventFilter, location="query")
@blueprint.output(list_of(EventOut))
def list_events(query_data: EventFilter) -> tuple[list[EventOut], int, dict[str, str]]:
    """List events, newest first by when they were added, not by when they take place."""
    with services().database.read() as connection:
        rows = calendar.list_newest(
            connection,
            owner_user_id=query_data.owner_user_id,
            status=query_data.status,
            **query_data.window(),
        )
    page, headers = query_data.cut(rows)
    return [EventOut.of(row) for row in page], 200, headers


@blueprint.get("/<event_id>")
@blueprint.output(EventOut)
@blueprint.doc(responses={404: "There is no such event"})
def show_event(event_id: str) -> EventOut:
    """Read an event."""
    with services().database.read() as connection:
        return EventOut.of(calendar.get(connection, event_id))


@blueprint.patch("/<event_id>")
@blueprint.input(EventPatch)
@blueprint.output(EventOut)
@blueprint.doc(responses={404: "There is no such event"})
def change_event(event_id: str, json_data: EventPatch) -> EventOut:
    """Confirm or reject an event, or change its description or time."""
    with services().database.begin() as connection:
        return EventOut.of(calendar.update(connection, event_id, **dict(json_data)))
