"""I hate money as its authors start it, or behind `bandeau.flask`: budget.py PORT [POLICY LEDGER]."""

import sys

from ihatemoney.run import create_app  # type: ignore[import-not-found]

port, *gate = sys.argv[1:]
app = create_app()
if gate:
    from bandeau.flask import Bandeau

    app.config["BANDEAU_POLICY"], app.config["BANDEAU_LEDGER"] = gate
    Bandeau(app)
app.run(port=int(port), threaded=True)
