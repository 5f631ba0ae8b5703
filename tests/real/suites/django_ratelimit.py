"""Its tests call decorated views with requests of Django's RequestFactory: here a worker calls them."""

import inspect
import io
import pickle

import pytest
from django.core.handlers.wsgi import WSGIRequest

OF_A_REQUEST = {"user", "never_limit", "limited"}


class Views:
    """What is called in workers, from the moment that the server is forked."""

    def __init__(self, start):
        self.start = start
        self.here = {}
        self.known = set()
        self.cluster = None

    def served(self, function):
        """Return a function that asks a worker to call this one, with the request that it gets."""
        here = getattr(function, "here", function)
        key = inspect.unwrap(here).__code__ if hasattr(inspect.unwrap(here), "__code__") else here

        def ask(request, *args, **kwargs):
            self.here[key] = here
            if key not in self.known:
                self.known = set(self.here)
                self.cluster = self.start(self.answer)
            return self.ask(list(self.here).index(key), request, args, kwargs)

        self.here.setdefault(key, here)
        vars(ask).update(vars(function), here=here)
        return ask

    def ask(self, number, request, args, kwargs):
        meta = {name: value for name, value in request.META.items() if isinstance(value, str)}
        noted = {name: value for name, value in vars(request).items() if name in OF_A_REQUEST}
        asked = pickle.dumps((number, meta, request.body, noted, args, kwargs))
        answer = self.cluster.client.post("/", data=asked)
        returned, raised, noted = pickle.loads(answer.content)
        vars(request).update(noted)
        if raised is not None:
            raise raised
        return returned

    def answer(self, environ, start_response):
        """Call one of the functions in a worker: a WSGI application."""
        length = int(environ["CONTENT_LENGTH"])
        number, meta, body, noted, args, kwargs = pickle.loads(environ["wsgi.input"].read(length))
        request = WSGIRequest({**meta, "wsgi.input": io.BytesIO(body)})
        vars(request).update(noted)
        returned = raised = None
        try:
            returned = list(self.here.values())[number](request, *args, **kwargs)
        except Exception as error:
            raised = error
        noted = {name: value for name, value in vars(request).items() if name in OF_A_REQUEST}
        told = pickle.dumps((returned, raised, noted))
        start_response("200 OK", [("Content-Length", str(len(told)))])
        return [told]


@pytest.fixture(autouse=True)
def on_a_cluster(request, cluster_factory, monkeypatch):
    tests = request.module
    views = Views(lambda app: cluster_factory(app=app, fork_app=True))
    decorator = tests.ratelimit

    def ratelimit(**options):
        decorate = decorator(**options)
        return lambda view: views.served(decorate(getattr(view, "here", view)))

    vars(ratelimit).update(vars(decorator))
    monkeypatch.setattr(tests, "ratelimit", ratelimit)
    for name in ("is_ratelimited", "get_usage"):
        monkeypatch.setattr(tests, name, views.served(getattr(tests, name)))
