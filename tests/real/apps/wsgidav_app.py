"""WsgiDAV: a folder by WebDAV, with a login."""

import os

from wsgidav.wsgidav_app import WsgiDAVApp

os.makedirs("share", exist_ok=True)
app = WsgiDAVApp(
    {
        "provider_mapping": {"/": os.path.abspath("share")},
        "simple_dc": {"user_mapping": {"*": {"ann": {"password": "secret"}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "logging": {"enable": True},
        "verbose": 3,
    }
)
