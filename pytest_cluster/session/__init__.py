"""Manage the clusters of a pytest session: parameters, reuse, comparison, summary.

Which cluster does a test get?

* ``combinations`` refuses options that contradict each other, before any test runs.
* ``asking`` finds out whether it will ask for one; ``parametrize``, ``repeated`` and ``matrix`` run it several times.
* ``run`` starts and ends clusters, ``pool`` leases one that an earlier test has left, ``reuse_forecast`` keeps it.
* ``limits`` ends waits before the alarm of pytest-timeout; ``ending`` tells what the test has overlooked.
* ``compare``, ``results``, ``totals`` and ``summary`` tell at the end what was found.
"""
