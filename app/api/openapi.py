"""The OpenAPI 3.1 document: what APIFlask makes of the models, with what it cannot know added."""

from typing import Any

from apiflask import APIFlask
from pydantic import BaseModel

from app.api.fields import Out
from app.api.job_batches import JSON_LINES, MAX_JOBS
from app.api.job_models import BatchJobIn
from app.api.problems import MEDIA_TYPE
from app.job_types.registry import all_job_types

DESCRIPTION = """\
A job queue for work that needs a language model. Submit a job, read it until it is final.

Errors are `application/problem+json` (RFC 9457) with a stable `code`.
"""
_METHODS = ("get", "post", "patch", "put", "delete")

Document = dict[str, Any]


class FieldError(Out):
    """What is wrong with one field."""

    loc: str
    msg: str


class Problem(Out, extra="allow"):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] | None = None
    legal: list[str] | None = None
    job_types: list[str] | None = None


def register(app: APIFlask) -> None:
    """Serve the document at ``/openapi.json``."""
    app.description = DESCRIPTION
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        # It would keep the first client's idea of our address.
        AUTO_SERVERS=False,
        AUTO_OPERATION_ID=True,
        AUTO_404_RESPONSE=False,
    )
    app.spec_processor(finish)


def finish(document: Document | str) -> Document:
    """Add the problems, the payloads of the job types, the batch's body and the pages."""
    assert isinstance(document, dict)
    # Two blueprints may have one tag.
    document["tags"] = [{"name": name} for name in {tag["name"]: 0 for tag in document["tags"]}]
    schemas = document["components"]["schemas"]
    # APIFlask's own forms of an error.
    schemas.pop("HTTPError", None)
    schemas.pop("ValidationError", None)
    _add(schemas, Problem)
    _add(schemas, BatchJobIn)
    payloads = [_add_payload(schemas, name) for name in all_job_types()]
    for name in ("JobIn", "BatchJobIn"):
        properties = schemas[name]["properties"]
        properties["job_type"]["enum"] = list(all_job_types())
        properties["payload"]["anyOf"] = payloads
    for operations in document["paths"].values():
        for method in _METHODS:
            if method in operations:
                _finish_operation(operations[method])
    document["paths"]["/llm_jobs/batch"]["post"]["requestBody"] = _batch_body()
    document["paths"] |= _pages()
    return document


def _add(schemas: Document, model: type[BaseModel], name: str | None = None) -> Document:
    """Put the model and those inside it among the schemas; returns a reference to it."""
    name = name or model.__name__
    schema = model.model_json_schema(ref_template=f"#/components/schemas/{name}.{{model}}")
    for inner, inner_schema in schema.pop("$defs", {}).items():
        schemas[f"{name}.{inner}"] = inner_schema
    schemas[name] = schema
    return {"$ref": f"#/components/schemas/{name}"}


def _add_payload(schemas: Document, job_type: str) -> Document:
    return _add(schemas, all_job_types()[job_type].payload_model, f"{job_type}_payload")


def _finish_operation(operation: Document) -> None:
    """Say that errors are problems, and give every success the one form the operation has."""
    # Docstrings are written in reStructuredText; summaries are plain, descriptions Markdown.
    operation["summary"] = operation["summary"].replace("``", "")
    if "description" in operation:
        operation["description"] = operation["description"].replace("``", "`")
    responses = operation["responses"]
    is_health = operation["operationId"] == "get_health_health"
    schemas = [_schema(response) for response in responses.values()]
    success = next(schema for schema in schemas if schema and "HTTPError" not in str(schema))
    for status, response in responses.items():
        if status < "400" or (is_health and status == "503"):
            response["content"] = {"application/json": {"schema": success}}
        else:
            response["content"] = _problem()
    responses["default"] = {"description": "Any other error", "content": _problem()}


def _schema(response: Document) -> Any:
    return response.get("content", {}).get("application/json", {}).get("schema")


def _problem() -> Document:
    return {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _batch_body() -> Document:
    job = {"$ref": "#/components/schemas/BatchJobIn"}
    jobs = {"type": "array", "items": job, "maxItems": MAX_JOBS}
    lines = {"type": "string", "description": "One job as JSON in each line."}
    return {
        "required": True,
        "content": {"application/json": {"schema": jobs}, JSON_LINES: {"schema": lines}},
    }


def _pages() -> Document:
    def page(summary: str, status: str, media_type: str | None) -> Document:
        response: Document = {"description": summary}
        if media_type:
            response["content"] = {media_type: {"schema": {}}}
        return {"get": {"summary": summary, "tags": ["Pages"], "responses": {status: response}}}

    return {
        "/": page("Go to the page that tells what there is", "302", None),
        "/docs": page("Try the API in a browser", "200", "text/html"),
        "/openapi.json": page("This document", "200", "application/json"),
    }
