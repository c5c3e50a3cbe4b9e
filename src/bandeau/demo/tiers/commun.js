// How third parties recognise a visitor: an identifier of theirs, written into the site that includes
// their script, in its cookies and in its storage, and sent along with everything they ask for.
const here = new URL(document.currentScript.src);
const newId = () => Math.random().toString(36).slice(2, 12);

const recognise = (name, days) => {
  let id;
  try {
    id = document.cookie.match(new RegExp(`(?:^|; )${name}=([^;]*)`))?.[1];
  } catch { /* a sandbox has no cookies */ }
  try {
    const kept = JSON.parse(localStorage.getItem(name));
    if (kept?.until > Date.now()) id ??= kept.id;
  } catch { /* nor storage */ }
  id ??= newId();
  try {
    document.cookie = `${name}=${id}; path=/; max-age=${days * 86400}`;
  } catch { /* as above */ }
  try {
    localStorage.setItem(name, JSON.stringify({ id, until: Date.now() + days * 86_400_000 }));
  } catch { /* as above */ }
  return id;
};

const query = (id) => `?id=${id}&page=${encodeURIComponent(location.href)}`;
const pixel = (id) => { new Image().src = `${here.origin}/pixel.gif${query(id)}`; };

const load = (url) => {
  const script = document.createElement("script");
  script.src = url;
  document.body.append(script);
};
const neighbour = (host) => `${here.protocol}//${host}.localhost:${here.port}`;
