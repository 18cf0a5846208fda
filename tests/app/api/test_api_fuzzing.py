"""Random bodies and addresses: whatever comes, the answer is never a 5xx."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.job_types.registry import all_job_types

JOB_TYPES = sorted(all_job_types())
FUZZ = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

numbers = st.integers() | st.floats() | st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e308])
scalars = st.none() | st.booleans() | numbers | st.text() | st.datetimes().map(str)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
times = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2030-01-01T00:00:60Z"]
)
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "/llm_jobs": {
        "job_type": st.sampled_from(JOB_TYPES),
        "payload": st.fixed_dictionaries(
            {},
            optional={
                name: values | st.text()
                for job_type in all_job_types().values()
                for name in job_type.payload_model.model_fields
            },
        ),
        "user_id": numbers,
        "max_attempts": numbers,
        "run_at": times,
        "priority": st.sampled_from(["high", "normal", "low", "?"]),
        "metadata": st.dictionaries(st.text(), values),
    },
    "/memories": {"content": st.text(), "owner_user_id": numbers, "image_path": st.text()},
    "/memories/m/tags": {"tags": st.lists(st.text()), "status": st.text()},
    "/tasks": {"description": st.text(), "owner_user_id": numbers, "due_at": times},
    "/events": {"description": st.text(), "owner_user_id": numbers, "event_time": times},
}


def bodies(address: str) -> st.SearchStrategy[Any]:
    """Mostly well-formed bodies: each field is right, wild or missing."""
    fields = {name: right | values for name, right in FIELDS[address].items()}
    return st.fixed_dictionaries({}, optional=fields) | values


@pytest.mark.parametrize("address", FIELDS)
@given(data=st.data())
@FUZZ
def test_no_body_is_answered_with_a_5xx(
    client: FlaskClient, address: str, data: st.DataObject
) -> None:
    text = json.dumps(data.draw(bodies(address)))
    response = client.post(address, data=text, content_type="application/json")
    assert response.status_code in {201, 400, 422}, response.text
    assert client.get(address).status_code == 200


@given(st.lists(bodies("/llm_jobs"), max_size=5), st.binary(max_size=50))
@FUZZ
def test_no_batch_is_answered_with_a_5xx(
    client: FlaskClient, batch: list[Any], junk: bytes
) -> None:
    lines = "\n".join(json.dumps(entry) for entry in batch).encode()
    for body, media_type in (
        (json.dumps(batch).encode(), "application/json"),
        (lines + b"\n" + junk, "application/x-ndjson"),
        (junk, "application/json"),
    ):
        response = client.post("/llm_jobs/batch", data=body, content_type=media_type)
        assert response.status_code in {201, 400}, response.text


@given(
    st.sampled_from(["/llm_jobs", "/memories", "/tasks", "/events", "/search", "/llm_jobs/x"]),
    st.dictionaries(
        st.sampled_from(
            ["limit", "offset", "cursor", "status", "state", "job_type", "q", "user_id", "owner"]
        )
        | st.text(),
        st.text(st.characters(codec="utf-8")) | st.integers().map(str),
        max_size=3,
    ),
)
@FUZZ
def test_no_query_is_answered_with_a_5xx(
    client: FlaskClient, address: str, query: dict[str, str]
) -> None:
    query = {name.encode("utf-8", "replace").decode(): value for name, value in query.items()}
    response = client.get(address, query_string=query)
    assert response.status_code in {200, 400, 404, 422}, response.text


@given(st.dictionaries(st.sampled_from(["status", "result", "error_message", "attempt"]), values))
@FUZZ
def test_no_patch_is_answered_with_a_5xx(client: FlaskClient, change: dict[str, Any]) -> None:
    job = {"job_type": JOB_TYPES[0], "payload": {"subject": "s", "body": "b"}}
    job_id = client.post("/llm_jobs", json=job).json["id"]
    client.patch(f"/llm_jobs/{job_id}", json={"status": "processing"})
    for body in (change, {"status": "completed"} | change):
        response = client.patch(
            f"/llm_jobs/{job_id}", data=json.dumps(body), content_type="application/json"
        )
        assert response.status_code in {200, 400, 409, 422}, response.text
    assert client.get(f"/llm_jobs/{job_id}").status_code == 200
