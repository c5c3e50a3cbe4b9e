// Remembers on this device which articles were read, for 90 days, and marks them on the front page.
(() => {
  const KEY = "lectures", DAYS = 90, today = Math.floor(Date.now() / 86_400_000);
  let read = {};
  try {
    const kept = Object.entries(JSON.parse(localStorage.getItem(KEY)) ?? {});
    read = Object.fromEntries(kept.filter(([, day]) => today - day < DAYS));
  } catch { /* unreadable or out of reach: nothing was read */ }

  for (const link of document.querySelectorAll("a[data-article]")) {
    if (!(link.dataset.article in read)) continue;
    const mark = document.createElement("span");
    mark.className = "already";
    mark.textContent = link.dataset.already;
    link.closest("h2, h3").after(mark);
  }

  const story = document.querySelector("article[data-article]");
  if (!story) return;
  read[story.dataset.article] = today;
  try {
    localStorage.setItem(KEY, JSON.stringify(read));
  } catch { /* storage is closed: the next visit simply knows nothing */ }
})();
