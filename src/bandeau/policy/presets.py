"""What common platforms keep to work at all, technical by what it does (ePrivacy art. 5(3)).

Sessions, CSRF, the language and the look that somebody chose. Names and ages as the platforms set them
by default; an owner who changed them declares them.
"""

from __future__ import annotations

from bandeau.policy.model import Tracker, TrackerKind

_DAYS_OF_A_YEAR = 365

# platform -> (cookie name, max_age_days or None for a session cookie)
PRESETS: dict[str, tuple[tuple[str, int | None], ...]] = {
    # account/mfa: TRUST_COOKIE_NAME; socialaccount: Apple's and SAML's log-in (django-allauth 65)
    "allauth": (("mfa_trusted", 14), ("apple-login-session", None), ("saml-acs-session", None)),
    "aspnet": (
        ("ASP.NET_SessionId", None),
        (".AspNetCore.Session", None),
        (".AspNetCore.Antiforgery.*", None),
        (".AspNetCore.Identity.*", 14),
        ("__RequestVerificationToken*", None),
    ),
    "debug-toolbar": (("djdt*", 10),),  # "djdt" and a panel's name (django-debug-toolbar 8)
    # SESSION_, CSRF_ and LANGUAGE_COOKIE_NAME and _AGE; messages.storage.cookie (Django 5.2)
    "django": (
        ("sessionid", 14),
        ("csrftoken", 364),
        ("messages", None),
        ("django_language", None),
    ),
    "django-admin": (),
    "drupal": (("SESS*", 23), ("SSESS*", 23)),
    "express": (("connect.sid", None),),
    "flask": (("session", 31), ("remember_token", _DAYS_OF_A_YEAR)),
    "java": (("JSESSIONID", None),),
    "laravel": (("laravel_session", 1), ("XSRF-TOKEN", 1)),
    "php": (("PHPSESSID", None),),
    "rails": (("_session_id", None),),
    "starlette": (("session", 14), ("csrftoken", None)),
    "wagtail": (("wagtail_sidebar_collapsed", None),),
    "wordpress": (
        ("wordpress_logged_in_*", 14),
        ("wordpress_sec_*", 14),
        ("wordpress_test_cookie", None),
        ("wp-postpass_*", 10),
    ),
}

# platform -> what its scripts keep, by kind; nothing of it expires
STORED: dict[str, tuple[tuple[TrackerKind, str], ...]] = {
    "debug-toolbar": (("local_storage", "djdt.*"),),
    "django-admin": (  # theme.js, nav_sidebar.js, filters.js (Django 5.2)
        ("local_storage", "theme"),
        ("local_storage", "django.admin.navSidebarIsOpen"),
        ("session_storage", "django.admin.navSidebarFilterValue"),
        ("session_storage", "django.admin.filtersState"),
    ),
    "wagtail": (("local_storage", "wagtail:*"),),  # panels, preview, icons (Wagtail 8)
}


def trackers(platforms: tuple[str, ...]) -> tuple[Tracker, ...]:
    """Return the technical trackers of some platforms. Raises KeyError for an unknown one."""
    cookies = tuple(
        Tracker(name=name, kind="cookie", purpose="technical", max_age_days=days)
        for platform in platforms
        for name, days in PRESETS[platform]
    )
    stored = tuple(
        Tracker(name=name, kind=kind, purpose="technical")
        for platform in platforms
        for kind, name in STORED.get(platform, ())
    )
    return cookies + stored
