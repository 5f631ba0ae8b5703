"""Flask-Admin: a file manager with uploads and downloads."""

import os

from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.fileadmin import FileAdmin
from flask_babel import Babel

os.makedirs("files", exist_ok=True)
app = Flask(__name__)
app.secret_key = "fixed"
Babel(app)
admin = Admin(app, name="real")
admin.add_view(FileAdmin(os.path.abspath("files"), name="Files", endpoint="files", url="/admin/files/"))
