// Search, filter and colours. Without scripts the page shows everything.
(() => {
  const by = (id) => document.getElementById(id);
  for (const part of document.querySelectorAll(".js")) part.hidden = false;

  const theme = by("theme");
  const kept = (() => { try { return localStorage.getItem("nameblind-theme"); } catch { return null; } })();
  function colour(value) {
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
  }
  if (kept === "light" || kept === "dark") theme.value = kept;
  colour(theme.value);
  theme.addEventListener("change", () => {
    colour(theme.value);
    try { localStorage.setItem("nameblind-theme", theme.value); } catch { /* a page opened from a file may not keep it */ }
  });

  const form = by("filter");
  const claims = [...document.querySelectorAll("[data-claim]")].map((node) => ({
    node, ...node.dataset, found: JSON.parse(node.dataset.cells),
    parts: [...node.querySelectorAll("[data-answer]")],
  }));
  const theorems = [...document.querySelectorAll("[data-theorem]")];
  const columns = [...document.querySelectorAll("#scoreboard-table [data-lab]")];
  const total = claims.filter((one) => one.node.tagName === "TR").length;

  function filter() {
    const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [verdict, paper, lab] = ["verdict", "paper", "lab"].map((id) => by(id).value);
    const said = (text) => words.every((word) => text.includes(word));
    let shown = 0;
    for (const one of claims) {
      const fits = one.found.some(([l, v]) => (!lab || l === lab) && (!verdict || v === verdict));
      one.node.hidden = !(fits && (!paper || one.paper === paper) && said(one.words));
      if (!one.node.hidden && one.node.tagName === "TR") shown += 1;
    }
    for (const cell of columns) cell.hidden = Boolean(lab) && cell.dataset.lab !== lab;
    for (const part of document.querySelectorAll("article section[data-lab]")) {
      part.hidden = (lab && part.dataset.lab !== lab) || (verdict && part.dataset.answer !== verdict);
    }
    let left = 0;
    for (const one of theorems) {
      one.hidden = !said(one.dataset.words);
      left += !one.hidden;
    }
    by("count").textContent = `${shown} of ${total} claims, ${left} of ${theorems.length} theorems`;
  }
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());

  // A link to something that the filter hides shows it.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    const aim = link && by(decodeURIComponent(link.hash.slice(1)));
    if (aim?.closest("[hidden]")) { form.reset(); filter(); }
  });

  // Paper shows what a click would open.
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
  filter();
})();
