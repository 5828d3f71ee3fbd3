/* A table that does not fit its column stands as one block for each row, with the head of the column beside every cell.
   Explicit roles keep it a table for those who listen.  Without this script it scrolls. */
(() => {
  const describe = (table) => {
    const heads = [...table.querySelectorAll("thead tr:last-child > *")].map((cell) => cell.textContent.trim());
    table.setAttribute("role", "table");
    for (const group of table.querySelectorAll("thead, tbody")) group.setAttribute("role", "rowgroup");
    for (const row of table.querySelectorAll("tr")) {
      row.setAttribute("role", "row");
      [...row.children].forEach((cell, column) => {
        const isHead = cell.closest("thead");
        cell.setAttribute("role", isHead ? "columnheader" : cell.tagName === "TH" ? "rowheader" : "cell");
        if (!isHead && heads[column]) cell.dataset.head = heads[column];
      });
    }
  };

  const fit = () => {
    for (const table of document.querySelectorAll(".bd-article table:not(.vl table)")) {
      if (!table.querySelector("thead")) continue;
      table.classList.remove("stacked");
      const column = table.parentElement.closest("div, section, details, article") || table.parentElement;
      if (Math.max(table.scrollWidth, table.offsetWidth) <= Math.max(table.clientWidth, column.clientWidth) + 1 &&
          table.scrollWidth <= table.clientWidth + 1) continue;
      if (!table.hasAttribute("role")) describe(table);
      table.classList.add("stacked");
    }
  };

  /* Links to the bibliography say in a preview what they said in a title. */
  const withoutTitles = () => {
    for (const link of document.querySelectorAll(".bd-article a[href*='bibliography.html#'][title]")) link.removeAttribute("title");
  };

  let width = 0;
  const again = () => {
    if (width === window.innerWidth) return;
    width = window.innerWidth;
    fit();
  };
  document.addEventListener("DOMContentLoaded", () => {
    again();
    withoutTitles();
  });
  window.addEventListener("load", fit); // fonts and formulas have their widths
  window.addEventListener("resize", again);
  window.addEventListener("beforeprint", () => document.querySelectorAll("table.stacked").forEach((table) => table.classList.remove("stacked")));
})();

/* A page opened as a file cannot read the others for excerpts: results then have their titles, and no errors. */
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

/* Formulas in previews, on pages that have the program for formulas. */
if (typeof tippy !== "undefined") tippy.setDefaultProps({ onShow: ({ popper }) => { window.MathJax?.typesetPromise?.([popper]); } });
