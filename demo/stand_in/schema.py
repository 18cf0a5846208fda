"""Just enough JSON Schema to recognise a question and to fill in an answer."""

from typing import Any

Json = dict[str, Any]
_MAX_DEPTH = 8


def property_names(schema: Json) -> set[str]:
    """The names of the properties of an object, of its alternatives, and of a lone wrapper."""
    names = _own_names(schema, schema, 0)
    if len(names) == 1:
        inner = schema.get("properties", {}).get(next(iter(names)))
        if isinstance(inner, dict):
            names |= _own_names(inner, schema, 0)
    return names


def wrapped(answer: Json, schema: Json) -> Json:
    """``answer``, inside the root's only property where the schema wraps it in one."""
    properties = schema.get("properties")
    if isinstance(properties, dict) and len(properties) == 1 and not set(properties) & set(answer):
        return {next(iter(properties)): answer}
    return answer


def filled(schema: Any, root: Json, depth: int = 0) -> Any:
    """The plainest value that the schema allows: for questions that no rule knows."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    schema = _resolved(schema, root)
    if choices := schema.get("enum"):
        return choices[0]
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return None if {"type": "null"} in choices else filled(choices[0], root, depth + 1)
    if "properties" in schema:
        properties = schema["properties"].items()
        return {name: filled(one, root, depth + 1) for name, one in properties}
    items = [filled(schema.get("items"), root, depth + 1)] * schema.get("minItems", 0)
    plain = {"string": "stand-in", "boolean": False, "object": {}, "array": items, "null": None}
    return plain.get(schema.get("type", "null"), schema.get("minimum", 0))


def _own_names(schema: Json, root: Json, depth: int) -> set[str]:
    if depth > _MAX_DEPTH:
        return set()
    schema = _resolved(schema, root)
    names = set(schema.get("properties", {}))
    for key in ("oneOf", "anyOf", "allOf"):
        for alternative in schema.get(key, []):
            names |= _own_names(alternative, root, depth + 1)
    return names


def _resolved(schema: Json, root: Json) -> Json:
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        found = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"))
        return found if isinstance(found, dict) else {}
    return schema
