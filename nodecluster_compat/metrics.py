"""Sum the application's own metrics over all workers.

In ``gunicorn.conf.py``, or at the top of the application, where ``prometheus_client`` is installed (the extra
``metrics``)::

    from nodecluster_compat.metrics import share_prometheus_metrics

    share_prometheus_metrics()

They are told at ``/metrics`` of the admin address and of the control socket, beside the cluster's own.
"""

from __future__ import annotations

__all__ = ["share_prometheus_metrics"]


def share_prometheus_metrics() -> None:
    """Share the metrics of ``prometheus_client`` between the workers, without files.

    Counters, gauges, summaries and histograms of every registry are shared from now on, those that exist included.  A
    gauge is made one of all workers' by its ``multiprocess_mode``.  Called again, or in a program that no cluster
    started, it changes nothing that a program could tell.

    Raises:
        ImportError: ``prometheus_client`` is not installed.
    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "expected prometheus_client, which is not installed: pip install 'nodecluster-compat[metrics]'"
        ) from error
    from .operations.metrics.prometheus_values import share_prometheus_metrics as share

    share()
