"""Add a choice, vote for it, see the result."""

from __future__ import annotations

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from .models import Choice


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(Choice.objects.create(text=request.body.decode()).pk))


@require_POST
def vote(request: HttpRequest, number: int) -> HttpResponse:
    get_object_or_404(Choice, pk=number).add_vote()
    cache.delete(f"votes of {number}")
    return HttpResponse("thank you")


def result(request: HttpRequest, number: int) -> HttpResponse:
    votes = cache.get_or_set(f"votes of {number}", lambda: get_object_or_404(Choice, pk=number).votes)
    return HttpResponse(str(votes))
