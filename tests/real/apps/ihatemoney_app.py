"""I hate money: shared expenses, with a login for each project, on SQLAlchemy with migrations."""

import os

with open("ihatemoney.cfg", "w") as config:
    config.write(
        f"SQLALCHEMY_DATABASE_URI = 'sqlite:///{os.getcwd()}/money.db'\nSQLALCHEMY_TRACK_MODIFICATIONS = False\n"
        "SECRET_KEY = 'fixed'\nMAIL_DEFAULT_SENDER = 'a@example.test'\nALLOW_PUBLIC_PROJECT_CREATION = True\n"
        "SESSION_COOKIE_SECURE = False\nENABLE_CAPTCHA = False\nSHOW_ADMIN_EMAIL = False\n"
    )
os.environ["IHATEMONEY_SETTINGS_FILE_PATH"] = os.path.abspath("ihatemoney.cfg")

from ihatemoney.run import create_app

app = create_app()


def prepare() -> None:
    """The database is made by the application itself."""
