"""The routes and their fields, from the OpenAPI document that the service itself gives at ``/openapi.json``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from docs.reference.figures import figures, service
from docs.reference.markdown import code, paragraphs, prose, table
from rgp.serve import v2, web
from rgp.serve.app import create_app


@cache
def app() -> FastAPI:
    """The app of a service that is described, never started."""
    return create_app(service())


def page() -> str:
    """Every route with its parameters, bodies and statuses; then every shape with its fields."""
    document = app().openapi()
    parts = [
        "# HTTP",
        "A running service describes itself at `/openapi.json`, from which this page is made; here for a network of a "
        "thousand classes. [Serving](../serving.md) explains it.",
        "## Routes",
    ]
    operations = [
        (f"### {method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    answers = [answer for _, operation in operations for answer in operation["responses"].values()]
    always = {name for name in answers[0]["headers"] if all(name in answer["headers"] for answer in answers)}
    for heading, operation in operations:
        parts += [heading, *_operation(operation, always)]
    parts += [
        "### The Open Inference Protocol",
        paragraphs(v2.__doc__ or ""),
        "It has a description of its own, so these routes are not in `/openapi.json`:",
        table(["route", "what it does"], undocumented(v2)),
        "### The page for people",
        "Nor are these:",
        table(["route", "what it is"], undocumented(web)),
        "## Figures",
        "What `GET /metrics` gives. A histogram has `_bucket`, `_sum` and `_count` behind its name. `_created` is "
        "since when it, or a counter, has counted. A figure that is not known yet is left out.",
        table(["figure", "kind", "labels", "what it is"], figures()),
        "## Keys",
        "On routes that may answer 401, where the service was started with `--keys`, either of:",
        table(
            ["header", "what it is"], [_key(scheme) for scheme in document["components"]["securitySchemes"].values()]
        ),
        "## Headers of answers",
        table(["header", "stands in", "what it is"], _headers(document, answers, always)),
        "## Shapes",
    ]
    for name, schema in document["components"]["schemas"].items():
        parts += [f"### {name}", _described(schema), _fields(schema)]
    return "\n\n".join(part for part in parts if part) + "\n"


def undocumented(part: ModuleType) -> Iterator[list[str]]:
    """Routes that ``/openapi.json`` leaves out, as METHOD /path, and their texts."""
    for route in part.routes(service()).routes:
        if isinstance(route, APIRoute):
            text = prose(inspect.getdoc(route.endpoint) or "")
            yield from ([code(f"{method} {route.path}"), text] for method in sorted(route.methods or ()))


def _key(scheme: dict[str, str]) -> list[str]:
    return [code(scheme.get("name", "authorization")), _described(scheme)]


def _headers(document: dict[str, Any], answers: Sequence[dict[str, Any]], always: set[str]) -> Iterator[list[str]]:
    """Each header of an answer once, with its text."""
    shared = document["components"]["headers"]
    for name, of in {name: of for answer in answers for name, of in answer["headers"].items()}.items():
        where = "every answer" if name in always else "where the route says so"
        yield [code(name), where, _described(shared[name] if "$ref" in of else of)]


def _operation(operation: dict[str, Any], always: set[str]) -> Iterator[str]:
    yield prose(operation.get("summary", "")) + "."
    parameters = [
        [
            code(each["name"]),
            each["in"],
            _type(each["schema"]),
            _range(each["schema"]),
            prose(each.get("description", "")),
        ]
        for each in operation.get("parameters", ())
    ]
    if parameters:
        yield table(["parameter", "in", "type", "range", "what it is"], parameters)
    if body := operation.get("requestBody"):
        yield prose(body.get("description", ""))
        rows = [[code(kind), *_body(of["schema"])] for kind, of in body["content"].items()]
        yield table(["content type", "body", "what it is"], rows)
    rows = [
        [
            status,
            _described(answer),
            " ".join(_type(of["schema"]) for of in _contents(answer)),
            ", ".join(code(name) for name in answer["headers"] if name not in always),
        ]
        for status, answer in sorted(operation["responses"].items())
    ]
    yield table(["status", "when", "shape", "headers"], rows)


def _described(part: dict[str, Any]) -> str:
    return prose(part.get("description", ""))


def _contents(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [of for of in answer.get("content", {}).values() if of.get("schema")]


def _body(schema: dict[str, Any]) -> tuple[str, str]:
    """The body's form and its text: a file, or the only field of an object."""
    if "properties" not in schema:
        return _type(schema), _described(schema)
    ((name, of),) = schema["properties"].items()
    return f"{code(name)}: {_type(of)}", _described(of)


def _fields(schema: dict[str, Any]) -> str:
    rows = [[code(name), _type(of), _range(of), _described(of)] for name, of in schema.get("properties", {}).items()]
    return table(["field", "type", "range", "what it is"], rows)


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words, with links to the shapes it names."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if choices := schema.get("anyOf"):
        return " or ".join(_type(choice) for choice in choices)
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return " or ".join(code(str(value)) for value in values)
    if schema.get("type") == "array":
        inside = schema["prefixItems"] if "prefixItems" in schema else [schema.get("items", {})]
        return "list of " + ", ".join(_type(each) for each in inside)
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"object of {_type(values)}"
    kind: str = schema.get("type", "anything")
    return {"binary": "file", "byte": "base64 text"}.get(schema.get("format", ""), kind)


def _range(schema: dict[str, Any]) -> str:
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {schema[key]:,.10g}" for key, sign in bounds.items() if key in schema)
