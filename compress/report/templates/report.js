// What the page can do beyond reading: hints on charts, tables that sort, and CSV files. Without it nothing is missing.
"use strict";

const hint = document.createElement("div");
hint.id = "hint";
hint.setAttribute("role", "status");
document.querySelector("main").append(hint);
let current = null;

function show(mark) {
  current?.classList.remove("current");
  current = mark;
  hint.classList.toggle("shown", Boolean(mark));
  if (!mark) return;
  mark.classList.add("current");
  hint.textContent = mark.hint;
  const box = mark.getBoundingClientRect();
  const left = box.left + box.width / 2 - hint.offsetWidth / 2;
  const above = box.top - hint.offsetHeight - 8;
  hint.style.left = `${Math.max(8, Math.min(left, document.documentElement.clientWidth - hint.offsetWidth - 8))}px`;
  hint.style.top = `${above > 8 ? above : box.bottom + 8}px`;
}

// A histogram has its counts as attributes; each bin becomes a mark.
function addBins(svg) {
  const before = svg.dataset.before.split(" "), after = svg.dataset.after.split(" ");
  const low = Number(svg.dataset.low), bin = (svg.dataset.high - low) / before.length;
  const round = value => Number(value.toPrecision(3)).toString().replace("-", "\u2212");
  before.forEach((count, index) => {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, value] of Object.entries({
      x: index * 220 / before.length, width: 220 / before.length, height: 84, class: "mark bin",
    })) rect.setAttribute(key, value);
    rect.hint = `${round(low + index * bin)} to ${round(low + (index + 1) * bin)}: ${count} float, ${after[index]} nonzero in the file`;
    svg.append(rect);
  });
}

for (const svg of document.querySelectorAll("svg.chart")) {
  if (svg.dataset.before) addBins(svg);
  const marks = [...svg.querySelectorAll(".mark")];
  if (!marks.length) continue;
  for (const mark of marks) {
    const title = mark.querySelector("title");
    if (!title) continue;
    mark.hint = title.textContent;
    title.remove(); // the browser would show it as well
  }
  svg.tabIndex = 0;
  svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")}. Arrow keys read the values.`);
  svg.addEventListener("pointerover", event => show(event.target.closest(".mark")));
  svg.addEventListener("pointerleave", () => show(null));
  svg.addEventListener("blur", () => show(null));
  svg.addEventListener("keydown", event => {
    const at = marks.indexOf(current), last = marks.length - 1;
    const next = {
      ArrowRight: Math.min(at + 1, last), ArrowDown: Math.min(at + 1, last),
      ArrowLeft: Math.max(at - 1, 0), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last, Escape: -1,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    show(marks[next] ?? null);
  });
}

const words = cell => [...cell.childNodes].map(node => node.textContent.trim()).filter(Boolean).join(" ");
const plain = cell => words(cell).replace(/(\d),(?=\d{3})/g, "$1").replaceAll("\u00a0", " ").replaceAll("\u2212", "-");
const valueOf = cell => cell.dataset.value ?? plain(cell);

function compare(a, b) {
  const [x, y] = [parseFloat(a), parseFloat(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
}

function sort(table, header) {
  const descending = header.ariaSort === "descending" ? false : header.ariaSort === "ascending" || !header.matches(".word, :first-child");
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  const key = row => valueOf(row.cells[header.cellIndex]);
  rows.sort((a, b) => (descending ? -1 : 1) * compare(key(a), key(b)));
  table.tBodies[0].append(...rows);
}

// A spreadsheet would run a text that starts like a formula.
function csvField(cell) {
  const value = valueOf(cell), number = value.match(/^-?[\d.]+(e-?\d+)?%?$/);
  const text = number || !/^[=+\-@\t\r]/.test(value) ? value : `'${value}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function toCsv(table) {
  const rows = [...table.tHead.rows, ...table.tBodies[0].rows];
  return rows.map(row => [...row.cells].map(csvField).join(",")).join("\r\n") + "\r\n";
}

for (const table of document.querySelectorAll("table[data-name]")) {
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(table, header));
    header.append(button);
  }
  const save = document.createElement("button");
  save.className = "csv";
  save.textContent = "Save CSV";
  save.setAttribute("aria-label", `Save CSV of the table of ${table.dataset.name}`);
  save.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", toCsv(table)], {type: "text/csv"}));
    link.download = `${table.dataset.name.replaceAll(" ", "-")}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  table.parentElement.after(save);
}
