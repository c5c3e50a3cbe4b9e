// The state that a page is rewritten for, computed from a request: what Site.key does, for an edge.
// Written for njs and workers alike: no loops over iterables, no destructuring. Whatever is unusual is
// null: then the edge keeps nothing, and asks the gate.

const VALUE = new RegExp('^1\\.([0-9a-f]{10})\\.(0|[1-9a-z][0-9a-z]{0,24})\\.(0|[1-9a-z][0-9a-z]{0,24})'
    + '\\.([1-9a-z][0-9a-z]{0,7})\\.([A-Za-z0-9_-]{16})$');

// Return what a request's choice is, before its seal is looked at; `value(name)` gives a header or "".
function asked(scheme, value) {
    if (DATA.origins.indexOf(`${scheme}://${value('host')}`) < 0) {
        return null;
    }
    const languages = value('accept-language'), signal = value('sec-gpc').trim();
    if (/[^\t\x20-\x7e]/.test(languages) || signal.indexOf(',') >= 0) {
        return null;
    }
    const secure = scheme === 'https';
    const found = values(value('cookie'), secure ? DATA.cookie : 'bandeau');
    const objected = values(value('cookie'), secure ? '__Host-bandeau-audience' : 'bandeau-audience');
    const match = found.length === 1 ? VALUE.exec(found[0]) : null;
    const destination = value('sec-fetch-dest') || 'document';
    return {
        match: match,
        body: match ? found[0].slice(0, -17) : '',
        signal: signal === '1',
        objected: objected.indexOf('0') >= 0,
        language: negotiated(languages),
        kind: /^[A-Za-z]+$/.test(destination) ? destination : 'other',
    };
}

// Return the text whose SHA-256 names the state; `seals` are what our keys make of `ask.body`.
function described(ask, seals, minute) {
    let granted = [], asks = ask.signal ? [] : DATA.purposes;
    if (ask.match && seals.filter((seal) => same(seal, ask.match[5])).length) {
        const made = parseInt(ask.match[4], 36), known = DATA.policies[ask.match[1]];
        if (!known) {
            return null;  // newer than what is known here
        }
        if (minute - DATA.validMinutes < made && made <= minute + 10) {
            const here = (mask) => named(mask, known.order).filter((one) => DATA.purposes.indexOf(one) >= 0);
            const changed = here(ask.match[2]).filter((one) => known.same.indexOf(one) < 0);
            const stays = (one) => changed.indexOf(one) < 0;
            const decided = here(ask.match[3]).filter(stays);
            granted = decided.length ? here(ask.match[2]).filter(stays) : [];
            asks = DATA.purposes.filter((one) => decided.indexOf(one) < 0);
        }
    }
    const said = (yes) => (yes ? 'True' : 'False');
    return DATA.versions.concat(
        [granted.slice().sort().join(','), asks.slice().sort().join(','), said(ask.signal),
            said(ask.objected), ask.language, 'True'],
        DATA.rollout,
    ).join('\n');
}

// Compare without telling by the time how much of it is right.
function same(one, other) {
    let different = one.length ^ other.length;
    for (let n = 0; n < one.length; n++) {
        different |= one.charCodeAt(n) ^ other.charCodeAt(n);
    }
    return different === 0;
}

// Return the distinct values that a Cookie header gives for a name (RFC 6265bis 5.8.3).
function values(header, name) {
    return header.split(';').map((part) => part.replace(/^[ \t]+|[ \t]+$/g, '')).filter((part) => {
        const equals = part.indexOf('=');
        return equals >= 0 && part.slice(0, equals).replace(/[ \t]+$/, '') === name;
    }).map((part) => part.slice(part.indexOf('=') + 1).replace(/^[ \t]+/, ''))
        .filter((one, place, all) => all.indexOf(one) === place);
}

// Return the purposes of a mask in base 36, which may be longer than a number is exact.
function named(mask, order) {
    let digits = mask.split('').map((one) => parseInt(one, 36));
    return order.filter(() => {
        let rest = 0;
        digits = digits.map((digit) => {
            const all = rest * 36 + digit;
            rest = all % 2;
            return (all - rest) / 2;
        });
        return rest === 1;
    });
}

// Return the notice's language for an Accept-Language header (RFC 9110 12.5.4).
function negotiated(accepted) {
    const tags = accepted.split(',').map((item, place) => {
        const at = item.indexOf(';'), tag = at < 0 ? item : item.slice(0, at);
        const match = /^\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*$/.exec(at < 0 ? '' : item.slice(at + 1));
        return { weight: match ? parseFloat(match[1]) : 1, place: place, base: tag.trim().toLowerCase().split(/[-_]/)[0] };
    }).filter((one) => one.weight > 0 && DATA.languages.indexOf(one.base) >= 0);
    tags.sort((one, other) => other.weight - one.weight || one.place - other.place);
    return tags.length ? tags[0].base : DATA.languages[0];
}
