"""bepasty, a file upload site: a password logs in, uploads go to the file system."""

import os

from bepasty.app import create_app

with open("bepasty.conf", "w") as config:
    config.write(
        "SITENAME = 'real'\nSECRET_KEY = 'fixed'\nSTORAGE = 'filesystem'\n"
        f"STORAGE_FILESYSTEM_DIRECTORY = {os.getcwd() + '/items'!r}\n"
        "PERMISSIONS = {'secret': 'admin,list,create,modify,read,delete'}\nDEFAULT_PERMISSIONS = ''\n"
    )
os.makedirs("items", exist_ok=True)
os.environ["BEPASTY_CONFIG"] = os.path.abspath("bepasty.conf")
app = create_app()
