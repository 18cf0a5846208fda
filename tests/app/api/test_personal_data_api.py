from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

AssertProblem = Callable[..., dict[str, Any]]

MEMORY = {"content": "A red bicycle by the lake", "owner_user_id": 12345}
TASK = {"description": "Call the dentist", "owner_user_id": 12345}
EVENT = {
    "owner_user_id": 12345,
    "description": "Concert",
    "event_time": "2030-05-01T20:00:00+02:00",
}
COLLECTIONS = [("/memories", MEMORY), ("/tasks", TASK), ("/events", EVENT)]


@pytest.mark.parametrize(("address", "body"), COLLECTIONS)
def test_what_is_added_can_be_read_back(
    client: FlaskClient, address: str, body: dict[str, Any]
) -> None:
    response = client.post(address, json=body)
    assert response.status_code == 201
    row = response.json
    assert response.headers["Location"] == f"{address}/{row['id']}"
    assert row["created_at"].endswith("Z")
    assert client.get(response.headers["Location"]).json == row
    assert client.get(address).json == [row]


@pytest.mark.parametrize(("address", "body"), COLLECTIONS)
def test_lists_are_newest_first_per_owner_with_a_link_to_the_rest(
    client: FlaskClient, address: str, body: dict[str, Any]
) -> None:
    ids = [client.post(address, json=body).json["id"] for _ in range(3)]
    client.post(address, json=body | {"owner_user_id": 2})
    first = client.get(f"{address}?owner_user_id=12345&limit=2")
    following = first.headers["Link"].partition(">")[0].lstrip("<")
    rest = client.get(following)
    assert [row["id"] for row in first.json + rest.json] == ids[::-1]
    assert "Link" not in rest.headers
    assert [row["id"] for row in client.get(f"{address}?limit=1&offset=3").json] == ids[:1]


@pytest.mark.parametrize(("address", "body"), COLLECTIONS)
@pytest.mark.parametrize("owner", [2**63, "12345", None, 1.5, True])
def test_an_owner_is_a_64_bit_integer(
    sqlite_client: FlaskClient,
    assert_problem: AssertProblem,
    address: str,
    body: dict[str, Any],
    owner: Any,
) -> None:
    response = sqlite_client.post(address, json=body | {"owner_user_id": owner})
    problem = assert_problem(response, 422, "invalid_input")
    assert problem["errors"][0]["loc"] == "owner_user_id"


@pytest.mark.parametrize(("address", "body"), COLLECTIONS)
def test_what_is_not_there_is_404(
    client: FlaskClient, assert_problem: AssertProblem, address: str, body: dict[str, Any]
) -> None:
    assert_problem(client.get(f"{address}/nothing"), 404, "not_found")


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/memories", MEMORY | {"content": ""}),
        ("/memories", MEMORY | {"content": "x" * 100_001}),
        ("/memories", MEMORY | {"tag": "x"}),
        ("/memories/m/tags", {"tags": []}),
        ("/memories/m/tags", {"tags": ["  "]}),
        ("/memories/m/tags", {"tags": ["x" * 51]}),
        ("/memories/m/tags", {"tags": ["x"], "status": "perhaps"}),
        ("/tasks", TASK | {"due_at": "2030-05-01"}),
        ("/tasks", {"owner_user_id": 1}),
        ("/events", EVENT | {"event_time": "2030-05-01T20:00:00"}),
        ("/events", EVENT | {"event_time": "0001-01-01T00:00:00+12:00"}),
    ],
)
def test_a_wrong_body_is_refused(
    sqlite_client: FlaskClient, assert_problem: AssertProblem, address: str, body: dict[str, Any]
) -> None:
    assert_problem(sqlite_client.post(address, json=body), 422, "invalid_input")


def test_tags_are_added_and_confirmed(client: FlaskClient) -> None:
    memory = client.post("/memories", json=MEMORY).json
    address = f"/memories/{memory['id']}/tags"
    suggested = {"tags": ["Lake", "bike"], "status": "suggested"}
    assert client.post(address, json=suggested).status_code == 201
    tags = client.post(address, json={"tags": ["bike"]}).json
    assert tags == [
        {"tag": "lake", "status": "suggested"},
        {"tag": "bike", "status": "confirmed"},
    ]
    newest_first = client.get(address, query_string={"limit": 1})
    assert newest_first.json == tags[:0:-1]
    following = newest_first.headers["Link"].split(">")[0].removeprefix("<")
    assert client.get(following).json == tags[:1]
    assert "Link" not in client.get(following).headers
    assert client.get(f"/memories/{memory['id']}").json["tags"] == tags


def test_a_memory_kept_elsewhere_can_have_tags(client: FlaskClient) -> None:
    assert client.get("/memories/elsewhere-7/tags").json == []
    client.post("/memories/elsewhere-7/tags", json={"tags": ["blue"]})
    assert client.get("/memories/elsewhere-7/tags").json == [{"tag": "blue", "status": "confirmed"}]


def test_the_search_finds_content_and_tags_best_first(client: FlaskClient) -> None:
    lake = client.post("/memories", json=MEMORY).json
    other = client.post("/memories", json=MEMORY | {"content": "A red car"}).json
    client.post("/memories", json={"content": "A red lake", "owner_user_id": 2})
    hits = client.get("/search?q=red+lake&owner=12345").json
    assert [hit["memory"]["id"] for hit in hits] == [lake["id"], other["id"]]
    assert hits[0]["score"] > hits[1]["score"] > 0
    assert hits[0]["memory"] == lake
    assert len(client.get("/search?q=red").json) == 3
    first = client.get("/search?q=red+lake&limit=1&owner=12345")
    assert [hit["memory"]["id"] for hit in first.json] == [lake["id"]]
    second = client.get(first.headers["Link"].partition(">")[0].lstrip("<"))
    assert [hit["memory"]["id"] for hit in second.json] == [other["id"]]
    assert "Link" not in second.headers
    assert client.get("/search?q=%22%27)(*").json == []


def test_a_search_needs_a_query(sqlite_client: FlaskClient, assert_problem: AssertProblem) -> None:
    problem = assert_problem(sqlite_client.get("/search?owner=1"), 422, "invalid_input")
    assert problem["errors"] == [{"loc": "query.q", "msg": "Field required"}]


def test_a_task_is_done_and_leaves_the_open_ones(client: FlaskClient) -> None:
    task = client.post("/tasks", json=TASK | {"due_at": "2030-01-01T00:00:00Z"}).json
    assert (task["state"], task["due_at"]) == ("NOT_DONE", "2030-01-01T00:00:00Z")
    open_tasks = "/tasks?owner_user_id=12345&state=NOT_DONE"
    assert client.get(open_tasks).json == [task]
    done = client.patch(f"/tasks/{task['id']}", json={"state": "DONE"}).json
    assert done == task | {"state": "DONE"}
    assert client.get(open_tasks).json == []


def test_a_tasks_time_is_removed_by_null_and_left_alone_otherwise(client: FlaskClient) -> None:
    task = client.post("/tasks", json=TASK | {"due_at": "2030-01-01T00:00:00Z"}).json
    address = f"/tasks/{task['id']}"
    assert client.patch(address, json={"description": "Call her"}).json["due_at"]
    changed = client.patch(address, json={"due_at": None}).json
    assert (changed["due_at"], changed["description"]) == (None, "Call her")


def test_an_event_is_pending_until_it_is_confirmed(client: FlaskClient) -> None:
    event = client.post("/events", json=EVENT | {"source_type": "email"}).json
    assert (event["status"], event["event_time"]) == ("pending", "2030-05-01T18:00:00Z")
    changes = {"status": "confirmed", "event_time": "2030-05-01T19:00:00Z"}
    confirmed = client.patch(f"/events/{event['id']}", json=changes).json
    assert confirmed == event | changes
    assert client.get("/events?status=pending").json == []
    assert client.get("/events?status=confirmed").json == [confirmed]


@pytest.mark.parametrize("address", ["/tasks", "/events"])
@pytest.mark.parametrize("body", [{}, {"state": "LATER", "status": "perhaps"}])
def test_a_change_that_makes_no_sense_is_refused(
    client: FlaskClient, assert_problem: AssertProblem, address: str, body: dict[str, Any]
) -> None:
    assert_problem(client.patch(f"{address}/nothing", json=body), 422, "invalid_input")


def test_changing_what_is_not_there_is_404(
    client: FlaskClient, assert_problem: AssertProblem
) -> None:
    assert_problem(client.patch("/tasks/nothing", json={"state": "DONE"}), 404, "not_found")
    confirmed = {"status": "confirmed"}
    assert_problem(client.patch("/events/nothing", json=confirmed), 404, "not_found")
