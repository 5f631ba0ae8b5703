"""Flask's, Django's, Werkzeug's and asyncio's clients on a cluster: their tests, the workers' answers."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest

from pytest_cluster.errors import MissingLibrary, OptionError
from pytest_cluster.requests.for_django import django_client
from pytest_cluster.requests.for_flask import flask_client, import_application
from pytest_cluster.requests.wsgi import WSGIFront, request_of

FLASK = """
from flask import Flask, jsonify, redirect, request, session

app = Flask(__name__)
app.secret_key = "the same in every process"

@app.get("/me")
def me():
    return session.get("name", "nobody")

@app.post("/login")
def login():
    session["name"] = request.form["name"]
    return redirect("/me")

@app.post("/upload")
def upload():
    file = request.files["file"]
    return jsonify(name=file.filename, content=file.read().decode(), note=request.form["note"])

@app.get("/ä/<name>")
def path(name):
    return f"{name} {request.host} {request.args.getlist('a')}"
"""

FLASK_TESTS = """
import asyncio
import flask
import io
import pytest
import werkzeug.test

def test_flask(cluster):
    client = cluster.flask_client()
    assert client.get("/me").text == "nobody"
    with client.session_transaction() as session:
        session["name"] = "Ada"
    answers = [client.get("/me") for _ in range(4)]
    assert {one.text for one in answers} == {"Ada"}
    assert {one.worker for one in answers} == {1, 2}

    landed = client.post("/login", data={"name": "Bea"}, follow_redirects=True)
    assert (landed.text, landed.request.path, [one.status_code for one in landed.history]) == ("Bea", "/me", [302])
    sent = client.post("/upload", data={"note": "n", "file": (io.BytesIO(b"content"), "a.txt")})
    assert sent.json == {"name": "a.txt", "content": "content", "note": "n"}
    assert client.get("/ä/ö ü?a=1&a=2").text == "ö ü localhost ['1', '2']"
    assert client.post("/me").status_code == 405
    assert cluster.flask_client().get("/me").text == "nobody"

def test_context_after_a_request(cluster):
    with cluster.flask_client() as client:
        client.get("/me?a=1")
        assert dict(flask.session) == {} and flask.request.args["a"] == "1"
        client.post("/login", data={"name": "Ada"})
        assert flask.session["name"] == "Ada" and flask.request.path == "/login"
        client.post("/login", data={"name": "Bea"}, follow_redirects=True)
        assert flask.session["name"] == "Bea" and flask.request.path == "/me"
    assert not flask.has_request_context()
    with cluster.flask_client(use_cookies=False) as client:
        client.get("/me", headers={"Cookie": "a=b"})
        assert flask.request.path == "/me" and dict(flask.session) == {}

def test_override(cluster, monkeypatch):
    import site_
    monkeypatch.setattr(site_.app, "test_client", lambda **more: cluster.flask_client(site_.app, **more))
    with site_.app.test_client() as client:
        assert client.get("/me").worker in (1, 2)

def test_werkzeug(cluster):
    client = werkzeug.test.Client(cluster.wsgi_app)
    client.post("/login", data={"name": "Ada"})
    assert client.get("/me").text == "Ada"

def test_asyncio(cluster):
    async def ask():
        async with cluster.async_client() as client:
            await client.post("/login", data={"name": "Ada"})
            return await asyncio.gather(*(client.get("/me") for _ in range(4)))
    assert {one.text for one in asyncio.run(ask())} == {"Ada"}

@pytest.mark.parametrize("run", [1, 2])
def test_own_client(cluster, run):
    assert cluster.get("/me").text == "nobody"
    cluster.client.post("/login", data={"name": "Ada"})
    assert cluster.get("/me").text == "Ada"
    assert cluster.new_client().get("/me").text == "nobody"
"""


@pytest.mark.usefixtures("forked")
def test_flask_and_others(pytester: pytest.Pytester) -> None:
    """On one cluster: each test begins without cookies, whatever clients an earlier one has made."""
    pytester.makepyfile(site_=FLASK)
    pytester.makepyfile(FLASK_TESTS)
    pytester.makeini("[pytest]\ncluster_app = site_:app\npythonpath = .\n")

    result = pytester.runpytest_inprocess()

    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(["cluster: 1 started, reused 6 times, *"])


DJANGO = """
import os
import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY="the same",
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db", "TEST": {"NAME": "site.db"}}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        ROOT_URLCONF="urls",
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    django.setup()

from django.core.wsgi import get_wsgi_application

app = get_wsgi_application()
"""

URLS = """
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path

def vote(request):
    return HttpResponse(f"{request.user} voted {request.POST['choice']}")

urlpatterns = [
    path("vote/", vote),
    path("me/", login_required(lambda request: HttpResponse(str(request.user)), login_url="/door/")),
    path("door/", lambda request: HttpResponse(request.get_host())),
    path("field/", lambda request: HttpResponse(repr(request.headers.get("X-Empty")))),
    path("go/", lambda request: HttpResponseRedirect("/door/")),
]
"""

DJANGO_TESTS = """
import pytest
import site_
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from pytest_cluster import InAnotherProcess

@pytest.fixture(autouse=True)
def on_a_cluster(request, cluster):
    request.cls.client_class = cluster.django_client
    request.cls.cluster = cluster

class TestSite(TransactionTestCase):
    databases = "__all__"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        call_command("migrate", verbosity=0)

    def test_everything(self):
        self.client = self.client_class()  # Django makes one before any fixture
        self.assertRedirects(self.client.get("/me/"), "/door/?next=/me/")
        self.assertRedirects(self.client.get("/go/", follow=True), "/door/")
        self.client.force_login(User.objects.create_user("ada"))
        answers = [self.client.get("/me/") for _ in range(4)]
        self.assertEqual({one.content for one in answers}, {b"ada"})
        self.assertEqual({one.worker for one in answers}, {1, 2})
        self.assertContains(self.client.post("/vote/", {"choice": "red"}), "ada voted red")
        strict = self.client_class(enforce_csrf_checks=True)
        self.assertEqual(strict.post("/vote/", {"choice": "red"}).status_code, 403)
        with self.assertRaisesMessage(InAnotherProcess, "the page was rendered in a worker"):
            self.assertTemplateUsed(answers[0], "me.html")
        with transaction.atomic(), self.assertRaisesMessage(InAnotherProcess, "is in a transaction of this process"):
            self.client_class().force_login(User.objects.get())
        self.assertEqual(self.client_class(SERVER_NAME="testserver").get("/door/").status_code, 400)
        self.assertEqual(self.client.get("/door/", SERVER_NAME="elsewhere").status_code, 400)
        self.assertEqual(b"".join(answers[0].streaming_content), b"ada")

    async def test_awaited(self):
        client = self.cluster.django_async_client()
        self.assertRedirects(await client.get("/me/"), "/door/?next=/me/", fetch_redirect_response=False)
        await client.aforce_login(await User.objects.acreate(username="bea"))
        answers = [await client.get("/me/", {"a": "ö ü"}) for _ in range(4)]
        self.assertEqual({one.content for one in answers}, {b"bea"})
        self.assertEqual({one.worker for one in answers}, {1, 2})
        self.assertEqual(answers[0].asgi_request.GET["a"], "ö ü")
        self.assertContains(await client.post("/vote/", {"choice": "red"}), "bea voted red")
        strict = self.cluster.django_async_client(enforce_csrf_checks=True)
        self.assertEqual((await strict.post("/vote/", {"choice": "red"})).status_code, 403)
        for host in ("elsewhere", "testserver"):
            self.assertEqual((await client.get("/door/", headers={"Host": host})).status_code, 400)
        self.assertEqual((await client.get("/field/", headers={"X-Empty": ""})).content, b"''")
        with self.assertRaisesMessage(InAnotherProcess, "the page was rendered in a worker"):
            self.assertTemplateUsed(answers[0], "me.html")

class TestInTransaction(TestCase):
    async def test_login_that_no_worker_sees(self):
        client = self.cluster.django_async_client()
        with self.assertRaisesMessage(InAnotherProcess, "is in a transaction of this process"):
            await client.aforce_login(await User.objects.acreate(username="cid"))
"""


@pytest.mark.slow
def test_django(pytester: pytest.Pytester) -> None:
    """``force_login``, redirects and CSRF as with Django's own handler; what is only in the worker says so."""
    pytester.makepyfile(site_=DJANGO, urls=URLS)
    pytester.makepyfile(DJANGO_TESTS)
    pytester.makeini("[pytest]\ncluster_app = site_:app\npythonpath = .\n")

    pytester.runpytest_subprocess("-W", "ignore::DeprecationWarning").assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("environ", "body"),
    [
        ({}, None),
        ({"CONTENT_LENGTH": "3"}, b"abc"),
        ({"CONTENT_LENGTH": "0", "CONTENT_TYPE": "text/plain"}, b""),
        ({"wsgi.input_terminated": True}, b"abcdef"),
    ],
)
def test_request_of_an_environment(environ: dict[str, Any], body: bytes | None) -> None:
    given = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "/app", "PATH_INFO": "/\xc3\xa4 b", "QUERY_STRING": "c=d",
        "SERVER_NAME": "site", "SERVER_PORT": "81", "HTTP_X_ONE": "1", "wsgi.input": io.BytesIO(b"abcdef"), **environ,
    }  # fmt: skip

    method, target, headers, sent = request_of(given)

    assert (method, target, sent) == ("POST", "/app/%C3%A4%20b?c=d", body)
    assert (headers["Host"], headers["X-One"]) == ("site:81", "1")


ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "site", "wsgi.input": None}


def test_client_that_has_come_by_tls() -> None:
    """Flask's base_url="https://…", Django's secure=True: the workers hear of it as they do behind a proxy."""
    assert request_of({**ENVIRON, "wsgi.url_scheme": "https"})[2]["X-Forwarded-Proto"] == "https"
    assert "X-Forwarded-Proto" not in request_of({**ENVIRON, "wsgi.url_scheme": "http"})[2]


@pytest.mark.parametrize("more", [{"REMOTE_USER": "ada"}, {"REMOTE_ADDR": "10.0.0.1"}, {"TENANT": "one"}])
def test_what_no_request_can_carry_is_told(more: dict[str, str]) -> None:
    ((name, value),) = more.items()
    with pytest.warns(UserWarning, match=rf"^{name}='{value}': workers do not see that"):
        request_of({**ENVIRON, **more})


@pytest.mark.filterwarnings("error")
def test_what_clients_say_of_themselves_is_not_told() -> None:
    request_of({**ENVIRON, "REMOTE_ADDR": "127.0.0.1", "werkzeug.debug.preserve_context": 1, "HTTP_X": "y"})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (None, "the cluster runs a script: give the application"),
        ("nothing_like_it:app", "this process cannot have nothing_like_it:app .No module named"),
        ("io:app", "this process cannot have io:app .*app"),
    ],
)
def test_application_that_cannot_be_had(name: str | None, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        import_application(name, "")


def test_what_is_no_flask_application() -> None:
    with pytest.raises(
        OptionError, match=r"expected a Flask application, got 3: give the one .*flask_client\(app\), or use werkz"
    ):
        flask_client(3, WSGIFront(ANY), True, {})


@pytest.mark.parametrize(
    ("library", "name", "make"),
    [
        ("flask", "flask", lambda: flask_client(3, WSGIFront(ANY), True, {})),
        ("django.test", "django", lambda: django_client(ANY, "", {})),
    ],
)
def test_missing_library(library: str, name: str, make: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingLibrary, match=rf"cluster.{name}_client\(\) needs {name}, which is not installed"):
        make()
