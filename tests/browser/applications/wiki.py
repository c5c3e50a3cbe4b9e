"""An Otter Wiki as its authors start it, or behind `bandeau.flask`: wiki.py PORT [POLICY LEDGER]."""

import sys

from otterwiki.server import app  # type: ignore[import-not-found]

port, *gate = sys.argv[1:]
if gate:
    from bandeau.flask import Bandeau

    app.config["BANDEAU_POLICY"], app.config["BANDEAU_LEDGER"] = gate
    Bandeau(app)
app.run(port=int(port), threaded=True)
