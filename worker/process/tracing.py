"""Tracing: the steps of a session as OpenTelemetry spans, where an operator wants them.

The SDK's exporter has a thread, so that `load` may be called before a fork and `Trace` only after
it. Where the spans go the SDK reads itself: OTEL_EXPORTER_OTLP_ENDPOINT and its siblings.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.errors import WorkerSettingsError
from worker.process.assignment import Assignment
from worker.process.metrics import Span as Tell
from worker.process.metrics import untold

SERVICE: Final = "avatar-worker"

EXPORT_S: Final = 2.0
"""How long the collector may take; a worker that leaves waits no longer for it."""

NEEDED: Final = (
    "opentelemetry.sdk.trace.export",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)


def load() -> None:
    """Import the SDK. Raises WorkerSettingsError where it is not installed."""
    try:
        for name in NEEDED:
            import_module(name)
    except ImportError as error:
        raise WorkerSettingsError(
            f"AVATAR_TRACING is on, but {error.name} is not installed; "
            "install avatar-face[tracing], or set AVATAR_TRACING=off."
        ) from None


@contextmanager
def traced(wanted: bool, assignment: Assignment, room_hash: str) -> Iterator[Tell]:
    """What to tell of a session's steps, while it lasts; they go nowhere unless `wanted`."""
    if not wanted:
        yield untold
        return
    trace = Trace(assignment, room_hash)
    try:
        yield trace.span
    finally:
        trace.stop()


class Trace:
    """The worker's part of a session's trace, which the dispatcher began."""

    def __init__(self, assignment: Assignment, room_hash: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(
            resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(timeout=EXPORT_S),
                schedule_delay_millis=1000,
                export_timeout_millis=1000 * EXPORT_S,
            )
        )
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
        """Send what there is; returns within about `EXPORT_S`."""
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
