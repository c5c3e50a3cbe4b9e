(() => {
  "use strict";
  // The names that may be written and read now; the same script serves every state.
  const tag = document.currentScript;
  const permitted = JSON.parse(tag.getAttribute("data-bd"));
  tag.removeAttribute("data-bd");

  const held = new Set();
  const note = (kind, name) => held.size < 100 && held.add(kind + ":" + String(name).slice(0, 200));
  const may = (kind, name) =>
    (permitted[kind] || []).some((p) =>
      p.endsWith("*") ? String(name).startsWith(p.slice(0, -1)) : p === String(name));
  const passes = (kind, name) => may(kind, name) || (note(kind, name), false);
  const refusal = () => new DOMException("Held back until the visitor agrees.", "NotAllowedError");
  const refused = () => Promise.reject(refusal());

  // One API that is missing or different must not leave the others open.
  const attempt = (task) => { try { return task(); } catch { return undefined; } };
  const replace = (owner, names, make) => {
    const on = typeof owner === "string" ? window[owner] && window[owner].prototype : owner;
    if (on) for (const name of names.split(" ")) attempt(() => {
      const own = Object.getOwnPropertyDescriptor(on, name);
      if (own) Object.defineProperty(on, name, { ...own, ...make(own, name), configurable: false });
    });
  };
  const method = (owner, names, call) => replace(owner, names, ({ value: own }) => ({
    value(...args) { return call(this, own, args); }, writable: false,
  }));

  // RFC 6265bis 5.6: the name ends at the first "=" before the first ";".
  const cookieName = (line) => {
    const pair = String(line).split(";")[0], at = pair.indexOf("=");
    return at < 0 ? "" : pair.slice(0, at).trim();
  };
  const ends = (line) => {
    const age = /;\s*max-age\s*=\s*(-?\d+)\s*(?:;|$)/i.exec(line);
    const date = /;\s*expires\s*=\s*([^;]*)/i.exec(line);
    return age ? Number(age[1]) <= 0 : Boolean(date) && Date.parse(date[1]) <= Date.now();
  };
  let jar;
  replace("Document", "cookie", (own) => {
    jar = own;
    return {
      get() {
        return own.get.call(this).split("; ").filter((c) => may("cookie", cookieName(c))).join("; ");
      },
      set(line) {
        if (ends(String(line)) || passes("cookie", cookieName(line))) own.set.call(this, line);
      },
    };
  });
  const getAll = window.CookieStore && CookieStore.prototype.getAll;
  method("CookieStore", "set", (store, set, args) => {
    const name = typeof args[0] === "object" && args[0] ? args[0].name : args[0];
    return passes("cookie", name) ? set.apply(store, args) : refused();
  });
  method("CookieStore", "getAll", async (store, getAll, args) =>
    (await getAll.apply(store, args)).filter((c) => may("cookie", c.name)));
  method("CookieStore", "get", async (store, get, args) => {
    const found = await get.apply(store, args);
    return found && may("cookie", found.name) ? found : null;
  });

  // Storage: the methods, and the objects themselves, since `localStorage.x = 1` calls no method. To open
  // an area stops the page, so that waits, and so does the sweep of it, for the first touch or an idle moment.
  const areas = {}, real = new WeakMap();
  const { getItem, setItem } = Storage.prototype;
  const behind = (front) => real.get(front) || ["local_storage", front];
  method("Storage", "setItem", (front, set, args) => {
    const [kind, area] = behind(front);
    if (passes(kind, args[0])) set.apply(area, args);
  });
  method("Storage", "getItem", (front, get, args) => {
    const [kind, area] = behind(front);
    return may(kind, args[0]) ? get.apply(area, args) : null;
  });
  const empty = (kind, area) => attempt(() => {
    for (const key of Object.keys(area)) if (!may(kind, key)) area.removeItem(key);
  });
  const fronted = (kind, area) => {
    if (!area) return area;
    empty(kind, area);
    const own = (key) => typeof key === "string" && !(key in Storage.prototype);
    const bound = new Map();
    const put = (key, value) => {
      if (own(key) && passes(kind, key)) setItem.call(area, key, value);
      return true;
    };
    const front = new Proxy(area, {
      get(_, key) {
        if (own(key)) return may(kind, key) ? getItem.call(area, key) ?? undefined : undefined;
        const value = Reflect.get(area, key, area);
        if (typeof value !== "function" || key === "constructor") return value;
        if (!bound.has(key)) bound.set(key, value.bind(area));
        return bound.get(key);
      },
      set: (_, key, value) => put(key, value),
      defineProperty: (_, key, description) => put(key, description.value),
    });
    for (const one of [front, area]) real.set(one, [kind, area]);  // its methods are called on the area
    return front;
  };
  for (const [name, kind] of [["localStorage", "local_storage"], ["sessionStorage", "session_storage"]]) {
    let front;
    replace(window, name, (own) => {
      areas[kind] = () => own.get.call(window);
      return { get: () => front || (front = fronted(kind, areas[kind]())), set: undefined };
    });
  }

  // A policy lets connect what it then bars: a frame, a form, a hint. What scripts make of that kind is
  // disarmed before it stands in the page, as what came in the markup was disarmed on the server.
  const HINT = /(?:^|\s)(?:preconnect|dns-prefetch|prefetch|preload|modulepreload|prerender)(?:\s|$)/i;
  const REACHING = {
    iframe: ["src"], frame: ["src"], portal: ["src"], fencedframe: ["src"], embed: ["src"], object: ["data"],
    form: ["action"], button: ["formaction"], input: ["formaction"], a: ["ping"], area: ["ping"],
    link: ["href", "imagesrcset"], base: ["href"],
  };
  // What may have to be disarmed: all hints have "pre" in their names, and "/_" begins no other site's address.
  const SOUGHT = "iframe,frame,portal,fencedframe,embed,object,template,base,form[action]:not([action^='/_']),link[rel*=pre i],"
    + "meta[http-equiv*=refresh i],script[type*=speculationrules i],[ping],[formaction]:not([formaction^='/_'])";
  const SUSPECT = /<(?:i?frame|portal|fencedframe|embed|object|form|link|base|meta|script|template)\b|\b(?:ping|formaction)\b/i;
  const { getAttribute: read, setAttribute: write, removeAttribute: remove } = Element.prototype;
  const where = (url) => attempt(() => new URL(url, document.baseURI)) || { protocol: "invalid:", hostname: "?" };
  const reaches = (url) => {
    const { protocol, hostname } = where(url);
    return /^(?:javascript|data|blob|about|mailto|tel|sms):$/.test(protocol) || hostname === location.hostname
      || (permitted.hosts || []).some((p) =>
        p === "*" || (p.startsWith("*.") ? hostname.endsWith(p.slice(1)) : p === hostname));
  };
  const urls = (name, value) => name === "ping" ? value.split(/\s+/).filter(Boolean)
    : name === "imagesrcset" ? value.split(",").map((one) => one.trim().split(/\s/)[0]) : [value];
  const bars = (element, name, value) =>
    (REACHING[element.localName] || []).includes(name)
    && !(element.localName === "link" && !HINT.test(read.call(element, "rel")))
    && !urls(name, String(value)).every(reaches);
  const shelve = (element, name, value) => {
    write.call(element, "data-bd-" + name, value);
    note("host", where(urls(name, String(value))[0]).hostname);
    return true;
  };
  const disarm = (element) => {
    const kind = element.localName;
    if (kind === "template") return scan(element.content);
    let found = false;
    for (const name of REACHING[kind] || []) {
      const value = read.call(element, name);
      if (value === null || !bars(element, name, value)) continue;
      remove.call(element, name);
      found = shelve(element, name, value);
    }
    if (kind === "script" && /^\s*speculationrules\s*$/i.test(element.type)) {
      element.type = "text/plain";
      found = true;
    }
    if (kind === "meta" && /^\s*refresh\s*$/i.test(element.httpEquiv)) {
      const to = /^\s*[\d.]*\s*[;,\s]\s*(?:url\s*=\s*)?["']?([^"']*)/i.exec(element.content);
      if (to && to[1] && !reaches(to[1])) {
        remove.call(element, "http-equiv");
        found = true;
      }
    }
    const inner = kind === "iframe" && read.call(element, "srcdoc");
    const safe = inner ? attempt(() => cleaned(inner)) ?? "" : inner;  // Trusted Types may forbid the look
    if (safe !== inner) {
      write.call(element, "srcdoc", safe);
      found = true;
    }
    return found;
  };
  const scan = (node) => {
    let found = node.nodeType === 1 && node.matches(SOUGHT) && disarm(node);
    if (node.firstElementChild) for (const one of node.querySelectorAll(SOUGHT)) found = disarm(one) || found;
    return found;
  };
  const cleaned = (html) => {
    if (!SUSPECT.test(html)) return html;
    const inner = new DOMParser().parseFromString(html, "text/html");
    return scan(inner) ? inner.documentElement.outerHTML : html;
  };

  const scanning = (owner, names) => method(owner, names, (self, own, args) => {
    for (const node of args) attempt(() => node && node.nodeType && scan(node));
    return own.apply(self, args);
  });
  scanning("Node", "appendChild insertBefore replaceChild");
  scanning("Element", "append prepend replaceChildren before after replaceWith insertAdjacentElement");
  scanning("Document", "append prepend replaceChildren");
  scanning("DocumentFragment", "append prepend replaceChildren");
  scanning("CharacterData", "before after replaceWith");
  scanning("Range", "insertNode");

  // An attribute that is set where the element already stands.
  const setting = (element, name, value, set) => {
    const lower = String(name).toLowerCase();
    if (lower === "srcdoc" && element.localName === "iframe") return set(attempt(() => cleaned(value)) ?? "");
    if (attempt(() => bars(element, lower, value)) ?? true) return void shelve(element, lower, value);
    if (lower === "rel" && element.localName === "link" && HINT.test(value)) {
      const href = read.call(element, "href");
      if (href !== null && !reaches(href)) {
        remove.call(element, "href");
        shelve(element, "href", href);
      }
    }
    return set(value);
  };
  method("Element", "setAttribute", (self, own, [name, value]) =>
    setting(self, name, value, own.bind(self, name)));
  method("Element", "setAttributeNS", (self, own, [space, name, value]) =>
    setting(self, name, value, own.bind(self, space, name)));
  for (const [kind, names] of Object.entries({
    IFrame: "src srcdoc", Frame: "src", Embed: "src", Object: "data", Form: "action", Button: "formAction",
    Input: "formAction", Anchor: "ping", Area: "ping", Link: "rel href imageSrcset", Base: "href",
  })) replace("HTML" + kind + "Element", names, ({ set }, name) => ({
    set(value) { setting(this, name, value, set.bind(this)); },
  }));

  // Markup as text: parsed beside the page first, and put in as nodes when something had to go.
  const html = Object.getOwnPropertyDescriptor(Element.prototype, "innerHTML").set;
  let aside;
  const parsing = (context, value, put, self, place) => {
    if (!SUSPECT.test(value)) return put(value);
    aside = aside || document.implementation.createHTMLDocument("");
    const copy = context && context.nodeType === 1 ? aside.importNode(context, false) : aside.createElement("div");
    html.call(copy, value);
    return scan(copy) ? self[place](...copy.childNodes) : put(value);
  };
  for (const owner of ["ShadowRoot", "Element"]) replace(owner, "innerHTML", ({ set }) => ({
    set(value) {
      if (this.localName === "template") set.call(this, value);  // inert until its content is inserted
      else parsing(this, value, set.bind(this), this, "replaceChildren");
    },
  }));
  replace("Element", "outerHTML", ({ set }) => ({
    set(value) { parsing(this.parentNode, value, set.bind(this), this, "replaceWith"); },
  }));
  const PLACES = { beforebegin: "before", afterbegin: "prepend", beforeend: "append", afterend: "after" };
  method("Element", "insertAdjacentHTML", (self, own, [position, value]) => {
    const place = PLACES[String(position).toLowerCase()];
    const context = place === "before" || place === "after" ? self.parentNode : self;
    return parsing(context, value, own.bind(self, position), self, place);
  });
  method("Range", "createContextualFragment", (self, own, args) => {
    const made = own.apply(self, args);
    scan(made);
    return made;
  });

  // And what came another way (document.write, a parser's own): at least it does not stay.
  let first = true;
  new MutationObserver((records) => {
    if (first && records.length > 30) {  // what the parser brings: one look is cheaper than each record
      first = false;
      return void scan(document);
    }
    let seen;  // what stands in it was scanned with it
    for (const record of records) {
      const { target } = record;
      if (record.type === "attributes") disarm(target);
      else if (!seen || !seen.contains(target)) {
        for (const node of record.addedNodes) if (node.nodeType === 1) scan(seen = node);
      }
    }
  }).observe(document, {
    subtree: true, childList: true, attributeFilter: ["rel", "href", "imagesrcset", "src", "action", "data", "ping"],
  });

  for (const [owner, name, kind] of [
    ["IDBFactory", "open", "indexed_db"], ["CacheStorage", "open", "cache"],
    ["ServiceWorkerContainer", "register", "service_worker"],
  ]) method(owner, name, (self, own, args) => {
    if (passes(kind, args[0])) return own.apply(self, args);
    if (kind === "indexed_db") throw refusal();
    return refused();
  });
  method("StorageManager", "getDirectory", () => (note("opfs", "/"), refused()));
  for (const name of ["RTCPeerConnection", "webkitRTCPeerConnection", "WebTransport"]) replace(window, name, () => ({
    value: class { constructor() { note("connection", name); throw refusal(); } }, writable: false,
  }));

  // What is there and may not be goes: each parent domain, each path on the way here, both jars.
  const expire = (all) => {
    const names = new Set(all.filter((name) => !may("cookie", name)));
    if (!names.size) return;
    const labels = location.hostname.split("."), domains = [""];
    for (let n = 0; n < labels.length - 1; n++) domains.push(";domain=" + labels.slice(n).join("."));
    const paths = ["/"];
    location.pathname.split("/").slice(1, -1).reduce((path, step) => (paths.push(path + step), path + step + "/"), "/");
    for (const name of names) for (const domain of domains) for (const path of paths) {
      for (const more of ["", ";secure", ";secure;partitioned"]) {
        attempt(() => jar.set.call(document, name + "=;max-age=0;path=" + path + domain + more));
      }
    }
  };
  const each = (ask, drop) => attempt(() => ask().then((all) => all.forEach((one) => drop(one)), () => {}));
  const clear = () => {
    for (const kind in areas) attempt(() => empty(kind, areas[kind]()));
    each(() => indexedDB.databases(), ({ name }) => may("indexed_db", name) || indexedDB.deleteDatabase(name));
    each(() => caches.keys(), (name) => may("cache", name) || caches.delete(name));
    each(() => navigator.serviceWorker.getRegistrations(), (one) => {
      const script = (one.active || one.waiting || one.installing || {}).scriptURL || "";
      if (!may("service_worker", script.replace(location.origin, ""))) one.unregister();
    });
  };
  const cookies = () => (attempt(() => jar.get.call(document)) || "").split("; ").filter(Boolean).map(cookieName);
  const owned = self.origin !== "null";  // a sandbox has nothing of its own to sweep
  if (owned) {
    // To read document.cookie stops the page, too; to ask the store does not.
    const asked = attempt(() => getAll.call(cookieStore)) || Promise.reject();
    asked.then((all) => all.map((c) => c.name), cookies).then(expire);
    (window.requestIdleCallback || setTimeout)(clear, { timeout: 1000 });
  }

  document.addEventListener("securitypolicyviolation", (event) => attempt(() => {
    if (event.disposition === "enforce") note("host", new URL(event.blockedURI).hostname);
  }));
  Object.defineProperty(window, Symbol.for("bandeau"), {
    value: Object.freeze({
      held: () => [...held],
      // Never widens: what is permitted afterwards was permitted before.
      narrow(names) {
        for (const kind of Object.keys(permitted)) {
          const left = names[kind] || [];
          permitted[kind] = permitted[kind].filter((name) => left.includes(name));
        }
        if (!owned) return;
        expire(cookies());
        clear();
      },
    }),
  });
})();