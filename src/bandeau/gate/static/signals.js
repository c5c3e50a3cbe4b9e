(() => {
  "use strict";
  // Before any other script: what is granted, for the site's own scripts and for vendors' tags.
  const tag = document.currentScript;
  let granted = tag.dataset.bdGranted.split(" ").filter(Boolean);
  delete tag.dataset.bdGranted;
  const allows = (purpose) => purpose === "technical" || granted.includes(purpose);
  const vendors = [];
  const tell = (call) => {
    for (const vendor of vendors) {
      const may = {}, said = {};
      for (const [key, needs] of Object.entries(vendor.keys)) {
        may[key] = needs.length > 0 && needs.every(allows);
        said[key] = may[key] ? "granted" : "denied";
      }
      try { vendor[call](said, may); } catch { }  // a vendor's fault is not the page's
    }
  };
  tell("default");
  window.bandeau = Object.freeze({ allows });
  // The notice's script calls it with what is stored, and the button; without one it was elsewhere.
  window[Symbol.for("bandeau.told")] = ({ granted: now, state }, action = "elsewhere") => {
    granted = now.filter(Boolean);
    tell("update");
    document.dispatchEvent(new CustomEvent("bandeau:choice", { detail: { granted: [...granted], state, action } }));
  };
})();
