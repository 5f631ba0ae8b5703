"""Check that the installed gunicorn is one that the server package supports."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ..errors import OptionError

__all__ = ["DISTRIBUTION", "check_gunicorn", "supported_gunicorns"]

DISTRIBUTION = "nodecluster-compat"


def supported_gunicorns() -> SpecifierSet | None:
    """Return which versions the server package supports; ``None`` where it runs from its sources, uninstalled."""
    try:
        needs = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        return None
    return next((one.specifier for one in needs if one.name == "gunicorn"), None)


def check_gunicorn() -> None:
    """Fail unless gunicorn is installed, in a version that :data:`DISTRIBUTION` asks for.

    :raises OptionError: the sentence says what is there and what to install.
    """
    wanted = supported_gunicorns()
    try:
        found = metadata.version("gunicorn")
    except metadata.PackageNotFoundError:
        raise OptionError(f"cluster: gunicorn is not installed: pip install 'gunicorn[gevent]{wanted or ''}'") from None
    if wanted is not None and not wanted.contains(found, prereleases=True):
        raise OptionError(
            f"cluster: gunicorn {found} is installed, {DISTRIBUTION} needs {wanted}: "
            f"pip install 'gunicorn[gevent]{wanted}'"
        )
