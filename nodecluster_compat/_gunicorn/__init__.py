"""Hold everything that names gunicorn: no other folder may.

Each override says which method of gunicorn it replaces or extends, and why.
"""
