"""Formats of the web as bytes and data: headers, cookies, CSP, hosts, HTML; nothing of consent."""
