"""Spans in OTLP's JSON, as collectors take it over HTTP and write it to files.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hex, 64-bit numbers as text, enumerations as
numbers, names in lowerCamelCase.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from midstream.projections.span import Span
from midstream.projections.span_names import SCHEMA_URL, Value

_KINDS = {"internal": 1, "client": 3}
_ERROR = 2


def request(
    spans: Iterable[Span], *, service: str = "midstream", version: str = ""
) -> dict[str, Any]:
    """Return an `ExportTraceServiceRequest`.

    Args:
        spans: Those that have ended.
        service: The resource's `service.name`.
        version: Of midstream, for the scope.
    """
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": service})},
                "scopeSpans": [
                    {
                        "scope": {"name": "midstream", "version": version},
                        "spans": [_span(span) for span in spans],
                        "schemaUrl": SCHEMA_URL,
                    }
                ],
            }
        ]
    }


def _span(span: Span) -> dict[str, Any]:
    row: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": _nano(span.began_at),
        "endTimeUnixNano": _nano(span.ended_at),
        "attributes": _attributes(span.attributes),
        "status": {"code": _ERROR, "message": span.error} if span.error else {},
    }
    if span.parent_id:
        row["parentSpanId"] = span.parent_id
    if span.events:
        row["events"] = [
            {
                "timeUnixNano": _nano(event.at),
                "name": event.name,
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ]
    if span.links:
        row["links"] = [{"traceId": link.trace_id, "spanId": link.span_id} for link in span.links]
    return row


def _nano(at: int) -> str:
    return str(at * 1000)


def _attributes(attributes: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: Value) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case _:
            return {"arrayValue": {"values": [_value(one) for one in value]}}
