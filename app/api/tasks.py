"""``/tasks``: what task_match compares a memory with."""

from typing import Literal, Self

from apiflask import APIBlueprint
from pydantic import model_validator

from app.api.fields import In, Out, Text, Time, UserId, UserIdFilter
from app.api.paging import Page, list_of
from app.api.services import services
from app.errors import NotFoundError
from app.store import tasks

blueprint = APIBlueprint("tasks", __name__, url_prefix="/tasks", tag="Tasks")

TaskState = Literal["NOT_DONE", "DONE"]


class TaskIn(In):
    """A task to be done."""

    description: Text
    owner_user_id: UserId
    due_at: Time | None = None


class TaskPatch(In):
    """What changes; ``due_at: null`` removes the time."""

    state: TaskState | None = None
    description: Text | None = None
    due_at: Time | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("send at least one of state, description, due_at")
        return self


class TaskFilter(Page):
    """Which tasks."""

    owner_user_id: UserIdFilter | None = None
    state: TaskState | None = None


class TaskOut(Out):
    """A task."""

    id: str
    description: str
    owner_user_id: int
    due_at: Time | None
    state: TaskState
    created_at: Time

    @classmethod
    def of(cls, row: tasks.TaskRow | None) -> "TaskOut":
        """From the store's row; raises ``NotFoundError`` when there is none."""
        if row is None:
            raise NotFoundError("There is no such task.")
        return cls.model_validate(row, from_attributes=True)


@blueprint.post("")
@blueprint.input(TaskIn)
@blueprint.output(TaskOut, status_code=201)
def add_task(json_data: TaskIn) -> tuple[TaskOut, int, dict[str, str]]:
    """Add a task; it is not done."""
    with services().database.begin() as connection:
        task = TaskOut.of(tasks.add(connection, **dict(json_data)))
    return task, 201, {"Location": f"/tasks/{task.id}"}


@blueprint.get("")
@blueprint.input(TaskFilter, location="query")
@blueprint.output(list_of(TaskOut))
def list_tasks(query_data: TaskFilter) -> tuple[list[TaskOut], int, dict[str, str]]:
    """List tasks, newest first."""
    with services().database.read() as connection:
        rows = tasks.list_newest(
            connection,
            owner_user_id=query_data.owner_user_id,
            state=query_data.state,
            **query_data.window(),
        )
    page, headers = query_data.cut(rows)
    return [TaskOut.of(row) for row in page], 200, headers


@blueprint.get("/<task_id>")
@blueprint.output(TaskOut)
@blueprint.doc(responses={404: "There is no such task"})
def show_task(task_id: str) -> TaskOut:
    """Read a task."""
    with services().database.read() as connection:
        return TaskOut.of(tasks.get(connection, task_id))


@blueprint.patch("/<task_id>")
@blueprint.input(TaskPatch)
@blueprint.output(TaskOut)
@blueprint.doc(responses={404: "There is no such task"})
def change_task(task_id: str, json_data: TaskPatch) -> TaskOut:
    """Change a task: done or not, its description, its time."""
    changes = json_data.model_dump(include=json_data.model_fields_set)
    with services().database.begin() as connection:
        return TaskOut.of(tasks.update(connection, task_id, **changes))
