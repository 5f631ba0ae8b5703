"""Hold everything that names gunicorn: no other folder may (DESIGN §4.8).

Each override says which method of gunicorn it replaces or extends, and why.
"""
