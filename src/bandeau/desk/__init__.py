"""The privacy officer's web application: what a ledger holds, for people. It changes no policy.

`dossier`, `pictures` and `versions` are the command line's too, and need no extra.
"""
