import re
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.job_types.registry import all_job_types

Document = dict[str, Any]


@pytest.fixture
def document(sqlite_app: Flask) -> Document:
    response = sqlite_app.test_client().get("/openapi.json")
    assert (response.status_code, response.mimetype) == (200, "application/json")
    return dict(response.json)


def test_the_document_is_valid_openapi_3_1(document: Document) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_and_method_is_in_the_document(document: Document, sqlite_app: Flask) -> None:
    described = {
        (path, method.upper())
        for path, operations in document["paths"].items()
        for method in operations
    }
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in sqlite_app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith(("/rq/", "/static/"))
    }
    assert described == served


def operations_of(document: Document) -> list[tuple[str, Document]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["tags"] != ["Pages"]
    ]


def test_every_call_has_a_success_with_a_model_and_problems(document: Document) -> None:
    for name, operation in operations_of(document):
        responses = operation["responses"]
        for status, response in responses.items():
            if status.startswith("2"):
                schema = response["content"]["application/json"]["schema"]
                assert "$ref" in str(schema), name
            elif not name.endswith("/health"):
                (media_type,) = response["content"]
                assert media_type == "application/problem+json", name
        assert any(status.startswith("2") for status in responses), name
        assert operation["summary"], name


def test_a_body_has_a_model_and_operation_ids_are_unique(document: Document) -> None:
    ids = [operation["operationId"] for _name, operation in operations_of(document)]
    assert len(ids) == len(set(ids))
    for name, operation in operations_of(document):
        has_body = name.startswith(("post", "patch")) and not name.endswith(("/cancel", "/retry"))
        assert ("requestBody" in operation) == has_body, name


def test_every_job_types_payload_is_described(document: Document) -> None:
    schemas = document["components"]["schemas"]
    job = schemas["JobIn"]["properties"]
    assert job["job_type"]["enum"] == list(all_job_types())
    references = [choice["$ref"].rpartition("/")[2] for choice in job["payload"]["anyOf"]]
    assert references == [f"{name}_payload" for name in all_job_types()]
    for name, job_type in all_job_types().items():
        fields = set(job_type.payload_model.model_fields)
        assert set(schemas[f"{name}_payload"]["properties"]) == fields


def test_the_batch_takes_a_list_or_lines(document: Document) -> None:
    body = document["paths"]["/llm_jobs/batch"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "application/x-ndjson"}
    reference = body["application/json"]["schema"]["items"]["$ref"]
    batch_job = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert "idempotency_key" in batch_job["properties"]


def test_the_document_names_no_host(document: Document) -> None:
    assert "servers" not in document
    assert "localhost" not in str(document)
