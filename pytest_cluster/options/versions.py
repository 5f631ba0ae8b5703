"""Check that the installed gunicorn is one that the server package supports."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement

from ..errors import OptionError

__all__ = ["check_gunicorn"]

DISTRIBUTION = "nodecluster-compat"


def check_gunicorn() -> None:
    """Fail unless gunicorn is installed, in a version that :data:`DISTRIBUTION` asks for.

    :raises OptionError: the sentence says what is there and what to install.
    """
    try:
        needs = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        return  # run from its sources: whoever does that knows
    wanted = next((one.specifier for one in needs if one.name == "gunicorn"), None)
    try:
        found = metadata.version("gunicorn")
    except metadata.PackageNotFoundError:
        raise OptionError(f"cluster: gunicorn is not installed: pip install 'gunicorn[gevent]{wanted or ''}'") from None
    if wanted is not None and not wanted.contains(found, prereleases=True):
        raise OptionError(
            f"cluster: gunicorn {found} is installed, {DISTRIBUTION} needs {wanted}: "
            f"pip install 'gunicorn[gevent]{wanted}'"
        )
