"""Where the views are."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("choices", views.add),
    path("choices/<int:number>", views.result),
    path("choices/<int:number>/vote", views.vote),
]
