"""Tracing: where OpenTelemetry spans go, in programs whose operator wants them.

The SDK reads the collector's address itself: OTEL_EXPORTER_OTLP_ENDPOINT and its siblings. It is
an extra, so that nothing here imports it before `load`. Its exporter has a thread, so that `load`
may be called before a fork and `exporter` only after it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

EXPORT_S: Final = 2.0
"""How long the collector may take; a process that ends waits no longer for it."""

NEEDED: Final = (
    "opentelemetry.sdk.resources",
    "opentelemetry.sdk.trace.export",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)


class TracingUnavailable(Exception):  # noqa: N818 - what is missing, not who failed
    """The SDK is not installed; the text says what to do."""


def load() -> None:
    """Import the SDK. Raises TracingUnavailable."""
    try:
        for name in NEEDED:
            import_module(name)
    except ImportError as error:
        raise TracingUnavailable(
            f"AVATAR_TRACING is on, but {error.name} is not installed; "
            "install avatar-face[tracing], or set AVATAR_TRACING=off."
        ) from None


def exporter(service: str) -> "TracerProvider":
    """Makes tracers whose spans are exported as those of `service`, until it is shut down.

    Raises TracingUnavailable.
    """
    load()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        resource=Resource.create({"service.name": service}), shutdown_on_exit=False
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(timeout=EXPORT_S),
            schedule_delay_millis=1000,
            export_timeout_millis=1000 * EXPORT_S,
        )
    )
    return provider
