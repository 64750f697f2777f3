// The list of versions, anew from the root of the site, and a way to the same page of another one where it has it.
document.addEventListener("DOMContentLoaded", () => {
  const list = document.getElementById("versions");
  if (!list) return;
  const { root, page, own } = list.dataset;
  list.addEventListener("change", async () => {
    const there = root + list.value;
    const found = location.protocol.startsWith("http") && (await fetch(there + page, { method: "HEAD" })).ok;
    location.href = there + (found ? page : "index.html");
  });
  if (!location.protocol.startsWith("http")) return;
  fetch(root + "versions.json", { cache: "no-cache" })
    .then((answer) => (answer.ok ? answer.json() : []))
    .then((versions) => {
      if (!versions.length) return;
      list.replaceChildren(...versions.map((one) => new Option(one.name, one.path, false, one.path === own)));
    })
    .catch(() => {});
});
