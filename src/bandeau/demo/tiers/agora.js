// The social network's button: it follows the visit whether anybody presses it or not.
const id = recognise("agora_id", 365);
pixel(id);
const place = () => {
  for (const space of document.querySelectorAll("[data-agora]")) {
    const button = document.createElement("a");
    button.className = "agora";
    button.href = `${here.origin}/partager${query(id)}`;
    button.textContent = space.dataset.agora;
    space.replaceChildren(button);
  }
};
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", place);
else place();
