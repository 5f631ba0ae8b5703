"""Send requests to a cluster and count the answers.

Where is a request sent?

* ``client`` is what a test has, ``async_client`` its twin for tasks; ``session`` keeps cookies and follows redirects.
* ``outgoing`` and ``bodies`` encode the request, ``endpoint`` sends it, ``response`` represents the answer.
* ``for_flask``, ``for_django``, ``for_django_async`` and ``wsgi`` lead other test clients to the cluster.
* ``hits`` counts by worker; ``unanswered`` finds who keeps a request; ``noted`` remembers the last for a report.
"""
