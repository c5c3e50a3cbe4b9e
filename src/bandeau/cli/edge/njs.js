
// nginx with njs: js_set $bandeau edge.key; empty where nothing may be kept.
import crypto from 'crypto';

function key(r) {
    const ask = asked(r.variables.scheme, (name) => r.headersIn[name] || '');
    if (!ask) {
        return '';
    }
    const seals = DATA.keys.map((hex) => {
        const seal = crypto.createHmac('sha256', Buffer.from(hex, 'hex')).update(ask.body).digest();
        return seal.slice(0, 12).toString('base64').replace(/\+/g, '-').replace(/\//g, '_');
    });
    const state = described(ask, seals, Math.floor(Date.now() / 60000));
    if (state === null) {
        return '';
    }
    return crypto.createHash('sha256').update(state).digest('hex').slice(0, 12) + `-${ask.kind}`;
}

export default { key };
