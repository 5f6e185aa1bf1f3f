// Click a column's head to sort by it: numbers by their leading value, text alphabetically; once more reverses the order.
for (const table of document.querySelectorAll("table.data")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = row => {
        const text = row.cells[column].textContent.replace(/,/g, "").replace(/−/g, "-").trim();
        const number = /^\(?(-?[\d.]+)(?:[^×]*×\s*10(-?\d+))?/.exec(text);
        return number ? Number(number[1]) * 10 ** Number(number[2] || 0) : text;
      };
      const rows = [...table.tBodies[0].rows].map(row => [value(row), row]);
      rows.sort(([a], [b]) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
      if (down) rows.reverse();
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
// Copy a table as text with tabs, which spreadsheets and editors understand.
for (const table of document.querySelectorAll("table.data")) {
  const tools = table.parentElement.querySelector(".tools"), button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy table";
  button.addEventListener("click", async () => {
    const text = [...table.rows].map(row => [...row.cells].map(cell => cell.textContent.replace(/\s+/g, " ").trim()).join("\t")).join("\n");
    try { await navigator.clipboard.writeText(text); } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy table"; }, 1500);
  });
  tools.prepend(button);
}
