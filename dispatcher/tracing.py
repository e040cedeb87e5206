"""Tracing: what becomes of a launch as OpenTelemetry spans, where an operator wants them.

Without `sent` nothing happens but that an agent's own trace context is handed on to the worker.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from avatar_runtime.tracing import TracingUnavailable, exporter
from dispatcher.errors import SettingsError

SERVICE: Final = "avatar-dispatcher"

W3C: Final = TraceContextTextMapPropagator()

_tracer: trace.Tracer = trace.NoOpTracer()
"""Ours alone: with the SDK's global one, the web framework would trace each request, too."""


@contextmanager
def sent(wanted: bool) -> Iterator[None]:
    """Send the spans of this process in this block, if that is `wanted`.

    Raises SettingsError where the SDK is not installed.
    """
    if not wanted:
        yield
        return
    try:
        provider = exporter(SERVICE)
    except TracingUnavailable as error:
        raise SettingsError(str(error)) from None
    global _tracer
    _tracer = provider.get_tracer("avatar.dispatcher")
    try:
        yield
    finally:
        provider.shutdown()


@contextmanager
def dispatching(traceparent: str | None) -> Iterator[str | None]:
    """The span of a launch, which goes on an agent's trace if it sent a `traceparent`.

    Gives the traceparent for whoever goes on with this one; None where there is no trace. The
    lines of the log say which trace they belong to.
    """
    asked = W3C.extract({"traceparent": traceparent} if traceparent else {}, Context())
    with _span("dispatch", asked, SpanKind.SERVER) as span, _logged(span):
        carrier: dict[str, str] = {}
        W3C.inject(carrier)
        yield carrier.get("traceparent")


def _logged(span: Span) -> AbstractContextManager[None]:
    context = span.get_span_context()
    if not context.is_valid:
        return nullcontext()
    return structlog.contextvars.bound_contextvars(trace_id=f"{context.trace_id:032x}")


@contextmanager
def step(name: str, **attributes: str) -> Iterator[Span]:
    """A step of the launch that this task is about; what failed says its exception's name alone."""
    with _span(name) as span:
        span.set_attributes(attributes)
        yield span


@contextmanager
def _span(
    name: str, context: Context | None = None, kind: SpanKind = SpanKind.INTERNAL
) -> Iterator[Span]:
    begun = _tracer.start_span(name, context, kind)
    with trace.use_span(
        begun, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            raise
