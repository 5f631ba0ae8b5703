"""Refuse options that cannot be, alone or together, before any test runs."""

from __future__ import annotations

import pytest

from ..options import settings

__all__ = ["check_options"]


def check_options(config: pytest.Config) -> None:
    """Read every option once, and find those that contradict each other or lead nowhere.

    :raises pytest.UsageError: one cannot be.
    """
    settings.check_variables()
    for setting in settings.SETTINGS:
        settings.value_of(config, setting.name)
    _check_together(config)
    _check_places(config)


def _check_together(config: pytest.Config) -> None:
    if settings.value_of(config, "url").value is not None and settings.value_of(config, "compare").value:
        raise pytest.UsageError(
            "--cluster-url cannot be used with --cluster-compare: how many workers somebody else's server has nobody "
            "here can say, or change"
        )
    if settings.value_of(config, "keep").value and getattr(config.option, "dist", "no") != "no":
        raise pytest.UsageError(
            "--cluster-keep cannot be used with -n or --dist: the processes of xdist end with the run, and what they "
            "keep is nobody's; run the failing test alone"
        )


def _check_places(config: pytest.Config) -> None:
    """Refuse places that nothing can be written to."""
    folder, path = settings.path_of(config, "artifacts"), settings.path_of(config, "html")
    if folder is None and path is None:
        return
    from ..failures.run_page import check_file, check_folder

    if folder is not None and (problem := check_folder(folder)):
        raise pytest.UsageError(f"--cluster-artifacts: {problem}")
    if path is not None and (problem := check_file(path)):
        raise pytest.UsageError(f"--cluster-html: {problem}")
