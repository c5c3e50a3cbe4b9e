"""Django: the gate as a middleware, and what templates, views and `manage.py check` have of it.

    INSTALLED_APPS = ["bandeau.django", …]              # system checks and the template tag
    MIDDLEWARE = ["bandeau.django.Middleware", …]       # before everything that sets cookies
    BANDEAU_POLICY = BASE_DIR / "bandeau.toml"
    BANDEAU_LEDGER = f"sqlite:///{BASE_DIR / 'bandeau.db'}"

`request.consent` is the request's Consent. Nothing is decided here: the parts translate, check and show.
"""

from bandeau.django.conf import site
from bandeau.django.middleware import ConsentHttpRequest, Middleware
from bandeau.django.views import consent_needs

__all__ = ["ConsentHttpRequest", "Middleware", "consent_needs", "site"]
