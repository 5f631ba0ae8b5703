"""klaus: a browser of git repositories, which serves them to git too."""

import os

import klaus
from dulwich import porcelain

if not os.path.exists("repo/.git"):
    porcelain.init("repo")
    with open("repo/readme.md", "w") as readme:
        readme.write("# real\n")
    porcelain.add("repo", ["repo/readme.md"])
    porcelain.commit(
        "repo",
        message=b"begin",
        author=b"A <a@b>",
        committer=b"A <a@b>",
        author_timestamp=1,
        commit_timestamp=1,
        author_timezone=0,
        commit_timezone=0,
    )

app = klaus.make_app([os.path.abspath("repo")], "real", use_smarthttp=True)
