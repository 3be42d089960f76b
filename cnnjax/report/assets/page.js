"use strict";
// Tables sort by a click on a heading, or Enter on it: numbers from the highest, text from the first letter.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const number = (row) => parseFloat(row.cells[column].textContent.replaceAll(",", ""));
      const text = (row) => row.cells[column].textContent;
      const numeric = [...body.rows].some((row) => !isNaN(number(row)) && column > 0);
      const ascending = numeric ? head.ariaSort === "descending" : head.ariaSort !== "ascending";
      const key = (row) => (isNaN(number(row)) ? -Infinity : number(row));
      const rows = [...body.rows].sort((a, b) =>
        numeric ? key(a) - key(b) : text(a).localeCompare(text(b), undefined, { numeric: true }));
      body.append(...(ascending ? rows : rows.reverse()));
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    });
  });
}
// The cell whose images are shown is marked.
const mark = () => {
  for (const link of document.querySelectorAll(".confusion a")) {
    if (link.hash === location.hash) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
};
addEventListener("hashchange", mark);
mark();
