"""A Datasette plugin: `datasette data.db --plugins-dir plugins` is then behind the gate."""

import os

from datasette import hookimpl  # type: ignore[import-not-found]

from bandeau import Bandeau

site = Bandeau.from_file(os.environ["POLICY"], os.environ["LEDGER"])


@hookimpl  # type: ignore[untyped-decorator]
def asgi_wrapper() -> object:
    return site.asgi
