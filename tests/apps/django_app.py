"""A Django project in one file."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="only a test", ALLOWED_HOSTS=["*"], DEBUG=False)
django.setup()


def hello(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse({"hello": name, "method": request.method, "length": len(request.body)})


urlpatterns = [path("hello/<str:name>", hello)]
app = get_wsgi_application()
