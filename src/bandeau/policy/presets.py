"""The session and CSRF cookies of common platforms, technical by what they do (ePrivacy art. 5(3)).

Names and ages as the platforms set them by default; an owner who changed them declares them.
"""

from __future__ import annotations

from bandeau.policy.model import Tracker

_DAYS_OF_A_YEAR = 365

# platform -> (cookie name, max_age_days or None for a session cookie)
PRESETS: dict[str, tuple[tuple[str, int | None], ...]] = {
    "aspnet": (
        ("ASP.NET_SessionId", None),
        (".AspNetCore.Session", None),
        (".AspNetCore.Antiforgery.*", None),
        (".AspNetCore.Identity.*", 14),
        ("__RequestVerificationToken*", None),
    ),
    "django": (("sessionid", 14), ("csrftoken", 364), ("messages", None)),
    "drupal": (("SESS*", 23), ("SSESS*", 23)),
    "express": (("connect.sid", None),),
    "flask": (("session", 31), ("remember_token", _DAYS_OF_A_YEAR)),
    "java": (("JSESSIONID", None),),
    "laravel": (("laravel_session", 1), ("XSRF-TOKEN", 1)),
    "php": (("PHPSESSID", None),),
    "rails": (("_session_id", None),),
    "starlette": (("session", 14), ("csrftoken", None)),
    "wordpress": (
        ("wordpress_logged_in_*", 14),
        ("wordpress_sec_*", 14),
        ("wordpress_test_cookie", None),
        ("wp-postpass_*", 10),
    ),
}


def trackers(platforms: tuple[str, ...]) -> tuple[Tracker, ...]:
    """Return the technical trackers of some platforms. Raises KeyError for an unknown one."""
    return tuple(
        Tracker(name=name, kind="cookie", purpose="technical", max_age_days=days)
        for platform in platforms
        for name, days in PRESETS[platform]
    )
