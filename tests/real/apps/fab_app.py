"""Flask-AppBuilder: users, roles and a login of its own, on SQLAlchemy."""

import os

from flask import Flask
from flask_appbuilder import AppBuilder
from flask_appbuilder.utils.legacy import get_sqla_class

SQLA = get_sqla_class()
app = Flask(__name__)
app.config.update(
    SECRET_KEY="fixed",
    SQLALCHEMY_DATABASE_URI="sqlite:///" + os.path.abspath("app.db"),
    FAB_API_SWAGGER_UI=True,
    FAB_PASSWORD_HASH_METHOD="pbkdf2:sha256:1",
    WTF_CSRF_ENABLED=True,
)
db = SQLA(app)
with app.app_context():
    appbuilder = AppBuilder(app, db.session)


def prepare() -> None:
    with app.app_context():
        role = appbuilder.sm.find_role("Admin")
        appbuilder.sm.add_user("admin", "Ad", "Min", "admin@example.test", role, password="secret")
