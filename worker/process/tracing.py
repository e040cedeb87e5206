"""Tracing: the steps of a session as OpenTelemetry spans, where an operator wants them.

`load` may be called before a fork, and `Trace` only after it; see avatar_runtime/tracing.py.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from avatar_runtime import tracing
from avatar_runtime.messages.commands import Assignment
from worker.errors import WorkerSettingsError
from worker.process.metrics import Span as ReportSpan
from worker.process.metrics import no_span

SERVICE: Final = "avatar-worker"


def load() -> None:
    """Import the SDK, before a fork if there is one. Raises WorkerSettingsError."""
    try:
        tracing.load()
    except tracing.TracingUnavailable as error:
        raise WorkerSettingsError(str(error)) from None


@contextmanager
def traced(wanted: bool, assignment: Assignment, room_hash: str) -> Iterator[ReportSpan]:
    """What a session reports its steps to while it lasts; they go nowhere unless `wanted`."""
    if not wanted:
        yield no_span
        return
    trace = Trace(assignment, room_hash)
    try:
        yield trace.span
    finally:
        trace.stop()


class Trace:
    """The worker's part of a session's trace, which the dispatcher began."""

    def __init__(self, assignment: Assignment, room_hash: str) -> None:
        self._provider = tracing.exporter(SERVICE)
        self._tracer = self._provider.get_tracer("avatar.worker")
        self._attributes: dict[str, str | int] = {
            "session_id": assignment.session_id,
            "epoch": assignment.epoch,
            "slot": assignment.slot,
            "room_hash": room_hash,
        }
        self._own: Span | None = None
        self._parent = self._parent_of(assignment.traceparent)

    def span(self, name: str, seconds: float) -> None:
        """A step that has just ended and took so long."""
        end = time.time_ns()
        self._tracer.start_span(
            name, self._parent, attributes=self._attributes, start_time=end - int(1e9 * seconds)
        ).end(end)

    def stop(self) -> None:
        """Send what there is; returns within about `tracing.EXPORT_S`."""
        if self._own is not None:
            self._own.end()
        self._provider.shutdown()

    def _parent_of(self, traceparent: str | None) -> Context:
        """The dispatcher's span, or where there is none one of our own."""
        if traceparent is not None:
            context = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
            if context:
                return context
        self._own = self._tracer.start_span("session", attributes=self._attributes)
        return set_span_in_context(self._own)
