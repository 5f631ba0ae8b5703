"""pypiserver: an index of packages, which are uploaded to it."""

import os

import pypiserver

os.makedirs("packages", exist_ok=True)
app = pypiserver.app(roots=[os.path.abspath("packages")], password_file=".", authenticate=[], fallback_url="")
