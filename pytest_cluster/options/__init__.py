"""Read what a test asks for: markers, the command line, settings, the application.

Where is an option read?

* ``settings`` reads the command line, the environment and the ini file.
* ``markers`` orders the markers of a test; ``recipe`` combines all of it into ``cluster_options``; ``checks`` checks.
* ``apps`` and ``served`` name the application; ``interpreters`` and ``versions`` choose Python and gunicorn.
* ``server_url``, ``service_urls`` and ``chaos_spec`` read what a single option says.
"""
