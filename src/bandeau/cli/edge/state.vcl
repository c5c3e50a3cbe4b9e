# The state that a page is rewritten for, for Varnish with varnish-vmod-digest: `call bandeau_key` sets
# req.http.BD-Key, or leaves it out where nothing may be kept. VCL has neither variables nor loops: the
# request's bd- headers are the ones, subroutines that take a piece each and are called often the others.

import digest;
import std;

# Take a digit off bd-mask (base 36), and put it behind bd-number.
sub bandeau_digit {
    if (req.http.bd-mask != "") {
        set req.http.bd-number = std.integer(req.http.bd-number, 0) * 36 + std.integer(
            regsub(req.http.bd-mask + " {{ digits }}", "^(.).* (?:...)*?\1(..).*$", "\2"), 0);
        set req.http.bd-mask = regsub(req.http.bd-mask, "^.", "");
    }
}

sub bandeau_number {
    set req.http.bd-number = "0";
{%- for _ in range(10) %}
    call bandeau_digit;
{%- endfor %}
}

# Take a tag off bd-accepted; where it weighs more than those before, its language it is (RFC 9110 12.5.4).
sub bandeau_tag {
    if (req.http.bd-accepted != "") {
        set req.http.bd-tag = regsub(req.http.bd-accepted, ",.*$", "");
        set req.http.bd-accepted = regsub(req.http.bd-accepted, "^[^,]*,?", "");
        set req.http.bd-weight = "1000";
        if (req.http.bd-tag ~ "^[^;]*;\s*q\s*=\s*[01](?:\.\d{0,3})?\s*$") {
            set req.http.bd-weight = regsub(
                regsub(req.http.bd-tag, "^[^;]*;\s*q\s*=\s*(.*?)\s*$", "\1") + "000", "^(.)\.?(...).*$", "\1\2");
        }
        set req.http.bd-tag = regsub(
            std.tolower(regsub(req.http.bd-tag, "^\s*([^;]*?)\s*(?:;.*)?$", "\1")), "[-_].*$", "");
        if (req.http.bd-tag ~ "^(?:{{ languages | join('|') }})$"
            && std.integer(req.http.bd-weight, 0) > std.integer(req.http.bd-most, 0)) {
            set req.http.bd-most = req.http.bd-weight;
            set req.http.bd-language = req.http.bd-tag;
        }
    }
}

# See whether one of our keys sealed bd-value. Both sides are hashed again, so that the time it takes to
# compare tells nothing.
sub bandeau_seal {
    set req.http.bd-body = regsub(req.http.bd-value, "\.[^.]*$", "");
    set req.http.bd-seal = regsub(req.http.bd-value, "^.*\.", "");
{%- for key in keys %}
    set req.http.bd-made = digest.base64url_nopad_hex(regsub(
        digest.hmac_sha256(digest.base64_decode("{{ key }}"), req.http.bd-body), "^0x(.{24}).*$", "0x\1"));
    if (digest.hmac_sha256(digest.base64_decode("{{ key }}"), req.http.bd-made)
        == digest.hmac_sha256(digest.base64_decode("{{ key }}"), req.http.bd-seal)) {
        set req.http.bd-sealed = "1";
    }
{%- endfor %}
}

# Put into bd-granted and bd-asks, each with a comma in front, what bd-value says today.
sub bandeau_choice {
    set req.http.bd-mask = regsub(req.http.bd-value, "^1\.[^.]*\.([^.]*)\..*$", "\1");
    call bandeau_number;
    set req.http.bd-given = req.http.bd-number;
    set req.http.bd-mask = regsub(req.http.bd-value, "^1\.[^.]*\.[^.]*\.([^.]*)\..*$", "\1");
    call bandeau_number;
    set req.http.bd-decided = req.http.bd-number;
    unset req.http.bd-known;
    set req.http.bd-granted = "";
    set req.http.bd-asks = "";
{%- for start, policy in policies.items() %}
    if (req.http.bd-value ~ "^1\.{{ start }}\.") {
        set req.http.bd-known = "1";
{%- for purpose in purposes | sort %}
{%- if purpose in policy.order %}
{%- set bit = 2 ** policy.order.index(purpose) %}
{%- if purpose in policy.same %}
        if (std.integer(req.http.bd-decided, 0) / {{ bit }} % 2 == 1) {
            set req.http.bd-any = "1";
        } else {
            set req.http.bd-asks = req.http.bd-asks + ",{{ purpose }}";
        }
        if (std.integer(req.http.bd-given, 0) / {{ bit }} % 2 == 1) {
            set req.http.bd-granted = req.http.bd-granted + ",{{ purpose }}";
        }
{%- else %}
        if (std.integer(req.http.bd-decided, 0) / {{ bit }} % 2 == 1
            && std.integer(req.http.bd-given, 0) / {{ bit }} % 2 == 0) {
            set req.http.bd-any = "1";
        } else {
            set req.http.bd-asks = req.http.bd-asks + ",{{ purpose }}";
        }
{%- endif %}
{%- else %}
        set req.http.bd-asks = req.http.bd-asks + ",{{ purpose }}";
{%- endif %}
{%- endfor %}
    }
{%- endfor %}
    if (!req.http.bd-any) {
        set req.http.bd-granted = "";
        set req.http.bd-asks = "{{ every }}";
    }
}

# Put into bd-value what the cookies give for a name, where it is one value (RFC 6265bis 5.8.3).
{%- for scheme, names in cookies.items() %}
sub bandeau_{{ scheme }} {
    set req.http.bd-jar = ";" + req.http.Cookie + ";";
    if (req.http.bd-jar ~ ";[ \t]*{{ names[1] }}[ \t]*=[ \t]*0[ \t]*;") {
        set req.http.bd-objected = "True";
    }
    set req.http.bd-jar = regsuball(req.http.bd-jar, ";(?![ \t]*{{ names[0] }}[ \t]*=)[^;]*(?=;)", "");
    set req.http.bd-jar = regsuball(
        req.http.bd-jar, ";[ \t]*{{ names[0] }}[ \t]*=[ \t]*+([^;]*?)[ \t]*(?=;)", ";\1");
    if (req.http.bd-jar ~ "^;([^;]*);(?:\1;)*$") {
        set req.http.bd-value = regsub(req.http.bd-jar, "^;([^;]*);.*$", "\1");
    }
}
{%- endfor %}

sub bandeau_key {
    unset req.http.BD-Key;
    unset req.http.bd-any;
    unset req.http.bd-language;
    unset req.http.bd-most;
    unset req.http.bd-sealed;
    set req.http.bd-known = "1";
    set req.http.bd-value = "";
    set req.http.bd-objected = "False";
    set req.http.bd-signal = "False";
    std.collect(req.http.Cookie, "; "); # HTTP/2 may split it (RFC 9113 8.2.3)
    std.collect(req.http.Sec-GPC);
    if (req.http.Sec-GPC ~ "(?:^|,)\s*1\s*(?:$|,)") {
        set req.http.Sec-GPC = "1";
        set req.http.bd-signal = "True";
    }
    if (req.http.X-Forwarded-Proto == "https") {
        set req.http.bd-origin = "https://" + req.http.host;
    } else {
        set req.http.bd-origin = "http://" + req.http.host;
    }
    {% for origin in origins %}{{ "} else " if not loop.first }}if (req.http.bd-origin == "{{ origin }}") {
        call bandeau_{{ origin.partition(":")[0] }};
    {% endfor %}} else {
        unset req.http.bd-known;
    }
    set req.http.bd-granted = "";
    set req.http.bd-asks = "{{ every }}";
    if (req.http.bd-signal == "True") {
        set req.http.bd-asks = "";
    }
    if (req.http.bd-value ~
        "^1\.[0-9a-f]{10}(?:\.(?:0|[1-9a-z][0-9a-z]{0,24})){2}\.[1-9a-z][0-9a-z]{0,7}\.[A-Za-z0-9_-]{16}$") {
        call bandeau_seal;
        if (req.http.bd-sealed) {
            set req.http.bd-mask = regsub(req.http.bd-value, "^.*\.([^.]*)\.[^.]*$", "\1");
            call bandeau_number;
            set req.http.bd-now = std.integer(time=now - 0.5s, fallback=0) / 60;
            if (std.integer(req.http.bd-now, 0) - {{ valid_minutes }} < std.integer(req.http.bd-number, 0)
                && std.integer(req.http.bd-number, 0) <= std.integer(req.http.bd-now, 0) + 10) {
                call bandeau_choice;
            } else if (req.http.bd-value !~ "^1\.(?:{{ policies | join('|') }})\.") {
                unset req.http.bd-known;
            }
        {%- if unread %}
        } else {
            unset req.http.bd-known; # it may be sealed by a key that Varnish cannot use
        {%- endif %}
        }
    }
    set req.http.bd-accepted = req.http.Accept-Language;
    {%- for _ in range(12) %}
    call bandeau_tag;
    {%- endfor %}
    if (!req.http.bd-language) {
        set req.http.bd-language = "{{ languages[0] }}";
    }
    set req.http.bd-kind = "document";
    if (req.http.Sec-Fetch-Dest && req.http.Sec-Fetch-Dest != "") {
        set req.http.bd-kind = req.http.Sec-Fetch-Dest;
        if (req.http.bd-kind !~ "^[A-Za-z]+$") {
            set req.http.bd-kind = "other";
        }
    }
    if (req.http.bd-known && req.http.bd-accepted == "" && req.http.Accept-Language !~ "[^\t\x20-\x7e]") {
        set req.http.BD-Key = regsub(digest.hash_sha256({"{{ versions | join('\n') }}
"} + regsub(req.http.bd-granted, "^,", "") + {"
"} + regsub(req.http.bd-asks, "^,", "") + {"
"} + req.http.bd-signal + {"
"} + req.http.bd-objected + {"
"} + req.http.bd-language + {"
True{% for one in rollout %}
{{ one }}{% endfor %}"}), "^(.{12}).*$", "\1") + "-" + req.http.bd-kind;
    }
{%- for name in ("accepted", "any", "asks", "body", "decided", "given", "granted", "jar", "kind", "known",
                 "language", "made", "mask", "most", "now", "number", "objected", "origin", "seal", "sealed",
                 "signal", "tag", "value", "weight") %}
    unset req.http.bd-{{ name }};
{%- endfor %}
}
