"""Where Django looks for template tags: `{% load bandeau %}`."""
