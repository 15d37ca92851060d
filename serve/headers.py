"""What ``/openapi.json`` says of headers and keys: the door reads and writes them on every route, not FastAPI."""

from __future__ import annotations

from typing import Any

from rgp.serve.service import MAX_TIMEOUT_MS, TIMEOUT_HEADER

REQUEST_ID = {
    "name": "x-request-id",
    "in": "header",
    "description": "Taken over into the answer and the log if it is 1 to 128 letters, digits, dots, dashes and "
    "underscores; else one is made.",
    "schema": {"type": "string"},
}
TIMEOUT = {
    "name": TIMEOUT_HEADER,
    "in": "header",
    "description": "The request's deadline, in milliseconds: what is not answered by then gets 504. Without it: the "
    "service's --timeout-ms.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS},
}
WRITTEN = {
    "x-request-id": "The request's, or one that was made: the log has it too.",
    "cache-control": "no-store: an answer is of its moment.",
    "content-security-policy": "What a browser that shows the answer as a page may load: nothing, or the page's own.",
    "referrer-policy": "no-referrer.",
    "x-content-type-options": "nosniff.",
    "retry-after": "Seconds after which it is worth trying again.",
    "www-authenticate": "Bearer: how a key is sent.",
}
"""Headers of answers: those of ``ONLY`` on these statuses, the others on all."""
ONLY = {"retry-after": ("429", "503"), "www-authenticate": ("401",)}
KEYS = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "Authorization: Bearer KEY, where --keys asks for one.",
    },
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key by itself."},
}


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """Add headers and keys to an OpenAPI ``document``, in place; returns it."""
    document["components"] |= {
        "headers": {
            name: {"description": text, "required": True, "schema": {"type": "string"}}
            for name, text in WRITTEN.items()
        },
        "securitySchemes": KEYS,
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            answers = operation["responses"]
            parameters = [REQUEST_ID, TIMEOUT] if "504" in answers else [REQUEST_ID]
            operation["parameters"] = [*operation.get("parameters", ()), *parameters]
            if "401" in answers:
                operation["security"] = [{}, *({name: []} for name in KEYS)]  # none without --keys
            for status, answer in answers.items():
                names = [name for name in WRITTEN if status in ONLY.get(name, (status,))]
                answer["headers"] = answer.get("headers", {}) | {
                    name: {"$ref": f"#/components/headers/{name}"} for name in names
                }
    return document
