"""Tracing: what becomes of a launch as OpenTelemetry spans, where an operator wants them.

Without `tracing` the API does nothing but hand an agent's own trace context on to the worker.
Where the spans go the SDK reads itself: OTEL_EXPORTER_OTLP_ENDPOINT and its siblings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dispatcher.errors import SettingsError

SERVICE: Final = "avatar-dispatcher"

EXPORT_S: Final = 2.0
"""How long the collector may take; a dispatcher that stops waits no longer for it."""

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
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"AVATAR_TRACING is on, but {error.name} is not installed; "
            "install avatar-face[tracing], or set AVATAR_TRACING=off."
        ) from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(timeout=EXPORT_S),
            schedule_delay_millis=1000,
            export_timeout_millis=1000 * EXPORT_S,
        )
    )
    global _tracer
    _tracer = provider.get_tracer("avatar.dispatcher")
    try:
        yield
    finally:
        provider.shutdown()


@contextmanager
def dispatching(traceparent: str | None) -> Iterator[str | None]:
    """The span of a launch, which goes on an agent's trace if it sent a `traceparent`.

    Gives the traceparent for whoever goes on with this one; None where there is no trace.
    """
    asked = W3C.extract({"traceparent": traceparent} if traceparent else {}, Context())
    with _span("dispatch", asked, SpanKind.SERVER):
        carrier: dict[str, str] = {}
        W3C.inject(carrier)
        yield carrier.get("traceparent")


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
