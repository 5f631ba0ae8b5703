# Workers see a database in a file, and what is committed there; addresses of clients travel in a header field.
import os as _os

import django.test as _test
import pytest
from django.core.signals import setting_changed
from tests import settings as _settings

_DATABASE = _os.path.join(_os.getcwd(), "axes.sqlite3")
_settings.DATABASES["default"]["NAME"] = _DATABASE
_settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = _DATABASE
_test.TestCase = _test.TransactionTestCase
_FIELD = "HTTP_X_TEST_REMOTE_ADDR"


def _site(environ, start_response):
    from django.core.wsgi import WSGIHandler

    environ["REMOTE_ADDR"] = environ.pop(_FIELD, "127.0.0.1")
    return WSGIHandler()(environ, start_response)


@pytest.fixture(autouse=True)
def on_a_cluster(cluster_factory, monkeypatch):
    started = []

    def cluster():
        if not started:
            started.append(cluster_factory(app=_site, fork_app=True))
        return started[0]

    def request(client, **environ):
        if not hasattr(client, "of_cluster") or client.of_cluster is not cluster():
            client.of_cluster = cluster()
            client.handler = client.of_cluster.django_client(SERVER_NAME="testserver").handler
        environ[_FIELD] = environ.get("REMOTE_ADDR", "127.0.0.1")
        return ask(client, **environ)

    ask = _test.Client.request
    monkeypatch.setattr(_test.Client, "request", request)

    # A server is forked with the settings of that moment: with others, the next request asks another server.
    def forget(**_):
        started.clear()

    setting_changed.connect(forget)
    yield
    setting_changed.disconnect(forget)
