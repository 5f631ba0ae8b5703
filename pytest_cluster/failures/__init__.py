"""Report a failed test: the cause, the timeline, logs, artefacts.

Where is a report made?

* ``moments`` observes the clusters when a test fails; ``error_chain`` finds out whether that was a time-out.
* ``sections`` adds to pytest's report what ``report``, ``reproducing`` and ``transactions`` say;
  ``artifacts`` writes files.
* ``records`` has all of it as plain data, for hooks (``hook_calls``); ``run_page`` and ``page`` make a page.
"""
