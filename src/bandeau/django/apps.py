"""The application: `INSTALLED_APPS = ["bandeau.django", …]` brings checks and the template tag."""

from django.apps import AppConfig
from django.core.checks import register

from bandeau.django import checks


class BandeauConfig(AppConfig):  # type: ignore[misc]
    """Registers the checks; the label is bandeau, since "django" says nothing."""

    name = "bandeau.django"
    label = "bandeau"
    verbose_name = "bandeau"

    def ready(self) -> None:
        """Let `manage.py check`, and what runs it, say what is wrong."""
        for check in checks.ALWAYS:
            register(check, "bandeau")
        for check in checks.DEPLOYED:
            register(check, "bandeau", deploy=True)
