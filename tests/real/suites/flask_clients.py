import pytest

# What docs/testing-suites.md gives a suite that makes an application in each test.
from flask import Flask as _Flask


@pytest.fixture(autouse=True)
def on_a_cluster(cluster_factory, monkeypatch):
    clusters = {}

    def test_client(app, **more):
        if id(app) not in clusters:
            clusters[id(app)] = cluster_factory(app=app, fork_app=True)
        return clusters[id(app)].flask_client(app, **more)

    monkeypatch.setattr(_Flask, "test_client", test_client)
