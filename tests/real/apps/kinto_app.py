"""Kinto: JSON storage on Pyramid, with accounts, in memory."""

from kinto import main

app = main(
    {},
    **{
        "kinto.includes": "kinto.plugins.accounts kinto.plugins.default_bucket",
        "kinto.userid_hmac_secret": "fixed",
        "kinto.account_create_principals": "system.Everyone",
        "multiauth.policies": "account",
        "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    },
)
